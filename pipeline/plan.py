"""The resolved settings of every run, its name and its paths.

`plan` turns params.yaml and objectives.yaml into one file per run. `train@BENCHMARK-VARIANT` depends on its
own file only, so an edited variant or objective retrains exactly the runs that use it.
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
    read_model,
    write_model,
)
from pipeline.errors import UserError, unknown
from pipeline.objectives import Objective, load_objectives

PLAN = "plan"
DATA = "data"
FEATURES = "features"
RUNS = "runs"
EVALUATED = "evaluated"
RESULTS = "reports/results"
FIGURES = "reports/figures"
WORK = ".work"


def run_path(root: Path, folder: str, benchmark: str, variant: str) -> Path:
    """root/FOLDER/BENCHMARK/VARIANT, for RUNS and EVALUATED."""
    return root / folder / benchmark / variant


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
        title=settings.title,
        objective=settings.objective,
        objective_spec=objective.spec,
        recipe=recipe,
        setting=params.benchmarks[benchmark],
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
    for name, setting in study.benchmarks.items():
        epochs = study.settings.classifier_epochs
        write_model(
            BenchmarkPlan(benchmark=name, setting=setting, classifier_epochs=epochs),
            root / PLAN / f"{name}.json",
        )
    for plan in plans:
        write_model(plan, root / PLAN / plan.benchmark / f"{plan.variant}.json")
    return plans


def load_study(root: Path) -> StudyPlan:
    """plan/study.json. Raises UserError when the plan stage has not run."""
    return read_model(StudyPlan, root / PLAN / "study.json")


def load_benchmark(benchmark: str, root: Path) -> BenchmarkPlan:
    """plan/BENCHMARK.json. Raises UserError naming the nearest known benchmark."""
    path = root / PLAN / f"{benchmark}.json"
    if benchmark == "study" or not path.exists():
        raise unknown("benchmark", benchmark, load_study(root).benchmarks, str(root / PLAN))
    return read_model(BenchmarkPlan, path)


def load_run(benchmark: str, variant: str, root: Path) -> RunPlan:
    """plan/BENCHMARK/VARIANT.json. Raises UserError naming the nearest known benchmark or variant."""
    path = root / PLAN / benchmark / f"{variant}.json"
    if not path.exists():
        study = load_study(root)
        if benchmark not in study.benchmarks:
            raise unknown("benchmark", benchmark, study.benchmarks, str(root / PLAN))
        raise unknown("variant", variant, study.variants, str(root / PLAN))
    return read_model(RunPlan, path)
