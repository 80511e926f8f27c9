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


def counts_to_colliding_pairs(counts: Tensor) -> float:
    """Counts (K,) of samples per value -> pairs of samples with the same value."""
    exact = counts.double()
    return float((exact * (exact - 1)).sum()) / 2


def pairs_to_support(colliding: float, n: int) -> float:
    """`colliding` of the n (n - 1) / 2 pairs coincide -> effective support.

    Where none does the value is n (n - 1) / 2, as if one did: a finite lower estimate.
    """
    return n * (n - 1) / 2 / max(colliding, 1.0)


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
