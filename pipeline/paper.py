"""reports/paper.typ -> reports/paper.pdf and reports/paper.html, one source, offline, byte-identical.

The source holds words and layout; every number reaches it as one JSON object that pipeline.paper_content
builds. A number that is not there stops the build: `num` in
the source panics with its name, and the panic becomes a UserError.
"""

import base64
import io
import json
import re
from pathlib import Path
from typing import Literal

import pikepdf
import typst

from pipeline.errors import UserError
from pipeline.figures.tables import FOLDER as FIGURES
from pipeline.paper_content import REPORTS, collect

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
        reports / "paper.pdf": packed(_compile(reports, content, "pdf")),
        reports / "paper.html": finished(_compile(reports, content, "html"), root / FIGURES),
    }
    for path, document in built.items():
        path.write_bytes(document)
    return list(built)


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


def finished(page: bytes, folder: Path) -> bytes:
    """The HTML with linked pictures, and heads of tables that say what they are heads of."""
    return linked_images(page, folder).replace(b"<th>", b'<th scope="col">')


def linked_images(page: bytes, folder: Path) -> bytes:
    """The HTML with its pictures as links to the files of `folder` that it embeds: half the bytes.

    `folder` is linked by its name, so the page lies beside it. Raises UserError for a picture of no file.
    """
    names = {path.read_bytes(): f"{folder.name}/{path.name}" for path in folder.glob("*.svg")}

    def linked(found: re.Match[str]) -> str:
        name = names.get(base64.b64decode(found[1]))
        if name is None:
            raise UserError(f"{folder}: no file holds a picture of the page; `python -m pipeline figures`")
        return f'src="{name}"'

    text = page.decode("utf-8")
    return re.sub(r'src="data:image/svg\+xml;base64,([^"]*)"', linked, text).encode("utf-8")


def packed(document: bytes) -> bytes:
    """The same PDF in half the bytes: the compiler leaves the tags, a third of it, uncompressed."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(document)) as pdf:
        pdf.save(
            out,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            recompress_flate=True,
            deterministic_id=True,
        )
    return out.getvalue()


def _problem(error: typst.TypstError) -> str:
    """The panic's own words, without the compiler's frame around them."""
    panic = re.search(r'panicked with: "(.*)"', error.message)
    hints = f" ({'; '.join(error.hints)})" if error.hints else ""
    return panic[1].replace('\\"', '"') if panic else f"{error.message}{hints}"
