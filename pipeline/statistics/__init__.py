"""From the values of seeds to points, intervals, comparisons and components of variance.

`comparing` and `variance` are imported by their own names: what needs intervals only does not depend on them.
"""

from pipeline.statistics.intervals import (
    CONFIDENCE,
    TAIL,
    Array,
    Interval,
    count_to_interval,
    interquartile_mean,
    mean_to_interval,
    seeds_to_interval,
    strata_to_interval,
)

__all__ = [
    "CONFIDENCE",
    "TAIL",
    "Array",
    "Interval",
    "count_to_interval",
    "interquartile_mean",
    "mean_to_interval",
    "seeds_to_interval",
    "strata_to_interval",
]
