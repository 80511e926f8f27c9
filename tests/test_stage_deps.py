"""Each stage of dvc.yaml depends on exactly the modules that its command imports, directly or not.

Neither DVC nor Snakemake follows imports: a missing module keeps a stale result, one too many reruns for
nothing. The truth is derived from the code: `pipeline/__main__.py` says which function a verb calls, and the
imports are followed from there.
"""

import ast
from pathlib import Path

import project_imports
import pytest
import yaml
from project_imports import PACKAGE, ROOT, closure, imported, module_path, parsed

# The command line imports these around every stage; they cannot change what a stage writes.
AROUND = {"pipeline.provenance"}


def has_code(path: Path) -> bool:
    """Whether a file is more than a docstring: an empty __init__.py need not be named."""
    body = parsed(path).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def verb_modules(verb: str) -> set[str]:
    """The files that `python -m pipeline VERB` runs, as dvc.yaml names them."""
    main = parsed(ROOT / PACKAGE / "__main__.py")
    functions = {node.name: node for node in main.body if isinstance(node, ast.FunctionDef)}
    paths = {module_path(name) for name in closure(imported(functions[verb]) - AROUND)}
    return {str(path.relative_to(ROOT)) for path in paths if path is not None and has_code(path)}


def stages() -> dict[str, dict]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def modules_named(stage: dict) -> set[str]:
    return {dep for dep in stage["deps"] if dep.startswith(f"{PACKAGE}/")}


@pytest.mark.parametrize("name", stages())
def test_a_stage_depends_on_the_modules_it_runs_and_no_others(name: str) -> None:
    verb = stages()[name]["cmd"].split("python -m pipeline ")[1].split()[0]
    named, run = modules_named(stages()[name]), verb_modules(verb)
    paste = "\n".join(f"      - {path}" for path in sorted(run))
    assert named == run, (
        f"stage {name}: missing {sorted(run - named)}, too many {sorted(named - run)}; all:\n{paste}"
    )


@pytest.mark.parametrize("name", stages())
def test_a_stage_is_the_verb_of_its_name_behind_the_launcher(name: str) -> None:
    """The command is hashed by DVC: it is the same on a workstation and on a cluster."""
    verb = name.removesuffix("_more_modes")
    assert stages()[name]["cmd"].startswith(f"$LAUNCH python -m pipeline {verb}")


@pytest.mark.parametrize("name", stages())
def test_a_stage_names_its_resources(name: str) -> None:
    """As pipeline.graph.Stage reads them: gpu, mem_mb (MiB), runtime (minutes)."""
    meta = stages()[name]["meta"]
    assert set(meta) == {"gpu", "mem_mb", "runtime"}
    assert all(isinstance(value, int) for value in meta.values())


def test_imports_are_followed_through_functions_and_packages_and_not_through_type_checking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "a.py": "if TYPE_CHECKING:\n    from pipeline import never\ndef f():\n    from pipeline.b import c\n",
        "b/__init__.py": "import pipeline.d\n",
        "b/c.py": "import numpy\n",
        "d.py": "",
        "never.py": "",
        "unrelated.py": "",
        "__init__.py": "",
    }
    for name, text in files.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(project_imports, "ROOT", tmp_path)
    assert closure({"pipeline.a"}) == {"pipeline", "pipeline.a", "pipeline.b", "pipeline.b.c", "pipeline.d"}
