"""Fresh critics against generators held fixed: what is left of the generator's gradient (claims V3b, V4, V5).

The generators were saved early, midway and late in a training run. Against each, for every variant of the
study, a critic is trained from scratch with the variant's objective, recipe and penalty, and on the way the
gradient that the generator would get is measured on one fixed batch of N latents, per seed::

    g_i = d beta(v(x_i)) / d theta,    norm = |mean g_i|,    relative deviation = sqrt(tr Cov g_i) / norm

so a batch of B samples knows its mean to relative deviation / sqrt(B). Of a paired objective g_i is N times
the part of the loss's gradient that comes through sample i. The critic's accuracy is that of the best
threshold of its outputs, on as many real as generated samples that no network was trained on.

All saved generators and seeds are one stack. Variants whose critics learn alike (minimax, non-saturating ...)
share one. The experiment is that of Arjovsky & Bottou 2017, figures 2 and 3.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.backend import choose_device, prepare_cpu
from pipeline.config import CriticPlan, FreshCriticsPlan, Recipe
from pipeline.data.sampling import RealSampler, held_out_sampler, real_sampler
from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective, objective_from_spec
from pipeline.penalties import clip_weights
from pipeline.plan import DATA, FRESH_CRITICS, RUNS, WORK, load_fresh_critics, run_path
from pipeline.progress import progress_file
from pipeline.run_files import load_generators
from pipeline.seeds import Purpose, streams
from pipeline.tables import write_csv
from pipeline.updates import critic_gradient, generator_slope

COLUMNS = [
    *("benchmark", "generator_updates", "variant", "seed", "critic_updates"),
    *("gradient_norm", "relative_deviation", "accuracy"),
]
GROWTH = 4  # measured at 0, 1, 4, 16, ... critic updates, and at the last
BLOCK = 25  # critic updates whose samples are drawn at once
SAMPLES = 512  # latents of the measured gradient, and held-out real samples
Row = tuple[Any, ...]


def fresh_critics(benchmark: str, root: Path) -> None:
    """Write fresh_critics/BENCHMARK/fresh_critics.csv, one row (COLUMNS) per measurement and seed.

    Raises UserError for an unknown benchmark and for missing or corrupt data or generators.
    """
    plan = load_fresh_critics(benchmark, root)
    data = root / DATA / benchmark
    sampler, dimensions = real_sampler(plan.setting, data)
    device = choose_device()
    generator = _generators(plan, dimensions, root, device)
    widths = plan.setting.critic.widths
    smallest = min(generator.smallest_layer, dimensions * widths[0], widths[-1])
    prepare_cpu(min(critic.recipe.batch for critic in plan.critics) * smallest)
    experiment = Experiment(plan, generator, sampler, held_out_sampler(plan.setting, data), device)
    report = progress_file(root / WORK / "progress" / f"{FRESH_CRITICS}@{benchmark}.json")
    rows = experiment.run(report)
    write_csv(rows, COLUMNS, root / FRESH_CRITICS / benchmark / "fresh_critics.csv", 6)


def measured_at(updates: int) -> list[int]:
    """0, 1, 4, 16, ... below `updates`, and `updates`."""
    powers: list[int] = []
    while GROWTH ** len(powers) < updates:
        powers.append(GROWTH ** len(powers))
    return [0, *powers, updates]


def _generators(plan: FreshCriticsPlan, dimensions: int, root: Path, device: torch.device) -> StackedMLP:
    """The saved generators as one stack: all seeds of the first saved update, all of the second, ..."""
    setting = plan.setting
    network = StackedMLP(
        (setting.latent, *setting.generator.widths, dimensions),
        setting.generator.activation,
        setting.generator.output,
        plan.seeds * len(plan.saved_at),
        "generator_weights",
        device,
    )
    folder = run_path(root, RUNS, plan.benchmark, plan.generator)
    again = f"run the stage train@{plan.benchmark}-{plan.generator} again"
    load_generators(folder, network, plan.saved_at, len(plan.seeds), again)
    return network


@dataclass(frozen=True, eq=False)
class Batch:
    """What every critic meets in one update: real, fake (G, B, D), mix (G, B, 1); G saved ones x seeds."""

    real: Tensor
    fake: Tensor
    mix: Tensor


class FreshCritic:
    """One stack of critics, trained for the variants that share it."""

    def __init__(
        self,
        members: list[tuple[CriticPlan, Objective]],
        plan: FreshCriticsPlan,
        inputs: int,
        device: torch.device,
    ) -> None:
        self.members = members
        self.recipe: Recipe = members[0][0].recipe
        self.objective = members[0][1]
        self.network = StackedMLP(
            (inputs, *plan.setting.critic.widths, 1),
            plan.setting.critic.activation,
            "linear",
            plan.seeds * len(plan.saved_at),
            "fresh_critic_weights",
            device,
        )
        clip_weights(self.recipe.penalty, self.network)
        self.optimiser = Adam(self.network, self.recipe.critic_learning_rate, self.recipe.betas)

    def step(self, batch: Batch) -> None:
        size = self.recipe.batch
        real, fake, mix = (one[:, :size] for one in (batch.real, batch.fake, batch.mix))
        critic_gradient(self.objective, self.recipe.penalty, self.network, real, fake, mix)
        self.optimiser.step()
        clip_weights(self.recipe.penalty, self.network)


class Experiment:
    """All fresh critics of one benchmark."""

    def __init__(
        self,
        plan: FreshCriticsPlan,
        generator: StackedMLP,
        sampler: RealSampler,
        held_out: RealSampler,
        device: torch.device,
    ) -> None:
        self.plan, self.generator, self.sampler, self.device = plan, generator, sampler, device
        self.dimensions = generator.sizes[-1]
        self.points = len(plan.saved_at)
        self.batch = max(critic.recipe.batch for critic in plan.critics)
        self.draws = {purpose: streams(plan.seeds, purpose) for purpose in _PURPOSES}
        evaluation = streams(plan.seeds, "fresh_critic_evaluation")
        held = torch.stack([held_out(SAMPLES, one) for one in evaluation])
        latent = torch.stack([torch.randn(SAMPLES, plan.setting.latent, generator=one) for one in evaluation])
        self.held_out = self._for_all_points(held)
        self.fixed_layers = generator.layers(self._for_all_points(latent))
        self.critics = [FreshCritic(group, plan, self.dimensions, device) for group in shared(plan)]
        # A generator that diverged before it was saved has nothing to measure.
        self.is_usable = generator.all_finite().tolist()

    def run(self, report: Any = lambda done, total: None) -> list[Row]:
        """Train every critic; the rows of all measurements, in the order of saved update, variant, seed."""
        total, at = self.plan.critic_updates, measured_at(self.plan.critic_updates)
        rows = self._measured(0)
        done = 0
        while done < total:
            # Blocks end where something is measured.
            count = min(BLOCK, next(update for update in at if update > done) - done)
            batches = self._draw(count)
            for critic in self.critics:
                for batch in batches:
                    critic.step(batch)
            done += count
            if done in at:
                rows += self._measured(done)
            report(done, total)
        place = {critic.variant: index for index, critic in enumerate(self.plan.critics)}
        return sorted(rows, key=lambda row: (row[1], place[row[2]], row[3], row[4]))

    def _measured(self, updates: int) -> list[Row]:
        rows: list[Row] = []
        keys = [(saved, seed) for saved in self.plan.saved_at for seed in self.plan.seeds]
        for critic in self.critics:
            right = accuracy(critic.network, self.held_out, self.fixed_layers[-1])
            for member, objective in critic.members:
                norm, deviation = self._gradient(objective, critic.network)
                numbers = zip(keys, norm, deviation, right, self.is_usable, strict=True)
                rows += [
                    (self.plan.benchmark, saved, member.variant, seed, updates, *values)
                    for (saved, seed), *values, usable in numbers
                    if usable and np.isfinite(values[0])
                ]
        return rows

    def _gradient(self, objective: Objective, critic: StackedMLP) -> tuple[list[float], list[float]]:
        """Norm of the generator's mean gradient and the relative deviation of a sample's, each (G,)."""
        _, slope = generator_slope(objective, critic, self.fixed_layers[-1], self.held_out)
        squares = self.generator.sample_gradient_squares(self.fixed_layers, SAMPLES * slope)
        self.generator.backward(self.fixed_layers, slope)
        mean_square = sum(one.double().square().sum(dim=(1, 2)) for one in self.generator.gradients)
        assert isinstance(mean_square, Tensor)
        variance = (squares.mean(1) - mean_square).clamp_min(0) * SAMPLES / (SAMPLES - 1)
        norm = mean_square.sqrt()
        return norm.tolist(), (variance.sqrt() / norm).tolist()  # nan where the norm is 0

    def _draw(self, count: int) -> list[Batch]:
        latent_size = self.plan.setting.latent
        # The batch of every recipe is a part of this one: all critics see the same samples first.
        each = count * self.batch
        real = torch.stack([self.sampler(each, one) for one in self.draws["fresh_critic_data"]])
        latent = torch.stack(
            [torch.randn(each, latent_size, generator=one) for one in self.draws["fresh_critic_latent"]]
        )
        mix = torch.stack([torch.rand(each, 1, generator=one) for one in self.draws["fresh_critic_penalty"]])
        batches = []
        for part in range(count):
            chosen = slice(part * self.batch, (part + 1) * self.batch)
            one_real, one_latent, one_mix = (
                self._for_all_points(one[:, chosen]) for one in (real, latent, mix)
            )
            batches.append(Batch(one_real, self.generator.layers(one_latent)[-1], one_mix))
        return batches

    def _for_all_points(self, values: Tensor) -> Tensor:
        """(S, ...) -> (G, ...): the same for every saved update, so that these differ in nothing else."""
        return values.to(self.device).repeat(self.points, *([1] * (values.ndim - 1)))


_PURPOSES: tuple[Purpose, ...] = ("fresh_critic_data", "fresh_critic_latent", "fresh_critic_penalty")


def shared(plan: FreshCriticsPlan) -> list[list[tuple[CriticPlan, Objective]]]:
    """The variants in groups whose critics get the same updates: the same loss of v and the same recipe."""
    groups: dict[str, list[tuple[CriticPlan, Objective]]] = {}
    for critic in plan.critics:
        objective = objective_from_spec(critic.objective, critic.objective_spec)
        losses = [str(loss) for name, loss in objective.formulas.stable_losses.items() if "critic" in name]
        recipe = critic.recipe.model_dump(include={"critic_learning_rate", "betas", "batch", "penalty"})
        key = json.dumps([losses, recipe, objective.formulas.reference], sort_keys=True)
        groups.setdefault(key, []).append((critic, objective))
    return list(groups.values())


def accuracy(critic: StackedMLP, real: Tensor, fake: Tensor) -> list[float]:
    """That of the best threshold on real and fake samples of equal weight, (G, N, D) and (G, M, D) -> (G,).

    1/2 + max_c |P_real(v <= c) - P_fake(v <= c)| / 2, half a Kolmogorov-Smirnov distance above chance.
    """
    v_real, v_fake = (critic.layers(x)[-1].squeeze(-1).sort(1).values for x in (real, fake))
    thresholds = torch.cat([v_real, v_fake], 1)
    below_real = torch.searchsorted(v_real.contiguous(), thresholds, right=True) / v_real.shape[1]
    below_fake = torch.searchsorted(v_fake.contiguous(), thresholds, right=True) / v_fake.shape[1]
    shares: list[float] = (0.5 + (below_real - below_fake).abs().amax(1) / 2).tolist()
    return shares
