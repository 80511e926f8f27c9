"""What a player of the game learns from a batch: the gradients of one update, all seeds at once."""

import torch
from torch import Tensor

from pipeline.config import Penalty
from pipeline.networks import StackedMLP
from pipeline.objectives import Objective
from pipeline.penalties import add_penalty_gradient, penalty_points


def critic_gradient(
    objective: Objective, penalty: Penalty, critic: StackedMLP, real: Tensor, fake: Tensor, mix: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Fill the critic's gradients from one pass over real and fake (S, B, D); (loss, penalty), each (S,).

    `mix` (S, B, 1), uniform on [0, 1], is what a gradient penalty interpolates with.
    """
    layers = critic.layers(torch.cat([real, fake], 1))
    v = layers[-1].squeeze(-1).requires_grad_()
    distance = distances(real, fake) if objective.needs_distance else None
    loss = objective.critic_loss(v[:, : real.shape[1]], v[:, real.shape[1] :], distance)
    (slope,) = torch.autograd.grad(loss.sum(), v)
    critic.backward(layers, slope.unsqueeze(-1))
    points = penalty_points(penalty, real, fake, mix)
    added = None if points is None else add_penalty_gradient(penalty, critic, points)
    return loss.detach(), added


def generator_slope(
    objective: Objective, critic: StackedMLP, fake: Tensor, real: Tensor
) -> tuple[Tensor, Tensor]:
    """The generator's loss (S,) through the critic, and its slope by the fakes, (S, B, D).

    The critic's own gradients are not needed. A paired objective compares with the critic's outputs on
    `real` (S, B, D), constants to the generator.
    """
    v_real = critic.layers(real)[-1].squeeze(-1) if objective.is_paired else None
    layers = critic.layers(fake)
    v = layers[-1].squeeze(-1).requires_grad_()
    loss = objective.generator_loss(v, v_real)
    (slope,) = torch.autograd.grad(loss.sum(), v)
    return loss.detach(), critic.backward(layers, slope.unsqueeze(-1), parameters=False, inputs=True)


def distances(real: Tensor, fake: Tensor) -> Tensor:
    """|x_real - x_fake| of the i-th real and the i-th fake sample: (S, B, D) twice -> (S, B)."""
    distance: Tensor = torch.linalg.vector_norm(real - fake, dim=2)
    return distance
