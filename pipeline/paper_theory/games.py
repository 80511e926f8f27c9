"""What the paper says about learning in games, from the tables of the experiment `games`."""

from typing import Any

from pipeline.figures.tables import Results, to_records

ERRORS = 3  # standard errors below 0 of a rate that counts as falling, as in claim G3
_NEUTRAL = 1e-8  # of a modulus: eigenvalues are known to ten digits


def collect(results: Results) -> dict[str, Any]:
    """Plain JSON values.

    flow {turns, starts, radius_gap, position_gap}; step_sizes {smallest, largest}; growth {update: {smallest,
    largest, gap}}: the exact growth at the smallest and largest step size, and the largest gap of a fit;
    outwards {update: the smallest step size at which it grows, or None}; objectives, how many, and turning,
    how many of them turn about the equilibrium; remedies
    {name: {combinations, converge, moduli_below_1, fastest, objectives_not}}, of which `fastest` is the
    largest rate of approach and `objectives_not` the titles of those that do not converge in some
    combination; curvature.
    """
    flow = results.theory("bilinear_flow", "turns radius_gap position_gap rank")
    updates = results.theory("bilinear_updates", "update step_size growth_exact growth_gap")
    rates = results.theory("dirac_rates", "objective remedy update critic_steps modulus rate rate_se")
    falling = rates.rate < -ERRORS * rates.rate_se
    growth, outwards = {}, {}
    for name, rows in updates.groupby("update", sort=False):
        grows = rows.step_size[rows.growth_exact > 1 + _NEUTRAL]
        outwards[str(name)] = None if grows.empty else float(grows.min())
        growth[str(name)] = {
            "smallest": float(rows.growth_exact.iloc[0]),
            "largest": float(rows.growth_exact.iloc[-1]),
            "gap": float(rows.growth_gap.max()),
        }
    remedies = {}
    for name, rows in rates.groupby("remedy", sort=False):
        own, known = falling[rows.index], rows.modulus.dropna()
        remedies[str(name)] = {
            "combinations": len(rows),
            "converge": int(own.sum()),
            "moduli_below_1": int((known < 1 - _NEUTRAL).sum()),
            "fastest": float(-rows.rate[own].min()) if own.any() else None,
            "objectives_not": results.objective_titles(rows.objective[~own]),
        }
    return {
        "flow": {
            "turns": int(flow.turns.max()),
            "starts": len(flow),
            "radius_gap": float(flow.radius_gap.max()),
            "position_gap": float(flow.position_gap.max()),
        },
        "step_sizes": {"smallest": float(updates.step_size.min()), "largest": float(updates.step_size.max())},
        "growth": growth,
        "outwards": outwards,
        "objectives": int(rates.objective.nunique()),
        "turning": int(results.theory("dirac_curvature", "turns").turns.sum()),
        "remedies": remedies,
        "curvature": _curvature(results),
    }


def _curvature(results: Results) -> dict[str, Any]:
    """Of the objectives with kappa other than 0; worst: the largest relative gap of a rate to its prediction.

    `left`: the smallest and the largest share of its rate that an objective has from the nearer start.
    """
    table = results.theory("dirac_curvature", "objective kappa rate_predicted rate nearer_rate")
    bent = table[table.kappa.fillna(0.0).abs() > 1e-6]
    gap, left = (bent.rate / bent.rate_predicted - 1).abs(), bent.nearer_rate / bent.rate
    return {
        "objectives": to_records(bent[["objective", "kappa", "rate_predicted", "rate", "nearer_rate"]]),
        "closer": results.objective_titles(bent.objective[bent.kappa > 0]),
        "farther": results.objective_titles(bent.objective[bent.kappa < 0]),
        "worst": float(gap.max()) if len(bent) else None,
        "left": {"smallest": float(left.min()), "largest": float(left.max())} if len(bent) else None,
    }
