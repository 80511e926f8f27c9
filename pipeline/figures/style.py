"""How every figure looks: size, fonts, one colour and one marker per family of objectives.

There are more variants than colours that can be told apart, so a colour says the family (colours of Okabe &
Ito, with a marker each) and the words beside a line or a row say the variant. Lines of one family in one
panel differ by tint and dash.
"""

import textwrap
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

WIDTH = 16 / 2.54  # inches: the paper's text width, so that a figure is printed at its own size
INK = "#222222"
SOFT = "#8a8a8a"
FAINT = "#d9d9d9"
_TINTS = (0.0, 0.35, -0.35)  # towards white, towards black
_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (2, 1), (6, 1.5, 1, 1.5))

# Any: matplotlib types the keys as one literal of all its settings.
RC: dict[Any, Any] = {
    "svg.hashsalt": "gan-foundry",
    # Paths, not text: the same glyphs in the PDF and in any browser, whatever fonts it has.
    "svg.fonttype": "path",
    "path.simplify": False,
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}


@dataclass(frozen=True)
class Drawing:
    """A figure, what it says, and the files below reports/results that it was made from."""

    figure: Figure
    caption: str
    alt: str
    source: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """Colour and marker of a family."""

    colour: str
    marker: str

    @property
    def text(self) -> tuple[float, ...]:
        """The colour, darker: for words in it, which need more contrast than lines."""
        return tuple(0.8 * part for part in to_rgb(self.colour))

    def line(self, place: int) -> dict[str, Any]:
        """Keywords of Axes.plot for the place-th line of the family in a panel; twelve of them differ."""
        tint = _TINTS[place % len(_TINTS)]
        goal = 1.0 if tint > 0 else 0.0
        colour = tuple(part + abs(tint) * (goal - part) for part in to_rgb(self.colour))
        dash = _DASHES[place // len(_TINTS) % len(_DASHES)]
        return {"color": colour, "dashes": dash} if dash else {"color": colour}


LOOKS = {
    "likelihood_ratio": Look("#0072B2", "o"),
    "f_divergence": Look("#D55E00", "s"),
    "other": Look("#009E73", "D"),
}


def letter(index: int) -> str:
    """a, b, c ... for the index-th panel."""
    return chr(ord("a") + index)


def wrapped(title: str, width: int) -> str:
    """A title broken at its blanks into lines of about `width` characters."""
    return textwrap.fill(title, width, break_long_words=False, break_on_hyphens=False)
