"""Which divergences feel a distance (claims V1, V2, V5): N(0, 1) and N(d, 1), and two uniforms, moved apart.

Between the normals every one has a closed form::

    KL = reverse KL = d^2/2     total variation = 2 Phi(d/2) - 1     squared Hellinger = 1 - exp(-d^2/8)
    W1 = d                      JSD: none

and so has the generator's gradient at the best critic wherever s(r) = r d/dr beta(omega(r)) is a sum of
powers c_k r^k: log r is N(d^2/2, d^2) under q, so E_q[r^k] = exp((k^2 + k) d^2/2) and::

    dL_G/dd = d sum_k c_k exp((k^2 + k) d^2/2)
    Var     = d^2 sum_jk c_j c_k exp(((j + k)^2 + j + k) d^2/2) - (dL_G/dd)^2

The tables hold quadratures; the closed forms stand beside them, and tests hold the one to the other.
Total variation is int |p - q| / 2 and squared Hellinger 1 - int sqrt(p q) here; an objective's own d may have
another factor.
"""

from collections.abc import Mapping

import mpmath
import numpy as np
import sympy as sp
import torch

from pipeline.objectives import Objective
from pipeline.objectives.formulas import R
from pipeline.objectives.precise import evaluate
from pipeline.theory.densities import Mixture, jensen_shannon
from pipeline.theory.distance import LARGEST
from pipeline.theory.optimal_critic import generator_gradient, is_step
from pipeline.theory.pairs import STANDARD, Nodes, Pair
from pipeline.theory.recipe import with_omega
from pipeline.theory.tables import to_columns
from pipeline.theory.transport import distribution

STEP = 0.25  # standard deviations
OBJECTIVE_STEP = 0.5
CLOSED_FORM_AT = (0.5, 1.0, 2.0, 4.0, 6.0, 10.0, 15.0)
_PADDING = 12.0  # standard deviations beyond both means
_ORDER = 20
_FAR = (100, 200)  # powers of ten: where d(r) or d(r)/r still moves between them it has no limit
_TRUNCATED = 1e-9  # the integrand at either end, over its maximum
_LARGEST_LOG = 700.0  # exp of it is a float64 number


def normals(distance: float) -> Pair:
    """N(0, 1) and N(d, 1) on panels of about half a standard deviation."""
    width = distance + 2 * _PADDING
    return Pair(STANDARD, Mixture((distance,)), -_PADDING, distance + _PADDING, int(2 * width))


def divergences(pair: Pair) -> dict[str, float]:
    """JSD, KL(p, q), KL(q, p) in nats, total variation, squared Hellinger, and W1 in the units of x."""
    nodes = pair.nodes(_ORDER)
    ratio, p, q = nodes.log_q - nodes.log_p, np.exp(nodes.log_p), np.exp(nodes.log_q)
    integrands = {
        "kl_nats": -p * ratio,
        "reverse_kl_nats": q * ratio,
        "total_variation": np.abs(p - q) / 2,
        "squared_hellinger": (np.exp(nodes.log_p / 2) - np.exp(nodes.log_q / 2)) ** 2 / 2,
        "wasserstein_1": np.abs(distribution(pair.p, nodes.x) - distribution(pair.q, nodes.x)),
    }
    jsd = float(jensen_shannon(nodes.log_p, nodes.log_q, nodes.weights))
    return {"jsd_nats": jsd} | {name: nodes.integral(one, name) for name, one in integrands.items()}


def divergences_table() -> dict[str, list[object]]:
    """divergences.csv: one row per distance of N(d, 1) from N(0, 1), in standard deviations.

    jsd_nats, kl_nats, reverse_kl_nats, total_variation (int |p - q| / 2), squared_hellinger
    (1 - int sqrt(p q)), wasserstein_1 (standard deviations).
    """
    distances = STEP * np.arange(round(LARGEST / STEP) + 1)
    return to_columns([{"distance": float(d)} | divergences(normals(float(d))) for d in distances])


def objective_divergence(objective: Objective, nodes: Nodes) -> float:
    """int p d(q/p) of the generator's d at the nodes; nan where float64 does not hold the integrand."""
    level = nodes.log_q - nodes.log_p
    d = objective.divergence(torch.from_numpy(np.clip(level, -_LARGEST_LOG, _LARGEST_LOG)).exp()).numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        integrand = np.exp(nodes.log_p) * d
    known = np.isfinite(integrand) & (np.abs(level) < _LARGEST_LOG)
    inside = np.flatnonzero(known)
    if not known[inside[0] : inside[-1] + 1].all():
        return float("nan")
    kept = np.abs(integrand[inside])
    if max(kept[0], kept[-1]) > _TRUNCATED * kept.max() > 0:
        return float("nan")
    return float((integrand[inside] * nodes.weights[inside]).sum())


def objective_divergences_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """objective_divergences.csv: one row per objective with an omega and distance (standard deviations).

    divergence = int p d(q/p) with the generator's d, in units of the loss; empty where float64 does not hold
    it.
    """
    distances = OBJECTIVE_STEP * np.arange(round(LARGEST / OBJECTIVE_STEP) + 1)
    nodes = {float(d): normals(float(d)).nodes(_ORDER) for d in distances}
    rows = [
        {"objective": name, "distance": d, "divergence": objective_divergence(objective, here)}
        for name, objective in with_omega(objectives).items()
        for d, here in nodes.items()
    ]
    return to_columns(rows)


def disjoint_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """disjoint.csv: one row per objective with an omega: int p d(q/p) where p and q share no point.

    It is d(0) (data without samples) plus the limit of d(r)/r (samples without data), whatever the distance:
    `at_data`, `at_samples` and their sum `divergence`, in units of the loss; empty where infinite. `known` is
    0 where a limit was not found.
    """
    rows: list[dict[str, object]] = []
    for name, objective in with_omega(objectives).items():
        d = objective.formulas.divergence
        at_data, at_samples = _limit(d, R, -1), _limit(d / R, R, 1)
        known = at_data is not None and at_samples is not None
        rows.append(
            {
                "objective": name,
                "at_data": _finite(at_data),
                "at_samples": _finite(at_samples),
                "divergence": _finite(at_data + at_samples) if known else None,  # type: ignore[operator]
                "known": int(known),
            }
        )
    return to_columns(rows)


def _limit(expr: sp.Expr, symbol: sp.Symbol, end: int) -> float | None:
    """Where it settles as the symbol goes to 0 (end -1) or infinity (1), +-inf; None if unknown."""
    with mpmath.workdps(3 * max(_FAR)):
        near, far = (evaluate(expr, symbol, mpmath.mpf(10) ** (end * power)) for power in _FAR)
        if abs(far - near) <= mpmath.mpf(10) ** -9 * max(1, abs(near)):
            return float(far) if abs(far) > mpmath.mpf(10) ** -50 else 0.0
        if abs(far) > abs(near) and far * near > 0:
            return float("inf") if far > 0 else float("-inf")
    return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def slope_powers(objective: Objective) -> dict[sp.Expr, sp.Expr] | None:
    """{k: c_k} with s(r) = sum c_k r^k; None where s(r) is no such sum, and for a step."""
    formulas = objective.formulas
    if formulas.omega is None or is_step(objective):
        return None
    pull = formulas.beta.subs(formulas.t, formulas.omega)
    slope = sp.expand(sp.powsimp(sp.expand(R * sp.diff(pull, R)), force=True))
    slope = sp.expand(sp.simplify(slope))
    powers: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(slope):
        factor, power = term.as_coeff_exponent(R)
        if factor.has(R) or power.has(R):
            return None
        powers[power] = powers.get(power, sp.Integer(0)) + factor
    return powers


def closed_form(powers: Mapping[sp.Expr, sp.Expr], distance: float) -> tuple[float, float]:
    """(dL_G/dd, per-sample standard deviation) at the best critic, from the powers of s(r).

    In 60 digits, because the variance is a difference of numbers that may agree in most of theirs; nan beyond
    float64.
    """
    with mpmath.workdps(60):
        d = mpmath.mpf(distance)
        terms = [
            (mpmath.mpf(sp.Rational(k).p) / sp.Rational(k).q, mpmath.mpf(str(sp.N(c, 60))))
            for k, c in powers.items()
        ]

        def moment(k: mpmath.mpf) -> mpmath.mpf:
            return mpmath.exp((k * k + k) * d * d / 2)

        mean = d * sum(c * moment(k) for k, c in terms)
        second = d * d * sum(a * b * moment(j + k) for j, a in terms for k, b in terms)
        found = float(mean), float(mpmath.sqrt(max(second - mean * mean, 0)))
    return found if all(np.isfinite(found)) else (float("nan"), float("nan"))


def closed_forms_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """gradient_closed_forms.csv: one row per objective whose s(r) is a sum of powers, and distance.

    slope = s(r); gradient and gradient_sd by quadrature (as in generator_gradient.csv), gradient_closed and
    gradient_sd_closed; per standard deviation, in units of the loss. relative_gap of the gradients. Empty
    beyond float64.
    """
    rows: list[dict[str, object]] = []
    for name, objective in objectives.items():
        powers = slope_powers(objective)
        if powers is None:
            continue
        slope = sp.Add(*(c * R**k for k, c in powers.items()))
        mean, deviation = generator_gradient(objective, np.array(CLOSED_FORM_AT))
        for place, distance in enumerate(CLOSED_FORM_AT):
            closed, closed_sd = closed_form(powers, distance)
            rows.append(
                {
                    "objective": name,
                    "slope": str(slope),
                    "distance": distance,
                    "gradient": float(mean[place]),
                    "gradient_closed": closed,
                    "gradient_sd": float(deviation[place]),
                    "gradient_sd_closed": closed_sd,
                    "relative_gap": abs(float(mean[place]) / closed - 1),
                }
            )
    return to_columns(rows)
