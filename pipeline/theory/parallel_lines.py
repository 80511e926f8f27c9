"""Parallel lines: two segments that share no point, exactly and in training (Fedus et al. 2018).

Data lie at (0, y), generated samples at (theta, y), y uniform on [0, 1]. For theta != 0 no point has both
densities: r = q/p is 0 on the data and infinite on the generated samples, so at the best critic

    int p d(q/p) = d(0) + lim d(r)/r,  r -> infinity

whatever theta is: every such divergence is constant or infinite, it jumps to 0 at theta = 0, and its gradient
is 0. The 1-Lipschitz critic t = -x sign(theta) gives E_p t - E_q t = |theta| = W1 instead (Arjovsky et al.
2017, example 1).

A critic in training is neither best nor free: it is a network with a slope between the lines, and the
generator moves along it. Its one parameter theta is trained against 2-16-16-1 networks under every objective
of the catalogue, one critic update per generator update, both by Adam as in the study.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.config import GradientPenalty, NoPenalty, Penalty, WeightClipping, ZeroCenteredPenalty
from pipeline.networks import Adam, StackedMLP
from pipeline.objectives import Objective
from pipeline.penalties import add_penalty_gradient, clip_weights, penalty_points
from pipeline.theory.densities import Array
from pipeline.theory.optimal_critic import has_curve
from pipeline.theory.side_by_side import SideBySide, TensorAdam
from pipeline.theory.tables import to_columns

DISTANCES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # theta of the exact table
STARTS = (0.25, 1.0, 4.0)  # theta of training
SHOWN_START = 4.0  # of the course
SEEDS = 10
UPDATES = 800  # of critic and of generator, in turn
WIDTHS = (16, 16)
BATCH = 16
CRITIC_RATE, GENERATOR_RATE, BETAS = 1e-2, 1e-2, (0.5, 0.9)
ARRIVED = 0.1  # |theta|
LAST = 100  # updates at the end, through which a seed that stays is within ARRIVED
COURSE = 40  # updates written of the course
RANDOM_SEED = 20180203

# How the critic is held, with the weights of the study, and the objectives that are trained under a penalty
# they can do without: the pair whose comparison is the point of Fedus et al.
PENALTIES: Mapping[str, Penalty] = {
    "none": NoPenalty(),
    "gradient_penalty": GradientPenalty(kind="gradient_penalty", weight=1.0),
    "r1": ZeroCenteredPenalty(kind="r1", weight=0.1),
    "weight_clipping": WeightClipping(kind="weight_clipping", bound=0.1),
}
LIPSCHITZ = ("gradient_penalty", "weight_clipping")  # what an objective over Lipschitz critics needs one of
COMPARED = ("minimax", "non_saturating")
COMPARED_UNDER = ("gradient_penalty", "r1")

_SMALL, _SMALLER = 1e-60, 1e-90  # where limits are read; their cubes are float64 numbers
_LEVEL = 1e-9


def apart(objective: Objective) -> float:
    """d(0) + lim d(r)/r: the divergence of densities that share no point; inf where it is infinite."""
    ends = torch.tensor([_SMALL, _SMALLER], dtype=torch.float64)
    total = 0.0
    for near, limit in (
        objective.divergence(ends).tolist(),
        (objective.divergence(1 / ends) * ends).tolist(),
    ):
        if not np.isfinite(limit) or abs(limit - near) > _LEVEL * (1 + abs(limit)):
            return float("inf")
        total += limit
    return total


def exact_table(objectives: Mapping[str, Objective]) -> dict[str, list[object]]:
    """parallel_lines_exact.csv: one row per objective with a divergence and theta (the lines' distance).

    divergence (the generator's loss at the best critic less that at theta = 0, in its own units; empty where
    infinite) and gradient (its derivative by theta > 0; empty where it is infinite, and at theta = 0, where
    it jumps or has a kink). A function of pairs of outputs is no function of q/p and has no row.
    """
    rows: list[dict[str, object]] = []
    for name, objective in objectives.items():
        if not has_curve(objective):
            continue
        slope = 1.0 if objective.needs_lipschitz else 0.0
        level = 0.0 if objective.needs_lipschitz else apart(objective)
        known = np.isfinite(level)
        for theta in DISTANCES:
            row = {"objective": name, "theta": theta, "divergence": 0.0, "gradient": float("nan")}
            if theta > 0:
                row["divergence"] = level + slope * theta if known else float("nan")
                row["gradient"] = slope if known else float("nan")
            rows.append(row)
    return to_columns(rows)


def held_under(objectives: Mapping[str, Objective]) -> dict[str, list[Objective]]:
    """Penalty -> the objectives trained under it."""
    groups: dict[str, list[Objective]] = {}
    for penalty in PENALTIES:
        groups[penalty] = [
            objective
            for name, objective in objectives.items()
            if (penalty == "none" and not objective.needs_lipschitz)
            or (penalty in LIPSCHITZ and objective.needs_lipschitz)
            or (penalty in COMPARED_UNDER and name in COMPARED)
        ]
    return {penalty: group for penalty, group in groups.items() if group}


@dataclass(frozen=True)
class Course:
    """theta before each update and at the end, (updates + 1, starts, S), and dL_G/dtheta at each update."""

    theta: Array
    gradient: Array


@dataclass
class Game:
    """One stack: objectives x starts x seeds under one penalty; theta (size,) float32."""

    sides: SideBySide
    penalty: Penalty
    critic: StackedMLP
    theta: Tensor

    @classmethod
    def build(cls, group: list[Objective], penalty: Penalty) -> "Game":
        sides = SideBySide(group, len(STARTS) * SEEDS)
        seeds = tuple(range(SEEDS)) * (len(STARTS) * len(group))
        critic = StackedMLP((2, *WIDTHS, 1), "leaky_relu", "linear", seeds, "critic_weights")
        clip_weights(penalty, critic)
        theta = torch.tensor(STARTS).repeat_interleave(SEEDS).repeat(len(group))
        return cls(sides, penalty, critic, theta)

    def points(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Real and fake points (size, B, 2) from 2 B numbers of each seed, (S, 2 B)."""
        y = y.repeat(self.sides.size // SEEDS, 1)
        real, fake = y[:, :BATCH], y[:, BATCH:]
        across = self.theta[:, None].expand_as(fake)
        return torch.stack([torch.zeros_like(real), real], 2), torch.stack([across, fake], 2)

    def train_critic(self, real: Tensor, fake: Tensor, mix: Tensor) -> None:
        """Fill the critics' gradients; `mix` (S, B, 1) is what a gradient penalty interpolates with."""
        layers = self.critic.layers(torch.cat([real, fake], 1))
        v = layers[-1].squeeze(-1)
        distance: Tensor = torch.linalg.vector_norm(real - fake, dim=2)
        slopes = self.sides.critic_slopes(v[:, :BATCH], v[:, BATCH:], distance)
        self.critic.backward(layers, slopes.unsqueeze(-1))
        points = penalty_points(self.penalty, real, fake, mix.repeat(self.sides.size // SEEDS, 1, 1))
        if points is not None:
            add_penalty_gradient(self.penalty, self.critic, points)

    def gradient(self, real: Tensor, fake: Tensor) -> Tensor:
        """dL_G/dtheta, (size,)."""
        layers = self.critic.layers(torch.cat([real, fake], 1))
        v = layers[-1].squeeze(-1)
        slopes = torch.zeros_like(v)
        slopes[:, BATCH:] = self.sides.generator_slopes(v[:, BATCH:], v[:, :BATCH])
        by_x = self.critic.backward(layers, slopes.unsqueeze(-1), parameters=False, inputs=True)
        total: Tensor = by_x[:, BATCH:, 0].sum(1)
        return total


def train(group: list[Objective], penalty: Penalty, updates: int = UPDATES) -> list[Course]:
    """The course of each objective of the group. All objectives and starts see the same numbers of a seed."""
    game = Game.build(group, penalty)
    numbers = torch.Generator().manual_seed(RANDOM_SEED)
    critic_adam, generator_adam = Adam(game.critic, CRITIC_RATE, BETAS), TensorAdam(game.theta, BETAS)
    thetas, gradients = [game.theta.clone()], []
    for _ in range(updates):
        drawn = torch.rand(SEEDS, 3 * BATCH, generator=numbers)
        real, fake = game.points(drawn[:, : 2 * BATCH])
        game.train_critic(real, fake, drawn[:, 2 * BATCH :, None])
        critic_adam.step()
        clip_weights(penalty, game.critic)
        gradients.append(game.gradient(real, fake))
        generator_adam.step(gradients[-1], GENERATOR_RATE)
        thetas.append(game.theta.clone())
    shape = (-1, len(group), len(STARTS), SEEDS)
    theta, gradient = (torch.stack(rows).double().reshape(shape).numpy() for rows in (thetas, gradients))
    return [Course(theta[:, place], gradient[:, place]) for place in range(len(group))]


Courses = dict[tuple[str, str], Course]  # objective, penalty


def train_all(objectives: Mapping[str, Objective], updates: int = UPDATES) -> Courses:
    """Every objective under every penalty that it is trained under."""
    return {
        (objective.name, penalty): course
        for penalty, group in held_under(objectives).items()
        for objective, course in zip(group, train(group, PENALTIES[penalty], updates), strict=True)
    }


def first_within(distance: Array) -> Array:
    """The updates before |theta| `(T, S)` first is below ARRIVED, (S,); inf where it never is."""
    within = distance < ARRIVED
    first: Array = np.where(within.any(0), within.argmax(0), np.inf)
    return first


def summary_table(courses: Courses) -> dict[str, list[object]]:
    """parallel_lines.csv: one row per objective, penalty and start; |theta| in lengths of a segment.

    start, seeds; distance (median over seeds of |theta| at the end), distance_q25, distance_q75;
    updates_to_arrive (median over seeds of the updates until |theta| < 0.1; empty where fewer than half
    arrive), arrived_share (of seeds: ever), stayed_share (throughout the last 100 updates); gradient_apart
    (median over updates and seeds of |dL_G/dtheta| while |theta| >= 0.1, in the units of the loss; at the
    best critic it would be 0), wrong_way_share (of those, how many gradients push the lines apart).
    Of an even number of seeds the quantile is the upper of the two beside it; a seed that is not finite
    counts as infinitely far, and an infinite quantile is an empty cell.
    """
    rows: list[dict[str, object]] = []
    for (name, penalty), course in courses.items():
        for place, start in enumerate(STARTS):
            theta, gradient = course.theta[:, place], course.gradient[:, place]
            distance = np.where(np.isfinite(theta), np.abs(theta), np.inf)
            arrival = first_within(distance)
            far = (distance[:-1] >= ARRIVED) & np.isfinite(gradient)
            row: dict[str, object] = {"objective": name, "penalty": penalty, "start": start, "seeds": SEEDS}
            for column, share in (("distance", 0.5), ("distance_q25", 0.25), ("distance_q75", 0.75)):
                row[column] = _quantile(distance[-1], share)
            row["updates_to_arrive"] = _quantile(arrival, 0.5)
            row["arrived_share"] = float(np.isfinite(arrival).mean())
            row["stayed_share"] = float((distance[-LAST:] < ARRIVED).all(0).mean())
            row["gradient_apart"] = float(np.median(np.abs(gradient[far]))) if far.any() else float("nan")
            row["wrong_way_share"] = (
                float((gradient * np.sign(theta[:-1]) < 0)[far].mean()) if far.any() else float("nan")
            )
            rows.append(row)
    return to_columns(rows)


def _quantile(values: Array, share: float) -> float:
    value = float(np.quantile(values, share, method="higher"))
    return value if np.isfinite(value) else float("nan")


def course_table(courses: Courses) -> dict[str, list[object]]:
    """parallel_lines_course.csv: objective, penalty, update, distance (median of |theta| over seeds).

    From SHOWN_START; 40 of the updates.
    """
    place = STARTS.index(SHOWN_START)

    def rows() -> Iterator[dict[str, object]]:
        for (name, penalty), course in courses.items():
            theta = np.abs(course.theta[:, place])
            distance = np.where(np.isfinite(theta), theta, np.inf)
            for update in np.unique(np.linspace(0, len(theta) - 1, COURSE).round().astype(int)):
                middle = _quantile(distance[update], 0.5)
                yield {"objective": name, "penalty": penalty, "update": int(update), "distance": middle}

    return to_columns(list(rows()))
