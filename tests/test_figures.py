"""Figures: from tables to SVG, the same bytes each time, one look per variant everywhere."""

import itertools
import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from results_fixture import MANY, VARIANTS, write_results

from pipeline import figures
from pipeline.errors import UserError
from pipeline.figures import FIGURES, curves, write_figures
from pipeline.figures.families import family_panels, spread
from pipeline.figures.rows import Panel, collapse_panel, row_chart
from pipeline.figures.style import LOOKS, RC, SOFT, WIDTH, Look
from pipeline.figures.svg import relative
from pipeline.figures.tables import FAMILIES, Results
from pipeline.figures.vanishing import AT_DISTANCE, grouped
from pipeline.statistics import count_to_interval

MORE_MODES = ("grid", "stacked_digits")
# Which name updates and remedies, and few objectives or none.
OF_GAMES = {"games_bilinear", "games_dirac", "games_rates"}
# Figures of densities alone, and those that name only some variants or none.
OF_SOME = {
    "profiles",
    "variances",
    "calibration",
    "critic_estimates",
    "three_panels",
    "likelihood_spread",
    "frozen_and_total",
    "function_space",
    "fresh_critics_course",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of all variants; its last seeds of two variants diverged."""
    root = tmp_path_factory.mktemp("drawn")
    write_results(root, seeds=2, diverged={"wgan_clip": 1, "minimax": 2}, more_modes=MORE_MODES)
    write_figures(root)
    return root


def svg(root: Path, name: str) -> str:
    return (root / f"reports/figures/{name}.svg").read_text(encoding="utf-8")


def index(root: Path) -> dict[str, dict[str, object]]:
    return json.loads((root / "reports/figures/figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """31 variants of 28 objectives; of one all seeds diverged, of one some."""
    root = tmp_path_factory.mktemp("many")
    write_results(root, variants=MANY, diverged={"pearson_chi2": 10, "jeffrey": 4}, more_modes=MORE_MODES)
    write_figures(root)
    return root


# Three variants take a third of the time of all eight.
FEW = tuple(name for name in VARIANTS if name not in ("minimax", "exponential", "wgan_gp"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("few")
    write_results(root, seeds=2, without=FEW)
    write_figures(root)
    return root


def test_many_modes_are_figures_of_their_own_and_change_no_other(few: Path, tmp_path: Path) -> None:
    """Of a study with more modes the figures of the benchmarks of every variant are the same bytes."""
    write_results(tmp_path, seeds=2, without=FEW, more_modes=MORE_MODES)
    write_figures(tmp_path)
    own = {"many_modes_through_training", "intervals_grid", "intervals_stacked_digits"}
    assert set(index(tmp_path)) == set(index(few)) | own
    assert not own & set(index(few))
    # The spread within modes is of both mixtures, the variances of every benchmark.
    for name in set(index(few)) - {"spread_through_training", "variances"}:
        assert svg(tmp_path, name) == svg(few, name), name
    alt = str(index(tmp_path)["many_modes_through_training"]["alt"])
    assert "Grid of 25 and Stacked digits, one panel for each of Minimax, WGAN-GP, with" in alt
    caption = str(index(tmp_path)["many_modes_through_training"]["caption"])
    assert "of the 25 modes occupied of Grid of 25 and of the 1,000 effective modes" in caption


def test_same_tables_give_the_same_bytes(few: Path, tmp_path: Path) -> None:
    shutil.copytree(few / "reports/results", tmp_path / "reports/results")
    write_figures(tmp_path)
    first = sorted((few / "reports/figures").iterdir())
    assert len(first) == len(index(few)) + 1
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
    # Theory figures name objectives, the others variants.
    title = VARIANTS["exponential"][0]
    # Matplotlib writes the words it draws into comments; without that the search below could not fail.
    assert all(title in svg(few, name) for name in set(index(few)) - OF_GAMES - OF_SOME)
    for name in index(tmp_path):
        assert title not in svg(tmp_path, name), name
    assert title not in json.dumps(index(tmp_path))


def test_a_figure_that_is_no_longer_drawn_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path, seeds=2, benchmarks=("ring",), without=tuple(VARIANTS)[2:])
    folder = tmp_path / "reports/figures"
    folder.mkdir()
    (folder / "digits_samples.svg").write_text("from another study")
    only(monkeypatch, "ring_samples", "digits_samples", "intervals_digits")
    written = write_figures(tmp_path)
    assert "ring_samples" in written
    assert "digits_samples" not in written
    assert "intervals_digits" not in written
    assert sorted(path.stem for path in folder.glob("*.svg")) == sorted(written)


def test_a_colour_says_the_family_in_every_figure(many: Path) -> None:
    for name in {
        *set(FIGURES) - {"digits_samples", "slope_map", "f_gan_fits"} - OF_GAMES - OF_SOME,
        "variances",
    }:
        text = svg(many, name).lower()
        for family, look in LOOKS.items():
            assert look.colour.lower() in text, (name, family)


def test_variants_stand_by_family_in_the_order_of_the_study(many: Path) -> None:
    results = Results(many / "reports/results")
    families = [variant.family for variant in results.variants.values()]
    assert families == sorted(families, key=list(FAMILIES).index)
    assert set(families) == set(FAMILIES)
    for family, group in results.families.items():
        names = [variant.name for variant in group]
        assert names == [name for name in MANY if name in names], family
    assert results.families["other"][0].name == "hinge"


def test_no_two_lines_of_a_panel_look_the_same() -> None:
    for look in LOOKS.values():
        lines = [look.line(place) for place in range(12)]
        assert (
            len(
                {
                    (line["color"], line.get("dashes", ())) if "dashes" in line else line["color"]
                    for line in lines
                }
            )
            == 12
        )


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
def test_families_can_be_told_apart_without_full_colour_vision(deficiency: str) -> None:
    colours = {name: seen(look, DEFICIENCIES[deficiency]) for name, look in LOOKS.items()}
    for one, other in itertools.combinations(LOOKS, 2):
        # About 2 is just noticeable side by side; 15 is far apart (red and green of equal lightness: below 10
        # under protanopia).
        assert np.linalg.norm(colours[one] - colours[other]) > 15, (one, other)
    assert len({look.marker for look in LOOKS.values()}) == len(LOOKS)


def test_diverged_seeds_are_marked_and_counted(drawn: Path) -> None:
    text = svg(drawn, "ring_samples")
    # Two seeds of minimax and one of wgan_clip; the words of a note are one comment.
    assert len(re.findall(r"<!--\s*diverged", text)) == 3
    assert "Diverged seeds shown as such: 3." in index(drawn)["ring_samples"]["caption"]
    assert "<!-- diverged -->" in svg(drawn, "intervals_ring")
    assert "no seed left" in svg(drawn, "modes_through_training")


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let `write_figures` draw these alone, to save time."""
    monkeypatch.setattr(figures, "FIGURES", {name: FIGURES[name] for name in names})


def test_a_gradient_that_is_0_at_every_distance_is_said_to_be(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0/0 of it is left: neither a point nor an objective without a gradient."""
    root = tmp_path / "steps"
    shutil.copytree(many / "reports/results", root / "reports/results")
    path = root / "reports/results/theory/generator_gradient.csv"
    table = pd.read_csv(path)
    table.loc[table.objective == "hinge", ["gradient", "gradient_abs"]] = 0.0
    table.to_csv(path, index=False)
    results = Results(root / "reports/results")
    assert results.never_felt() == {"hinge"}
    assert "hinge" not in results.gradient_shares(10.0)
    only(monkeypatch, "vanishing_and_collapse", "distance_jsd")
    write_figures(root)
    assert "<!-- 0 at every distance -->" in svg(root, "vanishing_and_collapse")
    assert "0 at every distance: Hinge." in index(root)["distance_jsd"]["caption"]


def test_one_run_that_explodes_leaves_the_frame_to_the_others(many: Path, tmp_path: Path) -> None:
    root = tmp_path / "wild"
    shutil.copytree(many / "reports/results", root / "reports/results")
    path = root / "reports/results/history.csv"
    table = pd.read_csv(path)
    columns = [name for name in table.columns if name.startswith("generator_gradient_norm")]
    table.loc[(table.variant == "hinge") & (table.benchmark == "ring"), columns] = 1e20
    table.to_csv(path, index=False)
    courses = [curves.Course("all", table.rename(columns={"generator_gradient_norm": "middle"}))]
    low, high = curves._limits(courses)
    calm = table[table.variant != "hinge"].generator_gradient_norm
    assert low < calm.median() < high < 1e10


def test_every_variant_has_its_place_in_every_figure(many: Path) -> None:
    results = Results(many / "reports/results")
    for name in ("ring_samples", "digits_samples", "modes_through_training", "generator_gradient_norms",
                 "intervals_ring", "intervals_digits", "comparisons", "vanishing_and_collapse"):  # fmt: skip
        for title, _ in MANY.values():
            assert svg(many, name).count(f"<!-- {title} -->") == 1, (name, title)
    slopes = {name for name, facts in results.objectives.items() if facts["analysis"]["slope"]}
    exact = set(results.gradient_shares(AT_DISTANCE))
    assert len(slopes) == 24
    assert len(exact) == 25
    for name, drawn_ones in (("slope_map", slopes), ("distance_jsd", exact)):
        for objective, facts in results.objectives.items():
            text = svg(many, name) + str(index(many)[name]["caption"])
            assert facts["title"] in text, (name, objective)
            labelled = f"<!-- {facts['title']} -->" in svg(many, name)
            zero = facts["analysis"]["slope"] == {"formula": "0", "typst": "0"}
            assert labelled == (objective in drawn_ones and not (zero and name == "slope_map")), (
                name,
                objective,
            )


@pytest.mark.parametrize("name", FIGURES)
def test_no_words_overlap_or_leave_the_page(many: Path, name: str) -> None:
    """Of 31 variants, in every figure: no two texts share ink, and all lie inside the picture."""
    with mpl.rc_context(RC):
        drawing = FIGURES[name](Results(many / "reports/results"))
        assert drawing is not None
        figure = drawing.figure
        assert figure.get_figwidth() == pytest.approx(WIDTH)
        # A4 with the margins of the paper and a caption: 9.7 inches of text.
        assert figure.get_figheight() < 8.6
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        boxes = [
            (text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in words_of(figure)
        ]
    width, height = canvas.get_width_height()
    for words, box in boxes:
        assert box.x0 > -1, words
        assert box.y0 > -1, words
        assert box.x1 < width + 1, words
        assert box.y1 < height + 1, words
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes hold room for letters that go below the line: a fifth of a line is no overlap of ink.
        assert across < 1 or down < 0.25 * min(a.height, b.height), (one, other)


def words_of(figure: Figure) -> list[Text]:
    """Every text that is drawn: not the labels of ticks outside the axis, which matplotlib keeps."""
    ticks: dict[Text, bool] = {}
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                ticks[tick.label1] = low <= tick.get_loc() <= high
                ticks[tick.label2] = False
    shown = [text for text in figure.findobj(Text) if text.get_visible() and ticks.get(text, True)]
    return [text for text in shown if text.get_text().strip()]


def test_comparisons_that_holm_does_not_bear_out_are_hollow(many: Path) -> None:
    results = Results(many / "reports/results")
    drawing = FIGURES["comparisons"](results)
    assert drawing is not None
    score, *panels = drawing.figure.axes
    assert len(panels) == 4
    for axes in panels:
        markers = [
            line for line in axes.lines if line.get_marker() in {look.marker for look in LOOKS.values()}
        ]
        hollow = sum(len(line.get_xdata()) for line in markers if line.get_markerfacecolor() == "white")
        filled = sum(len(line.get_xdata()) for line in markers) - hollow
        table = results.comparisons[results.comparisons.benchmark == results.comparisons.benchmark.iloc[0]]
        rows = table[table.metric == table.metric.iloc[0]]
        assert hollow == (rows.p_holm >= 0.05).sum() > 0
        assert filled == (rows.p_holm < 0.05).sum() > 0
    assert all(line.get_markerfacecolor() != "white" for line in score.lines if line.get_marker() in "osD")


def test_profiles_are_of_the_best_and_equal_ones_are_drawn_once(many: Path, tmp_path: Path) -> None:
    root = tmp_path / "equal"
    shutil.copytree(many / "reports/results", root / "reports/results")
    path = root / "reports/results/profiles.csv"
    table = pd.read_csv(path)
    scores = Results(many / "reports/results").scores.set_index("variant").point
    family = [variant.name for variant in Results(root / "reports/results").families["f_divergence"]]
    best, second, third = sorted(family, key=lambda name: -scores[name])[:3]
    columns = ["share", "low", "high"]
    table.loc[table.variant == second, columns] = table.loc[table.variant == best, columns].to_numpy()
    table.to_csv(path, index=False)
    results = Results(root / "reports/results")
    drawing = FIGURES["profiles"](results)
    assert drawing is not None
    axes = drawing.figure.axes[list(results.families).index("f_divergence")]
    labels = [line.get_label() for line in axes.lines]
    assert labels[:2] == [results.variants[name].title for name in (best, third)]
    assert len(labels) == 4


def edited(source: Path, root: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Results:
    """The tables of `source`, one of them changed."""
    folder = root / "reports/results"
    shutil.copytree(source / "reports/results", folder)
    change(pd.read_csv(folder / name)).to_csv(folder / name, index=False)
    return Results(folder)


def test_the_missed_stand_beside_the_collapsed_and_without_the_others_is_no_rate(
    few: Path, tmp_path: Path
) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        is_missed = (table.benchmark == "ring") & (table.metric == "missed")
        names = table.variant[is_missed].unique()
        table.loc[is_missed & (table.variant == names[0]), "value"] = 1
        table.loc[is_missed & (table.variant == names[1]) & (table.seed == 0), "value"] = 1
        return table

    panel = collapse_panel(results := edited(few, tmp_path, "metrics.csv", change), "ring")
    rows = results.metrics[(results.metrics.benchmark == "ring") & (results.metrics.metric == "missed")]
    counts = rows.groupby("variant", sort=False).value.agg(["sum", "size"])
    whole, some, *rest = counts.index
    assert whole not in panel.values
    assert {some, *rest} <= set(panel.values)
    assert panel.beside[whole][0] == 1
    assert panel.beside[some] == tuple(count_to_interval(1, int(counts.loc[some, "size"])))
    assert set(panel.beside) == {whole, some}
    drawing = FIGURES["intervals_ring"](results)
    assert drawing is not None
    last = drawing.figure.axes[-1]
    assert [text.get_text() for text in last.texts].count(panel.empty) == 1
    rings = [line for line in last.lines if line.get_markeredgecolor() == SOFT and line.get_marker() == "o"]
    assert sorted(x for line in rings for x in line.get_xdata()) == sorted(
        point for point, _, _ in panel.beside.values()
    )


def test_limits_of_a_share_never_meet_a_log_axis(few: Path) -> None:
    """Of a small study all rates may lie above 0 and far apart."""
    results = Results(few / "reports/results")
    names = [variant.name for variant in results.variants.values()]
    values = {name: (rate, rate / 2, 1.0) for name, rate in zip(names, itertools.cycle((0.01, 1.0)))}
    panel = Panel("Rate", values, higher_is_better=False, limits=(-0.03, 1.03))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (axes,) = row_chart(results.families, [panel]).axes
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim() == (-0.03, 1.03)


def test_a_point_beyond_the_frame_is_a_triangle_at_its_edge(few: Path) -> None:
    results = Results(few / "reports/results")
    names = [variant.name for variant in results.variants.values()]
    points = {name: (x, x, x) for name, x in zip(names, (-9.0, 0.5, 9.0), strict=False)}
    (axes,) = row_chart(results.families, [Panel("x", points, None, limits=(0.0, 1.0))]).axes
    drawn = {line.get_marker(): list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 1}
    assert (drawn["<"], drawn[">"]) == ([0.0], [1.0])
    assert any(x == [0.5] for marker, x in drawn.items() if marker in "osD")


def test_curves_through_training_say_their_n_and_many_modes_have_a_log_axis(many: Path) -> None:
    results = Results(many / "reports/results")
    found = {}
    for name in ("modes_through_training", "many_modes_through_training", "spread_through_training"):
        found[name] = FIGURES[name](results)
        assert found[name] is not None
        sizes = {
            results.find_through_training(benchmark, stem).n
            for benchmark in (results.more_modes if name.startswith("many") else results.benchmarks)
            for stem in ("modes_occupied", "classes_covered", "effective_classes", "mode_spread_ratio")
            if results.find_through_training(benchmark, stem)
        }
        assert any(f"{n:,} " in found[name].caption for n in sizes)
    axes = found["many_modes_through_training"].figure.axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] < 1e-3
    assert found["modes_through_training"].figure.axes[0].get_yscale() == "linear"


def test_a_curve_that_ends_early_ends_at_a_cross(few: Path) -> None:
    results = Results(few / "reports/results")
    first, second = list(results.objectives)[:2]
    x = np.arange(4.0)
    curves_ = {first: (x, np.array([1.0, 2.0, np.nan, np.nan])), second: (x, np.array([1.0, 2.0, 3.0, 4.0]))}
    panels = family_panels(Figure(), results, curves_, (0.1, 10.0), height=2.0)
    crosses = [line for axes in panels for line in axes.lines if line.get_marker() == "x"]
    assert [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in crosses] == [(1.0, 2.0)]
    words = [text.get_text() for axes in panels for text in axes.texts]
    assert sorted(word.endswith(" ×") for word in words) == [False, True]


def test_a_game_that_leaves_the_frame_is_named(many: Path, tmp_path: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        games = list(dict.fromkeys(zip(table.objective, table.remedy, strict=True)))
        is_first = (table.objective == games[0][0]) & (table.remedy == games[0][1])
        return table.assign(theta=np.where(is_first & (table.step > 0), 5.0, 0.5), psi=0.5)

    drawing = FIGURES["games_dirac"](edited(many, tmp_path, "theory/dirac_trajectories.csv", change))
    assert drawing is not None
    title = drawing.figure.axes[0].get_title(loc="left").removeprefix("(a) ")
    assert f"Beyond the frame: {title}. A remedy is said to converge locally" in drawing.caption


def test_variances_of_zero_stand_at_the_edge(many: Path) -> None:
    results = Results(many / "reports/results")
    drawing = FIGURES["variances"](results)
    assert drawing is not None
    table = results.variance[results.variance.benchmark == "ring"]
    panel = table[table.metric == "jsd_n2500"].dropna(subset="training_variance")
    axes = drawing.figure.axes[0]
    edges = [line for line in axes.lines if line.get_marker() == "v"]
    assert sum(len(line.get_xdata()) for line in edges) == (panel.training_variance == 0).sum() > 0
    assert all(height > axes.get_ylim()[0] for line in edges for height in line.get_ydata())
    others = sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() in "osD")
    assert others == (panel.training_variance > 0).sum()


def test_variances_leave_out_what_has_none_and_say_so(many: Path, tmp_path: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        known = table.index[table.training_variance.notna()]
        table.loc[known, ["training_variance", "training_share"]] = 1.0, 0.995
        table.loc[known[:3], ["training_variance", "evaluation_variance", "training_share"]] = 0, 0, np.nan
        table.loc[known[3], "evaluation_variance"] = 0
        return table

    drawing = FIGURES["variances"](results := edited(many, tmp_path, "variance.csv", change))
    assert drawing is not None
    size = len(results.variance.training_variance.dropna())
    assert f"(1 of {size} points, a variant by a metric). Left out: 3 points without" in drawing.caption
    drawn = sum(
        len(line.get_xdata())
        for axes in drawing.figure.axes
        for line in axes.lines
        if line.get_marker() in ("o", "s", "D", "v")
    )
    assert drawn == size - 3
    assert drawing.figure.axes[0].texts[0].get_text() == "99.5 %"


def test_without_the_reference_there_are_no_comparisons(few: Path) -> None:
    assert "comparisons" not in index(few)
    assert {"profiles", "variances"} <= set(index(few))


def test_labels_are_spread_no_farther_than_needed() -> None:
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.6, 0.4])
    # At the end of the room the upper ones push the others down.
    assert spread([1.0, 1.0, 1.0], 0.1) == pytest.approx([1.0, 0.9, 0.8])
    heights = spread([0.0, 0.02, 0.5, 0.51, 1.0], 0.1)
    assert heights == sorted(heights)
    assert np.diff(heights).min() > 0.1 - 1e-9


def test_gradient_shares_are_over_the_largest_gradient_so_far(tmp_path: Path) -> None:
    """A gradient that still grows has lost nothing, however much larger it becomes farther out."""
    write_results(tmp_path, seeds=2, without=tuple(VARIANTS)[2:])
    rows = [("minimax", d, d * 2.0**d) for d in (5.0, 10.0, 15.0)]
    rows += [("non_saturating", d, g) for d, g in ((5.0, 8.0), (10.0, 2.0), (15.0, 1.0))]
    table = pd.DataFrame(rows, columns=["objective", "distance", "gradient_abs"])
    table.to_csv(tmp_path / "reports/results/theory/generator_gradient.csv", index=False)
    assert Results(tmp_path / "reports/results").gradient_shares(10.0) == {
        "minimax": 1.0,
        "non_saturating": 0.25,
    }


def test_variants_are_grouped_by_what_becomes_of_the_slope(many: Path) -> None:
    groups = grouped(Results(many / "reports/results"))
    members = {name: {variant.name for variant in group} for name, group in groups.items()}
    assert {"minimax", "hinge", "kl"} <= members["vanishes"]
    assert {"non_saturating", "reverse_kl", "mean_square"} <= members["stays"]
    assert members["none"] == {"gan_qp", "relativistic", "relativistic_average", "wgan_gp", "wgan_clip"}
    assert sum(map(len, members.values())) == len(MANY)


def test_paths_are_written_relative_and_do_not_drift() -> None:
    assert relative("M 1.234 2 \nL 1.5 2 \nL -3 -4.005 \nz\n") == "m1.23 2h.27l-4.5-6z"
    steps = "".join(f"L {0.004 * n} 1 \n" for n in range(1, 1001))
    words = re.findall(r"-?[\d.]+", relative(f"M 0 0 \n{steps}").replace("h", " "))
    assert sum(map(float, words[2:])) == pytest.approx(1 + 4)


def test_files_are_small(many: Path) -> None:
    # All of reports/ stays under 7 MB.
    assert sum(path.stat().st_size for path in (many / "reports/figures").iterdir()) < 2_000_000


def test_a_missing_table_and_a_missing_column_are_named(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=2, without=tuple(VARIANTS)[1:], benchmarks=("ring",))
    table = tmp_path / "reports/results/progress.csv"
    pd.read_csv(table).drop(columns="step").to_csv(table, index=False)
    with pytest.raises(UserError, match=r"progress\.csv: column 'step' is missing"):
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
