"""The pairs of known laws on which estimators are tried: normals a distance apart, and mixtures of modes.

The first law stands for the data p, the second for a generator q. On the ring and on the grid, those of the
study, a generator misses modes, gives them other shares, or is too wide or too narrow; the distances of
normals are in standard deviations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import quad
from torch import Tensor

from pipeline.calibration.truths import normals_to_truth, weights_to_truth
from pipeline.config import GridData, RingData
from pipeline.data.mixtures import Mixture, mixture

DISTANCES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
DIMENSIONS = (1, 2, 16, 64)
MIXTURES = {
    "ring": mixture(RingData(kind="ring", modes=8, radius=1.0, std=0.01)),
    "grid": mixture(GridData(kind="grid", side=5, spacing=0.5, std=0.0125)),
}
MISSED = (0.125, 0.25, 0.5)  # shares of the modes
RATIOS = (2.0, 10.0)  # of the largest share to the smallest, in equal steps of the logarithm
WIDTHS = (0.5, 2.0)  # of the generator's modes, in those of the data

Array = npt.NDArray[np.float64]
Sampler = Callable[[int, torch.Generator], Tensor]  # (N, generator) -> (N, D) float32


@dataclass(frozen=True)
class Pair:
    """Two laws and what is known of them.

    `family` gathers the pairs that share one law p; `size` orders them by how far q is from it, 0 for q = p.
    """

    name: str
    title: str
    family: str
    size: float
    dimensions: int
    real: Sampler
    fake: Sampler
    known: Callable[[], dict[str, float]]

    @cached_property
    def truth(self) -> dict[str, float]:
        """Quantity -> exact value, infinite where it is; without the quantities that have no exact value."""
        return self.known()


def pairs() -> list[Pair]:
    """Every pair, by family, the equal one of each family first."""
    made = _normals()
    for family, data in MIXTURES.items():
        made += _mixture_pairs(family, data)
    return made


def _normals() -> list[Pair]:
    return [
        Pair(
            f"normals_{dimensions}d_{distance:g}",
            f"normals {distance:g} apart, D = {dimensions}",
            f"normals_{dimensions}d",
            distance,
            dimensions,
            partial(_normal, dimensions, 0.0),
            partial(_normal, dimensions, distance),
            partial(normals_to_truth, distance, dimensions),
        )
        for dimensions in DIMENSIONS
        for distance in DISTANCES
    ]


def _normal(dimensions: int, distance: float, n: int, generator: torch.Generator) -> Tensor:
    samples = torch.randn(n, dimensions, generator=generator)
    samples[:, 0] += distance
    return samples


def _mixture_pairs(family: str, data: Mixture) -> list[Pair]:
    modes = data.modes
    made = [_shares(family, f"{family}_equal", f"equal laws, {family}", 0.0, data, np.ones(modes))]
    for missed in MISSED:
        count = round(missed * modes)
        left = np.where(np.arange(modes) < count, 0.0, 1.0)
        title = f"{family} without {count} of {modes} modes"
        made.append(_shares(family, f"{family}_missing_{count}", title, missed, data, left))
    for ratio in RATIOS:
        title = f"{family} with shares up to {ratio:g} : 1"
        shares = np.geomspace(1.0, ratio, modes)
        made.append(_shares(family, f"{family}_shares_{ratio:g}", title, ratio, data, shares))
    for width in WIDTHS:
        q = Mixture(data.means, width * data.std, data.weights)
        made.append(
            Pair(
                f"{family}_width_{width:g}",
                f"{family} of modes {width:g} times as wide",
                family,
                width,
                2,
                data.sample,
                q.sample,
                partial(widths_to_truth, width, data.std),
            )
        )
    return made


def _shares(family: str, name: str, title: str, size: float, data: Mixture, shares: Array) -> Pair:
    shares = shares / shares.sum()
    left = torch.from_numpy(shares > 0)
    weights = torch.from_numpy(shares)[left]
    q = Mixture(data.means[left], data.std, weights / weights.sum())
    known = partial(weights_to_truth, data.means.numpy(), data.std, data.weights.numpy(), shares)
    return Pair(name, title, family, size, 2, data.sample, q.sample, known)


def widths_to_truth(width: float, std: float) -> dict[str, float]:
    """The same far-apart modes in the plane, N(mu, std^2 I) in the data and N(mu, (width std)^2 I) generated.

    With s = width: KL(p || q) = 1/s^2 - 1 + 2 log s, the reverse s^2 - 1 - 2 log s; W2 = sqrt(2) |s - 1| std
    and W1 = sqrt(pi/2) |s - 1| std, as x -> s x is the best map for both; the rest by quadrature
    over the radius (1e-9). Kernel and sliced distances are left out.
    """
    log_s = math.log(width)

    def integral(f: Callable[[float], float]) -> float:
        """E_p f(q/p), the radius R in std having the density R exp(-R^2/2)."""

        def integrand(radius: float) -> float:
            log_r = radius**2 / 2 * (1 - width**-2) - 2 * log_s
            return radius * f(math.exp(log_r)) * math.exp(-(radius**2) / 2)

        # q/p = 1 at this radius, where |r - 1| has its kink.
        kink = math.sqrt(4 * log_s / (1 - width**-2))
        end = 12.0 * max(1.0, width)
        return sum(
            float(quad(integrand, a, b, epsabs=1e-13, limit=200)[0]) for a, b in ((0.0, kink), (kink, end))
        )

    def jensen_shannon(r: float) -> float:
        return (r * math.log(r) if r > 0 else 0.0) / 2 - (1 + r) / 2 * math.log((1 + r) / 2)

    total_variation = integral(lambda r: abs(r - 1)) / 2
    return {
        "kl": width**-2 - 1 + 2 * log_s,
        "reverse_kl": width**2 - 1 - 2 * log_s,
        "jensen_shannon": integral(jensen_shannon),
        "total_variation": total_variation,
        "squared_hellinger": integral(lambda r: (math.sqrt(r) - 1) ** 2),
        "two_sample_accuracy": (1 + total_variation) / 2,
        "wasserstein_1": math.sqrt(math.pi / 2) * abs(width - 1) * std,
        "wasserstein_2": math.sqrt(2) * abs(width - 1) * std,
    }
