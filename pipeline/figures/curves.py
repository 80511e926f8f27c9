"""What happens during training: one small panel per variant, by family, both benchmarks in it."""

from collections.abc import Callable
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
# The metric that counts what a generator covers, per kind of data, and how many there are to cover.
COVERAGE: dict[str, tuple[str, Callable[[dict[str, object]], int]]] = {
    "ring": ("modes_covered", lambda data: int(str(data["modes"]))),
    "digits": ("classes_covered", lambda data: 10),
}
STYLES = ((), (3, 1.2), (1, 1), (5, 1, 1, 1))  # dashes of the benchmarks, in the study's order


@dataclass(frozen=True)
class Course:
    """A benchmark's curves, x and y as shares or in the figure's unit: variant, x, middle, low, high."""

    title: str
    table: pd.DataFrame


def modes_through_training(results: Results) -> Drawing | None:
    """Share of the modes (classes) covered at every checkpoint, interquartile mean with its interval."""
    courses, stems = [], []
    for benchmark, title in results.benchmarks.items():
        data = results.data(benchmark)
        stem, count = COVERAGE.get(data["kind"], ("", lambda _: 0))
        metric = results.metric(benchmark, stem)
        if metric is None:
            continue
        rows = results.progress
        rows = rows[(rows.benchmark == benchmark) & (rows.metric == metric)]
        shares = rows[["point", "low", "high"]] / count(data)
        table = pd.concat([rows[["variant", "step"]], shares], axis=1).rename(columns={"point": "middle"})
        courses.append(Course(title, _as_share(table, results, benchmark)))
        stems.append(f"{stem.removesuffix('_covered')} of {title}")
    if not courses:
        return None
    figure = _small_multiples(results, courses, "share covered", log=False)
    caption = (
        f"The share covered of the {' and of the '.join(stems)} through training, one panel per variant, by "
        "family: interquartile mean over seeds (line) with its 95 % bootstrap interval (band). Grey: the "
        f"middle half of the interquartile means of all variants on {courses[0].title}."
    )
    return Drawing(figure, caption, _alt(results, "the share of modes or classes covered"), ("progress.csv",))


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
    figure = _small_multiples(results, courses, "gradient norm", log=True)
    caption = (
        "Norm of the generator's gradient through training, on a log scale, one panel per variant, by "
        "family: median over seeds (line) and quartiles (band). Grey: the middle half of the medians of all "
        f"variants on {courses[0].title}. What is far from most others leaves the frame; triangles "
        "at its edge: medians of 0 (below) and of infinity (above). Norms of different objectives "
        "have different units of loss; compare their course, not their height."
    )
    alt = _alt(results, "the norm of the generator's gradient (log scale)")
    return Drawing(figure, caption, alt, ("history.csv",))


def _as_share(table: pd.DataFrame, results: Results, benchmark: str) -> pd.DataFrame:
    """With x, the step as a share of the benchmark's generator updates."""
    return table.assign(x=table.step / results.study["settings"]["generator_updates"][benchmark])


def _small_multiples(results: Results, courses: list[Course], label: str, log: bool) -> Figure:
    groups = results.families
    rows = sum(-(-len(group) // COLUMNS) for group in groups.values())
    height = rows * (PANEL + TITLE) + len(groups) * HEAD + FOOT
    figure = Figure(figsize=(WIDTH, height))
    columns = min(COLUMNS, max(map(len, groups.values())))
    width = (WIDTH - LEFT - 0.03) / max(columns, 4)
    limits = _limits(courses, log)
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
            _ticks(axes, limits, log, first=column == 0)
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


def _limits(courses: list[Course], log: bool) -> tuple[float, float]:
    if not log:
        return 0.0, 1.08
    table = pd.concat([course.table for course in courses])
    positive = table[(table.middle > 0) & np.isfinite(table.middle)]
    if positive.empty:
        return 0.1, 1.0
    # The few that explode or vanish must not flatten the others: 90 % of the medians, and a decade more.
    low, high = positive.middle.quantile([0.05, 0.95])
    return float(low) / 10, float(high) * 10


def _ticks(axes: Axes, limits: tuple[float, float], log: bool, first: bool) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], [])
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(FixedLocator([]))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_yticks([0, 0.5, 1], ["0", "½", "1"])
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


def _alt(results: Results, what: str) -> str:
    titles = ", ".join(variant.title for variant in results.variants.values())
    return (
        f"Line charts of {what} through training, for {' and '.join(results.benchmarks.values())}, "
        f"one panel for each of {titles}, with bands of spread over seeds."
    )
