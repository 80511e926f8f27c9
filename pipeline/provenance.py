"""Where the results come from: versions, commit, seeds, hardware and the seconds each stage took.

Nothing here is an output of a stage: results are byte-identical from run to run, times and machines are not.
`record_stage` leaves one file per stage under .work/timings; `write_provenance` gathers them into
reports/results/provenance.json, which only the paper reads.
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

PROVENANCE = Path("reports/results/provenance.json")
METRICS = Path("reports/results/metrics.csv")
STUDY = Path("plan/study.json")
TIMINGS = Path(".work/timings")
CALIBRATION = Path(".work/calibration")
# fmt: off
PACKAGES = (
    "dvc", "matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn", "scipy",
    "snakemake", "sympy", "torch", "torch-fidelity", "torchvision", "typst",
)
# fmt: on
MEASURING = ("features", "theory", "train", "evaluate", "fresh_critics", "calibrate")
# What a study writes into tracked files; a change of these alone does not make the code another one.
GENERATED = ("dvc.lock", "reports/results/", "reports/figures/", "reports/paper.pdf", "reports/paper.html")


@contextlib.contextmanager
def record_stage(stage: str, root: Path = Path()) -> Iterator[None]:
    """Time the block and write .work/timings/SCALE/STAGE.json; a stage that fails leaves no record.

    Under DVC the stage is the one that DVC runs.
    """
    stage = os.environ.get("DVC_STAGE", stage)
    start = time.perf_counter()
    yield
    record = {
        "stage": stage,
        "seconds": round(time.perf_counter() - start, 2),
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "hardware": hardware(),
    }
    path = root / TIMINGS / _scale(root) / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(path, record)


def hardware() -> dict[str, Any]:
    """{cpu: model, cores: logical cores, device: cpu | mps | cuda, gpu: model or None}; no host name.

    The device is the one torch chose in this process; a stage without torch ran on the CPU.
    """
    torch = sys.modules.get("torch")
    device, gpu = "cpu", None
    if torch is not None and torch.cuda.is_available():
        device, gpu = "cuda", str(torch.cuda.get_device_name(0))
    elif torch is not None and torch.backends.mps.is_available():
        device = "mps"
    return {"cpu": _cpu_model(), "cores": os.cpu_count(), "device": device, "gpu": gpu}


def expected_seconds(root: Path) -> dict[str, float]:
    """Seconds per stage as last seen at this scale: here, else as recorded with the results."""
    record = _read(root / PROVENANCE)
    recorded = record.get("stages", {}) if record.get("scale") == _scale(root) else {}
    here = {record["stage"]: record["seconds"] for record in _timings(root)}
    return {stage: float(seconds) for stage, seconds in {**recorded, **here}.items()}


def guess_seconds(stage: str, known: dict[str, float]) -> float:
    """The stage's expected seconds; of one never seen the mean of its kind, else of all, else 1."""
    kind = stage.partition("@")[0]
    alike = [seconds for name, seconds in known.items() if name.partition("@")[0] == kind]
    return known.get(stage, fmean(alike or known.values() or [1.0]))


def write_provenance(root: Path) -> bool:
    """Write reports/results/provenance.json if it does not describe the results that are there.

    It does when it carries their sha256 and no stage that measures something ran here since. Returns whether
    the file was written: called twice, the second call changes nothing, and a fresh clone keeps its own.
    """
    old = _read(root / PROVENANCE)
    timings = _timings(root)
    ended = [record["ended"] for record in timings if _verb(record["stage"]) in MEASURING]
    until = max([*ended, old.get("measured_until", "")])
    results = _sha256(root / METRICS)
    if old and old["measured_until"] == until and old["results_sha256"] == results:
        return False
    _write_whole(root / PROVENANCE, _describe(root, old, timings) | {"measured_until": until})
    return True


def _describe(root: Path, old: dict[str, Any], timings: list[dict[str, Any]]) -> dict[str, Any]:
    study = _read(root / STUDY)
    scale = study.get("scale")
    before = old.get("stages", {}) if old.get("scale") == scale else {}
    stages = before | {record["stage"]: record["seconds"] for record in timings}
    runs = {f"{benchmark}-{variant}" for benchmark, variant in study.get("runs", [])}
    stages = {name: seconds for name, seconds in sorted(stages.items()) if _in_study(name, runs)}
    # Training is what the hardware matters for; of several machines the last one to train is named.
    trained = [record for record in timings if _verb(record["stage"]) == "train"]
    newest = max(trained or timings, key=lambda record: str(record["ended"]), default=None)
    commit, dirty = _commit(root)
    return {
        "scale": scale,
        "seeds": study.get("settings", {}).get("seeds"),
        "runs": len(runs),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": commit,
        "dirty": dirty,
        "hardware": newest["hardware"] if newest else old.get("hardware") or hardware(),
        "stages": stages,
        "total_seconds": round(sum(stages.values()), 1),
        "seconds_of_an_estimate": _seconds_of_an_estimate(root) or old.get("seconds_of_an_estimate", {}),
        "results_sha256": _sha256(root / METRICS),
    }


def _seconds_of_an_estimate(root: Path) -> dict[str, Any]:
    """{estimator: {N: seconds}}, as `calibrate` left them here."""
    return {path.stem: _read(path) for path in sorted((root / CALIBRATION).glob("*.json"))}


def _in_study(stage: str, runs: set[str]) -> bool:
    return _verb(stage) not in ("train", "evaluate") or stage.partition("@")[2] in runs


def _verb(stage: str) -> str:
    """The verb of the command line that the stage runs: train, of train_more_modes@grid-minimax."""
    return stage.partition("@")[0].removesuffix("_more_modes")


def _commit(root: Path) -> tuple[str | None, bool]:
    """(commit, whether files that a study does not generate differ from it); (None, True) without git."""

    def git(*arguments: str) -> str | None:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        return answer.stdout if answer.returncode == 0 else None

    commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return None, True
    return commit.strip(), any(not line[3:].startswith(GENERATED) for line in changed.splitlines())


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _scale(root: Path) -> str:
    return str(_read(root / STUDY).get("scale", "none"))


def _timings(root: Path) -> list[dict[str, Any]]:
    """What the stages recorded here at the current scale."""
    return [_read(path) for path in sorted((root / TIMINGS / _scale(root)).glob("*.json"))]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} when there is none."""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all: other processes read these files at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)
