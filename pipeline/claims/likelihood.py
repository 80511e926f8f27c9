"""Claims on maximum likelihood with a GAN, judged from exact and sampled gradients: L1, L2, L3."""

from itertools import pairwise

from scipy.special import ndtri

from pipeline.claims.judging import Evidence, Finding, Judge, Thresholds, Verdict, grade
from pipeline.claims.results import Results
from pipeline.errors import UserError

_TABLE = "theory/maximum_likelihood.csv"
_RELATIVE = "of the larger of 1 and the gradient"


def _relative(values: list[float], reference: list[float]) -> float:
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(values, reference, strict=True))


def _is_the_gradient_of_kl(results: Results, limit: Thresholds) -> Finding:
    kl, fixed = (results.numbers(_TABLE, column) for column in ("gradient_kl", "gradient_fixed"))
    means, errors = (results.numbers(_TABLE, column) for column in ("sample_fixed", "sample_fixed_se"))
    gap = _relative(fixed, kl)
    width = float(ndtri(1 - (1 - limit["confidence"]) / (2 * len(kl))))
    held = [abs(mean - true) <= width * error for mean, true, error in zip(means, kl, errors, strict=True)]
    verdict = grade(gap, limit["exact_gap"], limit["contradicting_gap"])
    if verdict == "supported" and not all(held):
        verdict = "inconclusive"
    widest = max(range(len(kl)), key=lambda place: errors[place])
    mean, reach = means[widest], width * errors[widest]
    return Finding(
        verdict,
        [
            Evidence("largest_exact_gap", gap, _RELATIVE),
            Evidence("intervals", float(len(held)), "intervals"),
            Evidence("intervals_that_hold_it", float(sum(held)), "intervals"),
            Evidence("widest_sample_mean", mean, "nats per unit", mean - reach, mean + reach),
            Evidence("gradient_kl_there", kl[widest], "nats per unit"),
        ],
        f"By quadrature the {len(kl)} gradients equal those of KL(p, q) to {gap:.1e}; {sum(held)} of "
        f"{len(held)} intervals of sample means hold them.",
    )


def _needs_q_fixed(results: Results, limit: Thresholds) -> Finding:
    kl, fixed, moving = (
        results.numbers(_TABLE, column) for column in ("gradient_kl", "gradient_fixed", "gradient_moving")
    )
    sizeable = [place for place, value in enumerate(kl) if abs(value) > limit["sizeable"]]
    true, held, free = ([column[place] for place in sizeable] for column in (kl, fixed, moving))
    verdict: Verdict = "inconclusive"
    if sizeable and _relative(moving, kl) <= limit["exact_gap"]:
        verdict = "contradicted"
    elif sizeable and max(_relative(held, true), _relative(free, [0.0] * len(free))) <= limit["exact_gap"]:
        verdict = "supported"
    gap, left = _relative(fixed, kl), max(abs(value) for value in moving)
    largest = max((abs(value) for value in true), default=0.0)
    return Finding(
        verdict,
        [
            Evidence("largest_gap_held_fixed", gap, _RELATIVE),
            Evidence("largest_gradient_moving", left, "nats per unit"),
            Evidence("largest_gradient_kl", largest, "nats per unit"),
            Evidence("sizeable_gradients", float(len(sizeable)), "gradients"),
        ],
        f"Held fixed, the gradient differs from that of KL(p, q), here up to {largest:.3g} nats per unit, by "
        f"at most {gap:.1e}; with the q inside the critic moving along it is at most {left:.1e}.",
    )


def _few_samples_dominate(results: Results, limit: Thresholds) -> Finding:
    table = "theory/likelihood_spread.csv"
    distance, relative, half, needed = (
        results.numbers(table, column)
        for column in ("distance", "relative_sd", "half_carried_by", "samples_for_10_percent")
    )
    at = limit["at_distance"]
    if at not in distance:
        raise UserError(f"{results.folder / table}: no row at distance {at:g}")
    place = distance.index(at)
    rises = all(before < after for before, after in pairwise(relative[: place + 1]))
    verdict: Verdict = "inconclusive"
    if relative[place] < limit["contained"]:
        verdict = "contradicted"
    elif rises and relative[place] > limit["exploded"] and half[place] < limit["few"]:
        verdict = "supported"
    return Finding(
        verdict,
        [
            Evidence("distance", at, "standard deviations"),
            Evidence("relative_standard_deviation", relative[place], "of the mean gradient"),
            Evidence("half_carried_by", half[place], "share of the samples"),
            Evidence("samples_for_10_percent", needed[place], "samples"),
        ],
        f"At distance {at:g} the standard deviation of a sample's gradient is {relative[place]:.3g} times "
        f"its mean; {half[place]:.1e} of the samples carry half of it, and a standard error of a tenth takes "
        f"{needed[place]:.1e} samples.",
    )


JUDGES = {
    "L1": Judge(_is_the_gradient_of_kl, frozenset({"exact_gap", "contradicting_gap", "confidence"})),
    "L2": Judge(_needs_q_fixed, frozenset({"exact_gap", "sizeable"})),
    "L3": Judge(_few_samples_dominate, frozenset({"at_distance", "exploded", "few", "contained"})),
}
