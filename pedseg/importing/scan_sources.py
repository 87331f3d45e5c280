"""One scan that could be imported: where it comes from, its voxels, its contours, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.checks import check_image, check_labels
from pedseg.datasets.loading import PADDING_HU, organs_present, whole_gray_values
from pedseg.errors import InputProblem, input_error, raise_problems
from pedseg.organ_names import NameMapping
from pedseg.organs import NAMES, organ
from pedseg.scan import CONVERT_AGAIN, Scan, read_nifti

# Where contours of two organs overlap by a little, the later one keeps the voxel: what is small or sharp wins over
# what is large or vague. An organ that is not listed comes before all others.
PRIORITY = (
    "Lung_L", "Lung_R", "Bowel^Stomach", "Liver", "Spleen", "Heart", "VBs", "Kidney_L", "Kidney_R", "Bladder",
    "Pancreas", "Esophagus", "V_Venacava_I", "V_Portal", "A_Aorta", "Gallbladder", "Glnd_Adrenal_L", "Glnd_Adrenal_R",
    "SpinalCanal",
)  # fmt: skip
OVERLAP_ML = 1.0
MOST_NAN = 1e-3
Masks = Mapping[str, NDArray[np.bool_] | None]  # by the ROI's own name; None: nothing in it


@dataclass(frozen=True)
class ImportOptions:
    """What the user wants of an import: which series, whose names, which repairs."""

    series: str = ""
    names: Mapping[str, str] | None = None
    repairs: tuple[str, ...] = ()
    ignore_frame_of_reference: bool = False
    empty_means_absent: bool = False


@dataclass(frozen=True)
class LoadedScan:
    """All that enters a data set of one scan, and `messages`: what the user shall read and nobody else.

    `labels` is a map of organ ids on the grid of `image`, None if nobody contoured the scan. `secret` are texts of the
    source that may not appear in the output.
    """

    image: Scan
    labels: Scan | None
    manual: tuple[str, ...] = ()
    silver: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)  # age_months, sex, posture
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    secret: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ScanSource:
    """One scan that could be imported; `load` reads it, or raises `PedsegInputError`. `contoured`: it has contours.

    `patient` and `scan` identify it at its source and reach the data set as keyed hashes only. `public_id` is its name
    if that is one as public collections have them.
    """

    path: Path
    patient: str
    scan: str
    load: Callable[[], LoadedScan]
    split: str = ""
    public_id: str = ""
    contoured: bool = False


def load_scan(source: ScanSource) -> LoadedScan:
    """Read a scan; the gray values of an MR become whole numbers, because a data set holds no others."""
    loaded = source.load()
    if loaded.attributes.get("modality") != "MR" or not np.isfinite(loaded.image.voxels).all():
        return loaded
    voxels, factor = whole_gray_values(loaded.image.voxels)
    note = (f"gray values multiplied by {factor:.4g} to make them whole numbers",) if factor != 1.0 else ()
    image, notes, messages = Scan(voxels, loaded.image.affine), (*loaded.notes, *note), (*loaded.messages, *note)
    return replace(loaded, image=image, notes=notes, messages=messages)


def check_scan(source: ScanSource, loaded: LoadedScan, situs_inversus: bool = False) -> list[InputProblem]:
    """What is wrong with the gray values and the contours of a scan, before a byte of it is written."""
    problems = list(check_image(loaded.image, source.path, loaded.attributes.get("modality", "CT")))
    if loaded.labels is not None:
        annotated, present = (*loaded.manual, *loaded.silver), organs_present(loaded.labels)
        left_out = [line for line in loaded.messages if line.startswith(("not imported", "empty"))]
        problems += check_labels(loaded.labels, source.path, annotated, present, situs_inversus, left_out)
    return problems


def leave_out_organs_in_gaps(masks: Masks, mapping: NameMapping, made: NDArray[np.bool_], file: Path) -> list[str]:
    """Take out of a mapping what lies beside an interpolated slice and not in it: background there is unknown."""
    cut = []
    for organ_name, rois in mapping.organs.items():
        slices = [mask.any(axis=(0, 1)) for mask in map(masks.get, rois) if mask is not None]
        if any((made & ~filled & (np.convolve(filled, [1, 0, 1], "same") > 0)).any() for filled in slices):
            cut.append(organ_name)
    for organ_name in cut:
        del mapping.organs[organ_name]
    if cut and not mapping.organs:
        problem = "every organ reaches interpolated slices, where nobody drew."
        raise input_error("E-SERIES-GAP", file, problem, "Fetch the missing slices.")
    return [f"{name} reaches interpolated slices, where nobody drew: taken as not annotated" for name in cut]


def merge_masks(
    masks: Masks, mapping: NameMapping, image: Scan, file: Path, repairs: Iterable[str]
) -> tuple[Scan, tuple[str, ...], list[str]]:
    """One map of organ ids out of foreign masks, the organs that it says something about, and what to note.

    A mask is None where somebody said that nothing is there. What was drawn and has no voxel in the map (too small,
    beside the scan, covered by others) is not annotated: it is not absent. Overlaps of up to 1 mL go to the organ that
    is later in `PRIORITY`. Raises `PedsegInputError` for larger overlaps, unless `repairs` holds `overlaps`.
    """
    labels = np.zeros(image.shape, dtype=np.uint8)
    notes, problems = [], []
    left: dict[str, int] = {}  # voxels in the map of what was drawn
    for name in sorted(mapping.organs, key=lambda name: PRIORITY.index(name) if name in PRIORITY else -1):
        mask, lost = np.zeros(image.shape, dtype=bool), False
        for part in mapping.organs[name]:
            part_mask = masks.get(part)
            if part_mask is not None:
                mask |= part_mask
                lost |= not part_mask.any()
        if lost:
            mask[:] = False
        if lost or mask.any():
            left[name] = int(np.count_nonzero(mask))
        shared = np.bincount(labels[mask], minlength=1)
        for other in np.flatnonzero(shared[1:]) + 1:
            left[NAMES[other - 1]] -= int(shared[other])
            shared_ml = shared[other] * image.voxel_ml
            overlap = f"{NAMES[other - 1]} and {name} share {shared_ml:.2f} mL"
            notes.append(f"{overlap}: given to {name}")
            if shared_ml > OVERLAP_ML and "overlaps" not in repairs:
                remedy = "Redraw them, or ask for the repair `overlaps` (smaller organ wins; recorded in cases.tsv)."
                problems.append(InputProblem("E-OVERLAP", str(file), f"{overlap}.", remedy))
        labels[mask] = organ(name).id
    raise_problems(problems)
    notes += [f"not imported: {name}, which is drawn and has no voxel" for name, count in left.items() if not count]
    return Scan(labels, image.affine), tuple(name for name in mapping.organs if left.get(name) != 0), notes


def read_clean_nifti(file: Path) -> LoadedScan:
    """A NIfTI scan without contours, with repairs and notes: padding and a few NaN in the air become -1024."""
    from scipy import ndimage

    scan = read_nifti(file)
    voxels, repairs, notes = scan.voxels, [], []
    if not np.issubdtype(voxels.dtype, np.integer):
        odd = ~np.isfinite(voxels)
        if odd.any():
            count = int(odd.sum())
            rim = ndimage.binary_dilation(odd, iterations=2) & ~odd
            if odd.mean() >= MOST_NAN or not rim.any() or np.median(voxels[rim]) > -500:
                problem = f"{count} voxels are NaN or infinite, in the body or too many."
                raise input_error("E-NOT-FINITE", file, problem, CONVERT_AGAIN)
            voxels = np.where(odd, PADDING_HU, voxels)
            repairs.append(f"{count} NaN voxels in the air set to {PADDING_HU}")
    if voxels.min() < PADDING_HU:
        voxels = np.maximum(voxels, voxels.dtype.type(PADDING_HU))
        notes.append(f"padding below {PADDING_HU} HU set to {PADDING_HU}")
    axes = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    degrees = float(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0), -1, 1))).max())
    if degrees > 1:
        notes.append(f"axes oblique by {degrees:.0f} degrees: kept as they are")
    cleaned = Scan(voxels, scan.affine)
    return LoadedScan(cleaned, None, notes=tuple(notes), repairs=tuple(repairs), messages=tuple(notes))
