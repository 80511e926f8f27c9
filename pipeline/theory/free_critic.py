"""The best critic in function space, cell by cell, without any formula for it (claims W1, W2, W5, W9).

A critic that is a free function has one raw output v per cell, and with p and q the densities there::

    J(v) = p phi(a(v)) + q psi(a(v)),      t = a(v) in Omega

Each cell is solved alone. dJ/dv, autograd's for the losses that training uses, has a sign at each of 1871
outputs from -1e20 to 1e20, even in asinh v. Where J rises up to one place and falls after it, bisection in
between finds the only maximum; where it turns more often, the highest value of phi and psi decides which.
Neither omega nor its inverse nor d is used.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.theory.densities import Array
from pipeline.theory.optimal_critic import critic_slopes

_OUTPUTS = torch.sinh(torch.linspace(-46.75, 46.75, 1871, dtype=torch.float64))
_BISECTIONS = 60  # of a bracket between grid points: 2**-60 of it is below the rounding of v


@dataclass(frozen=True)
class Best:
    """The best outputs `(cells,)`: raw and in Omega."""

    v: Array
    t: Array


def best_output(objective: Objective, log_ratio: Array) -> Best:
    """The maximiser of phi + r psi for each log r `(cells,)`, found numerically."""
    r = torch.from_numpy(log_ratio)
    # Both weights are at most 1: p/(p + q) and q/(p + q).
    of_real, of_fake = torch.sigmoid(-r), torch.sigmoid(r)
    low, high = torch.empty_like(r), torch.empty_like(r)
    slopes = [one.detach() for one in critic_slopes(objective, _OUTPUTS.clone().requires_grad_())]
    for start in range(0, r.numel(), 500):  # cells at once: 7 MB
        part = slice(start, start + 500)
        rise = -(of_real[part, None] * slopes[0] + of_fake[part, None] * slopes[1])
        low[part], high[part] = _bracket(objective, rise, of_real[part], of_fake[part])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        by_real, by_fake = critic_slopes(objective, middle.clone().requires_grad_())
        rises = -(of_real * by_real + of_fake * by_fake).detach() > 0
        low, high = torch.where(rises, middle, low), torch.where(rises, high, middle)
    v = (low + high) / 2
    return Best(v.numpy(), objective.activation(v).numpy())


def _bracket(objective: Objective, rise: Tensor, of_real: Tensor, of_fake: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs around the maximum of each cell, from dJ/dv on the grid `(cells, outputs)`."""
    place = torch.arange(_OUTPUTS.numel())
    last = _OUTPUTS.numel() - 1
    # A slope that is 0 or no number, where the losses have levelled or overflowed, says nothing.
    last_rise = torch.where(rise > 0, place, 0).amax(dim=1)
    first_fall = torch.where(rise < 0, place, last).amin(dim=1)
    turns = last_rise > first_fall
    if bool(turns.any()):
        top = _highest(objective, of_real[turns], of_fake[turns])
        last_rise[turns], first_fall[turns] = (top - 2).clamp(0, last), (top + 2).clamp(0, last)
    return _OUTPUTS[last_rise], _OUTPUTS[first_fall]


def _highest(objective: Objective, of_real: Tensor, of_fake: Tensor) -> Tensor:
    t = objective.activation(_OUTPUTS)
    real, fake = (
        torch.where(one.isfinite(), one, -torch.inf) for one in (objective.phi(t), objective.psi(t))
    )
    values = of_real[:, None] * real + of_fake[:, None] * fake
    return values.nan_to_num(nan=-torch.inf).argmax(dim=1)


def critic_value(objective: Objective, v: Array, log_p: Array, log_q: Array, weights: Array) -> float:
    """E_p phi + E_q psi, from the losses of training, with one raw output `v` per cell.

    The loss of a real and a fake sample is a sum of two parts; each is told from the other by holding the
    other's output at 0, which is exact because p and q have mass 1.
    """
    output = torch.from_numpy(v)[:, None]
    zero = torch.zeros_like(output)
    both = objective.critic_loss(zero, zero)
    real = (objective.critic_loss(output, zero) - both).numpy()
    fake = (objective.critic_loss(zero, output) - both).numpy()
    total = np.exp(log_p) * real + np.exp(log_q) * fake
    if not bool(np.isfinite(total).all()):
        raise ArithmeticError(f"free critic: {objective.name}: the loss is not finite at its optimum")
    return -float((total * weights).sum()) - float(both[0])
