"""The laws of a GAN objective, on every entry of the catalogue and on random admissible ones, in float64.

The oracles share no code with the package: formulas are read a second time as Python over mpmath or numpy,
maxima are found by golden section, conjugates by a numerical Legendre transform.
"""

import functools
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from torch.nn.functional import logsigmoid

from pipeline.errors import UserError
from pipeline.objectives import Objective, load_objectives, objective_from_spec
from pipeline.objectives.formulas import V
from pipeline.theory.admissible import random_fs, random_pairs, reflected

CATALOGUE = load_objectives(Path(__file__).parents[1] / "objectives.yaml")
PAIRED = [name for name, one in CATALOGUE.items() if one.is_paired]
STEPS = ["total_variation", "hinge"]  # omega jumps at r = 1
POINTWISE = [name for name, one in CATALOGUE.items() if one.formulas.omega is not None]
SMOOTH = [name for name in POINTWISE if name not in STEPS]

RATIOS = torch.logspace(-3, 3, 61, dtype=torch.float64)
EPS = 2.0**-52
RANDOM = ["random pairs", "random fs"]


@functools.cache
def random_objectives(group: str) -> tuple[list[Objective], list[str]]:
    """200 pairs or 60 f's, built, and the messages of those that were refused."""
    built, refused = [], []
    for place, spec in enumerate(
        random_pairs(200, seed=0) if group == "random pairs" else random_fs(60, seed=0)
    ):
        try:
            built.append(objective_from_spec(f"{spec['title']}_{place}", spec))
        except UserError as error:
            refused.append(f"{spec}: {error}")
    return built, refused


def members(group: str) -> list[Objective]:
    return random_objectives(group)[0] if group in RANDOM else [CATALOGUE[group]]


@contextmanager
def about(objective: Objective) -> Iterator[None]:
    """Names the objective in a failure of a loop over many."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in {objective.name}: {objective.spec}")
        raise


def groups(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("group", names)


every = groups(*CATALOGUE, *RANDOM)
every_pointwise = groups(*POINTWISE, *RANDOM)
every_smooth = groups(*SMOOTH, *RANDOM)
every_f = groups(*(name for name in SMOOTH if CATALOGUE[name].construction == "f_divergence"), "random fs")
every_pair = groups(
    *(name for name in SMOOTH if CATALOGUE[name].construction == "likelihood_ratio"), "random pairs"
)


# --- oracles -------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<![A-Za-z_0-9.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def _mapping(module, **more):
    names = {name: getattr(module, name) for name in ("exp", "log", "sqrt", "tanh")}
    own = {
        "sigmoid": lambda x: 1 / (1 + module.exp(-x)),
        "softplus": lambda x: module.log(1 + module.exp(x)),
        "relu": lambda x: (x + abs(x)) / 2,
        "abs": abs,
    }
    return {**names, **own, "e": module.e, "pi": module.pi, **more}


FLOAT = _mapping(np, sign=np.sign)
EXACT = _mapping(mpmath, sign=mpmath.sign, mpf=mpmath.mpf)


def read(text, objective, where=FLOAT, **values):
    """The formula `text` of an objective, read as Python: a second reader of the language."""
    number = r"mpf('\g<0>')" if where is EXACT else r"float('\g<0>')"

    def evaluated(one, names):
        return eval(_NUMBER.sub(number, str(one)), {"__builtins__": {"float": float}}, {**where, **names})

    parameters = {name: evaluated(one, {}) for name, one in objective.spec.get("parameters", {}).items()}
    return evaluated(text, {**parameters, **values})


def highest(value: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> np.ndarray:
    """Where `value`, of points (N, K) for K problems at once, is largest: a grid, then golden section.

    No slope is used, so the place is found to about the root of what the values are accurate to.
    """
    grid = np.linspace(low, high, 801)[:, None]
    best = value(grid).argmax(axis=0)
    a, b = grid[np.maximum(best - 1, 0), 0], grid[np.minimum(best + 1, 800), 0]
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(64):  # 0.618**64 = 4e-14
        c, d = b - golden * (b - a), a + golden * (b - a)
        left = value(c[None])[0] >= value(d[None])[0]
        a, b = np.where(left, a, c), np.where(left, d, b)
    return (a + b) / 2


def critic_gain(objective: Objective, r: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """v (N, K) or (N, 1) -> phi(t) + r psi(t) (N, K), t = activation(v)."""

    def gain(v):
        t = objective.activation(torch.from_numpy(np.ascontiguousarray(v)))
        value = objective.phi(t).numpy() + r * objective.psi(t).numpy()
        return np.where(np.isfinite(value), value, -np.inf)  # t rounded to an end of Omega, far out

    return gain


def within_reach(objective: Objective, r: np.ndarray) -> np.ndarray:
    """Those of the ratios whose omega(r) the activation takes on for |v| < 50: softplus(v) = 100 does not."""
    low, high = objective.activation(torch.tensor([-50.0, 50.0], dtype=torch.float64)).sort().values.tolist()
    best = objective.omega(torch.from_numpy(r)).numpy()
    return r[(low < best) & (best < high)]


def slope(function, at):
    x = at.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    return gradient


def rounding(objective, r):
    """What rounding t = omega(r) to float64 does to r, relative: 1/(1 + r) knows r = 1e-3 to 13 digits."""
    best = objective.omega(r)
    return EPS * (best.abs() + 1e-300) / (r * slope(objective.omega, r)).abs()


# --- the random objectives -----------------------------------------------------------------------------


@groups(*RANDOM)
def test_every_admissible_objective_is_accepted(group):
    built, refused = random_objectives(group)
    assert not refused, "\n".join(refused)
    assert len(built) == (200 if group == "random pairs" else 60)


def test_random_objectives_are_drawn_from_their_seed_alone():
    before = np.random.get_state()[1].copy()
    assert random_pairs(40, 3) == random_pairs(40, 3)
    assert random_pairs(40, 3) != random_pairs(40, 4)
    assert random_fs(20, 3) == random_fs(20, 3)
    assert (np.random.get_state()[1] == before).all()
    specs = random_pairs(200, 0)
    assert len({(one["omega"], one["rho"]) for one in specs}) == 200
    with pytest.raises(ValueError, match="more than the families hold"):
        random_fs(2_000, 0)


def test_the_random_pairs_are_diverse():
    """Several domains, both directions, closed integrals and quadrature, of everything at least a few."""
    pairs = members("random pairs")
    assert len({str(one.formulas.domain) for one in pairs}) >= 10
    assert (
        sum(float(one.omega(torch.tensor([2.0])) - one.omega(torch.tensor([1.0]))) < 0 for one in pairs) >= 20
    )
    assert sum(one.formulas.phi.has(sp.Integral) for one in pairs) >= 5
    assert len({one.name.rsplit("_", 1)[0] for one in pairs}) == 16
    # d at four ratios, scaled: two objectives of one divergence agree, and most do not.
    d = torch.stack(
        [one.divergence(torch.tensor([0.1, 0.5, 2.0, 10.0], dtype=torch.float64)) for one in pairs]
    )
    d = d / d[:, :1]
    assert len({tuple(round(x, 6) for x in row) for row in d.tolist()}) >= 100


# --- laws of the critic --------------------------------------------------------------------------------


@every_smooth
def test_omega_is_stationary(group):
    """phi'(omega(r)) + r psi'(omega(r)) = 0, by autograd."""
    for one in members(group):
        with about(one):
            best = one.omega(RATIOS)
            gain, loss = slope(one.phi, best), RATIOS * slope(one.psi, best)
            # 1e-9 of the terms: phi and psi are sums that may cancel in a few digits; and what t knows of r.
            tolerance = 1e-9 + 8 * rounding(one, RATIOS)
            assert ((gain + loss).abs() <= tolerance * gain.abs()).all()
            assert (gain != 0).all()


@every_pair
def test_the_slopes_are_those_of_the_recipe(group):
    """psi'(omega(r)) = rho(omega(r)) and phi'(omega(r)) = -r rho(omega(r)), from the texts of the entry."""
    r = RATIOS.numpy()
    for one in members(group):
        with about(one):
            best = read(one.spec["omega"], one, r=r)
            np.testing.assert_allclose(one.omega(RATIOS).numpy(), best, rtol=1e-12, atol=1e-13)
            rho = read(one.spec["rho"], one, t=best) * np.ones_like(r)
            t = torch.from_numpy(best)
            # 1e-9 as above; rho itself may be a difference that t = omega(r) knows to `rounding` only.
            tolerance = 1e-9 + 16 * rounding(one, RATIOS).numpy()
            assert (abs(slope(one.psi, t).numpy() - rho) <= tolerance * abs(rho)).all()
            assert (abs(slope(one.phi, t).numpy() + r * rho) <= tolerance * abs(r * rho)).all()


@every_smooth
def test_the_numerically_optimal_t_is_omega(group):
    """argmax over v of phi(t) + r psi(t), by golden section, is where t = omega(r)."""
    for one in members(group):
        with about(one):
            r = within_reach(one, np.logspace(-1.3, 1.3, 7))
            assert len(r) >= 5
            gain = critic_gain(one, r)
            v = highest(gain, -60, 60)
            top, step = gain(v[None])[0], 0.03
            curvature = (2 * top - gain(v[None] - step)[0] - gain(v[None] + step)[0]) / step**2
            t = one.activation(torch.from_numpy(v))
            # Terms of phi and psi may be of size 1 where their sum is 0.
            scale = 1 + r + abs(one.phi(t).numpy()) + r * abs(one.psi(t).numpy())
            # Values right to 8 eps of their terms hide the top of a parabola within sqrt(16 eps scale / c).
            reach = 2 * np.sqrt(16 * EPS * scale / curvature) + 1e-9
            assert (reach < 1e-3).all()
            width = abs(slope(one.activation, torch.from_numpy(v)).numpy()) * reach
            assert (abs(t.numpy() - one.omega(torch.from_numpy(r)).numpy()) <= width).all()


@every_smooth
def test_omega_is_strictly_monotone_and_inverted_by_the_density_ratio(group):
    for one in members(group):
        with about(one):
            best = one.omega(RATIOS)
            steps = best.diff()
            assert (steps > 0).all() or (steps < 0).all()
            # density_ratio is p/q = 1/r. 1e-11: an inverse with a root or a logarithm, and what t knows of r.
            error = (one.density_ratio(best) * RATIOS - 1).abs()
            assert (error <= 1e-11 + 16 * rounding(one, RATIOS)).all()


# --- laws of the divergence ----------------------------------------------------------------------------


def alpha_and_beta(one: Objective, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As the entry says, from its texts; beta is psi by default, alpha phi, or 0 beside a beta of its own."""
    own = "beta" in one.spec
    texts = {"alpha": one.phi if not own else torch.zeros_like, "beta": one.psi}
    found = []
    for key, default in texts.items():
        if key in one.spec:
            value = read(one.spec[key], one, t=t.numpy()) * np.ones_like(t.numpy())
            found.append(torch.from_numpy(value))
        else:
            found.append(default(t))
    return found[0], found[1]


@every_pointwise
def test_d_is_the_generators_loss_at_the_best_critic(group):
    """d(r) = alpha(omega(r)) + r beta(omega(r)) less the same at r = 1."""
    for one in members(group):
        with about(one):
            at_r, at_one = (alpha_and_beta(one, one.omega(r)) for r in (RATIOS, torch.ones_like(RATIOS)))
            value = at_r[0] + RATIOS * at_r[1] - at_one[0] - at_one[1]
            scale = 1 + at_r[0].abs() + RATIOS * at_r[1].abs() + at_one[0].abs() + at_one[1].abs()
            # 1e-12 of the terms, and what t knows of r (its effect on phi is r psi's, so of one size).
            tolerance = 1e-12 + (rounding(one, RATIOS) if group not in STEPS else 0)
            assert ((one.divergence(RATIOS) - value).abs() <= tolerance * scale).all()


@every_pointwise
def test_d_is_convex_and_zero_at_one(group):
    """d((a + b)/2) <= (d(a) + d(b))/2 for all pairs of ratios."""
    for one in members(group):
        with about(one):
            d = one.divergence
            assert abs(d(torch.ones(1, dtype=torch.float64)).item()) < 1e-14
            a, b = RATIOS[:, None], RATIOS[None, :]
            middle, ends = d((a + b) / 2), (d(a) + d(b)) / 2
            # 1e-12: rounding of the three values, whose terms may be some times larger than they.
            assert (middle <= ends + 1e-12 * (1 + a + b + d(a).abs() + d(b).abs())).all()


@every_smooth
def test_the_critics_optimum_is_an_f_divergence(group):
    """max_t E_p phi + E_q psi = (the same at q = p) + int p d(q/p), on random distributions of six outcomes.

    With a beta of its own, d belongs to the generator: E_p alpha + E_q beta at the best critic.
    """
    rng = np.random.default_rng(0)
    p, q = 0.5 / 6 + 0.5 * rng.dirichlet([1] * 6, 2)
    for one in members(group):
        with about(one):
            r = within_reach(one, q / p)
            assert len(r) == 6
            t = one.activation(torch.from_numpy(highest(critic_gain(one, r), -60, 60)))
            divergence = float((p * one.divergence(torch.from_numpy(r)).numpy()).sum())
            value = float((p * (one.phi(t).numpy() + r * one.psi(t).numpy())).sum())
            centre = one.omega(torch.ones(1, dtype=torch.float64))
            start = float((one.phi(centre) + one.psi(centre)).item())
            assert one.equilibrium_value == pytest.approx(start, abs=1e-12)
            if "beta" not in one.spec and "alpha" not in one.spec:
                # The maximum is level: the place found to 1e-7 gives the value to 1e-14 of its terms.
                scale = (
                    1 + abs(start) + float((p * abs(one.phi(t).numpy()) + q * abs(one.psi(t).numpy())).sum())
                )
                assert abs(value - start - divergence) <= 1e-12 * scale
                assert divergence >= 0 or abs(divergence) < 1e-14
            else:
                alpha, beta = (part.numpy() for part in alpha_and_beta(one, t))
                ones = alpha_and_beta(one, centre)
                loss = float((p * alpha + q * beta).sum() - sum(ones).item())
                # beta is not level at the critic's best t, which is found to about 1e-6.
                assert loss == pytest.approx(divergence, abs=1e-5)


@groups(*STEPS)
def test_a_step_attains_the_supremum(group):
    """Over the closed domain of t, at every r, and nowhere but there: omega is at one end or the other."""
    one = CATALOGUE[group]
    width = {"total_variation": 0.5, "hinge": 32.0}[group]
    t = width * torch.arange(-1024, 1025, dtype=torch.float64)[:, None] / 1024  # holds -1, -1/2, 1/2 and 1
    best = one.omega(RATIOS)
    top = one.phi(best) + RATIOS * one.psi(best)
    reached = (one.phi(t) + RATIOS * one.psi(t)).amax(0)
    torch.testing.assert_close(top, reached, rtol=1e-13, atol=1e-13)
    with pytest.raises(UserError, match="step"):
        one.density_ratio(best)


@pytest.mark.parametrize(("name", "factor"), [("total_variation", 1), ("hinge", 2)])
def test_a_step_reaches_the_total_variation(name, factor):
    """TV = sum |p - q|/2: the critic of total variation gains it, that of hinge twice it, above its -2."""
    rng = np.random.default_rng(1)
    one = CATALOGUE[name]
    for p, q in rng.dirichlet([1] * 6, (20, 2)):
        p, q = torch.from_numpy(p), torch.from_numpy(q)
        best = one.omega(q / p)
        value = (p * one.phi(best) + q * one.psi(best)).sum().item()
        distance = (p - q).abs().sum().item() / 2
        assert value - one.equilibrium_value == pytest.approx(factor * distance, abs=1e-14)
    assert CATALOGUE["hinge"].equilibrium_value == -2
    assert CATALOGUE["total_variation"].equilibrium_value == 0


# --- laws of the conjugate -----------------------------------------------------------------------------


@every_f
def test_the_derivative_of_the_conjugate_inverts_that_of_f(group):
    """f*'(f'(u)) = u, with f' differentiated numerically in 30 digits from the text of f."""
    points = [0.03, 0.3, 0.9, 1.0, 2.5, 20.0]
    for one in members(group):
        with about(one), mpmath.workdps(40):
            slopes = [
                float(mpmath.diff(lambda x, one=one: read(one.spec["f"], one, EXACT, u=x), mpmath.mpf(u)))
                for u in points
            ]
            u = torch.tensor(points, dtype=torch.float64)
            back = slope(lambda t, one=one: -one.psi(t), torch.tensor(slopes, dtype=torch.float64))
            # 1e-11 for roots and logarithms in f*', and what a rounded slope knows of u.
            assert ((back / u - 1).abs() <= 1e-11 + 16 * rounding(one, 1 / u)).all()


@every_f
def test_the_conjugate_is_the_legendre_transform(group):
    """f*(t) = sup_u (u t - f(u)), f(1) = 0, by golden section over log u."""
    for one in members(group):
        with about(one):
            t = one.omega(torch.tensor([0.05, 0.3, 1.0, 3.0, 20.0], dtype=torch.float64)).numpy()
            shift = read(one.spec["f"], one, u=np.float64(1))

            def below(x, one=one, t=t, shift=shift):
                return np.exp(x) * t - (read(one.spec["f"], one, u=np.exp(x)) - shift)

            x = highest(below, -9, 9)
            terms = 1 + np.exp(x) * abs(t) + abs(read(one.spec["f"], one, u=np.exp(x)))
            # A level maximum: its value is right to the rounding of its terms.
            error = abs(-one.psi(torch.from_numpy(t)).numpy() - below(x[None])[0])
            assert (error <= 1e-12 * terms).all()


# --- what changes nothing ------------------------------------------------------------------------------


def some(group: str) -> list[Objective]:
    """A second derivation costs as much as the first: of random objectives every eighth."""
    return members(group)[::8]


@every_smooth
def test_a_constant_in_psi_changes_no_gradient(group):
    """Nor the divergence: d of a psi with another constant differs by a multiple of r - 1."""
    v = torch.linspace(-8, 8, 33, dtype=torch.float64)[:, None]
    for one in some(group):
        with about(one):
            formulas = one.formulas
            same = formulas.beta == formulas.psi
            more = {"beta": formulas.psi + 7, "d": None} if same else {}
            moved = replace(formulas, psi=formulas.psi + 7, **more)
            other = Objective(one.name, one.construction, one.title, one.citation, one.spec, moved)
            for loss in (lambda o, x: o.critic_loss(x, x), lambda o, x: o.generator_loss(x)):
                with_it, without = (
                    slope(lambda x, f=loss, o=other: f(o, x), v),
                    slope(lambda x, f=loss, o=one: f(o, x), v),
                )
                # Another order of the same terms.
                torch.testing.assert_close(
                    with_it, without, rtol=1e-11, atol=1e-13 * without.abs().max().item()
                )
            # Where beta is psi, d gains 7 (r - 1): nothing, for the mean of r - 1 over p is 0.
            expected = one.divergence(RATIOS) + (7 * (RATIOS - 1) if same else 0)
            error = (other.divergence(RATIOS) - expected).abs()
            assert (error <= 1e-11 * (1 + RATIOS + expected.abs())).all()
            assert other.equilibrium_value == pytest.approx(one.equilibrium_value + 7, abs=1e-11)


@every_pair
def test_swapped_labels_give_the_same_divergence(group):
    """t -> -t turns a rising omega into a falling one and rho > 0 into rho < 0, and the game stays."""
    v = torch.linspace(-8, 8, 33, dtype=torch.float64)[:, None]
    for one in some(group):
        # log(1 - t**2) of a negative t comes apart and loses what 1 - t**2 is where t is next to -1.
        if one.name.startswith("square_probability"):
            continue
        with about(one):
            other = objective_from_spec(one.name, reflected(one.spec))
            best, turned = one.omega(RATIOS), other.omega(RATIOS)
            torch.testing.assert_close(turned, -best, rtol=1e-13, atol=1e-13)
            # Two derivations of one function: 1e-11 of the terms of d.
            d, again = one.divergence(RATIOS), other.divergence(RATIOS)
            assert ((d - again).abs() <= 1e-11 * (1 + RATIOS + d.abs())).all()
            # A given activation is turned too; default ones of mirrored domains are mirror images.
            sign = 1 if "activation" in one.spec else -1
            assert other.real_is_high is (one.real_is_high if sign == 1 else not one.real_is_high)
            mine, theirs = slope(one.generator_loss, v), sign * slope(other.generator_loss, sign * v)
            torch.testing.assert_close(theirs, mine, rtol=1e-9, atol=1e-12 * mine.abs().max().item())


# --- numbers -------------------------------------------------------------------------------------------

PARTS = ("critic_real", "critic_fake", "generator")
GRID = [x / 4 for x in range(-200, 201, 7)]  # 58 points of [-50, 50], among them 0 and -50


def exact(expression: sp.Expr, symbol: sp.Symbol) -> Callable:
    """The formula as composed, in mpmath at its working precision."""
    names = {"relu": lambda x: max(x, 0), "wright_omega": lambda x: mpmath.lambertw(mpmath.exp(x)).real}
    return sp.lambdify(symbol, expression.doit(), [names, "mpmath"])


def assert_exact(
    one: Objective, part: str, tolerances: dict[torch.dtype, float], least: float, centred: bool
) -> None:
    """Value and slope of a loss for |v| <= 50 against its formula in 60 digits, relative but for `least`.

    If `centred`, the value's error is relative to its size near v = 0 too: the constant in a loss is free.
    """
    formula = one.formulas.losses[part]
    functions = [exact(sp.diff(formula, V, order), V) for order in range(2)]
    with mpmath.workdps(60):
        values, slopes = ([function(mpmath.mpf(at)) for at in GRID] for function in functions)
    size = max(abs(value) for at, value in zip(GRID, values, strict=True) if abs(at) <= 5) if centred else 0
    for dtype, tolerance in tolerances.items():
        v = torch.tensor(GRID, dtype=dtype, requires_grad=True)
        value = one._functions[part](v)
        (slopes_found,) = torch.autograd.grad(value.sum(), v)
        for name, found, truth, extra in (("value", value, values, size), ("slope", slopes_found, slopes, 0)):
            for at, got, t in zip(GRID, found.tolist(), truth, strict=True):
                assert abs(got - t) <= tolerance * (abs(t) + extra) + least, (name, dtype, at, got, float(t))


# Its loss on real data, exp(v) - softplus(v), cancels in the value where v < 0, not in the slope.
CENTRED = {"logistic_power"}


@groups(*(name for name in CATALOGUE if name not in PAIRED))
@pytest.mark.parametrize("part", PARTS)
def test_losses_are_their_formulas_in_sixty_digits(group, part):
    """For |v| <= 50, value and slope, no absolute part: gradients of exp(-50) are right in float32."""
    # Ten units in the last place: an exponential, a logarithm, a power and a sum. Only what is next to
    # float32's smallest normal number, 1.2e-38, as a power of a sigmoid may be, has fewer digits.
    tolerances = {torch.float32: 1e-6, torch.float64: 3e-15}
    assert_exact(CATALOGUE[group], part, tolerances, 1e-36, centred=group in CENTRED)


# The root of 1 + exp(v), less 1, has no stable form: these slopes are right to float32's resolution of 1.
ROOTS = {"hyperbola", "triangle", "shifted_power_f"}


@groups(*RANDOM)
@pytest.mark.parametrize("part", PARTS)
def test_losses_of_random_objectives_are_their_formulas(group, part):
    for one in members(group)[::8]:
        # exp(y) of a rounded y = 75 is off by 75 half units in the last place, 5e-6 in float32. A slope
        # sigmoid(v)**2 may be computed by way of sigmoid(v)**3, which is 0 in float32 below 1e-45.
        least = 1e-5 if one.name.rsplit("_", 1)[0] in ROOTS else 1e-24
        if not one.formulas.losses[part].has(sp.Integral):
            with about(one):
                assert_exact(one, part, {torch.float32: 1e-5, torch.float64: 2e-14}, least, centred=True)


@groups(*(name for name in CATALOGUE if name not in (*PAIRED, *STEPS)), *RANDOM)
def test_losses_have_their_second_derivatives(group):
    """By differentiating twice, as unrolling does: also of a loss whose slope is given beside it."""
    points = [-6.0, -2.5, -0.5, 0.25, 1.5, 5.0]
    for one in some(group):
        for part in PARTS:
            formula = one.formulas.losses[part]
            if formula.has(sp.Integral):
                continue
            with about(one), mpmath.workdps(40):
                function = exact(sp.diff(formula, V, 2), V)
                truth = torch.tensor([float(function(at)) for at in points], dtype=torch.float64)
                v = torch.tensor(points, dtype=torch.float64, requires_grad=True)
                (first,) = torch.autograd.grad(one._functions[part](v).sum(), v, create_graph=True)
                second = torch.zeros_like(v)
                if first.requires_grad:  # the slope of a line is a constant
                    (second,) = torch.autograd.grad(first.sum(), v)
                # Slopes are products; differentiated once more they are sums, which lose digits of the slope.
                # 1e-100: the slope of log(1 - exp(-exp(-v))) at v = -6 is exp(-397), a difference of such.
                assert ((second - truth).abs() <= 1e-11 * (truth.abs() + first.abs()) + 1e-100).all()


@every
def test_losses_are_finite_in_float32_and_means_per_seed(group):
    """|v| <= 50 in float32, value and gradient; (S, B) -> (S,)."""
    v = torch.linspace(-50, 50, 402).reshape(2, 201)
    for one in members(group):
        with about(one):
            v_real, v_fake = v.clone().requires_grad_(), v.flip(1).clone().requires_grad_()
            more = {"distance": torch.full_like(v, 2.0)} if one.needs_distance else {}
            critic = one.critic_loss(v_real, v_fake, **more)
            generator = one.generator_loss(v_fake, v_real if one.is_paired else None)
            assert critic.shape == generator.shape == (2,)
            assert critic.dtype == generator.dtype == torch.float32
            for loss in (critic, generator):
                gradients = torch.autograd.grad(loss.sum(), (v_real, v_fake), allow_unused=True)
                assert loss.isfinite().all()
                assert all(g.isfinite().all() for g in gradients if g is not None)
            alone = one.critic_loss(v_real[1:], v_fake[1:], **{key: value[1:] for key, value in more.items()})
            torch.testing.assert_close(critic[1:], alone, rtol=0, atol=0)


# --- paired objectives ---------------------------------------------------------------------------------


def pairs_of_outputs(dtype=torch.float64):
    """Critic outputs (S, B) on real and fake, and the distances of the pairs."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (3 * torch.randn(2, 7, generator=generator, dtype=dtype) for _ in range(2))
    return (
        real.requires_grad_(),
        fake.requires_grad_(),
        0.1 + torch.rand(2, 7, generator=generator, dtype=dtype),
    )


def relativistic(real, fake, _):
    """Jolicoeur-Martineau 2019, section 4.1: -E log sigmoid(C(x_r) - C(x_f)); generator: both swapped."""
    return -logsigmoid(real - fake).mean(-1), -logsigmoid(fake - real).mean(-1)


def relativistic_average(real, fake, _):
    """Section 4.2, both sides: against the other kind's mean output; 1 - sigmoid(x) is sigmoid(-x)."""
    to_fakes, to_reals = real - fake.mean(-1, keepdim=True), fake - real.mean(-1, keepdim=True)
    critic = -logsigmoid(to_fakes).mean(-1) - logsigmoid(-to_reals).mean(-1)
    return critic, -logsigmoid(to_reals).mean(-1) - logsigmoid(-to_fakes).mean(-1)


def gan_qp(real, fake, distance):
    """Su 2018, T = D(x_r) - D(x_f): the critic maximises E[T - T^2/(2 lambda d)], the generator has E[T]."""
    t, lam = real - fake, 10
    return -(t - t**2 / (2 * lam * distance)).mean(-1), t.mean(-1)


LITERAL = {"relativistic": relativistic, "relativistic_average": relativistic_average, "gan_qp": gan_qp}


def test_every_paired_entry_has_a_literal_formula():
    assert set(PAIRED) == set(LITERAL)
    assert [name for name in PAIRED if CATALOGUE[name].needs_distance] == ["gan_qp"]


def losses(one, real, fake, distance):
    more = {"distance": distance} if one.needs_distance else {}
    return one.critic_loss(real, fake, **more), one.generator_loss(fake, real)


@groups(*PAIRED)
def test_paired_losses_and_gradients_are_the_papers(group):
    """Against autograd of the formula as published, for outputs on fake and on real."""
    real, fake, distance = pairs_of_outputs()
    for mine, paper in zip(
        losses(CATALOGUE[group], real, fake, distance), LITERAL[group](real, fake, distance), strict=True
    ):
        torch.testing.assert_close(mine, paper, rtol=1e-13, atol=1e-14)  # two orders of one sum
        got, expected = (
            torch.autograd.grad(loss.sum(), (real, fake), retain_graph=True) for loss in (mine, paper)
        )
        for g, e in zip(got, expected, strict=True):
            torch.testing.assert_close(g, e, rtol=1e-12, atol=1e-15)


@groups(*PAIRED)
def test_paired_losses_do_not_see_a_constant(group):
    """Only differences of outputs enter."""
    real, fake, distance = pairs_of_outputs()
    for before, after in zip(
        losses(CATALOGUE[group], real, fake, distance),
        losses(CATALOGUE[group], real + 5, fake + 5, distance),
        strict=True,
    ):
        torch.testing.assert_close(after, before, rtol=1e-13, atol=1e-13)  # 5 + x rounds x


@groups(*PAIRED)
def test_a_paired_critic_climbs_where_real_is_high(group):
    one = CATALOGUE[group]
    real, fake, distance = pairs_of_outputs()
    critic, generator = losses(one, real, fake, distance)
    centre = torch.zeros(1, 7, dtype=torch.float64)
    on_real, on_fake = (centre.clone().requires_grad_() for _ in range(2))
    critic, generator = losses(one, on_real, on_fake, torch.ones_like(centre))
    gain = torch.autograd.grad(-critic.sum(), (on_real, on_fake))
    assert one.real_is_high
    assert (gain[0] > 0).all()
    assert (gain[1] < 0).all()
    (pull,) = torch.autograd.grad(-generator.sum(), on_fake)
    assert (pull > 0).all()  # fakes are moved to where the critic is high


@groups(*PAIRED)
def test_a_paired_objective_asks_for_what_it_needs(group):
    one = CATALOGUE[group]
    real, fake, distance = pairs_of_outputs()
    with pytest.raises(UserError, match="v_real"):
        one.generator_loss(fake)
    if one.needs_distance:
        with pytest.raises(UserError, match="distance"):
            one.critic_loss(real, fake)
    for quantity in ("omega", "divergence", "density_ratio"):
        with pytest.raises(UserError, match=f"'{group}' has no {quantity.replace('_', ' ')}"):
            getattr(one, quantity)(distance)


def test_gan_qp_stops_where_the_difference_is_lambda_times_the_distance():
    """The best T of one pair is lambda d, so |D(x_r) - D(x_f)| <= lambda |x_r - x_f| without a constraint."""
    one = CATALOGUE["gan_qp"]
    distance = torch.tensor([[0.2], [1.0], [3.0]], dtype=torch.float64)
    delta = (10 * distance).requires_grad_()
    (gradient,) = torch.autograd.grad(
        one.critic_loss(delta, torch.zeros_like(distance), distance).sum(), delta
    )
    assert gradient.abs().max() < 1e-15


# --- what is refused -----------------------------------------------------------------------------------

CITED = {"citation": "a test"}
RATIO = {"construction": "likelihood_ratio", **CITED}
LOGIT = {**RATIO, "omega": "log(r)", "rho": "1/(1 + exp(t))"}
CONVEX = {"construction": "f_divergence", **CITED}
DIRECT = {"construction": "direct", "domain": ["-oo", "oo"], **CITED}
PAIR = {"construction": "paired", **CITED}
HINGE = CATALOGUE["hinge"].spec
LEAST_SQUARES = {key: one for key, one in CATALOGUE["least_squares"].spec.items() if key != "alpha"}
POWER, ALPHA = CATALOGUE["power"].spec, CATALOGUE["alpha"].spec
OVER_R = {**RATIO, "omega": "r", "rho": "1/t", "domain": [0, "oo"]}  # an objective

NO_INVERSE = r"mine\.omega: no closed-form inverse of .* found; it must be strictly monotone in r"
RHO = r"rho\(omega\(r\)\) omega'\(r\) > 0; found -?[0-9.e+-]+ at r = "
CONVEXITY = (
    r"mine\.f: the range of f' is not an interval from low to high, f''\(u\) = -?[0-9.e+-]+ at u = .* convex"
)
TOP = r"phi\(t\) \+ r psi\(t\) is nowhere on Omega higher than at omega\(r\); found 0\.\d+ at r = .*, t = "
STATIONARY = r"phi'\(omega\(r\)\) \+ r psi'\(omega\(r\)\) = 0, relative to its terms; found .* at r = "
LIES = r"the activation lies in Omega = \(0, oo\); found .* at v = -30"
REACHES = r"the activation reaches omega\(r\); found .* at r = 1e-06"
MONOTONE = r"the activation is strictly monotone in v; found .* at v = -50"
DRAWN = r"the generator is drawn to the data; found -.* at r = "
FINITE = r"{} loss: value and gradient finite in float32, \|{}\| <= 50; found inf at {} = "
PULL = r"beta rises with delta at 0, on the critic's side.* found -?0(\.5)? at delta = 0"
STEP_PLACE = r"omega steps where both its levels are equally good; found 2 at r = 1"

REFUSED = {
    "omega rises and falls": ({**RATIO, "omega": "r/(1 + r**2)", "rho": "1"}, NO_INVERSE),
    "omega falls and rises": ({**RATIO, "omega": "log(r)**2", "rho": "1"}, NO_INVERSE),
    "omega is a constant": ({**RATIO, "omega": "r/r", "rho": "1"}, NO_INVERSE),
    "omega is a step": ({**RATIO, "omega": "sign(1 - r)", "rho": "1"}, NO_INVERSE),
    "omega is level up to 1": ({**RATIO, "omega": "relu(r - 1)", "rho": "1"}, NO_INVERSE),
    "omega is not real": ({**RATIO, "omega": "sqrt(r - 1)", "rho": "1"}, NO_INVERSE),
    "omega leaves Omega": (
        {**LOGIT, "domain": [-5, 5]},
        r"omega\(r\) lies in Omega; found -13\.8.* at r = 1e-06",
    ),
    "Omega on the other side": (
        {**OVER_R, "rho": "-1/t", "domain": ["-oo", 0]},
        r"omega\(r\) lies in Omega; found 1e\+06 at r = 1e\+06",
    ),
    "rho changes sign": ({**LOGIT, "rho": "1 - t"}, RHO),
    "rho changes sign far out": ({**LOGIT, "rho": "exp(-t/2)*(10 + t)"}, RHO),
    "rho is a sign": ({**LOGIT, "rho": "sign(t)"}, RHO),
    "rho is 0": ({**LOGIT, "rho": "0"}, RHO),
    "rho is 0 on one side": ({**LOGIT, "rho": "relu(t)"}, RHO),
    "rho falls where omega rises": ({**LOGIT, "rho": "-exp(-t/2)"}, RHO),
    "rho rises where omega falls": ({**RATIO, "omega": "-log(r)", "rho": "exp(t/2)"}, RHO),
    "rho outgrows float32": ({**LOGIT, "rho": "exp(t)"}, FINITE.format("critic real", "v", "v")),
    "f is concave": ({**CONVEX, "f": "sqrt(u)"}, CONVEXITY),
    "f is concave on a given domain": (
        {**CONVEX, "f": "sqrt(u)", "domain": [0, "oo"]},
        r"f is strictly convex: f''\(u\) > 0; found -2\.5e\+08 at u = 1e-06",
    ),
    "f is convex from 2 on": (
        {**CONVEX, "f": "(u - 2)**3"},
        r"f is strictly convex: f''\(u\) > 0; found -12 at u = 1e-06",
    ),
    "f is convex up to 5": ({**CONVEX, "f": "u*log(u) - u**2/10"}, CONVEXITY),
    "f is linear": ({**CONVEX, "f": "2*u - 2"}, CONVEXITY),
    "f is linear on a given domain": (
        {**CONVEX, "f": "2*u - 2", "domain": ["-oo", "oo"]},
        r"mine\.f: no closed-form inverse of 2 found; it must be strictly monotone in u",
    ),
    "f is a constant": ({**CONVEX, "f": "3"}, CONVEXITY),
    "f has two kinks": ({**CONVEX, "f": "abs(u - 1) + abs(u - 2)"}, r"mine\.f: one kink is allowed"),
    "f is not real": ({**CONVEX, "f": "-log(u - 1)"}, CONVEXITY),
    "activation outside the domain": ({**OVER_R, "activation": "v"}, LIES),
    "activation at the end of the domain": ({**OVER_R, "activation": "relu(v)"}, LIES),
    "activation not onto a line": ({**LOGIT, "activation": "tanh(v)"}, REACHES),
    "activation not onto a half-line": ({**OVER_R, "activation": "1 + exp(v)"}, REACHES),
    "activation not monotone": ({**LOGIT, "activation": "v**3 - v"}, MONOTONE),
    "activation falls and rises": ({**LOGIT, "activation": "v**2 - 1"}, MONOTONE),
    "activation level at 0": ({**LOGIT, "activation": "v**3"}, MONOTONE),
    "activation constant": ({**LOGIT, "activation": "1"}, MONOTONE),
    "activation not real": (
        {**LOGIT, "activation": "log(v)"},
        r"the activation lies in Omega = .*; found nan at v = -30",
    ),
    "activation outgrows float32": (
        {**OVER_R, "activation": "exp(2*v)"},
        FINITE.format("critic real", "v", "v"),
    ),
    "beta outgrows float32": ({**LOGIT, "beta": "exp(2*t)"}, FINITE.format("generator", "v", "v")),
    "beta pushes the generator away": ({**LOGIT, "beta": "exp(-t/2)"}, DRAWN),
    "beta of the wrong sign": ({**LOGIT, "beta": "-t"}, DRAWN),
    "beta pulls to the wrong target": ({**LEAST_SQUARES, "parameters": {"a": 0, "b": 1, "c": -1}}, DRAWN),
    "beta is constant": ({**LOGIT, "beta": "1"}, r"it is not flat where q = p; found 0 at r = 0\.95"),
    "d neither convex nor least at 1": (
        {**LOGIT, "beta": "-t**2"},
        r"d is not convex \(-.* at r = .*\), but lies above its tangent at r = 1; found -",
    ),
    "targets the wrong way round": (
        {**LEAST_SQUARES, "parameters": {"a": 1, "b": 0, "c": 1}},
        r"does not fall at r = 1: the critic held fixed would drive q away from p; found -",
    ),
    "a given omega is not the optimum": (
        {**DIRECT, "phi": "-(t - 1)**2", "psi": "-t**2", "omega": "2/(1 + r)"},
        STATIONARY,
    ),
    "a given step is too wide": ({**HINGE, "omega": "2*sign(1 - r)"}, TOP),
    "a given step is the wrong way round": ({**HINGE, "omega": "sign(r - 1)"}, TOP),
    "a given step is elsewhere": ({**HINGE, "omega": "sign(2 - r)"}, STEP_PLACE),
    "a given step is near by": ({**HINGE, "omega": "sign(6/5 - r)"}, STEP_PLACE),
    "the critic has a minimum": ({**DIRECT, "phi": "(t - 1)**2", "psi": "t**2"}, RHO),
    "phi is constant": ({**DIRECT, "phi": "1", "psi": "-t**2"}, r"the critic real loss depends on v"),
    "psi is constant": ({**DIRECT, "phi": "-t**2", "psi": "1"}, r"the critic fake loss depends on v"),
    "phi and psi are one function": (
        {**DIRECT, "phi": "-t**2", "psi": "-t**2"},
        r"its value on real data .* with v; found -?0 at r = 1",
    ),
    "direct activation not monotone": ({**HINGE, "activation": "v**2"}, MONOTONE),
    "direct activation outside": (
        {**DIRECT, "phi": "log(t)", "psi": "log(1 - t)", "domain": [0, 1], "activation": "v"},
        r"the activation lies in Omega = \(0, 1\); found -30 at v = -30",
    ),
    "direct outgrows float32": (
        {**DIRECT, "phi": "-exp(2*t)", "psi": "-exp(-2*t)"},
        FINITE.format("critic real", "v", "v"),
    ),
    "direct without psi": ({**DIRECT, "phi": "t"}, r"the key psi is missing; direct needs it"),
    "a pair's phi is constant": ({**PAIR, "phi": "1"}, r"phi'\(0\) is not 0: .* found 0 at delta = 0"),
    "a pair's phi without beta": (
        {**PAIR, "phi": "-distance"},
        r"mine\.beta: must be given where phi uses `distance`",
    ),
    "a pair's phi is the distance": (
        {**PAIR, "phi": "-distance", "beta": "delta"},
        r"phi'\(0\) is not 0: .* found 0 at delta = 0",
    ),
    "a pair's phi is even": ({**PAIR, "phi": "-delta**2"}, r"phi'\(0\) is not 0: .* found 0 at delta = 0"),
    "a pair's phi is unbounded": (
        {**PAIR, "phi": "delta"},
        r"phi is bounded above: no critic gains without end",
    ),
    "f has its kink elsewhere": ({**CONVEX, "f": "abs(u - 2)"}, r"it is not flat where q = p; found "),
    "beta is flat where q = p": (
        {**LOGIT, "beta": "relu(t - 3)"},
        r"it is not flat where q = p; found 0 at ",
    ),
    "alpha hides that beta drives away": (
        {**LEAST_SQUARES, "parameters": {"a": 0, "b": 1, "c": 1 / 4}, "alpha": "(t - c)**2/2"},
        r"does not fall at r = 1: the critic held fixed would drive q away from p; found -",
    ),
    "beta of the wrong sign, without omega": (
        {**DIRECT, "phi": "-relu(1 - t)", "psi": "-relu(1 + t)", "beta": "t"},
        r"the generator's loss falls towards what the critic takes for real; found -1 at v = 0",
    ),
    "a pair's phi is convex": (
        {**PAIR, "phi": "softplus(delta)"},
        r"phi is concave in delta: .* found 0\.06\d+ at delta = 0",
    ),
    "a pair's beta pushes away": ({**PAIR, "phi": "-softplus(-delta)", "beta": "softplus(-delta)"}, PULL),
    "a pair's beta is constant": ({**PAIR, "phi": "-softplus(-delta)", "beta": "1"}, PULL),
    "a pair's phi of t": (
        {**PAIR, "phi": "-t"},
        r"mine\.phi: column 2: unknown name 't'; allowed: numbers, delta, distance",
    ),
    "a pair's reference": (
        {**PAIR, "phi": "-softplus(-delta)", "reference": "mean"},
        r"mine\.reference: 'mean'; allowed: pair, average",
    ),
    "a pair outgrows float32": ({**PAIR, "phi": "-exp(-2*delta)"}, FINITE.format("critic", "delta", "delta")),
    "equal targets": ({**LEAST_SQUARES, "parameters": {"a": 1, "b": 1, "c": 1}}, NO_INVERSE),
    "a power of 0": ({**POWER, "parameters": {"a": 0}}, NO_INVERSE),
    "a power below 0": ({**POWER, "parameters": {"a": -1}}, RHO),
    "a power too small for float32": (
        {**POWER, "parameters": {"a": "1/100"}},
        FINITE.format("critic real", "v", "v"),
    ),
    "an alpha that divides by 0": (
        {**ALPHA, "parameters": {"alpha": 1}},
        r"mine\.f: column \d+: division by zero",
    ),
    "a metric has no beta": (
        {"construction": "integral_probability_metric", "beta": "t", **CITED},
        r"unknown key 'beta'; known: citation, construction, title",
    ),
    "a function that cannot be written": (
        {**RATIO, "omega": "lambertw(r)", "rho": "1"},
        r"unknown name 'lambertw'; allowed: ",
    ),
}


def test_the_entries_that_are_spoilt_are_sound():
    """What each wrong entry changes is what is refused."""
    for spec in (
        LOGIT,
        OVER_R,
        HINGE,
        POWER,
        ALPHA,
        {**CONVEX, "f": "u*log(u)"},
        {**PAIR, "phi": "-softplus(-delta)"},
    ):
        assert objective_from_spec("mine", spec).checks


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_objective_is_refused_with_the_reason(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        objective_from_spec("mine", spec, "objectives.yaml")
    assert "mine" in str(caught.value)
    assert str(caught.value).startswith("objectives.yaml: ")
    assert "\n" not in str(caught.value)
