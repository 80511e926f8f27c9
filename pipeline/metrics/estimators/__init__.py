"""Estimators of divergences between two samples, by name."""

from pipeline.metrics.estimators.critic_ratio import CRITIC_RATIO
from pipeline.metrics.estimators.histogram import HISTOGRAM
from pipeline.metrics.estimators.interface import QUANTITIES, Estimator, Quantity
from pipeline.metrics.estimators.kernel import KERNEL
from pipeline.metrics.estimators.logistic_ratio import LOGISTIC_RATIO
from pipeline.metrics.estimators.nearest_neighbours import NEAREST_NEIGHBOURS
from pipeline.metrics.estimators.optimal_transport import OPTIMAL_TRANSPORT
from pipeline.metrics.estimators.sliced import SLICED

ESTIMATORS: dict[str, Estimator] = {
    one.name: one
    for one in (
        *(HISTOGRAM, NEAREST_NEIGHBOURS, KERNEL, SLICED, OPTIMAL_TRANSPORT),
        *(CRITIC_RATIO, LOGISTIC_RATIO),
    )
}

__all__ = ["ESTIMATORS", "QUANTITIES", "Estimator", "Quantity"]
