"""`plan`: params.yaml and objectives.yaml -> one checked file per run.

`train@BENCHMARK-VARIANT` depends on its own file only, so an edited variant or objective retrains exactly the
runs that use it.
"""

import shutil
from pathlib import Path

from pipeline.config import (
    OBJECTIVES,
    PARAMS,
    BenchmarkPlan,
    Params,
    RunPlan,
    StudyPlan,
    load_params,
)
from pipeline.errors import UserError, unknown
from pipeline.objectives import Objective, load_objectives
from pipeline.plan import PLAN
from pipeline.settings import write_model


def resolve(params: Params, objectives: dict[str, Objective], where: str = PARAMS) -> list[RunPlan]:
    """Every run of the study, all settings filled in.

    Raises UserError for an unknown objective and for an objective that needs a Lipschitz critic under a
    recipe that does not bound it.
    """
    scale = params.scales[params.scale]
    return [
        _resolve_run(params, objectives, benchmark, variant, tuple(range(scale.seeds)), where)
        for benchmark in params.study.benchmarks
        for variant in params.study.variants
    ]


def _resolve_run(
    params: Params,
    objectives: dict[str, Objective],
    benchmark: str,
    variant: str,
    seeds: tuple[int, ...],
    where: str,
) -> RunPlan:
    settings = params.variants[variant]
    recipe = settings.recipe(params.recipe)
    if settings.objective not in objectives:
        raise unknown("objective", settings.objective, objectives, f"{where}: variants.{variant}.objective")
    objective = objectives[settings.objective]
    if objective.needs_lipschitz and not recipe.bounds_lipschitz:
        raise UserError(
            f"{where}: variants.{variant}: objective {objective.name!r} needs a Lipschitz critic; "
            f"set penalty to gradient_penalty or weight_clipping, not {recipe.penalty.kind!r}"
        )
    scale = params.scales[params.scale]
    return RunPlan(
        benchmark=benchmark,
        variant=variant,
        objective=settings.objective,
        objective_spec=objective.spec,
        recipe=recipe,
        setting=params.benchmarks[benchmark].setting,
        seeds=seeds,
        generator_updates=scale.generator_updates[benchmark],
        checkpoints=scale.checkpoints,
    )


def write_plan(root: Path) -> list[RunPlan]:
    """Write plan/study.json, plan/BENCHMARK.json and plan/BENCHMARK/VARIANT.json; nothing on an error."""
    params = load_params(root / PARAMS)
    plans = resolve(params, load_objectives(root / OBJECTIVES))
    study = StudyPlan(
        scale=params.scale,
        settings=params.scales[params.scale],
        benchmarks={name: params.benchmarks[name] for name in params.study.benchmarks},
        variants={name: params.variants[name] for name in params.study.variants},
        runs=tuple((plan.benchmark, plan.variant) for plan in plans),
    )
    shutil.rmtree(root / PLAN, ignore_errors=True)
    write_model(study, root / PLAN / "study.json")
    for name, benchmark in study.benchmarks.items():
        epochs = study.settings.classifier_epochs
        write_model(
            BenchmarkPlan(benchmark=name, setting=benchmark.setting, classifier_epochs=epochs),
            root / PLAN / f"{name}.json",
        )
    for plan in plans:
        write_model(plan, root / PLAN / plan.benchmark / f"{plan.variant}.json")
    return plans
