"""The families of objectives: each a function from the formulas of an entry to an `Objective`.

A family's keyword arguments are the keys an entry of objectives.yaml may have. Those that derive phi and psi
stand here, those that take them as given in `given`. Adding a family is one function and its name in
`CONSTRUCTIONS`.
"""

from collections.abc import Callable, Mapping
from typing import Final

import sympy as sp

from pipeline.errors import UserError
from pipeline.objectives.entry import Bounds, Entry, Text
from pipeline.objectives.formulas import (
    Domain,
    Formulas,
    R,
    U,
    simplified_on,
    tidy,
    without_integrals,
)
from pipeline.objectives.given import direct, integral_probability_metric, paired
from pipeline.objectives.objective import Objective
from pipeline.objectives.solving import (
    antiderivative,
    below_zero,
    conjugate,
    inverse,
    kink,
    opened_logs,
    range_of,
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
    entry = Entry.read(name, where, parameters)
    omega_set = entry.domain(domain)
    t = omega_set.symbol
    best = entry.formula("omega", omega, R)
    slope = entry.formula("rho", rho, t)
    ratio = inverse(best, R, t, entry.field("omega"))
    start = best.subs(R, 1)
    gain = -ratio * slope
    if gain.is_rational_function(t):
        gain = sp.factor(sp.cancel(gain))  # (1 - t)/(1 + t) (1 + t) has no value at t = -1
    phi, psi = (
        simplified_on(below_zero(antiderivative(one, omega_set, start), t, omega_set), omega_set)
        for one in (gain, slope)
    )
    own_beta = psi if beta is None else entry.formula("beta", beta, t)
    default_alpha = phi if beta is None else sp.Integer(0)
    formulas = Formulas(
        domain=omega_set,
        activation=entry.activation(activation, omega_set),
        phi=phi,
        psi=psi,
        beta=own_beta,
        alpha=default_alpha if alpha is None else entry.formula("alpha", alpha, t),
        alpha_given=alpha is not None,
        omega=best,
        omega_inverse=ratio,
        phi_slope=gain,
        psi_slope=slope,
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
    defaults to the range of f', the activation to an increasing map of R onto it. A piecewise linear f may
    have one kink, at u0: then `f*(t) = u0 t - f(u0)` between the two slopes, and omega is a step.

    Nowozin, Cseke & Tomioka 2016, "f-GAN", arXiv 1606.00709.

    Raises:
        UserError: a formula outside the language, no closed-form inverse of f', or a failed check.
    """
    entry = Entry.read(name, where, parameters)
    raw = entry.formula("f", f, U)
    convex = raw - raw.subs(U, 1)
    slope = sp.diff(convex, U)
    edge = kink(slope)
    if edge is None and slope.has(sp.sign):
        raise UserError(f"{entry.field('f')}: one kink is allowed, between two straight lines")
    if edge is not None:
        place, omega_set = edge
        t = omega_set.symbol
        best = _step(place, omega_set)
        u_star, f_star = None, sp.expand(place * t - convex.subs(U, place))
        composed = sp.expand_mul((omega_set.high - omega_set.low) / 2) * sp.Abs(1 - place * R)
        total = composed + (omega_set.low + omega_set.high) / 2 * (1 - place * R) + R * convex.subs(U, place)
    else:
        omega_set = range_of(slope, entry.field("f")) if domain is None else entry.domain(domain)
        t = omega_set.symbol
        best = tidy(slope.subs(U, 1 / R), R)
        u_star = inverse(slope, U, t, entry.field("f"))
        f_star = _conjugate(convex, u_star, slope.subs(U, 1), omega_set)
        total = R * convex.subs(U, 1 / R)
    psi = -f_star
    own_beta = psi if beta is None else entry.formula("beta", beta, t)
    default_alpha = t if beta is None else sp.Integer(0)
    formulas = Formulas(
        domain=omega_set,
        activation=entry.activation(activation, omega_set),
        phi=t,
        psi=psi,
        beta=own_beta,
        alpha=default_alpha if alpha is None else entry.formula("alpha", alpha, t),
        alpha_given=alpha is not None,
        omega=best,
        omega_inverse=None if u_star is None else simplified_on(sp.factor(sp.cancel(1 / u_star)), omega_set),
        psi_slope=None if u_star is None else -u_star,
        f=convex,
        f_star=f_star,
        d=total if alpha is None and beta is None else None,
    )
    spec = {
        "title": title, "parameters": dict(parameters) if parameters else None, "f": f, "alpha": alpha,
        "beta": beta, "domain": None if domain is None else list(domain), "activation": activation,
    }  # fmt: skip
    return entry.build("f_divergence", title, citation, spec, formulas=formulas)


def _step(place: sp.Expr, omega_set: Domain) -> sp.Expr:
    """omega(r) = f'(1/r) for f with slopes low and high to the two sides of u = `place`."""
    middle, half = (omega_set.high + omega_set.low) / 2, (omega_set.high - omega_set.low) / 2
    return middle + half * sp.sign(1 - place * R)


def _conjugate(convex: sp.Expr, u_star: sp.Expr, start: sp.Expr, omega_set: Domain) -> sp.Expr:
    """f* from f*' = u*, with the constant from u = 1: f*(f'(1)) = f'(1) - f(1)."""
    t = omega_set.symbol
    rising = antiderivative(u_star, omega_set, start)
    if rising.has(sp.Integral):
        return conjugate(convex, u_star, t)
    constant = start - without_integrals(rising.subs(t, start))
    return simplified_on(tidy(opened_logs(rising + constant), t), omega_set)


CONSTRUCTIONS: Final[Mapping[str, Callable[..., Objective]]] = {
    "likelihood_ratio": likelihood_ratio,
    "f_divergence": f_divergence,
    "direct": direct,
    "integral_probability_metric": integral_probability_metric,
    "paired": paired,
}
