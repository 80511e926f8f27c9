"""Real samples of a benchmark, for whoever trains on them."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.config import DigitsData, Setting
from pipeline.data.images import load_images, to_unit
from pipeline.data.mixtures import load_mixture

RealSampler = Callable[[int, torch.Generator], Tensor]  # (count, generator) -> (count, D) float32


def real_sampler(setting: Setting, folder: Path) -> tuple[RealSampler, int]:
    """(sampler of real data, D): fresh points of a mixture, or training images drawn with replacement."""
    if isinstance(setting.data, DigitsData):
        images = to_unit(load_images(folder).train_images)
        return _drawing_from(images), images.shape[1]
    return load_mixture(folder).sample, 2


def held_out_sampler(setting: Setting, folder: Path) -> RealSampler:
    """A sampler of real data that no network is trained on: fresh points, or held-out images."""
    if isinstance(setting.data, DigitsData):
        return _drawing_from(to_unit(load_images(folder).test_images))
    return load_mixture(folder).sample


def _drawing_from(images: Tensor) -> RealSampler:
    def draw(count: int, generator: torch.Generator) -> Tensor:
        return images[torch.randint(len(images), (count,), generator=generator)]

    return draw
