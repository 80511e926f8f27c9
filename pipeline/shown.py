"""What reports/results keeps of logged curves and of samples: enough for the figures, and small.

Both are in git. evaluated/BENCHMARK/VARIANT/ has more steps, seeds and digits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import MixtureData, RunPlan
from pipeline.data.files import write_atomic
from pipeline.metrics.registry import CLASSIFIER, split_name
from pipeline.tables import write_csv

# Of the metrics at the checkpoints those that a figure follows, and of single seeds' final ones those that a
# claim or a label reads; summary.csv has every metric, and evaluated/ every seed of it.
FOLLOWED = ("modes_occupied", "mode_spread_ratio", "jsd", "classes_covered", "effective_classes", "fid")
KEPT_BY_SEED = (
    *("modes_covered", "modes_occupied", "largest_mode_share", "high_quality", "mode_spread_ratio", "jsd"),
    *("classes_covered", "classes_captured", "largest_class_share", "fid", "precision_k3", "recall_k3"),
    *("missed", "diverged"),
)
PROGRESS_KEYS = ["benchmark", "variant", "step"]
INTERVAL = (
    "",
    "_low",
    "_high",
)  # columns of a metric at the checkpoints: its point has the metric's own name
CURVE_KEYS = ["benchmark", "variant", "step", "seeds"]
BAND = ("", "_q25", "_q75")  # columns of a logged quantity: its median has the quantity's own name
CURVE_STEPS = 30
CURVES = ("critic_loss", "generator_gradient_norm")  # of what training logged
CURVE_DIGITS = 4
GALLERY_SEEDS = 3  # the first ones, never chosen by their result
GALLERY_POINTS, GALLERY_IMAGES = 60, 9
GREY_LEVELS = 17  # of the digits themselves
# float16: 0.1 % of a coordinate, and every grey level exactly; a sample beyond 65,504 is infinite.
SAMPLES_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("variant", pa.string()),
        ("seed", pa.int16()),
        ("index", pa.int16()),
        ("values", pa.list_(pa.float16())),
    ]
)
Row = tuple[Any, ...]


def curve_table(plan: RunPlan, table: pd.DataFrame) -> pd.DataFrame:
    """CURVE_KEYS, then median and quartiles of the CURVES over the seeds still training, per step.

    At most CURVE_STEPS steps; steps are left out, not averaged.
    """
    table = table[table["quantity"].isin(CURVES)]
    steps = np.unique(table["step"].to_numpy())
    if len(steps) > CURVE_STEPS:
        steps = steps[np.linspace(0, len(steps) - 1, CURVE_STEPS).round().astype(int)]
    chosen = table[table["step"].isin(steps)]
    if chosen.empty:
        return pd.DataFrame(columns=CURVE_KEYS)
    # `lower` and `higher` interpolate nothing, so a curve that ran off to infinity stays infinite, not NaN.
    grouped = chosen.groupby(["quantity", "step"])["value"]
    bands = (
        grouped.median(),
        grouped.quantile(0.25, interpolation="lower"),
        grouped.quantile(0.75, interpolation="higher"),
    )
    named = [band.unstack("quantity").add_suffix(end) for band, end in zip(bands, BAND, strict=True)]
    seeds = chosen.groupby("step")["seed"].nunique().rename("seeds")
    wide = pd.concat([seeds, *named], axis=1).reset_index()
    wide.insert(0, "variant", plan.variant)
    wide.insert(0, "benchmark", plan.benchmark)
    return wide


def write_curves(tables: list[pd.DataFrame], path: Path) -> None:
    """All runs below each other; the quantities in alphabetical order, empty where a run has none."""
    table = pd.concat(tables, ignore_index=True)
    quantities = sorted(set(table.columns) - set(CURVE_KEYS))
    rows = list(table[[*CURVE_KEYS, *quantities]].itertuples(index=False, name=None))
    write_csv(rows, [*CURVE_KEYS, *quantities], path, CURVE_DIGITS)


def write_progress(rows: list[Row], path: Path) -> None:
    """Rows benchmark, variant, metric, step, point, low, high -> one line per checkpoint (PROGRESS_KEYS).

    Three columns per metric, empty where the benchmark does not measure it: half the bytes of one row each.
    """
    table: dict[Row, dict[str, float]] = {}
    for benchmark, variant, metric, step, *interval in rows:
        named = {metric + end: value for end, value in zip(INTERVAL, interval, strict=True)}
        table.setdefault((benchmark, variant, step), {}).update(named)
    columns = list(dict.fromkeys(name for values in table.values() for name in values))
    lines = [(*key, *(values.get(name, np.nan) for name in columns)) for key, values in table.items()]
    frame = pd.DataFrame(lines, columns=[*PROGRESS_KEYS, *columns])
    text = frame.to_csv(index=False, float_format=f"%.{CURVE_DIGITS}g", lineterminator="\n")
    write_atomic(path, text.encode())


def is_kept_by_seed(metric: str) -> bool:
    """Whether reports/results has the values of single seeds of a final metric (its full name)."""
    name = split_name(metric)
    return name.stem in KEPT_BY_SEED and name.backbone in (None, CLASSIFIER)


def sample_rows(plan: RunPlan, rows: list[Row]) -> list[Row]:
    """Rows (SAMPLES_SCHEMA) of the first seeds: enough to see the modes; images in their own grey levels."""
    images = not isinstance(plan.setting.data, MixtureData)
    count = GALLERY_IMAGES if images else GALLERY_POINTS
    step = 255 / (GREY_LEVELS - 1)
    chosen = []
    for benchmark, variant, seed, index, values in rows:
        if seed in plan.seeds[:GALLERY_SEEDS] and index < count:
            array = np.asarray(values)
            array = np.round(array / step) * step if images else array
            with np.errstate(over="ignore"):
                chosen.append((benchmark, variant, seed, index, array.astype(np.float16)))
    return chosen


def write_samples(rows: list[Row], path: Path) -> None:
    """parquet with SAMPLES_SCHEMA; equal rows give equal bytes."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(SAMPLES_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SAMPLES_SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(arrays, schema=SAMPLES_SCHEMA)
    pq.write_table(table, sink, compression="zstd", compression_level=19)
    write_atomic(path, sink.getvalue().to_pybytes())
