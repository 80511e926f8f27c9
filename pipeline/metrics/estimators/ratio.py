"""What follows from a density ratio that was learned on other samples.

With u = p/q at held-out samples and D = u/(1 + u), the share of p in (p + q), two families of estimates:

- plug-in: the divergence's integrand at the estimated ratio. Those of KL are averages over their own side,
  KL(p || q) = E_p log u and KL(q || p) = -E_q log u; the chi-squared ones are E_q (u - 1)^2 and
  E_p (1/u - 1)^2. The bounded ones are averages over both sides, with m = (p + q)/2::

      JSD = E_m[log 2 + D log D + (1 - D) log(1 - D)]
      TV  = E_m |2 D - 1|
      H2  = E_m 2 (sqrt(D) - sqrt(1 - D))^2

- variational bound (Nguyen, Wainwright & Jordan 2010; Nowozin, Cseke & Tomioka 2016): for every convex f and
  every u that does not depend on the held-out samples::

      D_f(p, q) >= E_p f'(u) - E_q f*(f'(u)),    f*(f'(u)) = u f'(u) - f(u),    equal where u = p/q

  so its expectation is never above the divergence, however bad the ratio. It may be negative.

The two-sample test: half the share of real samples with u > 1 and half that of fake ones with u < 1; u = 1
counts half. If p = q the number told right has a variance of at most that of a binomial one, so the p-value,
one-sided, is on the safe side (Lopez-Paz & Oquab 2017, arXiv 1610.06545).
"""

import math

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from pipeline.metrics.estimators.interface import QUANTITIES, Quantity

# A sample of some thousands cannot tell larger ratios from each other; e^(2 * 20) is a float64 number too.
LARGEST_LOG_RATIO = 20.0

_DIVERGENCES = (
    *("kl", "reverse_kl", "jensen_shannon", "total_variation", "squared_hellinger"),
    *("pearson_chi2", "neyman_chi2"),
)
BOUNDS = {
    f"{name}_bound": Quantity(
        f"{QUANTITIES[name].title}, lower bound",
        QUANTITIES[name].unit,
        f"E_p f'(u) - E_q f*(f'(u)) at a learned u: in expectation at most {QUANTITIES[name].definition}",
        largest=QUANTITIES[name].largest,
    )
    for name in _DIVERGENCES
}
P_VALUE = Quantity(
    "Two-sample p-value",
    "1",
    "probability that a coin tells as many held-out samples right as the classifier does, or more",
    at_equal=0.5,  # the median; safe: no smaller than uniform on [0, 1]
    largest=1.0,
    larger_is_further=False,
)
QUANTITIES.update(BOUNDS | {"two_sample_p_value": P_VALUE})

RATIO_QUANTITIES = (*_DIVERGENCES, *BOUNDS, "two_sample_accuracy", "two_sample_p_value")


def ratio_to_divergences(at_real: Tensor, at_fake: Tensor) -> dict[str, Tensor]:
    """log u (S, n) at held-out real and (S, m) at held-out fake samples -> RATIO_QUANTITIES, (S,) float64.

    log u is cut at +-LARGEST_LOG_RATIO. Raises ValueError where a log ratio is nan.
    """
    for side, values in (("real", at_real), ("fake", at_fake)):
        if bool(values.isnan().any()):
            raise ValueError(f"density ratio: not a number at a {side} sample; allowed: numbers and +-inf")
    real, fake = (one.double().clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO) for one in (at_real, at_fake))
    return _plug_in(real, fake) | _bounds(real, fake) | _two_sample_test(real, fake)


def _plug_in(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    sides = [(torch.sigmoid(one), torch.sigmoid(-one), one) for one in (real, fake)]  # D, 1 - D, log u

    def over_both(values: list[Tensor]) -> Tensor:
        return sum(one.mean(1) for one in values) / 2  # type: ignore[return-value]

    # D log D + (1 - D) log(1 - D): log D = logsigmoid(log u) keeps the tails.
    entropy = [d * logsigmoid(one) + rest * logsigmoid(-one) for d, rest, one in sides]
    return {
        "kl": real.mean(1),
        "reverse_kl": -fake.mean(1),
        "jensen_shannon": math.log(2) + over_both(entropy),
        "total_variation": over_both([(d - rest).abs() for d, rest, _ in sides]),
        "squared_hellinger": over_both([2 * (d.sqrt() - rest.sqrt()).square() for d, rest, _ in sides]),
        "pearson_chi2": fake.expm1().square().mean(1),
        "neyman_chi2": (-real).expm1().square().mean(1),
    }


def _bounds(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """E_p f'(u) - E_q [u f'(u) - f(u)], by f, written out."""
    return {
        "kl_bound": real.mean(1) - fake.expm1().mean(1),
        "reverse_kl_bound": -fake.mean(1) - (-real).expm1().mean(1),
        "jensen_shannon_bound": math.log(2) - (softplus(-real).mean(1) + softplus(fake).mean(1)) / 2,
        "total_variation_bound": (real.sign().mean(1) - fake.sign().mean(1)) / 2,
        "squared_hellinger_bound": -(-real / 2).expm1().mean(1) - (fake / 2).expm1().mean(1),
        # 2 E_p u - E_q u^2 - 1 and its mirror, written so that a ratio near 1 loses no digits.
        "pearson_chi2_bound": 2 * real.expm1().mean(1) - (2 * fake).expm1().mean(1),
        "neyman_chi2_bound": 2 * (-fake).expm1().mean(1) - (-2 * real).expm1().mean(1),
    }


def _two_sample_test(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    right_real, right_fake = ((1 + real.sign()) / 2).sum(1), ((1 - fake.sign()) / 2).sum(1)
    n, m = real.shape[1], fake.shape[1]
    accuracy = (right_real / n + right_fake / m) / 2
    # Of unequal sides the smaller one's number of coins: an average over n + m of unequal weight varies as
    # that of 4 / (1/n + 1/m) equal ones.
    coins = int(4 / (1 / n + 1 / m) + 1e-9)
    told = np.floor(accuracy.numpy() * coins + 1e-9)
    p_value = torch.from_numpy(np.asarray(binom.sf(told - 1, coins, 0.5)))
    return {"two_sample_accuracy": accuracy, "two_sample_p_value": p_value}


def halves(
    reals: int, fakes: int, generator: torch.Generator
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Indices ((real, fake) to learn from, (real, fake) held out); an odd one out is held out."""
    parts = [torch.randperm(count, generator=generator) for count in (reals, fakes)]
    learned, held = ([one[: len(one) // 2] for one in parts], [one[len(one) // 2 :] for one in parts])
    return (learned[0], learned[1]), (held[0], held[1])
