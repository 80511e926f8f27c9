"""The paper: one source, PDF and HTML, every number from a file, the same bytes each time."""

import base64
import hashlib
import html
import json
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from results_fixture import VARIANTS, write_results

from pipeline.errors import UserError
from pipeline.figures import FIGURES, write_figures
from pipeline.paper import write_paper

FEW = tuple(name for name in VARIANTS if name not in ("minimax", "exponential", "wgan_gp"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three variants, two benchmarks, figures drawn, paper built."""
    root = tmp_path_factory.mktemp("paper")
    write_results(root, seeds=4, without=FEW, diverged={"wgan_gp": 1})
    write_figures(root)
    write_paper(root)
    return root


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    """A copy to spoil, without the built paper."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    for target in ("pdf", "html"):
        (tmp_path / f"reports/paper.{target}").unlink()
    return tmp_path


def page(root: Path) -> str:
    return (root / "reports/paper.html").read_text(encoding="utf-8")


def words(root: Path) -> str:
    """What a reader of the HTML sees, in one line."""
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page(root), flags=re.DOTALL)
    return re.sub(r"\s+(?=[,.:;)])|(?<=\()\s+", "", re.sub(r"\s+", " ", html.unescape(text)))


def edit(root: Path, name: str, **changes: object) -> None:
    """Set columns of the rows of results/NAME that belong to minimax on the ring."""
    path = root / "reports/results" / name
    table = pd.read_csv(path)
    rows = (table.benchmark == "ring") & (table.variant == "minimax")
    for column, value in changes.items():
        table[column] = table[column].astype(float)
        table.loc[rows, column] = value
    table.to_csv(path, index=False)


def test_same_files_give_the_same_bytes(base: Path, copy: Path) -> None:
    write_paper(copy)
    for target in ("pdf", "html"):
        name = f"reports/paper.{target}"
        assert (base / name).read_bytes() == (copy / name).read_bytes(), target


def test_pdf_says_nothing_of_when_or_where(base: Path) -> None:
    document = (base / "reports/paper.pdf").read_bytes()
    assert document.startswith(b"%PDF-")
    assert b"CreationDate" not in document
    assert str(base).encode() not in document


def test_html_is_self_contained_and_has_mathml(base: Path) -> None:
    text = page(base)
    assert text.count("<math") > 30
    # References are links to follow; nothing is loaded from anywhere.
    assert not re.search(r'(?:src|srcset)="(?!data:)', text)
    assert "<link" not in text
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_every_figure_is_embedded_with_its_alt_text(base: Path) -> None:
    figures = json.loads((base / "reports/figures/figures.json").read_text(encoding="utf-8"))
    assert list(figures) == list(FIGURES)
    images = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]*)" alt="([^"]*)"', page(base))
    embedded = {html.unescape(alt): base64.b64decode(content) for content, alt in images}
    for name, entry in figures.items():
        assert embedded[entry["alt"]] == (base / f"reports/figures/{name}.svg").read_bytes(), name
        assert entry["caption"] in words(base), name


@pytest.mark.parametrize("column", ["point", "low", "collapse_rate"])
def test_a_missing_number_stops_the_build_with_its_name(copy: Path, column: str) -> None:
    edit(copy, "summary.csv", **{column: None})
    name = f"summary ring minimax modes_covered_n2500 {column}"
    with pytest.raises(UserError, match=f"missing number: {name}$"):
        write_paper(copy)
    assert not (copy / "reports/paper.pdf").exists()
    assert not (copy / "reports/paper.html").exists()


def test_a_missing_row_and_a_missing_floor_are_named(copy: Path) -> None:
    path = copy / "reports/results/references.csv"
    text = path.read_text()
    path.write_text(re.sub(r"(?m)^ring,high_quality_n2500,.*\n", "", text))
    with pytest.raises(UserError, match="missing number: references ring high_quality_n2500 ceiling value"):
        write_paper(copy)
    path.write_text(text)
    path = copy / "reports/results/summary.csv"
    path.write_text(re.sub(r"(?m)^digits,wgan_gp,fid_n599,.*\n", "", path.read_text()))
    with pytest.raises(UserError, match="missing number: summary digits wgan_gp fid_n599"):
        write_paper(copy)


def test_the_numbers_in_the_paper_are_those_of_the_files(base: Path, copy: Path) -> None:
    assert "7.19 [6.55, 7.89]" not in words(base)
    edit(copy, "summary.csv", point=7.1934, low=6.5512, high=7.8871)
    write_paper(copy)
    assert "7.19 [6.55, 7.89]" in words(copy)


def test_prose_has_titles_and_set_numbers_instead_of_names_and_program_notation(base: Path) -> None:
    text = words(base)
    # The fixture's claims say 1e-06, 1.1e-16 and least_squares.
    assert "within 10 -6 nats".replace("-", "−") in text
    assert not re.search(r"\de-\d", text)
    assert not re.search(rf"\b({'|'.join(name for name in VARIANTS if '_' in name)})\b", text)


def test_variants_are_told_apart_only_where_intervals_are(copy: Path) -> None:
    edit(copy, "summary.csv", point=1.5, low=1.25, high=1.75)
    write_paper(copy)
    lowest = (
        "On Ring of 8 the lowest interquartile mean of modes covered is that of Minimax, 1.50 [1.25, 1.75];"
    )
    assert f"{lowest} every other variant is apart from it." in words(copy)
    assert "the interquartile mean of modes covered runs from 1.50 [1.25, 1.75] (Minimax)" in words(copy)
    edit(copy, "summary.csv", high=100)
    write_paper(copy)
    assert "; no other variant is apart from it." in words(copy)
    assert "the interquartile mean of modes covered runs" not in words(copy)


def test_a_removed_variant_is_gone(base: Path, tmp_path: Path) -> None:
    title = VARIANTS["exponential"][0]
    assert title in words(base)
    write_results(tmp_path, seeds=4, without=(*FEW, "exponential"))
    write_figures(tmp_path)
    write_paper(tmp_path)
    assert title not in words(tmp_path)


def test_an_added_variant_needs_no_edit(base: Path, tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2, without=FEW, extra={"hinge": ("The hinge GAN", "hinge")})
    shutil.copytree(base / "reports/figures", tmp_path / "reports/figures")
    write_paper(tmp_path)
    # Recipe, both summaries of both benchmarks, published.
    assert words(tmp_path).count("The hinge GAN") >= 6


@pytest.mark.parametrize("state", ["missing", "outdated", "current"])
def test_provenance_is_printed_only_when_it_describes_these_results(copy: Path, state: str) -> None:
    results = copy / "reports/results"
    digest = hashlib.sha256((results / "metrics.csv").read_bytes()).hexdigest()
    record = {
        "scale": "laptop",
        "seeds": 4,
        "runs": 6,
        "python": "3.11.1",
        "versions": {"torch": "2.15.0"},
        "commit": "0123456789abcdef",
        "dirty": True,
        "hardware": {"cpu": "An ordinary processor", "cores": 2, "device": "cpu", "gpu": None},
        "stages": {"train@ring-minimax": 61.5, "train@ring-wgan_gp": 61.5, "plan": 1.25},
        "total_seconds": 122.8,
        "results_sha256": digest if state == "current" else "0" * 64,
    }
    if state != "missing":
        (results / "provenance.json").write_text(json.dumps(record))
    write_paper(copy)
    text = words(copy)
    said = {
        "missing": "No record of versions, hardware and times came with these results",
        "outdated": "The results were recomputed after this record",
        "current": "An ordinary processor, 2 logical cores",
    }
    assert [name for name, sentence in said.items() if sentence in text] == [state]
    if state == "current":
        assert "train 2.05 min" in text
        assert "0123456789abcdef, with uncommitted changes" in text


def test_runs_without_a_seed_left_are_said_to_be_so(base: Path, tmp_path: Path) -> None:
    write_results(tmp_path, seeds=3, without=FEW, diverged={"minimax": 3, "exponential": 2})
    shutil.copytree(base / "reports/figures", tmp_path / "reports/figures")
    write_paper(tmp_path)
    text = words(tmp_path)
    assert "fewer than half of them are left: Minimax and Exponential." in text
    assert "Diverged: Minimax (3 seeds of 3) and Exponential (2 seeds of 3)" in text
    assert "one seed" in text
    assert "no ranking of the variants should be read from them" in text


def test_published_numbers_stand_beside_both_protocols(base: Path) -> None:
    text = words(base)
    assert "GAN 6.3 ± 0.5 98.2 ± 0.2 0.45 ± 0.09 10 PacGAN" in text
    assert "400 epochs of 100,000 points" in text
    assert "This study: 8 modes at radius 1, standard deviation 0.01; 4 seeds" in text


def test_a_fault_in_the_source_is_one_line(copy: Path) -> None:
    source = copy / "reports/paper.typ"
    source.write_text(source.read_text() + "\nSee @nowhere.\n")
    with pytest.raises(UserError, match=r"paper\.typ: .*<nowhere>") as error:
        write_paper(copy)
    assert "\n" not in str(error.value)
    (copy / "reports/figures/ring_samples.svg").unlink()
    with pytest.raises(UserError, match=r"ring_samples\.svg: no such file"):
        write_paper(copy)


@pytest.mark.slow
def test_figures_and_paper_take_seconds(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=10)
    start = time.process_time()
    write_figures(tmp_path)
    write_paper(tmp_path)
    # Processor seconds, so that a busy machine does not fail it; about 7 are used, a reader may wait 30.
    assert time.process_time() - start < 30
    built = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in built if "results" not in path.parts) < 5_000_000
