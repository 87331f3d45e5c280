"""Which device computes (CUDA GPU or CPU), with how many threads, and whether bfloat16 is native there."""

from __future__ import annotations

import os

import torch
from torch import nn


def device_of(network: nn.Module) -> torch.device:
    """The device that holds the network's weights."""
    return next(network.parameters()).device


def fastest_device() -> torch.device:
    """A CUDA GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(number: int | None) -> None:
    """Set the number of threads of PyTorch's CPU kernels; None: one for each core."""
    torch.set_flush_denormal(True)  # for this thread; products of small probabilities are slow otherwise
    number = number or os.cpu_count() or 1
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


def has_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 are native here; else the CPU computes in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
