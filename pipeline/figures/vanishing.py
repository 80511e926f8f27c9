"""What theory says of a gradient beside what training did: which objectives vanish, which collapse."""

import math

from pipeline.figures.rows import MISSED, Band, Panel, collapse_panel, metric_panel, row_chart
from pipeline.figures.style import Drawing
from pipeline.figures.tables import Results, Variant

AT_DISTANCE = 10.0  # standard deviations between two normals
SMALLEST = 1e-9  # a share below is drawn here
# What becomes of s(r) as r goes to infinity -> how the figure and the paper name it.
GROUPS = {
    "vanishes": "Slope vanishes as r → ∞",
    "stays": "Slope does not vanish",
    "none": "No slope s(r)",
}
_OUTCOMES = (("ring", "modes_occupied"), ("digits", "fid"))


def _power(value: float) -> str:
    """A power of ten in characters that every font has."""
    return "10" + str(round(math.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def group_of(results: Results, objective: str) -> str:
    """A key of GROUPS, by the limit of s(r) at infinity; `none` where there is none or none was found."""
    limits = results.objectives[objective]["analysis"]["limits"]
    if limits is None or limits["infinity"]["value"] is None:
        return "none"
    return "vanishes" if limits["infinity"]["vanishes"] else "stays"


def grouped(results: Results) -> dict[str, list[Variant]]:
    """Group -> its variants, the smallest share of the exact gradient first; only groups that have some."""
    shares = results.gradient_shares(AT_DISTANCE)
    groups: dict[str, list[Variant]] = {}
    for name in GROUPS:
        members = [v for v in results.variants.values() if group_of(results, v.objective) == name]
        if members:
            groups[name] = sorted(members, key=lambda v: shares.get(v.objective, math.inf))
    return groups


def vanishing_and_collapse(results: Results) -> Drawing | None:
    """The exact gradient left at a distance, modes occupied, collapse rate and FID, one row per variant."""
    shares = results.gradient_shares(AT_DISTANCE)
    zero = results.never_felt()
    exact: dict[str, Band] = {}
    notes: dict[str, str] = {}
    for variant in results.variants.values():
        if variant.objective in shares:
            share = max(shares[variant.objective], SMALLEST)
            exact[variant.name] = (share, share, share)
        elif variant.objective in zero:
            notes[variant.name] = "0 at every distance"
        elif results.objectives[variant.objective]["analysis"]["slope"] is not None:
            notes[variant.name] = "not computed"
    panels = [
        Panel(
            f"Gradient left at distance {AT_DISTANCE:g}", exact, None, log=True, limits=(SMALLEST / 3, 3.0),
            empty="no exact gradient", notes=notes,
        )
    ]  # fmt: skip
    for kind, stem in _OUTCOMES:
        name = next((name for name in results.benchmarks if results.data(name)["kind"] == kind), None)
        panel = None if name is None else metric_panel(results, name, stem, f"{results.benchmarks[name]}: ")
        if name is None or panel is None:
            continue
        panels.append(panel)
        panels.append(collapse_panel(results, name, f"{results.benchmarks[name]}: "))
    if len(panels) == 1:
        return None
    figure = row_chart({GROUPS[name]: members for name, members in grouped(results).items()}, panels)
    caption = (
        "Theory beside training, one row per variant in the colour of its family. (a) The share of the exact "
        f"gradient that is left when two normals are {AT_DISTANCE:g} standard deviations apart (1: it still "
        f"grows; below {_power(SMALLEST)} drawn there). Beside it the outcome of "
        "training: the interquartile mean over seeds with its 95 % bootstrap interval, and "
        f"{MISSED}. Groups: the limit of the "
        "slope s(r) for samples where the data is not; in each the smallest share first. Vertical lines as "
        "in the figures of each benchmark."
    )
    titles = ", ".join(variant.title for variant in results.variants.values())
    alt = (
        "Dot-and-interval charts: what is left of the exact gradient beside the outcome of training "
        f"({', '.join(panel.title for panel in panels[1:])}), one row for each of {titles}."
    )
    sources = ("theory/generator_gradient.csv", "summary.csv", "metrics.csv", "references.csv", "study.json")
    return Drawing(figure, caption, alt, sources)
