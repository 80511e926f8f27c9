"""Training: one visible loop, all seeds of a run at once (the seed axis S is first everywhere).

Per generator update (Goodfellow et al. 2014, Algorithm 1): `critic_steps` updates of the critic, then one of
the generator against the updated critic. Under `latents: shared` the last critic update and the generator
update see the same fakes, one pass of the generator less; `latents: fresh` draws new ones, as Algorithm 1.
A paired objective sets the i-th fake against the i-th real sample of the last critic update, in both updates.
A seed whose losses or parameters stop being finite is recorded as diverged, with its step; the others go on.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.backend import choose_device, prepare_cpu
from pipeline.checkpoint import digest, load_checkpoint, save_checkpoint
from pipeline.config import GradientPenalty, RunPlan
from pipeline.data.sampling import RealSampler, real_sampler
from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective, objective_from_spec
from pipeline.penalties import clip_weights
from pipeline.plan import DATA, RUNS, WORK, load_run, run_path
from pipeline.progress import Progress, progress_file
from pipeline.run_files import Trained, write_run
from pipeline.seeds import stream, streams
from pipeline.updates import critic_gradient, generator_slope

BLOCK = 32  # generator updates whose random numbers are drawn at once
LOGGED_STEPS = 100
CHECKPOINT_SECONDS = 30.0


def train(benchmark: str, variant: str, root: Path) -> None:
    """Train one run of the study and write runs/BENCHMARK/VARIANT/.

    Resumes from .work/checkpoints/ when a training of the same plan was killed. Raises UserError for an
    unknown run, missing or corrupt data, and a corrupt checkpoint.
    """
    plan = load_run(benchmark, variant, root)
    device = choose_device()
    sampler, dimensions = real_sampler(plan.setting, root / DATA / benchmark)
    checkpoint = root / WORK / "checkpoints" / f"{plan.name}.checkpoint"
    training = Training(plan, sampler, dimensions, device)
    smallest = min(training.generator.smallest_layer, training.critic.smallest_layer)
    route = prepare_cpu(plan.recipe.batch * smallest)
    training.run(checkpoint, progress_file(root / WORK / "progress" / f"{plan.stage('train')}.json"))
    write_run(training.trained(), run_path(root, RUNS, benchmark, variant), route)
    checkpoint.unlink(missing_ok=True)


@dataclass
class Block:
    """The random numbers of BLOCK generator updates, each seed's drawn from its own streams.

    real (BLOCK, critic_steps, S, B, D), latent (BLOCK, critic_steps [+ 1 if fresh], S, B, Z),
    mix (BLOCK, critic_steps, S, B, 1) for a gradient penalty, else None.
    """

    real: Tensor
    latent: Tensor
    mix: Tensor | None


class Training:
    """The state of one run: S generators and critics, their optimisers, random streams and records."""

    def __init__(
        self, plan: RunPlan, sampler: RealSampler, dimensions: int, device: torch.device | str = "cpu"
    ) -> None:
        self.plan, self.sampler, self.dimensions, self.device = plan, sampler, dimensions, device
        self.objective: Objective = objective_from_spec(plan.objective, plan.objective_spec)
        # A stack of one takes another matrix product, with other rounding: a lone seed trains twice.
        self.stack = plan.seeds if len(plan.seeds) > 1 else plan.seeds * 2
        setting, recipe = plan.setting, plan.recipe
        self.generator = StackedMLP(
            (setting.latent, *setting.generator.widths, dimensions),
            setting.generator.activation,
            setting.generator.output,
            self.stack,
            "generator_weights",
            device,
        )
        self.critic = StackedMLP(
            (dimensions, *setting.critic.widths, 1),
            setting.critic.activation,
            "linear",
            self.stack,
            "critic_weights",
            device,
        )
        clip_weights(recipe.penalty, self.critic)
        self.generator_optimiser = Adam(self.generator, recipe.generator_learning_rate, recipe.betas)
        self.critic_optimiser = Adam(self.critic, recipe.critic_learning_rate, recipe.betas)
        self.data_streams = streams(self.stack, "data")
        self.latent_streams = streams(self.stack, "latent")
        self.penalty_streams = streams(self.stack, "penalty")
        self.evaluation_latent = self._evaluation_latent()
        self.updates = 0
        self.finite_updates = torch.zeros(len(self.stack), dtype=torch.int64, device=device)
        self.finite = torch.ones(len(self.stack), dtype=torch.bool, device=device)
        self.logged: list[tuple[int, Tensor]] = []  # (generator updates done, (Q, S))
        self.samples: list[tuple[int, Tensor]] = []  # (updates done, (S, M, D)), at the end (S, N, D)
        self.saved: list[tuple[int, Tensor]] = []  # (generator updates done, the generators' flat buffer)

    def run(self, checkpoint: Path | None = None, progress: Progress = lambda done, total: None) -> None:
        """Train to the end of the plan, resuming from `checkpoint` if it holds an earlier part."""
        plan_digest = digest(self.plan)
        if checkpoint is not None:
            self._restore(load_checkpoint(checkpoint, plan_digest))
        total = self.plan.generator_updates
        if self.updates:
            print(f"resumed at update {self.updates} of {total}")
        log_every = max(1, total // LOGGED_STEPS)
        sample_at = {round(total * (i + 1) / self.plan.checkpoints) for i in range(self.plan.checkpoints)}
        saved = time.monotonic()
        while self.updates < total:
            if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_checkpoint(checkpoint, self._tensors(), plan_digest)
                saved = time.monotonic()
            progress(self.updates, total)
            block = self.draw_block()
            for index in range(min(BLOCK, total - self.updates)):
                logging = (self.updates + 1) % log_every == 0 or self.updates + 1 == total
                record = self.step(block, index, logging)
                self.updates += 1
                if record is not None:
                    self.logged.append((self.updates, record))
                if self.updates in sample_at:
                    self.samples.append((self.updates, self._sample()))
                if self.updates in self.plan.saved_at:
                    self.saved.append((self.updates, self.generator.flat.detach().clone()))
        progress(total, total)

    def step(self, block: Block, index: int, logging: bool) -> Tensor | None:
        """One generator update with its critic updates; the logged quantities (Q, S) if `logging`."""
        recipe = self.plan.recipe
        for critic_step in range(recipe.critic_steps):
            real, latent = block.real[index, critic_step], block.latent[index, critic_step]
            generator_layers = self.generator.layers(latent)
            mix = block.mix[index, critic_step] if block.mix is not None else None
            critic_loss, penalty = critic_gradient(
                self.objective, recipe.penalty, self.critic, real, generator_layers[-1], mix
            )
            critic_norm = self._optimise(self.critic, self.critic_optimiser, logging)
            clip_weights(recipe.penalty, self.critic)
        if recipe.latents == "fresh":
            generator_layers = self.generator.layers(block.latent[index, -1])
        generator_loss, slope = generator_slope(self.objective, self.critic, generator_layers[-1], real)
        self.generator.backward(generator_layers, slope)
        generator_norm = self._optimise(self.generator, self.generator_optimiser, logging)

        self.finite &= torch.isfinite(critic_loss + generator_loss)
        self.finite_updates += self.finite
        if not logging:
            return None
        value = -critic_loss - self.objective.equilibrium_value
        if penalty is None:
            penalty = torch.zeros_like(critic_loss)
        rows = (critic_loss, generator_loss, generator_norm, critic_norm, value, penalty)
        return torch.stack(rows).cpu().double()

    @staticmethod
    def _optimise(network: StackedMLP, optimiser: Adam, logging: bool) -> Tensor:
        """One Adam step; the norm (S,) of the gradient it took, or nothing (0,) when it is not logged."""
        norms = network.gradient_norms() if logging else torch.empty(0)
        optimiser.step()
        return norms

    def trained(self) -> Trained:
        """What is written of the run."""
        return Trained(
            self.plan,
            self.generator,
            self.critic,
            self.logged,
            self.samples,
            self.saved,
            self.diverged(),
            str(self.device),
        )

    def diverged(self) -> dict[int, int]:
        """{seed: generator updates it completed with finite losses}, for the seeds that diverged."""
        steps = self.finite_updates.tolist()
        lost = (~self.finite).tolist()
        return {seed: steps[i] for i, seed in enumerate(self.plan.seeds) if lost[i]}

    def draw_block(self) -> Block:
        recipe, seeds = self.plan.recipe, len(self.stack)
        steps, batch, latent = recipe.critic_steps, recipe.batch, self.plan.setting.latent
        draws = steps + (recipe.latents == "fresh")
        real = torch.empty(BLOCK, steps, seeds, batch, self.dimensions)
        latents = torch.empty(BLOCK, draws, seeds, batch, latent)
        mix = (
            torch.empty(BLOCK, steps, seeds, batch, 1)
            if isinstance(recipe.penalty, GradientPenalty)
            else None
        )
        for i in range(seeds):
            flat = self.sampler(BLOCK * steps * batch, self.data_streams[i])
            real[:, :, i] = flat.view(BLOCK, steps, batch, self.dimensions)
            latents[:, :, i] = torch.randn(BLOCK, draws, batch, latent, generator=self.latent_streams[i])
            if mix is not None:
                mix[:, :, i] = torch.rand(BLOCK, steps, batch, 1, generator=self.penalty_streams[i])
        return Block(
            real.to(self.device), latents.to(self.device), None if mix is None else mix.to(self.device)
        )

    def _evaluation_latent(self) -> Tensor:
        """The latents (S, N, Z) behind every saved sample: fixed, so that training shows as movement."""
        shape = (self.plan.setting.evaluation_samples, self.plan.setting.latent)
        draws = [torch.randn(shape, generator=stream(seed, "evaluation")) for seed in self.stack]
        return torch.stack(draws).to(self.device)

    def _sample(self) -> Tensor:
        """Fakes of the generators as they are, (S, M, D), at the end (S, N, D); NaN for diverged seeds."""
        self.finite &= self.generator.all_finite() & self.critic.all_finite()
        latent = self.evaluation_latent
        if self.updates < self.plan.generator_updates:
            latent = latent[:, : self.plan.setting.checkpoint_samples]
        fake = self.generator.layers(latent)[-1].cpu()
        fake[~self.finite.cpu()] = torch.nan
        return fake

    def _tensors(self) -> dict[str, Tensor]:
        """The whole state, by name, for a checkpoint."""
        tensors = {
            "updates": torch.tensor(self.updates),
            "finite": self.finite,
            "finite_updates": self.finite_updates,
            "generator": self.generator.flat,
            "critic": self.critic.flat,
            "logged_steps": torch.tensor([step for step, _ in self.logged], dtype=torch.int64),
            "sample_steps": torch.tensor([step for step, _ in self.samples], dtype=torch.int64),
            "saved_steps": torch.tensor([step for step, _ in self.saved], dtype=torch.int64),
        }
        tensors |= {f"logged.{i}": record for i, (_, record) in enumerate(self.logged)}
        tensors |= {f"samples.{i}": fakes for i, (_, fakes) in enumerate(self.samples)}
        tensors |= {f"saved.{i}": flat for i, (_, flat) in enumerate(self.saved)}
        for name, optimiser in self._optimisers().items():
            tensors |= {f"{name}.{key}": value for key, value in optimiser.state.items()}
        for name, generators in self._random_streams().items():
            tensors[name] = torch.stack([generator.get_state() for generator in generators])
        return tensors

    def _restore(self, tensors: dict[str, Tensor] | None) -> None:
        if tensors is None:
            return
        self.updates = int(tensors["updates"])
        self.finite.copy_(tensors["finite"])
        self.finite_updates.copy_(tensors["finite_updates"])
        self.generator.flat.copy_(tensors["generator"])
        self.critic.flat.copy_(tensors["critic"])
        self.logged = [(int(s), tensors[f"logged.{i}"]) for i, s in enumerate(tensors["logged_steps"])]
        self.samples = [(int(s), tensors[f"samples.{i}"]) for i, s in enumerate(tensors["sample_steps"])]
        self.saved = [
            (int(s), tensors[f"saved.{i}"].to(self.device)) for i, s in enumerate(tensors["saved_steps"])
        ]
        for name, optimiser in self._optimisers().items():
            for key, value in optimiser.state.items():
                value.copy_(tensors[f"{name}.{key}"])
        for name, generators in self._random_streams().items():
            for generator, state in zip(generators, tensors[name], strict=True):
                generator.set_state(state.clone())  # a view of the stack is refused

    def _optimisers(self) -> dict[str, Adam]:
        return {"generator_adam": self.generator_optimiser, "critic_adam": self.critic_optimiser}

    def _random_streams(self) -> dict[str, list[torch.Generator]]:
        return {
            "data_streams": self.data_streams,
            "latent_streams": self.latent_streams,
            "penalty_streams": self.penalty_streams,
        }
