"""Checks of the losses as they are computed from the raw output, of orientation, and of paired objectives."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import sympy as sp
import torch
from torch import Tensor

from pipeline.objectives.checking import DISTANCES, V_GRID, Check, at_point, worst
from pipeline.objectives.formulas import DELTA, DISTANCE, Formulas, R, V
from pipeline.objectives.lowering import lower
from pipeline.objectives.stable import opened


def loss_checks(formulas: Formulas) -> Iterator[Check]:
    """The computed form equals the formula; finite in float32 with its gradient; orientation."""
    moderate = torch.linspace(-5, 5, 41, dtype=torch.float64)
    for name, loss in formulas.losses.items():
        plain, stable = lower(opened(loss), V)(moderate), lower(formulas.stable_losses[name], V)(moderate)
        gap = (plain - stable).abs() / (1 + plain.abs())
        yield worst(
            f"stable_{name}",
            f"{name.replace('_', ' ')} loss: as computed equal to its formula",
            1e-11 - gap,  # float64 on |v| <= 5, where neither form loses more than three digits
            at_point("v", moderate),
            gap,
        )
        slope = lower(sp.diff(opened(loss), V), V)(moderate)
        used = lower(formulas.loss_slopes[name], V)(moderate)
        gap = (slope - used).abs() / (1 + plain.abs() + slope.abs())
        yield worst(
            f"slope_{name}",
            f"{name.replace('_', ' ')} loss: its slope as computed equal to its formula's derivative",
            1e-9
            - gap,  # the derivative of an integrated sum cancels; a wrong one differs in the first digits
            at_point("v", moderate),
            gap,
        )
    for name, loss in formulas.stable_losses.items():
        yield _finite(name, loss, formulas.loss_slopes[name])
    yield _orientation(formulas)


def _finite(name: str, loss: sp.Expr, slope: sp.Expr, symbol: sp.Symbol = V, distance: float = 1.0) -> Check:
    letter = symbol.name
    if not loss.has(symbol):
        statement = f"the {name.replace('_', ' ')} loss depends on {letter}"
        return Check(f"finite_{name}", statement, False, 0.0, f"every {letter} (its slope)")
    v = V_GRID.float()
    at = (v, torch.full_like(v, distance))
    size = torch.maximum(*(lower(one, symbol, DISTANCE)(*at).abs() for one in (loss, slope)))
    margin = torch.where(size.isfinite(), 1.0, -1.0)
    return worst(
        f"finite_{name}",
        f"{name.replace('_', ' ')} loss: value and gradient finite in float32, |{letter}| <= 50",
        margin if bool((margin < 0).any()) else 1 / (1 + size),  # the largest, where all are finite
        at_point(letter, V_GRID),
        size,
    )


def real_is_high(formulas: Formulas) -> bool:
    """Whether the best raw output v is higher where p/q is: omega falls in r as the activation rises in v."""
    activation_rises = bool(sp.diff(formulas.activation, V).subs(V, 0) > 0)
    if formulas.reference is not None:
        return bool(_slope_at_zero(formulas.phi) > 0)
    if formulas.omega is None:
        gain = lower(sp.diff(formulas.phi, formulas.t), formulas.t)(_centre(formulas))
        return bool(gain > 0) == activation_rises
    low, high = lower(formulas.omega, R)(torch.tensor([0.5, 2.0], dtype=torch.float64))
    return bool(high < low) == activation_rises


def _orientation(formulas: Formulas) -> Check:
    """Read off the loss, not off omega: what the critic gains on real data as v rises."""
    rises = 1.0 if bool(sp.diff(formulas.activation, V).subs(V, 0) > 0) else -1.0
    gain = rises * float(lower(sp.diff(formulas.phi, formulas.t), formulas.t)(_centre(formulas)))
    high = real_is_high(formulas)
    return Check(
        "orientation",
        f"the critic is high on {'real' if high else 'fake'}: its value on real data "
        f"{'rises' if high else 'falls'} with v",
        (gain > 0) == high and gain != 0,
        gain,
        "r = 1",
    )


def _centre(formulas: Formulas) -> Tensor:
    """The output at which orientation is read: the best one at r = 1, or that of v = 0."""
    start = formulas.activation.subs(V, 0) if formulas.omega is None else formulas.omega.subs(R, 1)
    return torch.tensor([float(start)], dtype=torch.float64)


def _slope_at_zero(function: sp.Expr) -> sp.Expr:
    return sp.diff(function, DELTA).subs({DELTA: 0, DISTANCE: 1}).doit()


def paired_checks(formulas: Formulas) -> Iterator[Check]:
    """Of phi(delta) and beta(delta): the critic gains by telling apart, up to a bound, and has one optimum.

    Concave by second differences: a phi with a kink has no second derivative there.
    """
    gain = float(_slope_at_zero(formulas.phi))
    high = "real" if gain > 0 else "fake"
    yield Check("pair_gain", f"phi'(0) is not 0: the critic is high on {high}", gain != 0, gain, "delta = 0")
    pull = float(_slope_at_zero(formulas.beta)) * math.copysign(1, gain)
    statement = (
        "beta rises with delta at 0, on the critic's side: the generator wants fakes to look like reals"
    )
    yield Check("pair_pull", statement, pull > 0, pull, "delta = 0")
    for distance in DISTANCES if formulas.needs_distance else (1.0,):
        at = _at_distance(formulas, distance)
        scale = torch.full_like(V_GRID, distance)
        values = lower(formulas.phi, DELTA, DISTANCE)(V_GRID, scale)
        bends = torch.nn.functional.pad(values.diff().diff(), (1, 1))
        size = 1e-12 * (1 + values.abs())
        yield worst(
            "pair_concave", "phi is concave in delta: no best critic but global ones", size - bends, at, bends
        )
        wide = lower(formulas.phi, DELTA, DISTANCE)(200 * scale * V_GRID, scale)
        inner = wide[V_GRID.abs() <= 40].amax()
        growth = float((wide.amax() - inner) / (1 + inner.abs()))
        statement = "phi is bounded above: no critic gains without end"
        yield Check("pair_bounded", statement, growth < 1e-3, growth, f"|delta| = {1e4 * distance:g}")
        slopes = lower(formulas.slopes["beta"], DELTA, DISTANCE)(V_GRID, scale) * math.copysign(1, gain)
        statement = "beta never falls with delta, on the critic's side"
        yield replace(worst("pair_pull_everywhere", statement, slopes + 1e-12, at, slopes), required=False)
        for name, loss in formulas.stable_losses.items():
            yield _finite(name, loss, formulas.loss_slopes[name], DELTA, distance)


def _at_distance(formulas: Formulas, distance: float) -> Callable[[int], str]:
    ending = f", distance = {distance:g}" if formulas.needs_distance else ""
    return lambda index: f"delta = {float(V_GRID[index]):.6g}{ending}"
