"""The data sets: samples follow the mixture's density, the digits are the real ones, corruption is seen."""

import json
import math
from pathlib import Path

import pytest
import scipy.stats
import torch

from pipeline.config import BenchmarkPlan, DigitsData, RingData, Setting
from pipeline.data.fetch import digits, fetch
from pipeline.data.images import load_images, to_uint8, to_unit
from pipeline.data.mixtures import Mixture, load_mixture, ring
from pipeline.errors import UserError
from pipeline.settings import write_model

RING = RingData(kind="ring", modes=8, radius=1.0, std=0.01)
DIGITS = DigitsData(kind="digits", held_out=599, split_seed=0)


def _setting(data: RingData | DigitsData) -> Setting:
    return Setting.model_validate(
        {
            "data": data.model_dump(),
            "latent": 2,
            "generator": {"widths": [4], "activation": "relu", "output": "linear"},
            "critic": {"widths": [4], "activation": "relu"},
            "evaluation_samples": 599,
            "checkpoint_samples": 100,
            "collapse_below": 0.5,
        }
    )


def _write_plan(root: Path) -> None:
    for name, data in (("ring", RING), ("digits", DIGITS)):
        plan = BenchmarkPlan(benchmark=name, setting=_setting(data), classifier_epochs=1)
        write_model(plan, root / "plan" / f"{name}.json")


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    _write_plan(tmp_path)
    fetch("ring", tmp_path)
    fetch("digits", tmp_path)
    return tmp_path


def test_ring_has_k_distinct_modes_at_equal_angles() -> None:
    """The known trap: angles from 0 to 2 pi inclusive make two of K modes one."""
    means = ring(RING).means
    assert len({(round(x, 9), round(y, 9)) for x, y in means.tolist()}) == 8
    for i, (x, y) in enumerate(means.tolist()):
        assert math.isclose(x, math.cos(2 * math.pi * i / 8), abs_tol=1e-15)
        assert math.isclose(y, math.sin(2 * math.pi * i / 8), abs_tol=1e-15)


def test_overlapping_modes_are_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"3\.83 std apart"):
        ring(RING.model_copy(update={"std": 0.2}))
    assert ring(RingData(kind="ring", modes=1, radius=1.0, std=1.0)).modes == 1


def test_mixture_samples_follow_the_mixture() -> None:
    """Mode counts by chi-square, distances from the centre by Kolmogorov-Smirnov.

    A right sampler fails either threshold once in 10^4 seeds; the seed is fixed.
    """
    mixture = Mixture(ring(RING).means[:3], 0.01, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    samples = mixture.sample(20_000, torch.Generator().manual_seed(1))
    assert samples.shape == (20_000, 2)
    assert samples.dtype == torch.float32
    distances, mode = torch.cdist(samples.double(), mixture.means).min(1)
    counts = torch.bincount(mode, minlength=3).numpy()
    assert scipy.stats.chisquare(counts, 20_000 * mixture.weights.numpy()).pvalue > 1e-4
    assert scipy.stats.kstest(distances.numpy() / 0.01, scipy.stats.rayleigh.cdf).pvalue > 1e-4


def test_mixture_sample_takes_a_shape_and_its_generator_alone() -> None:
    mixture = ring(RING)
    state = torch.random.get_rng_state()
    block = mixture.sample((3, 5), torch.Generator().manual_seed(4))
    again = mixture.sample((3, 5), torch.Generator().manual_seed(4))
    assert block.shape == (3, 5, 2)
    assert torch.equal(block, again)
    assert torch.equal(state, torch.random.get_rng_state())


def test_log_density_is_scipys_and_integrates_to_one() -> None:
    mixture = ring(RING)
    points = mixture.sample(50, torch.Generator().manual_seed(2)).double()
    expected = sum(
        weight * scipy.stats.multivariate_normal(mean, 0.01**2).pdf(points.numpy())
        for weight, mean in zip(mixture.weights.tolist(), mixture.means.tolist(), strict=True)
    )
    log_p = mixture.log_density(points)
    assert log_p.dtype == torch.float64
    # Squared distances of 1e-4 from coordinates near 1 lose about 1e-12 of their digits.
    assert torch.allclose(log_p, torch.from_numpy(expected).log(), rtol=1e-9, atol=1e-9)
    # Rectangle rule on an 8 sigma window around one mode: spectrally accurate, the cut tail is exp(-32).
    axis = torch.arange(-0.08, 0.08, 0.002, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis) + mixture.means[3]
    mass = float(mixture.log_density(grid).exp().sum() * 0.002**2)
    assert math.isclose(mass, 1 / 8, rel_tol=1e-9)


def test_log_density_far_away_stays_finite() -> None:
    assert torch.isfinite(ring(RING).log_density(torch.tensor([[1e3, 1e3]]))).all()


@pytest.mark.parametrize(
    ("means", "std", "weights"),
    [
        (torch.zeros(2, 3), 1.0, torch.tensor([0.5, 0.5])),
        (torch.zeros(2, 2), 0.0, torch.tensor([0.5, 0.5])),
        (torch.zeros(2, 2), 1.0, torch.tensor([1.0, 0.5])),
        (torch.zeros(2, 2), 1.0, torch.tensor([1.0, 0.0])),
    ],
)
def test_an_inconsistent_mixture_cannot_be_built(
    means: torch.Tensor, std: float, weights: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match="a mixture"):
        Mixture(means, std, weights)


def test_the_ring_is_stored_exactly(fetched: Path) -> None:
    loaded = load_mixture(fetched / "data" / "ring")
    assert torch.equal(loaded.means, ring(RING).means)
    assert torch.equal(loaded.weights, ring(RING).weights)
    assert loaded.std == 0.01


def test_digits_are_split_once_stratified_and_complete(fetched: Path) -> None:
    from sklearn.datasets import load_digits

    images = load_images(fetched / "data" / "digits")
    assert images.train_images.shape == (1198, 64)
    assert images.test_images.shape == (599, 64)
    assert images.train_images.dtype == torch.uint8
    assert images.classes == 10
    source = load_digits()
    both = torch.cat([images.train_images, images.test_images])
    expected = torch.from_numpy(source.data * 255 / 16).round().to(torch.uint8)
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, expected.tolist()))
    held_out = torch.bincount(images.test_labels) / torch.bincount(torch.from_numpy(source.target))
    # Stratified to one image of about 180 per class.
    assert torch.allclose(held_out, torch.full((10,), 599 / 1797), atol=1 / 170)


def test_another_split_seed_is_another_split() -> None:
    other = digits(DIGITS.model_copy(update={"split_seed": 1}))
    assert not torch.equal(other.test_images, digits(DIGITS).test_images)


def test_fetch_is_byte_identical(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    second = tmp_path_factory.mktemp("second")
    _write_plan(second)
    for dataset in ("ring", "digits"):
        fetch(dataset, second)
        files = sorted(path.name for path in (fetched / "data" / dataset).iterdir())
        assert "manifest.json" in files
        for name in files:
            first = (fetched / "data" / dataset / name).read_bytes()
            assert (second / "data" / dataset / name).read_bytes() == first, name


def test_a_changed_byte_is_one_line_that_names_the_file(fetched: Path) -> None:
    for dataset, name, load in (
        ("digits", "digits.safetensors", load_images),
        ("ring", "mixture.json", load_mixture),
    ):
        folder = fetched / "data" / dataset
        content = bytearray((folder / name).read_bytes())
        content[-3] ^= 1
        (folder / name).write_bytes(bytes(content))
        with pytest.raises(UserError, match=f"{name}: corrupt.*fetch@{dataset}") as caught:
            load(folder)
        assert "\n" not in str(caught.value)


def test_missing_data_names_the_stage_to_run(tmp_path: Path, fetched: Path) -> None:
    with pytest.raises(UserError, match="fetch@nothing"):
        load_images(tmp_path / "data" / "nothing")
    folder = fetched / "data" / "digits"
    (folder / "digits.safetensors").unlink()
    with pytest.raises(UserError, match=r"digits\.safetensors.*fetch@digits"):
        load_images(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="fetch@digits"):
        load_images(folder)


def test_fetch_of_an_unknown_dataset_names_the_nearest(fetched: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'digits'"):
        fetch("digit", fetched)


def test_the_manifest_states_source_and_split(fetched: Path) -> None:
    manifest = json.loads((fetched / "data" / "digits" / "manifest.json").read_text())
    assert "599 held out" in manifest["split"]
    assert "scikit-learn" in manifest["source"]


def test_pixels_round_trip_and_bad_values_are_clipped() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(levels)
    assert unit.dtype == torch.float32
    assert (float(unit.min()), float(unit.max())) == (-1.0, 1.0)
    assert torch.equal(to_uint8(unit), levels)
    bad = torch.tensor([float("nan"), -5.0, 5.0, float("inf"), float("-inf")])
    assert to_uint8(bad).tolist() == [0, 0, 255, 255, 0]
