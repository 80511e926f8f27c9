"""What is said of a divergence, of the frozen one and of limits holds: against closed forms and quadrature.

The oracles are written here by hand, or are SciPy's and mpmath's; none of them is the code under test.
"""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.spatial.distance
import scipy.special
import scipy.stats
import sympy as sp
import torch
import typst

from pipeline.objectives import Objective, load_objectives, objective_from_spec
from pipeline.objectives import analysis as analysis_module
from pipeline.objectives.analysis import analyse, analysis
from pipeline.objectives.divergences import identify, same_up_to_a_shift
from pipeline.objectives.formula import parse_formula
from pipeline.objectives.formulas import R
from pipeline.objectives.known import POWERS, by_exponents
from pipeline.objectives.precise import evaluate
from pipeline.objectives.printing import to_text, to_typst, to_unicode
from pipeline.objectives.report import derivation
from pipeline.objectives.stable import relu, sigmoid, softplus, wright_omega

CATALOGUE = load_objectives(Path(__file__).parent.parent / "objectives.yaml")
FACTS = {name: analysis(objective) for name, objective in CATALOGUE.items()}
WITH_OMEGA = [name for name, facts in FACTS.items() if facts["slope"] is not None]
LOGIT = {"construction": "likelihood_ratio", "omega": "log(r)", "rho": "1/(1 + exp(t))", "citation": "none"}
F = {"construction": "f_divergence", "citation": "none"}

# Two distributions on seven points, all of them possible under both.
P, Q = np.random.default_rng(5).dirichlet(np.ones(7), size=2)
M = (P + Q) / 2


def kl(a: np.ndarray, b: np.ndarray) -> float:
    return float(scipy.special.rel_entr(a, b).sum())


def alpha_family(a: np.ndarray, b: np.ndarray, alpha: float) -> float:
    return float(((a**alpha * b ** (1 - alpha)).sum() - 1) / (alpha * (alpha - 1)))


# By the name that the analysis gives; from the definitions in the literature, as sums over the points.
ORACLES: dict[str, float] = {
    "zero": 0.0,
    "kl": kl(P, Q),
    "reverse_kl": kl(Q, P),
    "pearson_chi2": float(((P - Q) ** 2 / Q).sum()),
    "neyman_chi2": float(((P - Q) ** 2 / P).sum()),
    "squared_hellinger": float(((np.sqrt(P) - np.sqrt(Q)) ** 2).sum()),
    "jeffrey": kl(P, Q) + kl(Q, P),
    "jensen_shannon": float(scipy.spatial.distance.jensenshannon(P, Q) ** 2),
    "total_variation": float(np.abs(P - Q).sum() / 2),
    "kl_to_mixture": kl(P, M),
    "reverse_kl_to_mixture": kl(Q, M),
    "mixture_kl_to_p": kl(M, P),
    "mixture_kl_to_q": kl(M, Q),
    "triangular": float(((P - Q) ** 2 / (P + Q)).sum()),
}


def alpha_of(text: str) -> float:
    """A[3/2](p || q) -> 1.5"""
    return float(sp.Rational(text.split("[")[1].split("]")[0]))


def mean_over_p(function: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """int p K(q/p) for the two distributions."""
    return float((torch.from_numpy(P) * function(torch.from_numpy(Q / P))).sum())


def formula_at(text: str, r: float) -> mpmath.mpf:
    """A printed formula read back, at r, by SymPy's own translation to mpmath."""
    r_symbol = sp.Symbol("r", positive=True)
    expression = parse_formula(text, {"r": r_symbol}, "test")
    return mpmath.mpf(sp.lambdify(r_symbol, expression, "mpmath")(mpmath.mpf(r)))


# --- the divergence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known", "factor"),
    [
        ("minimax", "jensen_shannon", 2),  # Goodfellow et al. 2014, theorem 1
        ("minimax_probability", "jensen_shannon", 2),
        ("logit_generator", "reverse_kl", 1),
        ("exponential", "squared_hellinger", 1),
        ("mean_square", "neyman_chi2", 0.5),
        ("ratio_reverse_kl", "reverse_kl", 1),
        ("ratio_forward_kl", "kl", 1),
        ("maximum_likelihood", "zero", 0),
        ("kl", "kl", 1),
        ("reverse_kl", "reverse_kl", 1),
        ("pearson_chi2", "pearson_chi2", 1),
        ("neyman_chi2", "neyman_chi2", 1),
        ("squared_hellinger", "squared_hellinger", 1),
        ("jensen_shannon", "jensen_shannon", 2),
        ("gan", "jensen_shannon", 2),
        ("jeffrey", "jeffrey", 1),
        ("total_variation", "total_variation", 1),
        ("alpha", "alpha", 1),
    ],
)
def test_the_catalogue_has_the_divergences_of_the_literature(name: str, known: str, factor: float) -> None:
    found = FACTS[name]["divergence"]
    assert (found["name"], found["factor"]) == (known, factor)


@pytest.mark.parametrize("name", [n for n in WITH_OMEGA if FACTS[n]["divergence"]])
def test_the_named_divergence_has_the_value_of_d(name: str) -> None:
    """int p d(q/p) - shift int p (q/p - 1) = factor K; sums of seven float64 terms of order one: 1e-12."""
    found = FACTS[name]["divergence"]
    value = mean_over_p(CATALOGUE[name].divergence)
    if found["name"] == "combination":
        expected = COMBINED[found["text"]]
    elif found["name"] == "alpha":
        expected = found["factor"] * alpha_family(P, Q, alpha_of(found["text"]))
    else:
        expected = found["factor"] * ORACLES[found["name"]]
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


COMBINED = {"KL(p || (p + q)/2) + 2 KL((p + q)/2 || p)": kl(P, M) + 2 * kl(M, P)}


BY_HAND: dict[str, Callable[[float], float]] = {
    "zero": lambda r: 0.0,
    "kl": lambda r: -math.log(r),
    "reverse_kl": lambda r: r * math.log(r),
    "pearson_chi2": lambda r: (1 - r) ** 2 / r,
    "neyman_chi2": lambda r: (r - 1) ** 2,
    "squared_hellinger": lambda r: (1 - math.sqrt(r)) ** 2,
    "jeffrey": lambda r: (r - 1) * math.log(r),
    "jensen_shannon": lambda r: (r * math.log(r) - (1 + r) * math.log((1 + r) / 2)) / 2,
    "total_variation": lambda r: abs(r - 1) / 2,
    "triangular": lambda r: (r - 1) ** 2 / (r + 1),
}


@pytest.mark.parametrize(
    "name", [n for n in WITH_OMEGA if FACTS[n]["divergence"] and FACTS[n]["divergence"]["name"] in BY_HAND]
)
def test_factor_and_shift_are_exact(name: str) -> None:
    """d(r) = factor K(r) + shift (r - 1) at r away from 1, K from the definition as p r f(1/r) by hand."""
    found = FACTS[name]["divergence"]
    for r in (0.01, 0.5, 3.0, 40.0):
        d = float(CATALOGUE[name].divergence(torch.tensor(r, dtype=torch.float64)))
        expected = found["factor"] * BY_HAND[found["name"]](r) + found["shift"] * (r - 1)
        assert d == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("exponents", POWERS)
def test_every_known_divergence_is_what_its_definition_says(exponents: tuple[sp.Expr, sp.Expr]) -> None:
    known = POWERS[exponents]
    value = sum(p * float(known.formula.subs(R, q / p)) for p, q in zip(P, Q, strict=True))
    assert value == pytest.approx(ORACLES[known.name], rel=1e-12)
    a, b = exponents
    ratio = sp.simplify(known.second / (R**a * (1 + R) ** b))
    assert ratio.is_number
    assert ratio > 0
    found = identify(sp.diff(7 * known.formula + 3 * (R - 1), R))
    assert found is not None
    assert (found.name, found.factor, found.shift) == (known.name, 7, 3)


@pytest.mark.parametrize("alpha", ["3/10", "-2", "5/2", "-1/2", "4"])
def test_alpha_is_recognised(alpha: str) -> None:
    spec = {**F, "parameters": {"a": alpha}, "f": "(u**a - 1 - a*(u - 1))/(a*(a - 1))", "domain": [-99, 99]}
    a = sp.Rational(alpha)
    slope = sp.diff(R * ((1 / R) ** a - 1 - a * (1 / R - 1)) / (a * (a - 1)), R)
    found = identify(slope)
    assert found is not None, spec
    assert found.name == "alpha"
    assert found.factor == 1
    assert alpha in found.title
    assert found.text == f"A[{alpha}](p || q)"


@pytest.mark.parametrize(
    ("first", "name"), [("p", "alpha_to_mixture"), ("q", "reverse_alpha_to_mixture")], ids=["p", "q"]
)
def test_alpha_against_the_mixture(first: str, name: str) -> None:
    a = sp.Rational(7, 3)
    known = by_exponents(*((0, -1 - a) if first == "p" else (a - 2, -1 - a)))
    assert known is not None
    assert known.name == name
    value = sum(p * float(known.formula.subs(R, q / p)) for p, q in zip(P, Q, strict=True))
    assert value == pytest.approx(alpha_family(P if first == "p" else Q, M, 7 / 3), rel=1e-12)
    found = identify(sp.diff(5 * known.formula, R))
    assert found is not None
    assert (found.name, found.factor) == (name, 5)


def test_an_irrational_exponent_is_a_number() -> None:
    found = identify(sp.diff(-(R ** sp.sqrt(2)), R) * -1)
    assert found is not None
    assert found.name == "alpha"
    assert alpha_of(found.text) == pytest.approx(1 - math.sqrt(2), rel=1e-9)


@pytest.mark.parametrize(
    "change", [sp.Float("1e-9") * (R - 1), sp.exp(-R), sp.log(1 + R**2)], ids=["tiny", "exp", "log"]
)
def test_what_is_near_a_known_one_is_not_it(change: sp.Expr) -> None:
    """KL with a billionth of chi-squared is not KL: the agreement asked for is 1e-20."""
    assert identify(-1 / R) is not None
    assert identify(-1 / R + change) is None


def test_a_concave_function_is_no_divergence() -> None:
    assert identify(1 / R) is None  # -KL
    assert identify(-sp.log(R) - 2 / (1 + R)) is None


def test_a_sum_of_two_is_found() -> None:
    third = sp.Rational(1, 3)
    found = identify(sp.diff(third * (R - 1) ** 2 + 2 * (1 - sp.sqrt(R)) ** 2, R))
    assert found is not None
    assert found.name == "combination"
    assert found.text == "1/3 chi2(q || p) + 2 H2(p, q)"
    r = np.array([0.1, 9.0])
    expected = (r - 1) ** 2 / 3 + 2 * (1 - np.sqrt(r)) ** 2
    assert [float(found.whole.subs(R, one)) for one in r] == pytest.approx(expected, rel=1e-12)


def test_kinks() -> None:
    """Total variation is known by its jump; two jumps, or a jump and a curve, are not total variation."""
    step = sp.sign(R - 1)
    found = identify(3 * step + 5)
    assert found is not None
    assert (found.name, found.factor, found.shift) == ("total_variation", 6, 5)
    assert identify(relu(R - 1)) is None
    assert identify(step + sp.sign(R - 2)) is None
    assert identify(step + R) is None
    assert identify(-step) is None
    assert same_up_to_a_shift(step, step + 4)
    assert not same_up_to_a_shift(step, 2 * step)


def test_a_divergence_that_jumps_is_named_none() -> None:
    """The hinge's generator loss alone, alpha = 0: d = -r sign(1 - r) jumps at r = 1; B is 2 TV still."""
    spec = {key: value for key, value in CATALOGUE["hinge"].spec.items() if key != "alpha"}
    facts = analysis(objective_from_spec("plain", spec))
    assert facts["divergence"] is None
    assert facts["frozen"]["statement"].startswith("d jumps at r = 1; the critic is a step")
    assert not facts["frozen"]["same_as_total"]
    assert (facts["frozen"]["divergence"]["name"], facts["frozen"]["divergence"]["factor"]) == (
        "total_variation",
        2.0,
    )
    assert facts["limits"]["infinity"]["vanishes"]


# --- the critic held fixed -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_OMEGA)
@pytest.mark.parametrize("r", [0.2, 6.0])
def test_the_frozen_divergence_is_the_integral_of_beta_at_omega(name: str, r: float) -> None:
    """B(r) = integral of beta(omega(s)) from 1 to r; SciPy's quadrature is asked for 1e-11."""
    objective = CATALOGUE[name]
    found = analyse(objective.formulas)
    assert found is not None

    def pull(s: float) -> float:
        return float(objective.beta(objective.omega(torch.tensor(s, dtype=torch.float64))))

    expected, _ = scipy.integrate.quad(pull, 1, r, epsabs=1e-12, epsrel=1e-11)
    assert float(found.frozen.subs(R, sp.Float(r, 20))) == pytest.approx(expected, rel=1e-10, abs=1e-11)
    assert float(found.frozen.subs(R, 1)) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("name", WITH_OMEGA)
def test_same_as_total_is_what_the_numbers_say(name: str) -> None:
    """B - d is a straight line in r, or is not: its second difference over unequal steps."""
    objective, facts = CATALOGUE[name], FACTS[name]["frozen"]
    found = analyse(objective.formulas)
    assert found is not None
    r = [0.3, 0.9, 2.0, 5.0]
    gaps = [
        float(found.frozen.subs(R, one)) - float(objective.divergence(torch.tensor(one, dtype=torch.float64)))
        for one in r
    ]
    slopes = [(b - a) / (y - x) for (x, a), (y, b) in itertools.pairwise(zip(r, gaps, strict=True))]
    assert (max(slopes) - min(slopes) < 1e-9) == facts["same_as_total"]
    if not objective.formulas.is_step:
        assert facts["same_as_total"] == facts["statement"].startswith("The same game")


@pytest.mark.parametrize(("name", "total"), [("total_variation", "TV(p, q)"), ("hinge", "2 TV(p, q)")])
def test_a_step_moves_no_sample_though_the_expected_loss_moves(name: str, total: str) -> None:
    """For N(0, 1) and N(2, 1), frozen at 2, dTV/dd is the normal density at 1; along a sample it is 0."""
    objective, facts = CATALOGUE[name], FACTS[name]
    place = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    step = 1e-4

    def expected_loss(mean: float) -> float:
        """E_q beta(omega) with the critic's step where p = q at d = 2: at x = 1, with q above it."""
        below = scipy.stats.norm.cdf(1 - mean)
        low, high = (
            objective.beta(objective.omega(torch.tensor(r, dtype=torch.float64))) for r in (0.5, 2.0)
        )
        return float(below * low + (1 - below) * high)

    slope = (expected_loss(2 + step) - expected_loss(2 - step)) / (2 * step)
    factor = facts["frozen"]["divergence"]["factor"]
    assert slope == pytest.approx(factor * scipy.stats.norm.pdf(1), rel=1e-6)
    assert torch.autograd.grad(objective.beta(objective.omega(place)), place)[0] == 0
    assert facts["slope"]["formula"] == "0"
    assert "is 0 almost everywhere" in facts["frozen"]["statement"]
    assert f"as {total} does" in facts["frozen"]["statement"]


def test_a_loss_on_real_data_is_not_called_the_trained_loss() -> None:
    """E_q beta of least squares at its best critic is int q r^2/(1 + r)^2/2, not the published 1/8 chi2."""
    for name in WITH_OMEGA:
        own = CATALOGUE[name].spec.get("alpha") is not None
        said = FACTS[name]["frozen"]["statement"]
        assert ("with its part alpha on real data" in said) == (own and name != "hinge")
        assert not (own and "; its loss at" in said)


def test_non_saturating_against_its_published_divergence() -> None:
    """Arjovsky & Bottou 2017, theorem 2.5: with the critic fixed the gradient is that of KL(q, p) - 2 JSD."""
    frozen = FACTS["non_saturating"]["frozen"]
    assert not frozen["same_as_total"]
    assert (frozen["divergence"]["name"], frozen["divergence"]["factor"]) == ("mixture_kl_to_p", 2.0)
    assert 2 * kl(M, P) == pytest.approx(kl(Q, P) - 2 * ORACLES["jensen_shannon"], rel=1e-12)
    # d'' = (r + 2)/(1 + r)^2 and B'' = 1/(1 + r).
    assert "is 3/2 at r = 1 and goes to 2 as r -> 0, to 1 as r -> oo" in frozen["statement"]


def test_maximum_likelihood_descends_the_kl_with_a_constant_total() -> None:
    facts = FACTS["maximum_likelihood"]
    assert facts["divergence"]["name"] == "zero"
    assert facts["frozen"]["divergence"]["name"] == "kl"
    assert facts["frozen"]["formula"] == "-log(r)"
    assert "the same for every generator (d = 0)" in facts["frozen"]["statement"]
    assert "descends KL(p || q)" in facts["frozen"]["statement"]


def test_where_a_frozen_critic_drives_away_is_said() -> None:
    """Targets -1, 1, 0: B' = ((1 - r)/(1 + r))^2/2 falls up to r = 1 exactly, so B is no divergence."""
    frozen = FACTS["least_squares_centred"]["frozen"]
    assert frozen["divergence"] is None
    assert "concave where r < 1, where it is driven away from the data" in frozen["statement"]


def test_least_squares_is_maos_divergence() -> None:
    """With alpha = (t - c)^2/2, as in Mao et al. 2017, eq. 6, twice d is chi-squared between p + q and 2q."""
    spec = {**CATALOGUE["least_squares_centred"].spec, "alpha": "(t - c)**2/2"}
    found = analysis(objective_from_spec("mao", spec))["divergence"]
    assert (found["name"], found["factor"]) == ("triangular", 0.5)
    assert float(((2 * Q - (P + Q)) ** 2 / (P + Q)).sum()) == pytest.approx(ORACLES["triangular"], rel=1e-12)


def test_without_a_closed_form_b_is_an_integral() -> None:
    """beta = log(1 + t^2)/2 + t at t = log r integrates to nothing elementary."""
    objective = objective_from_spec("x", {**LOGIT, "beta": "log(1 + t**2)/2 + t"})
    facts = derivation(objective)
    assert "integral(" in facts["analysis"]["frozen"]["formula"]
    assert facts["quadrature"] == ["B"]
    found = analyse(objective.formulas)
    assert found is not None

    def pull(s: float) -> float:
        return math.log1p(math.log(s) ** 2) / 2 + math.log(s)

    expected = scipy.integrate.quad(pull, 1, 4, epsabs=1e-12)[0]
    assert float(found.frozen.subs(R, 4).evalf(15)) == pytest.approx(expected, rel=1e-10)


# --- the slope and its limits --------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_OMEGA)
def test_the_slope_is_the_derivative_that_training_sees(name: str) -> None:
    """r d/dr beta(omega(r)) by automatic differentiation of the torch functions."""
    objective: Objective = CATALOGUE[name]
    ratios = [0.05, 0.4, 3.0, 20.0]
    r = torch.tensor(ratios, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(objective.beta(objective.omega(r)).sum(), r, allow_unused=True)
    expected = torch.zeros_like(r) if gradient is None else r * gradient
    text = FACTS[name]["slope"]["formula"]
    assert [float(formula_at(text, one)) for one in ratios] == pytest.approx(
        expected.detach().tolist(), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("name", WITH_OMEGA)
def test_limits_against_extreme_ratios(name: str) -> None:
    """s at r = 1e-80 and 1e80 in 400 digits: a power of r or of log r has gone its way there."""
    facts = FACTS[name]
    with mpmath.workdps(400):
        for end, r in (("zero", mpmath.mpf(10) ** -80), ("infinity", mpmath.mpf(10) ** 80)):
            far, limit = formula_at(facts["slope"]["formula"], r), facts["limits"][end]
            value = limit["value"]
            assert limit["vanishes"] == (value == "0")
            if value == "oo":
                assert far > 1e15
            elif value == "-oo":
                assert far < -1e15
            else:
                assert abs(far - mpmath.mpf(sp.Rational(value).p) / sp.Rational(value).q) < 1e-15


@pytest.mark.parametrize(
    ("name", "zero", "infinity"),
    [
        ("minimax", "1", "0"),  # saturates where the critic knows a fake
        ("non_saturating", "0", "1"),
        ("logit_generator", "1", "1"),
        ("least_squares", "0", "0"),
        ("exponential", "oo", "0"),
        ("mean_square", "0", "oo"),
        ("maximum_likelihood", "oo", "0"),
        ("reverse_kl", "1", "1"),
        ("kl", "oo", "0"),
        ("pearson_chi2", "oo", "0"),
        ("neyman_chi2", "0", "oo"),
        ("jeffrey", "oo", "1"),
        ("total_variation", "0", "0"),
    ],
)
def test_which_gradients_vanish(name: str, zero: str, infinity: str) -> None:
    """By hand: s = r B''."""
    limits = FACTS[name]["limits"]
    assert (limits["zero"]["value"], limits["infinity"]["value"]) == (zero, infinity)


def _stalled(*_: object) -> sp.Expr:
    raise TimeoutError("no answer")


def test_a_limit_that_sympy_does_not_find_is_read_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_module.sp, "limit", _stalled)
    slopes = {"1/(1 + r)": ("~1", "~0"), "r**2/3": ("~0", "~oo"), "(2 - r)/(3 + r)": ("~0.666667", "~-1")}
    for text, expected in slopes.items():
        slope = parse_formula(text, {"r": R}, "test")
        found = [analysis_module._limit(slope, end).as_dict() for end in (sp.Integer(0), sp.oo)]
        assert tuple(one["value"] for one in found) == expected
        assert [one["vanishes"] for one in found] == [one == "~0" for one in expected]


def test_a_limit_that_nobody_finds_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_module.sp, "limit", _stalled)
    for slope in (sp.log(2 + sp.log(1 + R)), 1 / sp.log(2 + R)):  # too slow to have settled at 1e200
        found = analysis_module._limit(slope, sp.oo).as_dict()
        assert (found["value"], found["vanishes"]) == (None, False)


def test_a_wrong_limit_of_sympys_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_module.sp, "limit", lambda *_: sp.Integer(5))
    assert analysis_module._limit(1 / (1 + R), sp.oo).as_dict()["value"] == "~0"


def test_slow_limits_are_found() -> None:
    assert analysis_module._limit(1 / sp.log(2 + R), sp.oo).as_dict()["value"] == "0"
    assert analysis_module._limit(sp.log(1 + R), sp.oo).as_dict()["value"] == "oo"


# --- without omega, and as values ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wasserstein", "gan_qp", "relativistic", "relativistic_average"])
def test_without_omega_there_is_nothing_to_analyse(name: str) -> None:
    assert FACTS[name] == {"divergence": None, "frozen": None, "slope": None, "limits": None}
    assert derivation(CATALOGUE[name])["why_no_omega"]


def test_paired_objectives_have_no_psi_and_no_activation() -> None:
    derived = derivation(CATALOGUE["gan_qp"])["derived"]
    assert derived["phi"] is not None
    assert [derived[key] for key in ("psi", "alpha", "activation", "omega", "d")] == [None] * 5


def test_all_typst_of_the_analysis_compiles() -> None:
    found: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, dict):
            found.extend(text for key, text in value.items() if key == "typst")
            for one in value.values():
                collect(one)

    for facts in FACTS.values():
        collect(facts)
    collect(derivation(objective_from_spec("x", {**LOGIT, "beta": "log(1 + t**2)/2 + t"}))["analysis"])
    x = sp.Symbol("x", real=True)
    odd = (
        relu(1 - x),
        sp.sign(x) / 2,
        sp.Abs(x - 1) ** 2,
        1 / wright_omega(x + 1),
        softplus(x) * sigmoid(-x),
    )
    found += [to_typst(one) for one in odd]
    found += [text for o in CATALOGUE.values() for text in derivation(o)["typst"].values() if text]
    assert len(found) > 200
    source = "\n".join(f"$ {formula} $" for formula in found)
    assert typst.compile(source.encode(), format="pdf").startswith(b"%PDF")


def test_formulas_read_as_mathematics() -> None:
    x = sp.Symbol("x", real=True)
    shown = {
        sp.log(R) * (R - 1): ("(r - 1)*log(r)", "(r - 1) log(r)"),
        2 * R**3 - sp.sqrt(1 + R): ("2*r**3 - sqrt(1 + r)", "2 r³ - √(1 + r)"),
        sp.Abs(R - 1) / 2: ("abs(r - 1)/2", "|r - 1|/2"),
        -relu(1 - x): ("-relu(1 - x)", "-max(0, 1 - x)"),
        wright_omega(1 - x): ("W(exp(1 - x))", "W(exp(1 - x))"),
        sp.exp(x / 2) * sp.pi: ("pi*exp(x/2)", "π exp(x/2)"),
        sp.Float("0.1", 30) * R: ("0.1*r", "0.1 r"),
    }
    for expression, (text, mathematics) in shown.items():
        assert (to_text(expression), to_unicode(expression)) == (text, mathematics)


def test_the_analysis_is_repeatable() -> None:
    assert analysis(CATALOGUE["minimax"]) == FACTS["minimax"]
    again = objective_from_spec("minimax", CATALOGUE["minimax"].spec)
    assert analysis(again) == FACTS["minimax"]


# --- evaluation in many digits -------------------------------------------------------------------------


@pytest.mark.parametrize("x", [-700.0, -3.0, 0.0, 1.0, 5.0, 1e6])
def test_wright_omega_in_many_digits(x: float) -> None:
    expected = float(scipy.special.wrightomega(x))
    with mpmath.workdps(40):
        assert float(evaluate(wright_omega(R), R, x)) == pytest.approx(expected, rel=1e-14)


def test_evaluation_refuses_what_has_no_value() -> None:
    with pytest.raises(ValueError, match="no real number"):
        evaluate(sp.log(R - 2), R, 1)
    with pytest.raises(ValueError, match="no value at r = 1"):
        evaluate(1 / (R - 1), R, 1)
    s = sp.Symbol("s")
    with pytest.raises(ValueError, match="has no value here"):
        evaluate(sp.Integral(sp.exp(-(s**2)), (s, 0, R)), R, 1)
