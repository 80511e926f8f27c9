"""What does not change the game: constants and coordinates (claim W3), and the sign of the label (claim W4).

- Constants: phi + c1, psi + c2, beta + c3 have the same best output, the same divergence up to a constant
  and the same gradients. The shifted objective is one of its own: its slopes are derived from the functions
  with their constants, and it is checked, brought to its stable form and lowered.
- Coordinates: with D = sigmoid(t) the original GAN reads the same in t and in D.
- Labels: t -> -t turns an increasing omega into a decreasing one. omega and rho change sign together, so
  rho(omega) omega' > 0, which makes the optimum a maximum, still holds.

Two objectives are compared at their optima: the best output of a free critic over r, which knows no omega;
the integral of p d(q/p); for labels the largest value of a free critic, because the formulas of d are one
expression; and, over distances, the gradient of the generator between unit normals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import sympy as sp

from pipeline.objectives import Objective
from pipeline.objectives.formulas import Domain, Formulas
from pipeline.theory.densities import Array
from pipeline.theory.free_critic import best_output
from pipeline.theory.optimal_critic import generator_gradient
from pipeline.theory.pairs import PAIRS
from pipeline.theory.recipe import direction, free_optimum, generator_divergence, log_ratios, needed
from pipeline.theory.tables import to_columns

SHIFTS = (sp.Rational(7, 10), sp.Rational(-13, 10), sp.Rational(1, 4))  # of phi, psi, beta
DISTANCES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])  # standard deviations


@dataclass(frozen=True)
class Difference:
    """The largest difference of two objectives, each relative to the larger of 1 and the size."""

    divergence: float  # of int p d(q/p), over the pairs of densities
    gradient: float  # of the generator's gradient, over the distances


def difference(first: Objective, second: Objective) -> Difference:
    """Of their divergences over `PAIRS` and their generator's gradients over `DISTANCES`."""
    divergences = [
        np.array([generator_divergence(one, pair) for pair in PAIRS.values()]) for one in (first, second)
    ]
    return Difference(relative_gap(*divergences), gradient_gap(first, second))


def gradient_gap(first: Objective, second: Objective) -> float:
    """Of their generator's gradients at the best critic over `DISTANCES`."""
    return relative_gap(_gradients(first), _gradients(second))


@cache
def _gradients(objective: Objective) -> Array:
    return generator_gradient(objective, DISTANCES)[0]


def optimum_gap(first: Objective, second: Objective) -> float:
    """Of the largest values of a free critic over `PAIRS`: found from the losses, without omega or d."""
    values = [np.array([free_optimum(one, pair) for pair in PAIRS.values()]) for one in (first, second)]
    return relative_gap(*values)


def relative_gap(first: Array, second: Array) -> float:
    """The largest |first - second| over the larger of 1 and |first|."""
    return float((np.abs(first - second) / np.maximum(1.0, np.abs(first))).max())


def shifted(objective: Objective) -> Objective:
    """The same with constants added to phi, psi and beta, and slopes derived from these anew."""
    formulas = objective.formulas
    functions = zip(("phi", "psi", "beta"), (formulas.phi, formulas.psi, formulas.beta), SHIFTS, strict=True)
    moved = {name: function + shift for name, function, shift in functions}
    return _rebuilt(objective, "shifted", replace(formulas, **moved, phi_slope=None, psi_slope=None))


def swapped(objective: Objective) -> Objective:
    """The same with t -> -t: omega -> -omega, rho(t) -> -rho(-t), beta(t) -> beta(-t)."""
    old = objective.formulas
    domain = Domain(-old.domain.high, -old.domain.low)

    def mirrored(function: sp.Expr) -> sp.Expr:
        return function.subs(old.t, -domain.symbol)

    formulas = replace(
        old,
        domain=domain,
        activation=-old.activation,
        phi=mirrored(old.phi),
        psi=mirrored(old.psi),
        beta=mirrored(old.beta),
        alpha=mirrored(old.alpha),
        omega=-sp.sympify(old.omega),
        omega_inverse=None if old.omega_inverse is None else mirrored(old.omega_inverse),
        phi_slope=None if old.phi_slope is None else -mirrored(old.phi_slope),
        psi_slope=None if old.psi_slope is None else -mirrored(old.psi_slope),
    )
    return _rebuilt(objective, "swapped", formulas)


def _rebuilt(objective: Objective, change: str, formulas: Formulas) -> Objective:
    return Objective(
        name=f"{objective.name}_{change}",
        construction=objective.construction,
        title=objective.title,
        citation=objective.citation,
        spec=objective.spec,
        formulas=formulas,
    )


def likelihood_ratios(objectives: Mapping[str, Objective]) -> dict[str, Objective]:
    """Those of the likelihood-ratio construction."""
    return {name: one for name, one in objectives.items() if one.construction == "likelihood_ratio"}


def same_game_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """same_game.csv: one row per comparison; differences relative to the larger of 1 and the size.

    first, second (name_shifted: constants added), change (constants, coordinate), output_difference (of a
    free critic's best output over r from 1/1000 to 1000; between coordinates, of the logit),
    divergence_difference (of int p d(q/p) over the pairs of densities), gradient_difference (of the
    generator's gradient at the best critic over distances).
    """
    rows: list[dict[str, object]] = []
    r = log_ratios()
    for objective in likelihood_ratios(objectives).values():
        other = shifted(objective)
        outputs = relative_gap(best_output(objective, r).t, best_output(other, r).t)
        rows.append(_row(objective, other, "constants", outputs))
    logit = needed(objectives, "minimax", "W3")
    probability = needed(objectives, "minimax_probability", "W3")
    share = best_output(probability, r).t
    outputs = relative_gap(best_output(logit, r).t, np.log(share / (1 - share)))
    rows.append(_row(logit, probability, "coordinate", outputs))
    return to_columns(rows)


def _row(first: Objective, second: Objective, change: str, outputs: float) -> dict[str, object]:
    gap = difference(first, second)
    return {
        "first": first.name,
        "second": second.name,
        "change": change,
        "output_difference": outputs,
        "divergence_difference": gap.divergence,
        "gradient_difference": gap.gradient,
    }


def label_swap_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """label_swap.csv: one row per likelihood-ratio objective and its label swap t -> -t.

    direction and swapped_direction of omega; optimum_difference (of the largest value of a free critic over
    the pairs of densities, found from the losses) and gradient_difference as in same_game.csv.
    """
    rows: list[dict[str, object]] = []
    for name, objective in likelihood_ratios(objectives).items():
        other = swapped(objective)
        rows.append(
            {
                "objective": name,
                "direction": direction(objective),
                "swapped_direction": direction(other),
                "optimum_difference": optimum_gap(objective, other),
                "gradient_difference": gradient_gap(objective, other),
            }
        )
    return to_columns(rows)
