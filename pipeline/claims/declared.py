"""claims.yaml: what is claimed, and when it counts as supported or contradicted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.claims.judging import Judge
from pipeline.errors import UserError, unknown
from pipeline.settings import Settings, read_yaml, validate

CLAIMS = "claims.yaml"

Text = Annotated[str, Field(min_length=1)]


class Criterion(Settings):
    """When the claim counts as supported or contradicted; {name} in `words` is the threshold's value.

    So it is in the claim's `test`.
    """

    words: Text
    thresholds: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], float]


class Claim(Settings):
    """One entry of claims.yaml."""

    id: Annotated[str, Field(pattern=r"^[A-Z][0-9]+[a-z]?$")]
    claim: Text
    source: Text
    test: Text
    criterion: Criterion
    shown_in: Annotated[tuple[Text, ...], Field(min_length=1)]


class ClaimList(Settings):
    """The whole of claims.yaml."""

    claims: tuple[Claim, ...]


TEXTS: dict[str, Callable[[Claim], str]] = {
    "test": lambda claim: claim.test,
    "criterion.words": lambda claim: claim.criterion.words,
}


def load_claims(path: Path, judges: Mapping[str, Judge]) -> tuple[Claim, ...]:
    """The checked claims, one for each judge. Raises UserError (file, claim, what is allowed)."""
    claims = validate(ClaimList, read_yaml(path), str(path)).claims
    ids = [claim.id for claim in claims]
    for claim in claims:
        where = f"{path}: {claim.id}"
        if ids.count(claim.id) > 1:
            raise UserError(f"{where}: stands twice")
        if claim.id not in judges:
            raise unknown("claim", claim.id, judges, str(path))
        known, given = judges[claim.id].thresholds, claim.criterion.thresholds
        for name in given:
            if name not in known:
                raise unknown("threshold", name, known, where)
        for name in sorted(known - set(given)):
            raise UserError(f"{where}: threshold {name!r} is missing")
        for text in TEXTS:
            words(claim, text, where)
    for name in judges:
        if name not in ids:
            raise UserError(f"{path}: claim {name!r} is missing; pipeline/claims judges it")
    return claims


def words(claim: Claim, text: str, where: str) -> str:
    """One of TEXTS with its thresholds filled in. Raises UserError for braces that hold none."""
    values = {name: f"{value:g}" for name, value in claim.criterion.thresholds.items()}
    try:
        return TEXTS[text](claim).format_map(values)
    except (KeyError, ValueError, IndexError, AttributeError):
        raise UserError(
            f"{where}: {text}: braces may only hold a threshold: {', '.join(sorted(values))}"
        ) from None
