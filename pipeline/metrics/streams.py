"""Random generators named by what they are for, so that no number depends on which others are computed."""

import hashlib

import numpy as np
import torch


def key_to_seed(*key: str | int) -> int:
    """A 63-bit seed from the sha256 of the key; the same on every machine and Python."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(*key: str | int) -> torch.Generator:
    """A CPU generator of its own for the key."""
    return torch.Generator().manual_seed(key_to_seed(*key))


def numpy_generator(*key: str | int) -> np.random.Generator:
    """A numpy generator of its own for the key."""
    return np.random.default_rng(key_to_seed(*key))
