"""The metrics by name: title, unit, orientation and definition, as data for axes, tables and the paper.

A metric's full name states the number of samples it was measured with: `fid_n599` is stem `fid`, N = 599.
`diverged`, `collapsed` and `missed` describe a whole run of one seed and carry no N.
"""

import re
from dataclasses import dataclass

from pipeline.config import RingData, Setting
from pipeline.errors import unknown


@dataclass(frozen=True)
class Metric:
    """`higher_is_better` is None where neither direction is better; `description` is a line of the paper."""

    title: str
    unit: str
    higher_is_better: bool | None
    description: str


RING_METRICS = {
    "modes_covered": Metric(
        "Modes covered",
        "modes",
        True,
        "modes with at least one high-quality sample (nearer than 3 std to the mode)",
    ),
    "modes_tenth_share": Metric(
        "Modes with a tenth of their share",
        "modes",
        True,
        "modes whose high-quality samples number at least a tenth of the mode's expected share of N",
    ),
    "modes_occupied": Metric(
        "Modes occupied",
        "modes",
        True,
        "modes nearest to at least a tenth of their expected share of the samples, whatever their quality",
    ),
    "high_quality": Metric(
        "High-quality fraction",
        "fraction",
        True,
        "share of samples nearer than 3 std to their nearest mode; a perfect sampler has 1 - exp(-9/2)",
    ),
    "reverse_kl_modes": Metric(
        "Reverse KL of modes",
        "nats",
        False,
        "KL(generated || data) of the histogram over modes, every sample counted at its nearest mode",
    ),
    "largest_mode_share": Metric(
        "Largest mode share",
        "fraction",
        False,
        "largest share of samples at one nearest mode; 1/K for equal modes",
    ),
    "jsd": Metric(
        "Jensen-Shannon divergence",
        "nats",
        False,
        "plug-in estimate against the exact density on a fixed partition (nearest mode x radius x angle); "
        "a lower bound of the JSD but for sampling noise, at most log 2",
    ),
    "kl_forward": Metric(
        "KL(p || q)",
        "nats",
        False,
        "exact data density p, density q by the 5th nearest neighbour; large where modes are missed or "
        "too narrow, then a lower bound; may be slightly negative for equal densities",
    ),
    "kl_reverse": Metric(
        "KL(q || p)",
        "nats",
        False,
        "exact data density p, density q by the 5th nearest neighbour; large where samples are bad, or lie "
        "on a thinner set than the data",
    ),
}

IMAGE_METRICS = {
    "fid": Metric(
        "FID",
        "mean square feature",
        False,
        "Fréchet distance of normals fitted to classifier features of N fakes and N held-out images",
    ),
    "kid": Metric(
        "KID",
        "squared MMD",
        False,
        "unbiased squared MMD with a cubic kernel, one subset of all N; for equal laws it scatters around 0",
    ),
    "precision": Metric(
        "Precision",
        "fraction",
        True,
        "fakes inside the manifold of held-out images (3 nearest neighbours in feature space)",
    ),
    "recall": Metric(
        "Recall",
        "fraction",
        True,
        "held-out images inside the manifold of fakes (3 nearest neighbours in feature space)",
    ),
    "classes_covered": Metric(
        "Classes covered",
        "classes",
        True,
        "classes that the classifier gives at least a tenth of their held-out share of the N fakes",
    ),
    "reverse_kl_classes": Metric(
        "Reverse KL of classes",
        "nats",
        False,
        "KL(generated || held-out) of the classifier's class frequencies and the held-out labels'",
    ),
}

RUN_METRICS = {
    "collapsed": Metric(
        "Collapsed",
        "0 or 1",
        False,
        "1 when the samples reached the data and the modes occupied (classes covered) are fewer than the "
        "benchmark's share of all that counts as collapse",
    ),
    "missed": Metric(
        "Missed the data",
        "0 or 1",
        False,
        "1 when no mode holds a tenth of its share of high-quality samples (images: precision below 0.1)",
    ),
    "diverged": Metric(
        "Diverged",
        "0 or 1",
        False,
        "1 when a loss, a parameter or a sample of the seed became infinite or NaN",
    ),
}

METRICS: dict[str, Metric] = {**RING_METRICS, **IMAGE_METRICS, **RUN_METRICS}


def full_name(stem: str, n: int) -> str:
    """The name of a metric measured with n samples: fid, 599 -> fid_n599."""
    return stem if stem in RUN_METRICS else f"{stem}_n{n}"


def split_name(name: str) -> tuple[str, int | None]:
    """fid_n599 -> (fid, 599); N is None for the metrics of a whole run.

    Raises UserError naming the nearest known metric.
    """
    match = re.fullmatch(r"(.+)_n([0-9]+)", name)
    stem, n = (match[1], int(match[2])) if match else (name, None)
    if stem not in METRICS or (n is None) != (stem in RUN_METRICS):
        raise unknown("metric", stem, METRICS, name)
    return stem, n


def measured(setting: Setting) -> tuple[str, ...]:
    """Full names of the metrics of one benchmark, in reporting order, without `collapsed` and `diverged`."""
    stems = RING_METRICS if isinstance(setting.data, RingData) else IMAGE_METRICS
    return tuple(full_name(stem, setting.evaluation_samples) for stem in stems)
