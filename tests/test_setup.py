"""The lock, pyproject.toml, environment.yml, the Makefile and what is installed here say the same."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [Requirement(line) for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]


def pins() -> dict[str, Requirement]:
    lines = [line for line in LOCK.splitlines() if line.strip() and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


def test_every_line_of_the_lock_is_one_exact_pin_and_names_no_host() -> None:
    lines = [line for line in LOCK.splitlines() if line.strip() and not line.startswith("#")]
    assert len(pins()) == len(lines), "a package stands twice"
    for pin in pins().values():
        assert re.fullmatch(r"==[0-9][A-Za-z0-9.]*", str(pin.specifier)), pin
    assert not re.search(r"https?:|file:|@ |--|\.(?:com|org|io)\b", LOCK), "an index, a host or a path"


@pytest.mark.parametrize("wanted", DIRECT, ids=lambda requirement: requirement.name)
def test_the_lock_satisfies_pyproject(wanted: Requirement) -> None:
    pin = pins()[canonicalize_name(wanted.name)]
    (exact,) = pin.specifier
    assert wanted.specifier.contains(exact.version)
    assert pin.marker is None, f"{wanted.name} is needed everywhere, and pinned only where {pin.marker}"


def test_the_lock_is_closed() -> None:
    """What a pinned package needs is pinned too, at a version it accepts: nothing is left to the day."""
    checked = 0
    for name, pin in pins().items():
        if pin.marker and not pin.marker.evaluate():
            continue
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker and not needed.marker.evaluate({"extra": ""}):
                continue
            found = pins().get(canonicalize_name(needed.name))
            assert found is not None, f"{name} needs {needed}, which is not in the lock"
            (exact,) = found.specifier
            assert needed.specifier.contains(exact.version, prereleases=True), f"{name} needs {needed}"
            checked += 1
    assert checked > len(pins())  # the loop did look


def test_what_is_installed_is_what_is_locked() -> None:
    different = {
        name: (importlib.metadata.version(name), str(pin.specifier))
        for name, pin in pins().items()
        if (pin.marker is None or pin.marker.evaluate())
        and Version(importlib.metadata.version(name)) not in pin.specifier
    }
    assert not different, "run `make test`, which installs the lock"


def test_conda_users_get_the_same_pins() -> None:
    """environment.yml takes them from the lock itself, and a Python that the project supports."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (from_pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert from_pip == ["-r requirements.lock", "-e ."]
    (python,) = [item.removeprefix("python=") for item in conda if item.startswith("python")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    assert {item.partition("=")[0] for item in conda} == {"python", "pip", "make", "git"}, (
        "a package from conda would be a second pin beside the lock's"
    )


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # `make test` runs this: its own flags must not reach the make that is tested.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_make_help_lists_every_target_with_one_line() -> None:
    for answer in (make("help"), make()):
        listed = re.findall(r"^  make (\w+) +\S.*$", answer.stdout, flags=re.MULTILINE)
        assert listed == ["help", "study", "test", "lint", "ui", "figures", "paper", "bench", "clean"]


def test_make_refuses_an_old_python_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    # Stands for an interpreter that finds itself too old: fails whatever it is asked.
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    answer = make("study", f"VENV={tmp_path}/venv", f"PYTHON={old}")
    first = answer.stderr.splitlines()[0]
    assert answer.returncode == 2
    assert first.startswith("error: ")
    assert "3.11" in first
    assert str(old) in first
    assert not (tmp_path / "venv").exists()


def test_make_needs_nothing_installed_when_nothing_changed(tmp_path: Path) -> None:
    """The second call's set-up is to look at two dates."""
    for stamp in (".locked", ".ready"):
        (tmp_path / stamp).touch()
    planned = make("--dry-run", "study", f"VENV={tmp_path}").stdout.split("\n")
    assert [line for line in planned if line] == [f"{tmp_path}/bin/python -m pipeline study"]


def test_scale_is_an_option_of_make_study(tmp_path: Path) -> None:
    for stamp in (".locked", ".ready"):
        (tmp_path / stamp).touch()
    planned = make("--dry-run", "study", "SCALE=smoke", f"VENV={tmp_path}").stdout
    assert "pipeline scale smoke" in planned


def test_the_ci_script_runs_the_commands_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "must be executable"
    commands = [line for line in script.read_text().splitlines() if line.startswith("make ")]
    assert commands == ["make lint", "make test"]


def test_python_is_one_that_the_project_supports() -> None:
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(
        ".".join(map(str, sys.version_info[:3]))
    )
