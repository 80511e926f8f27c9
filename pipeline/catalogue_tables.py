"""What follows from the formulas of the objectives that a study trains, as tables: no network, no data.

With the critic held fixed at its optimum, a sample x is moved along grad_x beta(omega(r(x))) =
s(r(x)) grad_x log r(x), so s(r) = r d/dr beta(omega(r)) is the slope that the generator feels there. Small r:
p is large against q; large r: the sample lies where the data is not.
"""

from typing import Any

import numpy as np
import sympy as sp

from pipeline.config import RunPlan
from pipeline.errors import UserError
from pipeline.objectives.formula import parse_formula

OBJECTIVE_COLUMNS = [
    *("objective", "title", "construction", "divergence", "high_on", "limit_at_zero", "limit_at_infinity"),
    *("vanishes_at_zero", "vanishes_at_infinity", "needs_lipschitz"),
]
SLOPE_COLUMNS = ["objective", "log10_r", "slope"]
LOG10_R = np.linspace(-6.0, 6.0, 49)
Row = tuple[Any, ...]


def trained_objectives(plans: list[RunPlan]) -> dict[str, RunPlan]:
    """Name -> a plan that trains it. A variant that sets parameters of its own has an objective of its own.

    Of the variants of one entry of objectives.yaml, the one named like it (else the first) keeps the entry's
    name, and so do all with the same formulas; any other gets `ENTRY_as_VARIANT`.
    """
    found: dict[str, RunPlan] = {}
    for plan in sorted(plans, key=lambda plan: plan.variant != plan.objective):
        found.setdefault(objective_name(plan, found), plan)
    order = [objective_name(plan, found) for plan in plans]
    return {name: found[name] for name in dict.fromkeys(order)}


def objective_name(plan: RunPlan, known: dict[str, RunPlan]) -> str:
    """The name under which the plan's objective stands among the `known` ones."""
    owner = known.get(plan.objective)
    same = owner is None or owner.objective_spec == plan.objective_spec
    return plan.objective if same else f"{plan.objective}_as_{plan.variant}"


def objective_rows(derivations: dict[str, dict[str, Any]]) -> list[Row]:
    """Rows (OBJECTIVE_COLUMNS); None where nothing was found, or where there is no such thing."""
    rows = []
    for name, facts in derivations.items():
        analysis = facts["analysis"]
        divergence = analysis["divergence"] or {}
        limits = analysis["limits"] or {"zero": {}, "infinity": {}}
        ends = (limits["zero"], limits["infinity"])
        rows.append(
            (
                name,
                facts["title"],
                facts["construction"],
                divergence.get("name"),
                "real" if facts["real_is_high"] else "fake",
                *(end.get("value") for end in ends),
                # Where the limit was not found, nothing is said.
                *(end.get("vanishes") if end.get("value") is not None else None for end in ends),
                facts["needs_lipschitz"],
            )
        )
    return rows


def slope_rows(derivations: dict[str, dict[str, Any]]) -> list[Row]:
    """Rows (SLOPE_COLUMNS): s(r) at r = 10**-6 ... 10**6, from its formula; none without a formula.

    Raises UserError for a slope that is not a number somewhere.
    """
    r = sp.Symbol("r", positive=True)
    rows: list[Row] = []
    for name, facts in derivations.items():
        slope = facts["analysis"]["slope"]
        if slope is None:
            continue
        where = f"study.json: objectives.{name}.analysis.slope"
        formula = parse_formula(slope["formula"], {"r": r}, where)
        # float64 cancels in forms like log(1 + r) - log(r) at either end.
        for exponent in LOG10_R:
            value = sp.N(formula.subs(r, sp.Rational(10) ** sp.nsimplify(exponent)), 15, maxn=60)
            if not value.is_Float and not value.is_Integer and not value.is_zero:
                raise UserError(f"{where}: {slope['formula']} is {value} at r = 10**{exponent:g}")
            rows.append((name, float(exponent), float(value)))
    return rows
