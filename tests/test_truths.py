"""The exact divergences of the calibration's pairs against quadrature, Monte Carlo and other algorithms."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from scipy.special import rel_entr

from pipeline.calibration.truths import normals_to_truth, weights_to_truth
from pipeline.data.mixtures import Mixture
from pipeline.metrics.estimators import ESTIMATORS, QUANTITIES
from pipeline.metrics.estimators.kernel import reals_to_bandwidth
from pipeline.metrics.estimators.sliced import sorted_to_costs

Array = npt.NDArray[np.float64]

TURN = 2 * np.pi * np.arange(8) / 8
RING = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
EVEN = np.full(8, 1 / 8)
UNEVEN = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
HALF = np.array([0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0])
F_DIVERGENCES = (
    *("jensen_shannon", "kl", "reverse_kl", "total_variation", "squared_hellinger"),
    *("pearson_chi2", "neyman_chi2"),
)


def _by_definition(name: str, p: Array, q: Array) -> Array:
    """The integrand of the definition in QUANTITIES."""
    m = (p + q) / 2
    return {
        "jensen_shannon": (rel_entr(p, m) + rel_entr(q, m)) / 2,
        "kl": rel_entr(p, q),
        "reverse_kl": rel_entr(q, p),
        "total_variation": abs(p - q) / 2,
        "squared_hellinger": (p**0.5 - q**0.5) ** 2,
        "pearson_chi2": (p - q) ** 2 / q,
        "neyman_chi2": (p - q) ** 2 / p,
    }[name]


def _samples(means: Array, std: float, shares: Array, n: int, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    mode = generator.choice(len(shares), size=n, p=shares)
    result: Array = means[mode] + std * generator.standard_normal((n, 2))
    return result


# Normals


@pytest.mark.parametrize("distance", [0.0, 0.01, 1.0, 3.0])
@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_f_divergences_of_normals_are_the_integrals_that_define_them(name: str, distance: float) -> None:
    """In every dimension: the other coordinates are the same under p and q."""

    def integrand(x: float) -> float:
        p, q = (np.asarray(scipy.stats.norm.pdf(x, mean)) for mean in (0, distance))
        return float(_by_definition(name, p, q))

    # The chi-squared integrands have their mass near x = -d and 2 d.
    points = [-distance, distance / 2, 2 * distance]
    expected, _ = quad(integrand, -12 - distance, 12 + 2 * distance, points=points, limit=400, epsabs=1e-13)
    for dimensions in (1, 64):
        found = normals_to_truth(distance, dimensions)[name]
        # The quadrature's own error, and its scipy densities to 1e-16 before the difference p - q.
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_energy_and_transport_on_the_line_are_integrals_of_distribution_functions(distance: float) -> None:
    """Energy = 2 int (F_p - F_q)^2 (Szekely & Rizzo 2013), W1 = int |F_p - F_q|."""

    def gap(x: float) -> float:
        return float(scipy.stats.norm.cdf(x) - scipy.stats.norm.cdf(x, distance))

    truth = normals_to_truth(distance, 1)
    energy, _ = quad(lambda x: 2 * gap(x) ** 2, -12, 14)
    w1, _ = quad(lambda x: abs(gap(x)), -12, 14)
    assert truth["energy_distance"] == pytest.approx(energy, rel=1e-9)
    assert truth["wasserstein_1"] == pytest.approx(w1, rel=1e-9)
    assert truth["sliced_wasserstein_1"] == pytest.approx(w1, rel=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2, 16])
def test_energy_and_mmd_of_normals_by_monte_carlo(dimensions: int) -> None:
    """|x - y|^2/2 is chi-squared with noncentrality d^2/2: its quantiles are a Monte Carlo without noise."""
    distance, levels = 1.5, (np.arange(200_000) + 0.5) / 200_000
    inside = 2 * scipy.stats.chi2.ppf(levels, dimensions)
    across = 2 * scipy.stats.ncx2.ppf(levels, dimensions, distance**2 / 2)
    truth = normals_to_truth(distance, dimensions)
    energy = 2 * np.sqrt(across).mean() - 2 * np.sqrt(inside).mean()
    # Midpoints of the quantile function, whose tail ends at 1/400,000 of the mass.
    assert truth["energy_distance"] == pytest.approx(energy, rel=1e-4)
    median = float(np.median(inside))
    kernels = [
        2 * (np.exp(-inside / c).mean() - np.exp(-across / c).mean())
        for c in 2 * median * np.array([0.25, 1, 4])
    ]
    assert truth["mmd_squared"] == pytest.approx(float(np.mean(kernels)), rel=1e-4)


def test_sliced_distances_of_normals_by_their_known_first_coordinates() -> None:
    """E|u_1| = 1, 2/pi, 1/2 on the sphere in 1, 2, 3 dimensions; E u_1^2 = 1/D."""
    for dimensions, mean in ((1, 1.0), (2, 2 / math.pi), (3, 0.5)):
        truth = normals_to_truth(2.0, dimensions)
        assert truth["sliced_wasserstein_1"] == pytest.approx(2 * mean, rel=1e-14)
        assert truth["sliced_wasserstein_2"] == pytest.approx(2 / math.sqrt(dimensions), rel=1e-14)


def test_every_quantity_of_an_untrained_estimator_has_a_truth() -> None:
    names = ("histogram", "nearest_neighbours", "kernel", "sliced", "optimal_transport")
    needed = {quantity for name in names for quantity in ESTIMATORS[name].quantities}
    for truth in (normals_to_truth(1.0, 2), weights_to_truth(RING, 0.01, EVEN, UNEVEN)):
        assert needed <= truth.keys()
        assert {"pearson_chi2", "neyman_chi2", "two_sample_accuracy"} <= truth.keys() <= QUANTITIES.keys()
        assert truth["two_sample_accuracy"] == (1 + truth["total_variation"]) / 2
    for truth in (normals_to_truth(0.0, 2), weights_to_truth(RING, 0.01, EVEN, EVEN)):
        for name, value in truth.items():
            # Sums over modes that cancel: rounding.
            assert value == pytest.approx(QUANTITIES[name].at_equal, abs=1e-12), name


def test_no_truth_exceeds_its_quantity() -> None:
    """At 40 standard deviations everything bounded is at its end, and chi-squared beyond float64."""
    truth = normals_to_truth(40.0, 1)
    for name, value in truth.items():
        largest = QUANTITIES[name].largest
        assert largest is None or value <= largest
    assert truth["jensen_shannon"] == pytest.approx(math.log(2), abs=1e-10)
    assert truth["pearson_chi2"] == math.inf


# Shares of modes


@pytest.mark.parametrize("q", [UNEVEN, EVEN])
def test_f_divergences_of_shares_are_those_of_the_mixtures(q: Array) -> None:
    """By the mixtures' densities at samples of p: 200,000 of them, 4 standard errors."""
    std = 0.02
    of_p, of_q = (Mixture(torch.tensor(RING), std, torch.tensor(w)) for w in (EVEN, q))
    x = torch.from_numpy(_samples(RING, std, EVEN, 200_000, 0))
    ratio = (of_q.log_density(x) - of_p.log_density(x)).exp().numpy()
    truth = weights_to_truth(RING, std, EVEN, q)
    for name in F_DIVERGENCES:
        values = _by_definition(name, np.ones_like(ratio), ratio)
        error = values.std() / math.sqrt(len(values))
        assert truth[name] == pytest.approx(values.mean(), abs=4 * error + 1e-12), name


def test_a_missing_mode_makes_what_divides_by_it_infinite() -> None:
    """q has half of 8 modes: KL(q || p) = log 2, TV = 1/2, chi2(q || p) = 1; the other way infinite."""
    missing, surplus = weights_to_truth(RING, 0.01, EVEN, HALF), weights_to_truth(RING, 0.01, HALF, EVEN)
    assert missing["kl"] == missing["pearson_chi2"] == math.inf
    assert missing["reverse_kl"] == pytest.approx(math.log(2), abs=1e-12)
    assert missing["total_variation"] == pytest.approx(0.5, abs=1e-12)
    assert missing["neyman_chi2"] == pytest.approx(1.0, abs=1e-12)
    assert missing["squared_hellinger"] == pytest.approx(2 - math.sqrt(2), abs=1e-12)
    assert surplus["reverse_kl"] == surplus["neyman_chi2"] == math.inf
    assert surplus["kl"] == pytest.approx(missing["reverse_kl"], abs=1e-12)
    for name in (
        "jensen_shannon",
        "energy_distance",
        "sliced_wasserstein_2",
        "wasserstein_1",
        "wasserstein_2",
    ):
        assert missing[name] == pytest.approx(surplus[name], rel=1e-9)


def test_two_modes_move_the_difference_of_their_shares() -> None:
    """W1 = |p_1 - q_1| L, W2 = |p_1 - q_1|^(1/2) L; every direction u scales them by |u_1|: 2/pi, 1/2."""
    means, p, q = np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([0.7, 0.3]), np.array([0.5, 0.5])
    truth = weights_to_truth(means, 0.001, p, q)
    assert truth["wasserstein_1"] == pytest.approx(0.2 * 3, rel=1e-12)
    assert truth["wasserstein_2"] == pytest.approx(math.sqrt(0.2) * 3, rel=1e-12)
    # The width of the modes, 0.001 of 3, moves in the directions that nearly close the gap.
    assert truth["sliced_wasserstein_1"] == pytest.approx(0.2 * 3 * 2 / math.pi, rel=1e-3)
    assert truth["sliced_wasserstein_2"] == pytest.approx(math.sqrt(0.2 / 2) * 3, rel=2e-3)


@pytest.mark.parametrize("std", [0.01, 0.05])
@pytest.mark.parametrize("q", [UNEVEN, HALF])
def test_energy_and_mmd_of_shares_by_monte_carlo(q: Array, std: float) -> None:
    """Pairs of independent points, 400,000 of each kind, one kernel for all: 4 standard errors."""
    n = 400_000
    (x, x_other), (y, y_other) = (
        (_samples(RING, std, w, n, seed), _samples(RING, std, w, n, seed + 1))
        for w, seed in ((EVEN, 1), (q, 3))
    )
    xy, xx, yy = (np.linalg.norm(a - b, axis=1) for a, b in ((x, y), (x, x_other), (y, y_other)))
    truth = weights_to_truth(RING, std, EVEN, q)
    median = float(np.median(xx))

    def k(apart: Array) -> Array:
        result: Array = np.mean([np.exp(-((apart / (h * median)) ** 2) / 2) for h in (0.5, 1, 2)], axis=0)
        return result

    for name, values in (("energy_distance", 2 * xy - xx - yy), ("mmd_squared", k(xx) + k(yy) - 2 * k(xy))):
        error = values.std() / math.sqrt(n)
        assert error < 0.004
        assert truth[name] == pytest.approx(values.mean(), abs=4 * error), name


def test_the_bandwidth_of_shares_is_that_of_their_samples() -> None:
    """The estimator's own median of 500 reals is where the closed form puts it: the MMDs agree."""
    reals = torch.from_numpy(_samples(RING, 0.05, EVEN, 20_000, 0)).reshape(40, 500, 2)
    medians = [reals_to_bandwidth(real) for real in reals]
    x = _samples(RING, 0.05, EVEN, 200_000, 1)
    expected = float(np.median(np.linalg.norm(x[::2] - x[1::2], axis=1)))
    # A median of 125,000 pairs of 500 points, over 40 repeats.
    assert float(np.mean(medians)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("std", [0.01, 0.05])
@pytest.mark.parametrize("q", [UNEVEN, HALF])
def test_sliced_distances_of_shares_by_stratified_samples(q: Array, std: float) -> None:
    """Each mode in its exact share of 8,000 points: only the width of the modes is random, of std."""
    directions = math.pi * (np.arange(90) + 0.25) / 90
    along = np.stack([np.cos(directions), np.sin(directions)])
    rng = np.random.default_rng(0)
    sides = []
    for shares in (EVEN, q):
        counts = np.round(8000 * shares).astype(int)
        points = np.repeat(RING, counts, axis=0) + std * rng.standard_normal((8000, 2))
        sides.append(torch.from_numpy(np.sort((points @ along).T)))
    w1, w2_squared = sorted_to_costs(*sides)
    truth = weights_to_truth(RING, std, EVEN, q)
    # Sampling noise std/sqrt(1000) per mode, under 1 % of these distances.
    assert truth["sliced_wasserstein_1"] == pytest.approx(float(w1.mean()), rel=0.01)
    assert truth["sliced_wasserstein_2"] == pytest.approx(float(w2_squared.mean().sqrt()), rel=0.01)


@pytest.mark.parametrize("q", [UNEVEN, HALF])
def test_transport_between_means_bounds_that_of_the_mixtures(q: Array) -> None:
    """Sampled with exact shares: above by sampling noise, below by at most 2.51 and 2.83 std."""
    std, n = 0.02, 400
    rng = np.random.default_rng(0)
    sides = []
    for shares in (EVEN, q):
        counts = np.round(n * shares).astype(int)
        sides.append(torch.from_numpy(np.repeat(RING, counts, axis=0) + std * rng.standard_normal((n, 2))))
    found = ESTIMATORS["optimal_transport"](sides[0][None], sides[1][None], torch.Generator())
    truth = weights_to_truth(RING, std, EVEN, q)
    for name, widths in (("wasserstein_1", 2.51), ("wasserstein_2", 2.83)):
        excess = float(found[name][0]) - truth[name]
        assert -widths * std < excess < std, name


# What is refused


@pytest.mark.parametrize(("distance", "dimensions"), [(-1.0, 1), (math.nan, 1), (math.inf, 1), (1.0, 0)])
def test_normals_need_a_distance_and_a_dimension(distance: float, dimensions: int) -> None:
    with pytest.raises(ValueError, match="normals need a distance >= 0 and dimensions >= 1"):
        normals_to_truth(distance, dimensions)


@pytest.mark.parametrize(
    ("means", "std", "p", "q", "message"),
    [
        (RING[:, :1], 0.01, EVEN, EVEN, r"means \(K, 2\)"),
        (RING, 0.01, EVEN[:4], EVEN, "shares"),
        (RING, 0.01, EVEN, 2 * EVEN, "q: shares are at least 0 and sum to 1"),
        (RING, 0.01, EVEN - 1, EVEN, "p: shares"),
        (RING, 0.1, EVEN, EVEN, "modes must be 12 std apart"),
        (RING, 0.0, EVEN, EVEN, "std > 0"),
    ],
)
def test_mixtures_without_a_truth_are_refused(
    means: Array, std: float, p: Array, q: Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        weights_to_truth(means, std, p, q)
