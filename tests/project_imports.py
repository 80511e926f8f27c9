"""What the project's modules import, derived from their code by AST: nothing is run."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "pipeline"


def module_path(name: str) -> Path | None:
    """The file of a module, the __init__.py of a package; None for what is no module of the project."""
    base = ROOT / name.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def imported(tree: ast.AST) -> set[str]:
    """The project's modules that a tree imports, wherever the statement stands.

    Imports under `if TYPE_CHECKING` do not run and do not count. Importing a.b runs a/__init__.py as well.
    """
    names: set[str] = set()
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "the project imports by full names"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        pending += ast.iter_child_nodes(node)
    parents = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
    return {name for name in parents if name.split(".")[0] == PACKAGE and module_path(name)}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def closure(start: set[str]) -> set[str]:
    """All modules that run when those of `start` are imported."""
    seen: set[str] = set()
    pending = set(start)
    while pending:
        name = pending.pop()
        seen.add(name)
        path = module_path(name)
        assert path is not None
        pending |= imported(parsed(path)) - seen
    return seen
