"""What a perfect generator would score at the same N: the scale on which every metric is read.

On a mixture the perfect generator exists: fresh samples of p. On images the nearest thing is other real
images: random subsets of the training part, N of them, against the held-out part. (The classifier has seen
the training images, so its features hold them slightly apart from the held-out ones.)
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.config import MixtureData, Setting, StudyPlan
from pipeline.data.images import load_images
from pipeline.data.mixtures import Mixture, load_mixture
from pipeline.errors import UserError
from pipeline.metrics.coverage import HIGH_QUALITY_CEILING
from pipeline.metrics.judges import MixtureJudge, load_judge
from pipeline.metrics.registry import METRICS, full_name
from pipeline.metrics.streams import torch_generator

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
    mixture, n = load_mixture(root / "data" / benchmark), setting.evaluation_samples
    measured = []
    for repeat in range(repeats):
        # Each repeat has its own real points for KL(p || q), so that the range holds their scatter too.
        generator = torch_generator("floor", benchmark, repeat)
        measured.append(MixtureJudge(mixture, n, generator).measure(mixture.sample(n, generator)))
    return [
        _row(benchmark, full_name(stem, n), _kind(stem), [values[stem] for values in measured])
        | _exact(stem, mixture, n)
        for stem in measured[0]
    ]


def _exact(stem: str, mixture: Mixture, n: int) -> dict[str, Any]:
    """What is known without sampling replaces the mean over the repeats."""
    if stem == "high_quality":
        return {"value": HIGH_QUALITY_CEILING, "note": "exact: 1 - exp(-9/2); range of a perfect sampler"}
    if stem in ("modes_covered", "modes_tenth_share", "modes_occupied"):
        return {"value": float(mixture.modes), "note": "exact: all modes; range of a perfect sampler"}
    if stem == "reverse_kl_modes":
        expected = (mixture.modes - 1) / (2 * n)
        return {"note": f"perfect sampler; (K - 1) / (2 N) = {expected:.3g}"}
    return {"note": "perfect sampler"}


def _real_against_real(benchmark: str, setting: Setting, repeats: int, root: Path) -> list[dict[str, Any]]:
    judge, n = load_judge(benchmark, setting, root), setting.evaluation_samples
    images = load_images(root / "data" / benchmark).train_images
    if len(images) < n:
        raise UserError(
            f"{benchmark}: held_out {n} leaves {len(images)} training images, too few to compare {n} real "
            "images with the held-out ones; hold out at most half"
        )
    measured = []
    for repeat in range(repeats):
        chosen = torch.randperm(len(images), generator=torch_generator("real", benchmark, repeat))[:n]
        measured.append(judge.measure(images[chosen]))
    notes = {"kid": "; below 0 on average because the split is stratified"}
    return [
        _row(benchmark, full_name(stem, n), "real_vs_real", [values[stem] for values in measured])
        | {"note": f"{n} training images against the held-out ones{notes.get(stem, '')}"}
        for stem in measured[0]
    ]


def _kind(stem: str) -> str:
    return "ceiling" if METRICS[stem].higher_is_better else "floor"


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
