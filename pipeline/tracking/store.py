"""Where MLflow keeps the mirror, and how its client behaves meanwhile."""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.plan import WORK

STORE = "mlflow.db"
REMOTE = re.compile(r"https?://|databricks")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
# The first call finds out whether the server answers: with MLflow's seven retries that takes four minutes.
FIRST_CALL = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
LATER_CALLS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}


def store_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, else the SQLite file in root, from whatever working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / STORE}"


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set what is not set already: who sets one of MLflow's variables means it."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Neither the schema migrations nor the retries of a connection are news: errors arrive as exceptions."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(former)


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Two first uses at once would break the migration of the store's schema, and write families twice."""
    (root / WORK).mkdir(exist_ok=True)
    with (root / WORK / "track.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//", text)
