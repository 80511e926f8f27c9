"""The discriminator's problem in function space (claims D1-D3).

A function on a grid is a vector with one entry per cell. The discriminator D = sigmoid(a) has one free logit
a per cell of width w, and its gain for densities p (data) and q (generated) is::

    V(a) = sum_cells w [p log D + q log(1 - D)],     dV/da     = w [p (1 - D) - q D]
                                                    -d2V/da2  = w (p + q) D (1 - D)

The Hessian is diagonal and negative: the problem is concave, and each cell is solved alone. Ascent follows
the gradient preconditioned by that diagonal (Newton), each step clipped to one logit, because from a
saturated start the plain Newton step overshoots. No formula for the optimum enters: p/(p+q) and JSD are only
compared with what is reached. Source: Goodfellow et al. 2014, proposition 1 and theorem 1.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.theory.densities import (
    LOG_TWO,
    Array,
    Density,
    Mixture,
    gauss_legendre,
    jensen_shannon,
    midpoint_grid,
    sigmoid,
    softplus,
)

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
START_STD = 3.0  # logits; the starting D spans 1e-4 to 1 - 1e-4
SEED = 20140610  # of the starts only
MAX_STEPS = 200
TOLERANCE = 1e-12  # of |gradient| / (w (p + q)), largest over the cells
HAS_MASS = 1e-12  # cells with (p + q) / 2 above this share of its maximum count in the largest error


@dataclass(frozen=True)
class Ascent:
    """Where gradient ascent ended: logits `(starts, cells)`, gain `(starts,)` in nats, steps taken."""

    logits: Array
    value: Array
    steps: int


def critic_value(logits: Array, p: Array, q: Array, widths: Array) -> Array:
    """V(a) in nats over the last axis, from logits: p log D = -p softplus(-a)."""
    value: Array = -(widths * (p * softplus(-logits) + q * softplus(logits))).sum(axis=-1)
    return value


def ascend(start: Array, p: Array, q: Array, widths: Array) -> Ascent:
    """Preconditioned gradient ascent on V from `start` `(starts, cells)` until the gradient is nothing.

    Raises ArithmeticError when `MAX_STEPS` steps do not reach `TOLERANCE`.
    """
    logits = start.copy()
    total = p + q
    for step in range(MAX_STEPS + 1):
        d, other = sigmoid(logits), sigmoid(-logits)
        gradient = p * other - q * d
        if float(np.abs(gradient / total).max()) < TOLERANCE:
            return Ascent(logits, critic_value(logits, p, q, widths), step)
        logits += np.clip(gradient / (total * d * other), -1.0, 1.0)
    raise ArithmeticError(f"function space: no optimum within {MAX_STEPS} steps")


def solve(p: Density, q: Density, starts: int = STARTS, seed: int = SEED) -> dict[str, float | int]:
    """One row of function_space.csv without its name: the optimum reached against its exact value.

    The JSD comes from Gauss-Legendre nodes of its own, so that the grid of the ascent is tested too.
    """
    x, widths = midpoint_grid(*GRID)
    log_p, log_q = p.log_density(x), q.log_density(x)
    # Each cell's start is its own draw; the same draws for every q.
    start = np.random.default_rng(seed).normal(0.0, START_STD, (starts, x.size))
    end = ascend(start, np.exp(log_p), np.exp(log_q), widths)
    d = sigmoid(end.logits)
    error = np.abs(d - sigmoid(log_p - log_q))
    density = np.exp(np.logaddexp(log_p, log_q)) / 2
    inside = density > HAS_MASS * density.max()
    exact = 2 * exact_jsd(p, q) - 2 * LOG_TWO
    return {
        "jsd_nats": exact_jsd(p, q),
        "value_exact_nats": exact,
        "value_reached_nats": float(end.value.mean()),
        "value_gap_nats": float(np.abs(end.value - exact).max()),
        "value_spread_nats": float(np.ptp(end.value)),
        "discriminator_error_max": float(error[:, inside].max()),
        "discriminator_error_mean": float((error * density * widths).sum(axis=-1).max()),
        "discriminator_spread_max": float(np.ptp(d[:, inside], axis=0).max()),
        "starts": starts,
        "steps": end.steps,
    }


def exact_jsd(p: Density, q: Density) -> float:
    """JSD(p, q) in nats by Gauss-Legendre on 400 panels of the grid's range."""
    x, weights = gauss_legendre(np.linspace(GRID[0], GRID[1], 401), order=12)
    return float(jensen_shannon(p.log_density(x), q.log_density(x), weights))


def function_space_table() -> dict[str, list[object]]:
    """function_space.csv: one row per q of the family (p is the standard normal).

    jsd_nats, value_exact_nats = -2 log 2 + 2 JSD; value_reached_nats (mean over starts), value_gap_nats
    (largest |reached - exact| over starts), value_spread_nats (largest minus smallest over starts);
    discriminator_error_max (largest |D - p/(p+q)| over starts and cells with mass), _mean (weighted by
    (p+q)/2, worst start), discriminator_spread_max (largest range over starts in one cell); starts, steps.
    """
    rows = [{"q": name, **solve(DATA, q)} for name, q in FAMILY.items()]
    return {column: [row[column] for row in rows] for column in rows[0]}
