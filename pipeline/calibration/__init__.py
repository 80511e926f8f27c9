"""`calibrate NAME`: how far an estimator can be trusted.

NAME is one of `TRIALS`, tried on pairs of known laws (`pairs`, `trial`). Writes
reports/results/calibration/NAME.csv.gz, NAME_limits.csv and NAME.json, its protocol. The seconds of an
estimate are no result: they go to .work/calibration, and from there to the record of provenance.
"""

import gzip
from pathlib import Path
from typing import Any

from pipeline.backend import prepare_cpu
from pipeline.calibration.known_density import KNOWN_DENSITIES
from pipeline.calibration.pairs import Pair, pairs
from pipeline.calibration.trial import LIMIT_COLUMNS, TRIAL_COLUMNS, trial_to_limits, try_estimator
from pipeline.data.files import json_bytes, write_atomic
from pipeline.errors import unknown
from pipeline.metrics.estimators import ESTIMATORS
from pipeline.metrics.estimators.interface import QUANTITIES, Estimator
from pipeline.plan import RESULTS, WORK, load_calibration
from pipeline.tables import write_csv

FOLDER = "calibration"
DIGITS = 4
STACKED = ("critic_ratio",)  # train a stack of repeats at once
TRIALS: dict[str, Estimator] = {**ESTIMATORS, **KNOWN_DENSITIES}


def calibrate(name: str, root: Path) -> None:
    """Write the tables of an estimator. Raises UserError for an unknown name and without a plan."""
    if name not in TRIALS:
        raise unknown("estimator", name, TRIALS, "calibrate")
    plan, estimator = load_calibration(root), TRIALS[name]
    meant = pairs_for(estimator)
    if name in STACKED:
        prepare_cpu(64 * 64)  # products of the critics' layers are what takes the time
    rows, seconds = try_estimator(estimator, meant, plan.samples, plan.repeats, name in STACKED)
    folder = root / RESULTS / FOLDER
    _write_packed(rows, root / WORK / FOLDER / f"{name}.csv", folder / f"{name}.csv.gz")
    write_csv(trial_to_limits(rows, meant), LIMIT_COLUMNS, folder / f"{name}_limits.csv", DIGITS)
    write_atomic(folder / f"{name}.json", json_bytes(about(estimator)))
    write_atomic(root / WORK / FOLDER / f"{name}.json", json_bytes({str(n): s for n, s in seconds.items()}))


def _write_packed(rows: list[tuple[Any, ...]], plain: Path, path: Path) -> None:
    """The trials packed: in git they would be half a megabyte. Equal rows give equal bytes."""
    write_csv(rows, TRIAL_COLUMNS, plain, DIGITS)
    write_atomic(path, gzip.compress(plain.read_bytes(), mtime=0))


def about(estimator: Estimator) -> dict[str, Any]:
    """What the paper says of an estimator: its protocol, and of each quantity what it is."""
    protocol = {
        name: getattr(estimator, name)
        for name in ("title", "cost", "source", "largest_dimensions", "largest_samples", "smallest_samples")
    }
    quantities = [{"name": name, **vars(QUANTITIES[name])} for name in estimator.quantities]
    return {**protocol, "settings": dict(estimator.settings), "quantities": quantities}


def pairs_for(estimator: Estimator) -> list[Pair]:
    """The pairs that an estimator is meant for; of one that needs a known density, those of that density.

    The grid is for the latter alone: to others it is one more ring.
    """
    if estimator.name in KNOWN_DENSITIES:
        return [pair for pair in pairs() if estimator.name.endswith(f"_{pair.family}")]
    most = estimator.largest_dimensions
    return [pair for pair in pairs() if pair.family != "grid" and (most is None or pair.dimensions <= most)]
