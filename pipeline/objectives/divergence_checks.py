"""Checks of d, and of what the generator descends with the critic held fixed."""

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp
import torch
from torch import Tensor

from pipeline.objectives.checking import R_GRID, RELATIVE, Check, at_point, rounding, worst
from pipeline.objectives.formulas import Formulas, R
from pipeline.objectives.lowering import lower
from pipeline.objectives.stable import relu


def divergence_checks(formulas: Formulas) -> Iterator[Check]:
    d: sp.Expr = formulas.divergence
    at_one = float(d.subs(R, 1))
    yield Check("divergence_at_one", "d(1) = 0", abs(at_one) < 1e-12, at_one, "r = 1")
    at_r = at_point("r", R_GRID)
    terms = [
        lower(part.subs(formulas.t, formulas.omega), R)(R_GRID) for part in (formulas.alpha, formulas.beta)
    ]
    total = terms[0] + R_GRID * terms[1]
    scale = 1 + terms[0].abs() + R_GRID * terms[1].abs()
    gap = (total - total[R_GRID.numel() // 2] - lower(d, R)(R_GRID)).abs() / scale
    allowed: Tensor | float = RELATIVE
    if not formulas.is_step:
        allowed = rounding(lower(formulas.omega, R)(R_GRID), lower(sp.diff(formulas.omega, R), R)(R_GRID))
    yield worst(
        "divergence_formula",
        "d(r) = alpha(omega(r)) + r beta(omega(r)) + constant, relative to its terms",
        allowed - gap,
        at_r,
        gap,
    )
    pull = _generator_pull(formulas)
    yield pull
    yield from _minimum_at_one(d)
    if formulas.alpha_given:
        # alpha moves no generator: what speaks for the objective must hold without it.
        own = R * formulas.beta.subs(formulas.t, formulas.omega)
        d = own - own.subs(R, 1)
    yield _separates(formulas, d)
    yield _verdict(d, "r beta(omega(r))" if formulas.alpha_given else "d", pull.value > -RELATIVE)


def _verdict(d: sp.Expr, name: str, pulled: bool) -> Check:
    """d is convex, or B is, or d lies above its tangent at r = 1; `name` is what d is called."""
    at_r = at_point("r", R_GRID)
    values = lower(d, R)(R_GRID)
    # r^2 d''(r) against its size in the neighbourhood: rounding of a linear d must not read as concave.
    smooth = not d.has(sp.Abs, sp.sign, relu)
    curvature = lower(sp.diff(d, R, 2), R)(R_GRID) * R_GRID**2 if smooth else _grid_curvature(values)
    tolerance = 1e-12 * (1 + values.abs() + R_GRID)
    statement = f"{name} is convex: its second derivative times r^2 is not negative"
    convex = worst("divergence", statement, curvature + tolerance, at_r, curvature)
    if convex.passed:
        return convex
    concave = f"{name} is not convex ({convex.value:.3g} at {convex.at})"
    if pulled:
        return replace(
            convex,
            statement=f"{concave}, but int p B(q/p), B' = beta(omega), which the generator descends with the "
            "critic held fixed, is",
            passed=True,
        )
    normalised = values - _slope_at_one(d) * (R_GRID - 1)
    above = f"{concave}, but lies above its tangent at r = 1"
    return worst("divergence", above, normalised + tolerance, at_r, normalised)


def _separates(formulas: Formulas, d: sp.Expr) -> Check:
    """q = p is told from its neighbours: d, or B, lies strictly above its tangent at r = 1 on both sides."""
    sides = torch.tensor([0.95, 1.05], dtype=torch.float64)
    below, above = lower(formulas.beta.subs(formulas.t, formulas.omega), R)(sides).tolist()
    rise = (above - below) / (1 + abs(above) + abs(below))
    if d.has(sp.Abs, sp.sign, relu):
        left, near, far, right = lower(d, R)(
            torch.tensor([0.9, 0.95, 1.05, 1.1], dtype=torch.float64)
        ).tolist()
        bend = (right - far) - (near - left)
    else:
        bend = float((lower(d, R)(sides) - _slope_at_one(d) * (sides - 1)).min())
    found = max(rise, bend)
    statement = "d or B lies strictly above its tangent at r = 1: it is not flat where q = p"
    return Check("separates", statement, found > 1e-9, found, "r = 0.95 and 1.05")


def _grid_curvature(values: Tensor) -> Tensor:
    """The second difference of d over the grid, 0 at its ends: with a kink, d'' is no function."""
    slopes = values.diff() / R_GRID.diff()
    return torch.nn.functional.pad(slopes.diff(), (1, 1)) * R_GRID


def _slope_at_one(d: sp.Expr) -> float:
    """d'(1), of a d with a kink there the mean of the two sides'."""
    if not d.has(sp.Abs, sp.sign, relu):
        return float(sp.diff(d, R).subs(R, 1))
    step = 1e-6
    below, above = lower(d, R)(torch.tensor([1 - step, 1 + step], dtype=torch.float64)).tolist()
    return float(above - below) / (2 * step)


def _minimum_at_one(d: sp.Expr) -> Iterator[Check]:
    """The article's test "d has its minimum at r = 1", as written, and with the line c (r - 1) taken off."""
    values = lower(d, R)(R_GRID)
    tolerance = 1e-12 * (1 + values.abs() + R_GRID)
    slope = _slope_at_one(d)
    if abs(slope) > 1e3:  # d jumps at 1, as that of a step with another beta: it has no slope there
        return
    for name, statement, margin in (
        ("literal_minimum", "d has its minimum at r = 1 as written: d(r) >= d(1)", values),
        ("normalised_minimum", "d(r) - d(1) - d'(1)(r - 1) >= 0", values - slope * (R_GRID - 1)),
    ):
        check = worst(name, statement, margin + tolerance, at_point("r", R_GRID), margin)
        yield replace(check, required=False)


def _generator_pull(formulas: Formulas) -> Check:
    """With the critic held fixed the generator descends E_q beta(t): is it drawn to where r = q/p is small?

    Its gradient is that of int p B(q/p) with B'(r) = beta(omega(r)), a divergence where beta(omega(r)) rises.
    Objectives in which it rises in places only are told so; one in which it rises nowhere is refused: its
    generator is driven away from the data, whatever d says of the loss's value.
    """
    g: sp.Expr = formulas.beta.subs(formulas.t, formulas.omega)
    values = lower(g, R)(R_GRID)
    if formulas.is_step:
        slope = torch.nn.functional.pad(values.diff(), (0, 1)) / (1 + values.abs())
    else:
        slope = lower(sp.diff(g, R), R)(R_GRID) * R_GRID / (1 + values.abs())
    falls = ~(slope > -RELATIVE)
    everywhere = bool(falls[slope != 0].all()) if formulas.is_step else bool(falls.all())
    centre = R_GRID.numel() // 2
    if bool(falls[centre]) and not everywhere:
        statement = "beta(omega(r)) does not fall at r = 1: the critic held fixed would drive q away from p"
        return Check("generator_pull", statement, False, float(slope[centre]), "r = 1")
    statement = "beta(omega(r)) rises with r: with the critic held fixed the generator is drawn to the data"
    lowest = int(torch.where(slope.isnan(), -torch.inf, slope).argmin())
    if bool(falls.any()) and not everywhere:
        outside = R_GRID[falls]
        statement = (
            f"beta(omega(r)) rises with r in places only: between r = {float(outside.min()):.3g} and "
            f"{float(outside.max()):.3g} the critic held fixed drives the generator away"
        )
    return Check(
        "generator_pull",
        statement,
        not everywhere,
        float(slope[lowest]),
        at_point("r", R_GRID)(lowest),
    )
