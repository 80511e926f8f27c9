"""The movie: what it shows, that it is small, and that equal frames give equal bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from results_fixture import FEW, write_results

from pipeline import movie
from pipeline.errors import UserError
from pipeline.figures.tables import Results

STEPS = [100, 200, 300]


def _write_frames(root: Path, benchmark: str, variant: str, lost: int = -1) -> None:
    generator = torch.Generator().manual_seed(len(variant))
    if benchmark in ("ring", "grid"):
        frames = torch.randn(3, 100, 2, generator=generator).half() * 0.5
        frames[0, 0] = torch.inf
        if lost >= 0:
            frames[1:] = torch.nan
    else:
        pixels = 64 if benchmark == "digits" else 192
        frames = torch.randint(256, (3, 9, pixels), generator=generator).to(torch.uint8)
    tensors = {"frames": frames, "steps": torch.tensor(STEPS), "diverged": torch.tensor([lost])}
    folder = root / "evaluated" / benchmark / variant
    folder.mkdir(parents=True)
    safetensors.torch.save_file(tensors, folder / "frames.safetensors")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("movie")
    write_results(root, seeds=2, more_modes=("grid", "stacked_digits"))
    content = json.loads((root / "reports/results/study.json").read_text())
    for benchmark, variant in content["runs"]:
        _write_frames(root, benchmark, variant, lost=150 if variant == "wgan_clip" else -1)
    return root


def _pictures(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as film:
        found, durations = [], []
        for index in range(getattr(film, "n_frames", 1)):
            film.seek(index)
            found.append(np.asarray(film.convert("RGB")))
            durations.append(film.info["duration"])
        assert film.info["loop"] == 0
    return found, durations


@pytest.mark.parametrize("benchmark", ["ring", "digits", "grid", "stacked_digits"])
def test_every_checkpoint_is_a_frame_and_the_last_one_stays(study: Path, benchmark: str) -> None:
    path = movie.write_movie(benchmark, study)
    assert path == study / "reports/movies" / f"{benchmark}.webp"
    pictures, durations = _pictures(path)
    assert durations == [movie.MILLISECONDS] * 2 + [movie.HOLD]
    assert {picture.shape[1] for picture in pictures} == {movie.WIDTH}
    assert not (pictures[0] == pictures[1]).all()
    assert path.stat().st_size < 250_000


def test_equal_frames_give_equal_bytes(study: Path) -> None:
    first = movie.write_movie("ring", study).read_bytes()
    assert movie.write_movie("ring", study).read_bytes() == first


def test_a_point_is_drawn_at_its_place_in_its_familys_colour(study: Path) -> None:
    """One point of minimax on a mode of the ring, (0, 1), and nothing else."""
    results = Results(study / "reports/results")
    variant = results.variants["minimax"]
    course = movie.Course(variant, [1], np.array([[[0.0, 1.0]]]), None)
    (picture,) = movie.draw([course], results.data("ring"), "Ring")
    pixels = np.asarray(picture)
    rows, columns = np.nonzero((pixels == movie._colour(variant)).all(2))
    grid = movie._grid(1)
    left, top = grid.corner(0)
    # A dot of 3 pixels; the panel's half width is ROOM radii.
    assert len(rows) == movie.DOT**2
    assert columns.mean() == pytest.approx(left + grid.side / 2, abs=1)
    assert rows.mean() == pytest.approx(top + grid.side / 2 * (1 - 1 / movie.ROOM), abs=1)


def test_a_digit_is_shown_dark_on_light(study: Path) -> None:
    results = Results(study / "reports/results")
    image = np.zeros((1, 9, 64))
    image[0, 0, :8] = 255  # the first row of the first digit
    course = movie.Course(results.variants["minimax"], [1], image, None)
    (picture,) = movie.draw([course], results.data("digits"), "Digits")
    pixels = np.asarray(picture)
    grid = movie._grid(1)
    left, top = grid.corner(0)
    panel = pixels[top : top + grid.side, left : left + grid.side]
    rows, columns = np.nonzero((panel == 0).all(2))
    scale = (grid.side - 2) // 24
    # A bar of 8 x 1 pixels of the image, in the upper left of the nine.
    assert len(rows) == 8 * scale * scale
    assert np.ptp(rows) + 1 == scale
    assert np.ptp(columns) + 1 == 8 * scale
    assert max(rows.max(), columns.max() - 7 * scale) < grid.side / 8


def test_what_comes_after_divergence_is_not_shown(study: Path) -> None:
    results = Results(study / "reports/results")
    variant = results.variants["wgan_clip"]
    points = np.full((2, 50, 2), [0.0, 1.0])
    course = movie.Course(variant, [100, 200], points, 150)
    before, after = movie.draw([course], results.data("ring"), "Ring")
    seen = [(np.asarray(picture) == movie._colour(variant)).all(2).sum() for picture in (before, after)]
    assert seen[0] > 0
    assert seen[1] == 0


def test_only_the_variants_that_trained_are_in_it(study: Path) -> None:
    results = Results(study / "reports/results")
    assert {variant.name for variant in results.trained_on("grid")} == set(FEW)
    assert list(results.benchmarks) == ["ring", "digits"]
    assert list(results.more_modes) == ["grid", "stacked_digits"]


def test_missing_and_corrupt_frames_and_unknown_benchmarks_are_named(study: Path, tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2)
    with pytest.raises(UserError, match=r"minimax/frames.safetensors: cannot be read .*ring minimax"):
        movie.write_movie("ring", tmp_path)
    path = tmp_path / "evaluated/ring/minimax/frames.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"minimax/frames.safetensors: corrupt"):
        movie.write_movie("ring", tmp_path)
    with pytest.raises(UserError, match=r"unknown benchmark 'rng'; did you mean 'ring'"):
        movie.write_movie("rng", tmp_path)
