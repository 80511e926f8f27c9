"""What the paper says of the measurement itself, as plain JSON values."""

import json
import math
from typing import Any

import pandas as pd

from pipeline.errors import UserError
from pipeline.figures.calibration import FAMILY, SHOWN_N
from pipeline.figures.comparisons import ALPHA
from pipeline.figures.curves import COUNTED
from pipeline.figures.tables import CALIBRATION, Metric, Results, to_records
from pipeline.trust import QUANTITY

KNOWN = "known_density_"
REJECTS = "two_sample_rejects"  # as pipeline/calibration/trial.py calls it


def collect_measurement(results: Results) -> dict[str, Any]:
    """{n, families, pairs, estimators, ring, tests, known, marks, variance, comparisons}; NaN becomes None.

    estimators: protocol and limits of each; ring: the Jensen-Shannon divergence of its pairs, true and
    estimated; tests: how often the two-sample tests reject equal laws; known: of the metrics that know the
    density, by benchmark; marks: how many of the study's divergences are outside their range; variance: by
    benchmark and metric; comparisons: by benchmark and metric who is better and who is worse than the
    reference.
    """
    limits, trials = results.calibration_limits, results.calibration_trials
    n = int(limits.n[limits.n <= SHOWN_N].max())
    families = list(dict.fromkeys(limits.family[limits.family.str.startswith(FAMILY)]))
    families.sort(key=lambda family: int(family.removeprefix(FAMILY).removesuffix("d")))
    return {
        "n": n,
        "sizes": sorted(int(size) for size in set(trials.n)),
        "repeats": [int(trials.repeats.min()), int(trials.repeats.max())],
        "families": families,
        "pairs": int(trials.pair.nunique()),
        "estimators": [
            _estimator(results, name, limits[limits.estimator == name], families, n)
            for name in dict.fromkeys(limits.estimator)
            if not name.startswith(KNOWN)
        ],
        "ring": _on_ring(trials, results),
        "tests": _tests(trials, results),
        "known": _known(results, limits),
        "marks": _marks(results),
        "variance": _variance(results),
        "alpha": ALPHA,
        "comparisons": _comparisons(results),
    }


def _estimator(
    results: Results, name: str, limits: pd.DataFrame, families: list[str], n: int
) -> dict[str, Any]:
    """The protocol, and for its first quantity the smallest distance told from zero in each family at N."""
    protocol = _protocol(results, name)
    most = protocol["largest_samples"] or n
    facts = {one["name"]: one for one in protocol["quantities"]}
    quantity = next((one for one in ("jensen_shannon_bound", "kl") if one in facts), next(iter(facts)))
    rows = limits[(limits.quantity == quantity) & (limits.n == min(n, most))].set_index("family")
    repeats = rows.repeats[rows.index.isin(families)]
    shown = {family: _plain(rows.smallest_distance.get(family)) for family in families}
    return {
        "name": name,
        **{key: protocol[key] for key in ("title", "cost", "largest_dimensions", "largest_samples")},
        "quantities": [one["title"] for name, one in facts.items() if not name.endswith("_bound")],
        "bounds": any(name.endswith("_bound") for name in facts),
        "smallest": shown,
        "repeats": [int(repeats.min()), int(repeats.max())],
    }


def _on_ring(trials: pd.DataFrame, results: Results) -> dict[str, Any] | None:
    """{n, estimators, pairs: [{kind, size, truth, means}]}, None where no estimator has the divergence.

    kind and size are those of the pair's name, `ring_KIND_SIZE`; means in the order of the estimators.
    """
    rows = trials[(trials.quantity == "jensen_shannon") & trials.pair.str.startswith("ring_")]
    if rows.empty:
        return None
    n = int(rows.n[rows.n <= SHOWN_N].max())
    rows = rows[rows.n == n]
    means = rows.pivot(index="pair", columns="estimator", values="mean")
    names = list(dict.fromkeys(rows.estimator))
    pairs = []
    for pair, truth in rows.groupby("pair", sort=False).truth.first().items():
        _, kind, *size = str(pair).split("_")
        values = [_plain(means.loc[str(pair), name]) for name in names]
        pairs.append({"kind": kind, "size": size[0] if size else "", "truth": float(truth), "means": values})
    titles = [_protocol(results, name)["title"] for name in names]
    return {"n": n, "estimators": titles, "pairs": pairs}


def _tests(trials: pd.DataFrame, results: Results) -> list[dict[str, Any]]:
    """By estimator: how often its two-sample test rejects equal laws, over all families and N."""
    rows = trials[(trials.quantity == REJECTS) & trials.truth.notna()]
    return [
        {
            "title": _protocol(results, str(name))["title"],
            "rejected": int((group["mean"] * group.repeats).round().sum()),
            "repeats": int(group.repeats.sum()),
            "level": float(group.truth.iloc[0]),
        }
        for name, group in rows.groupby("estimator", sort=False)
    ]


def _known(results: Results, limits: pd.DataFrame) -> list[dict[str, Any]]:
    """Floor, critical value and range of the divergences reported of each mixture; no `largest`: no end."""
    rows = []
    for benchmark, title in {**results.benchmarks, **results.more_modes}.items():
        table = limits[limits.estimator == KNOWN + results.data(benchmark)["kind"]]
        at = table[table.n == results.study["benchmarks"][benchmark]["evaluation_samples"]]
        for stem, quantity in QUANTITY.items():
            found = at[at.quantity == quantity]
            metric = results.find(benchmark, stem)
            if len(found) and metric is not None:
                (record,) = to_records(found)
                ends = {"largest": None if record["largest"] == math.inf else record["largest"]}
                known = {"benchmark": title, "metric": metric.title, "n": metric.n}
                rows.append(known | record | ends)
    return rows


def _marks(results: Results) -> dict[str, Any]:
    """Of the study's divergences: how many have each mark."""
    marked = results.summary[results.summary.metric.str.rpartition("_n")[0].isin(QUANTITY)]
    counts = marked.mark.fillna("").value_counts().to_dict()
    return {
        "all": len(marked),
        "zero": int(counts.get("zero", 0)),
        **{mark: int(counts.get(mark, 0)) for mark in ("wrong", "untried", "uncalibrated")},
    }


def _variance(results: Results) -> list[dict[str, Any]]:
    """By benchmark and metric: median over variants of the share of variance that is training's."""
    rows = []
    table = results.variance.dropna(subset=["training_share"])
    for key, group in table.groupby(["benchmark", "metric"], sort=False):
        benchmark, name = map(str, key)
        metric = next((one for one in results.measured(benchmark) if one.name == name), None)
        rows.append(
            {
                "benchmark": results.title(benchmark),
                "metric": metric.title if metric else name,
                "variants": len(group),
                "training_share": float(group.training_share.median()),
                "least": float(group.training_share.min()),
            }
        )
    return rows


def _comparisons(results: Results) -> list[dict[str, Any]]:
    """By benchmark and metric: the variants whose difference from the reference survives Holm.

    at_best, at_worst: in how many of its seeds the reference has the best or the worst value that there is.
    """
    rows = []
    for key, group in results.comparisons.groupby(["benchmark", "metric"], sort=False):
        benchmark, name = map(str, key)
        told = group[group.p_holm < ALPHA]
        metric = next(one for one in results.measured(benchmark) if one.name == name)
        (reference,) = {one.name for one in results.trained_on(benchmark)} - set(group.variant)
        values = results.metrics
        values = values[
            (values.benchmark == benchmark) & (values.variant == reference) & (values.metric == name)
        ]
        worst, best = _ends(results, benchmark, metric)
        rows.append(
            {
                "benchmark": results.title(benchmark),
                "name": name,
                "metric": metric.title,
                "reference": reference,
                "reference_seeds": int(group.reference_seeds.max()),
                "at_best": int((values.value == best).sum()),
                "at_worst": int((values.value == worst).sum()),
                "variants": len(group),
                "better": list(told.variant[told.probability > 0.5]),
                "worse": list(told.variant[told.probability < 0.5]),
            }
        )
    return rows


def _ends(results: Results, benchmark: str, metric: Metric) -> tuple[float, float]:
    """The worst and the best value that a metric can have; NaN where there is none or it is not known."""
    data = results.data(benchmark)
    most = math.nan
    if metric.unit == "fraction":
        most = 1.0
    elif metric.unit in ("modes", "classes"):
        most = float(COUNTED[data["kind"]][1](data))
    ends = (0.0, most)
    return ends if metric.higher_is_better else ends[::-1]


def _protocol(results: Results, name: str) -> dict[str, Any]:
    path = results.folder / CALIBRATION / f"{name}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); run the stage calibrate@{name} again"
        ) from None
    return found


def _plain(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
