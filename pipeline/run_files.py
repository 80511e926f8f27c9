"""What training leaves behind: runs/BENCHMARK/VARIANT/, without times or hosts."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pipeline.config import MixtureData, RunPlan
from pipeline.data.files import json_bytes, write_atomic
from pipeline.data.images import to_uint8
from pipeline.errors import UserError
from pipeline.networks import StackedMLP

GENERATORS = "generators.safetensors"
# Per seed, at the update before the step they are logged at. critic_loss is without the penalty;
# value_estimate = -critic_loss - its value at p = q: what the batch says of the divergence that the critic
# maximises (of an integral probability metric: times the critic's Lipschitz constant).
QUANTITIES = (
    "critic_loss",
    "generator_loss",
    "generator_gradient_norm",
    "critic_gradient_norm",
    "value_estimate",
    "penalty",
)


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run. The stack holds the plan's seeds first; a lone seed is there twice.

    logged: (generator updates done, (Q, S)) per logged step; samples: (generator updates done, (S, M, D)) per
    checkpoint, at the end (S, N, D); saved: (generator updates done, the generators' flat buffer) at the
    plan's `saved_at`; diverged: {seed: updates with finite losses}.
    """

    plan: RunPlan
    generator: StackedMLP
    critic: StackedMLP
    logged: list[tuple[int, Tensor]]
    samples: list[tuple[int, Tensor]]
    saved: list[tuple[int, Tensor]]
    diverged: dict[int, int]
    device: str


def write_run(run: Trained, folder: Path, route: str) -> None:
    """weights.safetensors, generators.safetensors, history.parquet, samples.safetensors and meta.json.

    Of the samples: `steps` (C,), `samples` (C, S, M, D) at every checkpoint, and `final` (S, N, D), of which
    the last `samples` are the first; images are uint8.
    """
    plan, count = run.plan, len(run.plan.seeds)
    folder.mkdir(parents=True, exist_ok=True)
    weights = run.generator.state("generator") | run.critic.state("critic")
    weights = {name: tensor[:count].contiguous() for name, tensor in weights.items()}
    write_atomic(folder / "weights.safetensors", safetensors.torch.save(weights))
    write_atomic(folder / GENERATORS, safetensors.torch.save(_saved_generators(run, count)))
    history(run).to_parquet(folder / "history.parquet", index=False)
    final = run.samples[-1][1][:count]
    samples = torch.stack([fakes[:count, : plan.setting.checkpoint_samples] for _, fakes in run.samples])
    if not isinstance(plan.setting.data, MixtureData):
        samples, final = to_uint8(samples), to_uint8(final)
    steps = torch.tensor([step for step, _ in run.samples])
    tensors = {"samples": samples, "final": final.contiguous(), "steps": steps}
    write_atomic(folder / "samples.safetensors", safetensors.torch.save(tensors))
    meta = {
        "benchmark": plan.benchmark,
        "variant": plan.variant,
        "objective": plan.objective,
        "seeds": list(plan.seeds),
        "diverged": {str(seed): step for seed, step in run.diverged.items()},
        "generator_updates": plan.generator_updates,
        "critic_updates": plan.generator_updates * plan.recipe.critic_steps,
        "device": run.device,
        "fp32_route": route,
        "parameters": {
            "generator": run.generator.parameters_per_seed,
            "critic": run.critic.parameters_per_seed,
        },
    }
    write_atomic(folder / "meta.json", json_bytes(meta))


def _saved_generators(run: Trained, count: int) -> dict[str, Tensor]:
    """generator.weight_1 (T, S, in, out) and so on, at the T updates of `steps`."""
    states = [run.generator.state("generator", flat) for _, flat in run.saved]
    stacked = {name: torch.stack([state[name][:count] for state in states]) for name in states[0]}
    return stacked | {"steps": torch.tensor([step for step, _ in run.saved])}


def load_generators(
    folder: Path, generator: StackedMLP, saved_at: tuple[int, ...], seeds: int, again: str
) -> None:
    """Fill a stack of T * S generators: all seeds of the first of `saved_at` (T,), all of the second, ...

    Raises UserError when the file is missing, corrupt, or of other networks or seeds.
    """
    path = folder / GENERATORS
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        if tensors["steps"].tolist() != list(saved_at):
            raise ValueError(f"saved after {tensors['steps'].tolist()} updates, not {list(saved_at)}")
        for name, parameter in zip(generator.names("generator"), generator.parameters, strict=True):
            if tensors[name].shape[1] != seeds:
                raise ValueError(f"{tensors[name].shape[1]} seeds, not {seeds}")
            parameter.copy_(tensors[name].flatten(0, 1))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not the generators of this study ({reason}); {again}") from None


def history(run: Trained) -> pd.DataFrame:
    """One row per seed and logged step, columns seed, step and QUANTITIES; none after a seed diverged."""
    rows = [
        (seed, step, *record[:, i].tolist())
        for i, seed in enumerate(run.plan.seeds)
        for step, record in run.logged
        if step <= run.diverged.get(seed, step)
    ]
    table = pd.DataFrame(rows, columns=["seed", "step", *QUANTITIES])
    return table.astype({"seed": "int64", "step": "int64"})
