"""The whole game in function space: the critic and the density q are both free (claim D4).

p is known on a grid; q is a softmax of one logit per cell, the critic has one raw output per cell
(`free_ascent`). They take turns from random starts: one ascent step of the critic, then one step of the
generator along the gradient of E_q beta with the critic frozen. For a softmax that is::

    d E_q beta / d logit_j = q_j (beta_j - E_q beta)

and preconditioned by q (the natural gradient: the Fisher matrix of a softmax is diag(q) - q q^T)::

    log q_j <- log q_j - eta (beta_j - E_q beta),  normalised

each change clipped to one nat. With the critic at its best, beta_j = b(L_j) where L = log q/p and
b(L) = beta(omega(e^L)): near q = p every cell's L shrinks by 1 - eta b'(0), whatever the cell weighs. The one
rule for the step size of all objectives is::

    eta = PACE / (half the range of b on |L| <= 1)

which is PACE / b'(0) where b is a line (one over the range for a PACE of 1/2), and exists also where b is a
step. A b that does not rise at L = 0
does not draw q to p.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.theory.densities import Array, Mixture, midpoint_grid
from pipeline.theory.free_ascent import FreeCritic, discriminator
from pipeline.theory.free_critic import critic_value
from pipeline.theory.optimal_critic import is_step, loss_slope
from pipeline.theory.recipe import needed, with_omega
from pipeline.theory.tables import to_columns

STARTS = 8
START_STD = 1.0  # of the logits of q and of the raw outputs
SEED = 20140611
PACE = 0.5
UPDATES = 300
ENDED = 1e-12  # total variation below which a game has ended
LONGEST = 1.0  # nats of log q per update
LINE = Mixture((-1.5, 0.2, 1.6), (0.4, 0.5, 0.35), (0.35, 0.2, 0.45))
LINE_GRID = (-3.0, 3.0, 60)
PLANE_SIDE, PLANE_EXTENT = 16, 3.0
PLANE_MODES = ((-1.2, -1.0, 0.5), (1.3, -0.6, 0.3), (0.1, 1.4, 0.2))  # x, y, weight
PLANE_STD = 0.6
RATE_OVER = 5  # updates
ABOVE_ROUNDING = 1e-9  # total variation from which a rate is read
SLOWER = 5  # a game that does not arrive is played again with a SLOWERth of the pace, SLOWER times as long
MOMENTS = (0, 2, 5, 10, 20)  # updates after which the density is written
COURSE = frozenset((*range(0, 48, 3), *range(50, 100, 10), *range(100, UPDATES + 1, 50)))


def grids() -> dict[str, Array]:
    """Grid -> log p of its cells, `(cells,)`, of mass 1 in sum: three modes on the line and in the plane."""
    x, _ = midpoint_grid(*LINE_GRID)
    one, _ = midpoint_grid(-PLANE_EXTENT, PLANE_EXTENT, PLANE_SIDE)
    u, v = (axis.ravel() for axis in np.meshgrid(one, one, indexing="ij"))
    plane = np.logaddexp.reduce(
        [
            np.log(weight) - ((u - left) ** 2 + (v - low) ** 2) / (2 * PLANE_STD**2)
            for left, low, weight in PLANE_MODES
        ]
    )
    return {
        grid: log_p - np.logaddexp.reduce(log_p)
        for grid, log_p in (("1d", LINE.log_density(x)), ("2d", plane))
    }


def step_size(objective: Objective, pace: float = PACE) -> float:
    """eta, in nats per unit of the loss."""
    ratio = torch.from_numpy(np.exp(np.linspace(-1.0, 1.0, 40)))  # none is 1, where a step jumps
    loss = objective.beta(objective.omega(ratio))
    return pace / (float(loss.max() - loss.min()) / 2)


def generator_step(loss: Tensor, log_q: Tensor, eta: float) -> Tensor:
    """log q after one natural-gradient step on E_q of `loss`, the critic's frozen beta; `(starts, cells)`."""
    mean = (log_q.exp() * loss).sum(dim=1, keepdim=True)
    moved = log_q - (eta * (loss - mean)).clamp(-LONGEST, LONGEST)
    return moved - moved.logsumexp(dim=1, keepdim=True)


@dataclass(frozen=True)
class State:
    """A game after some updates: log q and the raw outputs, `(starts, cells)`."""

    updates: int
    log_q: Tensor
    v: Tensor


def play(objective: Objective, log_p: Array, updates: int = UPDATES, pace: float = PACE) -> Iterator[State]:
    """The game from random starts, update by update; the first state is the start, before any critic step.

    Stops early once every start's q is within `ENDED` of p.
    """
    rng = np.random.default_rng(SEED)
    logits, v = (torch.from_numpy(rng.normal(0.0, START_STD, (STARTS, log_p.size))) for _ in range(2))
    log_q = logits - logits.logsumexp(dim=1, keepdim=True)
    target = torch.from_numpy(log_p)
    critic, eta = FreeCritic(objective, v.reshape(-1)), step_size(objective, pace)
    for update in range(updates + 1):
        yield State(update, log_q, critic.v.reshape(v.shape).clone())
        if float(total_variation(log_q, log_p).max()) < ENDED:
            return
        critic.step(torch.sigmoid(target - log_q).reshape(-1))
        loss = beta_of_raw(objective, critic.v).reshape(v.shape)
        log_q = generator_step(loss, log_q, eta)


def beta_of_raw(objective: Objective, v: Tensor) -> Tensor:
    """What the generator loses where the critic's raw output is `v` `(M,)`, by the loss of training."""
    return objective.generator_loss(v[:, None])


def total_variation(log_q: Tensor, log_p: Array) -> Tensor:
    """1/2 sum |q - p|, `(starts, cells)` -> `(starts,)`."""
    return (log_q.exp() - torch.from_numpy(np.exp(log_p))).abs().sum(dim=1) / 2


def course(objective: Objective, log_p: Array, updates: int, pace: float = PACE) -> tuple[Array, State]:
    """Total variation to p `(updates + 1, starts)`, and the last state."""
    distances = []
    for state in play(objective, log_p, updates, pace):
        distances.append(total_variation(state.log_q, log_p).numpy())
        end = state
    return np.array(distances), end


def free_game_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """free_game.csv: one row per objective with an omega and grid.

    cells, starts, updates (played), step_size (eta, nats per unit of the loss); at the end, over the
    starts: tv_to_p_median and tv_to_p_max, discriminator_off_half_max (largest |D - 1/2| over starts and
    cells, of the D that the critic says; empty where omega is a step), value_gap (largest distance of
    E_p phi + E_q psi from its value for q = p, of the larger of 1 and that); tv_slower_median
    (tv_to_p_median of a game that has not ended, played with a fifth of the step for five times as many
    updates); rate (the factor of total variation per update over the 5 updates before all are below 1e-9, of
    the middle start; empty where a game does not get there) and rate_predicted
    (1 - eta b'(0); empty where omega is a step).
    """
    return to_columns(
        [
            {"objective": name, "grid": grid, **_row(objective, log_p)}
            for name, objective in with_omega(objectives).items()
            for grid, log_p in grids().items()
        ]
    )


def _row(objective: Objective, log_p: Array) -> dict[str, object]:
    distances, end = course(objective, log_p, UPDATES)
    off = predicted = slower = float("nan")
    if not is_step(objective):
        off = float(np.abs(discriminator(objective, end.v.numpy()) - 0.5).max())
        slope = float(loss_slope(objective, torch.zeros(1, dtype=torch.float64)))
        predicted = 1 - step_size(objective) * slope
    if distances[-1].max() >= ENDED:
        again, _ = course(objective, log_p, SLOWER * UPDATES, PACE / SLOWER)
        slower = float(np.median(again[-1]))
    ones = np.ones_like(log_p)
    outputs = zip(end.v.numpy(), end.log_q.numpy(), strict=True)
    value = np.array([critic_value(objective, v, log_p, log_q, ones) for v, log_q in outputs])
    exact = objective.equilibrium_value
    return {
        "cells": log_p.size,
        "starts": STARTS,
        "updates": end.updates,
        "step_size": step_size(objective),
        "tv_to_p_median": float(np.median(distances[-1])),
        "tv_to_p_max": float(distances[-1].max()),
        "discriminator_off_half_max": off,
        "value_gap": float(np.abs(value - exact).max()) / max(1.0, abs(exact)),
        "tv_slower_median": slower,
        "rate": _rate(distances),
        "rate_predicted": predicted,
    }


def _rate(distances: Array) -> float:
    """Per update, before total variation falls below `ABOVE_ROUNDING`; nan where one start does not."""
    middle = np.median(distances, axis=1)
    below = np.flatnonzero(distances.max(axis=1) < ABOVE_ROUNDING)
    if not below.size or below[0] <= RATE_OVER:
        return float("nan")
    last = int(below[0])
    return float((middle[last] / middle[last - RATE_OVER]) ** (1 / RATE_OVER))


def free_game_course_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """free_game_course.csv: total variation to p against updates, in the plane's game.

    objective, updates (thinned, `COURSE`), tv_low, tv_median, tv_high over the starts.
    """
    rows: list[dict[str, object]] = []
    log_p = grids()["2d"]
    for name, objective in with_omega(objectives).items():
        states = list(play(objective, log_p, UPDATES))
        for state in states:
            if state.updates not in COURSE and state is not states[-1]:
                continue
            tv = total_variation(state.log_q, log_p).numpy()
            low, median, high = (float(np.quantile(tv, level)) for level in (0, 0.5, 1))
            rows.append(
                {
                    "objective": name,
                    "updates": state.updates,
                    "tv_low": low,
                    "tv_median": median,
                    "tv_high": high,
                }
            )
    return to_columns(rows)


def free_game_densities_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """free_game_densities.csv: minimax on the line, one row per cell: x, p, and q_N of the first start.

    Densities, per unit of x; N updates.
    """
    x, widths = midpoint_grid(*LINE_GRID)
    log_p = grids()["1d"]
    minimax = needed(objectives, "minimax", "D4")
    states = {state.updates: state for state in play(minimax, log_p, max(MOMENTS))}
    columns = {"x": x, "p": np.exp(log_p) / widths}
    for moment in MOMENTS:
        columns[f"q_{moment}"] = states[moment].log_q[0].exp().numpy() / widths
    return {name: column.tolist() for name, column in columns.items()}
