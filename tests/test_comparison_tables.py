"""Made-up runs with known answers -> rows of comparisons, scores, profiles and variances."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from plan_fixture import run_plan

from pipeline.comparison_tables import (
    COMPARISON_COLUMNS,
    DIGITS,
    PROFILE_COLUMNS,
    SCORE_COLUMNS,
    VARIANCE_COLUMNS,
    comparison_rows,
    final_values,
    profile_rows,
    score_rows,
    to_scores,
    variance_rows,
    variant_scores,
)
from pipeline.config import RunPlan
from pipeline.errors import UserError
from pipeline.evaluate import METRIC_COLUMNS
from pipeline.resampling import COLUMNS as RESAMPLED
from pipeline.tables import write_csv

SEEDS = 6
JSD, OCCUPIED = "jsd_n100", "modes_occupied_n100"
STEMS = {"ring": ("jsd", "modes_occupied")}
BASE = run_plan(tuple(range(SEEDS)))


def plan(variant: str, benchmark: str = "ring") -> RunPlan:
    return BASE.model_copy(update={"variant": variant, "benchmark": benchmark})


def table(one: RunPlan, jsd: list[float], occupied: list[float], lost: tuple[int, ...] = ()) -> pd.DataFrame:
    """Final rows of the seeds, and one from halfway that must not count."""
    rows = []
    for seed in one.seeds:
        if seed in lost:
            rows.append((one.benchmark, one.variant, seed, 7, "diverged", 1.0))
            continue
        for metric, values in ((JSD, jsd), (OCCUPIED, occupied)):
            rows.append((one.benchmark, one.variant, seed, 20, metric, 99.0))
            rows.append((one.benchmark, one.variant, seed, one.generator_updates, metric, values[seed]))
        rows.append((one.benchmark, one.variant, seed, one.generator_updates, "diverged", 0.0))
    return pd.DataFrame(rows, columns=METRIC_COLUMNS)


PLANS = [plan("non_saturating"), plan("better"), plan("equal"), plan("broken")]
LOW, HIGH = [0.1, 0.2, 0.3, 0.15, 0.25, 0.35], [1.1, 1.2, 1.3, 1.15, 1.25, 1.35]
RUNS = {
    ("ring", "non_saturating"): table(PLANS[0], HIGH, [4.0] * SEEDS),
    ("ring", "better"): table(PLANS[1], LOW, [8.0] * SEEDS),
    ("ring", "equal"): table(PLANS[2], HIGH, [4.0] * SEEDS),
    ("ring", "broken"): table(PLANS[3], LOW, [8.0] * SEEDS, lost=(0, 1, 2, 5)),
}
PERFECT = {("ring", JSD): 0.1, ("ring", OCCUPIED): 8.0}


def rows_of(columns: list[str], rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns)


def test_variants_are_compared_with_the_reference_in_the_metrics_own_direction() -> None:
    found = rows_of(COMPARISON_COLUMNS, comparison_rows(PLANS, RUNS, STEMS))
    assert list(found.variant) == ["better", "equal", "broken"] * 2
    assert list(found.metric) == [JSD] * 3 + [OCCUPIED] * 3
    # The JSD is better when lower, modes when more; all 6 against all 6: 2 of 924 deals.
    assert list(found.probability[[0, 3]]) == [1, 1]
    assert list(found.p[[0, 3]]) == pytest.approx([2 / math.comb(12, 6)] * 2)
    assert list(found.probability[[1, 4]]) == [0.5, 0.5]
    assert list(found.p[[1, 4]]) == [1, 1]
    assert (found.low <= found.probability).all()
    assert (found.probability <= found.high).all()


def test_a_diverged_seed_is_worse_than_any_other() -> None:
    found = rows_of(COMPARISON_COLUMNS, comparison_rows(PLANS, RUNS, STEMS)).set_index(["variant", "metric"])
    # Two seeds beat all, four lose to all.
    for metric in (JSD, OCCUPIED):
        row = found.loc[("broken", metric)]
        assert row.probability == pytest.approx(2 / 6)
        assert tuple(row[["seeds", "reference_seeds", "diverged"]]) == (6, 6, 4)
    lost = table(PLANS[0], HIGH, HIGH, lost=tuple(range(SEEDS)))
    runs = {**RUNS, ("ring", "non_saturating"): lost}
    again = rows_of(COMPARISON_COLUMNS, comparison_rows(PLANS, runs, STEMS)).set_index(["variant", "metric"])
    # Two that diverged are equal: 4 of 6 seeds are even, 2 win.
    assert again.loc[("broken", JSD)].probability == pytest.approx((2 + 4 / 2) / 6)


def test_holm_corrects_within_a_benchmark_and_metric() -> None:
    plans = [*PLANS, *(plan(name, "other") for name in ("non_saturating", "better"))]
    runs = dict(RUNS)
    runs["other", "non_saturating"], runs["other", "better"] = (
        RUNS["ring", name].assign(benchmark="other") for name in ("non_saturating", "better")
    )
    found = rows_of(COMPARISON_COLUMNS, comparison_rows(plans, runs, STEMS))
    first = found[(found.benchmark == "ring") & (found.metric == JSD)]
    smallest, middle, largest = np.sort(first.p)
    expected = [3 * smallest, max(3 * smallest, 2 * middle), max(2 * middle, largest)]
    assert np.sort(first.p_holm) == pytest.approx(np.minimum(expected, 1))
    alone = found[found.benchmark == "other"]
    assert (alone.p_holm == alone.p).all()


def test_without_its_reference_a_benchmark_has_no_comparison() -> None:
    assert comparison_rows(PLANS[1:], RUNS, STEMS) == []
    found = rows_of(COMPARISON_COLUMNS, comparison_rows(PLANS[1:], RUNS, STEMS, reference="equal"))
    assert set(found.variant) == {"better", "broken"}


def test_a_missing_seed_is_not_passed_over() -> None:
    short = RUNS["ring", "better"]
    short = short[short.seed != 3]
    with pytest.raises(UserError, match=r"better/metrics.csv: jsd_n100 has 5 final values and 0 diverged"):
        final_values(PLANS[1], short, JSD)


def test_scores_run_from_the_worst_median_to_a_perfect_sampler() -> None:
    values = {"good": np.array([8.0, 6, 9]), "bad": np.array([2.0, 4, 6]), "lost": np.full(3, -math.inf)}
    found = to_scores(values, 8.0)
    # 4 is the worst finite median.
    assert list(found["good"]) == [1, 0.5, 1]
    assert list(found["bad"]) == [0, 0, 0.5]
    assert list(found["lost"]) == [0, 0, 0]
    # Of two variants that both reach a perfect sampler no one is the lower end.
    flat = to_scores({"one": np.array([8.0, 9, 7]), "other": np.array([8.0, 8, -math.inf])}, 8.0)
    assert list(flat["one"]) == [1, 1, 0]
    assert list(flat["other"]) == [1, 1, 0]
    assert list(to_scores({"lost": np.full(2, -math.inf)}, 1.0)["lost"]) == [0, 0]


def test_the_scores_of_a_seed_stay_together() -> None:
    scores = variant_scores(PLANS, RUNS, PERFECT, ["ring"], STEMS)
    (better,) = scores["better"]
    assert better.shape == (SEEDS, 2)
    worst = float(np.median(HIGH))  # of JSD: `broken`, of which most diverged, sets no scale
    assert better[:, 0] == pytest.approx((worst - np.array(LOW)) / (worst - 0.1))
    assert (better[:, 1] == 1).all()
    (broken,) = scores["broken"]
    assert (broken.sum(axis=1) == 0).sum() == 4
    # A benchmark that few variants train on is no part of it.
    other = plan("better", "other")
    runs = {**RUNS, ("other", "better"): RUNS["ring", "better"]}
    assert [len(strata) for strata in variant_scores([*PLANS, other], runs, PERFECT, ["ring"]).values()] == [
        1
    ] * 4


def test_profiles_and_scores_say_what_the_scores_are() -> None:
    scores = variant_scores(PLANS, RUNS, PERFECT, ["ring"], STEMS)
    grid = np.array([0.5, 1.0])
    found = rows_of(PROFILE_COLUMNS, profile_rows(scores, grid)).set_index(["variant", "score"])
    assert found.loc[("better", 0.5), "share"] == 1
    assert found.loc[("broken", 0.5), "share"] == pytest.approx(2 / 6)
    assert found.loc[("equal", 0.5), "share"] == 0
    assert found.loc[("better", 1.0), "share"] == pytest.approx(7 / 12)
    points = rows_of(SCORE_COLUMNS, score_rows(scores, 300)).set_index("variant")
    assert list(points.scores) == [12] * 4
    assert points.loc["better", "point"] > 0.9
    # The same variant has the same numbers whatever order the others come in.
    again = rows_of(SCORE_COLUMNS, score_rows(dict(reversed(scores.items())), 300)).set_index("variant")
    assert tuple(again.loc["better"]) == tuple(points.loc["better"])


def resampled(one: RunPlan, values: np.ndarray, metric: str = JSD) -> pd.DataFrame:
    rows = [
        (one.benchmark, one.variant, seed, resample, metric, value)
        for seed, line in enumerate(values)
        for resample, value in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=RESAMPLED)


def test_variances_are_of_the_seeds_with_finite_values() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 3, (5, 1)) + rng.normal(0, 1, (5, 4))
    lost = np.vstack([values, [math.inf, 1, 2, 3]])
    (row,) = variance_rows(PLANS[:1], {("ring", "non_saturating"): resampled(PLANS[0], lost)})
    found = dict(zip(VARIANCE_COLUMNS, row, strict=True))
    ratio = scipy.stats.f_oneway(*values).statistic
    assert (found["seeds"], found["resamples"]) == (5, 4)
    assert found["training_share"] == pytest.approx((ratio - 1) / (ratio + 3))
    assert found["standard_error"] == pytest.approx(math.sqrt(values.var(axis=1, ddof=1).mean()))
    assert found["low"] < found["training_share"] < found["high"]


def test_a_run_of_which_all_seeds_diverged_keeps_its_variance_row() -> None:
    runs = {
        ("ring", "non_saturating"): resampled(PLANS[0], np.empty((0, 3))),
        ("ring", "better"): resampled(PLANS[1], np.arange(12.0).reshape(4, 3)),
    }
    row, other = variance_rows(PLANS[:2], runs)
    assert row[:5] == ("ring", "non_saturating", JSD, 0, 2)
    assert all(math.isnan(value) for value in row[5:])
    assert other[:5] == ("ring", "better", JSD, 4, 3)


def test_resamples_that_are_not_whole_are_refused() -> None:
    whole = resampled(PLANS[0], np.arange(12.0).reshape(4, 3))
    for bad in (whole[:-1], pd.concat([whole, whole[:1]]), whole[whole["resample"] == 0]):
        with pytest.raises(UserError, match=r"non_saturating/resampled.csv: .*evaluate@ring-non_saturating"):
            variance_rows(PLANS[:1], {("ring", "non_saturating"): bad})


def test_the_tables_of_a_whole_study_are_small(tmp_path: Path) -> None:
    """31 variants on 2 benchmarks of 2 metrics, names of 20 letters: below 40 kB each."""
    rng = np.random.default_rng(1)
    plans = [plan(f"variant_of_length_{i:02}"[:20], name) for name in ("ring", "rong") for i in range(31)]
    runs = {(p.benchmark, p.variant): table(p, *rng.random((2, SEEDS)).tolist()) for p in plans}
    perfect = {(name, metric): 0.0 for name in ("ring", "rong") for metric in (JSD, OCCUPIED)}
    scores = variant_scores(plans, runs, perfect, ["ring", "rong"], STEMS)
    for columns, rows, count in (
        (COMPARISON_COLUMNS, comparison_rows(plans, runs, STEMS, plans[0].variant), 30 * 2 * 2),
        (PROFILE_COLUMNS, profile_rows(scores), 31 * 20),
        (SCORE_COLUMNS, score_rows(scores, 100), 31),
    ):
        assert len(rows) == count
        write_csv(rows, columns, tmp_path / "table.csv", DIGITS)
        assert (tmp_path / "table.csv").stat().st_size < 40_000
