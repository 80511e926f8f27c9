"""Settings files -> frozen, checked models: the only reader of YAML.

Every model forbids unknown keys: a misspelt key is an error that names the nearest known one, never a
silent default.
"""

import json
import types
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError, unknown


class Settings(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=Settings)


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; a study must not."""


def _unique_mapping(loader: _UniqueKeys, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a plain word", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_text(path: Path) -> str:
    """The file as UTF-8 text. Raises UserError when it is missing or not text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; in the project's folder, `python -m pipeline plan` writes plan/"
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from None


def read_yaml(path: Path) -> Any:
    """The file's content. Raises UserError on a missing file, broken YAML and a key that stands twice."""
    text = read_text(path)
    try:
        # A SafeLoader underneath: no tag can construct an object.
        return yaml.load(text, Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{place}: not valid YAML: {problem}") from None


def read_model(model: type[M], path: Path) -> M:
    """A settings file that a stage wrote. Raises UserError when it is missing or was changed by hand."""
    text = read_text(path)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise UserError(
            f"{path}: not what `plan` writes ({_problem(error, model, {})[1]}); run the plan stage again"
        ) from None


def write_model(model: Settings, path: Path) -> None:
    """Sorted, indented JSON, so that equal settings give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(model.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def validate(model: type[M], raw: Any, where: str) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        key, message = _problem(error, model, raw)
        raise UserError(f"{where}: {key}: {message}") from None


def _problem(error: ValidationError, model: type[Settings], raw: Any) -> tuple[str, str]:
    """The first problem as (dotted key, one line); an unknown key names its nearest neighbour."""
    problems = error.errors()
    # An unknown key tells more than the missing one it was meant to be.
    first = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    location = [part for part in first["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        return key, str(
            unknown("key", str(location[-1]), _known_keys(model, location[:-1]), "it")
        ).removeprefix("it: ")
    value = first.get("input")
    # YAML has lists; that they become tuples is nobody's business.
    message = first["msg"].removeprefix("Value error, ").replace("tuple", "list")
    told = first["type"] == "missing" or isinstance(value, dict) or ", not " in message
    return key, message[0].lower() + message[1:] + ("" if told else f", not {value!r}")


def _known_keys(annotation: Any, location: list[Any]) -> set[str]:
    """The field names allowed at a place in the settings' tree."""
    models = [annotation] if isinstance(annotation, type) and issubclass(annotation, Settings) else []
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_known_keys(argument, location) for argument in arguments))
    if origin is Annotated:
        return _known_keys(arguments[0], location)
    if origin in (dict, tuple):
        return _known_keys(arguments[-1] if origin is dict else arguments[0], location[1:])
    if not models:
        return set()
    model = models[0]
    if not location:
        return set(model.model_fields)
    if location[0] in model.model_fields:
        field = model.model_fields[location[0]]
        return _known_keys(field.annotation, location[1:])
    kind = model.model_fields.get("kind")
    # A discriminated union puts the tag into the location: follow only the model that has it.
    return (
        _known_keys(model, location[1:])
        if kind and location[0] in typing.get_args(kind.annotation)
        else set()
    )
