"""`critic_estimates`: what trained critics tell of known densities, and how an average over N samples errs.

Writes reports/results/calibration/density_ratio.csv (claims D5, W5) and sample_average.csv (claim D6).
"""

from pathlib import Path

from pipeline.calibration.density_ratio import DENSITY_RATIO_COLUMNS, SEEDS, UPDATES, density_ratio_rows
from pipeline.calibration.sample_average import SAMPLE_AVERAGE_COLUMNS, sample_average_rows
from pipeline.config import OBJECTIVES
from pipeline.objectives import load_objectives
from pipeline.plan import RESULTS, load_calibration
from pipeline.tables import write_csv

DIGITS = 5
AVERAGE_DIGITS = 9  # claim D6 reads differences of its numbers
FULL = 50  # repeats of the calibration from which on the critics train in full


def critic_estimates(root: Path) -> None:
    """Write both tables. Raises UserError for a fault in objectives.yaml and without a plan."""
    plan, objectives = load_calibration(root), load_objectives(root / OBJECTIVES)
    share = min(1.0, plan.repeats / FULL)
    seeds, updates = max(2, round(share * SEEDS)), max(20, round(share * UPDATES))
    folder = root / RESULTS / "calibration"
    rows = density_ratio_rows(objectives, seeds, updates)
    write_csv(rows, DENSITY_RATIO_COLUMNS, folder / "density_ratio.csv", DIGITS)
    averages = sample_average_rows(objectives, repeats=plan.repeats)
    write_csv(averages, SAMPLE_AVERAGE_COLUMNS, folder / "sample_average.csv", AVERAGE_DIGITS)
