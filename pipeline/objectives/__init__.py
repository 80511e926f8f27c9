"""GAN objectives from their formulas: derived, checked, and lowered to torch."""

from pipeline.objectives.catalogue import (
    load_objective,
    load_objectives,
    objective_from_spec,
    with_parameters,
)
from pipeline.objectives.constructions import CONSTRUCTIONS
from pipeline.objectives.objective import Objective

__all__ = [
    "CONSTRUCTIONS",
    "Objective",
    "load_objective",
    "load_objectives",
    "objective_from_spec",
    "with_parameters",
]
