"""The one error that a user's mistake becomes."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave: the command line prints it as one line and exits with code 2.

    The message says what is wrong, where (file and key) and what is allowed.
    """


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> UserError:
    """The error for a name that does not exist: it names the nearest known one, or lists all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return UserError(f"{where}: unknown {kind} {name!r}; {hint}")
