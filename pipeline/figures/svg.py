"""A matplotlib figure as SVG: the same figure gives the same bytes, and a third of what matplotlib writes.

Coordinates to a hundredth of a point (finer than any printer), paths relative, names of one or two letters,
styles that repeat as classes, without metadata, indents and groups that change nothing. Comments stay: they
hold the words that are drawn as paths.
"""

import base64
import re
import textwrap
from collections import Counter
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from pipeline.figures.style import RC


def save(figure: Figure, path: Path) -> None:
    """Write the figure as SVG."""
    buffer = BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    path.write_text(compact(buffer.getvalue().decode("utf-8")), encoding="utf-8")


def compact(svg: str) -> str:
    """The same picture in a third of the bytes."""
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*| *<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' d="([^"]*)"', lambda found: f' d="{relative(found[1])}"', svg)
    svg = re.sub(r' (?:x|y|width|height|transform)="[^"]*"', _rounded, svg)
    svg = re.sub(r' style="[^"]*"', lambda found: re.sub(r"(?<=[:;]) ", "", found[0]), svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href=", "href=")
    svg = re.sub(r' transform="translate\((-?[\d.]+)(?: 0)?\)"/>', _glyph_place, svg)
    svg = re.sub(r"(?<=data:image/png;base64,)[^\"]*", lambda found: _grey_png(found[0]), svg)
    svg = _short_names(svg)
    svg = _classes(svg)
    svg = _without_bare_groups(svg)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


def _glyph_place(found: re.Match[str]) -> str:
    """In units of a hundredth of the font's size: a tenth of one is as fine as the rest."""
    return f' x="{round(float(found[1]), 1):g}"/>'


def _grey_png(content: str) -> str:
    """Base64 of a PNG as one with a palette, if its colours are greys and opaque: a third of the bytes."""
    image = Image.open(BytesIO(base64.b64decode(content)))
    grey = image.convert("L")
    if grey.convert(image.mode).tobytes() != image.tobytes():
        return content
    buffer = BytesIO()
    grey.quantize(colors=max(2, len(grey.getcolors() or ()))).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _short_names(svg: str) -> str:
    """Ids that something refers to are counted a, b, ...; the others go."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    names = {name: _letters(place) for place, name in enumerate(used)}
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", svg)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + names[found[2]], svg)


def _classes(svg: str) -> str:
    """A style that stands more than once becomes a class."""
    count = Counter(re.findall(r' style="([^"]*)"', svg))
    often = [style for style, times in count.items() if times > 1]
    names = {style: _letters(place) for place, style in enumerate(often)}
    svg = re.sub(
        r' style="([^"]*)"',
        lambda found: f' class="{names[found[1]]}"' if found[1] in names else found[0],
        svg,
    )
    rules = "".join(f".{name}{{{style}}}" for style, name in names.items())
    return svg.replace("</style>", f"{rules}</style>", 1)


def _without_bare_groups(svg: str) -> str:
    """Groups without an attribute are taken out, and so are groups with nothing in them."""
    open_groups: list[bool] = []

    def replaced(found: re.Match[str]) -> str:
        tag = found[0]
        if tag == "</g>":
            return tag if open_groups.pop() else ""
        open_groups.append(tag != "<g>")
        return tag if open_groups[-1] else ""

    svg = re.sub(r"<g(?: [^>]*)?/>\s*|<(g|defs)(?: [^>]*)?>\s*</\1>\s*", "", svg)
    return re.sub(r"<g(?: [^>]*)?>|</g>", replaced, svg)


def _letters(place: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    place, last = divmod(place, 26)
    return (_letters(place - 1) if place else "") + chr(ord("a") + last)


def _rounded(attribute: re.Match[str]) -> str:
    """Long decimals to two; a scale, which multiplies them, keeps its own."""
    return re.sub(
        r"scale\([^)]*\)|-?\d+\.\d{3,}",
        lambda found: found[0] if found[0].startswith("scale") else _hundredths(round(float(found[0]) * 100)),
        attribute[0],
    )


def relative(outline: str) -> str:
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
