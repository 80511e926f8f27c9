"""The test of a generator's loss (claims W8a, W8b): d is minimal at r = 1, as written and as meant.

As written, d(r) >= d(1) for every r > 0, the test suffices: then int p d(q/p) >= d(1), its value for q = p.
But it is not needed, because r = q/p integrates to 1 under p: int p d(q/p) does not change when c (r - 1) is
added to d. What decides is the part of d above its tangent at 1::

    n(r) = d(r) - d(1) - d'(1) (r - 1) >= 0      for every r > 0

It suffices: the integral of n is the excess over q = p. It is needed: if n(r1) < 0, a q that has r = r1 on a
small part of p's mass and near 1 elsewhere lies below q = p. The test as written asks for d'(1) = 0 besides,
which a constant in beta decides: it moves no gradient and adds c r to d. The rule has another half that lets
a d pass, its convexity; a convex d passes the normalised test.

Neither says that the generator descends to q = p: d is what is left when the critic follows, and alternating
training holds it fixed. Then a sample moves against s(r) grad log r, s(r) = r d/dr beta(omega(r)), which must
not be negative, or it is driven from the data.

alpha in d is phi where beta is psi, the entry's own where it gives one (its loss on real data, which a fixed
critic makes constant), else 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.objectives import Objective
from pipeline.theory.densities import Array
from pipeline.theory.pairs import PAIRS
from pipeline.theory.recipe import LARGEST_RATIO, curvature_of, generator_divergence, with_omega
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
    largest: float  # max |d(r) - d(1)|, likewise: 0 for a d that tells nothing apart


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
        float((np.abs(above) / scale).max()),
    )


def smallest_excess(objective: Objective) -> float:
    """The smallest int p d(q/p) - d(1) over `PAIRS`, q = p left out, by quadrature."""
    level = float(objective.divergence(torch.ones(1, dtype=torch.float64)))
    return min(
        generator_divergence(objective, pair) - level for name, pair in PAIRS.items() if name != "equal"
    )


def smallest_slope(objective: Objective) -> float:
    """The smallest s(r) = d beta(omega) / d log r, for r from 1/1000 to 1000, over 1 + |s|; 0 for a step."""
    level = torch.linspace(-np.log(LARGEST_RATIO), np.log(LARGEST_RATIO), 601, dtype=torch.float64)
    level.requires_grad_()
    (slope,) = torch.autograd.grad(objective.beta(objective.omega(level.exp())).sum(), level)
    return float((slope / (1 + slope.abs())).min())


def minimum_test_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """minimum_test.csv: one row per objective with an omega; d is the generator's.

    is_example (of the works that state the test), slope_at_1 = d'(1) (of a kink, the middle of its slopes),
    literal_minimum_at_ratio (where d is smallest for r from 1e-6 to 1e6), literal_minimum = min d(r) - d(1)
    and normalised_minimum = min d(r) - d(1) - d'(1)(r - 1), each relative to the larger of 1 and its terms,
    normalised_minimum_at_ratio; d_largest (max |d(r) - d(1)|, likewise; 0 where d tells nothing apart),
    d_curvature_min (smallest distance of d below a chord, relative to 1 + |d|; below 0: d is not convex),
    smallest_excess (of int p d(q/p) over q = p, over the pairs of densities with q not p) and
    frozen_slope_min (smallest s(r) for r from 1/1000 to 1000, relative to 1 + |s|; below 0 where the critic,
    held fixed, drives samples from the data).
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
            "d_largest": found.largest,
            "d_curvature_min": curvature_of(objective.divergence),
            "smallest_excess": smallest_excess(objective),
            "frozen_slope_min": smallest_slope(objective),
        }
        for name, objective in with_omega(objectives).items()
        for found in [minimum(objective)]
    ]
    return to_columns(rows)
