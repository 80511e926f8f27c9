"""Divergences from a learned density ratio: the formulas, the two ways to learn it, known pairs, errors."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import Tensor

from pipeline.errors import UserError
from pipeline.metrics.estimators import ESTIMATORS, QUANTITIES, Estimator
from pipeline.metrics.estimators.critic_ratio import (
    MINIMAX,
    critic_ratio,
    held_out_log_ratios,
    initial_critic,
    log_ratio,
    minimax,
    neutral_output,
)
from pipeline.metrics.estimators.logistic_ratio import STRENGTHS, expand, fit, logistic_ratio
from pipeline.metrics.estimators.ratio import (
    LARGEST_LOG_RATIO,
    RATIO_QUANTITIES,
    halves,
    ratio_to_divergences,
)
from pipeline.objectives import Objective, load_objectives, objective_from_spec

BOTH = ("critic_ratio", "logistic_ratio")


@pytest.fixture(scope="module")
def objectives() -> dict[str, Objective]:
    return load_objectives("objectives.yaml")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(
    seeds: int, samples: int, dimensions: int, distance: float, seed: int = 1
) -> tuple[Tensor, Tensor]:
    """N(0, I) and N(distance e_1, I): (S, N, D) each."""
    both = torch.randn(2, seeds, samples, dimensions, generator=generator(seed))
    both[1, ..., 0] += distance
    return both[0], both[1]


def truth(distance: float) -> dict[str, float]:
    """Of two unit normals; JSD by quadrature."""

    def entropy(x: float) -> float:
        share = 1 / (1 + math.exp(distance * (x - distance / 2)))  # p/(p + q)
        m = (stats.norm.pdf(x) + stats.norm.pdf(x, distance)) / 2
        return float(m * (math.log(2) + share * math.log(share) + (1 - share) * math.log1p(-share)))

    return {
        "kl": distance**2 / 2,
        "reverse_kl": distance**2 / 2,
        "jensen_shannon": quad(entropy, -9, 9 + distance)[0],
        "total_variation": 2 * float(stats.norm.cdf(distance / 2)) - 1,
        "squared_hellinger": 2 * (1 - math.exp(-(distance**2) / 8)),
        "pearson_chi2": math.exp(distance**2) - 1,
        "neyman_chi2": math.exp(distance**2) - 1,
        "two_sample_accuracy": float(stats.norm.cdf(distance / 2)),
    }


# ---- the formulas


def test_at_the_exact_ratio_plug_in_and_bound_are_the_divergence() -> None:
    """On quantiles in place of samples, so that only the quadrature's error is left."""
    count, distance = 200_000, 1.0
    x = torch.from_numpy(stats.norm.ppf((np.arange(count) + 0.5) / count))
    y = x + distance
    found = ratio_to_divergences(*(distance * (distance / 2 - one)[None] for one in (x, y)))
    for name, exact in truth(distance).items():
        # The outermost quantile stands for the tail: e^(2 log u) has most of its error there.
        error = 1e-2 if "chi2" in name else 2e-4
        assert float(found[name]) == pytest.approx(exact, abs=error)
        if name != "two_sample_accuracy":
            assert float(found[f"{name}_bound"]) == pytest.approx(exact, abs=error)


def test_the_bounds_are_those_of_each_f_and_its_conjugate(objectives: dict[str, Objective]) -> None:
    """E_p f'(u) - E_q f*(f'(u)) with f* and f' of the catalogue's f-divergences: phi = t, psi = -f*(t)."""
    real, fake = torch.randn(2, 3, 50, generator=generator(), dtype=torch.float64)
    found = ratio_to_divergences(real, fake)
    for name in ("kl", "reverse_kl", "pearson_chi2", "neyman_chi2", "squared_hellinger", "total_variation"):
        objective = objectives[name]
        at_real, at_fake = (objective.omega((-one).exp()) for one in (real, fake))
        bound = objective.phi(at_real).mean(1) + objective.psi(at_fake).mean(1)
        torch.testing.assert_close(found[f"{name}_bound"], bound)
    # The catalogue's Jensen-Shannon f is twice the divergence.
    objective = objectives["jensen_shannon"]
    at_real, at_fake = (objective.omega((-one).exp()) for one in (real, fake))
    bound = (objective.phi(at_real).mean(1) + objective.psi(at_fake).mean(1)) / 2
    torch.testing.assert_close(found["jensen_shannon_bound"], bound)


@pytest.mark.parametrize("wrong", [0.0, 0.4, 1.3, -0.5])
def test_a_wrong_ratio_gives_a_bound_below_the_divergence(wrong: float) -> None:
    distance = 1.0
    x = torch.from_numpy(stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000))
    found = ratio_to_divergences(
        *(wrong * distance * (distance / 2 - one)[None] for one in (x, x + distance))
    )
    for name, exact in truth(distance).items():
        # Total variation asks for the sign alone, so it is right whenever that is.
        slack = 1e-3 if name == "total_variation" and wrong > 0 else -0.004
        if name != "two_sample_accuracy":
            assert float(found[f"{name}_bound"]) < exact + slack


def test_equal_ratios_say_nothing() -> None:
    found = ratio_to_divergences(torch.zeros(2, 30), torch.zeros(2, 40))
    assert set(found) == set(RATIO_QUANTITIES)
    for name, values in found.items():
        expected = 0.5 if name == "two_sample_accuracy" else 0.0
        if name != "two_sample_p_value":
            assert values.tolist() == pytest.approx([expected] * 2, abs=1e-15)


def test_infinite_log_ratios_are_cut_and_nan_is_refused() -> None:
    found = ratio_to_divergences(torch.tensor([[math.inf, math.inf]]), torch.tensor([[-math.inf, 0.0]]))
    assert float(found["kl"]) == LARGEST_LOG_RATIO
    assert float(found["reverse_kl"]) == LARGEST_LOG_RATIO / 2
    assert float(found["two_sample_accuracy"]) == 0.875  # u = 1 counts half
    assert all(bool(values.isfinite().all()) for values in found.values())
    with pytest.raises(ValueError, match="density ratio: not a number at a fake sample"):
        ratio_to_divergences(torch.zeros(1, 2), torch.tensor([[0.0, math.nan]]))


def test_p_values_are_those_of_the_binomial_test_and_safe_at_equal_laws() -> None:
    right = torch.ones(1, 100)
    right[0, :40] = -1
    p_value = float(ratio_to_divergences(right, -right)["two_sample_p_value"])
    assert p_value == pytest.approx(stats.binomtest(120, 200, alternative="greater").pvalue, rel=1e-9)
    draws = torch.randn(2, 4000, 60, generator=generator()) + 0.8  # a classifier that mostly says real
    small = (ratio_to_divergences(draws[0], draws[1])["two_sample_p_value"] <= 0.05).double().mean()
    assert float(small) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)  # three standard errors


def test_halves_are_all_samples_once() -> None:
    learned, held = halves(7, 4, generator())
    assert [len(one) for one in (*learned, *held)] == [3, 2, 4, 2]
    for one, other, count in zip(learned, held, (7, 4), strict=True):
        assert sorted([*one.tolist(), *other.tolist()]) == list(range(count))


# ---- both estimators


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("dimensions", "distance"), [(1, 1.0), (8, 1.0), (2, 2.0)])
def test_two_normals(name: str, dimensions: int, distance: float) -> None:
    seeds = 12
    real, fake = normals(seeds, 4000, dimensions, distance)
    found = ESTIMATORS[name](real, fake, generator())
    for quantity, exact in truth(distance).items():
        if "chi2" in quantity:  # its variance is infinite or nearly so: E_q u^4 = e^6 at distance 1
            continue
        values = found[quantity]
        # Shrunk or noisy ratios bias by up to a tenth; the rest is the spread over seeds.
        allowed = 0.1 * exact + 3 * float(values.std()) / math.sqrt(seeds)
        assert float(values.mean()) == pytest.approx(exact, abs=allowed), quantity
        if f"{quantity}_bound" in found:
            bound = found[f"{quantity}_bound"]
            error = float(bound.std()) / math.sqrt(seeds)
            assert float(bound.mean()) < exact + 3 * error, quantity
            assert float(bound.mean()) > 0.8 * exact - 3 * error, quantity
    assert float(found["two_sample_p_value"].max()) < 1e-9


@pytest.mark.parametrize("name", BOTH)
def test_equal_normals(name: str) -> None:
    real, fake = normals(20, 1000, 2, 0.0)
    found = ESTIMATORS[name](real, fake, generator())
    assert float(found["jensen_shannon"].mean()) < 0.01
    assert abs(float(found["kl"].mean())) < 0.02
    # A bound of 0: its mean is not above 0 by more than three standard errors.
    bound = found["jensen_shannon_bound"]
    assert float(bound.mean()) < 3 * float(bound.std()) / math.sqrt(20) + 1e-12
    assert float(found["two_sample_accuracy"].mean()) == pytest.approx(0.5, abs=0.012)  # 3.3 standard errors
    assert int((found["two_sample_p_value"] < 0.01).sum()) <= 1


@pytest.mark.parametrize("name", BOTH)
def test_a_ring_with_wrong_weights(name: str) -> None:
    weights = torch.tensor([0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.2, 0.2])
    p, m = 1 / 8, (1 / 8 + weights) / 2
    divergence = {
        "jensen_shannon": float((p * (p / m).log() + weights * (weights / m).log()).sum()) / 2,
        "reverse_kl": float((weights * (weights / p).log()).sum()),
        "total_variation": float((weights - p).abs().sum()) / 2,
    }
    seeds = 8
    rng = generator(3)

    def ring(chances: Tensor) -> Tensor:
        angle = math.pi / 4 * torch.multinomial(chances, seeds * 4000, True, generator=rng).view(seeds, -1)
        noise = 0.02 * torch.randn(seeds, 4000, 2, generator=rng)
        return torch.stack([angle.cos(), angle.sin()], -1) + noise

    found = ESTIMATORS[name](ring(torch.full((8,), p)), ring(weights), generator())
    for quantity, exact in divergence.items():
        # Neither function space is made of eight levels: they are smoothed by up to a seventh.
        assert float(found[quantity].mean()) == pytest.approx(exact, rel=0.15), quantity
        bound = found[f"{quantity}_bound"]
        assert float(bound.mean()) < exact + 3 * float(bound.std()) / math.sqrt(seeds), quantity


@pytest.mark.parametrize("name", BOTH)
def test_a_seed_does_not_depend_on_its_neighbours(name: str) -> None:
    real, fake = normals(3, 200, 5, 1.0)
    whole = ESTIMATORS[name](real, fake, generator())
    for seed in range(3):
        alone = ESTIMATORS[name](real[seed : seed + 1], fake[seed : seed + 1], generator())
        for quantity, values in alone.items():
            assert float(values) == float(whole[quantity][seed]), quantity


@pytest.mark.parametrize("name", BOTH)
def test_units_and_places_do_not_matter(name: str) -> None:
    """Inputs are standardised: powers of two change no bit but through the mean's rounding."""
    real, fake = normals(2, 300, 2, 1.0)
    found = ESTIMATORS[name](real.double(), fake.double(), generator())
    moved = ESTIMATORS[name](64 * real.double() - 32, 64 * fake.double() - 32, generator())
    # A critic's rounding grows along its 400 updates.
    torch.testing.assert_close(moved["jensen_shannon"], found["jensen_shannon"], rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", BOTH)
def test_too_few_samples_and_quantities(name: str) -> None:
    real, fake = normals(2, 63, 2, 1.0)
    with pytest.raises(ValueError, match=f"{name}: needs at least 64 samples"):
        ESTIMATORS[name](real, fake, generator())
    assert set(ESTIMATORS[name].quantities) == set(RATIO_QUANTITIES) <= set(QUANTITIES)


@pytest.mark.parametrize("name", BOTH)
def test_unequal_numbers_of_samples(name: str) -> None:
    real, fake = normals(6, 4000, 1, 1.0)
    found = ESTIMATORS[name](real, fake[:, :1500], generator())
    # As with equal numbers; the log ratio is not shifted by log(4000/1500) = 0.98.
    assert float(found["kl"].mean()) == pytest.approx(0.5, abs=0.12)
    assert float(found["reverse_kl"].mean()) == pytest.approx(0.5, abs=0.12)


# ---- by a trained critic


def test_minimax_is_that_of_the_catalogue(objectives: dict[str, Objective]) -> None:
    assert {key: str(value) for key, value in objectives["minimax"].spec.items() if key != "title"} == {
        key: str(value) for key, value in MINIMAX.items()
    }
    assert objective_from_spec("minimax", MINIMAX).formulas.omega == minimax().formulas.omega


def test_every_objective_says_the_ratio_it_was_given(objectives: dict[str, Objective]) -> None:
    told = torch.linspace(-3, 3, 13, dtype=torch.float64)
    for objective in objectives.values():
        if objective.formulas.omega_inverse is None:
            continue
        v = torch.linspace(-40, 40, 4001, dtype=torch.float64)
        said = log_ratio(objective, v)
        assert not bool(said.isnan().any())
        rises = float(said[-1]) > float(said[0])
        assert bool(
            ((said.diff() >= -1e-12) if rises else (said.diff() <= 1e-12))[said.diff().isfinite()].all()
        )
        assert float(log_ratio(objective, torch.tensor(neutral_output(objective), dtype=torch.float64))) == (
            pytest.approx(0, abs=1e-12)
        )
        # omega and the activation, found by bisection, and back.
        wanted = objective.omega((-told).exp())
        low, high = torch.full_like(told, -45), torch.full_like(told, 45)
        up = bool(objective.activation(v)[-1] > objective.activation(v)[0])
        for _ in range(80):
            middle = (low + high) / 2
            above = (objective.activation(middle) > wanted) == up
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        torch.testing.assert_close(log_ratio(objective, low), told, rtol=0, atol=1e-9)


def test_outputs_beyond_the_range_say_the_largest_ratio_on_their_side(
    objectives: dict[str, Objective],
) -> None:
    v = torch.tensor([-0.5, 1.5])
    assert log_ratio(objectives["least_squares"], v).tolist() == [-math.inf, math.inf]  # D beyond [0, 1]
    assert log_ratio(objectives["mean_square"], v[:1]).tolist() == [math.inf]  # r = q/p below 0
    assert log_ratio(objectives["pearson_chi2"], v[:1] - 2).tolist() == [-math.inf]


def test_an_untrained_critic_says_one_everywhere(objectives: dict[str, Objective]) -> None:
    for name in ("minimax", "kl", "mean_square", "least_squares"):
        critic = initial_critic(objectives[name], 2, 3, generator())
        assert bool((critic.parameters[0][0] == critic.parameters[0][1]).all())
        v = critic.layers(torch.randn(2, 16, 3, generator=generator()))[-1]
        torch.testing.assert_close(log_ratio(objectives[name], v), torch.zeros(2, 16, 1, dtype=torch.float64))


@pytest.mark.parametrize("name", ["least_squares", "kl", "squared_hellinger", "exponential"])
def test_other_objectives_tell_it_too(objectives: dict[str, Objective], name: str) -> None:
    estimator = critic_ratio(objectives[name])
    assert estimator.name == f"critic_ratio_{name}"
    real, fake = normals(6, 3000, 1, 1.0)
    found = estimator(real, fake, generator())
    exact = truth(1.0)
    # The recipe is the logistic loss's: other losses are noisier at the tails, which bounded ones do not see.
    for quantity in ("jensen_shannon", "total_variation", "squared_hellinger"):
        assert float(found[quantity].mean()) == pytest.approx(exact[quantity], rel=0.15), quantity


@pytest.mark.parametrize("name", ["wasserstein", "hinge", "relativistic"])
def test_an_objective_without_a_ratio_is_refused(objectives: dict[str, Objective], name: str) -> None:
    with pytest.raises(UserError, match="has no density ratio"):
        critic_ratio(objectives[name])


def test_early_stopping_keeps_a_critic_from_remembering() -> None:
    """125 samples of each side in 64 dimensions and 400 updates: at equal laws it says next to nothing."""
    real, fake = normals(10, 250, 64, 0.0)
    at_real, at_fake = held_out_log_ratios(minimax(), real, fake, generator())
    assert float(torch.cat([at_real, at_fake], 1).abs().median()) < 0.2  # without it: 5.6


# ---- by logistic regression


def test_features_of_standardised_samples() -> None:
    x = np.random.default_rng(0).normal(size=(5, 2))
    found = expand(x, x[:3])
    assert found.shape == (5, 2 + 2 + 1 + 3)
    np.testing.assert_array_equal(found[:, 4], x[:, 0] * x[:, 1])
    assert found[1, 5 + 1] == 1.0  # a bump at its own centre
    assert expand(np.zeros((4, 17)), np.zeros((2, 17))).shape == (4, 34)
    assert expand(np.zeros((4, 16)), np.zeros((2, 16))).shape == (4, 32 + 120)


def test_the_fit_is_the_penalised_likelihoods_maximum() -> None:
    """Against Newton's method written out, at the strongest and the weakest penalty."""
    from pipeline.metrics.estimators.logistic_ratio import _regression

    rng = np.random.default_rng(1)
    x = [rng.normal(size=(200, 3)) + shift for shift in (0.5, 0.0)]
    design = np.column_stack([np.ones(400), np.concatenate(x)])
    label = np.repeat([1.0, 0.0], 200)
    for strength in (STRENGTHS[0], STRENGTHS[-1]):
        weights = np.zeros(4)
        penalty = np.diag([0.0, 1, 1, 1]) / strength
        for _ in range(30):
            chance = 1 / (1 + np.exp(-design @ weights))
            hessian = (design.T * (chance * (1 - chance))) @ design + penalty
            weights += np.linalg.solve(hessian, design.T @ (label - chance) - penalty @ weights)
        found = _regression(strength, x).decision_function(x[0])
        np.testing.assert_allclose(found, design[:200] @ weights, atol=2e-3)  # lbfgs stops at 1e-4


def test_nothing_to_tell_gives_zero() -> None:
    rng = np.random.default_rng(2)
    same = [rng.normal(size=(100, 2)) for _ in range(4)]
    found = [fit([one[:50], two[:50]], [one[50:], two[50:]]) for one, two in (same[:2], same[2:])]
    assert all(np.abs(side).max() < 1.5 for pair in found for side in pair)
    constant = [np.zeros((40, 1)), np.zeros((40, 1))]
    assert not np.concatenate(fit(constant, constant)).any()


def test_given_features_are_used() -> None:
    real, fake = normals(4, 2000, 3, 1.0)
    hidden: Estimator = logistic_ratio(lambda x: x[:, 1:], "logistic_ratio_hidden")
    shown: Estimator = logistic_ratio(lambda x: x[:, :1], "logistic_ratio_shown")
    assert float(hidden(real, fake, generator())["total_variation"].max()) < 0.06
    assert float(shown(real, fake, generator())["kl"].mean()) == pytest.approx(0.5, abs=0.08)
