"""The whole chain on `smoke`, as a user runs it: both tools, and what each change reruns.

A copy of the project with two variants is built once by each tool; each test changes a copy of the second.
Which stages executed is read from the timing that each leaves; what DVC restores leaves none.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
Answer: TypeAlias = "subprocess.CompletedProcess[str]"
BENCHMARKS = ("ring", "digits")
KEPT, OTHER = "non_saturating", "least_squares"
# What the claims name: the exact curves of the whole catalogue take most of a minute, whenever theory runs.
# fmt: off
OBJECTIVES = {
    KEPT, OTHER, "minimax", "minimax_probability", "logit_generator", "least_squares_centred", "wasserstein",
    "ratio_reverse_kl", "ratio_forward_kl", "maximum_likelihood", "kl", "reverse_kl", "total_variation",
}
# fmt: on
ESTIMATORS = ("histogram", "known_density_ring")  # of all, to save time
FRESH_CRITICS = {f"fresh_critics@{benchmark}" for benchmark in BENCHMARKS}  # of every variant
AFTER_EVALUATE = {"aggregate", "claims", "figures", "paper", "movie@ring", "movie@digits"}
TIMINGS = Path(".work/timings/smoke")
# Of what theory computes besides: (module, number, instead). Whole it takes two minutes.
SHORTER = (
    ("__init__", "RANDOM_PAIRS = 200", "RANDOM_PAIRS = 3"),
    ("trained_critic", "STEPS = 2000", "STEPS = 10"),
    ("free_game", "UPDATES = 300", "UPDATES = 30"),
    ("trained_fit", "UPDATES = 600", "UPDATES = 5"),
    ("trained_fit", "SEEDS = 5", "SEEDS = 2"),
    ("parallel_lines", "UPDATES = 800", "UPDATES = 20"),
    ("parallel_lines", "SEEDS = 10", "SEEDS = 2"),
    ("dirac_tables", "STEPS = 2000", "STEPS = 320"),
)
# What a study makes and git keeps; the tests start without it.
MADE = ("dvc.lock", "reports/figures", "reports/paper.pdf", "reports/paper.html")
# Notes which of the project's files a stage opens for reading (see test_stages_read_only_what_they_declare).
TRACER = """
import atexit, json, os, pathlib, sys
if "DVC_STAGE" in os.environ and "TRACE" in os.environ:
    here, seen = os.getcwd() + os.sep, set()
    def note(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path, mode, flags = os.path.abspath(os.fsdecode(arguments[0])), arguments[1], arguments[2]
            writes = set(mode or "") & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
            if path.startswith(here) and not writes:
                seen.add(path.removeprefix(here))
    def save():
        target = pathlib.Path(os.environ["TRACE"]) / (os.environ["DVC_STAGE"] + ".json")
        target.write_text(json.dumps(sorted(seen)))
    atexit.register(save)
    sys.addaudithook(note)
"""
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in ("LAUNCH", "PYTHONPATH")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "CUDA_VISIBLE_DEVICES": "",  # the bytes of a study are those of one device
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


def run(folder: Path, *command: str, **environment: str) -> Answer:
    """The command, in the folder; a failure shows what it and the failed stage said."""
    answer = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer


def python(folder: Path, *module: str, **environment: str) -> Answer:
    return run(folder, sys.executable, "-m", *module, **environment)


def dvc(folder: Path, *arguments: str) -> Answer:
    return python(folder, "dvc", *arguments)


def snakemake(folder: Path, cores: int = 2, **environment: str) -> Answer:
    return python(folder, "snakemake", "--cores", str(cores), **environment)


def edit(path: Path, change: dict) -> None:
    """Merge nested settings into a YAML file."""

    def merge(old: dict, new: dict) -> dict:
        for key, value in new.items():
            old[key] = merge(old.get(key) or {}, value) if isinstance(value, dict) else value
        return old

    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), change), sort_keys=False))


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as git would clone it from this working tree, small, and with nothing made."""
    folder = tmp_path_factory.mktemp("blank") / "project"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(MADE):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for path in (folder / "reports" / "results").glob("*"):
        if path.name != "provenance.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    study = {
        "datasets": [*BENCHMARKS, "grid"],
        "benchmarks": list(BENCHMARKS),
        "variants": [KEPT, OTHER],
        "more_modes": {"benchmarks": ["grid"], "variants": [KEPT]},
    }
    critics = {"fresh_critics": {"generator": KEPT}}
    edit(folder / "params.yaml", {"scale": "smoke", "study": study, **critics})
    edit(folder / "dvc.yaml", {"vars": [{"estimators": list(ESTIMATORS)}]})
    for module, number, instead in SHORTER:
        path = folder / "pipeline" / "theory" / f"{module}.py"
        assert number in path.read_text(), f"{module}: {number}"
        path.write_text(path.read_text().replace(number, instead))
    entries = yaml.safe_load((folder / "objectives.yaml").read_text())
    few = {name: entry for name, entry in entries.items() if name in OBJECTIVES}
    assert few.keys() == OBJECTIVES
    (folder / "objectives.yaml").write_text(yaml.safe_dump(few, sort_keys=False))
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "as cloned")
    if not (folder / "reports" / "results" / "provenance.json").exists():
        python(folder, "pipeline", "provenance")
    return folder


@pytest.fixture(scope="module")
def both(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(built by `dvc repro`, built by `snakemake --cores 8` with every file noted that a stage reads).

    Side by side to save time: the first uses one core.
    """
    serial, built = (blank.parent / name for name in ("serial", "built"))
    for folder in (serial, built):
        shutil.copytree(blank, folder, symlinks=True)
    tracer = tmp_path_factory.mktemp("tracer")
    (tracer / "sitecustomize.py").write_text(TRACER)
    (built / ".work" / "trace").mkdir(parents=True)
    with ThreadPoolExecutor(1) as other:
        repro = other.submit(dvc, serial, "repro")
        snakemake(built, cores=8, PYTHONPATH=str(tracer), TRACE=str(built / ".work" / "trace"))
        repro.result()
    return serial, built


@pytest.fixture(scope="module")
def built(both: tuple[Path, Path]) -> Path:
    return both[1]


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built project that may be changed, with nothing executed in it yet."""
    folder = tmp_path / "project"
    shutil.copytree(built, folder, symlinks=True)
    executed(folder)
    return folder


def executed(folder: Path) -> set[str]:
    """The stages whose command ran since this was asked last."""
    timings = list((folder / TIMINGS).glob("*.json"))
    for path in timings:
        path.unlink()
    return {path.stem for path in timings}


def of(verb: str, *variants: str) -> set[str]:
    return {f"{verb}@{benchmark}-{variant}" for benchmark in BENCHMARKS for variant in variants}


def locked(folder: Path) -> dict:
    return yaml.safe_load((folder / "dvc.lock").read_text())["stages"]


def contents(folder: Path, *parts: str) -> dict[str, bytes]:
    files = [path for part in parts for path in sorted((folder / part).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_both_tools_give_the_same_bytes_and_the_same_lock(both: tuple[Path, Path]) -> None:
    serial, built = both
    parts = ("plan", "data", "features", "runs", "evaluated", "fresh_critics", "reports")
    one, other = contents(serial, *parts), contents(built, *parts)
    assert set(one) == set(other)
    assert [name for name in one if one[name] != other[name]] == []
    assert locked(serial) == locked(built)
    assert "reports/paper.pdf" in one
    assert "reports/results/summary.csv" in one


def test_eight_stages_at_once_meet_no_lock_error(built: Path) -> None:
    logs = {path.stem: path.read_text() for path in (built / ".work" / "logs").iterdir()}
    assert set(logs) == set(locked(built))
    assert [name for name, text in logs.items() if "ERROR" in text] == []


def test_stages_read_only_what_they_declare(built: Path) -> None:
    """By the files that Python opens while a stage runs; libraries that open files themselves go unseen."""
    traced = 0
    for stage, lock in locked(built).items():
        deps = [Path(dep["path"]) for dep in lock["deps"]]
        outs = [Path(out["path"]) for out in lock["outs"]]
        for name in json.loads((built / ".work" / "trace" / f"{stage}.json").read_text()):
            path = Path(name)
            # plan/study.json: the recorder around every stage files its seconds under the study's scale.
            if path.suffix in (".py", ".pyc") or path.parts[0] == ".work" or name == "plan/study.json":
                continue
            if any(path.is_relative_to(out) for out in outs):
                continue
            if not (built / path).exists():  # made and removed by the stage itself
                continue
            assert any(path.is_relative_to(dep) for dep in deps), f"{stage} reads {name}"
            traced += 1
    assert traced > len(locked(built)), "the tracer saw the stages read"


def test_nothing_changed_runs_nothing(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    dvc(project, "repro")
    snakemake(project)
    assert json.loads((project / ".work" / "schedule.json").read_text()) == []
    assert executed(project) == set()
    assert (project / "dvc.lock").read_bytes() == before


def test_a_fresh_clone_with_the_cache_pulled_runs_nothing_and_redraws_the_same(
    project: Path, tmp_path: Path
) -> None:
    dvc(project, "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    dvc(project, "push", "--quiet")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--message", "results")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    # Before anything is pulled: figures and paper come from what git holds.
    before = contents(clone, "reports")
    python(clone, "pipeline", "figures")
    python(clone, "pipeline", "paper")
    assert contents(clone, "reports") == before
    shutil.rmtree(clone / ".work")
    dvc(clone, "pull", "--quiet")
    dvc(clone, "repro")
    snakemake(clone)
    assert json.loads((clone / ".work" / "schedule.json").read_text()) == []
    assert executed(clone) == set()
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_a_changed_variant_reruns_alone_with_progress_and_taken_back_runs_nothing(project: Path) -> None:
    """As `make study` runs it. Taken back with the file that says where the results come from."""
    before = locked(project)
    taken_back = {name: project / name for name in ("params.yaml", "reports/results/provenance.json")}
    kept = {name: path.read_bytes() for name, path in taken_back.items()}
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    edit(project / "params.yaml", {"variants": {OTHER: {"critic_steps": 2}}})

    told = python(project, "pipeline", "study", "--jobs", "2", **store).stdout
    expected = of("train", OTHER) | of("evaluate", OTHER) | AFTER_EVALUATE
    assert executed(project) == {"plan"} | expected
    lines = [line.split() for line in told.splitlines() if line.startswith("[")]
    assert {name for _, name, *_ in lines} == expected
    assert [count for count, *_ in lines] == [f"[{n}/{len(expected)}]" for n in range(1, len(expected) + 1)]
    assert "reports/paper.pdf" in told
    record = json.loads((project / "reports/results/provenance.json").read_text())
    assert of("train", OTHER) <= set(record["stages"])

    files = contents(project, "reports")
    assert "Nothing had changed" in python(project, "pipeline", "study", "--jobs", "2", **store).stdout
    assert contents(project, "reports") == files

    for name, path in taken_back.items():
        path.write_bytes(kept[name])
    dvc(project, "repro")
    assert executed(project) == set()
    assert locked(project) == before


def test_a_removed_variant_is_gone_from_every_table_and_figure(project: Path) -> None:
    title = yaml.safe_load((project / "params.yaml").read_text())["variants"][OTHER]["title"]
    tables = ("reports/results/*.csv", "reports/results/*.json", "reports/figures/*")

    def mentions() -> set[str]:
        paths = [path for pattern in tables for path in project.glob(pattern)]
        files = [path for path in paths if path.name not in ("provenance.json", "claims.json")]
        texts = {path.name: path.read_text() for path in files}
        return {name for name, text in texts.items() if f"{OTHER}" in text or title in text}

    assert {"metrics.csv", "summary.csv", "study.json", "metrics.json"} <= mentions()
    edit(project / "params.yaml", {"study": {"variants": [KEPT]}})
    snakemake(project)
    assert mentions() == set()
    gallery = pd.read_parquet(project / "reports" / "results" / "gallery.parquet")
    assert set(gallery["variant"]) == {KEPT}
    assert not of("train", OTHER, KEPT) & executed(project)
    assert "up to date" in dvc(project, "status").stdout


def test_a_new_objective_trains_its_variants_only(project: Path) -> None:
    edit(
        project / "objectives.yaml",
        {
            "of_this_test": {
                "title": "Of this test",
                "construction": "likelihood_ratio",
                "omega": "log(r)",
                "rho": "exp(-t/2)/4",
                "domain": ["-oo", "oo"],
                "citation": "this test",
            }
        },
    )
    edit(
        project / "params.yaml",
        {
            "study": {"variants": [KEPT, OTHER, "mine"]},
            "variants": {"mine": {"title": "Mine", "objective": "of_this_test"}},
        },
    )
    snakemake(project)
    new = of("train", "mine") | of("evaluate", "mine") | FRESH_CRITICS
    # Both read the whole catalogue.
    assert executed(project) == {"plan", "theory", "critic_estimates"} | new | AFTER_EVALUATE
    summary = pd.read_csv(project / "reports" / "results" / "summary.csv")
    assert set(summary["variant"]) == {KEPT, OTHER, "mine"}


def test_a_changed_objective_makes_stale_the_runs_that_use_it(project: Path) -> None:
    """The file that a training depends on holds its objective's formulas."""
    edit(project / "objectives.yaml", {OTHER: {"parameters": {"a": -1, "b": 1, "c": 0}}})
    dvc(project, "repro", "--quiet", "--single-item", "plan")
    stale = set(json.loads(dvc(project, "status", "--json").stdout))
    assert {name for name in stale if name.startswith(("fetch", "features", "train", "evaluate"))} == (
        of("train", OTHER) | of("evaluate", OTHER)
    )
