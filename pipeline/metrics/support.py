"""The birthday paradox: how many different samples a generator has, from how often two of them coincide.

Two independent samples coincide with probability c = sum_i q_i^2 for a discrete law q, and 1 / c is its
effective support: the K of the uniform law with as many coincidences, at most the number of values (Arora,
Risteski and Zhang 2018 ask at which batch size s half of the batches hold a pair: s^2 is about 1 / c). Here c
is estimated from all pairs of N samples, which takes no repeated batches: with d_i the number of samples that
coincide with sample i,

    C = sum_i d_i / 2 pairs,   c = 2 C / (N (N - 1)),   unbiased for c;   support = 1 / c.

Continuous samples coincide when nearer than a stated radius. Of a mixture of modes far apart, in the plane, a
perfect sampler has c = sum_k w_k^2 (1 - exp(-radius^2 / (4 std^2))): the difference of two samples of a mode
has the variance 2 std^2 in each coordinate.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.data.mixtures import Mixture

Array = npt.NDArray[np.float64]

ROWS = 250  # of a matrix of pairs held at a time
RADIUS = 0.1  # std of a mode, within which two points of the plane count as the same
QUANTILE = 1e-3  # of the distances between real images: below it two images count as the same
NORMAL_975 = 1.959963984540054
POISSON_975 = -math.log(0.025)  # upper 97.5 % bound of a Poisson mean of which 0 was seen


class Support(NamedTuple):
    """Point and 95 % interval; `high` is infinite where no two samples coincide."""

    point: float
    low: float
    high: float


def counts_to_colliding_pairs(counts: Tensor) -> float:
    """Counts (K,) of samples per value -> pairs of samples with the same value."""
    exact = counts.double()
    return float((exact * (exact - 1)).sum()) / 2


def pairs_to_support(colliding: float, n: int) -> float:
    """`colliding` of the n (n - 1) / 2 pairs coincide -> effective support.

    Where none does the value is n (n - 1) / 2, as if one did: a finite lower estimate.
    """
    return n * (n - 1) / 2 / max(colliding, 1.0)


def degrees_to_support(degrees: Array) -> Support:
    """d_i (N,), with how many others each sample coincides -> effective support with its 95 % interval.

    Normal on the log scale. The jackknife variance of the pairs' mean counts the part that pairs have of
    their own twice (Efron and Stein 1981): 2 c (1 - c) / N^2 of it is taken off again, and what is left is
    at least the variance of independent pairs. Without a coincidence the lower end is the exact Poisson one.
    """
    n = len(degrees)
    pairs, colliding = n * (n - 1) / 2, float(degrees.sum()) / 2
    point = pairs_to_support(colliding, n)
    if colliding == 0:
        return Support(point, pairs / POISSON_975, math.inf)
    rate = colliding / pairs
    left_out = (colliding - degrees) / ((n - 1) * (n - 2) / 2)
    jackknife = (n - 1) / n * float(np.square(left_out - left_out.mean()).sum())
    independent = rate * (1 - rate) / pairs
    error = math.sqrt(max(jackknife - 2 * rate * (1 - rate) / n**2, independent)) / rate
    return Support(point, point * math.exp(-NORMAL_975 * error), point * math.exp(NORMAL_975 * error))


def counts_to_degrees(counts: Tensor) -> Array:
    """Counts (K,) -> d_i (N,) of the samples, those of the first value first."""
    whole = counts.long()
    degrees: Array = (whole - 1).repeat_interleave(whole).double().numpy()
    return degrees


def samples_to_degrees(samples: Array, radius: float) -> Array:
    """samples (N, D) -> how many others lie within `radius` of each, (N,)."""
    found = cKDTree(samples).query_ball_point(samples, radius, return_length=True)
    degrees: Array = np.asarray(found, dtype=np.float64) - 1
    return degrees


def samples_to_support(samples: Array, radius: float) -> float:
    """samples (N, D) -> effective support: samples coincide within `radius`.

    For D of 1 to 3; in many dimensions `images_to_support`.
    """
    tree = cKDTree(samples)
    # Of ordered pairs, every sample with itself among them.
    ordered = int(tree.count_neighbors(tree, radius))
    return pairs_to_support((ordered - len(samples)) / 2, len(samples))


def perfect_support(mixture: Mixture) -> float:
    """`samples_to_support` of the mixture itself at RADIUS std."""
    within = -math.expm1(-(RADIUS**2) / 4)
    return 1 / (float(mixture.weights.square().sum()) * within)


def duplicate_radius(reals: Tensor) -> float:
    """uint8 images (M, D) -> the QUANTILE of the Euclidean distances between two of them, in grey levels.

    So the effective support of the images themselves is 1 / QUANTILE, and that of fakes is read beside it.
    """
    distances = torch.pdist(reals.double())
    return float(np.quantile(distances.numpy(), QUANTILE))


def images_to_support(images: Tensor, radius: float) -> float:
    """uint8 images (N, D) -> effective support: two coincide when their distance is at most `radius`."""
    # Squared distances of bytes are integers, exact in float32 up to 2^24: 258 pixels.
    exact = images.shape[1] * 255**2 < 2**24
    x = images.to(torch.float32 if exact else torch.float64)
    squares, colliding = x.square().sum(1), 0
    for start in range(0, len(x), ROWS):
        rows = slice(start, min(start + ROWS, len(x)))
        distances = torch.addmm(squares[start:], x[rows], x[start:].T, alpha=-2) + squares[rows, None]
        near = distances <= radius**2
        block = near[:, : rows.stop - start]
        # Of the block on the diagonal every pair is there twice, and each image with itself.
        colliding += int(near.sum()) - (int(block.sum()) + rows.stop - start) // 2
    return pairs_to_support(float(colliding), len(x))
