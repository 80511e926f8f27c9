"""What happens during training: one small panel per variant, by family, the benchmarks in it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

from pipeline.figures.style import FAINT, INK, LOOKS, WIDTH, Drawing
from pipeline.figures.tables import FAMILIES, Results, Variant

COLUMNS = 6
PANEL, TITLE, HEAD, FOOT, LEFT, GAP = 0.4, 0.15, 0.19, 0.3, 0.3, 0.1  # inches
POINTS_WITH_MARKERS = 12
# The metric that counts what a generator holds, per kind of data, and how many there are to hold. Of the many
# modes of stacked digits a checkpoint's few samples cannot meet all: those are counted by their coincidences.
COUNTED: dict[str, tuple[str, Callable[[dict[str, Any]], int]]] = {
    "ring": ("modes_occupied", lambda data: int(data["modes"])),
    "grid": ("modes_occupied", lambda data: int(data["side"]) ** 2),
    "digits": ("classes_covered", lambda data: 10),
    "stacked_digits": ("effective_classes", lambda data: 1000),
}
WORDS = {
    "modes_occupied": "modes occupied",
    "classes_covered": "classes covered",
    "effective_classes": "effective modes (from coincidences among the samples)",
}
DECADES = ((0.001, "0.001"), (0.01, "0.01"), (0.1, "0.1"), (1, "1"))
HALVES = ((0, "0"), (0.5, "½"), (1, "1"))
WHOLES = ((0, "0"), (1, "1"), (2, "2"))
Marks = tuple[tuple[float, str], ...]  # of the upward axis
STYLES = ((), (3, 1.2), (1, 1), (5, 1, 1, 1))  # dashes of the benchmarks, in the study's order


@dataclass(frozen=True)
class Course:
    """A benchmark's curves, x and y as shares or in the figure's unit: variant, x, middle, low, high."""

    title: str
    table: pd.DataFrame
    n: int = 0  # samples that a value is measured on, where it is a metric


def modes_through_training(results: Results) -> Drawing | None:
    """Share of the modes held at every checkpoint, of every variant, interquartile mean with its interval."""
    return _modes(results, results.benchmarks, log=False)


def many_modes_through_training(results: Results) -> Drawing | None:
    """The same on the benchmarks of many modes, on which a few variants train, on a log scale.

    Of a thousand modes most variants hold some twenty, which lie on the axis of a linear one.
    """
    return _modes(results, results.more_modes, log=True)


def _modes(results: Results, benchmarks: dict[str, str], log: bool) -> Drawing | None:
    courses, counted = [], []
    for benchmark, title in benchmarks.items():
        data = results.data(benchmark)
        stem, count = COUNTED[data["kind"]]
        course = _followed(results, benchmark, stem, count(data))
        if course is not None:
            courses.append(course)
            counted.append(f"of the {count(data):,} {WORDS[stem]} of {title}")
    if not courses:
        return None
    groups = _trained(results, benchmarks)
    label = "share held, log scale" if log else "share held"
    figure = _small_multiples(groups, courses, label, log, DECADES if log else HALVES)
    caption = (
        f"The share {' and '.join(counted)} through training, one panel per variant, by family"
        + (", log scale" if log else "")
        + ": interquartile mean over seeds (line) with its 95 % interval (band), measured at each checkpoint "
        f"on {_samples(courses)}; a perfect sampler has 1 (dotted). A line that falls is collapse, one "
        "that rises again recovery. Grey: the middle half of the interquartile means of all variants on "
        f"{courses[0].title}."
    )
    alt = _alt(groups, benchmarks, "the share of modes or classes held")
    return Drawing(figure, caption, alt, ("progress.csv",))


def spread_through_training(results: Results) -> Drawing | None:
    """The spread within modes over that of the data at every checkpoint, on mixtures in the plane."""
    plane = {
        benchmark: title
        for benchmark, title in {**results.benchmarks, **results.more_modes}.items()
        if results.data(benchmark)["kind"] in ("ring", "grid")
    }
    found = [_followed(results, name, "mode_spread_ratio", 1) for name in plane]
    courses = [course for course in found if course is not None]
    if not courses:
        return None
    groups = _trained(results, plane)
    figure = _small_multiples(groups, courses, "spread ratio", log=False, marks=WHOLES)
    caption = (
        "Spread of the samples within a mode over that of the data through training, median over the modes "
        "occupied, one panel per variant, by family: interquartile mean over seeds (line) with its 95 % "
        f"interval (band), measured at each checkpoint on {_samples(courses)}. A perfect sampler has 1 "
        "(dotted); below it a mode shrinks, to a point at 0; above it samples blur, and 2.1 is the most: all "
        "further than 3 std from their mode's own centre. Grey: the middle half of the interquartile means "
        f"of all variants on {courses[0].title}."
    )
    return Drawing(figure, caption, _alt(groups, plane, "the spread within modes"), ("progress.csv",))


def _samples(courses: Sequence[Course]) -> str:
    """N samples, or N on each benchmark where they differ."""
    sizes = {course.title: course.n for course in courses}
    if len(set(sizes.values())) == 1:
        return f"N = {next(iter(sizes.values())):,} samples"
    return "samples, N = " + " and ".join(f"{n:,} on {title}" for title, n in sizes.items())


def _followed(results: Results, benchmark: str, stem: str, count: int) -> Course | None:
    """A metric at the checkpoints, over `count`; None when it is not among those that are kept."""
    metric = results.find_through_training(benchmark, stem)
    if metric is None:
        return None
    rows = results.progress
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == metric.name)]
    shares = rows[["point", "low", "high"]] / count
    table = pd.concat([rows[["variant", "step"]], shares], axis=1).rename(columns={"point": "middle"})
    return Course(results.title(benchmark), _as_share(table, results, benchmark), metric.n)


def _trained(results: Results, benchmarks: Iterable[str]) -> dict[str, list[Variant]]:
    """Family -> the variants that train on some of the benchmarks."""
    names = {variant.name for benchmark in benchmarks for variant in results.trained_on(benchmark)}
    groups = {family: [v for v in group if v.name in names] for family, group in results.families.items()}
    return {family: group for family, group in groups.items() if group}


def generator_gradient_norms(results: Results) -> Drawing | None:
    """Norm of the gradient that reaches the generator, median and quartiles over seeds, log scale."""
    quantity = "generator_gradient_norm"
    if quantity not in results.history.columns:
        return None
    courses = []
    for benchmark, title in results.benchmarks.items():
        rows = results.history[results.history.benchmark == benchmark]
        names = {quantity: "middle", f"{quantity}_q25": "low", f"{quantity}_q75": "high"}
        table = rows[["variant", "step", *names]].rename(columns=names)
        courses.append(Course(title, _as_share(table, results, benchmark)))
    figure = _small_multiples(results.families, courses, "gradient norm", log=True)
    caption = (
        "Norm of the generator's gradient through training, on a log scale, one panel per variant, by "
        "family: median over seeds (line) and quartiles (band). Grey: the middle half of the medians of all "
        f"variants on {courses[0].title}. What is far from most others leaves the frame; triangles "
        "at its edge: medians of 0 (below) and of infinity (above). Norms of different objectives "
        "have different units of loss; compare their course, not their height."
    )
    what = "the norm of the generator's gradient (log scale)"
    alt = _alt(results.families, results.benchmarks, what)
    return Drawing(figure, caption, alt, ("history.csv",))


def _as_share(table: pd.DataFrame, results: Results, benchmark: str) -> pd.DataFrame:
    """With x, the step as a share of the benchmark's generator updates."""
    return table.assign(x=table.step / results.study["settings"]["generator_updates"][benchmark])


def _small_multiples(
    groups: dict[str, list[Variant]], courses: list[Course], label: str, log: bool, marks: Marks = ()
) -> Figure:
    rows = sum(-(-len(group) // COLUMNS) for group in groups.values())
    height = rows * (PANEL + TITLE) + len(groups) * HEAD + FOOT
    figure = Figure(figsize=(WIDTH, height))
    columns = min(COLUMNS, max(map(len, groups.values())))
    width = (WIDTH - LEFT - 0.03) / max(columns, 4)
    if marks:
        low, high = marks[0][0], marks[-1][0]
        limits = (low / 1.3, high * 1.3) if log else (low, 1.08 * high)
    else:
        limits = _limits(courses)
    context = _range_of_all(courses[0].table)
    top = height
    last: dict[int, Axes] = {}
    for family, group in groups.items():
        figure.text(
            0.04 / WIDTH, (top - 0.07) / height, FAMILIES[family], color=LOOKS[family].text,
            fontsize=7.2, weight="bold", va="top",
        )  # fmt: skip
        top -= HEAD
        for place, variant in enumerate(group):
            row, column = divmod(place, COLUMNS)
            bottom = top - (row + 1) * (PANEL + TITLE)
            box = (LEFT + column * width, bottom + 0.02, width - GAP, PANEL - 0.04)
            axes = figure.add_axes((box[0] / WIDTH, box[1] / height, box[2] / WIDTH, box[3] / height))
            _curves(axes, variant, courses, context, log)
            axes.set_title(variant.title, color=LOOKS[family].text, fontsize=5.6, pad=2, loc="left")
            _ticks(axes, limits, log, marks, first=column == 0)
            last[column] = axes
        top -= -(-len(group) // COLUMNS) * (PANEL + TITLE)
    for axes in last.values():
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    _legend(figure, courses, height, label)
    return figure


def _curves(axes: Axes, variant: Variant, courses: list[Course], context: pd.DataFrame, log: bool) -> None:
    look = LOOKS[variant.family]
    axes.fill_between(context.x, context.low, context.high, color=FAINT, alpha=0.6, linewidth=0, zorder=0)
    drawn = False
    for course, dashes in zip(courses, STYLES, strict=False):
        own = course.table[course.table.variant == variant.name].sort_values("x")
        if log:
            _beyond(axes, own, look.colour)
            own = own[(own.middle > 0) & np.isfinite(own.middle)].replace(np.inf, np.nan)
        if own.middle.notna().any():
            axes.fill_between(own.x, own.low, own.high, color=look.colour, alpha=0.25, linewidth=0)
            line: dict[str, Any] = {"dashes": dashes} if dashes else {}
            if len(own) <= POINTS_WITH_MARKERS:
                line |= {"marker": look.marker, "ms": 1.6, "mew": 0}
            axes.plot(own.x, own.middle, color=look.colour, linewidth=0.9, zorder=3, **line)
            drawn = True
    if not drawn:
        axes.text(0.5, 0.5, "no seed left", transform=axes.transAxes, ha="center", va="center", fontsize=5.8)


def _beyond(axes: Axes, own: pd.DataFrame, colour: str) -> None:
    """Medians that a log axis cannot hold, at the edge of the frame: of 0 below, of infinity above."""
    for rows, height, marker in ((own[own.middle == 0], 0.06, "v"), (own[np.isinf(own.middle)], 0.94, "^")):
        if len(rows):
            axes.plot(
                rows.x, [height] * len(rows), marker, color=colour, ms=1.6, mew=0, zorder=3,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _range_of_all(table: pd.DataFrame) -> pd.DataFrame:
    """Quartiles over all variants of the middle at each x: columns x, low, high."""
    grouped = table.replace(np.inf, np.nan).groupby("x")["middle"]
    low, high = (grouped.quantile(q, interpolation="nearest") for q in (0.25, 0.75))
    return pd.DataFrame({"low": low, "high": high}).reset_index()


def _limits(courses: list[Course]) -> tuple[float, float]:
    """Of a log axis."""
    table = pd.concat([course.table for course in courses])
    positive = table[(table.middle > 0) & np.isfinite(table.middle)]
    if positive.empty:
        return 0.1, 1.0
    # The few that explode or vanish must not flatten the others: 90 % of the medians, and a decade more.
    low, high = positive.middle.quantile([0.05, 0.95])
    return float(low) / 10, float(high) * 10


def _ticks(axes: Axes, limits: tuple[float, float], log: bool, marks: Marks, first: bool) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], [])
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(FixedLocator([]))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if marks:
        axes.set_yticks([place for place, _ in marks], [text for _, text in marks])
        axes.axhline(1, color="#555555", linestyle=":", linewidth=0.6, zorder=2)
    axes.set_ylim(*limits)
    axes.tick_params(labelsize=5.4, length=1.6, pad=1.5)
    if not first:
        axes.tick_params(labelleft=False)


def _legend(figure: Figure, courses: list[Course], height: float, label: str) -> None:
    """Which dash is which benchmark, and what the axes are, below the panels."""
    axes = figure.add_axes((0, 0, 1, 0.13 / height), frameon=False)
    axes.set(xlim=(0, WIDTH), ylim=(0, 1), xticks=[], yticks=[])
    axes.text(
        0.05, 0.5, f"upwards: {label}; across: training, from its start to its end", fontsize=6, va="center"
    )
    here = 3.5
    for course, dashes in zip(courses, STYLES, strict=False):
        line: dict[str, Any] = {"dashes": dashes} if dashes else {}
        axes.plot([here, here + 0.3], [0.5, 0.5], color=INK, linewidth=0.9, **line)
        axes.text(here + 0.35, 0.5, course.title, fontsize=6, va="center")
        here += 1.3


def _alt(groups: dict[str, list[Variant]], benchmarks: dict[str, str], what: str) -> str:
    titles = ", ".join(variant.title for group in groups.values() for variant in group)
    return (
        f"Line charts of {what} through training, for {' and '.join(benchmarks.values())}, "
        f"one panel for each of {titles}, with bands of spread over seeds."
    )
