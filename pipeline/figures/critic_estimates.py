"""What trained critics tell of known densities, and how averages over N samples come to their expectation."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, INK, WIDTH, Drawing
from pipeline.figures.tables import Results

# Pair -> words, colour (of Okabe & Ito), marker.
PAIRS = {
    "shift_1.5": ("normals 1.5 std apart", "#0072B2", "o"),
    "other_weights": ("two modes, other shares", "#E69F00", "s"),
    "one_of_two_modes": ("one of two modes", "#009E73", "D"),
}
AVERAGED = {
    "shift_0.5": ("0.5 std apart", "#0072B2"),
    "shift_2": ("2 std apart", "#D55E00"),
    "wider": ("0.5 std apart, the second wider", "#CC79A7"),
}
DIVERGENCES = ("kl", "reverse_kl", "jensen_shannon", "squared_hellinger", "total_variation")
SMALLEST = 0.1  # of an exact divergence, by which an error is divided: that of claim D5


def critic_estimates(results: Results) -> Drawing | None:
    """Errors of log p/q and of divergences by critic; errors of averages against N. None without critics."""
    ratios = results.density_ratios
    ratios = ratios[ratios.objective == ratios.critic]
    averages = results.sample_averages
    if ratios.empty:
        return None
    errors = _errors(ratios)
    order = errors.groupby("critic").log_ratio_error.max().sort_values(ascending=False).index
    figure = Figure(figsize=(WIDTH, 0.9 + 0.17 * len(order)), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    for axes, column, label in (
        (left, "log_ratio_error", "error of log p/q [nats]"),
        (middle, "divergence_error", "largest relative error\nof five divergences"),
    ):
        for pair, (words, colour, marker) in PAIRS.items():
            chosen = errors[errors.pair == pair].set_index("critic")[column].reindex(order)
            axes.plot(chosen, range(len(order)), marker, ms=3.5, color=colour, label=words)
        axes.set(xscale="log", xlabel=label, ylim=(-0.6, len(order) - 0.4))
        axes.set_yticks(range(len(order)), results.objective_titles(order) if axes is left else [])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=True, axis="both", color=FAINT)
    left.set_title("(a)", loc="left", fontsize=7)
    middle.set_title("(b)", loc="left", fontsize=7)
    right.set_title("(c)", loc="left", fontsize=7)
    drawn, infinite = _averages(right, averages)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left")
    figure.legend(*_once(right), loc="outside lower right")
    seeds, updates = ratios.groupby(["critic", "pair"]).size().max(), int(ratios.updates.max())
    repeats = int(averages.repeats.max())
    caption = (
        f"Critics of {len(order)} objectives, trained for {updates:,} updates on samples of known "
        "densities on "
        f"the line, median of {seeds} seeds. (a) Mean over both densities of the error of the log p/q that "
        "the "
        "output says. (b) Of KL both ways, JSD, squared Hellinger and total variation, computed from that "
        "ratio "
        f"at new samples, the largest error, over the larger of the exact value and {SMALLEST:g}. (c) Root "
        "mean "
        f"square error over {repeats} repeats of an average of the critic's gain over N samples, over its "
        "exact "
        f"value (a line per objective, at its best critic and at a wrong one, {drawn} in all): 1 is the law "
        "1/√N with the right constant; below 1 most repeats miss the rare samples that carry the average. "
        f"{infinite} of infinite variance have no exact value."
    )
    alt = (
        f"Two dot plots of errors for {len(order)} trained critics on three pairs of densities, and lines "
        "of the "
        "error of sample averages, over its exact value, against the number of samples for three pairs."
    )
    return Drawing(figure, caption, alt, ("calibration/density_ratio.csv", "calibration/sample_average.csv"))


def _errors(ratios: pd.DataFrame) -> pd.DataFrame:
    """critic, pair, log_ratio_error, divergence_error: medians over seeds, the largest of the divergences."""
    medians = ratios.groupby(["critic", "pair"]).median(numeric_only=True).reset_index()
    each = [
        (medians[name] - medians[f"{name}_exact"]).abs() / medians[f"{name}_exact"].clip(lower=SMALLEST)
        for name in DIVERGENCES
    ]
    return medians[["critic", "pair", "log_ratio_error"]].assign(divergence_error=np.max(each, axis=0))


def _averages(axes: Axes, averages: pd.DataFrame) -> tuple[int, int]:
    """How many lines are drawn, and how many there are without an exact value."""
    axes.axhline(1, color=INK, lw=0.6)
    drawn, infinite = 0, 0
    for (_, _, pair), line in averages.groupby(["objective", "critic", "pair"], sort=False):
        if not line.is_variance_finite.all():
            infinite += 1
            continue
        words, colour = AVERAGED[str(pair)]
        share = line.root_mean_square_error / line.exact_error
        axes.plot(line.samples, share, color=colour, lw=0.6, alpha=0.6, label=words)
        drawn += 1
    axes.set(xscale="log", yscale="log", xlabel="samples N", ylabel="error over its exact value")
    axes.grid(visible=True, axis="y", color=FAINT)
    return drawn, infinite


def _once(axes: Axes) -> tuple[list[Artist], list[str]]:
    """Handles and labels of the legend, each label with one line."""
    named = {label: line for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(named.values()), list(named)
