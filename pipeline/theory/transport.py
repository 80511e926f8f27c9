"""The Wasserstein GAN: the recipe with another class of critics, and outside the f family (claim W10).

W1(p, q) = sup over 1-Lipschitz t of E_p t - E_q t = int |F_p - F_q| on the line (Kantorovich & Rubinstein).
The supremum is a linear programme on a grid of cells of width h, |t_{i+1} - t_i| <= h; the integral uses
the normal distribution function.

Every int p d(q/p) depends on the distribution of r = q/p under p alone. Two pairs with one distribution of r
therefore agree in every critic's optimum; W1 knows how far apart things are, and does not:

- scaled: (N(0, 1), N(1, 1)) and (N(0, 4), N(2, 4)): r at 2x of the second is r at x of the first;
- rearranged: p uniform on four unit cells, q with the masses 0.4, 0.3, 0.2, 0.1 and 0.4, 0.1, 0.3, 0.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import ndtr

from pipeline.objectives import Objective
from pipeline.theory.densities import Array, Density, Mixture, Uniform, midpoint_grid
from pipeline.theory.pairs import PAIRS, STANDARD, Pair
from pipeline.theory.recipe import critic_divergence, needed, with_omega
from pipeline.theory.tables import to_columns

_CELLS = 1100  # of the linear programme
_FINE = 400_000  # of the integral of |F_p - F_q|: a kink costs the square of the cell


@dataclass(frozen=True)
class Histogram:
    """Masses on cells [0, 1), [1, 2), ...: each its own density."""

    masses: tuple[float, ...]

    def log_density(self, x: Array) -> Array:
        cell = np.clip(np.floor(x).astype(int), 0, len(self.masses) - 1)
        total: Array = np.log(np.array(self.masses))[cell]
        return total


EQUAL_RATIOS: Mapping[str, tuple[Pair, Pair]] = {
    "scaled": (
        Pair(STANDARD, Mixture((1.0,)), -10.0, 12.0),
        Pair(Mixture((0.0,), (2.0,)), Mixture((2.0,), (2.0,)), -20.0, 24.0),
    ),
    "rearranged": (
        Pair(Uniform(0.0, 4.0), Histogram((0.4, 0.3, 0.2, 0.1)), 0.0, 4.0),
        Pair(Uniform(0.0, 4.0), Histogram((0.4, 0.1, 0.3, 0.2)), 0.0, 4.0),
    ),
}


def distribution(density: Density, x: Array) -> Array:
    """P(X <= x). Raises TypeError for a density without a formula here."""
    if isinstance(density, Mixture):
        parts = zip(density.means, density.stds, density.weights, strict=True)
        total: Array = np.sum([weight * ndtr((x - mean) / std) for mean, std, weight in parts], axis=0)
        return total
    if isinstance(density, Uniform):
        return np.clip((x - density.left) / (density.right - density.left), 0.0, 1.0)
    if isinstance(density, Histogram):
        edges = np.arange(len(density.masses) + 1, dtype=np.float64)
        steps: Array = np.interp(x, edges, np.concatenate([[0.0], np.cumsum(density.masses)]))
        return steps
    raise TypeError(f"no distribution function of {density}")


def wasserstein_one(pair: Pair) -> float:
    """W1 = int |F_p - F_q|, in the units of x, by the midpoint rule."""
    x, widths = midpoint_grid(pair.left, pair.right, _FINE)
    return float((np.abs(distribution(pair.p, x) - distribution(pair.q, x)) * widths).sum())


def lipschitz_optimum(objective: Objective, pair: Pair) -> float:
    """The largest E_p phi + E_q psi over 1-Lipschitz critics on a grid; phi and psi are linear in t.

    Raises ArithmeticError where the programme has no optimum.
    """
    x, widths = midpoint_grid(pair.left, pair.right, _CELLS)
    edges = np.append(x - widths / 2, pair.right)
    of_real, of_fake = (np.diff(distribution(one, edges)) for one in (pair.p, pair.q))
    t = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    gains = [torch.autograd.grad(one(t).sum(), t)[0].item() for one in (objective.phi, objective.psi)]
    gain = gains[0] * of_real + gains[1] * of_fake
    step = sparse.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(_CELLS - 1, _CELLS))
    # The level of t is free, as E_p 1 = E_q 1: the first cell's is 0.
    found = linprog(
        -gain,
        A_ub=sparse.vstack([step, -step]).tocsr(),
        b_ub=np.full(2 * (_CELLS - 1), widths[0]),
        bounds=[(0.0, 0.0)] + [(None, None)] * (_CELLS - 1),
        method="highs",
    )
    if not found.success:
        raise ArithmeticError(f"transport: the linear programme of {pair} has no optimum: {found.message}")
    return -float(found.fun)


def wasserstein_dual_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """wasserstein_dual.csv: one row per pair of densities.

    w1 = int |F_p - F_q|, dual = the largest E_p t - E_q t over 1-Lipschitz critics on a grid, both in
    standard deviations of p; dual_gap = |dual - w1|.
    """
    objective = needed(objectives, "wasserstein", "W10")
    w1 = [wasserstein_one(pair) for pair in PAIRS.values()]
    dual = [lipschitz_optimum(objective, pair) for pair in PAIRS.values()]
    gaps = [abs(first - second) for first, second in zip(w1, dual, strict=True)]
    return {"pair": list(PAIRS), "w1": list(w1), "dual": list(dual), "dual_gap": list(gaps)}


def equal_ratios_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """equal_ratios.csv: one row per case and measure, w1 or an objective with an omega.

    first, second: the measure on both pairs of the case (the critic's optimum int p d(q/p); W1 in the units
    of x); difference = |second - first|, over the larger of 1 and |first|; for w1, over the smaller of the
    two.
    """
    rows: list[dict[str, object]] = []
    for case, pairs in EQUAL_RATIOS.items():
        first, second = (wasserstein_one(pair) for pair in pairs)
        rows.append(_row(case, "w1", first, second, abs(second - first) / min(first, second)))
        for name, objective in with_omega(objectives).items():
            first, second = (critic_divergence(objective, pair) for pair in pairs)
            rows.append(_row(case, name, first, second, abs(second - first) / max(1.0, abs(first))))
    return to_columns(rows)


def _row(case: str, measure: str, first: float, second: float, difference: float) -> dict[str, object]:
    return {"case": case, "measure": measure, "first": first, "second": second, "difference": difference}
