"""Claims on learning in games, judged from exact trajectories: G1, G2 (V = x y), G3 (the Dirac-GAN)."""

from collections.abc import Sequence

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

_FLOW, _UPDATES = "theory/bilinear_flow.csv", "theory/bilinear_updates.csv"
_RATES = "theory/dirac_rates.csv"
_RADIUS = "of the starting radius"
# What Mescheder et al. say of each remedy: whether training converges.
CLAIMED = {
    "none": False,
    "clipping": False,
    "gradient_penalty": False,
    "r1": True,
    "r2": True,
    "instance_noise": True,
    "consensus": True,
}
# A modulus below 1 by less is 1: eigenvalues are known to ten digits.
_NEUTRAL = 1e-8


def _rotates(results: Results, limit: Thresholds) -> Finding:
    radius, position, rank = (
        results.numbers(_FLOW, column) for column in ("radius_gap", "position_gap", "rank")
    )
    largest = max(*radius, *position)
    verdict = grade(largest, limit["exact_gap"], limit["contradicting_gap"])
    if min(rank) < 2:
        verdict = "contradicted"
    return Finding(
        verdict,
        [
            Evidence("starts", float(len(radius)), "starts"),
            Evidence("rank", min(rank), "equations"),
            Evidence("largest_radius_gap", max(radius), _RADIUS),
            Evidence("largest_position_gap", max(position), _RADIUS),
        ],
        f"The equilibrium solves a linear system of rank {min(rank):.0f}; over "
        f"{max(results.numbers(_FLOW, 'turns')):.0f} turns from {len(radius)} starts the radius differs from "
        f"the starting one by at most {max(radius):.1e} of it, the position from the closed form by "
        f"{max(position):.1e}.",
    )


def _spirals_outwards(results: Results, limit: Thresholds) -> Finding:
    columns = ("update", "step_size", "growth_exact", "growth_gap", "smallest_rise")
    rows = results.rows(_UPDATES, *columns)
    of_each: dict[str, list[list[float]]] = {}
    for row in rows:
        numbers = [results.to_number(row[column], _UPDATES, column) for column in columns[1:]]
        of_each.setdefault(row["update"], []).append(numbers)
    if "simultaneous" not in of_each:
        raise UserError(f"{results.folder / _UPDATES}: no rows of the simultaneous update")
    sizes, exact, gaps, rises = zip(*of_each["simultaneous"], strict=True)
    verdict: Verdict = "inconclusive"
    if min(rises) < 0:
        verdict = "contradicted"
    elif max(gaps) <= limit["exact_gap"] and min(rises) > 0:
        verdict = "supported"
    inwards = [
        name
        for name, found in of_each.items()
        if all(growth < 1 for size, growth, *_ in found if size <= sizes[0])
    ]
    return Finding(
        verdict,
        [
            Evidence("step_sizes", float(len(sizes)), "step sizes"),
            Evidence("largest_growth_gap", max(gaps), "of the radius per step"),
            Evidence("smallest_rise", min(rises), "of the radius per step"),
            Evidence("growth_at_largest_step", exact[-1], "of the radius per step"),
            *(
                Evidence(f"growth_at_smallest_step_{name}", min(found)[1], "of the radius per step")
                for name, found in of_each.items()
            ),
        ],
        f"At {len(sizes)} step sizes from {sizes[0]:g} to {sizes[-1]:g} the fitted growth of simultaneous "
        f"updates is sqrt(1 + h^2) to {max(gaps):.1e}, and at every step the radius changes by at least "
        f"{min(rises):.2g} of it. At the smallest step these move inwards: {listed(inwards)}.",
    )


def _remedies(results: Results, limit: Thresholds) -> Finding:
    rows = results.rows(_RATES, "objective", "remedy", "modulus", "rate", "rate_se")
    agree: dict[str, float] = {}
    evidence: list[Evidence] = []
    unlike: dict[str, list[str]] = {}
    fastest: dict[str, float] = {}
    exponential: dict[str, int] = {}
    for remedy, claimed in CLAIMED.items():
        own = [row for row in rows if row["remedy"] == remedy]
        if not own:
            raise UserError(f"{results.folder / _RATES}: no rows of the remedy {remedy!r}")
        rates = [_rate(results, row) for row in own]
        behaves = [(rate < -limit["errors"] * error) == claimed for rate, error in rates]
        agree[remedy] = sum(behaves) / len(own)
        against = [place for place, as_claimed in enumerate(behaves) if not as_claimed]
        unlike[remedy] = list(dict.fromkeys(own[place]["objective"] for place in against))
        fastest[remedy] = max((abs(rates[place][0]) for place in against), default=0.0)
        moduli = [results.to_number(row["modulus"], _RATES, "modulus") for row in own if row["modulus"]]
        contracting = sum(modulus < 1 - _NEUTRAL for modulus in moduli)
        exponential[remedy] = contracting
        evidence += [
            Evidence(f"agree_{remedy}", agree[remedy], "of the combinations"),
            Evidence(f"largest_rate_against_{remedy}", fastest[remedy] if against else None, "per step"),
            Evidence(
                f"moduli_below_1_{remedy}", contracting / len(moduli) if moduli else None, "of known moduli"
            ),
        ]
    verdict: Verdict = "inconclusive"
    if min(agree.values()) <= 0.5:
        verdict = "contradicted"
    elif min(agree.values()) >= limit["agreement"]:
        verdict = "supported"
    return Finding(verdict, evidence, _reading(results, limit, agree, unlike, fastest, exponential))


def _rate(results: Results, row: dict[str, str]) -> tuple[float, float]:
    rate, error = (results.to_number(row[column], _RATES, column) for column in ("rate", "rate_se"))
    return rate, error


def _reading(
    results: Results,
    limit: Thresholds,
    agree: dict[str, float],
    unlike: dict[str, list[str]],
    fastest: dict[str, float],
    exponential: dict[str, int],
) -> str:
    shares = ", ".join(f"{_words(name)} {100 * share:.0f} %" for name, share in agree.items())
    short = [name for name, share in agree.items() if share < limit["agreement"]]
    why = "".join(_exception(results, name, unlike[name], fastest[name], exponential[name]) for name in short)
    return f"As claimed behave: {shares}.{why}"


def _exception(results: Results, remedy: str, names: Sequence[str], fastest: float, count: int) -> str:
    if CLAIMED[remedy]:
        return f" Under {_words(remedy)} these do not converge: {objectives_named(results, names)}."
    return (
        f" Under {_words(remedy)} {len(names)} objectives have combinations that come closer, at most by "
        f"{fastest:.1e} per step; eigenvalues with both moduli below 1: {count or 'none'}."
    )


def _words(remedy: str) -> str:
    return {"none": "no remedy", "r1": "R1", "r2": "R2"}.get(remedy, remedy.replace("_", " "))


JUDGES = {
    "G1": Judge(_rotates, frozenset({"exact_gap", "contradicting_gap"})),
    "G2": Judge(_spirals_outwards, frozenset({"exact_gap"})),
    "G3": Judge(_remedies, frozenset({"errors", "agreement"})),
}
