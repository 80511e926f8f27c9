"""What `plan` makes of params.yaml: every run's settings in one file, with the parameters a variant sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import OBJECTIVES, PARAMS, Params, RunPlan, load_params
from pipeline.errors import UserError
from pipeline.objectives import Objective, load_objectives
from pipeline.plan import load_fresh_critics, load_run
from pipeline.resolve import resolve, write_plan

ROOT = Path(__file__).parents[1]
LONGEST_TITLE = 24  # characters: titles stand in legends of figures
TWO_OBJECTIVES = """
power:
  construction: likelihood_ratio
  parameters: {a: 1/2, b: 1}
  omega: b*r**a
  rho: 1
  domain: [0, oo]
  activation: softplus(v)
  citation: this test
plain:
  construction: likelihood_ratio
  omega: log(r)
  rho: exp(-t/2)/4
  citation: this test
"""


@pytest.fixture(scope="module")
def whole() -> tuple[Params, dict[str, Objective]]:
    """The study as it stands in the repository."""
    return load_params(ROOT / PARAMS), load_objectives(ROOT / OBJECTIVES)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., dict[str, RunPlan]]:
    """plan files of a study of the variants given, on the ring, by variant."""

    def planned(**variants: dict[str, Any]) -> dict[str, RunPlan]:
        settings = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8"))
        none = {"benchmarks": [], "variants": []}
        settings["study"] = {
            "datasets": ["ring"],
            "benchmarks": ["ring"],
            "variants": list(variants),
            "more_modes": none,
        }
        settings["fresh_critics"]["generator"] = next(iter(variants))
        settings["variants"] = {name: {"title": name} | own for name, own in variants.items()}
        (tmp_path / PARAMS).write_text(yaml.safe_dump(settings))
        (tmp_path / OBJECTIVES).write_text(TWO_OBJECTIVES)
        write_plan(tmp_path)
        return {name: load_run("ring", name, tmp_path) for name in variants}

    return planned


def test_the_study_trains_every_objective_in_the_catalogues_order(
    whole: tuple[Params, dict[str, Objective]],
) -> None:
    params, objectives = whole
    used = [params.variants[name].objective for name in params.study.variants]
    assert list(dict.fromkeys(used)) == list(objectives)
    assert set(params.study.variants) == set(params.variants)


def test_titles_are_short_and_tell_variants_apart(whole: tuple[Params, dict[str, Objective]]) -> None:
    titles = [variant.title for variant in whole[0].variants.values()]
    assert [title for title in titles if len(title) > LONGEST_TITLE] == []
    assert len(set(titles)) == len(titles)


def test_every_run_of_the_study_resolves(whole: tuple[Params, dict[str, Objective]]) -> None:
    params, objectives = whole
    plans = resolve(params, objectives)
    study = params.study
    names = [(b, v, False) for b in study.benchmarks for v in study.variants]
    names += [(b, v, True) for b in study.more_modes.benchmarks for v in study.more_modes.variants]
    assert [(plan.benchmark, plan.variant, plan.more_modes) for plan in plans] == names
    for plan in plans:
        own = params.variants[plan.variant].parameters
        spec = dict(objectives[plan.objective].spec)
        if own:
            spec["parameters"] = spec["parameters"] | own
        assert plan.objective_spec == spec


def test_parameters_reach_the_plan_of_their_variant_alone(small: Callable[..., dict[str, RunPlan]]) -> None:
    plans = small(
        default={"objective": "power"},
        number={"objective": "power", "parameters": {"a": 0.75}},
        formula={"objective": "power", "parameters": {"a": "1/3", "b": "2/3"}},
    )
    parameters = {name: plan.objective_spec["parameters"] for name, plan in plans.items()}
    assert parameters == {
        "default": {"a": "1/2", "b": 1},
        "number": {"a": 0.75, "b": 1},
        "formula": {"a": "1/3", "b": "2/3"},
    }
    assert plans["default"] == small(default={"objective": "power"})["default"]


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"objective": "power", "parameters": {"c": 1}}, [".parameters", "'c'", "known: a, b"]),
        ({"objective": "plain", "parameters": {"c": 1}}, [".parameters", "'c'", "no parameters"]),
        ({"objective": "power", "parameters": {"a": 0}}, [".parameters: power.omega"]),
        ({"objective": "power", "parameters": {"a": -1}}, [".parameters", "'power'", "inconsistent"]),
        ({"objective": "power", "parameters": {"a": "2*"}}, [".parameters", "power.parameters.a"]),
        ({"objective": "power", "parameters": {"a": True}}, ["parameters.a", "a number or a formula"]),
        ({"objective": "power", "parameters": {"a": [1]}}, ["parameters.a", "a number or a formula"]),
        (
            {"objective": "power", "parameters": {"a": float("inf")}},
            ["parameters.a", "a number or a formula"],
        ),
        ({"objective": "power", "parametres": {"a": 1}}, ["did you mean 'parameters'"]),
    ],
)
def test_parameters_that_cannot_be_are_refused_at_their_place(
    small: Callable[..., dict[str, RunPlan]], variant: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UserError) as refused:
        small(mine=variant)
    told = str(refused.value)
    assert "\n" not in told
    assert f"{PARAMS}: variants.mine" in told
    for word in words:
        assert word in told


def test_generators_are_saved_at_shares_of_the_training(whole: tuple[Params, dict[str, Objective]]) -> None:
    params, objectives = whole
    updates = params.scales[params.scale].generator_updates
    for plan in resolve(params, objectives):
        total = updates[plan.benchmark]
        assert plan.saved_at == (total // 100, total // 10, total)
    smallest = params.model_copy(update={"scale": "smoke"})
    # A share of less than half an update is one update, and equal ones are saved once.
    assert {plan.saved_at for plan in resolve(smallest, objectives)} == {(1, 6, 60), (1, 4, 40), (1, 2, 20)}


def test_fresh_critics_know_the_critics_half_of_a_recipe(
    small: Callable[..., dict[str, RunPlan]], tmp_path: Path
) -> None:
    """An edit of what only training reads leaves their plan as it was."""

    def planned(**own: object) -> dict[str, object]:
        small(first={"objective": "plain"}, second={"objective": "power", **own})
        return load_fresh_critics("ring", tmp_path).model_dump()

    before = planned()
    assert [critic["variant"] for critic in before["critics"]] == ["first", "second"]  # type: ignore[attr-defined]
    assert before["generator"] == "first"
    assert planned(critic_steps=4, generator_learning_rate=0.5, latents="fresh") == before
    assert planned(critic_learning_rate=0.5) != before
    assert planned(penalty={"kind": "r1", "weight": 1.0}) != before
    with pytest.raises(UserError, match="unknown benchmark 'rings'; did you mean 'ring'"):
        load_fresh_critics("rings", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fresh_critics": {"generator": "minmax"}}, r"fresh_critics.generator: unknown .*'minimax'\?"),
        ({"fresh_critics": {"saved_at": []}}, r"fresh_critics.saved_at"),
        ({"fresh_critics": {"saved_at": [0.5, 1.5]}}, r"fresh_critics.saved_at.1: .*1"),
        ({"fresh_critics": {"saved": [1]}}, r"fresh_critics.saved: unknown key 'saved'"),
        (
            {
                "study": {
                    "datasets": ["fresh_critics"],
                    "benchmarks": ["fresh_critics"],
                    "more_modes": {"benchmarks": [], "variants": []},
                },
                "benchmarks": "rename",
            },
            r"'fresh_critics' is the name",
        ),
        ({"study": {"datasets": ["ring"]}}, r"study.datasets: must be .* ring, digits, grid, stacked_digits"),
        (
            {"study": {"more_modes": {"benchmarks": ["ring"], "variants": ["minimax"]}}},
            r"'ring' is in study.benchmarks too",
        ),
        (
            {"study": {"more_modes": {"benchmarks": ["grid"], "variants": ["minmax"]}}},
            r"study.more_modes.variants: unknown variant of the study 'minmax'; did you mean 'minimax'",
        ),
    ],
)
def test_mistakes_in_the_settings_of_the_study_and_its_fresh_critics(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    settings = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8"))
    for key, values in changes.items():
        if values == "rename":
            settings[key]["fresh_critics"] = settings[key].pop("ring")
        else:
            settings[key] |= values
    (tmp_path / PARAMS).write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError, match=message) as caught:
        load_params(tmp_path / PARAMS)
    assert "\n" not in str(caught.value)
