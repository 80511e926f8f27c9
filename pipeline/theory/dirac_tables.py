"""Which remedies make the Dirac-GAN converge: rates, curvature, and what a few games look like (claim G3).

Every choice here was made before the first rate was seen: weights of 1 throughout (penalty, noise, consensus,
in the scaled losses of `dirac`), an angle of 0.05 per generator step, 16 turns, a start at theta = psi =
0.01, the bound that the weights were clipped to by Arjovsky et al. 2017.

Curvature. The flow moves the squared radius by d(r^2)/2 = -s (b(s) + g(s)) dt, s = psi theta. Where both
slopes are normalised and turn theta to psi, b(0) + g(0) = 0, and on a circle s^2 averages r^4/8, so::

    d log r / dt = -kappa r^2/8,   kappa = b'(0) + g'(0)

per radian. In a zero-sum game g = -b and the radius stays. Elsewhere the distance falls (kappa > 0) as
1/sqrt(t) or grows, at a rate that no eigenvalue shows and that falls with the squared distance.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.objectives import Objective
from pipeline.theory.densities import Array
from pipeline.theory.dirac import FAKE, GENERATOR, Game, Group, Remedy
from pipeline.theory.growth import fitted_rate
from pipeline.theory.tables import to_columns

REMEDIES: Mapping[str, Remedy] = {
    "none": Remedy(),
    "r1": Remedy(weight=1.0),
    "r2": Remedy(weight=1.0),
    "gradient_penalty": Remedy(weight=1.0, target=1.0),
    "clipping": Remedy(bound=0.01),
    "instance_noise": Remedy(noise=1.0),
    "consensus": Remedy(consensus=1.0),
}
ANGLE = 0.05  # radians per generator step
STEPS = 2000
START = (0.01, 0.01)
CRITIC_STEPS = (1, 5)
UPDATES = {"simultaneous": False, "alternating": True}
_ALTERNATING: NDArray[np.bool_] = np.array(list(UPDATES.values()))
_NEARER = 0.1  # a second start for curvature, as a share of the first
# The panels of the figure: objective, remedy; from afar, where the fields are not linear.
PANELS = (
    ("minimax", "none"),
    ("non_saturating", "none"),
    ("wasserstein", "none"),
    ("minimax", "r1"),
    ("minimax", "instance_noise"),
    ("wasserstein", "gradient_penalty"),
    ("wasserstein", "clipping"),
    ("minimax", "consensus"),
)
_PANEL_START, _PANEL_STEPS, _PANEL_EVERY = (1.0, 1.0), 360, 6
_PANEL_BOUND = 0.5  # of clipping; the bound of the rates would be a line here
_ARROWS = np.linspace(-1.5, 1.5, 5)


def groups(remedies: Mapping[str, Remedy]) -> list[list[str]]:
    """The names of the remedies that can run together."""
    kinds: dict[tuple[float, float], list[str]] = {}
    for name, remedy in remedies.items():
        kinds.setdefault((remedy.noise, remedy.consensus), []).append(name)
    return list(kinds.values())


def rates_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """dirac_rates.csv: one row per objective, remedy, update and count of critic steps per generator step.

    modulus, modulus_2: of the eigenvalues of one update at the equilibrium, the larger first; empty where the
    field has a jump there. rate, rate_se: of log distance per generator step, fitted to the last half of
    STEPS from START (`growth.fitted_rate`). distance_end: after them.
    """
    game = Game(objectives)
    rows: list[dict[str, object]] = []
    for names in groups(REMEDIES):
        group = Group(game, [REMEDIES[name] for name in names])
        for critic_steps in CRITIC_STEPS:
            moduli = np.abs(group.eigenvalues(ANGLE, critic_steps, _ALTERNATING))
            theta, psi = group.trajectories(START, ANGLE, STEPS, critic_steps, _ALTERNATING)
            rate = fitted_rate(theta, psi)
            for at in np.ndindex(rate.rate.shape):
                rows.append(
                    {
                        "objective": list(objectives)[at[0]],
                        "remedy": names[at[1]],
                        "update": list(UPDATES)[at[2]],
                        "critic_steps": critic_steps,
                        "modulus": float(moduli[at][0]),
                        "modulus_2": float(moduli[at][1]),
                        "rate": float(rate.rate[at]),
                        "rate_se": float(rate.standard_error[at]),
                        "distance_end": float(np.hypot(theta[-1][at], psi[-1][at])),
                    }
                )
    order = {name: place for place, name in enumerate(REMEDIES)}
    rows.sort(key=lambda row: order[str(row["remedy"])])  # stable: objectives keep theirs
    return to_columns(rows)


def curvature_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """dirac_curvature.csv: one row per objective; alternating updates, no remedy, one critic step.

    kappa; rate_predicted, -ANGLE kappa r^2/8 at the mean squared radius of the last half; rate, rate_se, from
    START; nearer_rate, nearer_rate_se, from a tenth of it. turns: 0 where the generator's slope at the
    equilibrium is 0. There, and where the loss takes the pair's distance, kappa and rate_predicted are empty.
    """
    game = Game(objectives)
    group = Group(game, [REMEDIES["none"]])
    kappa, turns = curvatures(game)
    columns: dict[str, list[object]] = {"objective": list(objectives), "kappa": list(kappa)}
    for name, share in (("rate", 1.0), ("nearer_rate", _NEARER)):
        start = [share * value for value in START]
        theta, psi = (
            path[..., 0, 0] for path in group.trajectories(start, ANGLE, STEPS, 1, np.array([True]))
        )
        rate = fitted_rate(theta, psi)
        if share == 1.0:
            squared = (theta[-STEPS // 2 :] ** 2 + psi[-STEPS // 2 :] ** 2).mean(axis=0)
            columns["rate_predicted"] = [float(one) for one in 0.0 - ANGLE * kappa * squared / 8]
        columns[name] = [float(one) for one in rate.rate]
        columns[f"{name}_se"] = [float(one) for one in rate.standard_error]
    columns["turns"] = [int(one) for one in turns]
    return columns


def curvatures(game: Game) -> tuple[Array, NDArray[np.bool_]]:
    """kappa of every objective, nan where nothing turns, and whether it does: `(O,)` each."""
    h = 1e-4
    ends = np.tile([-h, h], (len(game.objectives), 1))
    bends = sum(np.diff(game.bend(side, ends, ends), axis=1)[:, 0] / (2 * h) for side in (FAKE, GENERATOR))
    turns = game.centre[:, FAKE] * game.centre[:, GENERATOR] < 0
    known = turns & ~np.array([one.needs_distance for one in game.objectives])
    return np.where(known, np.round(bends, 6) + 0.0, np.nan), turns


def fields_tables(
    objectives: Mapping[str, Objective],
) -> tuple[dict[str, list[object]], dict[str, list[object]]]:
    """dirac_trajectories.csv and dirac_fields.csv: what PANELS look like from afar, one critic step.

    Trajectories: objective, remedy, step, theta, psi, of alternating updates from (1, 1), every sixth step.
    Fields: objective, remedy, theta, psi, move_theta, move_psi: one simultaneous step, per unit of its size.
    """
    paths: list[dict[str, object]] = []
    arrows: list[dict[str, object]] = []
    at_theta, at_psi = (one.ravel() for one in np.meshgrid(_ARROWS, _ARROWS))
    for name, kind in PANELS:
        remedy = REMEDIES[kind] if kind != "clipping" else Remedy(bound=_PANEL_BOUND)
        group = Group(Game({name: objectives[name]}), [remedy])
        label = {"objective": name, "remedy": kind}
        theta, psi = group.trajectories(_PANEL_START, ANGLE, _PANEL_STEPS, 1, np.array([True]))
        for step in range(0, _PANEL_STEPS + 1, _PANEL_EVERY):
            here = {"theta": float(theta[step].item()), "psi": float(psi[step].item())}
            paths.append({**label, "step": step, **here})
        inside = np.abs(at_psi) <= remedy.bound
        points = at_theta[inside].reshape(1, 1, -1), at_psi[inside].reshape(1, 1, -1)
        moved = group.step(*points, ANGLE, 1, np.array([False]))
        moves = [(new - old) / ANGLE for new, old in zip(moved, points, strict=True)]
        for place in np.stack([*points, *moves], axis=-1)[0, 0].tolist():
            arrows.append(
                {**label, **dict(zip(("theta", "psi", "move_theta", "move_psi"), place, strict=True))}
            )
    return to_columns(paths), to_columns(arrows)
