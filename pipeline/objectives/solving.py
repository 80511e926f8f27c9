"""Inverses, integrals and ranges of formulas in closed form, or a plain statement that there is none."""

import sympy as sp
import torch
from sympy.integrals.manualintegrate import manualintegrate
from sympy.integrals.rationaltools import ratint

from pipeline.errors import UserError
from pipeline.objectives.formulas import Domain, U, tidy
from pipeline.objectives.lowering import lower
from pipeline.objectives.stable import opened, stable_form


def inverse(function: sp.Expr, x: sp.Symbol, t: sp.Symbol, where: str) -> sp.Expr:
    """x as a formula in t = function(x): the solution that gives x = 1/2, 1 and 2 back."""
    try:
        candidates = sp.solve(function - t, x)
    except NotImplementedError:
        candidates = []
    # In floats: SymPy's exact substitution would write out every digit of a tower of powers.
    points = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    values = lower(function, x)(points)
    for candidate in candidates:
        if not candidate.has(sp.I) and torch.allclose(lower(candidate, t)(values), points, rtol=1e-9):
            return tidy(sp.expand_log(candidate, force=True), t)
    raise UserError(
        f"{where}: no closed-form inverse of {function} found; it must be strictly monotone in {x}"
    )


def antiderivative(slope: sp.Expr, t: sp.Symbol, start: sp.Expr) -> sp.Expr:
    """The integral of `slope`, in closed form where SymPy has one, else kept as an integral from `start`."""
    exponentials = _rational_in_exponential(slope, t)
    if slope.is_polynomial(t):
        result = sp.integrate(sp.expand(slope), t)
    elif exponentials is not None:
        x, rate, quotient = exponentials
        result = ratint(quotient, x).subs(x, sp.exp(rate * t))
    else:
        result = manualintegrate(slope, t)
    if not _is_computable(result, t):
        s = sp.Dummy("s", real=True)
        return sp.Integral(slope.subs(t, s), (s, start, t))
    # SymPy writes log(t - 1) where t < 1: the real branch, which differs by a constant.
    result = result.replace(sp.log, lambda y: sp.log(-y) if y.subs(t, start).is_negative else sp.log(y))
    return tidy(result, t)


def below_zero(result: sp.Expr, t: sp.Symbol, domain: Domain) -> sp.Expr:
    """`result` moved by a constant so that its supremum on the domain is 0, if that is finite."""
    top = sp.oo if result.has(sp.Integral) else _supremum(result, t, domain)
    return tidy(result - top, t) if top.is_finite else result


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
        values += [sp.limit(expression, t, domain.low, "+"), sp.limit(expression, t, domain.high, "-")]
    except (NotImplementedError, ValueError):
        return sp.oo
    return sp.Max(*values) if all(value.is_extended_real for value in values) else sp.oo


def range_of(slope: sp.Expr, where: str) -> Domain:
    """The range of f', the natural domain of the conjugate."""
    try:
        low, high = sp.limit(slope, U, 0, "+"), sp.limit(slope, U, sp.oo)
    except (NotImplementedError, ValueError):
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
