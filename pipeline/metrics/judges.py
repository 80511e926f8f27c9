"""One judge per kind of data: samples of one seed -> every metric of the registry for that data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from pipeline.config import MixtureData, Setting
from pipeline.data.images import Images, load_images
from pipeline.data.mixtures import Mixture, load_mixture
from pipeline.metrics import coverage, divergences, support
from pipeline.metrics.features import Classifier, load_classifier
from pipeline.metrics.registry import METRICS, full_name
from pipeline.metrics.streams import torch_generator

EVERY_SAMPLE: Mapping[str, int] = {}


class Judge(Protocol):
    """`modes` is the number of modes or classes, `counted` the stem that says how many of them are occupied.

    `reached` is the least value of a stem (stem, least) from which the samples count as having reached the
    data: noise occupies few modes too, and is not mode collapse. Both are measured through training.
    `headline`: stems measured through training that stand for the rest where only a few are wanted.
    `at_most`: of more samples a stem takes the first so many only.
    """

    modes: int
    counted: str
    reached: tuple[str, float]
    headline: tuple[str, ...]
    at_most: Mapping[str, int]

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """Samples (N, D) of one seed, as stored -> value per stem; not `final`: the through_training ones."""


class MixtureJudge:
    """Against a mixture's exact density. The N real points of KL(p || q) are the same for all samples."""

    counted = "modes_occupied"
    reached = ("modes_tenth_share", 1.0)
    headline: tuple[str, ...] = ("jsd", "modes_occupied", "high_quality")
    at_most: Mapping[str, int] = EVERY_SAMPLE

    def __init__(self, mixture: Mixture, n: int, generator: torch.Generator) -> None:
        self.modes = mixture.modes
        self.mixture = mixture
        self.partition = divergences.Partition(mixture)
        reals = mixture.sample(n, generator)
        self.reals = reals.double().numpy()
        self.log_p_reals = mixture.log_density(reals).numpy()

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """float32 samples (N, 2)."""
        nearest = coverage.nearest_modes(samples, self.mixture)
        cheap = {
            **coverage.samples_to_coverage(samples, self.mixture, nearest),
            "jsd": divergences.samples_to_jsd(samples, self.partition, nearest),
        }
        if not final:
            return cheap
        fakes, log_p = samples.double().numpy(), self.mixture.log_density(samples).numpy()
        return {
            **cheap,
            "support_size": support.samples_to_support(fakes, support.RADIUS * self.mixture.std),
            "kl_forward": divergences.kl_from_data(fakes, self.reals, self.log_p_reals),
            "kl_reverse": divergences.kl_to_data(fakes, log_p),
        }


class ImageJudge:
    """Against the held-out images, in the features of a classifier that has not seen them."""

    counted = "classes_covered"
    reached = ("precision_k3", 0.1)
    headline: tuple[str, ...] = ("fid", "recall_k3", "classes_covered")
    at_most: Mapping[str, int] = EVERY_SAMPLE

    def __init__(self, images: Images, classifier: Classifier) -> None:
        self.modes = images.classes
        self.classifier = classifier
        labels = torch.bincount(images.test_labels, minlength=images.classes).double()
        self.frequencies = labels / labels.sum()
        # Here: torch-fidelity imports torchvision and torch's compiler, more than a second no mixture needs.
        from pipeline.metrics.fidelity import Fidelity

        real = classifier.judge(images.test_images)[0]
        self.fidelity = Fidelity(real)
        self.spreads = coverage.class_spreads(real, images.test_labels, images.classes)
        self.radius = support.duplicate_radius(images.test_images)

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """uint8 samples (N, 64), N = number of held-out images."""
        features, labels = self.classifier.judge(samples)
        values = {
            **self.fidelity.measure(features),
            **coverage.labels_to_coverage(labels, self.frequencies),
            "class_spread_ratio": coverage.class_spread_ratio(
                features, labels, self.spreads, self.frequencies
            ),
        }
        if final:
            values["image_support"] = support.images_to_support(samples, self.radius)
        return {stem: value for stem, value in values.items() if final or METRICS[stem].through_training}


def load_judge(benchmark: str, setting: Setting, root: Path) -> Judge:
    """The judge of a benchmark, from data/ and features/. Raises UserError for missing or corrupt files."""
    folder = root / "data" / benchmark
    if isinstance(setting.data, MixtureData):
        generator = torch_generator("reals", benchmark)
        return MixtureJudge(load_mixture(folder), setting.evaluation_samples, generator)
    images = load_images(folder)
    return ImageJudge(images, load_classifier(root / "features" / benchmark, images.classes))


def measure(judge: Judge, samples: Tensor, collapse_below: float, final: bool = True) -> dict[str, float]:
    """Samples (N, D) of one seed -> value per full metric name, `collapsed` and `missed` included.

    Not `final`: the metrics through training only.
    """
    values, n = judge.measure(samples, final), len(samples)
    occupied = values[judge.counted] / judge.modes
    named = {full_name(stem, min(n, judge.at_most.get(stem, n))): value for stem, value in values.items()}
    stem, least = judge.reached
    missed = values[stem] < least
    return {**named, "collapsed": float(occupied < collapse_below and not missed), "missed": float(missed)}
