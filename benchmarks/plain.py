"""The reference loop: one seed, nn.Sequential, torch.optim.Adam, as a tutorial writes it.

Non-saturating GAN on the ring of 8, Algorithm 1 with one critic step. Kept plain on purpose: it is what the
stacked training is measured against.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def sample_ring(count: int, generator: torch.Generator, modes: int = 8, std: float = 0.01) -> Tensor:
    angle = torch.randint(modes, (count,), generator=generator) * (2 * math.pi / modes)
    means = torch.stack([angle.cos(), angle.sin()], dim=1)
    return means + std * torch.randn(count, 2, generator=generator)


def plain_step(width: int, batch: int, latent: int, seed: int) -> Callable[[], None]:
    """A function that does one critic update and one generator update of one seed."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    generator = nn.Sequential(
        nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )
    critic = nn.Sequential(
        nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    )
    generator_optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    critic_optimiser = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))

    def step() -> None:
        real = sample_ring(batch, random)
        fake = generator(torch.randn(batch, latent, generator=random))

        critic_optimiser.zero_grad()
        critic_loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()
        critic_loss.backward()
        critic_optimiser.step()

        generator_optimiser.zero_grad()
        generator_loss = F.softplus(-critic(fake)).mean()
        generator_loss.backward()
        generator_optimiser.step()

    return step
