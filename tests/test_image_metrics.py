"""FID, KID, precision, recall, density, coverage and the judges of images, each against another algorithm."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from pipeline.config import Setting, load_params
from pipeline.data.images import Images
from pipeline.metrics import features
from pipeline.metrics.fidelity import Fidelity, neighbour_distances
from pipeline.metrics.floors import _drawn, _sizes
from pipeline.metrics.frechet import (
    features_to_fid,
    features_to_fid_infinity,
    features_to_statistics,
)
from pipeline.metrics.image_judges import ImageJudge, StackedJudge
from pipeline.metrics.judges import measure
from pipeline.metrics.registry import (
    FEATURE_STEMS,
    IMAGE_METRICS,
    METRICS,
    STACKED_STEMS,
    measured,
    measured_through_training,
)
from pipeline.metrics.support import images_to_support, pairs_to_support

BENCHMARKS = load_params(Path(__file__).parent.parent / "params.yaml").benchmarks
NEIGHBOURS = ("precision_k3", "recall_k3", "density_k5", "coverage_k5")


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(rng: np.random.Generator, n: int, d: int, scale: float = 1.0) -> np.ndarray:
    """Correlated features (n, d) of a spectrum that falls by 1e3."""
    mixing = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.logspace(0, -1.5, d)
    return rng.normal(size=(n, d)) @ mixing * scale + rng.normal(size=d)


def _fid(fakes: np.ndarray, real: np.ndarray) -> float:
    return features_to_fid(torch.from_numpy(fakes), features_to_statistics(torch.from_numpy(real)))


# FID


def _frechet_by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) by Schur decompositions, float64."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)  # singular, where N < D
        root = scipy.linalg.sqrtm(first)
        cross = scipy.linalg.sqrtm(root @ second @ root)
    trace = np.trace(first) + np.trace(second) - 2 * np.trace(cross).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + trace)


@pytest.mark.parametrize(
    ("n", "m", "d"),
    [(599, 599, 64), (300, 599, 64), (50, 2000, 8), (400, 500, 192), (40, 90, 64), (30, 20, 64)],
)
def test_fid_against_scipys_matrix_root(n: int, m: int, d: int) -> None:
    """1e-6 of the FID. Where N < D the roots of eigenvalues that are 0 are rounding, 1e-8 each, D of them."""
    rng = np.random.default_rng(d + n)
    a, b = _random(rng, n, d, 1.1), _random(rng, m, d)
    assert _fid(a, b) == pytest.approx(_frechet_by_sqrtm(a, b), rel=1e-6)


def test_fid_does_not_depend_on_the_order_or_on_which_set_is_real() -> None:
    """D = 192 with N < D on one side; 1e-9 is float64 rounding, 1e-16 of the traces through roots."""
    rng = np.random.default_rng(0)
    a, b = _random(rng, 100, 192), _random(rng, 500, 192)
    assert _fid(a, b) == pytest.approx(_fid(b, a), rel=1e-7)
    assert _fid(a[::-1].copy(), b) == pytest.approx(_fid(a, b), rel=1e-9)
    # The root of a difference of traces (about 16) in float64: 16 times the root of 1e-16 at the very most.
    assert abs(_fid(a, a)) < 1e-6


def _pytorch_fid(a: np.ndarray, b: np.ndarray, offset: float = 0.0) -> float:
    """calculate_frechet_distance of mseitzer/pytorch-fid (src/pytorch_fid/fid_score.py, version 0.3.0).

    It adds 1e-6 to both diagonals where the root of the product is not finite.
    """
    mean_a, mean_b = a.mean(0), b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    diagonal = offset * np.eye(len(first))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a singular product
        root = scipy.linalg.sqrtm((first + diagonal) @ (second + diagonal))
    if not np.isfinite(root).all():
        return _pytorch_fid(a, b, offset=1e-6)
    if np.iscomplexobj(root):
        assert np.allclose(np.diagonal(root).imag, 0, atol=1e-3)  # the published check
        root = root.real
    distance = float((mean_a - mean_b) @ (mean_a - mean_b))
    return distance + float(np.trace(first) + np.trace(second) - 2 * np.trace(root))


def _rank_one(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, 1)) * np.linspace(1, 2, d)


DEGENERATE = {
    "constant fakes": lambda rng: (np.full((50, 16), 0.7), _random(rng, 200, 16)),
    "both constant": lambda rng: (np.full((50, 16), 0.7), np.full((60, 16), 0.2)),
    "some constant features": lambda rng: (
        _random(rng, 200, 16) * (np.arange(16) > 3),
        _random(rng, 300, 16) * (np.arange(16) > 5),
    ),
    "N < D": lambda rng: (_random(rng, 10, 16), _random(rng, 12, 16)),
    "rank 1": lambda rng: (_rank_one(rng, 100, 16), _random(rng, 200, 16)),
    "both rank 1": lambda rng: (_rank_one(rng, 100, 16), 2 * _rank_one(rng, 200, 16)),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_fid_of_degenerate_covariances_against_pytorch_fids_formula(case: str) -> None:
    """Its root of a product that is singular and not symmetric errs by the root of rounding: 1.5e-8 of the
    root of the product's largest eigenvalue, for each of 16 dimensions. With its offset e = 1e-6 each null
    direction of one matrix, against an eigenvalue s of the other, adds at most sqrt(e s) + e to the trace, so
    FID is smaller, by at most 2 * 16 times that."""
    a, b = DEGENERATE[case](np.random.default_rng(3))
    largest = max(np.linalg.eigvalsh(np.cov(x, rowvar=False))[-1] for x in (a, b))
    got = _fid(a, b)
    assert got == pytest.approx(_pytorch_fid(a, b), rel=1e-12, abs=16 * 1.5e-8 * max(largest, 1))
    assert -2 * 16 * ((1e-6 * largest) ** 0.5 + 1e-6) < _pytorch_fid(a, b, offset=1e-6) - got < 0


def test_fid_of_rank_one_normals_has_a_closed_form() -> None:
    """N(0, s u u^T) and N(0, t u u^T): (sqrt(s) - sqrt(t))^2 |u|^2; 1e-9 is float64 rounding."""
    x = np.random.default_rng(0).normal(size=(100, 1))
    x -= x.mean()
    u = np.linspace(1, 2, 16)
    expected = (1 - 3) ** 2 * float(x.var(ddof=1)) * float(u @ u)
    assert _fid(x * u, 3 * x * u) == pytest.approx(expected, rel=1e-9)


def test_extrapolated_fid_is_unbiased_where_fid_is_biased_upward() -> None:
    """Normals of D = 16, true FID 16 * (1.2 - 1)^2 + 1, against the exact statistics, 40 repeats of N = 400.

    The bias of plain FID is about D (D + 1) / (4 N) = 0.17, many standard errors; the extrapolated one is
    within 3 standard errors of the truth."""
    d, n, repeats = 16, 400, 40
    generator = _generator(5)
    # Two points per axis, +-sqrt(15.5), have mean 0 and covariance exactly 1.
    axes = torch.eye(d, dtype=torch.float64) * math.sqrt((2 * d - 1) / 2)
    real = features_to_statistics(torch.cat([axes, -axes]))
    truth = d * 0.2**2 + 1
    plain, infinite = [], []
    for _ in range(repeats):
        fakes = 1.2 * torch.randn(n, d, generator=generator, dtype=torch.float64)
        fakes[:, 0] += 1
        plain.append(features_to_fid(fakes, real))
        infinite.append(features_to_fid_infinity(fakes, real, generator))
    error = np.std(infinite, ddof=1) / math.sqrt(repeats)
    assert np.mean(plain) - truth > 5 * np.std(plain, ddof=1) / math.sqrt(repeats)
    assert abs(np.mean(infinite) - truth) < 3 * error
    assert error < 0.05


def test_features_that_fid_cannot_take_are_refused() -> None:
    real = features_to_statistics(torch.randn(20, 3, generator=_generator()))
    with pytest.raises(ValueError, match="4 features, the real images 3"):
        features_to_fid(torch.zeros(10, 4), real)
    with pytest.raises(ValueError, match="N at least 2"):
        features_to_fid(torch.zeros(1, 3), real)
    with pytest.raises(ValueError, match="not finite"):
        features_to_fid(torch.full((10, 3), math.nan), real)
    with pytest.raises(ValueError, match="at least 10"):
        features_to_fid_infinity(torch.zeros(9, 3), real, _generator())


# KID, precision, recall, density, coverage


def _measure(fake: np.ndarray, real: np.ndarray, stems: tuple[str, ...] = NEIGHBOURS) -> dict[str, float]:
    return Fidelity(torch.from_numpy(real)).measure(torch.from_numpy(fake), stems, _generator())


@pytest.mark.parametrize(("n", "m"), [(60, 60), (700, 90), (40, 600)])
def test_kid_against_its_definition(n: int, m: int) -> None:
    """The unbiased estimate of Binkowski et al. 2018, sums written out; 1e-9 is float64 rounding."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 5)), rng.normal(size=(m, 5)) + 0.2
    kernel = lambda a, b: (a @ b.T / 5 + 1) ** 3  # noqa: E731
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y))]
    expected = sum(within) - 2 * kernel(x, y).mean()
    assert _measure(x, y, ("kid",))["kid"] == pytest.approx(expected, abs=1e-9)


def _distances(points: np.ndarray, others: np.ndarray) -> list[list[float]]:
    return [[math.dist(point, other) for other in others] for point in points]


def _radii(points: np.ndarray, k: int) -> list[float]:
    return [sorted(row)[k] for row in _distances(points, points)]


@pytest.mark.parametrize(("n", "m"), [(80, 80), (300, 60), (30, 120)])
def test_neighbour_metrics_against_their_definitions(n: int, m: int) -> None:
    """Kynkaanniemi et al. 2019 with k = 3, Naeem et al. 2020 (section 3) with k = 5, by plain loops over
    pairs. The counts are exact; 1e-12 is their division."""
    rng = np.random.default_rng(2)
    fake, real = rng.normal(size=(n, 3)) * 0.7, rng.normal(size=(m, 3))
    pairs = _distances(fake, real)
    of_real, of_fake, balls = _radii(real, 3), _radii(fake, 3), _radii(real, 5)
    expected = {
        "precision_k3": sum(any(row[j] <= of_real[j] for j in range(m)) for row in pairs) / n,
        "recall_k3": sum(any(pairs[i][j] <= of_fake[i] for i in range(n)) for j in range(m)) / m,
        "density_k5": sum(row[j] <= balls[j] for row in pairs for j in range(m)) / (5 * n),
        "coverage_k5": sum(any(row[j] <= balls[j] for row in pairs) for j in range(m)) / m,
    }
    assert _measure(fake, real) == pytest.approx(expected, abs=1e-12)


def test_neighbour_metrics_of_points_placed_by_hand() -> None:
    """Reals 0..9 on a line: the 5th neighbour is 5 away at 0 and 9, 4 at 1 and 8, 3 in the middle (3 from
    2..7), the 3rd one 3, 2 or 2."""
    real = np.arange(10.0)[:, None]
    assert neighbour_distances(torch.from_numpy(real), (3, 5))[1].tolist() == [5, 4, 3, 3, 3, 3, 3, 3, 4, 5]
    assert neighbour_distances(torch.from_numpy(real), (3, 5))[0].tolist() == [3, 2, 2, 2, 2, 2, 2, 2, 2, 3]
    # All fakes at 0.1: in the balls of 0 (5), 1 (4), 2 and 3 (3): 4 of 5, and 4 of 10 reals covered.
    got = _measure(np.full((20, 1), 0.1), real)
    assert got == pytest.approx({"precision_k3": 1, "recall_k3": 0, "density_k5": 4 / 5, "coverage_k5": 0.4})
    # One fake in ten is at 4.5, in the balls of 0, 1 (4), 2..7 and 8 (4), 9 (5).
    got = _measure(np.array([[100.0]] * 9 + [[4.5]]), real)
    assert got["density_k5"] == pytest.approx(10 / 50)
    assert got["coverage_k5"] == 1.0
    assert got["precision_k3"] == 0.1


def test_density_and_coverage_of_a_perfect_sampler_are_near_their_expectations() -> None:
    """Naeem et al. 2020, Lemma 1 and 2: density is 1, coverage 1 - (M-1)..(M-k) / ((N+M-1)..(N+M-k)) for
    fakes of the law of the reals; 4 standard errors of 10 repeats."""
    n, m, k = 300, 200, 5
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found.append(_measure(rng.normal(size=(n, 4)), rng.normal(size=(m, 4))))
    coverage = 1 - math.prod((m - i) / (n + m - i) for i in range(1, k + 1))
    for stem, expected in (("density_k5", 1.0), ("coverage_k5", coverage)):
        values = [values[stem] for values in found]
        error = np.std(values, ddof=1) / math.sqrt(len(values))
        assert abs(np.mean(values) - expected) < 4 * error, stem
        assert error < 0.02


def test_fakes_and_reals_beyond_the_limit_are_left_out_of_neighbours_only() -> None:
    rng = np.random.default_rng(4)
    real, fake = torch.from_numpy(rng.normal(size=(200, 4))), torch.from_numpy(rng.normal(size=(150, 4)))
    limited = Fidelity(real, at_most=50).measure(fake, ("fid", *NEIGHBOURS), _generator())
    few = Fidelity(real[:50]).measure(fake[:50], NEIGHBOURS, _generator())
    every = Fidelity(real).measure(fake, ("fid",), _generator())
    assert limited == {**every, **few}


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 6 real"):
        Fidelity(torch.zeros(5, 2))
    real = torch.randn(20, 2, generator=_generator())
    with pytest.raises(ValueError, match="at least 4 fakes"):
        Fidelity(real).measure(real[:3], ("precision_k3",), _generator())
    with pytest.raises(ValueError, match="must be finite"):
        Fidelity(real).measure(torch.full((9, 2), torch.nan), ("kid",), _generator())


@pytest.mark.parametrize("pixels", [64, 192, 300])
def test_coinciding_images_are_counted_exactly(pixels: int) -> None:
    """In float32 (64 and 192 pixels) and float64 alike, all pairs in float64 as the oracle: equal counts."""
    images = torch.randint(0, 256, (700, pixels), generator=_generator()).to(torch.uint8)
    images[650:] = images[:50]
    distances = torch.pdist(images.double())
    for quantile in (1e-4, 1e-3, 0.5):
        radius = float(distances.quantile(quantile))
        expected = pairs_to_support(float((distances <= radius).sum()), 700)
        assert images_to_support(images, radius) == expected


class _AsColour(Dataset):  # type: ignore[type-arg]
    """torch-fidelity takes bare uint8 tensors (3, H, W)."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index].reshape(1, 8, 8).expand(3, -1, -1)


def test_the_judge_agrees_with_torch_fidelitys_whole_pipeline(
    images: Images, classifier: features.Classifier
) -> None:
    """The same features through a registered extractor. Batches of another size round float32 features by
    1e-7, which 1e-4 absorbs even for the cubic kernel's differences."""

    class Extractor(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **kwargs: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("penultimate",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "penultimate"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> torch.Tensor:
            return torch.zeros(1, 3, 8, 8, dtype=torch.uint8)

        def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor]:
            return (classifier.judge(batch[:, 0].flatten(1))[0],)

    torch_fidelity.register_feature_extractor("digits-test", Extractor)
    fakes = images.train_images[:599]
    whole = torch_fidelity.calculate_metrics(
        input1=_AsColour(fakes),
        input2=_AsColour(images.test_images),
        feature_extractor="digits-test",
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=1,
        kid_subset_size=599,
        rng_seed=0,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    direct = ImageJudge(images, classifier).measure(fakes)
    for stem, key in (
        ("fid", "frechet_inception_distance"),
        ("kid", "kernel_inception_distance_mean"),
        ("precision_k3", "precision"),
        ("recall_k3", "recall"),
    ):
        assert direct[stem] == pytest.approx(whole[key], rel=1e-4, abs=1e-4), stem


# Judges


def test_image_metrics_order_real_noise_and_collapse(images: Images, classifier: features.Classifier) -> None:
    judge = ImageJudge(images, classifier)
    real = judge.measure(images.train_images[:599])
    one = images.train_images[images.train_labels == 1][:1].repeat(599, 1)
    collapsed = judge.measure(one)
    noise = judge.measure(torch.randint(0, 256, (599, 64), generator=_generator()).to(torch.uint8))
    for bad in (collapsed, noise):
        assert bad["fid"] > 5 * real["fid"]
        assert bad["kid"] > real["kid"] + 0.1
        assert bad["coverage_k5"] < 0.3 < 0.8 < real["coverage_k5"]
    assert real["fid_infinity"] < real["fid"]
    assert real["classes_covered"] == 10
    assert collapsed["classes_covered"] == 1
    assert collapsed["recall_k3"] == 0
    # One class of about a tenth: log 10, up to the classes' unequal sizes.
    assert collapsed["reverse_kl_classes"] == pytest.approx(math.log(10), abs=0.1)
    assert noise["precision_k3"] < 0.5 < real["precision_k3"]


@pytest.mark.parametrize("n", [200, 599, 1000])
def test_any_number_of_fakes_is_judged(images: Images, classifier: features.Classifier, n: int) -> None:
    """Real images against held-out ones: what a good generator scores, at N below and above M = 599."""
    judge = ImageJudge(images, classifier)
    values = judge.measure(images.train_images[:n])
    assert values.keys() == IMAGE_METRICS.keys()
    assert all(math.isfinite(value) for value in values.values())
    assert 0.6 < values["precision_k3"] <= 1
    cheap = judge.measure(images.train_images[:n], final=False)
    assert cheap == {stem: values[stem] for stem in cheap}
    assert set(cheap) == {stem for stem in IMAGE_METRICS if METRICS[stem].through_training}


def test_a_judges_names_are_those_that_the_registry_lists(
    images: Images, classifier: features.Classifier
) -> None:
    digits, stacked = (BENCHMARKS[name].setting for name in ("digits", "stacked_digits"))
    judge = ImageJudge(images, classifier)
    whole = {"collapsed", "missed"}
    assert set(measure(judge, images.train_images[:599], 0.5)) == {*measured(digits), *whole}
    through = measure(judge, images.train_images[:599], 0.5, final=False)
    assert set(through) == set(measured_through_training(digits))
    triples = _triples(images, stacked)
    judge = StackedJudge(images, classifier, 2000, _generator())
    assert set(measure(judge, triples, 0.5)) == {*measured(stacked), *whole}
    few = measure(judge, triples[: stacked.checkpoint_samples], 0.5, final=False)
    assert set(few) == set(measured_through_training(stacked))


def _triples(images: Images, setting: Setting) -> torch.Tensor:
    chosen = _drawn("stacked_digits", setting, len(images.train_images), _generator(1))
    return images.train_images[chosen].flatten(1)


def test_stacked_digits_are_judged_digit_by_digit(images: Images, classifier: features.Classifier) -> None:
    """The mode of (a, b, c) is 100 a + 10 b + c; each digit's features are its own."""
    judge = StackedJudge(images, classifier, 1500, _generator())
    assert judge.modes == 1000
    assert float(judge.frequencies.sum()) == pytest.approx(1, abs=1e-12)
    shares = torch.bincount(images.test_labels).double() / 599
    assert float(judge.frequencies[372]) == pytest.approx(float(shares[3] * shares[7] * shares[2]), abs=1e-12)
    # 1500 samples of one triple: one mode, of about a thousandth of the data.
    one = images.train_images[[int((images.train_labels == k).nonzero()[0]) for k in (3, 7, 2)]]
    labels = classifier.judge(one)[1]
    mode = 100 * int(labels[0]) + 10 * int(labels[1]) + int(labels[2])
    collapsed = judge.measure(one.reshape(1, -1).repeat(1500, 1))
    assert collapsed.keys() == set(STACKED_STEMS)
    assert collapsed["classes_covered"] == 1
    assert collapsed["reverse_kl_classes"] == pytest.approx(-math.log(float(judge.frequencies[mode])))
    real = judge.measure(_triples(images, BENCHMARKS["stacked_digits"].setting))
    assert real["fid"] < 0.1 * collapsed["fid"]
    assert real["classes_covered"] > 900
    assert real["precision_k3"] > 0.6


def test_real_images_are_drawn_once_each_and_triples_with_replacement() -> None:
    digits, stacked = (BENCHMARKS[name].setting for name in ("digits", "stacked_digits"))
    assert len(set(_drawn("digits", digits, 1198, _generator()).flatten().tolist())) == 599
    assert _drawn("stacked_digits", stacked, 1198, _generator()).shape == (10000, 3)
    assert _sizes(digits) == {599: True}
    assert _sizes(stacked) == {500: False, 10000: True}


def test_every_feature_metric_is_registered() -> None:
    assert set(FEATURE_STEMS) < set(IMAGE_METRICS)
