"""Run whatever is stale, and say all along what runs, how many of how many, and how long it will take.

Snakemake does the work; this module only watches the files it leaves: the schedule, a log per started stage,
a sentinel per finished one, and the fraction done that a long stage reports of itself.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from pipeline import graph
from pipeline.config import PARAMS, load_params
from pipeline.errors import UserError
from pipeline.provenance import PROVENANCE, expected_seconds, guess_seconds, write_provenance

LOG = graph.WORK / "study.log"
PAPER = ("reports/paper.pdf", "reports/paper.html")
POLL_SECONDS = 0.25
OVERHEAD_SECONDS = 5.0  # of each stage beside its recorded seconds: DVC, Python and its libraries starting
LOG_LINES = 15


@dataclasses.dataclass
class Progress:
    """Where a study stands. `weight` are expected seconds per stage; the observed pace corrects them."""

    weight: dict[str, float]
    jobs: int
    started: float
    finished: dict[str, float] = dataclasses.field(default_factory=dict)
    running: dict[str, float] = dataclasses.field(default_factory=dict)

    def seconds_left(self, now: float) -> float:
        """Work left over the pace so far, which starts as `jobs` expected seconds per second."""
        done = sum(self.weight[name] for name in self.finished)
        done += sum(self.weight[name] * fraction for name, fraction in self.running.items())
        assumed = 5.0  # seconds of the expected pace: a few finished stages outweigh them
        pace = (done + self.jobs * assumed) / (now - self.started + assumed)
        return (sum(self.weight.values()) - done) / pace

    def line(self, now: float) -> str:
        """`about 3 min left`"""
        left = self.seconds_left(now)
        return f"about {left / 60:.0f} min left" if left >= 90 else f"about {max(left, 1):.0f} s left"


def run_study(root: Path, jobs: int) -> None:
    """Bring the whole study up to date with `jobs` stages at once; show progress; say where the paper is.

    Raises UserError for a mistake in the settings, and when a stage refuses its input; any other failure of
    a stage prints its last lines and exits with code 1. Results that are finished are kept.
    """
    load_params(root / PARAMS)  # DVC's own words for a misspelt key name neither the key nor its neighbour
    console = Console(highlight=False)
    try:
        with _alone(root) as lock, _ended_like_interrupted():
            if not (root / PROVENANCE).exists():
                write_provenance(root)  # the paper stage depends on it
            console.print("Asking DVC what is stale")
            ran, count = _run_snakemake(root, jobs, console, lock)
            recorded = write_provenance(root)
            if recorded and graph.run_stage("paper", root):
                _fail("paper", root)
            _mirror(root, console)
    except KeyboardInterrupt:
        print("interrupted; run it again to go on where it stopped", file=sys.stderr)
        raise SystemExit(130) from None
    if count:
        console.print(
            f"{count} stages were stale: {ran} run, {count - ran} unchanged or restored from the cache."
        )
    else:
        console.print("Nothing had changed.")
    if recorded:
        console.print("The record of where the results come from was renewed, and the paper with it.")
    console.print(f"The paper: {' and '.join(PAPER)}\nThe runs in the MLflow UI: make ui")


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[int]:
    """One study at a time in a folder: a second would clear the first one's sentinels. Yields the lock's file
    descriptor, to be held by Snakemake too: if this process is killed outright, its work may go on.
    """
    (root / graph.WORK).mkdir(exist_ok=True)
    with (root / graph.WORK / "study.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{root.resolve()}: another study runs in this folder") from None
        yield file.fileno()


@contextlib.contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """A lost terminal or a plain `kill` cleans up as Ctrl-C does; `nohup` stays what it is."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_snakemake(root: Path, jobs: int, console: Console, lock: int) -> tuple[int, int]:
    """Run the Snakefile and show progress; returns how many stages ran, and how many were scheduled."""
    (root / graph.SCHEDULE).unlink(missing_ok=True)
    command = [sys.executable, "-m", "snakemake", "--cores", str(jobs)]
    started = time.time()
    with (root / LOG).open("w") as log:
        # A process group of its own, so that all its stages can be ended with it.
        process = subprocess.Popen(
            command, cwd=root, stdout=log, stderr=subprocess.STDOUT, process_group=0, pass_fds=(lock,)
        )
        try:
            stages = _watch(process, root, jobs, console)
        finally:
            if process.poll() is None:  # interrupted: trainings go on from their last checkpoint next time
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if process.returncode:
        _explain(stages, root)
    ran = sum(_seconds_taken(name, root, started) is not None for name in stages)
    return ran, len(stages)


def _watch(
    process: "subprocess.Popen[bytes]", root: Path, jobs: int, console: Console
) -> dict[str, graph.Stage]:
    """Show progress until the process ends; returns the schedule (empty if there never was one)."""
    while not (root / graph.SCHEDULE).exists():
        if process.poll() is not None:
            return {}
        time.sleep(POLL_SECONDS)
    stages = graph.load_schedule(root)
    known = expected_seconds(root)
    weight = {name: guess_seconds(name, known) + OVERHEAD_SECONDS for name in stages}
    progress = Progress(weight, jobs, time.time())
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=console, transient=True)) if console.is_terminal else None
        while process.poll() is None:
            _update(progress, stages, root, console)
            if live:
                live.update(_view(progress))
            time.sleep(POLL_SECONDS)
        _update(progress, stages, root, console)
    return stages


def _update(progress: Progress, stages: dict[str, graph.Stage], root: Path, console: Console) -> None:
    """Read what the stages left; print one line for each that finished since."""
    progress.running = {}
    for name in stages:
        if name in progress.finished:
            continue
        if (root / graph.sentinel(name)).exists():
            seconds = _seconds_taken(name, root, progress.started)
            progress.finished[name] = seconds or 0.0
            what = "unchanged or from the cache" if seconds is None else f"{seconds:.1f} s"
            count = f"[{len(progress.finished)}/{len(stages)}]"
            line = f"{count} {name} {what}, {progress.line(time.time())}"
            console.print(line, markup=False, soft_wrap=True)
        elif (root / graph.log_path(name)).exists():
            progress.running[name] = _fraction(name, root)


def _seconds_taken(stage: str, root: Path, since: float) -> float | None:
    """Seconds of the stage's command; None when DVC did not need to run it."""
    for path in (root / graph.WORK / "timings").glob(f"*/{stage}.json"):
        if path.stat().st_mtime >= since:
            return float(json.loads(path.read_text())["seconds"])
    return None


def _fraction(stage: str, root: Path) -> float:
    """What a running stage says of itself in .work/progress/STAGE.json; 0 if it says nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        report = json.loads((root / graph.PROGRESS / f"{stage}.json").read_text())
        return min(1.0, float(report["done"]) / float(report["total"]))
    return 0.0


def _view(progress: Progress) -> Table:
    """One line that is redrawn: a bar, how many of how many, what runs, time left."""
    total = sum(progress.weight.values())
    done = sum(progress.weight[name] for name in progress.finished)
    done += sum(progress.weight[name] * fraction for name, fraction in progress.running.items())
    running = ", ".join(f"{name} {fraction:.0%}" for name, fraction in progress.running.items())
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    count = f"{len(progress.finished)}/{len(progress.weight)}"
    table.add_row(ProgressBar(total, done, width=24), count, progress.line(time.time()), running)
    return table


def _explain(stages: dict[str, graph.Stage], root: Path) -> None:
    """Say which stage failed and why, or why there was no schedule."""
    started = [name for name in stages if (root / graph.log_path(name)).exists()]
    failed = [name for name in started if not (root / graph.sentinel(name)).exists()]
    if failed:
        _fail(failed[0], root)
    _report(root / LOG, "snakemake failed")


def _fail(stage: str, root: Path) -> None:
    _report(root / graph.log_path(stage), f"{stage} failed")


def _report(log: Path, what: str) -> None:
    """Raise UserError for a user's mistake; for anything else show the log's end and exit with code 1."""
    lines = log.read_text(errors="replace").splitlines()
    for line in lines:
        if line.startswith("error: "):
            raise UserError(line.removeprefix("error: "))
    print(*lines[-LOG_LINES:], sep="\n", file=sys.stderr)
    print(f"error: {what}; its whole log: {log}", file=sys.stderr)
    raise SystemExit(1)


def _mirror(root: Path, console: Console) -> None:
    """Mirror the results to MLflow. A study never fails for it."""
    from pipeline.tracking import track

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            track(root)
    except Exception as error:
        console.print(f"warning: not mirrored to MLflow: {error}", markup=False)
