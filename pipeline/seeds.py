"""Random streams: one per seed and purpose, so that a seed's result does not depend on its neighbours.

Every stream is a CPU generator, whatever device trains: the draws of a seed are the same everywhere.
"""

from typing import Literal, get_args

import numpy as np
import torch

Purpose = Literal[
    "generator_weights",
    "critic_weights",
    "data",
    "latent",
    "penalty",
    "evaluation",
    "features",
    "fresh_critic_weights",
    "fresh_critic_data",
    "fresh_critic_latent",
    "fresh_critic_penalty",
    "fresh_critic_evaluation",
]


def stream(seed: int, purpose: Purpose) -> torch.Generator:
    """The generator of one seed for one purpose.

    Seeded by numpy's SeedSequence of (seed, index of the purpose), which spreads neighbouring seeds apart.
    """
    entropy = np.random.SeedSequence([seed, get_args(Purpose).index(purpose)])
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0]))


def streams(seeds: tuple[int, ...], purpose: Purpose) -> list[torch.Generator]:
    """One generator per seed, in the order of `seeds`."""
    return [stream(seed, purpose) for seed in seeds]
