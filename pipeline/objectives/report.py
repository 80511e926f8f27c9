"""An objective's derivation as plain values: for the paper, for programs, and what the terminal shows."""

from dataclasses import asdict
from typing import Any, Final

import sympy as sp

from pipeline.objectives.analysis import Analysis, analyse, as_dict
from pipeline.objectives.formulas import Formulas, R, U, V, tidy
from pipeline.objectives.objective import Objective
from pipeline.objectives.printing import to_text, to_typst

GIVEN: Final = (
    *("parameters", "omega", "rho", "f", "phi", "psi", "alpha", "beta", "reference", "domain", "activation"),
)


def derivation(objective: Objective) -> dict[str, Any]:
    """Everything that follows from an entry, as plain JSON values.

    Keys: name, title, construction, citation, spec; `given` (the entry's formulas as written); `derived`
    (text in the language of objectives.yaml; None where the objective has no such thing); `computed` (the
    stable form of each loss in v, or in delta); `typst` (insides of Typst equations); `quadrature` (which of
    the formulas hold an integral without a closed form, so that their values are computed by quadrature);
    `analysis` (see `pipeline.objectives.analysis`); real_is_high; needs_lipschitz; is_paired; needs_distance;
    why_no_omega; equilibrium_value and equilibrium_formula; checks (name, statement, passed, value, at).
    """
    formulas = objective.formulas
    expressions = formulas_by_name(formulas)
    found = analyse(formulas)
    domain = (formulas.domain.low, formulas.domain.high)
    return {
        "name": objective.name,
        "title": objective.title,
        "construction": objective.construction,
        "citation": objective.citation,
        "spec": dict(objective.spec),
        "given": {key: objective.spec[key] for key in GIVEN if key in objective.spec},
        "derived": {
            "domain": [to_text(bound) for bound in domain],
            **{key: None if one is None else to_text(one) for key, one in expressions.items()},
        },
        "computed": {name: to_text(loss) for name, loss in formulas.stable_losses.items()},
        "typst": {
            "domain": f"({', '.join(to_typst(bound) for bound in domain)})",
            **{key: None if one is None else to_typst(one) for key, one in expressions.items()},
        },
        "quadrature": by_quadrature(expressions, found),
        "analysis": as_dict(found),
        "real_is_high": objective.real_is_high,
        "needs_lipschitz": objective.needs_lipschitz,
        "is_paired": objective.is_paired,
        "needs_distance": objective.needs_distance,
        "why_no_omega": formulas.why_no_omega,
        "equilibrium_value": objective.equilibrium_value,
        "equilibrium_formula": to_text(formulas.equilibrium_value),
        "checks": [asdict(check) for check in objective.checks],
    }


def formulas_by_name(formulas: Formulas) -> dict[str, sp.Expr | None]:
    """Every formula of the objective in the form that reads best; None where it has no such thing."""
    t = formulas.t
    paired = formulas.reference is not None
    raw = {
        "omega": (formulas.omega, R),
        "omega_inverse": (formulas.omega_inverse, t),
        "rho": (None if formulas.omega is None else sp.diff(formulas.psi, t), t),
        "f": (formulas.f, U),
        "f_star": (formulas.f_star, t),
        "phi": (formulas.phi, t),
        "psi": (None if paired else formulas.psi, t),
        "alpha": (None if paired else formulas.alpha, t),
        "beta": (formulas.beta, t),
        "d": (formulas.divergence, R),
        "activation": (None if paired else formulas.activation, V),
    }
    # d is already in its best form: another pass would only reorder the constant that makes d(1) = 0.
    return {key: one if one is None or key in ("d", "f") else tidy(one, x) for key, (one, x) in raw.items()}


def by_quadrature(expressions: dict[str, sp.Expr | None], found: Analysis | None) -> list[str]:
    """The names of the formulas that hold an integral; B for the divergence of the fixed critic."""
    names = [key for key, one in expressions.items() if one is not None and one.has(sp.Integral)]
    return [*names, "B"] if found is not None and found.frozen.has(sp.Integral) else names
