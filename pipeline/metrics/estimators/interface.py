"""What an estimator of a divergence between two samples is, and what it estimates: titles, units, truths.

    function(real (S, N, D), fake (S, M, D), generator) -> {quantity: (S,)}

p is the density of the real samples, q that of the fakes, r = q/p. Divergences are in nats where they have a
logarithm. A seed's value does not depend on its neighbours in the stack: what is random in an estimator
(projections, pairs, halves) is drawn once from the generator and used for every seed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Function = Callable[[Tensor, Tensor, torch.Generator], dict[str, Tensor]]
Number = int | float | tuple[float, ...] | str


@dataclass(frozen=True)
class Quantity:
    """`at_equal` is the value for p = q, `largest` the supremum over all p and q (None where unbounded)."""

    title: str
    unit: str
    definition: str
    at_equal: float = 0.0
    largest: float | None = None
    larger_is_further: bool = True


# Definitions as in pipeline/objectives/known.py.
QUANTITIES: dict[str, Quantity] = {
    "jensen_shannon": Quantity(
        "Jensen-Shannon divergence",
        "nats",
        "1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q)/2",
        largest=math.log(2),
    ),
    "kl": Quantity("KL(p || q)", "nats", "int p log(p/q)"),
    "reverse_kl": Quantity("KL(q || p)", "nats", "int q log(q/p)"),
    "total_variation": Quantity("Total variation", "1", "1/2 int |p - q|", largest=1.0),
    "squared_hellinger": Quantity("Squared Hellinger", "1", "int (sqrt(p) - sqrt(q))^2", largest=2.0),
    "pearson_chi2": Quantity("Pearson chi-squared", "1", "int (p - q)^2/q"),
    "neyman_chi2": Quantity("Neyman chi-squared", "1", "int (p - q)^2/p"),
    "mmd_squared": Quantity(
        "Squared MMD",
        "1",
        "E k(x, x') + E k(y, y') - 2 E k(x, y), k the mean of the Gaussian kernels exp(-|x - y|^2/(2 h^2)), "
        "h = 1/2, 1, 2 median distances of two reals",
        largest=2.0,
    ),
    "energy_distance": Quantity("Energy distance", "data units", "2 E|x - y| - E|x - x'| - E|y - y'|"),
    "sliced_wasserstein_1": Quantity(
        "Sliced W1", "data units", "mean over unit vectors u of W1 of the projections on u"
    ),
    "sliced_wasserstein_2": Quantity(
        "Sliced W2", "data units", "root of the mean over unit vectors u of W2^2 of the projections on u"
    ),
    "wasserstein_1": Quantity("W1", "data units", "min E|x - y| over the couplings of p and q"),
    "wasserstein_2": Quantity("W2", "data units", "root of min E|x - y|^2 over the couplings of p and q"),
    "two_sample_accuracy": Quantity(
        "Two-sample accuracy",
        "1",
        "share of held-out samples, half of them real, that a classifier tells right; at most (1 + TV)/2",
        at_equal=0.5,
        largest=1.0,
    ),
}


@dataclass(frozen=True)
class Estimator:
    """A function with its protocol as data.

    `cost` is one line; `largest_dimensions` is where it stops being meant (None: nowhere); of more than
    `largest_samples` real or fake samples the first so many are taken; `settings` are the numbers that the
    protocol states; `source` is a citation. The quantities are keys of QUANTITIES.
    """

    name: str
    title: str
    quantities: tuple[str, ...]
    function: Function
    cost: str
    source: str
    largest_dimensions: int | None = None
    largest_samples: int | None = None
    smallest_samples: int = 2
    settings: Mapping[str, Number] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strangers = [name for name in self.quantities if name not in QUANTITIES]
        if strangers:
            raise ValueError(f"{self.name}: no such quantities: {strangers}; known: {', '.join(QUANTITIES)}")

    def __call__(self, real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """real (S, N, D) and fake (S, M, D), any float type -> {quantity: (S,) float64}.

        Runs without gradients; a function that trains enables its own. Raises ValueError for other shapes
        or types, for too few samples or too many dimensions, and for a sample that is not finite.
        """
        self._check(real, fake)
        with torch.no_grad():
            found = self.function(self._thin(real), self._thin(fake), generator)
        if set(found) != set(self.quantities):
            raise ValueError(f"{self.name}: gave {sorted(found)}, not {sorted(self.quantities)}")
        return {name: found[name].double().reshape(len(real)) for name in self.quantities}

    def _thin(self, samples: Tensor) -> Tensor:
        return samples if self.largest_samples is None else samples[:, : self.largest_samples]

    def _check(self, real: Tensor, fake: Tensor) -> None:
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        if real.ndim != 3 or fake.ndim != 3 or real.shape[::2] != fake.shape[::2] or 0 in real.shape[::2]:
            raise ValueError(f"{self.name}: real and fake must be (S, N, D) and (S, M, D), not {shapes}")
        if min(real.shape[1], fake.shape[1]) < self.smallest_samples:
            raise ValueError(f"{self.name}: needs at least {self.smallest_samples} samples, not {shapes}")
        if self.largest_dimensions is not None and real.shape[2] > self.largest_dimensions:
            raise ValueError(
                f"{self.name}: at most {self.largest_dimensions} dimensions, not {real.shape[2]}"
            )
        for label, samples in (("real", real), ("fake", fake)):
            if not samples.is_floating_point():
                raise ValueError(f"{self.name}: {label} must be of a float type, not {samples.dtype}")
            bad = ~samples.isfinite().flatten(1).all(1)
            if bool(bad.any()):
                raise ValueError(f"{self.name}: {label} is not finite in seed {int(bad.nonzero()[0])}")
