"""What the paper says of fitted normals and of parallel lines, as plain JSON values."""

from typing import Any

import pandas as pd

from pipeline.figures.tables import Results, to_records

CLOSE = 0.05  # of the least divergence: a bound this near has reached it
NOTHING = 0.01  # of the least divergence: a bound below says that the critic is constant
MOVED = 0.5  # of the start: who has not come half way stays apart


def collect(results: Results) -> dict[str, Any]:
    """{close, nothing, fits: [one per f], cross: {most, infinite}, lines: {...}}; NaN becomes None.

    Raises UserError for a missing table or column.
    """
    return {
        "close": CLOSE,
        "nothing": NOTHING,
        "fits": _fits(results),
        "cross": _cross(results),
        "lines": _lines(results),
    }


def _titled(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of objectives that the study trains, with their titles."""
    table = table[table.objective.isin(results.objectives)]
    return table.assign(title=[results.objectives[name]["title"] for name in table.objective])


def _fits(results: Results) -> list[dict[str, Any]]:
    """trained_fit.csv, and `gap`: how far the bound stays below the least divergence, as a share of it."""
    table = _titled(
        results,
        results.theory(
            "trained_fit",
            "objective seeds lost_seeds mean std bound divergence_reached "
            "mean_exact std_exact divergence_exact",
        ),
    )
    return to_records(table.assign(gap=1 - table.bound / table.divergence_exact))


def _cross(results: Results) -> dict[str, Any]:
    """Of the exact fits: how many are infinite under another f, and the largest finite excess, a factor."""
    table = results.theory("cross_fit", "fit fitted measured divergence")
    table = table[(table.fit == "exact") & table.fitted.isin(results.objectives)]
    table = table[table.measured.isin(results.objectives)]
    least = table[table.fitted == table.measured].set_index("measured").divergence
    # Of no f at all, columns without a row have no number type.
    factor = table.divergence.astype(float) / table.measured.map(least).astype(float)
    table = table.assign(factor=factor.astype(float))
    most = to_records(table.nlargest(1, "factor"))
    titles = {name: facts["title"] for name, facts in results.objectives.items()}
    return {
        "pairs": int((table.fitted != table.measured).sum()),
        "infinite": int(table.divergence.isna().sum()),
        "most": {
            "fitted": titles[most[0]["fitted"]],
            "measured": titles[most[0]["measured"]],
            "factor": most[0]["factor"],
        }
        if most
        else None,
    }


def _arrivals(runs: pd.DataFrame, start: float) -> dict[str, Any]:
    """Of the free critics from a start: how many there are, and with how many most seeds arrive."""
    free = runs[(runs.start == start) & (runs.penalty == "none")]
    return {"start": start, "free": len(free), "arrived": int((free.arrived_share > MOVED).sum())}


def _lines(results: Results) -> dict[str, Any]:
    """Parallel lines, from the farthest start: who stays apart, arrives and stays, free and held.

    jump: {title: the loss at the best critic for theta > 0} where finite and constant, infinite: titles;
    near: [{start, free, arrived}] of the nearer starts;
    runs: the rows of parallel_lines.csv at the farthest start, with titles; apart, arrived: titles of free
    critics that end more than half the start away, and of which most seeds arrive.
    """
    exact = _titled(results, results.theory("parallel_lines_exact", "objective theta divergence gradient"))
    away = exact[exact.theta > 0].groupby("title", sort=False)
    lowest, highest = away.divergence.min(), away.divergence.max()
    runs = _titled(
        results,
        results.theory(
            "parallel_lines",
            "objective penalty start seeds distance updates_to_arrive "
            "arrived_share stayed_share gradient_apart",
        ),
    )
    starts = sorted(set(runs.start))
    near = [_arrivals(runs, start) for start in starts[:-1]]
    runs = runs[runs.start == starts[-1]] if starts else runs
    free = runs[runs.penalty == "none"]
    is_apart = ~(free.distance < MOVED * free.start)
    constant = lowest[lowest == highest]
    return {
        "starts": starts,
        "seeds": int(runs.seeds.max()) if len(runs) else 0,
        "jump": {str(title): float(value) for title, value in constant.items()},
        "infinite": [str(title) for title in lowest.index[lowest.isna()]],
        "linear": [str(title) for title in lowest.index[lowest < highest]],
        "free": len(free),
        "apart": list(free.title[is_apart]),
        "arrived": list(free.title[free.arrived_share > MOVED]),
        "near": near,
        "runs": to_records(runs),
    }
