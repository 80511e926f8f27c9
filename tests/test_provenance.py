"""What is recorded of a run, and that recording it twice changes nothing."""

import hashlib
import json
import subprocess
import time
from pathlib import Path

import pytest

from pipeline import provenance
from pipeline.provenance import expected_seconds, guess_seconds, record_stage, write_provenance


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study of two runs at scale smoke, in git, with results."""
    set_scale(tmp_path, "smoke")
    write(tmp_path / "reports/results/metrics.csv", "a,b\n")
    write(tmp_path / "code.py", "")
    for command in (["init", "-q"], ["add", "code.py", "reports"], ["commit", "-q", "-m", "code"]):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command]
        subprocess.run(git, cwd=tmp_path, check=True)
    return tmp_path


def set_scale(root: Path, scale: str) -> None:
    runs = [["ring", "minimax"], ["ring", "kl"]]
    study = {"scale": scale, "settings": {"seeds": 3}, "runs": runs}
    write(root / "plan/study.json", json.dumps(study))


def read(root: Path) -> dict:
    return json.loads((root / provenance.PROVENANCE).read_text())


def test_a_stage_leaves_its_seconds_and_the_hardware_and_a_failed_one_leaves_nothing(root: Path) -> None:
    with record_stage("train@ring-minimax", root):
        time.sleep(0.05)
    record = json.loads((root / ".work/timings/smoke/train@ring-minimax.json").read_text())
    assert 0.05 <= record["seconds"] < 5
    assert set(record["hardware"]) == {"cpu", "cores", "device", "gpu"}
    assert record["hardware"]["cores"] >= 1
    with pytest.raises(RuntimeError), record_stage("train@ring-kl", root):
        raise RuntimeError
    assert not (root / ".work/timings/smoke/train@ring-kl.json").exists()


def test_provenance_says_what_ran_where_and_what_it_describes(root: Path) -> None:
    for stage in ("train@ring-minimax", "train@ring-kl", "train@ring-gone", "aggregate"):
        with record_stage(stage, root):
            pass
    assert write_provenance(root)
    content = read(root)
    assert sorted(content["stages"]) == ["aggregate", "train@ring-kl", "train@ring-minimax"]
    assert content["total_seconds"] == pytest.approx(sum(content["stages"].values()), abs=0.05)  # rounded
    assert content["results_sha256"] == hashlib.sha256(b"a,b\n").hexdigest()
    assert (content["scale"], content["seeds"], content["runs"]) == ("smoke", 3, 2)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    assert content["commit"] == head.stdout.strip()
    assert set(content["versions"]) == set(provenance.PACKAGES)


def test_writing_it_twice_changes_nothing_until_a_stage_runs_or_the_results_change(root: Path) -> None:
    with record_stage("train@ring-minimax", root):
        pass
    assert write_provenance(root)
    first = (root / provenance.PROVENANCE).read_bytes()
    assert not write_provenance(root)
    for stage in ("plan", "figures", "paper"):  # nothing was measured: the paper stays what it is
        with record_stage(stage, root):
            pass
    assert not write_provenance(root)
    assert (root / provenance.PROVENANCE).read_bytes() == first
    time.sleep(0.002)  # records are ordered by the millisecond
    with record_stage("train@ring-kl", root):
        pass
    assert write_provenance(root)
    assert sum(name.startswith("train@") for name in read(root)["stages"]) == 2
    write(root / "reports/results/metrics.csv", "a,c\n")
    assert write_provenance(root)
    assert not write_provenance(root)


def test_a_fresh_clone_keeps_the_file_it_came_with(root: Path) -> None:
    with record_stage("train@ring-minimax", root):
        pass
    write_provenance(root)
    before = (root / provenance.PROVENANCE).read_bytes()
    for folder in (".work", "plan"):
        subprocess.run(["rm", "-r", folder], cwd=root, check=True)
    assert not write_provenance(root)
    assert (root / provenance.PROVENANCE).read_bytes() == before


def test_stages_that_did_not_run_here_keep_their_earlier_record_at_the_same_scale(root: Path) -> None:
    with record_stage("train@ring-minimax", root):
        pass
    write_provenance(root)
    (root / ".work/timings/smoke/train@ring-minimax.json").unlink()
    time.sleep(0.002)
    with record_stage("train@ring-kl", root):
        pass
    write_provenance(root)
    assert sorted(read(root)["stages"]) == ["train@ring-kl", "train@ring-minimax"]
    set_scale(root, "laptop")
    time.sleep(0.002)
    with record_stage("train@ring-kl", root):
        pass
    write_provenance(root)
    assert list(read(root)["stages"]) == ["train@ring-kl"], "the other run's seconds are of another scale"


def test_the_code_is_dirty_by_its_own_changes_only(root: Path) -> None:
    write(root / "reports/results/metrics.csv", "new results\n")
    write_provenance(root)
    assert read(root)["dirty"] is False
    write(root / "code.py", "changed\n")
    write(root / "reports/results/metrics.csv", "newer results\n")
    write_provenance(root)
    assert read(root)["dirty"] is True


def test_expected_seconds_come_from_here_else_from_the_record(root: Path) -> None:
    assert expected_seconds(root) == {}
    write(
        root / provenance.PROVENANCE,
        json.dumps({"scale": "smoke", "stages": {"train@ring-kl": 7, "paper": 2}}),
    )
    write(root / ".work/timings/smoke/paper.json", json.dumps({"stage": "paper", "seconds": 3}))
    write(root / ".work/timings/laptop/paper.json", json.dumps({"stage": "paper", "seconds": 99}))
    known = expected_seconds(root)
    assert known == {"train@ring-kl": 7.0, "paper": 3.0}
    assert guess_seconds("paper", known) == 3
    assert guess_seconds("train@ring-new", known) == 7, "as others of its kind"
    assert guess_seconds("figures", known) == 5, "as all on average"
    assert guess_seconds("figures", {}) == 1
    record = {"scale": "laptop", "stages": {"train@ring-kl": 7}}
    write(root / provenance.PROVENANCE, json.dumps(record))
    assert expected_seconds(root) == {"paper": 3.0}, "another scale says nothing of this one"
