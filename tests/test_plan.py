"""What `plan` makes of params.yaml: every run's settings in one file, with the parameters a variant sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import OBJECTIVES, PARAMS, Params, RunPlan, load_params
from pipeline.errors import UserError
from pipeline.objectives import Objective, load_objectives
from pipeline.plan import load_run
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
        settings["study"] = {"benchmarks": ["ring"], "variants": list(variants)}
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
    names = [(b, v) for b in params.study.benchmarks for v in params.study.variants]
    assert [(plan.benchmark, plan.variant) for plan in plans] == names
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
