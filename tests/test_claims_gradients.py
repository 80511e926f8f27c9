"""Verdicts of the claims on vanishing gradients and on frozen critics: V3b, V4, V5, L3, W7."""

import json
from collections.abc import Callable

import pytest
from claims_fixture import Study, evidence, study

from pipeline.errors import UserError

__all__ = ["study"]  # the fixture


def verdict(study: Study, claim: str) -> str:
    return str(study.verdicts()[claim]["verdict"])


@pytest.mark.parametrize(
    ("decay", "spread", "accuracy", "expected"),
    [
        (3.0, 0.2, 1.0, "supported"),
        (0.95, 0.2, 1.0, "inconclusive"),  # the interval holds 1
        (0.5, 0.2, 1.0, "contradicted"),
        (3.0, 0.2, 0.9, "inconclusive"),  # no generator is told from data
    ],
)
def test_v3b(study: Study, decay: float, spread: float, accuracy: float, expected: str) -> None:
    study.decay["minimax"], study.decay_spread = decay, spread
    study.accuracy["ring", 70] = accuracy
    assert verdict(study, "V3b") == expected


def test_v3b_asks_for_every_generator_that_counts(study: Study) -> None:
    """On the second benchmark nothing decays although all is told apart: its rows are all 0."""
    study.accuracy["digits", 30] = 0.96  # below what counts
    assert verdict(study, "V3b") == "supported"
    study.accuracy["digits", 30] = 1.0
    study.decay["minimax"] = 3.0
    record = study.verdicts()["V3b"]
    assert record["verdict"] == "supported"
    found = evidence(record)
    assert found["decay_digits_30"]["low"] > 1
    # Seeds alternate between 3.0 and 3.2: the t interval of ten, by hand.
    assert found["decay_ring_70"]["value"] == pytest.approx(3.1)
    assert found["decay_ring_70"]["high"] - 3.1 == pytest.approx(2.262157 * 0.105409 / 10**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("decay", "left", "expected"),
    [
        (-0.5, 10.0, "supported"),
        (0.95, 10.0, "inconclusive"),
        (2.0, 10.0, "contradicted"),
        (-0.5, 0.5, "inconclusive"),  # the exact gradient, of 9 at most: 0.056 is left
        (-0.5, 1e-5, "contradicted"),
    ],
)
def test_v4(study: Study, decay: float, left: float, expected: str) -> None:
    study.decay["non_saturating"] = decay
    study.gradients["non_saturating"][10.0] = left
    assert verdict(study, "V4") == expected


def test_v4_reads_how_the_spread_grows(study: Study) -> None:
    study.decay["non_saturating"] = -0.5
    reading = study.verdicts()["V4"]["reading"]
    assert "goes from 1.5 to 3.5" in reading
    assert "it grows by 0.4 [0.32, 0.48] decades" in reading
    study.decay["non_saturating"] = 0.5
    assert "it changes (grows above 0) by -0.6 [-0.68, -0.52]" in study.verdicts()["V4"]["reading"]


def _swap(study: Study, count: int) -> None:
    for number in range(count):
        study.decay[f"made_{number}"] = 0.1 if number % 2 else 3.0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda study: None, "supported"),
        (lambda study: _swap(study, 1), "inconclusive"),  # Wasserstein against its curve, 11 of 12 agree
        (lambda study: _swap(study, 3), "inconclusive"),
        (lambda study: _swap(study, 6), "contradicted"),
        (lambda study: study.decay.update(wgan_gp=3.0), "inconclusive"),
        (lambda study: study.decay.update(made_1=0.9), "supported"),  # undecided, 11 of 11
        (lambda study: [study.trains.pop(f"made_{n}") for n in range(4)], "inconclusive"),  # too few
    ],
)
def test_v5(study: Study, change: Callable[[Study], object], expected: str) -> None:
    change(study)
    assert verdict(study, "V5") == expected


def test_v5_leaves_out_what_has_no_curve_or_a_level_one(study: Study) -> None:
    study.gradients["total_variation"] = dict.fromkeys(study.gradients["minimax"], 0.0)
    study.gradients["middling"] = {**study.gradients["wasserstein"], 10.0: 0.01}
    study.trains |= {"total_variation": "total_variation", "paired": "paired", "middling": "middling"}
    study.decay |= {"total_variation": 9.0, "paired": 9.0, "middling": 9.0}
    record = study.verdicts()["V5"]
    assert record["verdict"] == "supported"
    assert evidence(record)["agreeing"]["value"] == 12


@pytest.mark.parametrize(
    ("lost", "inconclusive"), [("minimax", {"V3b", "V4", "V5"}), ("non_saturating", {"V4"})]
)
def test_a_study_without_a_variant_decides_less(study: Study, lost: str, inconclusive: set[str]) -> None:
    study.decay.pop(lost)
    study.trains.pop(lost)
    records = study.verdicts()
    found = {name for name in ("V3b", "V4", "V5") if records[name]["verdict"] == "inconclusive"}
    assert found == inconclusive
    assert all(records[name]["reading"].endswith(".") for name in found)


@pytest.mark.parametrize(
    ("row", "changes", "expected"),
    [
        (3, {"relative_sd": 50.0}, "inconclusive"),
        (3, {"relative_sd": 5.0}, "contradicted"),
        (3, {"half_carried_by": 0.02}, "inconclusive"),
        (1, {"relative_sd": 2000.0}, "inconclusive"),  # it does not rise at every step
        (4, {"relative_sd": 0.0}, "supported"),  # beyond the distance
    ],
)
def test_l3(study: Study, row: int, changes: dict[str, float], expected: str) -> None:
    assert verdict(study, "L3") == "supported"
    study.exact["likelihood_spread"][row] |= changes
    assert verdict(study, "L3") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"frozen": 0.0}, "inconclusive"),
        ({"frozen": -1e-4}, "inconclusive"),
        ({"frozen": -0.01}, "contradicted"),
        ({"frozen": -0.01, "total": -20.0}, "inconclusive"),  # within rounding of the total's size
        ({"frozen": -1e-9, "total": 0.0}, "contradicted"),
        ({"frozen": "", "total": ""}, "inconclusive"),  # not known there
    ],
)
def test_w7(study: Study, changes: dict[str, object], expected: str) -> None:
    assert verdict(study, "W7") == "supported"
    study.exact["frozen_and_total"][0] |= changes
    assert verdict(study, "W7") == expected


def test_w7_reads_only_what_passes_the_test_of_the_claim(study: Study) -> None:
    study.exact["frozen_and_total"][0]["frozen"] = -0.5
    study.exact["minimum_test"][0] |= {"normalised_minimum": -0.1, "is_example": 0}
    assert verdict(study, "W7") == "supported"
    study.exact["frozen_and_total"] = study.exact["frozen_and_total"][:2]
    with pytest.raises(UserError, match="no gradient of an objective that passes the test"):
        study.verdicts()


def test_the_readings_name_benchmarks_by_their_titles(study: Study) -> None:
    study.write()
    content = json.loads((study.folder / "study.json").read_text("utf-8"))
    content["benchmarks"]["ring"]["title"] = "Ring of 8"
    (study.folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    from pipeline import claims

    record = next(one for one in claims.write_claims(study.root) if one["id"] == "V3b")
    assert "Ring of 8 after 70 updates" in record["reading"]
