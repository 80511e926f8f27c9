"""The families of objectives: each a function from the formulas of an entry to an `Objective`.

A family's keyword arguments are the keys an entry of objectives.yaml may have. Adding a family is one
function here and its name in `CONSTRUCTIONS`.
"""

from collections.abc import Callable, Mapping
from typing import Final, get_args

import sympy as sp

from pipeline.errors import UserError
from pipeline.objectives.entry import Bounds, Entry, Text
from pipeline.objectives.formulas import (
    DELTA,
    DISTANCE,
    Domain,
    Formulas,
    R,
    Reference,
    U,
    V,
    simplified_on,
    tidy,
    without_integrals,
)
from pipeline.objectives.objective import Objective
from pipeline.objectives.solving import (
    antiderivative,
    below_zero,
    conjugate,
    derived_omega,
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
    phi, psi = (
        simplified_on(below_zero(antiderivative(one, t, start), t, omega_set), omega_set)
        for one in (-ratio * slope, slope)
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
    defaults to the range of f', the activation to an increasing map of R onto it. A piecewise linear f may have
    one kink, at u0: then `f*(t) = u0 t - f(u0)` between the two slopes, and omega is a step from one to the other.

    Nowozin, Cseke & Tomioka 2016, "f-GAN", arXiv 1606.00709.

    Raises:
        UserError: a formula outside the language, no closed-form inverse of f', or a failed check.
    """
    entry = Entry.read(name, where, parameters)
    raw = entry.formula("f", f, U)
    convex = raw - raw.subs(U, 1)
    slope = sp.diff(convex, U)
    edge = kink(slope)
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
        omega=best,
        omega_inverse=None if u_star is None else sp.cancel(1 / u_star),
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
    rising = antiderivative(u_star, t, start)
    if rising.has(sp.Integral):
        return conjugate(convex, u_star, t)
    constant = start - without_integrals(rising.subs(t, start))
    return simplified_on(tidy(opened_logs(rising + constant), t), omega_set)


def direct(
    name: str,
    *,
    phi: Text,
    psi: Text,
    citation: str,
    beta: Text | None = None,
    alpha: Text | None = None,
    omega: Text | None = None,
    domain: Bounds = ("-oo", "oo"),
    activation: Text | None = None,
    parameters: Mapping[str, Text] | None = None,
    title: str = "",
    where: str = "",
) -> Objective:
    """From phi(t) and psi(t) as they are: omega solves `phi'(t) + r psi'(t) = 0`, `omega^-1 = -phi'/psi'`.

    Where that has no closed form, or phi and psi have kinks, omega may be given; it is checked like a derived
    one. Without omega the objective trains, and has no d. beta defaults to psi; alpha to phi when beta is psi,
    else to 0. The general form of the game: Goodfellow et al. 2014, arXiv 1406.2661; Nowozin, Cseke & Tomioka
    2016, arXiv 1606.00709.

    Raises:
        UserError: a formula outside the language, or a failed check.
    """
    entry = Entry.read(name, where, parameters)
    omega_set = entry.domain(domain)
    t = omega_set.symbol
    gain_real, gain_fake = entry.formula("phi", phi, t), entry.formula("psi", psi, t)
    out = entry.activation(activation, omega_set)
    if omega is None:
        best, ratio = derived_omega(gain_real, gain_fake, t, R, out.subs(V, 0))
    else:
        best = entry.formula("omega", omega, R)
        ratio = None if best.has(sp.sign) else inverse(best, R, t, entry.field("omega"))
    default_alpha = gain_real if beta is None else sp.Integer(0)
    formulas = Formulas(
        domain=omega_set,
        activation=out,
        phi=gain_real,
        psi=gain_fake,
        beta=gain_fake if beta is None else entry.formula("beta", beta, t),
        alpha=default_alpha if alpha is None else entry.formula("alpha", alpha, t),
        omega=best,
        omega_inverse=ratio,
        why_no_omega="" if best is not None else "phi' + r psi' = 0 has no solution in closed form",
    )
    spec = {
        "title": title, "parameters": dict(parameters) if parameters else None, "phi": phi, "psi": psi,
        "omega": omega, "alpha": alpha, "beta": beta, "domain": list(domain), "activation": activation,
    }  # fmt: skip
    return entry.build("direct", title, citation, spec, formulas=formulas)


def paired(
    name: str,
    *,
    phi: Text,
    citation: str,
    beta: Text | None = None,
    reference: Reference = "pair",
    parameters: Mapping[str, Text] | None = None,
    title: str = "",
    where: str = "",
) -> Objective:
    """From phi(delta), `delta = t_real - t_fake`: the critic maximises `E phi(delta)` over pairs of samples.

    With `reference: average` delta is a real output less the fakes' mean, and the reals' mean less a fake one,
    and the two expectations are added. The generator minimises the same with beta (default phi). phi and beta
    may use the pair's `distance` |x_real - x_fake|, as GAN-QP does. A constant added to the critic changes
    nothing, and the optimum is not a function of q/p at a point: there is no omega.

    Jolicoeur-Martineau 2019, arXiv 1807.00734; Su 2018, arXiv 1811.07296.

    Raises:
        UserError: a formula outside the language, an unknown reference, or a failed check.
    """
    entry = Entry.read(name, where, parameters)
    if reference not in get_args(Reference):
        raise UserError(
            f"{entry.field('reference')}: {reference!r}; allowed: {', '.join(get_args(Reference))}"
        )
    gain = entry.formula("phi", phi, DELTA, DISTANCE)
    loss = gain if beta is None else entry.formula("beta", beta, DELTA, DISTANCE)
    if reference == "average" and (gain + loss).has(DISTANCE):
        raise UserError(f"{entry.field('phi')}: a mean has no distance; `distance` needs reference: pair")
    formulas = Formulas(
        domain=Domain(-sp.oo, sp.oo),
        activation=V,
        phi=gain,
        psi=sp.Integer(0),
        beta=loss,
        alpha=sp.Integer(0),
        reference=reference,
        why_no_omega="it compares pairs of samples, and its optimum is not a function of q/p at a point",
    )
    spec = {
        "title": title, "parameters": dict(parameters) if parameters else None, "phi": phi, "beta": beta,
        "reference": reference,
    }  # fmt: skip
    return entry.build("paired", title, citation, spec, formulas=formulas)


def integral_probability_metric(name: str, *, citation: str, title: str = "", where: str = "") -> Objective:
    """`phi(t) = t`, `psi(t) = -t`: the largest gap of means over 1-Lipschitz critics, the distance W1.

    Without a bound on the critic's slope the gap is infinite: `needs_lipschitz` is set, and training asks for
    a penalty or clipping. There is no omega and no d: the optimum is not a function of q/p at a point.

    Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", arXiv 1701.07875.
    """
    entry = Entry.read(name, where, None)
    line = Domain(-sp.oo, sp.oo)
    t = line.symbol
    formulas = Formulas(
        domain=line,
        activation=V,
        phi=t,
        psi=-t,
        beta=-t,
        alpha=t,
        why_no_omega="an integral probability metric depends on p - q and on the class of critics, not on the "
        "ratio q/p at a point",
    )
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
    "direct": direct,
    "integral_probability_metric": integral_probability_metric,
    "paired": paired,
}
