"""The CSV files of `theory`: nine significant digits or fewer, equal bytes for equal numbers."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path("reports/results/theory")
DIGITS = 9


def to_columns(rows: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Rows as columns. Raises ValueError for no rows, KeyError for a row that lacks a key of the first."""
    if not rows:
        raise ValueError("a table without rows has no columns")
    return {column: [row[column] for row in rows] for column in rows[0]}


def write_table(root: Path, name: str, columns: Mapping[str, Sequence[object]], digits: int = DIGITS) -> Path:
    """Write root/reports/results/theory/NAME.csv, one row per index of the columns.

    Floats are written with `digits` significant digits, everything else as text; a number that is not known,
    nan or None, is an empty cell. Raises ValueError for columns of unequal length and for an infinite number.
    """
    path = root / FOLDER / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value, digits, name) for value in row])
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def _cell(value: object, digits: int, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        raise ValueError(f"{name}.csv: an infinite number; what float64 cannot hold is nan")
    return "" if math.isnan(value) else f"{value:.{digits}g}"
