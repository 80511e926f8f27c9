"""What a claim's function is, takes and returns, and the register of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.claims.results import Results

Verdict = Literal["supported", "contradicted", "inconclusive"]
Thresholds = Mapping[str, float]


@dataclass(frozen=True)
class Evidence:
    """One number behind a verdict; `low` and `high` bound it where it is an estimate, else None."""

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Finding:
    """What a claim's function returns."""

    verdict: Verdict
    evidence: Sequence[Evidence]
    reading: str


@dataclass(frozen=True)
class Judge:
    """The function that gives a claim its verdict, and the thresholds it reads from the criterion."""

    function: Callable[[Results, Thresholds], Finding]
    thresholds: frozenset[str]


def grade(largest: float, allowed: float, refuted: float) -> Verdict:
    """Supported up to `allowed`, contradicted above `refuted`, inconclusive between."""
    return "supported" if largest <= allowed else "contradicted" if largest > refuted else "inconclusive"


def listed(names: Sequence[str]) -> str:
    """For readings: a, b, c; or none."""
    return ", ".join(names) if names else "none"


def titles(results: Results, kind: str) -> dict[str, str]:
    """For readings: name -> title of the `variants` or `objectives`, as far as study.json has them."""
    return {name: entry["title"] for name, entry in results.study().get(kind, {}).items()}


def objectives_named(results: Results, names: Sequence[str]) -> str:
    """For readings: the objectives' titles, a, b, c; or none."""
    title = titles(results, "objectives")
    return listed([title.get(name, name) for name in names])
