"""Formulas as text to SymPy expressions, by a whitelist: nothing in a formula is ever executed.

The language (what it does not hold cannot be written)::

    expression = ["-"] product (("+" | "-") product)*
    product    = factor (("*" | "/") factor)*
    factor     = "-" factor | atom ["**" factor]
    atom       = number | name | function "(" expression ")" | "(" expression ")"

`-x**2` is `-(x**2)` and `a**b**c` is `a**(b**c)`, as in Python. Decimal numbers become exact fractions.
Every text either parses or raises `UserError`; limits on length, depth and the size of numbers keep it fast.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

import sympy as sp

from pipeline.errors import UserError
from pipeline.objectives.stable import relu

MAX_LENGTH: Final = 400
MAX_DEPTH: Final = 24
MAX_EXPONENT: Final = 16
MAX_MAGNITUDE: Final = 1e12  # of any number that a formula holds or makes, and of its inverse
SMALLEST: Final = (1 - 1e-6) / MAX_MAGNITUDE  # 1e-12 itself, rounded to eight digits, is allowed
MAX_BITS: Final = 256  # of the numerator and the denominator of an exact fraction

_TOKEN: Final = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator>\*\*|[-+*/()])"
)

FUNCTIONS: Final[Mapping[str, Callable[..., sp.Expr]]] = {
    "exp": sp.exp,
    "log": sp.log,
    "sqrt": sp.sqrt,
    "abs": sp.Abs,
    "relu": relu,
    "sign": sp.sign,
    "tanh": sp.tanh,
    "sigmoid": lambda x: 1 / (1 + sp.exp(-x)),
    "softplus": lambda x: sp.log(1 + sp.exp(x)),
}
CONSTANTS: Final[Mapping[str, sp.Expr]] = {"e": sp.E, "pi": sp.pi}
RESERVED: Final = frozenset({*FUNCTIONS, *CONSTANTS, "oo", "r", "t", "u", "v", "delta", "distance"})


@dataclass(frozen=True)
class _Token:
    kind: Literal["number", "name", "operator", "end"]
    text: str
    column: int  # counted from 1


def parse_formula(text: str | int | float, symbols: Mapping[str, sp.Expr], where: str) -> sp.Expr:
    """The expression that `text` writes, over the names of `symbols` (name -> what it stands for).

    `where` opens every error: the file, the entry and the field.

    Raises:
        UserError: outside the language or its limits; the message has the column and what is allowed.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UserError(f"{where}: a formula is a text, not {type(text).__name__} ({_short(str(text))})")
    parser = _Parser(str(text), symbols, where)
    try:
        return parser.parse()
    except (ArithmeticError, NotImplementedError, RecursionError, TypeError) as error:
        # SymPy's own limits, on numbers that pass ours: 1/log(1 - 1e-30) divides by a rounded zero.
        parser.refuse(f"cannot be computed ({type(error).__name__})", parser.token.column)


def parse_bound(text: str | int | float, where: str, symbols: Mapping[str, sp.Expr] | None = None) -> sp.Expr:
    """One end of a domain: `oo`, `-oo` or a formula over the numbers `symbols`. Raises UserError."""
    stripped = str(text).strip().removeprefix("+")
    if stripped in ("oo", "-oo"):
        return sp.oo if stripped == "oo" else -sp.oo
    return parse_formula(text, symbols or {}, where)


class _Parser:
    """Recursive descent over the tokens; `depth` counts open brackets, signs and powers."""

    def __init__(self, text: str, symbols: Mapping[str, sp.Expr], where: str) -> None:
        self.symbols, self.where = symbols, where
        self.position = self.depth = 0
        if len(text) > MAX_LENGTH:
            self.refuse(
                f"formula of {len(text)} characters; at most {MAX_LENGTH} are allowed", MAX_LENGTH + 1
            )
        self.tokens = self._tokens(text)

    def _tokens(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        column = 0
        while column < len(text):
            match = _TOKEN.match(text, column)
            if match is not None:
                tokens.append(_Token(match.lastgroup, match.group(), column + 1))  # type: ignore[arg-type]
                column = match.end()
            elif text[column] in " \t\r\n":
                column += 1
            elif text[column] == "^":
                self.refuse("'^' is not an operator; a power is written **", column + 1)
            else:
                self.refuse(f"character {_short(text[column])} is not part of a formula", column + 1)
        tokens.append(_Token("end", "", len(text) + 1))
        return tokens

    def parse(self) -> sp.Expr:
        result = self.expression()
        if self.token.kind != "end":
            self.refuse(f"{_short(self.token.text)} cannot follow here", self.token.column)
        return result

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def accept(self, *operators: str) -> _Token | None:
        """The current token, passed over, if it is one of `operators`."""
        token = self.token
        if token.kind != "operator" or token.text not in operators:
            return None
        self.position += 1
        return token

    def expression(self) -> sp.Expr:
        result = self.product()
        while (operator := self.accept("+", "-")) is not None:
            right = self.product()
            result = self.bounded(result + right if operator.text == "+" else result - right, operator)
        return result

    def product(self) -> sp.Expr:
        result = self.factor()
        while (operator := self.accept("*", "/")) is not None:
            right = self.factor()
            if operator.text == "/" and right.is_zero:
                self.refuse("division by zero", operator.column)
            result = self.bounded(result * right if operator.text == "*" else result / right, operator)
        return result

    def factor(self) -> sp.Expr:
        sign = self.accept("-", "+")
        if sign is not None:
            self.enter(sign)
            inner = self.factor()
            self.depth -= 1
            return -inner if sign.text == "-" else inner
        base = self.atom()
        operator = self.accept("**")
        if operator is None:
            return base
        self.enter(operator)
        exponent = self.factor()
        self.depth -= 1
        if exponent.is_number and not abs(exponent.evalf(8)) <= MAX_EXPONENT:
            self.refuse(f"exponent beyond {MAX_EXPONENT}", operator.column)
        if base.is_zero and not exponent.is_positive:
            self.refuse("division by zero", operator.column)
        if base.is_Rational and exponent.is_number and _bits(base) * abs(float(exponent)) > MAX_BITS:
            self.refuse("number too large", operator.column)
        return self.bounded(base**exponent, operator)

    def atom(self) -> sp.Expr:
        token = self.token
        self.position += token.kind != "end"
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name":
            return self.name(token)
        if token.text != "(":
            found = "the formula ends" if token.kind == "end" else f"{_short(token.text)} stands"
            self.refuse(f"{found} where a number, a name or '(' belongs", token.column)
        return self.bracket(token)

    def number(self, token: _Token) -> sp.Expr:
        # Before the exact fraction is made: Rational("1e999999999") would never return.
        if len(token.text) > 32 or not (
            float(token.text) == 0 or SMALLEST <= float(token.text) <= MAX_MAGNITUDE
        ):
            self.refuse(f"number {_short(token.text)} too long, too large or too small", token.column)
        return self.bounded(sp.Rational(token.text), token)

    def name(self, token: _Token) -> sp.Expr:
        if token.text in self.symbols:
            return self.symbols[token.text]
        if token.text in CONSTANTS:
            return CONSTANTS[token.text]
        if token.text not in FUNCTIONS:
            self.refuse(f"unknown name {_short(token.text)}", token.column)
        bracket = self.accept("(")
        if bracket is None:
            self.refuse(f"'(' must follow the function {token.text}", token.column + len(token.text))
        argument = self.bracket(bracket)
        if token.text == "log" and argument.is_zero:
            self.refuse("log of zero", token.column)
        if token.text in ("sigmoid", "softplus") and argument.is_number:
            self.bounded(sp.exp(abs(argument)), token)
        if token.text in ("abs", "sign") and not argument.is_number:
            # Evaluating it may expand a deep argument without end.
            return FUNCTIONS[token.text](argument, evaluate=False)
        return self.bounded(FUNCTIONS[token.text](argument), token)

    def bracket(self, opened: _Token) -> sp.Expr:
        self.enter(opened)
        inner = self.expression()
        if self.accept(")") is None:
            self.refuse(f"the '(' of column {opened.column} is not closed", self.token.column)
        self.depth -= 1
        return inner

    def enter(self, token: _Token) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH}", token.column)

    def bounded(self, value: sp.Expr, token: _Token) -> sp.Expr:
        """`value`, unless it is a number that is not real, not finite or too large to compute with."""
        if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
            self.refuse("not a finite real number", token.column)
        if value.is_Rational and _bits(value) > MAX_BITS:
            self.refuse("number too large", token.column)
        if value.is_number:
            number = value.evalf(8)
            if not (number.is_real and number.is_finite and abs(number) <= MAX_MAGNITUDE):
                self.refuse("not a real number, or too large", token.column)
            if 0 < abs(number) < SMALLEST:
                self.refuse("number too close to zero", token.column)
        return value

    def refuse(self, problem: str, column: int) -> NoReturn:
        names = ", ".join([*sorted(self.symbols), *CONSTANTS])
        raise UserError(
            f"{self.where}: column {column}: {problem}; allowed: numbers, {names}, + - * / ** ( ) "
            f"and {', '.join(FUNCTIONS)}"
        )


def _bits(value: sp.Expr) -> int:
    return max(int(value.p).bit_length(), int(value.q).bit_length())


def _short(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:21] + "...")
