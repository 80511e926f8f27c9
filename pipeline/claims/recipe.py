"""Claims on the likelihood-ratio construction, judged from exact results: W2, W3, W4, W5.

W5 shows besides what trained critics reach, which its criterion does not read.
"""

from collections.abc import Iterator
from itertools import product

from scipy.special import ndtri

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, grade, titles
from pipeline.claims.measurement import trained_optima, trained_reading
from pipeline.claims.results import Results
from pipeline.statistics import CONFIDENCE


def _optimal_output(results: Results, limit: Thresholds) -> Finding:
    catalogue = dict(_output_errors(results, "theory/optimal_output.csv", "objective"))
    random = dict(_output_errors(results, "theory/random_pairs.csv", "pair"))
    worst = max(catalogue, key=lambda name: catalogue[name])
    largest, largest_random = catalogue[worst], max(random.values())
    verdict = grade(max(largest, largest_random), limit["error_nats"], limit["contradicting_nats"])
    if verdict == "supported" and len(random) < limit["fewest_pairs"]:
        verdict = "inconclusive"
    table = "theory/optimal_output.csv"
    directions = [row["direction"] for row in results.rows(table, "direction")]
    low, high = (results.numbers(table, column)[0] for column in ("ratio_low", "ratio_high"))
    return Finding(
        verdict,
        [
            Evidence("largest_error_catalogue", largest, "nats of log r"),
            Evidence("largest_error_random_pairs", largest_random, "nats of log r"),
            Evidence("objectives", float(len(directions)), "objectives"),
            *(
                Evidence(f"objectives_{kind}", float(directions.count(kind)), "objectives")
                for kind in ("increasing", "decreasing", "step")
            ),
            Evidence("random_pairs", float(len(random)), "pairs"),
            Evidence("ratio_low", low, "1"),
            Evidence("ratio_high", high, "1"),
        ],
        f"For r from {low:g} to {high:g} the output that maximises the critic's gain is omega(r) for all "
        f"{len(directions)} objectives, to {largest:.1e} nats of log r (worst: {_title(results, worst)}), "
        f"and for {len(random)} random pairs to {largest_random:.1e}.",
    )


def _output_errors(results: Results, table: str, key: str) -> Iterator[tuple[str, float]]:
    for row in results.rows(table, key, "output_error", "ratio_error_nats"):
        column = "ratio_error_nats" if row["ratio_error_nats"] else "output_error"  # empty: a step
        yield row[key], results.to_number(row[column], table, f"{column} of {row[key]}")


def _title(results: Results, name: str) -> str:
    return titles(results, "objectives").get(name, name)


_DIFFERENCES = ("output_difference", "divergence_difference", "gradient_difference")


def _same_game(results: Results, limit: Thresholds) -> Finding:
    table = "theory/same_game.csv"
    changes = [row["change"] for row in results.rows(table, "change")]
    found = [
        (change, column, value)
        for column in _DIFFERENCES
        for change, value in zip(changes, results.numbers(table, column), strict=True)
    ]

    def largest(change: str, column: str | None = None) -> float:
        return max(value for kind, of, value in found if kind == change and column in (of, None))

    kinds = tuple(dict.fromkeys(changes))
    metrics, identical, apart = _trained_pair(results, limit["confidence"])
    exact = max(largest(change) for change in kinds)
    verdict = grade(exact, limit["exact_gap"], limit["contradicting_gap"])
    if verdict == "supported" and apart:
        verdict = "inconclusive"
    trained = "the study has not trained both, so the exact part decides"
    if metrics:
        same = f"of {metrics} metrics of the trained runs {identical} are identical"
        trained = f"{same} and {apart} have intervals apart, widened for their number"
    sizes = " and ".join(f"by the {change} by at most {largest(change):.1e}" for change in kinds)
    return Finding(
        verdict,
        [
            *(
                Evidence(f"{column}_{change}", largest(change, column), "of the larger of 1 and the size")
                for change, column in product(kinds, _DIFFERENCES)
            ),
            Evidence("objectives_shifted", float(changes.count("constants")), "objectives"),
            Evidence("trained_metrics", float(metrics), "metrics"),
            Evidence("trained_metrics_identical", float(identical), "metrics"),
            Evidence("trained_metrics_apart", float(apart), "metrics"),
        ],
        f"The best output, the divergence and the generator's gradient change {sizes}; {trained}.",
    )


def _trained_pair(results: Results, confidence: float) -> tuple[int, int, int]:
    """Metrics of the two trained variants that differ in the coordinate alone: compared, identical, apart.

    The summary's intervals hold one by one; so that all of them together hold with `confidence` (Bonferroni
    over the metrics and both variants), each half is widened as that of a normal law would be.
    """
    variants = results.study().get("variants", {})
    logit, probability = (
        {name: entry for name, entry in variants.items() if entry.get("objective") == objective}
        for objective in ("minimax", "minimax_probability")
    )
    pairs = [
        (first, second)
        for first, second in product(logit, probability)
        if _settings(logit[first]) == _settings(probability[second])
    ]
    table, columns = "summary.csv", ("point", "low", "high")
    rows = results.rows(table, "benchmark", "variant", "metric", "statistic", *columns)
    found = {(row["variant"], row["benchmark"], row["metric"], row["statistic"]): row for row in rows}
    both = [
        (found[first, *key[1:]], found[second, *key[1:]])
        for first, second in pairs
        for key in found
        if key[0] == first and (second, *key[1:]) in found
    ]
    if not both:
        return 0, 0, 0
    widening = float(ndtri(1 - (1 - confidence) / (4 * len(both))) / ndtri(0.5 + CONFIDENCE / 2))

    def interval(row: dict[str, str]) -> tuple[float, float]:
        what = f"of {row['metric']} of {row['benchmark']} {row['variant']}"
        point, low, high = (results.to_number(row[column], table, f"{column} {what}") for column in columns)
        return point - widening * (point - low), point + widening * (high - point)

    identical = apart = 0
    for one, other in both:
        if all(one[column] == other[column] for column in columns):
            identical += 1
        elif "" in {row[column] for row in (one, other) for column in columns}:
            apart += 1  # all seeds of one of the two diverged
        else:
            (low, high), (other_low, other_high) = interval(one), interval(other)
            apart += low > other_high or other_low > high
    return len(both), identical, apart


def _settings(variant: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in variant.items() if key not in ("objective", "title")}


def _label_swap(results: Results, limit: Thresholds) -> Finding:
    table = "theory/label_swap.csv"
    rows = results.rows(table, "objective", "direction", "swapped_direction")
    turned = [{row["direction"], row["swapped_direction"]} == {"increasing", "decreasing"} for row in rows]
    decreasing = [row["swapped_direction"] for row in rows].count("decreasing")
    gaps = {name: max(results.numbers(table, name)) for name in ("optimum_difference", "gradient_difference")}
    verdict = grade(max(gaps.values()), limit["exact_gap"], limit["contradicting_gap"])
    if not all(turned):
        verdict = "contradicted"
    elif not decreasing:
        verdict = "inconclusive"
    return Finding(
        verdict,
        [
            Evidence("objectives", float(len(rows)), "objectives"),
            Evidence("turned", float(sum(turned)), "objectives"),
            Evidence("swapped_to_decreasing", float(decreasing), "objectives"),
            *(Evidence(name, value, "of the larger of 1 and the size") for name, value in gaps.items()),
        ],
        f"Of {len(rows)} likelihood-ratio objectives the swap turns the direction of omega in {sum(turned)}, "
        f"in {decreasing} to decreasing; "
        + (
            f"it changes the critic's largest value by at most {gaps['optimum_difference']:.1e} and the "
            f"generator's gradients by at most {gaps['gradient_difference']:.1e}."
            if any(gaps.values())
            else "it leaves the critic's largest value and the generator's gradients exactly as they were."
        ),
    )


def _critic_optimum(results: Results, limit: Thresholds) -> Finding:
    table = "theory/critic_optimum.csv"
    gap = max(results.numbers(table, "value_gap"))
    curvature = min(results.numbers(table, "d_curvature_min"))
    rows = results.rows(table, "objective", "pair", "above_equal")
    objectives, pairs = (len({row[key] for row in rows}) for key in ("objective", "pair"))
    excesses = zip(rows, results.numbers(table, "above_equal"), strict=True)
    above = min(excess for row, excess in excesses if row["pair"] != "equal")
    trained = trained_optima(results)
    verdict = grade(max(gap, -above, -curvature), limit["value_gap"], limit["contradicting_gap"])
    if verdict == "supported" and above <= limit["smallest"]:
        verdict = "inconclusive"
    return Finding(
        verdict,
        [
            Evidence("largest_value_gap", gap, "of the larger of 1 and the value"),
            Evidence("smallest_excess_over_equal", above, "loss"),
            Evidence("smallest_distance_below_a_chord", curvature, "of 1 + |d|"),
            Evidence("objectives", float(objectives), "objectives"),
            Evidence("pairs", float(pairs), "pairs of densities"),
            *trained,
        ],
        f"For {objectives} objectives and {pairs} pairs of densities the largest value of a free critic and "
        f"the integral of p d(q/p) differ by at most {gap:.1e}; for q other than p it is above that of q = p "
        f"by {above:.2g} or more, and d is above a chord by at most {max(0.0, -curvature):.1e}. "
        f"{trained_reading(trained)}",
    )


JUDGES = {
    "W2": Judge(_optimal_output, frozenset({"error_nats", "contradicting_nats", "fewest_pairs"})),
    "W3": Judge(_same_game, frozenset({"exact_gap", "contradicting_gap", "confidence"})),
    "W4": Judge(_label_swap, frozenset({"exact_gap", "contradicting_gap"})),
    "W5": Judge(_critic_optimum, frozenset({"value_gap", "contradicting_gap", "smallest"})),
}
