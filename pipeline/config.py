"""The models of params.yaml and of the plan's files, checked one by one and against each other."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, model_validator

from pipeline.errors import UserError, unknown
from pipeline.settings import Settings, read_yaml, validate

PARAMS = "params.yaml"
OBJECTIVES = "objectives.yaml"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Positive = Annotated[int, Field(ge=1, strict=True)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _number_or_formula(value: Any) -> int | float | str:
    """As it stands: `-1/2` is exact as a text, and a choice between types would turn it into a number."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (number or isinstance(value, str)):
        raise ValueError("a number or a formula is expected, as in objectives.yaml")
    return value  # type: ignore[no-any-return]


ParameterValue = Annotated[int | float | str, PlainValidator(_number_or_formula)]


class NoPenalty(Settings):
    kind: Literal["none"] = "none"


class GradientPenalty(Settings):
    """weight * E[(|grad_x D(x)| - target)^2] between real and fake (Gulrajani et al. 2017)."""

    kind: Literal["gradient_penalty"]
    weight: PositiveFloat
    target: PositiveFloat = 1.0


class ZeroCenteredPenalty(Settings):
    """weight / 2 * E[|grad_x D(x)|^2] at real (r1) or fake (r2) points (Mescheder et al. 2018)."""

    kind: Literal["r1", "r2"]
    weight: PositiveFloat


class WeightClipping(Settings):
    """Every critic parameter clipped to [-bound, bound] after each update (Arjovsky et al. 2017)."""

    kind: Literal["weight_clipping"]
    bound: PositiveFloat


Penalty = Annotated[
    NoPenalty | GradientPenalty | ZeroCenteredPenalty | WeightClipping, Field(discriminator="kind")
]


class Recipe(Settings):
    """How a variant trains. Learning rates and betas are Adam's; `batch` counts samples per seed.

    Vectorised kernels take 32 numbers at a time and the rest one by one, with other rounding: in batches of
    a multiple of 32 no seed has such a rest, so none depends on the size of the stack.
    """

    critic_steps: Positive
    generator_learning_rate: PositiveFloat
    critic_learning_rate: PositiveFloat
    betas: tuple[
        Annotated[float, Field(ge=0, lt=1)],
        Annotated[float, Field(ge=0, lt=1)],
    ]
    batch: Annotated[int, Field(ge=32, multiple_of=32, strict=True)]
    latents: Literal["shared", "fresh"]
    penalty: Penalty

    @property
    def bounds_lipschitz(self) -> bool:
        """Whether the penalty keeps the critic's Lipschitz constant bounded."""
        return self.penalty.kind in ("gradient_penalty", "weight_clipping")


class Variant(Settings):
    """One GAN under study: an objective, the parameters it sets, and what its recipe changes.

    `parameters` override those of objectives.yaml by name. Unset recipe fields come from `recipe`.
    """

    title: Annotated[str, Field(min_length=1)]
    objective: Name
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    critic_steps: Positive | None = None
    generator_learning_rate: PositiveFloat | None = None
    critic_learning_rate: PositiveFloat | None = None
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] | None = None
    batch: Annotated[int, Field(ge=32, multiple_of=32, strict=True)] | None = None
    latents: Literal["shared", "fresh"] | None = None
    penalty: Penalty | None = None

    def recipe(self, default: Recipe) -> Recipe:
        own = {name: getattr(self, name) for name in Recipe.model_fields}
        return default.model_copy(update={name: value for name, value in own.items() if value is not None})


class RingData(Settings):
    """`modes` normals of standard deviation `std` at angles 2 pi i / modes on a circle."""

    kind: Literal["ring"]
    modes: Positive
    radius: PositiveFloat
    std: PositiveFloat


class GridData(Settings):
    """side * side normals of standard deviation `std`, `spacing` apart on a square around 0."""

    kind: Literal["grid"]
    side: Annotated[int, Field(ge=2, strict=True)]
    spacing: PositiveFloat
    std: PositiveFloat


class DigitsData(Settings):
    """scikit-learn's 1797 handwritten digits (8x8), `held_out` of them kept for evaluation, stratified.

    At most half: real-vs-real needs as many training images.
    """

    kind: Literal["digits"]
    held_out: Annotated[int, Field(ge=100, le=898, strict=True)]
    split_seed: Annotated[int, Field(ge=0, strict=True)]


class StackedDigitsData(Settings):
    """Three digits drawn at random and stacked as channels of one image: 1000 modes, the numbers 000 to 999.

    The digits and their split are those of DigitsData; an image is (3, 8, 8).
    """

    kind: Literal["stacked_digits"]
    held_out: Annotated[int, Field(ge=100, le=898, strict=True)]
    split_seed: Annotated[int, Field(ge=0, strict=True)]


Data = Annotated[RingData | GridData | DigitsData | StackedDigitsData, Field(discriminator="kind")]
MixtureData = RingData | GridData  # a mixture in the plane, of which the density is known


class GeneratorNetwork(Settings):
    widths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    activation: Literal["relu", "leaky_relu", "tanh"]
    output: Literal["linear", "tanh"]


class CriticNetwork(Settings):
    """Piecewise linear, so that penalties on its slope have a closed-form gradient."""

    widths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    activation: Literal["relu", "leaky_relu"]


class Setting(Settings):
    """A data set, its networks and how its samples are judged: what a run needs to know of its benchmark.

    A run keeps `checkpoint_samples` fakes at every checkpoint and `evaluation_samples` at the end.
    """

    data: Data
    latent: Positive
    generator: GeneratorNetwork
    critic: CriticNetwork
    evaluation_samples: Annotated[int, Field(ge=100, strict=True)]
    checkpoint_samples: Annotated[int, Field(ge=50, strict=True)]
    collapse_below: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _numbers_of_samples(self) -> "Setting":
        if isinstance(self.data, DigitsData) and self.data.held_out != self.evaluation_samples:
            raise ValueError(
                f"evaluation_samples ({self.evaluation_samples}) must equal data.held_out "
                f"({self.data.held_out}), so that fakes and held-out images are compared at one N"
            )
        if self.checkpoint_samples > self.evaluation_samples:
            raise ValueError(
                f"checkpoint_samples ({self.checkpoint_samples}) must be at most evaluation_samples "
                f"({self.evaluation_samples}): a checkpoint keeps the first of the same latents"
            )
        return self


class Benchmark(Setting):
    """A setting with its title. Runs do not hold titles: a new one retrains nothing."""

    title: Annotated[str, Field(min_length=1)]

    @property
    def setting(self) -> Setting:
        return Setting.model_validate(self.model_dump(exclude={"title"}))


class Scale(Settings):
    """How large the study is. Scales differ by these settings only."""

    seeds: Positive
    generator_updates: dict[Name, Positive]
    checkpoints: Annotated[int, Field(ge=2, strict=True)]
    fresh_critic_updates: Positive
    classifier_epochs: Positive
    bootstrap_resamples: Annotated[int, Field(ge=100, strict=True)]
    floor_repeats: Annotated[int, Field(ge=2, strict=True)]
    resamples: Annotated[int, Field(ge=2, strict=True)]
    calibration_samples: Annotated[tuple[Annotated[int, Field(ge=50, strict=True)], ...], Field(min_length=1)]
    calibration_repeats: Annotated[int, Field(ge=2, strict=True)]


Share = Annotated[float, Field(gt=0, le=1)]


class FreshCritics(Settings):
    """New critics trained against saved generators: which variant's, saved at which shares of its training.

    Every run saves its generators there.
    """

    generator: Name
    saved_at: Annotated[tuple[Share, ...], Field(min_length=1)]


class Backbone(Settings):
    """A feature network's weight file and the sha256 that it must have; None: that of the published file."""

    weights: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


BackboneName = Literal["inception_v3", "dinov2_vit_s_14", "dinov2_vit_b_14", "dinov2_vit_l_14"]


class MoreModes(Settings):
    """Benchmarks of many modes, on which a few variants train; both may be empty."""

    benchmarks: tuple[Name, ...]
    variants: tuple[Name, ...]


class Study(Settings):
    """Every variant on every one of `benchmarks`; `datasets` are these and those of `more_modes`."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    benchmarks: Annotated[tuple[Name, ...], Field(min_length=1)]
    variants: Annotated[tuple[Name, ...], Field(min_length=1)]
    more_modes: MoreModes


class Params(Settings):
    """The whole of params.yaml."""

    scale: Name
    study: Study
    fresh_critics: FreshCritics
    backbones: dict[BackboneName, Backbone]
    recipe: Recipe
    variants: dict[Name, Variant]
    benchmarks: dict[Name, Benchmark]
    scales: dict[Name, Scale]


class RunPlan(Settings):
    """One resolved run: everything `train` and `evaluate` need to know (plan/BENCHMARK/VARIANT.json).

    `objective_spec` is the entry of objectives.yaml with the variant's own parameters, so that an edited
    objective changes this file.
    """

    benchmark: Name
    variant: Name
    objective: Name
    objective_spec: dict[str, Any]
    recipe: Recipe
    setting: Setting
    seeds: tuple[int, ...]
    generator_updates: Positive
    checkpoints: Annotated[int, Field(ge=2)]
    saved_at: tuple[Positive, ...]
    more_modes: bool

    @property
    def name(self) -> str:
        """As in the stage names: BENCHMARK-VARIANT."""
        return f"{self.benchmark}-{self.variant}"

    def stage(self, verb: str) -> str:
        """The stage of dvc.yaml that runs it: train@ring-minimax, train_more_modes@grid-minimax."""
        return f"{verb}{'_more_modes' if self.more_modes else ''}@{self.name}"


class CriticPlan(Settings):
    """What a fresh critic is trained with: a variant's objective and recipe, its generator aside."""

    variant: Name
    objective: Name
    objective_spec: dict[str, Any]
    recipe: Recipe


class FreshCriticsPlan(Settings):
    """The resolved experiment on one benchmark (plan/fresh_critics/BENCHMARK.json).

    `generator` is the variant whose run saved its generators after `saved_at` updates.
    """

    benchmark: Name
    generator: Name
    setting: Setting
    seeds: tuple[int, ...]
    saved_at: tuple[Positive, ...]
    critic_updates: Positive
    critics: tuple[CriticPlan, ...]


class BenchmarkPlan(Settings):
    """One resolved benchmark, variants aside: what its data and features need (plan/BENCHMARK.json)."""

    benchmark: Name
    setting: Setting
    classifier_epochs: Positive


class EvaluationPlan(Settings):
    """How every run is judged, whatever it trained (plan/evaluation.json).

    resamples: fresh sets of samples from each final generator, which tell the variance of an evaluation from
    that of a training.
    """

    resamples: Annotated[int, Field(ge=2)]
    backbones: dict[BackboneName, Backbone]


class CalibrationPlan(Settings):
    """The estimators' trial on pairs with a known answer (plan/calibration.json): its N and repeats."""

    samples: tuple[Positive, ...]
    repeats: Annotated[int, Field(ge=2)]


class StudyPlan(Settings):
    """The resolved study (plan/study.json): the one list of runs. Never a glob: old folders stay on disk.

    `of_every_variant` are the benchmarks on which all variants train.
    """

    scale: Name
    settings: Scale
    benchmarks: dict[Name, Benchmark]
    of_every_variant: tuple[Name, ...]
    variants: dict[Name, Variant]
    runs: tuple[tuple[Name, Name], ...]


def load_params(path: Path = Path(PARAMS)) -> Params:
    """The checked settings of params.yaml.

    Raises UserError (file, key, what is allowed) for unknown or misspelt keys, wrong types, values out of
    range, and for benchmarks, variants or scales that are named and not defined.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a mapping is expected, with the keys {', '.join(Params.model_fields)}")
    params = validate(Params, raw, str(path))
    _check_names(params, str(path))
    return params


def _check_names(params: Params, where: str) -> None:
    study = params.study
    if params.scale not in params.scales:
        raise unknown("scale", params.scale, params.scales, f"{where}: scale")
    for kind, names, known, key in (
        ("benchmark", study.benchmarks, params.benchmarks, "benchmarks"),
        ("variant", study.variants, params.variants, "variants"),
        ("benchmark", study.more_modes.benchmarks, params.benchmarks, "more_modes.benchmarks"),
        ("variant of the study", study.more_modes.variants, study.variants, "more_modes.variants"),
    ):
        for name in names:
            if name not in known:
                raise unknown(kind, name, known, f"{where}: study.{key}")
            if names.count(name) > 1:
                raise UserError(f"{where}: study.{key}: {name!r} stands twice")
    trained_on = (*study.benchmarks, *study.more_modes.benchmarks)
    for name in study.more_modes.benchmarks:
        if name in study.benchmarks:
            raise UserError(f"{where}: study.more_modes.benchmarks: {name!r} is in study.benchmarks too")
    if sorted(study.datasets) != sorted(trained_on):
        raise UserError(
            f"{where}: study.datasets: must be study.benchmarks and study.more_modes.benchmarks together, "
            f"{', '.join(trained_on)}; not {', '.join(study.datasets)}"
        )
    for own in ("study", "fresh_critics", "evaluation", "calibration"):
        if own in trained_on:
            raise UserError(
                f"{where}: study.benchmarks: {own!r} is the name of the plan's own file; take another"
            )
    if params.fresh_critics.generator not in study.variants:
        raise unknown(
            "variant of the study",
            params.fresh_critics.generator,
            study.variants,
            f"{where}: fresh_critics.generator",
        )
    for name, scale in params.scales.items():
        for benchmark in trained_on:
            if benchmark not in scale.generator_updates:
                raise UserError(
                    f"{where}: scales.{name}.generator_updates: no number for benchmark {benchmark!r}"
                )
