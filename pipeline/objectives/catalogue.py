"""objectives.yaml to objectives: names, keys and types are checked here, the mathematics in the building."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sympy.polys.polyerrors import BasePolynomialError

from pipeline.errors import UserError, unknown
from pipeline.objectives.constructions import CONSTRUCTIONS
from pipeline.objectives.objective import Objective
from pipeline.objectives.solving import time_limit
from pipeline.settings import read_yaml

MAX_SECONDS: Final = 60.0  # for one objective
_SYMPY_GIVES_UP: Final = (BasePolynomialError, NotImplementedError)


def load_objectives(path: str | Path = "objectives.yaml") -> dict[str, Objective]:
    """Every objective of the file, in its order, derived and checked.

    Raises:
        UserError: broken YAML, an unknown or missing key, a formula outside the language, a failed check; one
            line with the file, the entry and the field.
    """
    return {name: objective_from_spec(name, spec, str(path)) for name, spec in read_entries(path).items()}


def load_objective(name: str, path: str | Path = "objectives.yaml") -> Objective:
    """One objective of the file, without deriving the others. Raises UserError as `load_objectives`."""
    entries = read_entries(path)
    if name not in entries:
        raise unknown("objective", name, entries, str(path))
    return objective_from_spec(name, entries[name], str(path))


def objective_from_spec(name: str, spec: Mapping[str, Any], where: str = "") -> Objective:
    """The objective that an entry of objectives.yaml, or `Objective.spec`, describes. Raises UserError."""
    place = f"{where}: {name}" if where else name
    if not isinstance(spec, Mapping):
        raise UserError(f"{place}: a mapping is expected, with the key construction")
    keys = dict(spec)
    if "construction" not in keys:
        raise UserError(f"{place}: the key construction is missing; known: {', '.join(CONSTRUCTIONS)}")
    construction = keys.pop("construction")
    if not isinstance(construction, str) or construction not in CONSTRUCTIONS:
        raise unknown("construction", str(construction), CONSTRUCTIONS, place)
    build = CONSTRUCTIONS[construction]
    options = {
        key: option
        for key, option in inspect.signature(build).parameters.items()
        if key not in ("name", "where")
    }
    for key in keys:
        if key not in options:
            raise unknown("key", str(key), ["construction", *options], place)
    for key, option in options.items():
        if option.default is inspect.Parameter.empty and key not in keys:
            raise UserError(f"{place}: the key {key} is missing; {construction} needs it")
    for key in ("citation", "title"):
        if key in keys and not isinstance(keys[key], str):
            raise UserError(f"{place}.{key}: a text is expected, not {type(keys[key]).__name__}")
    try:
        with time_limit(MAX_SECONDS):
            return build(name, where=where, **keys)
    except UserError:
        raise
    except (*_SYMPY_GIVES_UP, ArithmeticError, RecursionError, TimeoutError, TypeError, ValueError) as error:
        # What SymPy raises on formulas that it can neither solve nor compare is of many kinds.
        reason = " ".join(str(error).split()) or type(error).__name__
        if reason.startswith("Cannot convert"):
            reason = "a value came out that is not a real number"
        raise UserError(f"{place}: the formulas could not be worked out: {reason}") from error


def with_parameters(
    spec: Mapping[str, Any], values: Mapping[str, str | int | float], where: str = ""
) -> dict[str, Any]:
    """The entry with its named parameters set to other `values`: what the objective is then built from.

    Raises:
        UserError: a name that the entry does not have as a parameter.
    """
    known = dict(spec.get("parameters") or {})
    place = f"{where}: " if where else ""
    for name in values:
        if not known:
            raise UserError(f"{place}parameter {name!r}: the objective has no parameters")
        if name not in known:
            raise UserError(f"{place}unknown parameter {name!r}; known: {', '.join(known)}")
    return {**spec, "parameters": {**known, **values}} if values else dict(spec)


def read_entries(path: str | Path) -> dict[str, Any]:
    """The raw entries of the file by name. Raises UserError."""
    raw = read_yaml(Path(path))
    if not isinstance(raw, dict) or not raw:
        raise UserError(f"{path}: a mapping from names to objectives is expected, with at least one entry")
    for name in raw:
        if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.islower():
            raise UserError(f"{path}: {name!r} is no name for an objective; allowed: a-z, 0-9 and _")
    return raw
