"""What a check is: a condition on a grid in float64, with the number found and its place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

# Six decades to either side of p = q: ratios that trained critics do meet.
R_GRID: Final = torch.logspace(-6, 6, 241, dtype=torch.float64)
V_GRID: Final = torch.linspace(-50, 50, 201, dtype=torch.float64)
# Where float64 still tells sigmoid(v) from 0 and 1, and every r of three decades is reached.
V_INNER: Final = torch.linspace(-30, 30, 121, dtype=torch.float64)

# Of quantities that vanish in exact arithmetic, relative to their terms: float64 (2e-16) and some operations.
RELATIVE: Final = 1e-10
# A distance between two samples: each of these decades.
DISTANCES: Final = (0.01, 1.0, 100.0)


@dataclass(frozen=True)
class Check:
    """One condition: what must hold, the number found, where it was worst, and whether it held.

    One that is not `required` is reported, and an objective may fail it.
    """

    name: str
    statement: str
    passed: bool
    value: float
    at: str
    required: bool = True

    def describe(self) -> str:
        return f"{self.statement}; found {self.value:.4g} at {self.at}"


def rounding(best: Tensor, slope: Tensor) -> Tensor:
    """What rounding t = omega(r) to float64 does to r, relative: 1/(1 + r) holds r = 1e-6 to ten digits only.

    `best` is omega and `slope` its derivative on R_GRID.
    """
    return RELATIVE + 1e-14 * (1 + best.abs()) / (R_GRID * slope).abs()


def worst(
    name: str, statement: str, margin: Tensor, place: Callable[[int], str], value: Tensor | None = None
) -> Check:
    """The check that every `margin` is positive; `nan` counts as the worst. `value` is what is reported."""
    index = int(torch.where(margin.isnan(), -torch.inf, margin).argmin())
    shown = margin if value is None else value
    return Check(name, statement, bool(margin[index] > 0), float(shown[index]), place(index))


def at_point(symbol: str, grid: Tensor) -> Callable[[int], str]:
    return lambda index: f"{symbol} = {float(grid[index]):.6g}"
