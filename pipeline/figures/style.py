"""How every figure looks: size, fonts, one colour and one marker per variant, SVG without dates.

Colours are the eight of Okabe & Ito without yellow and black, then the dark ones of Paul Tol's muted scheme;
each comes with its own marker and dash, so that no two variants differ by colour alone.

The rule that gives a variant its look: the variants in `KNOWN` own the first slots, by name; every other
name takes the next free slots, in alphabetical order. So removing one of the known variants, or reordering
the study, changes the look of none of the others.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pipeline.figures.tables import Variant

WIDTH = 16 / 2.54  # inches: the paper's text width, so that a figure is printed at its own size
INK = "#222222"
SOFT = "#8a8a8a"
FAINT = "#d9d9d9"

KNOWN = (
    "minimax",
    "non_saturating",
    "non_saturating_r1",
    "least_squares",
    "exponential",
    "reverse_kl",
    "wgan_gp",
    "wgan_clip",
)
_COLOURS = (
    "#D55E00",
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#332288",
    "#882255",
    "#117733",
    "#999933",
    "#AA4499",
    "#661100",
    "#44AA99",
    "#222222",
    "#6699CC",
    "#888888",
)
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p", "<", ">", "*", "h", "d", "H", "8", "o")
_DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (6, 1.5),
    (3, 1.2),
    (1, 1),
    (6, 1.5, 1, 1.5),
    (3, 1, 1, 1, 1, 1),
    (9, 2),
    (4, 1, 4, 3),
)

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
    """Colour, marker and dash (lengths of ink and gap in line widths; empty: solid) of one variant."""

    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def text(self) -> tuple[float, float, float]:
        """The colour, darker: for words in it, which need more contrast than lines."""
        red, green, blue = to_rgb(self.colour)
        return 0.75 * red, 0.75 * green, 0.75 * blue

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for Axes.plot."""
        return {"color": self.colour, "dashes": self.dash} if self.dash else {"color": self.colour}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """One look per name, by the rule stated at the top of this module."""
    others = sorted(set(names) - set(KNOWN))
    return {name: _slot(index) for index, name in enumerate((*KNOWN, *others))}


def objective_looks(objectives: Iterable[str], variants: Mapping[str, Variant]) -> dict[str, Look]:
    """A theory curve has the look of the variant that trains its objective.

    Of several, the one named like the objective, else the first by slot; without any, a slot of its own.
    """
    wanted = list(objectives)
    owners = {objective: _owner(objective, variants) for objective in wanted}
    styles = looks([*variants, *(owner for owner in owners.values())])
    return {objective: styles[owners[objective]] for objective in wanted}


def _owner(objective: str, variants: Mapping[str, Variant]) -> str:
    order = list(looks(variants))
    trained = sorted((v.name for v in variants.values() if v.objective == objective), key=order.index)
    return objective if objective in trained or not trained else trained[0]


def _slot(index: int) -> Look:
    return Look(
        _COLOURS[index % len(_COLOURS)],
        _MARKERS[index % len(_MARKERS)],
        # Shifted by one in each round, so that a colour that comes again comes with another dash.
        _DASHES[(index + index // len(_COLOURS)) % len(_DASHES)],
    )


def letter(index: int) -> str:
    """a, b, c ... for the index-th panel."""
    return chr(ord("a") + index)


def save(figure: Figure, path: Path) -> None:
    """The figure as SVG: same figure, same bytes."""
    buffer = BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    path.write_text(_compact(buffer.getvalue().decode("utf-8")), encoding="utf-8")


def _compact(svg: str) -> str:
    """The same picture in a third of the bytes.

    Coordinates to a hundredth of a point (finer than any printer), paths relative, without metadata, indents
    and names of groups that nothing refers to. Comments stay: they hold the words that are drawn as paths.
    """
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*| *<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' d="([^"]*)"', lambda found: f' d="{_relative(found[1])}"', svg)
    svg = re.sub(r' (?:x|y|width|height|transform)="[^"]*"', _rounded, svg)
    svg = re.sub(r' style="[^"]*"', lambda found: re.sub(r"(?<=[:;]) ", "", found[0]), svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"<(g|defs)>\s*</\1>\s*|<g/>\s*", "", svg)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


def _rounded(attribute: re.Match[str]) -> str:
    """Long decimals to two; a scale, which multiplies them, keeps its own."""
    return re.sub(
        r"scale\([^)]*\)|-?\d+\.\d{3,}",
        lambda found: found[0] if found[0].startswith("scale") else _hundredths(round(float(found[0]) * 100)),
        attribute[0],
    )


def _relative(outline: str) -> str:
    """A path of absolute M, L, Q, C and z as relative ones; rounding errors do not add up."""
    words: list[str] = []
    here, start, last = (0, 0), (0, 0), ""
    for command, numbers in re.findall(r"([MLQCz])([^MLQCz]*)", outline):
        if command == "z":
            words.append("z")
            here, last = start, "z"
            continue
        places = [round(float(number) * 100) for number in numbers.split()]
        points = list(zip(places[::2], places[1::2], strict=True))
        steps = [place - here[index % 2] for index, place in enumerate(places)]
        here = points[-1]
        if command == "M":
            start = here
        letter = command.lower()
        if letter == "l" and 0 in steps:
            letter, steps = ("h", steps[:1]) if steps[1] == 0 else ("v", steps[1:])
        # A pair after m is a line already.
        if letter == "m" or letter not in (last, {"m": "l"}.get(last)):
            words.append(letter)
        last = letter
        words.extend(map(_hundredths, steps))
    return _joined(words)


def _hundredths(count: int) -> str:
    """1234 -> 12.34, 50 -> .5, 0 -> 0."""
    whole, rest = divmod(abs(count), 100)
    decimals = f".{rest:02d}".rstrip("0") if rest else ""
    return ("-" if count < 0 else "") + (str(whole) if whole or not decimals else "") + decimals


def _joined(words: list[str]) -> str:
    """Letters and numbers with a blank only where two numbers would run together."""
    text: list[str] = []
    before = "z"
    for word in words:
        apart = word.startswith("-") or word[0].isalpha() or before[-1].isalpha()
        apart = apart or (word.startswith(".") and "." in before)
        text.append(word if apart else f" {word}")
        before = word
    # Long paths are broken into lines that an editor and a diff can show.
    return "\n".join(textwrap.wrap("".join(text), 4000, break_long_words=False, break_on_hyphens=False))


def wrapped(title: str, width: int) -> str:
    """A title broken at its blanks into lines of about `width` characters."""
    return textwrap.fill(title, width, break_long_words=False, break_on_hyphens=False)
