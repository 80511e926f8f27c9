"""The critic and the whole game in function space: free functions on a grid, no network.

With every objective of the catalogue in one panel, a line's colour says the family, and a name stands only
beside what differs from the rest.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator
from numpy.typing import NDArray

from pipeline.figures.families import LABEL_SIZE, spread
from pipeline.figures.style import INK, LOOKS, SOFT, WIDTH, Drawing, letter
from pipeline.figures.tables import FAMILIES, Results, to_records

MINIMAX = "minimax"
FLOOR = 1e-18  # of errors of p/(p+q); rounding is 1e-16
ENDED = 1e-12  # total variation: where a game ends
SPACES = {"1d": ("line", LOOKS["likelihood_ratio"].colour, "-"), "2d": ("plane", INK, "--")}
MOMENTS = (0, 5)  # updates after which a density is shown


def _titled(axes: Axes, place: int, text: str) -> None:
    axes.set_title(f"({letter(place)}) {text}", loc="left", weight="bold", fontsize=7)


def _log_axis(axes: Axes, low: float, high: float) -> None:
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(FixedLocator([]))


def _of_catalogue(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the objectives that the study trains."""
    return table[table.objective.isin(results.objectives)]


def _lines(axes: Axes, results: Results, table: pd.DataFrame, x: str, y: str) -> None:
    """A thin line for each objective in the colour of its family."""
    for name, rows in table.groupby("objective", sort=False):
        colour = LOOKS[results.family(str(name))].colour
        axes.plot(rows[x], rows[y], color=colour, linewidth=0.7, alpha=0.85)


def _name_families(axes: Axes, results: Results, names: pd.Series) -> None:
    present = {results.family(name) for name in names}
    shown = [family for family in FAMILIES if family in present]
    axes.legend(
        [Line2D([], [], color=LOOKS[family].colour) for family in shown],
        [FAMILIES[family].removesuffix(" constructions") for family in shown],
        loc="upper right",
        fontsize=LABEL_SIZE,
        handlelength=1.2,
    )


def critic_and_game(results: Results) -> Drawing:
    """Above a free critic's ascent, its value and every objective's; below the whole game with a free q."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    panels = figure.subplots(2, 3)
    critic_words, critic_alt = _critic(panels[0], results)
    game_words, game_alt = _game(panels[1], results)
    return Drawing(
        figure,
        f"Function space. {critic_words} {game_words}",
        f"{critic_alt} {game_alt}",
        (
            "theory/free_ascent_course.csv",
            "theory/function_space.csv",
            "theory/free_game_densities.csv",
            "theory/free_game_course.csv",
            "theory/free_game.csv",
        ),
    )


def _critic(panels: NDArray[np.object_], results: Results) -> tuple[str, str]:
    """Panels (a) to (c), their caption and alt text."""
    course = results.theory(
        "free_ascent_course", "objective grid pair steps error_low error_median error_high error_max"
    )
    family = results.theory("function_space", "q value_exact_nats value_reached_nats value_gap_nats starts")
    left, middle, right = panels
    minimax = course[course.objective == MINIMAX]
    for grid, rows in minimax.groupby("grid", sort=False):
        words, colour, line = SPACES[str(grid)]
        left.fill_between(rows.steps, rows.error_low, rows.error_high, color=colour, alpha=0.25, linewidth=0)
        left.plot(rows.steps, rows.error_median, color=colour, linestyle=line, label=words)
    _log_axis(left, FLOOR, 3.0)
    left.set(xlabel="ascent steps", ylabel="mean |D − p/(p+q)|")
    left.legend(loc="lower left")
    _titled(left, 0, "Minimax, all starts")
    _value_panel(middle, family)
    plane = _of_catalogue(results, course[course.grid == "2d"])
    _lines(right, results, plane, "steps", "error_max")
    _log_axis(right, FLOOR, 3.0)
    right.set(xlabel="ascent steps", ylabel="largest error of p/(p+q)")
    right.xaxis.set_major_locator(MaxNLocator(4))
    _titled(right, 2, "Every objective")
    ends = minimax.groupby("grid", sort=False).tail(1)
    reached = " and at ".join(
        f"{row['error_max']:.1e} ({SPACES[row['grid']][0]}, {row['steps']} steps)" for row in to_records(ends)
    )
    last = plane.groupby("objective").tail(1)
    caption = (
        "Above: a critic with one free output per cell of a grid, by preconditioned gradient ascent from "
        f"{int(family.starts.max())} random starts. (a) The error of its D under minimax, averaged over the "
        "mass of p and q, on the line and in the plane: the median and the range over the starts. The "
        f"largest error in any cell ends at {reached}. (b) The value reached for {len(family)} densities q "
        "against −2 log 2 + 2 JSD(p, q) by quadrature; they differ by at most "
        f"{family.value_gap_nats.max():.1e} nats. (c) In the plane, the largest error over cells and starts "
        f"of the p/(p+q) that the outputs say, for {len(last)} objectives, colours as in (f); at the end "
        f"none is above {last.error_max.max():.1e}. Objectives whose best output is a step, or no function "
        "of q/p, have no such error."
    )
    alt = (
        "Line charts of the error of a free discriminator against ascent steps, for minimax in one and two "
        f"dimensions and for {len(last)} objectives by family, all falling to rounding error within "
        f"{int(last.steps.max())} steps; and points of the value reached, on the diagonal of its formula."
    )
    return caption, alt


def _value_panel(axes: Axes, family: pd.DataFrame) -> None:
    exact, reached = family.value_exact_nats, family.value_reached_nats
    axes.plot([exact.min(), exact.max()], [exact.min(), exact.max()], color=SOFT, linewidth=0.8)
    colour = LOOKS["likelihood_ratio"].colour
    axes.plot(exact, reached, "o", color=colour, markersize=3.2, markerfacecolor="none", markeredgewidth=0.8)
    axes.axhline(-2 * np.log(2), color=SOFT, linestyle=":", linewidth=0.8)
    axes.annotate(
        "−2 log 2, q = p", (0.98, -2 * np.log(2)), xycoords=("axes fraction", "data"), xytext=(0, 2),
        textcoords="offset points", ha="right", color=SOFT, fontsize=6.2,
    )  # fmt: skip
    axes.set(xlabel="−2 log 2 + 2 JSD(p, q) [nats]", ylabel="value reached [nats]")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    _titled(axes, 1, "Minimax, value of the game")


def _game(panels: NDArray[np.object_], results: Results) -> tuple[str, str]:
    """Panels (d) to (f), their caption and alt text."""
    course = results.theory("free_game_course", "objective updates tv_median tv_high")
    shown = {moment: f"q_{moment}" for moment in MOMENTS}
    density = results.theory("free_game_densities", " ".join(["x", "p", *shown.values()]))
    games = results.theory(
        "free_game", "objective grid starts updates tv_to_p_max tv_to_p_median tv_slower_median"
    )
    games = _of_catalogue(results, games[games.grid == "2d"])
    away, arrived = to_records(games[games.tv_to_p_max > ENDED]), games[games.tv_to_p_max <= ENDED]
    first, second, right = panels
    second.sharey(first)
    colour = LOOKS["likelihood_ratio"].colour
    for place, (axes, moment) in enumerate(zip((first, second), shown, strict=True)):
        axes.fill_between(density.x, density.p, color=SOFT, alpha=0.35, linewidth=0, label="p")
        axes.step(density.x, density[shown[moment]], where="mid", color=colour, linewidth=0.8, label="q")
        axes.set_xlabel("x")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _titled(axes, 3 + place, "Minimax, start" if moment == 0 else f"After {moment} updates")
    first.set_ylabel("density")
    first.legend(loc="upper left", handlelength=1.2)
    _lines(right, results, _of_catalogue(results, course), "updates", "tv_median")
    _log_axis(right, ENDED / 10, 1e5)
    # No total variation is above 1: what is higher is room for the words.
    right.yaxis.set_major_locator(FixedLocator([1e-12, 1e-8, 1e-4, 1.0]))
    right.spines["left"].set_bounds(ENDED / 10, 1.0)
    right.set_xlim(0, float(arrived.updates.max()) if len(arrived) else None)
    right.set(xlabel="updates", ylabel="total variation of q and p")
    _titled(right, 5, "Every objective")
    _name_families(right, results, games.objective)
    _name_stayers(right, results, course, [str(row["objective"]) for row in away])
    caption = (
        "Below, the whole game: q is a softmax over the cells of a grid; critic and generator take turns, "
        "and one rule sets the step of every objective. (d, e) p and q of one start under minimax, on the "
        f"line. (f) In the plane, the total variation of q and p for {len(games)} objectives, the median of "
        f"{int(games.starts.max())} starts; a game ends below {ENDED:g}." + _said_of(results, away)
    )
    alt = (
        "Two panels of a rough density q that comes to lie on the density p of the data, and a line chart of "
        f"their total variation against updates: {len(arrived)} of {len(games)} objectives fall in nearly "
        f"straight lines below {ENDED:g}, the others level off above."
    )
    return caption, alt


def _name_stayers(axes: Axes, results: Results, course: pd.DataFrame, names: list[str]) -> None:
    """The titles of the objectives that stay away from p, inside the right end of the panel."""
    low, high = (np.log(one) for one in axes.get_ylim())
    ends = [float(course[course.objective == name].tv_median.iloc[-1]) for name in names]
    wanted = [float((np.log(end) - low) / (high - low)) - 0.13 for end in ends]
    for name, height in zip(names, spread(wanted, 0.062), strict=True):
        colour = LOOKS[results.family(name)].text
        title = str(results.objectives[name]["title"])
        axes.text(
            0.99, height, title, transform=axes.transAxes, ha="right", va="center", color=colour,
            fontsize=LABEL_SIZE,
        )  # fmt: skip


def _said_of(results: Results, away: list[dict[str, float | str | None]]) -> str:
    """A sentence on the games that have not ended: how far from p, and how far with a smaller step."""
    if not away:
        return " Every objective arrives."
    said = []
    for row in away:
        title, slower = results.objectives[str(row["objective"])]["title"], row["tv_slower_median"]
        beside = "" if slower is None else f"; with a fifth of the step {float(slower):.2g}"
        said.append(f"{title} ({float(row['tv_to_p_median'] or 0):.2g}{beside})")
    return f" Not there at the end, with the median total variation left: {', '.join(said)}."
