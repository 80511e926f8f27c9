"""A small network in place of the free function: how near its D comes to p/(p+q) (claim D1).

p and q are known on the line, every update sees fresh samples of both, and the network is trained with the
minimax critic's loss of the catalogue by Adam, ten seeds as one. At the end its error is::

    int (p + q)/2 |D - p/(p + q)| dx,    D = 1/(1 + omega^-1(t))

by quadrature. The settings were chosen before the first run and then cut once, for time alone, from 3,000
updates of 256 samples of each density, whose errors were smaller (at most 0.016).
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective
from pipeline.seeds import streams
from pipeline.theory.densities import Array, Density, Mixture
from pipeline.theory.free_ascent import Cells, discriminator
from pipeline.theory.pairs import PAIRS, Pair
from pipeline.theory.recipe import needed
from pipeline.theory.tables import to_columns

SEEDS = tuple(range(10))
SIZES = (1, 32, 32, 1)
STEPS = 2000
BATCH = 128  # samples of each density
LEARNING_RATE = 2e-3
BETAS = (0.9, 0.999)
TRAINED_ON = ("shift_1.5", "other_weights", "one_of_two_modes")
_STEPS_DRAWN = 100  # at once
_ORDER = 8  # nodes per panel of the error


def sample(density: Mixture, count: int, generator: torch.Generator) -> Tensor:
    """`(count,)` draws, float64."""
    ends = torch.tensor(density.weights, dtype=torch.float64).cumsum(0)[:-1]
    which = torch.searchsorted(ends, torch.rand(count, generator=generator, dtype=torch.float64))
    means, stds = (torch.tensor(one, dtype=torch.float64) for one in (density.means, density.stds))
    return means[which] + stds[which] * torch.randn(count, generator=generator, dtype=torch.float64)


def batches(p: Density, q: Density, steps: int, seeds: tuple[int, ...]) -> Iterator[Tensor]:
    """`steps` tensors `(S, 2 BATCH, 1)`, real samples before fake ones; a seed's draws are its own stream's.

    Raises TypeError for densities that are no mixtures.
    """
    if not (isinstance(p, Mixture) and isinstance(q, Mixture)):
        raise TypeError("trained critic: only mixtures of normals can be sampled")
    generators = streams(seeds, "data")
    for start in range(0, steps, _STEPS_DRAWN):
        count = min(_STEPS_DRAWN, steps - start)
        drawn = torch.stack(
            [
                torch.stack([sample(one, count * BATCH, generator).view(count, BATCH) for one in (p, q)], 1)
                for generator in generators
            ],
            dim=1,
        )  # (count, S, 2, BATCH)
        yield from drawn.view(count, len(seeds), 2 * BATCH, 1).float()


def train(objective: Objective, pair: Pair, steps: int, seeds: tuple[int, ...] = SEEDS) -> StackedMLP:
    """A critic for each seed, after `steps` updates on fresh samples of the pair."""
    network = StackedMLP(SIZES, "tanh", "linear", seeds, "critic_weights")
    adam = Adam(network, LEARNING_RATE, BETAS)
    for batch in batches(pair.p, pair.q, steps, seeds):
        layers = network.layers(batch)
        output = layers[-1].detach().clone().requires_grad_()
        v = output[..., 0]
        loss = objective.critic_loss(v[:, :BATCH], v[:, BATCH:]).sum()
        (slope,) = torch.autograd.grad(loss, output)
        network.backward(layers, slope)
        adam.step()
    return network


def errors(objective: Objective, network: StackedMLP, pair: Pair) -> tuple[Array, Array]:
    """The error of D of each seed, weighted by (p + q)/2 and the largest within the densities' bulk, `(S,)`.

    The bulk: points whose density (p + q)/2 is above a hundredth of its maximum.
    """
    x, log_p, log_q, weights = pair.nodes(_ORDER)
    cells = Cells(log_p, log_q, weights)
    seeds = network.parameters[0].shape[0]
    points = torch.from_numpy(x).float().expand(seeds, -1)[..., None]
    v = network.layers(points)[-1][..., 0].double().numpy()
    error = abs(discriminator(objective, v) - cells.discriminator)
    return error @ cells.mass / 2, error[:, cells.with_mass(0.01)].max(axis=1)


def trained_critic_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """trained_critic_1d.csv: one row per pair of densities and seed.

    pair, seed, updates, error_mean (of D, weighted by (p+q)/2), error_bulk_max (largest where (p+q)/2 is
    above a hundredth of its maximum).
    """
    objective = needed(objectives, "minimax", "D1")
    rows = []
    for name in TRAINED_ON:
        mean, largest = errors(objective, train(objective, PAIRS[name], STEPS), PAIRS[name])
        rows += [
            {
                "pair": name,
                "seed": seed,
                "updates": STEPS,
                "error_mean": float(mean[place]),
                "error_bulk_max": float(largest[place]),
            }
            for place, seed in enumerate(SEEDS)
        ]
    return to_columns(rows)
