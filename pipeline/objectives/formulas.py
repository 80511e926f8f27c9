"""The symbols of one objective as SymPy expressions, and what follows from them without further choice.

`p` is the data density, `q` the generated one, `r = q/p`, `u = 1/r`, `t` in Omega the critic's output, `v` in
R the network's raw output, `t = activation(v)`. The critic maximises `E_p[phi(t)] + E_q[psi(t)]`, the
generator minimises `E_q[beta(t)]`; `omega(r)` is the critic's best t, and

    d(r) = alpha(omega(r)) + r beta(omega(r)) - (the same at r = 1),

so that at the best critic the generator's loss is `int p d(q/p)` up to a constant (Basioti & Moustakides
2020, arXiv 2002.00865). With the critic held fixed, as training does, its gradient is that of `int p B(q/p)`
with `B' = beta(omega)`, which is d up to a constant when beta = psi, and another divergence when it is not.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import sympy as sp

from pipeline.objectives.lowering import steadiest
from pipeline.objectives.stable import opened, stable_form, stable_form_positive

R: Final = sp.Symbol("r", positive=True)
U: Final = sp.Symbol("u", positive=True)
V: Final = sp.Symbol("v", real=True)
DELTA: Final = sp.Symbol("delta", real=True)
DISTANCE: Final = sp.Symbol("distance", positive=True)


@dataclass(frozen=True)
class Domain:
    """Omega, the open interval (low, high) of the critic's output."""

    low: sp.Expr
    high: sp.Expr

    @property
    def is_line(self) -> bool:
        return bool(self.low == -sp.oo and self.high == sp.oo)

    @property
    def symbol(self) -> sp.Symbol:
        """`t`, knowing its sign where Omega fixes it: SymPy simplifies logarithms and powers by it."""
        if self.low.is_nonnegative:
            return sp.Symbol("t", positive=True)
        if self.high.is_nonpositive:
            return sp.Symbol("t", negative=True)
        return sp.Symbol("t", real=True)

    @property
    def coordinate(self) -> sp.Expr:
        """The inverse of the default activation: t as a point of R."""
        t = self.symbol
        if self.is_line:
            return t
        if self.high == sp.oo:
            return sp.log(t - self.low)
        if self.low == -sp.oo:
            return -sp.log(self.high - t)
        return sp.log((t - self.low) / (self.high - t))

    @property
    def default_activation(self) -> sp.Expr:
        """An increasing map of R onto Omega: v, low + exp(v), high - exp(-v), or a scaled sigmoid."""
        if self.is_line:
            return V
        if self.high == sp.oo:
            return self.low + sp.exp(V)
        if self.low == -sp.oo:
            return self.high - sp.exp(-V)
        return self.low + (self.high - self.low) / (1 + sp.exp(-V))


Reference = Literal["pair", "average"]


@dataclass(frozen=True)
class Formulas:
    """One objective's mathematics. `omega`, its inverse and `f` are None where the construction has none.

    A paired objective (`reference` is set) has functions of `delta = t_real - t_fake` for phi and beta,
    perhaps of the pair's `distance` too, and psi = 0: the critic maximises `E phi(delta)` over pairs, the
    generator minimises `E beta(delta)`. With the reference "average", delta is one side's output against the
    other side's mean, and the two sides' expectations are added.
    """

    domain: Domain
    activation: sp.Expr
    phi: sp.Expr
    psi: sp.Expr
    beta: sp.Expr
    alpha: sp.Expr
    omega: sp.Expr | None = None
    omega_inverse: sp.Expr | None = None
    f: sp.Expr | None = None
    f_star: sp.Expr | None = None
    d: sp.Expr | None = None  # where the construction knows it in a better form than the composition's
    phi_slope: sp.Expr | None = None  # phi' and psi' as products, where the construction integrated them
    psi_slope: sp.Expr | None = None
    alpha_given: bool = False  # by the entry: then alpha enters d alone, and shows nothing of the game
    reference: Reference | None = None
    why_no_omega: str = ""
    needs_lipschitz: bool = False  # whether it is a distance over Lipschitz critics only

    @property
    def t(self) -> sp.Symbol:
        """The argument of phi, psi and beta: t, or delta."""
        return self.domain.symbol if self.reference is None else DELTA

    @property
    def is_step(self) -> bool:
        """Whether omega jumps between the ends of an interval: the best critic only says where p > q."""
        return self.omega is not None and bool(self.omega.has(sp.sign))

    @property
    def needs_distance(self) -> bool:
        return self.reference is not None and bool(self.phi.has(DISTANCE))

    @cached_property
    def divergence(self) -> sp.Expr | None:
        """d(r), with d(1) = 0."""
        if self.omega is None:
            return None
        raw = stable_form_positive(self.composed_divergence if self.d is None else self.d, R)
        return raw - _number(raw.subs(R, 1))

    @property
    def composed_divergence(self) -> sp.Expr:
        """alpha(omega(r)) + r beta(omega(r)), as it stands."""
        return (self.alpha + R * self.beta).subs(self.t, self.omega)

    @cached_property
    def equilibrium_value(self) -> sp.Expr:
        """phi(omega(1)) + psi(omega(1)), the critic's value when q = p."""
        if self.reference is not None:
            sides = 2 if self.reference == "average" else 1
            return _number(sides * self.phi.subs(DELTA, 0))
        if self.omega is None:
            return sp.Integer(0)
        value = (self.phi + self.psi).subs(self.t, self.omega.subs(R, 1))
        return _number(value)

    @cached_property
    def losses(self) -> dict[str, sp.Expr]:
        """The losses of v as composed: -phi(a(v)), -psi(a(v)) and beta(a(v)); paired, of delta."""
        if self.reference is not None:
            return {"critic": -self.phi, "generator": self.beta}
        terms = {"critic_real": -self.phi, "critic_fake": -self.psi, "generator": self.beta}
        composed = {name: term.subs(self.t, self.activation) for name, term in terms.items()}
        if self.activation != self.domain.default_activation:
            return composed
        # An integral's upper end is the default activation's inverse: of v itself, which SymPy may not see.
        return {
            name: term.replace(
                sp.Integral, lambda inner, limits: sp.Integral(inner, (limits[0], limits[1], V))
            )
            for name, term in composed.items()
        }

    @cached_property
    def slopes(self) -> dict[str, sp.Expr]:
        """phi', psi' and beta' as functions of t: as given before integration, else by differentiation."""
        phi, psi, beta = (sp.diff(one, self.t) for one in (self.phi, self.psi, self.beta))
        psi_slope = psi if self.psi_slope is None else self.psi_slope
        return {
            "phi": phi if self.phi_slope is None else self.phi_slope,
            "psi": psi_slope,
            "beta": psi_slope if self.beta == self.psi else beta,
        }

    @cached_property
    def activation_slope(self) -> sp.Expr:
        """dt/dv."""
        return stable_form(sp.diff(without_tanh(self.activation), V), V)

    @cached_property
    def loss_slopes(self) -> dict[str, sp.Expr]:
        """Each loss's derivative in the raw output: of the integrated sum, or the product if that cancels."""
        slopes = self.slopes
        chain = sp.diff(self.activation, V)
        if self.reference is not None:
            products = {"critic": -slopes["phi"], "generator": slopes["beta"]}
        else:
            terms = {
                "critic_real": -slopes["phi"],
                "critic_fake": -slopes["psi"],
                "generator": slopes["beta"],
            }
            products = {name: term.subs(self.t, self.activation) * chain for name, term in terms.items()}
        raw, other = self.raw, DISTANCE if self.needs_distance else None
        return {
            name: steadiest(
                [
                    stable_form(one, raw)
                    for one in (
                        sp.diff(without_tanh(self.stable_losses[name]), raw),
                        *dict.fromkeys((product, without_tanh(product))),
                    )
                ],
                raw,
                other,
            )
            for name, product in products.items()
        }

    @cached_property
    def stable_losses(self) -> dict[str, sp.Expr]:
        """The same losses in the form that is computed."""
        return {name: stable_form(term, self.raw) for name, term in self.losses.items()}

    @property
    def raw(self) -> sp.Symbol:
        """What the losses are functions of: the raw output v, or delta."""
        return V if self.reference is None else DELTA


def _number(value: sp.Expr) -> sp.Expr:
    """A number in its simplest form: 2*log(1/2) as -2*log(2). An integral with equal ends is 0."""
    return sp.expand_log(sp.simplify(without_integrals(value)), force=True)


def without_tanh(expression: sp.Expr) -> sp.Expr:
    """tanh in exp: 1 - tanh(x) and its slope 1 - tanh(x)**2 would be rounded to 0 from x = 19 on."""
    return expression.replace(sp.tanh, lambda x: 1 - 2 / (1 + sp.exp(2 * x)))


def without_integrals(value: sp.Expr) -> sp.Expr:
    """The value where t = omega(1): there every integral from omega(1) is 0."""
    return value.replace(sp.Integral, lambda inner, limits: sp.Integer(0))


def tidy(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """An equal expression in exp and log, in the form the stable rewriting chooses: for reading."""
    if symbol == R:
        return stable_form_positive(expression, R)
    return opened(stable_form(expression, symbol))


def simplified_on(expression: sp.Expr, domain: Domain) -> sp.Expr:
    """Powers of a distance to a finite end of Omega in their simplest form: SymPy does not know its sign."""
    t = domain.symbol
    if not any(power.exp.is_Rational and not power.exp.is_Integer for power in expression.atoms(sp.Pow)):
        return expression
    for end, sign in ((domain.low, 1), (domain.high, -1)):
        if end.is_finite and end != 0:
            gap = sp.Dummy("gap", positive=True)
            inner = sp.powsimp(sp.powdenest(expression.subs(t, end + sign * gap)))
            expression = sp.expand(inner).subs(gap, sign * (t - end))
    return expression
