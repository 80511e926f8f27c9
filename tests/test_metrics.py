"""Every metric against a closed form or a second algorithm, and its behaviour on known generators."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import torch

from pipeline.config import RingData, load_params
from pipeline.data.images import Images
from pipeline.data.mixtures import Mixture, ring
from pipeline.errors import UserError
from pipeline.metrics import divergences, features
from pipeline.metrics.coverage import (
    HIGH_QUALITY_CEILING,
    labels_to_coverage,
    samples_to_coverage,
)
from pipeline.metrics.divergences import (
    Partition,
    jensen_shannon,
    kl_divergence,
    kl_from_data,
    kl_to_data,
    samples_to_jsd,
)
from pipeline.metrics.judges import MixtureJudge, measure
from pipeline.metrics.registry import (
    FEATURE_STEMS,
    IMAGE_METRICS,
    METRICS,
    RING_METRICS,
    RUN_METRICS,
    MetricName,
    full_name,
    measured,
    measured_through_training,
    split_name,
)
from pipeline.metrics.streams import key_to_seed, numpy_generator, torch_generator

MIXTURE = ring(RingData(kind="ring", modes=8, radius=1.0, std=0.01))
N = 2500


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(n: int, mean: torch.Tensor, std: float, seed: int) -> torch.Tensor:
    return mean + std * torch.randn(n, 2, generator=_generator(seed), dtype=torch.float64)


# Names


def test_names_state_the_protocol_and_come_apart_again() -> None:
    for stem in METRICS:
        found = split_name(full_name(stem, 599, "inception_v3"))
        if stem in RUN_METRICS:
            assert found == MetricName(stem)
        elif stem in RING_METRICS:
            assert found == MetricName(stem, 599)
        else:
            assert found == MetricName(stem, 599, "held_out", "inception_v3")
    assert full_name("fid", 599) == "fid_n599_held_out_classifier"
    assert split_name("modes_covered_n2500") == ("modes_covered", 2500, None, None)


@pytest.mark.parametrize(
    "name",
    [
        "fid",
        "fid_n599",
        "fid_n599_train_classifier",
        "fid_n599_held_out_",
        "fidd_n599_held_out_classifier",
        "jsd_n599_held_out_classifier",
        "diverged_n3",
        "fid_n",
    ],
)
def test_a_name_without_its_protocol_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="unknown metric"):
        split_name(name)


def test_a_benchmark_lists_its_metrics_with_their_protocol() -> None:
    benchmarks = load_params(Path(__file__).parent.parent / "params.yaml").benchmarks
    digits, stacked, grid = (benchmarks[name].setting for name in ("digits", "stacked_digits", "grid"))
    assert measured(digits)[0] == "fid_n599_held_out_classifier"
    more = measured(digits, ["inception_v3"])
    assert more[: len(IMAGE_METRICS)] == measured(digits)
    assert {split_name(name).stem for name in more[len(IMAGE_METRICS) :]} == set(FEATURE_STEMS)
    assert "fid_n10000_held_out_classifier" in measured(stacked)
    assert "precision_k3_n1000_held_out_classifier" in measured(stacked)
    assert "precision_k3_n500_held_out_classifier" in measured_through_training(stacked)
    assert "kid_n599_held_out_classifier" not in measured_through_training(digits)
    assert measured(grid) == tuple(full_name(stem, 10000) for stem in RING_METRICS)


def test_the_judge_of_mixtures_gives_exactly_the_registered_metrics() -> None:
    points = MIXTURE.sample(200, _generator())
    assert MixtureJudge(MIXTURE, 200, _generator(1)).measure(points).keys() == RING_METRICS.keys()


def test_streams_are_named_and_stable() -> None:
    """The value is sha256's: a change would move every interval and floor."""
    assert key_to_seed("a", 1) == key_to_seed("a", "1") == 4742018630964328543
    assert key_to_seed("a", 1) != key_to_seed("a1")
    assert numpy_generator("x").random() == numpy_generator("x").random()
    assert torch_generator("x").initial_seed() == key_to_seed("x")


# Coverage


def test_coverage_of_samples_placed_by_hand() -> None:
    """100 samples: 70 on mode 0, 20 at 2.9 std of mode 1, 1 on mode 2, 9 at 3.1 std of mode 3."""
    outward = torch.tensor([1.0, 0.0], dtype=torch.float64)
    parts = [(0, 70, 0.0), (1, 20, 2.9), (2, 1, 0.0), (3, 9, 3.1)]
    samples = torch.cat(
        [(MIXTURE.means[mode] + radius * 0.01 * outward).repeat(count, 1) for mode, count, radius in parts]
    )
    got = samples_to_coverage(samples, MIXTURE)
    assert got["modes_covered"] == 3
    # A tenth of the expected 100 / 8 is 1.25 samples: mode 2 has 1, mode 3 none of high quality.
    assert got["modes_tenth_share"] == 2
    assert got["high_quality"] == pytest.approx(0.91, abs=1e-12)
    assert got["largest_mode_share"] == pytest.approx(0.7, abs=1e-12)
    expected = sum(q * math.log(8 * q) for q in (0.7, 0.2, 0.01, 0.09))
    assert got["reverse_kl_modes"] == pytest.approx(expected, abs=1e-12)


def test_k_of_8_modes_hit_equally_have_reverse_kl_log_8_over_k() -> None:
    for k in range(1, 9):
        got = samples_to_coverage(MIXTURE.means[:k].repeat(50, 1), MIXTURE)
        assert got["modes_covered"] == got["modes_tenth_share"] == k
        assert got["reverse_kl_modes"] == pytest.approx(math.log(8 / k), abs=1e-12)


def test_the_perfect_sampler_meets_its_ceiling_and_floor() -> None:
    """Means over 40 repeats: fraction within 5 standard errors; chi-square mean K - 1, variance 2 (K - 1)."""
    repeats = [samples_to_coverage(MIXTURE.sample(N, _generator(i)), MIXTURE) for i in range(40)]
    error = math.sqrt(HIGH_QUALITY_CEILING * (1 - HIGH_QUALITY_CEILING) / (40 * N))
    mean = {key: float(np.mean([values[key] for values in repeats])) for key in repeats[0]}
    assert round(HIGH_QUALITY_CEILING, 5) == 0.98889
    assert mean["high_quality"] == pytest.approx(HIGH_QUALITY_CEILING, abs=5 * error)
    error = math.sqrt(2 * 7 / 40) / (2 * N)
    assert mean["reverse_kl_modes"] == pytest.approx(7 / (2 * N), abs=5 * error)
    assert mean["modes_covered"] == mean["modes_tenth_share"] == 8


def test_kl_divergence_of_vectors_against_scipy() -> None:
    rng = np.random.default_rng(0)
    q, p = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7))
    expected = float(scipy.special.rel_entr(q, p).sum())
    assert kl_divergence(torch.from_numpy(q), torch.from_numpy(p)) == pytest.approx(expected, rel=1e-12)
    assert kl_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])) == pytest.approx(math.log(2))


def test_class_coverage_counts_a_tenth_of_the_real_share() -> None:
    labels = torch.tensor([0] * 90 + [1] * 6 + [2] * 4)
    frequencies = torch.tensor([0.3, 0.6, 0.1], dtype=torch.float64)
    got = labels_to_coverage(labels, frequencies)
    # Class 1 needs 6 of 100, class 2 needs 1.
    assert got["classes_covered"] == 3
    assert labels_to_coverage(torch.tensor([0] * 91 + [1] * 5 + [2] * 4), frequencies)["classes_covered"] == 2
    expected = 0.9 * math.log(0.9 / 0.3) + 0.06 * math.log(0.06 / 0.6) + 0.04 * math.log(0.04 / 0.1)
    assert got["reverse_kl_classes"] == pytest.approx(expected, abs=1e-12)


# Jensen-Shannon


def test_cell_probabilities_against_quadrature() -> None:
    """Independent of the code's formulas: integrate the radial density r exp(-r^2/2) over a grid of cells."""
    partition = Partition(MIXTURE)
    per_mode = partition.probabilities.reshape(8, -1)
    assert float(per_mode.sum()) == pytest.approx(1, abs=1e-14)
    edges = [0.0, *partition.edges.tolist()]
    for j, (low, high) in enumerate(itertools.pairwise(edges)):
        mass, _ = scipy.integrate.quad(lambda r: r * math.exp(-(r**2) / 2), low, high, epsabs=1e-13)
        for sector in range(divergences.SECTORS):
            cell = float(per_mode[3, j * divergences.SECTORS + sector])
            # quad is asked for 1e-13.
            assert cell == pytest.approx(mass / divergences.SECTORS / 8, abs=1e-12)


def test_cells_are_where_their_probabilities_say() -> None:
    """200,000 exact samples fill the 520 cells by chi-square (a right map fails once in 10^4 seeds)."""
    partition = Partition(MIXTURE)
    samples = MIXTURE.sample(200_000, _generator(3))
    counts = partition.frequencies(samples).numpy() * 200_000
    p = partition.probabilities.numpy()
    assert scipy.stats.chisquare(counts, p / p.sum() * 200_000).pvalue > 1e-4


def test_jensen_shannon_of_vectors_against_scipy_and_its_ends() -> None:
    from scipy.spatial.distance import jensenshannon

    rng = np.random.default_rng(1)
    p, q = torch.from_numpy(rng.dirichlet(np.ones(9))), torch.from_numpy(rng.dirichlet(np.ones(9)))
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-12)
    assert jensen_shannon(p, p) == 0
    ends = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert jensen_shannon(ends[0], ends[1]) == pytest.approx(math.log(2), abs=1e-15)


@pytest.mark.parametrize("angle", [0.0, 0.2, math.pi / 4])
def test_jsd_of_flattened_modes_is_seen_whatever_their_angle(angle: float) -> None:
    """Half as wide along one axis: 0.0927 nats by quadrature over that axis. A finite partition loses a part,
    sampling adds cells/(8 N) at most; four sectors would see 0.03 to 0.05."""
    n = 100_000
    z = torch.randn(n, 2, generator=_generator(4), dtype=torch.float64) * torch.tensor([1.0, 0.5])
    cos, sin = math.cos(angle), math.sin(angle)
    mode = torch.randint(8, (n,), generator=_generator(5))
    samples = MIXTURE.means[mode] + MIXTURE.std * z @ torch.tensor([[cos, sin], [-sin, cos]]).double()

    def gain(x: float) -> float:
        p, q = (scipy.stats.norm.pdf(x, scale=scale) for scale in (1.0, 0.5))
        return float((p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))) / 2)

    truth = 2 * scipy.integrate.quad(gain, 0, 6, limit=200)[0]
    assert truth == pytest.approx(0.0927, abs=1e-4)
    got = samples_to_jsd(samples, Partition(MIXTURE))
    assert 0.88 * truth < got < truth + 520 / (8 * n)


def test_kl_does_not_depend_on_the_unit_of_the_data() -> None:
    """Normals 2 std apart in a unit of 1e-9: KL is 2, and of 4,000 points read within 0.3."""
    fakes, reals = (
        _normal(4000, torch.tensor([x, 0.0]), 1.0, seed).numpy() for x, seed in ((2.0, 6), (0.0, 7))
    )
    log_p = scipy.stats.norm.logpdf(reals).sum(1)
    got = [kl_from_data(fakes * unit, reals * unit, log_p - 2 * math.log(unit)) for unit in (1.0, 1e-9)]
    assert got[0] == pytest.approx(2, abs=0.3)
    assert got[1] == pytest.approx(got[0], rel=1e-6)


def test_jsd_of_half_the_modes_is_its_closed_form() -> None:
    """q = p on 4 of 8 modes: 1/4 log(2/3) + 1/4 log 2 + 1/2 log(4/3) nats.

    Sampling adds about (cells - 1) / (8 N) = 136 / 1.6e6 = 9e-5; 1e-3 allows its scatter.
    """
    q = Mixture(MIXTURE.means[:4], 0.01, torch.full((4,), 0.25, dtype=torch.float64))
    got = samples_to_jsd(q.sample(200_000, _generator(5)), Partition(MIXTURE))
    expected = 0.25 * math.log(2 / 3) + 0.25 * math.log(2) + 0.5 * math.log(4 / 3)
    assert got == pytest.approx(expected, abs=1e-3)


def test_jsd_is_a_tight_lower_bound_of_quadrature() -> None:
    """One mode, q shifted by half a std: the partition keeps most of the JSD, and never more than all."""
    mixture = ring(RingData(kind="ring", modes=1, radius=1.0, std=0.01))
    shift, step = 0.5, 0.02
    axis = np.arange(-8, 8, step) + step / 2
    x, y = np.meshgrid(axis, axis)
    p, q = (np.exp(-((x - c) ** 2 + y**2) / 2) / (2 * math.pi) for c in (0, shift))
    m = (p + q) / 2
    exact = float((p * np.log(p / m) + q * np.log(q / m)).sum() / 2 * step**2)
    offset = torch.tensor([shift * 0.01, 0.0], dtype=torch.float64)
    got = samples_to_jsd(_normal(400_000, mixture.means[0] + offset, 0.01, 6), Partition(mixture))
    # 4 sectors x 4 rings lose a fifth of so small a shift; sampling scatter is below 1e-3 of log 2.
    assert 0.75 * exact < got < exact


def test_jsd_of_a_generator_off_the_data_is_log_2() -> None:
    """All samples between the modes: only the cells outside 4 std, probability exp(-8), are shared."""
    samples = torch.zeros(N, 2)
    assert math.log(2) - 2e-3 < samples_to_jsd(samples, Partition(MIXTURE)) <= math.log(2)


# Kullback-Leibler


def _log_normal(x: torch.Tensor, mean: torch.Tensor, std: float) -> np.ndarray:
    squared = (x - mean).square().sum(1)
    return (-squared / (2 * std**2) - math.log(2 * math.pi * std**2)).numpy()


@pytest.mark.parametrize(("shift", "std"), [(0.0, 1.0), (0.5, 1.0), (0.0, 1.3), (0.7, 1.2)])
def test_both_kl_estimates_meet_the_closed_form_of_normals(shift: float, std: float) -> None:
    """p = N(0, I), q = N(shift, std^2 I): KL(p||q) = log std^2 + (2 + shift^2) / (2 std^2) - 1, and back.

    N = 20,000: scatter about 1 / sqrt(N) = 0.007, tail bias of k = 5 about 0.01; 0.03 holds both.
    """
    n, zero = 20_000, torch.zeros(2, dtype=torch.float64)
    mean = torch.tensor([shift, 0.0], dtype=torch.float64)
    reals, fakes = _normal(n, zero, 1.0, 1), _normal(n, mean, std, 2)
    forward = kl_from_data(fakes.numpy(), reals.numpy(), _log_normal(reals, zero, 1.0))
    backward = kl_to_data(fakes.numpy(), _log_normal(fakes, zero, 1.0))
    log_std = 2 * math.log(std)
    assert forward == pytest.approx(log_std + (2 + shift**2) / (2 * std**2) - 1, abs=0.03)
    assert backward == pytest.approx(-log_std + (2 * std**2 + shift**2) / 2 - 1, abs=0.03)


def test_neighbour_density_is_unbiased_where_the_density_is_flat() -> None:
    """Uniform points in a square, log density 0, away from the edge; 400 sets of 500 points, k = 5.

    The standard deviation of log of a Gamma(5) variable is 0.47, so 5 standard errors are 0.12.
    """
    rng = np.random.default_rng(0)
    centre = np.full((1, 2), 0.5)
    estimates = []
    for _ in range(400):
        points = rng.random((500, 2))
        distance = np.sort(np.linalg.norm(points - centre, axis=1))[[4]]
        estimates.append(divergences.log_neighbour_density(distance, 500, 2, 5)[0])
    assert float(np.mean(estimates)) == pytest.approx(0, abs=0.12)


def test_collapse_to_one_mode_is_log_8_one_way_and_large_the_other() -> None:
    """KL(q||p) = log 8 exactly; KL(p||q) is infinite but for q's tails, the estimate finite and large."""
    samples = _normal(N, MIXTURE.means[0], 0.01, 9).float()
    got = MixtureJudge(MIXTURE, N, _generator(1)).measure(samples)
    # Scatter and tail bias as for the perfect sampler: floors 0.04, scatter 0.02.
    assert got["kl_reverse"] == pytest.approx(math.log(8), abs=0.1)
    assert got["kl_forward"] > 8
    assert got["reverse_kl_modes"] == pytest.approx(math.log(8), abs=1e-12)
    assert got["largest_mode_share"] == 1
    assert got["modes_tenth_share"] == 1


def test_degenerate_generators_have_finite_metrics() -> None:
    """One point, a huge value, and float32 duplicates: no division by zero, no overflow."""
    judge = MixtureJudge(MIXTURE, N, _generator(1))
    for samples in (
        torch.full((N, 2), 0.5),
        torch.full((N, 2), 1e30),
        MIXTURE.means.float().repeat(313, 1)[:N],
    ):
        values = judge.measure(samples)
        assert all(math.isfinite(value) for value in values.values()), values


def test_collapsed_is_a_share_of_the_modes() -> None:
    judge = MixtureJudge(MIXTURE, N, _generator(1))
    for k, collapsed in ((3, 1.0), (4, 0.0)):
        samples = MIXTURE.means[:k].float().repeat(N // k + 1, 1)[:N]
        values = measure(judge, samples, collapse_below=0.5)
        assert values["collapsed"] == collapsed
        assert values[f"modes_occupied_n{N}"] == k


def test_noise_is_not_collapse() -> None:
    """A normal off to one side is the nearest to few modes and has reached none."""
    judge = MixtureJudge(MIXTURE, N, _generator(1))
    values = measure(judge, torch.randn(N, 2, generator=_generator(2)) + torch.tensor([6.0, 0.0]), 0.5)
    assert values[f"modes_occupied_n{N}"] < 4
    assert (values["collapsed"], values["missed"]) == (0, 1)


def test_blur_is_not_collapse() -> None:
    """Samples 20 std off every mode: none of high quality, all modes occupied."""
    judge = MixtureJudge(MIXTURE, N, _generator(1))
    blurred = (MIXTURE.means * (1 + 20 * MIXTURE.std)).float().repeat(N // 8 + 1, 1)[:N]
    values = measure(judge, blurred, collapse_below=0.5)
    assert values[f"modes_tenth_share_n{N}"] == values["collapsed"] == 0
    assert values["missed"] == 1
    assert values[f"modes_occupied_n{N}"] == 8


# Features and fidelity


def test_classifier_is_reproducible_and_draws_nothing_global(images: Images) -> None:
    state = torch.random.get_rng_state()
    first, second = (features.train_classifier(images, epochs=1).state_dict() for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_classifier_learns_and_its_features_have_unit_scale(
    images: Images, classifier: features.Classifier
) -> None:
    """3 epochs, about 60 updates: well over chance (0.1), below the 0.99 of the full training."""
    assert features.accuracy(classifier, images.test_images, images.test_labels) > 0.7
    train_features, labels = classifier.judge(images.train_images)
    assert train_features.shape == (1198, features.FEATURES)
    assert train_features.dtype == torch.float64
    assert labels.shape == (1198,)
    # float32 square root and division.
    assert float(train_features.square().mean()) == pytest.approx(1, rel=1e-5)


def test_changed_weights_are_not_loaded(
    tmp_path: Path, images: Images, classifier: features.Classifier
) -> None:
    with pytest.raises(UserError, match=r"report\.json.*features@"):
        features.load_classifier(tmp_path, 10)
    (tmp_path / features.REPORT).write_text(json.dumps({"classifier_sha256": "0"}))
    with pytest.raises(UserError, match=r"classifier\.safetensors.*features@"):
        features.load_classifier(tmp_path, 10)
    (tmp_path / features.WEIGHTS).write_bytes(b"not weights")
    with pytest.raises(UserError, match="corrupt"):
        features.load_classifier(tmp_path, 10)
