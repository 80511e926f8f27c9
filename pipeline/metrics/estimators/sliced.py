"""Sliced Wasserstein distances: exact transport on the line, averaged over directions.

    sliced_wasserstein_1 = E_u W1(u.x, u.y)        sliced_wasserstein_2 = (E_u W2(u.x, u.y)^2)^(1/2)

(Bonneel, Rabin, Peyre & Pfister 2015), u uniform on the sphere. On the line the cost of the best coupling is
int_0^1 |F^-1(t) - G^-1(t)|^a dt, exact for empirical laws by sorting. The directions are not independent,
which lessens their scatter and leaves the mean over them unbiased: in the plane they are evenly spaced from a
random start, above they come in random orthonormal frames (Rowland et al. 2019). Over a whole frame the mean
of (u.v)^2 is |v|^2/D exactly. Every seed has the same directions: in 16 dimensions they shift the W1 of all
seeds together by 1 to 3 %. Both distances are at least 0, so that for p = q they are biased upwards, about
like N**(-1/2).

Seconds per seed at N = M = 20,000 on one core: 0.1 in 2 dimensions, 0.2 in 64.
"""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.metrics.estimators.interface import Estimator

PROJECTIONS = 128


def directions(dimensions: int, generator: torch.Generator) -> Tensor:
    """(PROJECTIONS, D) unit vectors, float64, on the CPU; on the line the one there is, (1, 1)."""
    double, device = torch.float64, generator.device
    if dimensions == 1:
        return torch.ones(1, 1, dtype=double)
    if dimensions == 2:
        # Half a turn: u and -u give the same transport.
        start = torch.rand(1, generator=generator, device=device, dtype=double).cpu()
        angles = (torch.arange(PROJECTIONS, dtype=double) + start) * (math.pi / PROJECTIONS)
        return torch.stack([angles.cos(), angles.sin()], dim=1)
    frames = math.ceil(PROJECTIONS / dimensions)
    size = (frames, dimensions, dimensions)
    normal = torch.randn(size, generator=generator, device=device, dtype=double).cpu()
    orthonormal: Tensor = torch.linalg.qr(normal).Q
    return orthonormal.mT.reshape(-1, dimensions)[:PROJECTIONS]


def sorted_to_costs(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted rows x (P, N), y (P, M) -> W1 and W2^2 of each row's empirical laws, (P,) each."""
    n, m = x.shape[1], y.shape[1]
    if n != m:
        # Both quantile functions are constant between the multiples of 1/N and 1/M: in units of 1/(N M).
        steps = torch.cat([torch.arange(n) * m, torch.arange(m) * n]).unique()
        widths = torch.diff(steps, append=torch.tensor([n * m])).double() / (n * m)
        apart = x[:, steps // m] - y[:, steps // n]
        return apart.abs() @ widths, apart.square() @ widths
    apart = x - y
    return apart.abs().mean(1), apart.square().mean(1)


def sliced(real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """real (S, N, D), fake (S, M, D) -> (S,) each."""
    along = directions(real.shape[2], generator)
    first, second = [], []
    for x, y in zip(real.cpu(), fake.cpu(), strict=True):
        # numpy sorts 20 times as fast as torch on one core.
        ranked = [torch.from_numpy(np.sort((along @ one.double().T).numpy())) for one in (x, y)]
        w1, w2_squared = sorted_to_costs(*ranked)
        first.append(w1.mean())
        second.append(w2_squared.mean().sqrt())
    return {"sliced_wasserstein_1": torch.stack(first), "sliced_wasserstein_2": torch.stack(second)}


SLICED = Estimator(
    name="sliced",
    title=f"Sliced Wasserstein, {PROJECTIONS} projections",
    quantities=("sliced_wasserstein_1", "sliced_wasserstein_2"),
    function=sliced,
    cost="O(P N (D + log N)), P projections",
    source="Bonneel, Rabin, Peyre & Pfister 2015, Sliced and Radon Wasserstein barycenters of measures; "
    "Rowland et al. 2019, Orthogonal estimation of Wasserstein distances",
    settings={"projections": PROJECTIONS},
)
