"""Claims judged from trained runs on the ring: C1a (one mode), C1b (few modes); and how runs are read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, listed, titles
from pipeline.claims.results import Results
from pipeline.errors import UserError
from pipeline.statistics import count_to_interval

DEGENERATE = 0.9  # the share of C1a: of the samples at one mode
NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Protocol:
    """What study.json says about the runs on one benchmark."""

    benchmark: str
    variants: tuple[str, ...]
    seeds: int
    samples: int
    modes: int
    collapse_below: float  # share of the modes
    counted: str  # stem of the metric that counts the modes held
    largest: str  # stem of the metric with the share of the samples at the most frequent mode
    suffix: str  # of metrics' names, after their N


@dataclass(frozen=True)
class Seed:
    """The final samples of one seed that did not diverge: values by stem."""

    values: Mapping[str, float]
    missed: bool  # the samples have not reached the data
    largest_share: float | None  # of the samples at one mode; None where the table has no such number


@dataclass(frozen=True)
class Outcomes:
    """How the seeds of one variant ended; those not counted here did not collapse."""

    collapsed: int
    missed: int
    missed_degenerate: int | None  # of those missed, at one mode all the same; None where that is not known
    diverged: int
    seeds: int

    @property
    def reached(self) -> int:
        """Seeds that reached the data."""
        return self.seeds - self.missed - self.diverged

    def bounds(self, tail: float) -> tuple[float, float]:
        """Bounds of the rate of collapse: a diverged seed is no collapse below and one above."""
        low = count_to_interval(self.collapsed, self.seeds, tail).low
        return low, count_to_interval(self.collapsed + self.diverged, self.seeds, tail).high


def _to_one_mode(results: Results, limit: Thresholds) -> Finding:
    def collapsed(seed: Seed, protocol: Protocol) -> bool:
        return seed.values["largest_mode_share"] >= limit["share"]

    return _collapse(results, limit, collapsed)


def holds_few_modes(seed: Seed, protocol: Protocol) -> bool:
    """Whether a seed holds fewer modes than its benchmark asks for."""
    return seed.values[protocol.counted] < protocol.collapse_below * protocol.modes


def _to_few_modes(results: Results, limit: Thresholds) -> Finding:
    return _collapse(results, limit, holds_few_modes)


def _collapse(results: Results, limit: Thresholds, collapsed: Callable[[Seed, Protocol], bool]) -> Finding:
    """The rate of seeds that reached the data and collapsed, per variant."""
    protocol = protocol_of(results, "ring")
    if protocol is None:
        return Finding("inconclusive", [], "The study has no runs on the benchmark 'ring'.")
    tail = (1 - limit["confidence"]) / (2 * len(protocol.variants))
    stems = (protocol.counted, "largest_mode_share")
    outcomes = {
        variant: outcomes_of(protocol, final_seeds(results, protocol, variant, stems), collapsed)
        for variant in protocol.variants
    }
    bounds = {variant: outcome.bounds(tail) for variant, outcome in outcomes.items()}
    evidence = []
    for variant, outcome in outcomes.items():
        rate = outcome.collapsed / outcome.seeds
        evidence += [
            Evidence(f"collapse_rate_{variant}", rate, "of the seeds", *bounds[variant]),
            Evidence(f"missed_seeds_{variant}", float(outcome.missed), "seeds"),
            *degenerate_evidence(variant, outcome),
            Evidence(f"diverged_seeds_{variant}", float(outcome.diverged), "seeds"),
            _largest_share(results, protocol, variant, outcome),
        ]
    place = titles(results, "benchmarks").get(protocol.benchmark, protocol.benchmark)
    reading = (
        _reading(outcomes, bounds, titles(results, "variants"), limit["rate"])
        + power_reading(protocol.seeds, len(outcomes), tail, limit["rate"])
        + degenerate_reading({place: list(outcomes.values())})
    )
    return Finding(rates_to_verdict(bounds.values(), protocol.seeds, limit), evidence, reading)


def rates_to_verdict(bounds: Iterable[tuple[float, float]], seeds: int, limit: Thresholds) -> Verdict:
    """Whether any rate of collapse, in jointly valid bounds (low, high), lies above the `rate` of `limit`."""
    bounds = list(bounds)
    if seeds < limit["fewest_seeds"]:
        return "inconclusive"
    if any(low > limit["rate"] for low, _ in bounds):
        return "supported"
    return "contradicted" if all(high < limit["rate"] for _, high in bounds) else "inconclusive"


def outcomes_of(
    protocol: Protocol, final: Sequence[Seed], collapsed: Callable[[Seed, Protocol], bool]
) -> Outcomes:
    """How the seeds of one variant ended, of which `final` did not diverge."""
    shares = [seed.largest_share for seed in final if seed.missed]
    known = [share for share in shares if share is not None]
    return Outcomes(
        collapsed=sum(collapsed(seed, protocol) for seed in final if not seed.missed),
        missed=len(shares),
        missed_degenerate=sum(share >= DEGENERATE for share in known) if len(known) == len(shares) else None,
        diverged=protocol.seeds - len(final),
        seeds=protocol.seeds,
    )


def degenerate_evidence(name: str, outcome: Outcomes) -> list[Evidence]:
    """How many of the seeds that missed the data are at one mode all the same; nothing where not known."""
    if outcome.missed_degenerate is None:
        return []
    return [Evidence(f"missed_degenerate_seeds_{name}", float(outcome.missed_degenerate), "seeds")]


def degenerate_reading(outcomes: Mapping[str, Sequence[Outcomes]]) -> str:
    """A sentence on them, by the place of training; of variants of which it is known."""
    said = []
    for place, group in outcomes.items():
        known = [one for one in group if one.missed_degenerate is not None]
        missed = sum(one.missed for one in known)
        if missed:
            said.append(f"{sum(one.missed_degenerate or 0 for one in known)} of {missed} on {place}")
    if not said:
        return ""
    return (
        f" Besides, of the seeds that missed the data, which do not count as collapsed, {listed(said)} put "
        f"at least {100 * DEGENERATE:g}{NBSP}% of their samples at one mode."
    )


def power_reading(seeds: int, intervals: int, tail: float, rate: float) -> str:
    """A sentence on the least count of collapsed seeds that lifts a lower bound above `rate`."""
    least = least_count(seeds, tail, rate)
    asked = "no count lifts" if least is None else f"it takes {least} to lift"
    return f" Of {seeds} seeds {asked} the bound above {rate:g}, {intervals} intervals holding together."


def least_count(seeds: int, tail: float, rate: float) -> int | None:
    """The fewest of `seeds` whose lower Clopper-Pearson bound is above `rate`; None where all are too few."""
    counts = range(1, seeds + 1)
    return next((count for count in counts if count_to_interval(count, seeds, tail).low > rate), None)


def _reading(
    outcomes: dict[str, Outcomes],
    bounds: dict[str, tuple[float, float]],
    title: dict[str, str],
    rate: float,
) -> str:
    collapsing = sorted(
        (variant for variant in outcomes if outcomes[variant].collapsed),
        key=lambda variant: -outcomes[variant].collapsed,
    )
    names = [
        f"{title.get(name, name)} ({outcomes[name].collapsed} of {outcomes[name].seeds})"
        for name in collapsing
    ]
    best = max(low for low, _ in bounds.values())
    return (
        f"Collapsed seeds on the ring: {listed(names)}; the highest lower bound of a rate is {best:.2g}, and "
        f"more than {rate:g} is asked for."
    )


def protocol_of(results: Results, benchmark: str) -> Protocol | None:
    """None when the study has no runs on the benchmark. Raises UserError naming a setting that is missing."""
    study = results.study()
    try:
        variants = tuple(variant for name, variant in study["runs"] if name == benchmark)
        if not variants:
            return None
        setting = study["benchmarks"][benchmark]
        modes = _MODES[setting["data"]["kind"]](setting["data"])
        is_mixture = setting["data"]["kind"] in ("ring", "grid")
        return Protocol(
            benchmark,
            variants,
            study["settings"]["seeds"],
            setting["evaluation_samples"],
            modes,
            setting["collapse_below"],
            _COUNTED[setting["data"]["kind"]],
            "largest_mode_share" if is_mixture else "largest_class_share",
            "" if is_mixture else "_held_out_classifier",
        )
    except KeyError as error:
        raise UserError(f"{results.folder / 'study.json'}: {error.args[0]!r} is missing") from None


_MODES: dict[str, Callable[[dict[str, int]], int]] = {
    "ring": lambda data: data["modes"],
    "grid": lambda data: data["side"] ** 2,
    "digits": lambda data: 10,
    "stacked_digits": lambda data: 1000,
}
# What says how many modes a seed holds, as pipeline/metrics counts them.
_COUNTED = {
    "ring": "modes_occupied",
    "grid": "modes_occupied",
    "digits": "classes_covered",
    "stacked_digits": "classes_captured",
}


def final_seeds(results: Results, protocol: Protocol, variant: str, stems: Sequence[str]) -> list[Seed]:
    """A variant's seeds at the final step, without those that diverged.

    Raises UserError for a seed that did not diverge and lacks a number of `stems`.
    """
    table = "metrics.csv"
    largest = f"{protocol.largest}_n{protocol.samples}{protocol.suffix}"
    names = {f"{stem}_n{protocol.samples}{protocol.suffix}": stem for stem in stems} | {"missed": "missed"}
    final: dict[tuple[int, str], tuple[float, float]] = {}
    diverged = set()
    for row in results.rows(table, "benchmark", "variant", "seed", "step", "metric", "value"):
        if (row["benchmark"], row["variant"]) != (protocol.benchmark, variant):
            continue
        seed, metric = int(row["seed"]), row["metric"]
        if metric == "diverged" and float(row["value"]) > 0:
            diverged.add(seed)
        elif metric in names or metric == largest:
            what = f"{metric} of {protocol.benchmark} {variant} seed {seed}"
            value = results.to_number(row["value"], table, what)
            final[seed, metric] = max(final.get((seed, metric), (-1.0, 0.0)), (float(row["step"]), value))
    kept = [seed for seed in range(protocol.seeds) if seed not in diverged]
    for seed in kept:
        for metric in names:
            if (seed, metric) not in final:
                where = f"{protocol.benchmark} {variant} seed {seed}"
                raise UserError(f"{results.folder / table}: no {metric} of {where}")
    found = [
        ({stem: final[seed, metric][1] for metric, stem in names.items()}, final.get((seed, largest)))
        for seed in kept
    ]
    return [
        Seed(values, values["missed"] == 1, None if share is None else share[1]) for values, share in found
    ]


def _largest_share(results: Results, protocol: Protocol, variant: str, outcome: Outcomes) -> Evidence:
    """The summary's interval over the seeds; without a value when every seed diverged."""
    name, unit = f"largest_mode_share_{variant}", "of the samples"
    if outcome.diverged == outcome.seeds:
        return Evidence(name, None, unit)
    row = {
        "benchmark": protocol.benchmark,
        "variant": variant,
        "metric": f"largest_mode_share_n{protocol.samples}",
    }
    point, low, high = (results.number("summary.csv", column, **row) for column in ("point", "low", "high"))
    return Evidence(name, point, unit, low, high)


_RATE = frozenset({"confidence", "rate", "fewest_seeds"})
JUDGES = {"C1a": Judge(_to_one_mode, _RATE | {"share"}), "C1b": Judge(_to_few_modes, _RATE)}
