"""Load the CT of a case in HU and its contours as one label map of organ ids.

Values are read as they are or refused; nothing is interpolated, rounded or resampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import Case, DataSet
from pedseg.errors import input_error
from pedseg.organ_names import masks_of
from pedseg.organs import NAMES, organ
from pedseg.scan import Scan, read_nifti, to_ras

LARGEST = 32767  # gray value that a data set can hold
LARGEST_LABEL = 65535
PADDING_HU = -1024  # scanners mark what lies outside their field of view with this value or a lower one


def load_image(case: Case) -> Scan:
    """The CT of a case in HU, or its MR, with axes to the Right, Anterior and Superior.

    Whole HU come as int16, others as float32; padding below -1024 HU reads as -1024. An MR comes as
    `whole_gray_values`. Flipping and swapping axes is exact: no voxel is interpolated.
    """
    scan = to_ras(read_nifti(case.image_file))
    if case.modality == "MR":
        return Scan(whole_gray_values(scan.voxels)[0], scan.affine)
    low, high = scan.voxels.min(), scan.voxels.max()
    fits = np.issubdtype(scan.voxels.dtype, np.integer) and -LARGEST - 1 <= low <= high <= LARGEST
    voxels = scan.voxels.astype(np.int16 if fits else np.float32)
    return Scan(np.maximum(voxels, voxels.dtype.type(PADDING_HU)), scan.affine)


def whole_gray_values(voxels: NDArray) -> tuple[NDArray[np.int16], float]:
    """Gray values of an MR, which have no unit, as int16, and by what they were multiplied.

    Whole numbers that fit stay (1.0); fractions, z-scores and larger numbers are stretched to fill the range.
    """
    largest = max(float(voxels.max()), -float(voxels.min()))
    whole = np.issubdtype(voxels.dtype, np.integer) or bool((voxels == np.round(voxels)).all())
    factor = 1.0 if (whole and largest <= LARGEST) or not np.isfinite(largest) else LARGEST / largest
    return np.round(voxels * factor if factor != 1.0 else voxels).astype(np.int16), factor


def load_labels(dataset: DataSet, case: Case) -> Scan:
    """The contours of a case as a map of organ ids (uint8, 0 = background) on the grid of its CT.

    Raises `PedsegInputError` if a value is no whole number or not in the data set's table, if
    masks overlap, or if the map does not lie on the grid of the image.
    """
    labels = read_labels(dataset.labels, case)
    refuse_other_grid(case.label_file, labels, _read_grid(case.image_file))
    return to_ras(labels)


def read_labels(labels: Mapping[int, str], case: Case) -> Scan:
    """The map of organ ids with its axes as they lie on disk; not yet compared with the image."""
    if case.label_file is None:
        raise input_error("E-LABEL-MISSING", case.image_file, "nobody contoured this scan.", "Add its label map.")
    if case.label_file.is_dir():
        return _merge_masks(case)
    return _to_organ_ids(read_nifti(case.label_file), labels, case.label_file)


def _to_organ_ids(scan: Scan, labels: Mapping[int, str], file: Path) -> Scan:
    """Label numbers of the file -> organ ids of the table; a number without a meaning is refused."""
    values = whole_numbers(scan.voxels, file)
    counts = count_labels(values)
    unknown = [n for n in np.flatnonzero(counts) if n and n not in labels]
    if unknown:
        listed = ", ".join(f"{n} ({counts[n]} voxels)" for n in unknown[:8])
        problem = f"dataset.json does not name the label(s) {listed}."
        raise input_error("E-LABEL-VALUES", file, problem, "Name them there, or redraw the map.")
    organ_ids = np.zeros(len(counts), dtype=np.uint8)
    for n, name in labels.items():
        if name and n < len(organ_ids):
            organ_ids[n] = organ(name).id
    return Scan(organ_ids[values], scan.affine)


def count_labels(voxels: NDArray) -> NDArray[np.int64]:
    """How many voxels hold 0, 1, 2 …; slice by slice, because counting needs eight bytes a voxel."""
    length = int(voxels.max()) + 1
    counts = (np.bincount(voxels[..., k].ravel(), minlength=length) for k in range(voxels.shape[-1]))
    return sum(counts, start=np.zeros(length, dtype=np.int64))


def organs_present(labels: Scan) -> tuple[str, ...]:
    """Organs that have at least one voxel in a map of organ ids."""
    return tuple(NAMES[i - 1] for i in np.flatnonzero(count_labels(labels.voxels)) if i)


def whole_numbers(voxels: NDArray, file: Path) -> NDArray:
    """The voxels as label numbers from 0 to 65535; an interpolated or rescaled map is refused."""
    remedy = "Export the label map again, with nearest-neighbor interpolation and without scaling."
    if not np.issubdtype(voxels.dtype, np.integer):
        odd = voxels[~(np.isfinite(voxels) & (voxels == np.round(voxels)))]
        if odd.size:
            problem = f"{odd.size} voxels are no whole number, such as {odd[0]:g}."
            raise input_error("E-LABEL-VALUES", file, problem, remedy)
    low, high = voxels.min(), voxels.max()
    if low < 0 or high > LARGEST_LABEL:
        raise input_error("E-LABEL-VALUES", file, f"label numbers run from {low:g} to {high:g}.", remedy)
    return voxels.astype(np.uint16)


def mask_names(folder: Path) -> set[str]:
    """The structures of a folder of masks, as TotalSegmentator names them."""
    return {file.name.removesuffix(".nii.gz") for file in folder.glob("[!.]*.nii.gz")}


def _merge_masks(case: Case) -> Scan:
    """One map from the masks of TotalSegmentator: lobes and bowel parts joined, overlaps refused."""
    assert case.label_file is not None
    merged: Scan | None = None
    masks = mask_names(case.label_file)
    for name in case.annotated:
        for part in masks_of(name, case.modality, masks):
            file = case.label_file / f"{part}.nii.gz"
            scan = read_nifti(file)
            mask = whole_numbers(scan.voxels, file)
            if mask.max() > 1:
                problem = f"a mask holds the number {mask.max()}."
                raise input_error("E-LABEL-VALUES", file, problem, "Store 0 and 1 only.")
            if merged is None:
                merged = Scan(np.zeros(mask.shape, np.uint8), scan.affine)
            if not same_grid(merged, scan):
                problem = "this mask lies on another grid than the others."
                raise input_error("E-GEOMETRY", file, problem, "Export it on the grid of its CT.")
            _add_mask(merged.voxels, mask > 0, organ(name).id, file)
    if merged is None:
        problem = "no organ of the table is complete here."
        raise input_error("E-LABEL-MISSING", case.label_file, problem, "Add masks, or take the case out.")
    return merged


def _add_mask(labels: NDArray[np.uint8], mask: NDArray[np.bool_], organ_id: int, file: Path) -> None:
    """Enter one mask into the label map; a voxel that belongs to another organ already is refused."""
    overlap = mask & (labels != 0) & (labels != organ_id)
    if overlap.any():
        others = ", ".join(NAMES[i - 1] for i in np.unique(labels[overlap]))
        problem = f"{int(overlap.sum())} voxels also belong to {others}."
        raise input_error("E-OVERLAP", file, problem, "Decide whose they are and export again.")
    labels[mask] = organ_id


def same_grid(a: Scan, b: Scan) -> bool:
    """Whether two volumes have the same shape and lie in the same place (affines equal to 1e-3)."""
    return a.shape == b.shape and np.allclose(a.affine, b.affine, atol=1e-3, rtol=1e-5)


def _read_grid(file: Path) -> Scan:
    """Shape and affine of an image from its header alone; the voxels are a stand-in of zeros."""
    import nibabel

    try:
        header = nibabel.nifti1.load(file)
    except Exception:  # whatever is wrong with the file, the strict reader says it in words
        return read_nifti(file)
    return Scan(np.broadcast_to(np.uint8(0), header.shape[:3]), np.asarray(header.affine, dtype=np.float64))


def refuse_other_grid(file: Path | None, labels: Scan, image: Scan) -> None:
    """The label map in a file must have the shape of its image and lie in the same place."""
    if not same_grid(image, labels):
        grids = f"{describe_grid(labels)} does not lie on the grid of its image {describe_grid(image)}"
        remedy = "Export the label map on the grid of the image; nothing is resampled in silence."
        raise input_error("E-GEOMETRY", str(file), f"the label map {grids}.", remedy)


def describe_grid(scan: Scan) -> str:
    """A grid in words: shape, spacing, axes and the place of the first voxel."""
    spacing = " x ".join(f"{mm:.4g}" for mm in scan.spacing_mm)
    origin = ", ".join(f"{mm:.2f}" for mm in scan.affine[:3, 3])
    return f"({' x '.join(map(str, scan.shape))} voxels of {spacing} mm, {scan.orientation}, from {origin})"
