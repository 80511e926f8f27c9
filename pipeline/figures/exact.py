"""Exact curves: densities and optimal critics, no trained network."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pipeline.figures.families import family_panels, level
from pipeline.figures.style import INK, SOFT, WIDTH, Drawing, letter
from pipeline.figures.tables import Results

DECADES = 8  # shown at most of what is left of a gradient
FARTHEST = 4.0  # log10 of r at either end of the map
GRADIENT_POINTS = 76  # along a curve: every 0.2 standard deviations


def distance_jsd(results: Results) -> Drawing:
    """JSD of two normals against their distance, its derivative, and what is left of every gradient."""
    curve = results.theory("distance", "distance jsd_nats jsd_gradient_nats")
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.5, 3.1))[:, 0]
    left, right = above.subplots(1, 2)
    level(left, np.log(2), "log 2")
    left.plot(curve.distance, curve.jsd_nats, color=INK)
    left.set(ylabel="JSD [nats]", ylim=(0, 0.85))
    right.plot(curve.distance, curve.jsd_gradient_nats.where(curve.jsd_gradient_nats > 0), color=INK)
    right.set(ylabel="d JSD / d distance", yscale="log")
    right.yaxis.set_major_locator(LogLocator(numticks=6))
    right.yaxis.set_minor_formatter(NullFormatter())
    for index, axes in enumerate((left, right)):
        axes.set_title(f"({letter(index)})", loc="left", weight="bold", fontsize=7)
        axes.set_xlabel("distance of the means [std]")
    table = results.gradients
    curves = {}
    for name, rows in table.groupby("objective", sort=False):
        thin = rows.iloc[:: max(1, len(rows) // GRADIENT_POINTS)]
        curves[str(name)] = (thin.distance.to_numpy(), thin.share.to_numpy())
    panels = family_panels(below, results, curves, (10.0**-DECADES, 3.0), height=2.4, first=2)
    panels[0].set_ylabel("gradient over its largest so far")
    for axes in panels:
        axes.set_xlim(0, table.distance.max())
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("distance of the means [std]")
    never = results.never_felt()
    zero = [str(facts["title"]) for name, facts in results.objectives.items() if name in never]
    caption = (
        "Two normals of equal variance at a growing distance, exactly. (a) Their Jensen-Shannon divergence, "
        "which saturates at log 2. (b) Its derivative, log scale. Below, by family: the size of the "
        "generator's exact gradient with respect to the distance, the optimal critic held fixed, over the "
        "largest it had up to that distance, log scale. A curve that stays at 1 still grows; one that falls "
        "has lost its gradient."
        + (f" 0 at every distance: {', '.join(zero)}." if zero else "")
        + _absent(results, set(curves), "No exact gradient, or none computed")
    )
    return Drawing(
        figure,
        caption,
        _alt(results, curves, "the share of the generator's gradient that is left", "the distance"),
        ("theory/distance.csv", "theory/generator_gradient.csv"),
    )


def slope_map(results: Results) -> Drawing | None:
    """The slope s(r) that the generator feels at a sample, against r, for every objective that has one."""
    table = results.slopes
    table = table[table.objective.isin(results.objectives) & (table.log10_r.abs() <= FARTHEST)]
    known = {
        str(name): (10.0 ** rows.log10_r.to_numpy(), rows.slope.to_numpy())
        for name, rows in table.groupby("objective", sort=False)
    }
    curves = {name: curve for name, curve in known.items() if (curve[1] > 0).any()}
    if not curves:
        return None
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    top = 10.0**FARTHEST
    panels = family_panels(figure, results, curves, (1 / top, top), height=2.4)
    panels[0].set_ylabel("slope s(r)")
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xlim(1 / top, top)
        axes.axvline(1, color=SOFT, linestyle=":", linewidth=0.8, zorder=0)
        axes.xaxis.set_major_locator(FixedLocator([1e-4, 1e-2, 1, 1e2, 1e4]))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{round(np.log10(value))}}}$"))
        axes.set_xlabel("r = q/p at the sample")
    flat = [
        str(results.objectives[name]["title"])
        for name in results.objectives
        if name in set(known) - set(curves)
    ]
    below = [str(results.objectives[name]["title"]) for name, (_, y) in curves.items() if (y < 0).any()]
    away = f" Not drawn where it is below 0 and drives samples away: {', '.join(below)}." if below else ""
    zero = f" Zero wherever r is not 1: {', '.join(flat)}." if flat else ""
    caption = (
        "The vanishing map: the slope s(r) = r d/dr β(ω(r)) that moves a sample of the generator up the "
        "gradient of log p/q, the optimal critic held fixed, against the ratio r = q/p at the sample; both "
        "axes logarithmic. To the right the sample lies where the data is not: an objective whose curve "
        "falls there tells such a sample nothing. To the left it lies where too few samples are."
        + away
        + zero
        + _absent(results, set(known), "No such slope")
    )
    return Drawing(
        figure,
        caption,
        _alt(results, curves, "the slope that the generator feels", "the ratio of generated to data density"),
        ("slopes.csv",),
    )


def _absent(results: Results, known: set[str], what: str) -> str:
    """A sentence that names the objectives without such a curve."""
    names = [str(results.objectives[name]["title"]) for name in results.objectives if name not in known]
    return f" {what}: {', '.join(names)}." if names else ""


def _alt(results: Results, curves: dict[str, tuple[np.ndarray, np.ndarray]], what: str, over: str) -> str:
    titles = ", ".join(
        str(results.objectives[name]["title"]) for name in results.objectives if name in curves
    )
    return f"Line charts of {what} against {over}, one panel per family of objectives, for {titles}."
