"""The Dirac-GAN: data at one point, a generator of one point, a linear critic (claim G3).

p = delta_0, q = delta_theta, and the critic's raw output is v(x) = v* + psi x, where v* is the objective's
best output at log ratio 0. theta = psi = 0 is the equilibrium. With l the losses as they are trained, b(s)
the slope of the critic's loss in the output on fake at v* + s, and g(s) that of the generator's, s = psi
theta::

    dL_D/dpsi = b(psi theta) theta,     dL_G/dtheta = g(psi theta) psi

For a paired objective, whose losses are functions of delta = v(0) - v(theta) = -s, these are the slopes in s.
b(0) and g(0) have opposite signs, so the flow turns about the equilibrium with the eigenvalues
+-i sqrt(-b(0) g(0)).

Scale. Each player's loss is divided by the size of its slope at the equilibrium, |b(0)| and |g(0)| (a player
whose slope is 0 there, by the other's). Then every objective turns by the same angle per step, and the
remedies, added to the losses so scaled, are equally strong; what is left of an objective is the curvature of
b and g.

Sources: Mescheder, Geiger & Nowozin 2018, arXiv 1801.04406; Mescheder, Nowozin & Geiger 2017, arXiv
1705.10461.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from pipeline.objectives import Objective
from pipeline.theory.densities import Array

# b and g are found on a grid of s by autograd, once; between its points a cubic spline errs by 1e-11 of them.
_REACH, _CELLS = 10.0, 5120
_WIDTH = 2 * _REACH / _CELLS  # 1/256
# Gauss-Hermite for a standard normal: exact for polynomials up to degree 19.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(10)
_MASSES = _WEIGHTS / _WEIGHTS.sum()
_SHIFT = 1e-6  # of central differences: errors 1e-12 by truncation and 1e-10 by rounding
_PROBES = _SHIFT * np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])  # in theta and in psi

# Whose slope: of the critic's loss in the output on real and on fake, and of the generator's.
SIDES = REAL, FAKE, GENERATOR = 0, 1, 2


@dataclass(frozen=True)
class Remedy:
    """What is added to the plain game. On a linear critic grad_x v = psi at every x, so::

        penalty   weight/2 (|psi| - target)^2 on the critic's loss
        noise     x becomes x + noise e, e standard normal, on real and fake alike
        bound     |psi| is clipped to it after every critic step
        consensus both players also descend consensus/2 |(dL_G/dtheta, dL_D/dpsi)|^2

    R1 and R2 penalise |grad_x v|^2 on real and on fake, which is the same number here; the penalty of
    WGAN-GP, centred at 1, has the same weight and so pulls psi equally hard, to another place.
    """

    weight: float = 0.0
    target: float = 0.0
    noise: float = 0.0
    bound: float = np.inf
    consensus: float = 0.0

    @property
    def is_smooth(self) -> bool:
        """Whether the field has a Jacobian at the equilibrium: a penalty centred elsewhere jumps there."""
        return self.weight == 0 or self.target == 0


@cache
def equilibrium_output(objective: Objective) -> float:
    """v*, the raw output whose activation is omega(1); 0 where there is no omega: any output is optimal."""
    if objective.formulas.omega is None:
        return 0.0
    best = float(objective.omega(torch.ones(1, dtype=torch.float64)))

    def gap(v: float) -> float:
        return float(objective.activation(torch.tensor([v], dtype=torch.float64))) - best

    return float(brentq(gap, -40.0, 40.0, xtol=1e-14))


class Game:
    """The scaled slopes of the `objectives` (O), for any remedy: fields on arrays `(O, ...)`."""

    def __init__(self, objectives: Mapping[str, Objective]) -> None:
        self.objectives = list(objectives.values())
        s = np.linspace(-_REACH, _REACH, _CELLS + 1)
        slopes = np.array(
            [[_output_slope(one, side, s, np.ones_like(s)) for side in SIDES] for one in self.objectives]
        )
        centre = slopes[..., _CELLS // 2]
        size = np.abs(centre[:, FAKE:])
        size = np.where(size < 1e-12, size[:, ::-1], size)
        self.scale = size[:, [0, 0, 1]]
        self.centre = centre / self.scale
        self._pieces = _pieces(s, slopes / self.scale[..., None] - self.centre[..., None])
        self._by_distance = [at for at, one in enumerate(self.objectives) if one.needs_distance]
        # The noise of s: real and fake are paired independently, unless with the other's mean.
        self._noise_of_fake = np.array(
            [2**0.5 if one.formulas.reference == "pair" else 1.0 for one in self.objectives]
        )

    def critic_gradient(self, theta: Array, psi: Array, noise: float = 0.0) -> Array:
        """dL_D/dpsi at `(O, ...)`, without penalty, clipping or consensus."""
        by_psi: Array = self._at_centre(FAKE, theta) * theta
        if not noise:
            return by_psi + self.bend(FAKE, psi * theta, theta) * theta
        # E e = 0: what the slopes at the centre make of the noise, which rounding would leave, is not added.
        outputs, fake, real = psi[..., None], self._noisy(theta, noise), noise * _NODES + 0 * theta[..., None]
        bends = self.bend(FAKE, outputs * fake, fake) * fake + self.bend(REAL, outputs * real, real) * real
        spread: Array = bends @ _MASSES
        return by_psi + spread

    def generator_gradient(self, theta: Array, psi: Array, noise: float = 0.0) -> Array:
        """dL_G/dtheta at `(O, ...)`, without consensus."""
        by_theta: Array = self._at_centre(GENERATOR, theta) * psi
        if not noise:
            return by_theta + self.bend(GENERATOR, psi * theta, theta) * psi
        fake = self._noisy(theta, noise)
        bend: Array = self.bend(GENERATOR, psi[..., None] * fake, fake) @ _MASSES
        return by_theta + bend * psi

    def _at_centre(self, side: int, like: Array) -> Array:
        slope: Array = self.centre[:, side].reshape(-1, *[1] * (like.ndim - 1))
        return slope

    def _noisy(self, theta: Array, noise: float) -> Array:
        """theta + noise e at the nodes of e; for a pair, whose noises are independent, that of both."""
        reach = noise * self._noise_of_fake.reshape(-1, *[1] * theta.ndim)
        at: Array = theta[..., None] + reach * _NODES
        return at

    def bend(self, side: int, s: Array, x: Array) -> Array:
        """The scaled slope of one of SIDES at v* + s, less that at v*; s = psi x. Exact to its own size."""
        if np.abs(s).max() >= _REACH:
            raise ArithmeticError(f"an output is {_REACH:g} or more from its equilibrium")
        rows = np.arange(len(s)).reshape(-1, *[1] * (s.ndim - 1))
        # The cell's end nearer to 0, and the cell.
        end = np.trunc(s / _WIDTH)
        cell = end.astype(np.int64) + _CELLS // 2 - np.signbit(s)
        cubic, square, linear, constant = np.moveaxis(self._pieces[rows, side, cell], -1, 0)
        u = s - end * _WIDTH
        found: Array = ((cubic * u + square) * u + linear) * u + constant
        if side == FAKE:
            for at in self._by_distance:
                one = slice(at, at + 1)
                exact = _output_slope(self.objectives[at], FAKE, s[one], np.abs(x[one]))
                found[one] = exact / self.scale[at, FAKE] - self.centre[at, FAKE]
        return found


def _pieces(s: Array, values: Array) -> Array:
    """Cubic splines through `values` `(O, 3, _CELLS + 1)` at s: `(O, 3, _CELLS, 4)`, from the cube.

    In powers of the distance from a cell's end nearer to 0, so what is small near 0 keeps its digits.
    """
    cubic, square, linear, constant = CubicSpline(s, values, axis=-1).c
    low = (s[:-1] < 0).reshape(-1, 1, 1)
    moved = 3 * cubic * _WIDTH
    pieces = [
        cubic,
        np.where(low, square + moved, square),
        np.where(low, linear + (2 * square + moved) * _WIDTH, linear),
        np.where(low, np.moveaxis(values, -1, 0)[1:], constant),
    ]
    return np.moveaxis(np.array(pieces), (0, 1), (-1, -2)).copy()


def _output_slope(objective: Objective, side: int, s: Array, distance: Array) -> Array:
    """dL/dv at v* + s: the critic's loss on REAL, on FAKE, or the GENERATOR's; shape of s.

    The other of a pair's outputs is v*, and `distance` that of the pair; for a paired objective the slope on
    FAKE is the whole one, in their difference.
    """
    output = equilibrium_output(objective)
    v = torch.from_numpy(output + s).reshape(-1, 1).requires_grad_()
    still = torch.full_like(v, output).detach()
    if side == REAL and objective.is_paired:
        return np.zeros(s.shape)
    if side == GENERATOR:
        loss = objective.generator_loss(v, still)
    elif objective.needs_distance:
        # 0/0 at distance 0, where the pair's outputs are equal; the limit is that of a small distance.
        apart = torch.from_numpy(np.maximum(distance, 1e-150)).reshape(-1, 1)
        loss = objective.critic_loss(still, v, apart)
    else:
        loss = objective.critic_loss(v, still) if side == REAL else objective.critic_loss(still, v)
    (slope,) = torch.autograd.grad(loss.sum(), v)
    found: Array = slope.numpy().reshape(s.shape)
    return found


class Group:
    """Remedies R with one noise and one consensus, which so run together on arrays `(O, R, ...)`.

    Raises ValueError for remedies that differ in either.
    """

    def __init__(self, game: Game, remedies: Sequence[Remedy]) -> None:
        if len({(one.noise, one.consensus) for one in remedies}) != 1:
            raise ValueError("Group: remedies that run together have one noise and one consensus")
        self.game, self.remedies = game, remedies
        self.noise, self.consensus = remedies[0].noise, remedies[0].consensus
        columns = [[one.weight, one.target, one.bound] for one in remedies]
        self._weight, self._target, self._bound = np.array(columns).T[..., None]

    def step(
        self, theta: Array, psi: Array, angle: float, critic_steps: int, alternating: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """One generator step after `critic_steps` critic steps, all of size angle/sqrt(critic_steps).

        So the plain game turns by `angle` per generator step, however many critic steps it has. theta, psi
        `(O, R, A)`; where `alternating` `(A,)` the generator answers the critic's new psi, elsewhere its old.
        """
        size = angle / critic_steps**0.5
        new = psi
        for _ in range(critic_steps):
            by_psi = self.game.critic_gradient(theta, new, self.noise)
            by_psi += self._weight * (new - self._target * np.sign(new))
            new = new - size * (by_psi + self._pull(theta, new)[1])
            new = np.clip(new, -self._bound, self._bound)
        answered = np.where(alternating, new, psi)
        by_theta = self.game.generator_gradient(theta, answered, self.noise)
        return theta - size * (by_theta + self._pull(theta, answered)[0]), new

    def _pull(self, theta: Array, psi: Array) -> Array:
        """consensus/2 times the gradient of |F|^2, F the players' own, by theta and psi: `(2, O, R, A)`."""
        if not self.consensus:
            return np.zeros((2, *[1] * theta.ndim))
        around = theta[..., None] + _PROBES[0], psi[..., None] + _PROBES[1]
        pull = np.zeros((*theta.shape, 2))
        # J^T F: differences of |F|^2 itself would drown in rounding near the equilibrium.
        for gradient in (self.game.generator_gradient, self.game.critic_gradient):
            pull += _central(gradient(*around, self.noise)) * gradient(theta, psi, self.noise)[..., None]
        return self.consensus * np.moveaxis(pull, -1, 0)

    def eigenvalues(
        self, angle: float, critic_steps: int, alternating: NDArray[np.bool_]
    ) -> NDArray[np.complex128]:
        """Those of one step's Jacobian at the equilibrium, larger modulus first: `(O, R, A, 2)`.

        By central differences; nan where the field has a jump there.
        """
        shape = (len(self.game.objectives), len(self.remedies), len(alternating))
        ends = [
            self.step(np.full(shape, shift[0]), np.full(shape, shift[1]), angle, critic_steps, alternating)
            for shift in _PROBES.T
        ]
        jacobian = _central(np.moveaxis(np.array(ends), 0, -1))  # (2, O, R, A, 2): new, by old
        found = np.linalg.eigvals(np.moveaxis(jacobian, 0, -2)).astype(np.complex128)
        found[:, [not one.is_smooth for one in self.remedies]] = complex(np.nan, np.nan)
        order = np.argsort(-np.abs(found), axis=-1, kind="stable")
        ordered: NDArray[np.complex128] = np.take_along_axis(found, order, axis=-1)
        return ordered

    def trajectories(
        self,
        start: Sequence[float],
        angle: float,
        steps: int,
        critic_steps: int,
        alternating: NDArray[np.bool_],
    ) -> tuple[Array, Array]:
        """theta and psi from `start` = (theta, psi), `(steps + 1, O, R, A)` each."""
        shape = (len(self.game.objectives), len(self.remedies), len(alternating))
        path = np.empty((2, steps + 1, *shape))
        path[:, 0] = np.reshape(start, (2, 1, 1, 1))
        for at in range(steps):
            path[:, at + 1] = self.step(path[0, at], path[1, at], angle, critic_steps, alternating)
        return path[0], path[1]


def _central(ends: Array) -> Array:
    """Differences by theta and by psi of values at `_PROBES`: `(..., 4)` -> `(..., 2)`."""
    return (ends[..., ::2] - ends[..., 1::2]) / (2 * _SHIFT)
