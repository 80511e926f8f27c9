"""Which modes a generator reaches, in what shares, and how much it varies within them.

On a mixture a sample belongs to its nearest mode and is of high quality when nearer than 3 std, as in
Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN). A perfect sampler in the plane has the
high-quality fraction P(R < 3) = 1 - exp(-9/2) = 0.98889. "At least one sample" saturates, so the modes
that hold a tenth of their expected share are counted too. On images the mode is the classifier's label.

With counts c_k of N samples and expected shares p_k, q_k = c_k / N:

    overlap      sum_k min(q_k, p_k) = 1 - TV(q, p)                              1 at best
    reverse KL   sum_k q_k log(q_k / p_k)     of a perfect sampler about (K - 1) / (2 N)
    effective    N (N - 1) / sum_k c_k (c_k - 1), an estimate of 1 / sum_k q_k^2   (see `support`)
"""

import math

import torch
from torch import Tensor

from pipeline.data.mixtures import Mixture
from pipeline.metrics.divergences import kl_divergence
from pipeline.metrics.nearest import nearest_modes
from pipeline.metrics.support import counts_to_colliding_pairs, pairs_to_support

QUALITY_RADIUS = 3.0
SHARE = 0.1
HIGH_QUALITY_CEILING = 1 - math.exp(-(QUALITY_RADIUS**2) / 2)


def samples_to_coverage(
    samples: Tensor, mixture: Mixture, nearest: tuple[Tensor, Tensor] | None = None
) -> dict[str, float]:
    """samples (N, 2) -> the coverage metrics of the registry; nearest: their `nearest_modes`, if known.

    Every histogram but that of `modes_covered` and `modes_tenth_share` takes every sample at its nearest
    mode, not the high-quality ones only: so it is defined for every generator, has the same N and hence the
    same sampling floor, (K - 1) / (2 N) nats, and tells collapse from blur.
    """
    mode, radius = nearest or nearest_modes(samples, mixture)
    n = len(samples)
    good = radius < QUALITY_RADIUS
    good_counts = torch.bincount(mode[good], minlength=mixture.modes)
    counts = torch.bincount(mode, minlength=mixture.modes)
    return {
        "modes_covered": float((good_counts > 0).sum()),
        "modes_tenth_share": float((good_counts >= SHARE * n * mixture.weights).sum()),
        "modes_occupied": float(occupied(counts, mixture.weights).sum()),
        "high_quality": float(good.double().mean()),
        "mode_overlap": overlap(counts, mixture.weights),
        "reverse_kl_modes": kl_divergence(counts.double() / n, mixture.weights),
        "largest_mode_share": float(counts.max()) / n,
        "effective_modes": pairs_to_support(counts_to_colliding_pairs(counts), n),
        "mode_spread_ratio": samples_to_spread_ratio(samples, mode, mixture),
    }


def labels_to_coverage(labels: Tensor, frequencies: Tensor) -> dict[str, float]:
    """Class labels of fakes (N,) and the real class frequencies (classes,) -> the class metrics.

    A class may be a combination of labels, as the 1000 numbers of three stacked digits.
    """
    counts = torch.bincount(labels, minlength=len(frequencies))
    n = len(labels)
    return {
        "classes_captured": float((counts > 0).sum()),
        "classes_covered": float(occupied(counts, frequencies).sum()),
        "class_overlap": overlap(counts, frequencies),
        "reverse_kl_classes": kl_divergence(counts.double() / n, frequencies),
        "largest_class_share": float(counts.max()) / n,
        "effective_classes": pairs_to_support(counts_to_colliding_pairs(counts), n),
    }


def occupied(counts: Tensor, shares: Tensor) -> Tensor:
    """Counts (K,), expected shares (K,) -> which hold a tenth of their share, at least one; (K,) bool."""
    return (counts > 0) & (counts >= SHARE * counts.sum() * shares)


def overlap(counts: Tensor, shares: Tensor) -> float:
    """The part of both histograms that is common: sum_k min(c_k / N, p_k) = 1 - TV, in [0, 1]."""
    return float(torch.minimum(counts.double() / counts.sum(), shares).sum())


def samples_to_spread_ratio(samples: Tensor, mode: Tensor, mixture: Mixture) -> float:
    """samples (N, 2), their nearest modes (N,) -> spread within a mode over that of the data.

    Median over the occupied modes of sqrt(mean min(R, 3 std)^2 / 2) around the mode's own centre (the median
    of each coordinate), divided by its value for the mode itself, std sqrt(1 - exp(-9/2)). Distances are cut
    at 3 std so that few stray samples do not make up for a mode that has shrunk to a point. 0 for a point,
    1 for a perfect sampler, at most 2.13.
    """
    counts = torch.bincount(mode, minlength=mixture.modes)
    # One stable sort puts every mode's samples beside each other.
    points = samples.double()[mode.argsort(stable=True)].split(counts.tolist())
    limit, perfect = QUALITY_RADIUS * mixture.std, mixture.std * math.sqrt(HIGH_QUALITY_CEILING)
    spreads = []
    for index in occupied(counts, mixture.weights).nonzero()[:, 0].tolist():
        squared = (points[index] - points[index].median(0).values).square().sum(1)
        spreads.append(float(squared.clamp(max=limit**2).mean() / 2) ** 0.5)
    return float(torch.tensor(spreads, dtype=torch.float64).quantile(0.5)) / perfect


def class_spreads(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Features (N, D), labels (N,) -> sqrt(trace of the covariance within each class), (classes,) float64.

    Around the class's own mean, divided by n - 1; NaN for a class with fewer than two samples.
    """
    counts = torch.bincount(labels, minlength=classes).double()
    values = features.double()
    means = torch.zeros(classes, values.shape[1], dtype=torch.float64).index_add_(0, labels, values)
    means /= counts.clamp(min=1)[:, None]
    squares = (values - means[labels]).square().sum(1)
    total = torch.zeros(classes, dtype=torch.float64).index_add_(0, labels, squares)
    spread = (total / (counts - 1).clamp(min=1)).sqrt()
    return torch.where(counts > 1, spread, torch.nan)


def class_spread_ratio(features: Tensor, labels: Tensor, real: Tensor, frequencies: Tensor) -> float:
    """Fakes' features (N, D) and labels (N,) -> the spread within a class over that of real images.

    real (classes,): `class_spreads` of real images; frequencies (classes,): of their labels. Median over the
    classes that hold a tenth of their share and vary in the data; 0 where none of them has two samples, 1
    for a perfect sampler.
    """
    counts = torch.bincount(labels, minlength=len(frequencies))
    ratios = (class_spreads(features, labels, len(frequencies)) / real)[occupied(counts, frequencies)]
    ratios = ratios[ratios.isfinite()]
    return float(ratios.quantile(0.5)) if len(ratios) else 0.0
