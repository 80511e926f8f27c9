"""How much of a metric's spread is training, how much is evaluation.

One-way random effects: value of resample j of seed i = mean + a_i + e_ij, Var a = training variance (train
again), Var e = evaluation variance (draw other samples from the same generator).
With mean squares MSB between and MSW within seeds, E MSW = Var e and E MSB = Var e + R Var a.
Searle, Casella & McCulloch 1992, "Variance Components", chapter 3.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_distribution

from pipeline.statistics.intervals import CONFIDENCE, Array


class Variances(NamedTuple):
    """Components of the variance of one evaluation of one training, and the share that is training's.

    evaluation_error: the Monte Carlo standard error of one evaluation, in the metric's unit.
    """

    training: float
    evaluation: float
    training_share: float
    low: float
    high: float
    evaluation_error: float


def variance_components(values: Array) -> Variances:
    """Values (S, R), R evaluations of each of S trainings -> training and evaluation variance.

    training = (MSB - MSW) / R, at least 0 (unbiased before it is cut); evaluation = MSW; the share
    (F - 1) / (F + R - 1) of F = MSB / MSW, at least 0. Its 95 % interval is exact for normal a and e: F over
    its own quantiles at S - 1 and S (R - 1) degrees of freedom. Without evaluation variance the share is 1;
    without any it is NaN, as all are with fewer than two seeds.
    Raises ValueError for R < 2 and for values that are not finite.
    """
    if values.ndim != 2 or values.shape[1] < 2 or not bool(np.isfinite(values).all()):
        raise ValueError(
            f"values: must be finite, (S, R) with R >= 2 evaluations of each seed; got {values.shape}"
        )
    S, R = values.shape
    if S < 2:
        return Variances(*[math.nan] * 6)
    means = values.mean(axis=1)
    between = R * float(means.var(ddof=1))
    within = float(values.var(axis=1, ddof=1).mean())
    # Equal values, added up and divided again, may differ in their last digit.
    smallest = (4 * np.finfo(float).eps * float(np.abs(values).max())) ** 2 * R
    between, within = (0.0 if square <= smallest else square for square in (between, within))
    training = max(0.0, (between - within) / R)
    error = math.sqrt(within)
    if within == 0:
        share = 1.0 if between > 0 else math.nan
        return Variances(training, within, share, share, share, error)
    ratio = between / within
    freedom = (S - 1, S * (R - 1))
    tails = f_distribution.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], *freedom)
    low, high = (max(0.0, (ratio / tail - 1) / (ratio / tail + R - 1)) for tail in tails)
    return Variances(training, within, max(0.0, (ratio - 1) / (ratio + R - 1)), low, high, error)
