"""How fast a sample average comes to the expectation that the loss stands for (claim D6).

The critic's gain is E_p phi(t) + E_q psi(t); training has averages over N samples of each density. For
p = N(0, 1) and q = N(d, s^2), so log r = x^2/2 - (x - d)^2/(2 s^2) - log s, the critic is fixed: the best
one, t = omega(r), or a wrong one, t = omega(r^SLOPE e^SHIFT). Expectation and variance are quadratures; the
averages are over new samples for each N and each of `repeats` repeats (all objectives see the same ones)::

    error(N) = sqrt(mean over repeats (average - expectation)^2),      exact: deviation / sqrt(N)
    deviation^2 = Var_p phi + Var_q psi

and the slope of log error against log N is that of least squares, with the jackknife over repeats for its
standard error (leave one repeat out at every N): slope +- t_{repeats - 1} standard errors.

Where the variance is infinite there is no such law. If phi or psi grows as e^(a L), L = log r, and s > 1, so
that L grows as c x^2 with c = (1 - 1/s^2)/2, then E_p phi^2 is finite for 2 a c < 1/2 and E_q psi^2 for
2 a c < 1/(2 s^2). Between normals of one width L is linear in x and every moment finite, but E_p r^k =
exp(k (k - 1) d^2/2): at some distance (shift_2) most repeats miss what carries the average.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from pipeline.calibration.density_ratio import shared
from pipeline.objectives import Objective
from pipeline.statistics import CONFIDENCE
from pipeline.theory.densities import Array, Mixture, gauss_legendre
from pipeline.theory.pairs import STANDARD, Nodes
from pipeline.theory.recipe import with_omega

SAMPLES = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
REPEATS = 50
SEED = 20190604
SLOPE, SHIFT = 0.5, -0.5  # of the wrong critic's log ratio
_AT_ONCE = 10_000  # draws: in the processor's cache the formulas take a third of the time
_ORDER = 12  # Gauss-Legendre nodes per panel
_REACH = 30.0  # standard deviations: what carries E_p r^2 of the widest pair ends at 20
_FAR = (200.0, 300.0)  # log r between which the growth is read off
_CRITICS = ("best", "wrong")

SAMPLE_AVERAGE_COLUMNS = [
    *("objective", "critic", "pair", "distance", "scale", "samples", "repeats"),
    *("expectation", "is_variance_finite", "deviation", "mean", "root_mean_square_error", "exact_error"),
    *("slope", "slope_low", "slope_high", "slope_standard_error"),
]
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Normals:
    """p = N(0, 1) and q = N(distance, scale^2), scale at least 1."""

    distance: float
    scale: float = 1.0

    def log_ratio(self, x: Tensor) -> Tensor:
        """log q/p."""
        return x**2 / 2 - ((x - self.distance) / self.scale) ** 2 / 2 - float(np.log(self.scale))

    def nodes(self) -> Nodes:
        """Gauss-Legendre on even panels, cut where either critic says p = q: there a step jumps."""
        square = (1 - 1 / self.scale**2) / 2
        line = self.distance / self.scale**2
        constant = -(self.distance**2) / (2 * self.scale**2) - float(np.log(self.scale))
        jumps = [np.roots([square, line, constant - level]) for level in (0.0, -SHIFT / SLOPE)]
        real = [x.real for x in np.concatenate(jumps) if x.imag == 0 and abs(x) < _REACH]
        edges = np.unique([*np.linspace(-_REACH, _REACH, int(4 * _REACH) + 1), *real])
        x, weights = gauss_legendre(edges, _ORDER)
        q = Mixture((self.distance,), (self.scale,))
        return Nodes(x, STANDARD.log_density(x), q.log_density(x), weights)


PAIRS: Mapping[str, Normals] = {
    "shift_0.5": Normals(0.5),
    "shift_2": Normals(2.0),
    "wider": Normals(0.5, float(np.sqrt(1.6))),
}


def sample_average_rows(
    objectives: Mapping[str, Objective], samples: tuple[int, ...] = SAMPLES, repeats: int = REPEATS
) -> list[Row]:
    """sample_average.csv: one row (SAMPLE_AVERAGE_COLUMNS) per objective with an omega, critic, pair and N.

    All in units of the loss. deviation and exact_error (deviation / sqrt(N)) are nan where the variance is
    infinite; the slope is that over all N of its objective, critic and pair, in each of their rows. Raises
    ValueError for fewer than two N or repeats.
    """
    if len(samples) < 2 or repeats < 2:
        raise ValueError(f"sample average: at least 2 sizes and 2 repeats, not {len(samples)} and {repeats}")
    groups = _same_errors(with_omega(objectives))
    rows: list[Row] = []
    for name, normals in PAIRS.items():
        averages = _averages([group[0] for group in groups], normals, samples, repeats)
        for place, group in enumerate(groups):
            for critic in _CRITICS:
                law = exact(group[0], normals, critic)
                errors = averages[place, _CRITICS.index(critic)] - law.expectation  # (sizes, repeats)
                fit = error_slope(errors, samples)
                for objective in group:
                    # Losses that differ by constants: one error, but each its own expectation.
                    expectation = exact(objective, normals, critic).expectation
                    key = (objective.name, critic, name, normals.distance, normals.scale)
                    rows += [
                        (
                            *(*key, count, repeats, expectation, int(law.is_variance_finite), law.deviation),
                            expectation + float(errors[size].mean()),
                            float(np.sqrt((errors[size] ** 2).mean())),
                            law.deviation / float(np.sqrt(count)),
                            *(fit.slope, fit.low, fit.high, fit.standard_error),
                        )
                        for size, count in enumerate(samples)
                    ]
    order = {name: index for index, name in enumerate(objectives)}
    return sorted(rows, key=lambda row: order[row[0]])


def _same_errors(objectives: Mapping[str, Objective]) -> list[list[Objective]]:
    """In groups whose gains at the same ratio differ by constants; each step by itself."""
    telling = [one for one in objectives.values() if one.formulas.omega_inverse is not None]
    groups = [[one.objective for one in group] for group in shared(telling)]
    return groups + [[one] for one in objectives.values() if one not in telling]


def real_gain(objective: Objective, log_ratio: Tensor, critic: str) -> Tensor:
    """phi(t) of the critic where log q/p is `log_ratio`, any shape."""
    return objective.phi(_output(objective, log_ratio, critic))


def fake_gain(objective: Objective, log_ratio: Tensor, critic: str) -> Tensor:
    """psi(t), likewise."""
    return objective.psi(_output(objective, log_ratio, critic))


def _output(objective: Objective, log_ratio: Tensor, critic: str) -> Tensor:
    return objective.omega((log_ratio if critic == "best" else SLOPE * log_ratio + SHIFT).exp())


@dataclass(frozen=True)
class Law:
    """Of one real and one fake sample's gain: expectation and standard deviation (nan where infinite)."""

    expectation: float
    deviation: float
    is_variance_finite: bool


def exact(objective: Objective, normals: Normals, critic: str) -> Law:
    """By quadrature. Raises ArithmeticError where the expectation is infinite."""
    nodes = normals.nodes()
    log_ratio = torch.from_numpy(nodes.log_q - nodes.log_p)
    phi, psi = (gain(objective, log_ratio, critic).numpy() for gain in (real_gain, fake_gain))
    p, q = np.exp(nodes.log_p), np.exp(nodes.log_q)
    curvature = (1 - 1 / normals.scale**2) / 2
    tails = [growth * curvature for growth in _growths(objective, critic)]
    room = (0.5, 0.5 / normals.scale**2)
    if any(tail >= most for tail, most in zip(tails, room, strict=True)):
        raise ArithmeticError(f"sample average: {objective.name}: the expectation is infinite")
    means = [nodes.integral(density * gain, objective.name) for density, gain in ((p, phi), (q, psi))]
    finite = all(2 * tail < most for tail, most in zip(tails, room, strict=True))
    variance = float("nan")
    if finite:
        centred = ((p, phi - means[0]), (q, psi - means[1]))
        variance = sum(nodes.integral(density * gain**2, objective.name) for density, gain in centred)
    return Law(sum(means), float(np.sqrt(variance)), finite)


def _growths(objective: Objective, critic: str) -> list[float]:
    """a of phi and of psi, which grow as e^(a L); 0 for what grows as a power of L or not at all."""
    far = torch.tensor(_FAR, dtype=torch.float64)
    found = []
    for gain in (real_gain, fake_gain):
        near, beyond = gain(objective, far, critic).abs().clamp(min=1e-300).log().tolist()
        rate = (beyond - near) / (_FAR[1] - _FAR[0])
        found.append(rate if rate > 0.05 else 0.0)
    return found


def _averages(
    objectives: list[Objective], normals: Normals, samples: tuple[int, ...], repeats: int
) -> NDArray[np.float64]:
    """Averages of phi + psi over new samples: (objectives, critics, sizes, repeats)."""
    found = np.zeros((len(objectives), len(_CRITICS), len(samples), repeats))
    rng = np.random.default_rng(SEED)
    for size, count in enumerate(samples):
        for part, columns in _pieces(repeats, count):
            x_real, x_fake = torch.from_numpy(rng.standard_normal((2, part.stop - part.start, columns)))
            real = normals.log_ratio(x_real)
            fake = normals.log_ratio(normals.distance + normals.scale * x_fake)
            for place, objective in enumerate(objectives):
                for index, critic in enumerate(_CRITICS):
                    total = real_gain(objective, real, critic).sum(1) + fake_gain(
                        objective, fake, critic
                    ).sum(1)
                    found[place, index, size, part] += total.numpy() / count
    return found


def _pieces(repeats: int, count: int) -> Iterator[tuple[slice, int]]:
    """(which repeats, how many samples of each): `count` of all in the end, at most `_AT_ONCE` at a time."""
    rows = max(1, _AT_ONCE // count)
    for start in range(0, repeats, rows):
        part = slice(start, min(start + rows, repeats))
        for first in range(0, count, _AT_ONCE):
            yield part, min(_AT_ONCE, count - first)


@dataclass(frozen=True)
class Slope:
    """Of log error against log N, with its interval at CONFIDENCE."""

    slope: float
    low: float
    high: float
    standard_error: float


def error_slope(errors: Array, samples: tuple[int, ...]) -> Slope:
    """errors (sizes, repeats) of averages over `samples` (sizes,) -> the slope; see the module.

    Raises ValueError where no two repeats of a size have an error.
    """
    repeats = errors.shape[1]
    log_n = np.log(samples)
    centred = (log_n - log_n.mean()) / ((log_n - log_n.mean()) ** 2).sum()
    squares = errors**2
    total = squares.sum(1, keepdims=True)
    if bool((total <= squares.max(1, keepdims=True)).any()):
        raise ValueError("sample average: an error is 0 in all repeats but one; more repeats are needed")
    slope = float(centred @ np.log(total[:, 0] / repeats)) / 2
    without = centred @ np.log((total - squares) / (repeats - 1)) / 2  # (repeats,)
    error = float(np.sqrt((repeats - 1) / repeats * ((without - without.mean()) ** 2).sum()))
    reach = float(stdtrit(repeats - 1, (1 + CONFIDENCE) / 2)) * error
    return Slope(slope, slope - reach, slope + reach, error)
