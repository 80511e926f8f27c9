"""Judges of images: digits and stacked digits against real images that no network was trained on.

Features and labels come from the data set's own classifier in one pass. The networks of `backbones` in
params.yaml judge in their features too, at the end of training only.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pipeline.data.images import Images
from pipeline.data.sampling import STACKED
from pipeline.metrics import coverage, support
from pipeline.metrics.backbones import Backbone
from pipeline.metrics.features import Classifier
from pipeline.metrics.fidelity import Fidelity
from pipeline.metrics.reference import reference_features
from pipeline.metrics.registry import (
    FEATURE_STEMS,
    IMAGE_METRICS,
    METRICS,
    STACKED_AT_MOST,
    STACKED_STEMS,
)
from pipeline.metrics.streams import torch_generator

REACHED = ("precision_k3", 0.1)  # of all three judges, and of `missed` in the registry


class BackboneJudge:
    """Against real images, in the features of one more network."""

    def __init__(self, backbone: Backbone, real: Tensor, root: Path) -> None:
        self.backbone = backbone
        self.fidelity = Fidelity(reference_features(real, backbone, root))

    def measure(self, samples: Tensor) -> dict[str, float]:
        """uint8 samples (N, pixels) -> value per stem of FEATURE_STEMS."""
        return self.measure_features(self.backbone.features(samples))

    def measure_features(self, features: Tensor) -> dict[str, float]:
        """The same, of samples whose features (N, D) are known."""
        return self.fidelity.measure(features, FEATURE_STEMS, _subsets())


class ImageJudge:
    """Against the held-out images, in the features of a classifier that has not seen them."""

    counted = "classes_covered"
    reached = REACHED
    headline: tuple[str, ...] = ("fid", "recall_k3", "classes_covered")
    at_most: Mapping[str, int] = {}

    def __init__(
        self, images: Images, classifier: Classifier, backbones: Sequence[BackboneJudge] = ()
    ) -> None:
        self.modes = images.classes
        self.classifier = classifier
        self.backbones = backbones
        self.frequencies = _frequencies(images)
        real = classifier.judge(images.test_images)[0]
        self.fidelity = Fidelity(real)
        self.spreads = coverage.class_spreads(real, images.test_labels, images.classes)
        self.radius = support.duplicate_radius(images.test_images)

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """uint8 samples (N, 64); N need not be the number of held-out images."""
        features, labels = self.classifier.judge(samples)
        stems = _stems(IMAGE_METRICS, final)
        values = {
            **self.fidelity.measure(features, _of_features(stems), _subsets()),
            **coverage.labels_to_coverage(labels, self.frequencies),
            "class_spread_ratio": coverage.class_spread_ratio(
                features, labels, self.spreads, self.frequencies
            ),
        }
        if final:
            values["image_support"] = support.images_to_support(samples, self.radius)
        return {stem: values[stem] for stem in stems}


class StackedJudge:
    """Against n triples of held-out digits, drawn independently by the generator.

    Labels (a, b, c) are mode 100 a + 10 b + c of 1000, whose share is the product of the three held-out
    frequencies. FID is of the three digits' features beside each other; neighbours are of STACKED_AT_MOST
    fakes and reals.
    """

    counted = "classes_captured"
    reached = REACHED
    headline: tuple[str, ...] = ("fid", "classes_captured", "reverse_kl_classes")
    at_most: Mapping[str, int] = STACKED_AT_MOST
    backbones: Sequence[BackboneJudge] = ()

    def __init__(self, images: Images, classifier: Classifier, n: int, generator: torch.Generator) -> None:
        self.classes = images.classes
        self.modes = images.classes**STACKED
        self.classifier = classifier
        single = self.digit_frequencies = _frequencies(images)
        self.frequencies = torch.einsum("a,b,c->abc", single, single, single).flatten()
        digits = classifier.judge(images.test_images)[0]
        self.spreads = coverage.class_spreads(digits, images.test_labels, images.classes)
        triples = torch.randint(len(digits), (n, STACKED), generator=generator)
        self.fidelity = Fidelity(digits[triples].flatten(1), at_most=max(STACKED_AT_MOST.values()))

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """uint8 samples (N, 192), three digits of 64 pixels each."""
        digits, labels = self.classifier.judge(samples.reshape(len(samples) * STACKED, -1))
        features = digits.view(len(samples), -1)
        places = torch.tensor([self.classes**2, self.classes, 1])
        modes = (labels.view(-1, STACKED) * places).sum(1)
        stems = _stems(STACKED_STEMS, final)
        values = {
            **self.fidelity.measure(features, _of_features(stems), _subsets()),
            **coverage.labels_to_coverage(modes, self.frequencies),
            # Of single digits: a number has too few samples for a spread of its own.
            "class_spread_ratio": coverage.class_spread_ratio(
                digits, labels, self.spreads, self.digit_frequencies
            ),
        }
        return {stem: values[stem] for stem in stems}


def _frequencies(images: Images) -> Tensor:
    counts = torch.bincount(images.test_labels, minlength=images.classes).double()
    return counts / counts.sum()


def _stems(stems: Iterable[str], final: bool) -> list[str]:
    return [stem for stem in stems if final or METRICS[stem].through_training]


def _of_features(stems: Iterable[str]) -> tuple[str, ...]:
    return tuple(stem for stem in stems if stem in FEATURE_STEMS)


def _subsets() -> torch.Generator:
    """The same subsets of fakes for every seed: none depends on its neighbours in the stack."""
    return torch_generator("fid_infinity")
