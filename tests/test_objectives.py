"""The laws of every objective of the catalogue, its numbers in 60 digits, and what is refused."""

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import mpmath
import pytest
import torch
import typst

from pipeline.errors import UserError
from pipeline.objectives import CONSTRUCTIONS, Objective, load_objective, load_objectives, objective_from_spec
from pipeline.objectives.printing import to_typst
from pipeline.objectives.report import derivation

FILE = Path(__file__).parents[1] / "objectives.yaml"
CATALOGUE = load_objectives(FILE)
WITH_D = {name: one for name, one in CATALOGUE.items() if one.formulas.omega is not None}
PAIRED = {name: one for name, one in CATALOGUE.items() if one.is_paired}
UNPAIRED = {name: one for name, one in CATALOGUE.items() if not one.is_paired}

RATIOS = torch.logspace(-4, 4, 81, dtype=torch.float64)
LOGITS = torch.linspace(-50, 50, 201)

every = pytest.mark.parametrize("objective", CATALOGUE.values(), ids=CATALOGUE)
every_with_d = pytest.mark.parametrize("objective", WITH_D.values(), ids=WITH_D)
every_unpaired = pytest.mark.parametrize("objective", UNPAIRED.values(), ids=UNPAIRED)

LIKELIHOOD = {"construction": "likelihood_ratio", "citation": "a test"}
F = {"construction": "f_divergence", "citation": "a test"}
LOGIT = {**LIKELIHOOD, "omega": "log(r)", "rho": "1/(1 + exp(t))"}


def slope(function, at):
    x = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    return gradient


# --- known values --------------------------------------------------------------------------------------

LOG2 = math.log(2)
CLOSED_FORMS = {
    "minimax": lambda r: math.log(1 / (1 + r)) + r * math.log(r / (1 + r)) + 2 * LOG2,
    "minimax_probability": lambda r: math.log(1 / (1 + r)) + r * math.log(r / (1 + r)) + 2 * LOG2,
    "non_saturating": lambda r: r * math.log(1 + r) - LOG2,
    "logit_generator": lambda r: r * math.log(r),
    "least_squares": lambda r: r**2 / (2 * (1 + r)) - 1 / 4,
    "least_squares_centred": lambda r: (1 - r) ** 2 / (2 * (1 + r)),
    "exponential": lambda r: 2 - 2 * math.sqrt(r),
    "mean_square": lambda r: (r**2 - 1) / 2,
    "power": lambda r: 2 / 3 * (r**1.5 - 1),
    "logistic_power": lambda r: (1 - r) * math.log(1 + math.sqrt(r)) + r * math.log(r) / 2 - math.sqrt(r) + 1,
    "ratio_reverse_kl": lambda r: r * math.log(r) - r + 1,
    "ratio_forward_kl": lambda r: -math.log(r),
    "maximum_likelihood": lambda r: 0.0,
    "kl": lambda r: -math.log(r),
    "reverse_kl": lambda r: r * math.log(r),
    "pearson_chi2": lambda r: (1 - r) ** 2 / r,
    "neyman_chi2": lambda r: (1 - r) ** 2,
    "squared_hellinger": lambda r: (1 - math.sqrt(r)) ** 2,
    "jensen_shannon": lambda r: r * math.log(2 * r / (1 + r)) + math.log(2 / (1 + r)),
    "gan": lambda r: r * math.log(r / (1 + r)) - math.log(1 + r) + 2 * r * LOG2,
    "jeffrey": lambda r: (r - 1) * math.log(r),
    "total_variation": lambda r: abs(r - 1) / 2,
    "hinge": lambda r: abs(r - 1),
    "alpha": lambda r: 4 / 3 * r * (r**-1.5 - 1 - 1.5 * (1 / r - 1)),
}


@every_with_d
def test_d_equals_its_closed_form(objective):
    expected = torch.tensor([CLOSED_FORMS[objective.name](r) for r in RATIOS.tolist()], dtype=torch.float64)
    # atol: the closed forms as written here cancel near r = 1; rtol: they lose digits at r = 1e4.
    torch.testing.assert_close(objective.divergence(RATIOS), expected, rtol=1e-11, atol=1e-14)


def test_d_has_its_limit_at_zero():
    """A sample where q = 0: r log(r) is 0 there, not nan."""
    zero = torch.zeros(1, dtype=torch.float64)
    limits = {
        "minimax": 2 * LOG2,
        "non_saturating": -LOG2,
        "least_squares": -1 / 4,
        "exponential": 2,
        "reverse_kl": 0,
    }
    for name, limit in limits.items():
        assert CATALOGUE[name].divergence(zero).item() == pytest.approx(limit, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minimax", -2 * LOG2),
        ("non_saturating", -2 * LOG2),
        ("least_squares", -0.25),
        ("exponential", -2.0),
        ("reverse_kl", 0.0),
        ("least_squares_centred", -1.0),
        ("mean_square", 0.5),
        ("ratio_forward_kl", -1.0),
        ("jensen_shannon", 0.0),
        ("gan", 0.0),
        ("jeffrey", 0.0),
        ("total_variation", 0.0),
        ("wasserstein", 0.0),
        ("hinge", -2.0),
        ("gan_qp", 0.0),
        ("relativistic", -LOG2),
        ("relativistic_average", -2 * LOG2),
    ],
)
def test_value_at_equilibrium(name, value):
    assert CATALOGUE[name].equilibrium_value == pytest.approx(value, abs=1e-15)


def test_the_minimax_critic_reaches_twice_the_jensen_shannon_divergence():
    """E_p phi(omega) + E_q psi(omega) = -2 log 2 + 2 JSD(p, q), on two distributions of four outcomes."""
    p = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    minimax = CATALOGUE["minimax"]
    best = minimax.omega(q / p)
    value = (p * minimax.phi(best) + q * minimax.psi(best)).sum().item()
    mean = (p + q) / 2
    divergence = ((p * (p / mean).log() + q * (q / mean).log()).sum() / 2).item()
    assert value == pytest.approx(-2 * LOG2 + 2 * divergence, abs=1e-14)
    assert (p * minimax.divergence(q / p)).sum().item() == pytest.approx(2 * divergence, abs=1e-14)


def test_the_reverse_kl_critic_reaches_it():
    p = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    objective = CATALOGUE["reverse_kl"]
    best = objective.omega(q / p)
    value = (p * objective.phi(best) + q * objective.psi(best)).sum()
    assert value.item() == pytest.approx((q * (q / p).log()).sum().item(), abs=1e-14)


# --- numbers: losses in float32 against the papers' formulas in 60 digits ------------------------------


def probability(v):
    """The probability that a sample is fake, from a logit that is high on fake."""
    return 1 / (1 + mpmath.exp(-v))


# The critic of every objective that only changes beta: -log(1 - probability), -log(probability).
CRITIC = (lambda v: -mpmath.log(1 - probability(v)), lambda v: -mpmath.log(probability(v)))


def f_gan(activation, conjugate):
    """The f-GAN losses: -t on real, f*(t) on fake, -f*(t) for the generator."""
    return (
        lambda v: -activation(v),
        lambda v: conjugate(activation(v)),
        lambda v: -conjugate(activation(v)),
    )


# What the critic loses on real, on fake, and what the generator loses, from the raw output. Conjugates as in
# table 6 of Nowozin et al. 2016, on the activations of that table; the alpha family's, at alpha = 3/2, as
# (1/alpha) ((alpha - 1) t + 1)**(alpha/(alpha - 1)) - 1/alpha.
PAPERS = {
    "minimax": (*CRITIC, lambda v: mpmath.log(probability(v))),
    "minimax_probability": (*CRITIC, lambda v: mpmath.log(probability(v))),
    "non_saturating": (*CRITIC, lambda v: -mpmath.log(1 - probability(v))),
    "logit_generator": (*CRITIC, lambda v: v),
    "maximum_likelihood": (*CRITIC, lambda v: -mpmath.exp(-v)),
    "least_squares": (lambda v: (v - 1) ** 2 / 2, lambda v: v**2 / 2, lambda v: (v - 1) ** 2 / 2),
    "least_squares_centred": (lambda v: (v - 1) ** 2 / 2, lambda v: (v + 1) ** 2 / 2, lambda v: v**2 / 2),
    "exponential": (lambda v: mpmath.exp(v / 2), lambda v: mpmath.exp(-v / 2), lambda v: -mpmath.exp(-v / 2)),
    "mean_square": (lambda v: v**2 / 2, lambda v: -v, lambda v: v),
    "power": (
        lambda v: mpmath.log1p(mpmath.exp(v)) ** 3 / 3,
        lambda v: -mpmath.log1p(mpmath.exp(v)),
        lambda v: mpmath.log1p(mpmath.exp(v)),
    ),
    "logistic_power": (
        lambda v: 1 / (1 - probability(v)) + mpmath.log(1 - probability(v)) - 1,
        lambda v: -mpmath.log(probability(v)),
        lambda v: mpmath.log(probability(v)),
    ),
    "ratio_reverse_kl": (lambda v: mpmath.exp(v), lambda v: -v, lambda v: v),
    "ratio_forward_kl": (lambda v: v, lambda v: mpmath.exp(-v), lambda v: -mpmath.exp(-v)),
    "kl": f_gan(lambda v: v, lambda t: mpmath.exp(t - 1)),
    "reverse_kl": f_gan(lambda v: -mpmath.exp(-v), lambda t: -1 - mpmath.log(-t)),
    "pearson_chi2": f_gan(lambda v: v, lambda t: t**2 / 4 + t),
    "neyman_chi2": f_gan(lambda v: 1 - mpmath.exp(-v), lambda t: 2 - 2 * mpmath.sqrt(1 - t)),
    "squared_hellinger": f_gan(lambda v: 1 - mpmath.exp(-v), lambda t: t / (1 - t)),
    "jensen_shannon": f_gan(
        lambda v: mpmath.log(2) - mpmath.log1p(mpmath.exp(-v)), lambda t: -mpmath.log(2 - mpmath.exp(t))
    ),
    # f(1) = 0 takes 2 log 2 off the conjugate.
    "gan": f_gan(
        lambda v: -mpmath.log1p(mpmath.exp(-v)),
        lambda t: -mpmath.log(1 - mpmath.exp(t)) - 2 * mpmath.log(2),
    ),
    "jeffrey": f_gan(lambda v: v + 1 - mpmath.exp(-v), lambda t: lambert(t) + 1 / lambert(t) + t - 2),
    "total_variation": f_gan(lambda v: mpmath.tanh(v) / 2, lambda t: t),
    "alpha": f_gan(
        lambda v: 2 * (mpmath.exp(v / 2) - 1), lambda t: mpmath.mpf(2) / 3 * ((t / 2 + 1) ** 3 - 1)
    ),
    "wasserstein": (lambda v: -v, lambda v: v, lambda v: -v),
    "hinge": (
        lambda v: max(mpmath.mpf(0), 1 - v),
        lambda v: max(mpmath.mpf(0), 1 + v),
        lambda v: -v,
    ),
}


def lambert(t):
    """W(exp(1 - t))."""
    return mpmath.lambertw(mpmath.exp(1 - t)).real


# Eight units in the last place of float32 (1.2e-7): one exponential, one logarithm, a product and a sum.
FLOAT32 = 1e-6
# Twice the smallest normal float32: factors below it are flushed to 0 where a library has switched that on.
TINY = 2.5e-38


@every_unpaired
@pytest.mark.parametrize("part", [0, 1, 2], ids=["critic_real", "critic_fake", "generator"])
def test_losses_and_gradients_are_exact_in_float32(objective, part):
    """For |v| <= 50 the relative error is below 1e-6, of the value and of a gradient as small as exp(-50).

    The gradient's is purely relative, but for what float32 cannot hold: its smallest normal number is
    1.2e-38, and the square of a softplus falls below it. A value may also be near its zero, as v - 1 at
    v = 1.1: there the size of its terms counts.
    """
    exact = PAPERS[objective.name][part]
    v = LOGITS.clone().requires_grad_()
    value = objective.generator_loss(v[:, None]) if part == 2 else half_of_critic_loss(objective, v, part)
    (gradient,) = torch.autograd.grad(value.sum(), v)
    with mpmath.workdps(60):
        for at, got, got_slope in zip(LOGITS.tolist(), value.tolist(), gradient.tolist(), strict=True):
            if objective.name == "hinge" and abs(at) == 1:  # the kink has no slope
                continue
            expected, expected_slope = exact(mpmath.mpf(at)), mpmath.diff(exact, mpmath.mpf(at))
            size = max(abs(expected), min(abs(at * expected_slope), 1))
            if (objective.name, part) == ("logistic_power", 0):  # exp(v) - softplus(v)
                size += mpmath.exp(at)
            assert abs(got - expected) <= FLOAT32 * size + TINY, (at, got, float(expected))
            assert abs(got_slope - expected_slope) <= FLOAT32 * abs(expected_slope) + TINY, (at, got_slope)


def half_of_critic_loss(objective, v, part):
    """The critic's loss on real (part 0) or fake (1) alone: the sum would hide small values behind the other.

    The one look inside an objective.
    """
    return objective._functions[("critic_real", "critic_fake")[part]](v)


def test_the_saturated_minimax_gradient_is_not_rounded_to_zero():
    """d/dv log sigmoid(v) at v = 40 is sigmoid(-40) = 4.248354e-18; 1 - sigmoid(40) is 0 in float32."""
    v = torch.tensor([[40.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(CATALOGUE["minimax"].generator_loss(v).sum(), v)
    assert gradient.item() == pytest.approx(4.248354e-18, rel=1e-6, abs=0)


@every_unpaired
def test_losses_are_means_per_seed(objective):
    """(S, B) -> (S,), each seed from its own row, in the dtype given."""
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(3, 32, generator=generator), torch.randn(3, 32, generator=generator)
    for dtype in (torch.float32, torch.float64):
        critic = objective.critic_loss(real.to(dtype), fake.to(dtype))
        loss = objective.generator_loss(fake.to(dtype))
        assert critic.shape == loss.shape == (3,)
        assert critic.dtype == loss.dtype == dtype
    alone = objective.critic_loss(real[1:2], fake[1:2])
    torch.testing.assert_close(objective.critic_loss(real, fake)[1:2], alone, rtol=0, atol=0)
    t_real, t_fake = objective.activation(real.double()), objective.activation(fake.double())
    expected = -(objective.phi(t_real).mean(-1) + objective.psi(t_fake).mean(-1))
    # Two ways of writing the same sum in float64.
    torch.testing.assert_close(
        objective.critic_loss(real.double(), fake.double()), expected, rtol=1e-13, atol=1e-14
    )
    torch.testing.assert_close(
        objective.generator_loss(fake.double()), objective.beta(t_fake).mean(-1), rtol=1e-13, atol=1e-14
    )


@every
def test_losses_have_finite_second_derivatives(objective):
    v = LOGITS[None].clone().requires_grad_()
    total = objective.critic_loss(v, -v, torch.ones_like(v)) + objective.generator_loss(-v, v)
    (first,) = torch.autograd.grad(total.sum(), v, create_graph=True)
    if first.requires_grad:  # a linear loss has none
        (second,) = torch.autograd.grad(first.sum(), v)
        assert second.isfinite().all()


@pytest.mark.parametrize(
    ("name", "high"),
    [
        ("minimax", False),
        ("non_saturating", False),
        ("least_squares", True),
        ("exponential", False),
        ("reverse_kl", True),
        ("minimax_probability", False),
        ("least_squares_centred", True),
        ("ratio_forward_kl", False),
        ("maximum_likelihood", False),
        ("kl", True),
        ("pearson_chi2", True),
        ("total_variation", True),
        ("hinge", True),
        ("relativistic", True),
        ("relativistic_average", True),
        ("gan_qp", True),
        ("wasserstein", True),
    ],
)
def test_orientation_is_where_the_critic_climbs(name, high):
    """One step down the critic's loss moves v on real data up exactly if the objective says so."""
    objective = CATALOGUE[name]
    v_real, v_fake = torch.full((1, 8), 0.1, requires_grad=True), torch.full((1, 8), 0.1, requires_grad=True)
    loss = objective.critic_loss(v_real, v_fake, torch.ones(1, 8))
    on_real, on_fake = torch.autograd.grad(loss.sum(), (v_real, v_fake))
    assert objective.real_is_high is high
    assert bool((on_real < 0).all()) is high
    assert bool((on_fake > 0).all()) is high


def test_only_wasserstein_needs_a_lipschitz_critic():
    assert [name for name, one in CATALOGUE.items() if one.needs_lipschitz] == ["wasserstein"]


@pytest.mark.parametrize("quantity", ["omega", "divergence", "density_ratio"])
def test_an_integral_probability_metric_says_why_it_has_none(quantity):
    with pytest.raises(UserError, match=r"'wasserstein' has no .*: an integral probability metric"):
        getattr(CATALOGUE["wasserstein"], quantity)(torch.ones(1))
    with pytest.raises(UserError, match=r"'relativistic' has no .*: it compares pairs of samples"):
        getattr(CATALOGUE["relativistic"], quantity)(torch.ones(1))


@pytest.mark.parametrize("name", ["total_variation", "hinge"])
def test_a_step_gives_no_density_ratio(name):
    with pytest.raises(UserError, match="has no density ratio: omega is a step and has no inverse"):
        CATALOGUE[name].density_ratio(torch.zeros(1))


def test_pairs_are_asked_for():
    v = torch.zeros(2, 4)
    with pytest.raises(UserError, match="'gan_qp' needs the distance of each pair"):
        CATALOGUE["gan_qp"].critic_loss(v, v)
    for name in PAIRED:
        with pytest.raises(UserError, match=f"{name!r} compares pairs: its generator's loss needs v_real"):
            CATALOGUE[name].generator_loss(v)


# --- the type and its spec -----------------------------------------------------------------------------


@every
def test_the_spec_rebuilds_the_objective(objective):
    plain = json.loads(json.dumps(objective.spec))
    again = objective_from_spec(objective.name, plain)
    assert again.spec == objective.spec == plain
    assert again.checks == objective.checks
    v, distance = torch.linspace(-5, 5, 11)[None], torch.ones(1, 11)
    assert torch.equal(again.critic_loss(v, -v, distance), objective.critic_loss(v, -v, distance))
    assert torch.equal(again.generator_loss(v, -v), objective.generator_loss(v, -v))
    assert derivation(again) == derivation(objective)


def test_objectives_can_be_sent_to_another_process():
    again = pickle.loads(pickle.dumps(CATALOGUE["minimax"]))
    assert again.spec == CATALOGUE["minimax"].spec
    assert copy.deepcopy(CATALOGUE["minimax"]).formulas == CATALOGUE["minimax"].formulas


def test_an_objective_is_frozen():
    with pytest.raises(FrozenInstanceError):
        CATALOGUE["minimax"].name = "other"


def test_an_inconsistent_objective_cannot_be_constructed():
    from dataclasses import replace

    good = CATALOGUE["minimax"]
    formulas = replace(good.formulas, psi=2 * good.formulas.psi)
    with pytest.raises(
        UserError, match=r"objective 'minimax' is inconsistent: phi\(t\) \+ r psi\(t\) is nowhere"
    ):
        Objective("minimax", good.construction, good.title, good.citation, good.spec, formulas)


def test_two_lines_and_a_citation_are_enough():
    assert objective_from_spec("mine", LOGIT).divergence(torch.ones(1)).item() == 0


@pytest.mark.parametrize(
    ("spec", "domain", "activation"),
    [
        ({**LIKELIHOOD, "omega": "r", "rho": "1/t", "domain": [0, "oo"]}, ["0", "oo"], "exp(v)"),
        ({**LIKELIHOOD, "omega": "-1/r", "rho": "1", "domain": ["-oo", 0]}, ["-oo", "0"], "-exp(-v)"),
        ({**LIKELIHOOD, "omega": "r/(1 + r)", "rho": "1/t", "domain": [0, 1]}, ["0", "1"], "1/(1 + exp(-v))"),
        ({**F, "f": "-log(u)"}, ["-oo", "0"], "-exp(-v)"),
        ({**F, "f": "u*log(u)"}, ["-oo", "oo"], "v"),
    ],
)
def test_the_activation_defaults_to_a_map_onto_the_domain(spec, domain, activation):
    derived = derivation(objective_from_spec("mine", spec))["derived"]
    assert derived["domain"] == domain
    assert derived["activation"] == activation


def test_probability_and_logit_coordinates_are_the_same_game():
    """omega = r/(1 + r), rho = 1/t on (0, 1) through a sigmoid computes minimax, and as stably."""
    spec = {**LIKELIHOOD, "omega": "r/(1 + r)", "rho": "1/t", "domain": [0, 1]}
    probabilities = objective_from_spec("mine", spec)
    v = LOGITS[None]
    assert torch.equal(probabilities.critic_loss(v, v), CATALOGUE["minimax"].critic_loss(v, v))
    assert torch.equal(probabilities.generator_loss(v), CATALOGUE["minimax"].generator_loss(v))


@pytest.mark.parametrize(
    "divergence", ["u*log(u)", "(1 - u)**2/u", "(sqrt(u) - 1)**2", "u*log(u) - (u + 1)*log(u + 1)"]
)
def test_other_f_divergences_derive(divergence):
    objective = objective_from_spec("mine", {**F, "f": divergence})
    assert objective.real_is_high
    assert objective.formulas.psi.diff(objective.formulas.t) != 0


def test_a_bounded_loss_keeps_its_gradient_on_both_sides():
    """beta = sigmoid(t): torch's own sigmoid has gradient 0 in float32 from v = 17 on."""
    objective = objective_from_spec("mine", {**LOGIT, "beta": "sigmoid(t)"})
    v = torch.tensor([[40.0], [-40.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(objective.generator_loss(v).sum(), v)
    assert gradient.flatten().tolist() == pytest.approx([4.248354e-18] * 2, rel=1e-6, abs=0)


def test_without_a_closed_form_derivatives_are_exact_and_values_come_from_quadrature():
    """rho = exp(-t^2/2) integrates to an error function, which formulas do not have."""
    objective = objective_from_spec("mine", {**LIKELIHOOD, "omega": "log(r)", "rho": "exp(-t**2/2)"})
    t = torch.linspace(-6, 6, 49, dtype=torch.float64)
    exact = math.sqrt(math.pi / 2) * torch.erf(t / math.sqrt(2))
    # 64 Gauss-Legendre nodes on an interval of 6 widths: converged to rounding.
    torch.testing.assert_close(objective.psi(t), exact, rtol=0, atol=1e-13)
    torch.testing.assert_close(slope(objective.psi, t), torch.exp(-(t**2) / 2), rtol=1e-14, atol=0)
    assert "integral(" in derivation(objective)["derived"]["psi"]


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {**LIKELIHOOD, "omega": "r*(1 - r)", "rho": "1"},
            r"omega is strictly monotone in r; found .* at r = ",
        ),
        (
            {**LIKELIHOOD, "omega": "(r - 1)**2", "rho": "1"},
            r"x.omega: no closed-form inverse .* monotone in r",
        ),
        ({**LOGIT, "rho": "-1/(1 + exp(t))"}, r"rho\(omega\(r\)\) omega'\(r\) > 0; found -.* at r = "),
        ({**LOGIT, "rho": "t"}, r"rho\(omega\(r\)\) omega'\(r\) > 0; found -.* at r = 1e-06"),
        ({**LOGIT, "domain": [0, "oo"]}, r"omega\(r\) lies in Omega; found -13.82 at r = 1e-06"),
        ({**LOGIT, "beta": "-t**2"}, r"d is not convex .* at r = "),
        ({**LOGIT, "beta": "exp(-t)"}, r"the generator is drawn to the data; found -1 at r = "),
        ({**LOGIT, "beta": "exp(-3*t/2)"}, r"the generator is drawn to the data; found -1.5 at r = "),
        ({**LOGIT, "beta": "3"}, r"it is not flat where q = p; found 0 at r = "),
        ({**LOGIT, "rho": "exp(t)"}, r"critic real loss: .* finite in float32, .* found inf at v = 44.5"),
        ({**LOGIT, "activation": "v**2"}, r"the activation is strictly monotone in v; found .* at v = "),
        ({**F, "f": "log(u)"}, r"x.f: .* f''\(u\) = -.* at u = .*; f must be convex"),
        (
            {**F, "f": "log(u)", "domain": [0, "oo"]},
            r"f is strictly convex: f''\(u\) > 0; found -.* at u = 1e-06",
        ),
        ({**F, "f": "-log(u)", "activation": "exp(v)"}, r"lies in Omega = \(-oo, 0\); found .* at v = 30"),
        (
            {**F, "f": "-log(u)", "activation": "-1 - exp(-v)"},
            r"the activation reaches omega\(r\); found .* at r = ",
        ),
    ],
)
def test_wrong_mathematics_is_refused_with_the_condition_and_the_place(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        objective_from_spec("x", spec, "objectives.yaml")
    assert str(caught.value).startswith("objectives.yaml: ")
    assert "x" in str(caught.value)


def _statement(spec, check):
    (found,) = [c.statement for c in objective_from_spec("x", spec).checks if c.name == check]
    return found


def test_a_divergence_of_the_fixed_critic_is_enough():
    """beta(omega(r)) = -r^(-3/2): d = -r^(-1/2) is concave, but B = 2 r^(-1/2) is convex and attracts."""
    spec = {**LOGIT, "beta": "-exp(-3*t/2)"}
    assert "B' = beta(omega)" in _statement(spec, "divergence")
    assert _statement(spec, "generator_pull").startswith("beta(omega(r)) rises with r: ")


def test_a_fixed_critic_that_drives_away_in_places_is_named():
    """Least squares, targets (a, b, c) = (-1, 1, 0): ((1 - r) / (1 + r))^2 / 2 falls to r = 1."""
    formulas = {"omega": "(1 - r)/(1 + r)", "rho": "-1 - t", "beta": "t**2/2", "domain": ["-oo", "oo"]}
    spec = {**LIKELIHOOD, **formulas}
    assert "between r = 1e-06 and 0.891 the critic held fixed drives" in _statement(spec, "generator_pull")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {**LOGIT, "construction": "likelihood-ratio"},
            "x: unknown construction 'likelihood-ratio'; did you mean 'like",
        ),
        ({**LOGIT, "construction": 3}, "x: unknown construction '3'; known: "),
        ({"omega": "r"}, "x: the key construction is missing; known: likelihood_ratio, f_divergence"),
        ({**LOGIT, "betta": "t"}, "x: unknown key 'betta'; did you mean 'beta'"),
        ({**F, "f": "-log(u)", "rho": "1"}, "x: unknown key 'rho'"),
        ({**LIKELIHOOD, "omega": "r"}, "x: the key rho is missing; likelihood_ratio needs it"),
        ({"construction": "integral_probability_metric"}, "x: the key citation is missing"),
        ({**LOGIT, "citation": 2014}, "x.citation: a text is expected, not int"),
        ({**LOGIT, "domain": "R"}, r"x.domain: two bounds are expected, as in \[-oo, oo\]"),
        ({**LOGIT, "domain": [1, 1]}, "x.domain: the lower bound 1 is not below the upper bound 1"),
        ({**LOGIT, "domain": ["-inf", 1]}, r"x.domain \(a number, oo or -oo\): column 2: unknown name 'inf'"),
        ({**LOGIT, "omega": None}, "x.omega: a formula is a text, not NoneType"),
        ({**LOGIT, "omega": "log(u)"}, "x.omega: column 5: unknown name 'u'; allowed: numbers, r, e, pi"),
        ({**LOGIT, "parameters": {"r": 1}}, "x.parameters: 'r' cannot be a parameter's name"),
        ({**LOGIT, "parameters": [1]}, "x.parameters: a mapping from names to numbers"),
        ({**LOGIT, "parameters": {"a": "t"}}, "x.parameters.a: column 1: unknown name 't'"),
        ("log(r)", "x: a mapping is expected"),
    ],
)
def test_wrong_entries_are_refused_with_the_field(spec, message):
    with pytest.raises(UserError, match=message):
        objective_from_spec("x", spec, "objectives.yaml")


def test_files_are_refused_with_their_name(tmp_path):
    file = tmp_path / "mine.yaml"
    with pytest.raises(UserError, match=r"mine\.yaml"):
        load_objectives(file)
    file.write_text("- a list\n")
    with pytest.raises(UserError, match=r"mine\.yaml: a mapping from names"):
        load_objectives(file)
    file.write_text("Mini Max: {construction: likelihood_ratio}\n")
    with pytest.raises(UserError, match="'Mini Max' is no name for an objective"):
        load_objectives(file)
    file.write_text("one: {construction: integral_probability_metric, citation: c}\n")
    assert list(load_objectives(file)) == ["one"]
    with pytest.raises(UserError, match=r"mine\.yaml: unknown objective 'ones'; did you mean 'one'"):
        load_objective("ones", file)


def test_parameters_stand_for_numbers():
    """Least squares with targets -1, 1 and 0: the Pearson chi-squared form of Mao et al. 2017, eq. 8."""
    spec = {**CATALOGUE["least_squares"].spec, "parameters": {"a": -1, "b": 1, "c": 0}}
    objective = objective_from_spec("mine", spec)
    best = objective.omega(RATIOS)
    torch.testing.assert_close(best, (1 - RATIOS) / (1 + RATIOS), rtol=1e-12, atol=1e-14)
    assert objective.equilibrium_value == pytest.approx(-1.0)


# --- the report ----------------------------------------------------------------------------------------


@every
def test_the_derivation_is_plain_json_with_every_required_check_passed(objective):
    facts = derivation(objective)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert all(check["at"] and check["statement"] for check in facts["checks"])
    assert all(check["passed"] for check in facts["checks"] if check["required"])
    assert facts["given"].keys() <= facts["spec"].keys()


def test_the_typst_formulas_compile():
    """All of them in one document: a syntax error or an unknown symbol stops the compiler."""
    formulas = [f for one in CATALOGUE.values() for f in derivation(one)["typst"].values() if f is not None]
    quadrature = objective_from_spec("mine", {**LIKELIHOOD, "omega": "log(r)", "rho": "exp(-t**2/2)"})
    formulas += [f for f in derivation(quadrature)["typst"].values() if f is not None]
    assert len(formulas) > 50
    source = "\n".join(f"$ {formula} $" for formula in formulas)
    assert typst.compile(source.encode(), format="pdf").startswith(b"%PDF")


def test_typst_formulas_read_as_mathematics():
    formulas = CATALOGUE["minimax"].formulas
    assert to_typst(formulas.phi) == "-ln(1 + e^t)"
    assert derivation(CATALOGUE["least_squares"])["typst"]["omega"] == "frac(1, 1 + r)"


def test_every_construction_is_a_function_with_a_source():
    for build in CONSTRUCTIONS.values():
        assert "arXiv" in (build.__doc__ or "")
