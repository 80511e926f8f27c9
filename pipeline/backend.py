"""The device, and what makes float32 training fast on a CPU without changing what is computed."""

import ctypes
import sys

import torch

# glibc's mallopt parameters: above the first it maps fresh pages for every tensor, above the second it
# hands free memory back; both make a training step wait for the kernel to clear pages it just had.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 1 << 30
# Largest relative error that still counts as float32: its rounding gives 1e-6, bfloat16's 1e-3.
_EXACT = 2e-5
_ONEDNN_MINIMUM = 16**3  # torch's mkldnn_gemm_min_size


def choose_device() -> torch.device:
    """cuda, then mps, then cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def prepare_cpu(smallest_product: int) -> str:
    """Set the process up for many small matrix products; returns the float32 route, "onednn" or "default".

    oneDNN's batched products beat the default ones at widths of 64 and more. They are reached by allowing it
    bfloat16, which a CPU without matrix tiles (AMX) does not use for float32 operands; one that has them
    would. So the route is probed against float64 and taken only if its error is that of float32.
    `smallest_product` is the multiplications per seed, B * in * out, of the smallest layer: torch sends
    products of up to 4096 over the whole stack another way, with other rounding, so the route is taken only
    if a stack of two exceeds that; else a seed's result would depend on the size of its stack.
    Denormal numbers are flushed to zero: vanishing gradients would otherwise slow the arithmetic down.
    """
    torch.set_flush_denormal(True)
    _keep_memory()
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # torch puts it there when imported
    matmul.fp32_precision = "bf16"
    large = 2 * smallest_product > _ONEDNN_MINIMUM
    if large and torch.backends.mkldnn.is_available() and _product_error() < _EXACT:
        return "onednn"
    matmul.fp32_precision = "none"
    return "default"


def _keep_memory() -> None:
    """Let glibc's allocator keep and reuse large blocks (elsewhere: nothing to do)."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
            mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def _product_error() -> float:
    """Largest error of a stacked float32 product against float64, relative to the largest entry."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, inner, outer in ((128, 64, 64), (256, 128, 128), (128, 128, 64)):
        left = torch.randn(4, batch, inner, generator=generator)
        right = torch.randn(4, inner, outer, generator=generator)
        exact = left.double() @ right.double()
        error = (torch.bmm(left, right).double() - exact).abs().max() / exact.abs().max()
        worst = max(worst, float(error))
    return worst
