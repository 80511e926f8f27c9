"""What the figure and the paper show of function space, from tables."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from results_fixture import MANY, VARIANTS, write_function_space, write_results

from pipeline.errors import UserError
from pipeline.figures.function_space import critic_and_game
from pipeline.figures.style import LOOKS, RC, Drawing
from pipeline.figures.tables import Results
from pipeline.paper_theory.function_space import collect

PUBLISHED = Path(__file__).parents[1] / "reports/results"


def written(root: Path, **of: Any) -> None:
    """A made-up study whose function space is made up too."""
    write_results(root, **of)
    chosen = {**of.get("variants", VARIANTS)}
    names = [name for name in chosen if name not in of.get("without", ())]
    write_function_space(root / "reports/results/theory", {chosen[name][1] for name in names})


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("made_up")
    written(root, seeds=2, variants=MANY)
    return Results(root / "reports/results")


def drawn(results: Results) -> Drawing:
    with mpl.rc_context(RC):
        return critic_and_game(results)


def test_every_objective_has_its_line_in_the_colour_of_its_family(made_up: Results) -> None:
    critic, game = drawn(made_up).figure.axes[2], drawn(made_up).figure.axes[5]
    colours = sorted(LOOKS[made_up.family(name)].colour for name in made_up.objectives)
    for axes in (critic, game):
        assert sorted(line.get_color() for line in axes.get_lines()) == colours


def test_who_stays_away_is_named_with_its_distance(made_up: Results) -> None:
    drawing = drawn(made_up)
    games = made_up.theory("free_game", "objective tv_to_p_max")
    away = dict.fromkeys(games.objective[games.tv_to_p_max > 0.1])
    titles = {made_up.objectives[name]["title"] for name in away}
    assert {text.get_text() for text in drawing.figure.axes[5].texts} == titles
    assert all(f"{title} (0.2; with a fifth of the step 0.04)" in drawing.caption for title in titles)
    assert f"{28 - len(away)} of 28 objectives fall" in drawing.alt


def test_the_captions_numbers_are_those_of_the_tables(tmp_path: Path) -> None:
    written(tmp_path, seeds=2, without=tuple(VARIANTS)[3:])
    folder = tmp_path / "reports/results"
    path = folder / "theory/function_space.csv"
    table = pd.read_csv(path)
    table.loc[2, "value_gap_nats"] = 3.5e-4
    table.to_csv(path, index=False)
    caption = drawn(Results(folder)).caption
    assert "for 6 densities q" in caption
    assert "differ by at most 3.5e-04 nats" in caption
    # 3 * 0.1^10 after 40 steps.
    assert "ends at 3.0e-10 (line, 40 steps) and at 3.0e-10 (plane, 40 steps)" in caption
    path.unlink()
    with pytest.raises(UserError, match=r"function_space\.csv: no such file"):
        drawn(Results(folder))


def test_a_catalogue_that_arrives_says_so(made_up: Results, tmp_path: Path) -> None:
    written(tmp_path, seeds=2, without=tuple(VARIANTS)[2:])
    drawing = drawn(Results(tmp_path / "reports/results"))
    assert drawing.caption.endswith("Every objective arrives.")
    assert not drawing.figure.axes[5].texts


def test_the_papers_numbers_are_those_of_the_tables() -> None:
    results = Results(PUBLISHED)
    told = collect(results)
    critic = pd.read_csv(PUBLISHED / "theory/free_critic.csv").set_index("objective")
    assert told["critic"]["error_max_minimax"] == critic.loc["minimax", "error_max"].max()
    assert told["critic"]["objectives"] == critic.index.nunique()
    assert told["critic"]["curvature_max_minimax"] < 0
    network = pd.read_csv(PUBLISHED / "theory/trained_critic_1d.csv")
    assert told["network"]["error_max"] == network.error_mean.max()
    assert told["network"]["networks"] == len(network)
    game = pd.read_csv(PUBLISHED / "theory/free_game.csv")
    assert told["game"]["arrived"] + len({one["objective"] for one in told["game"]["away"]}) == 24
    for one in told["game"]["away"]:
        row = game[(game.objective == one["objective"]) & (game.grid == one["grid"])].iloc[0]
        assert row.tv_to_p_median == one["tv_to_p_median"] > 0.01
        assert one["is_step"] == pd.isna(row.discriminator_off_half_max)
    assert told["value"]["smallest_excess"] > 0
