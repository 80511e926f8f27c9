"""A derivation on the terminal, as mathematics: given, derived, divergence, generator, losses, checks.

Greek letters and superscripts where the terminal's encoding has them, the language of objectives.yaml else.
"""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import sympy as sp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.objectives.analysis import Analysis, Limit, analyse
from pipeline.objectives.checking import Check
from pipeline.objectives.divergences import Match
from pipeline.objectives.formulas import R
from pipeline.objectives.objective import Objective
from pipeline.objectives.printing import to_text, to_unicode
from pipeline.objectives.report import GIVEN, by_quadrature, formulas_by_name

WIDTH: Final = 110  # of a pipe or a file, which has none of its own
_ARGUMENTS: Final = {
    "omega": "r", "omega_inverse": "t", "rho": "t", "f": "u", "f_star": "t", "phi": "t", "psi": "t",
    "alpha": "t", "beta": "t", "d": "r", "activation": "v",
}  # fmt: skip
_GREEK: Final = {
    "omega": "ω", "omega_inverse": "ω⁻¹", "rho": "ρ", "phi": "φ", "psi": "ψ", "alpha": "α", "beta": "β",
    "Omega": "Ω", "f_star": "f*", "delta": "δ", "activation": "activation",
}  # fmt: skip
_PLAIN: Final = {"omega_inverse": "omega^-1", "f_star": "f*"}
_SIGNS: Final = {
    r"->": "→", r"\boo\b": "∞", r"\|\|": "‖", r"\bchi2\b": "χ²", r"\bH2\b": "H²", r"\^2\b": "²",
    r"\bint\b": "∫", r"\bsqrt\b": "√", r"''": "″", r"\balpha\b": "α", r"\bomega\b": "ω",
}  # fmt: skip
_LOSSES: Final = {
    "critic_real": "critic, real:", "critic_fake": "critic, fake:", "critic": "critic:",
    "generator": "generator:",
}  # fmt: skip
Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Script:
    """How names, formulas and sentences are written: with Unicode's mathematics or in ASCII."""

    unicode: bool

    @classmethod
    def of_terminal(cls) -> "Script":
        try:
            "".join([*_GREEK.values(), *_SIGNS.values(), "√∫²"]).encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(unicode=False)
        return cls(unicode=True)

    @property
    def formula(self) -> Callable[[sp.Expr], str]:
        return to_unicode if self.unicode else to_text

    def name(self, name: str) -> str:
        return (_GREEK if self.unicode else _PLAIN).get(name, name)

    def sentence(self, text: str) -> str:
        if self.unicode:
            for plain, sign in _SIGNS.items():
                text = re.sub(plain, sign, text)
        return text


def open_console(width: int = WIDTH) -> Console:
    """The terminal; a pipe or a file is at least `width` wide, because a narrow one would cut formulas."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=width)


def print_derivation(objective: Objective) -> None:
    """Print everything that follows from the objective."""
    console, script = open_console(), Script.of_terminal()
    found = analyse(objective.formulas)
    expressions = formulas_by_name(objective.formulas)
    heading = Text(f"{objective.title} ({objective.name})", style="bold")
    console.print(heading, objective.construction.replace("_", " "))
    console.print(objective.citation)
    _section(console, "Given", _given(objective, script))
    _section(console, "Derived", _derived(objective, expressions, script))
    if found is None:
        rows = [("none:", objective.formulas.why_no_omega)]
        _section(console, "Divergence", rows)
    else:
        _section(console, "Divergence", _divergence(found, script))
        rows = _generator(found, objective.formulas.is_step, script)
        _section(console, "Generator, with the critic held fixed", rows)
    raw = script.formula(objective.formulas.raw)
    _section(console, f"Losses, as computed from {_raw_name(raw)}", _losses(objective, script))
    quadrature = by_quadrature(expressions, found)
    if quadrature:
        names = ", ".join(script.name(name) for name in quadrature)
        console.print(
            f"\nBy quadrature: {names}. SymPy found no integral in closed form: derivatives are exact, "
            "values are computed."
        )
    console.print()
    console.print(_checks_table(objective.checks, script))


def _raw_name(raw: str) -> str:
    return "the raw output v" if raw == "v" else f"{raw}, the difference of raw outputs, real - fake"


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="cyan", justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for left, right in rows:
        table.add_row(left, Text(right))
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _argument(objective: Objective, key: str, script: Script) -> str:
    if objective.is_paired and key in ("phi", "beta"):
        return script.formula(objective.formulas.t)
    return _ARGUMENTS[key]


def _given(objective: Objective, script: Script) -> Rows:
    """As written in the entry."""
    rows = []
    for key in GIVEN:
        value = objective.spec.get(key)
        if value is None:
            continue
        if key == "domain":
            rows.append((f"{script.name('Omega')} =", f"({value[0]}, {value[1]})"))
        elif key == "parameters":
            rows += [(f"{name} =", str(number)) for name, number in value.items()]
        elif key == "reference":
            rows.append(("reference:", str(value)))
        else:
            rows.append((f"{script.name(key)}({_argument(objective, key, script)}) =", str(value)))
    return rows or [("", "nothing but the construction: phi = t, psi = -t over 1-Lipschitz critics")]


def _derived(objective: Objective, expressions: dict[str, sp.Expr | None], script: Script) -> Rows:
    formulas = objective.formulas
    ends = ", ".join(script.formula(end) for end in (formulas.domain.low, formulas.domain.high))
    rows = [] if objective.is_paired else [(f"{script.name('Omega')} =", f"({ends})")]
    for key, one in expressions.items():
        if one is not None:
            rows.append((f"{script.name(key)}({_argument(objective, key, script)}) =", script.formula(one)))
    value, exact = f"{objective.equilibrium_value:.6g}", script.formula(formulas.equilibrium_value)
    rows.append(("value at p = q:", value if exact == value else f"{exact} = {value}"))
    rows.append(("orientation:", f"v is high on {'real' if objective.real_is_high else 'fake'} data"))
    if objective.needs_lipschitz:
        rows.append(("needs:", "a Lipschitz constraint on the critic (penalty or clipping)"))
    if objective.needs_distance:
        rows.append(("needs:", "the distance |x_real - x_fake| of each pair"))
    return rows


def _divergence(found: Analysis, script: Script) -> Rows:
    known = found.divergence
    if known is None:
        return [("d(r):", "none of the known divergences, nor a sum of two")]
    return _known("d(r)", known, script)


def _known(left: str, known: Match, script: Script) -> Rows:
    shift = script.formula(known.shift * (R - 1)) if known.shift != 0 else ""
    if known.name == "zero":
        return [(f"{left} =", shift or "0")]
    rows = [(script.sentence(f"int p {left} ="), script.sentence(known.text))]
    if known.name != "combination":
        rows.append(("that is:", f"{known.title}, {script.sentence(known.definition)}"))
    if shift:
        rows.append(("", f"(up to {shift}, whose integral against p is 0)"))
    return rows


def _generator(found: Analysis, is_step: bool, script: Script) -> Rows:
    rows = [("B(r) =", script.formula(found.frozen))]
    if found.frozen_divergence is not None and not found.same_as_total:
        rows += _known("B(r)", found.frozen_divergence, script)
    rows.append(("against d:", script.sentence(found.statement)))
    away = ", away from r = 1, where omega steps" if is_step else ""
    rows.append((script.sentence("s(r) = r B''(r) ="), script.formula(found.slope) + away))
    rows.append((script.sentence("r -> 0:"), _limit(found.zero, script, "large")))
    rows.append((script.sentence("r -> oo:"), _limit(found.infinity, script, "small")))
    return rows


def _limit(limit: Limit, script: Script, size: str) -> str:
    if limit.value is None:
        return "the limit of s was not found"
    arrow = script.sentence("->") if limit.exact else "is about"
    feels = f": the gradient vanishes where p is {size} against q" if limit.vanishes else ""
    return f"s {arrow} {script.formula(limit.value)}{feels}"


def _losses(objective: Objective, script: Script) -> Rows:
    losses = objective.formulas.stable_losses
    return [(_LOSSES[name], script.formula(loss)) for name, loss in losses.items()]


def _checks_table(checks: tuple[Check, ...], script: Script) -> Table:
    table = Table(title="Checks", title_style="bold", title_justify="left", box=None, padding=(0, 1))
    table.add_column("")
    table.add_column("condition", overflow="fold")
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("at", no_wrap=True)
    for check in checks:
        mark = Text("holds", style="green") if check.passed else Text("no", style="yellow")
        table.add_row(mark, Text(check.statement), f"{check.value:.3g}", check.at)
    return table
