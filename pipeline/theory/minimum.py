"""The test that a generator's loss must pass: d(r) is minimal at r = 1, as written and as meant (claim W8).

Because r = q/p integrates to 1 under p, int p d(q/p) does not change when c (r - 1) is added to d. So what
decides whether q = p is the minimum is the part of d above its tangent at 1::

    n(r) = d(r) - d(1) - d'(1) (r - 1) >= 0      for every r > 0

It suffices: the integral of n is the excess over q = p. It is needed: if n(r1) < 0, a q that has r = r1 on a
small part of p's mass and near 1 elsewhere lies below q = p. The test as written, d(r) >= d(1), asks for
d'(1) = 0 besides, which only the choice of c decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.objectives import Objective
from pipeline.theory.densities import Array
from pipeline.theory.recipe import with_omega
from pipeline.theory.tables import to_columns

# With the test itself: the non-saturating loss, d = r log r, least squares with c = (a + b)/2, b - a = 2.
EXAMPLES = ("non_saturating", "logit_generator", "least_squares_centred")
_DECADES = 6
_STEPS_PER_DECADE = 400


@dataclass(frozen=True)
class Minimum:
    """Where d and n are lowest on the grid, and by how much they lie below their value at 1."""

    slope_at_one: float
    literal_at: float  # the r at which d is smallest
    literal: float  # min d(r) - d(1), over the larger of 1 and |d(r)|
    normalised_at: float
    normalised: float  # min n(r), likewise


def ratios() -> Array:
    """1e-6 to 1e6, even in log r; 1 is one of them."""
    return 10.0 ** (
        np.arange(-_DECADES * _STEPS_PER_DECADE, _DECADES * _STEPS_PER_DECADE + 1) / _STEPS_PER_DECADE
    )


def minimum(objective: Objective) -> Minimum:
    """Both tests of the generator's d."""
    one = torch.ones(1, dtype=torch.float64, requires_grad=True)
    at_one = objective.divergence(one)
    # A constant d (maximum likelihood) has no graph.
    tangent = float(torch.autograd.grad(at_one.sum(), one)[0]) if at_one.requires_grad else 0.0
    r = ratios()
    d = objective.divergence(torch.from_numpy(r)).numpy()
    above = d - float(at_one.detach())
    normalised = above - tangent * (r - 1)
    # What rounding leaves of a difference is relative to its terms.
    scale = np.maximum(1.0, np.maximum(np.abs(d), np.abs(tangent * (r - 1))))
    low, least = int(above.argmin()), normalised / scale
    return Minimum(
        tangent,
        float(r[low]),
        float((above / scale).min()),
        float(r[int(least.argmin())]),
        float(least.min()),
    )


def minimum_test_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """minimum_test.csv: one row per objective with an omega; d is the generator's.

    is_example (of the works that state the test), slope_at_1 = d'(1) (of a kink, the middle of its slopes),
    literal_minimum_at_ratio (where d is smallest for r from 1e-6 to 1e6), literal_minimum = min d(r) - d(1)
    and normalised_minimum = min d(r) - d(1) - d'(1)(r - 1), each relative to the larger of 1 and its terms,
    normalised_minimum_at_ratio.
    """
    rows = [
        {
            "objective": name,
            "is_example": int(name in EXAMPLES),
            "slope_at_1": found.slope_at_one,
            "literal_minimum_at_ratio": found.literal_at,
            "literal_minimum": found.literal,
            "normalised_minimum": found.normalised,
            "normalised_minimum_at_ratio": found.normalised_at,
        }
        for name, objective in with_omega(objectives).items()
        for found in [minimum(objective)]
    ]
    return to_columns(rows)
