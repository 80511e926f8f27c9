"""Exact results, without a trained network: what the trained runs are read against.

`run` writes reports/results/theory/*.csv. Each table is documented at the function that makes it:

| file | made by | claims |
|---|---|---|
| distance.csv, uniforms.csv, distance_summary.csv | `distance` | V1, V2 |
| generator_gradient.csv | `optimal_critic` | V3a, V4, V5, W10 |
| divergences.csv, objective_divergences.csv, disjoint.csv, gradient_closed_forms.csv | `distances` | V1, V5 |
| frozen_and_total.csv | `frozen_and_total` | W7 |
| function_space.csv | `function_space` | D3 |
| free_critic.csv, free_ascent_course.csv | `function_space` | D1, D2 |
| trained_critic_1d.csv | `trained_critic` | D1 |
| free_game.csv, free_game_course.csv, free_game_densities.csv | `free_game` | D4 |
| optimal_output.csv, random_pairs.csv, critic_optimum.csv | `recipe` | W2, W5 |
| same_game.csv, label_swap.csv | `same_game` | W3, W4 |
| minimum_test.csv | `minimum` | W8a, W8b |
| total_variation.csv, conjugates.csv, as_f_gan.csv, kl_from_ratio.csv | `f_family` | W1, W6, W9 |
| mixture_fit.csv | `mixture_fit` | W9 |
| trained_fit.csv, cross_fit.csv | `trained_fit` | (W9, as trained) |
| parallel_lines_exact.csv, parallel_lines.csv, parallel_lines_course.csv | `parallel_lines` | |
| wasserstein_dual.csv, equal_ratios.csv | `transport` | W10 |
| maximum_likelihood.csv, likelihood_spread.csv | `maximum_likelihood` | L1, L2, L3 |
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
    distances,
    f_family,
    free_game,
    frozen_and_total,
    function_space,
    maximum_likelihood,
    minimum,
    mixture_fit,
    optimal_critic,
    parallel_lines,
    recipe,
    same_game,
    trained_critic,
    trained_fit,
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
    "objective_divergences": 6,
    "frozen_and_total": 6,
    "trained_fit": 6,
    "cross_fit": 6,
    "parallel_lines": 4,
    "parallel_lines_course": 4,
    "bilinear_trajectories": 5,
    "dirac_rates": 5,
    "dirac_trajectories": 4,
    "dirac_fields": 4,
    "free_critic": 6,
    "free_ascent_course": 3,
    "free_game": 6,
    "free_game_course": 3,
    "free_game_densities": 4,
}


Table = tuple[str, Mapping[str, Sequence[object]]]  # name, columns
Catalogue = Mapping[str, Objective]


def _distance(objectives: Catalogue) -> Iterator[Table]:
    yield "distance", distance.normals_table()
    yield "uniforms", distance.uniforms_table()
    yield "distance_summary", distance.summary_table()
    yield "generator_gradient", optimal_critic.gradient_table(objectives)
    yield "divergences", distances.divergences_table()
    yield "objective_divergences", distances.objective_divergences_table(objectives)
    yield "disjoint", distances.disjoint_table(objectives)
    yield "gradient_closed_forms", distances.closed_forms_table(objectives)


def _function_space(objectives: Catalogue) -> Iterator[Table]:
    yield "function_space", function_space.function_space_table(objectives)
    yield "free_critic", function_space.free_critic_table(objectives)
    yield "free_ascent_course", function_space.free_ascent_course_table(objectives)
    yield "trained_critic_1d", trained_critic.trained_critic_table(objectives)
    yield "free_game", free_game.free_game_table(objectives)
    yield "free_game_course", free_game.free_game_course_table(objectives)
    yield "free_game_densities", free_game.free_game_densities_table(objectives)


def _frozen_and_total(objectives: Catalogue) -> Iterator[Table]:
    yield "frozen_and_total", frozen_and_total.frozen_and_total_table(objectives)


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
    table = mixture_fit.mixture_fit_table(objectives)
    yield "mixture_fit", table
    yield from trained_fit.tables(objectives, table)


def _transport(objectives: Catalogue) -> Iterator[Table]:
    yield "wasserstein_dual", transport.wasserstein_dual_table(objectives)
    yield "equal_ratios", transport.equal_ratios_table(objectives)


def _maximum_likelihood(objectives: Catalogue) -> Iterator[Table]:
    yield "maximum_likelihood", maximum_likelihood.maximum_likelihood_table(objectives)
    yield "likelihood_spread", maximum_likelihood.likelihood_spread_table(objectives)


def _parallel_lines(objectives: Catalogue) -> Iterator[Table]:
    yield "parallel_lines_exact", parallel_lines.exact_table(objectives)
    courses = parallel_lines.train_all(objectives)
    yield "parallel_lines", parallel_lines.summary_table(courses)
    yield "parallel_lines_course", parallel_lines.course_table(courses)


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
    "frozen_and_total": _frozen_and_total,
    "maximum_likelihood": _maximum_likelihood,
    "recipe": _recipe,
    "f_family": _f_family,
    "f_gan_fits": _f_gan_fits,
    "transport": _transport,
    "parallel_lines": _parallel_lines,
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
