"""Rank correlation with ties, and its interval."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST = 8  # pairs of values: below, an interval says nothing
RESAMPLES = 2000
CONFIDENCE = 0.95


def tau_b(x: Array, y: Array) -> Array:
    """Kendall's tau-b of `(..., n)` values along the last axis; NaN where all of x or all of y are equal.

    tau_b = sum_ij sign(x_i - x_j) sign(y_i - y_j) / sqrt(sum_ij sign(x_i - x_j)^2 sum_ij sign(y_i - y_j)^2).
    Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33.
    """
    by_x, by_y = (np.sign(v[..., :, None] - v[..., None, :]) for v in (x, y))
    size = np.sqrt((by_x**2).sum((-2, -1)) * (by_y**2).sum((-2, -1)))
    total: Array = (by_x * by_y).sum((-2, -1)) / np.where(size > 0, size, np.nan)
    return total


def rank_correlation(x: Array, y: Array) -> dict[str, Any] | None:
    """tau-b of `(n,)` values with its 95 % percentile bootstrap interval over the pairs: point, low, high, n.

    None with fewer than FEWEST pairs, and where all of x or all of y are equal. Same values, same numbers.
    """
    if len(x) < FEWEST or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    drawn = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    taus = tau_b(x[drawn], y[drawn])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(taus[np.isfinite(taus)], [tail, 1 - tail])
    return {"point": float(tau_b(x, y)), "low": float(low), "high": float(high), "n": len(x)}
