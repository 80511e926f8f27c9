"""The generator's gradient at the exact optimal critic, against distance (claim V3a; V4, V5 read it too).

p = N(0, 1), q = N(d, 1), samples x = d + z. With the critic frozen at its optimum t(x) = omega(r(x)), r = q/p
and log r(x) = d (x - d/2), the pathwise gradient of the generator's loss is::

    dL_G/dd = E_q[g],   g(x) = d/dx beta(omega(r(x))) = d * h(log r(x)),   h(L) = d beta(omega(e^L)) / dL

and its per-sample standard deviation is that of g under q. omega(e^L) overflows and cancels at large |L|, so
it is never formed. The critic's raw output v is found from stationarity instead: phi_v + r psi_v = 0, or::

    l(v) = log|phi_v| - log|psi_v| = L,   h(L) = beta_v(v) / l'(v)

where the derivatives by v are autograd's in float64, of the very losses that training uses. l is monotone, so
bisection finds v; no inverse and no formula of the objective is needed.

Between these normals log r is linear in x, so every distance reads one curve h(L): it is computed once on an
even grid of L and each distance takes the part that it needs, with its own weights.

What is not of that kind is reported as what it is:

- an integral probability metric has no omega; its optimal 1-Lipschitz critic between these normals is linear
  with slope 1 (the transport moves every point by d), so its gradient is the constant |beta_v|;
- where omega is a step (total variation, hinge) the best critic is level on either side of p = q: the
  gradient is 0 with probability 1, whatever the divergence does;
- a paired objective's critic is not found from r at a point: it has no curve here.

Range: distances up to 25, relative error below 1e-6 down to gradients of 1e-33 (tests compare with mpmath);
nan where the mass of an integrand lies beyond what float64 holds, as with E_q r^2 at distance 16 (1e334).
Where the raw output is t itself and has a finite limit (least squares), v cannot be told from the limit
beyond |L| = 34; what lies there adds less than 1e-7 of the whole, because the integrand falls like
exp(-|L|/2) from L = 0.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.theory.densities import Array

STEP = 0.25
LARGEST = 15.0  # standard deviations
# Of the grid of L: log r has its poles at imaginary part pi, so the error is exp(-2 pi^2 / 0.75) = 4e-12 ...
_SPACING = 0.75
_SPACING_OF_X = 0.25  # ... and at short distances the normal density asks for more nodes: standard deviations
_LARGEST_LOG = 680.0  # exp of it and of its negative are float64 numbers of full precision
_ROUNDING = 1e-13
_RESOLVED = 0.1  # |l(v) - L| in nats
_NEGLIGIBLE = 1e-10  # |h| over its maximum
_TRUNCATED = 1e-7  # the integrand at either end of what is known, over its maximum


def distances() -> Array:
    """0.25, 0.5, ..., 15 standard deviations; not 0, where every 1-Lipschitz critic is optimal for W1."""
    return STEP * np.arange(1, round(LARGEST / STEP) + 1, dtype=np.float64)


def has_curve(objective: Objective) -> bool:
    """Whether the best critic is known between two densities: not for a function of pairs."""
    return not objective.is_paired


def is_step(objective: Objective) -> bool:
    """Whether omega is level on either side of r = 1, where it jumps."""
    if objective.formulas.omega is None:
        return False
    far, near, after, beyond = objective.omega(
        torch.tensor([1e-3, 0.5, 2.0, 1e3], dtype=torch.float64)
    ).tolist()
    return bool(far == near and after == beyond and near != after)


def critic_slopes(objective: Objective, v: Tensor) -> tuple[Tensor, Tensor]:
    """d/dv of the critic's loss on real and on fake samples of raw output `v` `(M,)`; differentiable by v."""
    real, fake = v[:, None], v[:, None]
    loss = objective.critic_loss(real, fake).sum()
    by_real, by_fake = torch.autograd.grad(loss, (real, fake), create_graph=True)
    return by_real[:, 0], by_fake[:, 0]


def log_ratio_of_output(objective: Objective, v: Tensor) -> Tensor:
    """l(v): the log r at which raw output `v` `(M,)` is optimal; -inf and inf past the ends of the domain.

    Differentiable by v wherever it is finite.
    """
    by_real, by_fake = critic_slopes(objective, v)
    sign = 1.0 if objective.real_is_high else -1.0
    towards_real, towards_fake = -sign * by_real, sign * by_fake
    ratio = towards_real.log() - towards_fake.log()
    ratio = torch.where(towards_real <= 0, -torch.inf, ratio)
    return torch.where(towards_fake <= 0, torch.inf, ratio)


def optimal_output(objective: Objective, log_ratio: Tensor) -> Tensor:
    """The raw output v with activation(v) = omega(exp(log_ratio)), `(M,)` float64, by bisection.

    nan where no output up to 2**1000 is optimal. Raises ArithmeticError when that is so for every entry.
    """
    # w = v turned so that l increases in it.
    sign = -1.0 if objective.real_is_high else 1.0

    def past(w: Tensor) -> Tensor:
        v = (sign * w).requires_grad_()
        return log_ratio_of_output(objective, v).detach() >= log_ratio

    (low, short), (high, long) = _end(past, log_ratio, -1.0), _end(past, log_ratio, 1.0)
    lost = short | long
    if bool(lost.all()):
        raise ArithmeticError("no optimal critic output below 2**1000")
    for _ in range(70):
        middle = (low + high) / 2
        beyond = past(middle)
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return sign * torch.where(lost, torch.nan, (low + high) / 2)


def _end(past: Callable[[Tensor], Tensor], like: Tensor, side: float) -> tuple[Tensor, Tensor]:
    """A bound of each root, doubled from 1 outwards only as far as needed (farther out exp overflows), and
    whether it is none."""
    end = torch.full_like(like, side)
    for _ in range(1000):
        short = past(end) if side < 0 else ~past(end)
        if not bool(short.any()):
            break
        end = torch.where(short, 2 * end, end)
    return end, short


def loss_slope(objective: Objective, log_ratio: Tensor) -> Tensor:
    """h(L) = d beta(omega(e^L)) / dL for `(M,)` values of L = log r, float64; nan where v cannot be told."""
    v = optimal_output(objective, log_ratio).requires_grad_()
    (beta_slope,) = torch.autograd.grad(objective.generator_loss(v[:, None]).sum(), v)
    ratio = log_ratio_of_output(objective, v)
    (ratio_slope,) = torch.autograd.grad(ratio.sum(), v)
    # Past the end of float64 bisection stops at the last v whose slopes are numbers, of another L.
    known = (ratio - log_ratio).abs() < _RESOLVED
    return torch.where(known, beta_slope / ratio_slope, torch.nan).detach()


def generator_gradient(objective: Objective, distance: Array) -> tuple[Array, Array]:
    """(dL_G/dd, per-sample standard deviation) at the optimal critic, per standard deviation of distance.

    `distance` `(M,)` in any order; nan where float64 cannot hold the number.
    """
    mean, deviation = np.zeros_like(distance), np.zeros_like(distance)
    if objective.needs_lipschitz:
        return mean + _slope_of_linear_critic(objective), deviation
    if is_step(objective):
        return mean, deviation
    halvings = np.maximum(0, np.ceil(np.log2(_SPACING / (_SPACING_OF_X * distance)))).astype(int)
    for level in np.unique(halvings):
        here = np.flatnonzero(halvings == level)
        spacing = _SPACING / 2.0**level
        first, last = _reach(float(distance[here].max()), spacing)
        log_ratio = spacing * torch.arange(first, last + 1, dtype=torch.float64)
        slopes = loss_slope(objective, log_ratio)
        for place in here:
            d = float(distance[place])
            start, end = _reach(d, spacing)
            part = slice(start - first, end - first + 1)
            mean[place], deviation[place] = _moments(log_ratio[part], slopes[part], d, spacing)
    return mean, deviation


def _reach(d: float, spacing: float) -> tuple[int, int]:
    """The first and the last node of L: ten standard deviations of x around the means of q and p, and around
    where an h that grows like r**2 or 1/r**2 moves the mass of the integrand of the variance."""
    left, right = min((3.5 * d + 10) * d, _LARGEST_LOG), min((4.5 * d + 10) * d, _LARGEST_LOG)
    return -int(left / spacing), int(right / spacing)


def _moments(log_ratio: Tensor, slopes: Tensor, d: float, spacing: float) -> tuple[float, float]:
    """Mean and standard deviation of g = d h(L) under q, over the nodes where h is a float64 number."""
    known = slopes.isfinite()
    if not bool(known.all()):
        # The stretch around L = 0: what is lost lies beyond it on either side.
        centre = int(log_ratio.abs().argmin())
        lost = (~known).nonzero()[:, 0]
        left = int(lost[lost < centre].max()) + 1 if bool((lost < centre).any()) else 0
        right = int(lost[lost >= centre].min()) if bool((lost >= centre).any()) else known.numel()
        if right <= left:
            return float("nan"), float("nan")
        # Where h had died away before it was lost it is 0 from there on; elsewhere nobody knows.
        negligible = _NEGLIGIBLE * slopes[left:right].abs().max()
        slopes = slopes.clone()
        if left and slopes[left].abs() <= negligible:
            slopes[:left], left = 0.0, 0
        if right < known.numel() and slopes[right - 1].abs() <= negligible:
            slopes[right:], right = 0.0, known.numel()
        log_ratio, slopes = log_ratio[left:right], slopes[left:right]
    root_q = torch.exp(-((log_ratio / d - d / 2) ** 2) / 4) / (2 * torch.pi) ** 0.25
    weight = spacing / d
    # The root of q goes in before squaring: g**2 alone may overflow.
    first = root_q * d * slopes * root_q
    if not _is_whole(first.abs()):
        return float("nan"), float("nan")
    mean = float(first.sum() * weight)
    second = (root_q * (d * slopes - mean)) ** 2
    if not _is_whole(second):
        return mean, float("nan")
    deviation = float((second.sum() * weight).sqrt())
    # A constant g (reverse KL) leaves a deviation of a few rounding errors; as a result it would be noise.
    return mean, 0.0 if deviation < _ROUNDING * abs(mean) else deviation


def _is_whole(integrand: Tensor) -> bool:
    """Whether the integrand is finite and has died away at both ends of the grid."""
    largest = float(integrand.max())
    ends = max(float(integrand[0]), float(integrand[-1]))
    return bool(integrand.sum().isfinite()) and ends <= _TRUNCATED * largest


def _slope_of_linear_critic(objective: Objective) -> float:
    v = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(objective.generator_loss(v).sum(), v)
    return float(slope.abs())


def gradient_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """generator_gradient.csv: one row per objective with a curve and distance (standard deviations).

    gradient = dL_G/dd, positive when the generator is drawn towards the data; gradient_abs;
    gradient_sd = per-sample standard deviation; gradient_over_maximum = gradient_abs over its largest value
    along the distances (0 where that is 0). All per standard deviation of distance, in the units of the loss.
    A cell is empty where float64 cannot hold the number.
    """
    d = distances()
    names = ("objective", "distance", "gradient", "gradient_abs", "gradient_sd", "gradient_over_maximum")
    columns: dict[str, list[object]] = {name: [] for name in names}
    for name, objective in objectives.items():
        if not has_curve(objective):
            continue
        gradient, deviation = generator_gradient(objective, d)
        size = np.abs(gradient)
        # Past the end of float64 the largest value is unknown, and so are the shares of it.
        largest = size.max()
        share = np.zeros_like(size) if largest == 0 else size / largest
        columns["objective"] += [name] * d.size
        for column, value in zip(names[1:], (d, gradient, size, deviation, share), strict=True):
            columns[column] += value.tolist()
    return columns
