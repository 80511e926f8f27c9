"""An objective's derivation, for people (`python -m pipeline objective NAME`), programs and the paper."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import sympy as sp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.objectives.catalogue import load_objective
from pipeline.objectives.checks import Check
from pipeline.objectives.formulas import Formulas, R, U, V, tidy
from pipeline.objectives.objective import Objective
from pipeline.objectives.printing import to_text, to_typst

_GIVEN: Final = ("parameters", "omega", "rho", "f", "alpha", "beta", "domain", "activation")
_ARGUMENTS: Final = {
    "omega": "r", "omega_inverse": "t", "rho": "t", "f": "u", "f_star": "t", "phi": "t", "psi": "t",
    "alpha": "t", "beta": "t", "d": "r", "activation": "v",
}  # fmt: skip
_WIDTH: Final = 110


def derivation(objective: Objective) -> dict[str, Any]:
    """Everything that follows from an entry, as plain JSON values.

    Keys: name, title, construction, citation, spec; `given` (the entry's formulas as written); `derived`
    (text in the language of objectives.yaml; None where the objective has no such thing); `computed` (the
    stable form of each loss in v); `typst` (insides of Typst equations); real_is_high; needs_lipschitz;
    equilibrium_value and equilibrium_formula; checks (name, statement, passed, value, at).
    """
    formulas = objective.formulas
    expressions = _expressions(formulas)
    domain = (formulas.domain.low, formulas.domain.high)
    return {
        "name": objective.name,
        "title": objective.title,
        "construction": objective.construction,
        "citation": objective.citation,
        "spec": dict(objective.spec),
        "given": {key: objective.spec[key] for key in _GIVEN if key in objective.spec},
        "derived": {
            "domain": [to_text(bound) for bound in domain],
            **{key: None if one is None else to_text(one) for key, one in expressions.items()},
        },
        "computed": {name: to_text(loss) for name, loss in formulas.stable_losses.items()},
        "typst": {
            "domain": f"({', '.join(to_typst(bound) for bound in domain)})",
            **{key: None if one is None else to_typst(one) for key, one in expressions.items()},
        },
        "real_is_high": objective.real_is_high,
        "needs_lipschitz": objective.needs_lipschitz,
        "equilibrium_value": objective.equilibrium_value,
        "equilibrium_formula": to_text(formulas.equilibrium_value),
        "checks": [asdict(check) for check in objective.checks],
    }


def _expressions(formulas: Formulas) -> dict[str, sp.Expr | None]:
    t = formulas.t
    raw = {
        "omega": (formulas.omega, R),
        "omega_inverse": (formulas.omega_inverse, t),
        "rho": (None if formulas.omega is None else sp.diff(formulas.psi, t), t),
        "f": (formulas.f, U),
        "f_star": (formulas.f_star, t),
        "phi": (formulas.phi, t),
        "psi": (formulas.psi, t),
        "alpha": (formulas.alpha, t),
        "beta": (formulas.beta, t),
        "d": (formulas.divergence, R),
        "activation": (formulas.activation, V),
    }
    # d is already in its best form: another pass would only reorder the constant that makes d(1) = 0.
    return {key: one if one is None or key in ("d", "f") else tidy(one, x) for key, (one, x) in raw.items()}


def print_objective(name: str, as_json: bool, path: Path) -> None:
    """Print the derivation of the entry `name` of the file `path`.

    Raises:
        UserError: no such entry (the nearest name is given), or an entry that does not hold.
    """
    objective = load_objective(name, path)
    facts = derivation(objective)
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    # Width: a pipe or a file has none of its own, and a narrow one would cut formulas.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_WIDTH)
    console.print(Text(f"{facts['title']} ({name})", style="bold"), facts["construction"].replace("_", " "))
    console.print(facts["citation"])
    _section(console, "Given", _given_rows(facts["given"]))
    _section(console, "Derived", _derived_rows(facts))
    _section(console, "Losses, as computed from the raw output v", _computed_rows(facts["computed"]))
    console.print()
    console.print(_checks_table(objective.checks))


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="cyan", justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for left, right in rows:
        table.add_row(left, Text(right))
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _given_rows(given: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, value in given.items():
        if key == "domain":
            rows.append(("Omega =", f"({value[0]}, {value[1]})"))
        elif key == "parameters":
            rows += [(f"{name} =", str(number)) for name, number in value.items()]
        else:
            rows.append((f"{key}({_ARGUMENTS[key]}) =", str(value)))
    return rows or [("", "nothing but the construction: phi = t, psi = -t over 1-Lipschitz critics")]


def _derived_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    derived = facts["derived"]
    rows = [("Omega =", f"({', '.join(derived['domain'])})")]
    for key, text in derived.items():
        if key != "domain" and text is not None:
            shown = key.replace("omega_inverse", "omega^-1").replace("f_star", "f*")
            rows.append((f"{shown}({_ARGUMENTS[key]}) =", text))
    value = f"{facts['equilibrium_value']:.6g}"
    exact = facts["equilibrium_formula"]
    rows.append(("value at p = q:", value if exact == value else f"{exact} = {value}"))
    rows.append(("orientation:", f"v is high on {'real' if facts['real_is_high'] else 'fake'} data"))
    if derived["omega"] is None:
        rows.append(("omega, d:", "none; the optimum depends on p - q and the critic's class, not on q/p"))
    if facts["needs_lipschitz"]:
        rows.append(("needs:", "a Lipschitz constraint on the critic (penalty or clipping)"))
    return rows


def _computed_rows(computed: dict[str, str]) -> list[tuple[str, str]]:
    labels = {"critic_real": "critic, real:", "critic_fake": "critic, fake:", "generator": "generator:"}
    return [(labels[name], text) for name, text in computed.items()]


def _checks_table(checks: tuple[Check, ...]) -> Table:
    table = Table(title="Checks", title_style="bold", title_justify="left", box=None, padding=(0, 1))
    table.add_column("")
    table.add_column("condition", overflow="fold")
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("at", no_wrap=True)
    for check in checks:
        mark = Text("holds", style="green") if check.passed else Text("fails", style="red")
        table.add_row(mark, Text(check.statement), f"{check.value:.3g}", check.at)
    return table
