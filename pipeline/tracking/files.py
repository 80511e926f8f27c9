"""What the result files say, in the terms of an experiment tracker: parameters, metrics, a picture.

Nothing is measured here and no tracker is known here; `mirror` sends it to MLflow. Files that are missing
(not pulled from the cache, not yet made) are left out with one line on stderr.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config import RunPlan
from pipeline.errors import UserError
from pipeline.plan import EVALUATED, FIGURES, PLAN, RESULTS, RUNS, run_path

FORMAT = "2"  # part of the content: another way of mirroring writes every family anew
HISTORY_STEPS = 25  # of about 100 that `train` logs: points are what a first mirror costs (see `mirror`)
PANEL, PANELS_PER_ROW, GAP = 128, 5, 4  # pixels, panels, pixels
SUMMARY_COLUMNS = ["benchmark", "variant", "metric", "point", "low", "high", "collapse_rate"]
COLLAPSE = {
    "collapse_rate": "collapse_rate",
    "collapse_low": "collapse_rate.low",
    "collapse_high": "collapse_rate.high",
}


@dataclass(frozen=True)
class Source:
    """What one run shows: its plan, its result files by name (existing ones only), its summary rows."""

    plan: RunPlan
    files: dict[str, Path]
    summary: pd.DataFrame

    @property
    def content(self) -> str:
        """sha256 of all that is mirrored, without the figures."""
        parts = {name: sha256(path.read_bytes()) for name, path in self.files.items()}
        return digest(
            parts | {"summary": sha256(self.summary.to_csv(index=False).encode()), "format": FORMAT}
        )


@dataclass(frozen=True)
class Measured:
    """`rows`: seed, step, metric, value (finite); metrics left out and steps of divergence by seed."""

    rows: pd.DataFrame
    not_finite: dict[int, list[str]]
    diverged: dict[int, int]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest(parts: Mapping[str, str]) -> str:
    """One sha256 for named sha256s."""
    return sha256(json.dumps(dict(parts), sort_keys=True).encode())


def note(line: str) -> None:
    """One line on stderr."""
    print(" ".join(line.split()), file=sys.stderr)


def read_sources(root: Path, plans: Iterable[RunPlan]) -> list[Source]:
    """One per plan. A source without files has nothing to show: neither trained nor evaluated here."""
    path = root / RESULTS / "summary.csv"
    summary = pd.DataFrame(columns=SUMMARY_COLUMNS)
    if path.is_file():
        summary = _table(path, pd.read_csv, SUMMARY_COLUMNS)
    else:
        note(f"track: no intervals, missing: {RESULTS}/summary.csv")
    return [_source(root, plan, summary) for plan in plans]


def _source(root: Path, plan: RunPlan, summary: pd.DataFrame) -> Source:
    run, evaluated = (run_path(root, folder, plan.benchmark, plan.variant) for folder in (RUNS, EVALUATED))
    wanted = {
        "metrics.csv": evaluated / "metrics.csv",
        "gallery.parquet": evaluated / "gallery.parquet",
        "history.parquet": run / "history.parquet",
        "meta.json": run / "meta.json",
    }
    files = {name: path for name, path in wanted.items() if path.is_file()}
    if missing := [str(path.relative_to(root)) for name, path in wanted.items() if name not in files]:
        note(f"track: {plan.name}: {'without' if files else 'skipped, missing:'} {', '.join(missing)}")
    if files:
        files["plan.json"] = root / PLAN / plan.benchmark / f"{plan.variant}.json"
    own = (summary["benchmark"] == plan.benchmark) & (summary["variant"] == plan.variant)
    return Source(plan, files, summary[own])


def measured(source: Source) -> Measured:
    """Metrics and history of a run, the same names as in the files, by seed and generator update.

    Raises UserError for a file that is not what its stage writes.
    """
    rows = _rows(source)
    finite = np.isfinite(rows["value"].astype(float))
    left_out = rows[~finite].groupby("seed")["metric"].unique()
    return Measured(
        rows=rows[finite],
        not_finite={int(str(seed)): sorted(names) for seed, names in left_out.items()},
        diverged=_diverged(source, rows),
    )


def _rows(source: Source) -> pd.DataFrame:
    columns = ["seed", "step", "metric", "value"]
    parts = []
    if path := source.files.get("metrics.csv"):
        parts.append(_table(path, pd.read_csv, columns)[columns])
    if path := source.files.get("history.parquet"):
        history = _thin(_table(path, pd.read_parquet, columns[:2]))
        parts.append(history.melt(id_vars=columns[:2], var_name="metric", value_name="value"))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _table(path: Path, read: Callable[[Path], pd.DataFrame], columns: Iterable[str]) -> pd.DataFrame:
    try:
        table = read(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run its stage again") from None
    if absent := [name for name in columns if name not in table.columns]:
        raise UserError(f"{path}: no column {absent[0]!r}; run its stage again")
    return table


def _thin(history: pd.DataFrame) -> pd.DataFrame:
    """At most HISTORY_STEPS steps, first and last included, the same ones for every seed."""
    steps = np.sort(history["step"].unique())
    if len(steps) <= HISTORY_STEPS:
        return history
    chosen = np.linspace(0, len(steps) - 1, HISTORY_STEPS).round().astype(int)
    return history[history["step"].isin(steps[chosen])]


def _diverged(source: Source, rows: pd.DataFrame) -> dict[int, int]:
    found = rows[(rows["metric"] == "diverged") & (rows["value"] == 1)]
    steps = {int(seed): int(step) for seed, step in zip(found["seed"], found["step"], strict=True)}
    if path := source.files.get("meta.json"):
        try:
            steps |= {int(seed): int(step) for seed, step in json.loads(path.read_text())["diverged"].items()}
        except (ValueError, KeyError, AttributeError, TypeError):
            raise UserError(f"{path}: not what `train` writes; run its stage again") from None
    return steps


def summary_values(source: Source, diverged: Mapping[int, int]) -> dict[str, float]:
    """NAME, NAME.low, NAME.high over seeds; collapse_rate with its interval; `diverged` counts seeds."""
    values: dict[str, Any] = {}
    for row in source.summary.itertuples():
        values |= {str(row.metric): row.point, f"{row.metric}.low": row.low, f"{row.metric}.high": row.high}
    for column, name in COLLAPSE.items():
        known = source.summary[column].dropna() if column in source.summary else pd.Series(dtype=float)
        if len(known):
            values[name] = known.iloc[0]
    numbers = {name: float(value) for name, value in values.items()} | {"diverged": float(len(diverged))}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def flat_params(plan: RunPlan) -> dict[str, str]:
    """The resolved plan, flattened: `recipe.penalty.kind`, `objective_spec.omega`, ..."""
    flat: dict[str, str] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                visit(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            flat[prefix] = value if isinstance(value, str) else json.dumps(value)

    visit("", plan.model_dump(mode="json"))
    return flat


def figures_of(root: Path, benchmark: str, benchmarks: Iterable[str]) -> dict[str, Path]:
    """Every figure but those with the name of another benchmark, by file name."""
    others = [f"_{name}_" for name in benchmarks if name != benchmark]
    paths = sorted((root / FIGURES).glob("*.svg"))
    words = {path: f"_{path.stem}_".replace("-", "_") for path in paths}
    return {path.name: path for path in paths if not any(other in words[path] for other in others)}


def samples_picture(source: Source) -> NDArray[np.uint8] | None:
    """The final samples, one panel per seed in the plan's order, rows of five; white where a seed diverged.

    Points (D = 2) stand in a square around the data, images (D a square number) as tiles. (H, W) grey levels,
    or None when there is no gallery or its data are of another kind.
    """
    path, plan = source.files.get("gallery.parquet"), source.plan
    if path is None:
        return None
    gallery = _table(path, pd.read_parquet, ["seed", "values"])
    values = {seed: np.stack(rows["values"].tolist()) for seed, rows in gallery.groupby("seed")}
    dimension = next(iter(values.values())).shape[1] if values else 0
    if dimension != 2 and math.isqrt(dimension) ** 2 != dimension:
        return None
    radius = getattr(plan.setting.data, "radius", None)
    limit = 1.5 * (radius or max(float(np.nanmax(np.abs(array))) for array in values.values()))
    step, rows = PANEL + GAP, math.ceil(len(plan.seeds) / PANELS_PER_ROW)
    picture = np.full((rows * step - GAP, min(len(plan.seeds), PANELS_PER_ROW) * step - GAP), 160, np.uint8)
    for place, seed in enumerate(plan.seeds):
        array = values.get(seed, np.empty((0, dimension)))
        array = array[np.isfinite(array).all(axis=1)]
        top, left = (place // PANELS_PER_ROW) * step, (place % PANELS_PER_ROW) * step
        panel = _points(array, limit) if dimension == 2 else _tiles(array)
        picture[top : top + PANEL, left : left + PANEL] = panel
    return picture


def _points(points: NDArray[Any], limit: float) -> NDArray[np.uint8]:
    panel = np.full((PANEL, PANEL), 255, np.uint8)
    pixel = np.floor((points / limit + 1) / 2 * PANEL).astype(int)
    x, y = pixel[((pixel >= 0) & (pixel < PANEL - 1)).all(axis=1)].T
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):  # a point is two pixels wide; y points up
        panel[PANEL - 1 - y - dy, x + dx] = 30
    return panel


def _tiles(images: NDArray[Any]) -> NDArray[np.uint8]:
    panel = np.full((PANEL, PANEL), 255, np.uint8)
    side, across = math.isqrt(images.shape[1]), math.ceil(math.sqrt(len(images)))
    zoom = max(1, PANEL // max(1, side * across))
    for place, image in enumerate(images.clip(0, 255).astype(np.uint8)):
        tile = np.kron(image.reshape(side, side), np.ones((zoom, zoom), np.uint8))
        top, left = (place // across) * side * zoom, (place % across) * side * zoom
        space = panel[top : top + side * zoom, left : left + side * zoom]
        space[...] = tile[: space.shape[0], : space.shape[1]]
    return panel
