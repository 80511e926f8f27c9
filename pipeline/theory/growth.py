"""The rate per step at which a trajectory in the plane leaves or reaches the origin, with its standard error.

A trajectory that turns about an equilibrium as theta_n, psi_n has log distance::

    log r_n = a + rate n + w(phi_n),   r = |(theta, psi)|,  phi = atan2(psi, theta)

where w is periodic: on an ellipse log r depends on the angle alone, as a series in cos 2 k phi and sin 2 k
phi. The fit takes the last half of the trajectory. Where that makes `TURNS` turns or more, four of these
harmonics stand beside the line in a least-squares fit and are taken off: the oscillation with the rotation is
out of the way whatever its speed, even an uneven one. (Where the angle hardly changes they could stand for
the trend.)

What is left is correlated from step to step. So it is averaged over `BLOCKS` equal blocks, each of the order
of a turn, between which next to nothing of the correlation is left; the rate is the slope of the block means,
its standard error that of the regression through them. Curvature, as of a decay that slows down, is scatter
about the line and widens the error. A step may round the distance by a unit of float64, every time to the
same side: that is added to the error in quadrature. By chance, three standard errors below 0 happen to
independent block means in 0.9 % of cases (Student's t with BLOCKS - 2 = 8 degrees of freedom), to neutral
ellipses in 1 to 2 %.
"""

from typing import NamedTuple

import numpy as np

from pipeline.theory.densities import Array

BLOCKS = 10
TURNS = 2
_HARMONICS = (2, 4, 6, 8)
_ROUNDING = float(np.finfo(np.float64).eps)


class Rate(NamedTuple):
    """d log r per step and its standard error; the shape is that of the trajectories without steps."""

    rate: Array
    standard_error: Array


def fitted_rate(theta: Array, psi: Array) -> Rate:
    """The rate of the last half of trajectories `(T + 1, ...)`; nan for one that is not finite or reaches 0.

    Raises ValueError where half of T is no multiple of BLOCKS.
    """
    half = (len(theta) - 1) // 2
    if half % BLOCKS or not half:
        raise ValueError(f"fitted_rate: half of the {len(theta) - 1} steps is no multiple of {BLOCKS}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = np.log(np.hypot(theta[-half:], psi[-half:]))
    shape = logs.shape[1:]
    logs = logs.reshape(half, -1).T
    angles = np.arctan2(psi[-half:], theta[-half:]).reshape(half, -1).T
    usable = np.isfinite(logs).all(axis=1)
    turning = usable & (np.ptp(np.unwrap(angles), axis=1) >= 2 * np.pi * TURNS)
    if turning.any():
        logs[turning] = _without_turns(logs[turning], angles[turning])
    found = np.full((2, len(logs)), np.nan)
    found[:, usable] = _slopes(logs[usable])
    return Rate(found[0].reshape(shape), found[1].reshape(shape))


def _without_turns(logs: Array, angles: Array) -> Array:
    """`(M, T)` logs less their part that is periodic in the angle, fitted beside a line in time."""
    steps = np.linspace(-1, 1, logs.shape[1])
    waves = [turn(k * angles) for k in _HARMONICS for turn in (np.cos, np.sin)]
    line = [np.ones_like(logs), np.broadcast_to(steps, logs.shape)]
    terms = np.stack([*line, *waves], axis=2)
    transposed = terms.swapaxes(1, 2)
    weights = np.linalg.solve(transposed @ terms, transposed @ logs[..., None])
    periodic: Array = (terms[..., 2:] @ weights[:, 2:])[..., 0]
    return logs - periodic


def _slopes(logs: Array) -> tuple[Array, Array]:
    """Slope per step of the block means of `(M, T)` and its standard error, `(M,)` each."""
    length = logs.shape[1] // BLOCKS
    means = logs.reshape(len(logs), BLOCKS, length).mean(axis=2)
    place = (np.arange(BLOCKS) - (BLOCKS - 1) / 2) * length
    spread = float((place**2).sum())
    slope: Array = means @ place / spread
    left = means - means.mean(axis=1, keepdims=True) - slope[:, None] * place
    error: Array = np.hypot(np.sqrt((left**2).sum(axis=1) / (BLOCKS - 2) / spread), _ROUNDING)
    return slope, error
