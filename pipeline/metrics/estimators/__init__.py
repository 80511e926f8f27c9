"""Estimators of divergences between two samples, by name."""

from pipeline.metrics.estimators.critic_ratio import CRITIC_RATIO
from pipeline.metrics.estimators.interface import QUANTITIES, Estimator, Quantity
from pipeline.metrics.estimators.logistic_ratio import LOGISTIC_RATIO

ESTIMATORS: dict[str, Estimator] = {one.name: one for one in (CRITIC_RATIO, LOGISTIC_RATIO)}

__all__ = ["ESTIMATORS", "QUANTITIES", "Estimator", "Quantity"]
