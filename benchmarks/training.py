"""`make bench`: seed-steps per second of the stacked training against the plain one-seed loop.

Both run interleaved in this one process, on one thread; medians of the rounds. A seed-step is one critic
update and one generator update of one seed, drawing the random numbers included. The plain loop keeps the
fakes for both updates too, so that the two do the same updates.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.plain import plain_step
from pipeline.backend import prepare_cpu
from pipeline.config import OBJECTIVES, Recipe, RingData, RunPlan, Setting
from pipeline.data.mixtures import ring
from pipeline.objectives import load_objective
from pipeline.training import BLOCK, Training

SEEDS = 10
ROUNDS = 9
TARGETS = {(32, 128): 6.0, (64, 128): 4.0, (128, 256): 2.3}


def stacked_plan(width: int, batch: int, seeds: int = SEEDS) -> RunPlan:
    """The non-saturating GAN on the ring, at the plain loop's settings."""
    objective = load_objective("non_saturating", Path(OBJECTIVES))
    network = {"widths": (width, width), "activation": "relu"}
    return RunPlan(
        benchmark="ring",
        variant="non_saturating",
        objective=objective.name,
        objective_spec=objective.spec,
        recipe=Recipe.model_validate(
            {
                "critic_steps": 1,
                "generator_learning_rate": 1e-3,
                "critic_learning_rate": 1e-3,
                "betas": (0.5, 0.9),
                "batch": batch,
                "latents": "shared",
                "penalty": {"kind": "none"},
            }
        ),
        setting=Setting.model_validate(
            {
                "data": {"kind": "ring", "modes": 8, "radius": 1.0, "std": 0.01},
                "latent": 2,
                "generator": network | {"output": "linear"},
                "critic": network,
                "evaluation_samples": 2500,
                "checkpoint_samples": 100,
                "collapse_below": 0.5,
            }
        ),
        seeds=tuple(range(seeds)),
        generator_updates=1,
        more_modes=False,
        saved_at=(1,),
        checkpoints=2,
    )


def stacked_block(width: int, batch: int, seeds: int = SEEDS) -> Callable[[], None]:
    """A function that trains all seeds for BLOCK generator updates, as `Training.run` does."""
    plan = stacked_plan(width, batch, seeds)
    data = plan.setting.data
    assert isinstance(data, RingData)
    training = Training(plan, ring(data).sample, 2)

    def run() -> None:
        block = training.draw_block()
        for index in range(BLOCK):
            training.step(block, index, logging=False)

    return run


def seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(width: int, batch: int) -> tuple[float, float, list[float]]:
    """(stacked, plain) seed-steps per second, medians, and the ratio of each round."""
    stacked = stacked_block(width, batch)
    plain = plain_step(width, batch, latent=2, seed=0)

    def plain_block() -> None:
        for _ in range(BLOCK):
            plain()

    stacked()
    plain_block()
    rounds = [(SEEDS * BLOCK / seconds(stacked), BLOCK / seconds(plain_block)) for _ in range(ROUNDS)]
    ratios = [fast / slow for fast, slow in rounds]
    return statistics.median(f for f, _ in rounds), statistics.median(s for _, s in rounds), ratios


def main() -> None:
    torch.set_num_threads(1)
    route = prepare_cpu(min(2 * width * batch for width, batch in TARGETS))
    table = Table(title=f"{SEEDS} seeds, one thread, float32 route {route!r}, medians of {ROUNDS} rounds")
    for column in (
        "width",
        "batch",
        "stacked, seed-steps/s",
        "plain, seed-steps/s",
        "ratio",
        "range",
        "target",
    ):
        table.add_column(column, justify="right")
    for (width, batch), target in TARGETS.items():
        fast, slow, ratios = compare(width, batch)
        table.add_row(
            str(width),
            str(batch),
            f"{fast:,.0f}",
            f"{slow:,.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{target:g}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
