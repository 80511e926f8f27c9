"""The tables that claims are judged by, and nothing else: a missing number is an error with its name."""

import csv
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


class Results:
    """The tables under reports/results. Raises UserError, with file and value, for whatever is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = cache(self._read_rows)

    def rows(self, name: str, *columns: str) -> list[dict[str, str]]:
        """Every row of a CSV file; `columns` must exist."""
        header, rows = self._read(name)
        for column in columns:
            if column not in header:
                raise UserError(
                    f"{self.folder / name}: column {column!r} is missing; has {', '.join(header)}"
                )
        return rows

    def number(self, name: str, column: str, **where: str) -> float:
        """The one number in `column` of the row that `where` picks."""
        rows = self.rows(name, column, *where)
        found = [row for row in rows if all(row[key] == value for key, value in where.items())]
        wanted = " and ".join(f"{key} {value!r}" for key, value in where.items())
        if len(found) != 1:
            raise UserError(f"{self.folder / name}: {len(found)} rows with {wanted}, one is needed")
        return self.to_number(found[0][column], name, f"{column} where {wanted}")

    def numbers(self, name: str, column: str) -> list[float]:
        """A whole column."""
        return [self.to_number(row[column], name, column) for row in self.rows(name, column)]

    def to_number(self, text: str, name: str, what: str) -> float:
        """`text` as a finite number."""
        try:
            value = float(text)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UserError(f"{self.folder / name}: {what}: a number is missing (found {text!r})")
        return value

    def study(self) -> dict[str, Any]:
        """study.json."""
        path = self.folder / "study.json"
        try:
            study: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise no_file(path) from None
        except ValueError as error:
            raise UserError(f"{path}: not valid JSON ({error})") from None
        return study

    def _read_rows(self, name: str) -> tuple[list[str], list[dict[str, str]]]:
        path = self.folder / name
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                rows = list(reader)
        except FileNotFoundError:
            raise no_file(path) from None
        return list(reader.fieldnames or []), rows


def no_file(path: Path) -> UserError:
    """The error for a table that is not there."""
    return UserError(f"{path}: no such file; the study writes it (`make study`), and git has it")
