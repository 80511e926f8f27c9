"""Pairs of densities on which the claims about divergences are tested, and integrals over them.

The integrals are Gauss-Legendre on panels whose edges include every crossing of p and q: there |p - q| and
the best critic of total variation have their kinks, and elsewhere everything is smooth. All components have
standard deviations near 1, so that the integrals of r**2 p and of r**-2 q are finite too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from pipeline.theory.densities import Array, Density, Mixture, gauss_legendre

STANDARD = Mixture()
_EMPTY = 1e-12


class Nodes(NamedTuple):
    """A quadrature rule for a pair: points, log p and log q there, weights; `(cells,)` each."""

    x: Array
    log_p: Array
    log_q: Array
    weights: Array

    def integral(self, integrand: Array, name: str) -> float:
        """The sum of integrand * weights.

        A formula may overflow where there is next to nothing to integrate: nodes that hold less than
        `_EMPTY` of p and of q together count as 0. Raises ArithmeticError, with `name`, where the integrand
        is not finite on more.
        """
        known = np.isfinite(integrand)
        lost = (np.exp(np.logaddexp(self.log_p, self.log_q)) * self.weights)[~known].sum()
        if lost > _EMPTY:
            raise ArithmeticError(f"{name}: the integrand is not finite on {lost:.1e} of the mass")
        return float((np.where(known, integrand, 0.0) * self.weights).sum())


@dataclass(frozen=True)
class Pair:
    """p (data) and q (generated) on [left, right], outside of which neither has mass."""

    p: Density
    q: Density
    left: float = -10.0
    right: float = 12.0
    panels: int = 44

    def log_ratio(self, x: Array) -> Array:
        """log r = log q - log p in nats."""
        return self.q.log_density(x) - self.p.log_density(x)

    @cached_property
    def edges(self) -> Array:
        """Even panels, and every place where p = q."""
        even = np.linspace(self.left, self.right, self.panels + 1)
        fine = np.linspace(self.left, self.right, 40 * self.panels + 1)
        side = np.sign(self.log_ratio(fine))
        apart = np.flatnonzero(side)  # a crossing may fall on a point of the grid
        turns = np.flatnonzero(np.diff(side[apart]))
        crossings = [
            brentq(
                lambda x: float(self.log_ratio(np.asarray(x))),
                fine[apart[turn]],
                fine[apart[turn + 1]],
                xtol=1e-15,
            )
            for turn in turns
        ]
        return np.unique([*even, *crossings])

    def nodes(self, order: int) -> Nodes:
        """The rule of `order` points per panel."""
        x, weights = gauss_legendre(self.edges, order)
        return Nodes(x, self.p.log_density(x), self.q.log_density(x), weights)


PAIRS: Mapping[str, Pair] = {
    "equal": Pair(STANDARD, STANDARD),
    "shift_0.5": Pair(STANDARD, Mixture((0.5,))),
    "shift_1.5": Pair(STANDARD, Mixture((1.5,))),
    "shifted_and_narrower": Pair(STANDARD, Mixture((0.3,), (0.9,))),
    "other_weights": Pair(
        Mixture((-1.0, 1.0), (1.0, 1.0), (0.5, 0.5)), Mixture((-1.0, 1.0), (1.0, 1.0), (0.9, 0.1))
    ),
    "one_of_two_modes": Pair(Mixture((-1.0, 1.0), (1.0, 1.0), (0.6, 0.4)), Mixture((1.0,))),
}
