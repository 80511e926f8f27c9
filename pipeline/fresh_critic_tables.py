"""What reports/results keeps of the fresh critics: each seed's decay, and the course of the gradient.

A norm below SMALLEST counts as SMALLEST: past it float32 arithmetic decides, not the objective.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import StudyPlan
from pipeline.errors import UserError
from pipeline.plan import FRESH_CRITICS

SMALLEST = 1e-30
SEED_COLUMNS = ["benchmark", "generator_updates", "variant", "seed", "decay_decades", "accuracy"]
COURSE_COLUMNS = [
    *("benchmark", "generator_updates", "variant", "critic_updates", "seeds"),
    *("gradient_norm", "gradient_norm_low", "gradient_norm_high", "relative_deviation"),
]
_KEYS = ["benchmark", "generator_updates", "variant"]
Row = tuple[Any, ...]


def read_fresh_critics(study: StudyPlan, root: Path) -> pd.DataFrame:
    """The measurements on every benchmark. Raises UserError when a file is missing or corrupt."""
    tables = []
    for benchmark in study.of_every_variant:
        path = root / FRESH_CRITICS / benchmark / "fresh_critics.csv"
        again = f"run the stage fresh_critics@{benchmark}"
        try:
            tables.append(pd.read_csv(path))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); {again}") from None
        except ValueError as error:
            raise UserError(f"{path}: corrupt ({' '.join(str(error).split())[:200]}); {again}") from None
    table = pd.concat(tables, ignore_index=True)
    return table.assign(gradient_norm=table.gradient_norm.clip(lower=SMALLEST))


def seed_rows(table: pd.DataFrame) -> list[Row]:
    """SEED_COLUMNS, one row per saved generator, variant and seed whose gradient was finite to the end.

    decay_decades = log10 of the norm before the first critic update over that after the last; accuracy is the
    trained critic's.
    """
    last = table.critic_updates.max()
    start = table[table.critic_updates == 0].set_index([*_KEYS, "seed"]).gradient_norm
    rows = []
    for row in table[table.critic_updates == last].itertuples(index=False):
        key = (row.benchmark, row.generator_updates, row.variant, row.seed)
        rows.append((*key, math.log10(start[key] / row.gradient_norm), row.accuracy))
    return rows


def course_rows(table: pd.DataFrame) -> list[Row]:
    """COURSE_COLUMNS: median and quartiles over seeds of the norm, median of the relative deviation."""
    rows = []
    for key, group in table.groupby([*_KEYS, "critic_updates"], sort=False):
        norm, deviation = (group[name].to_numpy() for name in ("gradient_norm", "relative_deviation"))
        low, middle, high = np.quantile(norm, [0.25, 0.5, 0.75])
        known = deviation[np.isfinite(deviation)]
        rows.append((*key, len(group), middle, low, high, np.median(known) if len(known) else math.nan))
    return rows
