"""The CSV files of `theory`: nine significant digits, equal bytes for equal numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path("reports/results/theory")


def write_table(root: Path, name: str, columns: Mapping[str, Sequence[object]]) -> Path:
    """Write root/reports/results/theory/NAME.csv, one row per index of the columns.

    Floats are written with %.9g, everything else as text. Raises ValueError for columns of unequal length.
    """
    path = root / FOLDER / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(_cell(value) for value in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n", encoding="utf-8")
    return path


def _cell(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)
