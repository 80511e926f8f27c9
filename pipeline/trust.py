"""Which reported divergences can be trusted: the calibration's limits, as marks beside the numbers.

Of the estimators that know the density (`calibrate known_density_ring`, `known_density_grid`) and for the N
at hand: up to `critical` a single estimate is not told from zero (`zero`); below `least`, or above `largest`
where pairs are understated, it is as large as one of a pair that the calibration found misjudged (`wrong`);
and where none is, above `largest` it is larger than that of every pair that was tried (`untried`).
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pipeline.config import MixtureData, Setting
from pipeline.errors import UserError
from pipeline.metrics.registry import split_name
from pipeline.plan import RESULTS

Beyond = Literal["", "wrong", "untried"]
Mark = Literal["", "zero", "wrong", "untried", "uncalibrated"]
# Divergences and distances that are not calibrated: a reference says what they are at equal laws.
FLOORED = ("reverse_kl_modes", "reverse_kl_classes", "fid", "fid_infinity", "kid")
# Stem of a metric -> quantity of the estimators.
QUANTITY = {"jsd": "jensen_shannon", "kl_forward": "kl", "kl_reverse": "reverse_kl"}


@dataclass(frozen=True)
class Range:
    """What can be believed, on the scale of the estimates; `beyond`: what an estimate above `largest` is."""

    critical: float
    least: float
    largest: float
    beyond: Beyond

    def mark(self, value: float) -> Mark:
        """Of an estimate; NaN has none, and one above `critical` is wrong where no pair was seen there."""
        if math.isnan(value):
            return ""
        if value <= self.critical:
            return "zero"
        if not value >= self.least:
            return "wrong"
        return "" if value <= self.largest else self.beyond


def ranges(setting: Setting, root: Path) -> dict[str, Range]:
    """Stem -> range at the benchmark's N; {} of a benchmark whose law or N was not calibrated.

    Raises UserError when a table of the calibration is broken.
    """
    if not isinstance(setting.data, MixtureData):
        return {}
    name = f"known_density_{setting.data.kind}"
    folder = root / RESULTS / "calibration"
    try:
        tried = json.loads((folder / f"{name}.json").read_bytes())["settings"]
        with (folder / f"{name}_limits.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["n"]) == setting.evaluation_samples]
        law = setting.data.model_dump()
        if any(tried.get(key) != value for key, value in law.items()):
            return {}
        limits = {row["quantity"]: _range(row) for row in rows}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / name}: not what calibrate writes ({error}); run the stage calibrate@{name} again"
        ) from None
    return {stem: limits[quantity] for stem, quantity in QUANTITY.items() if quantity in limits}


def floor_ranges(references: Iterable[Mapping[str, Any]], benchmark: str) -> dict[str, Range]:
    """Full name -> range of the metrics of `benchmark` that have a floor instead of a calibration.

    `references` are rows of references.csv: up to the upper end of what a perfect sampler has, or real data
    against real data, a value is not told from theirs.
    """
    return {
        row["metric"]: Range(row["high"], row["high"], math.inf, "")
        for row in references
        if row["benchmark"] == benchmark and split_name(row["metric"]).stem in FLOORED
    }


def mark(stem: str, value: float, known: dict[str, Range]) -> Mark:
    """The mark of a metric's value; "" of a metric that is no estimate of a divergence."""
    if stem not in QUANTITY:
        return ""
    return known[stem].mark(value) if stem in known else "uncalibrated"


def _range(row: dict[str, str]) -> Range:
    beyond = row["beyond"]
    if beyond not in get_args(Beyond):
        raise ValueError(f"beyond: {beyond!r}")
    critical, least, largest = (_number(row[name]) for name in ("critical", "least", "largest"))
    return Range(critical, least, largest, cast("Beyond", beyond))


def _number(text: str) -> float:
    return float(text) if text else math.nan
