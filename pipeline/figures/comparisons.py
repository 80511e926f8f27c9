"""Variants against each other: probability of improvement, performance profiles, components of variance."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from pipeline.figures.rows import Band, Panel, bands, row_chart
from pipeline.figures.style import FAINT, INK, LOOKS, SOFT, WIDTH, Drawing, letter, wrapped
from pipeline.figures.tables import FAMILIES, Metric, Results, Variant
from pipeline.statistics import Array

ALPHA = 0.05  # of the family of comparisons of one benchmark and metric
PER_FAMILY = 4  # profiles of a family, the best ones: more hide each other
COLUMNS = 4  # panels of standard deviations beside each other
SIDE = 1.25  # inches of such a panel
TITLE_CHARACTERS = 26
_SCALE = (
    "Score 1 is a perfect sampler (digits: real against real), 0 the middle seed of the variant that is "
    "worst at the task."
)
Task = tuple[str, Metric]  # benchmark, metric


def comparisons(results: Results) -> Drawing | None:
    """Scores, and the probability that a seed is better than one of the reference, in every task."""
    table = results.comparisons
    if table.empty or results.scores.empty:
        return None
    reference = _reference(results)
    panels = [Panel("Score", bands(results.scores), higher_is_better=True, limits=(-0.03, 1.03))]
    for benchmark, metric in _tasks(results, table, all_variants=True):
        rows = table[(table.benchmark == benchmark) & (table.metric == metric.name)]
        panel = Panel(
            f"{results.title(benchmark)}: {metric.title}",
            bands(rows, ("probability", "low", "high")),
            higher_is_better=None,  # once is enough, in the first panel
            limits=(-0.03, 1.03),
            log=False,
            notes={reference: "reference" if len(panels) == 1 else ""},
            hollow=set(rows.variant[rows.p_holm >= ALPHA]),
            characters=17,
        )
        panels.append(panel)
    figure = row_chart(_best_first(results), panels)
    for axes in figure.axes:
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    for axes in figure.axes[1:]:
        axes.axvline(0.5, color="#555555", linewidth=0.6, zorder=1)
    title = results.variants[reference].title if reference in results.variants else reference
    caption = (
        f"(a) Interquartile mean of the scores of all seeds and tasks ({_task_words(results)}), with its "
        f"95 % bootstrap interval, stratified by benchmark. {_SCALE} Other panels: the probability that a "
        f"seed of the variant is better than one of {title}, ties counting half, with its 95 % interval; "
        "better is to the right, filled where Mann–Whitney's exact test, corrected by Holm over a panel's "
        f"variants, is below {ALPHA:g}. A diverged seed is worse than any other."
    )
    alt = (
        f"Dot-and-interval charts of scores and of the probability of improvement over {title}, one panel "
        "per benchmark and metric, one row for each of "
        + ", ".join(variant.title for variant in results.variants.values())
        + "."
    )
    return Drawing(figure, caption, alt, ("comparisons.csv", "scores.csv"))


def profiles(results: Results) -> Drawing | None:
    """The share of scores that are at least tau, of the best variants of each family."""
    if results.profiles.empty:
        return None
    groups = {name: _distinct(results, group) for name, group in _best_first(results, by_title=False).items()}
    shares = results.profiles.groupby("score")["share"]
    middle = pd.DataFrame({"low": shares.quantile(0.25), "high": shares.quantile(0.75)})
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    grid = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
    for place, (axes, (family, group)) in enumerate(zip(grid, groups.items(), strict=True)):
        axes.fill_between(middle.index, middle.low, middle.high, color=FAINT, alpha=0.6, linewidth=0)
        for index, variant in enumerate(group):
            rows = results.profiles[results.profiles.variant == variant.name].sort_values("score")
            look = LOOKS[family].line(index)
            if index == 0:
                band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
                axes.fill_between(rows.score, rows.low, rows.high, zorder=2, **band)
            axes.plot(rows.score, rows.share, linewidth=1.1, label=variant.title, zorder=3, **look)
        axes.set_title(f"({letter(place)}) {FAMILIES[family]}", color=LOOKS[family].text, loc="left", size=7)
        axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="score τ")
        axes.legend(
            loc="upper left", bbox_to_anchor=(-0.03, -0.22), fontsize=5.8, handlelength=2.2,
            labelspacing=0.3,
        )  # fmt: skip
    grid[0].set_ylabel("share of scores ≥ τ")
    caption = (
        f"Performance profiles: the share of a variant's scores, over seeds and tasks "
        f"({_task_words(results)}), that reach τ; in each family the {PER_FAMILY} variants of the highest "
        "score, the best first (of equal curves one), and the pointwise 95 % band of the best. Grey: the "
        f"middle half of all variants. {_SCALE} A diverged seed scores 0. A curve above another at every τ "
        "is better at every level."
    )
    alt = (
        "Falling curves of the share of scores at least τ, one panel per family, for "
        + ", ".join(variant.title for group in groups.values() for variant in group)
        + "."
    )
    return Drawing(figure, caption, alt, ("profiles.csv", "scores.csv"))


def _distinct(results: Results, variants: list[Variant]) -> list[Variant]:
    """The first PER_FAMILY whose profiles differ: some variants train the same game."""
    shares = {name: tuple(rows.share) for name, rows in results.profiles.groupby("variant")}
    first = {shares[variant.name]: variant for variant in reversed(variants) if variant.name in shares}
    return [variant for variant in variants if variant in first.values()][:PER_FAMILY]


def variances(results: Results) -> Drawing | None:
    """Standard deviation of training against that of evaluation, a point per variant, a panel per metric."""
    measured = results.variance.dropna(subset=["training_variance", "evaluation_variance"])
    zeros = (measured[["training_variance", "evaluation_variance"]] <= 0).sum(axis=1)
    table = measured[zeros < 2]
    tasks = _tasks(results, table)
    if not tasks:
        return None
    rows = -(-len(tasks) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 0.25 + rows * (SIDE + 0.3)), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    for place, (benchmark, metric) in enumerate(tasks):
        here = table[(table.benchmark == benchmark) & (table.metric == metric.name)]
        _deviations(grid[place], here, results)
        title = f"({letter(place)}) {results.title(benchmark)}: {metric.title}"
        grid[place].set_title(wrapped(title, TITLE_CHARACTERS), loc="left", fontsize=6.2)
    figure.supxlabel("standard deviation of evaluation: other samples of the same generator", fontsize=6.5)
    figure.supylabel("standard deviation of training", fontsize=6.5)
    resamples = int(table.resamples.max())
    caption = (
        "Where a metric's spread comes from: its standard deviation over trainings (upwards) against that "
        "over evaluations of one trained generator (across), a marker per variant, log scales; components of "
        f"variance by one-way random effects, from {resamples} sets of samples of each seed's final "
        "generator. On the line both are equal; above it more seeds help more than more samples. Triangles "
        f"at an edge: one of the two estimated as 0 ({int((zeros == 1).sum())} of {len(measured)} points, a "
        f"variant by a metric). Left out: {int((zeros == 2).sum())} points without any variance, of which no "
        "share can be told. In the corner: the share of the variance that is training's, median over the "
        "variants that are left."
    )
    alt = (
        "Scatter plots with a diagonal, of the standard deviation of training against that of evaluation, "
        "one panel for each of "
        + ", ".join(f"{metric.title} on {results.title(benchmark)}" for benchmark, metric in tasks)
        + "."
    )
    return Drawing(figure, caption, alt, ("variance.csv",))


def _deviations(axes: Axes, table: pd.DataFrame, results: Results) -> None:
    training = np.sqrt(table.training_variance.to_numpy(dtype=float))
    evaluation = np.sqrt(table.evaluation_variance.to_numpy(dtype=float))
    families = np.array([results.variants[name].family for name in table.variant])
    x_limits, y_limits = _limits(evaluation), _limits(training)
    # From the smallest of either, so that the line of equal deviations is in the frame.
    y_limits = (min(x_limits[0], y_limits[0]), y_limits[1])
    axes.plot(x_limits, x_limits, color=SOFT, linewidth=0.6, zorder=1)
    for family, look in LOOKS.items():
        own = families == family
        for zero, marker in ((False, look.marker), (True, "v")):
            chosen = own & (((training <= 0) | (evaluation <= 0)) == zero)
            x = np.maximum(evaluation[chosen], 1.15 * x_limits[0])
            y = np.maximum(training[chosen], 1.15 * y_limits[0])
            axes.plot(
                x, y, marker, color=look.colour, ms=2.8, mew=0.3, mec="white", linestyle="none", zorder=3
            )
    axes.set(xscale="log", yscale="log", xlim=x_limits, ylim=y_limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=3))
        axis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=5.8)
    share = table.training_share.median()
    if not math.isnan(share):
        axes.text(
            0.97,
            0.05,
            f"{round(100 * share, 1):g} %",
            transform=axes.transAxes,
            ha="right",
            fontsize=6,
            color=INK,
        )


def _limits(deviations: Array) -> tuple[float, float]:
    positive = deviations[deviations > 0]
    return (positive.min() / 2, positive.max() * 2) if len(positive) else (0.1, 1.0)


def _tasks(results: Results, table: pd.DataFrame, all_variants: bool = False) -> list[Task]:
    """The benchmarks and metrics of a table, in its order; `all_variants`: where every variant trained."""
    found = []
    for benchmark, name in dict.fromkeys(zip(table.benchmark, table.metric, strict=True)):
        trained = {variant for place, variant in results.study["runs"] if place == benchmark}
        metric = next((one for one in results.measured(benchmark) if one.name == name), None)
        if metric is not None and (not all_variants or trained == set(results.variants)):
            found.append((benchmark, metric))
    return found


def _task_words(results: Results) -> str:
    words: dict[str, list[str]] = {}
    for benchmark, metric in _tasks(results, results.comparisons, all_variants=True):
        words.setdefault(results.title(benchmark), []).append(metric.title)
    return "; ".join(f"{benchmark}: {', '.join(titles)}" for benchmark, titles in words.items())


def _reference(results: Results) -> str:
    """The one variant that stands in no comparison."""
    compared = set(results.comparisons.variant)
    return next((name for name in results.variants if name not in compared), "")


def _best_first(results: Results, by_title: bool = True) -> dict[str, list[Variant]]:
    """Families, by title or name -> their variants, the highest score first."""
    points: dict[str, Band] = bands(results.scores)

    def rank(variant: Variant) -> float:
        return -points[variant.name][0] if variant.name in points else math.inf

    return {
        FAMILIES[family] if by_title else family: sorted(group, key=rank)
        for family, group in results.families.items()
    }
