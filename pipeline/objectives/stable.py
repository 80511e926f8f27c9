"""Rewriting a formula so that float32 computes its value *and its gradient* to full relative accuracy.

Vanishing gradients are what the study measures, so they must not be rounding: `log(1/(1 + exp(-v)))` in
float32 has gradient 0 from v = 17 on, where the true one is 4e-8. The same function written
`-softplus(-v)` is accurate everywhere. The rewriting brings every

- logarithm to `log|c| + linear + k softplus(y)`,
- quotient with a denominator `a exp(y) + b exp(z)` to exponentials and `sigmoid`,
- sum to the choice of `softplus(y) = y + softplus(-y)` that leaves the smallest linear part,
- polynomial to factors, so that `t**2/2 - t + 1/2` is `(t - 1)**2/2` and exact near its zero.

Functions of a positive variable r are rewritten as functions of log r and brought back.
"""

import math
from itertools import product
from typing import Any, Final

import sympy as sp

_MAX_ROOT: Final = 12  # of r, the highest whose powers are factored
_MAX_ATOMS: Final = 6  # softplus terms whose signs are tried: 2**6 choices


class softplus(sp.Function):  # type: ignore[misc]  # noqa: N801 - named as mathematics, like SymPy's own
    """log(1 + exp(x)), kept as one symbol so that no simplification opens it again."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))


class sigmoid(sp.Function):  # type: ignore[misc]  # noqa: N801
    """1/(1 + exp(-x)); its derivative is sigmoid(x) sigmoid(-x), never y (1 - y), which cancels."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0]) * sigmoid(-self.args[0])

    def _eval_rewrite_as_exp(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))


class relu(sp.Function):  # type: ignore[misc]  # noqa: N801
    """max(0, x); its derivative is (1 + sign(x))/2, 1/2 at the kink."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        if x.is_number:
            return sp.Max(x, 0)
        return x if x.is_nonnegative else sp.Integer(0) if x.is_nonpositive else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return (1 + sp.sign(self.args[0])) / 2


class wright_omega(sp.Function):  # type: ignore[misc]  # noqa: N801
    """w(x) with w + log(w) = x, the Lambert W of exp(x), which itself would overflow."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """w(y + exp(y)) = exp(y)."""
        for term in sp.Add.make_args(x):
            if isinstance(term, sp.exp) and sp.expand(x - term - term.args[0]) == 0:
                return term
        return sp.Integer(1) if x == 1 else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self / (1 + self)

    def _eval_is_positive(self) -> bool:
        return True


def opened(expression: sp.Expr) -> sp.Expr:
    """The same expression in exp and log alone."""
    return expression.replace(softplus, lambda x: sp.log(1 + sp.exp(x))).replace(
        sigmoid, lambda x: 1 / (1 + sp.exp(-x))
    )


def stable_form(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """An equal expression in the real symbol `x` that does not cancel; unchanged where no rule applies."""
    expression = opened(expression)
    if not expression.has(x):
        return expression
    if expression.is_polynomial(x):
        return sp.factor(expression)
    if expression.has(sp.Integral):
        return expression
    expression = expression.replace(sp.log, _stable_log)
    if _has_exponential_quotient(expression, x):
        expression = _stable_quotients(expression)
    if not expression.has(softplus, sigmoid):
        expression = _distributed(expression)
    return _stable_sum(_expanded_exponentials(expression, x), x)


def stable_form_positive(expression: sp.Expr, r: sp.Symbol) -> sp.Expr:
    """As `stable_form` for a symbol r > 0: the rules see exp(x) where `expression` has r."""
    if expression.is_rational_function(r):
        return sp.factor(expression)
    if expression.has(sp.Integral, sp.Abs, sp.sign):
        return expression
    if not expression.has(sp.log):
        return _factored_roots(expression, r)
    x = sp.Symbol("x", real=True)
    inner = stable_form(expression.subs(r, sp.exp(x)), x)
    inner = inner.replace(softplus, lambda y: sp.log(1 + sp.exp(y)))
    closed = opened(inner).subs(x, sp.log(r))
    return min(closed, sp.expand(closed), key=sp.count_ops)


def _factored_roots(expression: sp.Expr, r: sp.Symbol) -> sp.Expr:
    """Fractional powers of r as powers of one root, factored: r - 2 sqrt(r) + 1 is (sqrt(r) - 1)**2."""
    exponents = [power.exp for power in expression.atoms(sp.Pow) if power.base == r]
    if not all(exponent.is_Rational for exponent in exponents):
        return expression
    root = sp.Dummy("root", positive=True)
    degree = math.lcm(*(int(exponent.q) for exponent in exponents))
    polynomial = expression.subs(r, root**degree)
    if degree > _MAX_ROOT or not polynomial.is_rational_function(root):
        return expression
    return sp.factor(polynomial).subs(root, r ** sp.Rational(1, degree))


def _stable_log(argument: sp.Expr) -> sp.Expr:
    """log of a product of powers of exponential sums, as a sum of softplus and linear terms."""
    total = sp.Integer(0)
    sign = 1
    for factor in _pair_factors(argument):
        base, power = factor.as_base_exp()
        if base == sp.E:
            total += power
            continue
        if base.is_negative and power.is_odd:
            base, sign = -base, -sign
        pair = _exponential_pair(base)
        if pair is None:
            if base.has(sp.exp):
                return sp.log(argument)  # a part with no rule: opening the rest could make it overflow
            total += power * sp.log(base)
        else:
            (a, y), (b, z) = pair
            total += power * (sp.log(a) + y + softplus(z - y + sp.log(b / a)))
    return total if sign > 0 else sp.log(argument)


def _pair_factors(expression: sp.Expr) -> list[sp.Expr]:
    """The factors of the expression over one denominator; a sum of two exponentials stays whole.

    Factored further, 1 + exp(3 t) would be (1 + exp(t)) (1 - exp(t) + exp(2 t)), which no rule knows.
    """
    factors: list[sp.Expr] = []
    for factor in sp.Mul.make_args(sp.together(expression)):
        base, _ = factor.as_base_exp()
        whole = base == sp.E or _exponential_pair(base) is not None
        factors += [factor] if whole else sp.Mul.make_args(sp.factor(factor))
    return factors


def _exponential_pair(expression: sp.Expr) -> tuple[tuple[sp.Expr, sp.Expr], ...] | None:
    """`(a, y), (b, z)` when the expression is a exp(y) + b exp(z) with numbers a, b > 0, else None."""
    if not (expression.is_Add and len(expression.args) == 2):
        return None
    terms = []
    for term in sorted(expression.args, key=lambda one: (one.has(sp.exp), sp.default_sort_key(one))):
        number, rest = term.as_coeff_Mul()
        constant, rest = rest.as_independent(*rest.free_symbols) if rest.free_symbols else (rest, sp.S.One)
        base, power = rest.as_base_exp()
        if (rest != 1 and base != sp.E) or not (number * constant).is_positive:
            return None
        terms.append((number * constant, power if rest != 1 else sp.Integer(0)))
    return tuple(terms)


def _has_exponential_quotient(expression: sp.Expr, x: sp.Symbol) -> bool:
    return any(
        power.exp.is_negative and power.base.is_Add and power.base.has(sp.exp) and power.base.has(x)
        for power in expression.atoms(sp.Pow)
    )


def _stable_quotients(expression: sp.Expr) -> sp.Expr:
    """Every quotient by a sum of two exponentials as a product of sigmoids and exponentials.

    Over one common denominator if that leaves a plain product, else term by term.
    """
    whole = _stable_quotient(expression)
    if not expression.is_Add or not any(_mixes_exponentials(one) for one in sp.Mul.make_args(whole)):
        return whole
    return sp.Add(*(_stable_quotient(term) for term in expression.args))


def _mixes_exponentials(factor: sp.Expr) -> bool:
    base, _ = factor.as_base_exp()
    return bool(base.is_Add and base.has(sp.exp))


def _stable_quotient(expression: sp.Expr) -> sp.Expr:
    result = sp.Integer(1)
    for factor in _pair_factors(expression):
        base, power = factor.as_base_exp()
        pair = _exponential_pair(base) if power.is_negative else None
        if pair is None:
            result *= factor
            continue
        (a, y), (b, z) = pair
        gap = z - y + sp.log(b / a)  # base = a exp(y) (1 + exp(gap)) and 1/(1 + exp(gap)) = sigmoid(-gap)
        result *= (a * sp.exp(y)) ** power * sigmoid(-gap) ** (-power)
    return _absorb_exponentials(sp.powsimp(sp.expand_power_base(result)))


def _absorb_exponentials(expression: sp.Expr) -> sp.Expr:
    """exp(y) sigmoid(-y) = sigmoid(y): a growing factor against a vanishing one, as one bounded factor."""
    powers = expression.as_powers_dict()
    for atom in sorted(expression.atoms(sigmoid), key=sp.default_sort_key):
        power = powers.get(atom, sp.Integer(0))
        if not (power.is_Rational and power > 0):
            continue
        y = -atom.args[0]
        candidates = [expression]
        for left in range(sp.ceiling(power)):  # the sigmoid's power that stays beside the exponential
            used = power - left
            candidates.append(sp.powsimp(expression / atom**used * sp.exp(-used * y)) * sigmoid(y) ** used)
        best = min(candidates, key=_growth)
        if best is not expression:
            return best
    return expression


def _growth(expression: sp.Expr) -> float:
    """How fast the exponentials of one symbol grow or fall, in all."""
    exponents = [atom.args[0] for atom in expression.atoms(sp.exp)]
    return sum(abs(float(sp.diff(one, x).subs(x, 1))) for one in exponents for x in one.free_symbols)


def _expanded_exponentials(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """A polynomial in exponentials of x as a sum of them, where that is shorter: its terms then meet."""
    atoms = [atom for atom in expression.atoms(sp.exp) if atom.has(x)]
    if not atoms or not expression.is_polynomial(*atoms):
        return expression
    expanded = sp.powsimp(sp.expand(expression))
    return min(expression, expanded, key=sp.count_ops)


def _distributed(expression: sp.Expr) -> sp.Expr:
    """exp(v) (exp(-v) - 1) = 1 - exp(v): as a product its gradient would be the difference of large terms."""
    factors = [one for one in sp.Mul.make_args(expression) if one.is_Add]
    others = [one for one in sp.Mul.make_args(expression) if not one.is_Add]
    if len(factors) == 1 and any(one.as_base_exp()[0] == sp.E for one in others):
        return sp.powsimp(sp.expand_mul(expression))
    return expression


def _stable_sum(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """The sum with, for every common factor g, the flips of g softplus(y) that minimise its linear part."""
    if not expression.has(softplus):
        return expression
    groups: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(expression)):
        core = sp.Integer(1)
        for factor in sp.Mul.make_args(term):
            if factor == x or isinstance(factor, softplus):
                core *= factor
        number, outer = (term / core).as_coeff_Mul()
        groups[outer] = groups.get(outer, sp.Integer(0)) + number * core
    return sp.Add(*(outer * _least_linear(inner, x) for outer, inner in groups.items()))


def _least_linear(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """Of all flips softplus(y) -> y + softplus(-y): the fewest terms outside softplus, the simplest form."""
    atoms = sorted(expression.atoms(softplus), key=sp.default_sort_key)
    if not atoms or len(atoms) > _MAX_ATOMS:
        return expression
    choices: list[tuple[float, int, int, sp.Expr]] = []
    for flips in product((False, True), repeat=len(atoms)):
        swap = {
            atom: atom.args[0] + softplus(-atom.args[0])
            for atom, flip in zip(atoms, flips, strict=True)
            if flip
        }
        choice = sp.expand(expression.xreplace(swap))
        outside = choice.xreplace(dict.fromkeys(choice.atoms(softplus), sp.Integer(0)))
        weight = sum(abs(float(c)) for c in sp.Poly(outside, x).coeffs()) if outside.has(x) else 0.0
        choices.append((weight, sum(flips), len(choices), choice))
    return min(choices)[-1]
