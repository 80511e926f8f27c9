"""The distance experiment (claims V1, V2): JSD of two densities that are moved apart.

For p = N(0, 1), q = N(d, 1) and r = q/p, with log r = d (x - d/2) odd about the midpoint::

    log 2 - JSD = 1/2 int p log(1 + r) + 1/2 int q log(1 + 1/r)
    d JSD / d d = (d/2) int p q / (p + q)

The second line is the envelope theorem and one integration by parts: only q moves, so the derivative is
1/2 int (dq/dd) log(q/(p+q)) = 1/2 E_q[d/dx log(q/(p+q))]. Its integrand is positive, so no digits cancel: the
relative error stays near 1e-13 down to the smallest float64 numbers.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from pipeline.theory.densities import (
    LOG_TWO,
    Array,
    Mixture,
    Uniform,
    gauss_legendre,
    jensen_shannon,
    jsd_shortfall,
    midpoint_grid,
)

LARGEST = 15.0  # standard deviations
STEP = 0.05
# About the midpoint of the means: 12.5 standard deviations past either mean at the largest distance.
_CENTRED, _WIDTHS = midpoint_grid(-20.0, 20.0, 2000)

SURVEY_PANEL_NATS = 0.336  # the third panel of Wang, She & Ward 2019; the other two read 0.693
CLAIMED_CONSTANT_FROM = 5.0  # standard deviations, claim V2


def distances() -> Array:
    """0, 0.05, ..., 15 standard deviations."""
    return STEP * np.arange(round(LARGEST / STEP) + 1, dtype=np.float64)


def normal_pair(distance: Array) -> tuple[Array, Array, Array]:
    """log p, log q of N(0, 1) and N(d, 1) on a grid centred between them, and its widths: `(..., cells)`."""
    half = np.asarray(distance, dtype=np.float64)[..., None] / 2
    standard = Mixture()
    return standard.log_density(_CENTRED + half), standard.log_density(_CENTRED - half), _WIDTHS


def jsd_of_normals(distance: Array) -> Array:
    """JSD(N(0, 1), N(d, 1)) in nats for each distance d in standard deviations."""
    return jensen_shannon(*normal_pair(distance))


def jsd_shortfall_of_normals(distance: Array) -> Array:
    """log 2 - JSD(N(0, 1), N(d, 1)) in nats."""
    return jsd_shortfall(*normal_pair(distance))


def jsd_gradient_of_normals(distance: Array) -> Array:
    """d JSD / d distance in nats per standard deviation."""
    log_p, log_q, widths = normal_pair(distance)
    overlap = np.exp(log_p + log_q - np.logaddexp(log_p, log_q))
    gradient: Array = np.asarray(distance) / 2 * (overlap * widths).sum(axis=-1)
    return gradient


def jsd_of_uniforms(shift: float) -> float:
    """JSD(U(0, 1), U(s, 1 + s)) in nats; log 2 whenever |s| >= 1.

    Gauss-Legendre between the jumps, where the integrand is constant.
    """
    edges = np.unique([0.0, 1.0, shift, 1.0 + shift])
    x, weights = gauss_legendre(edges, order=4)
    p, q = Uniform(0.0, 1.0), Uniform(shift, 1.0 + shift)
    return float(jensen_shannon(p.log_density(x), q.log_density(x), weights))


def distance_at_jsd(nats: float) -> float:
    """The distance at which two unit normals have this JSD, for 0 < nats < log 2.

    Raises ValueError outside that range, and where the distance would exceed 15.
    """
    if not 0 < nats < LOG_TWO:
        raise ValueError(f"distance_at_jsd: JSD lies between 0 and log 2, not {nats}")
    return _root(lambda d: float(jsd_shortfall_of_normals(np.array(d))) - (LOG_TWO - nats), 0.0, LARGEST)


def steepest() -> tuple[float, float]:
    """(distance, gradient) where d JSD / d distance is largest."""
    found = minimize_scalar(
        lambda d: -float(jsd_gradient_of_normals(np.array(d))),
        bounds=(0.5, 5.0),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(found.x), -float(found.fun)


def distance_at_gradient_share(share: float) -> float:
    """The distance beyond the steepest one where the gradient is this share of its maximum, 0 < share < 1."""
    at, largest = steepest()
    target = np.log(share * largest)
    return _root(lambda d: float(np.log(jsd_gradient_of_normals(np.array(d))) - target), at, LARGEST)


def distance_at_shortfall_share(share: float) -> float:
    """The distance from which JSD stays within this share of log 2."""
    return _root(
        lambda d: float(jsd_shortfall_of_normals(np.array(d))) - share * LOG_TWO,
        0.0,
        LARGEST,
    )


def _root(function: Callable[[float], float], left: float, right: float) -> float:
    return float(brentq(function, left, right, xtol=1e-12, rtol=1e-14))


def normals_table() -> dict[str, list[float]]:
    """distance.csv: distance (standard deviations), jsd_nats, jsd_shortfall_nats, jsd_gradient_nats.

    jsd_shortfall_nats is log 2 - JSD; the gradient is per standard deviation of distance.
    """
    d = distances()
    shortfall = jsd_shortfall_of_normals(d)
    return {
        "distance": d.tolist(),
        "jsd_nats": (LOG_TWO - shortfall).tolist(),
        "jsd_shortfall_nats": shortfall.tolist(),
        "jsd_gradient_nats": jsd_gradient_of_normals(d).tolist(),
    }


def uniforms_table() -> dict[str, list[object]]:
    """uniforms.csv: one row per shift of U(s, 1 + s) against U(0, 1), in widths.

    overlap_share, jsd_nats, kl_nats = reverse_kl_nats (empty where infinite: for every shift but 0),
    total_variation, squared_hellinger, wasserstein_1 (widths).
    """
    shifts = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0, 15.0]
    return {
        "shift": list(shifts),
        "overlap_share": [max(0.0, 1.0 - shift) for shift in shifts],
        "jsd_nats": [jsd_of_uniforms(shift) for shift in shifts],
        "kl_nats": [None if shift else 0.0 for shift in shifts],
        "total_variation": [min(1.0, shift) for shift in shifts],
        "squared_hellinger": [min(1.0, shift) for shift in shifts],
        "wasserstein_1": list(shifts),
    }


def summary_table() -> dict[str, list[object]]:
    """distance_summary.csv: quantity, value, unit - the numbers that claims V1 and V2 are judged by."""
    at, largest = steepest()
    five = np.array(CLAIMED_CONSTANT_FROM)
    rows: list[tuple[str, float, str]] = [
        ("survey_panel_jsd", SURVEY_PANEL_NATS, "nats"),
        ("distance_at_survey_panel", distance_at_jsd(SURVEY_PANEL_NATS), "standard deviations"),
        # From here on the JSD of two normals rounds to the 0.693 of the other two panels.
        ("distance_reads_0_693", distance_at_jsd(0.6925), "standard deviations"),
        ("steepest_distance", at, "standard deviations"),
        ("steepest_gradient", largest, "nats per standard deviation"),
        ("distance_at_gradient_1_percent", distance_at_gradient_share(0.01), "standard deviations"),
        ("distance_at_jsd_99_percent", distance_at_shortfall_share(0.01), "standard deviations"),
        ("jsd_at_2", float(jsd_of_normals(np.array(2.0))), "nats"),
        ("jsd_at_5", float(jsd_of_normals(five)), "nats"),
        ("jsd_rise_beyond_5", float(jsd_shortfall_of_normals(five)), "nats"),
        ("gradient_at_5_over_steepest", float(jsd_gradient_of_normals(five)) / largest, "1"),
    ]
    names, values, units = zip(*rows, strict=True)
    return {"quantity": list(names), "value": list(values), "unit": list(units)}
