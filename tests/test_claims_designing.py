"""Verdicts of the claims on designing GANs and on maximum likelihood, each way that its criterion allows."""

from typing import Any

import pytest
from claims_fixture import Study, evidence, study

from pipeline.errors import UserError

__all__ = ["study"]  # the fixture

# claim, table, the rows it changes (None: all), the changes, the verdict; one threshold per line.
CASES: list[tuple[str, str, int | None, dict[str, Any], str]] = [
    ("L1", "maximum_likelihood", 1, {"gradient_fixed": 0.5 + 1e-4}, "inconclusive"),
    ("L1", "maximum_likelihood", 1, {"gradient_fixed": 0.6}, "contradicted"),
    ("L1", "maximum_likelihood", 1, {"sample_fixed": 0.9}, "inconclusive"),  # the interval misses it
    ("L2", "maximum_likelihood", 1, {"gradient_moving": 0.2}, "inconclusive"),
    ("L2", "maximum_likelihood", 1, {"gradient_fixed": 0.4}, "inconclusive"),
    ("L2", "maximum_likelihood", None, {"gradient_kl": 0.05}, "inconclusive"),  # nothing to tell apart
    ("W1", "total_variation", 1, {"dual_gap": 1e-5}, "inconclusive"),
    ("W1", "total_variation", 1, {"dual_gap": 0.1}, "contradicted"),
    ("W1", "total_variation", 1, {"dual_half": 0.0}, "inconclusive"),  # q differs and the dual does not
    ("W2", "optimal_output", 0, {"ratio_error_nats": 1e-4}, "inconclusive"),
    ("W2", "optimal_output", 0, {"ratio_error_nats": 0.1}, "contradicted"),
    ("W2", "optimal_output", 2, {"output_error": 0.1}, "contradicted"),  # of a step, by t
    ("W2", "optimal_output", 0, {"output_error": 1e-4}, "supported"),  # of the others, by log r
    ("W2", "random_pairs", 7, {"ratio_error_nats": 0.1}, "contradicted"),
    ("W3", "same_game", 0, {"gradient_difference": 1e-6}, "inconclusive"),
    ("W3", "same_game", 2, {"output_difference": 0.1}, "contradicted"),
    ("W3", "same_game", 1, {"divergence_difference": 0.1}, "contradicted"),
    ("W4", "label_swap", 0, {"optimum_difference": 1e-6}, "inconclusive"),
    ("W4", "label_swap", 0, {"gradient_difference": 0.1}, "contradicted"),
    ("W4", "label_swap", 0, {"swapped_direction": "increasing"}, "contradicted"),
    ("W4", "label_swap", 0, {"direction": "decreasing", "swapped_direction": "increasing"}, "inconclusive"),
    ("W5", "critic_optimum", 1, {"value_gap": 1e-5}, "inconclusive"),
    ("W5", "critic_optimum", 1, {"value_gap": 0.1}, "contradicted"),
    ("W5", "critic_optimum", 3, {"above_equal": -0.1}, "contradicted"),
    ("W5", "critic_optimum", 3, {"above_equal": 5e-4}, "inconclusive"),  # not told from q = p
    ("W5", "critic_optimum", 2, {"above_equal": -0.1}, "supported"),  # q = p is not compared with itself
    ("W5", "critic_optimum", None, {"d_curvature_min": -0.1}, "contradicted"),
    ("W6", "as_f_gan", 0, {"conjugate_error": 1e-4}, "inconclusive"),
    ("W6", "as_f_gan", 0, {"conjugate_error": 0.1}, "contradicted"),
    ("W6", "kl_from_ratio", None, {"gap_to_forward": 1e-9}, "contradicted"),
    ("W6", "kl_from_ratio", None, {"gap_to_reverse": 1e-9}, "contradicted"),
    ("W6", "kl_from_ratio", None, {"gap_to_reverse": 1e-3}, "inconclusive"),
    ("W6", "kl_from_ratio", 0, {"gap_to_reverse": 1e-9}, "supported"),  # one pair does not make a divergence
    ("W8a", "minimum_test", 1, {"normalised_minimum": -0.1}, "contradicted"),
    ("W8a", "minimum_test", 3, {"smallest_excess": -0.1}, "contradicted"),
    (
        "W8a",
        "minimum_test",
        3,
        {"literal_minimum": -0.1, "smallest_excess": -0.1},
        "supported",
    ),  # not refuted
    ("W8b", "minimum_test", 0, {"literal_minimum": -0.1}, "contradicted"),
    ("W8b", "minimum_test", 0, {"literal_minimum": -0.1, "normalised_minimum": -0.1}, "inconclusive"),
    ("W8b", "minimum_test", 1, {"literal_minimum": -0.1}, "supported"),  # no example
    ("W8b", "minimum_test", None, {"is_example": 0}, "inconclusive"),
    ("W8a", "minimum_test", None, {"literal_minimum": -0.1, "is_example": 0}, "inconclusive"),  # none passes
    ("W9", "conjugates", 0, {"conjugate_error": 1e-5}, "inconclusive"),
    ("W9", "conjugates", 0, {"conjugate_error": 0.1}, "contradicted"),
    ("W9", "conjugates", 1, {"f_at_1": -0.1}, "contradicted"),
    ("W9", "conjugates", 1, {"curvature_min": -0.1}, "contradicted"),
    ("W9", "mixture_fit", 1, {"dual_gap": 0.1}, "contradicted"),
    ("W10", "wasserstein_dual", 0, {"dual_gap": 1e-4}, "inconclusive"),
    ("W10", "wasserstein_dual", 0, {"dual_gap": 0.1}, "contradicted"),
    ("W10", "equal_ratios", 0, {"difference": 1e-9}, "contradicted"),  # W1 is a function of the ratio
    ("W10", "equal_ratios", 0, {"difference": 0.01}, "inconclusive"),
    ("W10", "equal_ratios", 2, {"difference": 0.01}, "inconclusive"),
]


@pytest.mark.parametrize(("claim", "table", "row", "changes", "verdict"), CASES)
def test_verdicts(
    study: Study, claim: str, table: str, row: int | None, changes: dict[str, Any], verdict: str
) -> None:
    assert study.verdicts()[claim]["verdict"] == "supported"
    for place, content in enumerate(study.exact[table]):
        if row in (None, place):
            assert set(changes) <= set(content)
            content.update(changes)
    records = study.verdicts()
    assert records[claim]["verdict"] == verdict
    for other in {"L1", "L2", "W1", "W2", "W3", "W4", "W5", "W6", "W8a", "W8b", "W9", "W10"} - {claim}:
        shared = table in ("maximum_likelihood", "minimum_test") and other[:2] == claim[:2]
        assert shared or table == "maximum_likelihood" or records[other]["verdict"] == "supported"


def test_every_claim_can_come_out_every_way() -> None:
    seen = {(claim, verdict) for claim, _, _, _, verdict in CASES}
    for claim in {claim for claim, *_ in CASES}:
        assert (claim, "inconclusive") in seen
        assert (claim, "contradicted") in seen or claim == "L2"  # which needs two columns, below


def test_l2_is_contradicted_when_nothing_needs_to_be_held_fixed(study: Study) -> None:
    for row in study.exact["maximum_likelihood"]:
        row["gradient_moving"] = row["gradient_kl"]
    assert study.verdicts()["L2"]["verdict"] == "contradicted"


def test_l1_shows_the_widest_interval(study: Study) -> None:
    study.exact["maximum_likelihood"][2]["sample_fixed_se"] = 0.1
    found = evidence(study.verdicts()["L1"])["widest_sample_mean"]
    # Three intervals, 99 % together: 2.935 standard errors.
    assert (found["low"], found["high"]) == pytest.approx((-0.99 - 0.2935, -0.99 + 0.2935), abs=1e-4)


def test_w2_needs_two_hundred_pairs(study: Study) -> None:
    study.exact["random_pairs"].pop()
    assert study.verdicts()["W2"]["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("modes", "verdict"),
    [
        ([8] * 10, "supported"),
        ([8] * 9 + [1], "supported"),
        ([8] * 7 + [1] * 3, "inconclusive"),  # 70 % of ten seeds: from 35 % on
        ([8, 8] + [None] * 8, "inconclusive"),
        ([8] + [1] * 5 + [None] * 4, "contradicted"),  # at most 44.5 %
    ],
)
def test_w1_trained(study: Study, modes: list[int | None], verdict: str) -> None:
    study.modes["tv"] = modes
    study.variant_settings["tv"] = {"objective": "total_variation"}
    record = study.verdicts()["W1"]
    assert record["verdict"] == verdict
    good = modes.count(8)
    assert evidence(record)["trained_tv"]["value"] == good / 10
    assert f"{good} of 10 seeds reached the data and kept most modes" in record["reading"]


def test_w1_does_not_count_seeds_that_missed_the_data(study: Study) -> None:
    study.modes["tv"] = [8] * 10
    study.variant_settings["tv"] = {"objective": "total_variation"}
    study.missed = {("tv", seed) for seed in range(9)}
    assert study.verdicts()["W1"]["verdict"] == "contradicted"


def test_w1_stands_beside_hinge(study: Study) -> None:
    study.modes |= {"tv": [1] * 10, "step": [8] * 8 + [1] + [None]}
    study.variant_settings = {"tv": {"objective": "total_variation"}, "step": {"objective": "hinge"}}
    study.missed = {("step", 0)}
    record = study.verdicts()["W1"]
    assert "under this recipe it does not give a GAN." in record["reading"]
    assert "reached the data in 8 of 10 seeds [0.44, 0.97] and kept most modes in 7." in record["reading"]
    assert evidence(record)["reached_step"]["value"] == 0.8
    del study.modes["step"]
    record = study.verdicts()["W1"]
    assert "Hinge" not in record["reading"]
    assert "reached_step" not in evidence(record)


def test_w1_untrained_says_so(study: Study) -> None:
    assert "the study has not trained it, so the form alone decides" in study.verdicts()["W1"]["reading"]
    study.benchmarks = ("digits",)
    assert study.verdicts()["W1"]["verdict"] == "supported"


def test_w1_says_what_the_gradient_of_a_step_is(study: Study) -> None:
    study.gradients["total_variation"] = {1.0: 0.0, 10.0: 0.0}
    reading = study.verdicts()["W1"]["reading"]
    assert "pathwise gradient is 0 at every distance for every sample" in reading
    study.gradients["total_variation"] = {1.0: 0.25, 10.0: 0.0}
    reading = study.verdicts()["W1"]["reading"]
    assert "at most 0.25 with a standard deviation of at most 0.25 over the samples" in reading


def summary(variant: str, point: float | str, low: float | str, high: float | str) -> dict[str, Any]:
    key = {"benchmark": "ring", "variant": variant, "metric": "high_quality_n2500", "statistic": "iqm"}
    return {**key, "point": point, "low": low, "high": high}


@pytest.mark.parametrize(
    ("other", "identical", "apart", "verdict"),
    [
        ((0.8, 0.7, 0.9), 2, 0, "supported"),
        ((0.85, 0.75, 0.95), 1, 0, "supported"),
        # Four intervals: 2.50 standard errors where one has 1.96, so 0.9 becomes 0.927, and the lower bounds:
        ((0.94, 0.92, 0.96), 1, 0, "supported"),  # 0.915
        ((0.97, 0.95, 0.99), 1, 1, "inconclusive"),  # 0.945
        (("", "", ""), 1, 1, "inconclusive"),  # every seed of one of them diverged
    ],
)
def test_w3_compares_the_trained_two(
    study: Study, other: tuple[Any, Any, Any], identical: int, apart: int, verdict: str
) -> None:
    study.modes["minimax_probability"] = [8] * 10
    study.summary_rows = [summary("minimax", 0.8, 0.7, 0.9), summary("minimax_probability", *other)]
    record = study.verdicts()["W3"]
    found = evidence(record)
    assert found["trained_metrics"]["value"] == 2  # the summary of the modes too
    assert found["trained_metrics_identical"]["value"] == identical
    assert found["trained_metrics_apart"]["value"] == apart
    assert record["verdict"] == verdict


def test_w3_compares_only_variants_that_differ_in_the_coordinate(study: Study) -> None:
    study.modes["minimax_probability"] = [8] * 10
    study.variant_settings["minimax_probability"] = {"penalty": {"kind": "r1"}}
    record = study.verdicts()["W3"]
    assert evidence(record)["trained_metrics"]["value"] == 0
    assert "the study has not trained both" in record["reading"]


def test_w6_says_which_half_fails_and_by_whom(study: Study) -> None:
    study.exact["kl_from_ratio"] += [
        {"objective": "ratio_forward_kl", "pair": pair, "gap_to_reverse": 0.2, "gap_to_forward": 1e-15}
        for pair in ("equal", "shift")
    ]
    record = study.verdicts()["W6"]
    assert record["verdict"] == "contradicted"
    assert "First half supported" in record["reading"]
    assert "second half contradicted" in record["reading"]
    assert "ratio_forward_kl is KL(p, q)" in record["reading"]
    assert evidence(record)["gap_ratio_forward_kl_to_forward_kl"]["value"] == 1e-15


def test_w8_names_who_is_refused_flat_or_repelled(study: Study) -> None:
    rows = study.exact["minimum_test"]
    rows[0].update(literal_minimum=-0.4, slope_at_1=1.2)
    rows[1].update(d_largest=0.0)
    rows[2].update(literal_minimum=-0.4, d_curvature_min=-0.1)
    rows[3].update(frozen_slope_min=-0.2)
    rows.append({**rows[1], "objective": "ratio_reverse_kl", "d_largest": 1.0})
    records = study.verdicts()
    reading = records["W8b"]["reading"]
    assert "refuses 2 of its 2 examples" in reading
    assert "(non_saturating, logit_generator; of these 1 pass by the rule's other half, d convex)" in reading
    assert "and 2 of the 5 objectives of the catalogue" in reading
    assert "logit_generator (d = r log r) fails as written and ratio_reverse_kl (1 + r log r - r" in reading
    assert reading.endswith("the same divergence) passes.")
    assert evidence(records["W8b"])["slope_at_1_non_saturating"]["value"] == 1.2
    assert "Of 5 objectives 3 pass the test as written; of these 0 fail" in records["W8a"]["reading"]
    assert "d is constant for kl, and" in records["W8a"]["reading"]
    assert records["W8a"]["reading"].endswith("from the data under jeffrey.")


def test_w9_tells_of_conjugates_beyond_the_range(study: Study) -> None:
    assert "below the range" not in study.verdicts()["W9"]["reading"]
    study.exact["conjugates"][1]["conjugate_error_beyond"] = 2.0
    record = study.verdicts()["W9"]
    assert record["verdict"] == "supported"
    assert "f continued to u < 0: pearson_chi2." in record["reading"]
    assert evidence(record)["fit_std_kl"]["value"] == 1.83
    assert "widest under pearson_chi2 (std 1.930) and narrowest under kl (1.830)" in record["reading"]


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ({1.0: 1.0, 10.0: 1.0 + 1e-4}, "inconclusive"),
        ({1.0: 1.0, 10.0: 0.5}, "contradicted"),
        ({0.1: 0.3, 1.0: 1.0, 10.0: 1.0}, "supported"),  # from distance 1 on
    ],
)
def test_w10_needs_a_gradient_that_stays(study: Study, curve: dict[float, float], verdict: str) -> None:
    study.gradients["wasserstein"] = curve
    assert study.verdicts()["W10"]["verdict"] == verdict


def test_w10_sorts_the_others(study: Study) -> None:
    study.gradients |= {
        "kl": {1.0: 1.0, 10.0: ""},
        "hinge": {1.0: 0.0, 10.0: 0.0},
        "odd": {1.0: 1.0, 10.0: 0.5},
    }
    reading = study.verdicts()["W10"]["reading"]
    assert (
        "fall below a thousandth: minimax; those that grow: non_saturating, kl; 0 at every distance for "
        "every sample: hinge; "
        "others: odd." in reading
    )


def test_what_a_claim_needs_is_named(study: Study) -> None:
    study.gradients["wasserstein"].pop(1.0)
    with pytest.raises(UserError, match=r"no gradient of 'wasserstein' at distance 1"):
        study.verdicts()
    del study.gradients["wasserstein"]
    with pytest.raises(UserError, match=r"no gradient of 'wasserstein'"):
        study.verdicts()


def test_equal_ratios_need_both_kinds(study: Study) -> None:
    study.exact["equal_ratios"] = study.exact["equal_ratios"][1:]
    with pytest.raises(UserError, match=r"rows of w1 and of at least one objective"):
        study.verdicts()
