"""The pairs of known laws on which estimators are tried: normals a distance apart, and mixtures of modes.

The first law stands for the data p, the second for a generator q. On the ring and on the grid, those of the
study, a generator misses modes, gives them other shares, puts them beside the data's, or is too wide, too
narrow or too flat; the distances of normals are in standard deviations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import quad
from scipy.special import log_expit, ndtr
from torch import Tensor

from pipeline.calibration.truths import normals_to_truth, weights_to_truth
from pipeline.config import GridData, MixtureData, RingData
from pipeline.data.mixtures import Mixture, mixture

DISTANCES = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
DIMENSIONS = (1, 2, 16, 64)
DATA: dict[str, MixtureData] = {
    "ring": RingData(kind="ring", modes=8, radius=1.0, std=0.01),
    "grid": GridData(kind="grid", side=5, spacing=0.5, std=0.0125),
}
MIXTURES = {family: mixture(data) for family, data in DATA.items()}
MISSED = (0.125, 0.25, 0.5, 0.75)  # shares of the modes
RATIOS = (2.0, 10.0)  # of the largest share to the smallest, in equal steps of the logarithm
# Of the generator's modes, in those of the data; the widest modes stay clear of each other.
WIDTHS = {"ring": (0.5, 2.0, 8.0), "grid": (0.5, 2.0, 4.0)}
FLAT = (0.5, 0.2)  # of one axis, std of the data
# How far the generator's modes lie from the data's, in std: outwards on the ring, along an axis on the grid,
# and nearer to their own than to any other.
ASIDE = {"ring": (2.0, 10.0, 50.0, 300.0), "grid": (2.0, 6.0, 16.0)}
# What is known where nothing is known of kernels, projections and transport.
F_DIVERGENCES = ("kl", "reverse_kl", "jensen_shannon", "total_variation", "squared_hellinger")

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
    for width in WIDTHS[family]:
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
    made += [_flattened(family, data, width) for width in FLAT]
    return made + [_aside(family, data, distance) for distance in ASIDE[family]]


def _flattened(family: str, data: Mixture, width: float) -> Pair:
    def sample(n: int, generator: torch.Generator) -> Tensor:
        mode = torch.randint(data.modes, (n,), generator=generator)
        normal = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return (data.means[mode] + data.std * normal * torch.tensor([1.0, width])).float()

    return Pair(
        f"{family}_flat_{width:g}",
        f"{family} of modes {width:g} times as wide along one axis",
        family,
        width,
        2,
        data.sample,
        sample,
        partial(flattened_to_truth, width),
    )


def _aside(family: str, data: Mixture, distance: float) -> Pair:
    along = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    outwards = data.means / data.means.norm(dim=1, keepdim=True) if family == "ring" else along
    q = Mixture(data.means + distance * data.std * outwards, data.std, data.weights)
    return Pair(
        f"{family}_aside_{distance:g}",
        f"{family} of modes {distance:g} std beside the data's",
        family,
        distance,
        2,
        data.sample,
        q.sample,
        partial(aside_to_truth, distance),
    )


def _shares(family: str, name: str, title: str, size: float, data: Mixture, shares: Array) -> Pair:
    shares = shares / shares.sum()
    left = torch.from_numpy(shares > 0)
    weights = torch.from_numpy(shares)[left]
    q = Mixture(data.means[left], data.std, weights / weights.sum())
    known = partial(weights_to_truth, data.means.numpy(), data.std, data.weights.numpy(), shares)
    return Pair(name, title, family, size, 2, data.sample, q.sample, known)


def flattened_to_truth(width: float) -> dict[str, float]:
    """Far-apart modes N(mu, std^2 I) in the data, of width std and `width` std along the axes generated.

    The axis that is the same cancels; with s = width, along the other::

        KL(p || q) = log s + (1/s^2 - 1)/2    KL(q || p) = -log s + (s^2 - 1)/2
        H2 = 2 - 2 (2 s/(1 + s^2))^(1/2)      TV = 2 |Phi(k) - Phi(k/s)|,  k^2 = 2 s^2 log s/(s^2 - 1)

    k where p = q; the Jensen-Shannon divergence by quadrature (1e-10). Raises ValueError for width 1.
    """
    if width == 1 or not width > 0:
        raise ValueError(f"a width above 0 and other than 1 is needed, not {width}")
    s, log_s = width, math.log(width)
    kink = math.sqrt(2 * s**2 * log_s / (s**2 - 1))
    total_variation = 2 * abs(float(ndtr(kink)) - float(ndtr(kink / s)))

    def jensen_shannon(x: float) -> float:
        p = math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        q = math.exp(-((x / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        log_r = x**2 / 2 * (1 - s**-2) - log_s
        return float(p * (math.log(2) + log_expit(-log_r)) + q * (math.log(2) + log_expit(log_r))) / 2

    edges = (0.0, min(s, 1.0) * kink, kink, 12.0 * max(1.0, s))
    return {
        "kl": log_s + (s**-2 - 1) / 2,
        "reverse_kl": -log_s + (s**2 - 1) / 2,
        "jensen_shannon": 2
        * sum(
            float(quad(jensen_shannon, low, high, epsabs=1e-13, limit=200)[0])
            for low, high in pairwise(edges)
        ),
        "total_variation": total_variation,
        "squared_hellinger": 2 - 2 * math.sqrt(2 * s / (1 + s**2)),
        "two_sample_accuracy": (1 + total_variation) / 2,
    }


def aside_to_truth(distance: float) -> dict[str, float]:
    """Every mode beside its own of the data, far from all others: as two normals, `distance` std apart."""
    known = normals_to_truth(distance, 2)
    return {name: known[name] for name in (*F_DIVERGENCES, "two_sample_accuracy")}


def widths_to_truth(width: float, std: float) -> dict[str, float]:
    """The same far-apart modes in the plane, N(mu, std^2 I) in the data and N(mu, (width std)^2 I) generated.

    With s = width, and k^2 = 4 s^2 log s/(s^2 - 1) the squared radius in std at which p = q::

        KL(p || q) = 1/s^2 - 1 + 2 log s    KL(q || p) = s^2 - 1 - 2 log s    H2 = 2 - 4 s/(1 + s^2)
        TV = |exp(-k^2/(2 s^2)) - exp(-k^2/2)|    W1 = sqrt(pi/2) |s - 1| std    W2 = sqrt(2) |s - 1| std

    as x -> s x is the best map for both; the Jensen-Shannon divergence by quadrature over the radius (1e-10).
    Kernel and sliced distances are left out. Raises ValueError for width 1, where p = q.
    """
    if width == 1 or not width > 0:
        raise ValueError(f"a width above 0 and other than 1 is needed, not {width}")
    s, log_s = width, math.log(width)
    kink_squared = 4 * s**2 * log_s / (s**2 - 1)
    total_variation = abs(math.exp(-kink_squared / (2 * s**2)) - math.exp(-kink_squared / 2))

    def jensen_shannon(radius: float) -> float:
        p = radius * math.exp(-(radius**2) / 2)
        q = radius / s**2 * math.exp(-(radius**2) / (2 * s**2))
        log_r = radius**2 / 2 * (1 - s**-2) - 2 * log_s
        return float(p * (math.log(2) + log_expit(-log_r)) + q * (math.log(2) + log_expit(log_r))) / 2

    edges = (0.0, math.sqrt(kink_squared), 12.0 * max(1.0, s))
    return {
        "kl": s**-2 - 1 + 2 * log_s,
        "reverse_kl": s**2 - 1 - 2 * log_s,
        "jensen_shannon": sum(
            float(quad(jensen_shannon, low, high, epsabs=1e-13, limit=200)[0])
            for low, high in pairwise(edges)
        ),
        "total_variation": total_variation,
        "squared_hellinger": 2 - 4 * s / (1 + s**2),
        "two_sample_accuracy": (1 + total_variation) / 2,
        "wasserstein_1": math.sqrt(math.pi / 2) * abs(s - 1) * std,
        "wasserstein_2": math.sqrt(2) * abs(s - 1) * std,
    }
