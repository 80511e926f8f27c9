"""The f family: duals and conjugates (claims W1, W9), and likelihood-ratio GANs seen from it (W6).

D_f(p, q) = int q f(p/q) for convex f with f(1) = 0, and with the conjugate f*(t) = sup_u u t - f(u)::

    D_f(p, q) = sup_t E_p t - E_q f*(t)

A numerical Legendre transform knows f alone: the highest point of u t - f(u) on a grid of log u, then golden
section. Values decide, no derivative: at the top they are level, so the supremum is exact to rounding.

A likelihood-ratio GAN is the f-GAN of f(u) = u d(1/u), d(r) = phi(omega(r)) + r psi(omega(r)), in the
coordinate phi: there f*(phi(t)) = -psi(t). And d'' = rho(omega) omega' says which divergence it is, because
two d with one second derivative differ by c (r - 1) and a constant, which integrate to a constant. Sources:
Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709; Basioti & Moustakides 2020, arXiv 2002.00865.
"""

from collections.abc import Callable, Mapping

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.objectives.formulas import R, U
from pipeline.objectives.lowering import lower
from pipeline.objectives.printing import to_text
from pipeline.theory.pairs import PAIRS, Nodes
from pipeline.theory.recipe import critic_divergence, direction, free_optimum, log_ratios, needed, with_omega
from pipeline.theory.tables import to_columns

# Farther out u t - f(u) is the difference of numbers whose rounding alone is above 1e-7.
_LOG_U = torch.linspace(-20.0, 20.0, 801, dtype=torch.float64)
_GOLDEN = (5**0.5 - 1) / 2
_SECTIONS = 60  # 0.618**60 = 3e-13 of a bracket of 0.1: far below where the values are level
_ORDER = 11


def legendre(f: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """sup over u > 0 of u t - f(u), `(M,)` for t `(M,)`; u from e^-20 to e^20."""

    def height(log_u: Tensor) -> Tensor:
        u = log_u.exp()
        # A formula that has rounded to the end of Omega may say that f is -inf, which no convex f is.
        return (u * t - f(u)).nan_to_num(nan=-torch.inf, posinf=-torch.inf)

    on_grid = torch.stack([height(point.expand_as(t)) for point in _LOG_U])
    top = on_grid.argmax(dim=0)
    last = _LOG_U.numel() - 1
    low, high = _LOG_U[(top - 1).clamp(0, last)], _LOG_U[(top + 1).clamp(0, last)]
    for _ in range(_SECTIONS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        is_right = height(right) > height(left)
        low, high = torch.where(is_right, left, low), torch.where(is_right, high, right)
    return torch.maximum(height((low + high) / 2), on_grid.max(dim=0).values)


def relative(gap: Tensor, size: Tensor) -> Tensor:
    """|gap| over the larger of 1 and |size|."""
    return gap.abs() / size.abs().clamp(min=1.0)


# ---- W1


def total_variation_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """total_variation.csv: one row per pair of densities.

    half_integral = 1/2 int |p - q|, dual_half = sup E_p t - E_q t over t in [-1/2, 1/2] (the objective, its
    critic free in every node), integral = int |p - q|, dual_one = the same supremum over [-1, 1], by the
    node's better end (its gain is linear in t); dual_gap, the larger of both |dual - integral|.
    """
    objective = needed(objectives, "total_variation", "W1")
    rows: list[dict[str, object]] = []
    for name, pair in PAIRS.items():
        nodes = pair.nodes(_ORDER)
        integral = nodes.integral(np.abs(np.exp(nodes.log_p) - np.exp(nodes.log_q)), "|p - q|")
        half = free_optimum(objective, pair)
        one = _best_of_ends(pair.nodes(_ORDER + 3), 1.0)
        rows.append(
            {
                "pair": name,
                "half_integral": integral / 2,
                "dual_half": half,
                "integral": integral,
                "dual_one": one,
                "dual_gap": max(abs(half - integral / 2), abs(one - integral)),
            }
        )
    return to_columns(rows)


def _best_of_ends(nodes: Nodes, bound: float) -> float:
    t = np.linspace(-bound, bound, 41)[:, None]
    gains = t * (np.exp(nodes.log_p) - np.exp(nodes.log_q))
    return nodes.integral(gains.max(axis=0), "E_p t - E_q t")


# ---- W9: conjugates


def conjugates_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """conjugates.csv: one row per f-divergence; differences relative to the larger of 1 and the size.

    f_at_1, curvature_min (smallest u^2 f''(u) for u from 1e-3 to 1e3; 0 beside a kink), t_low and t_high
    (f' at u = 1e-3 and 1e3), conjugate_error (largest |f*(t) - Legendre transform| between them),
    conjugate_error_beyond (the same where Omega goes on below t_low, as far again; empty where it does
    not).
    """
    rows: list[dict[str, object]] = []
    for name, objective in objectives.items():
        if objective.formulas.f is None:
            continue
        f = lower(objective.formulas.f, U)
        u = torch.logspace(-3, 3, 61, dtype=torch.float64)
        slope = lower(sp.diff(objective.formulas.f, U), U)(u)
        low, high = float(slope[0]), float(slope[-1])
        # Between the slopes, dense where f' is: at a kink f' takes no value between them, but f* has one.
        t = torch.cat([slope, torch.linspace(low, high, 41, dtype=torch.float64)[1:-1]])
        limit = float(sp.limit(sp.diff(objective.formulas.f, U), U, 0, "+"))
        beyond = (
            torch.linspace(limit - 4.0, limit, 41, dtype=torch.float64)[:-1] if np.isfinite(limit) else None
        )
        if beyond is not None and not float(objective.formulas.domain.low) < limit:
            beyond = None
        rows.append(
            {
                "objective": name,
                "f_at_1": float(f(torch.ones(1, dtype=torch.float64))),
                "curvature_min": float(_curvature(f, u).min()),
                "t_low": low,
                "t_high": high,
                "conjugate_error": _conjugate_error(objective, f, t),
                "conjugate_error_beyond": None if beyond is None else _conjugate_error(objective, f, beyond),
            }
        )
    return to_columns(rows)


def _conjugate_error(objective: Objective, f: Callable[[Tensor], Tensor], t: Tensor) -> float:
    derived = -objective.psi(t)
    return float(relative(derived - legendre(f, t), derived).max())


def _curvature(f: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """u^2 f''(u), as twice the second divided difference over u e^-h, u, u e^h, h = 0.1."""
    left, right = u * float(np.exp(-0.1)), u * float(np.exp(0.1))
    rise, fall = (f(right) - f(u)) / (right - u), (f(u) - f(left)) / (u - left)
    return 2 * u**2 * (rise - fall) / (right - left)


# ---- W6


def as_f_gan_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """as_f_gan.csv: one row per objective with an omega.

    conjugate_error (largest |f*(phi(t)) + psi(t)| for t = omega(r), r from 1/1000 to 1000, with f* the
    numerical transform of f(u) = u d(1/u); relative to the larger of 1 and |psi|); d_second_derivative, the
    formula of the critic's d''(r) (empty for a step), and known_as: reverse_kl where it is 1/r, kl where it
    is 1/r^2.
    """
    r = torch.from_numpy(np.exp(log_ratios()))
    rows: list[dict[str, object]] = []
    for name, objective in with_omega(objectives).items():

        def f(u: Tensor, objective: Objective = objective) -> Tensor:
            t = objective.omega(1 / u)
            return u * objective.phi(t) + objective.psi(t)

        t = objective.omega(r)
        psi = objective.psi(t)
        error = relative(legendre(f, objective.phi(t)) + psi, psi)
        second = second_derivative(objective)
        rows.append(
            {
                "objective": name,
                "construction": objective.construction,
                "conjugate_error": float(error.max()),
                "d_second_derivative": None if second is None else to_text(second),
                "known_as": None if second is None else _known(second),
            }
        )
    return to_columns(rows)


def second_derivative(objective: Objective) -> sp.Expr | None:
    """d''(r) = psi'(omega) omega'(r) of the critic's d, by the envelope theorem; None for a step.

    Where f is given, that of r f(1/r), which is the same without an inverse.
    """
    formulas = objective.formulas
    if direction(objective) == "step":
        return None
    if formulas.f is not None:
        return sp.simplify(sp.diff(R * formulas.f.subs(U, 1 / R), R, 2))
    slope = sp.diff(formulas.psi, formulas.t).doit()
    return sp.simplify(slope.subs(formulas.t, formulas.omega) * sp.diff(formulas.omega, R))


def _known(second: sp.Expr) -> str | None:
    for name, expected in (("reverse_kl", 1 / R), ("kl", 1 / R**2)):
        if sp.simplify(second - expected) == 0:
            return name
    return None


def kl_from_ratio_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """kl_from_ratio.csv: likelihood-ratio objectives with omega increasing, rho > 0 and beta = psi.

    One row per objective and pair of densities, in nats: divergence = int p d(q/p) minus that of q = p, by
    quadrature; kl_reverse = KL(q, p) and kl_forward = KL(p, q) by an integral of their own, and the gaps
    |divergence - KL| of both, relative to the larger of 1 and KL.
    """
    for name in ("ratio_reverse_kl", "ratio_forward_kl"):
        needed(objectives, name, "W6")
    rows: list[dict[str, object]] = []
    for name, objective in objectives.items():
        own = objective.construction == "likelihood_ratio" and "beta" not in objective.spec
        if not own or direction(objective) != "increasing":
            continue
        level = critic_divergence(objective, PAIRS["equal"])
        for pair_name, pair in PAIRS.items():
            nodes = pair.nodes(_ORDER)
            gap = nodes.log_q - nodes.log_p
            reverse = nodes.integral(np.exp(nodes.log_q) * gap, "KL(q, p)")
            forward = nodes.integral(-np.exp(nodes.log_p) * gap, "KL(p, q)")
            divergence = critic_divergence(objective, pair) - level
            rows.append(
                {
                    "objective": name,
                    "pair": pair_name,
                    "divergence": divergence,
                    "kl_reverse": reverse,
                    "kl_forward": forward,
                    "gap_to_reverse": abs(divergence - reverse) / max(1.0, reverse),
                    "gap_to_forward": abs(divergence - forward) / max(1.0, forward),
                }
            )
    return to_columns(rows)
