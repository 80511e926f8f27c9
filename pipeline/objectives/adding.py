"""A new entry of objectives.yaml, appended: what the file held before stays byte for byte."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.errors import UserError
from pipeline.objectives.catalogue import objective_from_spec, read_entries

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
# Text that YAML reads back as the same text without quotes: no number, date, comment or mark begins so.
_PLAIN: Final = re.compile(r"-?[A-Za-z(][A-Za-z0-9 +*/()._-]*")
_WORDS: Final = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def check_name(name: str, path: Path) -> None:
    """Raises UserError for a name that the file has, or that no entry may have."""
    if not _NAME.fullmatch(name):
        raise UserError(f"--add {name!r}: no name for an objective; a letter a-z, then a-z, 0-9 and _")
    if name in read_entries(path):
        raise UserError(f"--add {name}: {path} has an objective of this name; choose another")


def add_entry(path: Path, name: str, spec: Mapping[str, Any]) -> None:
    """Append the entry; the file is replaced only after the new one was read back and the entry built.

    Raises:
        UserError: a bad or known name, an entry that does not hold, a file that cannot be written or that
            would no longer load; the file is then as it was.
    """
    check_name(name, path)
    before = read_entries(path)
    old = path.read_bytes()
    line = b"\r\n" if b"\r\n" in old else b"\n"
    gap = line if old.endswith(b"\n") else 2 * line
    new = old + gap + entry_text(name, spec).encode().replace(b"\n", line)
    target = path.resolve()
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            file.write(new)
        candidate = Path(file.name)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    try:
        _prove(candidate, path, before, name, spec)
        shutil.copymode(target, candidate)
        os.replace(candidate, target)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        candidate.unlink(missing_ok=True)
    try:
        _prove(path, path, before, name, spec)
    except UserError:
        target.write_bytes(old)
        raise


def entry_text(name: str, spec: Mapping[str, Any]) -> str:
    """The entry as a hand would write it: plain text where YAML reads it back, quotes elsewhere."""
    order = ("title", "construction", "parameters")
    keys = [*(key for key in order if key in spec), *(k for k in spec if k not in (*order, "citation"))]
    lines = [f"{name}:", *(f"  {key}: {_value(spec[key])}" for key in keys)]
    if "citation" in spec:
        lines.append(f"  citation: {json.dumps(spec['citation'], ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value == value.strip():
        return json.dumps(value) if value.lower() in _WORDS else value
    return json.dumps(value, ensure_ascii=False)


def _prove(file: Path, path: Path, before: dict[str, Any], name: str, spec: Mapping[str, Any]) -> None:
    """The file loads, with the old entries as they were and the new one as given. Raises UserError."""
    try:
        after = read_entries(file)
    except UserError as error:
        told = str(error).replace(str(file), str(path))
        raise UserError(f"{path}: unchanged, it would no longer load with {name!r} added: {told}") from None
    if after != {**before, name: dict(spec)}:
        raise UserError(f"{path}: unchanged, {name!r} could not be written so that it reads back as given")
    objective_from_spec(name, after[name], str(path))
