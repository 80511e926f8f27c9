"""Normals fitted by training: the f-GAN game on the mixture of `mixture_fit` (W9), and all fits under all f.

p is the mixture, q = N(mu, sigma^2) with samples x = mu + sigma z, and the critic t = a(v) a network of
1-32-32-1 with tanh. Both play the variational bound, the critic up and the generator down::

    F(q, t) = E_p t(x) - E_q f*(t(x)) <= D_f(p, q)

so what training ends at lies below the divergence of the q it ended at by what the critic lacks, and that
lies above the least divergence by what the generator lacks. Source: Nowozin et al. 2016, section 2.

A batch is stratified: one uniform number in each of B equal strata, turned into z, and each component of p
gets its exact share of B. The means are unbiased, tails included, and vary far less than those of
independent samples; a fixed quadrature would let a network grow between its nodes. All f see the same
numbers. Both learning rates fall linearly to 0, or the last critic would be that of an earlier q.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective
from pipeline.objectives.formulas import R
from pipeline.objectives.precise import evaluate
from pipeline.theory.densities import Array, Mixture, midpoint_grid
from pipeline.theory.mixture_fit import TARGET, divergence
from pipeline.theory.side_by_side import SideBySide, TensorAdam
from pipeline.theory.tables import to_columns

WIDTHS = (32, 32)
SEEDS = 5
BATCH = 100  # the weights of p are hundredths
UPDATES = 600  # of the generator
CRITIC_STEPS = 2
CRITIC_RATE, GENERATOR_RATE = 5e-3, 2e-2  # at the start; Adam's
BETAS = (0.5, 0.9)
START = (0.0, 1.5)  # mu, sigma: every f is finite there
RANDOM_SEED = 20161202
_X, _CELLS = midpoint_grid(-26.0, 30.0, 2800)  # of the bound at the end

_WIDE, _WIDE_CELLS = midpoint_grid(-400.0, 400.0, 8000)  # of what has not died away on mixture_fit's interval
_COARSE = 80  # cells between the first looks at it
_TRUNCATED = 1e-9  # the integrand at either end, over its maximum

Fits = Mapping[str, tuple[float, float]]  # objective -> mu, sigma


def with_f(objectives: Mapping[str, Objective]) -> dict[str, Objective]:
    """Those given by a convex f."""
    return {name: one for name, one in objectives.items() if one.formulas.f is not None}


@dataclass(frozen=True)
class Trained:
    """What each f (row) and seed (column) ended at: mu, sigma and F, in the units of f; nan where lost."""

    mean: Array
    std: Array
    bound: Array


def stratified_normal(generator: np.random.Generator, seeds: int, count: int) -> Array:
    """`(seeds, count)` standard normal numbers, one per stratum of probability 1/count."""
    uniform = (np.arange(count) + generator.random((seeds, count))) / count
    z: Array = ndtri(np.clip(uniform, 1e-300, 1 - 1e-16))
    return z


def target_samples(generator: np.random.Generator, seeds: int) -> Array:
    """`(seeds, BATCH)` samples of p."""
    parts = [
        mean + std * stratified_normal(generator, seeds, round(weight * BATCH))
        for mean, std, weight in zip(TARGET.means, TARGET.stds, TARGET.weights, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def train(
    objectives: Mapping[str, Objective], updates: int = UPDATES, critic_steps: int = CRITIC_STEPS
) -> Trained:
    """Train a critic and a normal under every objective, `SEEDS` times each, as one stack."""
    game = SideBySide(tuple(objectives.values()), SEEDS)
    numbers = np.random.default_rng(RANDOM_SEED)
    seeds = tuple(range(SEEDS)) * len(objectives)
    critic = StackedMLP((1, *WIDTHS, 1), "tanh", "linear", seeds, "critic_weights", dtype=torch.float64)
    theta = torch.tensor([START[0], np.log(START[1])], dtype=torch.float64).repeat(game.size, 1)
    critic_adam, generator_adam = Adam(critic, CRITIC_RATE, BETAS), TensorAdam(theta, BETAS)

    def drawn(samples: Array) -> Tensor:
        return torch.from_numpy(samples).repeat(len(objectives), 1)

    for update in range(updates):
        left = 1 - update / updates
        critic_adam.learning_rate = CRITIC_RATE * left
        for _ in range(critic_steps):
            z = drawn(stratified_normal(numbers, SEEDS, BATCH))
            real = drawn(target_samples(numbers, SEEDS))
            fake = theta[:, :1] + theta[:, 1:].exp() * z
            layers = critic.layers(torch.cat([real, fake], 1).unsqueeze(-1))
            v = layers[-1].squeeze(-1)
            slopes = game.critic_slopes(v[:, :BATCH], v[:, BATCH:])
            critic.backward(layers, slopes.unsqueeze(-1))
            critic_adam.step()
        z = drawn(stratified_normal(numbers, SEEDS, BATCH))
        gradient = _generator_gradient(game, critic, theta, z)
        generator_adam.step(gradient, GENERATOR_RATE * left)
    return _ended(game, critic, theta)


def _generator_gradient(game: SideBySide, critic: StackedMLP, theta: Tensor, z: Tensor) -> Tensor:
    """d loss / d(mu, log sigma), (size, 2): dx/dmu = 1 and dx/dlog sigma = sigma z."""
    spread = theta[:, 1:].exp() * z
    layers = critic.layers((theta[:, :1] + spread).unsqueeze(-1))
    slopes = game.generator_slopes(layers[-1].squeeze(-1))
    by_x = critic.backward(layers, slopes.unsqueeze(-1), parameters=False, inputs=True).squeeze(-1)
    return torch.stack([by_x.sum(1), (by_x * spread).sum(1)], 1)


def _ended(game: SideBySide, critic: StackedMLP, theta: Tensor) -> Trained:
    shape = (len(game.objectives), game.copies)
    mean, std = (one.reshape(shape).numpy() for one in (theta[:, 0], theta[:, 1].exp()))
    x = torch.from_numpy(_X)[:, None].expand(game.size, -1, 1)
    v = critic.layers(x)[-1].reshape(*shape, -1)
    bound = [
        [bound_of(objective, v[row, seed], mean[row, seed], std[row, seed]) for seed in range(game.copies)]
        for row, objective in enumerate(game.objectives)
    ]
    return Trained(mean, std, np.array(bound))


def bound_of(objective: Objective, v: Tensor, mean: float, std: float) -> float:
    """F = E_p phi + E_q psi by the midpoint rule, of a critic with raw outputs `v` `(2800,)`; nan if lost.

    F of the objective's own phi and psi, less its value at the equilibrium, as its divergence is.
    """
    if not (np.isfinite(mean) and 0 < std < np.inf and bool(v.isfinite().all())):
        return float("nan")
    t = objective.activation(v)
    p, q = np.exp(TARGET.log_density(_X)), np.exp(Mixture((mean,), (std,)).log_density(_X))
    gains = p * objective.phi(t).numpy() + q * objective.psi(t).numpy()
    bound = float((gains * _CELLS).sum()) - objective.equilibrium_value
    return bound if np.isfinite(bound) else float("nan")


def whole_divergence(objective: Objective, mean: float, std: float) -> float:
    """D_f(p, N(mean, std^2)) over the whole line, in the units of f; inf where it is infinite.

    Where the integrand has not died away on the interval of `mixture_fit.divergence`, which then says inf,
    or overflows there: by mpmath, whose numbers do not overflow, from -400 to 400. Neyman's q^2/p is such
    an integrand: as sigma nears 2, from where on it is infinite, its mass moves out without bound.
    """
    found = divergence(objective, mean, std)
    formula = objective.formulas.divergence
    if np.isfinite(found) or formula is None:
        return found
    log_p, log_q = TARGET.log_density(_WIDE), Mixture((mean,), (std,)).log_density(_WIDE)

    def terms(places: Iterable[int]) -> list[Any]:
        p = [mpmath.exp(log_p[place]) for place in places]
        r = [mpmath.exp(log_q[place] - log_p[place]) for place in places]
        return [density * evaluate(formula, R, ratio) for density, ratio in zip(p, r, strict=True)]

    with mpmath.workdps(20):
        look = terms([*range(0, len(_WIDE), _COARSE), len(_WIDE) - 1])
        if max(abs(look[0]), abs(look[-1])) > _TRUNCATED * max(abs(term) for term in look):
            return float("inf")
        return float(mpmath.fsum(terms(range(len(_WIDE)))) * _WIDE_CELLS[0])


def finite(number: float) -> float:
    """An infinite number as nan: an empty cell."""
    return number if np.isfinite(number) else float("nan")


def tables(
    objectives: Mapping[str, Objective], exact_fits: Mapping[str, Sequence[object]]
) -> Iterator[tuple[str, dict[str, list[object]]]]:
    """trained_fit and cross_fit, from the columns of mixture_fit.csv."""
    names, means, stds = (exact_fits[column] for column in ("objective", "mean", "std"))
    exact = {str(n): (_number(m), _number(s)) for n, m, s in zip(names, means, stds, strict=True)}
    trained = train(with_f(objectives))
    yield "trained_fit", trained_fit_table(objectives, exact, trained)
    yield "cross_fit", cross_fit_table(objectives, exact, medians(objectives, trained))


def _number(cell: object) -> float:
    assert isinstance(cell, float)
    return cell


def trained_fit_table(
    objectives: Mapping[str, Objective], exact: Fits, trained: Trained
) -> dict[str, list[object]]:
    """trained_fit.csv: one row per f; F and divergences in the units of f, mean and std in those of x.

    seeds, lost_seeds (not finite); mean, std, bound (F): medians over seeds, with _low and _high, their
    range; divergence_reached (median over seeds of D_f(p, q) at the q they reached; empty where that is
    infinite), infinite_seeds (how many reached such a q); mean_exact, std_exact, divergence_exact (of the
    best normal).
    """
    rows: list[dict[str, object]] = []
    for place, (name, objective) in enumerate(with_f(objectives).items()):
        mean, std, bound = trained.mean[place], trained.std[place], trained.bound[place]
        known = np.isfinite(bound)
        reached = [whole_divergence(objective, m, s) for m, s in zip(mean[known], std[known], strict=True)]
        row: dict[str, object] = {"objective": name, "seeds": len(mean), "lost_seeds": int((~known).sum())}
        for column, values in (("mean", mean), ("std", std), ("bound", bound)):
            for end, share in (("", 0.5), ("_low", 0.0), ("_high", 1.0)):
                row[column + end] = _quantile(values[known], share)
        row["divergence_reached"] = _quantile(np.array(reached), 0.5)
        row["infinite_seeds"] = sum(not np.isfinite(value) for value in reached)
        row["mean_exact"], row["std_exact"] = exact[name]
        row["divergence_exact"] = whole_divergence(objective, *exact[name])
        rows.append(row)
    return to_columns(rows)


def _quantile(values: Array, share: float) -> float:
    if not values.size:
        return float("nan")
    # No value between two: inf - inf is not a number.
    return finite(float(np.quantile(values, share, method="higher")))


def medians(objectives: Mapping[str, Objective], trained: Trained) -> Fits:
    """The normal of the median mu and the median sigma over the seeds left, of each f that has any."""
    found = {}
    for name, mean, std, bound in zip(
        with_f(objectives), trained.mean, trained.std, trained.bound, strict=True
    ):
        known = np.isfinite(bound)
        if known.any():
            found[name] = (float(np.median(mean[known])), float(np.median(std[known])))
    return found


def cross_fit_table(
    objectives: Mapping[str, Objective], exact: Fits, trained: Fits
) -> dict[str, list[object]]:
    """cross_fit.csv: every fit under every f.

    fit (exact or trained: the medians over seeds), fitted (the f that q was fitted under), measured (the f
    of the divergence), divergence = D_measured(p, q_fitted), in the units of the f measured, by quadrature;
    empty where it is infinite (or beyond float64): Neyman's chi-squared from sigma = 2 on, where q^2/p does
    not die away, and Pearson's up to sigma = 1, where p^2/q does not.
    """
    rows: list[dict[str, object]] = [
        {
            "fit": kind,
            "fitted": fitted,
            "measured": name,
            "divergence": finite(whole_divergence(objective, mean, std)),
        }
        for kind, fits in (("exact", exact), ("trained", trained))
        for fitted, (mean, std) in fits.items()
        for name, objective in with_f(objectives).items()
    ]
    return to_columns(rows)
