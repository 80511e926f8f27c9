"""The divergence that the generator descends while the critic is held fixed, and how it differs from d.

`B' = beta(omega)`, B(1) = 0. Where beta = psi and alpha = phi, `phi' + r psi' = 0` at omega gives
`d' = psi(omega) = B'` up to a constant: then both are the same game.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import mpmath
import sympy as sp
from sympy.integrals.manualintegrate import manualintegrate
from sympy.integrals.rationaltools import ratint

from pipeline.objectives.divergences import GRID, RELATIVE, Match, same_up_to_a_shift, simplest
from pipeline.objectives.formulas import R, tidy
from pipeline.objectives.lowering import lower
from pipeline.objectives.precise import DIGITS, derivative, evaluate
from pipeline.objectives.solving import time_limit

# What SymPy raises where it has no answer, or none in time.
NO_ANSWER: Final = (TimeoutError, NotImplementedError, ValueError, TypeError, ArithmeticError, AttributeError)
SECONDS: Final = 0.5  # for one integral
_FAR: Final = (50, 100)  # powers of ten: r and 1/r that stand for the ends


def frozen_divergence(d: sp.Expr, total: sp.Expr, pull: sp.Expr, known: Match | None, same: bool) -> sp.Expr:
    """B(r) from the known divergence, from d (`total` is d'), or by integrating `pull` = B'.

    An integral over log r from 0 where there is no closed form.
    """
    if known is not None:
        return known.whole
    if same and not pull.is_rational_function(R):
        return d + simplest((pull - total).subs(R, 1)) * (R - 1)
    if not pull.has(sp.Integral):
        for integrate in (ratint,) if pull.is_rational_function(R) else (manualintegrate, sp.integrate):
            found = _integrated(integrate, pull)
            if found is not None:
                return found
    s = sp.Dummy("s", real=True)
    return sp.Integral(sp.exp(s) * pull.subs(R, sp.exp(s)), (s, 0, sp.log(R)))


def _integrated(integrate: Callable[[sp.Expr, sp.Symbol], sp.Expr], pull: sp.Expr) -> sp.Expr | None:
    """The integral of `pull` that is 0 at r = 1, if it is found in time, computable and right."""
    try:
        with time_limit(SECONDS):
            found = integrate(pull, R)
            if found.has(sp.Integral, sp.RootSum, sp.I):
                return None
            found = tidy(found, R) - simplest(found.subs(R, 1))
            lower(found, R)
            return found if _is_antiderivative(found, pull) else None
    except NO_ANSWER:
        return None


def _is_antiderivative(candidate: sp.Expr, pull: sp.Expr) -> bool:
    slope = derivative(candidate, R)
    with mpmath.workdps(DIGITS):
        pairs = [(evaluate(slope, R, r), evaluate(pull, R, r)) for r in GRID]
        return all(abs(a - b) <= RELATIVE * (1 + abs(b)) for a, b in pairs)


def compare(
    total: sp.Expr, pull: sp.Expr, known: Match | None, frozen: Match | None, same: bool, jumps: bool
) -> str:
    """One sentence: where the total divergence (d' = `total`) and the frozen one (B' = `pull`) differ.

    `jumps`: d itself jumps at r = 1, and is no divergence for that reason. The trained loss is E_q beta, at
    the best critic `int p r beta(omega(r))`: where the entry has an alpha of its own, d is of another loss.
    """
    if _is_flat(pull):
        # The expected loss changes where q's mass crosses the step, and no sample's own gradient has that.
        subject = "d jumps at r = 1; the" if jumps else "The"
        return (
            f"{subject} critic is a step and tells no sample where to move: "
            "with the critic held fixed the gradient along a sample, which training follows, is 0 almost "
            f"everywhere, although the expected loss moves, as {frozen.text if frozen else 'B'} does."
        )
    if same:
        return (
            "The same game: B and d differ by a multiple of r - 1 at most, so holding the critic fixed "
            "changes nothing."
        )
    curvatures = [derivative(slope, R) for slope in (total, pull)]
    falls = _where_negative(curvatures[1])
    descends = f"descends {frozen.text}" if frozen is not None else "descends B"
    if falls:
        descends += f", concave {falls}, where it is driven away from the data"
    if known is not None and known.name == "zero":
        return (
            "The loss at the best critic is the same for every generator (d = 0); with the critic held fixed "
            f"the generator {descends}."
        )
    if jumps:
        return f"d jumps at r = 1; with the critic held fixed the generator {descends}."
    concave = _where_negative(curvatures[0])
    of_total = known.text if known is not None else "d" + (f", concave {concave}" if concave else "")
    trained = same_up_to_a_shift(total, derivative(R * pull, R))
    loss = "its loss" if trained else "the published loss, with its part alpha on real data,"
    return (
        f"With the critic held fixed the generator {descends}; {loss} at the best critic is {of_total}"
        f"{_strengths(*curvatures)}."
    )


def _is_flat(pull: sp.Expr) -> bool:
    """Whether beta(omega(r)) is constant to both sides of a step: then s(r) = 0."""
    slope = derivative(pull, R)
    with mpmath.workdps(DIGITS):
        return bool(pull.has(sp.sign)) and all(abs(evaluate(slope, R, r)) < RELATIVE for r in GRID)


def _where_negative(curvature: sp.Expr) -> str:
    """ "where r < 0.97", on a grid of 20 points per decade from 1e-4 to 1e4; empty where it is nowhere."""
    places = [mpmath.mpf(10) ** (mpmath.mpf(place) / 20) for place in range(-80, 81)]
    with mpmath.workdps(DIGITS):
        try:
            negative = [bool(evaluate(curvature, R, r) < 0) for r in places]
        except ValueError:
            return ""
    if not any(negative):
        return ""
    if all(negative):
        return "everywhere"
    changes = [place for place in range(1, len(places)) if negative[place] != negative[place - 1]]
    if len(changes) > 2 or (len(changes) == 2 and negative[0]):
        return "in places"
    edges = [_edge(curvature, places[place - 1], places[place]) for place in changes]
    if len(edges) == 2:
        return f"where {edges[0]} < r < {edges[1]}"
    return f"where r {'<' if negative[0] else '>'} {edges[0]}"


def _edge(curvature: sp.Expr, low: Any, high: Any) -> str:
    """Where the sign changes between low and high, to three digits."""
    with mpmath.workdps(DIGITS):
        below = evaluate(curvature, R, low) < 0
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if (evaluate(curvature, R, middle) < 0) == below else (low, middle)
        return str(mpmath.nstr(high, 3, strip_zeros=True)).removesuffix(".0")


def _strengths(total: sp.Expr, frozen: sp.Expr) -> str:
    """d''/B'' at both ends and at r = 1: where the one pulls harder than the other."""
    with mpmath.workdps(5 * max(_FAR)):
        far = [mpmath.mpf(10) ** power for power in _FAR]
        try:
            middle = _ratio(total, frozen, [mpmath.mpf(1)])
            low, high = _ratio(total, frozen, [1 / r for r in far]), _ratio(total, frozen, far)
        except (ValueError, ZeroDivisionError):
            return ""
    ends = [f"to {value} as r -> {end}" for value, end in ((low, "0"), (high, "oo")) if value]
    words = [f"is {middle} at r = 1"] if middle else []
    words += [f"goes {', '.join(ends)}"] if ends else []
    return f"; d''/B'' {' and '.join(words)}" if words else ""


def _ratio(total: sp.Expr, frozen: sp.Expr, points: list[Any]) -> str:
    """d''/B'' where it has settled over the points; empty where it has not, as by a logarithm."""
    ratios = [evaluate(total, R, r) / evaluate(frozen, R, r) for r in points]
    first, last = ratios[0], ratios[-1]
    if abs(last) < 1e-12 and abs(last) <= abs(first):
        return "0"
    if abs(last) > 1e12 and abs(last) >= abs(first):
        return "oo" if last > 0 else "-oo"
    if abs(last - first) > 1e-9 * abs(last):
        return ""
    near = Fraction(mpmath.nstr(last, 20)).limit_denominator(100)
    return (
        str(near)
        if abs(last - near.numerator / mpmath.mpf(near.denominator)) < 1e-9
        else mpmath.nstr(last, 3)
    )
