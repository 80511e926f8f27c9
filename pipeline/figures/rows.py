"""Charts of one row per variant: a marker with its interval in each of some panels beside each other."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.figures.style import FAINT, LOOKS, SOFT, WIDTH, letter, wrapped
from pipeline.figures.tables import Results, Variant, to_records
from pipeline.statistics import count_to_interval

ROW, HEAD, FOOT = 0.118, 0.55, 0.3  # inches: a row, the titles and the axis
GAP = 1.35  # rows between groups
BELOW = 0.32  # rows by which the second value of a row stands under the first
TITLE_CHARACTERS = 19  # what a panel is wide
LOG_FROM = 30  # a positive metric that spans more than this factor over the variants gets a log axis
KINDS = {
    "floor": ("--", "floor of a perfect sampler (dashed)"),
    "ceiling": ("-.", "ceiling of a perfect sampler (dash-dotted)"),
    "perfect": (":", "a perfect sampler (dotted)"),
    "real_vs_real": (":", "real against real (dotted)"),
}
Band = tuple[float, float, float]  # point, low, high


@dataclass(frozen=True)
class Panel:
    """One column of the chart: values {variant: point, low, high}, their title and axis."""

    title: str
    values: Mapping[str, Band]
    higher_is_better: bool | None
    references: pd.DataFrame | None = None
    limits: tuple[float, float] | None = None
    log: bool | None = None  # None: as the values ask for
    empty: str = "diverged"  # what a row without a value says
    notes: Mapping[str, str] = field(default_factory=dict)  # the same of single rows
    characters: int = TITLE_CHARACTERS  # of a line of the title
    hollow: Collection[str] = ()  # rows whose marker is not filled
    beside: Mapping[str, Band] = field(default_factory=dict)  # a second value of a row: grey, below the first


def row_chart(groups: Mapping[str, Sequence[Variant]], panels: Sequence[Panel]) -> Figure:
    """The groups below each other, each under its name; in a group, the variants in the given order."""
    places, heads, here = {}, {}, 0.0
    for name, variants in groups.items():
        heads[name] = here
        for variant in variants:
            here -= 1
            places[variant.name] = here
        here -= GAP
    here += GAP
    rows = -here
    figure = Figure(figsize=(WIDTH, rows * ROW + HEAD + FOOT), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    by_name = {variant.name: variant for variants in groups.values() for variant in variants}
    for index, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
        _panel(axes, panel, by_name, places)
        _words(axes, index, panel)
    first = grid[0]
    first.set_ylim(here - 0.6, 0.7)
    first.set_yticks(list(places.values()), [by_name[name].title for name in places], fontsize=6.2)
    first.tick_params(axis="y", length=0)
    for label, name in zip(first.get_yticklabels(), places, strict=True):
        label.set_color(LOOKS[by_name[name].family].text)
    for name, height in heads.items():
        first.annotate(
            name, (0, height), xycoords=("axes fraction", "data"), xytext=(-4, 0),
            textcoords="offset points", ha="right", va="center", fontsize=6.4, weight="bold",
        )  # fmt: skip
    return figure


def _panel(axes: Axes, panel: Panel, variants: Mapping[str, Variant], places: Mapping[str, float]) -> None:
    across = axes.get_yaxis_transform()
    _segments(axes, [(0.0, 1.0, y) for y in places.values()], FAINT, 0.4, transform=across, zorder=0)
    if panel.references is not None:
        _references(axes, panel.references)
    for family, look in LOOKS.items():
        names = [name for name in places if variants[name].family == family and name in panel.values]
        bars = [(*panel.values[name][1:], places[name]) for name in names]
        _segments(axes, bars, look.colour, 1.4, solid_capstyle="butt", zorder=3)
        filled = [name for name in names if name not in panel.hollow]
        hollow = [name for name in names if name in panel.hollow]
        for group, inside, edge, width in (
            (filled, look.colour, "white", 0.4),
            (hollow, "white", look.colour, 0.8),
        ):
            if not group:
                continue
            for marker, shown in _in_frame(panel, group, look.marker).items():
                axes.plot(
                    list(shown.values()), [places[name] for name in shown], marker, ms=3.4, mfc=inside,
                    mec=edge, mew=width, zorder=4, clip_on=marker not in "<>",
                )  # fmt: skip
    if panel.beside:
        bars = [(low, high, places[name] - BELOW) for name, (_, low, high) in panel.beside.items()]
        _segments(axes, bars, SOFT, 0.7, zorder=3)
        axes.plot(
            [point for point, _, _ in panel.beside.values()], [height for _, _, height in bars], "o", ms=2.2,
            mfc="white", mec=SOFT, mew=0.6, zorder=4, linestyle="none",
        )  # fmt: skip
    for name in places:
        if name not in panel.values:
            note = panel.notes.get(name, panel.empty)
            axes.text(
                0.5, places[name], note, transform=across, ha="center", va="center", fontsize=5.4, color=SOFT,
                zorder=5, backgroundcolor="white", bbox={"pad": 0.3, "fc": "white", "ec": "none"},
            )  # fmt: skip
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _scale(axes, panel)


def _in_frame(panel: Panel, names: Sequence[str], marker: str) -> dict[str, dict[str, float]]:
    """Marker -> row -> point: a triangle at the edge for a point beyond the panel's limits."""
    found: dict[str, dict[str, float]] = {}
    low, high = panel.limits or (-np.inf, np.inf)
    for name in names:
        point = panel.values[name][0]
        edge = "<" if point < low else ">" if point > high else marker
        found.setdefault(edge, {})[name] = min(max(point, low), high)
    return found


def _segments(axes: Axes, bars: Sequence[Band], colour: str, width: float, **more: object) -> None:
    """Horizontal lines (from, to, height) as one path; an end that is NaN draws nothing."""
    x = [value for left, right, _ in bars for value in (left, right, np.nan)]
    y = [value for _, _, height in bars for value in (height, height, np.nan)]
    keywords: dict[str, object] = {"color": colour, "linewidth": width, **more}
    axes.plot(x, y, **keywords)  # type: ignore[arg-type]


def _references(axes: Axes, references: pd.DataFrame) -> None:
    """References, each as a line with its band."""
    for row in to_records(references):
        line, _ = KINDS[row["kind"]]
        if row["low"] is not None and row["high"] is not None and row["high"] > row["low"]:
            axes.axvspan(row["low"], row["high"], color=SOFT, alpha=0.25, linewidth=0, zorder=1)
        axes.axvline(row["value"], color="#555555", linestyle=line, linewidth=0.8, zorder=2)


def _is_log(panel: Panel) -> bool:
    """Whether the axis is logarithmic: as the panel says, or as its values ask for."""
    if panel.log is not None:
        return panel.log
    if panel.limits is not None:  # those of a share, which begin below 0
        return False
    numbers = np.array([value for band in panel.values.values() for value in band[:2]])
    numbers = numbers[np.isfinite(numbers)]
    positive = bool(len(numbers)) and float(numbers.min()) > 0
    return panel.higher_is_better is not True and positive and numbers.max() / numbers.min() > LOG_FROM


def _scale(axes: Axes, panel: Panel) -> None:
    if _is_log(panel):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=3))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    if panel.limits is not None:
        axes.set_xlim(*panel.limits)


def _words(axes: Axes, index: int, panel: Panel) -> None:
    axes.set_title(wrapped(f"({letter(index)}) {panel.title}", panel.characters), loc="left", fontsize=6.8)
    sides: dict[bool | None, tuple[str, Literal["left", "center", "right"]]] = {
        True: ("higher is better →", "right"),
        False: ("← lower is better", "left"),
        None: ("", "center"),
    }
    text, side = sides[panel.higher_is_better]
    axes.set_xlabel(text, fontsize=6, labelpad=1.5, loc=side)


def bands(table: pd.DataFrame, columns: tuple[str, str, str] = ("point", "low", "high")) -> dict[str, Band]:
    """variant -> point, low, high of a summary's rows of one metric; without the rows that have no point."""
    found: dict[str, Band] = {}
    for row in to_records(table):
        point, low, high = (np.nan if row[column] is None else float(row[column]) for column in columns)
        if not np.isnan(point):
            found[row["variant"]] = (point, low, high)
    return found


def collapse_panel(results: Results, benchmark: str, prefix: str = "") -> Panel:
    """The share of seeds that collapsed, beside it of those that missed the data.

    Where no seed reached the data there is no rate, and a dash says so.
    """
    rows = results.summary[results.summary.benchmark == benchmark].drop_duplicates("variant")
    values = bands(rows, ("collapse_rate", "collapse_low", "collapse_high"))
    of_runs = results.metrics[results.metrics.benchmark == benchmark]
    missed = of_runs[of_runs.metric == "missed"].groupby("variant")["value"].sum()
    beside: dict[str, Band] = {}
    for variant, left, diverged in zip(rows.variant, rows.seeds, rows.diverged, strict=True):
        count = int(missed.get(variant, 0))
        if count:
            point, low, high = count_to_interval(count, int(left + diverged))
            beside[str(variant)] = (point, low, high)
        if count == left:
            values.pop(variant, None)
    title = f"{prefix}collapsed" if prefix else "Collapsed"
    return Panel(
        f"{title} (colour), missed (grey)", values, higher_is_better=False, limits=(-0.03, 1.03),
        empty="— none reached", beside=beside,
    )  # fmt: skip


MISSED = (
    "the share of seeds that collapsed (in colour) and, where there are any, of those that missed the data "
    "(grey ring below), each with its exact 95 % interval; the missed do not count as collapsed, and a dash "
    "stands where no seed reached the data, so that none could collapse"
)


def metric_panel(results: Results, benchmark: str, stem: str, prefix: str = "") -> Panel | None:
    """A metric at the end of training; None when the benchmark does not measure it."""
    metric = results.find(benchmark, stem)
    if metric is None:
        return None
    rows = results.summary[(results.summary.benchmark == benchmark) & (results.summary.metric == metric.name)]
    lines = results.references
    lines = lines[(lines.benchmark == benchmark) & (lines.metric == metric.name)]
    unit = "" if metric.unit in ("", "fraction", "modes", "classes") else f" [{metric.unit}]"
    return Panel(prefix + metric.title + unit, bands(rows), metric.higher_is_better, lines)
