"""reports/paper.typ -> reports/paper.pdf and reports/paper.html, one source, offline, byte-identical.

The source holds words and layout; every number reaches it as one JSON object that `collect` builds from
reports/results, reports/published and reports/figures. A number that is not there stops the build: `num` in
the source panics with its name, and the panic becomes a UserError.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import typst

from pipeline.errors import UserError
from pipeline.figures.style import looks
from pipeline.figures.tables import FOLDER as FIGURES
from pipeline.figures.tables import RESULTS, Results, to_records

REPORTS = "reports"
SOURCE = "paper.typ"
# What the compiler says of its own HTML export, and what it leaves out of it on purpose.
EXPECTED_WARNINGS = ("html export is under active development", "was ignored during")


def write_paper(root: Path) -> list[Path]:
    """Write reports/paper.pdf and reports/paper.html. Returns both paths.

    Raises UserError naming the missing number, file or reference; nothing is written on an error.
    """
    reports = root / REPORTS
    content = json.dumps(collect(root), allow_nan=False)
    built = {
        reports / "paper.pdf": _compile(reports, content, "pdf"),
        reports / "paper.html": _compile(reports, content, "html"),
    }
    for path, document in built.items():
        path.write_bytes(document)
    return list(built)


def collect(root: Path) -> dict[str, Any]:
    """Everything the paper prints, as plain JSON values; NaN (no seed left) becomes None."""
    results = Results(root / RESULTS)
    return {
        "scale": results.study["scale"],
        "settings": results.study["settings"],
        "collapsed": results.study["metrics"]["collapsed"]["description"],
        "missed": results.study["metrics"]["missed"]["description"],
        "benchmarks": [_benchmark(results, name) for name in results.benchmarks],
        "variants": _variants(results),
        "objectives": _objectives(results),
        "features": results.study.get("features", {}),
        "summary": _nested(results.summary, ["benchmark", "variant", "metric"]),
        "references": _references(results),
        "claims": _read_json(root / RESULTS / "claims.json"),
        "published": _rows(root / REPORTS / "published/modes_2d.csv"),
        "protocols": _rows(root / REPORTS / "published/protocols.csv"),
        "figures": _figures(root),
        "provenance": _provenance(root),
    }


def _benchmark(results: Results, name: str) -> dict[str, Any]:
    metrics = [vars(metric) for metric in results.measured(name)]
    return {
        "name": name,
        **results.study["benchmarks"][name],
        "metrics": metrics,
        "missed": _missed(results, name),
    }


def _missed(results: Results, benchmark: str) -> dict[str, int]:
    """variant -> how many of its seeds missed the data at the end of training."""
    rows = results.metrics
    rows = rows[(rows.benchmark == benchmark) & (rows.metric == "missed")]
    last = rows[rows.step == results.study["settings"]["generator_updates"][benchmark]]
    counts = {name: int(group.value.sum()) for name, group in last.groupby("variant")}
    return {name: counts.get(name, 0) for name in results.variants}


def _variants(results: Results) -> list[dict[str, Any]]:
    styles = looks(results.variants)
    return [
        {
            **vars(variant),
            "colour": styles[variant.name].colour,
            "recipe": results.study["recipes"][variant.name],
        }
        for variant in results.variants.values()
    ]


def _objectives(results: Results) -> list[dict[str, Any]]:
    """The derivations of the objectives that the study trains, in its order."""
    names = dict.fromkeys(variant.objective for variant in results.variants.values())
    return [{"name": name, **results.study["objectives"][name]} for name in names]


def _references(results: Results) -> dict[str, Any]:
    """benchmark -> metric -> kind -> row."""
    return _nested(results.references, ["benchmark", "metric", "kind"])


def _nested(table: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """Rows as nested dictionaries by their keys."""
    tree: dict[str, Any] = {}
    for row in to_records(table):
        branch = tree
        for key in keys:
            branch = branch.setdefault(str(row[key]), {})
        branch.update(row)
    return tree


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return to_records(pd.read_csv(path, dtype=str))  # as printed there, zeros included
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; git has it") from None


def _figures(root: Path) -> dict[str, Any]:
    figures = _read_json(root / FIGURES / "figures.json")
    for name in figures:
        if not (root / FIGURES / f"{name}.svg").is_file():
            raise UserError(
                f"{root / FIGURES / name}.svg: no such file; `python -m pipeline figures` draws it"
            )
    return dict(figures)


def _provenance(root: Path) -> dict[str, Any]:
    """provenance.json with `state`: current, outdated (it describes other results) or missing."""
    path = root / RESULTS / "provenance.json"
    if not path.exists():
        return {"state": "missing"}
    record = _read_json(path)
    digest = hashlib.sha256((root / RESULTS / "metrics.csv").read_bytes()).hexdigest()
    return {"state": "current", **record} if record.get("results_sha256") == digest else {"state": "outdated"}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the study writes it (`make study`), and git has it") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def _compile(reports: Path, content: str, target: Literal["pdf", "html"]) -> bytes:
    compiler = typst.Compiler(
        reports / SOURCE,
        root=reports,
        # Fonts inside the package only: the same pages on every machine.
        ignore_system_fonts=True,
        sys_inputs={"data": content, "target": target},
    )
    try:
        document, warnings = compiler.compile_with_warnings(format=target, pretty=False)
    except typst.TypstError as error:
        raise UserError(f"{reports / SOURCE}: {_problem(error)}") from None
    for warning in warnings:
        if not any(known in warning.message for known in EXPECTED_WARNINGS):
            raise UserError(f"{reports / SOURCE}: {warning.message}")
    # One document per file; only images of pages come as a list.
    assert isinstance(document, bytes)
    return document


def _problem(error: typst.TypstError) -> str:
    """The panic's own words, without the compiler's frame around them."""
    panic = re.search(r'panicked with: "(.*)"', error.message)
    hints = f" ({'; '.join(error.hints)})" if error.hints else ""
    return panic[1].replace('\\"', '"') if panic else f"{error.message}{hints}"
