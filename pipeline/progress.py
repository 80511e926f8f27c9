"""How far a long stage is, for whoever shows progress: .work/progress/STAGE.json."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.data.files import write_atomic

Progress = Callable[[int, int], None]  # (updates done, updates in all)


def progress_file(path: Path) -> Progress:
    """Write {"done", "total"}, at most twice a second."""
    last = 0.0

    def write(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5 or done == total:
            last = time.monotonic()
            write_atomic(path, json.dumps({"done": done, "total": total}).encode())

    return write
