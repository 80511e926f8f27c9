"""The metrics by name: title, unit, orientation and definition, as data for axes, tables and the paper.

A metric's full name states its protocol: the number of fakes, and of an image metric the split of real
images and the network whose features it reads. `jsd_n10000` is stem `jsd`, N = 10000;
`fid_n599_held_out_classifier` is FID of 599 fakes against the held-out images, in the features of the data
set's own classifier. `diverged`, `collapsed` and `missed` describe a whole run of one seed: a stem alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.config import MixtureData, Setting, StackedDigitsData
from pipeline.errors import unknown

HELD_OUT = "held_out"
CLASSIFIER = "classifier"  # the backbone that every image data set has


@dataclass(frozen=True)
class Metric:
    """`higher_is_better` is None where neither direction is better; `description` is a line of the paper.

    through_training: cheap enough to be measured at every checkpoint, not only at the end.
    """

    title: str
    unit: str
    higher_is_better: bool | None
    description: str
    through_training: bool = False


RING_METRICS = {
    "modes_covered": Metric(
        "Modes covered",
        "modes",
        True,
        "modes with at least one high-quality sample (nearer than 3 std to the mode)",
        through_training=True,
    ),
    "modes_tenth_share": Metric(
        "Modes with a tenth of their share",
        "modes",
        True,
        "modes whose high-quality samples number at least a tenth of the mode's expected share of N",
        through_training=True,
    ),
    "modes_occupied": Metric(
        "Modes occupied",
        "modes",
        True,
        "modes nearest to at least a tenth of their expected share of the samples, whatever their quality",
        through_training=True,
    ),
    "high_quality": Metric(
        "High-quality fraction",
        "fraction",
        True,
        "share of samples nearer than 3 std to their nearest mode; a perfect sampler has 1 - exp(-9/2)",
        through_training=True,
    ),
    "reverse_kl_modes": Metric(
        "Reverse KL of modes",
        "nats",
        False,
        "KL(generated || data) of the histogram over modes, every sample counted at its nearest mode",
        through_training=True,
    ),
    "largest_mode_share": Metric(
        "Largest mode share",
        "fraction",
        False,
        "largest share of samples at one nearest mode; 1/K for equal modes",
        through_training=True,
    ),
    "jsd": Metric(
        "Jensen-Shannon divergence",
        "nats",
        False,
        "plug-in estimate against the exact density on a fixed partition (nearest mode x radius x angle); "
        "a lower bound of the JSD but for sampling noise, at most log 2",
        through_training=True,
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
    "mode_overlap": Metric(
        "Overlap of modes",
        "fraction",
        True,
        "share-weighted modes: sum over modes of the smaller of their share and the data's, 1 - TV",
        through_training=True,
    ),
    "effective_modes": Metric(
        "Effective modes",
        "modes",
        True,
        "1 / (probability that two samples have one nearest mode), from all pairs (birthday paradox); K for "
        "equal shares",
        through_training=True,
    ),
    "mode_spread_ratio": Metric(
        "Spread within modes",
        "ratio",
        None,
        "std of the samples of a mode around their own centre over the data's, distances cut at 3 std, "
        "median over occupied modes; below 1 collapse within modes, above 1 blur",
        through_training=True,
    ),
    "support_size": Metric(
        "Effective support",
        "samples",
        None,
        "1 / (probability that two samples are nearer than a tenth of a std), from all pairs (birthday "
        "paradox); above a perfect sampler's by blur",
    ),
}

IMAGE_METRICS = {
    "fid": Metric(
        "FID",
        "mean square feature",
        False,
        "Fréchet distance of normals fitted to the features of N fakes and of the held-out images",
        through_training=True,
    ),
    "fid_infinity": Metric(
        "FID, N to infinity",
        "mean square feature",
        False,
        "FID at 8 numbers of fakes from N/5 to N, by a line in 1/N extrapolated to infinitely many; meant "
        "for more fakes than five times the features",
    ),
    "kid": Metric(
        "KID",
        "squared MMD",
        False,
        "unbiased squared MMD with a cubic kernel over all pairs; for equal laws it scatters around 0",
    ),
    "precision_k3": Metric(
        "Precision",
        "fraction",
        True,
        "fakes inside the manifold of held-out images (3 nearest neighbours in feature space)",
        through_training=True,
    ),
    "recall_k3": Metric(
        "Recall",
        "fraction",
        True,
        "held-out images inside the manifold of fakes (3 nearest neighbours in feature space)",
        through_training=True,
    ),
    "density_k5": Metric(
        "Density",
        "held-out images",
        None,
        "held-out images whose ball to their 5th neighbour holds a fake, counted per fake and over 5; 1 for "
        "equal laws, more where fakes crowd where held-out images do",
    ),
    "coverage_k5": Metric(
        "Coverage",
        "fraction",
        True,
        "held-out images whose ball to their 5th neighbour holds a fake",
        through_training=True,
    ),
    "classes_covered": Metric(
        "Classes covered",
        "classes",
        True,
        "classes that the classifier gives at least a tenth of their held-out share of the N fakes",
        through_training=True,
    ),
    "reverse_kl_classes": Metric(
        "Reverse KL of classes",
        "nats",
        False,
        "KL(generated || held-out) of the classifier's class frequencies and the held-out labels'",
        through_training=True,
    ),
    "classes_captured": Metric(
        "Classes captured",
        "classes",
        True,
        "classes that the classifier gives at least one of the N fakes",
        through_training=True,
    ),
    "class_overlap": Metric(
        "Overlap of classes",
        "fraction",
        True,
        "share-weighted classes: sum over classes of the smaller of their share and the held-out one, 1 - TV",
        through_training=True,
    ),
    "largest_class_share": Metric(
        "Largest class share",
        "fraction",
        False,
        "largest share of fakes that the classifier gives one class",
        through_training=True,
    ),
    "effective_classes": Metric(
        "Effective classes",
        "classes",
        True,
        "1 / (probability that two fakes have one class), from all pairs (birthday paradox)",
        through_training=True,
    ),
    "class_spread_ratio": Metric(
        "Spread within classes",
        "ratio",
        None,
        "root of the trace of the features' covariance within a class, fakes over held-out images, median "
        "over classes covered; below 1 collapse within classes",
        through_training=True,
    ),
    "image_support": Metric(
        "Effective support",
        "images",
        None,
        "1 / (probability that two fakes are as near in pixels as the nearest 1 in 1000 pairs of held-out "
        "images), from all pairs (birthday paradox); 1000 for the held-out images themselves, more by noise",
    ),
}

RUN_METRICS = {
    "collapsed": Metric(
        "Collapsed",
        "0 or 1",
        False,
        "1 when the samples reached the data and the modes occupied (classes covered; of stacked digits "
        "captured) are fewer than the benchmark's share of all that counts as collapse",
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
# What a name states beside the stem: N; N, split and backbone; nothing.
PROTOCOLS: dict[str, str] = {
    stem: kind
    for kind, metrics in (("n", RING_METRICS), ("n_split_backbone", IMAGE_METRICS), ("run", RUN_METRICS))
    for stem in metrics
}
# Measured in the features of every backbone; the others need the classifier's labels.
FEATURE_STEMS = ("fid", "fid_infinity", "kid", "precision_k3", "recall_k3", "density_k5", "coverage_k5")
# Of three digits beside each other; of more fakes than `STACKED_AT_MOST` the first so many are taken.
STACKED_STEMS = (
    *("fid", "precision_k3", "coverage_k5", "classes_captured", "classes_covered", "class_overlap"),
    *("reverse_kl_classes", "largest_class_share", "effective_classes", "class_spread_ratio"),
)
STACKED_AT_MOST: Mapping[str, int] = {"precision_k3": 1000, "coverage_k5": 1000}


class MetricName(NamedTuple):
    """A full name taken apart; what it does not state is None."""

    stem: str
    n: int | None = None
    split: str | None = None
    backbone: str | None = None


def full_name(stem: str, n: int, backbone: str = CLASSIFIER) -> str:
    """The name of a metric of n fakes: fid, 599 -> fid_n599_held_out_classifier; jsd, 500 -> jsd_n500."""
    kind = PROTOCOLS[stem]
    if kind == "run":
        return stem
    return f"{stem}_n{n}" if kind == "n" else f"{stem}_n{n}_{HELD_OUT}_{backbone}"


def split_name(name: str) -> MetricName:
    """fid_n599_held_out_classifier -> (fid, 599, held_out, classifier); jsd_n500 -> (jsd, 500, None, None).

    Raises UserError naming the nearest known metric.
    """
    match = re.fullmatch(rf"(.+)_n([0-9]+)(?:_({HELD_OUT})_([a-z0-9_]+))?", name)
    found = MetricName(match[1], int(match[2]), match[3], match[4]) if match else MetricName(name)
    stated = "run" if found.n is None else "n" if found.split is None else "n_split_backbone"
    if PROTOCOLS.get(found.stem) != stated:
        raise unknown("metric", found.stem, METRICS, name)
    return found


def measured(setting: Setting, backbones: Iterable[str] = ()) -> tuple[str, ...]:
    """Full names of a benchmark's final metrics in reporting order, without those of RUN_METRICS.

    backbones: the feature networks beside the data set's own classifier, whose metrics come last.
    """
    n = setting.evaluation_samples
    own = _names(setting, _stems(setting), n)
    if isinstance(setting.data, MixtureData | StackedDigitsData):
        return own
    return own + tuple(full_name(stem, n, backbone) for backbone in backbones for stem in FEATURE_STEMS)


def measured_through_training(setting: Setting) -> tuple[str, ...]:
    """Full names of the metrics at every checkpoint, in reporting order."""
    cheap = [stem for stem in _stems(setting) if METRICS[stem].through_training]
    return _names(setting, cheap, setting.checkpoint_samples)


def _stems(setting: Setting) -> Iterable[str]:
    if isinstance(setting.data, MixtureData):
        return RING_METRICS
    return STACKED_STEMS if isinstance(setting.data, StackedDigitsData) else IMAGE_METRICS


def _names(setting: Setting, stems: Iterable[str], n: int) -> tuple[str, ...]:
    at_most = STACKED_AT_MOST if isinstance(setting.data, StackedDigitsData) else {}
    return tuple(full_name(stem, min(n, at_most.get(stem, n))) for stem in stems)
