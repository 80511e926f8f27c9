"""What happens during training: one small panel per variant, all others grey behind it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pipeline.figures.style import FAINT, WIDTH, Drawing, Look, letter, looks
from pipeline.figures.tables import Results

COLUMNS, MANY_COLUMNS, MANY = 4, 6, 12  # panels beside each other, and how many when there are more than MANY
PANEL_HEIGHT = 0.82  # inches
CONTEXT_POINTS = 40  # of a grey curve, which repeats in every panel
# The metric that counts what a generator covers, per kind of data, and how many there are to cover.
COVERAGE: dict[str, tuple[str, Callable[[dict[str, object]], int]]] = {
    "ring": ("modes_covered", lambda data: int(str(data["modes"]))),
    "digits": ("classes_covered", lambda data: 10),
}


@dataclass(frozen=True)
class Bands:
    """One benchmark's curves: table with columns variant, step, middle, low, high."""

    heading: str
    label: str
    table: pd.DataFrame
    log: bool = False
    total: float | None = None


def modes_through_training(results: Results) -> Drawing | None:
    """Modes (classes) covered at every checkpoint, interquartile mean with its interval."""
    blocks = []
    for benchmark, title in results.benchmarks.items():
        data = results.data(benchmark)
        stem, count = COVERAGE.get(data["kind"], ("", lambda _: 0))
        metric = results.metric(benchmark, stem)
        if metric is None:
            continue
        rows = results.progress
        rows = rows[(rows.benchmark == benchmark) & (rows.metric == metric)]
        word = stem.removesuffix("_covered")
        blocks.append(
            Bands(
                f"{title}: {word} covered", word, rows.rename(columns={"point": "middle"}), total=count(data)
            )
        )
    if not blocks:
        return None
    caption = (
        "Modes covered on the ring and classes covered on the digits through training: interquartile mean "
        "over seeds (line) with its 95 % bootstrap interval (band), each variant in its own panel over all "
        "others (grey). The dotted line is the number of modes or classes of the data."
    )
    return Drawing(
        _small_multiples(results, blocks),
        caption,
        _alt(results, "the number of modes or classes covered"),
        ("progress.csv",),
    )


def generator_gradient_norms(results: Results) -> Drawing | None:
    """Norm of the gradient that reaches the generator, median and quartiles over seeds, log scale."""
    blocks = []
    for benchmark, title in results.benchmarks.items():
        rows = results.history
        rows = rows[(rows.benchmark == benchmark) & (rows.quantity == "generator_gradient_norm")]
        table = rows.rename(columns={"median": "middle", "q25": "low", "q75": "high"}).replace(np.inf, np.nan)
        blocks.append(Bands(f"{title}: norm of the generator's gradient", "gradient norm", table, log=True))
    caption = (
        "Norm of the generator's gradient through training, on a log scale: median over seeds (line) and "
        "quartiles (band), each variant in its own panel over all others (grey). Norms of different "
        "objectives have different units of loss; compare their course, not their height."
    )
    return Drawing(
        _small_multiples(results, blocks),
        caption,
        _alt(results, "the norm of the generator's gradient (log scale)"),
        ("history.csv",),
    )


def _small_multiples(results: Results, blocks: list[Bands]) -> Figure:
    styles = looks(results.variants)
    rows = -(-len(results.variants) // _columns(results))
    height = len(blocks) * (rows * PANEL_HEIGHT + 0.45)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for index, (part, block) in enumerate(zip(parts, blocks, strict=True)):
        part.suptitle(f"({letter(index)})  {block.heading}", x=0.01, ha="left", fontsize=8, weight="bold")
        part.supxlabel("generator updates", fontsize=7)
        part.supylabel(block.label, fontsize=7)
        _block(part, block, results, styles)
    return figure


def _columns(results: Results) -> int:
    count = len(results.variants)
    return min(MANY_COLUMNS if count > MANY else COLUMNS, count)


def _block(part: SubFigure, block: Bands, results: Results, styles: dict[str, Look]) -> None:
    variants = list(results.variants.values())
    columns = _columns(results)
    rows = -(-len(variants) // columns)
    grid = part.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    curves = {name: rows.sort_values("step") for name, rows in block.table.groupby("variant")}
    for axes, variant in zip(grid.flat, variants, strict=False):
        for name, curve in curves.items():
            if name != variant.name:
                thin = curve.iloc[:: max(1, len(curve) // CONTEXT_POINTS)]
                axes.plot(thin.step, thin.middle, color=FAINT, linewidth=0.6, zorder=1)
        look = styles[variant.name]
        own = curves.get(variant.name)
        if own is None or own.middle.isna().all():
            axes.text(
                0.5, 0.5, "no seed left", transform=axes.transAxes, ha="center", va="center", fontsize=6.5
            )
        else:
            axes.fill_between(own.step, own.low, own.high, color=look.colour, alpha=0.25, linewidth=0)
            axes.plot(own.step, own.middle, color=look.colour, linewidth=1.2, zorder=3)
            if len(own) <= 12:
                axes.plot(own.step, own.middle, look.marker, color=look.colour, ms=3, mew=0, zorder=4)
        axes.set_title(variant.title, color=look.text, fontsize=7 if columns <= COLUMNS else 5.8, pad=2.5)
        if block.total is not None:
            axes.axhline(block.total, color="#555555", linestyle=":", linewidth=0.8, zorder=2)
    for axes in grid.flat[len(variants) :]:
        axes.set_visible(False)
    _scales(grid, block)


def _scales(grid: np.ndarray, block: Bands) -> None:
    first: Axes = grid.flat[0]
    first.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    first.xaxis.set_major_formatter(FuncFormatter(_thousands))
    if block.log:
        first.set_yscale("log")
        positive = block.table.loc[block.table.middle > 0, ["low", "middle", "high"]]
        first.yaxis.set_major_locator(LogLocator(numticks=5))
        first.yaxis.set_minor_formatter(NullFormatter())
        if len(positive):
            # Quartiles may touch 0 (a vanished gradient); the axis then ends a decade below the medians.
            floor = positive.middle.min() / 10
            low = positive.low[positive.low > floor].min()
            first.set_ylim(low / 1.5, positive.high.max() * 1.5)
    else:
        top = block.total or float(block.table.high.max())
        first.set_ylim(0, top * 1.08)
        first.set_yticks([0, top / 2, top])


def _thousands(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _alt(results: Results, what: str) -> str:
    titles = ", ".join(variant.title for variant in results.variants.values())
    return (
        f"Line charts of {what} against generator updates, for {' and '.join(results.benchmarks.values())}, "
        f"one panel for each of {titles}, with bands of spread over seeds."
    )
