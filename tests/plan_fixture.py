"""A small run on the ring, for tests that train."""

from pathlib import Path

from benchmarks.training import stacked_plan
from pipeline.config import OBJECTIVES, RunPlan
from pipeline.objectives.catalogue import read_entries

ROOT = Path(__file__).parents[1]


def run_plan(
    seeds: tuple[int, ...],
    updates: int = 40,
    batch: int = 128,
    trained_by: str = "non_saturating",
    saved_at: tuple[int, ...] | None = None,
    **recipe: object,
) -> RunPlan:
    """Width 32, two checkpoints, 100 evaluation samples; generators saved after 2 updates and at the end."""
    base = stacked_plan(width=32, batch=batch)
    return base.model_copy(
        update={
            "objective": trained_by,
            "objective_spec": dict(read_entries(ROOT / OBJECTIVES)[trained_by]),
            "seeds": seeds,
            "generator_updates": updates,
            "checkpoints": 2,
            "saved_at": saved_at or (2, updates),
            "recipe": base.recipe.model_copy(update=recipe),
            "setting": base.setting.model_copy(update={"evaluation_samples": 100, "checkpoint_samples": 50}),
        }
    )
