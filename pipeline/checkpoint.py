"""Resumable training checkpoints: one safetensors file, written whole or not at all.

They lie in .work/, which neither git nor DVC knows: DVC deletes declared outputs when a stage starts.
"""

import hashlib
from pathlib import Path

import safetensors
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
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, safetensors.torch.save(content, metadata={"digest": plan_digest}))


def load_checkpoint(path: Path, plan_digest: str) -> dict[str, Tensor] | None:
    """The tensors, or None when there is no checkpoint or it belongs to other settings or code.

    Raises UserError for a file that is not a whole checkpoint.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            if (file.metadata() or {}).get("digest") != plan_digest:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: corrupt checkpoint ({error}); delete it to train this run from the start"
        ) from None
