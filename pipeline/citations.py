"""From the citation of an objective, as objectives.yaml has it, to its keys in references.bib."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class Reference:
    """An entry of references.bib: its key and what a citation in words may name it by."""

    key: str
    surname: str
    year: str
    arxiv: str
    title: str


def read_references(path: Path) -> list[Reference]:
    """The entries of a BibTeX file, in its order."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; git has it") from None
    found = []
    for body in re.split(r"(?m)^@\w+", text)[1:]:
        key = body[1:].partition(",")[0].strip()
        arxiv = re.search(r"arxiv\.org/abs/(\d{4}\.\d{4,5})", body)
        author, year, title = (_field(body, name) for name in ("author", "year", "title"))
        found.append(Reference(key, author.partition(",")[0], year, arxiv[1] if arxiv else "", title))
    return found


def citation_keys(citation: str, references: list[Reference]) -> list[str]:
    """The keys of the works that the words cite, in their order; empty when none is known.

    A work is cited by its arXiv number, or by its first author and year; of several works of one author and
    year, by the one whose title shares most words with the citation.
    """
    places: dict[str, int] = {}
    for reference in references:
        if reference.arxiv and reference.arxiv in citation:
            places[reference.key] = citation.index(reference.arxiv)
    numbers = set(re.findall(r"\d{4}\.\d{4,5}", citation))
    known = {reference.arxiv for reference in references}
    if places and numbers <= known:
        return sorted(places, key=places.__getitem__)
    for match in re.finditer(r"([^\W\d_][\w-]*)[^;]*?\b(\d{4})\b(?![.\d])", citation):
        same = [r for r in references if r.surname == match[1] and r.year == match[2]]
        if same:
            best = max(same, key=lambda r: len(_words(r.title) & _words(citation)))
            places.setdefault(best.key, match.start())
    return sorted(places, key=places.__getitem__)


def _field(body: str, name: str) -> str:
    match = re.search(rf"(?m)^\s*{name}\s*=\s*\{{(.*)\}},?\s*$", body)
    return re.sub(r"[{}]", "", match[1]) if match else ""


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower()))
