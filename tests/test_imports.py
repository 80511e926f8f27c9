"""Imports point one way (the folders' rule): science below knows nothing of the study above it.

A rule names what a part may import of the project, directly; `figures`, `claims` and `paper` are checked with
everything they import in turn, because reading files only is their whole point: they must run in a fresh
clone in seconds.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from project_imports import PACKAGE, ROOT, closure, imported, module_path, parsed

SETTINGS = {"config", "settings", "errors", "seeds"}
# part -> the parts it may import besides itself
MAY_IMPORT = {
    "errors": set(),
    "seeds": {"config", "errors"},
    "settings": {"errors"},
    "config": {"settings", "errors"},
    "objectives": SETTINGS,
    "data": SETTINGS,
    "networks": SETTINGS,
}
# part -> the parts it must not reach, directly or through others
MUST_NOT_REACH = {
    "metrics": {"training", "figures", "claims", "paper", "tracking", "aggregate"},
    "calibration": {"training", "figures", "claims", "paper", "tracking", "aggregate", "evaluate"},
    "theory": {"training", "data", "metrics", "tracking"},
    "plan": {"objectives", "training", "data"},  # who reads a plan need not know how it was resolved
    "evaluate": {"training", "objectives", "tracking"},
    "training": {"metrics", "aggregate", "tracking", "figures"},
    "figures": {"training", "networks", "objectives", "data", "theory", "aggregate", "evaluate", "tracking"},
    "claims": {"training", "networks", "objectives", "data", "theory", "aggregate", "evaluate", "tracking"},
    "paper": {"training", "networks", "objectives", "data", "theory", "aggregate", "evaluate", "tracking"},
}
ONLY_IMPORTER = {"mlflow": "tracking", "yaml": "settings"}


def part(module: str) -> str:
    """pipeline.metrics.frechet -> metrics"""
    return module.split(".")[1] if "." in module else ""


def modules() -> dict[str, Path]:
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


def of_part(name: str) -> set[str]:
    return {module.removesuffix(".__init__") for module in modules() if part(module) == name}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_the_parts_below_import_settings_and_errors_only(name: str) -> None:
    assert of_part(name), f"there is no part {name}"
    for module in of_part(name):
        path = module_path(module)
        assert path is not None
        found = {part(other) for other in imported(parsed(path))} - {name, ""}
        assert found <= MAY_IMPORT[name], f"{module} imports {found - MAY_IMPORT[name]}"


@pytest.mark.parametrize("name", MUST_NOT_REACH)
def test_no_part_reaches_what_stands_above_or_beside_it(name: str) -> None:
    assert of_part(name), f"there is no part {name}"
    reached = {part(module) for module in closure(of_part(name))}
    assert not reached & MUST_NOT_REACH[name]


@pytest.mark.parametrize("package", ONLY_IMPORTER)
def test_a_package_has_one_importer(package: str) -> None:
    importers = set()
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8").splitlines()
        starts = (f"import {package}", f"from {package}")
        if any(line.strip().startswith(starts) for line in text):
            importers.add(part(module))
    assert importers == {ONLY_IMPORTER[package]}


def test_the_command_line_answers_without_the_heavy_packages() -> None:
    """`--help` imports none of them: each costs a second or more."""
    code = (
        "import sys, pipeline.__main__\n"
        "print(*{name.split('.')[0] for name in sys.modules} "
        "& {'torch', 'sympy', 'mlflow', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'dvc'})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""
