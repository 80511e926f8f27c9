"""Fakes against real images in the space of features: FID, KID, precision, recall, density, coverage.

With R_k(x) the distance from x to its k-th nearest other sample of its own set, and B(x) the closed ball of
that radius:

    precision = share of fakes in some B(real), recall = share of reals in some B(fake)
        (Kynkaanniemi et al. 2019, k = 3)
    density = mean over fakes of (number of B(real) around the fake) / k, 1 on average for equal laws
    coverage = share of reals whose B(real) holds a fake                    (Naeem et al. 2020, k = 5)
    KID = unbiased squared MMD with the kernel (x.y / D + 1)^3             (Binkowski et al. 2018)

N fakes and M reals may differ. What depends on the reals alone is computed once, and every distance between
fakes and reals once for all four; torch-fidelity, which does neither, is what the tests compare with.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.metrics.frechet import (
    features_to_fid,
    features_to_fid_infinity,
    features_to_statistics,
)

MANIFOLD_NEIGHBOURS = 3  # of precision and recall
BALL_NEIGHBOURS = 5  # of density and coverage
ROWS = 250  # of a matrix of pairs held at a time: of 10,000 columns they stay in a CPU's cache
CHEAP = ("fid", "precision_k3", "recall_k3", "coverage_k5")
STEMS = (*CHEAP, "fid_infinity", "kid", "density_k5")


class Fidelity:
    """Judge of fakes against fixed real features (M, D), M over BALL_NEIGHBOURS.

    `at_most`: neighbours and kernels take the first so many fakes and reals only; FID takes all.
    Raises ValueError for too few reals.
    """

    def __init__(self, real: Tensor, at_most: int | None = None) -> None:
        if len(real) <= BALL_NEIGHBOURS:
            raise ValueError(f"at least {BALL_NEIGHBOURS + 1} real images are needed, not {len(real)}")
        self.statistics = features_to_statistics(real)
        self.at_most = at_most
        self.real = real[:at_most].double()
        self.manifold, self.balls = neighbour_distances(self.real, (MANIFOLD_NEIGHBOURS, BALL_NEIGHBOURS))
        self.kernel_mean = _kernel_mean_within(self.real)

    def measure(self, fakes: Tensor, stems: tuple[str, ...], generator: torch.Generator) -> dict[str, float]:
        """fakes (N, D), N over MANIFOLD_NEIGHBOURS -> value of each of `stems`, which are among STEMS.

        The generator draws fid_infinity's subsets. Raises ValueError for another D, for too few fakes and
        for features that are not finite.
        """
        if len(fakes) <= MANIFOLD_NEIGHBOURS:
            raise ValueError(f"at least {MANIFOLD_NEIGHBOURS + 1} fakes are needed, not {len(fakes)}")
        if not bool(fakes.isfinite().all()):
            raise ValueError("features of fakes must be finite")
        found: dict[str, float] = {}
        if "fid" in stems:
            found["fid"] = features_to_fid(fakes, self.statistics)
        if "fid_infinity" in stems:
            found["fid_infinity"] = features_to_fid_infinity(fakes, self.statistics, generator)
        near = fakes[: self.at_most].double()
        if "kid" in stems:
            found["kid"] = (
                self.kernel_mean + _kernel_mean_within(near) - 2 * _kernel_mean_between(near, self.real)
            )
        if {"precision_k3", "recall_k3", "density_k5", "coverage_k5"} & set(stems):
            found |= self._neighbours(near, "recall_k3" in stems)
        return {stem: found[stem] for stem in stems}

    def _neighbours(self, fakes: Tensor, with_recall: bool) -> dict[str, float]:
        radii = neighbour_distances(fakes, (MANIFOLD_NEIGHBOURS,))[0] if with_recall else None
        precise, inside = 0, 0
        covered = torch.zeros(len(self.real), dtype=torch.bool)
        recalled = torch.zeros(len(self.real), dtype=torch.bool)
        for rows in _blocks(len(fakes)):
            distances = torch.cdist(fakes[rows], self.real)
            precise += int((distances <= self.manifold).any(1).sum())
            in_ball = distances <= self.balls
            inside += int(in_ball.sum())
            covered |= in_ball.any(0)
            if radii is not None:
                recalled |= (distances <= radii[rows, None]).any(0)
        return {
            "precision_k3": precise / len(fakes),
            "recall_k3": float(recalled.double().mean()),
            "density_k5": inside / (BALL_NEIGHBOURS * len(fakes)),
            "coverage_k5": float(covered.double().mean()),
        }


def neighbour_distances(samples: Tensor, neighbours: tuple[int, ...]) -> list[Tensor]:
    """samples (N, D) -> for each k of `neighbours` the distance to the k-th nearest other sample (N,)."""
    # |x - y|^2 = |x|^2 + |y|^2 - 2 x.y loses the digits of a common offset.
    x, found = samples - samples.mean(0), []
    squares = x.square().sum(1)
    for rows in _blocks(len(x)):
        # Without |x|^2, which is the same for all others; the nearest is the sample itself.
        distances = torch.addmm(squares, x[rows], x.T, alpha=-2)
        nearest = distances.topk(max(neighbours) + 1, largest=False, sorted=True).values
        found.append((nearest[:, list(neighbours)] + squares[rows, None]).clamp(min=0).sqrt())
    return list(torch.cat(found).T)


def _kernel_mean_within(x: Tensor) -> float:
    """Mean of the kernel over the pairs of different rows of x (N, D)."""
    n, total = len(x), 0.0
    for rows in _blocks(n):
        # The kernel is symmetric: what lies right of the block on the diagonal counts twice.
        kernel = _kernel(x[rows], x[rows.start :])
        block = kernel[:, : len(kernel)]
        total += float(2 * kernel.sum() - block.sum() - block.diagonal().sum())
    return total / (n * (n - 1))


def _kernel_mean_between(x: Tensor, y: Tensor) -> float:
    return sum(float(_kernel(x[rows], y).sum()) for rows in _blocks(len(x))) / (len(x) * len(y))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    inner = (x @ y.T).div_(x.shape[1]).add_(1)
    return inner.square() * inner


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))
