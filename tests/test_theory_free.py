"""The free critic, the free game and the small trained critic, against closed forms, scipy and mpmath."""

import math
from pathlib import Path
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import optimize, stats

from pipeline.errors import UserError
from pipeline.objectives import load_objectives
from pipeline.theory import free_ascent, free_game, function_space, tables, trained_critic
from pipeline.theory.densities import Mixture, Uniform
from pipeline.theory.free_ascent import Cells, FreeCritic, ascend, climb, discriminator
from pipeline.theory.optimal_critic import is_step
from pipeline.theory.pairs import PAIRS
from pipeline.theory.recipe import with_omega

OBJECTIVES = load_objectives(Path(__file__).parents[1] / "objectives.yaml")
WITH_OMEGA = with_omega(OBJECTIVES)
SMOOTH = [name for name, objective in WITH_OMEGA.items() if not is_step(objective)]
STEPS = [name for name, objective in WITH_OMEGA.items() if is_step(objective)]
D = 1.5  # distance of the two unit normals of `shift_1.5`
MINIMAX = OBJECTIVES["minimax"]


def shifted() -> Cells:
    _, log_p, log_q, weights = PAIRS["shift_1.5"].nodes(4)
    return Cells(log_p, log_q, weights)


def cells_of(p: list[float], q: list[float]) -> Cells:
    return Cells(np.log(p), np.log(q), np.ones(len(p)))


# ---- the ascent


@pytest.mark.parametrize("name", WITH_OMEGA)
def test_slopes_are_those_of_the_gain(name: str) -> None:
    objective = WITH_OMEGA[name]
    v = torch.tensor([-2.3, -0.7, 0.31, 0.9, 1.7], dtype=torch.float64)  # off the kinks of hinge
    share = torch.tensor([0.9, 0.2, 0.5, 0.7, 0.1], dtype=torch.float64)

    def gain(at: torch.Tensor) -> torch.Tensor:
        t = objective.activation(at)
        return share * objective.phi(t) + (1 - share) * objective.psi(t)

    h = 1e-4
    slope, curvature = free_ascent.gain_slopes(objective, v, share)
    # Central differences: an error of h^2 times the next derivatives, up to 1e3 here, and of rounding / h^2.
    size = 1 + gain(v).abs()
    assert ((gain(v + h) - gain(v - h)) / (2 * h) - slope).abs().div(size).max() < 1e-5
    assert ((gain(v + h) - 2 * gain(v) + gain(v - h)) / h**2 - curvature).abs().div(size).max() < 1e-4


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("ratio", [0.2, 1.0, 7.0])
def test_a_cell_ends_where_scipy_does(name: str, ratio: float) -> None:
    objective = WITH_OMEGA[name]

    def loss(v: float) -> float:
        t = objective.activation(torch.tensor(v, dtype=torch.float64))
        return -float(objective.phi(t) + ratio * objective.psi(t))

    found = optimize.minimize_scalar(loss, bounds=(-12, 12), method="bounded", options={"xatol": 1e-9})
    end = ascend(objective, np.array([[-4.0], [3.0]]), cells_of([1.0], [ratio]))
    # A minimum by values is known to the root of rounding.
    assert end.v.ravel() == pytest.approx([found.x] * 2, abs=2e-6)


# Between N(0, 1) and N(d, 1), textbook values.
VALUES = {
    "kl": D**2 / 2,
    "reverse_kl": D**2 / 2,
    "jeffrey": D**2,
    "pearson_chi2": math.exp(D**2) - 1,
    "neyman_chi2": math.exp(D**2) - 1,
    "squared_hellinger": 2 - 2 * math.exp(-(D**2) / 8),
    "total_variation": math.erf(D / 2 / math.sqrt(2)),
    "hinge": 2 * math.erf(D / 2 / math.sqrt(2)) - 2,
    "exponential": -2 * math.exp(-(D**2) / 8),
    "mean_square": math.exp(D**2) / 2,
}


@pytest.mark.parametrize("name", VALUES)
def test_the_value_is_the_divergence(name: str) -> None:
    _, log_p, log_q, weights = PAIRS["shift_1.5"].nodes(8)
    cells = Cells(log_p, log_q, weights)
    objective = OBJECTIVES[name]
    end = ascend(objective, function_space.random_starts(log_p.size, 2), cells)
    # 1e-10: the kinks of hinge are found by bisection to that.
    assert function_space.values(objective, end, cells) == pytest.approx([VALUES[name]] * 2, rel=1e-9)


def test_the_value_of_minimax_is_that_of_the_jsd_at_thirty_digits() -> None:
    with mp.workdps(30):
        ends = [mp.mpf(x) for x in range(-12, 15, 2)]

        def integrand(x: mp.mpf) -> mp.mpf:
            p, q = mp.npdf(x), mp.npdf(x, D)
            return p * mp.log(p / (p + q)) + q * mp.log(q / (p + q))

        exact = float(mp.quad(integrand, ends))
    end = ascend(MINIMAX, function_space.random_starts(shifted().log_p.size, 2), shifted())
    # Four nodes a panel: the rule's own error.
    assert function_space.values(MINIMAX, end, shifted()) == pytest.approx([exact] * 2, abs=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("grid", [("1d", "one_of_two_modes"), ("2d", "correlated")])
def test_every_start_says_p_over_p_plus_q(name: str, grid: tuple[str, str]) -> None:
    cells = function_space.problems()[grid]
    objective = WITH_OMEGA[name]
    end = ascend(objective, function_space.random_starts(cells.log_p.size, 2, seed=3), cells)
    inside = cells.with_mass(1e-12)
    exact = np.exp(cells.log_p) / (np.exp(cells.log_p) + np.exp(cells.log_q))
    # Neyman's t = 1 - u^2 loses u = p/q below 1e-8 to rounding.
    assert np.abs(discriminator(objective, end.v) - exact)[:, inside].max() < 1e-8


def test_the_grids_of_the_plane_are_the_densities_they_say() -> None:
    one = (np.arange(40) + 0.5) / 4 - 5
    points = np.stack(np.meshgrid(one, one, indexing="ij"), axis=-1)
    cells = function_space.problems()["2d", "correlated"]
    expected = stats.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).logpdf(points).ravel()
    # Normalised on the grid, which misses 1e-6 beyond five standard deviations.
    assert np.abs(cells.log_p - expected).max() < 2e-6
    for cells in function_space.problems().values():
        assert cells.mass.sum() == pytest.approx(2, abs=1e-9)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_finds_the_side(name: str) -> None:
    objective = OBJECTIVES[name]
    end = ascend(objective, np.array([[3.0, 3.0], [-3.0, -3.0]]), cells_of([0.7, 0.3], [0.3, 0.7]))
    t = objective.activation(torch.from_numpy(end.v)).numpy()
    limit = 0.5 if name == "total_variation" else 1.0
    assert t == pytest.approx(np.array([[limit, -limit]] * 2), abs=1e-9)
    with pytest.raises(UserError, match="omega is a step"):
        discriminator(objective, end.v)


def test_the_reach_doubles_until_a_far_optimum() -> None:
    far = ascend(
        OBJECTIVES["mean_square"], np.zeros((1, 1)), Cells(np.zeros(1), np.full(1, 40.0), np.ones(1))
    )
    assert far.v[0, 0] == pytest.approx(math.exp(40), rel=1e-12)
    assert far.steps < 80  # 1 + 2 + 4 + ... reaches e^40 in 58


def test_no_step_is_longer_than_the_reach() -> None:
    critic = FreeCritic(OBJECTIVES["mean_square"], torch.zeros(1, dtype=torch.float64))
    share = torch.full((1,), 0.001, dtype=torch.float64)  # the best output is 999
    moves = [float(critic.step(share)[0]) for _ in range(4)]
    assert moves == [1.0, 1.0, 2.0, 4.0]


def test_the_largest_second_derivative_is_the_largest_on_the_way() -> None:
    moments = list(climb(MINIMAX, np.array([[9.0]]), cells_of([0.6], [0.4])))
    d = 1 / (1 + np.exp([moment.v[0, 0] for moment in moments[:-1]]))
    assert moments[-1].curvature_max == pytest.approx(-(d * (1 - d)).min(), rel=1e-9)
    assert moments[-1].is_end
    assert not any(moment.is_end for moment in moments[:-1])
    # In v, softplus' exponential tail, the gain of `power` is not concave: d^2/dv^2 of -t^3/3 + r t.
    assert ascend(OBJECTIVES["power"], np.array([[-6.0]]), cells_of([0.5], [0.5])).curvature_max > 0


def test_what_is_not_a_number_stops_the_ascent() -> None:
    broken = SimpleNamespace(name="broken", critic_loss=lambda real, fake: (real.sqrt() + fake).mean(-1))
    with pytest.raises(ArithmeticError, match="broken: a slope is not finite"):
        ascend(broken, np.array([[-1.0]]), cells_of([1.0], [1.0]))


# ---- the game

SMALL = np.log([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("name", ["minimax", "kl", "exponential", "hinge"])
def test_the_step_is_the_natural_gradient_of_the_frozen_loss(name: str) -> None:
    objective = OBJECTIVES[name]
    rng = np.random.default_rng(4)
    logits, v = rng.normal(size=4), torch.from_numpy(rng.normal(size=4))
    beta = objective.beta(objective.activation(v)).numpy()
    assert free_game.beta_of_raw(objective, v).numpy() == pytest.approx(beta, rel=1e-12)

    def loss(at: np.ndarray) -> float:
        q = np.exp(at) / np.exp(at).sum()
        return float(q @ beta)

    gradient = optimize.approx_fprime(logits, loss, 1e-7)
    q = np.exp(logits) / np.exp(logits).sum()
    fisher = np.diag(q) - np.outer(q, q)
    natural = np.linalg.pinv(fisher) @ gradient
    eta = 1e-3
    log_q = torch.from_numpy(np.log(q))[None]
    moved = free_game.generator_step(torch.from_numpy(beta)[None], log_q, eta)
    change = ((moved - log_q) / -eta).numpy()[0]
    # Logits count up to a constant; the normalisation is of second order in eta.
    assert change - change.mean() == pytest.approx(natural - natural.mean(), abs=2e-3)
    assert float(moved.exp().sum()) == pytest.approx(1, abs=1e-14)


def test_no_cell_moves_by_more_than_a_nat() -> None:
    loss = torch.tensor([[0.0, 1e3, -1e3, 0.0]], dtype=torch.float64)
    moved = free_game.generator_step(loss, torch.from_numpy(SMALL)[None], 1.0)
    change = (moved[0] - torch.from_numpy(SMALL)).numpy()
    assert np.ptp(change) <= 2 + 1e-12


def test_the_step_size_is_the_pace_over_half_the_range() -> None:
    # log(r/(1 + r)) and log r: 1 and 2 nats between r = 1/e and e. |r - 1|: a jump of 1 of the critic's t.
    assert free_game.step_size(MINIMAX) == pytest.approx(free_game.PACE / 0.5, rel=1e-12)
    assert free_game.step_size(OBJECTIVES["logit_generator"]) == pytest.approx(free_game.PACE, rel=1e-12)
    assert free_game.step_size(OBJECTIVES["total_variation"]) == pytest.approx(free_game.PACE / 0.5)


# b'(0) of d(beta(omega(e^L)))/dL, by hand.
SLOPES = {
    "minimax": 0.5,
    "non_saturating": 0.5,
    "logit_generator": 1.0,
    "mean_square": 1.0,
    "pearson_chi2": 2.0,
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("grid", ["1d", "2d"])
def test_where_q_ends(name: str, grid: str) -> None:
    objective = OBJECTIVES[name]
    log_p = free_game.grids()[grid]
    distances, end = free_game.course(objective, log_p, 150)
    d = discriminator(objective, end.v.numpy())
    if name == "least_squares_centred":  # beta = t^2 / 2 is even: cells with too little q lose what they have
        assert distances[-1].min() > 0.1
        return
    assert distances[-1].max() < 1e-11
    assert np.abs(end.log_q.exp().numpy() - np.exp(log_p)).max() < 1e-11
    assert np.abs(d - 0.5).max() < 1e-3
    if name in SLOPES:
        # The last updates shrink log q/p by 1 - eta b'(0).
        rate = free_game._rate(distances)
        assert rate == pytest.approx(1 - SLOPES[name] * free_game.step_size(objective), abs=5e-3)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_circles_p_and_the_nearer_the_smaller_its_step(name: str) -> None:
    log_p = free_game.grids()["1d"]
    coarse, _ = free_game.course(OBJECTIVES[name], log_p, 200)
    fine, _ = free_game.course(OBJECTIVES[name], log_p, 600, free_game.PACE / 5)
    assert 0.02 < np.median(coarse[-1]) < 0.4
    assert np.median(fine[-1]) < np.median(coarse[-1]) / 2


def test_the_modes_of_p_are_there() -> None:
    line, plane = (np.exp(log_p) for log_p in free_game.grids().values())
    assert line.sum() == pytest.approx(1)
    assert plane.sum() == pytest.approx(1)
    peaks = (line[1:-1] > line[:-2]) & (line[1:-1] > line[2:])
    assert peaks.sum() == 3
    square = plane.reshape(16, 16)[1:-1, 1:-1]
    around = [np.roll(plane.reshape(16, 16), shift, axis)[1:-1, 1:-1] for shift in (1, -1) for axis in (0, 1)]
    assert (square > np.max(around, axis=0)).sum() == 3


# ---- the trained critic


def test_samples_follow_their_mixture() -> None:
    mixture = Mixture((-1.0, 2.0), (0.5, 1.0), (0.3, 0.7))
    drawn = trained_critic.sample(mixture, 20_000, torch.Generator().manual_seed(1)).numpy()
    law = lambda x: 0.3 * stats.norm.cdf(x, -1, 0.5) + 0.7 * stats.norm.cdf(x, 2, 1)  # noqa: E731
    assert stats.kstest(drawn, law).pvalue > 0.01  # one fixed seed
    assert stats.kstest(drawn, stats.norm(1.1, 1.6).cdf).pvalue < 1e-6


def test_a_critic_that_knows_nothing_is_off_by_half_the_total_variation() -> None:
    network = trained_critic.train(MINIMAX, PAIRS["shift_1.5"], 0, (0, 1))
    network.flat.zero_()
    mean, largest = trained_critic.errors(MINIMAX, network, PAIRS["shift_1.5"])
    # (p + q)/2 |1/2 - p/(p + q)| = |p - q|/4
    assert mean == pytest.approx([math.erf(D / 2 / math.sqrt(2)) / 2] * 2, abs=1e-8)
    assert (largest > mean).all()


def test_training_brings_d_near() -> None:
    network = trained_critic.train(MINIMAX, PAIRS["shift_1.5"], 400, (0, 1))
    mean, _ = trained_critic.errors(MINIMAX, network, PAIRS["shift_1.5"])
    assert mean.max() < 0.06  # from 0.27


def test_a_seeds_critic_does_not_depend_on_its_neighbours() -> None:
    alone = trained_critic.train(MINIMAX, PAIRS["shift_1.5"], 5, (3,))
    beside = trained_critic.train(MINIMAX, PAIRS["shift_1.5"], 5, (2, 3))
    for one, both in zip(alone.parameters, beside.parameters, strict=True):
        # The kernels of a stack may round otherwise than those of one.
        assert torch.allclose(one[0], both[1], atol=1e-6)


def test_only_mixtures_are_sampled() -> None:
    with pytest.raises(TypeError, match="only mixtures"):
        next(trained_critic.batches(Uniform(0.0, 1.0), Mixture(), 1, (0,)))


# ---- the tables


def test_tables_again_are_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: OBJECTIVES[name] for name in ("minimax", "neyman_chi2", "hinge", "wasserstein", "gan_qp")}
    monkeypatch.setattr(trained_critic, "STEPS", 5)
    monkeypatch.setattr(free_game, "UPDATES", 60)
    for make in (
        function_space.free_critic_table,
        function_space.free_ascent_course_table,
        trained_critic.trained_critic_table,
        free_game.free_game_table,
        free_game.free_game_course_table,
        free_game.free_game_densities_table,
    ):
        first, again = (
            tables.write_table(tmp_path / part, make.__name__, make(few)).read_bytes() for part in "ab"
        )
        assert first == again, make.__name__
        assert b"wasserstein" not in first  # nor what compares pairs: no omega
        assert b"gan_qp" not in first
