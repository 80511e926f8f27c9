"""Claims on the likelihood-ratio construction, judged from exact results: W2, W3, W4, W5, W8."""

from collections.abc import Iterator
from itertools import product

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, listed, titles
from pipeline.claims.results import Results


def grade(largest: float, allowed: float, refuted: float) -> Verdict:
    """Supported up to `allowed`, contradicted above `refuted`, inconclusive between."""
    return "supported" if largest <= allowed else "contradicted" if largest > refuted else "inconclusive"


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
    metrics, identical, apart = _trained_pair(results)
    exact = max(largest(change) for change in kinds)
    verdict = grade(exact, limit["exact_gap"], limit["contradicting_gap"])
    if verdict == "supported" and apart:
        verdict = "inconclusive"
    trained = "the study has not trained both, so the exact part decides"
    if metrics:
        same = f"of {metrics} metrics of the trained runs {identical} are identical"
        trained = f"{same} and {apart} have intervals apart"
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


def _trained_pair(results: Results) -> tuple[int, int, int]:
    """Metrics of the two trained variants that differ in the coordinate alone: compared, identical, apart."""
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
    compared = identical = apart = 0
    for first, second in pairs:
        for key in [key[1:] for key in found if key[0] == first and (second, *key[1:]) in found]:
            one, other = found[first, *key], found[second, *key]
            compared += 1
            if all(one[column] == other[column] for column in columns):
                identical += 1
            elif "" in {row[column] for row in (one, other) for column in columns}:
                apart += 1  # all seeds of one of the two diverged
            else:
                (low, high), (other_low, other_high) = (
                    [results.to_number(row[column], table, f"{column} of {key}") for column in columns[1:]]
                    for row in (one, other)
                )
                apart += low > other_high or other_low > high
    return compared, identical, apart


def _settings(variant: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in variant.items() if key not in ("objective", "title")}


def _label_swap(results: Results, limit: Thresholds) -> Finding:
    table = "theory/label_swap.csv"
    rows = results.rows(table, "objective", "direction", "swapped_direction")
    turned = [{row["direction"], row["swapped_direction"]} == {"increasing", "decreasing"} for row in rows]
    decreasing = [row["swapped_direction"] for row in rows].count("decreasing")
    gaps = {name: max(results.numbers(table, name)) for name in _DIFFERENCES[1:]}
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
        f"in {decreasing} to decreasing; it changes divergences by at most "
        f"{gaps['divergence_difference']:.1e} and the generator's gradients by at most "
        f"{gaps['gradient_difference']:.1e}.",
    )


def _critic_optimum(results: Results, limit: Thresholds) -> Finding:
    table = "theory/critic_optimum.csv"
    gap, above = max(results.numbers(table, "value_gap")), min(results.numbers(table, "above_equal"))
    curvature = min(results.numbers(table, "d_curvature_min"))
    rows = results.rows(table, "objective", "pair")
    objectives, pairs = (len({row[key] for row in rows}) for key in ("objective", "pair"))
    return Finding(
        grade(max(gap, -above, -curvature), limit["value_gap"], limit["contradicting_gap"]),
        [
            Evidence("largest_value_gap", gap, "of the larger of 1 and the value"),
            Evidence("smallest_excess_over_equal", above, "loss"),
            Evidence("smallest_distance_below_a_chord", curvature, "of 1 + |d|"),
            Evidence("objectives", float(objectives), "objectives"),
            Evidence("pairs", float(pairs), "pairs of densities"),
        ],
        f"For {objectives} objectives and {pairs} pairs of densities the largest value of a free critic and "
        f"the integral of p d(q/p) differ by at most {gap:.1e}; no value is below that of q = p by more than "
        f"{max(0.0, -above):.1e}, and d is above a chord by at most {max(0.0, -curvature):.1e}.",
    )


def _minimum_at_one(results: Results, limit: Thresholds) -> Finding:
    table = "theory/minimum_test.csv"
    literal, normalised, examples, slope = {}, {}, [], {}
    for row in results.rows(table, "objective", "is_example"):
        name = row["objective"]
        literal[name] = results.number(table, "literal_minimum", objective=name) >= -limit["allowance"]
        normalised[name] = results.number(table, "normalised_minimum", objective=name) >= -limit["allowance"]
        slope[name] = results.number(table, "slope_at_1", objective=name)
        if row["is_example"] == "1":
            examples.append(name)
    refused = [name for name in examples if not literal[name] and normalised[name]]
    verdict: Verdict = "inconclusive"
    if examples and all(literal[name] for name in examples):
        verdict = "supported"
    elif refused:
        verdict = "contradicted"

    def named(names: list[str]) -> str:
        return listed([_title(results, name) for name in names])

    return Finding(
        verdict,
        [
            Evidence("examples", float(len(examples)), "objectives"),
            Evidence("examples_literal", float(sum(literal[name] for name in examples)), "objectives"),
            Evidence("examples_normalised", float(sum(normalised[name] for name in examples)), "objectives"),
            Evidence("objectives", float(len(literal)), "objectives"),
            Evidence("objectives_literal", float(sum(literal.values())), "objectives"),
            Evidence("objectives_normalised", float(sum(normalised.values())), "objectives"),
            *(Evidence(f"slope_at_1_{name}", slope[name], "loss") for name in examples),
        ],
        f"As written the test refuses {len(refused)} of its {len(examples)} examples that pass it once "
        f"d'(1)(r - 1) is taken off ({named(refused)}); over the catalogue {sum(literal.values())} of "
        f"{len(literal)} pass it as written and {sum(normalised.values())} normalised, which leaves out "
        f"{named([name for name in normalised if not normalised[name]])}.",
    )


JUDGES = {
    "W2": Judge(_optimal_output, frozenset({"error_nats", "contradicting_nats", "fewest_pairs"})),
    "W3": Judge(_same_game, frozenset({"exact_gap", "contradicting_gap"})),
    "W4": Judge(_label_swap, frozenset({"exact_gap", "contradicting_gap"})),
    "W5": Judge(_critic_optimum, frozenset({"value_gap", "contradicting_gap"})),
    "W8": Judge(_minimum_at_one, frozenset({"allowance"})),
}
