"""Curves of objectives: one panel per family, every curve named at its right end."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter
from numpy.typing import NDArray

from pipeline.figures.style import LOOKS, SOFT, letter
from pipeline.figures.tables import FAMILIES, Results

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
LABEL_SIZE = 5.8  # points
LABEL_AT, LEADER = 1.13, (1.01, 1.1)  # in widths of a panel


def family_panels(
    figure: Figure | SubFigure,
    results: Results,
    curves: Mapping[str, Curve],
    limits: tuple[float, float],
    height: float,
    first: int = 0,
) -> list[Axes]:
    """Draw `curves` {objective: (x, y)} on a log axis in y, in one panel per family that has any.

    `limits` are those of y; what is not above 0 is not drawn. A curve that ends before the
    right end does so at a cross, which stands behind its name too. `height` of a panel is in inches, about;
    `first` counts the panels before. Returns the panels.
    """
    groups = {
        family: {
            name: curves[name]
            for name in results.objectives
            if results.family(name) == family and name in curves
        }
        for family in FAMILIES
    }
    groups = {family: group for family, group in groups.items() if group}
    panels = list(figure.subplots(1, len(groups), sharey=True, sharex=True, squeeze=False)[0])
    for place, (family, axes) in enumerate(zip(groups, panels, strict=True)):
        axes.set_title(f"({letter(first + place)}) {FAMILIES[family]}", color=LOOKS[family].text)
        axes.title.set(ha="left", x=0.0, weight="bold", size=7)
        axes.set_yscale("log")
        axes.set_ylim(*limits)
        axes.yaxis.set_major_locator(LogLocator(numticks=7))
        axes.yaxis.set_minor_locator(FixedLocator([]))
        axes.yaxis.set_minor_formatter(NullFormatter())
        _draw(axes, family, groups[family], limits, results, height)
    return panels


def _draw(
    axes: Axes,
    family: str,
    curves: Mapping[str, Curve],
    limits: tuple[float, float],
    results: Results,
    inches: float,
) -> None:
    ends, words, colours, reaching = [], [], [], []
    for place, (name, (x, y)) in enumerate(curves.items()):
        shown = np.where(y > 0, y, np.nan)
        look = LOOKS[family].line(place)
        axes.plot(x, shown, linewidth=1.1, **look)
        finite = shown[np.isfinite(shown)]
        if not len(finite):
            continue
        reaches = bool(np.isfinite(shown[-1]))
        if not reaches:
            last = np.flatnonzero(np.isfinite(shown))[-1]
            axes.plot(x[last], shown[last], "x", color=look["color"], ms=4, mew=1.1, zorder=4)
        place_of_end = np.log(finite[-1] / limits[0]) / np.log(limits[1] / limits[0])
        ends.append(float(np.clip(place_of_end, 0, 1)))
        words.append(str(results.objectives[name]["title"]) + ("" if reaches else " ×"))
        reaching.append(reaches)
        colours.append(look["color"])
    gap = 1.2 * LABEL_SIZE / 72 / inches
    for end, height, text, colour, reaches in zip(
        ends, spread(ends, gap), words, colours, reaching, strict=True
    ):
        if reaches:
            axes.plot(
                LEADER, (end, height), transform=axes.transAxes, color=colour, linewidth=0.5, clip_on=False
            )
        shade = tuple(0.75 * part for part in colour)
        axes.text(
            LABEL_AT, height, text, transform=axes.transAxes, fontsize=LABEL_SIZE, color=shade, va="center"
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights in 0..1 as close to the wanted ones as possible (least squares), in their order, `gap` apart.

    Isotonic regression of wanted - place * gap (pool adjacent violators), kept between the bounds. Too many
    for the room start at 0 and go beyond 1.
    """
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], -index))
    blocks: list[list[float]] = []  # sum, count
    for place, index in enumerate(order):
        blocks.append([wanted[index] - place * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    levels = [total / count for total, count in blocks for _ in range(round(count))]
    top = 1 - (len(wanted) - 1) * gap
    heights = [0.0] * len(wanted)
    for place, index in enumerate(order):
        heights[index] = max(0.0, min(levels[place], top)) + place * gap
    return heights


def level(axes: Axes, value: float, text: str) -> None:
    """A dotted horizontal line with its name."""
    axes.axhline(value, color=SOFT, linestyle=":", linewidth=0.8)
    axes.annotate(
        text, (0.02, value), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        ha="left", color=SOFT, fontsize=6.2,
    )  # fmt: skip
