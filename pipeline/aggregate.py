"""`aggregate`: every run of the study in one set of tables, reports/results/.

The list of runs is plan/study.json, never a glob. Each random interval has a generator named by its own row,
so that no number depends on which other runs the study has.

The tables are in git, so they stay small: six significant digits (float32 holds seven), four for
curves, five for single seeds, these at their last step and of some metrics only.
evaluated/BENCHMARK/VARIANT/ has all of it.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import comparison_tables, fresh_critic_tables, resampling, trust
from pipeline.catalogue_tables import (
    OBJECTIVE_COLUMNS,
    SLOPE_COLUMNS,
    objective_name,
    objective_rows,
    slope_rows,
    trained_objectives,
)
from pipeline.config import RunPlan, StudyPlan
from pipeline.data.files import json_bytes, write_atomic
from pipeline.errors import UserError
from pipeline.evaluate import GALLERY_SCHEMA, HISTORY_COLUMNS, METRIC_COLUMNS
from pipeline.metrics import floors
from pipeline.metrics.features import load_report
from pipeline.metrics.registry import METRICS, measured, measured_through_training, split_name
from pipeline.metrics.streams import numpy_generator
from pipeline.plan import (
    EVALUATED,
    FEATURES,
    RESULTS,
    load_evaluation,
    load_fresh_critics,
    load_run,
    load_study,
    remove_unlisted,
    run_path,
)
from pipeline.shown import (
    CURVE_DIGITS,
    FOLLOWED,
    curve_table,
    is_kept_by_seed,
    sample_rows,
    write_curves,
    write_progress,
    write_samples,
)
from pipeline.statistics import Array, Interval, count_to_interval, seeds_to_interval
from pipeline.tables import write_csv

SUMMARY_COLUMNS = [
    *("benchmark", "variant", "metric", "statistic", "point", "low", "high", "median", "seeds", "diverged"),
    *("collapse_rate", "collapse_low", "collapse_high", "mark"),
]
SEED_DIGITS = 5
DIGITS = 6
Row = tuple[Any, ...]


def aggregate(root: Path) -> None:
    """Write the tables of reports/results/.

    Raises UserError when a run of the study is not evaluated, or a file is missing or corrupt.
    """
    study = load_study(root)
    remove_unlisted(study, root)
    plans = [load_run(benchmark, variant, root) for benchmark, variant in study.runs]
    metrics, history, gallery, resampled = _read_runs(study, root)
    reference_rows = floors.references(study, root)
    critics = fresh_critic_tables.read_fresh_critics(study, root)
    backbones = tuple(load_evaluation(root).backbones)

    trusted = {name: trust.ranges(benchmark.setting, root) for name, benchmark in study.benchmarks.items()}
    summary, progress, final, curves, samples = [], [], [], [], []
    for plan in plans:
        run = (plan.benchmark, plan.variant)
        known = trusted[plan.benchmark], trust.floor_ranges(reference_rows, plan.benchmark)
        summary += summary_rows(plan, metrics[run], study.settings.bootstrap_resamples, *known, backbones)
        progress += progress_rows(plan, metrics[run], study.settings.bootstrap_resamples)
        final += final_rows(plan, metrics[run])
        curves.append(curve_table(plan, history[run]))
        samples += sample_rows(plan, gallery[run])

    content = study_content(study, plans, root)
    results = root / RESULTS
    write_csv(final, METRIC_COLUMNS, results / "metrics.csv", SEED_DIGITS)
    write_csv(summary, SUMMARY_COLUMNS, results / "summary.csv", DIGITS)
    _write_comparisons(study, plans, metrics, resampled, reference_rows, results)
    write_progress(progress, results / "progress.csv")
    write_curves(curves, results / "history.csv")
    columns = list(floors.COLUMNS)
    references = [tuple(row[column] for column in columns) for row in reference_rows]
    write_csv(references, columns, results / "references.csv")
    write_csv(objective_rows(content["objectives"]), OBJECTIVE_COLUMNS, results / "objectives.csv")
    write_csv(slope_rows(content["objectives"]), SLOPE_COLUMNS, results / "slopes.csv", DIGITS)
    decays = fresh_critic_tables.seed_rows(critics)
    write_csv(decays, fresh_critic_tables.SEED_COLUMNS, results / "fresh_critics.csv", CURVE_DIGITS)
    course = fresh_critic_tables.course_rows(critics)
    write_csv(course, fresh_critic_tables.COURSE_COLUMNS, results / "fresh_critics_course.csv", CURVE_DIGITS)
    write_samples(samples, results / "gallery.parquet")
    write_atomic(results / "study.json", json_bytes(content))
    write_atomic(results / "metrics.json", json_bytes(nested_summary(summary)))


def _write_comparisons(
    study: StudyPlan,
    plans: list[RunPlan],
    metrics: comparison_tables.Runs,
    resampled: comparison_tables.Runs,
    references: list[dict[str, Any]],
    results: Path,
) -> None:
    """comparisons.csv, scores.csv, profiles.csv and variance.csv."""
    perfect = {(row["benchmark"], row["metric"]): row["value"] for row in references}
    scores = comparison_tables.variant_scores(plans, metrics, perfect, study.of_every_variant)
    resamples = study.settings.bootstrap_resamples
    for name, columns, rows in (
        (
            "comparisons",
            comparison_tables.COMPARISON_COLUMNS,
            comparison_tables.comparison_rows(plans, metrics),
        ),
        ("scores", comparison_tables.SCORE_COLUMNS, comparison_tables.score_rows(scores, resamples)),
        ("profiles", comparison_tables.PROFILE_COLUMNS, comparison_tables.profile_rows(scores)),
        ("variance", comparison_tables.VARIANCE_COLUMNS, comparison_tables.variance_rows(plans, resampled)),
    ):
        write_csv(rows, columns, results / f"{name}.csv", comparison_tables.DIGITS)


def summary_rows(
    plan: RunPlan,
    table: pd.DataFrame,
    resamples: int,
    known: dict[str, trust.Range],
    floored: dict[str, trust.Range],
    backbones: tuple[str, ...] = (),
) -> list[Row]:
    """One row per metric at the final step, over the seeds that did not diverge; of images also in the
    features of `backbones`.

    The collapse rate is that of the seeds whose final samples are collapsed; a diverged seed counts as not
    collapsed in its lower bound and as collapsed in its upper. A run of which every seed diverged keeps its
    rows: NaN, from 0 seeds. `mark` says of the point of a divergence whether it is in the range of its
    estimator (`known`, by stem) or above the floor of its metric (`floored`, by full name): see `trust`.
    """
    final = table[table["step"] == plan.generator_updates]
    diverged = int((table[table["metric"] == "diverged"]["value"] == 1).sum())
    collapsed = int((final[final["metric"] == "collapsed"]["value"] == 1).sum())
    seeds = len(plan.seeds)
    point, low, _ = count_to_interval(collapsed, seeds)
    rate = (point, low, count_to_interval(collapsed + diverged, seeds).high)
    rows = []
    for metric in measured(plan.setting, backbones):
        values = final[final["metric"] == metric]["value"].to_numpy()
        if len(values) + diverged != len(plan.seeds):
            raise UserError(
                f"{EVALUATED}/{plan.benchmark}/{plan.variant}/metrics.csv: {metric} has {len(values)} final "
                f"values and {diverged} diverged seeds of {len(plan.seeds)}; run the stage "
                f"{plan.stage('evaluate')} again"
            )
        interval = _interval(plan, metric, plan.generator_updates, values, resamples)
        median = float(np.median(values)) if len(values) else math.nan
        counts = (len(values), diverged)
        stem = split_name(metric).stem
        is_floored = metric in floored
        mark = floored[metric].mark(interval.point) if is_floored else trust.mark(stem, interval.point, known)
        rows.append((plan.benchmark, plan.variant, metric, "iqm", *interval, median, *counts, *rate, mark))
    return rows


def progress_rows(plan: RunPlan, table: pd.DataFrame, resamples: int) -> list[Row]:
    """benchmark, variant, metric, step, point, low, high of every FOLLOWED metric and checkpoint, over the
    seeds that did not diverge."""
    groups: dict[tuple[str, int], list[float]] = {}
    for metric, step, value in zip(table["metric"], table["step"], table["value"], strict=True):
        groups.setdefault((metric, step), []).append(value)
    return [
        (
            plan.benchmark,
            plan.variant,
            metric,
            step,
            *_interval(plan, metric, step, np.array(groups[metric, step]), resamples),
        )
        for metric in measured_through_training(plan.setting)
        if split_name(metric).stem in FOLLOWED
        for step in sorted(step for name, step in groups if name == metric)
    ]


def _interval(plan: RunPlan, metric: str, step: int, values: Array, resamples: int) -> Interval:
    # Where checkpoints have N samples too, the last of progress.csv is the row of summary.csv: the same key.
    rng = numpy_generator("bootstrap", plan.benchmark, plan.variant, metric, step)
    return seeds_to_interval(values, resamples, rng)


def final_rows(plan: RunPlan, table: pd.DataFrame) -> list[Row]:
    """Rows (METRIC_COLUMNS) of every seed at the final step, of the metrics that `shown` keeps by seed; of a
    diverged seed, the step at which it did."""
    final = table["metric"].isin([*filter(is_kept_by_seed, measured(plan.setting)), "missed"])
    kept = final & (table["step"] == plan.generator_updates) | (table["metric"] == "diverged")
    return list(table[kept].itertuples(index=False, name=None))


def nested_summary(summary: list[Row]) -> dict[str, Any]:
    """{benchmark: {variant: {metric: point}}} for `dvc metrics show`; NaN becomes null."""
    nested: dict[str, Any] = {}
    for row in summary:
        entry = dict(zip(SUMMARY_COLUMNS, row, strict=True))
        values = nested.setdefault(entry["benchmark"], {}).setdefault(entry["variant"], {})
        point = float(f"{entry['point']:.9g}")
        values[entry["metric"]] = None if math.isnan(point) else point
        values["collapse_rate"], values["diverged"] = entry["collapse_rate"], entry["diverged"]
    return nested


def study_content(study: StudyPlan, plans: list[RunPlan], root: Path) -> dict[str, Any]:
    """plan/study.json, and with it all that a reader of the results needs to know.

    fresh_critics: whose generators were saved, updates of each fresh critic;
    recipes {variant: resolved recipe}; features {dataset: report}; objectives {name: derivation, its checks
    as {name: [value, where]}, all of which held, and `reported`, the conditions that an entry need not meet,
    as {name: [held, value, where]}}; trains {variant: name of its objective among those}; metrics
    {stem: title, unit, higher_is_better, description}.
    """
    from pipeline.objectives import objective_from_spec
    from pipeline.objectives.report import derivation

    reports = {name: load_report(root / FEATURES / name) for name in study.benchmarks}
    trained = trained_objectives(plans)
    objectives = {}
    for name, plan in trained.items():
        facts = derivation(objective_from_spec(plan.objective, plan.objective_spec))
        checks = facts["checks"]
        facts["checks"] = {one["name"]: [one["value"], one["at"]] for one in checks if one["required"]}
        facts["reported"] = {
            one["name"]: [one["passed"], one["value"], one["at"]] for one in checks if not one["required"]
        }
        if name != plan.objective:
            # With parameters of its own it is another objective than the entry of this title.
            facts["title"] = study.variants[plan.variant].title
        objectives[name] = facts
    experiment = load_fresh_critics(next(iter(study.benchmarks)), root)
    return {
        **study.model_dump(mode="json"),
        "fresh_critics": {
            "generator": experiment.generator,
            "critic_updates": experiment.critic_updates,
        },
        "recipes": {plan.variant: plan.recipe.model_dump(mode="json") for plan in plans},
        "features": {name: report for name, report in reports.items() if report["classifier_sha256"]},
        "objectives": objectives,
        "trains": {plan.variant: objective_name(plan, trained) for plan in plans},
        "metrics": {stem: vars(metric) for stem, metric in METRICS.items()},
    }


def _read_runs(
    study: StudyPlan, root: Path
) -> tuple[
    dict[tuple[str, str], pd.DataFrame],
    dict[tuple[str, str], pd.DataFrame],
    dict[tuple[str, str], list[Row]],
    dict[tuple[str, str], pd.DataFrame],
]:
    """metrics.csv, history.csv, gallery.parquet and resampled.csv of every run of the study."""
    metrics, history, gallery, resampled = {}, {}, {}, {}
    for benchmark, variant in study.runs:
        folder = run_path(root, EVALUATED, benchmark, variant)
        again = f"run the stage evaluate@{benchmark}-{variant}"
        metrics[benchmark, variant] = _read_csv(folder / "metrics.csv", METRIC_COLUMNS, again)
        history[benchmark, variant] = _read_csv(folder / "history.csv", HISTORY_COLUMNS, again)
        gallery[benchmark, variant] = _read_gallery(folder / "gallery.parquet", again)
        resampled[benchmark, variant] = _read_csv(folder / "resampled.csv", resampling.COLUMNS, again)
    return metrics, history, gallery, resampled


def _read_csv(path: Path, columns: list[str], again: str) -> pd.DataFrame:
    numbers = {"seed": "int64", "step": "int64", "resample": "int64", "value": "float64"}
    kinds = {column: numbers.get(column, "str") for column in columns}
    try:
        table = pd.read_csv(path, dtype=kinds)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    except ValueError as error:
        raise UserError(f"{path}: corrupt ({' '.join(str(error).split())[:200]}); {again}") from None
    if list(table.columns) != columns:
        raise UserError(f"{path}: the columns are not {', '.join(columns)}; {again}")
    return table


def _read_gallery(path: Path, again: str) -> list[Row]:
    try:
        table = pq.read_table(path, schema=GALLERY_SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]}); {again}") from None
    return list(zip(*(table[name].to_pylist() for name in GALLERY_SCHEMA.names), strict=True))
