"""Verdicts of the claims on estimating from samples, each way that their criteria allow."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from claims_fixture import Study, evidence, study

from pipeline.claims import measurement, sample_averages
from pipeline.claims.judging import Finding
from pipeline.claims.results import Results
from pipeline.errors import UserError

__all__ = ["study"]  # the fixture

JUDGES = measurement.JUDGES | sample_averages.JUDGES
ENTRIES = yaml.safe_load((Path(__file__).parents[1] / "claims.yaml").read_text("utf-8"))["claims"]
LIMITS = {entry["id"]: entry["criterion"]["thresholds"] for entry in ENTRIES}
DIVERGENCES = ("kl", "reverse_kl", "jensen_shannon", "squared_hellinger", "total_variation")
JUDGED = {"pair": "shift", "samples": 100_000}


def judged(study: Study, claim: str) -> Finding:
    study.write()
    return JUDGES[claim].function(Results(study.folder), LIMITS[claim])


def numbers(finding: Finding) -> dict[str, dict[str, Any]]:
    return evidence({"evidence": [vars(item) for item in finding.evidence]})


def change(study: Study, claim: str, which: dict[str, Any], changes: dict[str, Any]) -> None:
    """Change the rows of the claim's table in which `which` stands."""
    table = study.calibration[{"D5": "density_ratio", "D6": "sample_average"}[claim]]
    rows = [row for row in table if which.items() <= row.items()]
    assert rows
    for row in rows:
        assert set(changes) <= set(row)
        row.update(changes)


# claim, the rows it changes, the changes, the verdict. D5 has the critics minimax, kl, ls and power.
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("D5", {"critic": "minimax", "pair": "shift"}, {"log_ratio_error": 0.3}, "inconclusive"),
    ("D5", {"critic": "minimax", "pair": "shift"}, {"log_ratio_error": 1.1}, "contradicted"),
    ("D5", {"critic": "minimax", "seed": 2}, {"log_ratio_error": 9.0}, "supported"),  # the median counts
    ("D5", {"critic": "minimax", "pair": "shift"}, {"kl": 0.6}, "inconclusive"),
    ("D5", {"critic": "minimax", "pair": "shift"}, {"kl": 0.8}, "contradicted"),
    ("D5", {"critic": "minimax", "pair": "shift"}, {"kl": 0.012, "kl_exact": 0.0}, "supported"),  # of 0.1
    ("D5", {"critic": "kl"}, {"log_ratio_error": 5.0}, "supported"),  # three of four
    ("D5", {"critic": "kl"}, {"total_variation": 0.1}, "supported"),
    ("D5", {"pair": "shift"}, {"total_variation": 0.1}, "contradicted"),
    (
        "D5",
        {"objective": "non_saturating"},
        {"log_ratio_error": 5.0},
        "supported",
    ),  # a row of minimax's critic
    ("D6", JUDGED | {"objective": "minimax"}, {"slope": -0.56}, "inconclusive"),
    ("D6", JUDGED | {"objective": "minimax"}, {"slope": -0.56, "slope_standard_error": 0.05}, "supported"),
    ("D6", JUDGED | {"critic": "wrong"}, {"slope": -0.3}, "contradicted"),
    ("D6", JUDGED | {"critic": "wrong"}, {"slope": -0.3, "slope_standard_error": 0.05}, "inconclusive"),
    ("D6", JUDGED, {"root_mean_square_error": 1.4 / 100_000**0.5}, "inconclusive"),
    ("D6", JUDGED, {"root_mean_square_error": 0.7 / 100_000**0.5}, "inconclusive"),
    ("D6", JUDGED, {"mean": -1.002}, "inconclusive"),  # 4.5 standard errors
    ("D6", JUDGED, {"mean": -1.02}, "contradicted"),
    ("D6", {"pair": "wider"}, {"slope": -0.1, "mean": 7.0}, "supported"),  # not judged
    ("D6", {"samples": 100}, {"mean": 7.0}, "supported"),  # the largest N is
]


@pytest.mark.parametrize(("claim", "which", "changes", "verdict"), CASES)
def test_verdicts(
    study: Study, claim: str, which: dict[str, Any], changes: dict[str, Any], verdict: str
) -> None:
    assert judged(study, claim).verdict == "supported"
    change(study, claim, which, changes)
    assert judged(study, claim).verdict == verdict


def test_thresholds_are_those_of_the_criteria() -> None:
    for claim, judge in JUDGES.items():
        assert judge.thresholds == set(LIMITS[claim])
        seen = {verdict for one, _, _, verdict in CASES if one == claim}
        assert seen == {"supported", "inconclusive", "contradicted"}


def test_two_critics_of_four_are_too_few_and_one_contradicts(study: Study) -> None:
    for critic in ("kl", "ls"):
        change(study, "D5", {"critic": critic}, {"log_ratio_error": 0.3})
    found = judged(study, "D5")
    assert found.verdict == "inconclusive"
    assert numbers(found)["critics"]["value"] == 4
    assert numbers(found)["critics_that_tell_the_ratio"]["value"] == 2
    assert "not both: kl, ls. Outputs beyond the range of omega: none." in found.reading
    change(study, "D5", {"critic": "power"}, {"log_ratio_error": 0.3, "out_of_range": 0.02})
    found = judged(study, "D5")
    assert found.verdict == "contradicted"
    assert numbers(found)["out_of_range_power"]["value"] == 0.02
    assert "not both: kl, ls, power. Outputs beyond the range of omega: power." in found.reading


def test_errors_are_medians_over_seeds_and_the_largest_of_pairs(study: Study) -> None:
    change(study, "D5", {"critic": "minimax", "pair": "weights"}, {"kl_exact": 0.48})
    found = numbers(judged(study, "D5"))
    assert found["ratio_error_minimax"]["value"] == pytest.approx(0.06)
    assert found["kl_error_minimax"]["value"] == pytest.approx(0.03 / 0.48)
    assert found["divergence_error_minimax"]["value"] == pytest.approx(0.03 / 0.48)
    assert found["divergence_error_kl"]["value"] == pytest.approx(0.01 / 0.5)


def test_the_intervals_of_slopes_hold_together(study: Study) -> None:
    found = numbers(judged(study, "D6"))
    # Four slopes and four means, 50 repeats: t with 49 degrees of freedom at 1 - 0.05/16 is 2.858.
    assert found["flattest_slope"]["low"] == pytest.approx(-0.49 - 0.02858, abs=1e-4)
    assert found["flattest_slope"]["high"] == pytest.approx(-0.49 + 0.02858, abs=1e-4)
    assert found["largest_bias"]["value"] == pytest.approx(0.1)
    assert found["largest_factor"]["value"] == pytest.approx(1.05)
    assert {name for name in found if "infinite" in name} == {
        "slope_infinite_mean_square_best_wider",
        "slope_infinite_mean_square_wrong_wider",
    }


def test_the_reading_tells_of_heavy_tails(study: Study) -> None:
    reading = judged(study, "D6").reading
    assert reading.endswith(
        "Each slope is of 50 repeats. The verdict is on this pair alone, not on the one 0.5 apart with a "
        "second normal 1.26 times as wide. There 0 of 2 slopes of losses with a finite variance are more "
        "than 0.05 away from -1/2, and the 2 of losses whose variance is infinite lie between -0.30 and "
        "-0.30."
    )
    for row in study.calibration["sample_average"]:
        if row["pair"] == "wider" and row["is_variance_finite"]:
            row["slope"] = -0.2 if row["critic"] == "best" else -0.42
    reading = judged(study, "D6").reading
    assert "There 2 of 2 slopes" in reading
    assert "from -1/2 (they lie between -0.42 and -0.20), and the 2 of losses" in reading
    rows = study.calibration["sample_average"]
    study.calibration["sample_average"] = [row for row in rows if row["is_variance_finite"]]
    assert judged(study, "D6").reading.endswith("and no loss has an infinite variance.")


def test_w5_shows_trained_critics_outside_its_criterion(study: Study) -> None:
    change(study, "D5", {"objective": "ls", "pair": "weights"}, {"value": -8.0, "value_exact": -4.0})
    record = study.verdicts()["W5"]
    assert record["verdict"] == "supported"
    found = evidence(record)
    assert found["trained_objectives"]["value"] == 5
    assert found["trained_gap_ls"]["value"] == 1.0  # of the larger of 1 and the value
    assert found["trained_gap_kl"]["value"] == pytest.approx(0.01)
    assert found["trained_middle_gap"]["value"] == pytest.approx(0.01)
    assert "come to within 0.01 of it (the middle one; the worst 1)." in record["reading"]
    change(study, "D5", {"objective": "ls", "pair": "weights"}, {"value": "nan"})
    record = study.verdicts()["W5"]
    assert evidence(record)["trained_gap_ls"]["value"] is None
    assert record["reading"].endswith("the worst more than float64 holds).")


def test_what_is_missing_is_named(study: Study) -> None:
    rows = study.calibration["density_ratio"]
    study.calibration["density_ratio"] = [row for row in rows if row["critic"] != "minimax"]
    with pytest.raises(UserError, match=r"density_ratio\.csv: no rows of 'minimax'"):
        judged(study, "D5")
    study.calibration["density_ratio"] = rows
    rows[-1]["log_ratio_error"] = ""
    with pytest.raises(UserError, match="log_ratio_error of power: a number is missing"):
        judged(study, "D5")
    change(study, "D6", {"pair": "shift"}, {"scale": 1.5})
    with pytest.raises(UserError, match=r"sample_average\.csv: no pair of equal normals 0\.5 apart"):
        judged(study, "D6")
