"""Laws of the fresh critics: gradients are autograd's, a shared critic is each one's own."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import scipy.stats
import torch
from plan_fixture import run_plan
from torch import Tensor

from pipeline.config import OBJECTIVES, CriticPlan, FreshCriticsPlan, RingData, WeightClipping
from pipeline.data.mixtures import ring
from pipeline.errors import UserError
from pipeline.fresh_critic_tables import SMALLEST, course_rows, seed_rows
from pipeline.fresh_critics import COLUMNS, SAMPLES, Experiment, accuracy, measured_at, shared
from pipeline.networks import StackedMLP
from pipeline.objectives import objective_from_spec
from pipeline.objectives.catalogue import read_entries
from pipeline.run_files import load_generators
from pipeline.training import Training

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2)


def critic(name: str, **recipe: object) -> CriticPlan:
    return CriticPlan(
        variant=f"{name}_variant",
        objective=name,
        objective_spec=dict(read_entries(ROOT / OBJECTIVES)[name]),
        recipe=run_plan(SEEDS).recipe.model_copy(update=recipe),
    )


def experiment_plan(*critics: CriticPlan, updates: int = 9) -> FreshCriticsPlan:
    setting = run_plan(SEEDS).setting
    return FreshCriticsPlan(
        benchmark="ring",
        generator="minimax_variant",
        setting=setting,
        seeds=SEEDS,
        saved_at=(2, 40),
        critic_updates=updates,
        critics=critics,
    )


def generators(plan: FreshCriticsPlan) -> StackedMLP:
    setting = plan.setting
    return StackedMLP(
        (setting.latent, *setting.generator.widths, 2),
        setting.generator.activation,
        setting.generator.output,
        plan.seeds * len(plan.saved_at),
        "generator_weights",
    )


def experiment(plan: FreshCriticsPlan, generator: StackedMLP | None = None) -> Experiment:
    data = plan.setting.data
    assert isinstance(data, RingData)
    sampler = ring(data).sample
    return Experiment(plan, generator or generators(plan), sampler, sampler, torch.device("cpu"))


def table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def through(network: StackedMLP, x: Tensor, parameters: list[Tensor]) -> Tensor:
    """The network as torch writes it, one seed."""
    for layer in range(0, len(parameters), 2):
        x = x @ parameters[layer] + parameters[layer + 1]
        activation = network.activations[layer // 2]
        x = {"relu": torch.relu, "tanh": torch.tanh, "linear": lambda z: z}[activation](x)
    return x


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "wasserstein", "relativistic"])
def test_the_gradient_is_autograds_sample_by_sample(name: str) -> None:
    """Norm and relative deviation at update 0, from each sample's own gradient by autograd in float64."""
    one = critic(name, penalty=WeightClipping(kind="weight_clipping", bound=0.1))
    plan = experiment_plan(one)
    objective = objective_from_spec(name, one.objective_spec)
    run = experiment(plan)
    network = run.critics[0].network
    norm, deviation = run._gradient(objective, network)
    seed = 4  # of the stack: the second saved update, seed 1
    weights = [p[seed].double().requires_grad_() for p in run.generator.parameters]
    of_critic = [p[seed].double() for p in network.parameters]
    fake = through(run.generator, run.fixed_layers[0][seed].double(), weights)
    v_fake = through(network, fake, of_critic).squeeze(-1)
    v_real = through(network, run.held_out[seed].double(), of_critic).squeeze(-1)
    losses = [
        objective.generator_loss(v_fake[i : i + 1][None], v_real[i : i + 1][None])[0] for i in range(SAMPLES)
    ]
    rows = []
    for loss in losses:
        parts = torch.autograd.grad(loss, weights, retain_graph=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    each = torch.stack(rows)
    mean = each.mean(0)
    spread = (each - mean).square().sum() / (SAMPLES - 1)
    # float32 against float64.
    assert norm[seed] == pytest.approx(float(mean.norm()), rel=1e-4)
    assert deviation[seed] == pytest.approx(float(spread.sqrt() / mean.norm()), rel=1e-4)


def test_a_shared_critic_gives_each_variant_its_own_numbers() -> None:
    """Minimax, non-saturating and logit generator train one critic; alone, each gets the same rows."""
    names = ("minimax", "non_saturating", "logit_generator", "least_squares")
    together = experiment_plan(*(critic(name) for name in names))
    assert [len(group) for group in shared(together)] == [3, 1]
    rows = table(experiment(together).run())
    for name in names:
        alone = table(experiment(experiment_plan(critic(name))).run())
        own = rows[rows.variant == f"{name}_variant"].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, alone, check_exact=True)
    norms = rows[rows.critic_updates == 9].groupby("variant").gradient_norm.mean()
    assert norms["minimax_variant"] != norms["non_saturating_variant"]


def test_recipes_that_differ_are_not_shared() -> None:
    plan = experiment_plan(critic("minimax"), critic("minimax", critic_learning_rate=2e-3))
    assert [len(group) for group in shared(plan)] == [1, 1]


def test_the_generators_do_not_move_and_runs_repeat() -> None:
    plan = experiment_plan(critic("minimax"))
    network = generators(plan)
    before = network.flat.clone()
    first = experiment(plan, network).run()
    assert torch.equal(network.flat, before)
    assert first == experiment(plan).run()
    rows = table(first)
    assert len(rows) == 2 * len(SEEDS) * len(measured_at(9))
    assert rows.notna().all().all()


def test_a_diverged_generator_has_no_rows() -> None:
    plan = experiment_plan(critic("minimax"))
    network = generators(plan)
    network.parameters[0][4] = math.nan  # the second saved update, seed 1
    rows = table(experiment(plan, network).run())
    found = set(zip(rows.generator_updates, rows.seed, strict=True))
    assert found == {(2, 0), (2, 1), (2, 2), (40, 0), (40, 2)}


def test_a_trained_critic_tells_apart_what_can_be_told() -> None:
    """Fresh generators spread around 0, the ring lies at radius 1: 300 updates are enough."""
    rows = table(experiment(experiment_plan(critic("minimax"), updates=300)).run())
    last = rows[rows.critic_updates == 300]
    assert last.accuracy.min() > 0.99
    norms = rows.groupby(["generator_updates", "seed"]).gradient_norm
    assert bool((norms.last() < norms.max()).all())


def test_accuracy_is_half_a_kolmogorov_smirnov_distance_above_chance() -> None:
    network = StackedMLP((2, 8, 1), "relu", "linear", (0, 1), "critic_weights")
    generator = torch.Generator().manual_seed(0)
    real, fake = (
        torch.randn(2, 200, 2, generator=generator),
        torch.randn(2, 300, 2, generator=generator) + 0.3,
    )
    found = accuracy(network, real, fake)
    for seed in range(2):
        v_real, v_fake = (network.layers(x)[-1][seed, :, 0].numpy() for x in (real, fake))
        expected = 0.5 + scipy.stats.ks_2samp(v_real, v_fake).statistic / 2
        assert found[seed] == pytest.approx(expected, abs=1e-6)


def test_measurements_stand_at_powers_and_at_the_end() -> None:
    assert measured_at(1) == [0, 1]
    assert measured_at(16) == [0, 1, 4, 16]
    assert measured_at(4000) == [0, 1, 4, 16, 64, 256, 1024, 4000]


def made_up(norms: dict[int, list[float]]) -> pd.DataFrame:
    rows = [
        ("ring", 70, "minimax", seed, updates, norm, 2.0, 0.9)
        for updates, values in norms.items()
        for seed, norm in enumerate(values)
    ]
    read = table(rows)
    return read.assign(gradient_norm=read.gradient_norm.clip(lower=SMALLEST))


def test_decays_are_decades_and_a_gradient_of_zero_is_not_infinite() -> None:
    rows = seed_rows(made_up({0: [1.0, 2.0, 1.0], 16: [0.01, 20.0, 0.0]}))
    assert [row[3] for row in rows] == [0, 1, 2]
    assert [row[4] for row in rows] == pytest.approx([2.0, -1.0, 30.0])


def test_the_course_holds_median_and_quartiles() -> None:
    rows = course_rows(made_up({0: [1.0, 2.0, 3.0, 4.0, 5.0], 16: [1.0] * 5}))
    assert rows[0] == ("ring", 70, "minimax", 0, 5, 3.0, 2.0, 4.0, 2.0)
    assert rows[1][5:8] == (1.0, 1.0, 1.0)


def test_saved_generators_come_back(tmp_path: Path) -> None:
    """What training saved on the way, as a run folder, is what it had at those updates."""
    from pipeline.run_files import write_run

    plan = run_plan(SEEDS, updates=8, saved_at=(2, 8))
    data = plan.setting.data
    assert isinstance(data, RingData)
    training = Training(plan, ring(data).sample, 2)
    training.run()
    write_run(training.trained(), tmp_path, "default")
    network = generators(experiment_plan(critic("minimax")))
    load_generators(tmp_path, network, (2, 8), len(SEEDS), "train again")
    early = Training(run_plan(SEEDS, updates=2, saved_at=(2,)), ring(data).sample, 2)
    early.run()
    for loaded, first, last in zip(
        network.parameters, early.generator.parameters, training.generator.parameters, strict=True
    ):
        assert torch.equal(loaded[: len(SEEDS)], first)
        assert torch.equal(loaded[len(SEEDS) :], last)
    for wrong, seeds in (((2, 9), 3), ((2, 8), 4)):
        with pytest.raises(UserError, match=r"generators\.safetensors: not the generators.*train again"):
            load_generators(tmp_path, network, wrong, seeds, "train again")
    with pytest.raises(UserError, match=r"cannot be read.*train again"):
        load_generators(tmp_path / "none", network, (2, 8), 3, "train again")
    (tmp_path / "generators.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(UserError, match="not the generators"):
        load_generators(tmp_path, network, (2, 8), 3, "train again")
    assert bool(network.flat.isfinite().all())
