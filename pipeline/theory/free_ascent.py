"""Gradient ascent of a critic that is a free function, for every objective with an omega (claims D1, D2, D3).

A critic in function space has one raw output v per cell. With p and q the densities in a cell of volume w and
t = a(v) in Omega, it gains::

    J(v) = sum_cells w [p phi(a(v)) + q psi(a(v))]

The Hessian of J is diagonal: each cell is solved alone. Per unit of a cell's mass w (p + q) the gain has the
slope and the curvature::

    g' = D phi_v + (1 - D) psi_v,    g'' = D phi_vv + (1 - D) psi_vv,    D = p/(p + q)

both autograd's, of the losses that training uses. Where g'' < 0 the step is Newton's, -g'/g''; elsewhere
(some gains are not concave in v, those of a step nowhere strictly) it goes uphill as far as it may. No step
is longer than the cell's reach: 1 at first, doubled after a step that used all of it and went the way of the
one before, halved when the slope changes sign. So a best output at 1e6 is reached in twenty steps, and a
kink, where Newton's step does not exist, by bisection. Neither omega nor its inverse nor d is used; what the
outputs say of p/(p + q) is read off afterwards by `discriminator`.

Concavity is not needed to end at the maximum: phi' + r psi' = rho(t) (r - omega^-1(t)), with rho of the sign
of omega', changes sign once, so the gain of a cell rises up to omega(r) and falls behind it, whatever the
coordinate.

A cell has arrived when its step is below `TOLERANCE` of 1 + |v|, which a last Newton step then squares, or
promises less than `NEGLIGIBLE` of gain: the best output of total variation is infinite.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.theory.densities import Array
from pipeline.theory.optimal_critic import critic_slopes

MAX_STEPS = 300
TOLERANCE = 1e-10
NEGLIGIBLE = 1e-30  # loss; a cell of 1e-14 of the mass whose D is still 1e-7 off promises more


@dataclass(frozen=True)
class Cells:
    """log p, log q and the volumes w of the cells of a grid in any dimension: `(cells,)` each."""

    log_p: Array
    log_q: Array
    weights: Array

    @property
    def mass(self) -> Array:
        """w (p + q): sums to 2."""
        mass: Array = np.exp(np.logaddexp(self.log_p, self.log_q)) * self.weights
        return mass

    @property
    def discriminator(self) -> Array:
        """p/(p + q), the closed form."""
        return torch.sigmoid(torch.from_numpy(self.log_p - self.log_q)).numpy()

    def with_mass(self, share: float) -> NDArray[np.bool_]:
        """Whether a cell's density (p + q)/2 is above `share` of the largest one."""
        density = np.logaddexp(self.log_p, self.log_q)
        inside: NDArray[np.bool_] = density > density.max() + np.log(share)
        return inside


@dataclass(frozen=True)
class Moment:
    """The outputs `(starts, cells)` after a number of steps, the largest g'' met up to there, and whether
    every cell has arrived."""

    steps: int
    v: Array
    curvature_max: float
    is_end: bool


def gain_slopes(objective: Objective, v: Tensor, of_real: Tensor) -> tuple[Tensor, Tensor]:
    """(g', g'') of cells with raw outputs `v` and D = `of_real`, `(M,)` each."""
    v = v.detach().clone().requires_grad_()
    by_real, by_fake = critic_slopes(objective, v)
    slope = -(of_real * by_real + (1 - of_real) * by_fake)
    if not slope.requires_grad:  # piecewise linear
        return slope, torch.zeros_like(slope)
    (curvature,) = torch.autograd.grad(slope.sum(), v, allow_unused=True, materialize_grads=True)
    return slope.detach(), curvature


class FreeCritic:
    """The raw outputs of `(M,)` cells and the reach of their next steps."""

    def __init__(self, objective: Objective, v: Tensor) -> None:
        self.objective, self.v = objective, v.clone()
        self.reach = torch.ones_like(v)
        self._side = torch.zeros_like(v)  # the sign of the last slope

    def step(self, of_real: Tensor, at: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the cells `at`, whose D are `of_real`: (their moves, g' and g'' before), `(at,)` each.

        Raises ArithmeticError where a slope is not a number.
        """
        slope, curvature = gain_slopes(self.objective, self.v[at], of_real)
        if not bool((slope.isfinite() & curvature.isfinite()).all()):
            raise ArithmeticError(f"free critic: {self.objective.name}: a slope is not finite")
        side, before, reach = slope.sign(), self._side[at], self.reach[at]
        reach = torch.where(side * before < 0, reach / 2, reach)
        wanted = torch.where(curvature < 0, -slope / curvature, side * torch.inf).nan_to_num(nan=0.0)
        move = wanted.clamp(-reach, reach)
        is_short = (side * before > 0) & (move.abs() == reach)
        self.v[at] += move
        self.reach[at] = torch.where(is_short, 2 * reach, reach)
        self._side[at] = side
        return move, slope, curvature


def climb(objective: Objective, start: Array, cells: Cells) -> Iterator[Moment]:
    """The ascent from `start` `(starts, cells)`, moment by moment; the first is the start itself.

    Cells that have arrived stay. Ends with the moment in which all have. Raises ArithmeticError when
    `MAX_STEPS` steps do not do.
    """
    critic = FreeCritic(objective, torch.from_numpy(start).reshape(-1))
    of_real = torch.sigmoid(torch.from_numpy(cells.log_p - cells.log_q)).repeat(len(start))
    mass = torch.from_numpy(cells.mass).repeat(len(start))
    moving = torch.arange(critic.v.numel())
    curvature_max = -np.inf
    for steps in range(MAX_STEPS + 1):
        yield Moment(steps, critic.v.reshape(start.shape).numpy().copy(), curvature_max, not moving.numel())
        if not moving.numel():
            return
        move, slope, curvature = critic.step(of_real[moving], moving)
        curvature_max = max(curvature_max, float(curvature.max()))
        is_small = move.abs() <= TOLERANCE * (1 + critic.v[moving].abs())
        promises = mass[moving] * (slope * move).abs() > NEGLIGIBLE
        moving = moving[~is_small & promises]
    raise ArithmeticError(f"free critic: {objective.name}: no optimum within {MAX_STEPS} steps")


def ascend(objective: Objective, start: Array, cells: Cells) -> Moment:
    """Where `climb` ends."""
    *_, end = climb(objective, start, cells)
    return end


def discriminator(objective: Objective, v: Array) -> Array:
    """The p/(p + q) that raw outputs say: 1/(1 + omega^-1(t)), any shape.

    Raises UserError for a step, which says no more than which of p and q is larger.
    """
    ratio = objective.density_ratio(objective.activation(torch.from_numpy(v)))
    return (1 / (1 + 1 / ratio)).numpy()


def gain_on_cells(objective: Objective, cells: Cells) -> float:
    """sum w [p phi(omega) + q psi(omega)], omega = omega(q/p): the formula, on the cells of the ascent."""
    t = objective.omega(torch.from_numpy(np.exp(cells.log_q - cells.log_p)))
    gain = np.exp(cells.log_p) * objective.phi(t).numpy() + np.exp(cells.log_q) * objective.psi(t).numpy()
    return float((gain * cells.weights).sum())
