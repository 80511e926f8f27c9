"""The claim on sample averages, judged from reports/results/calibration: D6."""

import math
from dataclasses import dataclass

from scipy.special import ndtri, stdtrit

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict
from pipeline.claims.results import Results
from pipeline.errors import UserError

AVERAGE = "calibration/sample_average.csv"


@dataclass(frozen=True)
class _Average:
    """One objective, critic and pair, at its largest N; the exact error is deviation / sqrt(N)."""

    name: str
    distance: float
    scale: float  # standard deviation of the second normal, over that of the first
    is_finite: bool
    samples: float
    repeats: float
    slope: float
    slope_error: float
    bias: float  # |mean of all averages - expectation|
    error: float
    deviation: float  # nan where the variance is infinite

    @property
    def exact_error(self) -> float:
        return self.deviation / math.sqrt(self.samples)

    @property
    def factor(self) -> float:
        """Of the measured and the exact error, the larger over the smaller."""
        return max(self.error / self.exact_error, self.exact_error / self.error)


def _averages(results: Results, distance: float) -> tuple[list[_Average], list[_Average]]:
    """Those of the pair of one width and this distance, and all others.

    Raises UserError where the first are missing.
    """
    numbers = ("samples", "repeats", "slope", "slope_standard_error", "mean", "root_mean_square_error")
    columns = ("objective", "critic", "pair", "distance", "scale", "is_variance_finite", "expectation")
    rows = results.rows(AVERAGE, *columns, "deviation", *numbers)
    judged: list[_Average] = []
    others: list[_Average] = []
    largest = max(results.numbers(AVERAGE, "samples"))
    for row in rows:
        name = f"{row['objective']}_{row['critic']}_{row['pair']}"

        def number(column: str, row: dict[str, str] = row, name: str = name) -> float:
            return results.to_number(row[column], AVERAGE, f"{column} of {name}")

        if number("samples") < largest:
            continue
        is_finite = number("is_variance_finite") == 1
        samples, repeats, slope, slope_error, mean, error = (number(column) for column in numbers)
        bias = abs(mean - number("expectation"))
        deviation = number("deviation") if is_finite else math.nan
        pair = (number("distance"), number("scale"))
        one = _Average(name, *pair, is_finite, samples, repeats, slope, slope_error, bias, error, deviation)
        (judged if pair == (distance, 1) else others).append(one)
    if not judged or not all(one.is_finite for one in judged):
        raise UserError(f"{results.folder / AVERAGE}: no pair of equal normals {distance:g} apart")
    return judged, others


def _sample_average(results: Results, limit: Thresholds) -> Finding:
    judged, others = _averages(results, limit["distance"])
    repeats, samples = judged[0].repeats, judged[0].samples
    tail = 1 - (1 - limit["confidence"]) / (4 * len(judged))  # Bonferroni: slope and mean, two sides
    of_slope, of_mean = float(stdtrit(repeats - 1, tail)), float(ndtri(tail)) / math.sqrt(repeats)
    verdict: Verdict = "inconclusive"
    if any(
        one.slope - of_slope * one.slope_error > limit["contradicting_slope"]
        or one.bias - of_mean * one.exact_error > limit["contradicting_bias"] * one.deviation
        for one in judged
    ):
        verdict = "contradicted"
    elif all(
        abs(one.slope + 0.5) <= max(limit["slope_gap"], of_slope * one.slope_error)
        and one.bias <= of_mean * one.exact_error
        and one.factor <= limit["factor"]
        for one in judged
    ):
        verdict = "supported"
    steepest, *_, flattest = sorted(judged, key=lambda one: one.slope)
    factor = max(one.factor for one in judged)
    heavy = [one for one in others if not one.is_finite]
    off = [one for one in others if one.is_finite and abs(one.slope + 0.5) > limit["slope_gap"]]
    infinite = "no loss has an infinite variance"
    if heavy:
        infinite = f"the {len(heavy)} of losses whose variance is infinite {_lie(heavy)}"

    def slope(name: str, one: _Average) -> Evidence:
        reach = of_slope * one.slope_error
        return Evidence(name, one.slope, "1", one.slope - reach, one.slope + reach)

    return Finding(
        verdict,
        [
            Evidence("slopes", float(len(judged)), "slopes"),
            slope("steepest_slope", steepest),
            slope("flattest_slope", flattest),
            Evidence(
                "largest_bias",
                max(one.bias / one.exact_error for one in judged) * math.sqrt(repeats),
                "standard errors of the mean of all averages",
            ),
            Evidence("largest_factor", factor, "measured over exact error, or its inverse"),
            Evidence("largest_samples", samples, "samples"),
            Evidence("other_slopes", float(len(others) - len(heavy)), "slopes"),
            Evidence("other_slopes_off", float(len(off)), "slopes"),
            *(slope(f"slope_infinite_{one.name}", one) for one in heavy),
        ],
        f"Between normals {limit['distance']:g} standard deviations apart the {len(judged)} slopes, of all "
        f"objectives at their best and at a wrong critic, lie between {steepest.slope:.2f} and "
        f"{flattest.slope:.2f}, and at {samples:g} samples the error is within a factor of {factor:.2f} of "
        f"the exact one. Each slope is of {repeats:g} repeats. The verdict is on this pair alone"
        + (f", not on {_pairs(others)}" if others else "")
        + f". There {len(off)} of {len(others) - len(heavy)} slopes of losses with a finite variance are "
        f"more than {limit['slope_gap']:g} away from -1/2"
        + (f" (they {_lie(off)})" if off else "")
        + f", and {infinite}.",
    )


def _lie(slopes: list[_Average]) -> str:
    low, high = min(one.slope for one in slopes), max(one.slope for one in slopes)
    return f"lie between {low:.2f} and {high:.2f}"


def _pairs(averages: list[_Average]) -> str:
    """The pairs of normals, by their distance and how much wider the second is."""
    pairs = dict.fromkeys((one.distance, one.scale) for one in averages)
    return " or ".join(
        f"the one {distance:g} apart"
        + ("" if scale == 1 else f" with a second normal {scale:.3g} times as wide")
        for distance, scale in pairs
    )


JUDGES = {
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
