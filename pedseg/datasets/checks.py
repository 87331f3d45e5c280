"""Is a case fit for use? Its files are opened to the last byte: HU, whole label numbers, one grid, left is left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import count_labels, read_labels, refuse_other_grid
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.organs import NAMES, organ
from pedseg.scan import Scan, read_nifti

# Pairs of which the first lies further to the patient's right.
RIGHT_TO_LEFT = (("Liver", "Spleen"), ("Kidney_R", "Kidney_L"))
SAMPLES = 400_000  # voxels that are enough to tell whether an image is in HU


@dataclass(frozen=True)
class Inspection:
    """What the files of one case say: what is wrong, which organs have a voxel, hashes of file and voxels."""

    problems: tuple[InputProblem, ...] = ()
    present: tuple[str, ...] = ()
    image_sha256: str = ""
    voxels_sha256: str = ""


def inspect(dataset: DataSet, case: Case, situs_inversus: bool = False) -> Inspection:
    """Open image and label map of a case and list everything that is wrong with them."""
    problems: list[InputProblem] = []
    image = labels = None
    file_hash = voxel_hash = ""
    present: tuple[str, ...] = ()
    try:
        image = read_nifti(case.image_file)
        problems += check_image(image, case)
        file_hash = hashlib.sha256(case.image_file.read_bytes()).hexdigest()
        voxel_hash = hashlib.sha256(image.voxels.ravel(order="K").data).hexdigest()
    except PedsegInputError as error:
        problems += error.problems
    try:
        if case.label_file is not None:
            labels = read_labels(dataset.labels, case)
            present = organs_present(labels)
            problems += check_labels(labels, case, present, situs_inversus)
            if image is not None:
                refuse_other_grid(case, labels, image)
    except PedsegInputError as error:
        problems += error.problems
    return Inspection(tuple(problems), present, file_hash, voxel_hash)


def organs_present(labels: Scan) -> tuple[str, ...]:
    """Organs that have at least one voxel in a map of organ ids."""
    return tuple(NAMES[i - 1] for i in np.flatnonzero(count_labels(labels.voxels)) if i)


def check_image(image: Scan, case: Case) -> Iterator[InputProblem]:
    """NaN and infinite voxels, and in a CT gray values that are no HU."""
    file = str(case.image_file)
    odd = 0
    if not np.issubdtype(image.voxels.dtype, np.integer):
        odd = int(image.voxels.size - np.isfinite(image.voxels).sum())
    if odd:
        yield InputProblem(
            "E-NOT-FINITE", file, f"{odd} voxels are NaN or infinite.", "Convert the source again with dcm2niix."
        )
        return
    if case.modality != "CT":
        if image.voxels.min() == image.voxels.max():
            yield InputProblem("E-FLAT", file, f"every voxel is {image.voxels.min():g}.", "Export the scan again.")
        return
    reason = why_not_hu(image.voxels)
    if reason:
        yield InputProblem(
            "E-NOT-HU",
            file,
            f"the gray values are no Hounsfield units: {reason}.",
            "Export the CT in HU (air -1000, water 0).",
        )


def why_not_hu(voxels: NDArray) -> str:
    """Why gray values cannot be Hounsfield units, or "" if they can.

    A body holds water-like tissue near 0 and fat below it, over a wide range, and its air is not cut
    off. A crop that holds no air passes: nothing asks for air, only for what lies below it not to
    pile up. What scanners pad with (-1024 and below) does not count.
    """
    flat = voxels.ravel(order="K")
    step = flat.size // SAMPLES | 1  # odd, so that not the same columns are met in every row
    values = np.maximum(flat[::step].astype(np.float32), -1024)
    low, high = np.percentile(values, (0.1, 99.9))
    if high - low < 250:
        return f"they span {low:g} to {high:g} only"
    if low >= -20:
        shifted = why_not_hu(values - 1024) == ""
        return f"none is negative (lowest {low:g})" + (", as if 1024 had been added" if shifted else "")
    lowest = values.min()
    if lowest > -900 and np.mean(values == lowest) > 0.1:
        return f"they are cut off at {lowest:g}"
    if np.mean((values >= -150) & (values <= 250)) < 0.01:
        return "under 1 % lie between -150 and 250, where soft tissue and fat are"
    return ""


def check_labels(labels: Scan, case: Case, present: tuple[str, ...], situs_inversus: bool) -> Iterator[InputProblem]:
    """Something is drawn, only what counts as annotated, and left is left.

    Swapped sides show as a pair that is mirrored by more than it is turned: in a child who lies on
    its side, liver and spleen lie above each other, and that is no finding.
    """
    file = str(case.label_file)
    if not present:
        yield InputProblem(
            "E-LABEL-EMPTY", file, "the label map holds no organ at all.", "Draw it, or take the case out."
        )
    undrawn = [name for name in present if name not in case.annotated]
    if undrawn:
        remedy = "List them under manual or silver in cases.tsv."
        yield InputProblem(
            "E-NOT-ANNOTATED", file, f"it holds {', '.join(undrawn)}, which nobody drew after the table.", remedy
        )
    for right, left in RIGHT_TO_LEFT:
        if right in present and left in present and not situs_inversus:
            to_left = _center_mm(labels, left) - _center_mm(labels, right)
            if to_left[0] > abs(to_left[1]):
                problem = f"{left} lies {to_left[0]:.0f} mm to the patient's right of {right}."
                remedy = (
                    "Check whether sides are swapped in names or affine; if the organs are truly mirrored, "
                    'list the case in dataset.json: "pedseg": {"situs_inversus": ["CASE"]}.'
                )
                yield InputProblem("E-LEFT-RIGHT", file, problem, remedy)


def _center_mm(labels: Scan, name: str) -> NDArray[np.float64]:
    """Center of an organ in mm (RAS)."""
    mask = labels.voxels == organ(name).id
    profiles = (np.count_nonzero(mask, axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))  # voxels in each slice
    index = [np.average(np.arange(len(profile)), weights=profile) for profile in profiles]
    return labels.affine[:3, :3] @ index + labels.affine[:3, 3]
