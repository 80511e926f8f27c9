"""Verdicts of the claims on function space, each way that their criteria allow."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from claims_fixture import Study, evidence, study

from pipeline.claims.function_space import JUDGES
from pipeline.claims.judging import Finding
from pipeline.claims.results import Results
from pipeline.errors import UserError

__all__ = ["study"]  # the fixture

ENTRIES = yaml.safe_load((Path(__file__).parents[1] / "claims.yaml").read_text("utf-8"))["claims"]
LIMITS = {entry["id"]: entry["criterion"]["thresholds"] for entry in ENTRIES}


def judged(study: Study, claim: str) -> Finding:
    study.write()
    return JUDGES[claim].function(Results(study.folder), LIMITS[claim])


def found(finding: Finding) -> dict[str, dict[str, Any]]:
    return evidence({"evidence": [vars(item) for item in finding.evidence]})


# claim, table, row (None: all), changes, verdict. Rows: minimax, minimax, kl, kl, hinge, hinge.
CASES: list[tuple[str, str, int | None, dict[str, Any], str]] = [
    ("D1", "free_critic", 2, {"error_max": 1e-5}, "inconclusive"),
    ("D1", "free_critic", 1, {"error_max": 1e-3}, "inconclusive"),
    ("D1", "free_critic", 1, {"error_max": 0.02}, "contradicted"),
    ("D1", "free_critic", 2, {"error_max": 0.02}, "inconclusive"),  # not minimax
    ("D1", "trained_critic_1d", 2, {"error_mean": 0.06}, "inconclusive"),
    ("D1", "trained_critic_1d", 2, {"error_mean": 0.04}, "supported"),
    ("D2", "free_critic", 0, {"curvature_max": 0.0}, "inconclusive"),
    ("D2", "free_critic", 0, {"curvature_max": 1e-9}, "contradicted"),
    ("D2", "free_critic", 2, {"curvature_max": 5.0}, "supported"),  # asked of minimax alone
    ("D2", "free_critic", 2, {"spread_max": 1e-5}, "inconclusive"),
    ("D2", "free_critic", 5, {"value_spread": 1e-5}, "inconclusive"),  # of a step too
    ("D2", "free_critic", 3, {"alone_error_max": 0.1}, "inconclusive"),
    ("D2", "free_critic", 1, {"alone_value_gap": 0.1}, "contradicted"),
    ("D2", "free_critic", 0, {"spread_max": 0.1}, "contradicted"),
    ("D2", "free_critic", 0, {"value_spread": 1e-3}, "inconclusive"),
    ("D4", "free_game", 1, {"tv_to_p_max": 1e-3}, "inconclusive"),
    ("D4", "free_game", 1, {"tv_to_p_max": 1e-3, "discriminator_off_half_max": 0.4}, "inconclusive"),
    ("D4", "free_game", 0, {"discriminator_off_half_max": 5e-3}, "inconclusive"),
    ("D4", "free_game", 0, {"discriminator_off_half_max": 0.02}, "contradicted"),
    ("D4", "free_game", 2, {"tv_to_p_max": 0.5, "discriminator_off_half_max": 0.5}, "supported"),
]


@pytest.mark.parametrize(("claim", "table", "row", "changes", "verdict"), CASES)
def test_verdicts(
    study: Study, claim: str, table: str, row: int | None, changes: dict[str, Any], verdict: str
) -> None:
    assert judged(study, claim).verdict == "supported"
    for place, content in enumerate(study.exact[table]):
        if row in (None, place):
            assert set(changes) <= set(content)
            content.update(changes)
    assert judged(study, claim).verdict == verdict


def test_thresholds_are_those_of_the_criteria() -> None:
    for claim, judge in JUDGES.items():
        assert judge.thresholds == set(LIMITS[claim])
        seen = {verdict for one, _, _, _, verdict in CASES if one == claim}
        assert seen == {"supported", "inconclusive", "contradicted"}


def test_the_readings_name_who_differs(study: Study) -> None:
    study.exact["free_critic"][3]["curvature_max"] = 2.0
    reading = judged(study, "D1").reading
    assert "For 2 objectives (not hinge, which say only whether p or q is larger) on 2 pairs" in reading
    assert judged(study, "D2").reading.endswith("not below 0 under kl, hinge, which arrive all the same.")
    study.exact["free_critic"][3]["spread_max"] = 0.1
    assert judged(study, "D2").reading.endswith("not below 0 under kl, hinge.")
    reading = judged(study, "D4").reading
    assert reading.endswith("2 of 3 objectives arrive, and not: hinge.")
    for row in study.exact["free_game"]:
        row["tv_to_p_max"] = 0.0
    assert judged(study, "D4").reading.endswith("3 of 3 objectives arrive.")


def test_the_numbers_are_those_of_the_tables(study: Study) -> None:
    study.exact["free_game"][1].update(discriminator_off_half_max=3e-4, tv_to_p_max=2e-5)
    study.exact["free_game"][3]["discriminator_off_half_max"] = 7e-4
    numbers = found(judged(study, "D4"))
    assert numbers["off_half_minimax"]["value"] == 3e-4
    assert numbers["tv_to_p_minimax"]["value"] == 2e-5
    assert numbers["largest_off_half_arrived"]["value"] == 7e-4
    assert numbers["objectives_arrived"]["value"] == 2
    study.exact["trained_critic_1d"][1]["error_mean"] = 0.03
    numbers = found(judged(study, "D1"))
    assert numbers["largest_trained_error"]["value"] == 0.03
    assert numbers["middle_trained_error"]["value"] == 0.01
    assert numbers["objectives"]["value"] == 2


def test_what_is_missing_is_named(study: Study) -> None:
    study.exact["free_game"] = study.exact["free_game"][2:]
    with pytest.raises(UserError, match=r"free_game\.csv: no rows of 'minimax'"):
        judged(study, "D4")
    for row in study.exact["free_critic"]:
        row["error_max"] = ""
    with pytest.raises(UserError, match="no number of error_max where one is needed"):
        judged(study, "D1")
    study.exact["free_critic"][0]["error_max"] = "x"
    with pytest.raises(UserError, match="error_max of minimax: a number is missing"):
        judged(study, "D1")
