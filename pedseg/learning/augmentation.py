"""Making a training case look like another patient, another posture or another scanner.

The `clinic` profile follows nnU-Net's default set with MONAI's transforms, with the axial
rotation of the pediatric study (patients on their side) and without mirroring: a mirrored
left kidney is no right kidney. The `lesson` profile trains on the cases as they are: it learns
fast because it knows where organs lie in a child on its back, and turns others onto theirs first.
Only where its plan says `rotated` does it learn every turn itself. Where a plan asks for `gin`, random convolutions
change the gray values of that share of the samples, in either profile.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pedseg.learning.gin import gin
from pedseg.learning.orientation import near_body, rotate_axial
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import MULTIPLE, Prepared
from pedseg.scan import Scan

if TYPE_CHECKING:
    from monai.transforms import Compose


@cache
def transform() -> Compose:
    """nnU-Net's default augmentation as a MONAI dictionary transform over `image` and `label`, (1, x, y, z) each.

    Probabilities and ranges: Isensee et al. 2021, supplement 4; the axial angles (-120° to -60°
    or ±30°, half of the cases) are those of the pediatric study's public code.
    """
    from monai.transforms import (
        Compose,
        OneOf,
        RandAdjustContrastd,
        RandAffined,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandSimulateLowResolutiond,
    )

    keys, modes = ["image", "label"], ["bilinear", "nearest"]
    tilt = np.deg2rad(30)

    def rotate_axial(low: float, high: float) -> RandAffined:
        angles = [(-tilt, tilt), (-tilt, tilt), (np.deg2rad(low), np.deg2rad(high))]
        return RandAffined(keys, prob=1.0, rotate_range=angles, mode=modes, padding_mode="border")

    return Compose(
        [
            OneOf([rotate_axial(-120, -60), rotate_axial(-30, 30), Compose([])], weights=[0.25, 0.25, 0.5]),
            RandAffined(keys, prob=0.2, scale_range=(-0.3, 0.4), mode=modes, padding_mode="border"),
            RandGaussianNoised("image", prob=0.1, mean=0.0, std=0.3),
            RandGaussianSmoothd("image", prob=0.2, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0), sigma_z=(0.5, 1.0)),
            RandScaleIntensityd("image", prob=0.15, factors=0.25),
            RandSimulateLowResolutiond("image", prob=0.25, zoom_range=(0.5, 1.0)),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )


def rotated(case: Prepared, plan: Plan, rng: np.random.Generator) -> Prepared:
    """A whole prepared body rotated about its long axis, in the shares and angles of the pediatric study.

    Those angles lay patients on one side only: what was trained so fails on the other.
    """
    chance = rng.random()
    if chance < 0.5:
        return case
    angle = float(rng.uniform(-120, -60) if chance < 0.75 else rng.uniform(-30, 30))
    place = np.diag([*plan.spacing_mm, 1.0])
    image = rotate_axial(Scan(case.image, place), angle).voxels
    assert case.labels is not None
    labels = rotate_axial(Scan(case.labels, place), angle, order=0).voxels
    body = image > image.min() + 0.1
    edges = [np.flatnonzero(body.any(axis=other)) for other in ((1, 2), (0, 2))]
    box = tuple(slice(edge[0], edge[-1] + 1) for edge in edges)
    padding = [(0, -n % MULTIPLE) for n in image[box].shape]
    return replace(
        case, image=np.pad(image[box], padding, constant_values=image.min()), labels=np.pad(labels[box], padding)
    )


def augment(
    image: NDArray[np.float32], labels: NDArray[np.uint8], plan: Plan, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """An image and its labels, (x, y, z) each, changed as the plan's profile does it; the seed decides how."""
    if plan.profile == "lesson":
        return with_gin(image, plan, seed), labels
    compose = transform()
    compose.set_random_state(seed)
    out = compose({"image": torch.from_numpy(image)[None], "label": torch.from_numpy(labels.astype(np.float32))[None]})
    image = with_gin(np.asarray(out["image"])[0].astype(np.float32), plan, seed)
    return image, np.asarray(out["label"])[0].astype(np.uint8)


def with_gin(image: NDArray[np.float32], plan: Plan, seed: int) -> NDArray[np.float32]:
    """The image; in the share `Plan.gin` of the seeds after random convolutions. What lies around the body stays."""
    if not plan.gin or np.random.default_rng((seed, 7)).random() >= plan.gin:
        return image
    return gin(image[None, None], seed=(seed, 8), inside=inside_of(image, plan)[None])[0, 0]


def inside_of(image: NDArray[np.float32], plan: Plan) -> NDArray[np.bool_]:
    """Where in a prepared image the body is: what is not 0 where the plan measures by the body, else by HU."""
    if plan.intensity == "body":
        return image != 0
    near = near_body(Scan(image * plan.sd_hu + plan.mean_hu, np.diag([*plan.spacing_mm, 1.0])))
    return np.ones(image.shape, dtype=bool) if near is None else near
