"""The density ratio by logistic regression on features, on samples it was not fitted on.

With as many real as fake samples the log odds of a logistic regression estimate log u = log p/q (Qin 1998;
Sugiyama, Suzuki & Kanamori 2012, chapter 4). Half of the samples fit it, the other half is averaged over
(`ratio`). At most
LARGEST_FITTED of each side are fitted on. The features of standardised x:

- x and x^2, all dimensions;
- the products x_i x_j while D <= PRODUCTS_UP_TO: then log u of any two normals is in the span;
- Gaussian bumps of width BUMP_WIDTH at BUMPS samples of the training half while D <= BUMPS_UP_TO: then modes
  of a mixture can be told one by one;

each standardised again. The L2 penalty |coefficients|^2 / (2 C) is the best of STRENGTHS on a quarter of the
fitted samples; p = q, log u = 0, stands among them and wins where none is better. With the chosen C it is
fitted again on all of them.

Halves and bumps are drawn once and used for every seed; each seed is fitted by itself.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from pipeline.metrics.estimators.interface import Estimator
from pipeline.metrics.estimators.ratio import RATIO_QUANTITIES, halves, ratio_to_divergences

Array = npt.NDArray[np.float64]
Features = Callable[[Tensor], Tensor]  # (N, D) -> (N, F)

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # C: the larger the weaker the penalty
VALIDATION_SHARE = 0.25
PRODUCTS_UP_TO = 16
BUMPS_UP_TO = 2
BUMPS = 64  # at real samples, and as many at fake ones
BUMP_WIDTH = 0.3  # standard deviations of the pooled samples
SMALLEST_SAMPLES = 64
LARGEST_FITTED = 2500  # samples of each side: more cost time and hardly move 130 coefficients
_ITERATIONS = 1000


def logistic_ratio(features: Features | None = None, name: str = "logistic_ratio") -> Estimator:
    """The estimator on the features above, or linear in those that `features` gives (say a classifier's)."""

    def estimate(real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return ratio_to_divergences(*held_out_log_ratios(real, fake, generator, features))

    return Estimator(
        name=name,
        title="Logistic regression",
        quantities=RATIO_QUANTITIES,
        function=estimate,
        cost="O(N F) an iteration, F features: at most 2 D + D (D - 1)/2 + 128",
        source="Qin 1998, Biometrika 85(3); Sugiyama, Suzuki & Kanamori 2012, Density ratio estimation",
        smallest_samples=SMALLEST_SAMPLES,
        settings={
            "features": "x, squares, products, bumps" if features is None else "given",
            "products_up_to": PRODUCTS_UP_TO,
            "bumps_up_to": BUMPS_UP_TO,
            "bumps": 2 * BUMPS,
            "bump_width": BUMP_WIDTH,
            "strengths": STRENGTHS,
            "largest_fitted": LARGEST_FITTED,
            "validation_share": VALIDATION_SHARE,
        },
    )


def held_out_log_ratios(
    real: Tensor, fake: Tensor, generator: torch.Generator, features: Features | None = None
) -> tuple[Tensor, Tensor]:
    """log p/q at the held-out halves of real (S, N, D) and fake (S, M, D): (S, N - N//2), (S, M - M//2).

    The two training halves are cut to equal numbers: the log odds of unequal ones would be shifted.
    """
    learned, held = halves(real.shape[1], fake.shape[1], generator)
    count = min(LARGEST_FITTED, *(len(part) for part in learned))
    at_real, at_fake = [], []
    for one_real, one_fake in zip(real, fake, strict=True):
        x = [one_real, one_fake] if features is None else [features(one_real), features(one_fake)]
        arrays = [one.double().cpu().numpy() for one in x]
        real_held, fake_held = fit(
            [one[part[:count].numpy()] for one, part in zip(arrays, learned, strict=True)],
            [one[part.numpy()] for one, part in zip(arrays, held, strict=True)],
            is_expanded=features is None,
        )
        at_real.append(torch.from_numpy(real_held))
        at_fake.append(torch.from_numpy(fake_held))
    return torch.stack(at_real), torch.stack(at_fake)


def fit(learned: list[Array], held: list[Array], is_expanded: bool = True) -> list[Array]:
    """log u at `held` real (n, D) and fake (m, D), fitted on as many real as fake `learned`, shuffled."""
    scale = _Standard(np.concatenate(learned))
    learned, held = ([scale(one) for one in pair] for pair in (learned, held))
    if is_expanded:
        centres = np.concatenate([one[:BUMPS] for one in learned])
        learned, held = ([expand(one, centres) for one in pair] for pair in (learned, held))
        scale = _Standard(np.concatenate(learned))
        learned, held = ([scale(one) for one in pair] for pair in (learned, held))
    start = int(len(learned[0]) * (1 - VALIDATION_SHARE))
    fitted, validation = ([one[part] for one in learned] for part in (slice(start), slice(start, None)))
    lowest, chosen = 2 * np.log(2), None
    for strength in STRENGTHS:
        model = _regression(strength, fitted)
        real, fake = (model.decision_function(one) for one in validation)
        loss = float(np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean())
        if loss < lowest:
            lowest, chosen = loss, strength
    if chosen is None:
        return [np.zeros(len(one)) for one in held]
    model = _regression(chosen, learned)
    return [model.decision_function(one) for one in held]


def expand(x: Array, centres: Array) -> Array:
    """Standardised x (N, D) -> its features (N, F); `centres` (K, D) of the bumps."""
    dimensions = x.shape[1]
    columns = [x, x**2]
    if dimensions <= PRODUCTS_UP_TO:
        first, second = np.triu_indices(dimensions, 1)
        columns.append(x[:, first] * x[:, second])
    if dimensions <= BUMPS_UP_TO:
        squared = ((x[:, None] - centres) ** 2).sum(2)
        columns.append(np.exp(-squared / (2 * BUMP_WIDTH**2)))
    return np.concatenate(columns, axis=1)


class _Standard:
    """x (N, F) -> (x - mean)/std of the samples it was made from; a constant column becomes 0."""

    def __init__(self, x: Array) -> None:
        self.mean, std = x.mean(0), x.std(0)
        self.std = np.where(std > 0, std, 1.0)

    def __call__(self, x: Array) -> Array:
        standard: Array = (x - self.mean) / self.std
        return standard


def _regression(strength: float, x: list[Array]) -> LogisticRegression:
    labels = np.repeat([1, 0], [len(one) for one in x])
    return LogisticRegression(C=strength, max_iter=_ITERATIONS).fit(np.concatenate(x), labels)


LOGISTIC_RATIO = logistic_ratio()
