"""Samples at the end of training: for each variant one small panel per seed, by family.

A panel's place is worked out here, in inches from the upper left corner: a figure of a hundred panels as a
hundred matplotlib axes would be slow to draw and large.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.figures.style import FAINT, INK, LOOKS, SOFT, WIDTH, Drawing
from pipeline.figures.tables import FAMILIES, Results, Variant, to_records

SEEDS = 3  # of each variant: the first of the study, never chosen by their result
COLUMNS = 4  # variants beside each other
BETWEEN, TITLE, LABEL, HEAD = 0.14, 0.14, 0.13, 0.22  # inches: between variants; lines of words
FRAME = 1.45  # half width of a ring panel, in radii
CIRCLE = 0.14  # radius of a mode as drawn, in radii of the ring

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One seed of one variant: its panel's left and upper edge, in inches from the upper left corner."""

    variant: Variant
    seed: int
    left: float
    top: float


def ring_samples(results: Results) -> Drawing | None:
    """Samples on the ring over the real modes."""
    return next(
        (_ring(results, name) for name in results.benchmarks if results.data(name)["kind"] == "ring"), None
    )


def digits_samples(results: Results) -> Drawing | None:
    """Samples of the handwritten digits."""
    return next(
        (_digits(results, name) for name in results.benchmarks if results.data(name)["kind"] == "digits"),
        None,
    )


def _ring(results: Results, benchmark: str) -> Drawing:
    data = results.data(benchmark)
    radius, modes = data["radius"], data["modes"]
    angles = 2 * np.pi * np.arange(modes) / modes
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    # One marker: eight circles in a hundred panels would be large. It is scaled to its farthest point.
    circles = Outline.make_compound_path(*(Outline.circle(tuple(centre), CIRCLE) for centre in centres))
    reach = float(np.abs(circles.vertices).max())

    def panel(axes: Axes, cell: Cell, side: float, values: Values) -> None:
        middle = np.array([cell.left + side / 2, cell.top + side / 2])
        # Inches grow downwards.
        scale = np.array([1, -1]) * side / 2 / FRAME
        axes.plot(*middle, marker=circles, ms=144 * reach * side / 2 / FRAME, mfc="none", mec=SOFT, mew=0.4)
        points = values / radius
        inside = (np.abs(points) < FRAME).all(axis=1)  # not where infinite
        _dots(axes, middle, middle + points[inside] * scale, LOOKS[cell.variant.family].colour)

    figure, shown = _grid(results, benchmark, panel, _labels(results, benchmark, "modes_covered", modes))
    count = int(results.gallery.loc[results.gallery.benchmark == benchmark, "index"].max()) + 1
    caption = (
        f"{results.benchmarks[benchmark]}: {count} samples of each generator after training (dots) over the "
        f"{modes} real modes (grey circles, drawn larger than the modes), for the first {shown} seeds of "
        "every variant, not chosen by their result. Below each panel the number of modes covered; samples "
        "outside the frame are not shown." + _diverged_note(results, benchmark, shown)
    )
    return Drawing(figure, caption, _alt(results, benchmark, shown), _SOURCE)


def _digits(results: Results, benchmark: str) -> Drawing:
    def panel(axes: Axes, cell: Cell, side: float, values: Values) -> None:
        extent = (cell.left, cell.left + side, cell.top + side, cell.top)
        axes.imshow(
            _mosaic(values),
            cmap="gray_r",
            vmin=0,
            vmax=255,
            interpolation="none",
            extent=extent,
            aspect="auto",
        )

    figure, shown = _grid(results, benchmark, panel, _labels(results, benchmark, "classes_covered", 10))
    caption = (
        f"{results.benchmarks[benchmark]}: samples of each generator after training, for the first {shown} "
        "seeds of every variant, not chosen by their result. Below each panel the number of classes "
        "covered." + _diverged_note(results, benchmark, shown)
    )
    return Drawing(figure, caption, _alt(results, benchmark, shown), _SOURCE)


_SOURCE = ("gallery.parquet", "metrics.csv")


def _grid(
    results: Results,
    benchmark: str,
    panel: Callable[[Axes, Cell, float, Values], None],
    labels: dict[tuple[str, int], str],
) -> tuple[Figure, int]:
    """Families below each other, COLUMNS variants beside each other; the figure and the seeds shown."""
    seeds = min(SEEDS, int(results.study["settings"]["seeds"]))
    side = (WIDTH - (COLUMNS - 1) * BETWEEN - 0.02) / (COLUMNS * SEEDS) - 0.02
    cells, heads, height = _places(results, seeds, side)
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1), frameon=False)
    axes.set(xticks=[], yticks=[])
    samples, diverged = _samples(results, benchmark, seeds), results.diverged(benchmark)
    for family, top in heads.items():
        _word(axes, 0.01, top + 0.03, FAMILIES[family], family, 7.2, weight="bold")
    for cell in cells:
        if cell.seed == 0:
            _word(axes, cell.left, cell.top - TITLE, cell.variant.title, cell.variant.family, 6.0)
        key = (cell.variant.name, cell.seed)
        centre = cell.left + side / 2
        if key in diverged:
            words = f"diverged\nat update\n{diverged[key]:,}"
            axes.text(centre, cell.top + side / 2, words, ha="center", va="center", fontsize=5, color=INK)
        else:
            panel(axes, cell, side, samples[key])
            text = labels.get(key, "")
            axes.text(centre, cell.top + side + 0.015, text, ha="center", va="top", fontsize=5.4)
    _frames(axes, cells, side)
    # Last: an image sets the limits to its own.
    axes.set(xlim=(0, WIDTH), ylim=(height, 0), aspect="auto")
    return figure, seeds


def _places(results: Results, seeds: int, side: float) -> tuple[list[Cell], dict[str, float], float]:
    """The cells, the upper edge of each family's heading, and the height of all."""
    cells, heads, top = [], {}, 0.0
    block = SEEDS * (side + 0.02) + BETWEEN
    for family, variants in results.families.items():
        heads[family] = top
        top += HEAD
        for row in _rows(variants):
            for column, variant in enumerate(row):
                for seed in range(seeds):
                    left = 0.01 + column * block + seed * (side + 0.02)
                    cells.append(Cell(variant, seed, left, top + TITLE))
            top += TITLE + side + LABEL
    return cells, heads, top + 0.02


def _rows(variants: list[Variant]) -> Iterator[list[Variant]]:
    for start in range(0, len(variants), COLUMNS):
        yield variants[start : start + COLUMNS]


def _word(
    axes: Axes, x: float, y: float, text: str, family: str, size: float, weight: str = "normal"
) -> None:
    axes.text(x, y, text, ha="left", va="top", fontsize=size, weight=weight, color=LOOKS[family].text)


def _samples(results: Results, benchmark: str, seeds: int) -> dict[tuple[str, int], Values]:
    """(variant, seed) -> (n, D), in the order of `index`.

    Raises UserError when a seed that did not diverge has no samples.
    """
    gallery = results.gallery
    rows = gallery[gallery["benchmark"] == benchmark].sort_values(["variant", "seed", "index"])
    lists: dict[tuple[str, int], list[Values]] = {}
    for variant, seed, values in zip(rows["variant"], rows["seed"], rows["values"], strict=True):
        lists.setdefault((variant, seed), []).append(values)
    found = {key: np.array(values, dtype=np.float64) for key, values in lists.items()}
    diverged = results.diverged(benchmark)
    for key in itertools.product(results.variants, range(seeds)):
        if key not in found and key not in diverged:
            raise UserError(
                f"{results.folder / 'gallery.parquet'}: no samples of {benchmark} {key[0]} seed {key[1]}"
            )
    return found


def _labels(results: Results, benchmark: str, stem: str, total: int) -> dict[tuple[str, int], str]:
    """(variant, seed) -> 'covered/total' at the final step."""
    metric = results.metric(benchmark, stem)
    rows = results.metrics
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == metric)]
    return {(row["variant"], row["seed"]): f"{row['value']:.0f}/{total}" for row in to_records(rows)}


def _frames(axes: Axes, cells: list[Cell], side: float) -> None:
    """The outlines of all panels as one path."""
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side], [0, 0]])
    vertices = np.concatenate([corners + np.array([cell.left, cell.top]) for cell in cells])
    codes = np.tile([Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY], len(cells))
    axes.add_patch(PathPatch(Outline(vertices, codes), edgecolor=FAINT, linewidth=0.5, fill=False))


def _dots(axes: Axes, middle: Values, points: Values, colour: str) -> None:
    """All points as one path of tiny strokes with round ends: a tenth of the bytes of a scatter plot.

    To a tenth of a point, and around the middle: each is a short way from the one before.
    """
    if not len(points):
        return
    points = points[np.argsort(np.arctan2(*(points - middle).T), kind="stable")]
    vertices = np.repeat((points * 720).round() / 720, 2, axis=0)
    vertices[1::2, 0] += 2e-4
    codes = np.tile([Outline.MOVETO, Outline.LINETO], len(points))
    dots = PathPatch(Outline(vertices, codes), edgecolor=colour, linewidth=1.0, capstyle="round", fill=False)
    axes.add_patch(dots)


def _mosaic(images: Values) -> NDArray[np.uint8]:
    """(n, 64), n = 9 -> one picture of 3 x 3 images with white lines between, values 0..255."""
    count, pixels = images.shape
    side, width = round(pixels**0.5), round(count**0.5)
    tiles = np.zeros((width, width, side + 1, side + 1))
    tiles[:, :, :side, :side] = images[: width * width].reshape(width, width, side, side)
    picture = tiles.transpose(0, 2, 1, 3).reshape(width * (side + 1), width * (side + 1))[:-1, :-1]
    return picture.astype(np.uint8)


def _diverged_note(results: Results, benchmark: str, shown: int) -> str:
    count = sum(seed < shown for _, seed in results.diverged(benchmark))
    return f" Diverged seeds shown as such: {count}." if count else ""


def _alt(results: Results, benchmark: str, shown: int) -> str:
    titles = ", ".join(variant.title for variant in results.variants.values())
    return (
        f"Sample panels for {results.benchmarks[benchmark]}: {shown} seeds side by side for each of {titles}."
    )
