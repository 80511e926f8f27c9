"""What the likelihood-ratio construction promises: the critic's best output is omega(q/p) (claim W2), and its
optimum is the f-divergence int p d(q/p) (claim W5).

The critic's d(r) = phi(omega(r)) + r psi(omega(r)) is a supremum of lines in r, so it is convex; the
generator's d (`Objective.divergence`) is another where beta is not psi. Both are compared with what a free
critic reaches (`free_critic`), which knows no omega. Source: Basioti & Moustakides 2020, arXiv 2002.00865.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.objectives import Objective
from pipeline.theory.densities import Array
from pipeline.theory.free_critic import best_output, critic_value
from pipeline.theory.optimal_critic import is_step
from pipeline.theory.pairs import PAIRS, Pair
from pipeline.theory.tables import to_columns

LARGEST_RATIO = 1000.0  # and its inverse: three decades to either side of p = q
_RATIOS = 40  # even in log r; none is 1, where a step jumps
_ORDER_FREE, _ORDER_EXACT = 8, 13  # nodes per panel: two rules that share no node


def with_omega(objectives: Mapping[str, Objective]) -> dict[str, Objective]:
    """Those whose best critic is a function of q/p."""
    return {name: one for name, one in objectives.items() if one.formulas.omega is not None}


def needed(objectives: Mapping[str, Objective], name: str, claim: str) -> Objective:
    """The objective of a claim that names it. Raises UserError where the catalogue lacks it."""
    if name not in objectives:
        raise UserError(f"theory: claim {claim} needs the objective {name!r}; objectives.yaml has none")
    return objectives[name]


def log_ratios() -> Array:
    """The log r of the test of omega, in nats."""
    largest = np.log(LARGEST_RATIO)
    return np.linspace(-largest, largest, _RATIOS)


@dataclass(frozen=True)
class OutputError:
    """How far the best output found is from omega(r), where it is farthest."""

    output: float  # |t - omega(r)|, relative to the larger of 1 and |omega(r)|
    ratio_nats: float  # the same as an error of log r: |t - omega| / |d omega / d log r|; nan for a step
    at_log_ratio: float


def output_error(objective: Objective) -> OutputError:
    """The free critic's best t against omega(r), over `log_ratios()`."""
    log_ratio = log_ratios()
    found = best_output(objective, log_ratio).t
    level = torch.from_numpy(log_ratio).requires_grad_()
    omega = objective.omega(level.exp())
    error = np.abs(found - omega.detach().numpy())
    relative = error / np.maximum(1.0, np.abs(omega.detach().numpy()))
    if is_step(objective):
        worst = int(relative.argmax())
        return OutputError(float(relative[worst]), float("nan"), float(log_ratio[worst]))
    (slope,) = torch.autograd.grad(omega.sum(), level)
    ratio = error / slope.abs().numpy()
    worst = int(np.nan_to_num(ratio, nan=np.inf).argmax())
    return OutputError(float(relative.max()), float(ratio[worst]), float(log_ratio[worst]))


def optimal_output_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """optimal_output.csv: one row per objective with an omega.

    direction of omega (increasing, decreasing; step), ratio_low and ratio_high (the range of r),
    output_error (largest |t - omega(r)|, relative to the larger of 1 and |omega(r)|), ratio_error_nats (the
    same as an error of log r; empty for a step), at_log_ratio_nats (where the latter is largest).
    """
    rows: list[dict[str, object]] = []
    for name, objective in with_omega(objectives).items():
        error = output_error(objective)
        rows.append(
            {
                "objective": name,
                "construction": objective.construction,
                "direction": direction(objective),
                "ratio_low": 1 / LARGEST_RATIO,
                "ratio_high": LARGEST_RATIO,
                "output_error": error.output,
                "ratio_error_nats": error.ratio_nats,
                "at_log_ratio_nats": error.at_log_ratio,
            }
        )
    return to_columns(rows)


def direction(objective: Objective) -> str:
    """increasing, decreasing or neither, read off omega's values; step where it is level but for a jump."""
    if is_step(objective):
        return "step"
    rise = np.diff(objective.omega(torch.from_numpy(np.exp(log_ratios()))).numpy())
    return "increasing" if (rise > 0).all() else "decreasing" if (rise < 0).all() else "neither"


def random_pairs_table(objectives: Iterable[Objective]) -> dict[str, list[object]]:
    """random_pairs.csv: one row per random admissible pair.

    pair (its number), omega, rho, direction, output_error, ratio_error_nats and at_log_ratio_nats as in
    optimal_output.csv.
    """
    rows: list[dict[str, object]] = []
    for number, objective in enumerate(objectives):
        error = output_error(objective)
        rows.append(
            {
                "pair": number,
                "omega": objective.spec["omega"],
                "rho": objective.spec["rho"],
                "direction": direction(objective),
                "output_error": error.output,
                "ratio_error_nats": error.ratio_nats,
                "at_log_ratio_nats": error.at_log_ratio,
            }
        )
    return to_columns(rows)


@cache
def free_optimum(objective: Objective, pair: Pair) -> float:
    """The largest E_p phi + E_q psi over a critic with one free output per node."""
    _, log_p, log_q, weights = pair.nodes(_ORDER_FREE)
    best = best_output(objective, log_q - log_p)
    return critic_value(objective, best.v, log_p, log_q, weights)


def critic_divergence(objective: Objective, pair: Pair) -> float:
    """int p d(q/p) with the critic's d, by quadrature: the formula omega, phi and psi, no optimisation."""
    nodes = pair.nodes(_ORDER_EXACT)
    t = objective.omega(torch.from_numpy(np.exp(nodes.log_q - nodes.log_p)))
    gains = np.exp(nodes.log_p) * objective.phi(t).numpy() + np.exp(nodes.log_q) * objective.psi(t).numpy()
    return nodes.integral(gains, objective.name)


def generator_divergence(objective: Objective, pair: Pair) -> float:
    """int p d(q/p) with the generator's d, which is 0 for q = p, by quadrature."""
    nodes = pair.nodes(_ORDER_EXACT)
    d = objective.divergence(torch.from_numpy(np.exp(nodes.log_q - nodes.log_p))).numpy()
    return nodes.integral(np.exp(nodes.log_p) * d, objective.name)


def smallest_curvature(objective: Objective) -> float:
    """The smallest second difference of the critic's d by r, over 1 + |d| there: `curvature_of`."""

    def critics(r: Tensor) -> Tensor:
        t = objective.omega(r)
        return objective.phi(t) + r * objective.psi(t)

    return curvature_of(critics)


def curvature_of(function: Callable[[Tensor], Tensor]) -> float:
    """The smallest distance of d(r) below a chord over 1 + |d|, r even in log r from e^-7 to e^7."""
    r = torch.from_numpy(np.exp(np.linspace(-7.0, 7.0, 281)))
    d = function(r).numpy()
    ratio = r.numpy()
    share = (ratio[2:] - ratio[1:-1]) / (ratio[2:] - ratio[:-2])  # the middle as a mean of its neighbours
    chord = share * d[:-2] + (1 - share) * d[2:]
    return float(((chord - d[1:-1]) / (1 + np.abs(d[1:-1]))).min())


def critic_optimum_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """critic_optimum.csv: one row per objective with an omega and pair of densities.

    value_reached (free critic), value_exact (quadrature of p d(q/p)), value_gap (|reached - exact| over the
    larger of 1 and |exact|), above_equal (value_reached minus that of q = p), d_curvature_min (smallest
    distance of d below a chord, relative to 1 + |d|; below 0 where d is not convex). In units of the loss.
    """
    rows: list[dict[str, object]] = []
    for name, objective in with_omega(objectives).items():
        curvature = smallest_curvature(objective)
        reached = {pair: free_optimum(objective, densities) for pair, densities in PAIRS.items()}
        for pair, densities in PAIRS.items():
            exact = critic_divergence(objective, densities)
            rows.append(
                {
                    "objective": name,
                    "pair": pair,
                    "value_reached": reached[pair],
                    "value_exact": exact,
                    "value_gap": abs(reached[pair] - exact) / max(1.0, abs(exact)),
                    "above_equal": reached[pair] - reached["equal"],
                    "d_curvature_min": curvature,
                }
            )
    return to_columns(rows)
