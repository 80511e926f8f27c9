"""Maximum likelihood with a GAN: the generator's gradient under -exp(logit) (claims L1, L2).

p = N(0, 1), q = N(mu, sigma^2), samples x = mu + sigma z. The optimal critic's logit of real is
a(x) = log p(x)/q(x), and beta = -exp(a). With the q inside a held fixed::

    d/dtheta E_q[-exp(a(x))] = -E_z[exp(a) a'(x) dx/dtheta] = d KL(p, q) / dtheta

because q exp(a) = p, which leaves integrals over p. If the q inside a moves along, E_q[-exp(a)] = -int p =
-1 for every theta and the gradient is 0. KL(p, q) = log sigma + (1 + mu^2)/(2 sigma^2) - 1/2.

The gradient of one sample is exp(a) a' dx/dtheta: a sample counts by p/q. Between N(0, 1) and N(d, 1) its
relative standard deviation is sqrt(exp(d^2) - 1), and the samples below the data's median, P_q(x < 0) =
Phi(-d) of them, carry half of the gradient (claim L3).

Both are autograd's, of beta(omega(q/p)) of the objective itself: exact by the midpoint rule over z, and as
means over samples with their standard errors. Source: Goodfellow 2016, arXiv 1701.00160, exercise 8.3.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline.objectives import Objective
from pipeline.theory.densities import Mixture, midpoint_grid
from pipeline.theory.optimal_critic import generator_gradient
from pipeline.theory.recipe import needed
from pipeline.theory.tables import to_columns

MEANS = (0.0, 0.5, 1.0, 1.5)
# Above sqrt(1/2) E_q[exp(2 a)] is finite and the samples have a standard error; at it only for mean 0.
STDS = (1.0, 1.25)
SAMPLES = 200_000
SEED = 20161231  # of the samples; each q has a stream of its own
_Z, _WIDTHS = midpoint_grid(-14.0, 14.0, 1400)
PARAMETERS = ("mean", "std")
SPREAD_DISTANCES = 0.25 * np.arange(1, 25, dtype=np.float64)  # standard deviations


def kl_gradient(mean: float, std: float) -> tuple[float, float]:
    """d KL(N(0, 1), N(mean, std^2)) by mean and by std, in nats."""
    return mean / std**2, 1 / std - (1 + mean**2) / std**3


def sample_gradients(objective: Objective, z: Tensor, mean: float, std: float, is_fixed: bool) -> Tensor:
    """d/d(mean, std) of beta(omega(q/p)) at x = mean + std z, z `(N,)` -> `(2, N)`.

    `is_fixed`: the q inside the critic does not move with the generator.
    """
    theta = [torch.full_like(z, value).requires_grad_() for value in (mean, std)]
    x = theta[0] + theta[1] * z
    own_mean, own_std = (one.detach() for one in theta) if is_fixed else theta
    log_ratio = x**2 / 2 - ((x - own_mean) / own_std) ** 2 / 2 - own_std.log()
    loss = objective.beta(objective.omega(log_ratio.exp()))
    return torch.stack(torch.autograd.grad(loss.sum(), theta))


def maximum_likelihood_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """maximum_likelihood.csv: one row per q and parameter; gradients in nats per unit of the parameter.

    mean, std (of q), parameter; gradient_kl (closed form); gradient_fixed and gradient_moving, by
    quadrature, with the q inside the critic held fixed and moving; sample_fixed, sample_fixed_se,
    sample_moving, sample_moving_se, means and standard errors over `samples`.
    """
    objective = needed(objectives, "maximum_likelihood", "L1")
    weights = torch.from_numpy(np.exp(Mixture().log_density(_Z)) * _WIDTHS)
    nodes = torch.from_numpy(_Z)
    rows: list[dict[str, object]] = []
    for stream, (mean, std) in enumerate((mean, std) for mean in MEANS for std in STDS):
        z = torch.from_numpy(np.random.default_rng([SEED, stream]).standard_normal(SAMPLES))
        exact, sampled = {}, {}
        for is_fixed in (True, False):
            exact[is_fixed] = sample_gradients(objective, nodes, mean, std, is_fixed) @ weights
            sampled[is_fixed] = sample_gradients(objective, z, mean, std, is_fixed)
        for place, parameter in enumerate(PARAMETERS):
            row: dict[str, object] = {
                "mean": mean,
                "std": std,
                "parameter": parameter,
                "gradient_kl": kl_gradient(mean, std)[place],
                "gradient_fixed": float(exact[True][place]),
                "gradient_moving": float(exact[False][place]),
            }
            for name, is_fixed in (("fixed", True), ("moving", False)):
                gradients = sampled[is_fixed][place]
                row[f"sample_{name}"] = float(gradients.mean())
                row[f"sample_{name}_se"] = float(gradients.std()) / SAMPLES**0.5
            row["samples"] = SAMPLES
            rows.append(row)
    return to_columns(rows)


def likelihood_spread_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """likelihood_spread.csv: one row per distance of N(d, 1) from N(0, 1), in standard deviations.

    gradient and gradient_sd (of a sample), by quadrature, in nats per standard deviation; relative_sd, their
    ratio; half_carried_by, the smallest share of the samples that carries half of the gradient;
    samples_for_10_percent, how many bring the mean's standard error to a tenth of it.
    """
    objective = needed(objectives, "maximum_likelihood", "L3")
    mean, deviation = generator_gradient(objective, SPREAD_DISTANCES)
    relative = deviation / mean
    return {
        "distance": SPREAD_DISTANCES.tolist(),
        "gradient": mean.tolist(),
        "gradient_sd": deviation.tolist(),
        "relative_sd": relative.tolist(),
        "half_carried_by": [_half_carried_by(objective, float(d)) for d in SPREAD_DISTANCES],
        "samples_for_10_percent": (100 * relative**2).tolist(),
    }


def _half_carried_by(objective: Objective, distance: float) -> float:
    """The share of the samples, the largest gradients first, that makes up half of the whole."""
    z, widths = midpoint_grid(-distance - 10.0, 10.0, 20_000)
    own = np.exp(Mixture().log_density(z)) * widths
    gradient = sample_gradients(objective, torch.from_numpy(z), distance, 1.0, is_fixed=True)[0].abs().numpy()
    order = np.argsort(-gradient, kind="stable")
    carried = np.cumsum((own * gradient)[order])
    share = np.cumsum(own[order])
    return float(np.interp(carried[-1] / 2, carried, share))
