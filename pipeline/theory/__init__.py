"""Exact results, without a trained network: what the trained runs are read against.

`run` writes reports/results/theory/*.csv. Each table is documented at the function that makes it:

| file | made by | claims |
|---|---|---|
| distance.csv, uniforms.csv, distance_summary.csv | `distance` | V1, V2 |
| generator_gradient.csv | `optimal_critic` | V3a, W10 |
| function_space.csv | `function_space` | D3 (and D1, D2) |
| optimal_output.csv, random_pairs.csv, critic_optimum.csv | `recipe` | W2, W5 |
| same_game.csv, label_swap.csv | `same_game` | W3, W4 |
| minimum_test.csv | `minimum` | W8a, W8b |
| total_variation.csv, conjugates.csv, as_f_gan.csv, kl_from_ratio.csv | `f_family` | W1, W6, W9 |
| mixture_fit.csv | `mixture_fit` | W9 |
| wasserstein_dual.csv, equal_ratios.csv | `transport` | W10 |
| maximum_likelihood.csv | `maximum_likelihood` | L1, L2 |
| bilinear_flow.csv, bilinear_updates.csv, bilinear_trajectories.csv | `bilinear` | G1, G2 |
| dirac_rates.csv, dirac_curvature.csv, dirac_trajectories.csv, dirac_fields.csv | `dirac_tables` | G3 |

The normals of the first three rows have standard deviation 1, so a distance counts standard deviations.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.errors import unknown
from pipeline.objectives import Objective, load_objectives, objective_from_spec
from pipeline.theory import (
    bilinear,
    dirac_tables,
    distance,
    f_family,
    function_space,
    maximum_likelihood,
    minimum,
    mixture_fit,
    optimal_critic,
    recipe,
    same_game,
    transport,
)
from pipeline.theory.admissible import random_pairs
from pipeline.theory.tables import DIGITS, write_table

RANDOM_PAIRS = 200
RANDOM_SEED = 20200203
# The longest table: six digits keep it at 100 kB. A minimum found by values is known to seven.
_DIGITS = {
    "generator_gradient": 6,
    "mixture_fit": 7,
    "bilinear_trajectories": 5,
    "dirac_rates": 5,
    "dirac_trajectories": 4,
    "dirac_fields": 4,
}


Table = tuple[str, Mapping[str, Sequence[object]]]  # name, columns
Catalogue = Mapping[str, Objective]


def _distance(objectives: Catalogue) -> Iterator[Table]:
    yield "distance", distance.normals_table()
    yield "uniforms", distance.uniforms_table()
    yield "distance_summary", distance.summary_table()
    yield "generator_gradient", optimal_critic.gradient_table(objectives)


def _function_space(objectives: Catalogue) -> Iterator[Table]:
    yield "function_space", function_space.function_space_table()


def _recipe(objectives: Catalogue) -> Iterator[Table]:
    yield "optimal_output", recipe.optimal_output_table(objectives)
    yield "random_pairs", recipe.random_pairs_table(random_objectives(RANDOM_PAIRS))
    yield "critic_optimum", recipe.critic_optimum_table(objectives)
    yield "same_game", same_game.same_game_table(objectives)
    yield "label_swap", same_game.label_swap_table(objectives)
    yield "minimum_test", minimum.minimum_test_table(objectives)


def _f_family(objectives: Catalogue) -> Iterator[Table]:
    yield "total_variation", f_family.total_variation_table(objectives)
    yield "conjugates", f_family.conjugates_table(objectives)
    yield "as_f_gan", f_family.as_f_gan_table(objectives)
    yield "kl_from_ratio", f_family.kl_from_ratio_table(objectives)


def _f_gan_fits(objectives: Catalogue) -> Iterator[Table]:
    yield "mixture_fit", mixture_fit.mixture_fit_table(objectives)


def _transport(objectives: Catalogue) -> Iterator[Table]:
    yield "wasserstein_dual", transport.wasserstein_dual_table(objectives)
    yield "equal_ratios", transport.equal_ratios_table(objectives)


def _maximum_likelihood(objectives: Catalogue) -> Iterator[Table]:
    yield "maximum_likelihood", maximum_likelihood.maximum_likelihood_table(objectives)


def _games(objectives: Catalogue) -> Iterator[Table]:
    yield "bilinear_flow", bilinear.flow_table()
    yield "bilinear_updates", bilinear.updates_table()
    yield "bilinear_trajectories", bilinear.trajectories_table()
    yield "dirac_rates", dirac_tables.rates_table(objectives)
    yield "dirac_curvature", dirac_tables.curvature_table(objectives)
    trajectories, fields = dirac_tables.fields_tables(objectives)
    yield "dirac_trajectories", trajectories
    yield "dirac_fields", fields


# What `theory NAME` runs: each a function of the catalogue that yields its tables.
EXPERIMENTS: dict[str, Callable[[Catalogue], Iterator[Table]]] = {
    "function_space": _function_space,
    "distance": _distance,
    "maximum_likelihood": _maximum_likelihood,
    "recipe": _recipe,
    "f_family": _f_family,
    "f_gan_fits": _f_gan_fits,
    "transport": _transport,
    "games": _games,
}


def run(root: Path, name: str | None = None) -> list[Path]:
    """Write every table, or those of the experiment `name`; byte-identical from run to run.

    Raises UserError for a faulty objectives.yaml, for one that lacks an objective that a claim names, and for
    an unknown experiment.
    """
    if name is not None and name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS, "theory")
    objectives = load_objectives(root / "objectives.yaml")
    return [
        write_table(root, table, columns, _DIGITS.get(table, DIGITS))
        for experiment, tables in EXPERIMENTS.items()
        if name in (None, experiment)
        for table, columns in tables(objectives)
    ]


def random_objectives(count: int) -> Iterator[Objective]:
    """The first `count` random admissible pairs, derived one after another."""
    for number, spec in enumerate(random_pairs(count, RANDOM_SEED)):
        yield objective_from_spec(f"random_{number}", spec)
