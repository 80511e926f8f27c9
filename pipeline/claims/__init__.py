"""The verdict on every claim of claims.yaml, computed from reports/results and nothing else.

claims.yaml holds what is claimed and the criterion, in words and as thresholds, written before the run
(`declared`). Each claim has one function, registered by id with the names of its thresholds (`judging`):
`exact` (the game's value, distances), `function_space`, `likelihood`, `frozen` and `minimum` (a generator's
own loss), `recipe` (likelihood-ratio construction) and `families` (the f family and beyond) judge exact
results, the latter two beside what trained runs say; `games` judges games of two numbers, `measurement` and
`sample_averages` what is estimated from samples, `fresh_critics` critics trained against saved generators,
`trained` trained runs, and `coverage` those on many modes and the direction of the KL. `write_claims` writes
claims.json there, a list in the order of claims.yaml::

    {id, claim, source, test, criterion, thresholds, verdict, evidence, reading, shown_in}

`verdict` is supported, contradicted or inconclusive; `evidence` a list of {name, value, low, high, unit} with
names that are unique within the claim and stable, low and high null for exact numbers; `reading` one sentence
made from the numbers; `shown_in` the tables, relative to reports/.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.claims import (
    coverage,
    exact,
    families,
    fresh_critics,
    frozen,
    function_space,
    games,
    likelihood,
    measurement,
    minimum,
    recipe,
    sample_averages,
    trained,
)
from pipeline.claims.declared import CLAIMS, Claim, load_claims, words
from pipeline.claims.judging import Evidence, Finding, Verdict
from pipeline.claims.results import Results, no_file

__all__ = ["CLAIMS", "Evidence", "Finding", "Verdict", "load_claims", "write_claims"]

REPORTS = "reports"
RESULTS = "reports/results"
_MODULES = (
    *(exact, function_space, fresh_critics, games, likelihood),
    *(recipe, frozen, minimum, families, measurement, sample_averages, trained, coverage),
)
JUDGES = {name: judge for module in _MODULES for name, judge in module.JUDGES.items()}


def write_claims(root: Path) -> list[dict[str, Any]]:
    """Judge every claim and write reports/results/claims.json; nothing is written on an error.

    Raises UserError for a fault in claims.yaml and for missing numbers.
    """
    results = Results(root / RESULTS)
    records = [_record(claim, results, root) for claim in load_claims(root / CLAIMS, JUDGES)]
    text = json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)
    (root / RESULTS / "claims.json").write_text(text + "\n", encoding="utf-8")
    return records


def _record(claim: Claim, results: Results, root: Path) -> dict[str, Any]:
    for name in claim.shown_in:
        if not (root / REPORTS / name).is_file():
            raise no_file(root / REPORTS / name)
    finding = JUDGES[claim.id].function(results, claim.criterion.thresholds)
    names = [item.name for item in finding.evidence]
    if len(set(names)) != len(names):
        raise ValueError(f"{claim.id}: two pieces of evidence have one name")
    return {
        "id": claim.id,
        "claim": claim.claim,
        "source": claim.source,
        "test": words(claim, "test", claim.id),
        "criterion": words(claim, "criterion.words", claim.id),
        "thresholds": dict(claim.criterion.thresholds),
        "verdict": finding.verdict,
        "evidence": [
            {key: _rounded(value) for key, value in asdict(item).items()} for item in finding.evidence
        ],
        "reading": finding.reading,
        "shown_in": list(claim.shown_in),
    }


def _rounded(value: Any) -> Any:
    """Nine digits, as in the tables; platforms agree on no more."""
    return float(f"{value:.9g}") if isinstance(value, float) else value
