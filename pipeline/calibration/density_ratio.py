"""The density ratio that trained critics tell, and the divergences computed from it (claims D5, W5).

A critic that was trained with any objective whose best output omega(r) can be inverted says u = p/q as
1/omega^-1(t). For every such objective a small network is trained on fresh samples of known densities on
the line, SEEDS seeds and all pairs as one stack, by one recipe: Adam, the learning rate falling linearly to
0. All critics see the same samples. Then, per pair and seed::

    log ratio error = int (p + q)/2 |log u - log p/q| dx                           by quadrature
    divergences     = plug-in estimates at EVALUATED new samples of each density    against quadrature
    value           = mean phi(t) + mean psi(t) at the same samples                 against int p d(q/p)

An output beyond the range of omega (least squares may say D = 1.1) counts as the largest ratio that is told,
and its share of the mass is a column. Objectives whose critics learn alike
(`Centred`) share one. Sources: Goodfellow
2016, arXiv 1701.00160, section 3.2; Nowozin et al. 2016, arXiv 1606.00709.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.metrics.estimators.critic_ratio import NO_PENALTY, log_ratio, neutral_output
from pipeline.metrics.estimators.ratio import LARGEST_LOG_RATIO, ratio_to_divergences
from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective
from pipeline.seeds import streams
from pipeline.theory.densities import Mixture
from pipeline.theory.distances import divergences
from pipeline.theory.optimal_critic import critic_slopes
from pipeline.theory.pairs import PAIRS, Pair
from pipeline.theory.recipe import critic_divergence
from pipeline.theory.trained_critic import sample
from pipeline.updates import critic_gradient

TRAINED_ON = ("shift_1.5", "other_weights", "one_of_two_modes")
SEEDS = 10
UPDATES = 1000
BATCH = 128  # of each density
SIZES = (1, 32, 32, 1)
LEARNING_RATE = 2e-3
BETAS = (0.9, 0.999)
EVALUATED = 10_000  # of each density
_ORDER = 8  # Gauss-Legendre nodes per panel
_COORDINATES = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)

# The divergence in `ratio`, in `theory.distances`, and the factor between the two definitions.
_EXACT = {
    "kl": ("kl_nats", 1.0),
    "reverse_kl": ("reverse_kl_nats", 1.0),
    "jensen_shannon": ("jsd_nats", 1.0),
    "squared_hellinger": ("squared_hellinger", 2.0),  # int (sqrt(p) - sqrt(q))^2 against half of it
    "total_variation": ("total_variation", 1.0),
}
DENSITY_RATIO_COLUMNS = [
    *("objective", "critic", "pair", "seed", "updates", "log_ratio_error", "out_of_range"),
    *(column for name in _EXACT for column in (name, f"{name}_exact")),
    *("value", "value_exact"),
]
Row = tuple[Any, ...]


def density_ratio_rows(
    objectives: Mapping[str, Objective], seeds: int = SEEDS, updates: int = UPDATES
) -> list[Row]:
    """density_ratio.csv: one row (DENSITY_RATIO_COLUMNS) per objective, pair and seed; see the module.

    `critic` is the first objective whose critic learns alike: rows of one critic tell of one network.
    log_ratio_error in nats, out_of_range a share of the mass of (p + q)/2, `value` in units of the loss, nan
    where a loss overflows.
    Raises ValueError for fewer than two seeds or one update, UserError where no objective tells the ratio.
    """
    if seeds < 2 or updates < 1:
        raise ValueError(f"density ratio: at least 2 seeds and 1 update, not {seeds} and {updates}")
    telling = [one for one in objectives.values() if one.formulas.omega_inverse is not None]
    if not telling:
        raise UserError("density ratio: no objective of objectives.yaml tells the density ratio")
    pairs = {name: PAIRS[name] for name in TRAINED_ON}
    exact = {
        name: {key: factor * found[of] for key, (of, factor) in _EXACT.items()}
        for name, pair in pairs.items()
        for found in [divergences(pair)]
    }
    data = _draw(list(pairs.values()), tuple(range(seeds)), updates)
    rows: list[Row] = []
    for group in shared(telling):
        outputs = _Outputs(group[0], _trained(group[0], data, updates), data, pairs)
        critic = group[0].objective.name
        for one in group:
            optimum = {name: critic_divergence(one.objective, pair) for name, pair in pairs.items()}
            for pair, seed, error, beyond, estimates, value in outputs.measured(one):
                both = [cell for key in _EXACT for cell in (estimates[key], exact[pair][key])]
                measured = (error, beyond, *both, value, optimum[pair])
                rows.append((one.objective.name, critic, pair, seed, updates, *measured))
    place = {name: index for index, name in enumerate(objectives)}
    return sorted(rows, key=lambda row: (place[row[0]], TRAINED_ON.index(row[2]), row[3]))


@dataclass(frozen=True)
class Centred:
    """An objective in the coordinate h of its raw output, v = neutral + side h: h = 0 says u = 1, h > 0 more.

    Two whose losses differ there by constants have critics that learn alike, mirrored or moved.
    """

    objective: Objective
    neutral: float
    side: float

    @classmethod
    def of(cls, objective: Objective) -> "Centred":
        """Raises UserError for an objective that does not tell the ratio."""
        neutral = neutral_output(objective)
        says_more = float(log_ratio(objective, torch.tensor(neutral + 0.1))) > 0
        return cls(objective, neutral, 1.0 if says_more else -1.0)

    def outputs(self, h: Tensor) -> Tensor:
        return self.neutral + self.side * h

    def slopes(self) -> Tensor:
        """d/dh of the loss of a real and of a fake sample, at fixed h: (2, M)."""
        v = self.outputs(_COORDINATES).requires_grad_()
        return self.side * torch.stack(critic_slopes(self.objective, v)).detach()


def shared(objectives: Iterable[Objective]) -> list[list[Centred]]:
    """The objectives in groups whose critics learn alike. Raises UserError for one that tells no ratio."""
    groups: list[list[Centred]] = []
    for objective in objectives:
        one = Centred.of(objective)
        same = [group for group in groups if torch.allclose(group[0].slopes(), one.slopes(), rtol=1e-9)]
        if same:
            same[0].append(one)
        else:
            groups.append([one])
    return groups


class _Samples:
    """Of every pair and seed, (P S, ...) with the pairs one after another: `batches` (updates, P S, 2, BATCH)
    and `held` (P S, 2, EVALUATED), float32; real before fake."""

    def __init__(self, batches: Tensor, held: Tensor, seeds: tuple[int, ...], pairs: int) -> None:
        self.batches, self.held, self.seeds, self.pairs = batches, held, seeds, pairs


def _draw(pairs: list[Pair], seeds: tuple[int, ...], updates: int) -> _Samples:
    def stacked(count: int, generators: list[torch.Generator]) -> Tensor:
        """(P S, 2, count); a seed's draws are its own streams'."""
        return torch.stack(
            [
                torch.stack([sample(_mixture(density), count, generator) for density in (pair.p, pair.q)])
                for pair in pairs
                for generator in generators
            ]
        ).float()

    batches = stacked(updates * BATCH, streams(seeds, "data"))
    per_update = batches.view(len(batches), 2, updates, BATCH).permute(2, 0, 1, 3).contiguous()
    return _Samples(per_update, stacked(EVALUATED, streams(seeds, "evaluation")), seeds, len(pairs))


def _mixture(density: object) -> Mixture:
    if not isinstance(density, Mixture):
        raise TypeError("density ratio: only mixtures of normals can be sampled")
    return density


def _trained(one: Centred, data: _Samples, updates: int) -> StackedMLP:
    """A critic per pair and seed; each begins with u = 1 everywhere."""
    critic = StackedMLP(SIZES, "tanh", "linear", data.seeds * data.pairs, "critic_weights")
    critic.parameters[-2].zero_()
    critic.parameters[-1].fill_(one.neutral)
    adam = Adam(critic, LEARNING_RATE, BETAS)
    for update, batch in enumerate(data.batches):
        critic_gradient(one.objective, NO_PENALTY, critic, batch[:, 0, :, None], batch[:, 1, :, None], None)
        adam.learning_rate = LEARNING_RATE * (1 - update / updates)
        adam.step()
    return critic


class _Outputs:
    """What the critics of every pair and seed say, at the new samples and at the nodes of each pair."""

    def __init__(self, one: Centred, critic: StackedMLP, data: _Samples, pairs: Mapping[str, Pair]) -> None:
        def at(x: Tensor) -> Tensor:
            """In the coordinate that all who share the critic have."""
            return one.side * (critic.layers(x[..., None])[-1][..., 0].double() - one.neutral)

        self.seeds, self.pairs = data.seeds, pairs
        self.real, self.fake = at(data.held[:, 0]), at(data.held[:, 1])
        self.nodes = [pair.nodes(_ORDER) for pair in pairs.values()]
        everywhere = [torch.from_numpy(one.x).float().expand(len(data.held), -1) for one in self.nodes]
        self.at_nodes = [at(x)[self._part(place)] for place, x in enumerate(everywhere)]

    def _part(self, place: int) -> slice:
        """The rows of a pair."""
        return slice(place * len(self.seeds), (place + 1) * len(self.seeds))

    def measured(self, one: Centred) -> Iterator[tuple[str, int, float, float, dict[str, float], float]]:
        """(pair, seed, log ratio error, out of range, divergences, value) of each pair and seed."""
        real, fake = one.outputs(self.real), one.outputs(self.fake)
        estimates = ratio_to_divergences(log_ratio(one.objective, real), log_ratio(one.objective, fake))
        values = -one.objective.critic_loss(real, fake)
        for place, (name, nodes) in enumerate(zip(self.pairs, self.nodes, strict=True)):
            mass = torch.from_numpy(np.exp(np.logaddexp(nodes.log_p, nodes.log_q)) * nodes.weights / 2)
            told = log_ratio(one.objective, one.outputs(self.at_nodes[place]))
            exact = torch.from_numpy(nodes.log_p - nodes.log_q)
            errors = (told.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO) - exact).abs() @ mass
            beyond = told.isinf().double() @ mass
            for index, seed in enumerate(self.seeds):
                row = self._part(place).start + index
                value = float(values[row])
                divergences_told = {key: float(estimates[key][row]) for key in _EXACT}
                yield (
                    name,
                    seed,
                    float(errors[index]),
                    float(beyond[index]),
                    divergences_told,
                    value if math.isfinite(value) else math.nan,
                )
