"""Files that arrive whole or not at all, and data folders that prove their content.

A data folder holds its files and a manifest.json with the sha256 of each. Loading compares them, so a
truncated or edited file is an error and never a result.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

MANIFEST = "manifest.json"


def write_atomic(path: Path, content: bytes) -> None:
    """Write through a neighbouring file and a rename: a killed process leaves the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def json_bytes(content: Any) -> bytes:
    """Sorted, indented JSON: equal content gives equal bytes. NaN and infinity are refused (ValueError)."""
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def write_folder(folder: Path, files: dict[str, bytes], about: dict[str, Any]) -> None:
    """Write `files` and then the manifest {**about, "files": {name: sha256}}."""
    for name, content in sorted(files.items()):
        write_atomic(folder / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_atomic(folder / MANIFEST, json_bytes({**about, "files": digests}))


def read_verified(folder: Path, name: str) -> bytes:
    """The content of a file that the folder's manifest vouches for.

    Raises UserError when the file or the manifest is missing or broken, and when the sha256 differs.
    """
    again = f"run the stage fetch@{folder.name} again"
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        expected = manifest["files"][name]
        content = (folder / name).read_bytes()
    except OSError as error:
        missing = error.filename or folder
        raise UserError(f"{missing}: cannot be read ({error.strerror}); {again}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder / MANIFEST}: does not list {name}, or is not valid JSON; {again}") from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise UserError(
            f"{folder / name}: corrupt: its sha256 is not the one in {folder / MANIFEST}; {again}"
        )
    return content
