"""The generator's gradient at the exact optimal critic, against distance (claim V3a; V4, V5 read it too).

p = N(0, 1), q = N(d, 1), samples x = d + z. With the critic frozen at its optimum t(x) = omega(r(x)), r = q/p
and log r(x) = d (x - d/2), the pathwise gradient of the generator's loss is::

    dL_G/dd = E_q[g],   g(x) = d/dx beta(omega(r(x))) = d * h(log r(x)),   h(L) = d beta(omega(e^L)) / dL

and its per-sample standard deviation is that of g under q. omega(e^L) overflows and cancels at large |L|, so
it is never formed. The critic's raw output v is found from stationarity instead: phi_v + r psi_v = 0, or::

    l(v) = log|phi_v| - log|psi_v| = L,   h(L) = beta_v(v) / l'(v)

where the derivatives by v are autograd's in float64, of the very losses that training uses. l is monotone, so
bisection finds v; no inverse and no formula of the objective is needed.

An integral probability metric has no omega. Its optimal 1-Lipschitz critic between these normals is linear
with slope 1 (the transport moves every point by d), so its gradient is the constant |beta_v|.

Range: distances up to 25, relative error below 1e-6 down to gradients of 1e-33 (tests compare with mpmath).
Where the raw output is t itself and has a finite limit (least squares), v cannot be told from the limit
beyond |L| = 36; what lies there adds less than 1e-8 of the whole, because the integrand falls like
exp(-|L|/2) from L = 0.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.theory.densities import Array

STEP = 0.1
LARGEST = 15.0  # standard deviations
_SPACING = 0.75  # of the nodes, over 1/d: log r has its poles at imaginary part pi, so the error is 4e-12
_LARGEST_LOG = 680.0  # exp of it and of its negative are float64 numbers of full precision
_ROUNDING = 1e-13
_TRUNCATED = 1e-8  # the integrand at either end of the grid, over its maximum


def distances() -> Array:
    """0.1, 0.2, ..., 15 standard deviations; not 0, where every critic of slope up to 1 is optimal for W1."""
    return STEP * np.arange(1, round(LARGEST / STEP) + 1, dtype=np.float64)


def log_ratio_of_output(objective: Objective, v: Tensor) -> Tensor:
    """l(v): the log r at which raw output `v` `(M,)` is optimal; -inf and inf past the ends of the domain.

    Differentiable by v wherever it is finite.
    """
    real, fake = v[:, None], v[:, None]
    loss = objective.critic_loss(real, fake).sum()
    by_real, by_fake = torch.autograd.grad(loss, (real, fake), create_graph=True)
    sign = 1.0 if objective.real_is_high else -1.0
    towards_real, towards_fake = -sign * by_real[:, 0], sign * by_fake[:, 0]
    ratio = towards_real.log() - towards_fake.log()
    ratio = torch.where(towards_real <= 0, -torch.inf, ratio)
    return torch.where(towards_fake <= 0, torch.inf, ratio)


def optimal_output(objective: Objective, log_ratio: Tensor) -> Tensor:
    """The raw output v with activation(v) = omega(exp(log_ratio)), `(M,)` float64, by bisection.

    Raises ArithmeticError when no output up to 2**1000 is optimal.
    """
    # w = v turned so that l increases in it.
    sign = -1.0 if objective.real_is_high else 1.0

    def past(w: Tensor) -> Tensor:
        v = (sign * w).requires_grad_()
        return log_ratio_of_output(objective, v).detach() >= log_ratio

    low, high = _bracket(past, log_ratio)
    for _ in range(70):
        middle = (low + high) / 2
        beyond = past(middle)
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return sign * (low + high) / 2


def _bracket(past: Callable[[Tensor], Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds around each root, doubled from 1 outwards only as far as needed: farther out exp overflows."""
    ends = []
    for side in (-1.0, 1.0):
        end = torch.full_like(like, side)
        for _ in range(1000):
            short = past(end) if side < 0 else ~past(end)
            if not bool(short.any()):
                break
            end = torch.where(short, 2 * end, end)
        else:
            raise ArithmeticError("no optimal critic output below 2**1000")
        ends.append(end)
    return ends[0], ends[1]


def loss_slope(objective: Objective, log_ratio: Tensor) -> Tensor:
    """h(L) = d beta(omega(e^L)) / dL for `(M,)` values of L = log r, float64."""
    v = optimal_output(objective, log_ratio).requires_grad_()
    (beta_slope,) = torch.autograd.grad(objective.generator_loss(v[:, None]).sum(), v)
    ratio = log_ratio_of_output(objective, v)
    (ratio_slope,) = torch.autograd.grad(ratio.sum(), v)
    # Where v has rounded to the end of its domain, t stands still: l is infinite there and so is its slope.
    return torch.where(ratio.isfinite(), beta_slope / ratio_slope, 0.0).detach()


def generator_gradient(objective: Objective, distance: Array) -> tuple[Array, Array]:
    """(dL_G/dd, per-sample standard deviation) at the optimal critic, per standard deviation of distance.

    Raises ArithmeticError when an integrand has not died away at the ends of the grid.
    """
    if objective.needs_lipschitz:
        slope = _slope_of_linear_critic(objective)
        return np.full_like(distance, slope), np.zeros_like(distance)
    d = torch.from_numpy(distance)[:, None]
    # x - d/2: ten standard deviations around the means of q and p, and around where an h that grows like r
    # or 1/r moves the mass of the integrand of the variance.
    left = -torch.minimum(1.5 * d + 10, _LARGEST_LOG / d)
    right = torch.minimum(2.25 * d + 10, _LARGEST_LOG / d)
    nodes = max(400, int(((right - left) * d).max() / _SPACING))
    centred = left + (right - left) * ((torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes)
    weights = (right - left) / nodes
    slopes = loss_slope(objective, (d * centred).ravel()).reshape(centred.shape)
    root_q = torch.exp(-((centred - d / 2) ** 2) / 4) / (2 * torch.pi) ** 0.25
    # The root of q goes in before squaring: g**2 alone may overflow.
    first = torch.nan_to_num(root_q * d * slopes, nan=torch.inf) * root_q
    mean = (first * weights).sum(-1, keepdim=True)
    second = (root_q * (d * slopes - mean)) ** 2
    for integrand in (first.abs(), second):
        _check_ends(objective.name, integrand, distance)
    deviation = (second * weights).sum(-1).sqrt()
    # A constant g (reverse KL) leaves a deviation of a few rounding errors; as a result it would be noise.
    deviation = torch.where(deviation < _ROUNDING * mean[:, 0].abs(), 0.0, deviation)
    return mean[:, 0].numpy(), deviation.numpy()


def _slope_of_linear_critic(objective: Objective) -> float:
    v = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(objective.generator_loss(v).sum(), v)
    return float(slope.abs())


def _check_ends(name: str, integrand: Tensor, distance: Array) -> None:
    ends = torch.maximum(integrand[:, 0], integrand[:, -1])
    largest = integrand.max(dim=-1).values
    bad = ~(largest.isfinite() & (ends <= _TRUNCATED * largest))
    if bool(bad.any()):
        at = float(distance[int(bad.nonzero()[0, 0])])
        raise ArithmeticError(f"optimal critic: {name}: the integrand at distance {at:g} leaves the grid")


def gradient_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """generator_gradient.csv: one row per objective and distance (standard deviations).

    gradient = dL_G/dd, positive when the generator is drawn towards the data; gradient_abs;
    gradient_sd = per-sample standard deviation; gradient_over_maximum = gradient_abs over its largest value
    along the distances. All per standard deviation of distance, in the units of the loss.
    """
    d = distances()
    columns: dict[str, list[object]] = {
        name: []
        for name in (
            "objective",
            "distance",
            "gradient",
            "gradient_abs",
            "gradient_sd",
            "gradient_over_maximum",
        )
    }
    for name, objective in objectives.items():
        gradient, deviation = generator_gradient(objective, d)
        size = np.abs(gradient)
        values = (gradient, size, deviation, size / size.max())
        columns["objective"] += [name] * d.size
        for column, value in zip(list(columns)[1:], (d, *values), strict=True):
            columns[column] += value.tolist()
    return columns
