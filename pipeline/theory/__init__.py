"""Exact results, without a trained network: what the trained runs are read against.

`run` writes reports/results/theory/*.csv. Each table is documented at the function that makes it:

| file | made by | claims |
|---|---|---|
| distance.csv, uniforms.csv, distance_summary.csv | `distance` | V1, V2 |
| generator_gradient.csv | `optimal_critic` | V3a |
| function_space.csv | `function_space` | D3 (and D1, D2) |

Both normals have standard deviation 1, so a distance counts standard deviations.
"""

from pathlib import Path

from pipeline.objectives import load_objectives
from pipeline.theory import distance, function_space, optimal_critic
from pipeline.theory.tables import write_table


def run(root: Path) -> list[Path]:
    """Write every table; byte-identical from run to run. Raises UserError for a faulty objectives.yaml."""
    objectives = load_objectives(root / "objectives.yaml")
    return [
        write_table(root, "distance", distance.normals_table()),
        write_table(root, "uniforms", distance.uniforms_table()),
        write_table(root, "distance_summary", distance.summary_table()),
        write_table(root, "function_space", function_space.function_space_table()),
        write_table(root, "generator_gradient", optimal_critic.gradient_table(objectives)),
    ]
