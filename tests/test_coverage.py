"""Shares, support from coincidences, and spread within modes: hand-placed samples and closed forms."""

import math

import numpy as np
import pytest
import torch

from pipeline.config import GridData, RingData
from pipeline.data.images import Images
from pipeline.data.mixtures import Mixture, grid, ring
from pipeline.metrics import coverage, support

RING = ring(RingData(kind="ring", modes=8, radius=1.0, std=0.01))
GRID = grid(GridData(kind="grid", side=5, spacing=0.5, std=0.0125))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Shares


def test_overlap_is_1_minus_the_total_variation_of_the_histogram() -> None:
    rng = np.random.default_rng(0)
    counts, shares = rng.integers(0, 9, 12), rng.dirichlet(np.ones(12))
    distance = np.abs(counts / counts.sum() - shares).sum() / 2
    got = coverage.overlap(torch.from_numpy(counts), torch.from_numpy(shares))
    assert got == pytest.approx(1 - distance, abs=1e-14)


def test_coverage_of_labels_placed_by_hand() -> None:
    labels = torch.tensor([0] * 90 + [1] * 6 + [2] * 4)
    got = coverage.labels_to_coverage(labels, torch.tensor([0.3, 0.55, 0.1, 0.05], dtype=torch.float64))
    assert got["classes_captured"] == 3
    assert got["largest_class_share"] == pytest.approx(0.9, abs=1e-15)
    assert got["class_overlap"] == pytest.approx(0.3 + 0.06 + 0.04, abs=1e-15)
    pairs = 90 * 89 / 2 + 6 * 5 / 2 + 4 * 3 / 2
    assert got["effective_classes"] == pytest.approx(100 * 99 / 2 / pairs, rel=1e-14)


@pytest.mark.parametrize("mixture", [RING, GRID], ids=["ring", "grid"])
def test_k_equal_modes_overlap_in_k_of_all_and_are_k_effective(mixture: Mixture) -> None:
    for k in (1, 3, mixture.modes):
        got = coverage.samples_to_coverage(mixture.means[:k].repeat(400, 1), mixture)
        assert got["mode_overlap"] == pytest.approx(k / mixture.modes, abs=1e-12)
        n = 400 * k
        assert got["effective_modes"] == pytest.approx((n - 1) / (n / k - 1), rel=1e-12)
        assert got["modes_covered"] == got["modes_occupied"] == k


# Support


def test_colliding_pairs_against_all_pairs() -> None:
    labels = torch.randint(7, (40,), generator=_generator())
    counts = torch.bincount(labels)
    pairs = int((labels[:, None] == labels).sum() - 40) // 2
    assert support.counts_to_colliding_pairs(counts) == pairs


def test_no_coincidence_is_a_finite_estimate() -> None:
    assert support.pairs_to_support(0, 50) == 1225


@pytest.mark.parametrize(("classes", "concentration"), [(1000, None), (1000, 1.0), (50, 0.3)])
def test_one_over_the_support_of_multinomials_is_unbiased(classes: int, concentration: float | None) -> None:
    """400 repeats within 4 standard errors. Equal shares are the degenerate case."""
    rng = np.random.default_rng(1)
    shares = np.full(classes, 1 / classes)
    if concentration:
        shares = rng.dirichlet(np.full(classes, concentration))
    truth = 1 / np.square(shares).sum()
    rates = []
    for _ in range(400):
        colliding = support.counts_to_colliding_pairs(torch.from_numpy(rng.multinomial(600, shares)))
        rates.append(1 / support.pairs_to_support(colliding, 600))
    error = np.std(rates) / 20
    assert np.mean(rates) == pytest.approx(1 / truth, abs=4 * error)


@pytest.mark.parametrize("mixture", [RING, GRID], ids=["ring", "grid"])
def test_support_of_a_perfect_sampler_is_its_closed_form(mixture: Mixture) -> None:
    """Over 5 sets of 10,000 points 25,000 to 78,000 pairs coincide: 2 % is more than 3 standard errors."""
    radius = support.RADIUS * mixture.std
    rates = [
        1 / support.samples_to_support(mixture.sample(10_000, _generator(i)).double().numpy(), radius)
        for i in range(5)
    ]
    assert 1 / float(np.mean(rates)) == pytest.approx(support.perfect_support(mixture), rel=0.02)


def test_support_of_points_against_all_pairs() -> None:
    points = RING.sample(500, _generator()).double()
    expected = float((torch.pdist(points) <= 0.002).sum())
    got = support.samples_to_support(points.numpy(), 0.002)
    assert got == pytest.approx(500 * 499 / 2 / expected, rel=1e-12)


def test_a_generator_of_m_points_has_support_m(images: Images) -> None:
    """Whatever the metric of coincidence: points of the plane, and images."""
    points = RING.means.repeat(50, 1).double().numpy()
    assert support.samples_to_support(points, 1e-6) == pytest.approx(399 / 49, rel=1e-12)
    radius = support.duplicate_radius(images.test_images)
    few = images.train_images[:20].repeat(25, 1)
    # 20 images of which some pairs are alike too, at most 1 in 100 of other classes and styles.
    assert 10 < support.images_to_support(few, radius) <= 499 / 24


def test_images_are_the_scale_of_their_own_support(images: Images) -> None:
    """1 in 1000 pairs is within the radius by its definition; a quantile is off by at most one pair."""
    radius = support.duplicate_radius(images.test_images)
    assert support.images_to_support(images.test_images, radius) == pytest.approx(1000, rel=1 / 179)
    # Other images of the same law: 179 pairs are expected, with a standard error of about a tenth.
    assert support.images_to_support(images.train_images[:599], radius) == pytest.approx(1000, rel=0.4)


# Spread


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_spread_ratio_of_modes_shrunk_around_places_of_their_own(scale: float) -> None:
    """Cut at 3 std of the data, which a normal of `scale` std passes with probability exp(-4.5 / scale^2)."""
    generator = _generator(3)
    mode = torch.arange(8).repeat_interleave(5000)
    centres = RING.means[mode] + 0.02 * torch.randn(8, 2, generator=generator)[mode]
    samples = centres + scale * 0.01 * torch.randn(40_000, 2, generator=generator)
    got = coverage.samples_to_coverage(samples, RING)["mode_spread_ratio"]
    cut = 1 - math.exp(-4.5 / scale**2) if scale else 0.0
    expected = scale * math.sqrt(cut / (1 - math.exp(-4.5)))
    # The median of 8 modes of 5000 points: about 1 % / sqrt(8) and a little more.
    assert got == pytest.approx(expected, rel=0.02, abs=1e-12)


def test_a_line_within_a_mode_has_spread_root_half() -> None:
    """The data's std along the line and nothing across: E min(x^2, 9) / 2 of the two-dimensional 1."""
    x = 0.01 * torch.randn(40_000, generator=_generator(), dtype=torch.float64)
    samples = RING.means[torch.arange(40_000) % 8] + torch.stack([x, torch.zeros_like(x)], 1)
    got = coverage.samples_to_coverage(samples, RING)["mode_spread_ratio"]
    assert got == pytest.approx(math.sqrt(0.5), rel=0.02)


def test_few_strays_do_not_make_up_for_a_point() -> None:
    """1 % of the samples far away: their distance counts as 3 std, sqrt(0.01 * 9 / 2 / 0.989) = 0.21."""
    samples = RING.means.repeat(500, 1)
    samples[:40] = torch.tensor([5.0, 5.0], dtype=torch.float64)
    got = coverage.samples_to_coverage(samples, RING)["mode_spread_ratio"]
    assert got < 0.25


@pytest.mark.parametrize("mixture", [RING, GRID], ids=["ring", "grid"])
def test_the_perfect_sampler_has_spread_and_overlap_1(mixture: Mixture) -> None:
    got = coverage.samples_to_coverage(mixture.sample(50_000, _generator()), mixture)
    assert got["mode_spread_ratio"] == pytest.approx(1, abs=0.01)  # 2000 points of a mode: 1.6 % / sqrt(K)
    # E |c_k / N - p_k| is sqrt(2 p / (pi N)): K / 2 of them are 0.4 to 0.9 %.
    loss = mixture.modes / 2 * math.sqrt(2 / (math.pi * mixture.modes * 50_000))
    assert got["mode_overlap"] == pytest.approx(1 - loss, abs=loss)


def test_class_spreads_against_numpy_and_their_ratio() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    got = coverage.class_spreads(torch.from_numpy(features), torch.from_numpy(labels), 4)
    for label in range(3):
        own = features[labels == label]
        assert float(got[label]) == pytest.approx(math.sqrt(np.trace(np.cov(own.T))), rel=1e-12)
    assert math.isnan(got[3])
    shares = torch.full((4,), 0.25, dtype=torch.float64)
    shrunk = torch.from_numpy(features * 0.5)
    ratio = coverage.class_spread_ratio(shrunk, torch.from_numpy(labels), got, shares)
    assert ratio == pytest.approx(0.5, rel=1e-12)
    assert coverage.class_spread_ratio(shrunk[:1], torch.tensor([0]), got, shares) == 0
    # A class without spread in the data has no ratio.
    without = torch.where(torch.arange(4) == 1, 0.0, got)
    assert coverage.class_spread_ratio(shrunk, torch.from_numpy(labels), without, shares) == pytest.approx(
        0.5
    )


def test_a_mode_without_samples_is_not_occupied_whatever_its_share() -> None:
    counts, shares = torch.tensor([10, 0, 0]), torch.tensor([0.5, 0.5, 0.0])
    assert coverage.occupied(counts, shares).tolist() == [True, False, False]


def test_samples_of_absurd_size_have_finite_coverage() -> None:
    for value in (1e30, 3e38):
        got = coverage.samples_to_coverage(torch.full((100, 2), value), GRID)
        assert all(math.isfinite(number) for number in got.values()), got
