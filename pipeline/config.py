"""params.yaml -> frozen, typed, checked settings. The only reader of YAML.

Every model forbids unknown keys: a misspelt key is an error that names the nearest known one, never a
silent default.
"""

import json
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UserError, unknown

PARAMS = "params.yaml"
OBJECTIVES = "objectives.yaml"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Positive = Annotated[int, Field(ge=1, strict=True)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=Settings)


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
    """One GAN under study: an objective and what its recipe changes. Unset fields come from `recipe`."""

    title: Annotated[str, Field(min_length=1)]
    objective: Name
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


class DigitsData(Settings):
    """scikit-learn's 1797 handwritten digits (8x8), `held_out` of them kept for evaluation, stratified.

    At most half: real-vs-real needs as many training images.
    """

    kind: Literal["digits"]
    held_out: Annotated[int, Field(ge=100, le=898, strict=True)]
    split_seed: Annotated[int, Field(ge=0, strict=True)]


Data = Annotated[RingData | DigitsData, Field(discriminator="kind")]


class GeneratorNetwork(Settings):
    widths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    activation: Literal["relu", "leaky_relu", "tanh"]
    output: Literal["linear", "tanh"]


class CriticNetwork(Settings):
    """Piecewise linear, so that penalties on its slope have a closed-form gradient."""

    widths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    activation: Literal["relu", "leaky_relu"]


class Benchmark(Settings):
    """A data set, its networks and how its samples are judged."""

    title: Annotated[str, Field(min_length=1)]
    data: Data
    latent: Positive
    generator: GeneratorNetwork
    critic: CriticNetwork
    evaluation_samples: Annotated[int, Field(ge=100, strict=True)]
    collapse_below: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _held_out_is_the_evaluation_set(self) -> "Benchmark":
        if isinstance(self.data, DigitsData) and self.data.held_out != self.evaluation_samples:
            raise ValueError(
                f"evaluation_samples ({self.evaluation_samples}) must equal data.held_out "
                f"({self.data.held_out}), so that fakes and held-out images are compared at one N"
            )
        return self


class Scale(Settings):
    """How large the study is. Scales differ by these settings only."""

    seeds: Positive
    generator_updates: dict[Name, Positive]
    checkpoints: Annotated[int, Field(ge=2, strict=True)]
    classifier_epochs: Positive
    bootstrap_resamples: Annotated[int, Field(ge=100, strict=True)]
    floor_repeats: Annotated[int, Field(ge=2, strict=True)]


class Study(Settings):
    benchmarks: Annotated[tuple[Name, ...], Field(min_length=1)]
    variants: Annotated[tuple[Name, ...], Field(min_length=1)]


class Params(Settings):
    """The whole of params.yaml."""

    scale: Name
    study: Study
    recipe: Recipe
    variants: dict[Name, Variant]
    benchmarks: dict[Name, Benchmark]
    scales: dict[Name, Scale]


class RunPlan(Settings):
    """One resolved run: everything `train` and `evaluate` need to know (plan/BENCHMARK/VARIANT.json).

    `objective_spec` is the entry of objectives.yaml, so that an edited objective changes this file.
    """

    benchmark: Name
    variant: Name
    title: str
    objective: Name
    objective_spec: dict[str, Any]
    recipe: Recipe
    setting: Benchmark
    seeds: tuple[int, ...]
    generator_updates: Positive
    checkpoints: Annotated[int, Field(ge=2)]

    @property
    def name(self) -> str:
        """As in the stage names: BENCHMARK-VARIANT."""
        return f"{self.benchmark}-{self.variant}"


class BenchmarkPlan(Settings):
    """One resolved benchmark, variants aside: what its data and features need (plan/BENCHMARK.json)."""

    benchmark: Name
    setting: Benchmark
    classifier_epochs: Positive


class StudyPlan(Settings):
    """The resolved study (plan/study.json): the one list of runs. Never a glob: old folders stay on disk."""

    scale: Name
    settings: Scale
    benchmarks: dict[Name, Benchmark]
    variants: dict[Name, Variant]
    runs: tuple[tuple[Name, Name], ...]


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; a study must not."""


def _unique_mapping(loader: _UniqueKeys, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a plain word", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_text(path: Path) -> str:
    """The file as UTF-8 text. Raises UserError when it is missing or not text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this in the project's folder") from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from None


def read_yaml(path: Path) -> Any:
    """The file's content. Raises UserError on a missing file, broken YAML and a key that stands twice."""
    text = read_text(path)
    try:
        # A SafeLoader underneath: no tag can construct an object.
        return yaml.load(text, Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{place}: not valid YAML: {problem}") from None


def load_params(path: Path = Path(PARAMS)) -> Params:
    """The checked settings of params.yaml.

    Raises UserError (file, key, what is allowed) for unknown or misspelt keys, wrong types, values out of
    range, and for benchmarks, variants or scales that are named and not defined.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a mapping is expected, with the keys {', '.join(Params.model_fields)}")
    params = _validate(Params, raw, str(path))
    _check_names(params, str(path))
    return params


def read_model(model: type[M], path: Path) -> M:
    """A settings file that a stage wrote. Raises UserError when it is missing or was changed by hand."""
    text = read_text(path)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise UserError(
            f"{path}: not what `plan` writes ({_problem(error, model, {})[1]}); run the plan stage again"
        ) from None


def write_model(model: Settings, path: Path) -> None:
    """Sorted, indented JSON, so that equal settings give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(model.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _validate(model: type[M], raw: Any, where: str) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        key, message = _problem(error, model, raw)
        raise UserError(f"{where}: {key}: {message}") from None


def _problem(error: ValidationError, model: type[Settings], raw: Any) -> tuple[str, str]:
    """The first problem as (dotted key, one line); an unknown key names its nearest neighbour."""
    problems = error.errors()
    # An unknown key tells more than the missing one it was meant to be.
    first = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    location = [part for part in first["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        return key, str(
            unknown("key", str(location[-1]), _known_keys(model, location[:-1]), "it")
        ).removeprefix("it: ")
    value = first.get("input")
    shown = "" if first["type"] == "missing" or isinstance(value, dict) else f", not {value!r}"
    message = first["msg"].removeprefix("Value error, ")
    return key, message[0].lower() + message[1:] + shown


def _known_keys(annotation: Any, location: list[Any]) -> set[str]:
    """The field names allowed at a place in the settings' tree."""
    models = [annotation] if isinstance(annotation, type) and issubclass(annotation, Settings) else []
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_known_keys(argument, location) for argument in arguments))
    if origin is Annotated:
        return _known_keys(arguments[0], location)
    if origin in (dict, tuple):
        return _known_keys(arguments[-1] if origin is dict else arguments[0], location[1:])
    if not models:
        return set()
    model = models[0]
    if not location:
        return set(model.model_fields)
    if location[0] in model.model_fields:
        field = model.model_fields[location[0]]
        return _known_keys(field.annotation, location[1:])
    kind = model.model_fields.get("kind")
    # A discriminated union puts the tag into the location: follow only the model that has it.
    return (
        _known_keys(model, location[1:])
        if kind and location[0] in typing.get_args(kind.annotation)
        else set()
    )


def _check_names(params: Params, where: str) -> None:
    if params.scale not in params.scales:
        raise unknown("scale", params.scale, params.scales, f"{where}: scale")
    for kind, names, known in (
        ("benchmark", params.study.benchmarks, params.benchmarks),
        ("variant", params.study.variants, params.variants),
    ):
        for name in names:
            if name not in known:
                raise unknown(kind, name, known, f"{where}: study.{kind}s")
            if names.count(name) > 1:
                raise UserError(f"{where}: study.{kind}s: {name!r} stands twice")
    if "study" in params.study.benchmarks:
        raise UserError(
            f"{where}: study.benchmarks: 'study' is the name of the plan's own file; take another"
        )
    for name, scale in params.scales.items():
        for benchmark in params.study.benchmarks:
            if benchmark not in scale.generator_updates:
                raise UserError(
                    f"{where}: scales.{name}.generator_updates: no number for benchmark {benchmark!r}"
                )
