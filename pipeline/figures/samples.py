"""Samples at the end of training: one column per variant, one row per seed."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.figures.style import FAINT, INK, SOFT, WIDTH, Drawing, Look, looks, wrapped
from pipeline.figures.tables import Results, to_records

SEEDS = 5  # rows of a block: the first seeds of the study, never chosen by their result
ROWS = 10  # that fit on a page; a study of many variants shows fewer seeds of each
COLUMNS, FEWEST = (
    8,
    5,
)  # variants per block; a wider study continues in a block below; room for at least FEWEST
POINTS = 150  # per ring panel: enough to see each mode, and a small file
FRAME = 1.45  # half width of a ring panel, in radii
LEVELS = 17  # grey levels, as in the data: smaller files, no visible change

Values = NDArray[np.float64]
Panel = Callable[[Axes, Values, Look], None]  # values (n, D), n >= 1


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

    def panel(axes: Axes, values: Values, look: Look) -> None:
        axes.set(xlim=(-FRAME * radius, FRAME * radius), ylim=(-FRAME * radius, FRAME * radius))
        axes.plot(*centres.T, "o", ms=6.5, mfc="none", mec=SOFT, mew=0.5)
        points = values[:POINTS]
        _dots(axes, points[np.isfinite(points).all(axis=1)], look.colour)

    figure, shown = _grid(results, benchmark, panel, _labels(results, benchmark, "modes_covered", modes))
    caption = (
        f"{results.benchmarks[benchmark]}: {POINTS} samples of each generator after training (dots) over the "
        f"{modes} real modes (grey circles, drawn larger than the modes). Columns: variants. Rows: the first "
        f"{shown} seeds, not chosen by their result. Below each panel the number of modes covered; "
        "samples outside the frame are not shown." + _diverged_note(results, benchmark, shown)
    )
    return Drawing(figure, caption, _alt(results, benchmark, shown), _SOURCE)


def _digits(results: Results, benchmark: str) -> Drawing:
    def panel(axes: Axes, values: Values, look: Look) -> None:
        axes.imshow(_mosaic(values), cmap="gray_r", vmin=0, vmax=255, interpolation="none")
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
    variants = list(results.variants.values())
    columns = min(COLUMNS, len(variants))
    blocks = -(-len(variants) // columns)
    seeds = range(int(results.study["settings"]["seeds"]))[: min(SEEDS, max(1, ROWS // blocks))]
    figure, grid = _frame(columns, blocks, len(seeds))
    samples, diverged = _samples(results, benchmark), results.diverged(benchmark)
    styles = looks(results.variants)
    for place, variant in enumerate(variants):
        block, column = divmod(place, columns)
        for seed, axes in zip(seeds, grid[block * len(seeds) :, column], strict=False):
            axes.set_visible(True)
            key = (variant.name, seed)
            if seed == seeds[0]:
                axes.set_title(wrapped(variant.title, 13), color=styles[variant.name].text, fontsize=6.5)
            if column == 0:
                axes.set_ylabel(f"seed {seed}", fontsize=6.5)
            if key in diverged:
                _note(axes, f"diverged\nat update\n{diverged[key]:,}")
            else:
                panel(axes, samples[key], styles[variant.name])
                axes.set_xlabel(labels.get(key, ""), fontsize=6, labelpad=1.5, color=INK)
    return figure, len(seeds)


def _frame(columns: int, blocks: int, seeds: int) -> tuple[Figure, NDArray[Any]]:
    """An empty figure with blocks x seeds rows of square panels, all hidden."""
    side = WIDTH / (max(columns, FEWEST) + 0.25)
    layout = ConstrainedLayoutEngine(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    figure = Figure(figsize=(WIDTH, blocks * (seeds * side * 1.12 + 0.35)), layout=layout)
    grid: NDArray[Any] = figure.subplots(blocks * seeds, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], aspect="equal", visible=False)
        axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)
    return figure, grid


def _samples(results: Results, benchmark: str) -> dict[tuple[str, int], Values]:
    """(variant, seed) -> (n, D), in the order of `index`.

    Raises UserError when a seed that did not diverge has no samples.
    """
    gallery = results.gallery
    rows = gallery[gallery["benchmark"] == benchmark].sort_values(["variant", "seed", "index"])
    lists: dict[tuple[str, int], list[Values]] = {}
    for variant, seed, values in zip(rows["variant"], rows["seed"], rows["values"], strict=True):
        lists.setdefault((variant, seed), []).append(values)
    found = {key: np.array(values, dtype=np.float64) for key, values in lists.items()}
    for key in itertools.product(results.variants, range(int(results.study["settings"]["seeds"]))):
        if key not in found and key not in results.diverged(benchmark):
            raise UserError(
                f"{results.folder / 'gallery.parquet'}: no samples of {benchmark} {key[0]} seed {key[1]}"
            )
    return found


def _labels(results: Results, benchmark: str, stem: str, total: int) -> dict[tuple[str, int], str]:
    """(variant, seed) -> 'covered/total' at the final step."""
    metric = results.metric(benchmark, stem)
    rows = results.metrics
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == metric)].sort_values("step")
    last = rows.groupby(["variant", "seed"]).tail(1)
    return {(row["variant"], row["seed"]): f"{row['value']:.0f}/{total}" for row in to_records(last)}


def _dots(axes: Axes, points: Values, colour: str) -> None:
    """All points as one path of tiny strokes with round ends: a tenth of the bytes of a scatter plot."""
    vertices = np.repeat(points, 2, axis=0)
    vertices[1::2, 0] += 2e-3
    codes = np.tile([Outline.MOVETO, Outline.LINETO], len(points))
    dots = PathPatch(Outline(vertices, codes), edgecolor=colour, linewidth=1.5, capstyle="round", fill=False)
    axes.add_patch(dots)
    dots.set_clip_on(True)


def _mosaic(images: Values) -> NDArray[np.uint8]:
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
