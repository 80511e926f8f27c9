"""MLflow as a mirror: what it shows is what the files say, once, whatever happened before."""

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from pipeline.config import (
    Benchmark,
    CriticNetwork,
    DigitsData,
    GeneratorNetwork,
    GradientPenalty,
    Recipe,
    RingData,
    RunPlan,
    Scale,
    StudyPlan,
    Variant,
)
from pipeline.errors import UserError
from pipeline.plan import load_run
from pipeline.settings import write_model
from pipeline.tracking import server, track, ui
from pipeline.tracking.files import (
    HISTORY_STEPS,
    PANEL,
    figures_of,
    flat_params,
    measured,
    read_sources,
    samples_picture,
)
from pipeline.tracking.mirror import PARENT

VARIANTS = ["minimax", "wgan_gp"]
UPDATES = 60
SEEDS = 2
DIVERGED_SEED, DIVERGED_STEP = 1, 30
QUANTITIES = ["critic_loss", "generator_loss", "generator_gradient_norm", "critic_gradient_norm"]
QUANTITIES += ["value_estimate", "penalty"]
LAST = ("ring", "wgan_gp")  # the run in which a seed diverges


def benchmark(name: str) -> Benchmark:
    data = RingData(kind="ring", modes=8, radius=1.0, std=0.01)
    held_out = DigitsData(kind="digits", held_out=100, split_seed=0)
    return Benchmark(
        title=f"The {name}",
        data=data if name == "ring" else held_out,
        latent=2,
        generator=GeneratorNetwork(widths=(8, 8), activation="relu", output="linear"),
        critic=CriticNetwork(widths=(8,), activation="relu"),
        evaluation_samples=100,
        checkpoint_samples=50,
        collapse_below=0.5,
    )


def plan_of(name: str, variant: str, seeds: int) -> RunPlan:
    return RunPlan(
        benchmark=name,
        variant=variant,
        objective="minimax",
        objective_spec={"construction": "likelihood ratio", "omega": "1/(1+r)", "rho": "1/(1-t)"},
        recipe=Recipe(
            critic_steps=1,
            generator_learning_rate=1e-3,
            critic_learning_rate=1e-3,
            betas=(0.5, 0.9),
            batch=128,
            latents="shared",
            penalty=GradientPenalty(kind="gradient_penalty", weight=0.5),
        ),
        setting=benchmark(name).setting,
        seeds=tuple(range(seeds)),
        generator_updates=UPDATES,
        checkpoints=3,
        saved_at=(UPDATES,),
        more_modes=False,
    )


def write_run(root: Path, plan: RunPlan, steps: int, metrics: int, checkpoints: int) -> None:
    """What train and evaluate leave of one run."""
    random = np.random.default_rng(0)
    diverged = {DIVERGED_SEED: DIVERGED_STEP} if (plan.benchmark, plan.variant) == LAST else {}
    run, evaluated = (root / folder / plan.benchmark / plan.variant for folder in ("runs", "evaluated"))
    logged = np.linspace(1, UPDATES, steps).round().astype(int)
    history = pd.DataFrame([(seed, step) for seed in plan.seeds for step in logged], columns=["seed", "step"])
    for quantity in QUANTITIES:
        history[quantity] = random.normal(size=len(history)).astype(np.float32)
    end = history["seed"].map(diverged).fillna(UPDATES + 1)
    run.mkdir(parents=True, exist_ok=True)
    history[history["step"] < end].to_parquet(run / "history.parquet")
    meta = {"benchmark": plan.benchmark, "diverged": {str(seed): step for seed, step in diverged.items()}}
    (run / "meta.json").write_text(json.dumps(meta))

    rows: list[tuple[int, int, str, float]] = []
    for seed in plan.seeds:
        if seed not in diverged:
            for step in np.linspace(UPDATES / checkpoints, UPDATES, checkpoints).astype(int):
                rows += [(seed, step, f"metric{index}_n100", random.random()) for index in range(metrics)]
        rows.append((seed, diverged.get(seed, UPDATES), "diverged", float(seed in diverged)))
    table = pd.DataFrame(rows, columns=["seed", "step", "metric", "value"])
    table.insert(0, "benchmark", plan.benchmark)
    table.insert(1, "variant", plan.variant)
    evaluated.mkdir(parents=True, exist_ok=True)
    table.to_csv(evaluated / "metrics.csv", index=False, float_format="%.9g")

    dimension, count = (2, 30) if plan.benchmark == "ring" else (64, 16)
    gallery = [
        (seed, index, random.uniform(-1, 1, 2) if dimension == 2 else random.uniform(0, 255, 64))
        for seed in plan.seeds
        if seed not in diverged
        for index in range(count)
    ]
    pd.DataFrame(gallery, columns=["seed", "index", "values"]).to_parquet(evaluated / "gallery.parquet")


def write_project(
    root: Path,
    variants: list[str],
    seeds: int = SEEDS,
    steps: int = 5,
    metrics: int = 2,
    checkpoints: int = 3,
) -> None:
    """A whole study's result files."""
    runs = [(name, variant) for name in ("ring", "digits") for variant in variants]
    scale = Scale(
        seeds=seeds,
        generator_updates={"ring": UPDATES, "digits": UPDATES},
        checkpoints=checkpoints,
        fresh_critic_updates=1,
        classifier_epochs=1,
        bootstrap_resamples=100,
        floor_repeats=2,
        resamples=2,
        calibration_samples=(100,),
        calibration_repeats=2,
    )
    study = StudyPlan(
        scale="smoke",
        settings=scale,
        benchmarks={name: benchmark(name) for name in ("ring", "digits")},
        of_every_variant=("ring", "digits"),
        variants={name: Variant(title=name, objective="minimax") for name in variants},
        runs=tuple(runs),
    )
    write_model(study, root / "plan" / "study.json")
    summary = []
    for name, variant in runs:
        plan = plan_of(name, variant, seeds)
        write_model(plan, root / "plan" / name / f"{variant}.json")
        write_run(root, plan, steps, metrics, checkpoints)
        for index in range(metrics):
            summary.append(
                (name, variant, f"metric{index}_n100", "iqm", 0.5 + index, 0.4, 0.6, 0.5, 0.25, 0.1, 0.4)
            )
    columns = ["benchmark", "variant", "metric", "statistic", "point", "low", "high", "median"]
    columns += ["collapse_rate", "collapse_low", "collapse_high"]
    (root / "reports/results").mkdir(parents=True, exist_ok=True)
    (root / "reports/figures").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(summary, columns=columns).to_csv(root / "reports/results/summary.csv", index=False)
    for figure in ("samples_ring", "samples_digits", "theory"):
        (root / f"reports/figures/{figure}.svg").write_text(f"<svg><!-- {figure} --></svg>")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose schema is there: to migrate one takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def project(tmp_path: Path, empty_store: Path) -> Path:
    root = tmp_path / "a project"  # with a space: store and artifacts are addressed by URIs
    write_project(root, VARIANTS)
    shutil.copy(empty_store, root / "mlflow.db")
    return root


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mirrored from nothing, once, for the tests that only look."""
    root = tmp_path_factory.mktemp("tracked")
    write_project(root, VARIANTS)
    track(root)
    return root


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def shown(root: Path, view: int = ViewType.ACTIVE_ONLY, name: str = "gan-foundry") -> list[Run]:
    experiment = client(root).get_experiment_by_name(name)
    return list(client(root).search_runs([experiment.experiment_id], run_view_type=view, max_results=500))


def ids(runs: list[Run]) -> set[str]:
    return {run.info.run_id for run in runs}


def one(root: Path, name: str) -> Run:
    (found,) = [run for run in shown(root) if run.info.run_name == name]
    return found


def of(runs: list[Run], benchmark: str, variant: str) -> list[Run]:
    wanted = {"benchmark": benchmark, "variant": variant}
    return [run for run in runs if wanted.items() <= run.data.tags.items()]


def edit(path: Path, **columns: Any) -> None:
    """Change columns of the first row of a csv file."""
    table = pd.read_csv(path)
    for name, value in columns.items():
        table.loc[0, name] = value
    table.to_csv(path, index=False, float_format="%.9g")


def assert_one_run_each(root: Path, variants: list[str] = VARIANTS, seeds: int = SEEDS) -> None:
    names = [f"{name}-{variant}" for name in ("ring", "digits") for variant in variants]
    names += [f"{name}-seed{seed}" for name in names for seed in range(seeds)]
    runs = shown(root)
    assert sorted(run.info.run_name for run in runs) == sorted(names)
    parents = {run.info.run_id: run for run in runs if PARENT not in run.data.tags}
    for run in runs:
        assert run.info.status == "FINISHED"
        if run.info.run_id not in parents:
            parent = parents[run.data.tags[PARENT]]
            assert run.info.run_name.startswith(f"{parent.info.run_name}-seed")


# --- what is shown ------------------------------------------------------------------------------------------


def test_a_parent_per_variant_and_a_child_per_seed(tracked: Path) -> None:
    assert_one_run_each(tracked)
    parents = [run for run in shown(tracked) if PARENT not in run.data.tags]
    assert len(parents) == 4
    assert len(shown(tracked)) == 4 + 4 * SEEDS


def test_tags_and_params_are_the_plan(tracked: Path) -> None:
    plan = load_run("ring", "minimax", tracked)
    parent, child = one(tracked, "ring-minimax"), one(tracked, "ring-minimax-seed1")
    for run in (parent, child):
        tags = {"benchmark": "ring", "variant": "minimax", "objective": "minimax", "scale": "smoke"}
        assert (tags | {"stage": "evaluate@ring-minimax"}).items() <= run.data.tags.items()
        assert run.data.params["recipe.penalty.weight"] == "0.5"
        assert run.data.params["recipe.betas"] == "[0.5, 0.9]"
        assert run.data.params["objective_spec.omega"] == "1/(1+r)"
        assert run.data.params["setting.data.modes"] == "8"
    assert parent.data.params == flat_params(plan)
    assert child.data.tags["seed"] == child.data.params["seed"] == "1"
    assert "seed" not in parent.data.tags


def test_the_commit_is_a_tag(project: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(project)]
    (project / "params.yaml").write_text("scale: smoke")
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "why"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    track(project)
    tags = one(project, "ring-minimax").data.tags
    assert tags["git_commit"] == tags["mlflow.source.git.commit"] == commit.stdout.strip()
    assert tags["git_dirty"] == "false"


def test_metrics_and_history_are_the_files_complete(tracked: Path) -> None:
    """The same names, every seed, every step, every value; MLflow stores float64, so equality is exact."""
    metrics = pd.read_csv(tracked / "evaluated/ring/minimax/metrics.csv")
    history = pd.read_parquet(tracked / "runs/ring/minimax/history.parquet")
    for seed in range(SEEDS):
        run = one(tracked, f"ring-minimax-seed{seed}")
        own = metrics[metrics["seed"] == seed]
        assert set(run.data.metrics) == {*own["metric"], *QUANTITIES}
        for name, rows in own.groupby("metric"):
            found = client(tracked).get_metric_history(run.info.run_id, str(name))
            expected = dict(zip(rows["step"], rows["value"], strict=True))
            assert {metric.step: metric.value for metric in found} == expected
            assert run.data.metrics[str(name)] == expected[UPDATES]  # the UI shows the final step
        for name in QUANTITIES:
            found = client(tracked).get_metric_history(run.info.run_id, name)
            rows = history[history["seed"] == seed]
            assert {metric.step: metric.value for metric in found} == {
                step: float(value) for step, value in zip(rows["step"], rows[name], strict=True)
            }
            assert len(found) == 5


def test_the_parent_carries_the_summary(tracked: Path) -> None:
    assert one(tracked, "digits-minimax").data.metrics == {
        "metric0_n100": 0.5,
        "metric0_n100.low": 0.4,
        "metric0_n100.high": 0.6,
        "metric1_n100": 1.5,
        "metric1_n100.low": 0.4,
        "metric1_n100.high": 0.6,
        "collapse_rate": 0.25,
        "collapse_rate.low": 0.1,
        "collapse_rate.high": 0.4,
        "diverged": 0.0,
    }


def test_a_diverged_seed_shows(tracked: Path) -> None:
    parent, child = one(tracked, "ring-wgan_gp"), one(tracked, f"ring-wgan_gp-seed{DIVERGED_SEED}")
    assert parent.data.metrics["diverged"] == 1
    assert parent.data.tags["diverged_seeds"] == str(DIVERGED_SEED)
    assert child.data.tags["diverged"] == "true"
    assert child.data.tags["diverged_step"] == str(DIVERGED_STEP)
    (row,) = client(tracked).get_metric_history(child.info.run_id, "diverged")
    assert (row.value, row.step) == (1, DIVERGED_STEP)
    losses = client(tracked).get_metric_history(child.info.run_id, "critic_loss")
    assert losses
    assert max(metric.step for metric in losses) < DIVERGED_STEP
    assert one(tracked, "ring-wgan_gp-seed0").data.tags["diverged"] == "false"
    assert one(tracked, "ring-wgan_gp-seed0").data.metrics["diverged"] == 0


def test_infinities_are_named_and_not_stored(project: Path) -> None:
    path = project / "evaluated/ring/minimax/metrics.csv"
    table = pd.read_csv(path)
    last = (table["seed"] == 0) & (table["step"] == UPDATES)
    table.loc[last & (table["metric"] == "metric0_n100"), "value"] = np.inf
    table.loc[(table["seed"] == 0) & (table["metric"] == "metric1_n100"), "value"] = np.nan
    table.to_csv(path, index=False)
    track(project)
    run = one(project, "ring-minimax-seed0")
    assert run.data.tags["not_finite"] == "metric0_n100 metric1_n100"
    assert "metric1_n100" not in run.data.metrics
    assert len(client(project).get_metric_history(run.info.run_id, "metric0_n100")) == 2  # of 3 checkpoints
    assert "not_finite" not in one(project, "ring-minimax-seed1").data.tags


def test_figures_and_samples_are_artifacts(tracked: Path, tmp_path: Path) -> None:
    run = one(tracked, "ring-minimax").info.run_id
    listed = {
        item.path for folder in (None, "figures") for item in client(tracked).list_artifacts(run, folder)
    }
    assert listed == {
        "figures",
        "figures/samples_ring.svg",
        "figures/theory.svg",
        "meta.json",
        "metrics.csv",
        "plan.json",
        "samples.png",
    }
    plan = Path(client(tracked).download_artifacts(run, "plan.json", str(tmp_path)))
    assert plan.read_bytes() == (tracked / "plan/ring/minimax.json").read_bytes()
    picture = imread(client(tracked).download_artifacts(run, "samples.png", str(tmp_path)))
    assert picture.shape[0] == PANEL
    assert (tracked / "mlartifacts").is_dir()  # in the project, not in the working folder


# --- twice, changed, killed ---------------------------------------------------------------------------------


def test_the_second_call_writes_nothing(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    track(project)
    assert "4 of 4 runs new or changed" in capfd.readouterr().out
    before, database = shown(project, ViewType.ALL), (project / "mlflow.db").read_bytes()
    files = sorted((path, path.stat().st_mtime_ns) for path in (project / "mlartifacts").rglob("*"))
    track(project)
    captured = capfd.readouterr()
    assert "0 of 4 runs new or changed" in captured.out
    assert captured.err == ""  # nor does MLflow chatter
    assert [run.to_dictionary() for run in shown(project, ViewType.ALL)] == [
        run.to_dictionary() for run in before
    ]
    assert (project / "mlflow.db").read_bytes() == database
    assert sorted((path, path.stat().st_mtime_ns) for path in (project / "mlartifacts").rglob("*")) == files


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("evaluated/ring/minimax/metrics.csv", {"value": 0.125}),
        ("reports/results/summary.csv", {"point": 0.125}),
    ],
)
def test_a_changed_file_replaces_its_own_runs_only(
    project: Path, path: str, change: dict[str, float]
) -> None:
    track(project)
    before = shown(project)
    edit(project / path, **change)  # the first row: ring, minimax, seed 0, metric0 at the first checkpoint
    track(project)
    assert_one_run_each(project)
    after = shown(project)
    assert not ids(of(before, "ring", "minimax")) & ids(after)
    assert ids(after) - ids(before) == ids(of(after, "ring", "minimax"))
    seed = client(project).get_metric_history(one(project, "ring-minimax-seed0").info.run_id, "metric0_n100")
    parent = one(project, "ring-minimax").data.metrics["metric0_n100"]
    assert 0.125 in [parent, *(metric.value for metric in seed)]
    # The old ones can be restored until `mlflow gc`.
    assert ids(of(before, "ring", "minimax")) == ids(shown(project, ViewType.DELETED_ONLY))


def test_a_changed_plan_replaces_its_runs(project: Path) -> None:
    track(project)
    plan = load_run("ring", "minimax", project)
    recipe = plan.recipe.model_copy(update={"batch": 256})
    write_model(plan.model_copy(update={"recipe": recipe}), project / "plan/ring/minimax.json")
    track(project)
    assert_one_run_each(project)
    assert one(project, "ring-minimax-seed0").data.params["recipe.batch"] == "256"


@pytest.mark.parametrize(
    ("call", "at"), [("log_batch", 1), ("set_terminated", 3), ("set_tag", 2), ("delete_run", 2)]
)
def test_what_was_cut_off_is_repaired(
    project: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    """Killed in the `at`-th of these calls, while the runs of a changed file are being replaced."""
    track(project)
    edit(project / "evaluated/ring/minimax/metrics.csv", value=0.125)
    edit(project / "evaluated/digits/wgan_gp/metrics.csv", value=0.125)
    original, left = getattr(MlflowClient, call), [at]

    def cut(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, cut)
        with pytest.raises(KeyboardInterrupt):
            track(project)
    track(project)
    assert_one_run_each(project)
    before = ids(shown(project))
    track(project)
    assert ids(shown(project)) == before


def test_a_run_deleted_by_hand_comes_back(project: Path) -> None:
    track(project)
    client(project).delete_run(one(project, "ring-minimax-seed1").info.run_id)
    track(project)
    assert_one_run_each(project)


def test_a_changed_figure_is_overwritten_in_place(project: Path, tmp_path: Path) -> None:
    track(project)
    before = shown(project)
    figures = project / "reports/figures"
    (figures / "samples_ring.svg").write_text("<svg>new</svg>")
    (figures / "theory.svg").unlink()
    track(project)
    assert ids(shown(project)) == ids(before)
    run = one(project, "ring-minimax").info.run_id
    assert [item.path for item in client(project).list_artifacts(run, "figures")] == [
        "figures/samples_ring.svg"
    ]
    path = client(project).download_artifacts(run, "figures/samples_ring.svg", str(tmp_path))
    assert Path(path).read_text() == "<svg>new</svg>"


def test_a_variant_that_left_the_study_leaves_the_mirror(project: Path) -> None:
    track(project)
    path = project / "plan/study.json"
    study = StudyPlan.model_validate_json(path.read_text())
    runs = tuple(run for run in study.runs if run[1] == "minimax")  # its folders stay on disk
    write_model(study.model_copy(update={"runs": runs}), path)
    track(project)
    assert_one_run_each(project, ["minimax"])


# --- what is missing or broken ------------------------------------------------------------------------------


def test_missing_results_cost_a_line_each(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "runs/ring/minimax")
    shutil.rmtree(project / "evaluated/ring/minimax")
    shutil.rmtree(project / "runs/digits/minimax")
    shutil.rmtree(project / "evaluated/digits/wgan_gp")
    (project / "reports/results/summary.csv").unlink()
    track(project)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 4
    assert "no intervals" in lines[0]
    assert "ring-minimax: skipped" in lines[1]
    assert "digits-minimax: without runs/digits/minimax/history.parquet" in lines[2]
    assert "digits-wgan_gp: without evaluated/digits/wgan_gp/metrics.csv" in lines[3]
    assert not of(shown(project), "ring", "minimax")
    evaluated, trained = one(project, "digits-minimax-seed0"), one(project, "digits-wgan_gp-seed0")
    assert set(evaluated.data.metrics) == {"metric0_n100", "metric1_n100", "diverged"}
    assert set(trained.data.metrics) == {*QUANTITIES, "diverged"}
    assert trained.data.tags["stage"] == "train@digits-wgan_gp"
    assert one(project, "digits-minimax").data.metrics == {"diverged": 0}


def test_runs_stay_when_their_files_are_gone(project: Path) -> None:
    track(project)
    before = ids(shown(project))
    shutil.rmtree(project / "runs")
    shutil.rmtree(project / "evaluated")
    track(project)
    assert ids(shown(project)) == before


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("runs/ring/minimax/history.parquet", "not parquet"),
        ("runs/ring/minimax/meta.json", '{"diverged": 3}'),
        ("evaluated/ring/minimax/metrics.csv", "seed,step\n0,1\n"),
        ("evaluated/ring/minimax/gallery.parquet", ""),
        ("reports/results/summary.csv", ""),
    ],
)
def test_a_broken_file_is_named(project: Path, path: str, content: str) -> None:
    (project / path).write_text(content)
    with pytest.raises(UserError, match=path):
        track(project)


def test_without_a_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plan/study\.json"):
        track(tmp_path)


# --- the store ----------------------------------------------------------------------------------------------


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>not MLflow</html>")

    def log_message(self, *arguments: object) -> None:
        pass


def assert_only_a_warning(project: Path, capfd: pytest.CaptureFixture[str]) -> str:
    start = time.monotonic()
    track(project)
    assert time.monotonic() - start < 10  # the bound promised is "a few seconds"; MLflow's own is 4 minutes
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("warning: not mirrored, no result is affected")
    assert captured.out == ""
    return line


def test_a_server_that_is_down(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    line = assert_only_a_warning(project, capfd)
    assert f"http://127.0.0.1:{port}" in line
    assert "secret" not in line


def test_a_server_that_hangs(
    project: Path, silent_server: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_server}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # 5 s unless someone sets it
    assert "timed out" in assert_only_a_warning(project, capfd)


def test_a_server_that_is_not_mlflow(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{page.server_port}")
        assert_only_a_warning(project, capfd)
        page.shutdown()


@pytest.mark.parametrize("uri", ["mysql+nosuchdriver://a:secret@b/c", "nonsense://x"])
def test_a_store_that_cannot_be_used(
    project: Path, uri: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "secret" not in assert_only_a_warning(project, capfd)


def test_a_broken_database(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "mlflow.db").write_text("not a database" * 100)
    assert_only_a_warning(project, capfd)


def test_a_moved_project(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its store names artifacts in the old folder: nothing must be written there."""
    track(project)
    moved = project.rename(project.with_name("moved"))
    capfd.readouterr()
    edit(moved / "evaluated/ring/minimax/metrics.csv", value=0.125)
    assert "Delete mlflow.db" in assert_only_a_warning(moved, capfd)
    assert not project.exists()


def test_another_store_and_experiment(
    project: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    before = (project / "mlflow.db").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    track(project)
    assert len(shown(tmp_path, name="mine")) == 12
    assert (project / "mlflow.db").read_bytes() == before


def test_a_deleted_experiment_is_restored(project: Path) -> None:
    track(project)
    client(project).delete_experiment(client(project).get_experiment_by_name("gan-foundry").experiment_id)
    track(project)
    assert client(project).get_experiment_by_name("gan-foundry").lifecycle_stage == "active"
    assert_one_run_each(project)


def test_runs_of_others_in_the_experiment_stay(project: Path) -> None:
    track(project)
    experiment = client(project).get_experiment_by_name("gan-foundry").experiment_id
    own = client(project).create_run(experiment, tags={"benchmark": "ring"}).info.run_id
    edit(project / "evaluated/ring/minimax/metrics.csv", value=0.125)
    track(project)
    assert own in ids(shown(project))


# --- files ----------------------------------------------------------------------------------------------


def test_a_long_history_is_thinned_to_its_ends(tmp_path: Path) -> None:
    write_project(tmp_path, ["minimax"], seeds=3)
    history = pd.DataFrame([(s, t) for s in range(3) for t in range(1, 1001)], columns=["seed", "step"])
    history["critic_loss"] = 0.0
    history = history[(history["seed"] != 1) | (history["step"] < 300)]
    history.to_parquet(tmp_path / "runs/ring/minimax/history.parquet")
    rows = measured(read_sources(tmp_path, [load_run("ring", "minimax", tmp_path)])[0]).rows
    steps = {
        seed: set(rows[(rows["seed"] == seed) & (rows["metric"] == "critic_loss")]["step"])
        for seed in range(3)
    }
    assert len(steps[0]) == HISTORY_STEPS
    assert {1, 1000} <= steps[0]
    assert steps[2] == steps[0]
    assert steps[1] == {step for step in steps[0] if step < 300}


def test_a_figure_goes_to_its_benchmark(tmp_path: Path) -> None:
    names = ["samples-ring", "intervals_ring_wide", "samples_digits", "earrings", "theory"]
    (tmp_path / "reports/figures").mkdir(parents=True)
    for name in names:
        (tmp_path / f"reports/figures/{name}.svg").touch()
    found = figures_of(tmp_path, "digits", ["ring", "digits"])
    assert set(found) == {"samples_digits.svg", "earrings.svg", "theory.svg"}


def test_points_lie_where_they_are(tmp_path: Path) -> None:
    """A point at (radius, 0) is right of the middle, one at (0, radius) above it; without samples: blank."""
    write_project(tmp_path, ["wgan_gp"], seeds=3)
    plan = load_run("ring", "wgan_gp", tmp_path)
    rows = [(0, 0, [1.0, 0.0]), (1, 0, [0.0, 1.0]), (1, 1, [np.nan, 0.0]), (1, 2, [1e9, 0.0])]
    table = pd.DataFrame(rows, columns=["seed", "index", "values"])
    table.to_parquet(tmp_path / "evaluated/ring/wgan_gp/gallery.parquet")
    picture = samples_picture(read_sources(tmp_path, [plan])[0])
    assert picture is not None
    assert picture.shape == (PANEL, 3 * PANEL + 2 * 4)
    right, above, blank = (picture[:, start : start + PANEL] for start in (0, PANEL + 4, 2 * PANEL + 8))
    middle, edge = PANEL // 2, round(PANEL * (1 + 1 / 1.5) / 2)  # the panel reaches to 1.5 radii
    for panel, row, column in ((right, middle, edge), (above, PANEL - edge, middle)):
        inked = np.argwhere(panel < 255)
        assert len(inked) == 4  # one point, two by two pixels
        assert np.abs(inked - [row, column]).max() <= 2
    assert (blank == 255).all()


def test_images_are_tiles(tmp_path: Path) -> None:
    write_project(tmp_path, ["minimax"], seeds=1)
    image = np.zeros(64)
    image[0] = 200  # top left
    rows = [(0, index, image if index == 5 else np.zeros(64)) for index in range(16)]
    table = pd.DataFrame(rows, columns=["seed", "index", "values"])
    table.to_parquet(tmp_path / "evaluated/digits/minimax/gallery.parquet")
    picture = samples_picture(read_sources(tmp_path, [load_run("digits", "minimax", tmp_path)])[0])
    assert picture is not None
    # 4 by 4 tiles of 32 pixels, 4 pixels per image pixel: number 5 is second in the second row.
    lit = np.argwhere(picture == 200)
    assert lit.min(axis=0).tolist() == [32, 32]
    assert lit.max(axis=0).tolist() == [35, 35]
    assert np.count_nonzero(picture) == 16


# --- the UI -------------------------------------------------------------------------------------------------


def test_a_port_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("MLflow was started")

    monkeypatch.setattr(server.subprocess, "Popen", never)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} on 127.0.0.1 is in use; choose another: .*--port"):
            ui(tmp_path, port)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def stand_in(path: Path, then: str) -> str:
    """In the place of python: writes down its arguments, then does something."""
    path.write_text(f'#!/bin/sh\necho "$@" > "{path}.arguments"\n{then}\n')
    path.chmod(0o755)
    return str(path)


def runs(process: int) -> bool:
    """Whether it lives; a zombie that nobody has collected yet does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_ui_ends_cleanly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(
        server.sys, "executable", stand_in(tmp_path / "python", 'sleep 60 & echo $! > "$0.child"; wait')
    )
    child = Path(f"{tmp_path / 'python'}.child")

    def interrupt() -> None:
        for _ in range(500):
            if child.exists() and child.read_text().endswith("\n"):
                os.kill(os.getpid(), number)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=interrupt)
    thread.start()
    port = free_port()
    before = signal.getsignal(signal.SIGTERM)
    ui(tmp_path, port)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
    for _ in range(100):  # the child was sent its signal before `ui` returned, and takes a moment to end
        if runs(int(child.read_text())):
            time.sleep(0.02)
    assert not runs(int(child.read_text()))
    arguments = Path(f"{tmp_path / 'python'}.arguments").read_text()
    assert f"-m mlflow ui --host 127.0.0.1 --port {port} " in arguments
    assert f"--backend-store-uri sqlite:///{tmp_path / 'mlflow.db'} " in arguments


def test_a_ui_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.sys, "executable", stand_in(tmp_path / "python", "exit 3"))
    with pytest.raises(UserError, match="exit code 3"):
        ui(tmp_path, free_port())


def test_a_remote_server_has_its_own_ui(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example")
    ui(tmp_path, free_port())
    assert "https://mlflow.example" in capsys.readouterr().out


@pytest.mark.slow
def test_a_real_server_is_mirrored_to_and_shows_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ui` serves a store over http; `track` to that server, twice; Ctrl-C ends it with exit code 0."""
    port = free_port()
    program = (
        f"from pathlib import Path; from pipeline.tracking import ui; ui(Path({str(project)!r}), {port})"
    )
    serving = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                assert urllib.request.urlopen(f"{address}/health", timeout=5).status == 200
                break
            except OSError:
                time.sleep(0.1)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        track(project)
        assert_one_run_each(project)
        before = ids(shown(project, ViewType.ALL))
        track(project)
        assert ids(shown(project, ViewType.ALL)) == before
        run = one(project, "ring-minimax").info.run_id
        assert "samples.png" in [item.path for item in MlflowClient(address).list_artifacts(run)]
    finally:
        serving.send_signal(signal.SIGINT)
        assert serving.wait(30) == 0
