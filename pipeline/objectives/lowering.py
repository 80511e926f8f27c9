"""From SymPy expressions to nested closures of torch operations, one tensor for each symbol.

Nothing is compiled or executed as text: a walk over the expression tree picks one torch function per node.
`lower` is called when an objective is built; what it returns runs in every training step.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import sympy as sp
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.objectives.stable import relu, sigmoid, softplus, wright_omega

Lowered = Callable[..., Tensor]
Symbols = tuple[sp.Symbol, ...]

_NODES, _WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(32))
_PANELS: Final = 4


class _Sigmoid(torch.autograd.Function):
    """1/(1 + exp(-x)) with derivative s(x) s(-x): torch's y (1 - y) is 0 in float32 from x = 17 on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * stable_sigmoid(x) * stable_sigmoid(-x)


class _Tanh(torch.autograd.Function):
    """tanh with derivative 4 s(2x) s(-2x), for the same reason."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * 4 * stable_sigmoid(2 * x) * stable_sigmoid(-2 * x)


class _WithSlope(torch.autograd.Function):
    """A function of x whose derivative in x is another one; those that follow x have none."""

    @staticmethod
    def forward(ctx: Any, value: Lowered, slope: Lowered, x: Tensor, *others: Tensor) -> Tensor:
        ctx.save_for_backward(x, *others)
        ctx.slope = slope
        return value(x, *others)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *others = ctx.saved_tensors
        return None, None, gradients[0] * ctx.slope(x, *others), *(None for _ in others)


class _Antiderivative(torch.autograd.Function):
    """The integral of `integrand` from `start` to x by Gauss-Legendre quadrature; its derivative is exact."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, integrand: Lowered, start: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.integrand = integrand
        width = (x.double() - start)[..., None] / _PANELS
        total = torch.zeros_like(x, dtype=torch.float64)
        for panel in range(_PANELS):
            values = integrand(start + width * (panel + (1 + _NODES.to(x.device)) / 2))
            total += (width / 2 * values * _WEIGHTS.to(x.device)).sum(-1)
        return total.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ctx.integrand(x), None, None


class _WrightOmega(torch.autograd.Function):
    """w(x) with w + log(w) = x, the Lambert W of exp(x); w' = w/(1 + w).

    Newton's iteration for log(w) from w = exp(x) below 1, for w from w = x above: both start on the side
    from which it descends without overshooting; six steps reach float64's resolution everywhere.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        w = torch.where(x > 1, x, torch.exp(x.clamp(max=1)))
        for _ in range(6):
            # log(w) of a w that underflowed is x itself to every digit.
            log = torch.where(x < -30, x, torch.log(w.clamp(min=torch.finfo(x.dtype).tiny)))
            w = w * (1 + x - log) / (1 + w)
        return w

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        w = stable_wright_omega(x)
        return gradients[0] * w / (1 + w)


def with_slope(value: Lowered, slope: Lowered) -> Lowered:
    """`value` with the derivative `slope` in its first argument, in place of what autograd would find."""
    return lambda *x: _WithSlope.apply(value, slope, *x)


def stable_sigmoid(x: Tensor) -> Tensor:
    """1/(1 + exp(-x)), differentiable any number of times without cancellation. Any shape."""
    return _Sigmoid.apply(x)  # type: ignore[no-any-return]


def stable_softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)). Any shape.

    torch replaces it by x beyond `threshold`, with an error of exp(-threshold): at the default 20 that shows
    in float64, at 40 it is below its resolution.
    """
    return functional.softplus(x, threshold=40.0)


def stable_tanh(x: Tensor) -> Tensor:
    """tanh(x), differentiable any number of times without cancellation. Any shape."""
    return _Tanh.apply(x)  # type: ignore[no-any-return]


def stable_wright_omega(x: Tensor) -> Tensor:
    """The Lambert W of exp(x), differentiable any number of times. Any shape."""
    return _WrightOmega.apply(x)  # type: ignore[no-any-return]


def log1mexp(y: Tensor) -> Tensor:
    """log(1 - exp(y)) for y < 0. Any shape.

    log(-expm1(y)) is accurate near 0 and log1p(-exp(y)) far from it (Maechler 2012, "Accurately computing
    log(1 - exp(-|a|))"); each sees a harmless 1 in the other's place, or its infinite slope would become nan.
    """
    near = y > -0.6931471805599453
    close, far = torch.where(near, y, -1.0), torch.where(near, -1.0, y)
    return torch.where(near, torch.log(-torch.expm1(close)), torch.log1p(-torch.exp(far)))


_FUNCTIONS: Final[dict[Any, Lowered]] = {
    sp.exp: torch.exp,
    sp.log: torch.log,
    sp.Abs: torch.abs,
    sp.sign: torch.sign,
    sp.tanh: stable_tanh,
    relu: torch.relu,
    softplus: stable_softplus,
    sigmoid: stable_sigmoid,
    wright_omega: stable_wright_omega,
}


def steadiest(candidates: list[sp.Expr], symbol: sp.Symbol, other: sp.Symbol | None = None) -> sp.Expr:
    """Of equal expressions the one that loses the fewest digits in float32 for |symbol| <= 50.

    Each is compared with itself in float64, relative to its size there; of those within a factor of 4 of the
    best, the shortest. `other` is set to 1.
    """
    grid = torch.linspace(-50, 50, 201, dtype=torch.float64)
    losses = []
    for candidate in candidates:
        function = lower(candidate, symbol, *(() if other is None else (other,)))
        at = (grid,) if other is None else (grid, torch.ones_like(grid))
        exact = function(*at)
        rounded = function(*(one.float() for one in at)).double()
        gap = (rounded - exact).abs() / exact.abs().clamp(min=1e-37)
        # All digits are the most that a place can lose: the mean tells how many places do.
        lost = gap.nan_to_num(nan=torch.inf)
        losses.append(torch.inf if bool(lost.isinf().any()) else float(lost.clamp(max=1).mean()))
    enough = 4 * max(min(losses), 1e-7)
    short = [one for one, loss in zip(candidates, losses, strict=True) if loss <= enough]
    return min(short or candidates, key=sp.count_ops)


def lower(expression: sp.Expr, *symbols: sp.Symbol) -> Lowered:
    """The function of the `symbols` on tensors of any shape and float type; constants are broadcast.

    Raises:
        NotImplementedError: the expression holds something that no formula of the whitelist leads to.
    """
    if expression.is_number:
        value = float(expression)
        return lambda *x: torch.full_like(x[0], value)
    return _node(expression, symbols)


def _node(expression: sp.Expr, symbols: Symbols) -> Lowered:
    if expression in symbols:
        place = symbols.index(expression)
        return lambda *x: x[place]
    if expression.is_Add:
        return _sum(expression, symbols)
    if expression.is_Mul:
        return _product(expression, symbols)
    if expression.is_Pow or isinstance(expression, sp.exp):
        return _power(expression, symbols)
    if isinstance(expression, sp.log) and expression.args[0].is_Add:
        constant, rest = expression.args[0].as_coeff_Add()
        number, power = sp.powsimp(-rest).as_independent(*symbols, as_Add=False)
        if constant == 1 and isinstance(power, sp.exp) and number.is_positive:
            exponent = _node(power.args[0] + sp.log(number), symbols)
            return lambda *x: log1mexp(exponent(*x))
        if constant == 1:
            inner = _node(rest, symbols)
            return lambda *x: torch.log1p(inner(*x))
    if isinstance(expression, sp.Integral):
        return _integral(expression, symbols)
    if expression.func in _FUNCTIONS:
        function, argument = _FUNCTIONS[expression.func], _node(expression.args[0], symbols)
        return lambda *x: function(argument(*x))
    name = expression.func.__name__
    if name in ("DiracDelta", "Piecewise"):
        raise NotImplementedError("a formula has a kink or a step where its derivative is needed")
    raise NotImplementedError(f"no torch operation for {name}")


def _sum(expression: sp.Expr, symbols: Symbols) -> Lowered:
    constant, rest = expression.as_independent(*symbols, as_Add=True)
    terms = [term.as_coeff_Mul() for term in sp.Add.make_args(rest)]
    terms.sort(key=lambda pair: (pair[0] != 1, sp.default_sort_key(pair[1])))
    offset = float(constant)
    for place, (number, term) in enumerate(terms):
        exponent = _as_exponent(term)
        if constant + number == 0 and exponent is not None:  # c exp(y) - c, exact near y = 0
            terms[place], offset = (number, sp.Function("expm1")(exponent)), 0.0
            break
    (first_number, first), *others = terms
    head = _scaled(first_number, _term(first, symbols))
    tails = [(float(number), _term(term, symbols)) for number, term in others]

    def evaluate(*x: Tensor) -> Tensor:
        total = head(*x)
        for scale, tail in tails:
            total = torch.add(total, tail(*x), alpha=scale)
        return total + offset if offset else total

    return evaluate


def _as_exponent(term: sp.Expr) -> sp.Expr | None:
    """y where the term is exp(y): p softplus(z) of (1 + exp(z))**p, -p softplus(-z) of sigmoid(z)**p."""
    if isinstance(term, sp.exp):
        return term.args[0]
    base, power = term.as_base_exp()
    if isinstance(base, sigmoid):
        return -power * softplus(-base.args[0])
    if base.is_Add and power.is_number:
        constant, rest = base.as_coeff_Add()
        if constant == 1 and isinstance(rest, sp.exp):
            return power * softplus(rest.args[0])
    return None


def _term(term: sp.Expr, symbols: Symbols) -> Lowered:
    if term.func == sp.Function("expm1"):
        inner = _node(term.args[0], symbols)
        return lambda *x: torch.expm1(inner(*x))
    return _node(term, symbols)


def _scaled(number: sp.Expr, function: Lowered) -> Lowered:
    if number == 1:
        return function
    if number == -1:
        return lambda *x: -function(*x)
    scale = float(number)
    return lambda *x: scale * function(*x)


def _product(expression: sp.Expr, symbols: Symbols) -> Lowered:
    constant, rest = expression.as_independent(*symbols, as_Add=False)
    factors = list(sp.Mul.make_args(rest))
    logs = [factor for factor in factors if isinstance(factor, sp.log)]
    if logs and len(factors) > 1:
        return _scaled(constant, _times_log(factors, logs[0], symbols))
    above = [_node(factor, symbols) for factor in factors if not _divides(factor)]
    below = [_node(1 / factor, symbols) for factor in factors if _divides(factor)]
    if not above:
        bottom, scale = _chain(below), float(constant)
        return lambda *x: scale / bottom(*x)
    top = _chain(above)
    if not below:
        return _scaled(constant, top)
    under = _chain(below)
    return _scaled(constant, lambda *x: top(*x) / under(*x))


def _times_log(factors: list[sp.Expr], log: sp.Expr, symbols: Symbols) -> Lowered:
    """g log(y) with the limit 0 where g = 0: r log(r) and r log(1 + 1/r) are 0 at r = 0, not nan."""
    outer = _node(sp.Mul(*(factor for factor in factors if factor is not log)), symbols)
    constant, rest = log.args[0].as_coeff_Add()
    if constant == 1:
        shifted = _node(rest, symbols)
        return lambda *x: torch.special.xlog1py(outer(*x), shifted(*x))
    argument = _node(log.args[0], symbols)
    return lambda *x: torch.xlogy(outer(*x), argument(*x))


def _divides(factor: sp.Expr) -> bool:
    return bool(factor.is_Pow and factor.exp.is_number and factor.exp.is_negative)


def _chain(functions: list[Lowered]) -> Lowered:
    first, *others = functions

    def evaluate(*x: Tensor) -> Tensor:
        result = first(*x)
        for other in others:
            result = result * other(*x)
        return result

    return evaluate if others else first


def _power(expression: sp.Expr, symbols: Symbols) -> Lowered:
    base, exponent = expression.as_base_exp()
    if not exponent.has(*symbols):
        inner, power = _node(base, symbols), float(exponent)
        if exponent == -1:
            return lambda *x: torch.reciprocal(inner(*x))
        if exponent == sp.Rational(1, 2):
            return lambda *x: torch.sqrt(inner(*x))
        if exponent == 2:
            return lambda *x: torch.square(inner(*x))
        return lambda *x: torch.pow(inner(*x), power)
    argument = _node(exponent if base == sp.E else exponent * sp.log(base), symbols)
    return lambda *x: torch.exp(argument(*x))


def _integral(expression: sp.Expr, symbols: Symbols) -> Lowered:
    """An antiderivative that has no closed form: Integral(g(s), (s, start, upper(symbol)))."""
    dummy, start, upper = expression.limits[0]
    integrand, end, origin = lower(expression.function, dummy), lower(upper, *symbols), float(start)
    return lambda *x: _Antiderivative.apply(end(*x), integrand, origin)
