"""How much memory a plan will take, told before any of it is taken.

The network is built and runs once: on torch's device `meta`, which computes shapes and no values, or, if it is compact,
on a small patch. What the backward pass would keep is added up. Around it come weights with gradients and moments, the
preprocessed scans, and the probabilities of the largest one. Measured beside ten trainings the result is 1.1 to 1.4
times the peak.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from pedseg.learning.network import build, shapes_only
from pedseg.learning.plans import Plan

PER_ACTIVATION, PER_WEIGHT = 1.6, 6.0  # workspaces of convolutions; gradient, moments, copies that come and go
SCAN_BYTES, RESAMPLING_BYTES = 5, 24  # a voxel of a preprocessed scan with its labels, and while one is made

SMALL_PATCH = (16, 16, 16)


def memory_need_mib(plan: Plan, voxels: Sequence[float]) -> float:
    """MiB that training and evaluation by a plan take beside the program, for scans of so many preprocessed voxels."""
    patch, largest = math.prod(plan.patch), max(voxels)
    in_step = min(largest, plan.recipe.whole_volume_patches * patch) if plan.recipe.whole_volume_patches else patch
    kept, weights = _kept_bytes(plan)
    scans = SCAN_BYTES * sum(voxels) + (RESAMPLING_BYTES + 4 * (len(plan.organs) + 1)) * largest
    return (PER_ACTIVATION * kept * in_step / patch + PER_WEIGHT * weights + scans) / 2**20


def _kept_bytes(plan: Plan) -> tuple[float, int]:
    """Bytes of what is kept for the backward pass of one batch of patches with its logits, and of the weights."""
    # On `meta` torch loads its compiler: 68 MiB and a second in each of a lesson's programs.
    small = plan.network["kind"] == "compact"
    batch, shape = (1, SMALL_PATCH) if small else (plan.batch, plan.patch)
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with nullcontext() if small else shapes_only():
        network, image = build(plan).train(), torch.zeros((batch, 1, *shape))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = network(image)
    own = {tensor.untyped_storage()._cdata for tensor in network.parameters()}
    activations = logits.nbytes + sum(storage.nbytes() for key, storage in kept.items() if key not in own)
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    return activations * plan.batch * math.prod(plan.patch) / (batch * math.prod(shape)), weights
