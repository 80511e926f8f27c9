"""Claims on the f family and beyond it: W1 (total variation), W6 (who derives whom), W9 (f-GAN), W10 (W1)."""

import math

from pipeline.claims.exact import gradient_curves
from pipeline.claims.judging import (
    Evidence,
    Finding,
    Judge,
    Thresholds,
    Verdict,
    grade,
    listed,
    objectives_named,
    titles,
)
from pipeline.claims.results import Results
from pipeline.claims.trained import final_seeds, holds_few_modes, outcomes_of, protocol_of
from pipeline.errors import UserError
from pipeline.statistics import count_to_interval

RELATIVE = "of the larger of 1 and the size"


def _total_variation(results: Results, limit: Thresholds) -> Finding:
    table = "theory/total_variation.csv"
    gap = max(results.numbers(table, "dual_gap"))
    pairs = [row["pair"] for row in results.rows(table, "pair")]
    values = zip(pairs, results.numbers(table, "dual_half"), strict=True)
    smallest = min(value for pair, value in values if pair != "equal")
    form = grade(gap, limit["dual_gap"], limit["contradicting_gap"])
    if form == "supported" and smallest <= limit["smallest"]:
        form = "inconclusive"
    evidence = [
        Evidence("largest_dual_gap", gap, "1"),
        Evidence("smallest_dual_elsewhere", smallest, "1"),
        Evidence("pairs", float(len(pairs)), "pairs of densities"),
    ]
    exact = f"Over {len(pairs)} pairs of densities the dual is the integral to {gap:.1e}"
    curve = gradient_curves(results).get("total_variation", {})
    if curve:
        largest, spread = max(curve.values()), _largest_spread(results, "total_variation")
        unit = "loss per standard deviation"
        evidence.append(Evidence("largest_gradient_at_the_exact_critic", largest, unit))
        evidence.append(Evidence("largest_gradient_sd_at_the_exact_critic", spread, unit))
        size = f"at most {largest:g} with a standard deviation of at most {spread:g} over the samples"
        if largest == spread == 0:
            size = "0 at every distance for every sample, although the expected loss moves"
        exact += f"; at the exact critic, a step, the generator's pathwise gradient is {size}"
    trained = _trained_on_the_ring(results, "total_variation")
    if trained is None:
        return Finding(form, evidence, f"{exact}; the study has not trained it, so the form alone decides.")
    variant, _, good, seeds = trained
    tail = (1 - limit["confidence"]) / 2
    _, low, high = count_to_interval(good, seeds, tail)
    rate = limit["trained_rate"]
    verdict: Verdict = form
    if high < rate:
        verdict = "contradicted"
    elif form == "supported" and low <= rate:
        verdict = "inconclusive"
    evidence.append(Evidence(f"trained_{variant}", good / seeds, "of the seeds", low, high))
    gives = "it gives" if low > rate else "it does not give" if high < rate else "it may give"
    reading = (
        f"{exact}; trained on the ring, {good} of {seeds} seeds reached the data and kept most modes "
        f"[{low:.2g}, {high:.2g}]. The dual form {'holds' if form == 'supported' else 'is not shown'}; "
        f"under this recipe {gives} a GAN."
    )
    beside = _trained_on_the_ring(results, "hinge")
    if beside is not None:
        name, reached, kept, seeds = beside
        bounds = count_to_interval(reached, seeds, tail)[1:]
        evidence.append(Evidence(f"reached_{name}", reached / seeds, "of the seeds", *bounds))
        reading += (
            f" Hinge, whose best critic is a step too and whose divergence is 2 TV, reached the "
            f"data in {reached} of {seeds} seeds [{bounds[0]:.2g}, {bounds[1]:.2g}] and kept most modes "
            f"in {kept}."
        )
    return Finding(verdict, evidence, reading)


def _largest_spread(results: Results, objective: str) -> float:
    table = "theory/generator_gradient.csv"
    return max(
        results.to_number(row["gradient_sd"], table, f"gradient_sd of {objective}")
        for row in results.rows(table, "objective", "gradient_sd")
        if row["objective"] == objective
    )


def _trained_on_the_ring(results: Results, objective: str) -> tuple[str, int, int, int] | None:
    """(variant, seeds that reached the data, those of them that did not collapse, seeds) of the first variant
    of the objective; None without one."""
    protocol = protocol_of(results, "ring")
    if protocol is None:
        return None
    entries = results.study().get("variants", {})
    for name in protocol.variants:
        if entries.get(name, {}).get("objective") == objective:
            seeds = final_seeds(results, protocol, name, (protocol.counted,))
            outcome = outcomes_of(protocol, seeds, holds_few_modes)
            return name, outcome.reached, outcome.reached - outcome.collapsed, protocol.seeds
    return None


def _who_derives_whom(results: Results, limit: Thresholds) -> Finding:
    f_table, kl_table = "theory/as_f_gan.csv", "theory/kl_from_ratio.csv"
    conjugate = max(results.numbers(f_table, "conjugate_error"))
    first = grade(conjugate, limit["exact_gap"], limit["contradicting_gap"])
    gaps: dict[tuple[str, str], float] = {}
    for row in results.rows(kl_table, "objective", "gap_to_reverse", "gap_to_forward"):
        for kl in ("reverse", "forward"):
            gap = results.to_number(row[f"gap_to_{kl}"], kl_table, f"gap_to_{kl} of {row['objective']}")
            key = (row["objective"], kl)
            gaps[key] = max(gaps.get(key, 0.0), gap)
    if not gaps:
        raise UserError(f"{results.folder / kl_table}: no rows")
    reached = [key for key, gap in gaps.items() if gap <= limit["exact_gap"]]
    second: Verdict = "inconclusive"
    if reached:
        second = "contradicted"
    elif min(gaps.values()) > limit["contradicting_gap"]:
        second = "supported"
    verdict: Verdict = "inconclusive"
    if "contradicted" in (first, second):
        verdict = "contradicted"
    elif first == second == "supported":
        verdict = "supported"
    title = titles(results, "objectives")
    nearest = {kl: min(gap for (_, of), gap in gaps.items() if of == kl) for kl in ("reverse", "forward")}
    shown = [
        f"{title.get(name, name)} is KL({'q, p' if kl == 'reverse' else 'p, q'})" for name, kl in reached
    ]
    return Finding(
        verdict,
        [
            Evidence("largest_conjugate_error", conjugate, RELATIVE),
            Evidence("objectives_as_f_gan", float(len(results.rows(f_table))), "objectives"),
            Evidence("nearest_to_kl_q_p", nearest["reverse"], RELATIVE),
            Evidence("nearest_to_kl_p_q", nearest["forward"], RELATIVE),
            *(Evidence(f"gap_{name}_to_{kl}_kl", gaps[name, kl], RELATIVE) for name, kl in reached),
        ],
        f"First half {first}: the critic of every objective with an omega is an f-GAN's in the coordinate "
        f"phi, to {conjugate:.1e}; second half {second}: of the objectives with omega increasing and rho > 0 "
        f"those that equal a KL up to c (r - 1): {listed(shown)}.",
    )


def _f_gan(results: Results, limit: Thresholds) -> Finding:
    table, fits = "theory/conjugates.csv", "theory/mixture_fit.csv"
    at_one = max(abs(value) for value in results.numbers(table, "f_at_1"))
    concave = -min(0.0, *results.numbers(table, "curvature_min"))
    conjugate = max(results.numbers(table, "conjugate_error"))
    dual = max(results.numbers(fits, "dual_gap"))
    verdict = grade(max(at_one, concave, conjugate, dual), limit["exact_gap"], limit["contradicting_gap"])
    evidence = [
        Evidence("largest_f_at_1", at_one, "1"),
        Evidence("deepest_concavity", concave, "1"),
        Evidence("largest_conjugate_error", conjugate, RELATIVE),
        Evidence("largest_dual_gap", dual, RELATIVE),
        Evidence("divergences", float(len(results.rows(table))), "divergences"),
    ]
    stds: dict[str, float] = {}
    for row in results.rows(fits, "objective"):
        name = row["objective"]
        for column in ("divergence", "mean", "std"):
            value = results.number(fits, column, objective=name)
            evidence.append(
                Evidence(f"fit_{column}_{name}", value, "nats" if column == "divergence" else "1")
            )
        stds[name] = results.number(fits, "std", objective=name)
    title = titles(results, "objectives")
    widest, narrowest = max(stds, key=lambda name: stds[name]), min(stds, key=lambda name: stds[name])
    column = "conjugate_error_beyond"
    beyond = [
        title.get(row["objective"], row["objective"])
        for row in results.rows(table, "objective", column)
        if row[column] and results.to_number(row[column], table, column) > limit["exact_gap"]
    ]
    outside = "" if not beyond else (
        " The published f* also takes outputs below the range of f', where it is the conjugate of f "
        f"continued to u < 0: {listed(beyond)}."
    )  # fmt: skip
    return Finding(
        verdict,
        evidence,
        f"All {len(stds)} conjugates agree with the Legendre transform to {conjugate:.1e} and the duals with "
        f"their divergences to {dual:.1e}; the normal fitted to the mixture is widest under "
        f"{title.get(widest, widest)} (std {stds[widest]:.3f}) and narrowest under "
        f"{title.get(narrowest, narrowest)} ({stds[narrowest]:.3f}).{outside}",
    )


def _wasserstein(results: Results, limit: Thresholds) -> Finding:
    ratios = "theory/equal_ratios.csv"
    dual = max(results.numbers("theory/wasserstein_dual.csv", "dual_gap"))
    moved: list[float] = []
    same: list[float] = []
    for row in results.rows(ratios, "case", "measure", "difference"):
        value = results.to_number(row["difference"], ratios, f"difference of {row['measure']}")
        (moved if row["measure"] == "w1" else same).append(value)
    if not (moved and same):
        raise UserError(f"{results.folder / ratios}: rows of w1 and of at least one objective are needed")
    curves = gradient_curves(results)
    if "wasserstein" not in curves:
        raise UserError(f"{results.folder / 'theory/generator_gradient.csv'}: no gradient of 'wasserstein'")
    start = limit["from_distance"]
    for name, curve in curves.items():
        if start not in curve:
            where = results.folder / "theory/generator_gradient.csv"
            raise UserError(f"{where}: no gradient of {name!r} at distance {start:g}")
    growth = {name: _growth(curve, start) for name, curve in curves.items()}
    sizes = [size for distance, size in curves["wasserstein"].items() if distance >= start]
    change = max(sizes) / min(sizes) - 1 if min(sizes) > 0 else math.inf
    exact, apart = limit["exact_gap"], limit["apart"]
    verdict: Verdict = "inconclusive"
    if dual > limit["contradicting_gap"] or min(moved) <= exact or change > apart:
        verdict = "contradicted"
    elif dual <= exact and max(same) <= exact and min(moved) > apart and change <= exact:
        verdict = "supported"
    steps = [name for name, one in growth.items() if one is None]
    fallen = [name for name, one in growth.items() if one is not None and one < 1e-3]
    grown = [name for name, one in growth.items() if one is not None and one > 1 + apart]
    level = [name for name in growth if name not in (*steps, *fallen, *grown, "wasserstein")]

    def named(names: list[str]) -> str:
        return objectives_named(results, names)

    return Finding(
        verdict,
        [
            Evidence("largest_dual_gap", dual, "1"),
            Evidence("largest_difference_of_equal_ratios", max(same), RELATIVE),
            Evidence("smallest_difference_of_w1", min(moved), "of the smaller"),
            Evidence("wasserstein_gradient_change", change, "of the smaller"),
            Evidence("objectives_vanishing", float(len(fallen)), "objectives"),
            Evidence("objectives_growing", float(len(grown)), "objectives"),
            Evidence("objectives_step", float(len(steps)), "objectives"),
        ],
        f"On pairs of equal ratios every critic's optimum agrees to {max(same):.1e} and W1 differs by a "
        f"factor of {1 + min(moved):.3g} or more; its gradient {_moves(change)} over the distances. "
        f"Those that fall below a thousandth: {named(fallen)}; those that grow: {named(grown)}; 0 at every "
        f"distance for every sample: {named(steps)}{f'; others: {named(level)}' if level else ''}.",
    )


def _moves(change: float) -> str:
    return f"changes by {change:.1e}" if change else "does not change"


def _growth(curve: dict[float, float], start: float) -> float | None:
    """The gradient at the largest distance over that at `start`; None for one that is 0 everywhere."""
    if not any(curve.values()):
        return None
    return curve[max(curve)] / curve[start]


JUDGES = {
    "W1": Judge(
        _total_variation,
        frozenset({"dual_gap", "contradicting_gap", "smallest", "confidence", "trained_rate"}),
    ),
    "W6": Judge(_who_derives_whom, frozenset({"exact_gap", "contradicting_gap"})),
    "W9": Judge(_f_gan, frozenset({"exact_gap", "contradicting_gap"})),
    "W10": Judge(_wasserstein, frozenset({"exact_gap", "contradicting_gap", "apart", "from_distance"})),
}
