"""Samples at the end of training: one column per variant, one row per seed."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.patches import PathPatch

from pipeline.figures.style import FAINT, INK, SOFT, WIDTH, Drawing, Look, looks, wrapped
from pipeline.figures.tables import Results

SEEDS = 5  # rows of a block: the first seeds of the study, never chosen by their result
ROWS = 10  # that fit on a page; a study of many variants shows fewer seeds of each
COLUMNS = 8  # variants per block; a wider study continues in a block below
POINTS = 150  # per ring panel: enough to see each mode, and a small file
FRAME = 1.45  # half width of a ring panel, in radii
LEVELS = 17  # grey levels, as in the data: smaller files, no visible change

Panel = Callable[[Axes, pd.DataFrame, Look], None]


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
    centres = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def panel(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
        axes.set(xlim=(-FRAME * radius, FRAME * radius), ylim=(-FRAME * radius, FRAME * radius))
        axes.plot(*centres.T, "o", ms=6.5, mfc="none", mec=SOFT, mew=0.5)
        points = np.stack(rows["values"].to_numpy()[:POINTS]).astype(float) if len(rows) else np.empty((0, 2))
        _dots(axes, points[np.isfinite(points).all(axis=1)], look.colour)

    figure, shown = _grid(results, benchmark, panel, _labels(results, benchmark, "modes_covered", modes))
    caption = (
        f"{results.benchmarks[benchmark]}: {POINTS} samples of each generator after training (dots) over the "
        f"{modes} real modes (grey circles, drawn larger than the modes). Columns: variants. Rows: the first "
        f"{shown} seeds, not chosen by their result. In each panel the number of modes covered; samples "
        "outside the frame are not shown." + _diverged_note(results, benchmark, shown)
    )
    return Drawing(figure, caption, _alt(results, benchmark, shown), _SOURCE)


def _digits(results: Results, benchmark: str) -> Drawing:
    def panel(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
        if len(rows):
            axes.imshow(
                _mosaic(np.stack(rows["values"].to_numpy())),
                cmap="gray_r",
                vmin=0,
                vmax=255,
                interpolation="none",
            )
        axes.spines[:].set_color(look.colour)

    figure, shown = _grid(results, benchmark, panel, _labels(results, benchmark, "classes_covered", 10))
    caption = (
        f"{results.benchmarks[benchmark]}: 16 samples of each generator after training. Columns: variants. "
        f"Rows: the first {shown} seeds, not chosen by their result. Below each panel the number of classes "
        "covered." + _diverged_note(results, benchmark, shown)
    )
    return Drawing(figure, caption, _alt(results, benchmark, shown), _SOURCE)


_SOURCE = ("gallery.parquet", "metrics.csv")


def _grid(
    results: Results, benchmark: str, panel: Panel, labels: dict[tuple[str, int], str]
) -> tuple[Figure, int]:
    """Variants x seeds panels, COLUMNS variants to a block; returns the figure and the seeds shown."""
    gallery = results.gallery[results.gallery.benchmark == benchmark]
    diverged = results.diverged(benchmark)
    variants = list(results.variants.values())
    styles = looks(results.variants)
    columns = min(COLUMNS, len(variants))
    blocks = -(-len(variants) // columns)
    seeds = range(int(results.study["settings"]["seeds"]))[: min(SEEDS, max(1, ROWS // blocks))]
    side = WIDTH / (columns + 0.25)
    figure = Figure(figsize=(WIDTH, blocks * (len(seeds) * side * 1.12 + 0.35)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)  # type: ignore[union-attr]
    grid = figure.subplots(blocks * len(seeds), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)
    for place in range(blocks * columns):
        block, column = divmod(place, columns)
        for row, seed in enumerate(seeds):
            axes = grid[block * len(seeds) + row, column]
            if place >= len(variants):
                axes.set_visible(False)
                continue
            variant = variants[place]
            rows = gallery[(gallery.variant == variant.name) & (gallery.seed == seed)].sort_values("index")
            if row == 0:
                axes.set_title(wrapped(variant.title, 13), color=styles[variant.name].text, fontsize=6.5)
            if column == 0:
                axes.set_ylabel(f"seed {seed}", fontsize=6.5)
            if (variant.name, seed) in diverged:
                step = diverged[variant.name, seed]
                _note(axes, f"diverged\nat update\n{step:,}")
            else:
                panel(axes, rows, styles[variant.name])
                axes.set_xlabel(labels.get((variant.name, seed), ""), fontsize=6, labelpad=1.5, color=INK)
    return figure, len(seeds)


def _labels(results: Results, benchmark: str, stem: str, total: int) -> dict[tuple[str, int], str]:
    """(variant, seed) -> 'covered/total' at the final step."""
    metric = results.metric(benchmark, stem)
    rows = results.metrics
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == metric)].sort_values("step")
    last = rows.groupby(["variant", "seed"]).tail(1)
    return {(row.variant, int(row.seed)): f"{row.value:.0f}/{total}" for row in last.itertuples()}


def _dots(axes: Axes, points: np.ndarray, colour: str) -> None:
    """All points as one path of tiny strokes with round ends: a tenth of the bytes of a scatter plot."""
    vertices = np.repeat(points, 2, axis=0)
    vertices[1::2, 0] += 2e-3
    codes = np.tile([Outline.MOVETO, Outline.LINETO], len(points))
    dots = PathPatch(Outline(vertices, codes), edgecolor=colour, linewidth=1.5, capstyle="round", fill=False)
    axes.add_patch(dots)
    dots.set_clip_on(True)


def _mosaic(images: np.ndarray) -> np.ndarray:
    """(16, 64) -> one picture of 4 x 4 images with white lines between, values 0..255."""
    count, pixels = images.shape
    side, width = round(pixels**0.5), round(count**0.5)
    images = np.round(images / 255 * (LEVELS - 1)) * (255 / (LEVELS - 1))
    tiles = np.zeros((width, width, side + 1, side + 1))
    tiles[:, :, :side, :side] = images[: width * width].reshape(width, width, side, side)
    picture = tiles.transpose(0, 2, 1, 3).reshape(width * (side + 1), width * (side + 1))[:-1, :-1]
    return picture.astype(np.uint8)


def _note(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=6.5, color=INK)
    axes.set_facecolor("#f1f1f1")


def _diverged_note(results: Results, benchmark: str, shown: int) -> str:
    count = sum(seed < shown for _, seed in results.diverged(benchmark))
    return f" Diverged seeds shown as such: {count}." if count else ""


def _alt(results: Results, benchmark: str, shown: int) -> str:
    titles = ", ".join(variant.title for variant in results.variants.values())
    return (
        f"A grid of sample panels for {results.benchmarks[benchmark]}: one column for each of {titles}; "
        f"{shown} rows, one per seed."
    )
