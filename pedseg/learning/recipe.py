"""How a network is trained: optimizer, learning-rate schedule, loss, patches, augmentation and threads of a profile.

`lesson` trains in minutes on two CPU cores: Muon and a one-cycle learning rate on whole body crops. `robust` trains a
wider network in the same way on augmented samples, for bodies and scans of all kinds. `clinic` is
nnU-Net's training (Isensee et al. 2021): SGD with Nesterov momentum and a polynomial learning rate on patches, with
foreground oversampling and data augmentation. What follows from the scans themselves (spacing, patch size, network)
stands in the plan (`plans`), which names its profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of training in a profile; `Plan.recipe` are those of a plan."""

    optimizer: Literal["muon", "sgd"]  # Muon and AdamW (`muon`), or SGD with Nesterov momentum 0.99
    learning_rate: float  # the highest of the run
    weight_decay: float
    schedule: Literal["one-cycle", "polynomial"]  # of the learning rate, over the steps of the whole run
    restart_steps: int  # after so many steps, and with each call of `train`, the optimizer's moments start anew
    warm_up: float  # share of the run in which a one-cycle learning rate rises
    max_gradient_norm: float  # for gradient clipping
    dice_weight: float  # of the Dice loss beside cross entropy
    whole_volume_patches: float  # a volume of up to so many patches is never cut; 0: patches only
    foreground_oversampling: float  # share of the patches that are centered on a voxel of a random organ
    spline_order: int  # in resampling images: 1 linear, 3 cubic
    augmentation: Literal["rotation", "nnunet"]  # whole bodies about their long axis, or nnU-Net's default set
    threads: int | None  # of one network's training; None: one for each core, and one network at a time


LESSON = Recipe(
    optimizer="muon",
    learning_rate=1e-2,
    weight_decay=1e-2,
    schedule="one-cycle",
    restart_steps=100,  # the second moments of AdamW remember the first, huge gradients for a thousand steps
    warm_up=0.1,
    max_gradient_norm=5.0,
    dice_weight=2.0,  # better than 1 on the validation patients
    whole_volume_patches=2.0,  # the network must know where in the body a voxel lies
    foreground_oversampling=0.0,
    spline_order=1,
    augmentation="rotation",
    threads=1,  # results do not depend on the number of cores
)
CLINIC = Recipe(
    optimizer="sgd",
    learning_rate=1e-2,
    weight_decay=3e-5,
    schedule="polynomial",
    restart_steps=1_000_000,  # longer than any round: with each call of `train` only
    warm_up=0.0,
    max_gradient_norm=12.0,
    dice_weight=1.0,
    whole_volume_patches=0.0,
    foreground_oversampling=1 / 3,
    spline_order=3,
    augmentation="nnunet",
    threads=None,
)
ROBUST = replace(LESSON, augmentation="nnunet", threads=None)  # one network alone, in an hour
RECIPES = {"lesson": LESSON, "robust": ROBUST, "clinic": CLINIC}
