"""Objectives side by side in one stack of networks: each takes its own slice, one backward pass serves all.

A stack holds `copies` networks per objective, the copies of the first objective first. Its raw outputs
`(objectives * copies, B)` go through the losses of training slice by slice; what comes back is their slope in
every raw output, which `StackedMLP.backward` takes from there. Copies do not see each other: the sum of the
losses has no term with two of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.objectives import Objective


@dataclass(frozen=True)
class SideBySide:
    """`objectives` in order, `copies` networks each."""

    objectives: Sequence[Objective]
    copies: int

    @property
    def size(self) -> int:
        """Networks in the stack."""
        return len(self.objectives) * self.copies

    def critic_slopes(self, v_real: Tensor, v_fake: Tensor, distance: Tensor | None = None) -> Tensor:
        """d loss / dv of the critics, fakes after reals: (size, B) and (size, B) -> (size, 2 B).

        `distance` (size, B) is |x_real - x_fake| of the pairs, for objectives that need it.
        """
        v = torch.cat([v_real, v_fake], 1).requires_grad_()
        reals = v_real.shape[1]
        parts = v.split(self.copies)
        apart = [None] * len(parts) if distance is None else distance.split(self.copies)
        losses = [
            objective.critic_loss(part[:, :reals], part[:, reals:], own if objective.needs_distance else None)
            for objective, part, own in zip(self.objectives, parts, apart, strict=True)
        ]
        (slopes,) = torch.autograd.grad(torch.cat(losses).sum(), v)
        return slopes

    def generator_slopes(self, v_fake: Tensor, v_real: Tensor | None = None) -> Tensor:
        """d loss / dv of the generators at the fakes' outputs, (size, B) -> (size, B).

        `v_real` (size, B), constants to the generator, is for objectives that compare pairs.
        """
        v = v_fake.clone().requires_grad_()
        parts = v.split(self.copies)
        reals = [None] * len(parts) if v_real is None else v_real.split(self.copies)
        losses = [
            objective.generator_loss(part, own if objective.is_paired else None)
            for objective, part, own in zip(self.objectives, parts, reals, strict=True)
        ]
        (slopes,) = torch.autograd.grad(torch.cat(losses).sum(), v)
        return slopes


class TensorAdam:
    """Adam (Kingma & Ba 2015) on a plain tensor, in place: for generators of one or two numbers."""

    def __init__(self, value: Tensor, betas: tuple[float, float]) -> None:
        self.value, self.betas, self.steps = value, betas, 0
        self.mean, self.square = torch.zeros_like(value), torch.zeros_like(value)

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """value -= learning_rate * m / (sqrt(s) + 1e-8) with the bias-corrected moments m and s."""
        first, second = self.betas
        self.steps += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.lerp_(gradient.square(), 1 - second)
        size = (self.square / (1 - second**self.steps)).sqrt() + 1e-8
        self.value -= learning_rate * self.mean / (1 - first**self.steps) / size
