"""The one type of a GAN objective: checked when it is built, frozen afterwards.

Families of objectives are functions that return an `Objective` (`pipeline.objectives.constructions`); there
are no subclasses, and nothing outside this package asks which objective it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, final

import sympy as sp
from torch import Tensor

from pipeline.errors import UserError
from pipeline.objectives.checking import Check
from pipeline.objectives.checks import run_checks
from pipeline.objectives.formulas import DELTA, DISTANCE, Formulas, R, V
from pipeline.objectives.loss_checks import real_is_high
from pipeline.objectives.lowering import Lowered, lower, with_slope
from pipeline.objectives.stable import stable_form, stable_form_positive


@final
@dataclass(frozen=True, eq=False, repr=False)
class Objective:
    """A GAN objective: the critic maximises `E_p phi(t) + E_q psi(t)`, the generator minimises `E_q beta(t)`.

    The functions of t, r and v take and return tensors of any shape, float32 or float64, and differentiate
    any number of times. The losses take the critic's raw output v; their gradients keep full relative
    accuracy for |v| <= 50 in float32, their values that of their terms.

    Args:
        name: its key in objectives.yaml.
        construction: the family that derived it.
        title: its name in the paper.
        citation: where it was published.
        spec: the plain mapping that `objective_from_spec(name, spec)` rebuilds it from.
        formulas: the mathematics.
        where: the file, for messages.

    Derived: `real_is_high`, whether the critic is high on real data; `equilibrium_value`, its value at p = q;
    `needs_distance`, whether its loss takes the pairs' distance; `checks`, what was checked.

    Raises:
        UserError: a check fails; names the objective, the condition, the number and the offending r, t or v.
    """

    name: str
    construction: str
    title: str
    citation: str
    spec: Mapping[str, Any]
    formulas: Formulas
    where: str = ""
    real_is_high: bool = field(init=False)
    equilibrium_value: float = field(init=False)
    needs_distance: bool = field(init=False)
    checks: tuple[Check, ...] = field(init=False)
    _functions: Mapping[str, Lowered] = field(init=False)

    def __post_init__(self) -> None:
        passed = []
        for check in run_checks(self.formulas):
            if check.required and not check.passed:
                place = f"{self.where}: " if self.where else ""
                raise UserError(f"{place}objective {self.name!r} is inconsistent: {check.describe()}")
            passed.append(check)
        derived = {
            "checks": tuple(passed),
            "real_is_high": real_is_high(self.formulas),
            "equilibrium_value": float(self.formulas.equilibrium_value),
            "needs_distance": self.formulas.needs_distance,
            "_functions": _lowered(self.formulas),
        }
        for attribute, value in derived.items():
            object.__setattr__(self, attribute, value)

    def phi(self, t: Tensor) -> Tensor:
        """What the critic gains on real data at output t; paired, at delta (and distance 1)."""
        return self._functions["phi"](t)

    def psi(self, t: Tensor) -> Tensor:
        """What the critic gains on fake data at output t."""
        return self._functions["psi"](t)

    def beta(self, t: Tensor) -> Tensor:
        """What the generator loses on fake data at output t."""
        return self._functions["beta"](t)

    def activation(self, v: Tensor) -> Tensor:
        """t in Omega from the network's raw output v."""
        return self._functions["activation"](v)

    def omega(self, r: Tensor) -> Tensor:
        """The best t where q/p = r. Raises UserError where the objective has none."""
        return self._derived("omega")(r)

    def divergence(self, r: Tensor) -> Tensor:
        """d(r) with d(1) = 0: the generator's loss at the best critic is `int p d(q/p)` + a constant.

        Where the entry gives an alpha, the loss includes that part on real data, which is not trained.

        Raises UserError where the objective has none.
        """
        return self._derived("divergence")(r)

    def density_ratio(self, t: Tensor) -> Tensor:
        """p/q where t is the best output: 1/omega^-1(t). Raises UserError where the objective has none."""
        return self._derived("density_ratio")(t)

    def critic_loss(self, v_real: Tensor, v_fake: Tensor, distance: Tensor | None = None) -> Tensor:
        """`-(mean phi(t_real) + mean psi(t_fake))`, (S, B) and (S, B) -> (S,); paired, `-mean phi(delta)`.

        `distance` (S, B) is |x_real - x_fake| of the pairs, for an objective that `needs_distance`.
        """
        functions = self._functions
        if self.is_paired:
            return self._paired_mean("critic", v_real, v_fake, distance)
        return functions["critic_real"](v_real).mean(-1) + functions["critic_fake"](v_fake).mean(-1)

    def generator_loss(self, v_fake: Tensor, v_real: Tensor | None = None) -> Tensor:
        """`mean beta(t_fake)`, (S, B) -> (S,); paired, `mean beta(delta)`, for which `v_real` is needed."""
        if self.is_paired:
            if v_real is None:
                raise UserError(f"objective {self.name!r} compares pairs: its generator's loss needs v_real")
            return self._paired_mean("generator", v_real, v_fake, None)
        return self._functions["generator"](v_fake).mean(-1)

    @property
    def is_paired(self) -> bool:
        """Whether the losses are functions of t_real - t_fake."""
        return self.formulas.reference is not None

    @property
    def needs_lipschitz(self) -> bool:
        """Whether it is a distance over Lipschitz critics only."""
        return self.formulas.needs_lipschitz

    def _paired_mean(self, player: str, v_real: Tensor, v_fake: Tensor, distance: Tensor | None) -> Tensor:
        loss = self._functions[player]
        if self.formulas.reference == "average":
            to_fakes = v_real - v_fake.mean(-1, keepdim=True)
            to_reals = v_real.mean(-1, keepdim=True) - v_fake
            return loss(to_fakes).mean(-1) + loss(to_reals).mean(-1)
        if player == "generator" or not self.needs_distance:
            return loss(v_real - v_fake).mean(-1)
        if distance is None:
            raise UserError(f"objective {self.name!r} needs the distance of each pair, (S, B)")
        return loss(v_real - v_fake, distance).mean(-1)

    def _derived(self, quantity: str) -> Lowered:
        return self._functions.get(quantity) or self._refuse(quantity)

    def _refuse(self, quantity: str) -> NoReturn:
        why = self.formulas.why_no_omega or "omega is a step and has no inverse"
        raise UserError(f"objective {self.name!r} has no {quantity.replace('_', ' ')}: {why}")

    def __repr__(self) -> str:
        return f"Objective({self.name!r}, {self.construction})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Closures cannot be pickled; the spec rebuilds them.
        from pipeline.objectives.catalogue import objective_from_spec

        return objective_from_spec, (self.name, dict(self.spec))


def _losses(formulas: Formulas, *symbols: sp.Symbol) -> dict[str, Lowered]:
    return {
        name: with_slope(lower(loss, *symbols), lower(formulas.loss_slopes[name], *symbols))
        for name, loss in formulas.stable_losses.items()
    }


def _lowered(formulas: Formulas) -> dict[str, Lowered]:
    """Every function of the objective as torch closures, in its stable form."""
    t = formulas.t
    if formulas.reference is not None:
        stable = {name: stable_form(getattr(formulas, name), DELTA) for name in ("phi", "beta")}
        return {
            "activation": lower(V, V),
            **{name: lower(one.subs(DISTANCE, 1), DELTA) for name, one in stable.items()},
            **_losses(formulas, DELTA, DISTANCE),
        }
    functions = {
        "activation": lower(stable_form(formulas.activation, V), V),
        **{name: lower(stable_form(getattr(formulas, name), t), t) for name in ("phi", "psi", "beta")},
        **_losses(formulas, V),
    }
    if formulas.omega is not None:
        functions["omega"] = lower(stable_form_positive(formulas.omega, R), R)
        functions["divergence"] = lower(formulas.divergence, R)
    if formulas.omega_inverse is not None:
        ratio = 1 / formulas.omega_inverse
        ratio = sp.factor(ratio) if ratio.is_rational_function(t) else sp.powsimp(sp.cancel(ratio))
        functions["density_ratio"] = lower(stable_form(ratio, t), t)
    return functions
