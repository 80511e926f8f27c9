"""What an objective's divergence is, what its generator descends, and where its gradient vanishes.

At the best critic the generator's loss is `int p d(q/p)`. Training holds the critic fixed instead, and then
the gradient is that of `int p B(q/p)` with `B' = beta(omega)`: at a sample x

    grad_x beta(omega(r(x))) = s(r(x)) grad_x log r(x),    s(r) = r d/dr beta(omega(r)),

whatever the critic's parametrisation. s -> 0 as r -> oo means that a sample where p is small against q, the
one that most needs to move, feels nothing: the generator's gradient vanishes (Arjovsky & Bottou 2017,
arXiv 1701.04862, for minimax).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import mpmath
import sympy as sp

from pipeline.objectives.divergences import RELATIVE, Match, identify, same_up_to_a_shift
from pipeline.objectives.formulas import Formulas, R, tidy
from pipeline.objectives.frozen import NO_ANSWER, compare, frozen_divergence
from pipeline.objectives.objective import Objective
from pipeline.objectives.precise import DIGITS, derivative, evaluate
from pipeline.objectives.printing import to_text, to_typst
from pipeline.objectives.solving import time_limit

SECONDS: Final = 0.5  # for one limit
_TINY: Final = mpmath.mpf(10) ** -15
_FAR: Final = (50, 100, 200)  # powers of ten of the r at which a limit is checked
_FAR_DIGITS: Final = 900  # 1 - 1/(1 + r) and its powers at r = 1e-200 keep hundreds of them


@dataclass(frozen=True)
class Limit:
    """The limit of s(r); None where it was not found, `exact` False where it is a number read off far out."""

    value: sp.Expr | None
    exact: bool = True

    @property
    def vanishes(self) -> bool:
        return bool(self.value is not None and self.value == 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: "~" marks what is no symbolic result."""
        if self.value is None:
            return {"value": None, "typst": '"?"', "vanishes": False}
        text, typst = to_text(self.value), to_typst(self.value)
        return {
            "value": text if self.exact else f"~{text}",
            "typst": typst if self.exact else f"approx {typst}",
            "vanishes": self.vanishes,
        }


@dataclass(frozen=True)
class Analysis:
    """`frozen` is B(r), `slope` is s(r); `divergence` and `frozen_divergence` are the known ones, if any."""

    divergence: Match | None
    frozen: sp.Expr
    frozen_divergence: Match | None
    same_as_total: bool
    statement: str
    slope: sp.Expr
    zero: Limit
    infinity: Limit


@lru_cache(maxsize=64)
def analyse(formulas: Formulas) -> Analysis | None:
    """What follows from omega, alpha and beta; None where the best critic is no function of q/p."""
    d = formulas.divergence
    if formulas.omega is None or d is None:
        return None
    total = derivative(d, R)
    pull = formulas.beta.subs(formulas.t, formulas.omega)
    jumps = _jumps(d)
    known = None if jumps else identify(total)
    frozen_known = identify(pull)
    same = not jumps and same_up_to_a_shift(total, pull)
    if frozen_known is not None:
        slope = _shortest(R * frozen_known.second)
    else:
        # Where B and d are the same game, d'' may be the shorter way to write B''.
        slopes = (pull, total) if same else (pull,)
        slope = min((_shortest(R * derivative(one, R)) for one in slopes), key=sp.count_ops)
    return Analysis(
        divergence=known,
        frozen=frozen_divergence(d, total, pull, frozen_known, same),
        frozen_divergence=frozen_known,
        same_as_total=same,
        statement=compare(total, pull, known, frozen_known, same, jumps),
        slope=slope,
        zero=_limit(slope, sp.Integer(0)),
        infinity=_limit(slope, sp.oo),
    )


def analysis(objective: Objective) -> dict[str, Any]:
    """`analyse` as plain JSON values: divergence, frozen, slope and limits; each None where there is none."""
    return as_dict(analyse(objective.formulas))


def as_dict(found: Analysis | None) -> dict[str, Any]:
    """The same of an analysis at hand."""
    if found is None:
        return {"divergence": None, "frozen": None, "slope": None, "limits": None}
    known, frozen = found.divergence, found.frozen_divergence
    return {
        "divergence": None if known is None else known.as_dict(),
        "frozen": {
            "formula": to_text(found.frozen),
            "typst": to_typst(found.frozen),
            "same_as_total": found.same_as_total,
            "divergence": None if frozen is None else frozen.as_dict(),
            "statement": found.statement,
        },
        "slope": {"formula": to_text(found.slope), "typst": to_typst(found.slope)},
        "limits": {"zero": found.zero.as_dict(), "infinity": found.infinity.as_dict()},
    }


def _jumps(d: sp.Expr) -> bool:
    """Whether d jumps at r = 1, which its derivative to either side would not show."""
    if not d.has(sp.sign):
        return False
    with mpmath.workdps(DIGITS):
        edge = mpmath.mpf(10) ** -25
        low, high = (evaluate(d, R, 1 + side * edge) for side in (-1, 1))
        return bool(abs(high - low) > RELATIVE)


def _shortest(expression: sp.Expr) -> sp.Expr:
    forms = [expression, tidy(expression, R)]
    if expression.is_rational_function(R):
        forms.append(sp.factor(expression))
    elif not expression.has(sp.log):
        forms += [sp.powsimp(sp.expand_power_base(expression)), sp.together(expression)]
    return min(forms, key=sp.count_ops)


def _limit(slope: sp.Expr, end: sp.Expr) -> Limit:
    """SymPy's limit where the values far out go to it, else what those settle to."""
    if not slope.has(R):
        return Limit(slope)
    far = _far(slope, end)
    try:
        with time_limit(SECONDS):
            symbolic = sp.limit(slope, R, end, "+" if end == 0 else "-")
    except NO_ANSWER:
        symbolic = sp.nan
    found = symbolic.is_extended_real and not symbolic.has(sp.Limit, sp.AccumBounds)
    if found and (far is None or _agrees(symbolic, far)):
        return Limit(symbolic)
    return Limit(_settled(far), exact=False)


def _far(slope: sp.Expr, end: sp.Expr) -> list[Any] | None:
    """s far out; None where it cannot be computed, as an exponential of r cannot."""
    with mpmath.workdps(_FAR_DIGITS):
        try:
            powers = [-power if end == 0 else power for power in _FAR]
            return [evaluate(slope, R, mpmath.mpf(10) ** power) for power in powers]
        except (ValueError, MemoryError):
            return None


def _agrees(symbolic: sp.Expr, far: list[Any]) -> bool:
    """Whether the values far out go to `symbolic`: a slow one, as 1/log(r), only has to come closer."""
    if symbolic.is_infinite:
        sign = 1 if symbolic > 0 else -1
        return all(sign * b > sign * a for a, b in pairwise(far))
    gaps = [abs(one - mpmath.mpf(symbolic.evalf(30))) for one in far]
    return all(b < a or b < _TINY for a, b in pairwise(gaps))


def _settled(far: list[Any] | None) -> sp.Expr | None:
    """What values far out settle to: 0, an infinity or a number of six digits; None if they do not."""
    if far is None:
        return None
    first, second, third = far
    if abs(third) < _TINY and abs(third) <= abs(first):
        return sp.Integer(0)
    if abs(third) > 1 / _TINY and abs(third) > abs(second) > abs(first):
        return sp.oo if third > 0 else -sp.oo
    if abs(third - second) < 1e-9 * abs(third):
        return sp.Float(mpmath.nstr(third, 6), 15)
    return None
