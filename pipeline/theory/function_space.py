"""The critic's problem in function space: the tables of the claims D1, D2 and D3.

A critic with one free output per cell climbs from random starts (`free_ascent`). What it reaches is compared
with formulas that the ascent does not know: its outputs say p/(p+q); the value of minimax is
-2 log 2 + 2 JSD(p, q), that of any objective the integral of p d(q/p); and each cell solved alone by
bisection (`free_critic`) gives the same. Source: Goodfellow et al. 2014, proposition 1 and theorem 1.
"""

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from pipeline.objectives import Objective
from pipeline.theory.densities import (
    LOG_TWO,
    Array,
    Density,
    Mixture,
    gauss_legendre,
    jensen_shannon,
    midpoint_grid,
)
from pipeline.theory.free_ascent import Cells, Moment, ascend, climb, discriminator, gain_on_cells
from pipeline.theory.free_critic import best_output, critic_value
from pipeline.theory.optimal_critic import is_step
from pipeline.theory.pairs import PAIRS
from pipeline.theory.recipe import needed, with_omega
from pipeline.theory.tables import to_columns

DATA = Mixture()  # p = N(0, 1)
# The family of q. `equal` is q = p; the slightly moved ones show that the minimum is sharp.
FAMILY: dict[str, Density] = {
    "equal": Mixture(),
    **{f"shift_{shift:g}": Mixture(means=(shift,)) for shift in (-0.1, 0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0)},
    **{f"scale_{scale:g}": Mixture(stds=(scale,)) for scale in (0.5, 0.99, 1.01, 1.5, 2.0)},
    "two_modes": Mixture((-1.5, 1.5), (0.6, 0.6), (0.5, 0.5)),
    "one_of_two_modes": Mixture((-2.0, 2.0), (0.5, 0.5), (0.9, 0.1)),
    "heavy_tail": Mixture((0.0, 0.0), (1.0, 3.0), (0.9, 0.1)),
}
GRID = (-24.0, 24.0, 2400)  # eight standard deviations of the widest q
STARTS = 8
START_STD = 3.0  # raw outputs; under minimax the starting D spans 1e-4 to 1 - 1e-4
SEED = 20140610  # of the starts only
HAS_MASS = 1e-12  # cells with (p + q) / 2 above this share of its maximum count in the largest error
ORDER = 8  # Gauss-Legendre nodes per panel of a pair on the line
SIDE, EXTENT = 40, 5.0  # the plane: SIDE x SIDE cells of [-EXTENT, EXTENT]^2
CORRELATION = 0.6
RING = (8, 2.0, 0.6)  # modes, radius, standard deviation
WIDE = 1.5  # standard deviation of the normal that is compared with the ring
COURSE_EVERY = 2  # steps
COURSE_ENDS = 1e-13  # a course has ended once every error is below


def random_starts(cells: int, starts: int = STARTS, seed: int = SEED) -> Array:
    """Raw outputs `(starts, cells)`, each its own draw; the same draws for every density."""
    return np.random.default_rng(seed).normal(0.0, START_STD, (starts, cells))


def solve(
    objective: Objective, p: Density, q: Density, starts: int = STARTS, seed: int = SEED
) -> dict[str, float | int]:
    """One row of function_space.csv without its name: the optimum of minimax against its exact value.

    The JSD comes from Gauss-Legendre nodes of its own, so that the grid of the ascent is tested too.
    """
    x, widths = midpoint_grid(*GRID)
    cells = Cells(p.log_density(x), q.log_density(x), widths)
    end = ascend(objective, random_starts(x.size, starts, seed), cells)
    value = values(objective, end, cells)
    d = discriminator(objective, end.v)
    error = np.abs(d - cells.discriminator)
    inside = cells.with_mass(HAS_MASS)
    exact = 2 * exact_jsd(p, q) - 2 * LOG_TWO
    return {
        "jsd_nats": exact_jsd(p, q),
        "value_exact_nats": exact,
        "value_reached_nats": float(value.mean()),
        "value_gap_nats": float(np.abs(value - exact).max()),
        "value_spread_nats": float(np.ptp(value)),
        "discriminator_error_max": float(error[:, inside].max()),
        "discriminator_error_mean": float((error @ cells.mass / 2).max()),
        "discriminator_spread_max": float(np.ptp(d[:, inside], axis=0).max()),
        "starts": starts,
        "steps": end.steps,
    }


def values(objective: Objective, moment: Moment, cells: Cells) -> Array:
    """What the critics of each start gain, `(starts,)`, by the losses of training."""
    return np.array([critic_value(objective, v, cells.log_p, cells.log_q, cells.weights) for v in moment.v])


def exact_jsd(p: Density, q: Density) -> float:
    """JSD(p, q) in nats by Gauss-Legendre on 400 panels of the grid's range."""
    x, weights = gauss_legendre(np.linspace(GRID[0], GRID[1], 401), order=12)
    return float(jensen_shannon(p.log_density(x), q.log_density(x), weights))


def function_space_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """function_space.csv: one row per q of the family (p is the standard normal), under minimax.

    jsd_nats, value_exact_nats = -2 log 2 + 2 JSD; value_reached_nats (mean over starts), value_gap_nats
    (largest |reached - exact| over starts), value_spread_nats (largest minus smallest over starts);
    discriminator_error_max (largest |D - p/(p+q)| over starts and cells with mass), _mean (weighted by
    (p+q)/2, worst start), discriminator_spread_max (largest range over starts in one cell); starts, steps.
    """
    minimax = needed(objectives, "minimax", "D3")
    return to_columns([{"q": name, **solve(minimax, DATA, q)} for name, q in FAMILY.items()])


@cache
def problems() -> dict[tuple[str, str], Cells]:
    """(grid, pair) -> cells: three pairs on the line, on Gauss-Legendre nodes, and two in the plane."""
    line = {}
    for pair in ("shift_1.5", "other_weights", "one_of_two_modes"):
        _, log_p, log_q, weights = PAIRS[pair].nodes(ORDER)
        line["1d", pair] = Cells(log_p, log_q, weights)
    one, width = midpoint_grid(-EXTENT, EXTENT, SIDE)
    x, y = (axis.ravel() for axis in np.meshgrid(one, one, indexing="ij"))
    area = np.full(x.size, width[0] ** 2)
    square = x**2 + y**2
    correlated = (square - 2 * CORRELATION * x * y) / (1 - CORRELATION**2)
    modes, radius, std = RING
    angles = 2 * np.pi * np.arange(modes) / modes
    ring = np.logaddexp.reduce(
        [((x - radius * np.cos(a)) ** 2 + (y - radius * np.sin(a)) ** 2) / (-2 * std**2) for a in angles]
    )
    plane = {"correlated": (-correlated / 2, -square / 2), "ring": (ring, -square / (2 * WIDE**2))}
    return line | {
        ("2d", pair): Cells(_normalised(log_p, area), _normalised(log_q, area), area)
        for pair, (log_p, log_q) in plane.items()
    }


def _normalised(log_density: Array, weights: Array) -> Array:
    """Of mass 1 on the grid."""
    normalised: Array = log_density - np.log((np.exp(log_density) * weights).sum())
    return normalised


def free_critic_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """free_critic.csv: one row per objective with an omega, grid and pair of densities.

    cells, starts, steps of the ascent; value_reached (mean over starts), value_exact (omega's on the same
    cells), value_gap and value_spread (largest |reached - exact| and range over starts, of the larger of 1
    and |exact|); of p/(p+q) in cells with mass, empty where omega is a step: error_max (of what the outputs
    say against the closed form), spread_max (range over starts in one cell), alone_error_max (against each
    cell solved alone); alone_value_gap (as value_gap, against the cells solved alone); curvature_max (the
    largest second derivative of the gain by the raw output met in any cell, in loss per unit of p + q).
    """
    return to_columns(
        [
            {"objective": name, "grid": grid, "pair": pair, **_reached(objective, cells)}
            for name, objective in with_omega(objectives).items()
            for (grid, pair), cells in problems().items()
        ]
    )


def _reached(objective: Objective, cells: Cells) -> dict[str, object]:
    end = ascend(objective, random_starts(cells.log_p.size), cells)
    value, exact = values(objective, end, cells), gain_on_cells(objective, cells)
    alone = best_output(objective, cells.log_q - cells.log_p).v
    alone_value = critic_value(objective, alone, cells.log_p, cells.log_q, cells.weights)
    size, inside = max(1.0, abs(exact)), cells.with_mass(HAS_MASS)
    ratios: dict[str, float] = dict.fromkeys(("error_max", "spread_max", "alone_error_max"), float("nan"))
    if not is_step(objective):
        d = discriminator(objective, end.v)[:, inside]
        ratios = {
            "error_max": float(np.abs(d - cells.discriminator[inside]).max()),
            "spread_max": float(np.ptp(d, axis=0).max()),
            "alone_error_max": float(np.abs(d - discriminator(objective, alone)[inside]).max()),
        }
    return {
        "cells": cells.log_p.size,
        "starts": STARTS,
        "steps": end.steps,
        "value_reached": float(value.mean()),
        "value_exact": exact,
        "value_gap": float(np.abs(value - exact).max()) / size,
        "value_spread": float(np.ptp(value)) / size,
        **ratios,
        "alone_value_gap": float(np.abs(value - alone_value).max()) / size,
        "curvature_max": end.curvature_max,
    }


# Of every objective the way in the plane; of minimax that on the line too.
PLANE, LINE = ("2d", "ring"), ("1d", "shift_1.5")


def free_ascent_course_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """free_ascent_course.csv: the errors of p/(p+q) on the way, one row per objective and second step.

    objective, grid, pair, steps; of the error weighted by (p+q)/2: error_low, error_median, error_high over
    the starts; error_max over starts and cells with mass. Only objectives whose omega is no step.
    """
    ways = [("minimax", needed(objectives, "minimax", "D2"), LINE)]
    ways += [(name, one, PLANE) for name, one in with_omega(objectives).items() if not is_step(one)]
    return to_columns(
        [
            {"objective": name, "grid": grid, "pair": pair, **row}
            for name, objective, (grid, pair) in ways
            for row in _course(objective, problems()[grid, pair])
        ]
    )


def _course(objective: Objective, cells: Cells) -> Iterator[dict[str, object]]:
    inside = cells.with_mass(HAS_MASS)
    for moment in climb(objective, random_starts(cells.log_p.size), cells):
        if moment.steps % COURSE_EVERY and not moment.is_end:
            continue
        error = np.abs(discriminator(objective, moment.v) - cells.discriminator)
        mean = error @ cells.mass / 2
        yield {
            "steps": moment.steps,
            "error_low": float(mean.min()),
            "error_median": float(np.median(mean)),
            "error_high": float(mean.max()),
            "error_max": float(error[:, inside].max()),
        }
        if error[:, inside].max() < COURSE_ENDS:
            return
