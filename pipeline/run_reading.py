"""The files of one run, checked against its plan: what `evaluate` measures."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pipeline.config import RunPlan
from pipeline.errors import UserError
from pipeline.networks import StackedMLP


@dataclass(frozen=True, eq=False)
class Run:
    """What training left: samples (C, S, M, D) at `steps` (C,), `final` (S, N, D), whose first M are the last
    of `samples`; diverged {seed: step}; logged history."""

    samples: Tensor
    steps: list[int]
    final: Tensor
    diverged: dict[int, int]
    history: pd.DataFrame


def load_run_files(plan: RunPlan, folder: Path) -> Run:
    """The run of a plan. Raises UserError when a file is missing, corrupt or not of this plan."""
    again = _again(plan)
    with _reading(folder / "meta.json", again) as path:
        meta = json.loads(path.read_bytes())
        diverged = {int(seed): int(step) for seed, step in meta["diverged"].items()}
    with _reading(folder / "samples.safetensors", again) as path:
        tensors = safetensors.torch.load(path.read_bytes())
        samples, final = tensors["samples"], tensors["final"]
        steps = [int(step) for step in tensors["steps"]]
    with _reading(folder / "history.parquet", again) as path:
        history = pq.read_table(path).to_pandas()
        history[["seed", "step"]] = history[["seed", "step"]].astype("int64")
    setting, seeds = plan.setting, len(plan.seeds)
    expected = (plan.checkpoints, seeds, setting.checkpoint_samples, seeds, setting.evaluation_samples)
    found = (len(steps), *samples.shape[1:3], *final.shape[:2])
    if meta.get("seeds") != list(plan.seeds) or found != expected or steps != sorted(steps):
        raise UserError(f"{folder}: not the run of plan/{plan.benchmark}/{plan.variant}.json; {again}")
    return Run(samples, steps, final, {**_broken_samples(plan, samples, final, steps), **diverged}, history)


def load_final_generators(plan: RunPlan, folder: Path, dimensions: int) -> StackedMLP:
    """The generators (S, ...) as training left them. Raises UserError as `load_run_files` does."""
    setting = plan.setting
    network = StackedMLP(
        (setting.latent, *setting.generator.widths, dimensions),
        setting.generator.activation,
        setting.generator.output,
        plan.seeds,
        "generator_weights",
    )
    with _reading(folder / "weights.safetensors", _again(plan)) as path:
        tensors = safetensors.torch.load(path.read_bytes())
        for name, parameter in zip(network.names("generator"), network.parameters, strict=True):
            if tensors[name].shape != parameter.shape:
                raise ValueError(f"{name} is {tuple(tensors[name].shape)}, not {tuple(parameter.shape)}")
            parameter.copy_(tensors[name])
    return network


@contextmanager
def _reading(path: Path, again: str) -> Iterator[Path]:
    """What goes wrong with the file in the block becomes one line that names it."""
    try:
        yield path
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or "corrupt"
        raise UserError(f"{path}: cannot be read ({reason}); {again}") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: corrupt or not what train writes ({_line(error)}); {again}") from None
    except (safetensors.SafetensorError, pa.ArrowException) as error:
        raise UserError(f"{path}: corrupt ({_line(error)}); {again}") from None


def _broken_samples(plan: RunPlan, samples: Tensor, final: Tensor, steps: list[int]) -> dict[int, int]:
    """Seeds whose parameters stayed finite and whose samples did not, with the first such step."""
    if not samples.is_floating_point():
        return {}
    finite = torch.isfinite(samples).flatten(2).all(2)
    finite[-1] &= torch.isfinite(final).flatten(1).all(1)
    return {
        seed: steps[int((~finite[:, i]).int().argmax())]
        for i, seed in enumerate(plan.seeds)
        if not bool(finite[:, i].all())
    }


def _again(plan: RunPlan) -> str:
    return f"run the stage {plan.stage('train')} again"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
