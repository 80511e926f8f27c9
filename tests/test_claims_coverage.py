"""The claims on many modes, on the spread within modes, and on the direction of the KL."""

import math

import pytest
from claims_fixture import Study, evidence, study
from scipy import stats

from pipeline.metrics.registry import split_name

__all__ = ["study"]


def newcombes_error(end: float, estimate: float, tail: float) -> float:
    """How far an end of the interval is from where ten seeds a side put it, in standard errors."""
    variance = end * (1 - end) * (1 + 9 * ((1 - end) / (2 - end) + end / (1 + end))) / 100
    return abs(estimate - end) / math.sqrt(variance) - float(stats.norm.ppf(1 - tail))


def test_everything_holds(study: Study) -> None:
    records = study.verdicts()
    assert [records[name]["verdict"] for name in ("C1c", "C1d", "C3")] == ["supported"] * 3


def test_c1c_counts_modes_by_the_benchmarks_own_metric(study: Study) -> None:
    study.many["stacked_digits"]["reverse_kl"] = [499] * 3 + [500] * 6 + [None]
    found = evidence(study.verdicts()["C1c"])
    rate = found["collapse_rate_reverse_kl_stacked_digits"]
    assert rate["value"] == 0.3
    # Five variants on two benchmarks, two sides; the diverged seed may have collapsed.
    tail = 0.05 / 10
    assert rate["low"] == pytest.approx(stats.beta.ppf(tail, 3, 8), rel=1e-8)
    assert rate["high"] == pytest.approx(stats.beta.ppf(1 - tail, 5, 6), rel=1e-8)
    assert found["diverged_seeds_reverse_kl_stacked_digits"]["value"] == 1
    assert found["collapse_rate_jensen_shannon_grid"]["value"] == 0
    assert found["classes_captured_reverse_kl_stacked_digits"]["value"] == 500


def test_c1c_is_inconclusive_where_nobody_collapses_and_with_few_seeds(study: Study) -> None:
    study.many = {"grid": {"kl": [25] * 10}}
    assert study.verdicts()["C1c"]["verdict"] == "inconclusive"
    study.many = {"grid": {"kl": [5] * 10}}
    assert study.verdicts()["C1c"]["verdict"] == "supported"
    study.seeds = 5
    study.many = {"grid": {"kl": [5] * 5}}
    study.modes = {name: modes[:5] for name, modes in study.modes.items()}
    assert study.verdicts()["C1c"]["verdict"] == "inconclusive"


def test_c1c_is_contradicted_by_many_seeds_without_collapse(study: Study) -> None:
    study.seeds = 150
    study.modes = {name: [8] * 150 for name in study.modes}
    study.many = {"grid": {"kl": [25] * 150}}
    assert study.verdicts()["C1c"]["verdict"] == "contradicted"


def test_claims_on_benchmarks_that_the_study_has_not_are_inconclusive(study: Study) -> None:
    study.many = {}
    records = study.verdicts()
    assert records["C1c"]["verdict"] == records["C3"]["verdict"] == "inconclusive"
    assert "no runs on grid or stacked_digits" in records["C1c"]["reading"]
    assert "no runs of kl and reverse_kl" in records["C3"]["reading"]


def test_c1d_reads_the_spread_of_seeds_that_reached_the_data(study: Study) -> None:
    study.spread = {("ring", "minimax"): 0.49, ("grid", "kl"): 0.5}
    record = study.verdicts()["C1d"]
    found = evidence(record)
    assert found["collapse_rate_minimax_ring"]["value"] == 1
    assert found["collapse_rate_kl_grid"]["value"] == 0
    assert found["mode_spread_ratio_minimax_ring"]["value"] == 0.49
    assert record["verdict"] == "supported"
    study.missed = {("minimax", seed) for seed in range(10)}
    record = study.verdicts()["C1d"]
    found = evidence(record)
    assert found["missed_seeds_minimax_ring"]["value"] == 10
    # Of seeds that all missed the data nothing is told.
    assert found["mode_spread_ratio_minimax_ring"]["value"] is None
    assert found["modes_occupied_minimax_ring"]["value"] is None
    assert record["verdict"] == "inconclusive"
    assert "modes flattened to a line have a ratio of 0.7 and do not count" in record["reading"]


def test_medians_of_evidence_are_of_the_seeds_that_reached_the_data(study: Study) -> None:
    study.many["grid"]["kl"] = [25] * 3 + [1] * 7
    study.missed = {("kl on grid", seed) for seed in range(3, 10)}
    found = evidence(study.verdicts()["C1c"])["modes_occupied_kl_grid"]
    assert (found["value"], found["low"], found["high"]) == (25, 25, 25)


def test_seeds_that_missed_the_data_and_are_at_one_mode_are_counted_apart(study: Study) -> None:
    study.missed = {("kl on grid", seed) for seed in range(3)} | {("kl on stacked_digits", 0)}
    study.largest_share = {("grid", "kl", seed): share for seed, share in enumerate((0.9, 0.89, 1.0, 1.0))}
    records = study.verdicts()
    for claim in ("C1c", "C1d", "C3"):
        found = evidence(records[claim])
        assert found["missed_degenerate_seeds_kl_grid"]["value"] == 2
        # Where the share of a seed that missed is not in the table, the count is not known.
        assert "missed_degenerate_seeds_kl_stacked_digits" not in found
        assert "2 of 3 on grid" in records[claim]["reading"]
        assert "stacked_digits put" not in records[claim]["reading"]
    assert evidence(records["C1c"])["collapse_rate_kl_grid"]["value"] == 0


def test_c1d_and_c1c_say_what_count_would_be_enough(study: Study) -> None:
    study.many = {"grid": {"kl": [25] * 10}}
    # One variant: 3 of 10 seeds have a lower bound of 0.067 at 2.5 %, 2 of 10 one of 0.025.
    assert stats.beta.ppf(0.025, 3, 8) > 0.05 > stats.beta.ppf(0.025, 2, 9)
    assert "Of 10 seeds it takes 3 to lift the bound above 0.05" in study.verdicts()["C1c"]["reading"]
    study.seeds, study.many = 1, {"grid": {"kl": [25]}}
    study.modes = {name: modes[:1] for name, modes in study.modes.items()}
    assert "Of 1 seeds no count lifts the bound" in study.verdicts()["C1c"]["reading"]


def test_c3_by_hand(study: Study) -> None:
    study.many["grid"]["kl"] = [20] * 5 + [25] * 5
    study.many["grid"]["reverse_kl"] = [20] * 10
    found = evidence(study.verdicts()["C3"])
    # Half of the pairs are won, half are ties.
    assert found["kl_over_reverse_kl_grid"]["value"] == 0.75
    for end in ("low", "high"):
        error = newcombes_error(found["kl_over_reverse_kl_grid"][end], 0.75, 0.05 / 8)
        assert error == pytest.approx(0, abs=1e-6)  # nine digits are written
    assert found["kl_over_reverse_kl_grid"]["low"] < 0.75 < found["kl_over_reverse_kl_grid"]["high"]
    assert found["jensen_shannon_over_reverse_kl_grid"]["value"] == 0.5
    assert found["modes_kl_grid"]["value"] == 22.5


def test_c3_is_not_supported_by_a_mode_or_two(study: Study) -> None:
    """Every seed of KL ends with more modes, by 4 % of them on the grid and by 0.1 % on stacked digits."""
    study.many["grid"] = {"kl": [25] * 10, "reverse_kl": [24] * 10}
    study.many["stacked_digits"] = {"kl": [999] * 10, "reverse_kl": [998] * 10}
    record = study.verdicts()["C3"]
    assert evidence(record)["kl_over_reverse_kl_grid"]["low"] > 0.5
    assert record["verdict"] == "inconclusive"


def test_c3_is_contradicted_by_the_opposite_order_and_by_a_kl_that_collapses(study: Study) -> None:
    study.many["grid"] = {"kl": [15] * 10, "reverse_kl": [25] * 10}
    assert study.verdicts()["C3"]["verdict"] == "contradicted"
    study.many["grid"] = {"kl": [10] * 10, "reverse_kl": [5] * 10}
    assert study.verdicts()["C3"]["verdict"] == "contradicted"
    study.many["grid"] = {"kl": [25] * 10, "reverse_kl": [25] * 10}
    record = study.verdicts()["C3"]
    assert record["verdict"] == "inconclusive"  # on one benchmark only
    assert evidence(record)["kl_over_reverse_kl_grid"]["value"] == 0.5


def test_c3_lost_seeds_widen_the_interval_to_both_sides(study: Study) -> None:
    study.many["grid"]["kl"] = [25] * 6 + [None] * 2 + [1] * 2
    study.missed = {("kl on grid", 8), ("kl on grid", 9)}
    record = study.verdicts()["C3"]
    found = evidence(record)["kl_over_reverse_kl_grid"]
    assert found["value"] == 1
    assert newcombes_error(found["low"], 0.6, 0.05 / 8) == pytest.approx(0, abs=1e-6)
    assert found["low"] < 0.6
    assert found["high"] == 1
    assert evidence(record)["lost_seeds_kl_grid"]["value"] == 4
    assert evidence(record)["collapse_rate_kl_grid"]["value"] == 0
    assert record["verdict"] == "inconclusive"
    reading = record["reading"]
    assert "on grid, KL 25 (6 of 10 seeds, 4 lost), reverse KL 5 (10 of 10 seeds, 0 lost)" in reading
    assert "of 25 modes 80\N{NO-BREAK SPACE}% more under KL" in reading
    assert "Of 20 seeds of KL 0 collapsed, of the 16 that reached the data; 2 missed them and 2" in reading
    study.many["grid"]["kl"] = [None] * 10
    reading = study.verdicts()["C3"]["reading"]
    assert "on grid, KL no number (0 of 10 seeds, 10 lost), reverse KL 5 (10 of 10 seeds, 0 lost);" in reading


def test_c3_of_one_seed_knows_nothing(study: Study) -> None:
    study.seeds = 1
    record = study.verdicts()["C3"]
    found = evidence(record)["kl_over_reverse_kl_grid"]
    assert (found["low"], found["high"]) == (0, 1)
    assert record["verdict"] == "inconclusive"


def test_the_metrics_that_claims_read_are_registered() -> None:
    for name in ("mode_spread_ratio_n1", "modes_occupied_n1", "classes_captured_n1_held_out_classifier"):
        assert split_name(name).n == 1
