"""Figures: from tables to SVG, the same bytes each time, one look per variant everywhere."""

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from results_fixture import VARIANTS, write_results

from pipeline.errors import UserError
from pipeline.figures import FIGURES, write_figures
from pipeline.figures.style import KNOWN, Look, _relative, looks, objective_looks
from pipeline.figures.tables import Results, Variant


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of all variants; its last seeds of two variants diverged."""
    root = tmp_path_factory.mktemp("drawn")
    write_results(root, seeds=2, diverged={"wgan_clip": 1, "minimax": 2})
    write_figures(root)
    return root


def svg(root: Path, name: str) -> str:
    return (root / f"reports/figures/{name}.svg").read_text(encoding="utf-8")


def index(root: Path) -> dict[str, dict[str, object]]:
    return json.loads((root / "reports/figures/figures.json").read_text(encoding="utf-8"))


# Three variants take a third of the time of all eight.
FEW = tuple(name for name in VARIANTS if name not in ("minimax", "exponential", "wgan_gp"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("few")
    write_results(root, seeds=2, without=FEW)
    write_figures(root)
    return root


def test_same_tables_give_the_same_bytes(few: Path, tmp_path: Path) -> None:
    shutil.copytree(few / "reports/results", tmp_path / "reports/results")
    write_figures(tmp_path)
    first = sorted((few / "reports/figures").iterdir())
    assert len(first) == len(FIGURES) + 1
    for path in first:
        assert path.read_bytes() == (tmp_path / "reports/figures" / path.name).read_bytes(), path.name


def test_every_figure_has_words_and_sources_that_exist(drawn: Path) -> None:
    assert list(index(drawn)) == list(FIGURES)
    for name, entry in index(drawn).items():
        assert len(entry["caption"]) > 80, name
        assert len(entry["alt"]) > 80, name
        assert entry["source"], name
        for file in entry["source"]:
            assert (drawn / "reports" / file).is_file(), (name, file)


def test_text_is_drawn_as_paths_and_nothing_is_dated(drawn: Path) -> None:
    for name in FIGURES:
        assert "<text" not in svg(drawn, name), name
        assert "<dc:date" not in svg(drawn, name), name


def test_a_removed_variant_is_gone_from_every_figure(few: Path, tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2, without=(*FEW, "exponential"))
    write_figures(tmp_path)
    title = VARIANTS["exponential"][0]
    # Matplotlib writes the words it draws into comments; without that the search below could not fail.
    assert all(title in svg(few, name) for name in FIGURES)
    for name in FIGURES:
        assert title not in svg(tmp_path, name), name
    assert title not in json.dumps(index(tmp_path))


def test_a_figure_that_is_no_longer_drawn_is_removed(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2, benchmarks=("ring",), without=tuple(VARIANTS)[2:])
    folder = tmp_path / "reports/figures"
    folder.mkdir()
    (folder / "digits_samples.svg").write_text("from another study")
    written = write_figures(tmp_path)
    assert "digits_samples" not in written
    assert "intervals_digits" not in written
    assert sorted(path.stem for path in folder.glob("*.svg")) == sorted(written)


def test_one_colour_per_variant_in_every_figure(drawn: Path) -> None:
    styles = looks(VARIANTS)
    for name in ("ring_samples", "modes_through_training", "generator_gradient_norms", "intervals_ring"):
        text = svg(drawn, name).lower()
        # All seeds of minimax diverged: no samples of it to draw.
        for variant in set(VARIANTS) - {"minimax"}:
            assert styles[variant].colour.lower() in text, (name, variant)
    by_objective = objective_looks(["minimax", "wasserstein"], Results(drawn / "reports/results").variants)
    assert by_objective == {"minimax": styles["minimax"], "wasserstein": styles["wgan_gp"]}


def test_a_look_does_not_depend_on_which_other_variants_there_are() -> None:
    everyone = looks(["zeta", "alpha", *KNOWN])
    for gone in KNOWN:
        rest = looks(name for name in ["alpha", *reversed(KNOWN), "zeta"] if name != gone)
        assert all(rest[name] == everyone[name] for name in everyone if name != gone)


def test_an_objective_without_a_variant_of_its_name_has_the_first_that_trains_it() -> None:
    trained = {
        name: Variant(name, name, objective)
        for name, objective in (("wgan_clip", "wasserstein"), ("non_saturating_r1", "non_saturating"))
    }
    styles = looks(KNOWN)
    found = objective_looks(["wasserstein", "non_saturating"], trained)
    assert found == {"wasserstein": styles["wgan_clip"], "non_saturating": styles["non_saturating_r1"]}


def test_no_two_of_forty_variants_look_the_same() -> None:
    many = looks(f"variant_{number:02d}" for number in range(40))
    assert len({(look.colour, look.marker, look.dash) for look in many.values()}) == len(many) == 48


# Machado, Oliveira & Fernandes 2009, table 1 at severity 1: linear RGB as it is seen.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def seen(look: Look, deficiency: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of the colour under a deficiency."""
    encoded = np.array(to_rgb(look.colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = to_xyz @ np.clip(deficiency @ linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_known_variants_can_be_told_apart_without_full_colour_vision(deficiency: str) -> None:
    styles = looks(KNOWN)
    colours = {name: seen(styles[name], DEFICIENCIES[deficiency]) for name in KNOWN}
    for one, other in itertools.combinations(KNOWN, 2):
        # About 2 is just noticeable side by side; 15 is far apart (red and green of equal lightness: below 10
        # under protanopia).
        assert np.linalg.norm(colours[one] - colours[other]) > 15, (one, other)


def test_diverged_seeds_are_marked_and_counted(drawn: Path) -> None:
    text = svg(drawn, "ring_samples")
    # Two seeds of minimax and one of wgan_clip; the words of a note are one comment.
    assert len(re.findall(r"<!--\s*diverged", text)) == 3
    assert "Diverged seeds shown as such: 3." in index(drawn)["ring_samples"]["caption"]
    assert "all seeds diverged" in svg(drawn, "intervals_ring")


def test_paths_are_written_relative_and_do_not_drift() -> None:
    assert _relative("M 1.234 2 \nL 1.5 2 \nL -3 -4.005 \nz\n") == "m1.23 2h.27l-4.5-6z"
    steps = "".join(f"L {0.004 * n} 1 \n" for n in range(1, 1001))
    words = re.findall(r"-?[\d.]+", _relative(f"M 0 0 \n{steps}").replace("h", " "))
    assert sum(map(float, words[2:])) == pytest.approx(1 + 4)


def test_files_are_small(drawn: Path) -> None:
    # All of reports/ stays under 5 MB, and the paper's HTML holds every figure once more, a third larger.
    assert sum(path.stat().st_size for path in (drawn / "reports/figures").iterdir()) < 1_300_000


def test_a_missing_table_and_a_missing_column_are_named(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2, without=tuple(VARIANTS)[1:], benchmarks=("ring",))
    table = tmp_path / "reports/results/progress.csv"
    pd.read_csv(table).drop(columns="low").to_csv(table, index=False)
    with pytest.raises(UserError, match=r"progress\.csv: column 'low' is missing"):
        write_figures(tmp_path)
    table.unlink()
    with pytest.raises(UserError, match=r"progress\.csv: no such file"):
        write_figures(tmp_path)


def test_an_unknown_metric_is_named(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2, without=tuple(VARIANTS)[1:], benchmarks=("ring",))
    path = tmp_path / "reports/results/summary.csv"
    path.write_text(path.read_text().replace("kl_forward_n2500", "kl_sideways_n2500"))
    with pytest.raises(UserError, match="no entry for 'kl_sideways_n2500'"):
        write_figures(tmp_path)


def test_a_truncated_table_draws_nothing(few: Path, tmp_path: Path) -> None:
    """Without its last lines a table still reads; what it lost is named, and no figure is written."""
    shutil.copytree(few / "reports/results", tmp_path / "reports/results")
    table = tmp_path / "reports/results/summary.csv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")
    with pytest.raises(UserError, match=r"summary.csv: no rows of digits .*: the file is not whole"):
        write_figures(tmp_path)
