"""V(x, y) = x y, x minimises and y maximises: the smallest game (claims G1, G2).

With z = x + i y the descent-ascent field is F(z) = -(dV/dx) + i dV/dy = -y + i x = i z. Its flow z' = i z is
the rotation z(t) = exp(i t) z(0). Every update here is linear in the state, so a step of size h multiplies it
by a matrix whose spectral radius is the growth of the radius |z| per step:

| update | step | growth per step |
|---|---|---|
| simultaneous | z + h F(z) | sqrt(1 + h^2) |
| alternating | y by the new x | 1 while h <= 2 |
| implicit | z+ = z + h F(z+) | 1/sqrt(1 + h^2) |
| extragradient | z + h F(z + h F(z)) | sqrt(1 - h^2 + h^4) |
| optimistic | z + 2 h F(z) - h F(z-) | the larger root of l^2 - (1 + 2 i h) l + i h = 0 |
| consensus | z + h (F(z) - gamma grad |F|^2/2) | sqrt((1 - h gamma)^2 + h^2) |

The optimistic roots are (1 + 2 i h +- sqrt(1 - 4 h^2))/2, of modulus sqrt((1 + sqrt(1 - 4 h^2))/2) up to h =
1/2 and sqrt(2 h^2 + h sqrt(4 h^2 - 1)) beyond; it is 1 at h = 1/sqrt(3). |F|^2/2 = |z|^2/2 has the gradient
z.

Sources: Goodfellow 2016, arXiv 1701.00160, exercise 8.2; Korpelevich 1976 (extragradient); Daskalakis et al.
2018, arXiv 1711.00141 (optimistic); Mescheder et al. 2017, arXiv 1705.10461 (consensus).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from pipeline.theory.densities import Array
from pipeline.theory.growth import fitted_rate
from pipeline.theory.tables import to_columns

STARTS = ((1.0, 0.0), (0.0, 2.0), (-1.0, 1.0), (0.3, -0.4), (1e-3, 1e-3))
TURNS = 10
STEP_SIZES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEPS = 1000
START = (1.0, 0.0)
GAMMA = 0.5  # of consensus
SHOWN_STEP, SHOWN_STEPS = 0.3, 30  # trajectories for the figure
# Of the payoff x y: the equilibrium solves dV/dx = dV/dy = 0, this times (x, y).
_X, _Y = sp.symbols("x y", real=True)
_PAYOFF = _X * _Y
_FIELD: Array = np.array([[0.0, -1.0], [1.0, 0.0]])  # F as a matrix on (x, y)


@dataclass(frozen=True)
class Update:
    """One update rule: its matrix for a step size h, on (x, y) or on (x, y, x-, y-), and its growth."""

    matrix: Callable[[float], Array]
    growth: Callable[[float], float]


def _simultaneous(h: float) -> Array:
    return np.eye(2) + h * _FIELD


def _alternating(h: float) -> Array:
    return np.array([[1.0, -h], [h, 1 - h * h]])


def _implicit(h: float) -> Array:
    return (np.eye(2) + h * _FIELD) / (1 + h * h)  # the inverse of 1 - h F


def _extragradient(h: float) -> Array:
    return np.eye(2) + h * (_FIELD @ _simultaneous(h))


def _optimistic(h: float) -> Array:
    matrix: Array = np.block([[np.eye(2) + 2 * h * _FIELD, -h * _FIELD], [np.eye(2), np.zeros((2, 2))]])
    return matrix


def _consensus(h: float) -> Array:
    return np.eye(2) + h * (_FIELD - GAMMA * np.eye(2))


def _alternating_growth(h: float) -> float:
    return 1.0 if h <= 2 else (h * h - 2 + h * math.sqrt(h * h - 4)) / 2


def _optimistic_growth(h: float) -> float:
    inner = 4 * h * h - 1
    return math.sqrt((1 + math.sqrt(-inner)) / 2 if inner <= 0 else 2 * h * h + h * math.sqrt(inner))


UPDATES: Mapping[str, Update] = {
    "simultaneous": Update(_simultaneous, lambda h: math.sqrt(1 + h * h)),
    "alternating": Update(_alternating, _alternating_growth),
    "implicit": Update(_implicit, lambda h: 1 / math.sqrt(1 + h * h)),
    "extragradient": Update(_extragradient, lambda h: math.sqrt(1 - h * h + h**4)),
    "optimistic": Update(_optimistic, _optimistic_growth),
    "consensus": Update(_consensus, lambda h: math.hypot(1 - h * GAMMA, h)),
}


def trajectory(update: Update, h: float, steps: int) -> Array:
    """(x, y) from START, `(steps + 1, 2)`; a rule with memory begins as if it had stood at START before."""
    matrix = update.matrix(h)
    state = np.tile(np.asarray(START), len(matrix) // 2)
    path = np.empty((steps + 1, 2))
    for step in range(steps + 1):
        path[step] = state[:2]
        state = matrix @ state
    return path


def flow(start: tuple[float, float], times: Array) -> Array:
    """The flow x' = -y, y' = x from `start` at `times` `(T,)`, integrated -> `(T, 2)`."""
    solution = solve_ivp(
        lambda _, state: _FIELD @ state,
        (times[0], times[-1]),
        start,
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-15,
    )
    path: Array = solution.y.T
    return path


def rotation(start: tuple[float, float], times: Array) -> Array:
    """The closed form exp(i t) (x + i y), `(T, 2)`."""
    turned: NDArray[np.complex128] = np.exp(1j * times) * complex(*start)
    return np.stack([turned.real, turned.imag], axis=1)


def flow_table() -> dict[str, list[object]]:
    """bilinear_flow.csv: one row per start.

    start_x, start_y, turns; radius_gap and position_gap, the largest difference of the integrated flow from
    the closed form over a hundred times per turn, as shares of the starting radius; rank, of the linear
    system dV/dx = dV/dy = 0.
    """
    times = np.linspace(0, 2 * np.pi * TURNS, 100 * TURNS + 1)
    rank = int(sp.hessian(_PAYOFF, (_X, _Y)).rank())
    rows: list[dict[str, object]] = []
    for start in STARTS:
        path, radius = flow(start, times), math.hypot(*start)
        distance = np.hypot(*path.T)
        gap = np.hypot(*(path - rotation(start, times)).T)
        rows.append(
            {
                "start_x": start[0],
                "start_y": start[1],
                "turns": TURNS,
                "radius_gap": float(np.abs(distance - radius).max()) / radius,
                "position_gap": float(gap.max()) / radius,
                "rank": rank,
            }
        )
    return to_columns(rows)


def updates_table() -> dict[str, list[object]]:
    """bilinear_updates.csv: one row per update and step size h.

    update, step_size; growth_exact, of the radius per step; growth_fitted, to the last half of a trajectory
    of `steps` steps (`growth.fitted_rate`); growth_gap, their difference; smallest_rise, the smallest change
    of the radius in one step as a share of it.
    """
    rows: list[dict[str, object]] = []
    for name, update in UPDATES.items():
        for h in STEP_SIZES:
            path = trajectory(update, h, STEPS)
            radius = np.hypot(*path.T)
            fitted = math.exp(float(fitted_rate(path[:, 0], path[:, 1]).rate))
            exact = update.growth(h)
            rows.append(
                {
                    "update": name,
                    "step_size": h,
                    "growth_exact": exact,
                    "growth_fitted": fitted,
                    "growth_gap": abs(fitted - exact),
                    "smallest_rise": float((radius[1:] / radius[:-1] - 1).min()),
                    "steps": STEPS,
                }
            )
    return to_columns(rows)


def trajectories_table() -> dict[str, list[object]]:
    """bilinear_trajectories.csv: x and y of every update from START, for one step size.

    update (or `flow`, its closed form at the times of the steps), step_size, step, x, y.
    """
    times = SHOWN_STEP * np.arange(SHOWN_STEPS + 1, dtype=np.float64)
    paths = {"flow": rotation(START, times)}
    paths |= {name: trajectory(update, SHOWN_STEP, SHOWN_STEPS) for name, update in UPDATES.items()}
    return to_columns(
        [
            {"update": name, "step_size": SHOWN_STEP, "step": step, "x": float(x), "y": float(y)}
            for name, path in paths.items()
            for step, (x, y) in enumerate(path)
        ]
    )
