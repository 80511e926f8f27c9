"""Estimators of divergences between two samples, by name."""

from pipeline.metrics.estimators.interface import QUANTITIES, Estimator, Quantity

ESTIMATORS: dict[str, Estimator] = {one.name: one for one in ()}

__all__ = ["ESTIMATORS", "QUANTITIES", "Estimator", "Quantity"]
