"""One estimator on every pair it is meant for: what it says, against what is true.

Every repeat has its own samples, the same for all estimators, and its own randomness of the estimator, but
for critics: those train in stacks of repeats that share first weights and halves.

    bias = mean over the repeats - truth,   spread = standard deviation over the repeats

With k = t (1 + 1/n)^(1/2) spreads, t the 95 % quantile of Student's t for n repeats, a new estimate exceeds
mean + k one time in 20, as far as estimates are normal; where they are skewed at q = p, as those of kernels
and projections, up to twice as often. From the equal pair of a family come the `floor`, the mean at q = p,
and `critical` = mean + k. A pair is told from zero when its mean - k is at least `critical`; `smallest` is
the least truth from which on every pair that was tried is told, `smallest_distance` how far apart its normals
are, and `not_told` the largest truth of a pair that is not told: nothing is interpolated.

A pair is misjudged when its mean is off by more than WRONG of its truth, one of infinite truth always. What
can be believed lies above `least`, the largest mean + k of pairs whose divergence is overstated (`critical`,
where that is larger), and up to `largest`, the least mean - k of those understated. `beyond` says what a
larger estimate is: "wrong", as large as one of a pair that was misjudged, or "untried", larger than that of
every pair. Where a pair has, within 1 %, the largest value that there is (log 2, say) and none is
understated, `largest` is infinite. Pairs whose mean is at most `critical` are left out of these: the estimate
itself says that it tells nothing.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from pipeline.calibration.pairs import Pair
from pipeline.metrics.estimators.interface import QUANTITIES, Estimator
from pipeline.metrics.streams import torch_generator

TRIAL_COLUMNS = ["quantity", "pair", "n", "repeats", "truth", "mean", "spread", "lost"]
LIMIT_COLUMNS = [
    *("quantity", "family", "n", "repeats", "floor", "critical", "smallest", "smallest_distance", "not_told"),
    *("least", "largest", "beyond"),
]
# (from this N on, from this D on, a so manieth of the repeats): so an estimator takes minutes, not hours.
SLOW = {
    "nearest_neighbours": ((10_000, 16, 12),),
    "kernel": ((5000, 1, 5),),
    "optimal_transport": ((1000, 1, 5), (2000, 1, 10)),
}
REJECTS = "two_sample_rejects"  # of the two-sample test: its mean is the share of p-values up to LEVEL
LEVEL = 0.05
STACK = 10
CONFIDENCE = 0.95  # one-sided
WRONG = 0.25
Row = tuple[Any, ...]


def try_estimator(
    estimator: Estimator,
    pairs: Iterable[Pair],
    samples: tuple[int, ...],
    repeats: int,
    stacked: bool,
    told: Callable[[str], None] = lambda line: None,
) -> tuple[list[Row], dict[int, float]]:
    """Rows (TRIAL_COLUMNS) by pair, N and quantity, and the median seconds of one estimate for each N.

    Of an N beyond the estimator's `largest_samples` only the first is tried, and called by what it looks at.
    """
    rows: list[Row] = []
    seconds: dict[int, list[float]] = {}
    for pair in pairs:
        for n in _sizes(estimator, samples):
            count = _repeats(estimator, n, pair.dimensions, repeats)
            values, took = _estimates(estimator, pair, n, count, stacked)
            seconds.setdefault(n, []).append(took / count)
            for quantity in estimator.quantities:
                rows += _rows(quantity, pair, n, values[quantity].numpy())
            if "two_sample_p_value" in values:
                rows.append(_rejections(pair, n, values["two_sample_p_value"].numpy()))
        told(pair.name)
    return rows, {n: float(np.median(found)) for n, found in seconds.items()}


def _sizes(estimator: Estimator, samples: tuple[int, ...]) -> list[int]:
    most = estimator.largest_samples or max(samples)
    return sorted({min(n, most) for n in samples if min(n, most) >= estimator.smallest_samples})


def _repeats(estimator: Estimator, n: int, dimensions: int, repeats: int) -> int:
    parts = [
        part
        for least_n, least_dimensions, part in SLOW.get(estimator.name, ())
        if n >= least_n and dimensions >= least_dimensions
    ]
    return max(2, repeats // max(parts, default=1))


def _estimates(
    estimator: Estimator, pair: Pair, n: int, repeats: int, stacked: bool
) -> tuple[dict[str, Tensor], float]:
    """{quantity: (repeats,)} and the seconds of all."""
    found: list[dict[str, Tensor]] = []
    took = 0.0
    # Several stacks, so that the spread holds that of the first weights.
    size = max(1, min(STACK, repeats // 2)) if stacked else 1
    for first in range(0, repeats, size):
        batch = range(first, min(first + size, repeats))
        real = torch.stack(
            [pair.real(n, torch_generator("calibration real", pair.family, n, i)) for i in batch]
        )
        fake = torch.stack(
            [pair.fake(n, torch_generator("calibration fake", pair.name, n, i)) for i in batch]
        )
        own = torch_generator("calibration", estimator.name, pair.name, n, first)
        start = time.perf_counter()
        found.append(estimator(real, fake, own))
        took += time.perf_counter() - start
    return {name: torch.cat([one[name] for one in found]) for name in estimator.quantities}, took


def _rows(quantity: str, pair: Pair, n: int, values: np.ndarray) -> list[Row]:
    truth = truth_of(quantity, pair)
    if truth is None:
        return []
    finite = values[np.isfinite(values)]
    mean, spread = (
        (float(finite.mean()), float(finite.std(ddof=1))) if len(finite) > 1 else (math.nan, math.nan)
    )
    return [(quantity, pair.name, n, len(values), truth, mean, spread, len(values) - len(finite))]


def _rejections(pair: Pair, n: int, p_values: np.ndarray) -> Row:
    """Share of the repeats in which the test rejects p = q: the level at equal laws, else its power."""
    truth = LEVEL if pair.size == 0 else math.nan
    rejected = (p_values <= LEVEL).astype(np.float64)
    return (REJECTS, pair.name, n, len(rejected), truth, float(rejected.mean()), float(rejected.std()), 0)


def truth_of(quantity: str, pair: Pair) -> float | None:
    """The exact value; a lower bound is held against what it bounds. None where nothing exact is known."""
    return pair.truth.get(quantity.removesuffix("_bound"))


def trial_to_limits(rows: list[Row], pairs: list[Pair]) -> list[Row]:
    """Rows (LIMIT_COLUMNS): one for each quantity, family and N."""
    of = {pair.name: pair for pair in pairs}
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        entry = dict(zip(TRIAL_COLUMNS, row, strict=True))
        if entry["quantity"] == REJECTS:
            continue
        groups.setdefault((entry["quantity"], of[entry["pair"]].family, entry["n"]), []).append(entry)
    limits = []
    for (quantity, family, n), group in groups.items():
        equal = next((entry for entry in group if of[entry["pair"]].size == 0), None)
        if equal is None:
            continue
        floor, critical = equal["mean"], equal["mean"] + _reach(equal)
        line = sorted(group, key=lambda entry: entry["truth"])
        smallest = _smallest(line, critical)
        apart = math.nan
        if smallest is not None and of[equal["pair"]].family.startswith("normals"):
            apart = of[smallest["pair"]].size
        truth = math.nan if smallest is None else smallest["truth"]
        missed = [entry["truth"] for entry in line if entry is not equal and not _is_told(entry, critical)]
        not_told = max(missed, default=math.nan)
        believed = _believed(line, quantity, critical)
        limits.append(
            (quantity, family, n, equal["repeats"], floor, critical, truth, apart, not_told, *believed)
        )
    return limits


def _reach(entry: dict[str, Any]) -> float:
    """How far above its mean a new estimate is one time in 20."""
    n = entry["repeats"] - entry["lost"]
    quantile = float(stdtrit(n - 1, CONFIDENCE)) if n > 1 else math.nan
    return quantile * math.sqrt(1 + 1 / max(n, 1)) * float(entry["spread"])


def _smallest(line: list[dict[str, Any]], critical: float) -> dict[str, Any] | None:
    """None where not even the farthest pair is told from zero."""
    least = None
    for entry in reversed(line):
        if not _is_told(entry, critical):
            break
        least = entry
    return least


def _is_told(entry: dict[str, Any], critical: float) -> bool:
    return bool(entry["mean"] - _reach(entry) >= critical)


def _believed(line: list[dict[str, Any]], quantity: str, critical: float) -> tuple[float, float, str]:
    """(least, largest, beyond) of pairs in the order of their truth; NaN without a mean above `critical`."""
    known = QUANTITIES[quantity.removesuffix("_bound")]
    seen = [entry for entry in line if entry["mean"] > critical]
    if not seen:
        return math.nan, math.nan, ""
    understated = [
        max(critical, entry["mean"] - _reach(entry))
        for entry in seen
        if not entry["mean"] >= entry["truth"] - WRONG * abs(entry["truth"] - known.at_equal)
    ]
    overstated = [
        entry["mean"] + _reach(entry)
        for entry in seen
        if entry["mean"] > entry["truth"] + WRONG * abs(entry["truth"] - known.at_equal)
    ]
    least = max([critical, *overstated])
    if understated:
        return least, min(understated), "wrong"
    if known.largest is not None and line[-1]["truth"] >= 0.99 * known.largest:
        return least, math.inf, ""
    return least, max(float(entry["mean"]) for entry in seen), "untried"
