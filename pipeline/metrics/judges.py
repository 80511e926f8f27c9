"""One judge per kind of data: samples of one seed -> every metric of the registry for that data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from pipeline.config import MixtureData, Setting, StackedDigitsData
from pipeline.data.images import load_images
from pipeline.data.mixtures import Mixture, load_mixture
from pipeline.metrics import coverage, divergences, support
from pipeline.metrics.nearest import nearest_modes
from pipeline.metrics.registry import CLASSIFIER, full_name
from pipeline.metrics.streams import torch_generator
from pipeline.plan import DATA, FEATURES, load_evaluation

if TYPE_CHECKING:
    from pipeline.metrics.image_judges import BackboneJudge


class Judge(Protocol):
    """`modes` is the number of modes or classes, `counted` the stem that says how many of them are occupied.

    `reached` is the least value of a stem (stem, least) from which the samples count as having reached the
    data: noise occupies few modes too, and is not mode collapse.
    `headline`: stems measured through training that stand for the rest where only a few are wanted.
    `at_most`: of more samples a stem takes the first so many only. `backbones` judge the final samples too.
    """

    modes: int
    counted: str
    reached: tuple[str, float]
    headline: tuple[str, ...]
    at_most: Mapping[str, int]
    backbones: "Sequence[BackboneJudge]"

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """Samples (N, D) of one seed, as stored -> value per stem; not `final`: the through_training ones."""


class MixtureJudge:
    """Against a mixture's exact density. The N real points of KL(p || q) are the same for all samples."""

    counted = "modes_occupied"
    reached = ("modes_tenth_share", 1.0)
    headline: tuple[str, ...] = ("jsd", "modes_occupied", "high_quality")
    at_most: Mapping[str, int] = {}
    backbones: "Sequence[BackboneJudge]" = ()

    def __init__(self, mixture: Mixture, n: int, generator: torch.Generator) -> None:
        self.modes = mixture.modes
        self.mixture = mixture
        self.partition = divergences.Partition(mixture)
        reals = mixture.sample(n, generator)
        self.reals = reals.double().numpy()
        self.log_p_reals = mixture.log_density(reals).numpy()

    def measure(self, samples: Tensor, final: bool = True) -> dict[str, float]:
        """float32 samples (N, 2)."""
        nearest = nearest_modes(samples, self.mixture)
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


def load_judge(benchmark: str, setting: Setting, root: Path) -> Judge:
    """The judge of a benchmark, from data/, features/ and the backbones of plan/evaluation.json.

    Raises UserError for missing or corrupt files.
    """
    folder = root / DATA / benchmark
    generator = torch_generator("reals", benchmark)
    if isinstance(setting.data, MixtureData):
        return MixtureJudge(load_mixture(folder), setting.evaluation_samples, generator)
    # Here: a mixture needs no network.
    from pipeline.metrics.backbones import load_backbone
    from pipeline.metrics.features import load_classifier
    from pipeline.metrics.image_judges import BackboneJudge, ImageJudge, StackedJudge

    images = load_images(folder)
    classifier = load_classifier(root / FEATURES / benchmark, images.classes)
    if isinstance(setting.data, StackedDigitsData):
        return StackedJudge(images, classifier, setting.evaluation_samples, generator)
    backbones = [
        BackboneJudge(load_backbone(name, given, root), images.test_images, root)
        for name, given in load_evaluation(root).backbones.items()
    ]
    return ImageJudge(images, classifier, backbones)


def measure(judge: Judge, samples: Tensor, collapse_below: float, final: bool = True) -> dict[str, float]:
    """Samples (N, D) of one seed -> value per full metric name, `collapsed` and `missed` included.

    Not `final`: the metrics through training only; fewer samples than modes would all look collapsed.
    """
    values = judge.measure(samples, final)
    named = name_values(judge, values, len(samples))
    if not final:
        return named
    for other in judge.backbones:
        named |= name_values(judge, other.measure(samples), len(samples), other.backbone.name)
    occupied = values[judge.counted] / judge.modes
    stem, least = judge.reached
    missed = values[stem] < least
    return {**named, "collapsed": float(occupied < collapse_below and not missed), "missed": float(missed)}


def name_values(
    judge: Judge, values: Mapping[str, float], n: int, backbone: str = CLASSIFIER
) -> dict[str, float]:
    """{stem: value} of n samples -> {full name: value}, of which the name states the samples really taken."""
    return {
        full_name(stem, min(n, judge.at_most.get(stem, n)), backbone): value for stem, value in values.items()
    }
