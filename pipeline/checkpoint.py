"""Resumable training checkpoints: one file of tensors, written whole or not at all, verified when read.

They lie in .work/, which neither git nor DVC knows: DVC deletes declared outputs when a stage starts.
"""

import hashlib
from pathlib import Path

import safetensors.torch
from torch import Tensor

from pipeline.config import RunPlan
from pipeline.data.files import write_atomic
from pipeline.errors import UserError


def digest(plan: RunPlan) -> str:
    """sha256 of the resolved plan and of the project's source files.

    A checkpoint is resumed only under the digest it was written under: half a run of other settings, or of
    other code, is no part of this one.
    """
    total = hashlib.sha256(plan.model_dump_json().encode())
    package = Path(__file__).parent
    for source in sorted(package.rglob("*.py")):
        total.update(str(source.relative_to(package)).encode() + source.read_bytes())
    return total.hexdigest()


def save_checkpoint(path: Path, tensors: dict[str, Tensor], plan_digest: str) -> None:
    """Write the tensors behind a line with the plan's digest and the sha256 of what follows."""
    body = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    head = f"{plan_digest} {hashlib.sha256(body).hexdigest()}\n".encode()
    write_atomic(path, head + body)


def load_checkpoint(path: Path, plan_digest: str) -> dict[str, Tensor] | None:
    """The tensors, or None when there is no checkpoint or it belongs to other settings or code.

    Raises UserError for a file that is not what was written, to the byte.
    """
    if not path.exists():
        return None
    head, _, body = path.read_bytes().partition(b"\n")
    found, _, expected = head.decode("ascii", "replace").partition(" ")
    if hashlib.sha256(body).hexdigest() != expected:
        raise UserError(
            f"{path}: corrupt checkpoint (its sha256 differs); delete it to train this run from the start"
        )
    return safetensors.torch.load(body) if found == plan_digest else None
