"""What a perfect generator would score at the same N: the scale on which every metric is read.

On a mixture the perfect generator exists: fresh samples of p. On images the nearest thing is other real
images: random subsets of the training part, N of them, against the held-out part; of stacked digits, triples
of training digits against triples of held-out ones. (The classifier has seen the training images, so its
features hold them slightly apart from the held-out ones.)
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config import MixtureData, Setting, StackedDigitsData, StudyPlan
from pipeline.data.images import load_images
from pipeline.data.mixtures import Mixture, load_mixture
from pipeline.data.sampling import STACKED
from pipeline.errors import UserError
from pipeline.metrics.coverage import HIGH_QUALITY_CEILING
from pipeline.metrics.judges import MixtureJudge, load_judge, name_values
from pipeline.metrics.reference import reference_features
from pipeline.metrics.registry import METRICS, full_name, split_name
from pipeline.metrics.streams import torch_generator
from pipeline.metrics.support import perfect_support
from pipeline.plan import DATA

COLUMNS = ("benchmark", "metric", "kind", "value", "low", "high", "repeats", "note")


def references(study: StudyPlan, root: Path) -> list[dict[str, Any]]:
    """Rows of references.csv: mean and 95 % range (2.5 and 97.5 percentiles) over the scale's floor_repeats.

    Raises UserError when data or features are missing or corrupt.
    """
    rows = []
    for benchmark, setting in study.benchmarks.items():
        make = _perfect_sampler if isinstance(setting.data, MixtureData) else _real_against_real
        rows += make(benchmark, setting, study.settings.floor_repeats, root)
    return rows


def _perfect_sampler(benchmark: str, setting: Setting, repeats: int, root: Path) -> list[dict[str, Any]]:
    mixture = load_mixture(root / DATA / benchmark)
    measured: dict[int, list[dict[str, float]]] = {}
    for repeat in range(repeats):
        # Each repeat has its own real points for KL(p || q), so that the range holds their scatter too.
        generator = torch_generator("floor", benchmark, repeat)
        judge = MixtureJudge(mixture, setting.evaluation_samples, generator)
        samples = mixture.sample(setting.evaluation_samples, generator)
        for n, final in _sizes(setting).items():
            measured.setdefault(n, []).append(judge.measure(samples[:n], final))
    return [
        _row(benchmark, full_name(stem, n), _kind(stem), [values[stem] for values in repeated])
        | _exact(stem, mixture, n)
        for n, repeated in measured.items()
        for stem in repeated[0]
    ]


def _sizes(setting: Setting) -> dict[int, bool]:
    """N -> whether every metric is measured with it: the end's, and that of the checkpoints if another."""
    return {setting.checkpoint_samples: False} | {setting.evaluation_samples: True}


def _exact(stem: str, mixture: Mixture, n: int) -> dict[str, Any]:
    """What is known without sampling replaces the mean over the repeats."""
    if stem == "high_quality":
        return {"value": HIGH_QUALITY_CEILING, "note": "exact: 1 - exp(-9/2); range of a perfect sampler"}
    if stem in ("modes_covered", "modes_tenth_share", "modes_occupied"):
        return {"value": float(mixture.modes), "note": "exact: all modes; range of a perfect sampler"}
    if stem == "support_size":
        return {
            "value": perfect_support(mixture),
            "note": "exact, see metrics/support.py; range of a perfect sampler",
        }
    if stem == "reverse_kl_modes":
        expected = (mixture.modes - 1) / (2 * n)
        return {"note": f"perfect sampler; (K - 1) / (2 N) = {expected:.3g}"}
    return {"note": "perfect sampler"}


def _real_against_real(benchmark: str, setting: Setting, repeats: int, root: Path) -> list[dict[str, Any]]:
    judge = load_judge(benchmark, setting, root)
    images = load_images(root / DATA / benchmark).train_images
    known = [reference_features(images, other.backbone, root) for other in judge.backbones]
    values: dict[str, list[float]] = {}
    for repeat in range(repeats):
        chosen = _drawn(benchmark, setting, len(images), torch_generator("real", benchmark, repeat))
        found: dict[str, float] = {}
        for n, final in _sizes(setting).items():
            samples = images[chosen[:n]].flatten(1)
            found |= name_values(judge, judge.measure(samples, final), n)
        for other, features in zip(judge.backbones, known, strict=True):
            measured = other.measure_features(features[chosen[:, 0]])
            found |= name_values(judge, measured, len(chosen), other.backbone.name)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return [
        _row(benchmark, name, "real_vs_real", repeated) | {"note": _note(setting, name)}
        for name, repeated in values.items()
    ]


def _drawn(benchmark: str, setting: Setting, count: int, generator: torch.Generator) -> Tensor:
    """Which of `count` training images make evaluation_samples real samples: (N, images in one)."""
    n = setting.evaluation_samples
    if isinstance(setting.data, StackedDigitsData):
        return torch.randint(count, (n, STACKED), generator=generator)
    if count < n:
        raise UserError(
            f"{benchmark}: held_out {n} leaves {count} training images, too few to compare {n} real "
            "images with the held-out ones; hold out at most half"
        )
    return torch.randperm(count, generator=generator)[:n, None]


def _note(setting: Setting, name: str) -> str:
    stem, n, *_ = split_name(name)
    if isinstance(setting.data, StackedDigitsData):
        return f"{n} triples of training digits against triples of held-out ones"
    more = "; below 0 on average because the split is stratified" if stem == "kid" else ""
    return f"{n} training images against the held-out ones{more}"


def _kind(stem: str) -> str:
    """Of a perfect sampler: the best there is, or a value on both sides of which lie failures."""
    return {True: "ceiling", False: "floor", None: "perfect"}[METRICS[stem].higher_is_better]


def _row(benchmark: str, metric: str, kind: str, values: list[float]) -> dict[str, Any]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {
        "benchmark": benchmark,
        "metric": metric,
        "kind": kind,
        "value": float(np.mean(values)),
        "low": float(low),
        "high": float(high),
        "repeats": len(values),
    }
