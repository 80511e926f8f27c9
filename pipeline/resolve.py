"""`plan`: params.yaml and objectives.yaml -> one checked file per run.

`train@BENCHMARK-VARIANT` depends on its own file only, so an edited variant or objective retrains exactly the
runs that use it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.config import (
    OBJECTIVES,
    PARAMS,
    BenchmarkPlan,
    CalibrationPlan,
    CriticPlan,
    EvaluationPlan,
    FreshCriticsPlan,
    Params,
    Recipe,
    RunPlan,
    StudyPlan,
    load_params,
)
from pipeline.errors import UserError, unknown
from pipeline.objectives import Objective, load_objectives, objective_from_spec, with_parameters
from pipeline.plan import CALIBRATION, EVALUATION, FRESH_CRITICS, PLAN
from pipeline.settings import write_model


def resolve(params: Params, objectives: Mapping[str, Objective], where: str = PARAMS) -> list[RunPlan]:
    """Every run of the study, all settings filled in.

    Raises UserError for an unknown objective, for parameters that it does not have or that make it
    inconsistent, and for an objective that needs a Lipschitz critic under a recipe that does not bound it.
    """
    scale, study = params.scales[params.scale], params.study
    chosen = {name: _variant(params, objectives, name, where) for name in params.study.variants}
    return [
        RunPlan(
            benchmark=benchmark,
            variant=variant,
            objective=objective.name,
            objective_spec=dict(objective.spec),
            recipe=recipe,
            setting=params.benchmarks[benchmark].setting,
            seeds=tuple(range(scale.seeds)),
            generator_updates=scale.generator_updates[benchmark],
            checkpoints=scale.checkpoints,
            saved_at=_saved_at(params, benchmark),
            more_modes=more_modes,
        )
        for more_modes, benchmarks, variants in (
            (False, study.benchmarks, study.variants),
            (True, study.more_modes.benchmarks, study.more_modes.variants),
        )
        for benchmark in benchmarks
        for variant in variants
        for objective, recipe in [chosen[variant]]
    ]


def _saved_at(params: Params, benchmark: str) -> tuple[int, ...]:
    """The generator updates after which runs save their generators, in order."""
    updates = params.scales[params.scale].generator_updates[benchmark]
    return tuple(sorted({max(1, round(share * updates)) for share in params.fresh_critics.saved_at}))


def fresh_critics(params: Params, plans: list[RunPlan]) -> list[FreshCriticsPlan]:
    """The experiment on every benchmark: a critic for each variant, against one variant's generators."""
    return [
        FreshCriticsPlan(
            benchmark=benchmark,
            generator=params.fresh_critics.generator,
            setting=params.benchmarks[benchmark].setting,
            seeds=own[0].seeds,
            saved_at=own[0].saved_at,
            critic_updates=params.scales[params.scale].fresh_critic_updates,
            critics=tuple(
                CriticPlan(
                    variant=plan.variant,
                    objective=plan.objective,
                    objective_spec=plan.objective_spec,
                    recipe=_of_the_critic(plan.recipe),
                )
                for plan in own
            ),
        )
        for benchmark in params.study.benchmarks
        for own in [[plan for plan in plans if plan.benchmark == benchmark]]
    ]


def _of_the_critic(recipe: Recipe) -> Recipe:
    """The recipe with what only training reads at one value: an edit of that trains no fresh critic again."""
    rate = recipe.critic_learning_rate
    return recipe.model_copy(update={"critic_steps": 1, "generator_learning_rate": rate, "latents": "shared"})


def _variant(
    params: Params, objectives: Mapping[str, Objective], variant: str, where: str
) -> tuple[Objective, Recipe]:
    settings = params.variants[variant]
    recipe = settings.recipe(params.recipe)
    place = f"{where}: variants.{variant}"
    if settings.objective not in objectives:
        raise unknown("objective", settings.objective, objectives, f"{place}.objective")
    objective = objectives[settings.objective]
    if settings.parameters:
        place_of_parameters = f"{place}.parameters"
        spec = with_parameters(objective.spec, settings.parameters, place_of_parameters)
        objective = objective_from_spec(objective.name, spec, place_of_parameters)
    if objective.needs_lipschitz and not recipe.bounds_lipschitz:
        raise UserError(
            f"{place}: objective {objective.name!r} needs a Lipschitz critic; "
            f"set penalty to gradient_penalty or weight_clipping, not {recipe.penalty.kind!r}"
        )
    return objective, recipe


def write_plan(root: Path) -> list[RunPlan]:
    """Write plan/study.json, plan/evaluation.json, plan/calibration.json, plan/BENCHMARK.json,
    plan/BENCHMARK/VARIANT.json and plan/fresh_critics/BENCHMARK.json; nothing on an error."""
    params = load_params(root / PARAMS)
    plans = resolve(params, load_objectives(root / OBJECTIVES))
    study = StudyPlan(
        scale=params.scale,
        settings=params.scales[params.scale],
        benchmarks={
            name: params.benchmarks[name]
            for name in (*params.study.benchmarks, *params.study.more_modes.benchmarks)
        },
        of_every_variant=params.study.benchmarks,
        variants={name: params.variants[name] for name in params.study.variants},
        runs=tuple((plan.benchmark, plan.variant) for plan in plans),
    )
    shutil.rmtree(root / PLAN, ignore_errors=True)
    settings = study.settings
    write_model(study, root / PLAN / "study.json")
    write_model(
        EvaluationPlan(resamples=settings.resamples, backbones=params.backbones), root / PLAN / EVALUATION
    )
    write_model(
        CalibrationPlan(samples=settings.calibration_samples, repeats=settings.calibration_repeats),
        root / PLAN / CALIBRATION,
    )
    for name, benchmark in study.benchmarks.items():
        epochs = settings.classifier_epochs
        write_model(
            BenchmarkPlan(benchmark=name, setting=benchmark.setting, classifier_epochs=epochs),
            root / PLAN / f"{name}.json",
        )
    for plan in plans:
        write_model(plan, root / PLAN / plan.benchmark / f"{plan.variant}.json")
    for experiment in fresh_critics(params, plans):
        write_model(experiment, root / PLAN / FRESH_CRITICS / f"{experiment.benchmark}.json")
    return plans
