"""`python -m pipeline objective`: an objective by its name or its formulas, derived, shown, drawn, added."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from pipeline.errors import UserError, unknown
from pipeline.objectives.adding import add_entry, check_name
from pipeline.objectives.analysis import analyse
from pipeline.objectives.catalogue import load_objectives, objective_from_spec, read_entries, with_parameters
from pipeline.objectives.curves import check_plot_path, write_curves
from pipeline.objectives.objective import Objective
from pipeline.objectives.report import derivation
from pipeline.objectives.terminal import Script, open_console, print_derivation

# The formulas that make a construction: all of the first, any of the second.
_FAMILIES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "f_divergence": (("f",), ()),
    "direct": (("phi", "psi"), ("omega",)),
    "likelihood_ratio": (("omega", "rho"), ()),
}
_WAYS: Final = "NAME, or --omega and --rho, or --f, or --phi and --psi, or --all"
_TABLE_WIDTH: Final = 190


@dataclass(frozen=True)
class Request:
    """What was asked for: options that were not given are None. `formulas` maps keys of an entry to text."""

    name: str | None = None
    formulas: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    citation: str | None = None
    title: str | None = None
    plot: Path | None = None
    add: str | None = None
    as_json: bool = False
    show_all: bool = False


def answer(request: Request, path: Path) -> None:
    """Derive what was asked for and print it; `path` is objectives.yaml. Raises UserError."""
    if request.show_all:
        _refuse_with_all(request)
        _print_all(path, request.as_json)
        return
    if request.plot is not None:
        check_plot_path(request.plot)
    spec = _spec(request, path)
    if request.add is not None:
        if "citation" not in spec:
            raise UserError('--add needs --citation "...": where the objective was published')
        check_name(request.add, path)
    where = "command line" if request.name is None or request.parameters else str(path)
    label = request.add or request.name or "custom"
    objective = objective_from_spec(label, {"citation": "no citation given", **spec}, where)
    if request.as_json:
        print(json.dumps(derivation(objective), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_derivation(objective)
    notes = []
    if request.plot is not None:
        write_curves(objective, request.plot)
        notes.append(f"curves: {request.plot}")
    if request.add is not None:
        add_entry(path, request.add, spec)
        notes.append(f"added to {path}: {request.add}")
    # With --json, standard output is the JSON and nothing else.
    for note in notes:
        print(note, file=sys.stderr if request.as_json else sys.stdout)


def _refuse_with_all(request: Request) -> None:
    others = [request.name, request.citation, request.title, request.plot, request.add]
    if any(other is not None for other in others) or request.formulas or request.parameters:
        raise UserError("--all prints the whole catalogue; only --json may stand beside it")


def _spec(request: Request, path: Path) -> dict[str, Any]:
    """The entry that the request describes."""
    words = {"citation": request.citation, "title": request.title}
    extra = {key: value for key, value in words.items() if value is not None}
    values = _parameters(request.parameters)
    if request.name is None:
        spec = _spec_of_formulas(request.formulas)
        return {**spec, **({"parameters": values} if values else {}), **extra}
    if request.formulas:
        given = ", ".join(f"--{key}" for key in request.formulas)
        raise UserError(
            f"objective {request.name}: NAME and {given} exclude each other; beside NAME: --parameter, "
            "--title, --citation, --plot, --json, --add"
        )
    entries = read_entries(path)
    if request.name not in entries:
        raise unknown("objective", request.name, entries, str(path))
    entry = entries[request.name]
    if not isinstance(entry, dict):
        raise UserError(f"{path}: {request.name}: a mapping is expected, with the key construction")
    return {**with_parameters(entry, values, f"{path}: {request.name}"), **extra}


def _spec_of_formulas(formulas: Mapping[str, str]) -> dict[str, Any]:
    """The construction is the one whose formulas were given."""
    core = [key for key in formulas if any(key in needed for needed, _ in _FAMILIES.values())]
    if not core:
        besides = f" ({', '.join(f'--{key}' for key in formulas)} alone makes none)" if formulas else ""
        raise UserError(f"objective: which one?{besides} Give {_WAYS}")
    construction = "likelihood_ratio"
    if "f" in core:
        construction = "f_divergence"
    elif "phi" in core or "psi" in core:
        construction = "direct"
    needed, optional = _FAMILIES[construction]
    for key in core:
        if key not in (*needed, *optional):
            raise UserError(f"objective: --{key} cannot stand beside --{needed[0]}; give {_WAYS}")
    for key in needed:
        if key not in core:
            given = next(one for one in needed if one in core)
            raise UserError(f"objective: --{given} needs --{key}; give {_WAYS}")
    spec: dict[str, Any] = {"construction": construction}
    for key, text in formulas.items():
        spec[key] = _domain(text) if key == "domain" else text
    return spec


def _domain(text: str) -> list[str | int]:
    """`[-oo, oo]`, `(0, 1)` or `0 1` as two bounds."""
    inner = text.strip()
    if inner[:1] in ("[", "(") and inner[-1:] in ("]", ")"):
        inner = inner[1:-1]
    bounds = inner.split(",") if "," in inner else inner.split()
    if len(bounds) != 2 or not all(bound.strip() for bound in bounds):
        raise UserError(f'--domain {text!r}: two bounds are expected, as in "[-oo, oo]" or "[0, 1]"')
    return [_integer(bound.strip()) for bound in bounds]


def _parameters(texts: tuple[str, ...]) -> dict[str, str | int]:
    values: dict[str, str | int] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UserError(f"--parameter {text!r}: a name and a number are expected, as in --parameter a=2")
        if name in values:
            raise UserError(f"--parameter {name}: given twice")
        values[name] = _integer(value)
    return values


def _integer(text: str) -> str | int:
    """As YAML reads it: `0` is a number there, `1/2` a text."""
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,11})", text) else text


def _print_all(path: Path, as_json: bool) -> None:
    objectives = load_objectives(path).values()
    if as_json:
        facts = [derivation(objective) for objective in objectives]
        print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))
        return
    script, console = Script.of_terminal(), open_console(_TABLE_WIDTH)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    names = f"{script.name('omega')}(r)", "d(r)", "divergence"
    for column in ("objective", "construction", *names, "vanishes at", "high on"):
        table.add_column(column, overflow="fold", no_wrap=column in ("objective", "vanishes at", "high on"))
    for objective in objectives:
        table.add_row(*(Text(cell) for cell in _row(objective, script)))
    console.print(table)
    console.print(
        script.sentence("\nvanishes at: where the generator's slope s(r) goes to 0, r = q/p -> 0 or -> oo (a "
        "sample where p is small against q); ~ marks a limit that was computed and not derived")
    )  # fmt: skip


def _row(objective: Objective, script: Script) -> tuple[str, ...]:
    found = analyse(objective.formulas)
    construction = objective.construction.replace("_", " ")
    side = "real" if objective.real_is_high else "fake"
    if found is None:
        return objective.name, construction, f"none: {objective.formulas.why_no_omega}", "", "", "", side
    ends = (("0", found.zero), ("oo", found.infinity))
    vanishing = [("" if end.exact else "~") + script.sentence(at) for at, end in ends if end.vanishes]
    unknown_ends = [f"{script.sentence(at)}?" for at, end in ends if end.value is None]
    known = found.divergence
    return (
        objective.name,
        construction,
        script.formula(objective.formulas.omega),
        script.formula(objective.formulas.divergence),
        "unnamed" if known is None else script.sentence(known.text),
        ", ".join(vanishing + unknown_ends) or "-",
        side,
    )
