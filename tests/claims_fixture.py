"""The tables of a made-up study in which every claim is supported, for the tests of the judges."""

import copy
import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import claims

SOURCE = Path(__file__).parents[1] / "claims.yaml"
LOG_TWO = math.log(2)
SUMMARY = {
    "survey_panel_jsd": 0.336,
    "distance_at_survey_panel": 2.0,
    "distance_reads_0_693": 7.0,
    "jsd_at_2": 0.3368,
    "distance_at_jsd_99_percent": 4.0,
    "distance_at_gradient_1_percent": 5.5,
    "jsd_at_5": 0.68,
    "jsd_rise_beyond_5": 0.013,
    "gradient_at_5_over_steepest": 0.03,
    "steepest_distance": 1.6,
}
VARIANTS = ("minimax", "wgan_gp")
SUMMARY_COLUMNS = ("benchmark", "variant", "metric", "statistic", "point", "low", "high")
TINY = 1e-12
# The exact tables behind the claims on designing GANs, as rows.
EXACT: dict[str, "Rows"] = {
    "maximum_likelihood": [
        {
            "gradient_kl": kl,
            "gradient_fixed": kl,
            "gradient_moving": 0.0,
            "sample_fixed": kl + 0.01,
            "sample_fixed_se": 0.01,
        }
        for kl in (0.0, 0.5, -1.0)
    ],
    "total_variation": [
        {"pair": pair, "dual_half": dual, "dual_gap": TINY} for pair, dual in (("equal", 0.0), ("shift", 0.2))
    ],
    "optimal_output": [
        {
            "objective": name,
            "direction": direction,
            "ratio_low": 0.001,
            "ratio_high": 1000,
            "output_error": TINY,
            "ratio_error_nats": "" if direction == "step" else TINY,
        }
        for name, direction in (("minimax", "increasing"), ("kl", "decreasing"), ("hinge", "step"))
    ],
    "random_pairs": [{"pair": pair, "output_error": TINY, "ratio_error_nats": TINY} for pair in range(200)],
    "same_game": [
        {
            "change": change,
            "output_difference": TINY,
            "divergence_difference": TINY,
            "gradient_difference": TINY,
        }
        for change in ("constants", "constants", "coordinate")
    ],
    "label_swap": [
        {
            "objective": name,
            "direction": one,
            "swapped_direction": other,
            "optimum_difference": TINY,
            "gradient_difference": TINY,
        }
        for name, one, other in (("minimax", "increasing", "decreasing"), ("ls", "decreasing", "increasing"))
    ],
    "critic_optimum": [
        {
            "objective": name,
            "pair": pair,
            "value_gap": TINY,
            "above_equal": above,
            "d_curvature_min": 1e-4,
        }
        for name in ("minimax", "kl")
        for pair, above in (("equal", 0.0), ("shift", 0.3))
    ],
    "minimum_test": [
        {
            "objective": name,
            "is_example": is_example,
            "slope_at_1": 0.0,
            "literal_minimum": 0.0,
            "normalised_minimum": 0.0,
            "d_largest": 1.0,
            "d_curvature_min": 1e-4,
            "smallest_excess": 0.1,
            "frozen_slope_min": 0.01,
        }
        for name, is_example in (("non_saturating", 1), ("kl", 0), ("logit_generator", 1), ("jeffrey", 0))
    ],
    "as_f_gan": [{"objective": "minimax", "conjugate_error": TINY}],
    "kl_from_ratio": [
        {"objective": "minimax", "pair": pair, "gap_to_reverse": gap, "gap_to_forward": gap}
        for pair, gap in (("equal", 0.0), ("shift", 0.3))
    ],
    "conjugates": [
        {
            "objective": name,
            "f_at_1": 0.0,
            "curvature_min": 0.1,
            "conjugate_error": TINY,
            "conjugate_error_beyond": beyond,
        }
        for name, beyond in (("kl", ""), ("pearson_chi2", ""))
    ],
    "mixture_fit": [
        {"objective": name, "divergence": 0.3, "mean": mean, "std": std, "dual_gap": TINY}
        for name, mean, std in (("kl", 1.01, 1.83), ("pearson_chi2", 0.57, 1.93))
    ],
    "likelihood_spread": [
        {
            "distance": distance,
            "relative_sd": 10.0 ** (distance - 1),
            "half_carried_by": 10.0**-distance,
            "samples_for_10_percent": 1e4,
        }
        for distance in (1, 2, 3, 4, 5)
    ],
    "frozen_and_total": [
        {"objective": name, "parameter": "std", "value": value, "frozen": frozen, "total": 1.0}
        for name, frozen in (("non_saturating", 0.5), ("kl", 1.0))
        for value in (0.75, 1.25)
    ],
    "free_critic": [
        {
            "objective": name,
            "grid": grid,
            "pair": "shift",
            "starts": 8,
            "steps": 30,
            "error_max": error,
            "spread_max": error,
            "value_spread": TINY,
            "alone_error_max": error,
            "alone_value_gap": TINY,
            "curvature_max": curvature,
        }
        for name, error, curvature in (("minimax", TINY, -0.1), ("kl", TINY, -0.1), ("hinge", "", 0.0))
        for grid in ("1d", "2d")
    ],
    "trained_critic_1d": [{"pair": "shift", "seed": seed, "error_mean": 0.01} for seed in range(3)],
    "free_game": [
        {
            "objective": name,
            "grid": grid,
            "updates": 40,
            "tv_to_p_max": distance,
            "discriminator_off_half_max": off,
        }
        for name, distance, off in (("minimax", TINY, TINY), ("kl", TINY, TINY), ("hinge", 0.2, ""))
        for grid in ("1d", "2d")
    ],
    "wasserstein_dual": [{"pair": "shift", "dual_gap": TINY}],
    "equal_ratios": [
        {"case": "scaled", "measure": measure, "difference": difference}
        for measure, difference in (("w1", 1.0), ("minimax", TINY), ("kl", TINY))
    ],
    "bilinear_flow": [{"turns": 10, "radius_gap": TINY, "position_gap": TINY, "rank": 2} for _ in range(3)],
    "bilinear_updates": [
        {
            "update": name,
            "step_size": h,
            "growth_exact": exact,
            "growth_gap": TINY,
            "smallest_rise": exact - 1,
        }
        for name, sign in (("simultaneous", 1), ("implicit", -1))
        for h in (0.1, 0.5)
        for exact in [math.sqrt(1 + h * h) ** sign]
    ],
    "dirac_rates": [
        {
            "objective": "minimax",
            "remedy": remedy,
            "update": update,
            "modulus": "" if remedy == "gradient_penalty" else 1 + rate,
            "rate": rate,
            "rate_se": 1e-6,
        }
        for remedy, rate in (
            *(("none", 0.0), ("clipping", 0.0), ("gradient_penalty", 1e-6)),
            *(("r1", -0.01), ("r2", -0.01), ("instance_noise", -0.01), ("consensus", -0.01)),
        )
        for update in range(20)
    ],
}

# The tables of estimates from samples: three critics, of which two are of one loss and one is unlike the
# others; two objectives, two critics and two pairs of normals, the second with an infinite variance.
CALIBRATION: dict[str, "Rows"] = {
    "density_ratio": [
        {
            "objective": name,
            "critic": critic,
            "pair": pair,
            "seed": seed,
            "log_ratio_error": 0.05 + 0.01 * seed,
            "out_of_range": 0,
            **{
                column: value
                for key in ("kl", "reverse_kl", "jensen_shannon", "squared_hellinger", "total_variation")
                for column, value in ((key, 0.5 + 0.01 * seed), (f"{key}_exact", 0.5))
            },
            "value": -1.0 - 0.01 * seed,
            "value_exact": -1.0,
        }
        for name, critic in (
            *(("minimax", "minimax"), ("non_saturating", "minimax"), ("kl", "kl"), ("ls", "ls")),
            ("power", "power"),
        )
        for pair in ("shift", "weights")
        for seed in range(3)
    ],
    "sample_average": [
        {
            "objective": name,
            "critic": critic,
            "pair": pair,
            "distance": 0.5,
            "scale": scale,
            "samples": samples,
            "repeats": 50,
            "expectation": -1.0,
            "is_variance_finite": finite,
            "deviation": 1.0 if finite else "nan",
            "mean": -1.0 + 0.1 / math.sqrt(50 * samples),
            "root_mean_square_error": 1.05 / math.sqrt(samples),
            "slope": -0.49 if finite else -0.3,
            "slope_standard_error": 0.01,
        }
        for name in ("minimax", "mean_square")
        for critic in ("best", "wrong")
        for pair, scale in (("shift", 1.0), ("wider", 1.26))
        for finite in [int(pair == "shift" or name == "minimax")]
        for samples in (100, 100_000)
    ],
}

Rows = list[dict[str, Any]]


def write_csv(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class Study:
    """The tables of a small study in which every claim is supported; tests change what they need."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "reports/results"
        (root / "claims.yaml").write_text(SOURCE.read_text("utf-8"), encoding="utf-8")
        self.summary = dict(SUMMARY)
        self.uniforms = [(0.5, LOG_TWO / 2), *((0.0, LOG_TWO) for _ in range(3))]
        self.function_space = {"equal": (0.0, 1e-15), "moved": (0.01, 1e-15)}
        self.gradients = {
            "minimax": {0.1: 0.05, 1.0: 0.3, 2.0: 0.5, 9.0: 1e-5, 10.0: 1e-6},
            "wasserstein": {0.1: 1.0, 1.0: 1.0, 2.0: 1.0, 9.0: 1.0, 10.0: 1.0},
            "non_saturating": {0.1: 0.1, 1.0: 1.0, 2.0: 2.0, 9.0: 9.0, 10.0: 10.0},
        }
        self.exact: dict[str, Rows] = copy.deepcopy(EXACT)
        self.calibration: dict[str, Rows] = copy.deepcopy(CALIBRATION)
        # Fresh critics: the variants' objectives, and their decay at a generator that is told from data.
        self.trains = {"minimax": "minimax", "wgan_gp": "wasserstein", "non_saturating": "non_saturating"}
        self.decay = {"minimax": 3.0, "wgan_gp": 0.1, "non_saturating": -0.5}
        for number in range(9):
            self.trains[f"made_{number}"] = "minimax" if number % 2 else "wasserstein"
            self.decay[f"made_{number}"] = 3.0 if number % 2 else 0.1
        self.accuracy = {("ring", 70): 1.0, ("ring", 7000): 0.9}
        self.decay_spread = 0.2
        self.summary_rows: Rows = []  # besides those of the modes
        self.variant_settings: dict[str, dict[str, Any]] = {}
        # variant -> modes kept per seed; None = diverged
        self.modes: dict[str, list[int | None]] = {"minimax": [1] * 6 + [8] * 4, "wgan_gp": [8] * 10}
        self.missed: set[tuple[str, int]] = set()
        # On many modes: benchmark -> variant -> modes kept per seed. The spread within modes is 1 elsewhere.
        self.many: dict[str, dict[str, list[int | None]]] = {
            "grid": {"kl": [25] * 10, "reverse_kl": [5] * 10, "jensen_shannon": [20] * 10},
            "stacked_digits": {"kl": [900] * 10, "reverse_kl": [300] * 10},
        }
        self.spread = {("grid", "reverse_kl"): 0.2}
        self.largest_share: dict[tuple[str, str, int], float] = {}  # on many modes; in no row elsewhere
        self.modes_due, self.collapse_below, self.seeds = 8, 0.5, 10
        self.benchmarks = ("ring", "digits")

    def write(self) -> None:
        theory = self.folder / "theory"
        write_csv(
            theory / "distance_summary.csv",
            [{"quantity": name, "value": value, "unit": "1"} for name, value in self.summary.items()],
        )
        write_csv(theory / "distance.csv", [{"distance": 0, "jsd_nats": 0}])
        write_csv(
            theory / "uniforms.csv",
            [{"shift": 1 - share, "overlap_share": share, "jsd_nats": jsd} for share, jsd in self.uniforms],
        )
        write_csv(
            theory / "function_space.csv",
            [
                {
                    "q": name,
                    "value_reached_nats": excess - 2 * LOG_TWO,
                    "value_gap_nats": gap,
                    "value_spread_nats": gap,
                    "discriminator_error_max": 1e-13,
                    "starts": 8,
                }
                for name, (excess, gap) in self.function_space.items()
            ],
        )
        write_csv(
            theory / "generator_gradient.csv",
            [
                {
                    "objective": name,
                    "distance": d,
                    "gradient": size,
                    "gradient_abs": size,
                    "gradient_sd": size,
                }
                for name, curve in self.gradients.items()
                for d, size in curve.items()
            ],
        )
        for name, rows in self.exact.items():
            write_csv(theory / f"{name}.csv", rows)
        for name, rows in self.calibration.items():
            write_csv(self.folder / "calibration" / f"{name}.csv", rows)
        self._write_fresh_critics()
        self._write_runs()

    def _write_fresh_critics(self) -> None:
        """Where the critic tells nothing apart, nothing decays."""
        rows, course = [], []
        for (benchmark, updates), accuracy in self.accuracy.items():
            for variant, decay in self.decay.items():
                key = {"benchmark": benchmark, "generator_updates": updates, "variant": variant}
                for seed in range(self.seeds):
                    size = decay + self.decay_spread * (seed % 2) if accuracy > 0.95 else 0.0
                    rows.append({**key, "seed": seed, "decay_decades": size, "accuracy": accuracy})
                for step, deviation in ((0, 1.5), (4000, 3.5)):
                    course.append({**key, "critic_updates": step, "relative_deviation": deviation})
        write_csv(self.folder / "fresh_critics.csv", rows)
        write_csv(self.folder / "fresh_critics_course.csv", course)

    def _write_runs(self) -> None:
        metrics, summary = [], []
        for variant, modes in self.modes.items():
            key = {"benchmark": "ring", "variant": variant}
            for seed, kept in enumerate(modes):
                row = {**key, "seed": seed, "step": 60}
                metrics.append({**row, "metric": "diverged", "value": int(kept is None)})
                if kept is not None:
                    # An early checkpoint that must not count, after the final one in the file.
                    metrics.append({**row, "metric": "modes_occupied_n2500", "value": kept})
                    metrics.append({**row, "step": 5, "metric": "modes_occupied_n2500", "value": 2})
                    share = 0.95 if kept == 1 else 0.4
                    metrics.append({**row, "metric": "largest_mode_share_n2500", "value": share})
                    metrics.append({**row, "metric": "missed", "value": int((variant, seed) in self.missed)})
                    metrics.append(self._spread_row(row))
                metrics.append({**row, "benchmark": "digits", "metric": "diverged", "value": 1})
            if any(kept is not None for kept in modes):
                share = {"statistic": "iqm", "point": 0.5, "low": 0.3, "high": 0.7}
                summary.append({**key, "metric": "largest_mode_share_n2500", **share})
        for benchmark, variants in self.many.items():
            metrics += self._rows_on_many(benchmark, variants)
        summary += self.summary_rows
        write_csv(self.folder / "metrics.csv", metrics)
        write_csv(
            self.folder / "summary.csv",
            summary
            or [
                dict.fromkeys(("benchmark", "variant", "metric", "statistic", *["point", "low", "high"]), "")
            ],
        )
        setting = {
            "data": {"kind": "ring", "modes": self.modes_due},
            "evaluation_samples": 2500,
            "collapse_below": self.collapse_below,
        }
        many = {
            "grid": {"kind": "grid", "side": 5},
            "stacked_digits": {"kind": "stacked_digits"},
        }
        study = {
            "settings": {"seeds": self.seeds},
            "trains": self.trains,
            "benchmarks": {name: {**setting, "title": name} for name in self.benchmarks}
            | {name: {**setting, "data": many[name], "title": name} for name in self.many},
            "variants": {
                name: {"objective": name, "title": name, **self.variant_settings.get(name, {})}
                for name in self.modes
            },
            "runs": [
                *([benchmark, variant] for benchmark in self.benchmarks for variant in self.modes),
                *([benchmark, variant] for benchmark, variants in self.many.items() for variant in variants),
            ],
        }
        (self.folder / "study.json").write_text(json.dumps(study), encoding="utf-8")

    def _spread_row(self, row: dict[str, Any]) -> dict[str, Any]:
        value = self.spread.get((row["benchmark"], row["variant"]), 1.0)
        return {**row, "metric": "mode_spread_ratio_n2500", "value": value}

    def _rows_on_many(self, benchmark: str, variants: dict[str, list[int | None]]) -> Rows:
        stem = "modes_occupied_n2500" if benchmark == "grid" else "classes_captured_n2500_held_out_classifier"
        rows = []
        for variant, modes in variants.items():
            for seed, kept in enumerate(modes):
                row = {"benchmark": benchmark, "variant": variant, "seed": seed, "step": 60}
                rows.append({**row, "metric": "diverged", "value": int(kept is None)})
                if kept is not None:
                    missed = (f"{variant} on {benchmark}", seed) in self.missed
                    rows.append({**row, "metric": stem, "value": kept})
                    rows.append({**row, "metric": "missed", "value": int(missed)})
                    rows.append(self._spread_row(row))
                    if (benchmark, variant, seed) in self.largest_share:
                        largest = stem.replace("modes_occupied", "largest_mode_share")
                        largest = largest.replace("classes_captured", "largest_class_share")
                        share = self.largest_share[benchmark, variant, seed]
                        rows.append({**row, "metric": largest, "value": share})
        return rows

    def verdicts(self) -> dict[str, dict[str, Any]]:
        self.write()
        return {record["id"]: record for record in claims.write_claims(self.root)}

    def edit_claims(self, change: Callable[[list[dict[str, Any]]], object]) -> None:
        content = yaml.safe_load(SOURCE.read_text("utf-8"))
        change(content["claims"])
        (self.root / "claims.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def evidence(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in record["evidence"]}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)
