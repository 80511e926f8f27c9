"""Mixtures of isotropic normals in the plane, with their exact density.

    p(x) = sum_k w_k N(x; mu_k, sigma^2 I),   k = 1..K

A mixture is both the training data (fresh samples, no finite set to memorise) and its own ground truth.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.config import GridData, MixtureData, RingData
from pipeline.data.files import json_bytes, read_verified
from pipeline.errors import UserError

FILE = "mixture.json"
# The measurement's closed forms treat modes as disjoint: at 12 std a mode keeps all but exp(-18) = 1.5e-8 of
# its mass on its own side.
SEPARATION = 12.0


@dataclass(frozen=True, eq=False)
class Mixture:
    """means (K, 2) and weights (K,) in float64, std sigma > 0; the weights sum to 1."""

    means: Tensor
    std: float
    weights: Tensor

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or self.means.shape[1] != 2 or self.weights.shape != self.means.shape[:1]:
            raise ValueError(
                f"a mixture needs means (K, 2) and weights (K,), not {tuple(self.means.shape)} and "
                f"{tuple(self.weights.shape)}"
            )
        if not self.std > 0 or bool((self.weights <= 0).any()):
            raise ValueError("a mixture needs std > 0 and weights > 0")
        if abs(float(self.weights.sum()) - 1) > 1e-12:
            raise ValueError(f"a mixture's weights sum to 1, not {float(self.weights.sum())!r}")

    @property
    def modes(self) -> int:
        """K."""
        return self.means.shape[0]

    def sample(self, n: int | tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Independent samples (n, 2), or (*n, 2) for a shape, float32, on the generator's device."""
        shape = (n,) if isinstance(n, int) else n
        device = generator.device
        # The last boundary is left out: rounding may put the sum of the weights below a draw near 1.
        boundaries = self.weights.cumsum(0)[:-1].to(device, torch.float32)
        uniform = torch.rand(shape, generator=generator, device=device)
        mode = torch.searchsorted(boundaries, uniform, right=True)
        noise = torch.randn((*shape, 2), generator=generator, device=device)
        return self.means.to(device, torch.float32)[mode] + self.std * noise

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats, float64, for x (..., 2)."""
        means, weights = self.means.to(x.device), self.weights.to(x.device)
        squared = (x.double().unsqueeze(-2) - means).square().sum(-1)
        log_normal = -squared / (2 * self.std**2) - math.log(2 * math.pi * self.std**2)
        return torch.logsumexp(log_normal + weights.log(), dim=-1)


def ring(settings: RingData) -> Mixture:
    """K equal modes at angles 2 pi i / K, i = 0..K-1, on a circle.

    Both ends of the circle are not two modes: a table of K angles from 0 to 2 pi inclusive, seen in public
    code, has K - 1 distinct modes. Raises UserError when neighbouring modes overlap (see SEPARATION).
    """
    angles = [2 * math.pi * i / settings.modes for i in range(settings.modes)]
    means = [[settings.radius * math.cos(angle), settings.radius * math.sin(angle)] for angle in angles]
    neighbours = 2 * settings.radius * math.sin(math.pi / settings.modes)
    if settings.modes > 1 and neighbours < SEPARATION * settings.std:
        raise UserError(
            f"ring: neighbouring modes are {neighbours / settings.std:.3g} std apart; the exact measurements "
            f"need at least {SEPARATION:g}: fewer modes, a larger radius or a smaller std"
        )
    weights = torch.full((settings.modes,), 1 / settings.modes, dtype=torch.float64)
    return Mixture(torch.tensor(means, dtype=torch.float64), settings.std, weights)


def grid(settings: GridData) -> Mixture:
    """side^2 equal modes, `spacing` apart in both directions, centred at 0; row by row from below.

    Raises UserError when neighbouring modes overlap (see SEPARATION).
    """
    if settings.spacing < SEPARATION * settings.std:
        raise UserError(
            f"grid: neighbouring modes are {settings.spacing / settings.std:.3g} std apart; the exact "
            f"measurements need at least {SEPARATION:g}: a larger spacing or a smaller std"
        )
    places = [(i - (settings.side - 1) / 2) * settings.spacing for i in range(settings.side)]
    means = [[x, y] for y in places for x in places]
    weights = torch.full((len(means),), 1 / len(means), dtype=torch.float64)
    return Mixture(torch.tensor(means, dtype=torch.float64), settings.std, weights)


def mixture(settings: MixtureData) -> Mixture:
    """The mixture of a benchmark's settings. Raises UserError when neighbouring modes overlap."""
    return ring(settings) if isinstance(settings, RingData) else grid(settings)


def mixture_to_bytes(mixture: Mixture) -> bytes:
    """JSON that holds every float64 exactly."""
    content = {"means": mixture.means.tolist(), "std": mixture.std, "weights": mixture.weights.tolist()}
    return json_bytes(content)


def load_mixture(folder: Path) -> Mixture:
    """The mixture of data/DATASET/. Raises UserError when it is missing or not what fetch wrote."""
    content = json.loads(read_verified(folder, FILE))
    means, weights = (torch.tensor(content[key], dtype=torch.float64) for key in ("means", "weights"))
    return Mixture(means, content["std"], weights)
