"""Claims on the critic and the game in function space, judged from exact results: D1, D2, D4."""

from pipeline.claims.judging import (
    Evidence,
    Finding,
    Judge,
    Thresholds,
    Verdict,
    grade,
    listed,
    objectives_named,
)
from pipeline.claims.results import Results
from pipeline.errors import UserError

_CRITIC = "theory/free_critic.csv"
_TRAINED = "theory/trained_critic_1d.csv"
_GAME = "theory/free_game.csv"
MINIMAX = "minimax"
Row = dict[str, str]


def _largest(results: Results, table: str, rows: list[Row], *columns: str) -> float:
    """Over rows and columns; a cell that is empty, for an objective whose omega is a step, is passed over.

    Raises UserError where all are.
    """
    found = [
        results.to_number(row[column], table, f"{column} of {row['objective']}")
        for row in rows
        for column in columns
        if row[column]
    ]
    if not found:
        raise UserError(f"{results.folder / table}: no number of {listed(columns)} where one is needed")
    return max(found)


def _of_minimax(results: Results, table: str, rows: list[Row]) -> list[Row]:
    found = [row for row in rows if row["objective"] == MINIMAX]
    if not found:
        raise UserError(f"{results.folder / table}: no rows of {MINIMAX!r}")
    return found


def _by_objective(rows: list[Row]) -> dict[str, list[Row]]:
    """Objective -> its rows, in the table's order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["objective"], []).append(row)
    return found


def _best_discriminator(results: Results, limit: Thresholds) -> Finding:
    rows = results.rows(_CRITIC, "objective", "grid", "pair", "error_max", "steps")
    inverted = [row for row in rows if row["error_max"]]
    error = _largest(results, _CRITIC, inverted, "error_max")
    of_minimax = _largest(results, _CRITIC, _of_minimax(results, _CRITIC, rows), "error_max")
    trained = results.numbers(_TRAINED, "error_mean")
    worst = max(trained)
    verdict: Verdict = "inconclusive"
    if of_minimax > limit["contradicting_error"]:
        verdict = "contradicted"
    elif error <= limit["free_error"] and worst <= limit["trained_error"]:
        verdict = "supported"
    objectives, problems = len(_by_objective(inverted)), len({(row["grid"], row["pair"]) for row in rows})
    steps = [name for name in _by_objective(rows) if name not in _by_objective(inverted)]
    left_out = (
        f" (not {objectives_named(results, steps)}, which say only whether p or q is larger)" if steps else ""
    )
    return Finding(
        verdict,
        [
            Evidence("largest_error", error, "1"),
            Evidence("largest_error_minimax", of_minimax, "1"),
            Evidence("objectives", float(objectives), "objectives"),
            Evidence("grids_and_pairs", float(problems), "pairs of densities on a grid"),
            Evidence("largest_trained_error", worst, "1"),
            Evidence("middle_trained_error", sorted(trained)[len(trained) // 2], "1"),
            Evidence("trained_networks", float(len(trained)), "networks"),
        ],
        f"For {objectives} objectives{left_out} on {problems} pairs of densities in one and two dimensions "
        f"the free critic's p/(p + q) is at most {error:.1e} off; the D of {len(trained)} small trained "
        f"networks is off by at most {worst:.3f} on average over the mass.",
    )


def _concave(results: Results, limit: Thresholds) -> Finding:
    ratios, spreads = ("spread_max", "alone_error_max"), ("value_spread", "alone_value_gap")
    rows = results.rows(_CRITIC, "objective", "curvature_max", "starts", *ratios, *spreads)
    minimax = _of_minimax(results, _CRITIC, rows)
    curvature = _largest(results, _CRITIC, minimax, "curvature_max")
    spread = _largest(results, _CRITIC, rows, "spread_max", "value_spread")
    alone = _largest(results, _CRITIC, rows, "alone_error_max", "alone_value_gap")
    verdict: Verdict = "inconclusive"
    of_minimax = _largest(results, _CRITIC, minimax, *ratios, *spreads)
    if curvature > 0 or of_minimax > limit["contradicting_spread"]:
        verdict = "contradicted"
    elif curvature < 0 and max(spread, alone) <= limit["spread"]:
        verdict = "supported"
    objectives = _by_objective(rows)
    bent = [name for name, own in objectives.items() if _largest(results, _CRITIC, own, "curvature_max") >= 0]
    also = f"; somewhere it is not below 0 under {objectives_named(results, bent)}" if bent else ""
    if bent and max(spread, alone) <= limit["spread"]:
        also += ", which arrive all the same"
    return Finding(
        verdict,
        [
            Evidence("largest_curvature_minimax", curvature, "loss per squared logit and unit of p + q"),
            Evidence("largest_spread", spread, "1, or of the larger of 1 and the value"),
            Evidence("largest_difference_from_cells_alone", alone, "1, or of the larger of 1 and the value"),
            Evidence("objectives", float(len(objectives)), "objectives"),
            Evidence("objectives_not_concave", float(len(bent)), "objectives"),
            Evidence("starts", max(results.numbers(_CRITIC, "starts")), "starts"),
        ],
        f"Over {len(objectives)} objectives p/(p + q) and the value spread by at most {spread:.1e} over the "
        f"starts and differ from the cells solved alone by at most {alone:.1e}; the largest second "
        f"derivative under minimax is {curvature:.1e}{also}.",
    )


def _one_half(results: Results, limit: Thresholds) -> Finding:
    off, away = "discriminator_off_half_max", "tv_to_p_max"
    rows = results.rows(_GAME, "objective", "grid", "updates", off, away)
    minimax = _of_minimax(results, _GAME, rows)
    level, distance = (_largest(results, _GAME, minimax, column) for column in (off, away))
    verdict: Verdict = "inconclusive"
    if distance <= limit["arrived"]:
        verdict = grade(level, limit["level"], limit["contradicting_level"])
    objectives = _by_objective(rows)
    arrived = [
        name for name, own in objectives.items() if _largest(results, _GAME, own, away) <= limit["arrived"]
    ]
    levels = [row for row in rows if row["objective"] in arrived and row[off]]
    lost = [name for name in objectives if name not in arrived]
    stayed = f", and not: {objectives_named(results, lost)}" if lost else ""
    return Finding(
        verdict,
        [
            Evidence("tv_to_p_minimax", distance, "total variation"),
            Evidence("off_half_minimax", level, "1"),
            Evidence("updates_minimax", _largest(results, _GAME, minimax, "updates"), "updates"),
            Evidence("objectives", float(len(objectives)), "objectives"),
            Evidence("objectives_arrived", float(len(arrived)), "objectives"),
            Evidence(
                "largest_off_half_arrived", _largest(results, _GAME, levels, off) if levels else None, "1"
            ),
        ],
        f"Under minimax the farthest q ends {distance:.1e} from p in total variation, with the discriminator "
        f"within {level:.1e} of 1/2 in every cell of both grids; {len(arrived)} of {len(objectives)} "
        f"objectives arrive{stayed}.",
    )


JUDGES = {
    "D1": Judge(_best_discriminator, frozenset({"free_error", "trained_error", "contradicting_error"})),
    "D2": Judge(_concave, frozenset({"spread", "contradicting_spread"})),
    "D4": Judge(_one_half, frozenset({"arrived", "level", "contradicting_level"})),
}
