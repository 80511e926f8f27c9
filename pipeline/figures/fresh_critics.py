"""Fresh critics against saved generators: the course of the generator's gradient, and its decay."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

from pipeline.figures.families import LABEL_SIZE, spread
from pipeline.figures.rows import Band, Panel, row_chart
from pipeline.figures.style import LOOKS, WIDTH, Drawing, letter
from pipeline.figures.tables import FAMILIES, Results
from pipeline.statistics import mean_to_interval

# Of the course, where all variants would hide each other: at most this many per family, in the study's order.
PER_FAMILY = 3
HEIGHT = 1.45  # inches of a panel
LIMITS = (-27.0, 16.0)  # decades: where all means lie but those of a gradient that float32 lost
_COURSE = "critic_updates gradient_norm gradient_norm_low gradient_norm_high relative_deviation"


def fresh_critics_course(results: Results) -> Drawing | None:
    """The norm of the generator's gradient over that before the critic's training, with quartiles."""
    table = results.fresh_critics_course
    places = _places(results, table)
    if not places:
        return None
    chosen = [v for group in results.families.values() for v in group[:PER_FAMILY]]
    points = max(len(updates) for updates in places.values())
    figure = Figure(figsize=(WIDTH, 0.4 + HEIGHT * len(places)), layout="constrained")
    grid = figure.subplots(len(places), points, sharex=True, sharey="row", squeeze=False)
    for row, (benchmark, updates) in zip(grid, places.items(), strict=True):
        for axes in row[len(updates) :]:
            axes.set_visible(False)
        for index, (axes, saved) in enumerate(zip(row, updates, strict=False)):
            here = table[(table.benchmark == benchmark) & (table.generator_updates == saved)]
            _course(axes, here, chosen, is_last=index == len(updates) - 1)
            place = letter(list(places).index(benchmark) * points + index)
            axes.set_title(
                f"({place}) {results.benchmarks[benchmark]}, {saved:,} updates", fontsize=6.6, loc="left"
            )
        row[0].set_ylabel("norm / norm at 0")
    for axes in grid[-1]:
        axes.set_xlabel("updates of the fresh critic")
    caption = (
        f"Generators of {_title(results)} held fixed after so many updates, and a fresh critic trained "
        "against each: the norm of the generator's gradient over its norm before the critic's first update, "
        "median over the seeds whose norm is finite (line) and quartiles (band), log scales. The first "
        "variants of each family; the decay of all of them is in the next figure."
    )
    return Drawing(
        figure,
        caption,
        "Line charts with bands of the norm of the generator's gradient against updates of a fresh critic, "
        "for " + ", ".join(variant.title for variant in chosen) + ".",
        ("fresh_critics_course.csv", "study.json"),
    )


def fresh_critics_decay(results: Results) -> Drawing | None:
    """The decay in decades of every variant at every saved generator, mean over seeds and t interval."""
    table = results.fresh_critics
    places = _places(results, table)
    if not places:
        return None
    panels = []
    for benchmark, updates in places.items():
        for saved in updates:
            here = table[(table.benchmark == benchmark) & (table.generator_updates == saved)]
            title = f"{results.benchmarks[benchmark]}, {saved:,} updates"
            # Seeds whose gradient overflowed or vanished have no number.
            panel = Panel(
                title, _bands(here), None, log=False, limits=LIMITS, empty="no number", characters=14
            )
            panels.append(panel)
    figure = row_chart({FAMILIES[family]: group for family, group in results.families.items()}, panels)
    for axes in figure.axes:
        axes.axvline(0, color="#555555", linewidth=0.6, zorder=1)
        axes.set_xlabel("decades lost", fontsize=6, labelpad=1.5)
    fewest = table.groupby(["benchmark", "generator_updates", "variant"]).seed.nunique()
    few = fewest[fewest < results.study["settings"]["seeds"]]
    lost = "" if few.empty else f" Of {len(few)} rows {int(few.min())} or more seeds are left, not all."
    caption = (
        "Decades by which the norm of the generator's gradient falls while a fresh critic is trained, the "
        f"generator of {_title(results)} held fixed after so many updates; left of 0 the norm grows. Marker: "
        "mean over the seeds whose norm is finite, a norm that float32 lost counting as 30 decades below 1; "
        f"bar: its 95 % t interval, cut where it leaves the frame; a triangle at the edge: a mean beyond "
        f"it.{lost}"
    )
    return Drawing(
        figure,
        caption,
        "Dot-and-interval charts of the decay of the generator's gradient in decades, one panel per saved "
        "generator, one row for each of " + ", ".join(v.title for v in results.variants.values()) + ".",
        ("fresh_critics.csv", "study.json"),
    )


def _title(results: Results) -> str:
    return results.variants[results.study["fresh_critics"]["generator"]].title


def _places(results: Results, table: pd.DataFrame) -> dict[str, list[int]]:
    """Benchmark -> the updates after which its generators were saved."""
    found = {
        benchmark: sorted({int(one) for one in table[table.benchmark == benchmark].generator_updates})
        for benchmark in results.benchmarks
    }
    return {benchmark: updates for benchmark, updates in found.items() if updates}


def _bands(table: pd.DataFrame) -> dict[str, Band]:
    found: dict[str, Band] = {}
    for name, rows in table.groupby("variant"):
        point, low, high = mean_to_interval(rows.decay_decades.to_numpy())
        found[str(name)] = (point, low, high)
    return found


def _course(axes: Axes, table: pd.DataFrame, chosen: list, is_last: bool) -> None:  # type: ignore[type-arg]
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_yscale("log")
    ends, words, colours = [], [], []
    places: dict[str, int] = {}
    for variant in chosen:
        rows = table[table.variant == variant.name].sort_values("critic_updates")
        place = places[variant.family] = places.get(variant.family, -1) + 1
        if rows.empty:
            continue
        start = float(rows.gradient_norm.iloc[0])
        look = LOOKS[variant.family].line(place)
        x = rows.critic_updates.to_numpy()
        low, high = rows.gradient_norm_low.to_numpy() / start, rows.gradient_norm_high.to_numpy() / start
        axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(x, rows.gradient_norm.to_numpy() / start, linewidth=1.0, **look)
        ends.append(float(rows.gradient_norm.iloc[-1]) / start)
        words.append(variant.title)
        colours.append(look["color"])
    axes.xaxis.set_major_locator(FixedLocator([0, 1, 10, 100, 1000]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if is_last:
        _label(axes, ends, words, colours)


def _label(axes: Axes, ends: list[float], words: list[str], colours: list) -> None:  # type: ignore[type-arg]
    bottom, top = np.log(axes.get_ylim())
    heights = [float(np.clip((np.log(end) - bottom) / (top - bottom), 0, 1)) for end in ends]
    gap = 1.2 * LABEL_SIZE / 72 / (HEIGHT - 0.35)
    for end, height, text, colour in zip(heights, spread(heights, gap), words, colours, strict=True):
        axes.plot(
            (1.01, 1.1), (end, height), transform=axes.transAxes, color=colour, linewidth=0.5, clip_on=False
        )
        shade = tuple(0.75 * part for part in colour)
        axes.text(1.13, height, text, transform=axes.transAxes, fontsize=LABEL_SIZE, color=shade, va="center")
