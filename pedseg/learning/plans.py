"""The plan of a segmentation: voxel spacing, patch size, normalization and network, from the scans' fingerprint.

One plan for all hospitals of a federation, from their merged fingerprint. Profile `clinic` is
nnU-Net's experiment planner (Isensee et al. 2021; rules read in the default planner of nnunetv2 2.8,
configuration `3d_fullres`, for 8 GB of GPU memory); profile `lesson` is a whole body in one small patch, for two CPU
cores, and `robust` the same with a wider network. How a network is then trained says the profile's recipe (`recipe`).

What `clinic` does differently from nnunetv2, and why:
- Intensities come from a histogram of whole HU over [-1024, 3071], where each case has the same
  weight: it merges without a voxel leaving a hospital. nnunetv2 draws as many voxels from each
  case, with replacement, and keeps values beyond that range.
- Axes are written (x, y, z). nnunetv2 reads (z, y, x) and puts the coarsest axis first.
- The cases counted for the rule that a batch holds at most 5 % of all voxels are those given to
  `fingerprint`, not all that lie in `imagesTr`.
"""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg import organs as organ_table
from pedseg.errors import input_error
from pedseg.learning.fingerprint import Fingerprint
from pedseg.learning.recipe import RECIPES, Recipe
from pedseg.scan import Spacing

PROFILES = tuple(RECIPES)
ORIENTATIONS = ("none", "augment", "reorient")
MIN_COMPONENT_SHARE = 0.1  # of an organ's mean volume

LESSON_SPACING_MM = (3.0, 3.0, 4.0)
LESSON_VOXELS = 400_000  # of a body box; coarser voxels where the median body needs more
LESSON_PATCH_VOXELS = 600_000  # of a patch, which must hold larger bodies than the median
LESSON_COARSEST = 2.0  # times the lesson's spacing; beyond that the patch is cut along z
LESSON_MULTIPLE = 8
LESSON_NETWORK: dict = {"kind": "compact", "widths": [16, 32, 64]}
ROBUST_NETWORK: dict = {"kind": "compact", "widths": [24, 48, 96]}
BODY_CLIP_SD = 3.0  # robust standard deviations of a body's gray values, beyond which they are clipped

# nnU-Net's rules; beside them what nnunetv2 calls them.
ANISOTROPY_THRESHOLD = 3  # ANISO_THRESHOLD: spacing against that of the other axes from which slices count as thick
INITIAL_PATCH_VOXELS = 256**3  # before the patch shrinks
MIN_FEATURE_MAP_EDGE = 4  # UNet_featuremap_min_edge_length, in voxels
MIN_STAGES = 3  # that MONAI's DynUNet can be built of
BASE_FILTERS, MAX_FILTERS = 32, 320  # UNet_base_num_features, UNet_max_features_3d
REFERENCE_VALUES = 560_000_000  # UNet_reference_val_3d: feature map values that fit 8 GB of GPU memory, batch of two
MIN_BATCH = 2  # UNet_min_batch_size
MAX_DATASET_SHARE = 0.05  # max_dataset_covered: of all voxels in one batch


@dataclass(frozen=True)
class Plan:
    """What every hospital of a federation does alike.

    `organs` names in table order (channels 1, 2, … of the network); `spacing_mm` and `patch`
    (voxels) along x, y, z; intensities are clipped to `clip_hu`, then (HU - `mean_hu`) / `sd_hu`;
    `network` is what `pedseg.learning.network.build` needs. `orientation` is what is done about patients on their
    side: `none`; `augment`, scans are rotated at random in training; `reorient`, every scan is turned to supine
    first. Connected components smaller than `min_component_ml` of an organ are removed from predictions.
    `intensity` is `hu` where all scans are CT; `body` where MR is among them: then no HU is asked for, each scan is
    normalized by the gray values of its own body (see `preprocessing`), and `clip_hu` is in that measure.
    `gin_probability` is the share of the training samples that random convolutions change (see `gin`). `domain` is what
    the training scans were like (see `Fingerprint.domain`); empty in the plans of older weights.
    """

    profile: str
    organs: tuple[str, ...]
    spacing_mm: Spacing
    patch: tuple[int, int, int]
    batch: int
    clip_hu: tuple[float, float]
    mean_hu: float
    sd_hu: float
    network: dict
    orientation: str = "none"
    min_component_ml: dict[str, float] = field(default_factory=dict)
    intensity: str = "hu"
    gin_probability: float = 0.0
    domain: dict[str, list] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """How a network of this plan is trained."""
        return RECIPES[self.profile]

    def uses_whole_volume(self, shape: tuple[int, ...]) -> bool:
        """Whether a preprocessed scan of this shape goes through the network uncut, in training and in prediction.

        Else it is cut into patches, in prediction by a sliding window.
        """
        return math.prod(shape) <= self.recipe.whole_volume_patches * math.prod(self.patch)

    def to_json(self) -> str:
        """As text, one line; without `intensity`, `gin_probability` and `domain` where they are as in older plans."""
        content = asdict(self)
        for key, usual in (("intensity", "hu"), ("gin_probability", 0.0), ("domain", {})):
            if content[key] == usual:
                del content[key]
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The inverse of `to_json`; `TypeError` or `ValueError` for any other text."""
        content = json.loads(text)
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in content.items()}
        plan = cls(**fields)
        if plan.profile not in PROFILES:
            raise ValueError(f"There is no profile {plan.profile!r}.")
        return plan


Geometry = tuple[Spacing, tuple[int, int, int], int, dict]  # spacing, patch, batch, network


def make_plan(
    merged: Fingerprint, profile: str = "lesson", orientation: str = "", *, gin_probability: float = 0.0
) -> Plan:
    """The plan for scans with this fingerprint; profile `lesson`, `robust`, or `clinic`.

    `orientation` is the profile's own if not given: `reorient` for the lesson, `augment`, as in the
    pediatric study, for the clinic; with MR, where no bone is bright enough to tell the back, patients are not turned.
    Raises `PedsegInputError` if no case holds an annotated organ voxel, if the scans are too small for the clinic's
    network, or if MR scans shall be turned.
    """
    for kind, name, known in (("profile", profile, PROFILES), ("orientation", orientation, ("", *ORIENTATIONS))):
        if name not in known:
            raise ValueError(f"There is no {kind} {name!r}; choose one of {', '.join(filter(None, known))}.")
    with_mr = "MR" in merged.modalities
    names = tuple(name for name in organ_table.NAMES if name in merged.organs)
    if not names or not merged.has_organs:
        problem, remedy = "no case holds an annotated organ.", "Give at least one labeled case."
        raise input_error("E-NO-LABELS", profile, problem, remedy)
    if profile == "clinic":
        spacing_mm, patch, batch, network = _plan_clinic(merged, classes=len(names) + 1)
    else:
        spacing_mm, patch, batch = _plan_lesson(merged)
        network = deepcopy(ROBUST_NETWORK if profile == "robust" else LESSON_NETWORK)
    clip_hu, mean_hu, sd_hu = _normalization(merged, with_mr)
    orientation = _orientation(orientation, profile, with_mr)
    if profile != "clinic" and orientation == "augment":  # room for a body in every rotation
        patch = (max(patch[:2]), max(patch[:2]), patch[2])
    return Plan(
        profile, names, spacing_mm, patch, batch, clip_hu, mean_hu, sd_hu, network, orientation,
        min_component_ml={name: round(MIN_COMPONENT_SHARE * merged.organs[name].mean_ml, 3) for name in names},
        intensity="body" if with_mr else "hu",
        gin_probability=gin_probability,
        domain=merged.domain(),
    )  # fmt: skip


def _orientation(orientation: str, profile: str, with_mr: bool) -> str:
    """The orientation asked for, or the profile's own."""
    if with_mr and orientation == "reorient":
        problem = "MR scans are among these, whose bones are dark; none is turned."
        raise input_error("E-ORIENTATION", profile, problem, "Choose the orientation none or augment.")
    return orientation or ("augment" if profile == "clinic" else "none" if with_mr else "reorient")


def with_filters(plan: Plan, first: int) -> Plan:
    """The clinic's plan with a narrower network: `first` filters in its first stage instead of 32, for a CPU."""
    check_filters(plan.profile)
    return replace(plan, network=plan.network | {"filters": _filters(len(plan.network["filters"]), first)})


def check_filters(network: str) -> None:
    """Raise `PedsegInputError` if a network, or that of a profile, is not the clinic's own, which can be narrower."""
    if network != "clinic":
        problem = "this network has a width of its own."
        raise input_error("E-FILTERS", network, problem, "Use the profile clinic with its own network.")


def _normalization(merged: Fingerprint, with_mr: bool) -> tuple[tuple[float, float], float, float]:
    """Clipping range, mean and SD: of the HU inside all organs (CTNormalization), or in units of each scan's body."""
    if with_mr:
        return (-BODY_CLIP_SD, BODY_CLIP_SD), 0.0, 1.0
    clip_hu = (merged.percentile_hu(0.5), merged.percentile_hu(99.5))
    return clip_hu, round(merged.mean_hu, 3), round(max(merged.sd_hu, 1.0), 3)


def _plan_lesson(merged: Fingerprint) -> tuple[Spacing, tuple[int, int, int], int]:
    """Voxels so coarse that the median body fits the budget, and a patch that holds 95 % of the bodies.

    Never finer than the scans: along each axis at least their median (of two middle ones the finer,
    so that one center's scans keep their slices).
    """
    bodies_mm = np.array([grid.body_mm for grid in merged.grids])
    native_mm = np.percentile([grid.spacing_mm for grid in merged.grids], 50, axis=0, method="lower")
    for factor in np.geomspace(1, LESSON_COARSEST, 36):
        spacing_mm = np.maximum(np.multiply(LESSON_SPACING_MM, factor), native_mm)
        if np.prod(np.median(bodies_mm, axis=0) / spacing_mm) <= LESSON_VOXELS:
            break
    spacing_mm = np.round(spacing_mm, 3)
    edges = np.percentile(bodies_mm, 95, axis=0) / spacing_mm
    x, y, z = (int(np.ceil(edge / LESSON_MULTIPLE)) * LESSON_MULTIPLE for edge in edges)
    z = max(LESSON_MULTIPLE, min(z, LESSON_PATCH_VOXELS // (x * y) // LESSON_MULTIPLE * LESSON_MULTIPLE))
    return tuple(spacing_mm.tolist()), (x, y, z), 1


def _plan_clinic(merged: Fingerprint, classes: int) -> Geometry:
    """nnU-Net's spacing, patch, batch and network, computed in its axis order (z, y, x, the coarsest first)."""
    spacings = np.array([grid.spacing_mm for grid in merged.grids])
    shapes = np.array([grid.shape for grid in merged.grids])
    target = _target_spacing(spacings, shapes)
    order = sorted((2, 1, 0), key=lambda axis: axis != max((2, 1, 0), key=lambda a: target[a]))
    median_shape = np.median(np.rint(spacings / target * shapes), axis=0)
    patch, strides, kernels, filters, batch = _fit_patch(target[order], median_shape[order], merged.cases, classes)
    if len(strides) < MIN_STAGES:
        problem = f"the median scan has {' × '.join(f'{n:g}' for n in median_shape)} voxels."
        remedy = "Use the profile lesson, or scans of at least 16 voxels a side."
        raise input_error("E-TOO-SMALL", "clinic", problem, remedy)
    back = np.argsort(order)
    network = {
        "kind": "dynunet",
        "filters": filters,
        "kernels": [kernel[back].tolist() for kernel in kernels],
        "strides": [stride[back].tolist() for stride in strides],
    }
    return tuple(target.tolist()), tuple(patch[back].tolist()), batch, network


def _target_spacing(spacings: NDArray, shapes: NDArray) -> NDArray:
    """The median spacing; along thick slices that are few as well, the 10th percentile. Rows are cases."""
    target = np.median(spacings, axis=0)
    coarsest = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarsest]
    size = np.median(shapes, axis=0)
    widest = target[others].max()
    anisotropic = target[coarsest] > ANISOTROPY_THRESHOLD * widest
    if anisotropic and ANISOTROPY_THRESHOLD * size[coarsest] < size[others].min():
        tenth = np.percentile(spacings[:, coarsest], 10)
        target[coarsest] = tenth if tenth >= widest else widest + 1e-5
    return target


def _fit_patch(
    spacing_mm: NDArray, median_shape: NDArray, cases: int, classes: int
) -> tuple[NDArray, list[NDArray], list[NDArray], list[int], int]:
    """The largest patch whose feature maps fit the GPU; gives patch, strides, kernels, filters and batch.

    It starts with 256³ voxels, as long as wide in mm, and shrinks along the axis that covers most of
    the median case.
    """
    start = np.rint((INITIAL_PATCH_VOXELS * np.prod(spacing_mm)) ** (1 / 3) / spacing_mm)
    strides, kernels, patch = _topology(spacing_mm, np.minimum(start, median_shape))
    while (values := _feature_map_values(patch, strides, classes)) > REFERENCE_VALUES:
        axis = int(np.argsort(patch / median_shape, kind="stable")[-1])
        smaller = patch.copy()
        smaller[axis] -= np.prod(strides, axis=0)[axis]
        smaller[axis] = patch[axis] - np.prod(_topology(spacing_mm, smaller)[0], axis=0)[axis]
        strides, kernels, patch = _topology(spacing_mm, smaller)
    batch = round(REFERENCE_VALUES / values * MIN_BATCH)
    largest_batch = round(float(np.prod(median_shape)) * cases * MAX_DATASET_SHARE / float(np.prod(patch)))
    return patch, strides, kernels, _filters(len(strides)), max(min(batch, largest_batch), MIN_BATCH)


def _topology(spacing_mm: NDArray, size: NDArray) -> tuple[list[NDArray], list[NDArray], NDArray]:
    """Strides and kernels stage by stage, and the size rounded up to what they divide.

    An axis is halved while its feature map keeps 4 voxels and its spacing is below twice the
    finest; its kernel grows from 1 to 3 when its spacing first comes below twice the finest.
    """
    spacing, edge = np.array(spacing_mm, dtype=float), np.array(size, dtype=float)
    strides, kernels = [np.ones(3, dtype=int)], []
    kernel = np.ones(3, dtype=int)
    while True:
        long_enough = edge >= 2 * MIN_FEATURE_MAP_EDGE
        halved = long_enough & (spacing / np.min(spacing[long_enough], initial=np.inf) < 2)
        if not halved.any() or (halved.sum() == 1 and edge[halved][0] < 3 * MIN_FEATURE_MAP_EDGE):
            break
        kernel = np.where(spacing / spacing.min() < 2, 3, kernel)
        kernels.append(kernel)
        strides.append(np.where(halved, 2, 1))
        spacing, edge = np.where(halved, 2 * spacing, spacing), np.where(halved, np.ceil(edge / 2), edge)
    multiple = np.prod(strides, axis=0)
    return strides, [*kernels, np.full(3, 3)], (np.ceil(np.asarray(size) / multiple) * multiple).astype(int)


def _filters(stages: int, first: int = BASE_FILTERS) -> list[int]:
    return [min(MAX_FILTERS, first * 2**stage) for stage in range(stages)]


def _feature_map_values(patch: NDArray, strides: list[NDArray], classes: int) -> int:
    """Values in all feature maps of one patch, nnU-Net's estimate of GPU memory.

    Each stage has two convolutions on the way down and, but for the deepest, an upsampling and
    two convolutions on the way up; then one map per class at full size.
    """
    voxels = np.prod(patch // np.cumprod(strides, axis=0), axis=1)
    filters = np.array(_filters(len(strides)))
    return int(2 * voxels @ filters + 3 * voxels[:-1] @ filters[:-1] + classes * voxels[0])
