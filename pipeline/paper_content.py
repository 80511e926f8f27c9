"""Everything that the paper prints, as one JSON object: from reports/results, published/ and figures/."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.citations import citation_keys, read_references
from pipeline.errors import UserError
from pipeline.figures.curves import COUNTED
from pipeline.figures.style import LOOKS
from pipeline.figures.tables import FAMILIES, RESULTS, Results, to_records
from pipeline.figures.tables import FOLDER as FIGURES
from pipeline.figures.vanishing import AT_DISTANCE, GROUPS, group_of
from pipeline.paper_measurement import collect_measurement
from pipeline.paper_theory import collect_theory
from pipeline.ranks import rank_correlation

GRADIENT = "generator_gradient_norm"
GRADIENT_VANISHED = 1e-6  # a norm below counts as vanished
REPORTS = "reports"
BIBLIOGRAPHY = "references.bib"


def collect(root: Path) -> dict[str, Any]:
    """Everything the paper prints, as plain JSON values; NaN (no seed left) becomes None."""
    results = Results(root / RESULTS)
    return {
        "scale": results.study["scale"],
        "settings": results.study["settings"],
        "collapsed": results.study["metrics"]["collapsed"]["description"],
        "missed": results.study["metrics"]["missed"]["description"],
        "benchmarks": [_benchmark(results, name) for name in results.benchmarks],
        "more_modes": [_benchmark(results, name) for name in results.more_modes],
        "variants": _variants(results),
        "default_recipe": _default_recipe(results),
        "families": [{"name": name, "title": FAMILIES[name]} for name in results.families],
        "objectives": _objectives(results, root),
        "theory": collect_theory(results),
        "measurement": collect_measurement(results),
        "vanishing": _vanishing(results),
        "through_training": {
            name: _through_training(results, name) for name in (*results.benchmarks, *results.more_modes)
        },
        "features": results.study.get("features", {}),
        "summary": _nested(results.summary, ["benchmark", "variant", "metric"]),
        "references": _references(results),
        "claims": _read_json(root / RESULTS / "claims.json"),
        "published": _rows(root / REPORTS / "published/modes_2d.csv"),
        "protocols": _rows(root / REPORTS / "published/protocols.csv"),
        "figures": _figures(root),
        "movies": [
            name for name in results.benchmarks if (root / REPORTS / "movies" / f"{name}.webp").is_file()
        ],
        "provenance": _provenance(root),
    }


def _benchmark(results: Results, name: str) -> dict[str, Any]:
    metrics = [vars(metric) for metric in results.measured(name)]
    return {
        "name": name,
        **results.study["benchmarks"][name],
        "metrics": metrics,
        "missed": _missed(results, name),
    }


def _missed(results: Results, benchmark: str) -> dict[str, int]:
    """variant -> how many of its seeds missed the data at the end of training."""
    rows = results.metrics
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == "missed")]
    last = rows[rows.step == results.study["settings"]["generator_updates"][benchmark]]
    counts = {name: int(group.value.sum()) for name, group in last.groupby("variant")}
    return {variant.name: counts.get(variant.name, 0) for variant in results.trained_on(benchmark)}


def _variants(results: Results) -> list[dict[str, Any]]:
    """By family; `changes`: the settings of the recipe that are not those of the default."""
    default = _default_recipe(results)
    rows = []
    for variant in results.variants.values():
        recipe = results.study["recipes"][variant.name]
        changes = [key for key, value in recipe.items() if value != default[key]]
        colour = LOOKS[variant.family].colour
        rows.append({**vars(variant), "colour": colour, "recipe": recipe, "changes": changes})
    return rows


def _default_recipe(results: Results) -> dict[str, Any]:
    """The value that most variants have, setting by setting; of equally many, that of the first variant."""
    recipes = [results.study["recipes"][name] for name in results.variants]
    default = {}
    for key in recipes[0]:
        values = [json.dumps(recipe[key], sort_keys=True) for recipe in recipes]
        default[key] = json.loads(Counter(values).most_common(1)[0][0])
    return default


def _objectives(results: Results, root: Path) -> list[dict[str, Any]]:
    """The derivations of the objectives that the study trains, by family, with keys of references.bib."""
    references = read_references(root / REPORTS / BIBLIOGRAPHY)
    return [
        {
            **{
                key: value
                for key, value in facts.items()
                if key not in ("spec", "checks", "reported", "computed")
            },
            "name": name,
            "family": results.family(name),
            "cites": citation_keys(facts["citation"], references),
            "checks": len(facts["checks"]),
        }
        for name, facts in results.objectives.items()
    ]


def _through_training(results: Results, benchmark: str) -> dict[str, Any]:
    """Which variants lost coverage, and which have lost their gradient or its norm at the last logged step.

    counted: the title of the metric by which; fell: the final interval lies below that of an earlier
    checkpoint; gradient_vanished, gradient_infinite:
    by the median over seeds; vanished_below: the threshold.
    """
    stem, _ = COUNTED[results.data(benchmark)["kind"]]
    last = results.study["settings"]["generator_updates"][benchmark]
    rows = results.progress
    shown = results.metric_through_training(benchmark, stem)
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == shown)]
    fell = []
    for name, course in rows.groupby("variant"):
        final, before = course[course.step == last], course[course.step < last]
        if len(final) and final.high.iloc[0] < before.low.max():
            fell.append(str(name))
    logged = results.history[results.history.benchmark == benchmark]
    norms = logged[logged.step == logged.step.max()].set_index("variant")[GRADIENT]
    return {
        "counted": results.study["metrics"][stem]["title"],
        "fell": fell,
        "gradient_vanished": list(norms.index[norms < GRADIENT_VANISHED]),
        "gradient_infinite": list(norms.index[np.isinf(norms)]),
        "vanished_below": GRADIENT_VANISHED,
    }


def _vanishing(results: Results) -> dict[str, Any]:
    """The theory of each variant's gradient, and how it ranks the variants beside what training did.

    at_distance; groups {key: title}; variants {name: group, share (None: no exact gradient),
    never_felt (it is 0 at every distance)}; correlations {benchmark: {metric: tau-b of
    share and point, None where it means nothing}}.
    """
    shares = results.gradient_shares(AT_DISTANCE)
    return {
        "at_distance": AT_DISTANCE,
        "groups": GROUPS,
        "variants": {
            name: {
                "group": group_of(results, variant.objective),
                "share": shares.get(variant.objective),
                "never_felt": variant.objective in results.never_felt(),
            }
            for name, variant in results.variants.items()
        },
        "correlations": {
            benchmark: {
                metric.name: _correlation(results, benchmark, metric.name, shares)
                for metric in results.measured(benchmark)
            }
            for benchmark in results.benchmarks
        },
    }


def _correlation(
    results: Results, benchmark: str, metric: str, shares: dict[str, float]
) -> dict[str, Any] | None:
    rows = results.summary[(results.summary.benchmark == benchmark) & (results.summary.metric == metric)]
    points = dict(zip(rows.variant, rows.point, strict=True))
    pairs = [
        (shares[variant.objective], points[name])
        for name, variant in results.variants.items()
        if variant.objective in shares and not np.isnan(points.get(name, np.nan))
    ]
    return rank_correlation(*np.array(pairs, dtype=np.float64).reshape(-1, 2).T)


def _references(results: Results) -> dict[str, Any]:
    """benchmark -> metric -> kind -> row."""
    return _nested(results.references, ["benchmark", "metric", "kind"])


def _nested(table: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """Rows as nested dictionaries by their keys."""
    tree: dict[str, Any] = {}
    for row in to_records(table):
        branch = tree
        for key in keys:
            branch = branch.setdefault(str(row[key]), {})
        branch.update(row)
    return tree


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return to_records(pd.read_csv(path, dtype=str))  # as printed there, zeros included
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; git has it") from None


def _figures(root: Path) -> dict[str, Any]:
    figures = _read_json(root / FIGURES / "figures.json")
    for name in figures:
        if not (root / FIGURES / f"{name}.svg").is_file():
            raise UserError(
                f"{root / FIGURES / name}.svg: no such file; `python -m pipeline figures` draws it"
            )
    return dict(figures)


def _provenance(root: Path) -> dict[str, Any]:
    """provenance.json with `state`: current, outdated (it describes other results) or missing."""
    path = root / RESULTS / "provenance.json"
    if not path.exists():
        return {"state": "missing"}
    record = _read_json(path)
    digest = hashlib.sha256((root / RESULTS / "metrics.csv").read_bytes()).hexdigest()
    return {"state": "current", **record} if record.get("results_sha256") == digest else {"state": "outdated"}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the study writes it (`make study`), and git has it") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
