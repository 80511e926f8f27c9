"""The DVC graph, for Snakemake: which stages are stale, what needs what, and how one stage is run.

DVC alone decides what is stale; Snakemake only schedules. `dvc.repo.Repo` is not a documented interface: all
that is used of it stands in `read_graph`, and dvc is pinned.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from pipeline.errors import UserError
from pipeline.plan import load_study, remove_unlisted

WORK = Path(".work")
LOGS = WORK / "logs"
PROGRESS = WORK / "progress"
SENTINELS = WORK / "sentinels"
SCHEDULE = WORK / "schedule.json"
PLAN = "plan"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage that is to be brought up to date.

    `needs` are the scheduled stages that come before it. Resources, from its `meta:` in dvc.yaml: `gpu` (1
    when it uses a GPU where there is one), `mem_mb` (MiB), `runtime` (minutes, a cluster's limit).
    """

    name: str
    needs: tuple[str, ...]
    gpu: int = 0
    mem_mb: int = 1000
    runtime: int = 10


def sentinel(stage: str) -> str:
    """The file that stands for "this stage was brought up to date by this call"."""
    return str(SENTINELS / stage)


def log_path(stage: str) -> Path:
    return LOGS / f"{stage}.log"


def read_graph(root: Path) -> tuple[dict[str, Stage], set[str]]:
    """(every stage of dvc.yaml in topological order, the names of those that DVC finds changed)."""
    import networkx as nx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root.resolve()), _wait_for_lock=True) as repo:
            graph = repo.index.graph  # edges point from a stage to what it depends on
            stages = {
                node.addressing: Stage(
                    name=node.addressing,
                    needs=tuple(sorted(needed.addressing for needed in graph.successors(node))),
                    **(node.meta or {}),
                )
                for node in reversed(list(nx.topological_sort(graph)))
            }
            return stages, set(repo.status()) & set(stages)
    except (DvcException, TypeError) as error:
        raise UserError(f"dvc.yaml: {' '.join(str(error).split())}") from error


def stale_and_downstream(stages: Mapping[str, Stage], changed: set[str]) -> dict[str, Stage]:
    """The changed stages and everything that follows from them; `needs` keeps only scheduled stages."""
    chosen: dict[str, Stage] = {}
    for stage in stages.values():  # topological: what a stage needs has been decided before it
        needs = tuple(name for name in stage.needs if name in chosen)
        if stage.name in changed or needs:
            chosen[stage.name] = dataclasses.replace(stage, needs=needs)
    return chosen


def schedule(root: Path) -> dict[str, Stage]:
    """Bring `plan` up to date, ask DVC what is stale, clear what earlier calls left, and record the schedule.

    Raises UserError when the plan stage refuses the settings or dvc.yaml does not resolve.
    """
    for folder in (SENTINELS, LOGS, PROGRESS):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    (root / SCHEDULE).unlink(missing_ok=True)
    if run_stage(PLAN, root) != 0:
        raise UserError(failure(PLAN, root))
    remove_unlisted(load_study(root), root)
    chosen = stale_and_downstream(*read_graph(root))
    part = root / SCHEDULE.with_suffix(".part")
    part.write_text(json.dumps([dataclasses.asdict(stage) for stage in chosen.values()], indent=1))
    part.replace(root / SCHEDULE)  # whole or not there: `study` reads it while this runs
    return chosen


def load_schedule(root: Path) -> dict[str, Stage]:
    """What `schedule` recorded, for the other processes of the same call."""
    stages = json.loads((root / SCHEDULE).read_text())
    return {stage["name"]: Stage(**{**stage, "needs": tuple(stage["needs"])}) for stage in stages}


def urgency(stages: Mapping[str, Stage], seconds: Mapping[str, float]) -> dict[str, int]:
    """Seconds from a stage's start to the end of the study along the longest path (1 s where unknown).

    Starting the longest path first keeps all cores busy to the end.
    """
    left = dict.fromkeys(stages, 0.0)  # the longest path that follows each stage
    for stage in reversed(list(stages.values())):
        own = left[stage.name] = left[stage.name] + seconds.get(stage.name, 1.0)
        for name in stage.needs:
            left[name] = max(left[name], own)
    return {name: round(value) for name, value in left.items()}


def visible_gpus() -> list[str]:
    """The GPUs a job may use, as CUDA_VISIBLE_DEVICES names them; none without an NVIDIA driver."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.split() if answer.returncode == 0 else []


@contextlib.contextmanager
def gpu_slot(root: Path, slots: int, gpus: list[str]) -> Iterator[str | None]:
    """A free slot of `slots`, held until the end of the block; yields its GPU (slots go round the GPUs).

    Snakemake counts `gpu` and does not say which; its local executor sets no CUDA_VISIBLE_DEVICES. A slot is
    a file lock, which the system frees however the process ends.
    """
    if not slots or not gpus:
        yield None
        return
    folder = root / WORK / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        yield gpus[_lock_free_slot(folder, slots, stack) % len(gpus)]


def _lock_free_slot(folder: Path, slots: int, stack: contextlib.ExitStack) -> int:
    for slot in range(slots):
        file: IO[str] = stack.enter_context((folder / str(slot)).open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return slot
    # More jobs than slots: only when something outside this schedule holds one. Share instead of waiting.
    return os.getpid() % slots


def run_stage(stage: str, root: Path, gpu_slots: int = 0, launch: str = "") -> int:
    """`dvc repro` of one stage, its output in .work/logs/STAGE.log; returns DVC's exit code.

    `--wait-for-lock` is needed as soon as two stages run at once, and only stands before `repro`. `launch`
    becomes $LAUNCH, with which every stage's command begins: DVC stays here, the command may go elsewhere.
    """
    log = root / log_path(stage)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    environment = os.environ | {
        # Stage commands say `python`: it must be this one. sh, because zsh and fish keep $LAUNCH one word.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "SHELL": "/bin/sh",
        "LAUNCH": launch or os.environ.get("LAUNCH", ""),
        # Jobs side by side, one thread each: threads of several jobs on the same cores cost a factor of ten.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    gpus = [] if environment["LAUNCH"] or not gpu_slots else visible_gpus()
    with log.open("w") as output, gpu_slot(root, gpu_slots, gpus) as gpu:
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        return subprocess.run(
            command, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode


def failure(stage: str, root: Path) -> str:
    """One line that says why a stage failed: its own `error:` line, else the last line it wrote."""
    path = root / log_path(stage)
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    told = [line for line in lines if not line.startswith(("ERROR: failed to reproduce", ">"))]
    return f"{stage}: {(own or told or ['failed'])[-1]}"


def main() -> int:
    """`python -m pipeline.graph STAGE`: what each Snakemake rule runs."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.graph", description=main.__doc__)
    parser.add_argument("stage")
    parser.add_argument("--gpu-slots", type=int, default=0, help="jobs that may share the GPUs; 0: no GPU")
    parser.add_argument("--launch", default="", help="prefix of the stage's command, e.g. srun ...")
    given = parser.parse_args()
    code = run_stage(given.stage, Path(), given.gpu_slots, given.launch)
    if code:
        print(f"{failure(given.stage, Path())} (all of it: {log_path(given.stage)})", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
