"""Divergences between the exact data density p and a generator q known by N samples. All in nats.

Jensen-Shannon: the plane is cut into cells whose p-probabilities are known exactly, and q is replaced by its
cell frequencies. By the data processing inequality the JSD of the cell probabilities is at most the JSD of
the densities; sampling adds about (cells - 1) / (8 N).

Kullback-Leibler, both ways, with the k-nearest-neighbour density of q (Wang, Kulkarni and Verdu 2009;
Perez-Cruz 2008). With rho_k(x) the distance from x to its k-th nearest of N samples and c_d the volume of
the unit ball,

    log q(x) = digamma(k) - log N - log c_d - d log rho_k(x),

unbiased where q is constant over the ball. digamma(k), not log k: E log of a Gamma(k) variable.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from pipeline.data.mixtures import Mixture
from pipeline.metrics.nearest import nearest_modes

Array = npt.NDArray[np.float64]

RINGS = 4
SECTORS = 16
OUTSIDE = 4.0
NEIGHBOURS = 5
# 5,000 points, one core: 0.08 s by tree and by all pairs in 8 dimensions, 0.31 and 0.06 s in 16.
BRUTE_FORCE_FROM = 9


class Partition:
    """Cells of the plane: nearest mode x RINGS rings of equal p-probability x SECTORS angles, and the rest.

    Within a mode the radius R in std has P(R > r) = exp(-r^2 / 2), so ring edges are
    sqrt(-2 log(1 - j / RINGS)), the last one cut at OUTSIDE; all beyond it is one cell per mode, of
    probability exp(-8) = 3.4e-4, so that stray samples are not excused by the tail of p.
    Exact for modes further apart than the mixture's SEPARATION. Generators flatten modes: of the JSD of modes
    half as wide along one axis, 0.093 nats, 4 angles see 0.03 to 0.05, these see it all.
    """

    def __init__(self, mixture: Mixture) -> None:
        inner = [math.sqrt(-2 * math.log(1 - j / RINGS)) for j in range(1, RINGS)]
        survival = [1.0] + [1 - j / RINGS for j in range(1, RINGS)] + [math.exp(-(OUTSIDE**2) / 2)]
        beyond = torch.tensor(survival, dtype=torch.float64)
        rings = -beyond.diff() / SECTORS
        cells = torch.cat([rings.repeat_interleave(SECTORS), beyond[-1:]])
        self.mixture = mixture
        self.edges = torch.tensor([*inner, OUTSIDE], dtype=torch.float64)
        self.probabilities = (mixture.weights[:, None] * cells).flatten()

    def cells(self, samples: Tensor, nearest: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """samples (N, 2) -> cell index (N,) into `probabilities`; nearest: their `nearest_modes`."""
        mode, radius = nearest or nearest_modes(samples, self.mixture)
        offset = samples.double() - self.mixture.means[mode]
        turn = torch.atan2(offset[:, 1], offset[:, 0]) / (2 * math.pi) % 1
        sector = (turn * SECTORS).long().clamp(max=SECTORS - 1)
        ring = torch.bucketize(radius, self.edges, right=True)
        inside = ring < RINGS
        cell = torch.where(inside, ring * SECTORS + sector, RINGS * SECTORS)
        return mode * (RINGS * SECTORS + 1) + cell

    def frequencies(self, samples: Tensor, nearest: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """samples (N, 2) -> cell frequencies, in the order of `probabilities`."""
        return torch.bincount(self.cells(samples, nearest), minlength=len(self.probabilities)).double() / len(
            samples
        )


def kl_divergence(q: Tensor, p: Tensor) -> float:
    """sum_i q_i log(q_i / p_i) in nats, with 0 log 0 = 0; p > 0."""
    return max(0.0, float((torch.xlogy(q, q) - torch.xlogy(q, p)).sum()))


def jensen_shannon(p: Tensor, q: Tensor) -> float:
    """1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q) / 2, of two probability vectors; in [0, log 2]."""
    log_middle = ((p + q) / 2).clamp(min=torch.finfo(p.dtype).tiny).log()
    to_middle = [(torch.xlogy(x, x) - x * log_middle).sum() for x in (p, q)]
    return min(max(0.0, float(sum(to_middle)) / 2), math.log(2))


def samples_to_jsd(
    samples: Tensor, partition: Partition, nearest: tuple[Tensor, Tensor] | None = None
) -> float:
    """samples (N, 2) -> the plug-in JSD against p on the partition; nearest: their `nearest_modes`."""
    return jensen_shannon(partition.probabilities, partition.frequencies(samples, nearest))


def log_neighbour_density(distances: Array, count: int, dimensions: int, k: int) -> Array:
    """k-th neighbour distances (M,) among `count` samples -> log density estimates (M,)."""
    log_ball = dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2 + 1)
    result: Array = digamma(k) - math.log(count) - log_ball - dimensions * np.log(distances)
    return result


def kl_from_data(fakes: Array, reals: Array, log_p_reals: Array, k: int = NEIGHBOURS) -> float:
    """KL(p || q) = E_p[log p - log q]: fakes (N, D), reals (M, D) drawn from p, their exact log p (M,).

    Where q has no mass near a mode the estimate is finite, about d log(distance / std), while the true
    value may be infinite: read it as a lower bound there.
    """
    distances = kth_distances(fakes, reals, k)
    return float(np.mean(log_p_reals - log_neighbour_density(distances, len(fakes), fakes.shape[1], k)))


def kl_to_data(fakes: Array, log_p_fakes: Array, k: int = NEIGHBOURS) -> float:
    """KL(q || p) = E_q[log q - log p]: fakes (N, D), exact log p at the fakes (N,).

    The fake itself is left out of its neighbours: N - 1 samples, neighbour k + 1 of the tree.
    """
    distances = kth_distances(fakes, fakes, k + 1)
    log_q = log_neighbour_density(distances, len(fakes) - 1, fakes.shape[1], k)
    return float(np.mean(log_q - log_p_fakes))


def kth_distances(samples: Array, queries: Array, k: int) -> Array:
    """samples (N, D), queries (M, D) -> distance from each query to its k-th nearest sample (M,), k <= N."""
    if samples.shape[1] < BRUTE_FORCE_FROM:
        distances, _ = cKDTree(samples).query(queries, k=[k])
    else:
        # Here: scikit-learn takes a second to import, and no sample in the plane needs it.
        from sklearn.neighbors import NearestNeighbors

        brute = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(samples)
        distances = brute.kneighbors(queries)[0][:, k - 1 :]
    # Coinciding float32 samples would have an infinite density: no distance below their resolution counts.
    resolution = float(np.finfo(np.float32).eps) * (float(np.median(np.abs(samples))) or 1.0)
    result: Array = np.maximum(distances[:, 0], resolution)
    return result
