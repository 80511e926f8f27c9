"""Distances, frozen and total gradients, maximum likelihood's spread and fresh critics, for the paper."""

from typing import Any

import pandas as pd

from pipeline.figures.tables import Results
from pipeline.statistics import mean_to_interval

_SAME = 1e-6  # relative: below it two gradients are one
_SHOWN = (
    "minimax",
    "non_saturating",
    "wgan_gp",
)  # variants whose decay the text names, if the study has them
_SPREAD_AT = (1.0, 2.0, 4.0)


def collect(results: Results) -> dict[str, Any]:
    """What the text says of these parts.

    summary {quantity: value}; disjoint {bounded, infinite: titles}; closed {titles, gap}; frozen {objectives,
    other: rows of those with a gradient of their own}; spread [{distance, relative_sd, half_carried_by,
    samples}]; critics {generator, updates, points}.
    """
    summary = results.theory("distance_summary", "quantity value")
    return {
        "summary": dict(zip(summary.quantity, summary.value, strict=True)),
        "disjoint": _disjoint(results),
        "closed": _closed(results),
        "frozen": _frozen(results),
        "spread": _spread(results),
        "critics": _critics(results),
    }


def _disjoint(results: Results) -> dict[str, Any]:
    """Titles with a finite and with an infinite int p d(q/p) where p and q share no point."""
    table = results.theory("disjoint", "objective divergence known")
    table = table[table.objective.isin(results.objectives) & (table.known == 1)]
    finite = table.divergence.notna()
    return {
        "bounded": results.objective_titles(table[finite].objective),
        "infinite": results.objective_titles(table[~finite].objective),
    }


def _closed(results: Results) -> dict[str, Any]:
    """Titles of the objectives whose gradient has a closed form, and how far quadrature is from it."""
    table = results.theory("gradient_closed_forms", "objective relative_gap")
    names = [name for name in results.objectives if name in set(table.objective)]
    return {"titles": results.objective_titles(names), "gap": float(table.relative_gap.max())}


def _frozen(results: Results) -> dict[str, Any]:
    """How many objectives were asked, and of those whose frozen gradient is not the total one: the title, the
    smallest and the largest frozen/|total| with the q it belongs to; both None where the total is 0."""
    table = results.theory("frozen_and_total", "objective parameter value frozen total").dropna()
    table = table[table.objective.isin(results.objectives)]
    other = []
    for name in results.objectives:
        rows = table[table.objective == name]
        if not ((rows.frozen - rows.total).abs() > _SAME * rows.total.abs()).any():
            continue
        entry: dict[str, Any] = {
            "title": results.objective_titles([name])[0],
            "lowest": None,
            "highest": None,
            "at": None,
        }
        if (rows.total != 0).all():
            share = rows.frozen / rows.total.abs()
            least = rows[share == share.min()].iloc[0]
            entry |= {"lowest": float(share.min()), "highest": float(share.max())}
            entry["at"] = {"parameter": str(least.parameter), "value": float(least.value)}
        other.append(entry)
    return {"objectives": int(table.objective.nunique()), "other": other}


def _spread(results: Results) -> list[dict[str, float]]:
    columns = "distance relative_sd half_carried_by samples_for_10_percent"
    table = results.theory("likelihood_spread", columns).set_index("distance")
    return [
        {
            "distance": distance,
            "relative_sd": float(table.relative_sd[distance]),
            "half_carried_by": float(table.half_carried_by[distance]),
            "samples": float(table.samples_for_10_percent[distance]),
        }
        for distance in _SPREAD_AT
    ]


def _critics(results: Results) -> dict[str, Any]:
    """generator (its title), updates of a fresh critic, and one entry per saved generator: benchmark (title),
    updates, accuracy (median, of minimax), decays {variant: title, point, low, high}, fallen (how many of all
    variants have an interval above 1 decade), grown (below 0), few (have fewer than half of the seeds)."""
    table, study = results.fresh_critics, results.study["fresh_critics"]
    points = []
    seeds = int(results.study["settings"]["seeds"])
    places = [
        (benchmark, updates)
        for benchmark in results.benchmarks
        for updates in sorted(set(table.generator_updates[table.benchmark == benchmark]))
    ]
    for benchmark, updates in places:
        rows = table[(table.benchmark == benchmark) & (table.generator_updates == updates)]
        decays = {name: _decay(rows, name, seeds) for name in results.variants if name in set(rows.variant)}
        accuracy = rows[rows.variant == "minimax"].accuracy
        points.append(
            {
                "benchmark": results.benchmarks[benchmark],
                "updates": int(updates),
                "accuracy": float(accuracy.median()) if len(accuracy) else None,
                "decays": [
                    {"title": results.variants[name].title, **decays[name]}
                    for name in _SHOWN
                    if name in decays
                ],
                "fallen": sum(one["low"] is not None and one["low"] > 1 for one in decays.values()),
                "grown": sum(one["high"] is not None and one["high"] < 0 for one in decays.values()),
                "few": sum(one["low"] is None for one in decays.values())
                + sum(name not in decays for name in results.variants),
            }
        )
    return {
        "generator": results.variants[study["generator"]].title,
        "updates": int(study["critic_updates"]),
        "variants": len(results.variants),
        "points": points,
    }


def _decay(rows: pd.DataFrame, variant: str, seeds: int) -> dict[str, float | None]:
    """Mean and interval; no interval from fewer than half of the seeds: the others overflowed."""
    values = rows[rows.variant == variant].decay_decades.to_numpy()
    point, low, high = mean_to_interval(values)
    known = len(values) >= max(2, seeds / 2)
    return {"point": point, "low": low if known else None, "high": high if known else None}
