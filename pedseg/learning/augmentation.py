"""Data augmentation: nnU-Net's default set by MONAI, axial rotation, and random convolutions (GIN).

nnU-Net's set comes with the axial rotation of the pediatric study (patients on their side) and without mirroring: a
mirrored left kidney is no right kidney. The lesson trains on the cases as they are: it learns fast because it knows
where organs lie in a child on its back, and rotates others to supine first. A network of any profile meets patients on
their side only where its plan says `augment`. GIN changes the gray values of the share of samples that
`Plan.gin_probability` says.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pedseg.learning.body_mask import bounds, dilated_body_mask
from pedseg.learning.devices import fastest_device
from pedseg.learning.gin import gin
from pedseg.learning.orientation import rotate_axial
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import MULTIPLE, Prepared
from pedseg.scan import Scan

if TYPE_CHECKING:
    from monai.transforms import Compose


@cache
def nnunet_transform(on_the_side: bool = True) -> Compose:
    """nnU-Net's default augmentation as a MONAI dictionary transform over `image` and `label`, (1, x, y, z) each.

    Probabilities and ranges: Isensee et al. 2021, supplement 4; the axial angles (-120° to -60°
    or ±30°, half of the cases) are those of the pediatric study's public code. Those of patients `on_the_side` may be
    left out.
    """
    from monai import transforms as tf

    keys, modes = ["image", "label"], ["bilinear", "nearest"]
    tilt = np.deg2rad(30)

    def rotation(low: float, high: float) -> tf.RandAffined:
        angles = [(-tilt, tilt), (-tilt, tilt), (np.deg2rad(low), np.deg2rad(high))]
        return tf.RandAffined(keys, prob=1.0, rotate_range=angles, mode=modes, padding_mode="border")

    sides = [rotation(-120, -60)] if on_the_side else []
    return tf.Compose(
        [
            tf.OneOf([*sides, rotation(-30, 30), tf.Compose([])], weights=[*[0.25] * len(sides), 0.25, 0.5]),
            tf.RandAffined(keys, prob=0.2, scale_range=(-0.3, 0.4), mode=modes, padding_mode="border"),
            tf.RandGaussianNoised("image", prob=0.1, mean=0.0, std=0.3),
            tf.RandGaussianSmoothd("image", prob=0.2, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0), sigma_z=(0.5, 1.0)),
            tf.RandScaleIntensityd("image", prob=0.15, factors=0.25),
            tf.RandSimulateLowResolutiond("image", prob=0.25, zoom_range=(0.5, 1.0)),
            tf.RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )


def random_axial_rotation(case: Prepared, plan: Plan, rng: np.random.Generator) -> Prepared:
    """A whole preprocessed body rotated about its long axis, in the shares and angles of the pediatric study.

    Those angles lay patients on one side only: what was trained so fails on the other.
    """
    draw = rng.random()
    if draw < 0.5:
        return case
    angle = float(rng.uniform(-120, -60) if draw < 0.75 else rng.uniform(-30, 30))
    affine = np.diag([*plan.spacing_mm, 1.0])
    assert case.labels is not None
    image = rotate_axial(Scan(case.image, affine), angle).voxels
    labels = rotate_axial(Scan(case.labels, affine), angle, order=0).voxels
    box = bounds(image > image.min() + 0.1)[:2]
    padding = [(0, -n % MULTIPLE) for n in image[box].shape]
    image = np.pad(image[box], padding, constant_values=image.min())
    return replace(case, image=image, labels=np.pad(labels[box], padding))


def augment(
    image: NDArray[np.float32], labels: NDArray[np.uint8], plan: Plan, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """An image and its labels, (x, y, z) each, changed at random as the plan and its recipe say; the seed decides."""
    if plan.recipe.augmentation == "nnunet":
        transform = nnunet_transform(plan.orientation == "augment")
        transform.set_random_state(seed)
        pair = {"image": image, "label": labels.astype(np.float32)}
        out = transform({key: torch.from_numpy(voxels)[None].to(fastest_device()) for key, voxels in pair.items()})
        image, labels = (np.asarray(out[key].cpu())[0] for key in pair)
        image, labels = image.astype(np.float32), labels.astype(np.uint8)
    return random_gin(image, plan, seed), labels


def random_gin(image: NDArray[np.float32], plan: Plan, seed: int) -> NDArray[np.float32]:
    """The image, after random convolutions with probability `Plan.gin_probability`; around the body it stays."""
    if not plan.gin_probability or np.random.default_rng((seed, 7)).random() >= plan.gin_probability:
        return image
    return gin(image[None, None], seed=(seed, 8), inside=body_of(image, plan)[None])[0, 0]


def body_of(image: NDArray[np.float32], plan: Plan) -> NDArray[np.bool_]:
    """The body mask of a preprocessed image: what is not 0 where the plan normalizes by the body, else by HU."""
    if plan.intensity == "body":
        return image != 0
    scan = Scan(image * plan.sd_hu + plan.mean_hu, np.diag([*plan.spacing_mm, 1.0]))
    mask = dilated_body_mask(scan)
    return np.ones(image.shape, dtype=bool) if mask is None else mask
