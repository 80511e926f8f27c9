"""The study's own estimators on mixtures, which know the density p, in the form of the two-sample ones.

jensen_shannon on a fixed partition, KL both ways with the k-th neighbour density of q, as
pipeline/metrics/divergences.py has them.
"""

import torch
from torch import Tensor

from pipeline.calibration.pairs import DATA, MIXTURES
from pipeline.data.mixtures import Mixture
from pipeline.metrics import divergences
from pipeline.metrics.estimators.interface import Estimator


def known_density(family: str) -> Estimator:
    """The estimator that knows the law p of this family of pairs, real (S, N, 2) being drawn from it."""
    mixture = MIXTURES[family]
    partition = divergences.Partition(mixture)

    def function(real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        rows = [_measured(mixture, partition, x, y) for x, y in zip(real, fake, strict=True)]
        values = torch.tensor(rows, dtype=torch.float64)
        return {"jensen_shannon": values[:, 0], "kl": values[:, 1], "reverse_kl": values[:, 2]}

    return Estimator(
        name=f"known_density_{family}",
        title=f"Against the known density, {family}",
        quantities=("jensen_shannon", "kl", "reverse_kl"),
        function=function,
        cost="O(N log N)",
        source="Wang, Kulkarni & Verdu 2009; the partition is the study's",
        largest_dimensions=2,
        smallest_samples=divergences.NEIGHBOURS + 2,
        settings={
            **DATA[family].model_dump(),
            "neighbours": divergences.NEIGHBOURS,
            "rings": divergences.RINGS,
            "sectors": divergences.SECTORS,
        },
    )


def _measured(
    mixture: Mixture, partition: divergences.Partition, real: Tensor, fake: Tensor
) -> tuple[float, float, float]:
    log_p_reals, log_p_fakes = (mixture.log_density(one).numpy() for one in (real, fake))
    reals, fakes = real.double().numpy(), fake.double().numpy()
    return (
        divergences.samples_to_jsd(fake, partition),
        divergences.kl_from_data(fakes, reals, log_p_reals),
        divergences.kl_to_data(fakes, log_p_fakes),
    )


KNOWN_DENSITIES = {one.name: one for one in map(known_density, MIXTURES)}
