"""Variants against each other: comparisons.csv, scores.csv, profiles.csv and variance.csv.

A seed that diverged has no value. It counts as the worst of all in comparisons and scores 0; variances are of
the seeds that did not diverge.

Scores: metrics have different scales, so a profile needs one. 1 is the value of a perfect sampler at the same
N (of real images against real ones), from references.csv; 0 is the middle seed of the variant that is worst
at that metric, diverged seeds being worst, variants whose middle seed diverged aside. No other lower end is
there for all metrics: the FID has none, and untrained generators are not measured. Scores are cut at 0 and 1:
below the one a generator is useless, beyond the other it is noise of the evaluation. Unlike other numbers of
the study, a score depends on which variants take part.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import RunPlan
from pipeline.errors import UserError
from pipeline.metrics.registry import METRICS, measured, split_name
from pipeline.metrics.streams import numpy_generator
from pipeline.plan import EVALUATED
from pipeline.statistics import Array, strata_to_interval
from pipeline.statistics.comparing import (
    holm,
    mann_whitney_p,
    performance_profile,
    probability_of_improvement,
)
from pipeline.statistics.variance import variance_components

Row = tuple[Any, ...]
Runs = Mapping[tuple[str, str], pd.DataFrame]  # benchmark, variant -> rows
Stems = Mapping[str, Sequence[str]]  # kind of a benchmark's data -> metrics of interest
Strata = Mapping[str, Sequence[Array]]  # variant -> scores (S, M) on each benchmark

REFERENCE = "non_saturating"
DIGITS = 4
HEADLINES: Stems = {
    "ring": ("jsd", "modes_occupied"),
    "grid": ("jsd", "modes_occupied"),
    "digits": ("fid", "recall_k3"),
    "stacked_digits": ("fid", "classes_captured"),
}
GRID = np.arange(1, 21) / 20

COMPARISON_COLUMNS = [
    *("benchmark", "metric", "variant", "probability", "low", "high", "p", "p_holm"),
    *("seeds", "reference_seeds", "diverged"),
]
SCORE_COLUMNS = ["variant", "statistic", "point", "low", "high", "benchmarks", "scores"]
PROFILE_COLUMNS = ["variant", "score", "share", "low", "high"]
VARIANCE_COLUMNS = [
    *("benchmark", "variant", "metric", "seeds", "resamples", "training_variance", "evaluation_variance"),
    *("training_share", "low", "high", "standard_error"),
]


def comparison_rows(
    plans: Sequence[RunPlan], metrics: Runs, stems: Stems = HEADLINES, reference: str = REFERENCE
) -> list[Row]:
    """Rows (COMPARISON_COLUMNS) of each variant against the reference, per benchmark and metric.

    probability: of a seed of the variant being better than one of the reference; p: two-sided Mann-Whitney;
    p_holm: corrected over the variants of one benchmark and metric. None where the reference did not train.
    """
    rows: list[Row] = []
    for benchmark, group in _by_benchmark(plans).items():
        others = [plan for plan in group if plan.variant != reference]
        base = next((plan for plan in group if plan.variant == reference), None)
        if base is None:
            continue
        for metric in _chosen(base, stems):
            higher = _higher_is_better(metric)
            against = final_values(base, metrics[benchmark, reference], metric)
            values = [final_values(plan, metrics[benchmark, plan.variant], metric) for plan in others]
            p = np.array([mann_whitney_p(one, against) for one in values])
            for plan, one, alone, corrected in zip(others, values, p, holm(p), strict=True):
                found = probability_of_improvement(one, against, higher)
                sizes = (len(one), len(against), _diverged(metrics[benchmark, plan.variant]))
                rows.append((benchmark, metric, plan.variant, *found, alone, corrected, *sizes))
    return rows


def final_values(plan: RunPlan, table: pd.DataFrame, metric: str) -> Array:
    """Values (S,) of the seeds at the final step; a diverged seed's is infinite, on the bad side.

    Raises UserError when seeds are missing.
    """
    rows = table[(table["step"] == plan.generator_updates) & (table["metric"] == metric)]
    diverged = _diverged(table)
    if len(rows) + diverged != len(plan.seeds):
        raise UserError(
            f"{EVALUATED}/{plan.benchmark}/{plan.variant}/metrics.csv: {metric} has {len(rows)} final values "
            f"and {diverged} diverged seeds of {len(plan.seeds)}; {_again(plan)}"
        )
    worst = -math.inf if _higher_is_better(metric) else math.inf
    return np.concatenate([rows["value"].to_numpy(dtype=float), np.full(diverged, worst)])


def variant_scores(
    plans: Sequence[RunPlan],
    metrics: Runs,
    perfect: Mapping[tuple[str, str], float],
    benchmarks: Sequence[str],
    stems: Stems = HEADLINES,
) -> dict[str, list[Array]]:
    """Variant -> scores (S, M) of its S seeds in the M metrics of each benchmark.

    `perfect`: benchmark, metric -> value of a perfect sampler; `benchmarks`: those on which every variant
    trained, because a mean over different benchmarks would compare nothing.
    """
    scores: dict[str, list[Array]] = {}
    for benchmark, group in _by_benchmark(plans).items():
        if benchmark not in benchmarks:
            continue
        columns: dict[str, list[Array]] = {plan.variant: [] for plan in group}
        for metric in _chosen(group[0], stems):
            sign = 1.0 if _higher_is_better(metric) else -1.0
            values = {
                plan.variant: sign * final_values(plan, metrics[benchmark, plan.variant], metric)
                for plan in group
            }
            for variant, scaled in to_scores(values, sign * perfect[benchmark, metric]).items():
                columns[variant].append(scaled)
        for variant, found in columns.items():
            scores.setdefault(variant, []).append(np.stack(found, axis=1))
    return scores


def to_scores(values: Mapping[str, Array], perfect: float) -> dict[str, Array]:
    """Values {variant: (S,)}, higher is better -> scores from 0, the worst variant's median, to 1, `perfect`.

    Where no variant's median is below `perfect` there is no scale: 1 for those that reach it, 0 for others.
    """
    medians = [np.median(one) for one in values.values()]
    worst = min((median for median in medians if np.isfinite(median)), default=perfect)
    if worst >= perfect:
        return {variant: (one >= perfect).astype(float) for variant, one in values.items()}
    return {variant: np.clip((one - worst) / (perfect - worst), 0, 1) for variant, one in values.items()}


def score_rows(scores: Strata, resamples: int) -> list[Row]:
    """Rows (SCORE_COLUMNS): interquartile mean of all scores of a variant, stratified by benchmark."""
    return [
        (
            variant,
            "iqm",
            *strata_to_interval(strata, resamples, numpy_generator("scores", variant)),
            len(strata),
            sum(one.size for one in strata),
        )
        for variant, strata in scores.items()
    ]


def profile_rows(scores: Strata, grid: Array = GRID) -> list[Row]:
    """Rows (PROFILE_COLUMNS): the share of a variant's scores that are at least `score`, with its band."""
    return [
        (variant, tau, *found)
        for variant, strata in scores.items()
        for tau, found in zip(grid, performance_profile(strata, grid), strict=True)
    ]


def variance_rows(plans: Sequence[RunPlan], resampled: Runs) -> list[Row]:
    """Rows (VARIANCE_COLUMNS): training against evaluation variance of every metric that was resampled.

    resampled: rows (resampling.COLUMNS) of R fresh sets of samples from each final generator. Seeds of which
    a value is infinite are left out. NaN: all with fewer than two seeds, the share without any variance, and
    its ends where no resample differs (`variance_components`).
    Raises UserError when a run has not the same two or more resamples of every seed.
    """
    rows: list[Row] = []
    for benchmark, group in _by_benchmark(plans).items():
        tables = [resampled[benchmark, plan.variant] for plan in group]
        # Of all runs: one of which every seed diverged has no rows and keeps its place.
        found = {name for table in tables for name in table["metric"]}
        for plan, table in zip(group, tables, strict=True):
            for metric in (name for name in measured(plan.setting) if name in found):
                values = _seeds_by_resample(plan, table[table["metric"] == metric])
                finite = values[np.isfinite(values).all(axis=1)]
                key = (benchmark, plan.variant, metric, *finite.shape)
                rows.append((*key, *variance_components(finite)))
    return rows


def _seeds_by_resample(plan: RunPlan, rows: pd.DataFrame) -> Array:
    """(S, R); (0, 2) where every seed diverged."""
    where = f"{EVALUATED}/{plan.benchmark}/{plan.variant}/resampled.csv"
    if rows.empty:
        return np.empty((0, 2))
    if rows.duplicated(["seed", "resample"]).any() or rows["seed"].value_counts().nunique() != 1:
        raise UserError(f"{where}: not the same resamples of every seed; {_again(plan)}")
    values = rows.pivot(index="seed", columns="resample", values="value").to_numpy(dtype=float)
    if values.shape[1] < 2:
        raise UserError(f"{where}: one resample has no variance, two are needed; {_again(plan)}")
    return values


def _again(plan: RunPlan) -> str:
    return f"run the stage {plan.stage('evaluate')} again"


def _diverged(table: pd.DataFrame) -> int:
    return int((table[table["metric"] == "diverged"]["value"] == 1).sum())


def _by_benchmark(plans: Sequence[RunPlan]) -> dict[str, list[RunPlan]]:
    groups: dict[str, list[RunPlan]] = {}
    for plan in plans:
        groups.setdefault(plan.benchmark, []).append(plan)
    return groups


def _chosen(plan: RunPlan, stems: Stems) -> list[str]:
    """Full names of the metrics of interest that the benchmark measures."""
    names = {split_name(name).stem: name for name in measured(plan.setting)}
    return [names[stem] for stem in stems[plan.setting.data.kind] if stem in names]


def _higher_is_better(metric: str) -> bool:
    higher = METRICS[split_name(metric).stem].higher_is_better
    if higher is None:
        raise ValueError(f"{metric}: has no better direction, so that no variant is better at it")
    return higher
