"""The normal that each f-divergence fits to a mixture (claim W9).

p = 0.67 N(2, variance 2) + 0.33 N(-1, std 0.255), q = N(mu, sigma^2). What a generator that can only make
normals would arrive at under f is the q that minimises D_f(p, q) = int p d(q/p), with mu = E_p x and
sigma^2 = Var_p x for KL(p, q); the others differ in how much of the narrow mode they give up. D_f may be
infinite (Neyman's chi-squared from sigma = 2 on, Pearson's below sigma = 1): such q count as worse than any
other.

The minimum is sought by the simplex method from several starts, because KL(q, p) has a second local minimum
at the narrow mode. For a smooth d the midpoint rule is exact to rounding here; the kink of total variation at
p = q would leave noise of 1e-6 in what is minimised and 1e-3 in its minimum, so there the panels of `Pair`
end at the crossings. The minimum of a sum known to 1e-16 is known to 1e-8: seven digits are written. The
example is that of Nowozin et al. 2016.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from pipeline.objectives import Objective
from pipeline.theory.densities import Array, Mixture, midpoint_grid
from pipeline.theory.optimal_critic import is_step
from pipeline.theory.pairs import Pair
from pipeline.theory.recipe import free_optimum, generator_divergence
from pipeline.theory.tables import to_columns

TARGET = Mixture((2.0, -1.0), (2.0**0.5, 0.255), (0.67, 0.33))
_STARTS = ((1.0, 1.8), (2.0, 1.4), (-1.0, 0.3), (0.5, 1.2))  # mu, sigma
# 19 standard deviations of the wider component to either side; its narrow one spans 25 cells.
_LEFT, _RIGHT = -26.0, 30.0
_X, _WIDTHS = midpoint_grid(_LEFT, _RIGHT, 5600)
_PANELS = 96  # of 0.6, for a d with a kink
_LOG_P = TARGET.log_density(_X)
_SMALLEST, _LARGEST = 0.05, 20.0  # sigma
_TRUNCATED = 1e-9  # the integrand at either end, over its maximum
_FAR = 13.0  # half the width of the interval of the dual, about 1: nine standard deviations of p


@dataclass(frozen=True)
class Fit:
    """The best normal found, its divergence, and how many starts ended there."""

    divergence: float
    mean: float
    std: float
    starts: int


def divergence(objective: Objective, mean: float, std: float) -> float:
    """int p d(q/p) for q = N(mean, std^2), in the units of d; inf where the integral is not finite."""
    q = Mixture((mean,), (std,))
    if is_step(objective):  # d is bounded by lines in r: always finite
        return generator_divergence(objective, Pair(TARGET, q, _LEFT, _RIGHT, _PANELS))
    log_ratio = torch.from_numpy(q.log_density(_X) - _LOG_P)
    d = objective.divergence(log_ratio.clamp(-690.0, 690.0).exp()).numpy()
    integrand = np.exp(_LOG_P) * d
    size = np.abs(integrand)
    if not np.isfinite(size).all() or max(size[0], size[-1]) > _TRUNCATED * size.max():
        return float("inf")
    return float((integrand * _WIDTHS).sum())


def fit(objective: Objective) -> Fit:
    """The normal of least divergence from the target.

    Raises ArithmeticError where it is infinite at every start.
    """

    def height(point: Array) -> float:
        mean, std = float(point[0]), float(np.exp(point[1]))
        if not (_SMALLEST < std < _LARGEST and abs(mean) < _LARGEST):
            return float("inf")
        return divergence(objective, mean, std)

    ends = []
    for mean, std in _STARTS:
        start = np.array([mean, np.log(std)])
        if not np.isfinite(height(start)):
            continue
        found = minimize(
            height, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 2000}
        )
        ends.append((float(found.fun), float(found.x[0]), float(np.exp(found.x[1]))))
    if not ends:
        raise ArithmeticError(f"mixture fit: {objective.name}: infinite at every start")
    best = min(ends)
    near = sum(abs(mean - best[1]) + abs(std - best[2]) < 1e-4 for _, mean, std in ends)
    return Fit(*best, near)


def mixture_fit_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """mixture_fit.csv: one row per f-divergence.

    divergence (of the best normal, in the units of f), mean and std of that normal, starts_agreeing (of
    starts), dual_value (the largest E_p t - E_q f*(t) over a critic free in every node, there) and dual_gap
    (|dual - divergence| over the larger of 1 and the divergence).
    """
    rows: list[dict[str, object]] = []
    for name, objective in objectives.items():
        if objective.formulas.f is None:
            continue
        best = fit(objective)
        pair = Pair(TARGET, Mixture((best.mean,), (best.std,)), 1.0 - _FAR, 1.0 + _FAR)
        exact = generator_divergence(objective, pair)
        dual = free_optimum(objective, pair)
        rows.append(
            {
                "objective": name,
                "divergence": exact,
                "mean": best.mean,
                "std": best.std,
                "starts_agreeing": best.starts,
                "starts": len(_STARTS),
                "dual_value": dual,
                "dual_gap": abs(dual - exact) / max(1.0, exact),
            }
        )
    return to_columns(rows)
