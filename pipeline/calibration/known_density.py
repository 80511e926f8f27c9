"""The study's own estimators on mixtures, which know the density p, in the form of the two-sample ones.

jensen_shannon on a fixed partition, KL both ways with the k-th neighbour density of q, as
pipeline/metrics/divergences.py has them. Tried on the ring of `pairs` alone.
"""

import torch
from torch import Tensor

from pipeline.calibration.pairs import RING
from pipeline.data.mixtures import ring
from pipeline.metrics import divergences
from pipeline.metrics.estimators.interface import Estimator


def known_density(real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """real (S, N, 2) from the ring, fake (S, N, 2) -> (S,) each. The generator is not used."""
    mixture = ring(RING)
    partition = divergences.Partition(mixture)
    rows = []
    for x, y in zip(real, fake, strict=True):
        log_p_reals, log_p_fakes = (mixture.log_density(one).numpy() for one in (x, y))
        reals, fakes = x.double().numpy(), y.double().numpy()
        rows.append(
            (
                divergences.samples_to_jsd(y, partition),
                divergences.kl_from_data(fakes, reals, log_p_reals),
                divergences.kl_to_data(fakes, log_p_fakes),
            )
        )
    values = torch.tensor(rows, dtype=torch.float64)
    return {"jensen_shannon": values[:, 0], "kl": values[:, 1], "reverse_kl": values[:, 2]}


KNOWN_DENSITY = Estimator(
    name="known_density",
    title="Against the known density",
    quantities=("jensen_shannon", "kl", "reverse_kl"),
    function=known_density,
    cost="O(N log N)",
    source="Wang, Kulkarni & Verdu 2009; the partition is the study's",
    largest_dimensions=2,
    smallest_samples=divergences.NEIGHBOURS + 2,
    settings={
        "neighbours": divergences.NEIGHBOURS,
        "rings": divergences.RINGS,
        "sectors": divergences.SECTORS,
    },
)
