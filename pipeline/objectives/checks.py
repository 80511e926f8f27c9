"""What must hold for an objective to be one, each checked on a grid in float64 with its number and place.

An `Objective` runs these when it is built and refuses to exist if one fails, so a mistake in a formula is a
message with the offending r and not a training that goes nowhere.
"""

import math
from collections.abc import Iterator

import sympy as sp
import torch
from torch import Tensor

from pipeline.objectives.checking import R_GRID, RELATIVE, V_GRID, V_INNER, Check, at_point, rounding, worst
from pipeline.objectives.divergence_checks import divergence_checks
from pipeline.objectives.formulas import Domain, Formulas, R, U, V, without_integrals, without_tanh
from pipeline.objectives.loss_checks import loss_checks, paired_checks, real_is_high
from pipeline.objectives.lowering import lower
from pipeline.objectives.stable import stable_form, stable_form_positive


def run_checks(formulas: Formulas) -> Iterator[Check]:
    """Every check that applies, in the order in which one failure explains the next.

    Lazy: a caller that stops at the first failure never evaluates what depends on it.
    """
    if formulas.reference is not None:
        yield from paired_checks(formulas)
        return
    if formulas.f is not None:
        yield from _f_checks(formulas.f, formulas.is_step)
    yield from _activation_checks(formulas)
    if formulas.omega is not None:
        yield from (_step_checks if formulas.is_step else _omega_checks)(formulas, formulas.omega)
        yield from divergence_checks(formulas)
    elif not formulas.needs_lipschitz:
        yield _bounded(formulas)
    yield from loss_checks(formulas)
    if formulas.omega is None:
        yield _direct_pull(formulas)


def _f_checks(f: sp.Expr, has_kink: bool) -> Iterator[Check]:
    if has_kink:
        slopes = lower(sp.diff(f, U), U)(R_GRID)
        rise, place = slopes[-1] - slopes[0], R_GRID[slopes.diff().argmax()]
        statement = "f is convex, linear to both sides of one kink: f' rises there"
        yield Check("f_convex", statement, bool(rise > 0), float(rise), f"u = {float(place):.6g}")
    else:
        second = lower(sp.diff(f, U, 2), U)(R_GRID)
        yield worst("f_convex", "f is strictly convex: f''(u) > 0", second, at_point("u", R_GRID))
    at_one = float(f.subs(U, 1))
    yield Check("f_at_one", "f(1) = 0 after the shift", abs(at_one) < 1e-12, at_one, "u = 1")


def _inside(domain: Domain, expression: sp.Expr, symbol: sp.Symbol, grid: Tensor) -> Tensor:
    """How far inside Omega it lies: the distances are simplified first, or rounding would reach an end."""
    expression = without_tanh(expression)
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
    yield worst(
        "activation_domain",
        f"the activation lies in Omega = ({low}, {high})",
        _inside(formulas.domain, formulas.activation, V, V_INNER),
        at_point("v", V_INNER),
        t,
    )
    slope = lower(formulas.activation_slope, V)(V_GRID)
    direction = slope[V_GRID.numel() // 2].sign()
    yield worst(
        "activation_monotone",
        "the activation is strictly monotone in v",
        slope * direction,
        at_point("v", V_GRID),
        slope,
    )


def _omega_checks(formulas: Formulas, omega: sp.Expr) -> Iterator[Check]:
    """Omega, monotone, reached, second order, stationarity, inverse, global maximum."""
    t, domain = formulas.t, formulas.domain
    best = lower(omega, R)(R_GRID)
    at_r = at_point("r", R_GRID)
    yield worst("omega_domain", "omega(r) lies in Omega", _inside(domain, omega, R, R_GRID), at_r, best)
    slope = lower(sp.diff(omega, R), R)(R_GRID)
    direction = slope[R_GRID.numel() // 2].sign()
    yield worst("omega_monotone", "omega is strictly monotone in r", slope * direction, at_r, slope)
    yield _reach(formulas, best)

    tolerance = rounding(best, slope)
    phi_slope, rho = (lower(formulas.slopes[name], t)(best) for name in ("phi", "psi"))
    yield worst("second_order", "rho(omega(r)) omega'(r) > 0", rho * slope, at_r)
    residual = (phi_slope + R_GRID * rho).abs() / (phi_slope.abs() + R_GRID * rho.abs())
    yield worst(
        "stationarity",
        "phi'(omega(r)) + r psi'(omega(r)) = 0, relative to its terms",
        tolerance - residual,
        at_r,
        residual,
    )
    if formulas.omega_inverse is not None:
        back = (lower(formulas.omega_inverse, t)(best) / R_GRID - 1).abs()
        yield worst(
            "inverse", "the inverse of omega gives r back, relative to r", tolerance - back, at_r, back
        )
    yield _maximum(formulas, best)
    yield _psi_at_one(formulas, omega)


def _psi_at_one(formulas: Formulas, omega: sp.Expr) -> Check:
    value = float(without_integrals(formulas.psi.subs(formulas.t, omega.subs(R, 1))))
    statement = "psi(omega(1)) is finite; its constant changes no gradient"
    return Check("psi_at_one", statement, math.isfinite(value), value, "r = 1")


def _step_checks(formulas: Formulas, omega: sp.Expr) -> Iterator[Check]:
    """omega is a step: inside the closed domain, one jump, at r = 1 or elsewhere, and nowhere beaten."""
    best = lower(omega, R)(R_GRID)
    at_r = at_point("r", R_GRID)
    low, high = float(formulas.domain.low), float(formulas.domain.high)
    inside = torch.where((best >= low) & (best <= high), 1.0, -1.0)
    yield worst("omega_domain", "omega(r) lies in the closure of Omega", inside, at_r, best)
    steps = best.diff()
    jumps = int((steps != 0).sum())
    rise = float(best[-1] - best[0])
    one_way = bool((steps * rise >= 0).all()) and rise != 0
    statement = "omega is a step from one end of an interval to the other"
    place = R_GRID[int(steps.abs().argmax())]
    yield Check("omega_monotone", statement, one_way and jumps <= 2, rise, f"r = {float(place):.6g}")
    yield _step_place(formulas, omega, best)
    yield _maximum(formulas, best)
    yield _psi_at_one(formulas, omega)


def _step_place(formulas: Formulas, omega: sp.Expr, best: Tensor) -> Check:
    """The jump is where both levels are equally good: phi(low) + r psi(low) = phi(high) + r psi(high)."""
    levels = torch.stack([best[0], best[-1]])
    phi, psi = (lower(one, formulas.t)(levels) for one in (formulas.phi, formulas.psi))
    place = -float(phi[1] - phi[0]) / float(psi[1] - psi[0])
    sides = lower(omega, R)(place * torch.tensor([1 - 1e-6, 1 + 1e-6], dtype=torch.float64))
    gap = float((sides - levels).abs().max())
    statement = "omega steps where both its levels are equally good"
    return Check("step_place", statement, gap == 0, gap, f"r = {place:.6g}")


def _reach(formulas: Formulas, best: Tensor) -> Check:
    ends = lower(formulas.activation, V)(torch.tensor([-1e9, 1e9], dtype=torch.float64)).sort().values
    margin = torch.minimum(best - ends[0], ends[1] - best)
    return worst("activation_reach", "the activation reaches omega(r)", margin, at_point("r", R_GRID), best)


def _direct_pull(formulas: Formulas) -> Check:
    """Without omega: at v = 0 the generator's loss falls towards what the critic takes for real."""
    towards_real = 1.0 if real_is_high(formulas) else -1.0
    slope = lower(formulas.loss_slopes["generator"], V)(torch.zeros(1, dtype=torch.float64))
    pull = -towards_real * float(slope)
    statement = "the generator's loss falls towards what the critic takes for real"
    return Check("generator_pull", statement, pull > 0, pull, "v = 0")


def _bounded(formulas: Formulas) -> Check:
    """Without omega: phi + r psi must have stopped to grow before the ends of |v| <= 50."""
    r = torch.logspace(-2, 2, 9, dtype=torch.float64)[:, None]
    real, fake = (
        -lower(formulas.stable_losses[name], V)(V_GRID)[None] for name in ("critic_real", "critic_fake")
    )
    gain = real + r * fake
    inner = gain[:, V_GRID.abs() <= 40].amax(1)
    growth = (gain.amax(1) - inner) / (1 + inner.abs())
    return worst(
        "bounded",
        "phi(t) + r psi(t) has a maximum over t (an integral_probability_metric needs none)",
        1e-3 - growth,
        lambda index: f"r = {float(r[index, 0]):.6g}, |v| = 50",
        growth,
    )


def _maximum(formulas: Formulas, best: Tensor) -> Check:
    """J(t) = phi(t) + r psi(t) is nowhere on Omega above J(omega(r))."""
    phi, psi = lower(formulas.phi, formulas.t), lower(formulas.psi, formulas.t)
    chosen = slice(40, 201, 5)  # r from 1e-4 to 1e4
    r, t = R_GRID[chosen, None], lower(formulas.activation, V)(V_GRID)
    real, fake = (
        -lower(formulas.stable_losses[name], V)(V_GRID)[None] for name in ("critic_real", "critic_fake")
    )
    top = phi(best[chosen, None]) + r * psi(best[chosen, None])
    scale = phi(best[chosen, None]).abs() + r * psi(best[chosen, None]).abs() + 1e-3
    excess = ((real + r * fake - top) / scale).nan_to_num(nan=torch.inf, neginf=-torch.inf)
    highest, where = excess.max(dim=1)
    return worst(
        "maximum",
        "phi(t) + r psi(t) is nowhere on Omega higher than at omega(r)",
        RELATIVE - highest,
        lambda index: f"r = {float(r[index, 0]):.6g}, t = {float(t[where[index]]):.6g}",
        highest,
    )
