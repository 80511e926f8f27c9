"""The density ratio of trained critics, judged from reports/results/calibration: D5, and a part of W5."""

import math
from itertools import groupby
from statistics import median

from pipeline.claims.judging import (
    Evidence,
    Finding,
    Judge,
    Thresholds,
    Verdict,
    objectives_named,
)
from pipeline.claims.results import Results
from pipeline.errors import UserError

RATIO = "calibration/density_ratio.csv"
DIVERGENCES = ("kl", "reverse_kl", "jensen_shannon", "squared_hellinger", "total_variation")
MINIMAX = "minimax"
Row = dict[str, str]


def _critics(results: Results, *columns: str) -> dict[str, dict[str, list[Row]]]:
    """Trained critic -> pair of densities -> its rows, one per seed. Raises UserError without minimax."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in results.rows(RATIO, "objective", "critic", "pair", "seed", *columns):
        if row["objective"] == row["critic"]:
            found.setdefault(row["critic"], {}).setdefault(row["pair"], []).append(row)
    if MINIMAX not in found:
        raise UserError(f"{results.folder / RATIO}: no rows of {MINIMAX!r}")
    return found


def _median(results: Results, rows: list[Row], column: str) -> float:
    """Over seeds; inf where a cell says that float64 does not hold the number."""
    values = [row[column] for row in rows]
    what = f"{column} of {rows[0]['objective']}"
    return median(math.inf if value == "nan" else results.to_number(value, RATIO, what) for value in values)


def _ratio_error(results: Results, pairs: dict[str, list[Row]]) -> float:
    return max(_median(results, rows, "log_ratio_error") for rows in pairs.values())


def _divergence_error(results: Results, pairs: dict[str, list[Row]], name: str, smallest: float) -> float:
    """|median - exact| over the larger of `smallest` and the exact one; the largest of all pairs."""
    errors = []
    for rows in pairs.values():
        exact = results.to_number(rows[0][f"{name}_exact"], RATIO, f"{name}_exact")
        errors.append(abs(_median(results, rows, name) - exact) / max(smallest, exact))
    return max(errors)


def _density_ratio(results: Results, limit: Thresholds) -> Finding:
    critics = _critics(
        results, "log_ratio_error", "out_of_range", *DIVERGENCES, *(f"{name}_exact" for name in DIVERGENCES)
    )
    ratio = {name: _ratio_error(results, pairs) for name, pairs in critics.items()}
    each = {
        name: {key: _divergence_error(results, pairs, key, limit["smallest"]) for key in DIVERGENCES}
        for name, pairs in critics.items()
    }
    largest = {name: max(errors.values()) for name, errors in each.items()}
    telling = [name for name in critics if ratio[name] <= limit["ratio_error"]]
    whole = [name for name in telling if largest[name] <= limit["divergence_error"]]
    verdict: Verdict = "inconclusive"
    if (
        ratio[MINIMAX] > limit["contradicting_ratio_error"]
        or largest[MINIMAX] > limit["contradicting_divergence_error"]
        or len(telling) < len(critics) / 2
    ):
        verdict = "contradicted"
    elif MINIMAX in whole and len(whole) >= limit["share"] * len(critics):
        verdict = "supported"
    beyond = {
        name: max(_median(results, rows, "out_of_range") for rows in pairs.values())
        for name, pairs in critics.items()
    }
    outside = [name for name in critics if beyond[name] > 0]
    missing = [name for name in critics if name not in whole]
    pairs = critics[MINIMAX]
    return Finding(
        verdict,
        [
            Evidence("critics", float(len(critics)), "critics"),
            Evidence("critics_that_tell_the_ratio", float(len(telling)), "critics"),
            Evidence("critics_that_tell_the_divergences_too", float(len(whole)), "critics"),
            *(Evidence(f"ratio_error_{name}", _finite(value), "nats") for name, value in ratio.items()),
            *(
                Evidence(
                    f"divergence_error_{name}",
                    _finite(value),
                    f"of the larger of {limit['smallest']:g} and it",
                )
                for name, value in largest.items()
            ),
            *(
                Evidence(
                    f"{key}_error_minimax", _finite(value), f"of the larger of {limit['smallest']:g} and it"
                )
                for key, value in each[MINIMAX].items()
            ),
            *(Evidence(f"out_of_range_{name}", beyond[name], "of the mass") for name in outside),
        ],
        f"On {len(pairs)} pairs of densities the critic of minimax is off by at most {ratio[MINIMAX]:.2g} "
        f"nats of log p/q on average, and its divergences by at most {100 * largest[MINIMAX]:.2g} %; of "
        f"{len(critics)} critics {len(telling)} tell the ratio, and {len(whole)} of these the divergences; "
        f"not both: {objectives_named(results, missing)}. Outputs beyond the range of omega: "
        f"{objectives_named(results, outside)}.",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def trained_optima(results: Results) -> list[Evidence]:
    """W5: what trained critics reach on new samples against the integral of p d(q/p), per objective.

    A gap is that of the median over seeds; the largest of all pairs.
    """
    rows = results.rows(RATIO, "objective", "critic", "pair", "value", "value_exact")
    gaps: dict[str, float] = {}
    keys = ("objective", "pair")
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    for (name, _), group in groupby(ordered, key=lambda row: tuple(row[key] for key in keys)):
        own = list(group)
        exact = results.to_number(own[0]["value_exact"], RATIO, f"value_exact of {name}")
        gap = abs(_median(results, own, "value") - exact) / max(1.0, abs(exact))
        gaps[name] = max(gap, gaps.get(name, 0.0))
    ranked = sorted(gaps.values())
    unit = "of the larger of 1 and the value"
    return [
        Evidence("trained_objectives", float(len(gaps)), "objectives"),
        Evidence("trained_middle_gap", _finite(median(ranked)), unit),
        Evidence("trained_largest_gap", _finite(ranked[-1]), unit),
        *(
            Evidence(f"trained_gap_{name}", _finite(gaps[name]), unit)
            for name in dict.fromkeys(row["objective"] for row in rows)
        ),
    ]


def trained_reading(evidence: list[Evidence]) -> str:
    """W5: `trained_optima` in a sentence."""
    value = {item.name: item.value for item in evidence}
    middle, largest = value["trained_middle_gap"], value["trained_largest_gap"]
    sizes = [f"{size:.2g}" if size is not None else "more than float64 holds" for size in (middle, largest)]
    return (
        f"The trained critics of {value['trained_objectives']:g} objectives come to within {sizes[0]} of it "
        f"(the middle one; the worst {sizes[1]})."
    )


JUDGES = {
    "D5": Judge(
        _density_ratio,
        frozenset(
            {
                *("ratio_error", "divergence_error", "smallest", "share"),
                *("contradicting_ratio_error", "contradicting_divergence_error"),
            }
        ),
    ),
}
