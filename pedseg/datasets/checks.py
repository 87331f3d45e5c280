"""Checks of a case's voxels: Hounsfield units, whole label numbers, one grid, left and right; every byte is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import Case, DataSet, Inspection
from pedseg.datasets.loading import LARGEST, organs_present, read_labels, refuse_other_grid
from pedseg.errors import InputProblem, collect_problems
from pedseg.files import file_stamp
from pedseg.organs import organ
from pedseg.scan import CONVERT_AGAIN, Scan, read_nifti

# Pairs of which the first lies further to the patient's right.
RIGHT_TO_LEFT = (("Liver", "Spleen"), ("Kidney_R", "Kidney_L"))
DENSE_TO_BONE = 3  # bone fades out above 850 HU; where more lies there than between 400 and 850, it is no bone
SAMPLES = 400_000  # voxels that are enough to tell whether an image is in HU


def inspect_case(dataset: DataSet, case: Case, situs_inversus: bool = False) -> Inspection:
    """Open image and label map of a case and list everything that is wrong with them; once, until a file changes."""
    stamps = tuple(file_stamp(file) for file in (case.image_file, case.label_file) if file)
    return _inspect(case, tuple(dataset.labels.items()), situs_inversus, stamps)


@lru_cache(maxsize=10_000)
def _inspect(
    case: Case, labels_of_set: tuple[tuple[int, str], ...], situs_inversus: bool, stamps: tuple[str, ...]
) -> Inspection:
    problems: list[InputProblem] = []
    image = None
    file_hash = voxel_hash = ""
    present: tuple[str, ...] = ()
    with collect_problems(problems):
        image = read_nifti(case.image_file)
        problems += check_image(image, case.image_file, case.modality)
        file_hash = hashlib.sha256(case.image_file.read_bytes()).hexdigest()
        voxel_hash = hashlib.sha256(image.voxels.ravel(order="K").data).hexdigest()
    with collect_problems(problems):
        if case.label_file is not None:
            labels = read_labels(dict(labels_of_set), case)
            present = organs_present(labels)
            problems += check_labels(labels, case.label_file, case.annotated, present, situs_inversus)
            if image is not None:
                refuse_other_grid(case.label_file, labels, image)
    return Inspection(tuple(problems), present, file_hash, voxel_hash)


def check_image(image: Scan, path: Path, modality: str) -> Iterator[InputProblem]:
    """NaN and infinite voxels, and in a CT gray values that are no HU."""
    file, voxels = str(path), image.voxels
    odd = 0 if np.issubdtype(voxels.dtype, np.integer) else int(voxels.size - np.isfinite(voxels).sum())
    if odd:
        yield InputProblem("E-NOT-FINITE", file, f"{odd} voxels are NaN or infinite.", CONVERT_AGAIN)
    elif modality == "CT":
        yield from check_hounsfield(voxels, file)
    elif voxels.min() == voxels.max():
        yield InputProblem("E-FLAT", file, f"every voxel is {voxels.min():g}.", "Export the scan again.")


def check_hounsfield(voxels: NDArray, file: Path | str) -> Iterator[InputProblem]:
    """Gray values that cannot be Hounsfield units."""
    highest = voxels.max()
    reason = f"they reach {highest:g}" if highest > LARGEST else why_not_hu(voxels)
    if reason:
        problem = f"the gray values are no Hounsfield units: {reason}."
        yield InputProblem("E-NOT-HU", str(file), problem, "Export the CT in HU (air -1000, water 0).")


def why_not_hu(voxels: NDArray) -> str:
    """Why gray values cannot be Hounsfield units, or "" if they can.

    A body holds water-like tissue near 0 and fat below it, over a wide range, and its air is not cut off. A crop that
    holds no air passes. What scanners pad with counts nowhere: -1024 and below, and the lowest value where it piles
    up, as -2000 does once 1024 was added.
    """
    step = voxels.size // SAMPLES | 1  # odd, so that not the same columns are met in every row
    sampled = voxels.ravel(order="K")[::step].astype(np.float32)
    values = sampled[sampled > -1024]
    if not values.size:
        return "none is above -1024"
    lowest = values.min()
    piled_up = np.mean(values == lowest)
    if lowest > -900 and piled_up > 0.1:
        return f"they are cut off at {lowest:g}"
    if 0.01 < piled_up < 1:
        values = values[values > lowest]
    low, high = np.percentile(values, (0.1, 99.9))
    if high - low < 250:
        return f"they span {low:g} to {high:g} only"
    if low >= -20:
        shifted = ", as if 1024 had been added" if why_not_hu(values - 1024) == "" else ""
        return f"none is negative (lowest {low:g}){shifted}"
    if np.mean((sampled >= -150) & (sampled <= 250)) < 0.01:
        return "under 1 % lie between -150 and 250, where soft tissue and fat are"
    bone, dense, air = np.mean([(values > 400) & (values <= 850), values > 850, values < -600], axis=1).tolist()
    if dense > max(0.005, air, DENSE_TO_BONE * bone):  # tissue lifted by 1000, or air turned upside down
        return f"{dense:.0%} lie above 850 and {air:.0%} below -600, as if 1000 had been added or signs were inverted"
    return ""


def check_labels(
    labels: Scan,
    path: Path,
    annotated: Sequence[str],
    present: Sequence[str],
    situs_inversus: bool,
    left_out: Sequence[str] = (),
) -> Iterator[InputProblem]:
    """Something is contoured (`present`), only what counts as `annotated`, and left is left.

    Swapped sides show as a pair that is mirrored by more than it is turned: in a child who lies on
    its side, liver and spleen lie above each other, and that is no problem. `left_out`: what an import did not take.
    """
    file = str(path)
    if not present:
        problem, remedy = "the label map holds no organ at all.", "Draw it, or take the case out."
        if left_out:
            problem = f"no structure is an organ of the table; {'; '.join(left_out)}."
            remedy = "Say which organs they are by a table of names (--names), draw organs, or take the case out."
        yield InputProblem("E-LABEL-EMPTY", file, problem, remedy)
    unlisted = [name for name in present if name not in annotated]
    if unlisted:
        problem = f"it holds {', '.join(unlisted)}, which nobody drew after the table."
        yield InputProblem("E-NOT-ANNOTATED", file, problem, "List them under manual or silver in cases.tsv.")
    for right, left in RIGHT_TO_LEFT:
        if right in present and left in present and not situs_inversus:
            to_left = center_mm(labels, left) - center_mm(labels, right)
            if to_left[0] > abs(to_left[1]):
                problem = f"{left} lies {to_left[0]:.0f} mm to the patient's right of {right}."
                remedy = (
                    "Check whether sides are swapped in names or affine; if the organs are truly mirrored, "
                    'list the case in dataset.json: "pedseg": {"situs_inversus": ["CASE"]}.'
                )
                yield InputProblem("E-LEFT-RIGHT", file, problem, remedy)


def center_mm(labels: Scan, name: str) -> NDArray[np.float64]:
    """Center of an organ in mm (RAS)."""
    mask = labels.voxels == organ(name).id
    profiles = (np.count_nonzero(mask, axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))  # voxels in each slice
    index = [np.average(np.arange(len(profile)), weights=profile) for profile in profiles]
    return labels.affine[:3, :3] @ index + labels.affine[:3, 3]
