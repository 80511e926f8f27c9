"""Every estimator of a divergence against the truth, a second algorithm, and the laws it keeps."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from pipeline.calibration.truths import normals_to_truth
from pipeline.metrics.divergences import BRUTE_FORCE_FROM, kth_distances
from pipeline.metrics.estimators import ESTIMATORS, QUANTITIES, Estimator, histogram, kernel, sliced
from pipeline.metrics.estimators.nearest_neighbours import samples_to_kl
from pipeline.metrics.estimators.optimal_transport import OPTIMAL_TRANSPORT, costs_to_transport

# Those of this file; the trained ratios have tests of their own.
NAMES = ("histogram", "nearest_neighbours", "kernel", "sliced", "optimal_transport")
S = 20
# (estimator, D): the histogram is for the line and the plane.
CASES = [
    (name, dimensions)
    for name in NAMES
    for dimensions in (1, 2, 16)
    if dimensions <= (ESTIMATORS[name].largest_dimensions or 16)
]


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normals(
    n: int, dimensions: int, distance: float, m: int | None = None, seeds: int = S, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = _generator(seed)
    real = torch.randn(seeds, n, dimensions, generator=generator, dtype=torch.float64)
    fake = torch.randn(seeds, m or n, dimensions, generator=generator, dtype=torch.float64)
    fake[..., 0] += distance
    return real, fake


def _estimate(name: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return ESTIMATORS[name](real, fake, _generator(1))


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


# The registry


def test_the_registry_names_its_protocols() -> None:
    for name, one in ESTIMATORS.items():
        assert one.name == name
        assert set(one.quantities) <= QUANTITIES.keys()
        assert one.title
        assert one.cost
        assert one.source
    for quantity in QUANTITIES.values():
        assert quantity.unit in ("nats", "1", "data units", "squared data units")
        assert quantity.largest is None or quantity.largest > quantity.at_equal


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_values_are_one_float64_per_seed(name: str, dtype: torch.dtype) -> None:
    real, fake = (one.to(dtype) for one in _normals(40, 2, 1.0, 30, seeds=3))
    found = _estimate(name, real, fake)
    assert tuple(found) == ESTIMATORS[name].quantities
    for value in found.values():
        assert value.shape == (3,)
        assert value.dtype == torch.float64
    exact = _estimate(name, real.double(), fake.double())
    for quantity, value in found.items():
        # Every estimator works in float64 inside, so that the type of the samples changes nothing.
        assert torch.equal(value, exact[quantity])


# Against the truth. The allowances are biases of the method, each with its source; the rest is 4 standard
# errors over 20 repeats.

# Wang et al. 2009: the density changes within the balls, in D dimensions of a radius near (k/N)**(1/D).
NEIGHBOUR_BIAS = {1: 0.01, 2: 0.02, 16: 0.25}


@pytest.mark.parametrize("dimensions", [1, 2, 16])
@pytest.mark.parametrize("distance", [0.0, 1.0])
@pytest.mark.parametrize("name", ["kernel", "nearest_neighbours"])
def test_estimates_of_normals_scatter_around_the_truth(name: str, dimensions: int, distance: float) -> None:
    """Kernel and energy are unbiased; neighbours are so for p = q, whose bias cancels."""
    truth = normals_to_truth(distance, dimensions)
    found = _estimate(name, *_normals(1000, dimensions, distance))
    bias = NEIGHBOUR_BIAS[dimensions] * distance if name == "nearest_neighbours" else 0.0
    for quantity, values in found.items():
        mean, error = _mean_and_error(values)
        assert abs(mean - truth[quantity]) < 4 * error + bias, quantity
        # The errors themselves are small: otherwise 4 of them would prove nothing.
        assert error < 0.02


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_histogram_of_normals_is_the_truth_but_for_its_cells(dimensions: int) -> None:
    """The cells lose something (data processing), the samples add (C - 1)/(4 N) nats to the JSD."""
    n, distance = 4000, 1.0
    truth = normals_to_truth(distance, dimensions)
    found = _estimate("histogram", *_normals(n, dimensions, distance))
    added = (2 ** histogram.pooled_to_depth(2 * n) - 1) / (4 * n)
    # Near p = q a squared Hellinger distance is 2 JSD, KL is 4 JSD; coarse cells lose up to a tenth in D = 2.
    for quantity, times in (("jensen_shannon", 1), ("squared_hellinger", 2), ("kl", 4), ("reverse_kl", 4)):
        mean, error = _mean_and_error(found[quantity])
        assert mean - truth[quantity] < 2 * times * added + 4 * error, quantity
        assert mean - truth[quantity] > -0.1 * truth[quantity] - 4 * error, quantity
    mean, error = _mean_and_error(found["total_variation"])
    assert mean == pytest.approx(truth["total_variation"], abs=0.02 + 4 * error)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("n", [250, 2000])
def test_the_histogram_of_equal_laws_has_the_bias_of_fixed_cells(dimensions: int, n: int) -> None:
    """(C - 1)/(4 N) to first order in C/N: choosing the cells on the same points adds nothing."""
    found = _estimate("histogram", *_normals(n, dimensions, 0.0, seeds=100))["jensen_shannon"]
    mean, error = _mean_and_error(found)
    cells = 2 ** histogram.pooled_to_depth(2 * n)
    # The next order is smaller by about C/N, 6 % at most here.
    assert mean == pytest.approx((cells - 1) / (4 * n), abs=4 * error, rel=cells / n)


@pytest.mark.parametrize("dimensions", [1, 2, 16])
def test_sliced_and_exact_transport_of_normals(dimensions: int) -> None:
    """Distances are biased upwards: by their value at p = q at most (the triangle inequality)."""
    distance, n = 2.0, 400
    truth = normals_to_truth(distance, dimensions)
    for name in ("sliced", "optimal_transport"):
        seeds = S if name == "sliced" else 5
        apart = _estimate(name, *_normals(n, dimensions, distance, seeds=seeds))
        equal = _estimate(name, *_normals(n, dimensions, 0.0, seeds=seeds))
        for quantity, values in apart.items():
            mean, error = _mean_and_error(values)
            assert truth[quantity] - 4 * error < mean, quantity
            assert mean < truth[quantity] + float(equal[quantity].mean()) + 4 * error, quantity


def test_sliced_distances_of_equal_laws_fall_with_the_root_of_n() -> None:
    few, many = (_estimate("sliced", *_normals(n, 2, 0.0))["sliced_wasserstein_1"] for n in (250, 4000))
    ratio = float(few.mean() / many.mean())
    # 16 times the samples: 4; 20 repeats of about 20 % each leave 7 % in either mean.
    assert ratio == pytest.approx(4, rel=0.25)


# Laws


@pytest.mark.parametrize("name", ["histogram", "sliced", "optimal_transport"])
def test_a_sample_is_at_distance_zero_from_itself(name: str) -> None:
    real, _ = _normals(100, 2, 0.0, seeds=2)
    for value in _estimate(name, real, real.flip(1)).values():
        # W2 is the root of a sum that rounding leaves near 1e-16.
        assert value.abs().max() < 1e-7


@pytest.mark.parametrize("name", ["histogram", "nearest_neighbours", "kernel", "sliced", "optimal_transport"])
def test_exchanging_real_and_fake(name: str) -> None:
    """KL changes its direction; the MMD takes its bandwidth from the reals; the others stay."""
    real, fake = _normals(120, 2, 1.0, 90, seeds=3)
    there, back = _estimate(name, real, fake), _estimate(name, fake, real)
    exchanged = {"kl": "reverse_kl", "reverse_kl": "kl"}
    for quantity in there.keys() - {"mmd_squared"}:
        # Sums in another order: rounding only.
        torch.testing.assert_close(
            there[quantity], back[exchanged.get(quantity, quantity)], rtol=0, atol=1e-12
        )


def test_the_bandwidth_does_not_depend_on_the_fakes() -> None:
    real, fake = _normals(60, 3, 0.0, seeds=1)
    assert kernel.reals_to_bandwidth(real[0]) == pytest.approx(float(np.median(pdist(real[0]))), rel=0.01)
    wide = _estimate("kernel", real, 1000 * fake)["mmd_squared"]
    inside = pdist(real[0])
    expected = np.mean(
        [np.exp(-((inside / (w * kernel.reals_to_bandwidth(real[0]))) ** 2) / 2) for w in (0.5, 1, 2)]
    )
    # Fakes that are far from all and from each other leave E k(x, x') alone.
    assert float(wide[0]) == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_moving_and_scaling_both_samples(name: str, dimensions: int) -> None:
    """f-divergences and the MMD stay, transport and energy have the unit of the data."""
    real, fake = _normals(150, dimensions, 1.0, 120, seeds=2)
    before = _estimate(name, real, fake)
    moved = _estimate(name, 8 * real + 5, 8 * fake + 5)
    for quantity, value in before.items():
        times = 8 if QUANTITIES[quantity].unit == "data units" else 1
        # The move costs digits: 1e-15 of 5 standard deviations, in sums of hundreds of terms.
        torch.testing.assert_close(moved[quantity], times * value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["nearest_neighbours", "kernel", "optimal_transport"])
def test_turning_both_samples(name: str) -> None:
    real, fake = _normals(150, 3, 1.0, seeds=2)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=_generator(5), dtype=torch.float64)).Q
    before, after = _estimate(name, real, fake), _estimate(name, real @ turn, fake @ turn)
    for quantity, value in before.items():
        torch.testing.assert_close(after[quantity], value, rtol=1e-10, atol=1e-10)  # rounding of the turn


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_seed_does_not_depend_on_its_neighbours(name: str, dimensions: int) -> None:
    """Bit for bit: every seed is computed on its own, with the same directions."""
    real, fake = _normals(100, dimensions, 0.5, seeds=3)
    together = _estimate(name, real, fake)
    for i in range(3):
        alone = _estimate(name, real[i : i + 1], fake[i : i + 1])
        for quantity, values in together.items():
            assert torch.equal(values[i : i + 1], alone[quantity])


@pytest.mark.parametrize("name", NAMES)
def test_a_collapsed_generator_has_finite_values(name: str) -> None:
    """All fakes at one point, of float32: no distance among them, and an empty half of every split."""
    real, fake = _normals(100, 2, 0.0, seeds=2)
    for quantity, value in _estimate(name, real.float(), torch.zeros_like(fake).float() + 0.1).items():
        assert bool(value.isfinite().all())
        assert float(value.min()) > 0.1, quantity


# Second algorithms


def test_histogram_cells_of_a_small_sample_by_hand() -> None:
    """Reals 0..7, fakes 8..15: 16 points in 4 cells of 4, no cell shared."""
    real = torch.arange(8, dtype=torch.float64).reshape(1, 8, 1)
    found = {name: float(value) for name, value in _estimate("histogram", real, real + 8).items()}
    assert found["jensen_shannon"] == pytest.approx(math.log(2), abs=1e-12)
    assert found["total_variation"] == 1
    assert found["squared_hellinger"] == pytest.approx(2, abs=1e-12)
    # Half a count each: (4.5, 4.5, 0.5, 0.5)/10 and its mirror image.
    assert found["kl"] == pytest.approx(0.8 * math.log(9), abs=1e-12)
    assert found["reverse_kl"] == pytest.approx(found["kl"], abs=1e-12)


def test_histogram_cells_hold_equal_counts_and_never_part_what_coincides() -> None:
    real, fake = (one[0].numpy() for one in _normals(1000, 2, 1.0, seeds=1))
    counts = histogram.samples_to_counts(real, fake, 5)
    assert counts.shape == (2, 32)
    assert counts.sum(1).tolist() == [1000, 1000]
    # 2000/32 = 62.5, halves rounded up or down.
    assert set(counts.sum(0).tolist()) <= {62.0, 63.0}
    # A collapsed generator on collapsed data: one point, one cell, no divergence by order of rows.
    same = histogram.samples_to_counts(np.zeros((30, 2)), np.zeros((20, 2)), 3)
    assert same.tolist() == [[30], [20]]
    # Three places with 40, 30 and 30 points: a cell each.
    places = np.repeat([[0.0], [1.0], [2.0]], [40, 30, 30], axis=0)
    found = histogram.samples_to_counts(places, places[:70], 4)
    assert sorted(found.T.tolist()) == [[30, 0], [30, 30], [40, 40]]
    # Most points at the upper end, which is then the median: all that lie below are a cell still.
    most = np.repeat([[0.0], [1.0]], [10, 40], axis=0)
    assert sorted(histogram.samples_to_counts(most, most, 2).T.tolist()) == [[10, 10], [40, 40]]


@pytest.mark.parametrize("dimensions", [2, 16])
def test_neighbour_kl_is_the_formula_of_the_paper(dimensions: int) -> None:
    """D/N sum log(nu_k/rho_k) + log(M/(N - 1)) (Wang, Kulkarni & Verdu 2009), by sorting all distances."""
    real, fake = (one[0].numpy() for one in _normals(80, dimensions, 1.0, 60, seeds=1))
    k = 3
    inside, across = np.sort(cdist(real, real), axis=1), np.sort(cdist(real, fake), axis=1)
    expected = dimensions * np.mean(np.log(across[:, k - 1] / inside[:, k])) + math.log(60 / 79)
    # Squares expanded and not: 1e-15 of distances near 1.
    assert samples_to_kl(real, fake, k) == pytest.approx(expected, abs=1e-10)


def test_neighbours_by_tree_and_by_all_pairs_are_the_same() -> None:
    real, fake = (one[0].numpy() for one in _normals(300, BRUTE_FORCE_FROM, 1.0, seeds=1))
    expected = cKDTree(real).query(fake, k=[5])[0][:, 0]
    np.testing.assert_allclose(kth_distances(real, fake, 5), expected, rtol=1e-12)
    padded = (
        np.pad(real[:, :2], ((0, 0), (0, BRUTE_FORCE_FROM))),
        np.pad(fake[:, :2], ((0, 0), (0, BRUTE_FORCE_FROM))),
    )
    # Zeros in more dimensions change no distance.
    np.testing.assert_allclose(
        kth_distances(*padded, 5), kth_distances(real[:, :2], fake[:, :2], 5), rtol=1e-7
    )


@pytest.mark.parametrize("block", [None, 40, 1])
def test_mmd_and_energy_by_a_double_loop(block: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole, in blocks of some rows, and row by row."""
    if block is not None:
        monkeypatch.setattr(kernel, "_BLOCK", block)
    real, fake = _normals(12, 3, 1.0, 9, seeds=1)
    x, y = real[0].tolist(), fake[0].tolist()
    width = kernel.reals_to_bandwidth(real[0])

    def k(a: list[float], b: list[float]) -> float:
        return sum(math.exp(-(math.dist(a, b) ** 2) / (2 * (h * width) ** 2)) for h in (0.5, 1, 2)) / 3

    def over_pairs(f: object, a: list[list[float]], b: list[list[float]] | None = None) -> float:
        pairs = list(itertools.permutations(a, 2) if b is None else itertools.product(a, b))
        return sum(f(one, two) for one, two in pairs) / len(pairs)  # type: ignore[operator]

    found = _estimate("kernel", real, fake)
    mmd = over_pairs(k, x) + over_pairs(k, y) - 2 * over_pairs(k, x, y)
    energy = 2 * over_pairs(math.dist, x, y) - over_pairs(math.dist, x) - over_pairs(math.dist, y)
    # Distances by expanded squares: 1e-15 relative in the square.
    assert float(found["mmd_squared"][0]) == pytest.approx(mmd, abs=1e-12)
    assert float(found["energy_distance"][0]) == pytest.approx(energy, abs=1e-12)


def test_the_kernel_is_cut_into_blocks_at_the_size_it_is_used_with() -> None:
    """1,500 points are more than one block; scipy holds all pairs at once."""
    real, fake = _normals(1500, 2, 0.5, 1400, seeds=1)
    found = float(_estimate("kernel", real, fake)["energy_distance"][0])
    x, y = real[0].numpy(), fake[0].numpy()
    expected = 2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()
    assert found == pytest.approx(expected, abs=1e-10)


def test_energy_distance_on_the_line_is_that_of_scipy() -> None:
    """scipy's is the root of the V-statistic: a point and itself count as a pair."""
    real, fake = _normals(100, 1, 1.0, 80, seeds=1)
    x, y = real[0, :, 0].numpy(), fake[0, :, 0].numpy()
    own_pairs = pdist(x[:, None]).mean() / 100 + pdist(y[:, None]).mean() / 80
    found = float(_estimate("kernel", real, fake)["energy_distance"][0]) + own_pairs
    assert found == pytest.approx(scipy.stats.energy_distance(x, y) ** 2, abs=1e-12)


@pytest.mark.parametrize("m", [100, 70])
def test_transport_on_the_line_is_that_of_scipy(m: int) -> None:
    real, fake = _normals(100, 1, 1.0, m, seeds=1)
    expected = scipy.stats.wasserstein_distance(real[0, :, 0].numpy(), fake[0, :, 0].numpy())
    by_sorting, by_simplex = (_estimate(name, real, fake) for name in ("sliced", "optimal_transport"))
    assert float(by_sorting["sliced_wasserstein_1"][0]) == pytest.approx(expected, abs=1e-12)
    for order in (1, 2):
        # Two algorithms for one number.
        torch.testing.assert_close(
            by_sorting[f"sliced_wasserstein_{order}"],
            by_simplex[f"wasserstein_{order}"],
            rtol=1e-10,
            atol=1e-10,
        )


def test_transport_of_equal_counts_is_an_assignment() -> None:
    real, fake = _normals(60, 5, 1.0, seeds=1)
    costs = cdist(real[0].numpy(), fake[0].numpy())
    found = _estimate("optimal_transport", real, fake)
    for quantity, cost in (("wasserstein_1", costs), ("wasserstein_2", costs**2)):
        rows, columns = linear_sum_assignment(cost)
        expected = cost[rows, columns].mean() ** (0.5 if quantity.endswith("2") else 1)
        assert float(found[quantity][0]) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("dimensions", [2, 3, 16, 64, 200])
def test_directions_are_orthonormal_frames(dimensions: int) -> None:
    along = sliced.directions(dimensions, _generator())
    assert along.shape == (sliced.PROJECTIONS, dimensions)
    # In the plane the directions are in order of their angle: u and the one half way on are a frame.
    frame = along[[0, sliced.PROJECTIONS // 2]] if dimensions == 2 else along[:dimensions]
    torch.testing.assert_close(
        frame @ frame.T, torch.eye(len(frame), dtype=torch.float64), rtol=0, atol=1e-12
    )
    # Another draw, other directions.
    assert float((along - sliced.directions(dimensions, _generator(1))).abs().max()) > 1e-3


@pytest.mark.parametrize("dimensions", [3, 16])
def test_each_direction_of_a_frame_is_uniform(dimensions: int) -> None:
    """The first one of 2,000 draws: E|u_1| of the sphere (as in the truth), within 4 standard errors."""
    generator = _generator()
    first = torch.stack([sliced.directions(dimensions, generator)[0, 0].abs() for _ in range(2000)])
    mean, error = _mean_and_error(first)
    assert mean == pytest.approx(normals_to_truth(1.0, dimensions)["sliced_wasserstein_1"], abs=4 * error)


def test_directions_in_the_plane_are_evenly_spaced_over_half_a_turn() -> None:
    along = sliced.directions(2, _generator())
    angles = torch.atan2(along[:, 1], along[:, 0])
    step = torch.full((sliced.PROJECTIONS - 1,), math.pi / sliced.PROJECTIONS, dtype=torch.float64)
    torch.testing.assert_close(angles.diff(), step, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dimensions", [1, 2, 16, 64])
def test_a_shift_has_its_sliced_w2_exactly(dimensions: int) -> None:
    """Whole frames average (u.v)^2 to |v|^2/D: no scatter of the directions; W1 has some."""
    real, _ = _normals(50, dimensions, 0.0, seeds=1)
    shift = torch.randn(dimensions, generator=_generator(3), dtype=torch.float64)
    found, length = _estimate("sliced", real, real + shift), float(shift.norm())
    truth = normals_to_truth(length, dimensions)
    assert float(found["sliced_wasserstein_2"][0]) == pytest.approx(truth["sliced_wasserstein_2"], rel=1e-12)
    along = sliced.directions(dimensions, _generator(1)) @ shift
    assert float(found["sliced_wasserstein_1"][0]) == pytest.approx(float(along.abs().mean()), rel=1e-12)
    # |u_1| has a relative spread of 0.75 at most: 7 % over 128 directions if independent, 4 times that. The
    # trapezoidal rule of the plane is off by (pi/128)^2, the line by nothing.
    allowed = {1: 1e-12, 2: (math.pi / sliced.PROJECTIONS) ** 2}.get(dimensions, 0.28)
    assert float(found["sliced_wasserstein_1"][0]) == pytest.approx(
        truth["sliced_wasserstein_1"], rel=allowed
    )


# What is refused

REFUSED = {
    "shape": (torch.zeros(5, 2), torch.zeros(5, 2), r"must be \(S, N, D\) and \(S, M, D\), not \(5, 2\)"),
    "seeds": (torch.zeros(2, 5, 2), torch.zeros(3, 5, 2), "must be"),
    "dimensions": (torch.zeros(2, 5, 2), torch.zeros(2, 5, 1), "must be"),
    "empty": (torch.zeros(0, 5, 2), torch.zeros(0, 5, 2), "must be"),
    "few": (torch.zeros(2, 1, 2), torch.zeros(2, 5, 2), "needs at least"),
    "type": (torch.zeros(2, 9, 2), torch.zeros(2, 9, 2, dtype=torch.long), "fake must be of a float type"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", REFUSED)
def test_wrong_samples_are_refused(name: str, case: str) -> None:
    real, fake, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        _estimate(name, real, fake)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_is_refused_with_its_seed(bad: float) -> None:
    real, fake = _normals(10, 2, 0.0, seeds=4)
    fake[2, 3, 1] = bad
    with pytest.raises(ValueError, match="kernel: fake is not finite in seed 2"):
        _estimate("kernel", real, fake)


def test_the_histogram_is_for_the_line_and_the_plane() -> None:
    with pytest.raises(ValueError, match="histogram: at most 2 dimensions, not 3"):
        _estimate("histogram", *_normals(20, 3, 0.0))


def test_neighbours_need_more_samples_than_k() -> None:
    with pytest.raises(ValueError, match="needs at least 6 samples"):
        _estimate("nearest_neighbours", *_normals(5, 2, 0.0))


def test_reals_that_coincide_give_no_bandwidth() -> None:
    with pytest.raises(ValueError, match="median distance 0 is no bandwidth"):
        _estimate("kernel", torch.ones(1, 10, 2), torch.randn(1, 10, 2, generator=_generator()))


def test_of_more_than_the_largest_samples_the_first_are_taken() -> None:
    few = dataclasses.replace(OPTIMAL_TRANSPORT, largest_samples=30)
    real, fake = _normals(50, 2, 1.0, 40, seeds=2)
    found, expected = (
        few(real, fake, _generator()),
        OPTIMAL_TRANSPORT(real[:, :30], fake[:, :30], _generator()),
    )
    assert torch.equal(found["wasserstein_1"], expected["wasserstein_1"])


def test_an_estimator_gives_what_it_says() -> None:
    with pytest.raises(ValueError, match=r"no such quantities: \['kll'\]"):
        dataclasses.replace(OPTIMAL_TRANSPORT, quantities=("kll",))
    silent = Estimator("silent", "Silent", ("kl",), lambda real, fake, generator: {}, "none", "nobody")
    with pytest.raises(ValueError, match=r"silent: gave \[\], not \['kl'\]"):
        silent(*_normals(5, 1, 0.0), _generator())


def test_a_simplex_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.metrics.estimators.optimal_transport.ITERATIONS", 3)
    with pytest.raises(ArithmeticError, match=r"optimal_transport: .*numItermax"):
        costs_to_transport(torch.rand(30, 30, generator=_generator(), dtype=torch.float64))
