"""reports/results as typed tables: the only input of the figures."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UserError

RESULTS = "reports/results"
FOLDER = "reports/figures"
CALIBRATION = "calibration"  # below the results
# Every run has rows in these, whatever became of its seeds; in the others a run whose seeds diverged may not.
WHOLE = ("metrics.csv", "summary.csv")


# The families that figures and tables are grouped by: construction -> family; the others are one family.
FAMILY_OF = {"likelihood_ratio": "likelihood_ratio", "f_divergence": "f_divergence"}
FAMILIES = {
    "likelihood_ratio": "Likelihood ratio",
    "f_divergence": "f-divergence",
    "other": "Other constructions",
}


# Feature networks beside the data set's own classifier, for the titles of metrics read off them.
BACKBONES = {
    "inception_v3": "InceptionV3",
    "dinov2_vit_s_14": "DINOv2 ViT-S/14",
    "dinov2_vit_b_14": "DINOv2 ViT-B/14",
    "dinov2_vit_l_14": "DINOv2 ViT-L/14",
}


@dataclass(frozen=True)
class Variant:
    """A variant of the study: its name in files, its title in print, the objective it trains, its family."""

    name: str
    title: str
    objective: str
    family: str


@dataclass(frozen=True)
class Metric:
    """A metric of the study: full name, its parts (as in metrics/registry.py), and what the registry says."""

    name: str
    stem: str
    n: int
    split: str | None
    backbone: str | None
    title: str
    unit: str
    higher_is_better: bool | None
    description: str
    through_training: bool = False


@dataclass(frozen=True)
class Results:
    """The tables of one folder reports/results, read when first asked for.

    Raises UserError when a file is missing or lacks a column.
    """

    folder: Path

    @cached_property
    def study(self) -> dict[str, Any]:
        """study.json: the resolved study."""
        study: dict[str, Any] = self._read("study.json", lambda path: json.loads(path.read_text("utf-8")))
        return study

    @cached_property
    def benchmarks(self) -> dict[str, str]:
        """Name -> title of the benchmarks on which every variant trains, in the study's order."""
        return {name: self.study["benchmarks"][name]["title"] for name in self.study["of_every_variant"]}

    @cached_property
    def more_modes(self) -> dict[str, str]:
        """Name -> title of the other benchmarks, on which a few variants train, in the study's order."""
        # The order of `runs`: the keys of JSON objects are sorted.
        names = dict.fromkeys(benchmark for benchmark, _ in self.study["runs"])
        return {
            name: self.study["benchmarks"][name]["title"] for name in names if name not in self.benchmarks
        }

    def title(self, benchmark: str) -> str:
        """Of any benchmark of the study."""
        return str(self.study["benchmarks"][benchmark]["title"])

    def trained_on(self, benchmark: str) -> list[Variant]:
        """The variants that trained on a benchmark, by family."""
        names = {variant for place, variant in self.study["runs"] if place == benchmark}
        return [variant for variant in self.variants.values() if variant.name in names]

    @cached_property
    def variants(self) -> dict[str, Variant]:
        """The variants by family, within one in the study's order."""
        found = []
        for name in dict.fromkeys(variant for _, variant in self.study["runs"]):
            objective = self.study["trains"][name]
            title = self.study["variants"][name]["title"]
            found.append(Variant(name, title, objective, self.family(objective)))
        return {variant.name: variant for variant in sorted(found, key=_place)}

    @cached_property
    def objectives(self) -> dict[str, dict[str, Any]]:
        """The derivations of the objectives that the study trains, by family."""
        names = dict.fromkeys(variant.objective for variant in self.variants.values())
        return {name: self.study["objectives"][name] for name in names}

    def objective_titles(self, names: Iterable[str]) -> list[str]:
        """Titles, each once; of an objective that the study has not, its name in words.

        Exact tables hold the whole catalogue, whatever the study trains.
        """
        known = self.study["objectives"]
        return [
            str(known[name]["title"]) if name in known else name.replace("_", " ")
            for name in dict.fromkeys(names)
        ]

    def family(self, objective: str) -> str:
        """A key of FAMILIES."""
        return FAMILY_OF.get(self.study["objectives"][objective]["construction"], "other")

    @cached_property
    def families(self) -> dict[str, list[Variant]]:
        """Family -> its variants; only families that have some."""
        groups: dict[str, list[Variant]] = {}
        for variant in self.variants.values():
            groups.setdefault(variant.family, []).append(variant)
        return groups

    def data(self, benchmark: str) -> dict[str, Any]:
        """The benchmark's data settings, with `kind`."""
        settings: dict[str, Any] = self.study["benchmarks"][benchmark]["data"]
        return settings

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """benchmark, variant, seed, step, metric, value, at the final step."""
        return self._table("metrics.csv", "benchmark variant seed step metric value")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per benchmark, variant and metric, at the final step."""
        columns = "benchmark variant metric point low high seeds diverged collapse_rate mark"
        return self._table("summary.csv", columns)

    @cached_property
    def progress(self) -> pd.DataFrame:
        """Intervals over seeds at every checkpoint: benchmark, variant, metric, step, point, low, high."""
        wide = self._table("progress.csv", "benchmark variant step")
        keys = ["benchmark", "variant", "step"]
        parts = [
            wide[[*keys, name, f"{name}_low", f"{name}_high"]]
            .set_axis([*keys, "point", "low", "high"], axis=1)
            .assign(metric=name)
            for name in wide.columns
            if f"{name}_low" in wide.columns
        ]
        if not parts:
            return pd.DataFrame(columns=[*keys, "metric", "point", "low", "high"])
        # A benchmark has nothing in the columns of another's metrics.
        return pd.concat(parts, ignore_index=True).dropna(subset="point")

    @cached_property
    def history(self) -> pd.DataFrame:
        """Median and quartiles (_q25, _q75) over seeds of what training logged, one column each."""
        return self._table("history.csv", "benchmark variant step seeds")

    @cached_property
    def slopes(self) -> pd.DataFrame:
        """s(r) of every objective that has one: what the generator feels where q/p is r."""
        return self._table("slopes.csv", "objective log10_r slope")

    @cached_property
    def gradients(self) -> pd.DataFrame:
        """The exact gradient of two normals against their distance, of the objectives that are trained.

        `share` is the gradient over the largest one up to that distance: 1 while it still grows.
        """
        table = self.theory("generator_gradient", "objective distance gradient_abs")
        table = table[table.objective.isin(self.objectives)].sort_values(["objective", "distance"])
        top = table.groupby("objective")["gradient_abs"].cummax()
        return table.assign(share=table.gradient_abs / top)

    def gradient_shares(self, distance: float) -> dict[str, float]:
        """Objective -> share of its exact gradient left at this distance; only those that have one."""
        rows = self.gradients[(self.gradients.distance - distance).abs() < 1e-9].dropna(subset="share")
        return dict(zip(rows.objective, rows.share, strict=True))

    def never_felt(self) -> set[str]:
        """Objectives whose exact gradient is 0 at every distance: their best critic is a step."""
        largest = self.gradients.groupby("objective").gradient_abs.max()
        return set(largest.index[largest == 0])

    @cached_property
    def fresh_critics(self) -> pd.DataFrame:
        """Every seed's decay at every saved generator."""
        return self._table(
            "fresh_critics.csv", "benchmark generator_updates variant seed decay_decades accuracy"
        )

    @cached_property
    def fresh_critics_course(self) -> pd.DataFrame:
        """Median and quartiles over seeds of the norm of the generator's gradient."""
        columns = "gradient_norm gradient_norm_low gradient_norm_high relative_deviation"
        return self._table(
            "fresh_critics_course.csv", f"benchmark generator_updates variant critic_updates {columns}"
        )

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Each variant against the non-saturating one: probability of improvement, p by Holm."""
        return self._table("comparisons.csv", "benchmark metric variant probability low high p p_holm seeds")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Interquartile mean of each variant's scores over all benchmarks, seeds and metrics of interest."""
        return self._table("scores.csv", "variant point low high benchmarks scores")

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """The share of each variant's scores that are at least `score`."""
        return self._table("profiles.csv", "variant score share low high")

    @cached_property
    def variance(self) -> pd.DataFrame:
        """Training and evaluation variance of each run's metrics."""
        components = "training_variance evaluation_variance training_share low high"
        return self._table("variance.csv", f"benchmark variant metric seeds resamples {components}")

    @cached_property
    def references(self) -> pd.DataFrame:
        """Floors, ceilings, other values of a perfect sampler, and real against real."""
        return self._table("references.csv", "benchmark metric kind value low high")

    @cached_property
    def calibration_trials(self) -> pd.DataFrame:
        """What every estimator said of every pair, against the truth."""
        return self._calibration(".csv.gz", "quantity pair n repeats truth mean spread")

    @cached_property
    def calibration_limits(self) -> pd.DataFrame:
        """Floor, critical value and what can be believed: by estimator, quantity, family and n."""
        return self._calibration(
            "_limits.csv",
            "quantity family n repeats floor critical smallest smallest_distance least largest beyond",
        )

    @cached_property
    def density_ratios(self) -> pd.DataFrame:
        """What every trained critic says of each pair of known densities, by seed."""
        exact = "kl reverse_kl jensen_shannon squared_hellinger total_variation"
        columns = f"{exact} {' '.join(f'{name}_exact' for name in exact.split())}"
        return self._table(
            f"{CALIBRATION}/density_ratio.csv",
            f"objective critic pair seed updates log_ratio_error {columns}",
        )

    @cached_property
    def sample_averages(self) -> pd.DataFrame:
        """The error of averages of the critic's gain over N samples."""
        errors = "is_variance_finite root_mean_square_error exact_error"
        return self._table(
            f"{CALIBRATION}/sample_average.csv", f"objective critic pair samples repeats {errors}"
        )

    def _calibration(self, end: str, columns: str) -> pd.DataFrame:
        found = sorted(path.stem for path in (self.folder / CALIBRATION).glob("*_limits.csv"))
        names = [stem.removesuffix("_limits") for stem in found]
        if not names:
            raise UserError(
                f"{self.folder / CALIBRATION}: no table of an estimator; run the stages calibrate"
            )
        tables = [self._table(f"{CALIBRATION}/{name}{end}", columns).assign(estimator=name) for name in names]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def gallery(self) -> pd.DataFrame:
        """Final samples of the first seeds: benchmark, variant, seed, index, values."""
        gallery: pd.DataFrame = self._read("gallery.parquet", pd.read_parquet)
        return gallery

    def theory(self, name: str, columns: str) -> pd.DataFrame:
        """theory/NAME.csv."""
        return self._table(f"theory/{name}.csv", columns)

    def measured(self, benchmark: str) -> list[Metric]:
        """The benchmark's metrics at the end of training, in the summary's order."""
        names = dict.fromkeys(self.summary.loc[self.summary.benchmark == benchmark, "metric"])
        return [self._describe(name) for name in names]

    def find(self, benchmark: str, stem: str) -> Metric | None:
        """A benchmark's final metric, by the data set's own features; None when it is not measured."""
        return _first(self.measured(benchmark), stem)

    def metric(self, benchmark: str, stem: str) -> str | None:
        """The full name of a benchmark's final metric, as `find` finds it."""
        found = self.find(benchmark, stem)
        return found.name if found else None

    def find_through_training(self, benchmark: str, stem: str) -> Metric | None:
        """As `find`, of the metrics at the checkpoints: they have an N of their own."""
        names = dict.fromkeys(self.progress.loc[self.progress.benchmark == benchmark, "metric"])
        return _first([self._describe(name) for name in names], stem)

    def metric_through_training(self, benchmark: str, stem: str) -> str | None:
        """The full name of what `find_through_training` finds."""
        found = self.find_through_training(benchmark, stem)
        return found.name if found else None

    def _describe(self, name: str) -> Metric:
        match = re.fullmatch(r"(.+)_n([0-9]+)(?:_(held_out)_([a-z0-9_]+))?", name)
        if not match or match[1] not in self.study["metrics"]:
            raise UserError(f"{self.folder / 'study.json'}: metrics has no entry for {name!r}")
        facts = dict(self.study["metrics"][match[1]])
        if match[4] in BACKBONES:
            facts["title"] = f"{facts['title']} ({BACKBONES[match[4]]})"
        return Metric(name, match[1], int(match[2]), match[3], match[4], **facts)

    def diverged(self, benchmark: str) -> dict[tuple[str, int], int]:
        """(variant, seed) -> step, of the seeds that diverged."""
        rows = self.metrics
        rows = rows[(rows.benchmark == benchmark) & (rows.metric == "diverged") & (rows.value > 0)]
        return {(row["variant"], row["seed"]): row["step"] for row in to_records(rows)}

    def _table(self, name: str, columns: str) -> pd.DataFrame:
        table: pd.DataFrame = self._read(name, pd.read_csv)
        missing = [column for column in columns.split() if column not in table.columns]
        if missing:
            raise UserError(f"{self.folder / name}: column {missing[0]!r} is missing")
        if name in WHOLE:
            found = set(zip(table["benchmark"], table["variant"], strict=True))
            lost = [f"{run[0]} {run[1]}" for run in self.study["runs"] if tuple(run) not in found]
            if lost:
                again = "`make study` writes it again, `git checkout` brings back the one in git"
                raise UserError(f"{self.folder / name}: no rows of {lost[0]}: the file is not whole; {again}")
        return table

    def _read(self, name: str, read: Callable[[Path], Any]) -> Any:
        path = self.folder / name
        try:
            return read(path)
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such file; the study writes it (`make study`), and git has it"
            ) from None
        except (ValueError, OSError) as error:
            raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None


def _first(metrics: list[Metric], stem: str) -> Metric | None:
    """Of several backbones the classifier."""
    found = [metric for metric in metrics if metric.stem == stem]
    return next((metric for metric in found if metric.backbone in (None, "classifier")), None)


def _place(variant: Variant) -> int:
    return list(FAMILIES).index(variant.family)


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries of plain values; NaN is None."""
    plain = table.astype(object).where(table.notna(), None)
    return [dict(zip(table.columns, row, strict=True)) for row in plain.itertuples(index=False, name=None)]
