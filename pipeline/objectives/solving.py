"""Inverses, integrals and ranges of formulas in closed form, or a plain statement that there is none."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import sympy as sp
import torch
from sympy.integrals.manualintegrate import manualintegrate
from sympy.integrals.rationaltools import ratint

from pipeline.errors import UserError
from pipeline.objectives.formulas import Domain, U, V, tidy
from pipeline.objectives.lowering import lower
from pipeline.objectives.stable import opened, relu, stable_form, wright_omega

_AGAIN: Final = 0.2  # seconds: an alarm that falls into a callback of the garbage collector is lost
SECONDS: Final = 10.0  # for one question to SymPy, whose algorithms may run without end


@contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise TimeoutError when the block has not ended after `seconds`.

    Works in the main thread of systems that have interval timers; elsewhere it does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {seconds:g} s")

    before, began = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)  # of a limit around this one
    if 0 < left < seconds:
        signal.setitimer(signal.ITIMER_REAL, left, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 1e-3), _AGAIN)


def inverse(function: sp.Expr, x: sp.Symbol, t: sp.Symbol, where: str) -> sp.Expr:
    """x > 0 as a formula in t = function(x): the solution that gives x = 1/2, 1 and 2 back.

    Raises:
        UserError: none is found.
    """
    found = solution(function, x, t, torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))
    if found is None:
        raise UserError(
            f"{where}: no closed-form inverse of {function} found; it must be strictly monotone in {x}"
        )
    return found


def solution(function: sp.Expr, x: sp.Symbol, t: sp.Symbol, points: torch.Tensor) -> sp.Expr | None:
    """x as a formula in t = function(x) that gives the `points` (n,) float64 of x back, or None."""
    try:
        with time_limit():
            candidates = _candidates(function, x, t)
    except (NotImplementedError, TimeoutError, TypeError):
        return None
    # In floats: SymPy's exact substitution would write out every digit of a tower of powers.
    values = lower(function, x)(points)
    for candidate in map(_without_lambert, candidates):
        if not candidate.has(sp.I, sp.LambertW) and torch.allclose(
            lower(candidate, t)(values), points, rtol=1e-9
        ):
            return tidy(sp.expand_log(candidate, force=True), t)
    return None


def _candidates(function: sp.Expr, x: sp.Symbol, t: sp.Symbol) -> list[sp.Expr]:
    """What SymPy solves `function(x) = t` by, unchecked; c log(g(x)) + a by g(x) = exp((t - a)/c)."""
    constant, rest = function.as_independent(x, as_Add=True)
    content, inner = rest.as_content_primitive()
    log = sp.logcombine(inner, force=True)
    if isinstance(log, sp.log) and log.args[0].is_rational_function(x):
        power = sp.Dummy("power", positive=True)
        found = sp.solve(log.args[0] - power, x, check=False)
        return [one.subs(power, sp.exp((t - constant) / content)) for one in found]
    return list(sp.solve(function - t, x, check=False))


def derived_omega(
    phi: sp.Expr, psi: sp.Expr, t: sp.Symbol, r: sp.Symbol, centre: sp.Expr
) -> tuple[sp.Expr | None, sp.Expr | None]:
    """(omega, omega^-1) from `phi'(t) + r psi'(t) = 0`, or (None, None); `centre` lies in Omega."""
    if (phi + psi).has(relu, sp.Abs, sp.sign) or not psi.has(t):
        return None, None
    ratio = tidy(sp.cancel(-sp.diff(phi, t) / sp.diff(psi, t)), t)
    if not ratio.has(t):
        return None, None
    points = float(centre) + torch.tensor([-1e-2, 0.0, 1e-2], dtype=torch.float64)
    best = solution(ratio, t, r, points)
    return (None, None) if best is None else (best, ratio)


def _without_lambert(expression: sp.Expr) -> sp.Expr:
    """W(a exp(y)) as wright_omega(y + log a), and exp(b + c W) by exp(W) = a exp(y)/W."""

    def rewritten(argument: sp.Expr) -> sp.Expr:
        number, rest = argument.as_independent(sp.exp, as_Add=False)
        power = sp.powsimp(rest)
        if number.is_positive and isinstance(power, sp.exp):
            return wright_omega(sp.expand(power.args[0] + sp.log(number)))
        return sp.LambertW(argument)

    def opened_power(exponent: sp.Expr) -> sp.Expr:
        result, left = sp.Integer(1), sp.expand(exponent)
        for w in left.atoms(wright_omega):
            count = left.coeff(w)
            result *= w ** (-count)  # exp(w) = exp(y)/w where w + log(w) = y
            left = sp.expand(left - count * w + count * w.args[0])
        return result * sp.exp(left)

    return expression.replace(sp.LambertW, rewritten).replace(sp.exp, opened_power)


def antiderivative(slope: sp.Expr, domain: Domain, start: sp.Expr) -> sp.Expr:
    """The integral of `slope` over Omega: in closed form where SymPy has one, else kept, from `start` to t.

    What is kept is an integral over R in the domain's own coordinate: there it is smooth at its ends too.
    """
    t = domain.symbol
    try:
        with time_limit():
            result = _integrated(slope, t)
    except TimeoutError:
        result = sp.Integral(slope, t)
    if not _is_computable(result, t):
        s = sp.Dummy("s", real=True)
        image = domain.default_activation
        smooth = stable_form(slope.subs(t, image.subs(V, s)) * sp.diff(image, V).subs(V, s), s)
        return sp.Integral(smooth, (s, domain.coordinate.subs(t, start), domain.coordinate))
    # SymPy writes log(t - 1) where t < 1: the real branch, which differs by a constant.
    result = result.replace(sp.log, lambda y: sp.log(-y) if y.subs(t, start).is_negative else sp.log(y))
    return tidy(result, t)


def _integrated(slope: sp.Expr, t: sp.Symbol) -> sp.Expr:
    exponentials = _rational_in_exponential(slope, t)
    if slope.is_polynomial(t):
        return sp.integrate(sp.expand(slope), t)
    if slope.is_rational_function(t):
        return ratint(sp.together(slope), t)
    if exponentials is not None:
        x, rate, quotient = exponentials
        return ratint(quotient, x).subs(x, sp.exp(rate * t))
    return manualintegrate(slope, t)


def below_zero(result: sp.Expr, t: sp.Symbol, domain: Domain) -> sp.Expr:
    """`result` moved by a constant so that its supremum on the domain is 0, if that is finite."""
    top = sp.oo if result.has(sp.Integral) else _supremum(result, t, domain)
    return tidy(result - top, t) if top.is_finite else result


def conjugate(f: sp.Expr, u_star: sp.Expr, t: sp.Symbol) -> sp.Expr:
    """`f*(t) = u* t - f(u*)`, for a u* in which SymPy knows no integral."""
    return sp.expand(opened_logs(u_star * t - f.subs(U, u_star)))


def opened_logs(expression: sp.Expr) -> sp.Expr:
    """The log of wright_omega(y) as y - wright_omega(y)."""
    if not expression.has(wright_omega):
        return expression
    return sp.expand(
        sp.expand_log(expression, force=True).replace(
            sp.log, lambda y: y.args[0] - y if isinstance(y, wright_omega) else sp.log(y)
        )
    )


def kink(slope: sp.Expr) -> tuple[sp.Expr, Domain] | None:
    """Where a piecewise linear f with one kink has it, and the interval between its two slopes; else None."""
    signs = slope.atoms(sp.sign)
    if len(signs) != 1:
        return None
    (sign,) = signs
    below, above = (slope.subs(sign, side) for side in (-1, 1))
    argument = sp.Poly(sign.args[0], U) if sign.args[0].is_polynomial(U) else None
    if below.has(U) or above.has(U) or argument is None or argument.degree() != 1:
        return None
    place = -argument.nth(0) / argument.nth(1)
    if argument.nth(1).is_negative:
        below, above = above, below
    return (place, Domain(below, above)) if place.is_positive and bool(below < above) else None


def _rational_in_exponential(slope: sp.Expr, t: sp.Symbol) -> tuple[sp.Symbol, sp.Expr, sp.Expr] | None:
    """`x, k, R(x)` with `slope dt = R(x) dx` for `x = exp(k t)` and R rational, else None."""
    rates = [power.as_base_exp()[1] / t for power in slope.atoms(sp.exp) if power.has(t)]
    if not rates or not all(rate.is_Rational for rate in rates):
        return None
    rate = sp.gcd_list([abs(one) for one in rates])
    x = sp.Dummy("x", positive=True)
    quotient = slope.replace(sp.exp, lambda y: x ** (y / (rate * t)) if y.has(t) else sp.exp(y))
    if not quotient.is_rational_function(x) or quotient.has(t):
        return None
    return x, rate, sp.together(quotient / (rate * x))


def _is_computable(expression: sp.Expr, t: sp.Symbol) -> bool:
    if expression.has(sp.Integral, sp.I, sp.RootSum):
        return False
    try:
        lower(opened(stable_form(expression, t)), t)
    except NotImplementedError:
        return False
    return True


def _supremum(expression: sp.Expr, t: sp.Symbol, domain: Domain) -> sp.Expr:
    """The largest value at the ends of the domain and where a polynomial is level; oo if not found."""
    slope = sp.diff(expression, t)
    roots = sp.real_roots(slope, t) if slope.is_polynomial(t) and slope.has(t) else []
    values = [
        expression.subs(t, root) for root in roots if bool(domain.low < root) and bool(root < domain.high)
    ]
    try:
        with time_limit():
            values += [_end_value(expression, t, end) for end in ((domain.low, "+"), (domain.high, "-"))]
    except (NotImplementedError, TimeoutError, ValueError):
        return sp.oo
    return sp.Max(*values) if all(value.is_extended_real for value in values) else sp.oo


def _end_value(expression: sp.Expr, t: sp.Symbol, end: tuple[sp.Expr, str]) -> sp.Expr:
    """The limit at an end of the domain: by substitution, which is quick, where that has a value."""
    value = expression.subs(t, end[0])
    return value if value.is_extended_real and value != sp.nan else sp.limit(expression, t, *end)


def range_of(slope: sp.Expr, where: str) -> Domain:
    """The range of f', the natural domain of the conjugate."""
    try:
        with time_limit():
            low, high = sp.limit(slope, U, 0, "+"), sp.limit(slope, U, sp.oo)
    except (NotImplementedError, TimeoutError, ValueError):
        low = high = sp.nan
    if not (low.is_extended_real and high.is_extended_real and bool(low < high)):
        grid = torch.logspace(-3, 3, 61, dtype=torch.float64)
        second = lower(sp.diff(slope, U), U)(grid)
        worst = int(second.argmin())
        raise UserError(
            f"{where}: the range of f' is not an interval from low to high, f''(u) = "
            f"{float(second[worst]):.4g} at u = {float(grid[worst]):.4g}; f must be convex, or `domain` given"
        )
    return Domain(low, high)
