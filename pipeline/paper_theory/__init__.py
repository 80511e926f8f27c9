"""What the paper's chapter on the theory laboratory prints, part by part, as plain JSON values."""

from typing import Any

from pipeline.figures.tables import Results
from pipeline.paper_theory import fits, function_space, games, gradients


def collect_theory(results: Results) -> dict[str, Any]:
    """{function_space, gradients, games, fits}: see the module of each."""
    return {
        "function_space": function_space.collect(results),
        "gradients": gradients.collect(results),
        "games": games.collect(results),
        "fits": fits.collect(results),
    }
