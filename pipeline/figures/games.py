"""Learning in games: updates on V = x y, the Dirac-GAN under remedies, and the rates of all objectives."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.figures.style import FAINT, INK, LOOKS, SOFT, WIDTH, Drawing, letter
from pipeline.figures.tables import FAMILIES, Results

SMALL = 5.8  # points
# Colours of Okabe & Ito; a dash says the same as a colour.
UPDATES: Mapping[str, tuple[str, str]] = {
    "flow": (INK, "-"),
    "simultaneous": ("#D55E00", "-"),
    "alternating": ("#E69F00", "-"),
    "implicit": ("#0072B2", "-"),
    "extragradient": ("#56B4E9", "--"),
    "optimistic": ("#009E73", ":"),
    "consensus": ("#CC79A7", "-."),
}
REMEDIES = {
    "none": "no remedy",
    "clipping": "clipping",
    "gradient_penalty": "gradient penalty",
    "r1": "R1",
    "r2": "R2",
    "instance_noise": "instance noise",
    "consensus": "consensus",
}
_SAID_NOT_TO = 3  # the first three of REMEDIES are those of which it is said that they do not converge
_FRAME = 1.75
_PER_MOVE, _LONGEST = 0.22, 0.45  # of an arrow, for one unit of theta and psi per unit of step size
_LINEAR = 1e-7  # rates below it are drawn to scale; beyond, decades
_DECADES = (-1e-1, -1e-3, -1e-5, 0.0, 1e-5, 1e-3)


def games_bilinear(results: Results) -> Drawing:
    """Trajectories of the flow and of six updates on V = x y, and the growth of the radius per step."""
    paths = results.theory("bilinear_trajectories", "update step_size step x y")
    growth = results.theory("bilinear_updates", "update step_size growth_exact growth_fitted")
    size = float(paths.step_size.iloc[0])
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3.5, 2), squeeze=False)[0]
    panels = list(left.subplots(2, 4, sharex=True, sharey=True).flat)
    for place, (axes, (name, (colour, _))) in enumerate(zip(panels, UPDATES.items(), strict=False)):
        path = paths[paths["update"] == name]
        axes.plot(path.x, path.y, color=colour, linewidth=0.8)
        _marks(axes, (path.x.iloc[0], path.y.iloc[0]))
        axes.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal", xticks=(-1, 1), yticks=(-1, 1))
        axes.set_title(f"({letter(place)}) {name}", loc="left", fontsize=6)
    panels[-1].set_axis_off()
    for axes in panels[4:7]:
        axes.set_xlabel("x")
    for axes in (panels[0], panels[4]):
        axes.set_ylabel("y")
    axes = right.subplots()
    axes.axhline(1, color=SOFT, linewidth=0.6)
    for name, (colour, dash) in UPDATES.items():
        rows = growth[growth["update"] == name]
        if rows.empty:
            continue
        axes.plot(rows.step_size, rows.growth_exact, color=colour, linestyle=dash, label=name)
        axes.plot(rows.step_size, rows.growth_fitted, "o", color=colour, markersize=2.2)
    axes.set(ylim=(0.68, 1.38), xlim=(0, None), xlabel="step size h", ylabel="radius after a step / before")
    axes.set_title(f"({letter(7)}) growth per step", loc="left", fontsize=6.2)
    axes.legend(fontsize=SMALL, loc="upper left", handlelength=2.2)
    largest = growth[growth.step_size == growth.step_size.max()].set_index("update").growth_exact
    caption = (
        f"V = xy, x minimises and y maximises. (a-g) From the dot, {int(paths.step.max())} steps of size "
        f"{size:g} of each update; the cross is the equilibrium. (h) How much the radius grows per "
        "step, exactly (lines) and fitted to trajectories (dots). "
        f"At h = {growth.step_size.max():g}: "
        + ", ".join(f"{name} {value:.3f}" for name, value in largest.items())
        + "."
    )
    return Drawing(
        figure,
        caption,
        "Seven small panels of trajectories in the plane: circles, spirals outwards and spirals inwards. "
        "Beside them a line chart of the growth per step against the step size; at the largest it is "
        f"{largest.max():.3f} to {largest.min():.3f}.",
        ("theory/bilinear_trajectories.csv", "theory/bilinear_updates.csv"),
    )


def games_dirac(results: Results) -> Drawing:
    """Vector fields of the Dirac-GAN with a trajectory each: games without a remedy and with one."""
    paths = results.theory("dirac_trajectories", "objective remedy step theta psi")
    arrows = results.theory("dirac_fields", "objective remedy theta psi move_theta move_psi")
    games = list(dict.fromkeys(zip(paths.objective, paths.remedy, strict=True)))
    rows = -(-len(games) // 4)
    figure = Figure(figsize=(WIDTH, 0.35 + 1.65 * rows), layout="constrained")
    figure.set_layout_engine("constrained", h_pad=0.06)
    panels = list(figure.subplots(rows, 4, sharex=True, sharey=True, squeeze=False).flat)
    ends, leaving = [], []
    for place, (axes, (name, remedy)) in enumerate(zip(panels, games, strict=False)):
        path, field = (one[(one.objective == name) & (one.remedy == remedy)] for one in (paths, arrows))
        axes.plot(*_arrows(field.iloc[:, 2:].to_numpy()), color=SOFT, linewidth=0.6)
        axes.plot(path.theta, path.psi, color=LOOKS["likelihood_ratio"].colour, linewidth=0.9)
        _marks(axes, (path.theta.iloc[0], path.psi.iloc[0]))
        axes.set(xlim=(-_FRAME, _FRAME), ylim=(-_FRAME, _FRAME), aspect="equal")
        title = results.objective_titles([name])[0] + (
            "" if remedy == "none" else f" + {REMEDIES.get(remedy, remedy)}"
        )
        axes.set_title(f"({letter(place)}) {title}", loc="left", fontsize=SMALL)
        if path[["theta", "psi"]].abs().to_numpy().max() > _FRAME:
            leaving.append(title)
        ends.append(f"{title} {np.hypot(path.theta.iloc[-1], path.psi.iloc[-1]):.2g}")
    start = float(np.hypot(paths.theta.iloc[0], paths.psi.iloc[0]))
    for axes in panels[len(games) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(games) - 4) : len(games)]:
        axes.set_xlabel("θ (generator)", fontsize=6.2)
        axes.tick_params(labelbottom=True)
    for axes in panels[: len(games) : 4]:
        axes.set_ylabel("ψ (critic)", fontsize=6.2)
    caption = (
        "The Dirac-GAN: data at 0, the generator at θ, a critic of slope ψ. Arrows: where one small "
        "step leads, to scale but for the longest, which are cut; lines: "
        f"{int(paths.step.max())} alternating steps from the dot; the cross is the equilibrium. "
        f"Distance from it at the start: {start:.2g}; at the end: {'; '.join(ends)}."
    )
    if leaving:
        caption += (
            f" Beyond the frame: {', '.join(leaving)}. A remedy is said to converge locally, from starts "
            "near the equilibrium alone, which this start is not."
        )
    return Drawing(
        figure,
        caption,
        f"{len(games)} vector fields over theta and psi, each with a trajectory. Distances to the "
        f"equilibrium at the end: {'; '.join(ends)}.",
        ("theory/dirac_trajectories.csv", "theory/dirac_fields.csv"),
    )


def games_rates(results: Results) -> Drawing:
    """Rates of the distance to the equilibrium: every objective as a dot, a row per remedy."""
    table = results.theory("dirac_rates", "objective remedy update critic_steps rate rate_se")
    table = table[table.remedy.isin(REMEDIES) & table.objective.isin(results.objectives)]
    table = table.dropna(subset="rate")
    if table.empty:
        raise UserError(f"{results.folder / 'theory/dirac_rates.csv'}: no rates of known remedies")
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, update in zip(panels, ("simultaneous", "alternating"), strict=True):
        _rates(axes, results, table[table["update"] == update])
        axes.set_title(
            f"({letter(list(panels).index(axes))}) {update}", loc="left", weight="bold", fontsize=7
        )
        axes.set_xlabel("d log distance / generator step")
    panels[0].set_yticks(range(len(REMEDIES)), list(REMEDIES.values()))
    panels[0].set_ylim(len(REMEDIES) - 0.4, -0.6)
    figure.legend(handles=_handles(results), fontsize=SMALL, loc="outside lower center", ncol=5)
    falls = table.rate < -3 * table.rate_se
    counts = ", ".join(
        f"{title} {int(falls[table.remedy == name].sum())} of {int((table.remedy == name).sum())}"
        for name, title in REMEDIES.items()
        if (table.remedy == name).any()
    )
    said, rest = list(REMEDIES.values())[:_SAID_NOT_TO], list(REMEDIES.values())[_SAID_NOT_TO:]
    caption = (
        "Rates at which the distance to the equilibrium of the Dirac-GAN changes, fitted to trajectories "
        "that start near it; a dot per objective, coinciding dots drawn once. Left of the line at 0 it "
        f"falls. The axis is logarithmic beyond {_LINEAR:g} on either side. Above the grey line the remedies "
        f"that are said not to converge ({', '.join(said)}), below it those said to ({', '.join(rest)}). "
        f"Fall by more than three standard errors: {counts}."
    )
    return Drawing(
        figure,
        caption,
        "Two dot charts, for simultaneous and alternating updates, of rates by remedy, one dot per "
        f"objective. Combinations that come closer to the equilibrium: {counts}.",
        ("theory/dirac_rates.csv",),
    )


def _rates(axes: Axes, results: Results, table: pd.DataFrame) -> None:
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=0.7)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.axhline(_SAID_NOT_TO - 0.5, color=FAINT, linewidth=1.2)
    families = list(FAMILIES)
    dots: dict[tuple[str, int], set[tuple[float, float]]] = {}
    for objective, remedy, steps, rate in zip(
        table.objective, table.remedy, table.critic_steps, table.rate, strict=True
    ):
        family = results.family(objective)
        # Dots that differ by less than half a point are one.
        place = round(float(np.arcsinh(rate / _LINEAR)), 1)
        height = list(REMEDIES).index(remedy) + 0.2 * (families.index(family) - 1)
        height += 0.07 if steps > 1 else -0.07
        dots.setdefault((family, int(steps)), set()).add((_LINEAR * float(np.sinh(place)), height))
    for (family, steps), places in dots.items():
        look = LOOKS[family]
        face = look.colour if steps == 1 else "white"
        x, y = zip(*sorted(places), strict=True)
        axes.plot(x, y, look.marker, color=look.colour, markersize=2.6, mew=0.5, markerfacecolor=face)
    axes.set_xlim(-0.3, 1e-2)
    axes.xaxis.set_major_locator(FixedLocator(_DECADES))
    axes.xaxis.set_minor_locator(FixedLocator([]))


def _handles(results: Results) -> list[Line2D]:
    looks = [(FAMILIES[name], LOOKS[name]) for name in FAMILIES if name in results.families]
    kinds = [(title, look.marker, look.colour, look.colour) for title, look in looks]
    kinds += [("1 critic step", "o", SOFT, SOFT), ("5 critic steps", "o", SOFT, "white")]
    return [
        Line2D([], [], linestyle="", marker=mark, color=edge, markerfacecolor=face, markersize=3, label=label)
        for label, mark, edge, face in kinds
    ]


def _marks(axes: Axes, start: tuple[float, float]) -> None:
    """The start and the equilibrium."""
    axes.plot(*start, "o", color=INK, markersize=2.5)
    axes.plot(0, 0, "+", color=SOFT, markersize=5)


def _arrows(field: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One line with gaps that draws an arrow per row of `field` (theta, psi, move_theta, move_psi).

    A single path takes a third of the bytes of as many arrows. Long ones are cut to _LONGEST.
    """
    base, move = (field[:, at] + 1j * field[:, at + 1] for at in (0, 2))
    length = np.abs(move) * _PER_MOVE
    move = np.where(length > 0, move / np.maximum(np.abs(move), 1e-12), 0) * np.minimum(length, _LONGEST)
    tip = base + move
    barbs = [tip + 0.4 * move * np.exp(side * 1j * np.pi * 0.84) for side in (1, -1)]
    points = np.stack([base, tip, barbs[0], tip, barbs[1], np.full_like(tip, np.nan)], axis=1).ravel()
    return points.real, points.imag
