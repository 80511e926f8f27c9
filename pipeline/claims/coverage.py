"""Claims on the modes that trained runs hold: C1c (many modes), C1d (within modes) and C3 (direction of KL).

C3 compares two variants by the probability of improvement over pairs of seeds with Newcombe's interval
(pipeline.statistics.comparing).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from statistics import median

import numpy as np

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, listed, titles
from pipeline.claims.results import Results
from pipeline.claims.trained import (
    NBSP,
    Outcomes,
    Protocol,
    Seed,
    degenerate_evidence,
    degenerate_reading,
    final_seeds,
    holds_few_modes,
    outcomes_of,
    power_reading,
    protocol_of,
    rates_to_verdict,
)
from pipeline.statistics import Interval
from pipeline.statistics.comparing import probability_of_improvement

MANY_MODES = ("grid", "stacked_digits")
PLANE = ("ring", "grid")
DIRECTION = ("ring", "grid", "stacked_digits")
COVERS, BETWEEN, SEEKS = "kl", "jensen_shannon", "reverse_kl"


def _many_modes(results: Results, limit: Thresholds) -> Finding:
    return _rates(results, limit, MANY_MODES, holds_few_modes, "collapsed")


def _within_modes(results: Results, limit: Thresholds) -> Finding:
    def collapsed(seed: Seed, protocol: Protocol) -> bool:
        return seed.values["mode_spread_ratio"] < limit["spread"]

    found = _rates(results, limit, PLANE, collapsed, "collapsed within modes", ("mode_spread_ratio",))
    if not found.evidence:
        return found
    # A line through the mode's centre keeps the variance of one axis of two.
    flat = (
        f" The spread is over both axes: modes flattened to a line have a ratio of {sqrt(1 / 2):.1f} and do "
        "not count as collapsed."
        if sqrt(1 / 2) >= limit["spread"]
        else ""
    )
    return Finding(found.verdict, found.evidence, found.reading + flat)


def _rates(
    results: Results,
    limit: Thresholds,
    benchmarks: Sequence[str],
    collapsed: Callable[[Seed, Protocol], bool],
    word: str,
    beside: Sequence[str] = (),
) -> Finding:
    """The rates of seeds that reached the data and collapsed, per benchmark and variant."""
    protocols = _protocols(results, benchmarks)
    if not protocols:
        return Finding("inconclusive", [], f"The study has no runs on {' or '.join(benchmarks)}.")
    intervals = sum(len(protocol.variants) for protocol in protocols)
    tail = (1 - limit["confidence"]) / (2 * intervals)
    evidence, bounds, seen = [], [], []
    ended: dict[str, list[Outcomes]] = {}
    title = titles(results, "variants")
    for protocol in protocols:
        for variant in protocol.variants:
            final = final_seeds(results, protocol, variant, (protocol.counted, *beside))
            outcome = outcomes_of(protocol, final, collapsed)
            ended.setdefault(_place(results, protocol), []).append(outcome)
            bounds.append(outcome.bounds(tail))
            name = f"{variant}_{protocol.benchmark}"
            evidence += _evidence(name, outcome, bounds[-1], final, (*beside, protocol.counted))
            if outcome.collapsed:
                where = f"{title.get(variant, variant)} on {_place(results, protocol)}"
                seen.append((outcome.collapsed, f"{where} ({outcome.collapsed} of {outcome.seeds})"))
    seeds = min(protocol.seeds for protocol in protocols)
    verdict = rates_to_verdict(bounds, seeds, limit)
    names = [text for _, text in sorted(seen, key=lambda pair: -pair[0])]
    best = max(low for low, _ in bounds)
    reading = (
        f"Seeds {word}: {listed(names)}; the highest lower bound of a rate is {best:.2g}, and more than "
        f"{limit['rate']:g} is asked for."
        f"{power_reading(seeds, intervals, tail, limit['rate'])}{degenerate_reading(ended)}"
    )
    return Finding(verdict, evidence, reading)


def _place(results: Results, protocol: Protocol) -> str:
    return titles(results, "benchmarks").get(protocol.benchmark, protocol.benchmark)


def _evidence(
    name: str,
    outcome: Outcomes,
    bounds: tuple[float, float],
    final: Sequence[Seed],
    stems: Sequence[str],
) -> list[Evidence]:
    """The rate, the seeds set aside, and the median and range of each metric over those that are left."""
    rate = outcome.collapsed / outcome.seeds
    found = [Evidence(f"collapse_rate_{name}", rate, "of the seeds", *bounds)]
    if outcome.missed:
        found.append(Evidence(f"missed_seeds_{name}", float(outcome.missed), "seeds"))
        found += degenerate_evidence(name, outcome)
    if outcome.diverged:
        found.append(Evidence(f"diverged_seeds_{name}", float(outcome.diverged), "seeds"))
    unit = "median, range of the seeds that reached the data"
    for stem in stems:
        values = [seed.values[stem] for seed in final if not seed.missed]
        ends = (min(values), max(values)) if values else (None, None)
        found.append(Evidence(f"{stem}_{name}", median(values) if values else None, unit, *ends))
    return found


@dataclass(frozen=True)
class Direction:
    """One benchmark of C3: who wins, who is lost, and whether KL itself collapses."""

    protocol: Protocol
    improvement: Interval
    collapse: Outcomes
    collapse_bounds: tuple[float, float]
    held: dict[str, list[Seed]]


def _direction(results: Results, limit: Thresholds) -> Finding:
    protocols = [
        protocol for protocol in _protocols(results, DIRECTION) if {COVERS, SEEKS} <= set(protocol.variants)
    ]
    if not protocols:
        return Finding("inconclusive", [], f"The study has no runs of {COVERS} and {SEEKS} on one benchmark.")
    # Two kinds of interval on every benchmark, two sides each.
    tail = (1 - limit["confidence"]) / (4 * len(protocols))
    found = [_compared(results, protocol, tail) for protocol in protocols]
    above = [one for one in found if one.improvement.low > 0.5 and _gap(one) >= limit["gap"]]
    below = [one for one in found if one.improvement.high < 0.5]
    collapsing = [one for one in found if one.collapse_bounds[0] > limit["rate"]]
    verdict: Verdict = "inconclusive"
    if all(protocol.seeds >= limit["fewest_seeds"] for protocol in protocols):
        if below or collapsing:
            verdict = "contradicted"
        elif len(above) >= limit["fewest_benchmarks"]:
            verdict = "supported"
    evidence = [item for one in found for item in _direction_evidence(one, tail)]
    return Finding(verdict, evidence, _direction_reading(results, found))


def _direction_reading(results: Results, found: Sequence[Direction]) -> str:
    places = {_place(results, one.protocol): one for one in found}
    total = Outcomes(
        collapsed=sum(one.collapse.collapsed for one in found),
        missed=sum(one.collapse.missed for one in found),
        missed_degenerate=None,
        diverged=sum(one.collapse.diverged for one in found),
        seeds=sum(one.collapse.seeds for one in found),
    )
    improvements = ", ".join(
        f"{one.improvement.point:.2g} on {place} ({one.improvement.low:.2g} to {one.improvement.high:.2g})"
        for place, one in places.items()
    )
    compared = "; ".join(f"on {place}, {_sides(one)}" for place, one in places.items())
    return (
        f"Probability that a seed of KL ends with more modes than one of reverse KL: {improvements}. Behind "
        f"it, the median of modes over the seeds that reached the data: {compared}. Of {total.seeds} seeds "
        f"of KL {total.collapsed} collapsed, of the {total.reached} that reached the data; {total.missed} "
        f"missed them and {total.diverged} diverged."
        + degenerate_reading({f"{place} (KL)": [one.collapse] for place, one in places.items()})
    )


def _sides(one: Direction) -> str:
    """Both medians, each with how many seeds it is of, and their difference as a share of all modes."""
    said = []
    for name, words in ((COVERS, "KL"), (SEEKS, "reverse KL")):
        values = _modes_held(one, name)
        middle = f"{median(values):g}" if values else "no number"
        lost = one.protocol.seeds - len(values)
        said.append(f"{words} {middle} ({len(values)} of {one.protocol.seeds} seeds, {lost} lost)")
    gap = _gap(one)
    if not isfinite(gap):
        return ", ".join(said)
    side = "equal" if gap == 0 else f"{100 * abs(gap):.3g}{NBSP}% {'more' if gap > 0 else 'fewer'} under KL"
    return f"{', '.join(said)}: of {one.protocol.modes} modes {side}"


def _modes_held(one: Direction, name: str) -> list[float]:
    """The modes of each seed of one side that reached the data."""
    return [seed.values[one.protocol.counted] for seed in one.held[name] if not seed.missed]


def _gap(one: Direction) -> float:
    """By how much of the modes the median of KL lies above that of reverse KL, seeds that missed aside.

    -infinity where a side has none left.
    """
    sides = [_modes_held(one, name) for name in (COVERS, SEEKS)]
    if not all(sides):
        return -inf
    return (median(sides[0]) - median(sides[1])) / one.protocol.modes


def _compared(results: Results, protocol: Protocol, tail: float) -> Direction:
    names = [name for name in (COVERS, BETWEEN, SEEKS) if name in protocol.variants]
    held = {name: final_seeds(results, protocol, name, (protocol.counted,)) for name in names}
    improvement = _improvement(protocol, held[COVERS], held[SEEKS], tail)
    collapse = outcomes_of(protocol, held[COVERS], holds_few_modes)
    return Direction(protocol, improvement, collapse, collapse.bounds(tail), held)


def _improvement(protocol: Protocol, x: Sequence[Seed], y: Sequence[Seed], tail: float) -> Interval:
    """How often a seed of x holds more modes than one of y, with `tail` outside on either side.

    Point over the seeds that reached the data, 1/2 where a side has none. A lost seed of x loses in the lower
    bound and wins in the upper; one of y does the opposite.
    """
    n, stem = protocol.seeds, protocol.counted
    nothing, everything = -1.0, protocol.modes + 1.0
    reached = [np.array([seed.values[stem] for seed in side if not seed.missed]) for side in (x, y)]

    def compared(lost_of_x: float, lost_of_y: float) -> Interval:
        first, second = (
            np.append(side, [lost] * (n - len(side)))
            for side, lost in zip(reached, (lost_of_x, lost_of_y), strict=True)
        )
        return probability_of_improvement(first, second, tail=tail)

    point = probability_of_improvement(reached[0], reached[1]).point if all(map(len, reached)) else 0.5
    if n < 2:  # one pair of seeds has no interval: nothing is known
        return Interval(point, 0.0, 1.0)
    return Interval(point, compared(nothing, everything).low, compared(everything, nothing).high)


def _direction_evidence(one: Direction, tail: float) -> list[Evidence]:
    protocol, place = one.protocol, one.protocol.benchmark
    unit = "probability"
    found = [Evidence(f"{COVERS}_over_{SEEKS}_{place}", one.improvement[0], unit, *one.improvement[1:])]
    if BETWEEN in one.held:
        for first, second in ((COVERS, BETWEEN), (BETWEEN, SEEKS)):
            point, *ends = _improvement(protocol, one.held[first], one.held[second], tail)
            found.append(Evidence(f"{first}_over_{second}_{place}", point, unit, *ends))
    rate = one.collapse.collapsed / one.collapse.seeds
    found.append(Evidence(f"collapse_rate_{COVERS}_{place}", rate, "of the seeds", *one.collapse_bounds))
    for name, seeds in one.held.items():
        values = _modes_held(one, name)
        middle = median(values) if values else None
        low, high = (min(values), max(values)) if values else (None, None)
        unit = f"of {protocol.modes}, median, range"
        found.append(Evidence(f"modes_{name}_{place}", middle, unit, low, high))
        lost = protocol.seeds - len(values)
        found.append(Evidence(f"lost_seeds_{name}_{place}", float(lost), "seeds"))
        if any(seed.missed for seed in seeds):
            found += degenerate_evidence(f"{name}_{place}", outcomes_of(protocol, seeds, holds_few_modes))
    return found


def _protocols(results: Results, benchmarks: Sequence[str]) -> list[Protocol]:
    found = [protocol_of(results, benchmark) for benchmark in benchmarks]
    return [protocol for protocol in found if protocol is not None]


_RATE = frozenset({"confidence", "rate", "fewest_seeds"})
JUDGES = {
    "C1c": Judge(_many_modes, _RATE),
    "C1d": Judge(_within_modes, _RATE | {"spread"}),
    "C3": Judge(_direction, _RATE | {"fewest_benchmarks", "gap"}),
}
