"""`evaluate BENCHMARK VARIANT`: the files of one run -> numbers, one row per seed, checkpoint and metric.

A seed that diverged has one row, `diverged` = 1 at its step: a number measured before it broke would pass
for a result of the recipe.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pipeline.config import RingData, RunPlan
from pipeline.data.files import write_atomic
from pipeline.errors import UserError
from pipeline.metrics.judges import Judge, load_judge, measure
from pipeline.plan import EVALUATED, RUNS, load_run, run_path
from pipeline.tables import write_csv

HISTORY_STEPS = 100
GALLERY_POINTS = 300
GALLERY_IMAGES = 16
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


@dataclass(frozen=True, eq=False)
class Run:
    """What training left: samples (C, S, N, D), their steps (C,), diverged {seed: step}, logged history."""

    samples: Tensor
    steps: list[int]
    diverged: dict[int, int]
    history: pd.DataFrame


def evaluate(benchmark: str, variant: str, root: Path) -> None:
    """Write evaluated/BENCHMARK/VARIANT/: metrics.csv, history.csv and gallery.parquet.

    Raises UserError for an unknown run and for missing or corrupt data, features or run files.
    """
    plan = load_run(benchmark, variant, root)
    run = load_run_files(plan, run_path(root, RUNS, benchmark, variant))
    judge = load_judge(benchmark, plan.setting, root)
    folder = run_path(root, EVALUATED, benchmark, variant)
    write_csv(metric_rows(plan, run, judge), METRIC_COLUMNS, folder / "metrics.csv")
    write_csv(history_rows(plan, run.history), HISTORY_COLUMNS, folder / "history.csv")
    write_gallery(gallery_rows(plan, run), folder / "gallery.parquet")


def load_run_files(plan: RunPlan, folder: Path) -> Run:
    """The run of a plan. Raises UserError when a file is missing, corrupt or not of this plan."""
    again = f"run the stage {plan.stage('train')} again"
    path = folder / "meta.json"
    try:
        meta = json.loads(path.read_bytes())
        diverged = {int(seed): int(step) for seed, step in meta["diverged"].items()}
        path = folder / "samples.safetensors"
        tensors = safetensors.torch.load(path.read_bytes())
        samples, steps = tensors["samples"], [int(step) for step in tensors["steps"]]
        path = folder / "history.parquet"
        history = pq.read_table(path).to_pandas()
        history[["seed", "step"]] = history[["seed", "step"]].astype("int64")
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or "corrupt"
        raise UserError(f"{path}: cannot be read ({reason}); {again}") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: corrupt or not what train writes ({_line(error)}); {again}") from None
    except (safetensors.SafetensorError, pa.ArrowException) as error:
        raise UserError(f"{path}: corrupt ({_line(error)}); {again}") from None
    expected = (plan.checkpoints, len(plan.seeds), plan.setting.evaluation_samples)
    if meta.get("seeds") != list(plan.seeds) or (len(steps), *samples.shape[1:3]) != expected:
        raise UserError(f"{folder}: not the run of plan/{plan.benchmark}/{plan.variant}.json; {again}")
    return Run(samples, steps, {**_broken_samples(plan, samples, steps), **diverged}, history)


def _broken_samples(plan: RunPlan, samples: Tensor, steps: list[int]) -> dict[int, int]:
    """Seeds whose parameters stayed finite and whose samples did not, with the first such step."""
    if not samples.is_floating_point():
        return {}
    finite = torch.isfinite(samples).flatten(2).all(2)
    return {
        seed: steps[int((~finite[:, i]).int().argmax())]
        for i, seed in enumerate(plan.seeds)
        if not bool(finite[:, i].all())
    }


def metric_rows(plan: RunPlan, run: Run, judge: Judge) -> list[tuple[Any, ...]]:
    """Rows (METRIC_COLUMNS) by seed, step and metric."""
    rows: list[tuple[Any, ...]] = []
    for i, seed in enumerate(plan.seeds):
        key = (plan.benchmark, plan.variant, seed)
        if seed in run.diverged:
            rows.append((*key, run.diverged[seed], "diverged", 1.0))
            continue
        for c, step in enumerate(run.steps):
            values = measure(judge, run.samples[c, i], plan.setting.collapse_below)
            if step == max(run.steps):
                values["diverged"] = 0.0
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
    count = GALLERY_POINTS if isinstance(plan.setting.data, RingData) else GALLERY_IMAGES
    final = run.samples[int(np.argmax(run.steps))][:, :count].float()
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
