"""Features of real images, kept on disk by what they are computed from.

InceptionV3 and DINOv2 take a second for a few images, and every run asks for the same real ones. The data
set's own classifier takes 4 ms for 599 of them: its features are never kept.
"""

import hashlib
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pipeline.data.files import write_atomic
from pipeline.metrics.backbones import Backbone
from pipeline.plan import WORK

PROTOCOL = 1  # another number where the way from images to features changes
FOLDER = "reference"


def reference_key(images: Tensor, backbone: Backbone) -> str:
    """sha256 over the uint8 images (N, D), their shape, the backbone, its weights and PROTOCOL."""
    about = (PROTOCOL, backbone.name, backbone.weights_sha256, str(images.dtype), *images.shape)
    digest = hashlib.sha256("\x1f".join(str(part) for part in about).encode())
    digest.update(images.contiguous().numpy().tobytes())
    return digest.hexdigest()


def reference_features(images: Tensor, backbone: Backbone, root: Path) -> Tensor:
    """uint8 images (N, D) -> features (N, D') float64, from root/.work/reference/KEY.safetensors if there.

    A file that is broken, or whose features are not those it was written with, is computed and written again.
    """
    path = root / WORK / FOLDER / f"{reference_key(images, backbone)}.safetensors"
    kept = _read(path, len(images))
    if kept is not None:
        return kept
    features = backbone.features(images).contiguous()
    content = {"features": features, "sha256": _digest(features)}
    write_atomic(path, safetensors.torch.save(content))
    return features


def _read(path: Path, n: int) -> Tensor | None:
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        features = tensors["features"]
        whole = len(features) == n and torch.equal(tensors["sha256"], _digest(features))
    except (OSError, KeyError, TypeError, safetensors.SafetensorError):
        return None
    return features if whole else None


def _digest(features: Tensor) -> Tensor:
    digest = hashlib.sha256(features.numpy().tobytes()).digest()
    return torch.tensor(list(digest), dtype=torch.uint8)
