"""Which modes a generator reaches, and in what shares.

On a mixture a sample belongs to its nearest mode and is of high quality when nearer than 3 std, as in
Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN). A perfect sampler in the plane has the
high-quality fraction P(R < 3) = 1 - exp(-9/2) = 0.98889. "At least one sample" saturates, so the modes
that hold a tenth of their expected share are counted too.
"""

import math

import torch
from torch import Tensor

from pipeline.data.mixtures import Mixture
from pipeline.metrics.divergences import kl_divergence
from pipeline.metrics.nearest import nearest_modes

QUALITY_RADIUS = 3.0
SHARE = 0.1
HIGH_QUALITY_CEILING = 1 - math.exp(-(QUALITY_RADIUS**2) / 2)


def samples_to_coverage(samples: Tensor, mixture: Mixture) -> dict[str, float]:
    """samples (N, 2) -> the coverage metrics of the registry.

    The histogram for `modes_occupied`, `reverse_kl_modes` and `largest_mode_share` takes every sample at its
    nearest mode, not the high-quality ones only: so it is defined for every generator, has the same N and
    hence the same sampling floor, (K - 1) / (2 N) nats, and tells collapse from blur.
    """
    mode, radius = nearest_modes(samples, mixture)
    n = len(samples)
    good = radius < QUALITY_RADIUS
    good_counts = torch.bincount(mode[good], minlength=mixture.modes)
    shares = torch.bincount(mode, minlength=mixture.modes).double() / n
    return {
        "modes_covered": float((good_counts > 0).sum()),
        "modes_tenth_share": float((good_counts >= SHARE * n * mixture.weights).sum()),
        "modes_occupied": float((shares >= SHARE * mixture.weights).sum()),
        "high_quality": float(good.double().mean()),
        "reverse_kl_modes": kl_divergence(shares, mixture.weights),
        "largest_mode_share": float(shares.max()),
    }


def labels_to_coverage(labels: Tensor, frequencies: Tensor) -> dict[str, float]:
    """Class labels of fakes (N,) and the real class frequencies (classes,) -> the class metrics."""
    counts = torch.bincount(labels, minlength=len(frequencies)).double()
    return {
        "classes_covered": float((counts >= SHARE * len(labels) * frequencies).sum()),
        "reverse_kl_classes": kl_divergence(counts / len(labels), frequencies),
    }
