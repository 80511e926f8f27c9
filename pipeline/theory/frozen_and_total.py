"""What alternating training follows, and what it is said to minimise (claim W7).

At the best critic the generator's loss is int p d(q/p), d = alpha(omega) + r beta(omega). Its derivative by a
parameter theta of q has two parts: q moves, and the critic follows. Training has the first only::

    frozen = E_q[L'(x) dx/dtheta s(r)],      s(r) = r d/dr beta(omega(r)),      L = log r
    total  = E_q[L'(x) dx/dtheta r d''(r)]

(integrate by parts: int p d'(r) dr/dtheta = int d'(r) dq/dtheta). They agree where alpha = phi and
beta = psi, because then d' = psi(omega): the envelope theorem. Where the generator has a loss of its own they
need not even have one sign.

Between them lies a critic that is unrolled (Metz et al. 2017, arXiv 1611.02163): the generator
differentiates through K steps of the critic's ascent. Here the critic is a free function and a step is a
damped Newton step, v <- v + DAMPING * J_v / |J_vv|, J = p phi + q psi. Started at its optimum it closes
1 - (1 - DAMPING)^K of the way in every cell, so the gradient is that share of the way from frozen to total;
it is computed by autograd through the steps all the same, and tests compare.

Derivatives are autograd's, of the losses that training uses, in the raw output v: with l(v) the log r at
which v is best, d'(r) = beta + (beta_v + alpha_v e^-l) / l', because dv/dL = 1 / l'.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.objectives.lowering import lower
from pipeline.objectives.stable import stable_form
from pipeline.theory.densities import Array, Mixture, midpoint_grid
from pipeline.theory.optimal_critic import critic_slopes, is_step, log_ratio_of_output, optimal_output
from pipeline.theory.recipe import with_omega
from pipeline.theory.tables import to_columns

DAMPING = 0.1
UNROLLED = (1, 5, 20)
# The parameter and its values: near p = N(0, 1) and far from it. Wider than sqrt(2) or narrower than
# sqrt(1/2) the chi-squared divergences are infinite.
FAMILY = (
    *(("mean", value) for value in (0.1, 1.0, 4.0, 8.0)),
    *(("std", value) for value in (0.75, 0.9, 1.1, 1.25)),
)
# Standard deviations around both means: far or narrow q move the mass of r^2 this far.
_REACH, _CELLS = 30.0, 2400
_TRUNCATED = 1e-7  # the integrand at either end, over its maximum
_ROUNDING = 1e-13
_LARGEST_LOG = 600.0


@dataclass(frozen=True)
class Moved:
    """q = N(mean, std^2) on a grid: x, widths, log q, L = log q/p, and what moves: `(cells,)` each.

    `along` is L'(x) dx/dtheta; `score` is d log q / dtheta; `towards` is 1 where theta must fall to come
    closer to p, else -1.
    """

    widths: Array
    log_p: Array
    log_q: Array
    along: Array
    score: Array
    towards: float

    @property
    def log_ratio(self) -> Array:
        return self.log_q - self.log_p


def moved(parameter: str, value: float) -> Moved:
    """q with one parameter that is not p's. Raises ValueError for one that is neither mean nor std."""
    if parameter not in ("mean", "std"):
        raise ValueError(f"moved: mean or std, not {parameter!r}")
    mean, std = (value, 1.0) if parameter == "mean" else (0.0, value)
    x, widths = midpoint_grid(min(0.0, mean) - _REACH, max(0.0, mean) + _REACH, _CELLS)
    p, q = Mixture(), Mixture((mean,), (std,))
    z = (x - mean) / std
    slope = x - z / std  # of L
    carried = np.ones_like(x) if parameter == "mean" else z  # dx / dtheta
    score = z / std if parameter == "mean" else (z**2 - 1) / std
    towards = float(np.sign(value - (0.0 if parameter == "mean" else 1.0)))
    return Moved(widths, p.log_density(x), q.log_density(x), slope * carried, score, towards)


def slopes(objective: Objective, log_ratio: Array) -> tuple[Array, Array]:
    """s(r) and r d''(r) for `(M,)` values of log r; nan where float64 does not hold them."""
    level = torch.from_numpy(np.clip(log_ratio, -_LARGEST_LOG, _LARGEST_LOG))
    v = optimal_output(objective, level).requires_grad_()
    l_slope = _by(log_ratio_of_output(objective, v), v)
    beta = _beta(objective, v)
    beta_slope = _by(beta, v)
    gain = beta + (beta_slope + _alpha_slope_over_ratio(objective, v)) / l_slope
    frozen, total = beta_slope / l_slope, _by(gain, v) / l_slope
    return frozen.detach().numpy(), total.detach().numpy()


def gradients(objective: Objective, q: Moved) -> tuple[float, float]:
    """(frozen, total), positive towards p; nan where the integral is infinite or beyond float64."""
    frozen, total = (_mean(slope, q) for slope in slopes(objective, q.log_ratio))
    # Where d is constant the two parts cancel to rounding errors.
    return frozen, 0.0 if abs(total) < _ROUNDING * abs(frozen) else total


def _mean(slope: Array, q: Moved) -> float:
    # The root of q goes in before and after: a slope may overflow where q is next to nothing.
    root = np.exp(q.log_q / 2)
    integrand = root * slope * q.along * root
    known = np.isfinite(integrand)
    inside = np.flatnonzero(known)
    if not len(inside) or not known[inside[0] : inside[-1] + 1].all():
        return float("nan")
    kept = integrand[inside[0] : inside[-1] + 1]
    if max(abs(kept[0]), abs(kept[-1])) > _TRUNCATED * np.abs(kept).max():
        return float("nan")
    return q.towards * float((kept * q.widths[known]).sum())


def unrolled(objective: Objective, q: Moved, steps: tuple[int, ...] = UNROLLED) -> list[float]:
    """The generator's gradient through K steps of its critic, for each K of `steps`, positive towards p.

    The loss E_p alpha + E_q beta, with q exp(theta * score) in place of q at theta = 0, differentiated by
    autograd through the ascent. nan where float64 does not hold a slope on cells that matter.
    """
    level = q.log_ratio
    best = optimal_output(objective, torch.from_numpy(np.clip(level, -_LARGEST_LOG, _LARGEST_LOG)))
    best_slopes = _curvature(objective, best, q)
    usable = torch.isfinite(best) & torch.isfinite(best_slopes) & (best_slopes > 0)
    lost = np.exp(np.logaddexp(q.log_p, q.log_q))[~usable.numpy()] * q.widths[~usable.numpy()]
    if lost.sum() > _TRUNCATED:
        return [float("nan")] * len(steps)
    # Both densities over the larger one: the ascent of a cell does not see the density's size.
    scale = np.maximum(q.log_p, q.log_q)
    p, own = (torch.from_numpy(np.exp(one - scale))[usable] for one in (q.log_p, q.log_q))
    mass = torch.from_numpy(np.exp(scale) * q.widths)[usable]
    score = torch.from_numpy(q.score)[usable]
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    moving = own * (theta * score).exp()
    v, curvature = best[usable].requires_grad_(), best_slopes[usable]
    found = []
    for step in range(1, max(steps) + 1):
        by_real, by_fake = critic_slopes(objective, v)
        v = v - DAMPING * (p * by_real + moving * by_fake) / curvature
        if step in steps:
            loss = (mass * (p * _alpha(objective, v) + moving * _beta(objective, v))).sum()
            (gradient,) = torch.autograd.grad(loss, theta, retain_graph=True)
            found.append(q.towards * float(gradient))
    return found


def _curvature(objective: Objective, v: Tensor, q: Moved) -> Tensor:
    """-J_vv of p and q over the larger of them, per cell."""
    v = v.clone().requires_grad_()
    scale = np.maximum(q.log_p, q.log_q)
    p, own = (torch.from_numpy(np.exp(one - scale)) for one in (q.log_p, q.log_q))
    by_real, by_fake = critic_slopes(objective, v)
    return _by(p * by_real + own * by_fake, v).detach()


def _by(function: Tensor, v: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(function.sum(), v, create_graph=True)
    return slope


def _beta(objective: Objective, v: Tensor) -> Tensor:
    return objective.generator_loss(v[:, None])


def _alpha(objective: Objective, v: Tensor) -> Tensor:
    """What p weighs in d: phi where the generator's loss is psi, else the entry's own, or 0."""
    formulas = objective.formulas
    if formulas.alpha == formulas.phi:
        zero = torch.zeros_like(v)[:, None]
        return -(objective.critic_loss(v[:, None], zero))
    t = formulas.t
    alpha = lower(stable_form(formulas.alpha, t), t)(objective.activation(v))
    return alpha + 0 * v  # a constant is a number, not a function of v


def _alpha_slope_over_ratio(objective: Objective, v: Tensor) -> Tensor:
    """alpha_v e^-l, where e^-l = p/q at the best output."""
    if objective.formulas.alpha == objective.formulas.phi:
        _, by_fake = critic_slopes(objective, v)  # phi_v + r psi_v = 0
        return by_fake
    by_real, by_fake = critic_slopes(objective, v)
    return _by(_alpha(objective, v), v) * (-by_fake / by_real)


def frozen_and_total_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """frozen_and_total.csv: one row per objective with an omega that is no step, and q.

    parameter (mean or std, in standard deviations of p) and its value; frozen, unrolled_K and total, the
    gradients by that parameter in units of the loss, positive where a step of descent brings q closer to
    p = N(0, 1). Empty where the integral is infinite or float64 does not hold it.
    """
    places = {one: moved(*one) for one in FAMILY}
    rows: list[dict[str, object]] = []
    for name, objective in with_omega(objectives).items():
        if is_step(objective):
            continue
        for (parameter, value), q in places.items():
            frozen, total = gradients(objective, q)
            known = np.isfinite(frozen) and np.isfinite(total)
            through = unrolled(objective, q) if known else [float("nan")] * len(UNROLLED)
            row = {"objective": name, "parameter": parameter, "value": value, "frozen": frozen}
            row |= {f"unrolled_{count}": one for count, one in zip(UNROLLED, through, strict=True)}
            rows.append({**row, "total": total})
    return to_columns(rows)
