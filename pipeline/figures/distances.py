"""The distance experiment and what maximum likelihood pays for it, exactly."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.figures.families import level
from pipeline.figures.style import INK, LOOKS, WIDTH, Drawing, letter
from pipeline.figures.tables import Results

UNIFORM_SHIFT = 2.0  # of the panel with uniforms, in widths
# Column of divergences.csv -> name in print; those that have a largest value first.
SATURATING = {
    "jsd_nats": "JSD",
    "total_variation": "total variation",
    "squared_hellinger": "squared Hellinger",
}
GROWING = {"kl_nats": "KL = reverse KL", "wasserstein_1": "W1 [std]"}
DATA, SAMPLES = LOOKS["likelihood_ratio"], LOOKS["f_divergence"]  # blue and orange: here p and q


def three_panels(results: Results) -> Drawing:
    """Three pairs of densities with their JSD, and every divergence against the distance."""
    facts = results.theory("distance_summary", "quantity value").set_index("quantity").value
    uniforms = results.theory("uniforms", "shift jsd_nats").set_index("shift").jsd_nats
    table = results.theory("divergences", "distance " + " ".join((*SATURATING, *GROWING)))
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.2, 2.2))[:, 0]
    panels = above.subplots(1, 3)
    _uniforms(panels[0], UNIFORM_SHIFT)
    # The first distance of the table that reads like the panel before it.
    far = float(table.distance[table.jsd_nats.round(3) == round(float(uniforms[UNIFORM_SHIFT]), 3)].iloc[0])
    near = float(facts["distance_at_survey_panel"])
    _normals(panels[1], far)
    _normals(panels[2], near)
    values = [
        float(uniforms[UNIFORM_SHIFT]),
        float(table.set_index("distance").jsd_nats[far]),
        float(facts["survey_panel_jsd"]),
    ]
    words = [f"{UNIFORM_SHIFT:g} widths apart", f"{far:.2f} std apart", f"{near:.2f} std apart"]
    for index, (axes, value, text) in enumerate(zip(panels, values, words, strict=True)):
        axes.set_title(f"({letter(index)}) JSD = {value:.3f}", loc="left", weight="bold", fontsize=7)
        axes.set_xlabel(text)
        axes.set(yticks=[], xticks=[])
        axes.spines["left"].set_visible(False)
    left, right = below.subplots(1, 2)
    _curves(left, table, SATURATING)
    level(left, np.log(2), "log 2")
    left.set_ylim(0, 1.12)
    _curves(right, table[table.distance > 0], GROWING)
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(numticks=6))
    right.yaxis.set_minor_formatter(NullFormatter())
    for index, axes in enumerate((left, right), start=3):
        axes.set_title(f"({letter(index)})", loc="left", weight="bold", fontsize=7)
        axes.set_xlabel("distance of the means [std]")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    caption = (
        "Data p (blue, filled) and samples q (orange). (a) Two uniforms without overlap, at any distance; "
        f"(b) two unit normals {far:g} standard deviations apart, whose JSD reads {values[1]:.3f} too; (c) "
        "the same "
        f"at {near:.2f}. (d) Divergences that have a largest value and saturate; (e) those that grow with "
        "the "
        "distance, log scale."
    )
    return Drawing(
        figure,
        caption,
        "Three pairs of densities with their Jensen-Shannon divergence, and line charts of five divergences "
        "between two unit normals against their distance.",
        ("theory/distance_summary.csv", "theory/uniforms.csv", "theory/divergences.csv"),
    )


def likelihood_spread(results: Results) -> Drawing:
    """What a sample's gradient under maximum likelihood is worth as the densities part."""
    table = results.theory("likelihood_spread", "distance relative_sd half_carried_by")
    figure = Figure(figsize=(WIDTH, 1.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(table.distance, table.relative_sd, color=INK)
    left.set_ylabel("standard deviation / mean")
    right.plot(table.distance, table.half_carried_by, color=INK)
    right.set_ylabel("share that carries half")
    for index, axes in enumerate((left, right)):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("distance of the means [std]")
        axes.set_title(f"({letter(index)})", loc="left", weight="bold", fontsize=7)
    caption = (
        "The per-sample gradient of maximum likelihood at the best critic, two unit normals: (a) its "
        "standard "
        "deviation over its mean; (b) the share of the samples, largest gradients first, that carries half "
        "of "
        "the gradient. Log scales."
    )
    return Drawing(
        figure,
        caption,
        "Two line charts against distance: the relative standard deviation of the per-sample gradient rises "
        "and the share of samples that carries half of it falls, both by orders of magnitude.",
        ("theory/likelihood_spread.csv",),
    )


def _uniforms(axes: Axes, shift: float) -> None:
    for start, look, alpha in ((0.0, DATA, 0.35), (shift, SAMPLES, 0.0)):
        x, y = [start, start, start + 1, start + 1], [0, 1, 1, 0]
        axes.plot(x, y, color=look.colour)
        axes.fill(x, y, color=look.colour, alpha=alpha, linewidth=0)
    axes.set_ylim(0, 1.25)


def _normals(axes: Axes, distance: float) -> None:
    x = np.linspace(-3.5, distance + 3.5, 57)
    for mean, look, alpha in ((0.0, DATA, 0.35), (distance, SAMPLES, 0.0)):
        y = np.exp(-((x - mean) ** 2) / 2)
        axes.plot(x, y, color=look.colour)
        axes.fill_between(x, y, color=look.colour, alpha=alpha, linewidth=0)
    axes.set_ylim(0, 1.25)


def _curves(axes: Axes, table: pd.DataFrame, names: dict[str, str]) -> None:
    for (column, name), style in zip(names.items(), ("-", "--", ":"), strict=False):
        axes.plot(table.distance, table[column], linestyle=style, color=INK, label=name)
    axes.legend(loc="lower right")
