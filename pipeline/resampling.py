"""Fresh samples of the final generators, measured again: how much of a number is the luck of its samples.

A metric varies from seed to seed because trainings differ and because each is measured on finitely many
samples. R sets of N samples from one generator tell the second part alone.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.config import MixtureData, RunPlan
from pipeline.data.images import to_uint8
from pipeline.metrics.judges import Judge, measure
from pipeline.metrics.registry import split_name
from pipeline.metrics.streams import torch_generator
from pipeline.networks import StackedMLP
from pipeline.run_reading import Run

COLUMNS = ["benchmark", "variant", "seed", "resample", "metric", "value"]
FAR = 1e30  # stands for a coordinate that overflowed: nearest to some mode and nowhere near it


def resampled_rows(
    plan: RunPlan, run: Run, generators: StackedMLP, judge: Judge, resamples: int
) -> list[tuple[Any, ...]]:
    """Rows (COLUMNS) of the judge's headline metrics by seed and resample, of seeds that did not diverge."""
    values: dict[tuple[int, int], dict[str, float]] = {}
    for resample in range(resamples):
        samples = fresh_samples(plan, generators, resample)
        for i, seed in enumerate(plan.seeds):
            if seed not in run.diverged:
                values[seed, resample] = measure(judge, samples[i], plan.setting.collapse_below, final=False)
    return [
        (plan.benchmark, plan.variant, seed, resample, name, value)
        for (seed, resample), named in sorted(values.items())
        for name, value in sorted(named.items())
        if split_name(name).stem in judge.headline
    ]


def fresh_samples(plan: RunPlan, generators: StackedMLP, resample: int) -> Tensor:
    """(S, N, D) as training stores them, of latents that no other use shares."""
    shape = (plan.setting.evaluation_samples, plan.setting.latent)
    latents = [
        torch.randn(
            shape, generator=torch_generator("resample", plan.benchmark, plan.variant, seed, resample)
        )
        for seed in plan.seeds
    ]
    samples = generators.layers(torch.stack(latents))[-1]
    if isinstance(plan.setting.data, MixtureData):
        return samples.nan_to_num(FAR, FAR, -FAR)
    return to_uint8(samples)
