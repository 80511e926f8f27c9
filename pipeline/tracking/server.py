"""The MLflow UI on this machine."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from pipeline.errors import UserError
from pipeline.tracking.store import QUIET, REMOTE, store_uri, without_password

STOP_SECONDS = 10


def ui(root: Path, port: int) -> None:
    """Serve the MLflow UI of the store on 127.0.0.1 until Ctrl-C.

    Raises UserError when the port is in use or MLflow does not start.
    """
    check_port(port)
    uri = store_uri(root)
    if REMOTE.match(uri):
        print(f"MLFLOW_TRACKING_URI is a server with a UI of its own: {without_password(uri)}")
        return
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    # One quiet worker is enough for one reader; MLflow starts four, and four more for jobs nobody submits.
    command += ["--backend-store-uri", uri, "--registry-store-uri", uri]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    settings = QUIET | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A session of its own: Ctrl-C reaches this process only, which then ends all of MLflow's.
    server = subprocess.Popen(command, cwd=root, env=settings | os.environ, start_new_session=True)
    try:
        print(f"MLflow UI: http://127.0.0.1:{port} in a few seconds; Ctrl-C ends it", flush=True)
        code = server.wait()
    except KeyboardInterrupt:
        code = 0
    finally:
        _stop(server)
        signal.signal(signal.SIGTERM, former)
    if code:
        raise UserError(f"the MLflow UI ended with exit code {code}; its messages are above")


def check_port(port: int) -> None:
    """Raises UserError unless a server can listen on 127.0.0.1:port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does: a port whose last connection has just closed is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise UserError(
                f"port {port} on 127.0.0.1 {reason}; choose another: python -m pipeline ui --port {port + 1}"
            ) from None


def _stop(server: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
            return
