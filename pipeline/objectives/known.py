"""The known divergences of p and q as functions of r = q/p, and the alpha families of p, q and their mean.

`D_f = int q f(p/q) = int p K(q/p)` with `K(r) = r f(1/r)`; m = (p + q)/2, so m/p = (1 + r)/2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import sympy as sp

from pipeline.objectives.formulas import R
from pipeline.objectives.printing import to_text, to_typst


@dataclass(frozen=True)
class Known:
    """A divergence: its name, its notation, its definition in words and K(r), with K(1) = 0."""

    name: str
    title: str
    text: str
    typst: str
    definition: str
    formula: sp.Expr

    @cached_property
    def second(self) -> sp.Expr:
        """K''(r)."""
        return sp.factor(sp.diff(self.formula, R, 2))


Exponents = tuple[sp.Expr, sp.Expr]

_M: Final = (1 + R) / 2
_MIX, _MIX_TYPST = "(p + q)/2", "(p + q)\\/2"

# By the exponents (a, b) of K'' = scale r**a (1 + r)**b.
# fmt: off
POWERS: Final[Mapping[Exponents, Known]] = {(sp.sympify(a), sp.sympify(b)): known for (a, b), known in {
    (-2, 0): Known("kl", "Kullback-Leibler", "KL(p || q)", 'op("KL")(p || q)', "int p log(p/q)", -sp.log(R)),
    (-1, 0): Known("reverse_kl", "Reverse Kullback-Leibler", "KL(q || p)", 'op("KL")(q || p)',
                   "int q log(q/p)", R * sp.log(R)),
    (-3, 0): Known("pearson_chi2", "Pearson chi-squared", "chi2(p || q)", "chi^2 (p || q)",
                   "int (p - q)^2/q", (R - 1) ** 2 / R),
    (0, 0): Known("neyman_chi2", "Neyman chi-squared", "chi2(q || p)", "chi^2 (q || p)",
                  "int (p - q)^2/p", (R - 1) ** 2),
    (sp.Rational(-3, 2), 0): Known("squared_hellinger", "Squared Hellinger", "H2(p, q)", "H^2 (p, q)",
                                   "int (sqrt(p) - sqrt(q))^2", (1 - sp.sqrt(R)) ** 2),
    (-2, 1): Known("jeffrey", "Jeffreys", "J(p, q)", "J(p, q)", "KL(p || q) + KL(q || p)",
                   (R - 1) * sp.log(R)),
    (-1, -1): Known("jensen_shannon", "Jensen-Shannon", "JSD(p, q)", 'op("JSD")(p, q)',
                    "1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q)/2",
                    (R * sp.log(R) - (1 + R) * sp.log(_M)) / 2),
    (0, -2): Known("kl_to_mixture", "Kullback-Leibler of p from the mixture", f"KL(p || {_MIX})",
                   f'op("KL")(p || {_MIX_TYPST})', "int p log(p/m), m = (p + q)/2", -sp.log(_M)),
    (-1, -2): Known("reverse_kl_to_mixture", "Kullback-Leibler of q from the mixture", f"KL(q || {_MIX})",
                    f'op("KL")(q || {_MIX_TYPST})', "int q log(q/m), m = (p + q)/2", R * sp.log(R / _M)),
    # KL(q || p) - 2 JSD(p, q): Arjovsky & Bottou 2017, theorem 2.5.
    (0, -1): Known("mixture_kl_to_p", "Kullback-Leibler of the mixture from p", f"KL({_MIX} || p)",
                   f'op("KL")({_MIX_TYPST} || p)',
                   "int m log(m/p) = 1/2 KL(q || p) - JSD(p, q), m = (p + q)/2", _M * sp.log(_M)),
    (-2, -1): Known("mixture_kl_to_q", "Kullback-Leibler of the mixture from q", f"KL({_MIX} || q)",
                    f'op("KL")({_MIX_TYPST} || q)',
                    "int m log(m/q) = 1/2 KL(p || q) - JSD(p, q), m = (p + q)/2", _M * sp.log(_M / R)),
    # Mao et al. 2017, eq. 8 writes it as Pearson's between p + q and 2q.
    (0, -3): Known("triangular", "Triangular (Pearson chi-squared between p + q and 2q)",
                   "chi2(2q || p + q)", "chi^2 (2 q || p + q)", "int (p - q)^2/(p + q)",
                   (R - 1) ** 2 / (1 + R)),
}.items()}
TOTAL_VARIATION: Final = Known("total_variation", "Total variation", "TV(p, q)", 'op("TV")(p, q)',
                               "1/2 int |p - q|", sp.Abs(R - 1) / 2)
# fmt: on


def by_exponents(a: sp.Expr, b: sp.Expr) -> Known | None:
    """The divergence with K''(r) proportional to r**a (1 + r)**b, or None where it has no name.

    b = 0 is the alpha family (Cressie & Read 1984; Amari 1985) between p and q, a = 0 that between p and m,
    a + b = -3 that between q and m.
    """
    if (a, b) in POWERS:
        return POWERS[a, b]
    if b == 0:
        return _alpha("alpha", -a - 1, 1 / R, R, ("p", "q", "p || q", "p || q"))
    if a == 0:
        words = ("p", "m", f"p || {_MIX}", f"p || {_MIX_TYPST}")
        return _alpha("alpha_to_mixture", -b - 1, 1 / _M, _M, words)
    if a + b == -3:
        words = ("q", "m", f"q || {_MIX}", f"q || {_MIX_TYPST}")
        return _alpha("reverse_alpha_to_mixture", -b - 1, R / _M, _M, words)
    return None


def _alpha(
    name: str, alpha: sp.Expr, ratio: sp.Expr, weight: sp.Expr, words: tuple[str, str, str, str]
) -> Known:
    """A_alpha(x || y) = (int x^alpha y^(1 - alpha) - 1)/(alpha (alpha - 1)); `ratio` x/y, `weight` y/p."""
    first, second, text, typst = words
    number = to_text(alpha)
    return Known(
        name,
        f"Alpha, alpha = {number}" + ("" if second == "q" else f", of {first} from the mixture"),
        f"A[{number}]({text})",
        f"A_({to_typst(alpha)})({typst})",
        f"(int {first}^alpha {second}^(1 - alpha) - 1)/(alpha (alpha - 1)), alpha = {number}"
        + ("" if second == "q" else ", m = (p + q)/2"),
        weight * (ratio**alpha - 1 - alpha * (ratio - 1)) / (alpha * (alpha - 1)),
    )
