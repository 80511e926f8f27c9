"""`evaluate BENCHMARK VARIANT`: the files of one run -> numbers, one row per seed, step and metric.

At every checkpoint the cheap metrics on its M samples, at the end all of them on N; a name carries its own
number of samples. A seed that diverged has one row, `diverged` = 1 at its step: a number measured before it
broke would pass for a result of the recipe.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch

from pipeline.config import MixtureData, RunPlan
from pipeline.data.files import write_atomic
from pipeline.metrics.judges import Judge, load_judge, measure
from pipeline.plan import EVALUATED, RUNS, load_evaluation, load_run, run_path
from pipeline.resampling import COLUMNS as RESAMPLED_COLUMNS
from pipeline.resampling import resampled_rows
from pipeline.run_reading import Run, load_final_generators, load_run_files
from pipeline.tables import write_csv

HISTORY_STEPS = 100
GALLERY_POINTS = 300
GALLERY_IMAGES = 16
FRAMES = "frames.safetensors"
FRAME_POINTS = 100
FRAME_IMAGES = 9
METRIC_COLUMNS = ["benchmark", "variant", "seed", "step", "metric", "value"]
HISTORY_COLUMNS = ["benchmark", "variant", "seed", "step", "quantity", "value"]
GALLERY_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("variant", pa.string()),
        ("seed", pa.int64()),
        ("index", pa.int64()),
        ("values", pa.list_(pa.float32())),
    ]
)


def evaluate(benchmark: str, variant: str, root: Path) -> None:
    """Write evaluated/BENCHMARK/VARIANT/: metrics.csv, resampled.csv, history.csv, gallery.parquet, frames.

    Raises UserError for an unknown run and for missing or corrupt data, features or run files.
    """
    plan, resamples = load_run(benchmark, variant, root), load_evaluation(root).resamples
    source = run_path(root, RUNS, benchmark, variant)
    run = load_run_files(plan, source)
    generators = load_final_generators(plan, source, run.final.shape[2])
    judge = load_judge(benchmark, plan.setting, root)
    folder = run_path(root, EVALUATED, benchmark, variant)
    write_csv(metric_rows(plan, run, judge), METRIC_COLUMNS, folder / "metrics.csv")
    again = resampled_rows(plan, run, generators, judge, resamples)
    write_csv(again, RESAMPLED_COLUMNS, folder / "resampled.csv")
    write_csv(history_rows(plan, run.history), HISTORY_COLUMNS, folder / "history.csv")
    write_gallery(gallery_rows(plan, run), folder / "gallery.parquet")
    write_frames(plan, run, folder / FRAMES)


def metric_rows(plan: RunPlan, run: Run, judge: Judge) -> list[tuple[Any, ...]]:
    """Rows (METRIC_COLUMNS) by seed, step and metric."""
    rows: list[tuple[Any, ...]] = []
    below = plan.setting.collapse_below
    for i, seed in enumerate(plan.seeds):
        key = (plan.benchmark, plan.variant, seed)
        if seed in run.diverged:
            rows.append((*key, run.diverged[seed], "diverged", 1.0))
            continue
        for c, step in enumerate(run.steps):
            values = measure(judge, run.samples[c, i], below, final=False)
            if step == run.steps[-1]:
                values |= measure(judge, run.final[i], below) | {"diverged": 0.0}
            rows += [(*key, step, name, value) for name, value in sorted(values.items())]
    return rows


def history_rows(plan: RunPlan, history: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows (HISTORY_COLUMNS) by seed, step and quantity, at most HISTORY_STEPS steps, the same for all seeds.

    Steps are left out, not averaged: a mean over steps would hide how rough a curve is. Undefined values
    (NaN) have no row.
    """
    steps = np.unique(history["step"].to_numpy())
    if len(steps) > HISTORY_STEPS:
        steps = steps[np.linspace(0, len(steps) - 1, HISTORY_STEPS).round().astype(int)]
    chosen = history[history["step"].isin(steps)].sort_values(["seed", "step"])
    quantities = sorted(set(history.columns) - {"seed", "step"})
    return [
        (plan.benchmark, plan.variant, row["seed"], row["step"], quantity, row[quantity])
        for row in chosen.to_dict("records")
        for quantity in quantities
        if not np.isnan(row[quantity])
    ]


def gallery_rows(plan: RunPlan, run: Run) -> list[tuple[Any, ...]]:
    """Rows (GALLERY_SCHEMA) of the first final samples of every seed that did not diverge."""
    count = GALLERY_POINTS if isinstance(plan.setting.data, MixtureData) else GALLERY_IMAGES
    final = run.final[:, :count].float()
    return [
        (plan.benchmark, plan.variant, seed, index, values)
        for i, seed in enumerate(plan.seeds)
        if seed not in run.diverged
        for index, values in enumerate(final[i].tolist())
    ]


def write_gallery(rows: list[tuple[Any, ...]], path: Path) -> None:
    """parquet with GALLERY_SCHEMA; equal rows give equal bytes."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(GALLERY_SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table([list(column) for column in columns], schema=GALLERY_SCHEMA), sink)
    write_atomic(path, sink.getvalue().to_pybytes())


def write_frames(plan: RunPlan, run: Run, path: Path) -> None:
    """The first seed's first samples at every checkpoint, for the movie.

    `steps` (C,); `frames` (C, P, D): float16 points, uint8 images; `diverged` (1,): the step at which the
    seed diverged, from which on its frames mean nothing, or -1.
    """
    count = FRAME_POINTS if isinstance(plan.setting.data, MixtureData) else FRAME_IMAGES
    frames = run.samples[:, 0, :count]
    if frames.is_floating_point():
        # Beyond 65,504 infinite; such a point is outside every picture.
        frames = frames.half()
    content = {
        "steps": torch.tensor(run.steps),
        "frames": frames.contiguous(),
        "diverged": torch.tensor([run.diverged.get(plan.seeds[0], -1)]),
    }
    write_atomic(path, safetensors.torch.save(content))
