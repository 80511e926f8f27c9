"""Real samples of a benchmark, for whoever trains on them."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.config import MixtureData, Setting, StackedDigitsData
from pipeline.data.images import load_images, to_unit
from pipeline.data.mixtures import load_mixture

RealSampler = Callable[[int, torch.Generator], Tensor]  # (count, generator) -> (count, D) float32
STACKED = 3  # digits in one image of the stacked ones


def real_sampler(setting: Setting, folder: Path) -> tuple[RealSampler, int]:
    """(sampler of real data, D): fresh points of a mixture, or training images drawn with replacement."""
    if isinstance(setting.data, MixtureData):
        return load_mixture(folder).sample, 2
    images = load_images(folder).train_images
    together = _together(setting)
    return _drawing_from(to_unit(images), together), together * images.shape[1]


def held_out_sampler(setting: Setting, folder: Path) -> RealSampler:
    """A sampler of real data that no network is trained on: fresh points, or held-out images."""
    if isinstance(setting.data, MixtureData):
        return load_mixture(folder).sample
    return _drawing_from(to_unit(load_images(folder).test_images), _together(setting))


def _together(setting: Setting) -> int:
    """Images that make one sample."""
    return STACKED if isinstance(setting.data, StackedDigitsData) else 1


def _drawing_from(images: Tensor, together: int) -> RealSampler:
    """`together` images beside each other, drawn independently: (count, together * pixels)."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(images), (count * together,), generator=generator)
        return images[chosen].view(count, -1)

    return draw
