"""The critic and the whole game in function space: free functions on a grid, no network."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from pipeline.figures.families import Curve, family_panels, level
from pipeline.figures.style import INK, LOOKS, SOFT, WIDTH, Drawing, letter
from pipeline.figures.tables import Results

MINIMAX = "minimax"
FLOOR = 1e-17  # of errors of p/(p+q); rounding is 1e-16
ENDED = 1e-12  # total variation: where a game ends
SPACES = {"1d": ("on the line", LOOKS["likelihood_ratio"].colour, "-"), "2d": ("in the plane", INK, "--")}
MOMENT_TINTS = (0.75, 0.5, 0.0)  # towards white: from the first moment shown to the last


def _titled(axes: Axes, place: int, text: str) -> None:
    axes.set_title(f"({letter(place)}) {text}", loc="left", weight="bold", fontsize=7)


def _log_errors(axes: Axes, low: float, high: float) -> None:
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _of_catalogue(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the objectives that the study trains."""
    return table[table.objective.isin(results.objectives)]


def function_space(results: Results) -> Drawing | None:
    """A free critic's ascent: error against steps, the value reached, and the other objectives."""
    course = results.theory(
        "free_ascent_course", "objective grid pair steps error_low error_median error_high error_max"
    )
    family = results.theory("function_space", "q value_exact_nats value_reached_nats value_gap_nats starts")
    minimax = course[course.objective == MINIMAX]
    figure = Figure(figsize=(WIDTH, 4.7), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.9, 2.8))[:, 0]
    left, right = above.subplots(1, 2)
    for grid, rows in minimax.groupby("grid", sort=False):
        words, colour, line = SPACES[str(grid)]
        left.fill_between(rows.steps, rows.error_low, rows.error_high, color=colour, alpha=0.25, linewidth=0)
        left.plot(rows.steps, rows.error_median, color=colour, linestyle=line, label=words)
    _log_errors(left, FLOOR / 10, 2.0)
    left.set(xlabel="ascent steps", ylabel="mean |D − p/(p+q)|")
    left.legend(loc="lower left")
    _titled(left, 0, "Minimax: from every start to p/(p+q)")
    _value_panel(right, family)
    curves: dict[str, Curve] = {}
    for name, rows in _of_catalogue(results, course[course.grid == "2d"]).groupby("objective", sort=False):
        curves[str(name)] = (rows.steps.to_numpy(np.float64), rows.error_max.to_numpy())
    if not curves:
        return None
    panels = family_panels(below, results, curves, (FLOOR, 3.0), height=2.1, first=2)
    panels[0].set_ylabel("largest |error of p/(p+q)|")
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("ascent steps")
    ends = minimax.groupby("grid", sort=False).tail(1)
    reached = "; ".join(
        f"{row.error_max:.1e} {SPACES[row.grid][0]} after {row.steps} steps" for row in ends.itertuples()
    )
    last = _of_catalogue(results, course).groupby(["objective", "grid"]).tail(1)
    caption = (
        "A critic with one free output per cell of a grid, by preconditioned gradient ascent from "
        f"{int(family.starts.max())} random starts. (a) The error of its D under minimax, averaged over the "
        "mass of p and q: the median and the range over the starts. The largest error in any cell ends at "
        f"{reached}. (b) The value reached for {len(family)} densities q against −2 log 2 + 2 JSD(p, q) by "
        f"quadrature: the largest difference is {family.value_gap_nats.max():.1e} nats. Below, by family: the "
        "largest error over cells and starts of the p/(p+q) that the outputs of every objective say, in the "
        f"plane; after the last step none is above {last.error_max.max():.1e}. Objectives whose best output "
        "is a step, or no function of q/p, have no such error."
    )
    alt = (
        "Line charts of the error of a free discriminator against ascent steps: for minimax in one and two "
        "dimensions, and by family of objectives, all falling to rounding error within "
        f"{int(last.steps.max())} steps; and points of the value reached against its formula, on the diagonal."
    )
    files = ("theory/free_ascent_course.csv", "theory/function_space.csv")
    return Drawing(figure, caption, alt, files)


def _value_panel(axes: Axes, family: pd.DataFrame) -> None:
    span = [family.value_exact_nats.min(), family.value_exact_nats.max()]
    axes.plot(span, span, color=SOFT, linewidth=0.8)
    axes.plot(
        family.value_exact_nats, family.value_reached_nats, "o", color=LOOKS["likelihood_ratio"].colour,
        markersize=3.5, markerfacecolor="none",
    )  # fmt: skip
    level(axes, -2 * np.log(2), "−2 log 2, q = p")
    axes.set(xlabel="−2 log 2 + 2 JSD(p, q) [nats]", ylabel="value reached [nats]")
    axes.set_ylim(-1.55, 0.1)
    _titled(axes, 1, "Minimax: the value of the game")


def free_game(results: Results) -> Drawing | None:
    """The whole game: a free density q at a few moments, and its distance to p by family."""
    course = results.theory("free_game_course", "objective updates tv_low tv_median tv_high")
    density = results.theory("free_game_densities", "x p")
    games = results.theory("free_game", "objective grid starts updates tv_to_p_max tv_slower_median")
    figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.9, 3.0))[:, 0]
    moments = sorted(int(name[2:]) for name in density.columns if name.startswith("q_"))
    shown = [moments[0], *moments[-3:-1]] if len(moments) > 3 else moments
    for place, (axes, moment) in enumerate(
        zip(above.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True)
    ):
        axes.fill_between(density.x, density.p, color=SOFT, alpha=0.35, linewidth=0, label="p")
        axes.plot(
            density.x, density[f"q_{moment}"], color=LOOKS["likelihood_ratio"].colour, drawstyle="steps-mid",
            linewidth=0.9, label="q",
        )  # fmt: skip
        axes.set_xlabel("x")
        _titled(axes, place, "Start" if moment == 0 else f"{moment} updates")
        if place == 0:
            axes.set_ylabel("density, minimax")
            axes.legend(loc="upper left")
    curves: dict[str, Curve] = {}
    for name, rows in _of_catalogue(results, course).groupby("objective", sort=False):
        curves[str(name)] = (rows.updates.to_numpy(np.float64), rows.tv_median.to_numpy())
    if not curves:
        return None
    panels = family_panels(below, results, curves, (ENDED / 10, 3.0), height=2.2, first=len(shown))
    panels[0].set_ylabel("total variation of q and p")
    for axes in panels:
        axes.set_xscale("symlog", linthresh=20)
        axes.set_xlim(0, course.updates.max())
        axes.xaxis.set_major_locator(FixedLocator([0, 10, 20, 50, 100, int(course.updates.max())]))
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.set_xlabel("updates")
    caption = (
        "The whole game in function space: q is a softmax over the cells of a grid, the critic one free "
        "output per cell; they take turns, and one rule sets the step of every objective. Above: p and q of "
        "one start under minimax, on the line. Below, by family, in the plane: the total variation of q and p "
        f"against updates, the median of {int(games.starts.max())} starts; a game ends below {ENDED:g}. The "
        "axis of updates is linear up to 20 and logarithmic beyond." + _left_over(results, games)
    )
    alt = (
        "Three panels of a bumpy density q that comes to lie on the data density p with its modes, and line "
        "charts of their total variation against updates by family of objectives: most fall in straight lines "
        "to 1e-12; those whose critic is a step stay near 0.1, and one stays near 0.5."
    )
    files = ("theory/free_game_densities.csv", "theory/free_game_course.csv", "theory/free_game.csv")
    return Drawing(figure, caption, alt, files)


def _left_over(results: Results, games: pd.DataFrame) -> str:
    """A sentence on the objectives that stay away from p in the plane."""
    away = _of_catalogue(results, games[(games.grid == "2d") & (games.tv_to_p_max > ENDED)])
    if not len(away):
        return " Every objective arrives."
    said = ", ".join(
        f"{results.objectives[row.objective]['title']} ({row.tv_to_p_max:.2g}; with a fifth of the step "
        f"{row.tv_slower_median:.2g})"
        for row in away.itertuples()
    )
    return f" Those that do not arrive, with the total variation at their end: {said}."
