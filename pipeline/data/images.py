"""Small grey images with labels, split once into training and held-out images.

Pixels are stored as uint8 0..255; networks see float32 in [-1, 1].
"""

from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pipeline.data.files import read_verified
from pipeline.errors import UserError


@dataclass(frozen=True, eq=False)
class Images:
    """images uint8 (N, D), D = height * width, row by row; labels int64 (N,)."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def classes(self) -> int:
        return int(torch.cat([self.train_labels, self.test_labels]).max()) + 1


def images_to_bytes(images: Images, height: int, width: int) -> bytes:
    """safetensors bytes, images as (N, height, width); equal images give equal bytes."""
    tensors = {
        "train_images": images.train_images.reshape(-1, height, width).contiguous(),
        "train_labels": images.train_labels.contiguous(),
        "test_images": images.test_images.reshape(-1, height, width).contiguous(),
        "test_labels": images.test_labels.contiguous(),
    }
    return bytes(safetensors.torch.save(tensors))


def load_images(folder: Path) -> Images:
    """The images of data/DATASET/ (file DATASET.safetensors).

    Raises UserError when the file is missing or its sha256 is not the manifest's.
    """
    name = f"{folder.name}.safetensors"
    try:
        tensors = safetensors.torch.load(read_verified(folder, name))
        return Images(
            train_images=tensors["train_images"].flatten(1),
            train_labels=tensors["train_labels"],
            test_images=tensors["test_images"].flatten(1),
            test_labels=tensors["test_labels"],
        )
    except (safetensors.SafetensorError, KeyError) as error:
        raise UserError(
            f"{folder / name}: not the images that fetch writes ({error}); run the stage fetch@{folder.name}"
        ) from None


def to_unit(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 0..255, to the nearest level; values outside are clipped, NaN is 0."""
    levels = ((images.to(torch.float32) + 1) * 127.5).nan_to_num(0, 255, 0)
    return levels.round().clamp(0, 255).to(torch.uint8)
