"""FID, KID, precision and recall by torch-fidelity, on features computed once.

torch-fidelity's functions from features to numbers are called directly: its input pipeline would run the
extractor again for every metric, start worker processes for 599 small images, and key its cache by a name
instead of the content. A test compares with its whole pipeline.

Protocol: N fakes against N held-out images, float64 features; KID with the cubic kernel (x.y / D + 1)^3 on
one subset of all N samples (the subsets' order is the only randomness, and the estimate does not depend on
it); precision and recall with 3 neighbours (Kynkaanniemi et al. 2019).
"""

from functools import cached_property
from typing import Any

from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

NEIGHBOURS = 3


class Fidelity:
    """Judge of fakes against fixed real features (N, D) float64."""

    def __init__(self, real: Tensor) -> None:
        self.real = real

    @cached_property
    def _statistics(self) -> Any:
        return fid_features_to_statistics(self.real)

    def measure(self, fake: Tensor) -> dict[str, float]:
        """Fake features (N, D) float64 -> fid, kid, precision, recall; ValueError for another N or D."""
        if fake.shape != self.real.shape:
            raise ValueError(f"fakes and real images differ: {tuple(fake.shape)}, {tuple(self.real.shape)}")
        options = {
            "verbose": False,
            "rng_seed": 0,
            "kid_subsets": 1,
            "kid_subset_size": len(fake),
            "prc_neighborhood": NEIGHBOURS,
        }
        fid = fid_statistics_to_metric(fid_features_to_statistics(fake), self._statistics, False)
        kid = kid_features_to_metric(fake, self.real, **options)
        prc = prc_features_to_metric(fake, self.real, **options)
        return {
            "fid": fid[KEY_METRIC_FID],
            "kid": kid[KEY_METRIC_KID_MEAN],
            "precision_k3": prc[KEY_METRIC_PRECISION],
            "recall_k3": prc[KEY_METRIC_RECALL],
        }
