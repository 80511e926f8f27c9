"""The tables behind the claims on designing GANs, against closed forms, scipy and other algorithms.

Every oracle is told the densities and formulas of a textbook, not those of the objective; and for every test
of agreement there is one that shows the measure of it notices a disagreement.
"""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, optimize, stats

from pipeline.objectives import Objective, load_objectives
from pipeline.objectives.formulas import R
from pipeline.theory import (
    f_family,
    free_critic,
    maximum_likelihood,
    minimum,
    mixture_fit,
    recipe,
    same_game,
    transport,
)
from pipeline.theory.densities import Mixture
from pipeline.theory.pairs import PAIRS, Pair

OBJECTIVES = load_objectives(Path(__file__).parents[1] / "objectives.yaml")
WITH_OMEGA = recipe.with_omega(OBJECTIVES)
RATIOS = list(same_game.likelihood_ratios(OBJECTIVES))
F_NAMES = [name for name, objective in OBJECTIVES.items() if objective.formulas.f is not None]
SHIFT = Pair(Mixture(), Mixture((1.5,)))  # N(0, 1) and N(1.5, 1)
KL_OF_SHIFT = 1.5**2 / 2


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---- pairs of densities


def test_panels_end_where_the_densities_cross() -> None:
    assert np.abs(SHIFT.edges - 0.75).min() < 1e-14  # a point of the search grid too
    skew = Pair(Mixture(), Mixture((0.3,), (0.9,)))
    # x^2 = ((x - 0.3)/0.9)^2 + 2 log 0.9
    for root in np.roots([1 / 0.81 - 1, -0.6 / 0.81, 0.09 / 0.81 + 2 * math.log(0.9)]):
        assert np.abs(skew.edges - root).min() < 1e-9


@pytest.mark.parametrize("name", PAIRS)
def test_the_intervals_hold_all_mass(name: str) -> None:
    _, log_p, log_q, weights = PAIRS[name].nodes(9)
    for log_density in (log_p, log_q):
        # Eight standard deviations: 1e-15 outside.
        assert (np.exp(log_density) * weights).sum() == pytest.approx(1.0, abs=1e-13)


# ---- W2: the free critic


@pytest.mark.parametrize("name", WITH_OMEGA)
def test_the_free_critic_is_where_scipy_finds_the_maximum(name: str) -> None:
    objective = OBJECTIVES[name]
    for log_ratio in (-2.0, -0.3, 0.7, 2.5):
        found = free_critic.best_output(objective, np.array([log_ratio]))

        def loss(v: float, r: float = math.exp(log_ratio)) -> float:
            t = objective.activation(tensor(v))
            return -float(objective.phi(t) + r * objective.psi(t))

        grid = np.linspace(-30, 30, 1201)
        start = grid[int(np.argmin([loss(v) for v in grid]))]
        scipys = optimize.minimize_scalar(loss, bounds=(start - 0.1, start + 0.1), method="bounded")
        # A search by values tells t to the root of float64's resolution only.
        best = -loss(float(found.v[0]))
        assert best >= -scipys.fun - 1e-14 * (1 + abs(scipys.fun))


@pytest.mark.parametrize("name", WITH_OMEGA)
def test_omega_is_the_best_output(name: str) -> None:
    error = recipe.output_error(OBJECTIVES[name])
    # Rounding t = 1 - r^2 at r = 1/1000 moves log r by 6e-11.
    assert error.output < 1e-12
    assert (
        math.isnan(error.ratio_nats)
        if recipe.direction(OBJECTIVES[name]) == "step"
        else error.ratio_nats < 1e-9
    )


def with_functions(
    objective: Objective, **changed: Callable[[torch.Tensor], torch.Tensor]
) -> SimpleNamespace:
    """The objective with some of its functions replaced."""
    names = ("phi", "psi", "omega", "activation", "critic_loss", "divergence", "spec", "construction", "name")
    kept = {name: getattr(objective, name) for name in names}
    return SimpleNamespace(**{**kept, "formulas": objective.formulas, **changed})


def test_a_wrong_omega_is_noticed_by_as_much_as_it_is_wrong() -> None:
    minimax = OBJECTIVES["minimax"]
    wrong = with_functions(minimax, omega=lambda r: minimax.omega(1.01 * r))
    assert recipe.output_error(wrong).ratio_nats == pytest.approx(math.log(1.01), rel=1e-9)


def test_of_two_maxima_the_higher_is_taken() -> None:
    # phi + r psi = -(v^2 - 4)^2/16 + s v/2 at r = 1 has its maxima near -2 and 2.
    def phi(v: torch.Tensor, sign: float) -> torch.Tensor:
        return -((v**2 - 4) ** 2) / 16 + sign * v / 2

    for sign in (-1.0, 1.0):
        objective = SimpleNamespace(
            activation=lambda v: v,
            phi=lambda t, sign=sign: phi(t, sign),
            psi=lambda t: 0 * t,
            critic_loss=lambda real, fake, sign=sign: (-phi(real, sign) + 0 * fake).mean(-1),
        )
        found = free_critic.best_output(objective, np.array([0.0])).v[0]
        oracle = optimize.minimize_scalar(
            lambda v, sign=sign: -float(phi(tensor(v), sign)),
            bounds=(sign, 3 * sign)[:: int(sign)],
            method="bounded",
        )
        assert found == pytest.approx(oracle.x, abs=1e-5)


def test_directions() -> None:
    directions = {name: recipe.direction(objective) for name, objective in WITH_OMEGA.items()}
    assert directions["minimax"] == directions["ratio_forward_kl"] == "increasing"
    assert directions["least_squares"] == directions["kl"] == "decreasing"
    assert directions["hinge"] == directions["total_variation"] == "step"
    bump = with_functions(OBJECTIVES["minimax"], omega=lambda r: (r - 1) ** 2)
    assert recipe.direction(bump) == "neither"


# ---- W5: the critic's optimum


def quad_of(integrand: Callable[[float, float], float]) -> float:
    """int integrand(p, q) over the densities of SHIFT by scipy."""

    def at(x: float) -> float:
        return integrand(stats.norm.pdf(x), stats.norm.pdf(x, 1.5))

    return integrate.quad(at, -10, 12, points=[0.0, 0.75, 1.5], limit=200, epsabs=1e-12)[0]


TEXTBOOK: dict[str, Callable[[], float]] = {
    "minimax": lambda: quad_of(lambda p, q: p * math.log(p / (p + q)) + q * math.log(q / (p + q))),
    "least_squares": lambda: -quad_of(lambda p, q: p * q / (p + q)) / 2,
    "exponential": lambda: -2 * math.exp(-(1.5**2) / 8),
    "kl": lambda: KL_OF_SHIFT,
    "reverse_kl": lambda: KL_OF_SHIFT,
    "jeffrey": lambda: 2 * KL_OF_SHIFT,
    "pearson_chi2": lambda: math.expm1(1.5**2),
    "neyman_chi2": lambda: math.expm1(1.5**2),
    "squared_hellinger": lambda: -2 * math.expm1(-(1.5**2) / 8),
    "total_variation": lambda: 2 * stats.norm.cdf(0.75) - 1,
    "hinge": lambda: -2 * (2 - 2 * stats.norm.cdf(0.75)),
    "mean_square": lambda: math.exp(1.5**2) / 2,
    "ratio_forward_kl": lambda: KL_OF_SHIFT - 1,
    "ratio_reverse_kl": lambda: KL_OF_SHIFT - 1,
}


@pytest.mark.parametrize("name", TEXTBOOK)
def test_both_values_are_the_textbooks(name: str) -> None:
    expected = TEXTBOOK[name]()
    # quad's own error is 1e-11; the closed forms lose what lies outside the interval, 1e-13 at most.
    assert recipe.free_optimum(OBJECTIVES[name], SHIFT) == pytest.approx(expected, rel=1e-9)
    assert recipe.critic_divergence(OBJECTIVES[name], SHIFT) == pytest.approx(expected, rel=1e-9)


def test_the_critics_value_is_its_definition() -> None:
    minimax = OBJECTIVES["minimax"]
    x, log_p, log_q, weights = SHIFT.nodes(12)
    v = np.sin(x)  # any critic, not the best one
    t = torch.from_numpy(v)
    gains = np.exp(log_p) * minimax.phi(t).numpy() + np.exp(log_q) * minimax.psi(t).numpy()
    value = free_critic.critic_value(minimax, v, log_p, log_q, weights)
    assert value == pytest.approx(float((gains * weights).sum()), abs=1e-12)
    assert value < recipe.free_optimum(minimax, SHIFT)


def test_a_concave_d_is_noticed() -> None:
    assert recipe.smallest_curvature(OBJECTIVES["kl"]) > 0
    concave = with_functions(
        OBJECTIVES["minimax"], omega=lambda r: r, phi=lambda t: -(t**2), psi=lambda t: 0 * t
    )
    assert recipe.smallest_curvature(concave) < -1e-4


# ---- W3, W4: the same game


@pytest.mark.parametrize("name", RATIOS)
def test_constants_reach_the_functions_and_nothing_else(name: str) -> None:
    objective, other = OBJECTIVES[name], same_game.shifted(OBJECTIVES[name])
    t = objective.omega(tensor(0.2, 1.0, 3.0))
    for function, constant in (("phi", 0.7), ("psi", -1.3), ("beta", 0.25)):
        gap = getattr(other, function)(t) - getattr(objective, function)(t)
        torch.testing.assert_close(gap, torch.full_like(t, constant), rtol=0, atol=1e-12)
    found = same_game.difference(objective, other)
    # The stable forms are found anew: other operations, so other roundings.
    assert found.divergence < 1e-11
    assert found.gradient < 1e-9


@pytest.mark.parametrize("name", RATIOS)
def test_the_swap_mirrors_the_output(name: str) -> None:
    objective, other = OBJECTIVES[name], same_game.swapped(OBJECTIVES[name])
    r = tensor(0.1, 0.9, 4.0)
    torch.testing.assert_close(other.omega(r), -objective.omega(r))
    assert other.real_is_high == objective.real_is_high or recipe.direction(other) != recipe.direction(
        objective
    )
    t = objective.omega(r)
    slopes = []
    for one, at in ((objective, t), (other, -t)):
        point = at.clone().requires_grad_()
        slopes.append(torch.autograd.grad(one.psi(point).sum(), point)[0])
    torch.testing.assert_close(slopes[1], -slopes[0])


def test_shifted_slopes_are_derived_from_the_shifted_functions() -> None:
    formulas = same_game.shifted(OBJECTIVES["minimax"]).formulas
    assert formulas.phi_slope is None
    assert formulas.psi_slope is None


def test_the_tables_notice_another_game(monkeypatch: pytest.MonkeyPatch) -> None:
    two = {name: OBJECTIVES[name] for name in ("minimax", "minimax_probability")}
    monkeypatch.setattr(same_game, "shifted", lambda one: OBJECTIVES["exponential"])
    monkeypatch.setattr(same_game, "swapped", lambda one: OBJECTIVES["exponential"])
    found = same_game.same_game_table(two)
    assert found["output_difference"][1] > 0.1  # the probability against log r
    assert min(found["divergence_difference"][:2]) > 1e-3
    assert min(same_game.label_swap_table(two)["optimum_difference"]) > 0.1


def test_other_games_are_told_apart() -> None:
    kl_and_reverse = same_game.difference(OBJECTIVES["kl"], OBJECTIVES["reverse_kl"])
    assert kl_and_reverse.divergence > 0.1  # on the pairs that are not shifts
    trick = same_game.difference(OBJECTIVES["minimax"], OBJECTIVES["non_saturating"])
    assert trick.gradient > 0.1


def test_the_logit_of_the_probability_is_the_logit() -> None:
    last = {key: column[-1] for key, column in same_game.same_game_table(
        {name: OBJECTIVES[name] for name in ("minimax", "minimax_probability")}).items()}  # fmt: skip
    assert (last["first"], last["second"], last["change"]) == ("minimax", "minimax_probability", "coordinate")
    # sigmoid(log r) near 1 holds log r = 6.9 to 1e-13.
    assert last["output_difference"] < 1e-12


# ---- W8a, W8b: the minimum at 1


def test_r_log_r_is_lowest_at_one_over_e() -> None:
    found = minimum.minimum(OBJECTIVES["logit_generator"])
    assert found.slope_at_one == pytest.approx(1.0)
    assert found.literal == pytest.approx(-1 / math.e, rel=1e-5)  # a grid of 400 points per decade
    assert found.literal_at == pytest.approx(1 / math.e, rel=3e-3)
    assert found.normalised == pytest.approx(0.0, abs=1e-12)


def test_the_slope_is_that_of_a_difference() -> None:
    for name, objective in WITH_OMEGA.items():
        if recipe.direction(objective) == "step":
            continue
        h = 1e-5
        ends = objective.divergence(tensor(1 - h, 1 + h))
        slope = float(ends[1] - ends[0]) / (2 * h)
        # h^2 of a third derivative of order 1.
        assert minimum.minimum(objective).slope_at_one == pytest.approx(slope, abs=1e-8), name


@pytest.mark.parametrize("tilt", [-2.0, 0.0, 3.0])
def test_a_tilt_moves_the_literal_minimum_and_not_the_normalised_one(tilt: float) -> None:
    def tilted(r: torch.Tensor) -> torch.Tensor:
        return (r - 1) ** 2 / (1 + r) + tilt * (r - 1)

    found = minimum.minimum(with_functions(OBJECTIVES["minimax"], divergence=tilted))
    assert found.slope_at_one == pytest.approx(tilt)
    assert (found.literal < -1e-3) == (tilt != 0)
    assert found.normalised > -1e-12


def test_what_is_no_divergence_fails_the_normalised_test_too() -> None:
    dented = with_functions(
        OBJECTIVES["minimax"], divergence=lambda r: (r - 1) ** 2 * (r - 0.5) / (1 + r) ** 3
    )
    found = minimum.minimum(dented)
    assert found.normalised < -1e-2
    assert found.normalised_at < 0.5


def test_the_columns_beside_the_minimum() -> None:
    table = minimum.minimum_test_table(OBJECTIVES)
    column = {
        key: dict(zip(table["objective"], table[key], strict=True)) for key in table if key != "objective"
    }
    # Of the catalogue, d is constant for maximum likelihood alone: E_q beta = -int p whatever q is.
    assert [name for name, size in column["d_largest"].items() if size < 1e-9] == ["maximum_likelihood"]
    # s = -2 r (1 - r)/(1 + r)^3 for beta = t^2/2, omega = (1 - r)/(1 + r).
    r = np.exp(np.linspace(-math.log(1000), math.log(1000), 601))
    s = -2 * r * (1 - r) / (1 + r) ** 3
    assert column["frozen_slope_min"]["least_squares_centred"] == pytest.approx((s / (1 + abs(s))).min())
    repelled = {name for name, slope in column["frozen_slope_min"].items() if slope < 0}
    assert repelled == {"least_squares_centred"}
    # r log r is convex although it is not lowest at 1, and so are the other examples.
    assert min(column["d_curvature_min"][name] for name in minimum.EXAMPLES) > 0
    for name in ("logit_generator", "ratio_reverse_kl"):  # KL(q, p), smallest of the pairs
        kl = -math.log(0.9) + (0.9**2 + 0.3**2) / 2 - 0.5
        assert column["smallest_excess"][name] == pytest.approx(kl, abs=1e-12)


def test_a_pair_below_equal_is_noticed() -> None:
    dented = with_functions(OBJECTIVES["minimax"], divergence=lambda r: -((r - 1) ** 2) / (1 + r))
    assert minimum.smallest_excess(dented) < -1e-2
    assert recipe.curvature_of(dented.divergence) < -1e-5


def test_the_examples_are_in_the_catalogue() -> None:
    assert set(minimum.EXAMPLES) <= set(WITH_OMEGA)
    table = minimum.minimum_test_table(OBJECTIVES)
    assert sum(table["is_example"]) == len(minimum.EXAMPLES)


# ---- W1, W9: duals and conjugates


def test_total_variation_of_normals_at_both_scales() -> None:
    table = f_family.total_variation_table(OBJECTIVES)
    place = table["pair"].index("shift_1.5")
    exact = 2 * stats.norm.cdf(0.75) - 1
    assert table["half_integral"][place] == pytest.approx(exact, abs=1e-12)
    assert table["dual_half"][place] == pytest.approx(exact, abs=1e-12)
    assert table["dual_one"][place] == pytest.approx(2 * exact, abs=1e-12)
    assert table["dual_half"][table["pair"].index("equal")] == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize(
    ("f", "conjugate"),
    [
        (lambda u: u**2, lambda t: t**2 / 4),
        (lambda u: u * u.log(), lambda t: (t - 1).exp()),
        (lambda u: (u - 1).abs() / 2, lambda t: t.clamp(max=0.5)),
        (lambda u: (u - 1) ** 2, lambda t: t + t**2 / 4),
    ],
)
def test_legendre_transform_of_the_textbook(f: Callable, conjugate: Callable) -> None:
    t = tensor(0.1, 0.2, 0.35, 0.5)
    # The supremum is level: golden section's place is off by 1e-8, its height by nothing.
    torch.testing.assert_close(f_family.legendre(f, t), conjugate(t), rtol=1e-7, atol=1e-13)


def test_the_transform_of_a_boundary_supremum() -> None:
    # Below f'(0) = -2 the supremum is at u = 0, where the published conjugate goes on as t + t^2/4.
    transform = f_family.legendre(lambda u: (u - 1) ** 2, tensor(-3.0, -6.0))
    torch.testing.assert_close(transform, tensor(-1.0, -1.0), rtol=1e-7, atol=0)
    table = f_family.conjugates_table({"pearson_chi2": OBJECTIVES["pearson_chi2"]})
    # At t = -6: t + t^2/4 = 3 against -1, over 3; the largest over the range lies there or nearer to -2.
    assert table["conjugate_error_beyond"][0] > 1
    assert table["conjugate_error"][0] < 1e-9


@pytest.mark.parametrize("name", F_NAMES)
def test_conjugates_of_the_catalogue(name: str) -> None:
    table = f_family.conjugates_table({name: OBJECTIVES[name]})
    assert abs(table["f_at_1"][0]) < 1e-14
    assert table["conjugate_error"][0] < 1e-9
    assert table["curvature_min"][0] > (-1e-10 if name == "total_variation" else 0)


def test_a_wrong_conjugate_is_noticed() -> None:
    kl = OBJECTIVES["kl"]
    wrong = with_functions(kl, psi=lambda t: kl.psi(t) + 1e-3)
    assert f_family.conjugates_table({"kl": wrong})["conjugate_error"][0] > 1e-4


# ---- W6: who derives whom


def test_the_kl_gans_of_the_ratio_construction() -> None:
    assert sp.simplify(f_family.second_derivative(OBJECTIVES["ratio_reverse_kl"]) - 1 / R) == 0
    assert sp.simplify(f_family.second_derivative(OBJECTIVES["ratio_forward_kl"]) - 1 / R**2) == 0
    table = f_family.as_f_gan_table(
        {name: OBJECTIVES[name] for name in ("minimax", "ratio_forward_kl", "hinge")}
    )
    assert table["known_as"] == [None, "kl", None]
    assert max(table["conjugate_error"]) < 1e-9


def test_kl_of_normals_in_the_table() -> None:
    table = f_family.kl_from_ratio_table(OBJECTIVES)
    chosen = [place for place, pair in enumerate(table["pair"]) if pair == "shifted_and_narrower"]
    # KL of N(0, 1) and N(0.3, 0.9^2), both ways.
    forward = math.log(0.9) + (1 + 0.3**2) / (2 * 0.9**2) - 0.5
    reverse = -math.log(0.9) + (0.9**2 + 0.3**2) / 2 - 0.5
    for place in chosen:
        assert table["kl_forward"][place] == pytest.approx(forward, abs=1e-12)
        assert table["kl_reverse"][place] == pytest.approx(reverse, abs=1e-12)
    gaps = {table["objective"][place]: table["gap_to_forward"][place] for place in chosen}
    assert gaps["ratio_forward_kl"] < 1e-12
    assert gaps["minimax"] > 1e-2
    # Only increasing omega with its own psi as the generator's loss.
    assert "least_squares" not in gaps
    assert "logit_generator" not in gaps


def test_a_gan_that_is_no_f_gan_is_noticed() -> None:
    minimax = OBJECTIVES["minimax"]
    wrong = with_functions(minimax, psi=lambda t: minimax.psi(t) - 0.01 * t**2)
    table = f_family.as_f_gan_table({"wrong": wrong})
    assert table["conjugate_error"][0] > 1e-3


# ---- W9: the fitted normals


def test_kl_fits_the_moments() -> None:
    found = mixture_fit.fit(OBJECTIVES["kl"])
    mean = 0.67 * 2 - 0.33
    variance = 0.67 * (2 + 2**2) + 0.33 * (0.255**2 + 1) - mean**2
    # Nelder-Mead stops at steps of 1e-9 or where the divergence, level there, no longer moves: 1e-8.
    assert found.mean == pytest.approx(mean, abs=1e-7)
    assert found.std == pytest.approx(math.sqrt(variance), abs=1e-7)
    assert found.starts == len(mixture_fit._STARTS)


@pytest.mark.parametrize("name", ["reverse_kl", "jensen_shannon", "squared_hellinger"])
def test_the_fit_is_where_scipys_quadrature_has_its_minimum(name: str) -> None:
    def pdf(x: np.ndarray) -> np.ndarray:
        return 0.67 * stats.norm.pdf(x, 2, math.sqrt(2)) + 0.33 * stats.norm.pdf(x, -1, 0.255)

    textbook = {
        "reverse_kl": lambda p, q: q * np.log(q / p),
        "jensen_shannon": lambda p, q: p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)),
        "squared_hellinger": lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2,
    }[name]
    x = np.linspace(-14, 18, 8001)

    def height(point: np.ndarray) -> float:
        q = stats.norm.pdf(x, point[0], point[1])
        return float(integrate.simpson(textbook(pdf(x), q), x=x))

    found = mixture_fit.fit(OBJECTIVES[name])
    here = np.array([found.mean, found.std])
    assert found.divergence == pytest.approx(height(here), rel=1e-8)
    oracle = optimize.minimize(height, [here[0] + 0.15, here[1] - 0.1], method="BFGS", options={"gtol": 1e-9})
    # BFGS by finite differences of a sum of 8001 terms.
    np.testing.assert_allclose(oracle.x, here, atol=1e-4)


def exact_total_variation(mean: float, std: float) -> float:
    """Half the integral of |p - q| from normal distribution functions between the crossings."""

    def gap(x: float) -> float:
        return (
            0.67 * stats.norm.pdf(x, 2, math.sqrt(2))
            + 0.33 * stats.norm.pdf(x, -1, 0.255)
            - stats.norm.pdf(x, mean, std)
        )

    grid = np.linspace(-9, 12, 2001)
    sign = np.sign(gap(grid))
    turns = np.flatnonzero(np.diff(sign))
    edges = [-np.inf, *(optimize.brentq(gap, grid[at], grid[at + 1], xtol=1e-15) for at in turns), np.inf]
    p = 0.67 * stats.norm.cdf(edges, 2, math.sqrt(2)) + 0.33 * stats.norm.cdf(edges, -1, 0.255)
    return float(np.abs(np.diff(p - stats.norm.cdf(edges, mean, std))).sum() / 2)


def test_the_fit_of_total_variation_against_distribution_functions() -> None:
    objective = OBJECTIVES["total_variation"]
    for mean, std in ((1.0, 1.8), (-0.5, 0.4), (3.0, 3.0)):
        height = mixture_fit.divergence(objective, mean, std)
        assert height == pytest.approx(exact_total_variation(mean, std), abs=1e-11)
    found = mixture_fit.fit(objective)
    oracle = optimize.minimize(
        lambda at: exact_total_variation(*at),
        (1.5, 1.7),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-15},
    )
    # Values known to 1e-16 fix the place to 1e-8 over the root of the curvature.
    np.testing.assert_allclose((found.mean, found.std), oracle.x, atol=2e-7)
    assert found.divergence == pytest.approx(oracle.fun, abs=1e-11)
    assert found.starts == len(mixture_fit._STARTS)


def test_an_infinite_divergence_is_infinite() -> None:
    neyman = OBJECTIVES["neyman_chi2"]  # int q^2/p: finite below sigma = 2
    assert mixture_fit.divergence(neyman, 2.0, 1.9) < 100
    assert mixture_fit.divergence(neyman, 2.0, 2.1) == math.inf


def test_reverse_kl_has_another_minimum_at_the_narrow_mode() -> None:
    reverse = OBJECTIVES["reverse_kl"]
    found = mixture_fit.fit(reverse)
    assert found.starts < len(mixture_fit._STARTS)
    narrow = optimize.minimize(
        lambda at: mixture_fit.divergence(reverse, at[0], at[1]), [-1.0, 0.3], method="Nelder-Mead"
    )
    assert abs(narrow.x[0] + 1) < 0.1
    assert abs(narrow.x[1] - 0.255) < 0.1
    assert narrow.fun > found.divergence + 0.5  # -log 0.33 = 1.1 against 0.25


# ---- W10: another measure


def test_w1_of_shifts_and_scipy() -> None:
    assert transport.wasserstein_one(SHIFT) == pytest.approx(1.5, abs=1e-9)
    pair = PAIRS["shifted_and_narrower"]
    x = np.linspace(-9, 9, 18001)
    weights = [np.exp(one.log_density(x)) for one in (pair.p, pair.q)]
    # Points 1e-3 apart.
    expected = stats.wasserstein_distance(x, x, *weights)
    assert transport.wasserstein_one(pair) == pytest.approx(expected, abs=1e-6)


def test_the_dual_by_a_linear_programme() -> None:
    table = transport.wasserstein_dual_table(OBJECTIVES)
    assert max(table["dual_gap"]) < 1e-6
    assert table["w1"][table["pair"].index("equal")] == 0
    twice = with_functions(
        OBJECTIVES["wasserstein"], phi=lambda t: 2 * t, psi=lambda t: -2 * t
    )  # critics of slope up to 2
    assert transport.lipschitz_optimum(twice, SHIFT) == pytest.approx(3.0, abs=1e-6)


@pytest.mark.parametrize("case", transport.EQUAL_RATIOS)
def test_the_ratios_of_a_case_have_one_distribution(case: str) -> None:
    levels = (0.45, 0.7, 0.9, 1.0, 1.1, 1.4, 2.0)
    shares = []
    for pair in transport.EQUAL_RATIOS[case]:
        x = np.linspace(pair.left, pair.right, 400_001)[:-1] + (pair.right - pair.left) / 800_000
        p = np.exp(pair.p.log_density(x)) * (pair.right - pair.left) / 400_000
        ratio = np.exp(pair.log_ratio(x))
        shares.append([p[ratio < level].sum() for level in levels])
    # Cells at the edge of a level.
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-4)


def test_w1_of_the_cases() -> None:
    table = transport.equal_ratios_table({"kl": OBJECTIVES["kl"]})
    found = {key: value for *key, value in zip(table["case"], table["measure"], table["second"], strict=True)
             for key in [tuple(key)]}  # fmt: skip
    assert found["scaled", "w1"] == pytest.approx(2.0, abs=1e-9)
    # |F_p - F_q| of the masses 0.4, 0.1, 0.3, 0.2 on unit cells: triangles and trapezia of 0.15, 0, 0.05.
    assert found["rearranged", "w1"] == pytest.approx(0.15 / 2 + 0.15 / 2 + 0.05 / 2 + 0.05 / 2, abs=1e-6)
    assert found["scaled", "kl"] == pytest.approx(0.5, abs=1e-9)
    expected = -sum(0.25 * math.log(4 * mass) for mass in (0.4, 0.3, 0.2, 0.1))
    assert found["rearranged", "kl"] == pytest.approx(expected, abs=1e-12)


# ---- L1, L2: maximum likelihood


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (-1.2, 1.25)])
def test_gradient_of_kl_is_that_of_its_integral(mean: float, std: float) -> None:
    def kl(m: float, s: float) -> float:
        return integrate.quad(
            lambda x: stats.norm.pdf(x) * (stats.norm.logpdf(x) - stats.norm.logpdf(x, m, s)), -12, 12
        )[0]

    h = 1e-4
    slopes = (kl(mean + h, std) - kl(mean - h, std), kl(mean, std + h) - kl(mean, std - h))
    expected = [slope / (2 * h) for slope in slopes]
    # h^2 of a third derivative of order 10.
    assert maximum_likelihood.kl_gradient(mean, std) == pytest.approx(expected, abs=1e-6)


def test_gradients_of_one_sample() -> None:
    z, mean, std = 0.8, 0.5, 1.25
    objective = OBJECTIVES["maximum_likelihood"]

    def loss(theta: tuple[float, float], own: tuple[float, float]) -> float:
        x = theta[0] + theta[1] * z
        return -math.exp(stats.norm.logpdf(x) - stats.norm.logpdf(x, *own))

    h = 1e-6
    for is_fixed in (True, False):
        expected = []
        for step in ((h, 0.0), (0.0, h)):
            ends = [(mean + sign * step[0], std + sign * step[1]) for sign in (1, -1)]
            own = [(mean, std)] * 2 if is_fixed else ends
            expected.append((loss(ends[0], own[0]) - loss(ends[1], own[1])) / (2 * h))
        found = maximum_likelihood.sample_gradients(objective, tensor(z), mean, std, is_fixed)
        np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-8)


def test_the_table_of_maximum_likelihood() -> None:
    table = maximum_likelihood.maximum_likelihood_table(OBJECTIVES)
    kl, fixed, moving = (np.array(table[f"gradient_{name}"]) for name in ("kl", "fixed", "moving"))
    np.testing.assert_allclose(fixed, kl, atol=1e-12)
    np.testing.assert_allclose(moving, 0.0, atol=1e-12)
    assert np.abs(kl).max() > 1
    # 16 means: one of them beyond 4 standard errors happens once in a thousand seeds.
    error = np.array(table["sample_fixed_se"])
    assert (np.abs(np.array(table["sample_fixed"]) - kl) <= 4 * error + 1e-15).all()
    assert (error[1:] < 0.05).all()


def test_another_loss_does_not_follow_the_likelihood() -> None:
    wrong = {"maximum_likelihood": OBJECTIVES["minimax"]}
    table = maximum_likelihood.maximum_likelihood_table(wrong)
    gap = np.abs(np.array(table["gradient_fixed"]) - np.array(table["gradient_kl"]))
    assert gap.max() > 0.5
