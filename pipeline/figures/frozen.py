"""Frozen against total gradients, and what unrolled critics see between them."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import INK, LOOKS, SOFT, WIDTH, Drawing, letter
from pipeline.figures.tables import Results

STEPS = {"frozen": 0, "unrolled_1": 1, "unrolled_5": 5, "unrolled_20": 20}
SAME = 1e-6  # relative: below it the two gradients are one
SHOWN = (("mean", 0.1), ("mean", 4.0), ("std", 0.75), ("std", 1.25))
WORDS = {"mean": "moved by {:g} std", "std": "std {:g}"}


def frozen_and_total(results: Results) -> Drawing | None:
    """The gradient through a critic unrolled by 0, 1, 5 and 20 steps, over the total derivative."""
    table = results.theory("frozen_and_total", "objective parameter value total " + " ".join(STEPS))
    table = table[table.objective.isin(results.objectives)]
    table = table[table.total != 0].dropna()
    differs = (table.frozen - table.total).abs() > SAME * table.total.abs()
    names = [name for name in results.objectives if name in set(table[differs].objective)]
    if not names:
        return None
    figure = Figure(figsize=(WIDTH, 0.85 + 0.27 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(SHOWN), sharey=True, squeeze=False)[0]
    for index, (axes, place) in enumerate(zip(panels, SHOWN, strict=True)):
        rows = table[(table.parameter == place[0]) & (table.value == place[1])].set_index("objective")
        _panel(axes, [rows.loc[name] if name in rows.index else None for name in names])
        axes.set_title(f"({letter(index)}) " + WORDS[place[0]].format(place[1]), loc="left", fontsize=7)
        axes.set_xlabel("over the total")
    first = panels[0]
    first.set_yticks(range(len(names)), [str(results.objectives[name]["title"]) for name in names])
    first.set_ylim(len(names) - 0.5, -0.6)
    same = len(set(table.objective)) - len(names)
    flat = _flat(results)
    caption = (
        "What the generator follows, over the total derivative of its loss at the best critic: with the "
        "critic held fixed (open circle), through a critic unrolled by 1, 5 and 20 damped Newton steps (dots "
        "along the line), and in full (bar at 1). Left of 0 it is driven away from the data. p = N(0, 1); "
        "q is "
        f"p moved or rescaled. For the other {same} objectives with a smooth best critic the two are equal."
        + (f" No total derivative: {', '.join(flat)} (its d is constant)." if flat else "")
    )
    return Drawing(
        figure,
        caption,
        "Dot charts of the ratio of the generator's gradient through unrolled critics to the total "
        "derivative, "
        "for " + ", ".join(str(results.objectives[name]["title"]) for name in names) + ".",
        ("theory/frozen_and_total.csv",),
    )


def _flat(results: Results) -> list[str]:
    table = results.theory("frozen_and_total", "objective total")
    largest = table.total.abs().groupby(table.objective).max()
    return [str(facts["title"]) for name, facts in results.objectives.items() if largest.get(name) == 0]


def _panel(axes: Axes, rows: list[Any]) -> None:
    look = LOOKS["likelihood_ratio"]
    axes.axvline(0, color=SOFT, linewidth=0.8, zorder=0)
    axes.axvline(1, color=INK, linewidth=0.8, zorder=0)
    for place, row in enumerate(rows):
        if row is None:
            continue
        shares = [float(row[name]) / abs(float(row.total)) for name in STEPS]
        axes.plot([*shares, 1.0], [place] * (len(shares) + 1), color=look.colour, linewidth=0.8)
        axes.plot(shares[1:], [place] * (len(shares) - 1), "o", color=look.colour, ms=2.6)
        axes.plot(shares[:1], [place], "o", mfc="white", mec=look.colour, ms=5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
