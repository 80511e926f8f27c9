"""One estimator on every pair it is meant for: what it says, against what is true.

Every repeat has its own samples, the same for all estimators, and its own randomness of the estimator, but
for critics: those train in stacks of STACK repeats that share first weights and halves.

    bias = mean over the repeats - truth,   spread = standard deviation over the repeats

From the equal pair of a family, `critical` is the value that one estimate in 20 exceeds when q = p (mean +
1.645 spread, Currie 1968), and `smallest` the least truth that is told from zero 19 times in 20: where mean -
1.645 spread reaches `critical`, by linear interpolation between the pairs in the order of their truth;
`smallest_distance` is how far apart two normals of this truth are. `largest` is the greatest truth up to
which the estimate, as it stands or less its `floor` (the mean at q = p), is right to WRONG of the truth or,
where that is more, to `critical` - `floor`.
"""

import math
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from pipeline.calibration.pairs import DISTANCES, Pair
from pipeline.calibration.truths import normals_to_truth
from pipeline.metrics.estimators.interface import QUANTITIES, Estimator
from pipeline.metrics.streams import torch_generator

TRIAL_COLUMNS = ["quantity", "pair", "n", "repeats", "truth", "mean", "spread", "lost"]
LIMIT_COLUMNS = ["quantity", "family", "n", "floor", "critical", "smallest", "smallest_distance", "largest"]
# (from this N on, from this D on, a so manieth of the repeats): so an estimator takes minutes, not hours.
SLOW = {
    "nearest_neighbours": ((2500, 16, 5), (10_000, 16, 10)),
    "kernel": ((5000, 1, 5),),
    "optimal_transport": ((1000, 1, 5), (2000, 1, 10)),
    "critic_ratio": ((5000, 1, 5),),
    "logistic_ratio": ((2500, 1, 5),),
}
STACK = 10
ONE_SIDED = 1.645  # the 95 % quantile of a normal
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
    size = STACK if stacked else 1
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


def truth_of(quantity: str, pair: Pair) -> float | None:
    """The exact value; a lower bound is held against what it bounds. None where nothing exact is known."""
    return pair.truth.get(quantity.removesuffix("_bound"))


def trial_to_limits(rows: list[Row], pairs: list[Pair]) -> list[Row]:
    """Rows (LIMIT_COLUMNS): one for each quantity, family and N."""
    of = {pair.name: pair for pair in pairs}
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        entry = dict(zip(TRIAL_COLUMNS, row, strict=True))
        groups.setdefault((entry["quantity"], of[entry["pair"]].family, entry["n"]), []).append(entry)
    limits = []
    for (quantity, family, n), group in groups.items():
        equal = next((entry for entry in group if of[entry["pair"]].size == 0), None)
        if equal is None:
            continue
        floor, critical = equal["mean"], equal["mean"] + ONE_SIDED * equal["spread"]
        line = sorted(
            (entry for entry in group if math.isfinite(entry["truth"])), key=lambda entry: entry["truth"]
        )
        smallest = _smallest(line, critical)
        apart = _distance(quantity, smallest, of[equal["pair"]])
        largest = _largest(line, quantity, floor, critical, smallest)
        limits.append((quantity, family, n, floor, critical, smallest, apart, largest))
    return limits


def _smallest(line: list[dict[str, Any]], critical: float) -> float:
    """NaN where not even the farthest pair is told from zero."""
    for near, far in pairwise(line):
        low, high = (entry["mean"] - ONE_SIDED * entry["spread"] for entry in (near, far))
        if high >= critical:
            share = 0.0 if low >= critical else (critical - low) / (high - low)
            return float(near["truth"] + share * (far["truth"] - near["truth"]))
    return math.nan


def _distance(quantity: str, truth: float, equal: Pair) -> float:
    """The distance of two normals with this truth; NaN of another family, or where there is no truth."""
    if math.isnan(truth) or not equal.family.startswith("normals"):
        return math.nan
    name = quantity.removesuffix("_bound")

    def excess(distance: float) -> float:
        return normals_to_truth(distance, equal.dimensions)[name] - truth

    if excess(0.0) >= 0:
        return 0.0
    return float(brentq(excess, 0.0, max(DISTANCES), xtol=1e-6))


def _largest(
    line: list[dict[str, Any]], quantity: str, floor: float, critical: float, smallest: float
) -> float:
    """Of the pairs that are told from zero: NaN where it is wrong from the first."""
    rest = QUANTITIES[quantity.removesuffix("_bound")].at_equal
    known = math.nan
    for entry in line:
        if not entry["truth"] >= smallest:
            continue
        allowed = max(WRONG * abs(entry["truth"] - rest), critical - floor)
        error = entry["mean"] - entry["truth"]
        if not min(abs(error), abs(error - (floor - rest))) <= allowed:
            break
        known = entry["truth"]
    return known
