"""The families of objectives: each a function from the formulas of an entry to an `Objective`.

A family's keyword arguments are the keys an entry of objectives.yaml may have. Adding a family is one
function here and its name in `CONSTRUCTIONS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sympy as sp

from pipeline.errors import UserError
from pipeline.objectives.formula import RESERVED, parse_bound, parse_formula
from pipeline.objectives.formulas import Domain, Formulas, R, U, V, tidy, without_integrals
from pipeline.objectives.objective import Objective
from pipeline.objectives.solving import antiderivative, below_zero, inverse, range_of

Text = str | int | float
Bounds = tuple[Text, Text] | list[Text]


@dataclass(frozen=True)
class _Entry:
    """One entry's name, place and parameters: reads its formulas with errors that name the field."""

    name: str
    where: str
    parameters: Mapping[str, sp.Expr]

    @classmethod
    def read(cls, name: str, where: str, parameters: Mapping[str, Text] | None) -> "_Entry":
        place = f"{where}: {name}" if where else name
        given = {} if parameters is None else parameters
        if not isinstance(given, Mapping):
            raise UserError(f"{place}.parameters: a mapping from names to numbers is expected")
        values = {}
        for key, value in given.items():
            if not (isinstance(key, str) and key.isidentifier()) or key in RESERVED:
                raise UserError(f"{place}.parameters: {key!r} cannot be a parameter's name; it is taken")
            values[key] = parse_formula(value, {}, f"{place}.parameters.{key}")
        return cls(name, where, values)

    def field(self, name: str) -> str:
        return f"{self.where}: {self.name}.{name}" if self.where else f"{self.name}.{name}"

    def formula(self, field: str, text: Text, symbol: sp.Symbol) -> sp.Expr:
        return parse_formula(text, {symbol.name: symbol, **self.parameters}, self.field(field))

    def domain(self, bounds: Bounds) -> Domain:
        where = self.field("domain")
        if isinstance(bounds, str) or not isinstance(bounds, list | tuple) or len(bounds) != 2:
            raise UserError(f"{where}: two bounds are expected, as in [-oo, oo]")
        low, high = (parse_bound(b, f"{where} (a number, oo or -oo)", self.parameters) for b in bounds)
        if not bool(low < high):
            raise UserError(f"{where}: the lower bound {low} is not below the upper bound {high}")
        return Domain(low, high)

    def build(
        self, construction: str, title: str, citation: str, spec: Mapping[str, Any], **more: Any
    ) -> Objective:
        return Objective(
            name=self.name,
            construction=construction,
            title=title or self.name.replace("_", " ").capitalize(),
            citation=citation,
            spec={
                "construction": construction,
                **{key: value for key, value in spec.items() if value is not None and value != ""},
                "citation": citation,
            },
            where=self.where,
            **more,
        )


def likelihood_ratio(
    name: str,
    *,
    omega: Text,
    rho: Text,
    citation: str,
    beta: Text | None = None,
    alpha: Text | None = None,
    domain: Bounds = ("-oo", "oo"),
    activation: Text | None = None,
    parameters: Mapping[str, Text] | None = None,
    title: str = "",
    where: str = "",
) -> Objective:
    """From omega(r) and rho(t): `psi' = rho`, `phi' = -omega^-1(t) rho(t)`, so that omega(q/p) is optimal.

    The second derivative at the optimum is `-rho(omega) / omega'`, so rho and omega' must have one sign: both
    positive is the paper's case (critic high on fake), both negative its label swap (high on real). The
    integration constants make the supremum of phi and of psi 0 where it is finite, as in `-log(1 + exp(t))`.
    beta defaults to psi; alpha to phi when beta is psi, else to 0.

    Basioti & Moustakides 2020, "Designing GANs: A Likelihood Ratio Approach", arXiv 2002.00865.

    Raises:
        UserError: a formula outside the language, no closed-form inverse of omega, or a failed check.
    """
    entry = _Entry.read(name, where, parameters)
    omega_set = entry.domain(domain)
    t = omega_set.symbol
    best = entry.formula("omega", omega, R)
    slope = entry.formula("rho", rho, t)
    ratio = inverse(best, R, t, entry.field("omega"))
    start = best.subs(R, 1)
    phi = below_zero(antiderivative(-ratio * slope, t, start), t, omega_set)
    psi = below_zero(antiderivative(slope, t, start), t, omega_set)
    own_beta = psi if beta is None else entry.formula("beta", beta, t)
    default_alpha = phi if beta is None else sp.Integer(0)
    formulas = Formulas(
        domain=omega_set,
        activation=_activation(entry, activation, omega_set),
        phi=phi,
        psi=psi,
        beta=own_beta,
        alpha=default_alpha if alpha is None else entry.formula("alpha", alpha, t),
        omega=best,
        omega_inverse=ratio,
    )
    spec = {
        "title": title, "parameters": dict(parameters) if parameters else None, "omega": omega, "rho": rho,
        "alpha": alpha, "beta": beta, "domain": list(domain), "activation": activation,
    }  # fmt: skip
    return entry.build("likelihood_ratio", title, citation, spec, formulas=formulas)


def f_divergence(
    name: str,
    *,
    f: Text,
    citation: str,
    beta: Text | None = None,
    alpha: Text | None = None,
    domain: Bounds | None = None,
    activation: Text | None = None,
    parameters: Mapping[str, Text] | None = None,
    title: str = "",
    where: str = "",
) -> Objective:
    """From a convex f(u), u = p/q: `D_f = int q f(p/q)`, over t in the domain of the conjugate f*.

    `phi(t) = t`, `psi(t) = -f*(t)` with `f*(t) = u* t - f(u*)`, `f'(u*) = t`, so that `f*' = u*`;
    `omega(r) = f'(1/r)` and `d(r) = r f(1/r)`. A constant is subtracted from f so that f(1) = 0. The domain
    defaults to the range of f', the activation to an increasing map of R onto it.

    Nowozin, Cseke & Tomioka 2016, "f-GAN", arXiv 1606.00709.

    Raises:
        UserError: a formula outside the language, no closed-form inverse of f', or a failed check.
    """
    entry = _Entry.read(name, where, parameters)
    raw = entry.formula("f", f, U)
    convex = raw - raw.subs(U, 1)
    slope = sp.diff(convex, U)
    omega_set = range_of(slope, entry.field("f")) if domain is None else entry.domain(domain)
    t = omega_set.symbol
    u_star = inverse(slope, U, t, entry.field("f"))
    # f*' = u*, and the constant from u = 1: f*(f'(1)) = f'(1) - f(1).
    start = slope.subs(U, 1)
    rising = antiderivative(u_star, t, start)
    f_star = tidy(rising + start - without_integrals(rising.subs(t, start)), t)
    psi = -f_star
    own_beta = psi if beta is None else entry.formula("beta", beta, t)
    default_alpha = t if beta is None else sp.Integer(0)
    formulas = Formulas(
        domain=omega_set,
        activation=_activation(entry, activation, omega_set),
        phi=t,
        psi=psi,
        beta=own_beta,
        alpha=default_alpha if alpha is None else entry.formula("alpha", alpha, t),
        omega=slope.subs(U, 1 / R),
        omega_inverse=sp.cancel(1 / u_star),
        f=convex,
        f_star=f_star,
        d=R * convex.subs(U, 1 / R) if alpha is None and beta is None else None,
    )
    spec = {
        "title": title, "parameters": dict(parameters) if parameters else None, "f": f, "alpha": alpha,
        "beta": beta, "domain": None if domain is None else list(domain), "activation": activation,
    }  # fmt: skip
    return entry.build("f_divergence", title, citation, spec, formulas=formulas)


def integral_probability_metric(name: str, *, citation: str, title: str = "", where: str = "") -> Objective:
    """`phi(t) = t`, `psi(t) = -t`: the largest gap of means over 1-Lipschitz critics, the distance W1.

    Without a bound on the critic's slope the gap is infinite: `needs_lipschitz` is set, and training asks for
    a penalty or clipping. There is no omega and no d: the optimum is not a function of q/p at a point.

    Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", arXiv 1701.07875.
    """
    entry = _Entry.read(name, where, None)
    line = Domain(-sp.oo, sp.oo)
    t = line.symbol
    formulas = Formulas(domain=line, activation=V, phi=t, psi=-t, beta=-t, alpha=t)
    return entry.build(
        "integral_probability_metric",
        title,
        citation,
        {"title": title},
        formulas=formulas,
        needs_lipschitz=True,
    )


CONSTRUCTIONS: Final[Mapping[str, Callable[..., Objective]]] = {
    "likelihood_ratio": likelihood_ratio,
    "f_divergence": f_divergence,
    "integral_probability_metric": integral_probability_metric,
}


def _activation(entry: _Entry, text: Text | None, domain: Domain) -> sp.Expr:
    return domain.default_activation if text is None else entry.formula("activation", text, V)
