"""Verdicts of the claims on learning in games, each way that a criterion allows; the paper's numbers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from claims_fixture import EXACT, SOURCE, Rows, write_csv

from pipeline.claims.games import JUDGES
from pipeline.claims.judging import Finding
from pipeline.claims.results import Results
from pipeline.errors import UserError
from pipeline.figures.tables import Results as Tables
from pipeline.paper_theory.games import collect

TABLES = ("bilinear_flow", "bilinear_updates", "dirac_rates")
LIMITS = {
    entry["id"]: entry["criterion"]["thresholds"] for entry in yaml.safe_load(SOURCE.read_text())["claims"]
}


def tables() -> dict[str, Rows]:
    return {name: [dict(row) for row in EXACT[name]] for name in TABLES}


def judge(claim: str, changed: dict[str, Rows], root: Path) -> Finding:
    for name, rows in changed.items():
        write_csv(root / "theory" / f"{name}.csv", rows)
    study = {"objectives": {"minimax": {"title": "Minimax"}}}
    (root / "study.json").write_text(json.dumps(study))
    return JUDGES[claim].function(Results(root), LIMITS[claim])


CASES: list[tuple[str, str, int, dict[str, Any], str]] = [
    ("G1", "bilinear_flow", 1, {"radius_gap": 1e-4}, "inconclusive"),
    ("G1", "bilinear_flow", 1, {"position_gap": 1e-4}, "inconclusive"),
    ("G1", "bilinear_flow", 2, {"position_gap": 0.1}, "contradicted"),
    ("G1", "bilinear_flow", 0, {"rank": 1}, "contradicted"),
    ("G2", "bilinear_updates", 1, {"growth_gap": 1e-6}, "inconclusive"),
    ("G2", "bilinear_updates", 0, {"smallest_rise": 0.0}, "inconclusive"),
    ("G2", "bilinear_updates", 0, {"smallest_rise": -1e-12}, "contradicted"),
    ("G2", "bilinear_updates", 3, {"growth_gap": 0.1, "smallest_rise": -0.5}, "supported"),  # another update
]


@pytest.mark.parametrize(("claim", "table", "row", "changes", "verdict"), CASES)
def test_verdicts(
    tmp_path: Path, claim: str, table: str, row: int, changes: dict[str, Any], verdict: str
) -> None:
    made = tables()
    assert judge(claim, made, tmp_path).verdict == "supported"
    assert set(changes) <= set(made[table][row])
    made[table][row].update(changes)
    assert judge(claim, made, tmp_path).verdict == verdict


@pytest.mark.parametrize(
    ("remedy", "rate", "count", "verdict"),
    [
        ("none", -2.9e-6, 20, "supported"),  # within three standard errors
        ("none", -3.1e-6, 1, "supported"),  # 95 % are enough
        ("none", -3.1e-6, 2, "inconclusive"),
        ("none", -3.1e-6, 9, "inconclusive"),
        ("none", -3.1e-6, 10, "contradicted"),  # at most half
        ("clipping", -1.0, 2, "inconclusive"),
        ("gradient_penalty", -1.0, 20, "contradicted"),
        ("r1", -2.9e-6, 1, "supported"),
        ("r1", -2.9e-6, 2, "inconclusive"),
        ("r2", 0.5, 10, "contradicted"),
        ("instance_noise", 0.0, 3, "inconclusive"),
        ("consensus", 0.0, 20, "contradicted"),
    ],
)
def test_verdicts_on_remedies(tmp_path: Path, remedy: str, rate: float, count: int, verdict: str) -> None:
    made = tables()
    own = [row for row in made["dirac_rates"] if row["remedy"] == remedy]
    for row in own[:count]:
        row["rate"] = rate
    found = judge("G3", made, tmp_path)
    assert found.verdict == verdict
    evidence = {item.name: item.value for item in found.evidence}
    behaves = verdict == "supported" and count > 1
    assert evidence[f"agree_{remedy}"] == (1 if behaves else 1 - count / 20)
    assert evidence["moduli_below_1_r1"] == 1
    assert evidence["moduli_below_1_none"] == 0
    assert evidence["moduli_below_1_gradient_penalty"] is None


def test_the_reading_names_who_does_not_converge(tmp_path: Path) -> None:
    made = tables()
    for row in made["dirac_rates"]:
        if row["remedy"] in ("instance_noise", "none"):
            row["rate"] = -1e-3 if row["remedy"] == "none" else 0.0
    reading = judge("G3", made, tmp_path).reading
    assert "instance noise 0 %" in reading
    assert "Under instance noise these do not converge: Minimax." in reading
    assert "at most by 1.0e-03 per step; eigenvalues with both moduli below 1: none" in reading


def test_a_missing_number_or_remedy_is_an_error(tmp_path: Path) -> None:
    made = tables()
    made["dirac_rates"][0]["rate"] = ""
    with pytest.raises(UserError, match="a number is missing"):
        judge("G3", made, tmp_path)
    made = tables()
    made["dirac_rates"] = [row for row in made["dirac_rates"] if row["remedy"] != "r2"]
    with pytest.raises(UserError, match="no rows of the remedy 'r2'"):
        judge("G3", made, tmp_path)
    made["bilinear_updates"] = made["bilinear_updates"][2:]
    with pytest.raises(UserError, match="no rows of the simultaneous update"):
        judge("G2", made, tmp_path)


def test_the_paper_s_numbers(tmp_path: Path) -> None:
    made = tables()
    for row in made["dirac_rates"]:
        row["critic_steps"] = 1
    made["dirac_rates"][3]["rate"] = -0.5
    made["dirac_curvature"] = [
        {
            "objective": name,
            "kappa": kappa,
            "rate_predicted": rate,
            "rate": 1.1 * rate,
            "nearer_rate": rate / 90,
            "turns": 1,
        }
        for name, kappa, rate in (("minimax", 2.0, -1e-4), ("b", -1.0, 1e-4), ("c", 0.0, 0.0), ("d", "", ""))
        if name != "d"
    ]
    judge("G3", made, tmp_path)
    found = collect(Tables(tmp_path))
    assert json.loads(json.dumps(found)) == found
    assert found["flow"]["turns"] == 10
    assert found["growth"]["simultaneous"]["largest"] == pytest.approx(math.sqrt(1.25))
    assert found["outwards"] == {"simultaneous": 0.1, "implicit": None}
    assert found["remedies"]["none"]["converge"] == 1
    assert found["remedies"]["none"]["fastest"] == 0.5
    assert found["remedies"]["r1"] == {
        "combinations": 20, "converge": 20, "moduli_below_1": 20, "fastest": 0.01, "objectives_not": []
    }  # fmt: skip
    assert found["remedies"]["clipping"]["objectives_not"] == ["Minimax"]
    assert (found["objectives"], found["turning"]) == (1, 3)
    assert found["curvature"]["closer"] == ["Minimax"]
    assert found["curvature"]["farther"] == ["b"]
    assert found["curvature"]["worst"] == pytest.approx(0.1)
    assert found["curvature"]["left"]["largest"] == pytest.approx(1 / 99)
