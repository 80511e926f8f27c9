"""Formulas evaluated in as many digits as asked for, and differentiated away from their kinks.

A walk over the expression, one mpmath operation per node: nothing is compiled, and SymPy's own `evalf`, which
raises its precision without end where a sum cancels, is not asked.
"""

from collections.abc import Callable
from typing import Any, Final

import mpmath
import sympy as sp

from pipeline.objectives.stable import relu, sigmoid, softplus, wright_omega

DIGITS: Final = 40

_FUNCTIONS: Final[dict[Any, Callable[[Any], Any]]] = {
    sp.exp: mpmath.exp,
    sp.log: mpmath.log,
    sp.Abs: mpmath.fabs,
    sp.sign: mpmath.sign,
    sp.tanh: mpmath.tanh,
    relu: lambda x: max(x, mpmath.mpf(0)),
    softplus: lambda x: mpmath.log1p(mpmath.exp(x)),
    sigmoid: lambda x: 1 / (1 + mpmath.exp(-x)),
    wright_omega: lambda x: _wright_omega(x),
    sp.DiracDelta: lambda x: mpmath.mpf(0),
}


def evaluate(expression: sp.Expr, symbol: sp.Symbol, x: Any) -> Any:
    """The value at symbol = x in the digits of mpmath's context (`with mpmath.workdps(DIGITS)`).

    Raises:
        ValueError: not a real number there, or an operation that no formula leads to (an open integral).
    """
    try:
        value = _value(expression, symbol, mpmath.mpf(x))
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"no value at {symbol} = {x}: {error}") from error
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
        raise ValueError(f"no real number at {symbol} = {x}")
    return value


def _value(expression: sp.Expr, symbol: sp.Symbol, x: Any) -> Any:
    if expression == symbol:
        return x
    if expression.is_Rational:
        return mpmath.mpf(int(expression.p)) / int(expression.q)
    if expression.is_number and not expression.args:
        return mpmath.mpf(expression.evalf(mpmath.mp.dps + 5))
    parts = [_value(part, symbol, x) for part in expression.args if not isinstance(part, sp.Tuple)]
    if expression.is_Add:
        return mpmath.fsum(parts)
    if expression.is_Mul:
        return mpmath.fprod(parts)
    if expression.is_Pow:
        return mpmath.power(*parts)
    if expression.func in _FUNCTIONS:
        return _FUNCTIONS[expression.func](parts[0])
    raise ValueError(f"{expression.func.__name__} has no value here")


def _wright_omega(x: Any) -> Any:
    """w with w + log(w) = x, by Newton's iteration for log(w): y + exp(y) = x, which is convex in y."""
    y = mpmath.log(x) if x > 1 else mpmath.mpf(x)
    for _ in range(100):
        step = (x - y - mpmath.exp(y)) / (1 + mpmath.exp(y))
        y += step
        if abs(step) <= mpmath.eps * (1 + abs(y)):
            break
    return mpmath.exp(y)


def derivative(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """The derivative away from kinks and jumps: the deltas that SymPy puts there are 0 elsewhere."""
    return sp.diff(expression, symbol).replace(sp.DiracDelta, lambda *_: sp.Integer(0))
