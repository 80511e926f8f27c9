"""How far the estimators of divergences can be trusted, on pairs of normals whose divergences are known."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from pipeline.figures.style import FAINT, INK, WIDTH, Drawing, letter
from pipeline.figures.tables import Results

# (estimator, quantity) -> words, colour (of Okabe & Ito), marker.
TOLD_FROM_ZERO = {
    ("kernel", "energy_distance"): ("energy distance", "#56B4E9", "o"),
    ("kernel", "mmd_squared"): ("squared MMD", "#0072B2", "."),
    ("sliced", "sliced_wasserstein_1"): ("sliced W1", "#009E73", "D"),
    ("optimal_transport", "wasserstein_1"): ("W1", "#117733", "D"),
    ("histogram", "jensen_shannon"): ("JSD, histogram", "#CC79A7", "v"),
    ("nearest_neighbours", "kl"): ("KL, nearest neighbours", "#E69F00", "s"),
    ("critic_ratio", "jensen_shannon_bound"): ("JSD bound, critic", "#D55E00", "^"),
    ("logistic_ratio", "jensen_shannon_bound"): ("JSD bound, logistic", "#222222", "x"),
}
OF_THE_TRUTH = {
    ("nearest_neighbours", "kl"): ("nearest neighbours", "#E69F00", "s"),
    ("histogram", "kl"): ("histogram", "#CC79A7", "v"),
    ("critic_ratio", "kl"): ("critic", "#D55E00", "^"),
    ("critic_ratio", "kl_bound"): ("critic, bound", "#882255", "<"),
    ("logistic_ratio", "kl"): ("logistic", "#222222", "x"),
    ("logistic_ratio", "kl_bound"): ("logistic, bound", "#8a8a8a", "+"),
}
SHOWN_N = 10_000  # of the lower panels, or the largest one below that there is
NEAR, FAR = 0.0, 1.6  # of the lower panels: estimate over truth
FAMILY = "normals_"


def calibration(results: Results) -> Drawing | None:
    """The smallest distance told from zero against N; the estimate over the truth against the distance.

    None without an estimator of KL.
    """
    limits = results.calibration_limits
    families = list(dict.fromkeys(limits.family[limits.family.str.startswith(FAMILY)]))
    families.sort(key=_dimensions)
    trials = results.calibration_trials
    of_the_truth = trials[trials.estimator.isin([name for name, _ in OF_THE_TRUTH])]
    if not families or of_the_truth.empty:
        return None
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    upper = above.subplots(1, len(families), sharey=True, squeeze=False)[0]
    lower = below.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for index, (axes, family) in enumerate(zip(upper, families, strict=True)):
        _limits(axes, limits[limits.family == family])
        axes.set_title(f"({letter(index)}) D = {_dimensions(family)}", loc="left", fontsize=7)
        axes.set_xlabel("samples N")
    upper[0].set_ylabel("smallest distance told from 0 [std]")
    shown = int(of_the_truth.n[of_the_truth.n <= SHOWN_N].max())
    for index, (axes, family) in enumerate(zip(lower, families, strict=True), start=len(families)):
        _shares(axes, trials[(trials.n == shown) & trials.pair.str.startswith(f"{family}_")])
        axes.set_title(f"({letter(index)}) D = {_dimensions(family)}", loc="left", fontsize=7)
        axes.set_xlabel("distance [std]")
    lower[0].set_ylabel("estimated KL over its true value")
    for part, panels in ((above, upper), (below, lower)):
        # Of all panels: an estimator for the plane has lines in the first two alone.
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        named = {label: line for label, line in lines.items() if not str(label).startswith("_")}
        part.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, handlelength=1.6)
    caption = (
        "The estimators of divergences on pairs of normals in D dimensions, p and q a distance apart in "
        f"standard deviations; {_repeats(trials)}. Above: the smallest distance of those tried from which on "
        "an estimate is told from that of equal laws 19 times in 20, at a one-sided level of 5 %; where a "
        "line is missing, not even the farthest pair is. Steps of one place up or down, of estimators with "
        "few repeats above all, are within chance. Below: the mean estimate of KL(p ‖ q) from "
        f"N = {shown:,} samples over its true value, with one standard deviation; 1 is right; values outside "
        "the frame, and bounds below 0, are not drawn."
    )
    alt = (
        f"Line charts for {', '.join(str(_dimensions(family)) for family in families)} dimensions: the "
        "smallest "
        "distance of two normals that each estimator tells from zero against the number of samples, and the "
        "estimated KL divergence over the true one against the distance."
    )
    names = sorted({name for name, _ in (*TOLD_FROM_ZERO, *OF_THE_TRUTH)} & set(limits.estimator))
    source = [f"calibration/{name}{end}" for name in names for end in (".csv.gz", "_limits.csv")]
    return Drawing(figure, caption, alt, tuple(source))


def _dimensions(family: str) -> int:
    return int(family.removeprefix(FAMILY).removesuffix("d"))


def _repeats(trials: pd.DataFrame) -> str:
    least, most = int(trials.repeats.min()), int(trials.repeats.max())
    return f"{most} repeats" if least == most else f"{least} to {most} repeats, by estimator, D and N"


def _limits(axes: Axes, limits: pd.DataFrame) -> None:
    for (estimator, quantity), (words, colour, marker) in TOLD_FROM_ZERO.items():
        line = limits[(limits.estimator == estimator) & (limits.quantity == quantity)].sort_values("n")
        if len(line):
            axes.plot(line.n, line.smallest_distance, marker=marker, ms=3, color=colour, label=words, lw=1)
    axes.set(xscale="log", yscale="log")
    sizes = sorted(set(limits.n))
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.set_xticklabels([f"{n / 1000:g}k" if n >= 1000 else str(n) for n in sizes], fontsize=5.6)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator([0.0625, 0.125, 0.25, 0.5, 1, 2, 4]))
    axes.set_yticklabels(["1/16", "1/8", "1/4", "1/2", "1", "2", "4"])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, axis="y")


def _shares(axes: Axes, trials: pd.DataFrame) -> None:
    axes.axhline(1, color=INK, lw=0.6)
    distance = trials.pair.str.rpartition("_")[2].astype(float)
    chosen = trials.assign(distance=distance)
    chosen = chosen[chosen.distance > 0]
    for (estimator, quantity), (words, colour, marker) in OF_THE_TRUTH.items():
        line = chosen[(chosen.estimator == estimator) & (chosen.quantity == quantity)]
        line = line.sort_values("distance")
        if not len(line):
            continue
        share, spread = line["mean"] / line.truth, line.spread / line.truth
        share = share.where((share >= NEAR) & (share <= FAR))
        axes.fill_between(
            line.distance, share - spread, share + spread, color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(line.distance, share, marker=marker, ms=3, color=colour, label=words, lw=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.0625, 0.25, 1, 4]))
    axes.set_xticklabels(["1/16", "1/4", "1", "4"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(NEAR, FAR)
    axes.set_yticks(np.arange(0, FAR + 0.1, 0.5))
    axes.grid(visible=True, axis="y", color=FAINT)
