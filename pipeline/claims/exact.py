"""Claims judged from exact results, reports/results/theory: D3, V1, V2, V3a."""

import math
from itertools import pairwise

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, objectives_named
from pipeline.claims.results import Results
from pipeline.errors import UserError

LOG_TWO = math.log(2)


def _value_of_the_game(results: Results, limit: Thresholds) -> Finding:
    table = "theory/function_space.csv"
    gap = max(results.numbers(table, "value_gap_nats"))
    error = max(results.numbers(table, "discriminator_error_max"))
    floor = -2 * LOG_TWO
    at_equal = abs(results.number(table, "value_reached_nats", q="equal") - floor)
    names = [row["q"] for row in results.rows(table, "q")]
    others = [name for name in names if name != "equal"]
    excess = min(results.number(table, "value_reached_nats", q=name) for name in others) - floor
    allowed, refuted = limit["value_gap_nats"], limit["contradicting_gap_nats"]
    verdict: Verdict = "inconclusive"
    if gap <= allowed and at_equal <= allowed and excess > allowed:
        verdict = "supported"
    elif max(gap, at_equal) > refuted or excess < -refuted:
        verdict = "contradicted"
    return Finding(
        verdict,
        [
            Evidence("largest_value_gap", gap, "nats"),
            Evidence("gap_at_equal", at_equal, "nats"),
            Evidence("smallest_excess_elsewhere", excess, "nats"),
            Evidence("largest_spread_over_starts", max(results.numbers(table, "value_spread_nats")), "nats"),
            Evidence("largest_discriminator_error", error, "1"),
            Evidence("densities", float(len(names)), "densities"),
            Evidence("starts", max(results.numbers(table, "starts")), "starts"),
        ],
        f"Over {len(names)} densities q and all starts the value reached differs from -2 log 2 + 2 JSD by at "
        f"most {gap:.1e} nats; it is -2 log 2 for q = p and at least {excess:.1e} nats more for the others.",
    )


def _disjoint(results: Results, limit: Thresholds) -> Finding:
    table, summary = "theory/uniforms.csv", "theory/distance_summary.csv"
    pairs = zip(results.numbers(table, "overlap_share"), results.numbers(table, "jsd_nats"), strict=True)
    disjoint = [jsd for overlap, jsd in pairs if overlap == 0]
    deviation = max((abs(jsd - LOG_TWO) for jsd in disjoint), default=math.inf)

    def value(quantity: str) -> float:
        return results.number(summary, "value", quantity=quantity)

    panel, at, reads = (
        value(name) for name in ("survey_panel_jsd", "distance_at_survey_panel", "distance_reads_0_693")
    )
    holds = len(disjoint) >= limit["fewest_pairs"] and deviation <= limit["deviation_nats"]
    return Finding(
        "supported" if holds else "contradicted",
        [
            Evidence("largest_deviation_from_log_2", deviation, "nats"),
            Evidence("disjoint_pairs", float(len(disjoint)), "pairs"),
            Evidence("survey_panel_jsd", panel, "nats"),
            Evidence("distance_at_survey_panel", at, "standard deviations"),
            Evidence("jsd_at_2", value("jsd_at_2"), "nats"),
            Evidence("distance_reads_0_693", reads, "standard deviations"),
        ],
        f"All {len(disjoint)} disjoint pairs have JSD log 2 to within {deviation:.1e} nats (nine digits are "
        f"kept); the {panel:g} of the third panel belongs to two unit normals {at:.3f} standard deviations "
        f"apart, and from {reads:.2f} on they too read 0.693.",
    )


def _flat_beyond_five(results: Results, limit: Thresholds) -> Finding:
    def value(quantity: str) -> float:
        return results.number("theory/distance_summary.csv", "value", quantity=quantity)

    constant, gentle = value("distance_at_jsd_99_percent"), value("distance_at_gradient_1_percent")
    at_five, share = value("jsd_at_5"), value("gradient_at_5_over_steepest")
    holds = max(constant, gentle) <= limit["about_distance"]
    return Finding(
        "supported" if holds else "contradicted",
        [
            Evidence("distance_at_jsd_99_percent", constant, "standard deviations"),
            Evidence("distance_at_gradient_1_percent", gentle, "standard deviations"),
            Evidence("jsd_at_5", at_five, "nats"),
            Evidence("jsd_at_5_over_log_2", at_five / LOG_TWO, "1"),
            Evidence("jsd_rise_beyond_5", value("jsd_rise_beyond_5"), "nats"),
            Evidence("gradient_at_5_over_steepest", share, "1"),
            Evidence("steepest_distance", value("steepest_distance"), "standard deviations"),
        ],
        f"At distance 5 the JSD is {100 * at_five / LOG_TWO:.1f} % of log 2 and its gradient still "
        f"{100 * share:.1f} % of the steepest; 99 % of log 2 is reached at {constant:.2f} and 1 % of the "
        f"steepest gradient at {gentle:.2f} standard deviations. The verdict turns where 'about' means up to "
        f"{max(constant, gentle):.2f}.",
    )


def gradient_curves(results: Results) -> dict[str, dict[float, float]]:
    """objective -> distance -> size of the generator's pathwise gradient; inf where the cell is empty.

    An empty cell is a number beyond float64. Raises UserError for one that is neither that nor a number.
    """
    table = "theory/generator_gradient.csv"
    curves: dict[str, dict[float, float]] = {}
    for row in results.rows(table, "objective", "distance", "gradient_abs"):
        distance = results.to_number(row["distance"], table, "distance")
        cell, what = row["gradient_abs"], f"gradient_abs of {row['objective']}"
        size = math.inf if cell == "" else results.to_number(cell, table, what)
        curves.setdefault(row["objective"], {})[distance] = size
    return curves


def share_left(curve: dict[float, float], at: float) -> float:
    """The gradient at a distance over its largest so far; 0 if it is 0 everywhere, 1 past all floats."""
    largest = max(size for distance, size in curve.items() if distance <= at)
    if largest == 0:
        return 0.0
    return curve[at] / largest if math.isfinite(largest) else float(math.isinf(curve[at]))


def _vanishing(results: Results, limit: Thresholds) -> Finding:
    table = "theory/generator_gradient.csv"
    curves = gradient_curves(results)
    at = limit["at_distance"]
    for name in ("minimax", *curves):
        if at not in curves.get(name, {}):
            raise UserError(f"{results.folder / table}: no gradient of {name!r} at distance {at:g}")
    share = {name: share_left(curve, at) for name, curve in curves.items()}
    minimax = [size for _, size in sorted(curves["minimax"].items())]
    after = minimax[minimax.index(max(minimax)) :]
    falls = all(later < earlier for earlier, later in pairwise(after))
    verdict: Verdict = "inconclusive"
    if share["minimax"] < limit["vanished_below"] and falls:
        verdict = "supported"
    elif share["minimax"] > limit["alive_above"]:
        verdict = "contradicted"
    evidence = [Evidence("distance", at, "standard deviations")]
    for name, curve in curves.items():
        size = curve[at] if math.isfinite(curve[at]) else None
        evidence.append(Evidence(f"gradient_{name}", size, "loss per standard deviation"))
        evidence.append(Evidence(f"gradient_share_{name}", share[name], "of its maximum up to there"))
    flat = [name for name, curve in curves.items() if not any(curve.values())]
    kept = [name for name in curves if share[name] >= limit["alive_above"]]
    lost = [name for name in curves if share[name] < limit["vanished_below"] and name not in flat]

    def named(names: list[str]) -> str:
        return objectives_named(results, names)

    steps = ""
    if flat:
        steps = (
            "; 0 at every distance, although the expected loss moves, because the optimal critic is a step: "
            f"{named(flat)}"
        )
    return Finding(
        verdict,
        evidence,
        f"At distance {at:g} and the exact optimal critic the pathwise gradient under minimax is "
        f"{share['minimax']:.1e} of its maximum; objectives below {limit['vanished_below']:g} of theirs: "
        f"{named(lost)}; above {limit['alive_above']:g}: {named(kept)}{steps}.",
    )


JUDGES = {
    "D3": Judge(_value_of_the_game, frozenset({"value_gap_nats", "contradicting_gap_nats"})),
    "V1": Judge(_disjoint, frozenset({"deviation_nats", "fewest_pairs"})),
    "V2": Judge(_flat_beyond_five, frozenset({"about_distance"})),
    "V3a": Judge(_vanishing, frozenset({"at_distance", "vanished_below", "alive_above"})),
}
