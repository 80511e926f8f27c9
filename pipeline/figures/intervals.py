"""Every metric at the end of training: one panel per metric, one line per variant."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.figures.style import FAINT, SOFT, WIDTH, Drawing, letter, looks, wrapped
from pipeline.figures.tables import Metric, Results, to_records

COLUMNS = 4
TITLE_CHARACTERS = 23  # what a panel is wide
LOG_FROM = 30  # a positive metric that spans more than this factor over the variants gets a log axis
KINDS = {
    "floor": ("--", "floor of a perfect sampler (dashed)"),
    "ceiling": ("-.", "ceiling of a perfect sampler (dash-dotted)"),
    "real_vs_real": (":", "real against real (dotted)"),
}


def intervals_ring(results: Results) -> Drawing | None:
    """Interquartile means and intervals on the ring."""
    return _of_kind(results, "ring")


def intervals_digits(results: Results) -> Drawing | None:
    """Interquartile means and intervals on the digits."""
    return _of_kind(results, "digits")


def _of_kind(results: Results, kind: str) -> Drawing | None:
    names = [name for name in results.benchmarks if results.data(name)["kind"] == kind]
    return _intervals(results, names[0]) if names else None


def _intervals(results: Results, benchmark: str) -> Drawing:
    metrics = results.measured(benchmark)
    summary = results.summary[results.summary.benchmark == benchmark]
    references = results.references[results.references.benchmark == benchmark]
    panels = len(metrics) + 1
    rows = -(-panels // COLUMNS)
    height = rows * (0.125 * len(results.variants) + 0.62)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for index, metric in enumerate(metrics):
        axes = grid.flat[index]
        table = summary[summary.metric == metric.name]
        _references(axes, references[references.metric == metric.name])
        _rows(axes, results, table, ("point", "low", "high"))
        unit = "" if metric.unit in ("", "fraction") else f" [{metric.unit}]"
        _words(axes, index, metric.title + unit, metric.higher_is_better)
        _scale(axes, table, metric.higher_is_better)
    _collapse(grid.flat[len(metrics)], results, summary)
    _words(grid.flat[len(metrics)], len(metrics), "Collapse rate", higher_is_better=False)
    for axes in grid.flat[panels:]:
        axes.set_visible(False)
    return Drawing(
        figure, _caption(results, benchmark, references), _alt(results, benchmark, metrics), _SOURCE
    )


_SOURCE = ("summary.csv", "references.csv")


def _rows(axes: Axes, results: Results, table: pd.DataFrame, columns: tuple[str, str, str]) -> None:
    """One horizontal interval with its marker per variant, the first variant on top."""
    styles = looks(results.variants)
    names = list(results.variants)
    found = {
        row["variant"]: [np.nan if row[column] is None else float(row[column]) for column in columns]
        for row in to_records(table)
        if row[columns[0]] is not None
    }
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6}
    centred["transform"] = axes.get_yaxis_transform()
    for place, name in enumerate(names):
        look = styles[name]
        y = len(names) - 1 - place
        axes.axhline(y, color=FAINT, linewidth=0.4, zorder=0)
        if name not in found:
            axes.text(0.5, y, "all seeds diverged", color=look.text, **centred)
            continue
        point, low, high = found[name]
        axes.plot([low, high], [y, y], color=look.colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
        axes.plot(point, y, look.marker, color=look.colour, ms=4, mew=0.5, mec="white", zorder=4)
    axes.set_ylim(-0.6, len(names) - 0.4)
    titles = [results.variants[name].title for name in reversed(names)]
    axes.set_yticks(range(len(names)), titles)
    axes.tick_params(axis="y", length=0)
    for label, name in zip(axes.get_yticklabels(), reversed(names), strict=False):  # empty but on the left
        label.set_color(styles[name].text)
    axes.spines["left"].set_visible(False)


def _references(axes: Axes, references: pd.DataFrame) -> None:
    """Floors, ceilings and real against real, as a line with its band."""
    for row in to_records(references):
        line, _ = KINDS[row["kind"]]
        if row["low"] is not None and row["high"] is not None and row["high"] > row["low"]:
            axes.axvspan(row["low"], row["high"], color=SOFT, alpha=0.25, linewidth=0, zorder=1)
        axes.axvline(row["value"], color="#555555", linestyle=line, linewidth=0.8, zorder=2)


def _scale(axes: Axes, table: pd.DataFrame, higher_is_better: bool | None) -> None:
    values = table[["point", "low"]].to_numpy()
    values = values[np.isfinite(values)]
    top = table.point.max()
    if higher_is_better is not True and len(values) and values.min() > 0 and top / values.min() > LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=4))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))


def _collapse(axes: Axes, results: Results, summary: pd.DataFrame) -> None:
    """The share of seeds that collapsed; every row of a variant repeats it."""
    table = summary.drop_duplicates("variant")
    _rows(axes, results, table, ("collapse_rate", "collapse_low", "collapse_high"))
    axes.set_xlim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(3))


def _words(axes: Axes, index: int, title: str, higher_is_better: bool | None) -> None:
    axes.set_title(wrapped(f"({letter(index)}) {title}", TITLE_CHARACTERS), loc="left", fontsize=7)
    sides: dict[bool | None, tuple[str, Literal["left", "center", "right"]]] = {
        True: ("higher is better →", "right"),
        False: ("← lower is better", "left"),
        None: ("closer to the line is better", "center"),
    }
    text, side = sides[higher_is_better]
    axes.set_xlabel(text, fontsize=6.3, labelpad=1.5, loc=side)


def _caption(results: Results, benchmark: str, references: pd.DataFrame) -> str:
    drawn = [KINDS[kind][1] for kind in KINDS if kind in set(references.kind)]
    lines = (
        f" Vertical lines, with bands where they vary: {', '.join(drawn)}, at the same N." if drawn else ""
    )
    return (
        f"{results.benchmarks[benchmark]}: every metric after training. Marker: interquartile mean over the "
        f"seeds that did not diverge; bar: its 95 % bootstrap interval.{lines} Last panel: the share of "
        "seeds that collapsed, with its exact 95 % interval."
    )


def _alt(results: Results, benchmark: str, metrics: list[Metric]) -> str:
    titles = ", ".join(metric.title for metric in metrics)
    variants = ", ".join(variant.title for variant in results.variants.values())
    return (
        f"Dot-and-interval charts for {results.benchmarks[benchmark]}, one panel per metric ({titles}, "
        f"collapse rate), one row for each of {variants}."
    )
