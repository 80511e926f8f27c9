"""Claims on the test of a generator's loss, d minimal at r = 1: W8a (it suffices), W8b (its own examples)."""

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, objectives_named
from pipeline.claims.results import Results

_TABLE = "theory/minimum_test.csv"


def _column(results: Results, column: str) -> dict[str, float]:
    names = [row["objective"] for row in results.rows(_TABLE, "objective")]
    return dict(zip(names, results.numbers(_TABLE, column), strict=True))


def _passing(results: Results, column: str, allowance: float) -> list[str]:
    return [name for name, value in _column(results, column).items() if value >= -allowance]


def passing_normalised(results: Results, allowance: float) -> list[str]:
    """The objectives whose d is nowhere below its tangent at r = 1."""
    return _passing(results, "normalised_minimum", allowance)


def _suffices(results: Results, limit: Thresholds) -> Finding:
    allowance = limit["allowance"]
    literal, normalised, frozen = (
        _passing(results, column, allowance)
        for column in ("literal_minimum", "normalised_minimum", "frozen_slope_min")
    )
    excess = _column(results, "smallest_excess")
    below = [name for name in literal if excess[name] < -allowance]
    refuting = [name for name in literal if name in below or name not in normalised]
    verdict: Verdict = "contradicted" if refuting else "supported"
    if not refuting and len(literal) < limit["fewest_objectives"]:
        verdict = "inconclusive"
    flat = [name for name, size in _column(results, "d_largest").items() if size <= allowance]
    repelled = [name for name in _column(results, "frozen_slope_min") if name not in frozen]
    lowest = min((excess[name] for name in literal), default=None)
    return Finding(
        verdict,
        [
            Evidence("objectives", float(len(excess)), "objectives"),
            Evidence("objectives_literal", float(len(literal)), "objectives"),
            Evidence("objectives_normalised", float(len(normalised)), "objectives"),
            Evidence("literal_but_not_normalised", float(len(set(literal) - set(normalised))), "objectives"),
            Evidence("literal_but_below_equal", float(len(below)), "objectives"),
            Evidence("smallest_excess_of_literal", lowest, "loss"),
            Evidence("objectives_constant_d", float(len(flat)), "objectives"),
            Evidence("objectives_frozen_repelling", float(len(repelled)), "objectives"),
        ],
        f"Of {len(excess)} objectives {len(literal)} pass the test as written; of these {len(refuting)} "
        f"fail it normalised or have a pair of densities below q = p. {len(normalised)} pass it normalised, "
        f"which says that no q is better than p and not that training arrives there: d is constant for "
        f"{objectives_named(results, flat)}, and the critic held fixed drives some samples from the data "
        f"under {objectives_named(results, repelled)}.",
    )


# One divergence, int q log(q/p), as two objectives whose d differ by r - 1: a constant in beta.
_SAME = ("logit_generator", "ratio_reverse_kl")


def _recognises(results: Results, limit: Thresholds) -> Finding:
    allowance = limit["allowance"]
    literal, normalised, convex = (
        _passing(results, column, allowance)
        for column in ("literal_minimum", "normalised_minimum", "d_curvature_min")
    )
    slope = _column(results, "slope_at_1")
    examples = [row["objective"] for row in results.rows(_TABLE, "is_example") if row["is_example"] == "1"]
    refused = [name for name in examples if name not in literal and name in normalised]
    verdict: Verdict = "inconclusive"
    if examples and all(name in literal for name in examples):
        verdict = "supported"
    elif refused:
        verdict = "contradicted"
    saved = [name for name in refused if name in convex]
    first, second = _SAME
    same = ""
    if set(_SAME) <= set(slope):
        outcome = {True: "passes", False: "fails"}
        same = (
            " A constant in beta moves no gradient and adds a multiple of r to d: "
            f"{objectives_named(results, [first])} (d = r log r) {outcome[first in literal]} as written and "
            f"{objectives_named(results, [second])} (1 + r log r - r, the same divergence) "
            f"{outcome[second in literal]}."
        )
    return Finding(
        verdict,
        [
            Evidence("examples", float(len(examples)), "objectives"),
            *(
                Evidence(f"examples_{kind}", float(len(set(examples) & set(passing))), "objectives")
                for kind, passing in (("literal", literal), ("normalised", normalised), ("convex", convex))
            ),
            Evidence("objectives_refused", float(len(set(normalised) - set(literal))), "objectives"),
            *(Evidence(f"slope_at_1_{name}", slope[name], "loss") for name in examples),
        ],
        f"As written the test refuses {len(refused)} of its {len(examples)} examples although q = p is their "
        f"minimum ({objectives_named(results, refused)}; of these {len(saved)} pass by the rule's "
        f"other half, d convex), and {len(set(normalised) - set(literal))} of the {len(normalised)} "
        f"objectives of the catalogue for which it is.{same}",
    )


JUDGES = {
    "W8a": Judge(_suffices, frozenset({"allowance", "fewest_objectives"})),
    "W8b": Judge(_recognises, frozenset({"allowance"})),
}
