"""Progress: what it counts, what it promises, and how it reads what the stages leave behind."""

import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from pipeline import graph, study
from pipeline.errors import UserError
from pipeline.graph import Stage
from pipeline.provenance import PROVENANCE
from pipeline.study import Progress


def test_time_left_is_the_work_left_at_the_pace_so_far() -> None:
    progress = Progress({"a": 30.0, "b": 30.0, "c": 60.0}, jobs=2, started=0.0)
    # Nothing done yet: 120 expected seconds by two at a time.
    assert progress.seconds_left(0.0) == pytest.approx(60.0)
    # Half the expected work took 600 s instead of 30: the other half takes about 600 more.
    progress.finished = {"a": 500.0, "b": 500.0}
    assert 450 < progress.seconds_left(600.0) < 600
    assert progress.line(600.0).startswith("about 9 min")
    progress.running = {"c": 0.999}
    assert progress.seconds_left(600.0) < 2


def test_a_running_stage_counts_by_its_own_fraction(tmp_path: Path) -> None:
    folder = tmp_path / graph.PROGRESS
    folder.mkdir(parents=True)
    assert study._fraction("train@ring-a", tmp_path) == 0
    for text, fraction in [
        ('{"done": 25, "total": 100}', 0.25),
        ('{"done": 300, "total": 100}', 1.0),
        ('{"done": 1, "total": 0}', 0.0),
        ('{"done": 1', 0.0),  # caught while it is written
    ]:
        (folder / "train@ring-a.json").write_text(text)
        assert study._fraction("train@ring-a", tmp_path) == fraction


def test_one_line_per_finished_stage_with_its_time_or_why_it_took_none(tmp_path: Path) -> None:
    for folder in (graph.SENTINELS, graph.LOGS, graph.WORK / "timings" / "smoke"):
        (tmp_path / folder).mkdir(parents=True)
    stages = {name: Stage(name, ()) for name in ("plan", "train@ring-a", "train@ring-b")}
    (tmp_path / graph.sentinel("plan")).touch()
    (tmp_path / graph.sentinel("train@ring-a")).touch()
    (tmp_path / graph.log_path("train@ring-b")).touch()
    timing = tmp_path / graph.WORK / "timings" / "smoke" / "train@ring-a.json"
    timing.write_text(json.dumps({"seconds": 8.24}))
    os.utime(timing, (200, 200))
    output = io.StringIO()
    progress = Progress(dict.fromkeys(stages, 1.0), jobs=1, started=100.0)
    console = Console(file=output, width=40)  # a log: no line is broken
    study._update(progress, stages, tmp_path, console)
    study._update(progress, stages, tmp_path, console)  # what was said is not said again
    first, second = output.getvalue().splitlines()
    assert first.startswith("[1/3] plan unchanged or from the cache, about ")
    assert second.startswith("[2/3] train@ring-a 8.2 s, about ")
    assert second.endswith(" left")
    assert list(progress.running) == ["train@ring-b"]


def test_a_second_study_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with study._alone(tmp_path), pytest.raises(UserError, match="another study runs"), study._alone(tmp_path):
        pass
    with study._alone(tmp_path):  # and free again afterwards
        pass


def test_a_failed_stage_is_one_line_for_a_users_mistake_and_its_log_for_anything_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (graph.SENTINELS, graph.LOGS):
        (tmp_path / folder).mkdir(parents=True)
    stages = {name: Stage(name, ()) for name in ("fetch@ring", "train@ring-a", "paper")}
    (tmp_path / graph.sentinel("fetch@ring")).touch()
    (tmp_path / graph.log_path("fetch@ring")).write_text("fine\n")
    log = tmp_path / graph.log_path("train@ring-a")
    log.write_text("> $LAUNCH python\nerror: runs/ring/a: corrupt\nERROR: failed to reproduce\n")
    with pytest.raises(UserError, match=r"^runs/ring/a: corrupt$"):
        study._explain(stages, tmp_path)
    log.write_text("Traceback\nZeroDivisionError: division by zero\n")
    with pytest.raises(SystemExit) as ended:
        study._explain(stages, tmp_path)
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == [
        "ZeroDivisionError: division by zero",
        f"error: train@ring-a failed; its whole log: {log}",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_ended_from_outside_it_takes_its_stages_with_it(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for Snakemake, with a stage of its own as child, would run for a minute."""
    script = tmp_path / "snakemake"
    script.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/child\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(study, "load_params", lambda path: None)
    (tmp_path / PROVENANCE).parent.mkdir(parents=True)
    (tmp_path / PROVENANCE).write_text("{}")
    before = signal.getsignal(number)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), number))
    timer.start()
    with pytest.raises(SystemExit) as ended:
        study.run_study(tmp_path, jobs=1)
    assert ended.value.code == 130
    child = int((tmp_path / "child").read_text())
    for _ in range(50):  # the system may take a moment to bury it
        if not _is_running(child):
            break
        time.sleep(0.1)
    assert not _is_running(child)
    assert signal.getsignal(number) is before
    with study._alone(tmp_path):
        pass


def _is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
