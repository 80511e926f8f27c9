"""What is added to the critic's loss to tame its gradient in x, each seed by itself.

    gradient penalty   weight   E[(|grad_x D(x_hat)| - target)^2],  x_hat uniform between real and fake
    R1, R2             weight/2 E[|grad_x D(x)|^2]                   at real, at fake points

Weight clipping is not a loss: it acts after the update (`clip_weights`).
Sources: Gulrajani et al. 2017 (arXiv 1704.00028), Mescheder et al. 2018 (arXiv 1801.04406), Arjovsky et al.
2017 (arXiv 1701.07875).
"""

import torch
from torch import Tensor

from pipeline.config import GradientPenalty, Penalty, WeightClipping, ZeroCenteredPenalty
from pipeline.networks import StackedMLP


def penalty_points(penalty: Penalty, real: Tensor, fake: Tensor, mix: Tensor | None) -> Tensor | None:
    """Where the critic's gradient is penalised, (S, B, D); None without a penalty on it.

    `mix` (S, B, 1), uniform on [0, 1], is what a gradient penalty interpolates with.
    """
    if isinstance(penalty, GradientPenalty):
        assert mix is not None
        return torch.lerp(real, fake, mix)
    if isinstance(penalty, ZeroCenteredPenalty):
        return real if penalty.kind == "r1" else fake
    return None


def penalty_value(penalty: GradientPenalty | ZeroCenteredPenalty, slopes: Tensor) -> Tensor:
    """The weighted penalty (S,) from the critic's gradients in x, (S, B, D)."""
    if isinstance(penalty, GradientPenalty):
        # vector_norm's derivative at 0 is 0, where that of sqrt would be infinite.
        excess: Tensor = torch.linalg.vector_norm(slopes, dim=2) - penalty.target
        return penalty.weight * excess.square().mean(1)
    return 0.5 * penalty.weight * slopes.square().sum(2).mean(1)


def add_penalty_gradient(penalty: Penalty, critic: StackedMLP, points: Tensor) -> Tensor:
    """Add the penalty's parameter gradient at `points` to `critic.gradients`; returns the penalty (S,)."""
    assert isinstance(penalty, GradientPenalty | ZeroCenteredPenalty)
    layers = critic.layers(points)
    slopes = critic.slopes(layers)
    to_input = slopes[0].requires_grad_()
    value = penalty_value(penalty, to_input)
    (upstream,) = torch.autograd.grad(value.sum(), to_input)
    critic.add_slope_gradient(layers, slopes, upstream)
    return value.detach()


def clip_weights(penalty: Penalty, critic: StackedMLP) -> None:
    """Clip every critic parameter to [-bound, bound], in place, under weight clipping."""
    if isinstance(penalty, WeightClipping):
        critic.flat.clamp_(-penalty.bound, penalty.bound)
