"""Games of two numbers, V = x y and the Dirac-GAN, against closed forms, mpmath and losses written out."""

import math
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch.nn.functional import softplus

from pipeline.objectives import load_objectives
from pipeline.theory import bilinear, dirac, dirac_tables, growth
from pipeline.theory.dirac import Game, Group, Remedy

OBJECTIVES = load_objectives(Path(__file__).parents[1] / "objectives.yaml")
GAME = Game(OBJECTIVES)
NAMES = list(OBJECTIVES)
BOTH = np.array([False, True])
H = 0.05


# ---- V = x y


@pytest.mark.parametrize("name", bilinear.UPDATES)
def test_growth_is_the_spectral_radius(name: str) -> None:
    update = bilinear.UPDATES[name]
    for h in (0.01, 0.3, 0.7, 1.1, 2.3):
        with mpmath.workdps(40):
            values = mpmath.eig(mpmath.matrix(update.matrix(h).tolist()), left=False, right=False)
            radius = float(max(abs(value) for value in values))
        # The matrix is rounded to 1e-16; a double root (none at these h) would cost half the digits.
        assert update.growth(h) == pytest.approx(radius, abs=1e-14)


def test_matrices_are_the_updates_written_out() -> None:
    h, x, y = 0.3, 0.7, -0.2
    ahead = (x - h * y, y + h * x)
    gamma = bilinear.GAMMA
    steps = {
        "simultaneous": ahead,
        "alternating": (ahead[0], y + h * ahead[0]),
        "extragradient": (x - h * ahead[1], y + h * ahead[0]),
        "consensus": (x - h * (y + gamma * x), y - h * (-x + gamma * y)),
    }
    for name, expected in steps.items():
        assert bilinear.UPDATES[name].matrix(h) @ (x, y) == pytest.approx(expected, abs=1e-15)
    new = bilinear.UPDATES["implicit"].matrix(h) @ (x, y)
    assert new == pytest.approx((x - h * new[1], y + h * new[0]), abs=1e-15)
    old = (0.1, 0.4)
    new = bilinear.UPDATES["optimistic"].matrix(h) @ (x, y, *old)
    assert new == pytest.approx((x - 2 * h * y + h * old[1], y + 2 * h * x - h * old[0], x, y), abs=1e-15)


def test_a_trajectory_is_a_power_of_the_matrix() -> None:
    update = bilinear.UPDATES["alternating"]
    path = bilinear.trajectory(update, 0.4, 50)
    assert path[50] == pytest.approx(
        np.linalg.matrix_power(update.matrix(0.4), 50) @ bilinear.START, abs=1e-13
    )


def test_the_optimistic_update_turns_outwards_at_one_over_root_three() -> None:
    growth_of = bilinear.UPDATES["optimistic"].growth
    assert growth_of(1 / math.sqrt(3)) == pytest.approx(1.0, abs=1e-15)
    assert growth_of(0.57) < 1 < growth_of(0.58)


def test_the_flow_is_the_matrix_exponential() -> None:
    times = np.linspace(0, 7, 5)
    for found in (bilinear.flow((0.3, -0.4), times), bilinear.rotation((0.3, -0.4), times)):
        for at, state in zip(times, found, strict=True):
            expected = linalg.expm(at * np.array([[0.0, -1.0], [1.0, 0.0]])) @ (0.3, -0.4)
            assert state == pytest.approx(expected, abs=1e-11)


def test_the_tables_of_the_bilinear_game() -> None:
    table = bilinear.flow_table()
    assert max(table["position_gap"]) < 1e-10
    assert set(table["rank"]) == {2}
    updates = bilinear.updates_table()
    rows = list(zip(updates["update"], updates["step_size"], updates["growth_gap"], strict=True))
    for name, h, gap in rows:
        if name in ("simultaneous", "implicit", "extragradient", "consensus"):  # one modulus
            assert gap < 1e-12
        elif (name, h) == ("optimistic", 0.5):  # a double root: r_n falls as n times its power
            assert gap < 2e-3
        elif h >= 0.05:  # below, the fitted half is less than two turns
            assert gap < 1e-8
    rises = dict(zip(updates["update"], updates["smallest_rise"], strict=True))
    assert rises["simultaneous"] == pytest.approx(math.hypot(1, 0.9) - 1, rel=1e-12)


# ---- the fitted rate


def ellipses(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Neutral turning in ellipses of any shape, speed and phase: rate 0."""
    speed, phase = rng.uniform(0.03, 0.3, count), rng.uniform(0, 2 * np.pi, count)
    tilt, squeeze = rng.uniform(0, np.pi, count), rng.uniform(0.75, 1.0, count)
    angle = speed * np.arange(2001)[:, None] + phase
    x, y = np.cos(angle), squeeze * np.sin(angle)
    return np.cos(tilt) * x - np.sin(tilt) * y, np.sin(tilt) * x + np.cos(tilt) * y


def test_a_neutral_rotation_seldom_seems_to_converge() -> None:
    x, y = ellipses(1000, np.random.default_rng(0))
    found = growth.fitted_rate(x, y)
    assert np.abs(found.rate).max() < 1e-6
    # Three standard errors on one side: 0.9 % by Student's t. What is left of the turns is not independent:
    # 0.8 to 2.3 % over seeds.
    assert (found.rate < -3 * found.standard_error).mean() < 0.03


def test_the_standard_error_covers_correlated_noise() -> None:
    rng = np.random.default_rng(1)
    x, y = ellipses(1500, rng)
    noise = rng.normal(0, 1e-3, x.shape)
    for at in range(1, len(noise)):
        noise[at] += 0.8 * noise[at - 1]
    scale = np.exp(noise - 1e-5 * np.arange(2001)[:, None])
    found = growth.fitted_rate(x * scale, y * scale)
    t = (found.rate + 1e-5) / found.standard_error
    # Student's t with 8 degrees of freedom: 5 % beyond 2.306, give or take 0.56 %, and a little correlation.
    assert 0.03 < (np.abs(t) > stats.t.ppf(0.975, 8)).mean() < 0.075


def test_a_rate_is_found_among_the_turns() -> None:
    x, y = ellipses(50, np.random.default_rng(2))
    for rate in (-1e-5, 1e-3):
        scale = np.exp(rate * np.arange(2001))[:, None]
        found = growth.fitted_rate(x * scale, y * scale)
        np.testing.assert_allclose(found.rate, rate, atol=1e-6)
    still = np.exp(-0.02 * np.arange(2001))  # straight to the origin, without a turn
    assert growth.fitted_rate(still, 0.5 * still).rate == pytest.approx(-0.02, rel=1e-12)


def test_a_slow_change_of_angle_does_not_stand_for_the_trend() -> None:
    steps = np.arange(2001)
    angle, radius = 1e-3 * steps, np.exp(1e-3 * steps)  # a third of a turn
    assert growth.fitted_rate(radius * np.cos(angle), radius * np.sin(angle)).rate == pytest.approx(1e-3)


def test_what_cannot_be_fitted() -> None:
    path = np.ones((101, 2))
    path[-1, 1] = np.nan
    found = growth.fitted_rate(path, path)
    assert np.isfinite(found.rate).tolist() == [True, False]
    with pytest.raises(ValueError, match="no multiple of 10"):
        growth.fitted_rate(path[:-2], path[:-2])


# ---- the Dirac-GAN: the losses


def losses(name: str) -> tuple[Callable, Callable, float]:
    """Critic's loss of (v_real, v_fake), generator's of v_fake, and v*."""
    return {
        "minimax": (lambda a, b: softplus(a) + softplus(-b), lambda b: -softplus(-b), 0.0),
        "non_saturating": (lambda a, b: softplus(a) + softplus(-b), lambda b: softplus(b), 0.0),
        "least_squares": (lambda a, b: ((a - 1) ** 2 + b**2) / 2, lambda b: (b - 1) ** 2 / 2, 0.5),
        "wasserstein": (lambda a, b: b - a, lambda b: -b, 0.0),
        "hinge": (lambda a, b: torch.relu(1 - a) + torch.relu(1 + b), lambda b: -b, 0.0),
        "kl": (lambda a, b: torch.exp(b - 1) - a, lambda b: -torch.exp(b - 1), 1.0),
    }[name]


def gradient_by_hand(name: str, theta: float, psi: float, noise: float = 0.0) -> tuple[float, float]:
    """dL_G/dtheta and dL_D/dpsi over the sizes of the slopes at the equilibrium, by autograd."""
    critic, generator, output = losses(name)
    at = torch.tensor([theta, psi], dtype=torch.float64, requires_grad=True)
    nodes, weights = (torch.from_numpy(one) for one in np.polynomial.hermite_e.hermegauss(40))
    weights = weights / weights.sum()
    real, fake = output + at[1] * noise * nodes, output + at[1] * (at[0] + noise * nodes)
    (by_psi,) = torch.autograd.grad((critic(real, fake) * weights).sum(), at, retain_graph=True)
    (by_theta,) = torch.autograd.grad((generator(fake) * weights).sum(), at)
    centre = torch.full((1,), output, dtype=torch.float64, requires_grad=True)
    (of_critic,) = torch.autograd.grad(critic(centre.detach(), centre).sum(), centre)
    (of_generator,) = torch.autograd.grad(generator(centre).sum(), centre)
    return float(by_theta[0] / of_generator.abs()), float(by_psi[1] / of_critic.abs())


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "kl"])
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_gradients_are_those_of_the_losses(name: str, noise: float) -> None:
    game = Game({name: OBJECTIVES[name]})
    for theta, psi in ((0.6, 0.4), (-0.5, 0.9), (1e-9, 2e-9)):
        if name == "hinge" and noise and psi > 0.1:
            continue  # Gauss-Hermite does not see a kink
        at = np.array([[theta]]), np.array([[psi]])
        found = game.generator_gradient(*at, noise).item(), game.critic_gradient(*at, noise).item()
        # The splines err by 1e-10, ten nodes beside forty by as much again; sums over nodes by 1e-17.
        expected = gradient_by_hand(name, theta, psi, noise)
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-15)


def test_paired_noise_is_that_of_both() -> None:
    game = Game({name: OBJECTIVES[name] for name in ("relativistic", "relativistic_average")})
    theta, psi, noise = 0.3, 0.8, 0.5
    found = game.critic_gradient(np.full((2, 1), theta), np.full((2, 1), psi), noise)[:, 0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    real, fake = np.meshgrid(noise * nodes, theta + noise * nodes, indexing="ij")
    masses = np.outer(weights, weights)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    pairs = -(masses * sigmoid(psi * (fake - real)) * (real - fake)).sum()
    to_means = [(noise * nodes - theta), -(theta + noise * nodes)]
    average = sum(-(weights * sigmoid(-psi * gap) * gap).sum() for gap in to_means)
    assert found == pytest.approx([pairs / 0.5, average], rel=1e-8)  # their slopes at 0: 1/2, and twice that


def test_gan_qp_divides_by_the_distance() -> None:
    game = Game({"gan_qp": OBJECTIVES["gan_qp"]})
    theta, psi = -0.4, 0.7
    found = game.critic_gradient(np.array([[theta]]), np.array([[psi]])).item()
    assert found == pytest.approx(
        theta + psi * abs(theta) / 10, rel=1e-12
    )  # -(d - d^2/(2 lam |theta|)), d = -psi theta
    assert game.critic_gradient(np.zeros((1, 1)), np.array([[psi]])).item() == 0


def test_every_objective_turns_by_one_but_that_whose_generator_is_content() -> None:
    turns = GAME.centre[:, dirac.FAKE] * GAME.centre[:, dirac.GENERATOR]
    assert [name for name, turn in zip(NAMES, turns, strict=True) if turn != -1] == ["least_squares_centred"]
    assert dict(zip(NAMES, turns, strict=True))["least_squares_centred"] == 0  # (t - 0)^2/2 at t = 0
    real_is_high = [objective.real_is_high for objective in OBJECTIVES.values()]
    assert (GAME.centre[:, dirac.FAKE] > 0).tolist() == real_is_high


def test_an_output_out_of_reach_is_an_error() -> None:
    with pytest.raises(ArithmeticError, match="from its equilibrium"):
        GAME.critic_gradient(np.full((len(NAMES), 1), 4.0), np.full((len(NAMES), 1), 4.0))


# ---- the Dirac-GAN: eigenvalues and trajectories


def eigenvalues(remedy: Remedy, critic_steps: int = 1) -> np.ndarray:
    """(O, 2, 2): simultaneous and alternating."""
    return Group(GAME, [remedy]).eigenvalues(H, critic_steps, BOTH)[:, 0]


TURNING = [name != "least_squares_centred" for name in NAMES]


def test_eigenvalues_without_a_remedy() -> None:
    found = eigenvalues(Remedy())[TURNING]
    # Simultaneous: 1 + h (+- i), i the flow's eigenvalue; alternating: of modulus 1 and trace 2 - h^2.
    np.testing.assert_allclose(np.sort_complex(found[:, 0]), [[1 - 1j * H, 1 + 1j * H]] * 27, atol=1e-9)
    np.testing.assert_allclose(np.abs(found[:, 1]), 1, atol=1e-9)
    np.testing.assert_allclose(found[:, 1].sum(axis=-1), 2 - H**2, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.5])
def test_eigenvalues_under_r1(gamma: float) -> None:
    found = eigenvalues(Remedy(weight=gamma))[TURNING, 0]
    # Mescheder et al. 2018: the flow's are (-gamma +- sqrt(gamma^2 - 4 f'(0)^2))/2, here with f'(0) = 1.
    flow = (-gamma + np.array([-1, 1]) * np.sqrt(complex(gamma**2 - 4))) / 2
    np.testing.assert_allclose(np.sort_complex(found), [np.sort_complex(1 + H * flow)] * 27, atol=1e-8)


def test_eigenvalues_under_instance_noise() -> None:
    # The damping sigma^2 (a'' + b'')/|b'|, of losses whose derivatives are known: f''(0) = 1/4 on each side.
    dampings = {"minimax": 1.0, "least_squares": 4.0, "wasserstein": 0.0, "hinge": 0.0, "kl": 1.0}
    sigma = 0.8
    found = dict(zip(NAMES, eigenvalues(Remedy(noise=sigma))[:, 0], strict=True))
    for name, damping in dampings.items():
        d = damping * sigma**2
        flow = (-d + np.array([-1, 1]) * np.sqrt(complex(d**2 - 4))) / 2
        np.testing.assert_allclose(np.sort_complex(found[name]), np.sort_complex(1 + H * flow), atol=1e-8)


def test_eigenvalues_under_consensus() -> None:
    found = eigenvalues(Remedy(consensus=0.6))[TURNING, 0]
    np.testing.assert_allclose(
        np.sort_complex(found), [[1 - H * (0.6 + 1j), 1 - H * (0.6 - 1j)]] * 27, atol=1e-8
    )


def test_critic_steps_do_not_change_the_angle() -> None:
    found = eigenvalues(Remedy(), critic_steps=5)[TURNING]
    np.testing.assert_allclose(np.abs(found[:, 1]), 1, atol=1e-9)
    np.testing.assert_allclose(found[:, 1].sum(axis=-1), 2 - H**2, atol=1e-9)


def test_a_jump_has_no_eigenvalues() -> None:
    assert np.isnan(eigenvalues(Remedy(weight=1, target=1))).all()
    assert not np.isnan(eigenvalues(Remedy(bound=0.01))).any()


def test_steps_written_out() -> None:
    """Alternating, three critic steps, Wasserstein: b = 1, g = -1."""
    game = Game({"wasserstein": OBJECTIVES["wasserstein"]})
    remedy = Remedy(weight=0.5, target=1.0, bound=0.2)
    theta, psi = 0.4, 0.19
    size = H / math.sqrt(3)
    for is_alternating in (False, True):
        new = psi
        for _ in range(3):
            new = min(0.2, max(-0.2, new - size * (theta + 0.5 * (new - math.copysign(1.0, new)))))
        expected = theta + size * (new if is_alternating else psi)
        at = np.full((1, 1, 1), theta), np.full((1, 1, 1), psi)
        found = Group(game, [remedy]).step(*at, H, 3, np.array([is_alternating]))
        assert [one.item() for one in found] == pytest.approx([expected, new], abs=1e-15)


def test_the_consensus_pull_is_the_gradient_of_the_squared_field() -> None:
    theta, psi = 0.5, -0.3
    with mpmath.workdps(30):

        def squared(x: mpmath.mpf, y: mpmath.mpf) -> mpmath.mpf:
            slope = 2 / (1 + mpmath.exp(x * y))  # of softplus(-b), twice, at b = x y; both players'
            return (slope**2) * (x**2 + y**2) / 2

        pull = [float(mpmath.diff(squared, (theta, psi), order)) for order in ((1, 0), (0, 1))]
    game = Game({"minimax": OBJECTIVES["minimax"]})
    at = np.full((1, 1, 1), theta), np.full((1, 1, 1), psi)
    with_it, without = (
        Group(game, [Remedy(consensus=one)]).step(*at, H, 1, np.array([False])) for one in (0.7, 0.0)
    )
    found = [(b - a).item() / (0.7 * H) for a, b in zip(with_it, without, strict=True)]
    assert found == pytest.approx(pull, rel=1e-8)


def test_remedies_that_run_together_share_noise_and_consensus() -> None:
    with pytest.raises(ValueError, match="one noise and one consensus"):
        Group(GAME, [Remedy(), Remedy(noise=1.0)])
    names = [name for group in dirac_tables.groups(dirac_tables.REMEDIES) for name in group]
    assert sorted(names) == sorted(dirac_tables.REMEDIES)


def test_the_distance_of_non_saturating_falls_as_the_root_of_time() -> None:
    """d r^2/dt = -kappa r^4/4 in the mean, so 1/r^2 grows by kappa/4 per radian."""
    group = Group(Game({name: OBJECTIVES[name] for name in ("non_saturating", "minimax")}), [Remedy()])
    theta, psi = group.trajectories((0.3, 0.0), 0.01, 12566, 1, np.array([True]))  # 20 turns
    inverse = 1 / (theta**2 + psi**2)[:, :, 0, 0]
    grown = (inverse[-1] - inverse[0]) / (0.01 * 12566)
    assert grown[0] == pytest.approx(0.25, rel=0.02)  # the next order: r^2 = 0.09 times a few per cent
    assert abs(grown[1]) < 1e-3


def test_curvatures() -> None:
    kappa, turns = dirac_tables.curvatures(GAME)
    found = dict(zip(NAMES, kappa, strict=True))
    expected = {
        "minimax": 0.0,
        "non_saturating": 1.0,  # 1/4 over 1/2, twice
        "logit_generator": 0.5,
        "least_squares": 4.0,  # 1 over 1/2, twice
        "maximum_likelihood": -0.5,  # 1/4 over 1/2, less 1
        "kl": 0.0,
        "hinge": 0.0,
        "relativistic": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert np.isnan(found["gan_qp"])
    assert np.isnan(found["least_squares_centred"])
    assert sum(turns) == 27


def test_tables_of_rates() -> None:
    few = {name: OBJECTIVES[name] for name in ("wasserstein", "non_saturating", "total_variation")}
    table = dirac_tables.rates_table(few)
    keys = zip(table["objective"], table["remedy"], table["update"], table["critic_steps"], strict=True)
    places = {key: place for place, key in enumerate(keys)}
    assert len(places) == 3 * 7 * 2 * 2
    rate, error, modulus = (np.array(table[name]) for name in ("rate", "rate_se", "modulus"))
    at = places["wasserstein", "none", "simultaneous", 1]
    assert rate[at] == pytest.approx(math.log(1 + H**2) / 2, abs=1e-12)
    assert rate[at] == pytest.approx(math.log(modulus[at]), abs=1e-9)
    at = places["wasserstein", "none", "alternating", 1]
    assert abs(rate[at]) < 3 * error[at]
    for name, remedy in (
        ("wasserstein", "r1"),
        ("non_saturating", "instance_noise"),
        ("total_variation", "consensus"),
    ):
        for update in ("simultaneous", "alternating"):
            at = places[name, remedy, update, 1]
            # Near the equilibrium a trajectory falls as the modulus says, less what curvature adds.
            assert rate[at] == pytest.approx(math.log(modulus[at]), rel=1e-4)
            assert rate[at] < -3 * error[at]
    assert rate[places["wasserstein", "instance_noise", "simultaneous", 1]] > 0  # nothing for noise to bend
    at = places["wasserstein", "clipping", "alternating", 5]
    assert table["distance_end"][at] == pytest.approx(0.01, rel=0.1)  # an ellipse inside the bound
    r1, r2 = (
        [v for v, kind in zip(rate, table["remedy"], strict=True) if kind == one] for one in ("r1", "r2")
    )
    assert r1 == r2  # a linear critic's gradient is the same everywhere
    alone = dirac_tables.rates_table({"wasserstein": few["wasserstein"]})["rate"]
    own = [value for value, name in zip(rate, table["objective"], strict=True) if name == "wasserstein"]
    assert own == pytest.approx(alone, abs=1e-9)  # whatever runs beside it


def test_curvature_is_what_moves_the_distance_without_a_remedy() -> None:
    names = ("non_saturating", "least_squares", "maximum_likelihood", "minimax")
    table = dirac_tables.curvature_table({name: OBJECTIVES[name] for name in names})
    predicted, found, nearer = (np.array(table[name]) for name in ("rate_predicted", "rate", "nearer_rate"))
    np.testing.assert_allclose(found[:3], predicted[:3], rtol=1e-3)
    np.testing.assert_allclose(nearer[:3] / found[:3], 0.01, rtol=0.05)  # with the squared distance
    assert abs(found[3]) < 1e-13


def test_a_faulty_field_would_be_noticed() -> None:
    backwards = Remedy(weight=-0.1)  # a penalty that rewards
    paths = Group(GAME, [backwards]).trajectories((0.01, 0.01), H, 400, 1, BOTH)
    assert (growth.fitted_rate(*paths).rate[TURNING] > 0.002).all()


def test_what_the_figure_shows() -> None:
    paths, arrows = dirac_tables.fields_tables(OBJECTIVES)
    games = set(zip(paths["objective"], paths["remedy"], strict=True))
    assert games == set(dirac_tables.PANELS) == set(zip(arrows["objective"], arrows["remedy"], strict=True))
    place = [arrows[name][0] for name in ("objective", "remedy", "theta", "psi")]
    assert place == ["minimax", "none", -1.5, -1.5]
    by_theta, by_psi = gradient_by_hand("minimax", -1.5, -1.5)
    assert (arrows["move_theta"][0], arrows["move_psi"][0]) == pytest.approx((-by_theta, -by_psi), rel=1e-8)
