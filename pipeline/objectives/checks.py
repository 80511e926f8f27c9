"""What must hold for an objective to be one, each checked on a grid in float64 with its number and place.

An `Objective` runs these when it is built and refuses to exist if one fails, so a mistake in a formula is a
message with the offending r and not a training that goes nowhere.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import sympy as sp
import torch
from torch import Tensor

from pipeline.objectives.formulas import DELTA, DISTANCE, Domain, Formulas, R, U, V, without_integrals
from pipeline.objectives.lowering import lower, stable_sigmoid
from pipeline.objectives.stable import opened, stable_form, stable_form_positive

# Six decades to either side of p = q: ratios that trained critics do meet.
R_GRID: Final = torch.logspace(-6, 6, 241, dtype=torch.float64)
V_GRID: Final = torch.linspace(-50, 50, 201, dtype=torch.float64)
# Where float64 still tells sigmoid(v) from 0 and 1, and every r of three decades is reached.
V_INNER: Final = torch.linspace(-30, 30, 121, dtype=torch.float64)

# Of quantities that vanish in exact arithmetic, relative to their terms: float64 (2e-16) and some operations.
RELATIVE: Final = 1e-10


# A distance between two samples: each of these decades.
DISTANCES: Final = (0.01, 1.0, 100.0)


@dataclass(frozen=True)
class Check:
    """One condition: what must hold, the number found, where it was worst, and whether it held.

    One that is not `required` is reported, and an objective may fail it.
    """

    name: str
    statement: str
    passed: bool
    value: float
    at: str
    required: bool = True

    def describe(self) -> str:
        return f"{self.statement}; found {self.value:.4g} at {self.at}"


def run_checks(formulas: Formulas) -> Iterator[Check]:
    """Every check that applies, in the order in which one failure explains the next.

    Lazy: a caller that stops at the first failure never evaluates what depends on it.
    """
    if formulas.reference is not None:
        yield from _paired_checks(formulas)
        return
    if formulas.f is not None:
        yield from _f_checks(formulas.f, formulas.is_step)
    yield from _activation_checks(formulas)
    if formulas.omega is not None:
        yield from _step_checks(formulas) if formulas.is_step else _omega_checks(formulas, formulas.omega)
        yield from _divergence_checks(formulas)
    yield from _loss_checks(formulas)


def _worst(
    name: str, statement: str, margin: Tensor, place: Callable[[int], str], value: Tensor | None = None
) -> Check:
    """The check that every `margin` is positive; `nan` counts as the worst. `value` is what is reported."""
    index = int(torch.where(margin.isnan(), -torch.inf, margin).argmin())
    shown = margin if value is None else value
    return Check(name, statement, bool(margin[index] > 0), float(shown[index]), place(index))


def _at(symbol: str, grid: Tensor) -> Callable[[int], str]:
    return lambda index: f"{symbol} = {float(grid[index]):.6g}"


def _f_checks(f: sp.Expr, has_kink: bool) -> Iterator[Check]:
    if has_kink:
        slopes = lower(sp.diff(f, U), U)(R_GRID)
        rise, place = slopes[-1] - slopes[0], R_GRID[slopes.diff().argmax()]
        statement = "f is convex, linear to both sides of one kink: f' rises there"
        yield Check("f_convex", statement, bool(rise > 0), float(rise), f"u = {float(place):.6g}")
    else:
        second = lower(sp.diff(f, U, 2), U)(R_GRID)
        yield _worst("f_convex", "f is strictly convex: f''(u) > 0", second, _at("u", R_GRID))
    at_one = float(f.subs(U, 1))
    yield Check("f_at_one", "f(1) = 0 after the shift", abs(at_one) < 1e-12, at_one, "u = 1")


def _without_tanh(expression: sp.Expr) -> sp.Expr:
    """In exp: 1 - tanh(x) and 1 - tanh(x)**2 would be rounded to 0 from x = 19 on."""
    return expression.replace(sp.tanh, lambda x: 1 - 2 / (1 + sp.exp(2 * x)))


def _inside(domain: Domain, expression: sp.Expr, symbol: sp.Symbol, grid: Tensor) -> Tensor:
    """How far inside Omega it lies: the distances are simplified first, or rounding would reach an end."""
    expression = _without_tanh(expression)
    gaps = [
        lower(rewritten(gap, symbol), symbol)(grid)
        for gap, end in ((expression - domain.low, domain.low), (domain.high - expression, domain.high))
        if end.is_finite
        for rewritten in (stable_form_positive if symbol == R else stable_form,)
    ]
    return torch.stack(gaps).amin(0) if gaps else lower(expression, symbol)(grid).isfinite().double()


def _activation_checks(formulas: Formulas) -> Iterator[Check]:
    t = lower(formulas.activation, V)(V_INNER)
    low, high = formulas.domain.low, formulas.domain.high
    yield _worst(
        "activation_domain",
        f"the activation lies in Omega = ({low}, {high})",
        _inside(formulas.domain, formulas.activation, V, V_INNER),
        _at("v", V_INNER),
        t,
    )
    slope = lower(sp.diff(_without_tanh(formulas.activation), V), V)(V_INNER)
    direction = slope[V_INNER.numel() // 2].sign()
    yield _worst(
        "activation_monotone",
        "the activation is strictly monotone in v",
        slope * direction,
        _at("v", V_INNER),
        slope,
    )


def _omega_checks(formulas: Formulas, omega: sp.Expr) -> Iterator[Check]:
    """Omega, monotone, reached, second order, stationarity, inverse, global maximum."""
    t, domain = formulas.t, formulas.domain
    best = lower(omega, R)(R_GRID)
    at_r = _at("r", R_GRID)
    yield _worst("omega_domain", "omega(r) lies in Omega", _inside(domain, omega, R, R_GRID), at_r, best)
    slope = lower(sp.diff(omega, R), R)(R_GRID)
    direction = slope[R_GRID.numel() // 2].sign()
    yield _worst("omega_monotone", "omega is strictly monotone in r", slope * direction, at_r, slope)
    yield _reach(formulas, best)

    # What rounding t = omega(r) to float64 does to r, relative: 1/(1 + r) holds r = 1e-6 to ten digits only.
    tolerance = RELATIVE + 4e-15 * (1 + best.abs()) / (R_GRID * slope).abs()
    rho = lower(sp.diff(formulas.psi, t), t)(best)
    phi_slope = lower(sp.diff(formulas.phi, t), t)(best)
    yield _worst("second_order", "rho(omega(r)) omega'(r) > 0", rho * slope, at_r)
    residual = (phi_slope + R_GRID * rho).abs() / (phi_slope.abs() + R_GRID * rho.abs())
    yield _worst(
        "stationarity",
        "phi'(omega(r)) + r psi'(omega(r)) = 0, relative to its terms",
        tolerance - residual,
        at_r,
        residual,
    )
    if formulas.omega_inverse is not None:
        back = (lower(formulas.omega_inverse, t)(best) / R_GRID - 1).abs()
        yield _worst(
            "inverse", "the inverse of omega gives r back, relative to r", tolerance - back, at_r, back
        )
    yield _maximum(formulas, best)
    yield _psi_at_one(formulas)


def _psi_at_one(formulas: Formulas) -> Check:
    value = float(without_integrals(formulas.psi.subs(formulas.t, formulas.omega.subs(R, 1))))
    statement = "psi(omega(1)) is finite; its constant changes no gradient"
    return Check("psi_at_one", statement, math.isfinite(value), value, "r = 1")


def _step_checks(formulas: Formulas) -> Iterator[Check]:
    """omega is a step: inside the closed domain, one jump, at r = 1 or elsewhere, and nowhere beaten."""
    best = lower(formulas.omega, R)(R_GRID)
    at_r = _at("r", R_GRID)
    low, high = float(formulas.domain.low), float(formulas.domain.high)
    inside = torch.where((best >= low) & (best <= high), 1.0, -1.0)
    yield _worst("omega_domain", "omega(r) lies in the closure of Omega", inside, at_r, best)
    steps = best.diff()
    jumps = int((steps != 0).sum())
    rise = float(best[-1] - best[0])
    one_way = bool((steps * rise >= 0).all()) and rise != 0
    statement = "omega is a step from one end of an interval to the other"
    place = R_GRID[int(steps.abs().argmax())]
    yield Check("omega_monotone", statement, one_way and jumps <= 2, rise, f"r = {float(place):.6g}")
    yield _maximum(formulas, best)
    yield _psi_at_one(formulas)


def _reach(formulas: Formulas, best: Tensor) -> Check:
    ends = lower(formulas.activation, V)(torch.tensor([-1e9, 1e9], dtype=torch.float64)).sort().values
    margin = torch.minimum(best - ends[0], ends[1] - best)
    return _worst("activation_reach", "the activation reaches omega(r)", margin, _at("r", R_GRID), best)


def _domain_grid(domain: Domain) -> Tensor:
    """Points of Omega (N,), close to its finite ends and 50 far from them."""
    line = torch.linspace(-20, 20, 801, dtype=torch.float64)
    if domain.is_line:
        return 2.5 * line
    low, high = float(domain.low), float(domain.high)
    if domain.high == sp.oo:
        return low + torch.exp(line)
    if domain.low == -sp.oo:
        return high - torch.exp(line)
    return low + (high - low) * stable_sigmoid(line)


def _maximum(formulas: Formulas, best: Tensor) -> Check:
    """J(t) = phi(t) + r psi(t) is nowhere on Omega above J(omega(r))."""
    phi, psi = lower(formulas.phi, formulas.t), lower(formulas.psi, formulas.t)
    chosen = slice(40, 201, 5)  # r from 1e-4 to 1e4
    r, t = R_GRID[chosen, None], _domain_grid(formulas.domain)
    top = phi(best[chosen, None]) + r * psi(best[chosen, None])
    scale = phi(best[chosen, None]).abs() + r * psi(best[chosen, None]).abs() + 1e-3
    excess = ((phi(t) + r * psi(t) - top) / scale).nan_to_num(nan=torch.inf, neginf=-torch.inf)
    highest, where = excess.max(dim=1)
    return _worst(
        "maximum",
        "phi(t) + r psi(t) is nowhere on Omega higher than at omega(r)",
        RELATIVE - highest,
        lambda index: f"r = {float(r[index, 0]):.6g}, t = {float(t[where[index]]):.6g}",
        highest,
    )


def _divergence_checks(formulas: Formulas) -> Iterator[Check]:
    d: sp.Expr = formulas.divergence
    at_one = float(d.subs(R, 1))
    yield Check("divergence_at_one", "d(1) = 0", abs(at_one) < 1e-12, at_one, "r = 1")
    at_r = _at("r", R_GRID)
    terms = [
        lower(part.subs(formulas.t, formulas.omega), R)(R_GRID) for part in (formulas.alpha, formulas.beta)
    ]
    total = terms[0] + R_GRID * terms[1]
    scale = 1 + terms[0].abs() + R_GRID * terms[1].abs()
    gap = (total - total[R_GRID.numel() // 2] - lower(d, R)(R_GRID)).abs() / scale
    yield _worst(
        "divergence_formula",
        "d(r) = alpha(omega(r)) + r beta(omega(r)) + constant, relative to its terms",
        RELATIVE - gap,
        at_r,
        gap,
    )
    pull = _generator_pull(formulas)
    yield pull
    pulled = pull.value > -RELATIVE
    # r^2 d''(r) against its size in the neighbourhood: rounding of a linear d must not read as concave.
    values = lower(d, R)(R_GRID)
    curvature = (
        _grid_curvature(values) if formulas.is_step else lower(sp.diff(d, R, 2), R)(R_GRID) * R_GRID**2
    )
    tolerance = 1e-12 * (1 + values.abs() + R_GRID)
    yield from _minimum_at_one(d, values, tolerance)
    convex = _worst("divergence", "d is convex: r^2 d''(r) >= 0", curvature + tolerance, at_r, curvature)
    if convex.passed:
        yield convex
        return
    if pulled:
        yield Check(
            "divergence",
            f"d is not convex (r^2 d'' = {convex.value:.3g} at {convex.at}), but int p B(q/p), "
            "B' = beta(omega), which the generator descends with the critic held fixed, is",
            True,
            convex.value,
            convex.at,
        )
        return
    slope = float(sp.diff(d, R).subs(R, 1))
    normalised = values - slope * (R_GRID - 1)
    yield _worst(
        "divergence",
        f"d is not convex (r^2 d'' = {convex.value:.3g} at {convex.at}), but d(r) - d(1) - d'(1)(r - 1) >= 0",
        normalised + tolerance,
        at_r,
        normalised,
    )


def _grid_curvature(values: Tensor) -> Tensor:
    """The second difference of d over the grid, 0 at its ends: with a kink, d'' is no function."""
    slopes = values.diff() / R_GRID.diff()
    return torch.nn.functional.pad(slopes.diff(), (1, 1)) * R_GRID


def _minimum_at_one(d: sp.Expr, values: Tensor, tolerance: Tensor) -> Iterator[Check]:
    """The article's test "d has its minimum at r = 1", as written, and with the line c (r - 1) taken off."""
    step = 1e-6
    below, above = lower(d, R)(torch.tensor([1 - step, 1 + step], dtype=torch.float64)).tolist()
    if abs(above - below) > 1e-3:  # d jumps at 1, as that of a step with another beta: it has no slope there
        return
    slope = (above - below) / (2 * step) if d.has(sp.Abs, sp.sign) else float(sp.diff(d, R).subs(R, 1))
    for name, statement, margin in (
        ("literal_minimum", "d has its minimum at r = 1 as written: d(r) >= d(1)", values),
        ("normalised_minimum", "d(r) - d(1) - d'(1)(r - 1) >= 0", values - slope * (R_GRID - 1)),
    ):
        check = _worst(name, statement, margin + tolerance, _at("r", R_GRID), margin)
        yield replace(check, required=False)


def _generator_pull(formulas: Formulas) -> Check:
    """With the critic held fixed the generator descends E_q beta(t): is it drawn to where r = q/p is small?

    Its gradient is that of int p B(q/p) with B'(r) = beta(omega(r)), a divergence where beta(omega(r)) rises.
    Objectives in which it rises in places only are told so; one in which it rises nowhere is refused: its
    generator is driven away from the data, whatever d says of the loss's value.
    """
    g: sp.Expr = formulas.beta.subs(formulas.t, formulas.omega)
    values = lower(g, R)(R_GRID)
    if formulas.is_step:
        slope = torch.nn.functional.pad(values.diff(), (0, 1)) / (1 + values.abs())
    else:
        slope = lower(sp.diff(g, R), R)(R_GRID) * R_GRID / (1 + values.abs())
    falls = ~(slope > -RELATIVE)
    statement = "beta(omega(r)) rises with r: with the critic held fixed the generator is drawn to the data"
    lowest = int(torch.where(slope.isnan(), -torch.inf, slope).argmin())
    if bool(falls.any()) and not bool(falls.all()):
        outside = R_GRID[falls]
        statement = (
            f"beta(omega(r)) rises with r in places only: between r = {float(outside.min()):.3g} and "
            f"{float(outside.max()):.3g} the critic held fixed drives the generator away"
        )
    return Check(
        "generator_pull", statement, not bool(falls.all()), float(slope[lowest]), _at("r", R_GRID)(lowest)
    )


def _loss_checks(formulas: Formulas) -> Iterator[Check]:
    """The computed form equals the formula; finite in float32 with its gradient; orientation."""
    moderate = torch.linspace(-5, 5, 41, dtype=torch.float64)
    for name, loss in formulas.losses.items():
        plain, stable = lower(opened(loss), V)(moderate), lower(formulas.stable_losses[name], V)(moderate)
        gap = (plain - stable).abs() / (1 + plain.abs())
        yield _worst(
            f"stable_{name}",
            f"{name.replace('_', ' ')} loss: as computed equal to its formula",
            1e-12 - gap,  # float64 on |v| <= 5, where neither form loses more than three digits
            _at("v", moderate),
            gap,
        )
    for name, loss in formulas.stable_losses.items():
        yield _finite(name, loss)
    yield _orientation(formulas)


def _finite(name: str, loss: sp.Expr, symbol: sp.Symbol = V, distance: float = 1.0) -> Check:
    letter = symbol.name
    if not loss.has(symbol):
        statement = f"the {name.replace('_', ' ')} loss depends on {letter}"
        return Check(f"finite_{name}", statement, False, 0.0, f"every {letter} (its slope)")
    v = V_GRID.float().requires_grad_()
    with torch.enable_grad():
        value = lower(loss, symbol, DISTANCE)(v, torch.full_like(v, distance))
        (slope,) = torch.autograd.grad(value.sum(), v)
    size = torch.maximum(value.detach().abs(), slope.abs())
    margin = torch.where(size.isfinite(), 1.0, -1.0)
    return _worst(
        f"finite_{name}",
        f"{name.replace('_', ' ')} loss: value and gradient finite in float32, |{letter}| <= 50",
        margin if bool((margin < 0).any()) else 1 / (1 + size),  # the largest, where all are finite
        _at(letter, V_GRID),
        size,
    )


def real_is_high(formulas: Formulas) -> bool:
    """Whether the best raw output v is higher where p/q is: omega falls in r as the activation rises in v."""
    activation_rises = bool(sp.diff(formulas.activation, V).subs(V, 0) > 0)
    if formulas.reference is not None:
        return bool(_slope_at_zero(formulas.phi) > 0)
    if formulas.omega is None:
        gain = lower(sp.diff(formulas.phi, formulas.t), formulas.t)(_centre(formulas))
        return bool(gain > 0) == activation_rises
    low, high = lower(formulas.omega, R)(torch.tensor([0.5, 2.0], dtype=torch.float64))
    return bool(high < low) == activation_rises


def _orientation(formulas: Formulas) -> Check:
    """Read off the loss, not off omega: what the critic gains on real data as v rises."""
    rises = 1.0 if bool(sp.diff(formulas.activation, V).subs(V, 0) > 0) else -1.0
    gain = rises * float(lower(sp.diff(formulas.phi, formulas.t), formulas.t)(_centre(formulas)))
    high = real_is_high(formulas)
    return Check(
        "orientation",
        f"the critic is high on {'real' if high else 'fake'}: its value on real data "
        f"{'rises' if high else 'falls'} with v",
        (gain > 0) == high and gain != 0,
        gain,
        "r = 1",
    )


def _centre(formulas: Formulas) -> Tensor:
    """The output at which orientation is read: the best one at r = 1, or that of v = 0."""
    known = formulas.omega is not None
    start = formulas.omega.subs(R, 1) if known else formulas.activation.subs(V, 0)
    return torch.tensor([float(start)], dtype=torch.float64)


def _slope_at_zero(function: sp.Expr) -> sp.Expr:
    return sp.diff(function, DELTA).subs({DELTA: 0, DISTANCE: 1})


def _paired_checks(formulas: Formulas) -> Iterator[Check]:
    """Of phi(delta) and beta(delta): the critic gains by telling apart, and has no second optimum."""
    phi, beta = formulas.phi, formulas.beta
    gain = float(_slope_at_zero(phi))
    high = "real" if gain > 0 else "fake"
    yield Check("pair_gain", f"phi'(0) is not 0: the critic is high on {high}", gain != 0, gain, "delta = 0")
    for distance in DISTANCES:
        at = _at_distance(formulas, distance)
        scale = torch.full_like(V_GRID, distance)
        curvature = lower(sp.diff(phi, DELTA, 2), DELTA, DISTANCE)(V_GRID, scale)
        yield _worst(
            "pair_concave",
            "phi is concave in delta: every best critic is a global one",
            1e-12 - curvature,
            at,
            curvature,
        )
        pull = lower(sp.diff(beta, DELTA), DELTA, DISTANCE)(V_GRID, scale) * math.copysign(1, gain)
        yield _worst(
            "pair_pull",
            "beta rises with delta on the critic's side: the generator wants fakes to look like reals",
            pull,
            at,
        )
        for name, loss in formulas.stable_losses.items():
            yield _finite(name, loss, DELTA, distance)


def _at_distance(formulas: Formulas, distance: float) -> Callable[[int], str]:
    ending = f", distance = {distance:g}" if formulas.needs_distance else ""
    return lambda index: f"delta = {float(V_GRID[index]):.6g}{ending}"
