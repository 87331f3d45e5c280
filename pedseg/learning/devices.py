"""Which device computes (CUDA GPU or CPU), with how many threads, and whether bfloat16 is native there."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pedseg.errors import input_error
from pedseg.resources import available_cores

FORCED = "PEDSEG_PRECISION"  # environment variable: float32 or bfloat16, whatever is native


def device_of(network: nn.Module) -> torch.device:
    """The device that holds the network's weights."""
    return next(network.parameters()).device


def fastest_device() -> torch.device:
    """A CUDA GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(number: int | None) -> None:
    """Set the number of threads of PyTorch's CPU kernels; None: one for each core."""
    number = number or available_cores()
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for zero in this thread: products of small probabilities are slow otherwise.

    For the block only. SciPy's `KDTree` never ends where the number after 0 is 0.
    """
    flushed_before = not torch.tensor(1e-40).mul(1.0).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


def has_bfloat16(device: torch.device) -> bool:
    """Whether convolutions compute in bfloat16: where it is native, unless the environment variable forces one."""
    forced = os.environ.get(FORCED, "")
    if forced not in ("", "float32", "bfloat16"):
        raise input_error("E-SETTING", FORCED, f"the value is {forced!r}.", "Give float32, bfloat16 or nothing.")
    if forced:
        return forced == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def precision(device: torch.device | None = None) -> str:
    """The number type of convolutions on a device (unless told, the fastest): `bfloat16` or `float32`.

    The same seed gives the same bits within one of the two.
    """
    return "bfloat16" if has_bfloat16(device or fastest_device()) else "float32"


def processor() -> str:
    """The name of the device that computes: of the GPU or, where PyTorch knows it, of the CPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine())
