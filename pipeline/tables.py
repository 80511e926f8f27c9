"""CSV files of rows: equal rows give equal bytes."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.data.files import write_atomic


def write_csv(rows: list[tuple[Any, ...]], columns: list[str], path: Path, digits: int = 9) -> None:
    """Numbers with 9 digits, more than float32 holds; NaN as `nan`. Equal rows give equal bytes."""
    table = pd.DataFrame(rows, columns=columns)
    text = table.to_csv(index=False, float_format=f"%.{digits}g", na_rep="nan", lineterminator="\n")
    write_atomic(path, text.encode())
