"""`movie BENCHMARK`: the samples of every variant through training, as one animated picture.

A panel per variant by family, in the family's colour, with the samples of the study's first seed at every
checkpoint: the same latents throughout, so a dot moves as the generator does. Lossless WebP: for flat colours
it is a quarter of the bytes of a lossy one, and sharp, and the same frames give the same bytes.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.data.files import write_atomic
from pipeline.errors import UserError, unknown
from pipeline.figures.style import LOOKS
from pipeline.figures.tables import FAMILIES, RESULTS, Results, Variant
from pipeline.plan import EVALUATED, run_path

FOLDER = "reports/movies"
FRAMES = "frames.safetensors"  # as `evaluate` writes it
WIDTH = 900  # pixels
MARGIN, GAP, HEAD, TITLE = 8, 8, 30, 17
COLUMNS = ((8, 4), (18, 6), (40, 7))  # up to so many panels: so many beside each other
FONT, SMALLEST_FONT = 11, 8
DOT = 3  # pixels
ROOM = 1.35  # half width of a panel of points, in that of the modes
MILLISECONDS, HOLD = 180, 2500  # of a frame; of the last one
GREY_LEVELS = 9
WHITE, INK, SOFT, LINE = (255, 255, 255), (34, 34, 34), (176, 176, 176), (217, 217, 217)

Colour = tuple[int, ...]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Course:
    """One variant's panel: frames (C, P, D) at `steps`; `diverged`: its step, or None."""

    variant: Variant
    steps: list[int]
    frames: Values
    diverged: int | None


@dataclass(frozen=True)
class Grid:
    """Where the panels are: columns beside each other, squares of `side` pixels below their titles."""

    columns: int
    side: int
    rows: int

    @property
    def height(self) -> int:
        """Of the whole picture."""
        return HEAD + self.rows * (TITLE + self.side + GAP) + MARGIN - GAP

    def corner(self, place: int) -> tuple[int, int]:
        """Left and upper edge of the square of the place-th panel."""
        row, column = divmod(place, self.columns)
        left = MARGIN + column * (self.side + GAP)
        return left, HEAD + row * (TITLE + self.side + GAP) + TITLE


Painter = Callable[[Image.Image, tuple[int, int], int, Colour, Values], None]


def write_movie(benchmark: str, root: Path) -> Path:
    """Write reports/movies/BENCHMARK.webp.

    Raises UserError for a benchmark without runs and for missing or corrupt frames.
    """
    results = Results(root / RESULTS)
    known = {**results.benchmarks, **results.more_modes}
    if benchmark not in known:
        raise unknown("benchmark", benchmark, known, str(root / RESULTS / "study.json"))
    variants = results.trained_on(benchmark)
    courses = [_read(root, benchmark, variant) for variant in variants]
    images = draw(courses, results.data(benchmark), known[benchmark])
    path = root / FOLDER / f"{benchmark}.webp"
    write_atomic(path, encode(images))
    return path


def draw(courses: list[Course], data: dict[str, object], title: str) -> list[Image.Image]:
    """One picture per checkpoint. `data`: the benchmark's data settings, with `kind`."""
    grid = _grid(len(courses))
    base = Image.new("RGB", (WIDTH, grid.height), WHITE)
    _heading(base, title, courses)
    modes = _modes(data)
    paint = _image_painter if modes is None else _point_painter(modes)
    for place, course in enumerate(courses):
        left, top = grid.corner(place)
        pen = ImageDraw.Draw(base)
        _fitted(pen, (left, top - 3), course.variant.title, grid.side, _text_colour(course.variant))
        pen.rectangle((left - 1, top - 1, left + grid.side, top + grid.side), outline=LINE)
        if modes is not None:
            _mode_circles(pen, (left, top), grid.side, modes)
    pictures = []
    for index, step in enumerate(courses[0].steps):
        picture = base.copy()
        pen = ImageDraw.Draw(picture)
        for place, course in enumerate(courses):
            corner = grid.corner(place)
            if course.diverged is not None and step > course.diverged:
                words = f"diverged at\nupdate {course.diverged:,}"
                centre = (corner[0] + grid.side / 2, corner[1] + grid.side / 2)
                pen.multiline_text(centre, words, INK, _font(FONT), "mm", align="center")
            else:
                paint(picture, corner, grid.side, _colour(course.variant), course.frames[index])
        pen.text((WIDTH - MARGIN, HEAD / 2), f"update {step:,}", INK, _font(14), "rm")
        pictures.append(picture)
    return pictures


def encode(pictures: list[Image.Image]) -> bytes:
    """An endless lossless WebP that rests on its last frame; equal pictures give equal bytes."""
    file = io.BytesIO()
    pictures[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=[MILLISECONDS] * (len(pictures) - 1) + [HOLD],
        loop=0,
        lossless=True,
        # Measured: a tenth smaller than quality 100; method 6 takes 30 times as long for 1 %.
        quality=80,
        method=4,
        minimize_size=True,
    )
    return file.getvalue()


def _read(root: Path, benchmark: str, variant: Variant) -> Course:
    path = run_path(root, EVALUATED, benchmark, variant.name) / FRAMES
    again = f"run the stage that evaluates {benchmark} {variant.name}"
    try:
        tensors = safetensors.numpy.load(path.read_bytes())
        steps, diverged = tensors["steps"].tolist(), int(tensors["diverged"][0])
        frames = tensors["frames"].astype(np.float64)
        if frames.ndim != 3 or len(frames) != len(steps):
            raise ValueError(f"frames of shape {frames.shape} at {len(steps)} steps")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: corrupt ({' '.join(str(error).split())[:200]}); {again}") from None
    return Course(variant, steps, frames, diverged if diverged >= 0 else None)


def _grid(panels: int) -> Grid:
    columns = next((columns for most, columns in COLUMNS if panels <= most), 8)
    side = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    return Grid(columns, side, -(-panels // columns))


def _heading(picture: Image.Image, title: str, courses: list[Course]) -> None:
    """The benchmark's title and the colours of the families."""
    pen, here = ImageDraw.Draw(picture), float(MARGIN)
    pen.text((here, HEAD / 2), title, INK, _font(14), "lm")
    here += pen.textlength(title, _font(14)) + 24
    for family in FAMILIES:
        if any(course.variant.family == family for course in courses):
            colour = tuple(round(255 * part) for part in LOOKS[family].text)
            pen.text((here, HEAD / 2), f"● {FAMILIES[family]}", colour, _font(12), "lm")
            here += pen.textlength(f"● {FAMILIES[family]}", _font(12)) + 16


def _modes(data: dict[str, object]) -> Values | None:
    """Centres (K, 2) in a panel's units, -1 to 1 from edge to edge; None for images. See data/mixtures.py."""
    if data["kind"] == "ring":
        angles = 2 * np.pi * np.arange(int(str(data["modes"]))) / int(str(data["modes"]))
        places = float(str(data["radius"])) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif data["kind"] == "grid":
        side = int(str(data["side"]))
        line = (np.arange(side) - (side - 1) / 2) * float(str(data["spacing"]))
        places = np.stack(np.meshgrid(line, line), axis=2).reshape(-1, 2)
    else:
        return None
    return places


def _point_painter(modes: Values) -> Painter:
    reach = ROOM * float(np.abs(modes).max())

    def paint(
        picture: Image.Image, corner: tuple[int, int], side: int, colour: Colour, points: Values
    ) -> None:
        with np.errstate(invalid="ignore"):
            pixels = np.floor((points * (1, -1) / reach + 1) / 2 * (side - DOT + 1))
            inside = ((pixels >= 0) & (pixels <= side - DOT)).all(1)
        pen = ImageDraw.Draw(picture)
        for x, y in pixels[inside].astype(int).tolist():
            left, top = corner[0] + x, corner[1] + y
            pen.rectangle((left, top, left + DOT - 1, top + DOT - 1), colour)

    return paint


def _mode_circles(pen: ImageDraw.ImageDraw, corner: tuple[int, int], side: int, modes: Values) -> None:
    """Drawn larger than the modes are."""
    reach = ROOM * float(np.abs(modes).max())
    radius = 4 if side < 180 else 6
    for x, y in ((modes * (1, -1) / reach + 1) / 2 * side).tolist():
        box = (corner[0] + x - radius, corner[1] + y - radius, corner[0] + x + radius, corner[1] + y + radius)
        pen.ellipse(box, outline=SOFT)


def _image_painter(
    picture: Image.Image, corner: tuple[int, int], side: int, colour: Colour, images: Values
) -> None:
    """Square arrangement of images (P, D) in GREY_LEVELS greys, as large as whole pixels allow.

    Digits are dark on light; three stacked ones are the red, green and blue of one image on black.
    """
    across = int(len(images) ** 0.5)
    channels = 3 if images.shape[1] % 3 == 0 else 1
    width = round((images.shape[1] / channels) ** 0.5)
    levels = np.round(images / 255 * (GREY_LEVELS - 1)) * 255 / (GREY_LEVELS - 1)
    pixels = levels.reshape(-1, channels, width, width).transpose(0, 2, 3, 1)
    pixels = np.repeat(255 - pixels if channels == 1 else pixels, 3 // channels, axis=3).astype(np.uint8)
    scale = (side - across + 1) // (across * width)
    step = width * scale + 1
    start = (side - across * step + 1) // 2
    for index in range(across * across):
        row, column = divmod(index, across)
        tile = Image.fromarray(pixels[index]).resize((width * scale, width * scale), Image.Resampling.NEAREST)
        picture.paste(tile, (corner[0] + start + column * step, corner[1] + start + row * step))


def _fitted(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int, colour: Colour) -> None:
    """A line that ends above `place`, in the largest font in which it is no wider than the panel."""
    size = next(
        (s for s in range(FONT, SMALLEST_FONT, -1) if pen.textlength(text, _font(s)) <= width), SMALLEST_FONT
    )
    pen.text(place, text, colour, _font(size), "ls")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The figures' font, which comes with matplotlib."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def _colour(variant: Variant) -> Colour:
    colour = LOOKS[variant.family].colour
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def _text_colour(variant: Variant) -> Colour:
    return tuple(round(255 * part) for part in LOOKS[variant.family].text)
