"""The density ratio that a trained critic tells, on samples it was not trained on.

The critic's best output is omega(q/p), so 1/omega^-1(t) is an estimate of u = p/q (Goodfellow 2016, arXiv
1701.00160, section 3.2; Sugiyama, Suzuki & Kanamori 2012). Half of the samples train it, the other half is
averaged over (`ratio`). The recipe:

- inputs standardised by the mean and the standard deviation of the training half, real and fake pooled;
- a perceptron of widths WIDTHS whose last layer starts at 0 with the bias for u = 1: it says that p = q until
  the samples say otherwise;
- UPDATES updates of BATCH real and BATCH fake samples by Adam, the learning rate falling linearly to 0;
- every CHECK_EVERY updates, the start included, the loss on a quarter of the training half that no update
  sees; each seed keeps the weights with its smallest one. With few samples in many dimensions that is what
  keeps the estimate from being the critic's memory of them.

Weights, halves and batches are drawn once and used for every seed. A seed's result is bitwise the same
in any stack.
"""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from pipeline.config import NoPenalty
from pipeline.metrics.estimators.interface import Estimator
from pipeline.metrics.estimators.ratio import RATIO_QUANTITIES, halves, ratio_to_divergences
from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective, objective_from_spec
from pipeline.updates import critic_gradient

WIDTHS = (64, 64)
UPDATES = 400
BATCH = 64  # of each side
LEARNING_RATE = 2e-3
BETAS = (0.9, 0.999)
CHECK_EVERY = 10
VALIDATION_SHARE = 0.25
LARGEST_VALIDATION = 512  # samples of each side: a longer look costs more than it tells
SMALLEST_SAMPLES = 64
_EVALUATED_AT_ONCE = 1024  # samples per seed
_ALIGNED = 16  # a seed's products are bitwise its own if their rows are a multiple of it and S >= 2
_OUTPUTS = 40.0  # raw outputs between which u = 1 lies

# The original game in logits, as in objectives.yaml (a test compares them).
MINIMAX: Mapping[str, object] = {
    "construction": "likelihood_ratio",
    "omega": "log(r)",
    "rho": "1/(1 + exp(t))",
    "domain": ["-oo", "oo"],
    "citation": "Goodfellow et al. 2014, Generative adversarial nets, NeurIPS 27, eq. 1",
}


def critic_ratio(objective: Objective | None = None, updates: int = UPDATES) -> Estimator:
    """The estimator whose critic is trained with `objective`; without one, minimax, the logistic loss.

    Raises UserError for an objective whose best output does not tell the ratio.
    """
    if objective is not None:
        neutral_output(objective)

    def estimate(real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return ratio_to_divergences(
            *held_out_log_ratios(objective or minimax(), real, fake, generator, updates)
        )

    return Estimator(
        name="critic_ratio" if objective is None else f"critic_ratio_{objective.name}",
        title="Trained critic" + (f" ({objective.title})" if objective is not None else ""),
        quantities=RATIO_QUANTITIES,
        function=estimate,
        cost=f"{updates} updates of a small network, whatever N",
        source="Goodfellow 2016, arXiv 1701.00160, section 3.2; Lopez-Paz & Oquab 2017, arXiv 1610.06545",
        smallest_samples=SMALLEST_SAMPLES,
        settings={
            "objective": "minimax" if objective is None else objective.name,
            "widths": WIDTHS,
            "updates": updates,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "validation_share": VALIDATION_SHARE,
        },
    )


@cache
def minimax() -> Objective:
    """The default objective, built when it is first needed."""
    return objective_from_spec("minimax", MINIMAX)


def log_ratio(objective: Objective, v: Tensor) -> Tensor:
    """log p/q in nats that raw outputs `v` say, any shape: float64.

    +-inf past the end of what omega takes (least squares may say D = 1.1), on the side of the end.
    Raises UserError for an objective without a density ratio.
    """
    t = objective.activation(v.double())
    u = objective.density_ratio(t)
    is_real = (t > objective.omega(torch.ones((), dtype=torch.float64))) == objective.real_is_high
    end = torch.where(is_real, torch.inf, -torch.inf)
    return torch.where((u > 0) & u.isfinite(), u.log(), end)


def neutral_output(objective: Objective) -> float:
    """The raw output that says p/q = 1, by bisection."""

    def says_real(v: float) -> bool:
        return float(log_ratio(objective, torch.tensor(v, dtype=torch.float64))) > 0

    low, high = -_OUTPUTS, _OUTPUTS
    rises = says_real(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if says_real(middle) == rises else (middle, high)
    return (low + high) / 2


def held_out_log_ratios(
    objective: Objective, real: Tensor, fake: Tensor, generator: torch.Generator, updates: int = UPDATES
) -> tuple[Tensor, Tensor]:
    """log p/q at the held-out halves of real (S, N, D) and fake (S, M, D): (S, N - N//2), (S, M - M//2)."""
    seeds = len(real)
    if seeds == 1:  # products of a lone seed are rounded in another way
        real, fake = real.expand(2, -1, -1), fake.expand(2, -1, -1)
    learned, held = halves(real.shape[1], fake.shape[1], generator)
    learn = [one[:, part] for one, part in zip((real, fake), learned, strict=True)]
    mean, std = _moments(learn[0], learn[1])
    learn = [((one - mean) / std).float() for one in learn]
    critic = train(objective, learn[0], learn[1], generator, updates)

    def evaluate(samples: Tensor) -> Tensor:
        rows = -samples.shape[1] % _ALIGNED
        padded = torch.cat([samples, samples[:, :1].expand(-1, rows, -1)], 1)
        parts = [critic.layers(part)[-1][..., 0] for part in padded.split(_EVALUATED_AT_ONCE, 1)]
        return log_ratio(objective, torch.cat(parts, 1)[:seeds, : samples.shape[1]])

    at_real, at_fake = (
        evaluate(((one[:, part] - mean) / std).float()) for one, part in zip((real, fake), held, strict=True)
    )
    return at_real, at_fake


def _moments(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of real and fake pooled, (S, 1, D); 1 for one that is 0."""
    # Seed by seed: float64 copies of the whole stack would be its largest tensors.
    found = [torch.std_mean(torch.cat(pair).double(), 0) for pair in zip(real, fake, strict=True)]
    std, mean = (torch.stack(list(one))[:, None].to(real.dtype) for one in zip(*found, strict=True))
    return mean, torch.where(std > 0, std, 1.0)


def train(
    objective: Objective, real: Tensor, fake: Tensor, generator: torch.Generator, updates: int = UPDATES
) -> StackedMLP:
    """One critic per seed, S >= 2, of standardised float32 real (S, n, D), fake (S, m, D); see above."""
    critic = initial_critic(objective, len(real), real.shape[2], generator)
    kept = [parameter.clone() for parameter in critic.parameters]
    # The last samples validate: the halves are in random order.
    counts = [_validation_samples(one.shape[1]) for one in (real, fake)]
    cut = [one.shape[1] - count for one, count in zip((real, fake), counts, strict=True)]
    validation = [one[:, start:] for one, start in zip((real, fake), cut, strict=True)]
    lowest = torch.full((len(real),), torch.inf)
    adam = Adam(critic, LEARNING_RATE, BETAS)
    for update in range(updates + 1):
        if update % CHECK_EVERY == 0 or update == updates:
            loss = _loss(objective, critic, validation[0], validation[1])
            better = loss < lowest  # never so for nan
            lowest = torch.where(better, loss, lowest)
            for best, parameter in zip(kept, critic.parameters, strict=True):
                best.copy_(torch.where(better[:, None, None], parameter, best))
        if update < updates:
            rows = [torch.randint(end, (BATCH,), generator=generator) for end in cut]
            with torch.enable_grad():
                critic_gradient(objective, NO_PENALTY, critic, real[:, rows[0]], fake[:, rows[1]], None)
            adam.learning_rate = LEARNING_RATE * (1 - update / updates)
            adam.step()
    for best, parameter in zip(kept, critic.parameters, strict=True):
        parameter.copy_(best)
    return critic


NO_PENALTY = NoPenalty(kind="none")


def initial_critic(objective: Objective, seeds: int, inputs: int, generator: torch.Generator) -> StackedMLP:
    """The same network for every seed, drawn from `generator`; it says u = 1 everywhere."""
    critic = StackedMLP((inputs, *WIDTHS, 1), "leaky_relu", "linear", (0,) * seeds, "critic_weights")
    for place, parameter in enumerate(critic.parameters[:-2]):
        fan_in = critic.sizes[place // 2]
        draw = torch.rand(parameter.shape[1:], generator=generator, dtype=torch.float64)
        parameter.copy_((2 * draw - 1) / math.sqrt(fan_in))
    critic.parameters[-2].zero_()
    critic.parameters[-1].fill_(neutral_output(objective))
    return critic


def _validation_samples(count: int) -> int:
    """A multiple of `_ALIGNED`, at least one of it."""
    wanted = min(int(VALIDATION_SHARE * count), LARGEST_VALIDATION)
    return -(-wanted // _ALIGNED) * _ALIGNED


def _loss(objective: Objective, critic: StackedMLP, real: Tensor, fake: Tensor) -> Tensor:
    return objective.critic_loss(*(critic.layers(one)[-1][..., 0] for one in (real, fake)))


CRITIC_RATIO = critic_ratio()
