"""FID: the Fréchet distance of the normals fitted to two sets of features (Heusel et al. 2017).

    FID = |m_1 - m_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1 C_2)^(1/2)

C_1 C_2 is not symmetric, and a matrix root of it is unstable where it is singular, which it is for constant
pixels and for fewer samples than dimensions. With C_1 = F F^T its eigenvalues are those of the symmetric
F^T C_2 F, at least 0, and the trace of the root is the sum of their roots. Everything is float64: a root
halves the digits near 0.

The fitted covariances make FID too large by about b / N. Chong and Forsyth 2020 (Effectively unbiased FID)
take it at several N, fit a line in 1/N, and report its value at 1/N = 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SIZES = 8  # numbers of samples to which FID's line is fitted, from N / SMALLEST to N
SMALLEST = 5


@dataclass(frozen=True, eq=False)
class Statistics:
    """What FID knows of N samples: mean (D,), covariance (D, D), factor F (D, rank), covariance = F F^T."""

    mean: Tensor
    covariance: Tensor
    factor: Tensor


def features_to_statistics(features: Tensor) -> Statistics:
    """features (N, D) -> their statistics in float64, the covariance divided by N - 1.

    Raises ValueError for fewer than two samples and for features that are not finite.
    """
    mean, covariance = _moments(features)
    values, vectors = torch.linalg.eigh(covariance)
    # As in numpy's matrix_rank: below this an eigenvalue is rounding.
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    return Statistics(mean, covariance, vectors[:, kept] * values[kept].sqrt())


def features_to_fid(fakes: Tensor, real: Statistics) -> float:
    """fakes (N, D) against the statistics of real features: the Fréchet distance, in squared feature units.

    Raises ValueError as features_to_statistics, and for another D.
    """
    mean, covariance = _moments(fakes)
    if mean.shape != real.mean.shape:
        raise ValueError(f"fakes have {len(mean)} features, the real images {len(real.mean)}")
    inner = real.factor.T @ covariance @ real.factor
    eigenvalues = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0)
    apart = (mean - real.mean).square().sum()
    traces = covariance.diagonal().sum() + real.covariance.diagonal().sum()
    return float(apart + traces - 2 * eigenvalues.sqrt().sum())


def features_to_fid_infinity(fakes: Tensor, real: Statistics, generator: torch.Generator) -> float:
    """FID extrapolated to infinitely many fakes; may fall a little below 0 where FID is 0.

    fakes (N, D), N at least 2 SMALLEST: FID of SIZES random subsets of N' fakes, N' from N / SMALLEST to N;
    the intercept of the least-squares line in 1/N'. The real statistics keep their own bias.
    """
    n = len(fakes)
    if n < 2 * SMALLEST:
        raise ValueError(f"FID cannot be extrapolated from {n} fakes: at least {2 * SMALLEST}")
    sizes = torch.linspace(n / SMALLEST, n, SIZES).round().long().tolist()
    found = []
    for size in sizes:
        chosen = torch.randperm(n, generator=generator)[:size]
        found.append(features_to_fid(fakes[chosen], real))
    inverse, values = 1 / torch.tensor(sizes, dtype=torch.float64), torch.tensor(found, dtype=torch.float64)
    away = inverse - inverse.mean()
    slope = (away * values).sum() / away.square().sum()
    return float(values.mean() - slope * inverse.mean())


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (N, D) with N at least 2, not {tuple(features.shape)}")
    if not bool(features.isfinite().all()):
        raise ValueError("a feature is not finite")
    features = features.double()
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)
