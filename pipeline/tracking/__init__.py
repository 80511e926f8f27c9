"""MLflow as a mirror of the result files: to compare runs in its UI, never an input of anything.

`files` reads what is to be shown, `mirror` writes it to MLflow, `store` says where that is and keeps MLflow
quiet, `server` shows it.
"""

from pipeline.tracking.mirror import track
from pipeline.tracking.server import check_port, ui

__all__ = ["check_port", "track", "ui"]
