"""Exact curves: densities and optimal critics, no trained network."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.figures.style import INK, SOFT, WIDTH, Drawing, letter, objective_looks
from pipeline.figures.tables import Results

MARKS = 6  # markers along a curve
LEGEND_CHARACTERS = 80  # that fit in one line of six
DECADES = 14  # shown at most on the log axis of the gradients


def distance_jsd(results: Results) -> Drawing:
    """JSD of two normals against their distance, its derivative, and every objective's exact gradient."""
    curve = results.theory("distance", "distance jsd_nats jsd_gradient_nats")
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.axhline(np.log(2), color=SOFT, linestyle=":", linewidth=0.8)
    left.annotate(
        "log 2",
        (0.98, np.log(2)),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        color=SOFT,
        fontsize=6.5,
    )
    left.plot(curve.distance, curve.jsd_nats, color=INK)
    left.set(ylabel="JSD [nats]", ylim=(0, 0.76))
    middle.plot(curve.distance, curve.jsd_gradient_nats.where(curve.jsd_gradient_nats > 0), color=INK)
    middle.set(ylabel="d JSD / d distance [nats per std]")
    objectives = _gradients(right, results)
    right.set(ylabel="|gradient| at the optimal critic")
    for axes in (middle, right):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    for index, axes in enumerate((left, middle, right)):
        axes.set_xlabel("distance of the means [std]")
        axes.set_title(f"({letter(index)})", loc="left", weight="bold")
    handles, labels = right.get_legend_handles_labels()
    columns = 6 if sum(map(len, labels)) <= LEGEND_CHARACTERS else 5
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, handlelength=2.6, columnspacing=1.3
    )
    caption = (
        "Two normals of equal variance at a growing distance, exactly. (a) Their Jensen-Shannon divergence, "
        "which saturates at log 2. (b) Its derivative, log scale. (c) The generator's exact gradient with "
        "respect to the distance with the optimal critic held fixed, one curve per objective, log scale, in "
        "the colour of the variant that trains it."
    )
    return Drawing(
        figure, caption, _alt(objectives), ("theory/distance.csv", "theory/generator_gradient.csv")
    )


def _gradients(axes: Axes, results: Results) -> list[str]:
    table = results.theory("generator_gradient", "objective distance gradient_abs")
    trained = {variant.objective for variant in results.variants.values()}
    names = [name for name in dict.fromkeys(table.objective) if name in trained]
    table = table[table.objective.isin(names)]
    styles = objective_looks(names, results.variants)
    for index, name in enumerate(names):
        rows = table[(table.objective == name) & (table.gradient_abs > 0)]
        every = max(1, len(rows) // MARKS)
        axes.plot(
            rows.distance,
            rows.gradient_abs,
            **styles[name].line,
            marker=styles[name].marker,
            markevery=(index * every // max(1, len(names)), every),
            ms=3,
            mew=0,
            label=_title(results, name),
        )
    top = table.gradient_abs.max()
    axes.set_ylim(max(table.gradient_abs.min(), top * 10.0**-DECADES) / 2, top * 2)
    return [_title(results, name) for name in names]


def _title(results: Results, objective: str) -> str:
    return str(results.study["objectives"][objective]["title"])


def _alt(objectives: list[str]) -> str:
    return (
        "Three line charts against the distance of two normals: the Jensen-Shannon divergence rising to log "
        f"2, its derivative falling towards zero, and the size of the generator's gradient for "
        f"{', '.join(objectives)}."
    )
