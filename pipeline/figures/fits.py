"""What a normal generator arrives at: the fits of every f, and the one number of parallel lines."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from pipeline.figures.families import LABEL_SIZE, family_panels, level, spread
from pipeline.figures.style import FAINT, INK, LOOKS, SOFT, WIDTH, Drawing, letter
from pipeline.figures.tables import Results, to_records

LOOK = LOOKS["f_divergence"]
TARGET = ((0.67, 2.0, 2**0.5), (0.33, -1.0, 0.255))  # weight, mean, std: the mixture of the tables
NEAREST, FARTHEST = 3e-3, 8.0  # |theta| shown
_HEAT = LinearSegmentedColormap.from_list("heat", ["#ffffff", LOOK.colour])
_PENALTY = {
    "none": "",
    "gradient_penalty": ", gradient penalty",
    "r1": ", R1",
    "weight_clipping": ", clipped",
}


def _normal(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    density: np.ndarray = np.exp(-(((x - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
    return density


def _head(axes: Axes, place: int, text: str) -> None:
    axes.set_title(f"({letter(place)}) {text}", loc="left", weight="bold", fontsize=7)


def f_gan_fits(results: Results) -> Drawing | None:
    """The exact and the trained normal of every f, and what each is worth under every other f."""
    fits = results.theory("trained_fit", "objective mean std mean_exact std_exact bound divergence_exact")
    fits = fits[fits.objective.isin(results.objectives)].reset_index(drop=True)
    if fits.empty:
        return None
    titles = [str(results.objectives[name]["title"]) for name in fits.objective]
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplot_mosaic([["a", "c"], ["b", "c"]], width_ratios=(1.0, 1.25), height_ratios=(1.0, 1.6))
    _densities(axes["a"], fits, titles)
    _plane(axes["b"], fits)
    _heat(axes["c"], results.theory("cross_fit", "fit fitted measured divergence"), list(fits.objective))
    rows = [f"{title}  {number}" for number, title in enumerate(titles, 1)]
    axes["c"].set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=LABEL_SIZE)
    away = fits.assign(
        title=titles,
        gap=np.hypot(fits["mean"] - fits.mean_exact, fits["std"] - fits.std_exact),
    ).dropna(subset=["gap"])
    worst = to_records(away.nlargest(1, "gap"))
    farthest = "".join(
        f" Farthest from its exact fit ends {row['title']}, by {row['gap']:.2g} in the plane of (b)."
        for row in worst
    )
    caption = (
        "Normals fitted to a mixture of two. (a) The target (grey) and the exact fit of every f (orange); "
        "the two that lie farthest apart are named. (b) Mean and standard deviation: exact (squares) and as "
        "trained (dots, median over seeds; bars: their range), numbered as the rows of (c). (c) Every exact "
        "fit, a row, measured under every f, a column: by how many percent its divergence exceeds the least "
        "that a normal has (≥10⁴: 10,000 or more, ∞: infinite)." + farthest
    )
    alt = (
        "Density curves of a mixture and of the normals fitted to it, a scatter of their means and standard "
        f"deviations, and a table of divergences as a heat map, for {', '.join(titles)}."
    )
    return Drawing(figure, caption, alt, ("theory/trained_fit.csv", "theory/cross_fit.csv"))


def _densities(axes: Axes, fits: pd.DataFrame, titles: list[str]) -> None:
    x = np.linspace(-4, 7, 89)
    target = sum(weight * _normal(x, mean, std) for weight, mean, std in TARGET)
    axes.fill_between(x, target, color=FAINT, linewidth=0)
    for mean, std in zip(fits.mean_exact, fits.std_exact, strict=True):
        axes.plot(x, _normal(x, mean, std), color=LOOK.colour, linewidth=0.7, alpha=0.8)
    means = fits.mean_exact.to_numpy()
    ends = ((int(means.argmin()), "right", -1.55, 0.2), (int(means.argmax()), "left", 4.0, 0.25))
    for place, side, at, height in ends:
        mean, std = fits.mean_exact[place], fits.std_exact[place]
        axes.annotate(
            titles[place], (at, float(_normal(np.array(at), mean, std))), xytext=(at, height), ha=side,
            fontsize=LABEL_SIZE, color=LOOK.text, arrowprops={"arrowstyle": "-", "lw": 0.5, "color": SOFT},
        )  # fmt: skip
    axes.set(xlabel="x", ylabel="density", ylim=(0, None), xlim=(-4, 7))
    _head(axes, 0, "Target and exact fits")


def _plane(axes: Axes, fits: pd.DataFrame) -> None:
    groups: dict[tuple[float, float], list[int]] = {}  # those that coincide: one label
    for place, one in enumerate(to_records(fits)):
        exact = (one["mean_exact"], one["std_exact"])
        groups.setdefault((round(exact[0], 4), round(exact[1], 4)), []).append(place + 1)
        if one["mean"] is not None:
            axes.plot([exact[0], one["mean"]], [exact[1], one["std"]], color=SOFT, linewidth=0.6)
    low = [fits["mean"] - fits.mean_low, fits["std"] - fits.std_low]
    high = [fits.mean_high - fits["mean"], fits.std_high - fits["std"]]
    axes.errorbar(
        fits["mean"], fits["std"], xerr=[low[0], high[0]], yerr=[low[1], high[1]], fmt="o", color=LOOK.colour,
        markersize=2.6, elinewidth=0.5,
    )  # fmt: skip
    axes.plot(
        fits.mean_exact, fits.std_exact, LOOK.marker, color=INK, markersize=3.4, markerfacecolor="none",
        markeredgewidth=0.7,
    )  # fmt: skip
    axes.margins(0.12)
    _number(axes, groups)
    axes.set(xlabel="mean", ylabel="standard deviation")
    _head(axes, 1, "Exact and as trained")


def _number(axes: Axes, groups: dict[tuple[float, float], list[int]]) -> None:
    """The numbers of the exact fits, right of the panel, each with a line to its own."""
    (left, right), (low, high), inches = axes.get_xlim(), axes.get_ylim(), 1.8  # of the panel, about
    axes.set(xlim=(left, right), ylim=(low, high))
    places = [((mean - left) / (right - left), (std - low) / (high - low)) for mean, std in groups]
    heights = spread([up for _, up in places], 1.3 * LABEL_SIZE / 72 / inches)
    for (along, up), numbers, height in zip(places, groups.values(), heights, strict=True):
        axes.plot(
            (along, 1.03), (up, height), transform=axes.transAxes, color=FAINT, linewidth=0.4, clip_on=False,
            zorder=0,
        )  # fmt: skip
        words = ", ".join(map(str, numbers))
        axes.text(1.04, height, words, transform=axes.transAxes, va="center", fontsize=LABEL_SIZE)


def _heat(axes: Axes, cross: pd.DataFrame, names: list[str]) -> None:
    """Excess of the exact fits over the least divergence, in percent: rows fitted, columns measured."""
    cross = cross[cross.fit == "exact"]
    least = cross[cross.fitted == cross.measured].set_index("measured").divergence
    table = cross.pivot(index="fitted", columns="measured", values="divergence")
    table = table.reindex(index=names, columns=names)
    excess = 100 * (table / least.reindex(names) - 1).to_numpy()
    axes.pcolormesh(
        np.ma.masked_invalid(np.maximum(excess, 1.0)), cmap=_HEAT, norm=LogNorm(1.0, 1e4), edgecolors="white",
        linewidth=0.4,
    )  # fmt: skip
    for row, column in np.ndindex(excess.shape):
        # The best is known to the digits of the table.
        text = _percent(max(float(excess[row, column]), 0.0))
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center_baseline", fontsize=LABEL_SIZE)
    axes.invert_yaxis()
    axes.set_xticks(
        np.arange(len(names)) + 0.5, [str(n) for n in range(1, len(names) + 1)], fontsize=LABEL_SIZE
    )
    axes.set_xlabel("measured under")
    _head(axes, 2, "Every fit under every f: excess [%]")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _percent(value: float) -> str:
    """Two digits below 10, none after the point above, powers of ten from 10,000 on."""
    if not np.isfinite(value):
        return "∞"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}" if value < 9999.5 else "≥10⁴"


def parallel_lines(results: Results) -> Drawing | None:
    """Two lines that share no point: the exact divergences, and what training makes of them."""
    course = results.theory("parallel_lines_course", "objective penalty update distance")
    course = course[course.objective.isin(results.objectives)]
    exact = results.theory("parallel_lines_exact", "objective theta divergence")
    exact = exact[exact.objective.isin(results.objectives)]
    if course.empty:
        return None
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.0, 3.2))[:, 0]
    left, middle, right = above.subplots(1, 3, width_ratios=(0.7, 1.0, 1.5))
    _geometry(left)
    infinite = _exact(middle, exact, results)
    _penalised(right, course, results)
    free = course[course.penalty == "none"]
    curves = {
        str(name): (rows["update"].to_numpy(float), rows.distance.to_numpy())
        for name, rows in free.groupby("objective", sort=False)
    }
    panels = family_panels(below, results, curves, (NEAREST, FARTHEST), height=2.5, first=3)
    for axes in panels:
        axes.set_xlabel("updates")
        axes.set_xlim(0, course["update"].max())
        level(axes, 0.1, "")
    panels[0].set_ylabel("|θ|, median over seeds")
    start = float(course.distance[course["update"] == 0].max())
    stuck = [
        str(results.objectives[name]["title"])
        for name, (_, y) in curves.items()
        if not (np.isfinite(y[-1]) and y[-1] < start / 2)
    ]
    caption = (
        "Parallel lines. (a) Data on the segment at 0, generated samples on that at θ. (b) The generator's "
        "loss at the best critic against θ: what is finite is constant but for the Wasserstein distance; "
        f"infinite for {infinite} of {exact.objective.nunique()} objectives. (c)-({letter(2 + len(panels))}) "
        f"Trained from θ = {start:g} against a small network: |θ|, log scale, the median over seeds; dotted: "
        "0.1; a curve ends, at a cross, where the median is lost. (c) Critics held by a penalty or by "
        "clipping, and the same objectives free; the others by family, without any. At the end "
        + (f"not half way: {', '.join(stuck)}." if stuck else "all are more than half way.")
    )
    alt = (
        "Two parallel segments, their divergences against the distance, and line charts of the distance "
        f"through training for {', '.join(str(results.objectives[name]['title']) for name in curves)}; "
        f"{len(stuck)} of {len(curves)} end less than half way."
    )
    return Drawing(
        figure, caption, alt, ("theory/parallel_lines_exact.csv", "theory/parallel_lines_course.csv")
    )


def _geometry(axes: Axes) -> None:
    axes.plot([0, 0], [0, 1], color=INK, linewidth=2)
    axes.plot([1, 1], [0, 1], color=SOFT, linewidth=2)
    axes.annotate("", (0.06, 0.5), (0.94, 0.5), arrowprops={"arrowstyle": "->", "lw": 0.7, "color": SOFT})
    axes.text(0.5, 0.55, "θ", ha="center")
    axes.text(0.1, 1.06, "data", ha="right", fontsize=LABEL_SIZE)
    axes.text(1.6, 1.06, "generated", ha="right", fontsize=LABEL_SIZE, color=SOFT)
    axes.set(xlim=(-0.5, 1.6), ylim=(-0.1, 1.25), xlabel="x", ylabel="y")
    axes.xaxis.set_major_locator(FixedLocator([0]))
    axes.yaxis.set_major_locator(FixedLocator([0, 1]))
    _head(axes, 0, "Two lines")


def _exact(axes: Axes, exact: pd.DataFrame, results: Results) -> int:
    """Draw the finite losses; how many are infinite."""
    infinite = 0
    for name, rows in exact.groupby("objective", sort=False):
        away = rows[rows.theta > 0]
        if away.divergence.isna().any():
            infinite += 1
            continue
        colour = LOOKS[results.family(str(name))].colour
        axes.plot(away.theta, away.divergence, color=colour, linewidth=0.9)
        if away.divergence.nunique() > 1:
            last = away.iloc[-1]
            axes.annotate(
                str(results.objectives[str(name)]["title"]), (last.theta, last.divergence), xytext=(-3, 0),
                textcoords="offset points", ha="right", va="center", fontsize=LABEL_SIZE, color=SOFT,
            )  # fmt: skip
    axes.plot(0, 0, "o", color=INK, markersize=3)
    axes.set(xlabel="θ", ylabel="loss at the best critic", xlim=(-0.15, None), ylim=(-0.15, None))
    _head(axes, 1, "Exact")
    return infinite


def _penalised(axes: Axes, course: pd.DataFrame, results: Results) -> None:
    """The objectives that are trained under some penalty, with and without: one tint each, a dash each."""
    held = course[course.penalty != "none"].objective.unique()
    tints = {str(name): place for place, name in enumerate(held)}
    dashes: dict[str, tuple[float, ...]] = {
        "none": (),
        "gradient_penalty": (4, 1.2),
        "r1": (1.2, 1.2),
        "weight_clipping": (6, 1.2, 1, 1.2),
    }
    rows = course[course.objective.isin(held)]
    for (name, penalty), line in rows.groupby(["objective", "penalty"], sort=False):
        colour = LOOKS[results.family(str(name))].line(tints[str(name)] % 3)["color"]
        label = f"{results.objectives[str(name)]['title']}{_PENALTY[str(penalty)]}"
        dash: dict[str, Any] = {"dashes": dashes[str(penalty)]} if dashes[str(penalty)] else {}
        shown = line.distance.where(line.distance > 0)
        axes.plot(line["update"], shown, color=colour, linewidth=0.9, label=label, **dash)
    axes.set_yscale("log")
    axes.set_ylim(NEAREST, FARTHEST)
    axes.yaxis.set_minor_formatter(NullFormatter())
    level(axes, 0.1, "")
    axes.set(xlabel="updates", ylabel="|θ|", xlim=(0, course["update"].max()))
    if len(held):
        axes.legend(fontsize=LABEL_SIZE, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.6)
    _head(axes, 2, "Held critics")
