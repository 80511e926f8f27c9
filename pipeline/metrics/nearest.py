"""The mode that a sample belongs to: the nearest one."""

from torch import Tensor

from pipeline.data.mixtures import Mixture


def nearest_modes(samples: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """samples (N, 2) -> index of the nearest mode (N,), distance to it in std (N,) float64."""
    # Differences, not the expanded square: |x - mu| is 1e-2 of |x|, and half of the digits would be lost.
    points, means = samples.double(), mixture.means
    squared = (points[:, :1] - means[:, 0]).square_().add_((points[:, 1:] - means[:, 1]).square_())
    nearest, mode = squared.min(1)
    return mode, nearest.sqrt() / mixture.std
