"""Claims on vanishing gradients that fresh critics against saved generators decide: V3b, V4, V5.

A decay is log10 of the norm of the generator's gradient before the first update of a fresh critic over that
after its last, per seed. A saved generator counts where the minimax critic tells its samples from data.
"""

import math
from collections.abc import Iterable
from statistics import fmean, median

import numpy as np

from pipeline.claims.exact import gradient_curves, share_left
from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, listed, titles
from pipeline.claims.results import Results
from pipeline.errors import UserError
from pipeline.statistics import Interval, mean_to_interval

_TABLE = "fresh_critics.csv"
_SEPARATES = "minimax"  # the critic whose accuracy says whether a saved generator counts
Point = tuple[str, int]  # benchmark, generator updates
Decays = dict[Point, dict[str, dict[int, float]]]  # point -> variant -> seed -> decades


def _mean(values: Iterable[float], limit: Thresholds) -> Interval:
    return mean_to_interval(np.array(list(values)), limit["confidence"])


def _evidence(name: str, interval: Interval) -> Evidence:
    """As a piece of evidence; an end that is not known is left out."""
    point, low, high = (value if math.isfinite(value) else None for value in interval)
    return Evidence(name, point, "decades", low, high)


def _decays(results: Results) -> Decays:
    found: Decays = {}
    for row in results.rows(_TABLE, "benchmark", "generator_updates", "variant", "seed", "decay_decades"):
        point = (row["benchmark"], int(row["generator_updates"]))
        value = results.to_number(row["decay_decades"], _TABLE, f"decay of {row['variant']}")
        found.setdefault(point, {}).setdefault(row["variant"], {})[int(row["seed"])] = value
    return found


def _separated(results: Results, limit: Thresholds) -> dict[Point, float]:
    """The saved generators that count, with the median accuracy of the minimax critic there.

    None in a study without minimax: then nothing says what is told apart.
    """
    accuracies: dict[Point, list[float]] = {}
    for row in results.rows(_TABLE, "variant", "accuracy"):
        if row["variant"] == _SEPARATES:
            point = (row["benchmark"], int(row["generator_updates"]))
            number = results.to_number(row["accuracy"], _TABLE, f"accuracy of {_SEPARATES}")
            accuracies.setdefault(point, []).append(number)
    return {
        point: median(values) for point, values in accuracies.items() if median(values) >= limit["separated"]
    }


def _at(results: Results, points: Iterable[Point]) -> str:
    """Ring of 8 after 70/700 updates, Digits after ..."""
    title = titles(results, "benchmarks")
    groups: dict[str, list[str]] = {}
    for benchmark, updates in points:
        groups.setdefault(title.get(benchmark, benchmark), []).append(str(updates))
    return listed([f"{name} after {'/'.join(updates)} updates" for name, updates in groups.items()])


def _minimax_vanishes(results: Results, limit: Thresholds) -> Finding:
    decays, counted = _decays(results), _separated(results, limit)
    found = {
        point: _mean(variants[_SEPARATES].values(), limit)
        for point, variants in decays.items()
        if _SEPARATES in variants
    }
    verdict: Verdict = "inconclusive"
    if any(found[point].high < limit["decades"] for point in counted):
        verdict = "contradicted"
    elif counted and all(found[point].low > limit["decades"] for point in counted):
        verdict = "supported"
    evidence = [_evidence(f"decay_{benchmark}_{updates}", one) for (benchmark, updates), one in found.items()]
    others = [point for point in found if point not in counted]
    reading = _told_apart(results, counted)
    if counted:
        said = listed([_said(found[point], decays[point][_SEPARATES]) for point in counted])
        reading += f"; the decades lost there under minimax, with their interval: {said}"
    if others:
        said = listed([_said(found[point], decays[point][_SEPARATES]) for point in others])
        reading += f" (elsewhere, {_at(results, others)}: {said})"
    return Finding(verdict, evidence, reading + ".")


def _said(one: Interval, seeds: dict[int, float]) -> str:
    """The mean with its interval, and of how many seeds the norm falls at all."""
    falls = sum(value > 0 for value in seeds.values())
    return f"{one.point:.1f} [{one.low:.1f}, {one.high:.1f}] with {falls} of {len(seeds)} falling"


def _grown(one: Interval) -> str:
    """By how many decades the mean grows, with its interval: the decay turned round."""
    return f"{-one.point:.2g} [{-one.high:.2g}, {-one.low:.2g}]"


def _told_apart(results: Results, counted: Iterable[Point]) -> str:
    where = list(counted)
    if not where:
        return "No saved generator is told from data by a minimax critic of the study"
    return f"The saved generators that are told from data are those of {_at(results, where)}"


def _exact_shares(results: Results, limit: Thresholds) -> dict[str, float]:
    """Objective -> the share of its exact gradient that is left; none where it is 0 throughout."""
    at = limit["at_distance"]
    curves = gradient_curves(results)
    return {
        name: share_left(curve, at) for name, curve in curves.items() if at in curve and any(curve.values())
    }


def _non_saturating_lives(results: Results, limit: Thresholds) -> Finding:
    name = "non_saturating"
    share = _exact_shares(results, limit).get(name)
    if share is None:
        raise UserError(f"{results.folder}/theory/generator_gradient.csv: no curve of {name!r}")
    decays, counted = _decays(results), _separated(results, limit)
    present = {point: value for point, value in counted.items() if name in decays[point]}
    whole, counted = len(present) == len(counted), present
    found = {point: _mean(decays[point][name].values(), limit) for point in counted}
    verdict: Verdict = "inconclusive"
    if share < limit["vanished_below"] or any(one.low > limit["decades"] for one in found.values()):
        verdict = "contradicted"
    elif (
        share > limit["alive_above"]
        and whole
        and found
        and all(one.high < limit["decades"] for one in found.values())
    ):
        verdict = "supported"
    reading = (
        f"At distance {limit['at_distance']:g} the exact gradient is {share:.2g} of its largest up to there. "
    )
    if found:
        spread = [_spread(results, point, name) for point in counted]
        moves = "grows" if all(one.point <= 0 for one in found.values()) else "changes (grows above 0)"
        changes = listed([_grown(one) for one in found.values()])
        first, last = (listed([f"{pair[end]:.2g}" for pair in spread]) for end in (0, 1))
        reading += (
            f"At the {len(counted)} saved generators that are told from data it {moves} by {changes} "
            f"decades, and the standard deviation of a sample's gradient over its mean goes from {first} to "
            f"{last}."
        )
    else:
        reading += f"{_told_apart(results, [])}, or the study does not train {name!r}."
    return Finding(
        verdict,
        [
            Evidence("exact_share", share, "of its maximum up to there"),
            *(_evidence(f"decay_{point[0]}_{point[1]}", one) for point, one in found.items()),
        ],
        reading,
    )


def _spread(results: Results, point: Point, variant: str) -> tuple[float, float]:
    """The relative deviation of a sample's gradient before and after the critic's training."""
    table = "fresh_critics_course.csv"
    rows = [
        row
        for row in results.rows(table, "benchmark", "generator_updates", "variant", "critic_updates")
        if (row["benchmark"], int(row["generator_updates"]), row["variant"]) == (*point, variant)
    ]
    course = sorted(rows, key=lambda row: int(row["critic_updates"]))
    first, last = (
        results.to_number(row["relative_deviation"], table, f"relative_deviation of {variant}")
        for row in (course[0], course[-1])
    )
    return first, last


def _over_points(decays: Decays, variant: str, points: Iterable[Point]) -> list[float]:
    """Each seed's mean decay over the saved generators; only of seeds that have a number at all of them.

    A seed whose gradient overflowed at one would otherwise stand for the others alone.
    """
    there = [decays[point].get(variant, {}) for point in points]
    whole = set.intersection(*(set(values) for values in there)) if there else set()
    return [fmean(values[seed] for values in there) for seed in sorted(whole)]


def _theory_tells(results: Results, limit: Thresholds) -> Finding:
    decays, counted = _decays(results), _separated(results, limit)
    trains, shares = results.study().get("trains", {}), _exact_shares(results, limit)
    agreeing: list[str] = []
    against: list[str] = []
    evidence: list[Evidence] = []
    open_cases = 0
    for variant, objective in trains.items():
        share = shares.get(objective)
        if share is None or limit["vanished_below"] <= share < limit["alive_above"]:
            continue
        one = _mean(_over_points(decays, variant, counted), limit)
        evidence.append(_evidence(f"decay_{variant}", one))
        if not one.low > limit["decades"] and not one.high < limit["decades"]:
            open_cases += 1
            continue
        agrees = (one.low > limit["decades"]) == (share < limit["vanished_below"])
        (agreeing if agrees else against).append(variant)
    decided = len(agreeing) + len(against)
    named = titles(results, "variants")
    verdict: Verdict = "inconclusive"
    wasserstein = any(trains[name] == "wasserstein" for name in agreeing) and not any(
        trains[name] == "wasserstein" for name in against
    )
    if decided >= limit["fewest"]:
        if len(agreeing) <= decided / 2:
            verdict = "contradicted"
        elif len(agreeing) >= limit["agreement"] * decided and wasserstein:
            verdict = "supported"
    differ = listed([named.get(name, name) for name in against])
    fallen = [name for name in agreeing if shares[trains[name]] < limit["vanished_below"]]
    alone = {
        benchmark: sum(
            _mean(_over_points(decays, name, points), limit).low > limit["decades"] for name in fallen
        )
        for benchmark in dict.fromkeys(benchmark for benchmark, _ in counted)
        for points in [[point for point in counted if point[0] == benchmark]]
    }
    title = titles(results, "benchmarks")
    single = listed([f"{count} on {title.get(name, name)}" for name, count in alone.items()])
    return Finding(
        verdict,
        [
            Evidence("agreeing", float(len(agreeing)), "variants"),
            Evidence("against", float(len(against)), "variants"),
            Evidence("undecided", float(open_cases), "variants"),
            *evidence,
        ],
        f"Of {decided} variants whose decay is decided at the {len(counted)} saved generators that are told "
        f"from data, {len(agreeing)} do what their exact curve says; not so: {differ}. Undecided, as with "
        f"seeds whose gradient overflowed: {open_cases}. Of the {len(fallen)} that lose it as they "
        f"should, these do on one benchmark alone: {single}.",
    )


_GRADIENT = frozenset({"at_distance", "alive_above", "vanished_below"})
_TRAINED = frozenset({"separated", "decades", "confidence"})
JUDGES = {
    "V3b": Judge(_minimax_vanishes, _TRAINED),
    "V4": Judge(_non_saturating_lives, _GRADIENT | _TRAINED),
    "V5": Judge(_theory_tells, _GRADIENT | _TRAINED | {"agreement", "fewest"}),
}
