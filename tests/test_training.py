"""Laws of the stacked training: seeds do not see each other, gradients are right, a killed run resumes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch
from plan_fixture import run_plan as plan
from torch import Tensor, nn

from pipeline import checkpoint as checkpoints
from pipeline import training as training_module
from pipeline.backend import choose_device, prepare_cpu
from pipeline.config import (
    OBJECTIVES,
    GradientPenalty,
    Penalty,
    RingData,
    RunPlan,
    WeightClipping,
    ZeroCenteredPenalty,
)
from pipeline.data.mixtures import ring
from pipeline.errors import UserError
from pipeline.networks import LEAK, Activation, Adam, StackedMLP
from pipeline.objectives.catalogue import read_entries
from pipeline.penalties import add_penalty_gradient, clip_weights, penalty_points
from pipeline.run_files import QUANTITIES, history, write_run
from pipeline.training import Training
from pipeline.updates import critic_gradient, generator_slope

ROOT = Path(__file__).parents[1]
PAIRED = ("gan_qp", "relativistic", "relativistic_average")
PENALTIES: list[Penalty] = [
    GradientPenalty(kind="gradient_penalty", weight=10.0),
    ZeroCenteredPenalty(kind="r1", weight=0.5),
    ZeroCenteredPenalty(kind="r2", weight=0.5),
]


@pytest.fixture(autouse=True)
def route(request: pytest.FixtureRequest) -> Iterator[str]:
    """As in a stage: the float32 route that a batch of 128 (or of the parameter) gets."""
    yield prepare_cpu(getattr(request, "param", 128) * 32)
    torch.backends.mkldnn.matmul.fp32_precision = "none"


def spec(name: str) -> dict[str, Any]:
    return dict(read_entries(ROOT / OBJECTIVES)[name])


def trained(run: RunPlan) -> Training:
    data = run.setting.data
    assert isinstance(data, RingData)
    result = Training(run, ring(data).sample, 2)
    result.run()
    return result


def weights(result: Training, seed: int) -> dict[str, Tensor]:
    index = result.stack.index(seed)
    state = result.generator.state("generator") | result.critic.state("critic")
    return {name: tensor[index] for name, tensor in state.items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


CASES: dict[str, dict[str, object]] = {
    "plain": {},
    **{penalty.kind: {"penalty": penalty} for penalty in PENALTIES},
    "weight_clipping": {"penalty": WeightClipping(kind="weight_clipping", bound=0.1)},
    **{name: {"trained_by": name} for name in PAIRED},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stack", [(3,), tuple(range(8)), (7, 9, 3)])
@pytest.mark.parametrize(("route", "batch"), [(128, 128), (32, 32)], indirect=["route"])
def test_a_seed_does_not_depend_on_its_stack(
    stack: tuple[int, ...], case: str, route: str, batch: int
) -> None:
    """Bit for bit: its weights, its history and its samples, alone, among others, at any place."""
    assert route == "default" or batch == 128
    alone = trained(plan((3, 4), batch=batch, **CASES[case]))  # type: ignore[arg-type]
    stacked = trained(plan(stack, batch=batch, **CASES[case]))  # type: ignore[arg-type]
    assert same(weights(alone, 3), weights(stacked, 3))
    i, j = alone.stack.index(3), stacked.stack.index(3)
    for (_, left), (_, right) in zip(alone.logged, stacked.logged, strict=True):
        torch.testing.assert_close(left[:, i], right[:, j], rtol=0, atol=0)
    for (_, left), (_, right) in zip(alone.samples, stacked.samples, strict=True):
        assert torch.equal(left[i], right[j])


def test_different_seeds_differ() -> None:
    result = trained(plan((0, 1)))
    assert not same(weights(result, 0), weights(result, 1))


@pytest.mark.parametrize("latents", ["shared", "fresh"])
@pytest.mark.parametrize("critic_steps", [1, 3])
def test_against_a_plain_loop(latents: str, critic_steps: int) -> None:
    """Ten updates of nn.Sequential and Adam on the same draws.

    The products' order of summation differs, so float32 rounding (1e-7) grows with each Adam step, whose
    first ones have the size of the learning rate whatever the gradient's: 1e-4 is a tenth of one step.
    """
    run = plan((0, 1), updates=10, latents=latents, critic_steps=critic_steps)
    stacked = Training(run, ring(run.setting.data).sample, 2)  # type: ignore[arg-type]
    plain_generator = sequential(stacked.generator, 1)
    plain_critic = sequential(stacked.critic, 1)
    generator_optimiser = torch.optim.Adam(plain_generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    critic_optimiser = torch.optim.Adam(plain_critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    sign = 1 if stacked.objective.real_is_high else -1
    block = stacked.draw_block()
    for index in range(10):
        stacked.step(block, index, logging=False)
        for k in range(critic_steps):
            fake = plain_generator(block.latent[index, k, 1])
            critic_optimiser.zero_grad()
            softplus = nn.functional.softplus
            (
                softplus(-sign * plain_critic(block.real[index, k, 1])).mean()
                + softplus(sign * plain_critic(fake.detach())).mean()
            ).backward()
            critic_optimiser.step()
        if latents == "fresh":
            fake = plain_generator(block.latent[index, -1, 1])
        generator_optimiser.zero_grad()
        softplus(-sign * plain_critic(fake)).mean().backward()
        generator_optimiser.step()
    for network, plain in ((stacked.generator, plain_generator), (stacked.critic, plain_critic)):
        for ours, theirs in zip(network.parameters, plain.parameters(), strict=True):
            expected = theirs.detach().T if theirs.ndim == 2 else theirs.detach()[None]
            torch.testing.assert_close(ours[1], expected, rtol=0, atol=1e-4)


def sequential(network: StackedMLP, index: int) -> nn.Sequential:
    """One seed of a relu stack as torch's own layers."""
    layers: list[nn.Module] = []
    for layer in range(len(network.activations)):
        weight, bias = network.parameters[2 * layer : 2 * layer + 2]
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data, linear.bias.data = weight[index].T.clone(), bias[index, 0].clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def forward(network: StackedMLP, x: Tensor, parameters: list[Tensor]) -> Tensor:
    """The definition, for autograd to differentiate."""
    functions = {
        "relu": torch.relu,
        "leaky_relu": lambda z: nn.functional.leaky_relu(z, LEAK),
        "tanh": torch.tanh,
        "linear": lambda z: z,
    }
    for layer, activation in enumerate(network.activations):
        x = functions[activation](x @ parameters[2 * layer] + parameters[2 * layer + 1])
    return x


@pytest.mark.parametrize("output", ["linear", "tanh"])
@pytest.mark.parametrize("hidden", ["relu", "leaky_relu", "tanh"])
def test_closed_form_backward_is_autograds(hidden: Activation, output: Activation) -> None:
    """In float64, where the two differ by rounding alone."""
    network = StackedMLP((3, 8, 5, 2), hidden, output, (0, 1, 2), "critic_weights", dtype=torch.float64)
    x = torch.randn(3, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(3, 16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    to_input = network.backward(network.layers(x), upstream, inputs=True)

    leaves = [p.detach().requires_grad_() for p in network.parameters]
    x.requires_grad_()
    expected = torch.autograd.grad((forward(network, x, leaves) * upstream).sum(), [x, *leaves])
    torch.testing.assert_close(to_input, expected[0], rtol=1e-12, atol=1e-12)
    for gradient, reference in zip(network.gradients, expected[1:], strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-12, atol=1e-12)
    norms = torch.stack([g.square().sum((1, 2)) for g in expected[1:]]).sum(0).sqrt()
    torch.testing.assert_close(network.gradient_norms(), norms)


@pytest.mark.parametrize("hidden", ["relu", "leaky_relu"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: p.kind)
def test_penalty_gradient_is_that_of_double_backward(
    penalty: GradientPenalty | ZeroCenteredPenalty, hidden: Activation
) -> None:
    """Value from the definition, parameter gradient from autograd through autograd, in float64."""
    critic = StackedMLP((2, 6, 5, 1), hidden, "linear", (0, 1), "critic_weights", dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 2, 16, 2, dtype=torch.float64, generator=generator)
    mix = torch.rand(2, 16, 1, dtype=torch.float64, generator=generator)
    points = penalty_points(penalty, real, fake, mix)
    assert points is not None
    before = [gradient.fill_(3.0).clone() for gradient in critic.gradients]
    value = add_penalty_gradient(penalty, critic, points)

    leaves = [p.detach().requires_grad_() for p in critic.parameters]
    at = points.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(forward(critic, at, leaves).sum(), at, create_graph=True)
    if isinstance(penalty, GradientPenalty):
        expected = penalty.weight * ((slopes.norm(dim=2) - penalty.target) ** 2).mean(1)
    else:
        expected = penalty.weight / 2 * (slopes**2).sum(2).mean(1)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(expected.sum(), leaves, allow_unused=True, materialize_grads=True)
    for gradient, start, reference in zip(critic.gradients, before, gradients, strict=True):
        torch.testing.assert_close(gradient - start, reference, rtol=1e-12, atol=1e-12)


def critic_definition(name: str, v_real: Tensor, v_fake: Tensor, distance: Tensor) -> Tensor:
    """The critics' losses (S,) as published, (S, B) each: mean over pairs or against the other's average."""
    softplus = nn.functional.softplus
    if name == "relativistic":
        return softplus(v_fake - v_real).mean(1)
    if name == "relativistic_average":
        to_fakes, to_reals = v_real - v_fake.mean(1, keepdim=True), v_fake - v_real.mean(1, keepdim=True)
        return softplus(-to_fakes).mean(1) + softplus(to_reals).mean(1)
    delta, scale = v_real - v_fake, 2 * 10 * distance
    return -(delta - delta**2 / scale).mean(1)


def generator_definition(name: str, v_real: Tensor, v_fake: Tensor, distance: Tensor) -> Tensor:
    if name == "gan_qp":
        return (v_real - v_fake).mean(1)
    return critic_definition(name, v_fake, v_real, distance)  # the parts of real and fake exchanged


@pytest.mark.parametrize("name", PAIRED)
def test_paired_gradients_are_autograds_of_the_definition(name: str) -> None:
    """Both players, in float64: the critic's gradient, and the generator's, to which reals are constants."""
    run = plan((0, 1), trained_by=name)
    training = Training(run, ring(run.setting.data).sample, 2)  # type: ignore[arg-type]
    assert training.objective.needs_distance == (name == "gan_qp")
    generator = torch.Generator().manual_seed(0)
    for player, purpose in (("generator", "generator_weights"), ("critic", "critic_weights")):
        network = getattr(training, player)
        hidden, output = network.activations[0], network.activations[-1]
        exact = StackedMLP(network.sizes, hidden, output, (0, 1), purpose, dtype=torch.float64)  # type: ignore[arg-type]
        setattr(training, player, exact)
    real, latent = torch.randn(2, 2, 64, 2, dtype=torch.float64, generator=generator)
    generator_layers = training.generator.layers(latent)
    penalty = run.recipe.penalty
    critic_loss, _ = critic_gradient(
        training.objective, penalty, training.critic, real, generator_layers[-1], None
    )
    generator_loss, slope = generator_slope(training.objective, training.critic, generator_layers[-1], real)
    training.generator.backward(generator_layers, slope)

    leaves = [p.detach().requires_grad_() for p in training.critic.parameters]
    own = [p.detach().requires_grad_() for p in training.generator.parameters]
    fake = forward(training.generator, latent, own)
    for ours, network, definition, fakes, of in (
        (critic_loss, training.critic, critic_definition, fake.detach(), leaves),
        (generator_loss, training.generator, generator_definition, fake, own),
    ):
        v_real, v_fake = (forward(training.critic, x, leaves).squeeze(-1) for x in (real, fakes))
        distance = (real - fakes).square().sum(2).sqrt()
        expected = definition(name, v_real if of is leaves else v_real.detach(), v_fake, distance)
        torch.testing.assert_close(ours, expected.detach(), rtol=1e-12, atol=1e-12)
        gradients = torch.autograd.grad(expected.sum(), of)
        for gradient, reference in zip(network.gradients, gradients, strict=True):
            torch.testing.assert_close(gradient, reference, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("latents", ["shared", "fresh"])
def test_paired_objectives_train(latents: str) -> None:
    """Every quantity logged is finite, and the fakes spread from around 0 to the data's scale, radius 1."""
    for name in PAIRED:
        result = trained(plan((0, 1), updates=200, batch=64, trained_by=name, latents=latents))
        assert result.diverged() == {}
        assert bool(history(result.trained()).notna().all().all())
        radius = result.samples[-1][1].norm(dim=2).mean(1)
        assert bool(((radius > 0.3) & (radius < 3)).all()), (name, radius)


def test_adam_is_torchs_bit_for_bit() -> None:
    network = StackedMLP((3, 8, 1), "relu", "linear", (0, 1), "critic_weights")
    copy = network.flat.clone().requires_grad_()
    own, torchs = Adam(network, 1e-2, (0.5, 0.9)), torch.optim.Adam([copy], 1e-2, (0.5, 0.9), fused=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert network.flat.grad is not None
        network.flat.grad.copy_(torch.randn(network.flat.shape, generator=generator))
        copy.grad = network.flat.grad.clone()
        own.step()
        torchs.step()
        assert torch.equal(network.flat, copy)
    assert own.state.keys() == torchs.state[copy].keys()


def test_a_stage_does_not_wait_for_torchs_compiler_and_torchvision() -> None:
    """Each takes half a second to import and more, in every one of a hundred stages."""
    code = (
        "import sys, pipeline.evaluate\n"
        "from benchmarks.training import stacked_block\n"
        "stacked_block(width=32, batch=32, seeds=2)()\n"
        "print(*{'torch._dynamo', 'torchvision', 'sklearn', 'mlflow'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""


def test_penalty_points_are_where_they_say() -> None:
    real, fake, mix = torch.ones(2, 16, 2), torch.zeros(2, 16, 2), torch.full((2, 16, 1), 0.25)
    gradient_penalty, r1, r2 = (penalty_points(p, real, fake, mix) for p in PENALTIES)
    assert gradient_penalty is not None
    assert bool((gradient_penalty == 0.75).all())
    assert r1 is real
    assert r2 is fake


def test_weight_clipping_bounds_every_critic_parameter() -> None:
    penalty = WeightClipping(kind="weight_clipping", bound=0.05)
    result = trained(plan((0, 1), penalty=penalty))
    assert bool((result.critic.flat.abs() <= 0.05).all())
    assert float(result.generator.flat.abs().max()) > 0.05
    result.critic.flat.fill_(1.0)
    clip_weights(PENALTIES[0], result.critic)
    assert float(result.critic.flat.max()) == 1.0


class KilledError(Exception):
    pass


@pytest.mark.parametrize("penalty", [None, PENALTIES[0]])
def test_a_killed_training_resumes_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, penalty: Penalty | None
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", 0.0)
    run = plan((0, 1, 2), updates=100, **({"penalty": penalty} if penalty else {}))
    whole = trained(run)
    path = tmp_path / "checkpoint"
    sampler = ring(run.setting.data).sample  # type: ignore[arg-type]

    def kill(done: int, total: int) -> None:
        if done >= 64:
            raise KilledError

    with pytest.raises(KilledError):
        Training(run, sampler, 2).run(path, kill)
    resumed = Training(run, sampler, 2)
    started: list[int] = []
    resumed.run(path, lambda done, total: started.append(done))
    assert started[0] == 64
    assert all(same(weights(whole, seed), weights(resumed, seed)) for seed in run.seeds)
    assert [step for step, _ in whole.logged] == [step for step, _ in resumed.logged]
    for (_, left), (_, right) in zip(
        whole.logged + whole.samples, resumed.logged + resumed.samples, strict=True
    ):
        assert torch.equal(left, right)


def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    checkpoints.save_checkpoint(path, {"x": torch.ones(1)}, checkpoints.digest(plan((0, 1))))
    assert checkpoints.load_checkpoint(path, checkpoints.digest(plan((0, 2)))) is None
    assert checkpoints.load_checkpoint(path, checkpoints.digest(plan((0, 1)))) is not None


def test_a_corrupt_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    checkpoints.save_checkpoint(path, {"x": torch.ones(1000)}, "digest")
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for broken in (whole[:500], flipped, b"", b"checkpoint"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"corrupt checkpoint .* delete it"):
            Training(plan((0, 1)), lambda n, g: torch.zeros(n, 2), 2).run(path)
        assert path.read_bytes() == broken


def test_a_diverged_seed_is_recorded_and_the_others_go_on() -> None:
    run = plan((0, 1, 2), updates=60)
    healthy = trained(run)
    broken = Training(run, ring(run.setting.data).sample, 2)  # type: ignore[arg-type]
    draw = broken.draw_block

    def poison() -> training_module.Block:
        block = draw()
        if broken.updates == training_module.BLOCK:
            block.real[5, :, 1] = torch.inf  # seed 1, at update 37
        return block

    broken.draw_block = poison  # type: ignore[method-assign]
    broken.run()
    assert broken.diverged() == {1: 37}
    assert healthy.diverged() == {}
    assert same(weights(healthy, 0), weights(broken, 0))
    assert same(weights(healthy, 2), weights(broken, 2))
    (_, middle), (_, last) = broken.samples
    assert bool(middle.isfinite().all())
    assert last[1].isnan().all()
    assert bool(last[[0, 2]].isfinite().all())
    table = history(broken.trained())
    assert table[table.seed == 1].step.max() == 37
    assert table[table.seed == 0].step.max() == 60
    assert bool(table.notna().all().all())


def test_history_holds_what_it_says() -> None:
    """value_estimate is the critic's value minus its value at p = q; norms are positive."""
    result = trained(plan((0, 1), penalty=PENALTIES[1]))
    table = history(result.trained())
    assert list(table.columns) == ["seed", "step", *QUANTITIES]
    assert len(table) == 2 * 40
    expected = -table.critic_loss - result.objective.equilibrium_value
    pd.testing.assert_series_equal(table.value_estimate, expected, check_names=False)
    assert (table[["generator_gradient_norm", "critic_gradient_norm", "penalty"]] > 0).all().all()


def test_the_run_folder_is_byte_identical(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(trained(plan((0, 1))).trained(), tmp_path / name, "default")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        "generators.safetensors",
        "history.parquet",
        "meta.json",
        "samples.safetensors",
        "weights.safetensors",
    ]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    samples = safetensors.torch.load_file(tmp_path / "a" / "samples.safetensors")
    assert samples["samples"].shape == (2, 2, 50, 2)
    assert samples["final"].shape == (2, 100, 2)
    assert torch.equal(samples["samples"][-1], samples["final"][:, :50])
    assert samples["steps"].tolist() == [20, 40]
    meta = json.loads((tmp_path / "a" / "meta.json").read_text())
    assert meta["seeds"] == [0, 1]
    assert meta["parameters"]["critic"] == 3 * 32 + 33 * 32 + 33


def test_a_lone_seed_writes_one_seed(tmp_path: Path) -> None:
    write_run(trained(plan((3,))).trained(), tmp_path, "default")
    tensors = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    assert {tensor.shape[0] for tensor in tensors.values()} == {1}
    assert set(pd.read_parquet(tmp_path / "history.parquet").seed) == {3}


def test_leaky_slope_is_the_networks() -> None:
    network = StackedMLP((1, 1, 1), "leaky_relu", "linear", (0, 1), "critic_weights")
    network.flat.zero_()
    network.parameters[0].fill_(1.0)
    network.parameters[2].fill_(1.0)
    assert network.layers(torch.full((2, 16, 1), -1.0))[-1][0, 0, 0].item() == pytest.approx(-LEAK)


def test_the_float32_route_is_float32() -> None:
    """Whatever route the probe chose, a product errs as float32 does, not as bfloat16 (1e-3)."""
    generator = torch.Generator().manual_seed(1)
    left, right = torch.randn(4, 128, 96, generator=generator), torch.randn(4, 96, 64, generator=generator)
    exact = left.double() @ right.double()
    assert float((torch.bmm(left, right) - exact).abs().max() / exact.abs().max()) < 2e-5


def test_training_runs_on_the_device_that_would_be_chosen() -> None:
    """On a machine with a GPU, there."""
    run = plan((0, 1))
    result = Training(run, ring(run.setting.data).sample, 2, choose_device())  # type: ignore[arg-type]
    result.run()
    assert result.diverged() == {}
    assert result.generator.flat.device.type == choose_device().type
