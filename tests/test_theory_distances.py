"""Laws of the distance experiment, of frozen and total gradients, and of maximum likelihood's spread."""

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from pipeline.objectives import Objective, load_objectives
from pipeline.objectives.formulas import R
from pipeline.objectives.precise import evaluate
from pipeline.theory import distances
from pipeline.theory.distance import uniforms_table
from pipeline.theory.frozen_and_total import DAMPING, UNROLLED, gradients, moved, slopes, unrolled
from pipeline.theory.maximum_likelihood import likelihood_spread_table
from pipeline.theory.optimal_critic import is_step
from pipeline.theory.recipe import with_omega

CATALOGUE = load_objectives(Path(__file__).parents[1] / "objectives.yaml")
SMOOTH = {name: one for name, one in with_omega(CATALOGUE).items() if not is_step(one)}
OWN_LOSS = ("non_saturating", "least_squares", "least_squares_centred", "maximum_likelihood")


@pytest.mark.parametrize("d", [0.0, 0.25, 1.0, 3.0, 7.0, 15.0])
def test_divergences_of_normals_are_their_closed_forms(d: float) -> None:
    found = distances.divergences(distances.normals(d))
    exact = {
        "kl_nats": d**2 / 2,
        "reverse_kl_nats": d**2 / 2,
        "total_variation": math.erf(d / math.sqrt(8)),
        "squared_hellinger": -math.expm1(-(d**2) / 8),
        "wasserstein_1": d,
    }
    for name, value in exact.items():
        # Panels of half a standard deviation and 20 nodes: rounding alone is left.
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-14), name


def test_jsd_is_mpmaths() -> None:
    with mpmath.workdps(30):

        def integrand(x: mpmath.mpf) -> mpmath.mpf:
            p, q = mpmath.npdf(x), mpmath.npdf(x, 2)
            return (p * mpmath.log(2 * p / (p + q)) + q * mpmath.log(2 * q / (p + q))) / 2

        exact = float(mpmath.quad(integrand, mpmath.linspace(-12, 14, 27)))
    assert distances.divergences(distances.normals(2.0))["jsd_nats"] == pytest.approx(exact, rel=1e-13)


def test_divergences_of_uniforms_are_their_integrals() -> None:
    table = uniforms_table()
    for shift, variation, hellinger in zip(
        table["shift"], table["total_variation"], table["squared_hellinger"], strict=True
    ):
        inside = [float(0 <= x < 1) for x in np.arange(0, 20, 1 / 64)]
        moved_by = [float(shift <= x < shift + 1) for x in np.arange(0, 20, 1 / 64)]
        gap = sum(abs(a - b) for a, b in zip(inside, moved_by, strict=True)) / 64
        common = sum(math.sqrt(a * b) for a, b in zip(inside, moved_by, strict=True)) / 64
        assert variation == gap / 2
        assert hellinger == 1 - common
    assert table["kl_nats"] == [0.0] + [None] * (len(table["shift"]) - 1)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("kl", lambda d: d**2 / 2),
        ("reverse_kl", lambda d: d**2 / 2),
        ("jeffrey", lambda d: d**2),
        ("neyman_chi2", lambda d: math.expm1(d**2)),
        ("pearson_chi2", lambda d: math.expm1(d**2)),
        ("squared_hellinger", lambda d: -2 * math.expm1(-(d**2) / 8)),
        ("total_variation", lambda d: math.erf(d / math.sqrt(8))),
    ],
)
@pytest.mark.parametrize("d", [0.5, 2.0, 4.0])
def test_an_objectives_divergence_is_the_known_one(name: str, exact, d: float) -> None:  # type: ignore[no-untyped-def]
    found = distances.objective_divergence(CATALOGUE[name], distances.normals(d).nodes(20))
    assert found == pytest.approx(exact(d), rel=1e-9)


def test_what_float64_does_not_hold_is_empty() -> None:
    """E_p r^2 = exp(225) at distance 15, of numbers beyond 1e308."""
    assert math.isnan(
        distances.objective_divergence(CATALOGUE["neyman_chi2"], distances.normals(15.0).nodes(20))
    )


def test_far_apart_is_disjoint() -> None:
    """A divergence with a largest value has reached it at distance 15, from where p = q is 1e-13 of the "
    "mass."""
    table = distances.disjoint_table(CATALOGUE)
    nodes = distances.normals(15.0).nodes(20)
    bounded = 0
    for name, value, known in zip(table["objective"], table["divergence"], table["known"], strict=True):
        assert known == 1
        if value is not None and not is_step(CATALOGUE[str(name)]):
            found = distances.objective_divergence(CATALOGUE[str(name)], nodes)
            assert found == pytest.approx(value, abs=1e-9), name
            bounded += 1
    assert bounded >= 8
    assert dict(zip(table["objective"], table["divergence"], strict=True))["minimax"] == pytest.approx(
        2 * math.log(2), abs=1e-9
    )


def test_closed_forms_are_the_quadratures() -> None:
    table = distances.closed_forms_table(CATALOGUE)
    known = 0
    for row in zip(*table.values(), strict=True):
        one = dict(zip(table, row, strict=True))
        for column in ("gradient", "gradient_sd"):
            found, exact = float(one[column]), float(one[f"{column}_closed"])
            if math.isnan(found):
                assert float(one["distance"]) >= 10
                continue
            assert found == pytest.approx(exact, rel=1e-9, abs=1e-9), one
            known += 1
    assert known > 100
    assert "minimax" not in table["objective"]


def test_a_closed_form_is_scipys_integral() -> None:
    powers = {sp.Rational(1, 2): sp.Integer(3), sp.Integer(-1): sp.Rational(1, 4)}
    d = 1.3

    def slope(x: float) -> float:
        r = math.exp(d * (x - d / 2))
        return d * (3 * math.sqrt(r) + 1 / (4 * r))

    mean = quad(lambda x: norm.pdf(x, d) * slope(x), -12, 14, epsabs=0, epsrel=1e-12, limit=200)[0]
    square = quad(lambda x: norm.pdf(x, d) * slope(x) ** 2, -14, 16, epsabs=0, epsrel=1e-12, limit=200)[0]
    found = distances.closed_form(powers, d)
    assert found[0] == pytest.approx(mean, rel=1e-10)
    assert found[1] == pytest.approx(math.sqrt(square - mean**2), rel=1e-9)


def test_slope_powers_are_those_of_the_formula() -> None:
    assert distances.slope_powers(CATALOGUE["reverse_kl"]) == {0: 1}
    assert distances.slope_powers(CATALOGUE["pearson_chi2"]) == {-2: 2}
    assert distances.slope_powers(CATALOGUE["minimax"]) is None
    assert distances.slope_powers(CATALOGUE["total_variation"]) is None
    for name, one in SMOOTH.items():
        powers = distances.slope_powers(one)
        if powers is not None:
            total = sp.Add(*(c * R**k for k, c in powers.items()))
            pull = one.formulas.beta.subs(one.formulas.t, one.formulas.omega)
            exact = float((R * sp.diff(pull, R)).subs(R, 1.7))
            assert float(total.subs(R, 1.7)) == pytest.approx(exact, rel=1e-12), name


def test_the_spread_of_maximum_likelihood_is_its_closed_form() -> None:
    table = likelihood_spread_table(CATALOGUE)
    for row in zip(*table.values(), strict=True):
        d, gradient, _, relative, half, samples = (float(value) for value in row)
        assert gradient == pytest.approx(d, rel=1e-9)
        assert relative == pytest.approx(math.sqrt(math.expm1(d**2)), rel=1e-8)
        # Cells of 0.0015 standard deviations: the share is found by interpolation between two of them.
        assert half == pytest.approx(float(ndtr(-d)), rel=1e-4)
        assert samples == pytest.approx(100 * math.expm1(d**2), rel=1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_without_a_loss_of_its_own_frozen_is_total(name: str) -> None:
    level = np.linspace(-6.0, 6.0, 25)
    frozen, total = slopes(SMOOTH[name], level)
    if name in OWN_LOSS:
        assert np.abs(frozen - total).max() > 1e-3
    else:
        np.testing.assert_allclose(total, frozen, rtol=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_are_those_of_the_formulas(name: str) -> None:
    """s(r) and r d''(r) by SymPy and mpmath, of omega and d, which the code under test does not read."""
    one = SMOOTH[name]
    pull = one.formulas.beta.subs(one.formulas.t, one.formulas.omega)
    exact = [R * sp.diff(pull, R), R * sp.diff(one.formulas.divergence, R, 2)]
    level = [-3.0, -0.4, 0.7, 2.5]
    for found, expression in zip(slopes(one, np.array(level)), exact, strict=True):
        with mpmath.workdps(40):
            values = [float(evaluate(expression, R, mpmath.exp(x))) for x in level]
        np.testing.assert_allclose(found, values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["minimax", *OWN_LOSS[:3]])
@pytest.mark.parametrize("place", [("mean", 1.0), ("std", 0.75), ("std", 1.25)])
def test_total_is_the_derivative_of_the_divergence(name: str, place: tuple[str, float]) -> None:
    """By central differences of scipy's integral of p d(q/p), whose d is SymPy's."""
    one = CATALOGUE[name]
    d = sp.lambdify(R, one.formulas.divergence, "math")

    def loss(value: float) -> float:
        mean, std = (value, 1.0) if place[0] == "mean" else (0.0, value)

        def integrand(x: float) -> float:
            return norm.pdf(x) * d(math.exp(norm.logpdf(x, mean, std) - norm.logpdf(x)))

        return float(quad(integrand, -9, 9, epsabs=0, epsrel=1e-12, limit=400)[0])

    step = 1e-3
    by = place[1]
    # Fourth order: the error is the fifth derivative times 1e-12 / 30.
    slope = (
        (8 * (loss(by + step) - loss(by - step)) - (loss(by + 2 * step) - loss(by - 2 * step))) / 12 / step
    )
    q = moved(*place)
    assert gradients(one, q)[1] == pytest.approx(q.towards * slope, rel=1e-6)


@pytest.mark.parametrize("name", [*OWN_LOSS, "minimax", "reverse_kl"])
@pytest.mark.parametrize("place", [("mean", 0.1), ("mean", 4.0), ("std", 0.75), ("std", 1.25)])
def test_unrolled_closes_its_share_of_the_way(name: str, place: tuple[str, float]) -> None:
    one: Objective = CATALOGUE[name]
    q = moved(*place)
    frozen, total = gradients(one, q)
    shares = [1 - (1 - DAMPING) ** steps for steps in UNROLLED]
    expected = [frozen + share * (total - frozen) for share in shares]
    assert unrolled(one, q) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_moved_refuses_another_parameter() -> None:
    with pytest.raises(ValueError, match="mean or std, not 'width'"):
        moved("width", 1.0)
