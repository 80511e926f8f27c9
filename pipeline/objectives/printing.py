"""Formulas for reading: text in the language of objectives.yaml, mathematics for a terminal and for Typst."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import sympy as sp

from pipeline.objectives.stable import relu, wright_omega


class _Rank(IntEnum):
    """How tightly the outermost operation of a printed piece binds."""

    SUM = 1
    PRODUCT = 2
    POWER = 3
    ATOM = 4


@dataclass(frozen=True)
class _Style:
    """What differs between the ways of writing; `names` of functions and symbols."""

    times: str
    power: str
    infinity: str
    names: dict[str, str]
    typst: bool = False
    unicode: bool = False


_TEXT: Final = _Style("*", "**", "oo", {"Abs": "abs"})
_TYPST: Final = _Style(
    *(" ", "^", "infinity"),
    {
        "log": "ln",
        "Abs": "abs",
        "sign": 'op("sign")',
        "sigmoid": 'op("sigmoid")',
        "softplus": 'op("softplus")',
        "distance": 'norm(x_"real" - x_"fake")',
    },
    typst=True,
)
_UNICODE: Final = _Style(" ", "^", "∞", {"delta": "δ", "pi": "π"}, unicode=True)
_SUPERSCRIPTS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

_Piece = tuple[str, _Rank]


def to_text(expression: sp.Expr) -> str:
    """The formula in the language of objectives.yaml: `parse_formula` reads it back."""
    return _write(expression, _TEXT)[0]


def to_unicode(expression: sp.Expr) -> str:
    """The formula as mathematics on one line of a terminal: 2 log(2) - r² and not 2*log(2) - r**2."""
    return _write(expression, _UNICODE)[0]


def to_typst(expression: sp.Expr) -> str:
    """The formula as the inside of a Typst equation, `$...$`."""
    return _write(expression, _TYPST)[0]


def _write(expression: sp.Expr, style: _Style) -> _Piece:
    if expression.is_Add:
        return _sum(expression, style)
    if expression.is_Mul or expression.is_Rational or _is_quotient(expression):
        return _product(expression, style)
    if isinstance(expression, sp.Integral):
        return _integral(expression, style)
    if expression.is_Pow or isinstance(expression, sp.exp):
        return _power(expression, style)
    if expression.is_Function:
        return _function(expression, style), _Rank.ATOM
    if expression.is_infinite:
        return (style.infinity, _Rank.ATOM) if expression > 0 else (f"-{style.infinity}", _Rank.SUM)
    if expression.is_Float:
        return f"{float(expression):.10g}", _Rank.ATOM if expression >= 0 else _Rank.SUM
    shown = "e" if expression == sp.E else str(expression)
    return style.names.get(shown, shown), _Rank.ATOM


def _function(expression: sp.Expr, style: _Style) -> str:
    argument = _write(expression.args[0], style)[0]
    if isinstance(expression, wright_omega):  # the Lambert W of an exponential
        return f"W({_write(sp.exp(expression.args[0]), style)[0]})"
    if isinstance(expression, relu) and style is not _TEXT:
        return f"max(0, {argument})"
    if isinstance(expression, sp.Abs) and style.unicode:
        return f"|{argument}|"
    name = type(expression).__name__
    return f"{style.names.get(name, name)}({argument})"


def _is_quotient(expression: sp.Expr) -> bool:
    return bool(expression.is_Pow and expression.exp.is_Rational and expression.exp.is_negative)


def _wrap(expression: sp.Expr, least: _Rank, style: _Style) -> str:
    text, rank = _write(expression, style)
    return text if rank >= least else f"({text})"


def _sum(expression: sp.Expr, style: _Style) -> _Piece:
    """Positive numbers first, then what is added, then what is subtracted: 1 + exp(t), 2 - 2*sqrt(r)."""

    def order(place_term: tuple[int, sp.Expr]) -> tuple[int, int]:
        place, term = place_term
        if term.could_extract_minus_sign():
            return 2, place
        return (0 if term.is_Rational else 1), place

    terms = [term for _, term in sorted(enumerate(expression.as_ordered_terms()), key=order)]
    text = ""
    for term in terms:
        minus = term.could_extract_minus_sign()
        piece = _wrap(-term if minus else term, _Rank.PRODUCT, style)
        if not text:
            text = f"-{piece}" if minus else piece
        else:
            text += f" - {piece}" if minus else f" + {piece}"
    return text, _Rank.SUM


def _product(expression: sp.Expr, style: _Style) -> _Piece:
    if expression.could_extract_minus_sign() and not expression.is_Integer:
        return f"-{_wrap(-expression, _Rank.PRODUCT, style)}", _Rank.SUM
    above, below = _quotient(expression)
    if below == 1:
        return _factors(above, style)
    if style.typst:
        return f"frac({_write(above, style)[0]}, {_write(below, style)[0]})", _Rank.ATOM
    top, bottom = _wrap(above, _Rank.PRODUCT, style), _wrap(below, _Rank.POWER, style)
    return f"{top}/{bottom}", _Rank.PRODUCT


def _quotient(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Numerator and denominator as they stand; exp(-t) stays above."""
    above, below = [], []
    for factor in sp.Mul.make_args(expression):
        if factor.is_Rational:
            above.append(sp.Integer(factor.p))
            below.append(sp.Integer(factor.q))
        elif _is_quotient(factor) and factor.base != sp.E:
            below.append(sp.Pow(factor.base, -factor.exp))
        else:
            above.append(factor)
    return sp.Mul(*above), sp.Mul(*below)


def _factors(expression: sp.Expr, style: _Style) -> _Piece:
    if expression.is_Integer:
        return str(expression), _Rank.ATOM if expression >= 0 else _Rank.SUM
    if not expression.is_Mul:
        return _write(expression, style)
    # Numbers, powers, sums, logarithms: 2*r*(1 + r)*log(r).
    factors = sorted(
        expression.as_ordered_factors(),
        key=lambda one: (not one.is_number, isinstance(one, sp.log), one.is_Add),
    )
    return style.times.join(_wrap(factor, _Rank.POWER, style) for factor in factors), _Rank.PRODUCT


def _power(expression: sp.Expr, style: _Style) -> _Piece:
    base, exponent = expression.as_base_exp()
    if exponent == sp.Rational(1, 2):
        inner = _write(base, style)[0]
        if style.unicode:
            return f"√{inner}" if inner.isalnum() else f"√({inner})", _Rank.ATOM
        return f"sqrt({inner})", _Rank.ATOM
    above = _write(exponent, style)
    if base == sp.E and not style.typst:
        return f"exp({above[0]})", _Rank.ATOM
    head = "e" if base == sp.E else _wrap(base, _Rank.ATOM, style)
    if style.unicode and exponent.is_Integer and exponent > 0:
        return head + str(exponent).translate(_SUPERSCRIPTS), _Rank.POWER
    # Typst does not draw these brackets, and `e^-t` or `e^frac(t, 2)` would end too early without them.
    plain = above[0].isalnum() if style.typst else above[1] == _Rank.ATOM
    tail = above[0] if plain else f"({above[0]})"
    return f"{head}{style.power}{tail}", _Rank.POWER


def _integral(expression: sp.Expr, style: _Style) -> _Piece:
    dummy, start, end = expression.limits[0]
    s = sp.Symbol("s", real=True)
    inner = _write(expression.function.subs(dummy, s), style)[0]
    low, high = _write(start, style)[0], _write(end, style)[0]
    if style.typst:
        return f"integral_({low})^({high}) {inner} dif s", _Rank.PRODUCT
    if style.unicode:
        return f"∫({inner}) ds from {low} to {high}", _Rank.SUM
    return f"integral({inner}, s = {low} to {high})", _Rank.ATOM
