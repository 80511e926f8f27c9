"""Verdicts from made-up tables: every claim can come out every way that its criterion allows."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from claims_fixture import CALIBRATION, EXACT, LOG_TWO, SOURCE, VARIANTS, Study, evidence, study, write_csv
from scipy import stats

from pipeline import claims
from pipeline.claims.declared import load_claims
from pipeline.errors import UserError
from pipeline.metrics.registry import split_name

__all__ = ["study"]  # the fixture


# ---- the file


def test_a_study_in_which_everything_holds(study: Study) -> None:
    records = study.verdicts()
    assert list(records) == [
        *("D1", "D2", "D3", "D4", "D5", "D6", "V1", "V2", "V3a", "V3b", "V4", "V5"),
        *("G1", "G2", "G3", "L1", "L2", "L3"),
        *("W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8a", "W8b", "W9", "W10", "C1a", "C1b", "C1c"),
        *("C1d", "C3"),
    ]
    assert {record["verdict"] for record in records.values()} == {"supported"}
    written = json.loads((study.folder / "claims.json").read_text("utf-8"))
    assert written == list(records.values())
    for record in written:
        assert list(record) == [
            "id", "claim", "source", "test", "criterion", "thresholds", "verdict", "evidence", "reading",
            "shown_in",
        ]  # fmt: skip
        assert record["evidence"]
        assert all(list(item) == ["name", "value", "unit", "low", "high"] for item in record["evidence"])
        assert len(evidence(record)) == len(record["evidence"])
        assert "{" not in record["criterion"] + record["reading"]
        assert record["reading"].endswith(".")


def test_judging_twice_gives_equal_bytes(study: Study) -> None:
    study.verdicts()
    before = (study.folder / "claims.json").read_bytes()
    study.verdicts()
    assert (study.folder / "claims.json").read_bytes() == before


def test_criteria_show_their_thresholds(study: Study) -> None:
    assert "up to 6 standard deviations" in study.verdicts()["V2"]["criterion"]


# ---- D3


@pytest.mark.parametrize(
    ("equal", "moved", "verdict"),
    [
        ((0.0, 1e-15), (2e-6, 1e-15), "supported"),
        ((0.0, 1e-15), (0.01, 1e-4), "inconclusive"),  # the ascent did not arrive
        ((0.0, 1e-15), (0.0, 1e-15), "inconclusive"),  # another q does as well as p
        ((1e-4, 1e-15), (0.01, 1e-15), "inconclusive"),
        ((0.0, 1e-15), (0.01, 0.1), "contradicted"),
        ((0.0, 1e-15), (-0.01, 1e-15), "contradicted"),
    ],
)
def test_d3(study: Study, equal: tuple[float, float], moved: tuple[float, float], verdict: str) -> None:
    study.function_space = {"equal": equal, "moved": moved}
    assert study.verdicts()["D3"]["verdict"] == verdict


# ---- V1, V2


@pytest.mark.parametrize(
    ("uniforms", "verdict"),
    [
        ([(0.0, LOG_TWO + 1e-7)] * 3, "supported"),
        ([(0.0, LOG_TWO)] * 2, "contradicted"),
        ([(0.0, LOG_TWO)] * 3 + [(0.0, 0.69)], "contradicted"),
    ],
)
def test_v1_needs_log_two_for_every_disjoint_pair(
    study: Study, uniforms: list[tuple[float, float]], verdict: str
) -> None:
    study.uniforms = uniforms
    assert study.verdicts()["V1"]["verdict"] == verdict


def test_v1_states_the_distance_of_the_third_panel(study: Study) -> None:
    study.summary["distance_at_survey_panel"] = 1.99630556
    record = study.verdicts()["V1"]
    assert evidence(record)["distance_at_survey_panel"]["value"] == 1.99630556
    assert "0.336 of the third panel" in record["reading"]
    assert "1.996 standard deviations" in record["reading"]


@pytest.mark.parametrize(
    ("constant", "gentle", "verdict"),
    [(5.9, 6.0, "supported"), (5.6, 6.6, "contradicted"), (6.1, 5.0, "contradicted")],
)
def test_v2(study: Study, constant: float, gentle: float, verdict: str) -> None:
    study.summary |= {"distance_at_jsd_99_percent": constant, "distance_at_gradient_1_percent": gentle}
    assert study.verdicts()["V2"]["verdict"] == verdict


# ---- V3a


@pytest.mark.parametrize(
    ("minimax", "verdict"),
    [
        ({0.1: 0.1, 1.0: 0.3, 2.0: 0.5, 9.0: 1e-4, 10.0: 4e-4}, "inconclusive"),  # small, but it rises again
        ({0.1: 0.1, 1.0: 0.3, 2.0: 0.5, 9.0: 0.1, 10.0: 0.01}, "inconclusive"),
        ({0.1: 0.1, 1.0: 0.3, 2.0: 0.5, 9.0: 0.3, 10.0: 0.2}, "contradicted"),
        ({10.0: 1e-6, 9.0: 1e-5, 2.0: 0.5, 1.0: 0.3, 0.1: 0.1}, "supported"),  # rows in any order
    ],
)
def test_v3a(study: Study, minimax: dict[float, float], verdict: str) -> None:
    study.gradients["minimax"] = minimax
    record = study.verdicts()["V3a"]
    assert record["verdict"] == verdict
    assert evidence(record)["gradient_share_minimax"]["value"] == pytest.approx(minimax[10.0] / 0.5, rel=1e-8)


def test_v3a_lists_who_vanishes_and_who_does_not(study: Study) -> None:
    study.gradients["least_squares"] = {0.1: 0.1, 1.0: 0.2, 10.0: 1e-9}
    study.gradients["hinge"] = {1.0: 0.0, 10.0: 0.0}
    # Explosions: 1e40 at 10 is not small beside 1e90 at 15; an empty cell is a number beyond float64.
    study.gradients["kl"] = {1.0: 1.0, 10.0: 1e40, 15.0: 1e90}
    study.gradients["power"] = {1.0: 1.0, 9.0: "", 10.0: ""}
    record = study.verdicts()["V3a"]
    found = evidence(record)
    assert (
        "below 0.001 of theirs: minimax, least_squares; above 0.1: wasserstein, non_saturating, kl, power; "
        "0 at every distance, although the expected loss moves, because the optimal critic is a step: hinge."
        in record["reading"]
    )
    assert found["gradient_kl"]["value"] == 1e40
    assert found["gradient_power"]["value"] is None
    assert (found["gradient_share_power"]["value"], found["gradient_share_hinge"]["value"]) == (1, 0)


def test_v3a_without_minimax_or_its_distance(study: Study) -> None:
    del study.gradients["minimax"]
    with pytest.raises(UserError, match=r"generator_gradient.csv: no gradient of 'minimax' at distance 10"):
        study.verdicts()
    study.gradients["minimax"] = {0.1: 0.1}
    with pytest.raises(UserError, match=r"no gradient of 'minimax' at distance 10"):
        study.verdicts()


# ---- C1


def test_c1_counts_collapsed_and_diverged_apart(study: Study) -> None:
    study.modes["minimax"] = [1, 1, 3, 3, 3, 3, 4, 8, 8, None]
    record = study.verdicts()["C1b"]
    found = evidence(record)
    rate = found["collapse_rate_minimax"]
    assert rate["value"] == 0.6  # 1 to 3 of 8 modes; 4 is half
    assert found["diverged_seeds_minimax"]["value"] == 1
    # Two variants, two sides, 95 % together; the diverged seed may have collapsed.
    tail = 0.05 / 4
    assert rate["low"] == pytest.approx(stats.beta.ppf(tail, 6, 5), rel=1e-8)
    assert rate["high"] == pytest.approx(stats.beta.ppf(1 - tail, 8, 3), rel=1e-8)
    share = found["largest_mode_share_minimax"]
    assert (share["low"], share["value"], share["high"]) == (0.3, 0.5, 0.7)
    assert record["verdict"] == "supported"
    assert "minimax (6 of 10)" in record["reading"]


def test_c1_does_not_take_seeds_that_missed_the_data_for_collapsed(study: Study) -> None:
    """Untrained generators are the nearest to few modes: 4 of 10 would carry the claim."""
    study.modes["minimax"] = [1] * 4 + [8] * 6
    assert study.verdicts()["C1b"]["verdict"] == "supported"
    study.missed = {("minimax", seed) for seed in range(4)}
    record = study.verdicts()["C1b"]
    assert record["verdict"] == "inconclusive"
    assert evidence(record)["missed_seeds_minimax"]["value"] == 4
    assert evidence(record)["missed_degenerate_seeds_minimax"]["value"] == 4
    assert (
        "4 of 4 on ring put at least 90\N{NO-BREAK SPACE}% of their samples at one mode" in record["reading"]
    )
    assert "Of 10 seeds it takes 3 to lift the bound above 0.05, 2 intervals" in record["reading"]


def test_c1a_needs_one_mode_and_c1b_few(study: Study) -> None:
    study.modes["minimax"] = [1] * 2 + [3] * 4 + [8] * 4
    records = study.verdicts()
    assert (records["C1a"]["verdict"], records["C1b"]["verdict"]) == ("inconclusive", "supported")
    assert evidence(records["C1a"])["collapse_rate_minimax"]["value"] == 0.2
    assert evidence(records["C1b"])["collapse_rate_minimax"]["value"] == 0.6
    study.modes["minimax"] = [1] * 4 + [8] * 6
    assert study.verdicts()["C1a"]["verdict"] == "supported"


@pytest.mark.parametrize(
    ("modes", "verdict"),
    [
        ([1] * 4 + [8] * 6, "supported"),
        ([1] * 2 + [8] * 8, "inconclusive"),  # the lower bound is 0.017
        ([8] * 10, "inconclusive"),
        ([None] * 10, "inconclusive"),
    ],
)
def test_c1_at_ten_seeds(study: Study, modes: list[int | None], verdict: str) -> None:
    study.modes["minimax"] = modes
    assert study.verdicts()["C1b"]["verdict"] == verdict


def test_c1_is_contradicted_by_many_seeds_without_collapse(study: Study) -> None:
    study.seeds, study.many = 150, {}
    study.modes = {variant: [8] * 150 for variant in VARIANTS}
    assert study.verdicts()["C1b"]["verdict"] == "contradicted"
    study.modes["wgan_gp"] = [8] * 145 + [None] * 5  # what diverged might have collapsed
    assert study.verdicts()["C1b"]["verdict"] == "inconclusive"


def test_c1_at_three_seeds_is_inconclusive_whatever_they_show(study: Study) -> None:
    study.seeds = 3
    study.modes = {variant: [1, 1, 1] for variant in VARIANTS}
    assert study.verdicts()["C1b"]["verdict"] == "inconclusive"


def test_c1_when_every_seed_diverged_has_no_mode_share(study: Study) -> None:
    study.modes["wgan_gp"] = [None] * 10
    found = evidence(study.verdicts()["C1b"])
    assert found["largest_mode_share_wgan_gp"]["value"] is None
    assert (found["collapse_rate_wgan_gp"]["low"], found["collapse_rate_wgan_gp"]["high"]) == (0.0, 1.0)


def test_c1_follows_the_benchmarks_own_threshold(study: Study) -> None:
    study.collapse_below = 0.1  # fewer than 0.8 modes: nobody
    assert evidence(study.verdicts()["C1b"])["collapse_rate_minimax"]["value"] == 0


def test_c1_without_the_ring_is_inconclusive(study: Study) -> None:
    study.benchmarks = ("digits",)
    record = study.verdicts()["C1b"]
    assert record["verdict"] == "inconclusive"
    assert "no runs on the benchmark 'ring'" in record["reading"]


def test_c1_with_a_seed_missing_is_an_error(study: Study) -> None:
    study.modes["wgan_gp"] = [8] * 9
    with pytest.raises(UserError, match=r"metrics.csv: no modes_occupied_n2500 of ring wgan_gp seed 9"):
        study.verdicts()


def test_c1_reads_metrics_that_the_registry_knows() -> None:
    assert split_name("modes_occupied_n2500") == ("modes_occupied", 2500, None, None)
    assert split_name("largest_mode_share_n2500") == ("largest_mode_share", 2500, None, None)


# ---- what is missing or wrong


@pytest.mark.parametrize(
    "name",
    [
        *("metrics.csv", "summary.csv", "study.json", "theory/uniforms.csv", "theory/function_space.csv"),
        *("theory/distance.csv", *(f"theory/{table}.csv" for table in EXACT)),
        *(f"calibration/{table}.csv" for table in CALIBRATION),
    ],
)
def test_a_missing_table_is_named_and_nothing_is_written(study: Study, name: str) -> None:
    study.write()
    (study.folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: no such file"):
        claims.write_claims(study.root)
    assert not (study.folder / "claims.json").exists()


def test_a_missing_number_is_named(study: Study) -> None:
    del study.summary["distance_at_gradient_1_percent"]
    with pytest.raises(
        UserError, match=r"distance_summary.csv: 0 rows with quantity 'distance_at_gradient_1_percent'"
    ):
        study.verdicts()


@pytest.mark.parametrize("value", ["nan", "", "inf", "much"])
def test_what_is_not_a_number_is_named(study: Study, value: str) -> None:
    study.summary["jsd_at_5"] = value
    with pytest.raises(UserError, match=r"distance_summary.csv: value where quantity 'jsd_at_5'.*missing"):
        study.verdicts()


def test_a_missing_column_is_named(study: Study) -> None:
    study.write()
    write_csv(study.folder / "theory/uniforms.csv", [{"shift": 1, "jsd_nats": LOG_TWO}])
    with pytest.raises(UserError, match=r"uniforms.csv: column 'overlap_share' is missing; has shift"):
        claims.write_claims(study.root)


def test_a_broken_study_file_is_named(study: Study) -> None:
    study.write()
    (study.folder / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"study.json: not valid JSON"):
        claims.write_claims(study.root)


def test_a_setting_missing_from_the_study_file_is_named(study: Study) -> None:
    study.write()
    content = json.loads((study.folder / "study.json").read_text("utf-8"))
    del content["benchmarks"]["ring"]["collapse_below"]
    (study.folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"study.json: 'collapse_below' is missing"):
        claims.write_claims(study.root)


def rename(claim: dict[str, Any], name: str) -> None:
    claim["id"] = name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: rename(all_[6], "W8c"), r"unknown claim 'W8c'; did you mean 'W8"),
        (lambda all_: all_.pop(6), r"claim 'V1' is missing"),
        (lambda all_: all_.append(all_[2]), r"D3: stands twice"),
        (
            lambda all_: all_[7]["criterion"]["thresholds"].clear(),
            r"V2: threshold 'about_distance' is missing",
        ),
        (
            lambda all_: all_[-2]["criterion"]["thresholds"].update(ratee=0.1),
            r"C1d: unknown threshold 'ratee'; did you mean 'rate'",
        ),
        (
            lambda all_: all_[7]["criterion"]["thresholds"].update(about_distance="five"),
            r"claims.7.criterion.thresholds.about_distance: .*number",
        ),
        (lambda all_: all_[0].update(verdict="supported"), r"claims.0.verdict: unknown key 'verdict'"),
        (lambda all_: all_[0].pop("source"), r"claims.0.source: field required"),
        (lambda all_: all_[2]["criterion"].update(words="{gap}"), r"D3: criterion.words: braces"),
        (lambda all_: all_[2].update(test="{gap}"), r"D3: test: braces"),
        (lambda all_: all_[0].update(shown_in=["results/nothing.csv"]), r"nothing.csv: no such file"),
    ],
)
def test_mistakes_in_claims_yaml(
    study: Study, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    study.edit_claims(change)
    with pytest.raises(UserError, match=message):
        study.verdicts()


def test_every_claim_of_the_repository_has_its_judge() -> None:
    assert {claim.id for claim in load_claims(SOURCE, claims.JUDGES)} == set(claims.JUDGES)
