"""Claims on estimating from samples, judged from reports/results/calibration: D5, D6; W5's trained critics."""

import math
from itertools import groupby
from statistics import median

from scipy.special import ndtri, stdtrit

from pipeline.claims.judging import (
    Evidence,
    Finding,
    Judge,
    Thresholds,
    Verdict,
    listed,
    objectives_named,
)
from pipeline.claims.results import Results
from pipeline.errors import UserError

RATIO = "calibration/density_ratio.csv"
AVERAGE = "calibration/sample_average.csv"
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
    return median(
        math.inf if value == "nan" else results.to_number(value, RATIO, what) for value in values
    )


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
                Evidence(f"divergence_error_{name}", _finite(value), f"of the larger of {limit['smallest']:g} and it")
                for name, value in largest.items()
            ),
            *(
                Evidence(f"{key}_error_minimax", _finite(value), f"of the larger of {limit['smallest']:g} and it")
                for key, value in each[MINIMAX].items()
            ),
            *(Evidence(f"out_of_range_{name}", beyond[name], "of the mass") for name in outside),
        ],
        f"On {len(pairs)} pairs of densities the critic of minimax is off by at most {ratio[MINIMAX]:.2g} nats of "
        f"log p/q on average, and its divergences by at most {100 * largest[MINIMAX]:.2g} %; of {len(critics)} "
        f"critics {len(telling)} tell the ratio and {len(whole)} of these the divergences too; not both: "
        f"{objectives_named(results, missing)}. Outputs beyond the range of omega: "
        f"{objectives_named(results, outside)}.",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def trained_optima(results: Results) -> list[Evidence]:
    """W5: what the trained critics reach on new samples against the integral of p d(q/p), outside its criterion."""
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
        *(Evidence(f"trained_gap_{name}", _finite(gaps[name]), unit) for name in dict.fromkeys(row["objective"] for row in rows)),
    ]


def _sample_average(results: Results, limit: Thresholds) -> Finding:
    columns = ("samples", "repeats", "expectation", "deviation", "mean", "root_mean_square_error", "slope", "slope_standard_error")
    rows = results.rows(AVERAGE, "objective", "critic", "pair", "distance", "scale", "is_variance_finite", *columns)

    def number(row: Row, column: str) -> float:
        return results.to_number(row[column], AVERAGE, f"{column} of {row['objective']} ({row['critic']})")

    def last(of: list[Row]) -> list[Row]:
        """The rows of the largest N."""
        largest = max(number(row, "samples") for row in of)
        return [row for row in of if number(row, "samples") == largest]

    judged = [row for row in rows if number(row, "distance") == limit["distance"] and number(row, "scale") == 1]
    if not judged:
        raise UserError(f"{results.folder / AVERAGE}: no pair of normals {limit['distance']:g} apart")
    ends = last(judged)
    repeats = number(ends[0], "repeats")
    tail = (1 + 1 - (1 - limit["confidence"]) / len(ends)) / 2  # Bonferroni, two sides
    reach_slope, reach_mean = float(stdtrit(repeats - 1, tail)), float(ndtri(tail))
    slopes, biases, factors = [], [], []
    holds, refuted = True, False
    for row in ends:
        slope, error = number(row, "slope"), number(row, "slope_standard_error")
        reach = reach_slope * error
        deviation = number(row, "deviation")
        exact = deviation / math.sqrt(number(row, "samples"))
        bias = abs(number(row, "mean") - number(row, "expectation"))
        allowed = reach_mean * exact / math.sqrt(repeats)
        factor = number(row, "root_mean_square_error") / exact
        factor = max(factor, 1 / factor)
        near = abs(slope + 0.5) <= limit["slope_gap"] or abs(slope + 0.5) <= reach
        holds &= near and bias <= allowed and factor <= limit["factor"]
        refuted |= slope - reach > limit["contradicting_slope"]
        refuted |= bias - allowed > limit["contradicting_bias"] * deviation
        slopes.append((slope, slope - reach, slope + reach))
        biases.append(bias / deviation)
        factors.append(factor)
    others = last([row for row in rows if row["pair"] not in {row["pair"] for row in judged}] or judged)
    heavy = [row for row in others if row["is_variance_finite"] == "0"]
    names = list(dict.fromkeys(row["objective"] for row in heavy))
    off = [row for row in others if row not in heavy and abs(number(row, "slope") + 0.5) > limit["slope_gap"]]
    flattest = max(slopes)
    steepest = min(slopes)
    objectives = len({row["objective"] for row in ends})
    infinite = "no loss has an infinite variance"
    if heavy:
        measured = [number(row, "slope") for row in heavy]
        infinite = (
            f"the variance is infinite for {objectives_named(results, names)}, whose measured slopes there are "
            f"{listed([f'{one:.2f}' for one in measured])}"
        )
    return Finding(
        "contradicted" if refuted else "supported" if holds else "inconclusive",
        [
            Evidence("objectives", float(objectives), "objectives"),
            Evidence("slopes", float(len(ends)), "slopes"),
            Evidence("flattest_slope", flattest[0], "1", flattest[1], flattest[2]),
            Evidence("steepest_slope", steepest[0], "1", steepest[1], steepest[2]),
            Evidence("largest_bias", max(biases), "standard deviations of a sample"),
            Evidence("largest_factor", max(factors), "of the exact error"),
            Evidence("largest_samples", number(ends[0], "samples"), "samples"),
            Evidence("infinite_variances", float(len(names)), "objectives"),
            *(Evidence(f"slope_infinite_{row['objective']}_{row['critic']}_{row['pair']}", number(row, "slope"), "1") for row in heavy),
            Evidence("other_slopes_off", float(len(off)), "slopes"),
        ],
        f"Half a standard deviation apart the slopes of {objectives} objectives at their best and at a wrong critic "
        f"lie between {steepest[0]:.2f} and {flattest[0]:.2f}, and at {number(ends[0], 'samples'):g} samples the "
        f"error is within a factor of {max(factors):.2f} of the exact one. On the other pairs {len(off)} slopes of "
        f"losses with a finite variance are more than {limit['slope_gap']:g} away from -1/2, and {infinite}.",
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
    "D6": Judge(
        _sample_average,
        frozenset(
            {
                *("distance", "confidence", "slope_gap", "factor"),
                *("contradicting_slope", "contradicting_bias"),
            }
        ),
    ),
}
