"""The families whose phi and psi are given and not derived: direct, integral probability metric, paired."""

from collections.abc import Mapping
from typing import get_args

import sympy as sp

from pipeline.errors import UserError
from pipeline.objectives.entry import Bounds, Entry, Text
from pipeline.objectives.formulas import DELTA, DISTANCE, Domain, Formulas, R, Reference, V
from pipeline.objectives.objective import Objective
from pipeline.objectives.solving import derived_omega, inverse


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

    Where that has no closed form, or phi and psi have kinks, omega may be given, and is checked like a
    derived one. Without omega the objective trains, and has no d. beta defaults to psi; alpha to phi when
    beta is psi, else to 0. The general form is that of Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709.

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
        alpha_given=alpha is not None,
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

    With `reference: average` delta is a real output less the fakes' mean, and the reals' mean less a fake
    output, and the two expectations are added. The generator minimises the same with beta (default phi). phi
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
    if beta is None and gain.has(DISTANCE):
        raise UserError(
            f"{entry.field('beta')}: must be given where phi uses `distance`; it may not use it itself"
        )
    loss = gain if beta is None else entry.formula("beta", beta, DELTA)
    if reference == "average" and gain.has(DISTANCE):
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
        why_no_omega="an integral probability metric depends on p - q and on the class of critics, not on "
        "the ratio q/p at a point",
        needs_lipschitz=True,
    )
    return entry.build(
        "integral_probability_metric",
        title,
        citation,
        {"title": title},
        formulas=formulas,
    )
