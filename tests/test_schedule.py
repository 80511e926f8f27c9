"""The machinery between DVC and Snakemake, on a toy graph: no science, seconds instead of minutes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml

from pipeline import graph
from pipeline.errors import UserError
from pipeline.graph import Stage

ROOT = Path(__file__).parents[1]
Answer: TypeAlias = "subprocess.CompletedProcess[str]"
BENCHMARKS, VARIANTS = ["ring", "digits"], ["a", "b", "c", "d", "e", "f"]
RUNS = [f"{benchmark}-{variant}" for benchmark in BENCHMARKS for variant in VARIANTS]

TOY = """
import json, os, pathlib, shutil, sys, time
import yaml
verb, *arguments = sys.argv[1:]
root = pathlib.Path(".")
with open(".work/executed.log", "a") as log:
    log.write(" ".join([verb, *arguments, os.environ.get("CUDA_VISIBLE_DEVICES", "-")]) + "\\n")
def write(path, text):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text)
def plan_of(study):
    # As the project's plan stage writes it: the schedule reads its list of runs.
    network = {"widths": [1], "activation": "relu"}
    setting = {
        "title": "A", "data": {"kind": "ring", "modes": 1, "radius": 1, "std": 1}, "latent": 1,
        "generator": {**network, "output": "linear"}, "critic": network,
        "evaluation_samples": 100, "checkpoint_samples": 50, "collapse_below": 0.5,
    }
    scale = {
        "seeds": 1, "generator_updates": {}, "checkpoints": 2, "classifier_epochs": 1,
        "bootstrap_resamples": 100, "floor_repeats": 2, "fresh_critic_updates": 1, "resamples": 2,
        "calibration_samples": [100], "calibration_repeats": 2,
    }
    return {
        "scale": "smoke", "settings": scale,
        "benchmarks": {name: setting for name in study["benchmarks"]},
        "of_every_variant": study["benchmarks"],
        "variants": {name: {"title": name, "objective": "o"} for name in study["variants"]},
        "runs": [[b, v] for b in study["benchmarks"] for v in study["variants"]],
    }
if verb == "plan":
    settings = yaml.safe_load(open("params.yaml"))
    study = settings["study"]
    if "bad" in study["variants"]:
        sys.exit("error: params.yaml: study.variants: 'bad' is not good")
    write("plan/study.json", json.dumps(plan_of(study)))
    for benchmark in study["benchmarks"]:
        for variant in study["variants"]:
            write(f"plan/{benchmark}/{variant}.json", json.dumps(settings["settings"].get(variant, 0)))
elif verb == "train":
    benchmark, variant = arguments
    time.sleep(0.3)  # long enough that all are at it at once
    write(f"runs/{benchmark}/{variant}/result.json", open(f"plan/{benchmark}/{variant}.json").read())
elif verb == "aggregate":
    study = json.load(open("plan/study.json"))
    wanted = {(b, v) for b in study["benchmarks"] for v in study["variants"]}
    for folder in root.glob("runs/*/*"):
        if folder.parts[1:] not in wanted:
            shutil.rmtree(folder)
    write("reports/results.csv", "".join(f"{b},{v}\\n" for b, v in sorted(wanted)))
elif verb == "figures":
    for line in open("reports/results.csv").read().split():
        write(f"reports/figures/{line}.svg", line)
"""
GRAPH = {
    "plan": {
        "cmd": "$LAUNCH python toy.py plan",
        "deps": ["params.yaml"],
        "outs": ["plan"],
        "meta": {"gpu": 0, "mem_mb": 100, "runtime": 1},
    },
    "train": {
        "matrix": {"benchmark": "${study.benchmarks}", "variant": "${study.variants}"},
        "cmd": "$LAUNCH python toy.py train ${item.benchmark} ${item.variant}",
        "deps": ["plan/${item.benchmark}/${item.variant}.json"],
        "outs": ["runs/${item.benchmark}/${item.variant}"],
        "meta": {"gpu": 1, "mem_mb": 100, "runtime": 1},
    },
    "aggregate": {
        "cmd": "$LAUNCH python toy.py aggregate",
        "deps": ["runs", "plan/study.json"],
        "plots": [{"reports/results.csv": {"cache": False}}],
    },
    "figures": {
        "cmd": "$LAUNCH python toy.py figures",
        "deps": ["reports/results.csv"],
        "plots": [{"reports/figures": {"cache": False}}],
    },
}
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in ("LAUNCH", "CUDA_VISIBLE_DEVICES")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}


def write_params(folder: Path, variants: list[str] = VARIANTS, **settings: int) -> None:
    none: dict[str, list[str]] = {"benchmarks": [], "variants": []}
    study = {
        "datasets": BENCHMARKS,
        "benchmarks": BENCHMARKS,
        "variants": variants,
        "more_modes": none,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump({"study": study, "settings": settings}))


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project, nothing run yet."""
    folder = tmp_path_factory.mktemp("blank")
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    for name in ("Snakefile", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "toy.py").write_text(TOY)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": GRAPH}))
    (folder / ".gitignore").write_text(".work/\n.snakemake/\n/plan/\n/runs/\n")
    (folder / ".work").mkdir()
    write_params(folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def built(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by Snakemake, 12 stages at once, with two GPUs that only exist in the environment."""
    folder = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(blank, folder)
    answer = snakemake(folder, cores=12, CUDA_VISIBLE_DEVICES="7,9")
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built project to be changed, its list of executions empty."""
    folder = tmp_path / "project"
    shutil.copytree(built, folder)
    (folder / ".work" / "executed.log").write_text("")
    return folder


def snakemake(folder: Path, *options: str, cores: int = 2, **environment: str) -> Answer:
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *options]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )


def dvc(folder: Path, *arguments: str) -> Answer:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def executed(folder: Path) -> list[str]:
    """The commands that ran since this was asked last, without their GPU."""
    log = folder / ".work" / "executed.log"
    lines = log.read_text().splitlines()
    log.write_text("")
    return sorted(line.rpartition(" ")[0] for line in lines)


def locked(folder: Path) -> dict:
    return yaml.safe_load((folder / "dvc.lock").read_text())["stages"]


@pytest.mark.slow
def test_twelve_stages_at_once_run_once_each_without_a_lock_error(built: Path) -> None:
    lines = (built / ".work" / "executed.log").read_text().splitlines()
    ran = sorted(line.split()[:-1] for line in lines)
    wanted = [["plan"], ["aggregate"], ["figures"], *(["train", *run.split("-")] for run in RUNS)]
    assert ran == sorted(wanted)
    for log in (built / ".work" / "logs").iterdir():
        assert "ERROR" not in log.read_text(), log.name


@pytest.mark.slow
def test_training_stages_share_the_gpus_and_others_get_none_assigned(built: Path) -> None:
    gpus: dict[str, set[str]] = {}
    for line in (built / ".work" / "executed.log").read_text().splitlines():
        gpus.setdefault(line.split()[0], set()).add(line.split()[-1])
    assert gpus == {"train": {"7", "9"}, "plan": {"7,9"}, "aggregate": {"7,9"}, "figures": {"7,9"}}


@pytest.mark.slow
def test_dvc_repro_leaves_the_same_lock_and_the_same_files(built: Path, blank: Path, tmp_path: Path) -> None:
    serial = tmp_path / "serial"
    shutil.copytree(blank, serial)
    assert dvc(serial, "repro", "--quiet").returncode == 0
    assert locked(serial) == locked(built)
    for folder in ("runs", "reports"):
        files = {path.relative_to(serial) for path in (serial / folder).rglob("*") if path.is_file()}
        assert files == {path.relative_to(built) for path in (built / folder).rglob("*") if path.is_file()}
        assert all((serial / path).read_bytes() == (built / path).read_bytes() for path in files)


@pytest.mark.slow
def test_nothing_changed_runs_nothing(project: Path) -> None:
    assert snakemake(project).returncode == 0
    assert json.loads((project / graph.SCHEDULE).read_text()) == []
    assert dvc(project, "repro").returncode == 0
    assert executed(project) == []


@pytest.mark.slow
def test_a_change_reruns_what_follows_and_taking_it_back_runs_nothing(project: Path) -> None:
    """The change runs as on a cluster (a stand-in for srun), which DVC must not see."""
    before = locked(project)
    write_params(project, b=5)
    srun = project / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/sh\necho "srun $*"\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n')
    srun.chmod(0o755)
    path = f"{srun.parent}{os.pathsep}{ENVIRONMENT['PATH']}"
    assert snakemake(project, "--workflow-profile", "profiles/slurm", PATH=path).returncode == 0
    assert executed(project) == ["aggregate", "plan", "train digits b", "train ring b"]
    sent = "srun --ntasks=1 --cpus-per-task=1 --mem=100M --time=1 --gpus=1 python toy.py train ring b"
    assert sent in (project / graph.log_path("train@ring-b")).read_text()
    commands = {name: stage["cmd"] for name, stage in before.items()}
    assert {name: stage["cmd"] for name, stage in locked(project).items()} == commands
    write_params(project)
    assert snakemake(project).returncode == 0
    assert executed(project) == []
    assert locked(project) == before


@pytest.mark.slow
def test_a_removed_variant_is_gone_and_the_lock_holds_what_is_left(project: Path) -> None:
    write_params(project, variants=["a", "b"])
    assert snakemake(project).returncode == 0
    assert executed(project) == ["aggregate", "figures", "plan"]
    assert sorted(path.name for path in (project / "reports/figures").iterdir()) == [
        f"{benchmark},{variant}.svg" for benchmark in sorted(BENCHMARKS) for variant in "ab"
    ]
    (runs,) = [dep for dep in locked(project)["aggregate"]["deps"] if dep["path"] == "runs"]
    assert runs["nfiles"] == 4, "aggregate cleared its input folder before DVC took its hash"
    assert "up to date" in dvc(project, "status").stdout


@pytest.mark.slow
def test_a_failed_stage_stops_the_run_with_its_own_line(project: Path) -> None:
    (project / "toy.py").write_text(TOY.replace("time.sleep(0.3)", "sys.exit('error: no such luck')"))
    write_params(project, b=6)
    answer = snakemake(project)
    assert answer.returncode == 1
    assert "train@ring-b: no such luck (all of it: .work/logs/train@ring-b.log)" in answer.stderr


@pytest.mark.slow
def test_settings_that_plan_refuses_end_it_in_one_line(project: Path) -> None:
    write_params(project, variants=["bad"])
    answer = snakemake(project)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == ("error: plan: params.yaml: study.variants: 'bad' is not good")
    assert executed(project) == ["plan"]


def test_what_follows_a_changed_stage_is_scheduled_and_nothing_else() -> None:
    stages = {
        stage.name: stage
        for stage in (Stage("a", ()), Stage("b", ()), Stage("c", ("a",)), Stage("d", ("b", "c")))
    }
    assert graph.stale_and_downstream(stages, set()) == {}
    assert list(graph.stale_and_downstream(stages, {"d"})) == ["d"]
    from_a = graph.stale_and_downstream(stages, {"a"})
    assert list(from_a) == ["a", "c", "d"]
    assert from_a["d"].needs == ("c",), "b is up to date and not scheduled"


def test_urgency_is_the_longest_way_to_the_end() -> None:
    stages = {stage.name: stage for stage in (Stage("a", ()), Stage("b", ()), Stage("c", ("a", "b")))}
    assert graph.urgency(stages, {"a": 2, "b": 30, "c": 4}) == {"a": 6, "b": 34, "c": 4}
    assert graph.urgency(stages, {}) == {"a": 2, "b": 2, "c": 1}


def test_gpu_slots_go_round_the_gpus_and_are_free_again(tmp_path: Path) -> None:
    with graph.gpu_slot(tmp_path, 3, ["0", "1"]) as first, graph.gpu_slot(tmp_path, 3, ["0", "1"]) as second:
        assert (first, second) == ("0", "1")
        with graph.gpu_slot(tmp_path, 3, ["0", "1"]) as third:
            assert third == "0"
    with graph.gpu_slot(tmp_path, 3, ["0", "1"]) as again:
        assert again == "0"
    with graph.gpu_slot(tmp_path, 3, []) as none:
        assert none is None


@pytest.mark.parametrize(("value", "gpus"), [("", []), ("-1", []), ("3", ["3"]), ("2,5", ["2", "5"])])
def test_visible_gpus_are_those_the_user_left_visible(
    value: str, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert graph.visible_gpus() == gpus


# pygtrie, inside dvc, warns of its own next version.
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_a_misspelt_resource_in_dvc_yaml_is_named(project: Path) -> None:
    stages = {**GRAPH, "plan": {**GRAPH["plan"], "meta": {"memory": 3}}}
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    with pytest.raises(UserError, match=r"dvc\.yaml: .*memory"):
        graph.read_graph(project)
