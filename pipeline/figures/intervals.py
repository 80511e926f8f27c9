"""The headline metrics at the end of training, one row per variant, by family and in order of the first."""

import math

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures.rows import KINDS, MISSED, Panel, collapse_panel, metric_panel, row_chart
from pipeline.figures.style import Drawing, letter
from pipeline.figures.tables import FAMILIES, Results, Variant

# What a panel is spent on; the tables of the paper have every metric. The first one orders the rows.
HEADLINES = {
    "ring": ("modes_covered", "high_quality", "reverse_kl_modes", "jsd"),
    "digits": ("fid", "precision_k3", "recall_k3", "classes_covered"),
    "grid": ("modes_occupied", "high_quality", "mode_spread_ratio", "jsd"),
    "stacked_digits": ("classes_captured", "reverse_kl_classes", "class_spread_ratio", "fid"),
}


def intervals_ring(results: Results) -> Drawing | None:
    """Interquartile means and intervals on the ring."""
    return _of_kind(results, "ring")


def intervals_digits(results: Results) -> Drawing | None:
    """Interquartile means and intervals on the digits."""
    return _of_kind(results, "digits")


def intervals_grid(results: Results) -> Drawing | None:
    """Interquartile means and intervals on the grid."""
    return _of_kind(results, "grid")


def intervals_stacked_digits(results: Results) -> Drawing | None:
    """Interquartile means and intervals on stacked digits."""
    return _of_kind(results, "stacked_digits")


def _of_kind(results: Results, kind: str) -> Drawing | None:
    benchmarks = [*results.benchmarks, *results.more_modes]
    names = [name for name in benchmarks if results.data(name)["kind"] == kind]
    return _intervals(results, names[0], HEADLINES[kind]) if names else None


def _intervals(results: Results, benchmark: str, stems: tuple[str, ...]) -> Drawing:
    panels = [panel for stem in stems if (panel := metric_panel(results, benchmark, stem)) is not None]
    trained = results.trained_on(benchmark)
    groups = {
        FAMILIES[family]: best_first([variant for variant in group if variant in trained], panels[0])
        for family, group in results.families.items()
        if any(variant in trained for variant in group)
    }
    figure = row_chart(groups, [*panels, collapse_panel(results, benchmark)])
    caption = _caption(results, benchmark, panels) + _starts(figure, panels)
    return Drawing(figure, caption, _alt(results, benchmark, panels), _SOURCE)


_SOURCE = ("summary.csv", "metrics.csv", "references.csv")


def best_first(variants: list[Variant], panel: Panel) -> list[Variant]:
    """The variants in order of the panel's points, the best first, those without one last."""
    sign = -1.0 if panel.higher_is_better else 1.0

    def rank(variant: Variant) -> float:
        return sign * panel.values[variant.name][0] if variant.name in panel.values else math.inf

    return sorted(variants, key=rank)


def _caption(results: Results, benchmark: str, panels: list[Panel]) -> str:
    tables = [panel.references for panel in panels if panel.references is not None]
    found = set(pd.concat(tables).kind) if tables else set()
    drawn = [KINDS[kind][1] for kind in KINDS if kind in found]
    lines = (
        f" Vertical lines, with bands where they vary: {', '.join(drawn)}, at the same N." if drawn else ""
    )
    first = panels[0].title
    # FID stays as it is.
    first = first if first[:2].isupper() else first[0].lower() + first[1:]
    return (
        f"{results.title(benchmark)} after training, by family, in each ordered by {first}, the best "
        "first. Marker: interquartile mean over the seeds that did not diverge; bar: its 95 % bootstrap "
        f"interval.{lines} Last panel: {MISSED}."
    )


def _starts(figure: Figure, panels: list[Panel]) -> str:
    """A sentence on the axes that begin beyond 0, on which a short distance is little."""
    names = [
        f"({letter(place)})"
        for place, axes in enumerate(figure.axes[: len(panels)])
        if axes.get_xscale() == "linear" and axes.get_xlim()[0] > 0
    ]
    return f" Not from 0: the axis of {', '.join(names)}." if names else ""


def _alt(results: Results, benchmark: str, panels: list[Panel]) -> str:
    titles = ", ".join(panel.title for panel in panels)
    variants = ", ".join(variant.title for variant in results.trained_on(benchmark))
    return (
        f"Dot-and-interval charts for {results.title(benchmark)}, one panel per metric ({titles}, "
        f"collapse rate), one row for each of {variants}."
    )
