"""Feature networks given by a weight file: InceptionV3 and DINOv2, beside each data set's own classifier.

    inception_v3         2048 features, pool3 of the 2015 network (Heusel et al. 2017), 299 x 299
    dinov2_vit_*_14      384, 768, 1024 features, the class token (Oquab et al. 2023), 224 x 224

A file is verified by its sha256 before anything of it is read, and read as data only. torch-fidelity resizes
and normalises the images and has InceptionV3; it takes DINOv2's code from the network, so torchvision's
vision transformer computes it here: DINOv2 is one with a LayerScale, y = x + gamma * (W h + b), which is
the same as the weights gamma * W and gamma * b.
"""

import hashlib
import io
import pickle
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.config import Backbone as Settings
from pipeline.config import BackboneName
from pipeline.errors import UserError

# sha256 of the published files; of the others the settings must state it.
PUBLISHED = {"inception_v3": "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"}
VIT_SIZES = {  # layers, heads, width
    "dinov2_vit_s_14": (12, 6, 384),
    "dinov2_vit_b_14": (12, 12, 768),
    "dinov2_vit_l_14": (24, 16, 1024),
}
PATCH, VIT_SIDE = 14, 224
BATCH = 32

State = dict[str, Tensor]
Extractor = Callable[[Tensor], tuple[Tensor, ...]]  # uint8 (B, 3, H, W) -> (features (B, D),)


@dataclass(frozen=True, eq=False)
class Backbone:
    """A feature network: its name in the settings, the sha256 of its weights, and what computes it."""

    name: str
    weights_sha256: str
    extractor: Extractor

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 images (N, pixels) as stored -> (N, D) float64. Raises ValueError as `to_colour`."""
        batches = to_colour(images).split(BATCH)
        return torch.cat([self.extractor(batch)[0].double() for batch in batches])


def to_colour(images: Tensor) -> Tensor:
    """uint8 grey (N, H^2) or three channels (N, 3 H^2), square -> (N, 3, H, H).

    Raises ValueError for other types and shapes.
    """
    pixels = images.shape[-1]
    for channels in (1, 3):
        side = round((pixels / channels) ** 0.5)
        if channels * side**2 == pixels and images.ndim == 2 and images.dtype == torch.uint8:
            return images.reshape(-1, channels, side, side).expand(-1, 3, -1, -1).contiguous()
    raise ValueError(f"images must be uint8 (N, H^2) or (N, 3 H^2), not {images.dtype} {tuple(images.shape)}")


def load_backbone(name: BackboneName, settings: Settings, root: Path) -> Backbone:
    """The network of one entry of `backbones` in params.yaml; a relative path starts at the repository.

    Raises UserError when the file is missing, has another sha256, is no weight file or one of another
    network, and when no sha256 is known.
    """
    where = f"params.yaml: backbones.{name}"
    expected = settings.sha256 or PUBLISHED.get(name)
    if expected is None:
        raise UserError(
            f"{where}: sha256 is missing, and that of the published file is not known here; "
            "state it, after comparing it with where the file comes from"
        )
    path = root / settings.weights
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{where}.weights: {path}: cannot be read ({error.strerror})") from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise UserError(f"{where}: {path}: its sha256 is {found}, not {expected}; not loaded")
    build = _inception if name == "inception_v3" else _dinov2
    try:
        return Backbone(name, found, build(name, _read_state(path, content)))
    except (
        # What torch.load raises for a file that is none, or that holds more than tensors.
        *(pickle.UnpicklingError, EOFError, RuntimeError, safetensors.SafetensorError),
        *(KeyError, IndexError, ValueError, TypeError, AttributeError, struct.error),
    ) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{where}: {path}: not the weights of {name} ({reason})") from None


def _read_state(path: Path, content: bytes) -> State:
    if path.suffix == ".safetensors":
        return dict(safetensors.torch.load(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of an old or unusual pickle, which loads or does not
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("no mapping of names to tensors")
    return state


def _inception(name: str, state: State) -> Extractor:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # The extractor unpickles the file it is given, code and all: it is given the tensors, written again.
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    with torch.random.fork_rng(devices=[]):  # it draws weights first
        extractor: Extractor = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], file)
    return extractor


def _dinov2(name: str, state: State) -> Extractor:
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    class Extractor(FeatureExtractorDinoV2):  # type: ignore[misc]
        """Its images, and a model that comes from no network."""

        def __init__(self, model: torch.nn.Module) -> None:
            super(FeatureExtractorDinoV2, self).__init__(name.replace("_", "-"), ["dinov2"])
            self.feature_extractor_internal_dtype = torch.float32
            self.model = model

    extractor: Any = Extractor(dinov2_to_torchvision(name, state))
    extractor.requires_grad_(False).eval()
    return extractor  # type: ignore[no-any-return]


def dinov2_to_torchvision(name: str, state: State) -> torch.nn.Module:
    """The weights that facebookresearch/dinov2 publishes (those without registers) as torchvision's ViT.

    (B, 3, 224, 224) -> class token (B, D). Raises KeyError and RuntimeError for other weights.
    """
    from torchvision.models import VisionTransformer

    layers, heads, width = VIT_SIZES[name]
    with torch.device("meta"):
        model: torch.nn.Module = VisionTransformer(VIT_SIDE, PATCH, layers, heads, width, 4 * width)
    model.heads = torch.nn.Identity()
    renamed = {
        "class_token": state["cls_token"],
        "conv_proj.weight": state["patch_embed.proj.weight"],
        "conv_proj.bias": state["patch_embed.proj.bias"],
        "encoder.pos_embedding": _resized(state["pos_embed"], VIT_SIDE // PATCH),
        "encoder.ln.weight": state["norm.weight"],
        "encoder.ln.bias": state["norm.bias"],
    }
    for i in range(layers):
        ours, theirs = f"encoder.layers.encoder_layer_{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            scales = [state[f"{theirs}.ls{j}.gamma"] for j in (1, 2)]
            first, second = (scale[:, None] if kind == "weight" else scale for scale in scales)
            renamed |= {
                f"{ours}.ln_1.{kind}": state[f"{theirs}.norm1.{kind}"],
                f"{ours}.self_attention.in_proj_{kind}": state[f"{theirs}.attn.qkv.{kind}"],
                f"{ours}.self_attention.out_proj.{kind}": first * state[f"{theirs}.attn.proj.{kind}"],
                f"{ours}.ln_2.{kind}": state[f"{theirs}.norm2.{kind}"],
                f"{ours}.mlp.0.{kind}": state[f"{theirs}.mlp.fc1.{kind}"],
                f"{ours}.mlp.3.{kind}": second * state[f"{theirs}.mlp.fc2.{kind}"],
            }
    model.load_state_dict({key: tensor.float() for key, tensor in renamed.items()}, assign=True)
    return model


def _resized(embedding: Tensor, side: int) -> Tensor:
    """Position embedding (1, 1 + M^2, D) of the class token and an M x M grid -> (1, 1 + side^2, D).

    Bicubic with the scale (side + 0.1) / M, as the published code has it against rounding down: another scale
    is another network.
    """
    token, grid = embedding[:, :1], embedding[:, 1:]
    cells = round(grid.shape[1] ** 0.5)
    if cells == side:
        return embedding
    grid = grid.reshape(1, cells, cells, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, scale_factor=(side + 0.1) / cells, mode="bicubic")
    return torch.cat([token, grid.permute(0, 2, 3, 1).reshape(1, side**2, -1)], 1)
