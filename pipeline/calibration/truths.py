"""The exact divergences of two normals, and of two mixtures of the same modes in other shares.

p is the data, q the generated law, in the words of pipeline/metrics/estimators/interface.py. Two forms carry
everything that is a mean over pairs of points. With x - y ~ N(d, 2 sigma^2 I_D),

    E|x - y|                     = 2 sigma G((D + 1)/2)/G(D/2) 1F1(-1/2; D/2; -|d|^2/(4 sigma^2))
    E exp(-|x - y|^2/(2 h^2))    = (h^2/(h^2 + 2 sigma^2))^(D/2) exp(-|d|^2/(2 (h^2 + 2 sigma^2)))

the first being the mean of a noncentral chi variable. The kernel's h follows the median of |x - x'| of two
reals, as the estimator does.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln, hyp1f1, log_expit, xlogy
from scipy.stats import chi2, ncx2

from pipeline.data.mixtures import SEPARATION
from pipeline.metrics.estimators.kernel import WIDTHS

Array = npt.NDArray[np.float64]

ANGLES = 360
_STEP = 0.1  # standard deviations between the atoms that stand for a mode on the line
_REACH = 6.0  # standard deviations


def normals_to_truth(distance: float, dimensions: int) -> dict[str, float]:
    """N(0, I_D) and N(distance e_1, I_D) -> every quantity of the estimators, by name.

    Closed forms but for the Jensen-Shannon divergence (quadrature, 1e-10). Raises ValueError for a negative
    distance and for fewer than one dimension.
    """
    if not (distance >= 0 and math.isfinite(distance)) or dimensions < 1:
        raise ValueError(f"normals need a distance >= 0 and dimensions >= 1, not {distance} and {dimensions}")
    d, half = float(distance), dimensions / 2
    total_variation = math.erf(d / math.sqrt(8))
    chi2_divergence = math.expm1(d**2) if d**2 < math.log(np.finfo(np.float64).max) else math.inf
    median_squared = 2 * float(chi2.ppf(0.5, dimensions))
    apart = np.array([0.0, d])
    energy = _mean_distance(apart, 1.0, dimensions)
    kernel = _mean_kernel(apart, 1.0, dimensions, math.sqrt(median_squared))
    return {
        "jensen_shannon": _normal_jsd(d),
        "kl": d**2 / 2,
        "reverse_kl": d**2 / 2,
        "total_variation": total_variation,
        "squared_hellinger": -2 * math.expm1(-(d**2) / 8),
        "pearson_chi2": chi2_divergence,
        "neyman_chi2": chi2_divergence,
        "mmd_squared": float(2 * (kernel[0] - kernel[1])),
        "energy_distance": float(2 * (energy[1] - energy[0])),
        # E|u_1| = G(D/2)/(sqrt(pi) G((D + 1)/2)) and E u_1^2 = 1/D on the unit sphere.
        "sliced_wasserstein_1": d * math.exp(gammaln(half) - gammaln(half + 0.5)) / math.sqrt(math.pi),
        "sliced_wasserstein_2": d / math.sqrt(dimensions),
        "wasserstein_1": d,
        "wasserstein_2": d,
        "two_sample_accuracy": (1 + total_variation) / 2,
    }


def weights_to_truth(mixture_means: Array, std: float, p: Array, q: Array) -> dict[str, float]:
    """Modes N(mu_k, std^2 I_2), means (K, 2), with the shares p (K,) in the data and q (K,) generated.

    The f-divergences are those of p and q, exact but for the overlap of the modes (at SEPARATION std 1e-8 of
    the mass), infinite where one share is 0 and the divergence says so. `wasserstein_1` and `wasserstein_2`
    are exact transport between the means: upper bounds, as mass may also move inside a mode, by at most
    2 std E|z| = 2.51 std (W1) and 2 std (E|z|^2)^(1/2) = 2.83 std (W2), z ~ N(0, I_2). Energy and MMD are
    closed forms; sliced distances are sums over ANGLES directions and atoms _STEP std apart (1e-3 relative).
    Raises ValueError for shares that are none and for modes nearer than SEPARATION std.
    """
    means, p, q = (np.asarray(one, dtype=np.float64) for one in (mixture_means, p, q))
    if means.ndim != 2 or means.shape[1] != 2 or p.shape != means.shape[:1] or q.shape != p.shape:
        raise ValueError(f"need means (K, 2) and shares (K,), not {means.shape}, {p.shape}, {q.shape}")
    for name, shares in (("p", p), ("q", q)):
        if not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-9:
            raise ValueError(f"{name}: shares are at least 0 and sum to 1, not {shares.tolist()}")
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1)
    nearest = float(apart[np.triu_indices(len(p), 1)].min(initial=math.inf))
    if not std > 0 or nearest < SEPARATION * std:
        raise ValueError(
            f"modes must be {SEPARATION:g} std apart and std > 0, not {nearest:g} and std {std:g}"
        )
    change = p - q
    bandwidth = math.sqrt(_median_squared(apart, std, p))
    sliced = _sliced(means, std, p, q)
    return {
        **_shares_to_divergences(p, q),
        "mmd_squared": float(change @ _mean_kernel(apart, std, 2, bandwidth) @ change),
        "energy_distance": float(-change @ _mean_distance(apart, std, 2) @ change),
        "sliced_wasserstein_1": sliced[0],
        "sliced_wasserstein_2": sliced[1],
        "wasserstein_1": _transport(apart, p, q),
        "wasserstein_2": math.sqrt(_transport(apart**2, p, q)),
    }


def _normal_jsd(d: float) -> float:
    """log 2 + E_p log sigmoid(-log r) with log r = d x - d^2/2: both halves are equal by reflection."""

    def integrand(x: float) -> float:
        gain = math.log(2) + float(log_expit(d**2 / 2 - d * x))
        return gain * math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)

    middle = min(d / 2, 12.0)
    halves = sum(
        float(quad(integrand, low, high, epsabs=1e-13, epsrel=1e-11, limit=200)[0])
        for low, high in ((-12.0, 0.0), (0.0, middle), (middle, 12.0))
        if low < high
    )
    return min(halves, math.log(2))


def _mean_distance(apart: Array, std: float, dimensions: int) -> Array:
    """E|x - y| of N(a, std^2 I) and N(b, std^2 I) at |a - b| = apart."""
    scale = 2 * std * math.exp(gammaln((dimensions + 1) / 2) - gammaln(dimensions / 2))
    result: Array = scale * hyp1f1(-0.5, dimensions / 2, -((apart / (2 * std)) ** 2))
    return result


def _mean_kernel(apart: Array, std: float, dimensions: int, median: float) -> Array:
    """E k(x, y) of the estimator's kernel, the mean over its widths, at |a - b| = apart."""
    kernels = []
    for width in WIDTHS:
        wide = (width * median) ** 2 + 2 * std**2
        kernels.append(((width * median) ** 2 / wide) ** (dimensions / 2) * np.exp(-(apart**2) / (2 * wide)))
    result: Array = np.mean(kernels, axis=0)
    return result


def _median_squared(apart: Array, std: float, p: Array) -> float:
    """The median of |x - x'|^2 of two reals: a mixture of noncentral chi-squared laws."""
    pairs = np.outer(p, p)
    levels, place = np.unique(np.round((apart / std) ** 2 / 2, 9), return_inverse=True)
    shares = np.bincount(place.ravel(), weights=pairs.ravel())

    def excess(squared: float) -> float:
        return float(shares @ ncx2.cdf(squared / (2 * std**2), 2, levels)) - 0.5

    return float(brentq(excess, 0.0, (float(apart.max()) + 20 * std) ** 2, xtol=1e-14))


def _shares_to_divergences(p: Array, q: Array) -> dict[str, float]:
    """The f-divergences of two probability vectors (K,)."""
    middle = (p + q) / 2
    total_variation = float(np.abs(p - q).sum()) / 2
    jsd = float((xlogy(p, p) + xlogy(q, q)).sum()) / 2 - float(xlogy(middle, middle).sum())

    def summed(term: Callable[[Array, Array], Array], a: Array, b: Array) -> float:
        """sum of term(a, b), infinite where b misses some of a."""
        return math.inf if ((b == 0) & (a > 0)).any() else float(term(a[b > 0], b[b > 0]).sum())

    def kl(a: Array, b: Array) -> Array:
        result: Array = xlogy(a, a / b)
        return result

    def chi2_divergence(a: Array, b: Array) -> Array:
        return (a - b) ** 2 / b

    return {
        "jensen_shannon": min(max(0.0, jsd), math.log(2)),
        "kl": summed(kl, p, q),
        "reverse_kl": summed(kl, q, p),
        "total_variation": total_variation,
        "squared_hellinger": float(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()),
        "pearson_chi2": summed(chi2_divergence, p, q),
        "neyman_chi2": summed(chi2_divergence, q, p),
        "two_sample_accuracy": (1 + total_variation) / 2,
    }


def _transport(costs: Array, p: Array, q: Array) -> float:
    """The least mean cost between shares p and q of the modes."""
    # Here: POT takes 3 seconds to import.
    import ot

    return float(ot.emd2(p / p.sum(), q / q.sum(), np.ascontiguousarray(costs)))


def _sliced(means: Array, std: float, p: Array, q: Array) -> tuple[float, float]:
    """Sliced W1 and W2: the projected modes as atoms on the line, over half a turn of directions."""
    import ot

    offsets = std * np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    profile = np.exp(-((offsets / std) ** 2) / 2)
    atoms_p, atoms_q = (np.outer(shares / shares.sum(), profile / profile.sum()).ravel() for shares in (p, q))
    turns = math.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    projected = means @ np.stack([np.cos(turns), np.sin(turns)])
    points = (projected[:, None, :] + offsets[None, :, None]).reshape(-1, ANGLES)
    first, second = (float(np.mean(ot.wasserstein_1d(points, points, atoms_p, atoms_q, p=a))) for a in (1, 2))
    return first, math.sqrt(second)
