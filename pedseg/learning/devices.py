"""What computes: a GPU or the CPU, how many threads, and whether short floats are fast there."""

from __future__ import annotations

import os

import torch
from torch import nn

from pedseg.learning.plans import Plan


def device_of(network: nn.Module) -> torch.device:
    """Where the network's weights lie."""
    return next(network.parameters()).device


def fastest_device() -> torch.device:
    """A CUDA GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(plan: Plan) -> None:
    """Set the number of threads: one for the lesson, so that results do not depend on the machine's cores."""
    torch.set_flush_denormal(True)  # for this thread; products of small probabilities are slow otherwise
    threads = 1 if plan.profile == "lesson" else os.cpu_count() or 1
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def has_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 are native here; else the CPU computes in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
