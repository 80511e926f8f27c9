"""Feature networks by weight file: verified before they are read, and what the published code computes."""

import hashlib
import io
import math
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from pipeline.config import Backbone as Settings
from pipeline.errors import UserError
from pipeline.metrics import reference
from pipeline.metrics.backbones import Backbone, dinov2_to_torchvision, load_backbone, to_colour
from pipeline.metrics.image_judges import BackboneJudge
from pipeline.metrics.reference import reference_features, reference_key
from pipeline.metrics.registry import FEATURE_STEMS

DINO = "dinov2_vit_s_14"


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(n: int, pixels: int = 64, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, pixels), generator=_generator(seed)).to(torch.uint8)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _file(folder: Path, name: str, content: bytes) -> Settings:
    (folder / name).write_bytes(content)
    return Settings(weights=name, sha256=hashlib.sha256(content).hexdigest())


class _WithoutWeights(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """torch-fidelity's network as it is before it loads a file."""

    def load_state_dict(self, state: object) -> None:  # type: ignore[override]
        pass


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the format of weights-inception-2015-12-05-6726825d.pth."""
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _WithoutWeights("inception-v3-compat", ["2048"], empty)
    path = tmp_path_factory.mktemp("weights") / "weights-inception.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def dino_state() -> dict[str, Tensor]:
    """Random weights under the names and shapes of dinov2_vits14_pretrain.pth, positions of 518 pixels."""
    width, generator = 384, _generator()

    def random(*shape: int) -> Tensor:
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 100
        return torch.randn(shape, generator=generator) / math.sqrt(fan_in)

    state = {
        "cls_token": random(1, 1, width),
        "mask_token": random(1, width),
        "pos_embed": random(1, 1 + 37**2, width),
        "patch_embed.proj.weight": random(width, 3, 14, 14),
        "patch_embed.proj.bias": random(width),
        "norm.weight": 1 + random(width),
        "norm.bias": random(width),
    }
    for i in range(12):
        block = f"blocks.{i}"
        for norm, layer in (("norm1", "ls1"), ("norm2", "ls2")):
            state[f"{block}.{norm}.weight"] = 1 + random(width)
            state[f"{block}.{norm}.bias"] = random(width)
            state[f"{block}.{layer}.gamma"] = 0.5 + random(width)
        for name, out, into in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            state[f"{block}.{name}.weight"] = random(out, into)
            state[f"{block}.{name}.bias"] = random(out)
    return state


# Loading


def test_inception_computes_what_torch_fidelity_computes_from_the_same_file(inception_file: Path) -> None:
    """Bitwise: the same code on the same batch."""
    settings = Settings(weights=inception_file.name, sha256=_sha256(inception_file))
    state = torch.get_rng_state()
    backbone = load_backbone("inception_v3", settings, inception_file.parent)
    assert torch.equal(torch.get_rng_state(), state)
    assert backbone.weights_sha256 == settings.sha256
    images = _images(2)
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(inception_file))
    found = backbone.features(images)
    assert found.shape == (2, 2048)
    assert found.dtype == torch.float64
    assert torch.equal(found, theirs(to_colour(images))[0].double())
    assert float(found.std()) > 0


def _published_dinov2(state: dict[str, Tensor], pixels: Tensor, heads: int) -> Tensor:
    """facebookresearch/dinov2, dinov2/models/vision_transformer.py and dinov2/layers/{attention,block}.py:
    normalised pixels (B, 3, 224, 224) -> class token (B, D), in the precision of `state`."""
    width = state["cls_token"].shape[-1]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def attention(x: Tensor, name: str) -> Tensor:
        b, n, _ = x.shape
        qkv = linear(x, f"{name}.qkv").reshape(b, n, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * (width // heads) ** -0.5, qkv[1], qkv[2]
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return linear((weights @ v).transpose(1, 2).reshape(b, n, width), f"{name}.proj")

    patches = functional.conv2d(
        pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14
    )
    x = patches.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1)
    grid = state["pos_embed"][:, 1:].reshape(1, 37, 37, width).permute(0, 3, 1, 2)
    scale = (16 + 0.1) / math.sqrt(37**2)
    grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    x = x + torch.cat([state["pos_embed"][:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, width)], 1)
    for i in range(12):
        block = f"blocks.{i}"
        x = x + state[f"{block}.ls1.gamma"] * attention(norm(x, f"{block}.norm1"), f"{block}.attn")
        hidden = linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        x = x + state[f"{block}.ls2.gamma"] * linear(hidden, f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_dinov2_computes_what_the_published_code_computes(
    tmp_path: Path, dino_state: dict[str, Tensor]
) -> None:
    """The published forward pass written out in float64, on pixels that are one level per quarter, so that
    resizing them (bilinear, from the pixels' corners) is checked too. 2e-3 of features of size 1 is float32
    through 12 layers of 257 tokens."""
    content = io.BytesIO()
    torch.save(dino_state, content)
    backbone = load_backbone(
        DINO, _file(tmp_path, "dinov2_vits14_pretrain.pth", content.getvalue()), tmp_path
    )
    images = _images(2, 3 * 64)
    found = backbone.features(images)
    assert found.shape == (2, 384)
    pixels = _bilinear(images.view(2, 3, 8, 8).double(), 224)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    double = {name: tensor.double() for name, tensor in dino_state.items()}
    expected = _published_dinov2(double, (pixels / 255 - mean) / std, heads=6)
    assert float(expected.std()) > 0.5
    assert float((expected[0] - expected[1]).abs().max()) > 0.1  # the image matters
    assert float((found - expected).abs().max()) < 2e-3


def _bilinear(images: Tensor, side: int) -> Tensor:
    """TensorFlow 1's resize: output i reads input i * scale, no half-pixel shift."""
    place = torch.arange(side, dtype=torch.float64) * images.shape[-1] / side
    low = place.long()
    high, part = (low + 1).clamp(max=images.shape[-1] - 1), place - low
    rows = images[:, :, low] * (1 - part)[:, None] + images[:, :, high] * part[:, None]
    return rows[..., low] * (1 - part) + rows[..., high] * part


def test_safetensors_hold_the_same_network(tmp_path: Path, dino_state: dict[str, Tensor]) -> None:
    """Bitwise: the same tensors."""
    settings = _file(tmp_path, "dino.safetensors", safetensors.torch.save(dino_state))
    pixels = torch.randn(1, 3, 224, 224, generator=_generator())
    model = dinov2_to_torchvision(DINO, dino_state).eval()
    loaded = load_backbone(DINO, settings, tmp_path).extractor.model  # type: ignore[attr-defined]
    with torch.no_grad():
        assert torch.equal(loaded(pixels), model(pixels))


class _Touches:
    """Unpickled by something that runs code, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_file_that_holds_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = io.BytesIO()
    torch.save({"cls_token": _Touches(marker)}, content)
    with pytest.raises(UserError, match="not the weights of inception_v3"):
        load_backbone("inception_v3", _file(tmp_path, "evil.pth", content.getvalue()), tmp_path)
    with pytest.raises(UserError, match="not the weights of inception_v3"):
        load_backbone("inception_v3", _file(tmp_path, "evil.pkl", pickle.dumps(_Touches(marker))), tmp_path)
    assert not marker.exists()


def test_files_that_are_not_the_weights_are_refused_in_one_line(
    tmp_path: Path, inception_file: Path, dino_state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    own = _sha256(inception_file)
    cases = [
        ("inception_v3", Settings(weights="none.pth"), r"none\.pth: cannot be read \(No such file"),
        ("inception_v3", Settings(weights=str(inception_file)), f"its sha256 is {own}, not {published}"),
        (DINO, Settings(weights=str(inception_file)), r"backbones\.dinov2_vit_s_14: sha256 is missing"),
        (DINO, Settings(weights=str(inception_file), sha256=own), "not the weights of dinov2_vit_s_14"),
        ("inception_v3", _file(tmp_path, "text.pth", b"<html>404</html>"), "not the weights of inception_v3"),
        ("inception_v3", _file(tmp_path, "empty.pth", b""), "not the weights of inception_v3"),
        (DINO, _file(tmp_path, "broken.safetensors", b"12345678"), "not the weights of dinov2_vit_s_14"),
        ("inception_v3", _file(tmp_path, "list.pth", _saved([torch.zeros(1)])), "no mapping of names"),
        (
            DINO,
            _file(tmp_path, "shapes.pth", _saved(dino_state | {"norm.bias": torch.zeros(5)})),
            "not the weights of dinov2_vit_s_14",
        ),
    ]
    for name, settings, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            load_backbone(name, settings, tmp_path)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    # A wrong hash is found before anything of the file is read.
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("loaded before it was verified"))
    with pytest.raises(UserError, match="not loaded"):
        load_backbone("inception_v3", Settings(weights=str(inception_file)), tmp_path)


def _saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_grey_and_stacked_images_become_colour_images() -> None:
    grey, stacked = _images(2), _images(2, 192)
    assert torch.equal(to_colour(grey), grey.view(2, 1, 8, 8).repeat(1, 3, 1, 1))
    assert torch.equal(to_colour(stacked), stacked.view(2, 3, 8, 8))
    for wrong in (_images(2, 65), grey.float(), grey.view(2, 8, 8)):
        with pytest.raises(ValueError, match=r"uint8 \(N, H\^2\)"):
            to_colour(wrong)


# Features of real images, kept


class _Counting:
    """A backbone of 6 features by a fixed matrix, which counts the images that it is shown."""

    def __init__(self) -> None:
        self.seen = 0
        self.matrix = torch.randn(192, 6, generator=_generator(7))

    def __call__(self, batch: Tensor) -> tuple[Tensor]:
        self.seen += len(batch)
        return (batch.flatten(1).float() @ self.matrix / 255,)


def test_reference_features_are_kept_by_what_they_are_computed_from(tmp_path: Path) -> None:
    count, images = _Counting(), _images(50)
    backbone = Backbone("inception_v3", "0" * 64, count)
    first = reference_features(images, backbone, tmp_path)
    assert count.seen == 50
    assert torch.equal(reference_features(images, backbone, tmp_path), first)
    assert count.seen == 50
    (path,) = (tmp_path / ".work" / "reference").iterdir()
    assert path.name == f"{reference_key(images, backbone)}.safetensors"
    other = images.clone()
    other[3, 5] ^= 1
    keys = {
        reference_key(images, backbone),
        reference_key(other, backbone),
        reference_key(images.view(100, 32), backbone),
        reference_key(images, Backbone("inception_v3", "1" + "0" * 63, count)),
        reference_key(images, Backbone(DINO, "0" * 64, count)),
    }
    assert len(keys) == 5
    changed = reference_features(other, backbone, tmp_path)
    assert count.seen == 100
    assert (changed != first).any(1).nonzero().flatten().tolist() == [3]


def test_another_protocol_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone("inception_v3", "0" * 64, _Counting())
    before = reference_key(_images(5), backbone)
    monkeypatch.setattr(reference, "PROTOCOL", reference.PROTOCOL + 1)
    assert reference_key(_images(5), backbone) != before


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed number", "other tensors", "fewer images"])
def test_broken_reference_features_are_computed_again(tmp_path: Path, damage: str) -> None:
    count, images = _Counting(), _images(20)
    backbone = Backbone("inception_v3", "0" * 64, count)
    first = reference_features(images, backbone, tmp_path)
    (path,) = (tmp_path / ".work" / "reference").iterdir()
    whole = path.read_bytes()
    kept = safetensors.torch.load(whole)
    broken = {
        "cut": whole[:-9],
        "emptied": b"",
        "changed number": safetensors.torch.save(kept | {"features": kept["features"] * (1 + 1e-15)}),
        "other tensors": safetensors.torch.save({"x": torch.zeros(3)}),
        "fewer images": safetensors.torch.save(kept | {"features": kept["features"][:19].contiguous()}),
    }[damage]
    assert broken != whole
    path.write_bytes(broken)
    assert torch.equal(reference_features(images, backbone, tmp_path), first)
    assert count.seen == 40
    assert path.read_bytes() == whole


def test_a_backbone_judges_in_its_features(tmp_path: Path) -> None:
    """Against the same law and against noise of other contrast; N need not be the number of real images."""
    backbone = Backbone("inception_v3", "0" * 64, _Counting())
    judge = BackboneJudge(backbone, _images(200), tmp_path)
    same, other = judge.measure(_images(150, seed=1)), judge.measure(_images(150, seed=1) // 4)
    assert tuple(same) == FEATURE_STEMS
    assert same["fid"] < 0.2 * other["fid"]
    assert same["coverage_k5"] > 0.8 > 0.3 > other["coverage_k5"]
