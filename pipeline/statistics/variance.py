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

# Of the largest value squared: a variance below it is a residue of rounding, which is 4e-15 in float32.
ROUNDING = 1e-13


class Variances(NamedTuple):
    """Components of the variance of one evaluation of one training, and the share that is training's.

    low, high: of the share; NaN where it has no interval.
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
    its own quantiles at S - 1 and S (R - 1) degrees of freedom. A component below ROUNDING
    is 0. Where the resamples of no seed differ the share is 1, and its ends are NaN: a few equal values, most
    often counts, do not show that more would be equal, and F says nothing of them. Without any variance the
    share is NaN too, as all are with fewer than two seeds.
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
    smallest = ROUNDING * float(np.abs(values).max()) ** 2
    within = within if within > smallest else 0.0
    training = (between - within) / R
    # Equal mean squares, too, may differ in their last digit.
    training = training if training > smallest else 0.0
    error = math.sqrt(within)
    if within == 0:
        return Variances(training, within, 1.0 if training > 0 else math.nan, math.nan, math.nan, error)
    ratio = between / within
    freedom = (S - 1, S * (R - 1))
    tails = f_distribution.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], *freedom)
    low, high = (max(0.0, (ratio / tail - 1) / (ratio / tail + R - 1)) for tail in tails)
    share = (ratio - 1) / (ratio + R - 1) if training > 0 else 0.0
    return Variances(training, within, share, low, high, error)
