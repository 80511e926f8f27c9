"""Which known divergence a function of r = q/p is: `D(r) = factor K(r) + shift (r - 1)`.

`int p (r - 1) = 0`, so a divergence is its second derivative in r. Those of all the common ones but total
variation (a kink at r = 1) are `scale r**a (1 + r)**b`. The two exponents are read off three points and
confirmed on twelve others, from r = 1e-4 to 1e4 in 40 digits, to a relative 1e-20; the factor and the shift
are then computed exactly. What is not one of them may be a sum of two, found and confirmed on the same grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations
from typing import Any, Final

import mpmath
import sympy as sp

from pipeline.objectives.formulas import R, tidy, without_integrals
from pipeline.objectives.known import POWERS, TOTAL_VARIATION, Known, by_exponents
from pipeline.objectives.precise import DIGITS, derivative, evaluate
from pipeline.objectives.printing import to_text, to_typst
from pipeline.objectives.stable import relu

# No point at r = 1, where a formula may need its limit.
GRID: Final = tuple(mpmath.mpf(10) ** (mpmath.mpf(8 * place) / 11 - 4) for place in range(12))
RELATIVE: Final = mpmath.mpf(10) ** -20
_EDGE: Final = mpmath.mpf(10) ** -30  # beside a kink
_KINKS: Final = (sp.sign, sp.Abs, relu)
_MAX_DENOMINATOR: Final = 64  # of the factors in a sum of two
_LEFT, _RIGHT = 3, 8  # the places of the grid, r = 0.015 and 66, that fix the two factors


@dataclass(frozen=True)
class Match:
    """`D(r) = formula + shift (r - 1)` with `formula = factor K(r)`, exactly; `second` is its D''."""

    name: str
    title: str
    definition: str
    factor: sp.Expr
    shift: sp.Expr
    text: str
    typst: str
    formula: sp.Expr
    second: sp.Expr

    @property
    def whole(self) -> sp.Expr:
        """D(r), in the shortest of its forms."""
        plain = self.formula + self.shift * (R - 1)
        return min((plain, tidy(plain, R), sp.expand(plain), _split(plain)), key=sp.count_ops)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "factor": float(self.factor),
            "factor_formula": to_text(self.factor),
            "shift": float(self.shift),
            "text": self.text,
            "typst": self.typst,
        }


def identify(slope: sp.Expr) -> Match | None:
    """The known divergence whose derivative in r is `slope`, or None.

    "zero" when it is a multiple of r - 1 alone, "combination" when it is the sum of two known ones.
    """
    second = derivative(slope, R)
    with mpmath.workdps(DIGITS):
        try:
            values = [evaluate(second, R, r) for r in GRID]
            if slope.has(*_KINKS):
                return _kinked(slope, values)
            at_one = simplest(slope.subs(R, 1))
            if max(map(abs, values)) < RELATIVE:
                return _matched(None, sp.Integer(0), at_one)
            return _single(second, values, at_one) or _sum_of_two(values, at_one)
        except ValueError:
            return None


def same_up_to_a_shift(one: sp.Expr, other: sp.Expr) -> bool:
    """Whether two divergences with these derivatives in r differ by a c (r - 1) alone."""
    kinked = one.has(*_KINKS) or other.has(*_KINKS)
    first, second = (one, other) if kinked else (derivative(one, R), derivative(other, R))
    with mpmath.workdps(DIGITS):
        try:
            pairs = [(evaluate(first, R, r), evaluate(second, R, r)) for r in GRID]
        except ValueError:
            return False
        # Jumps do not show in a second derivative: there the derivatives themselves are compared.
        offset = pairs[0][0] - pairs[0][1] if kinked else 0
        return all(abs(a - b - offset) <= RELATIVE * (abs(a) + abs(b) + RELATIVE) for a, b in pairs)


def simplest(value: sp.Expr) -> sp.Expr:
    """A number in its simplest form; an integral with equal ends is 0."""
    value = without_integrals(value)
    return value if value.is_Rational else sp.expand_log(sp.simplify(value), force=True)


def _split(expression: sp.Expr) -> sp.Expr:
    """Logarithms of products opened, and what has no logarithm in partial fractions."""
    opened = expression.replace(sp.log, lambda y: sp.expand_log(sp.log(sp.factor(y)), force=True))
    with_logs, without = sp.expand(opened).as_independent(sp.log, as_Add=True)[::-1]
    return with_logs + (sp.apart(without, R) if without.is_rational_function(R) else without)


def _matched(known: Known | None, factor: sp.Expr, slope_at_one: sp.Expr) -> Match:
    if known is None:
        zero = sp.Integer(0)
        return Match("zero", "Zero", "0", zero, slope_at_one, "0", "0", zero, zero)
    formula = factor * known.formula
    smooth = known is not TOTAL_VARIATION
    return Match(
        known.name,
        known.title,
        known.definition,
        factor,
        simplest(slope_at_one - sp.diff(formula, R).subs(R, 1)) if smooth else slope_at_one,
        _scaled(to_text(factor), factor, known.text),
        _scaled(to_typst(factor), factor, known.typst),
        formula,
        factor * known.second if smooth else sp.Integer(0),
    )


def _kinked(slope: sp.Expr, seconds: Sequence[Any]) -> Match | None:
    """Total variation, if the slope is one number below r = 1 and a larger one above."""
    low, high = (evaluate(slope, R, 1 + side * _EDGE) for side in (-1, 1))
    steps = all(abs(evaluate(slope, R, r) - (low if r < 1 else high)) < RELATIVE for r in GRID)
    if not steps or any(seconds) or not high > low:
        return None
    below, above = (simplest(slope.subs(R, side)) for side in (sp.Rational(1, 2), sp.Integer(2)))
    return _matched(TOTAL_VARIATION, above - below, (above + below) / 2)


def _single(second: sp.Expr, values: Sequence[Any], at_one: sp.Expr) -> Match | None:
    """One divergence with K'' = scale r**a (1 + r)**b, or None."""
    points = [mpmath.mpf(1) / 4, mpmath.mpf(2), mpmath.mpf(4)]
    read = [evaluate(second, R, r) for r in points]
    if not all(value > 0 for value in (*read, *values)):
        return None
    matrix = mpmath.matrix([[1, mpmath.log(r), mpmath.log(1 + r)] for r in points])
    log_scale, a, b = mpmath.lu_solve(matrix, mpmath.matrix([mpmath.log(value) for value in read]))
    scale = mpmath.exp(log_scale)
    for r, value in zip(GRID, values, strict=True):
        if abs(scale * r**a * (1 + r) ** b / value - 1) > RELATIVE:
            return None
    known = by_exponents(_number(a), _number(b))
    if known is None:
        return None
    factor = simplest(second.subs(R, 1) / known.second.subs(R, 1))
    near = scale * mpmath.mpf(2) ** b / evaluate(known.second, R, 1)
    if not factor.is_finite or abs(mpmath.mpf(factor.evalf(DIGITS)) / near - 1) > RELATIVE:
        factor = _number(near)  # a formula that divides by zero at r = 1
    return _matched(known, factor, at_one)


def _number(value: Any) -> sp.Expr:
    """The fraction that a number of many digits is, else the number."""
    digits = mpmath.nstr(value, DIGITS - 5)
    near = Fraction(digits).limit_denominator(1000)
    if abs(value - mpmath.mpf(near.numerator) / near.denominator) < RELATIVE:
        return sp.Rational(near.numerator, near.denominator)
    return sp.Float(digits, DIGITS - 5)


def _sum_of_two(values: Sequence[Any], at_one: sp.Expr) -> Match | None:
    """x K_1 + y K_2 with small fractions x and y, convex like every divergence; two positive ones first."""
    if not all(value > 0 for value in values):
        return None
    targets = [float(value) for value in values]
    found: list[tuple[bool, int, int, list[tuple[sp.Rational, Known]]]] = []
    for place, pair in enumerate(combinations(POWERS.values(), 2)):
        factors = _factors(targets, *map(_table, pair))
        if factors is None or not _confirmed(values, pair, factors):
            continue
        terms = [
            (sp.Rational(f.numerator, f.denominator), known) for f, known in zip(factors, pair, strict=True)
        ]
        terms.sort(key=lambda term: bool(term[0] < 0))
        size = sum(f.denominator + abs(f.numerator) for f in factors)
        found.append((min(factors) < 0, size, place, terms))
    return _combined(min(found)[-1], at_one) if found else None


def _factors(targets: list[float], one: list[float], two: list[float]) -> tuple[Fraction, Fraction] | None:
    """x and y with targets = x one + y two, from two points and screened on the others in floats."""
    determinant = one[_LEFT] * two[_RIGHT] - one[_RIGHT] * two[_LEFT]
    if abs(determinant) < 1e-12 * abs(one[_LEFT] * two[_RIGHT]):
        return None
    x = (targets[_LEFT] * two[_RIGHT] - targets[_RIGHT] * two[_LEFT]) / determinant
    y = (one[_LEFT] * targets[_RIGHT] - one[_RIGHT] * targets[_LEFT]) / determinant
    for target, k, m in zip(targets, one, two, strict=True):
        if not abs(target - x * k - y * m) <= 1e-9 * (abs(x * k) + abs(y * m)):
            return None
    factors = Fraction(x).limit_denominator(_MAX_DENOMINATOR), Fraction(y).limit_denominator(_MAX_DENOMINATOR)
    return None if 0 in factors else factors


@cache
def _table(known: Known) -> list[float]:
    """K'' on the grid."""
    return [float(evaluate(known.second, R, r)) for r in GRID]


def _confirmed(values: Sequence[Any], pair: tuple[Known, ...], factors: tuple[Fraction, ...]) -> bool:
    for r, value in zip(GRID, values, strict=True):
        terms = [
            mpmath.mpf(factor.numerator) / factor.denominator * evaluate(known.second, R, r)
            for factor, known in zip(factors, pair, strict=True)
        ]
        if abs(value - sum(terms)) > RELATIVE * sum(map(abs, terms)):
            return False
    return True


def _combined(terms: list[tuple[sp.Rational, Known]], at_one: sp.Expr) -> Match:
    formula = sp.Add(*(number * known.formula for number, known in terms))
    signs = ["" if place == 0 else " - " if number < 0 else " + " for place, (number, _) in enumerate(terms)]
    text, typst = (
        "".join(
            sign + _scaled(shown(abs(number)), abs(number), getattr(known, field))
            for sign, (number, known) in zip(signs, terms, strict=True)
        )
        for field, shown in (("text", to_text), ("typst", to_typst))
    )
    return Match(
        "combination",
        "Sum of two" if terms[-1][0] > 0 else "Difference of two",
        text,
        sp.Integer(1),
        simplest(at_one - sp.diff(formula, R).subs(R, 1)),
        text,
        typst,
        formula,
        sp.Add(*(number * known.second for number, known in terms)),
    )


def _scaled(shown: str, factor: sp.Expr, text: str) -> str:
    if factor == 1:
        return text
    return f"({shown}) {text}" if factor.is_Add else f"{shown} {text}"
