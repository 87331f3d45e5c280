"""DICOM SEG to mask on the grid of a CT, by where the segments lie, and masks to SEG for archives that keep them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg import __version__
from pedseg.dicom.ct_series import INTERPOLATED, LPS_TO_RAS, CtScan
from pedseg.dicom.dicom_files import EXPORT_AGAIN, dicom_errors
from pedseg.dicom.references import References, check_rois
from pedseg.dicom.rtstruct import OFF_PLANE_MM, RoiMasks
from pedseg.dicom.rtstruct_writing import PATIENT, STUDY, check_references
from pedseg.errors import InputProblem, collect_problems, input_error, raise_problems
from pedseg.files import write_atomically

BACKGROUND = "125040"  # in DICOM's own codes
LARGEST_VOXELS = 2**31  # of all segments together
# SNOMED CT codes as TotalSegmentator and the TG-263 map of HL7 mCODE give them; the side is in the label.
CODES = {
    "Liver": ("10200004", "Liver"), "Spleen": ("78961009", "Spleen"), "Pancreas": ("15776009", "Pancreas"),
    "Kidney": ("64033007", "Kidney"), "Lung": ("39607008", "Lung"), "Heart": ("80891009", "Heart"),
    "Bowel^Stomach": ("69695003", "Stomach"), "Esophagus": ("32849002", "Esophagus"),
    "Gallbladder": ("28231008", "Gallbladder"), "Glnd_Adrenal": ("23451007", "Adrenal gland"),
    "A_Aorta": ("15825003", "Aorta"), "V_Venacava_I": ("64131007", "Inferior vena cava"),
    "V_Portal": ("32764006", "Portal vein"), "SpinalCanal": ("61853006", "Spinal canal"),
    "VBs": ("3572006", "Vertebra"), "Bladder": ("89837001", "Urinary bladder"),
}  # fmt: skip


@contextmanager
def closed_segmentation(segmentation: Any) -> Iterator[Any]:
    """Close a highdicom object behind the block: its database of frames, in memory, stays open; Python 3.13 warns."""
    try:
        yield segmentation
    finally:
        database = getattr(segmentation, "_db_con", None)
        if database is not None:
            database.close()


def read_seg(file: Path, ct: CtScan, **ignored: bool) -> RoiMasks:
    """The segments of a SEG as masks on the grid of a CT.

    Binary, fractional (from a half) and label-map segmentations are read; segments may overlap. Raises
    `PedsegInputError` for another frame of reference, series or slices than this CT's (unless `ignored`, see
    `References`), for segments that are not one to one, and for frames that do not lie on the slices and pixels of the
    CT.
    """
    import highdicom

    with dicom_errors(file), closed_segmentation(highdicom.seg.segread(file)) as seg:
        segments = [segment for segment in seg.SegmentSequence if not _is_background(seg, segment)]
        names = [(int(segment.SegmentNumber), str(segment.SegmentLabel)) for segment in segments]
        if int(seg.Rows) * int(seg.Columns) * max(len(names), 1) * ct.scan.shape[2] > LARGEST_VOXELS:
            raise input_error("E-SLICE-SIZE", file, f"it promises {seg.Columns} x {seg.Rows} pixels.", EXPORT_AGAIN)
        references = References(file, seg, ct, **ignored)
        raise_problems(check_rois(file, names, _read_frames(seg, ct, references)))
        numbers = [number for number, _ in names]
        volume = seg.get_volume(segment_numbers=numbers, combine_segments=False, rescale_fractional=False)
        half = max(int(seg.get("MaximumFractionalValue") or 1) / 2, 1)
        automatic = frozenset(str(s.SegmentLabel) for s in segments if s.get("SegmentAlgorithmType") == "AUTOMATIC")
    # (slice, row, column) of the SEG -> (column, row, slice) of the CT
    to_ct = np.linalg.inv(LPS_TO_RAS @ ct.scan.affine) @ volume.affine
    problems: list[InputProblem] = []
    with collect_problems(problems):
        array, start = _align(file, np.asarray(volume.array), to_ct, ct)
    decided = references.decide(problems)
    masks: dict[str, NDArray[np.bool_] | None] = {}
    for place, (_, name) in enumerate(names):
        segment = array[..., place]
        mask = np.zeros(ct.scan.shape, dtype=bool)
        _paste(file, mask, segment >= half, start)
        masks[name] = mask if segment.any() else None
    empty = {name for name, mask in masks.items() if mask is None}
    return RoiMasks(masks, empty, tuple(references.notes()), automatic, decided)


def _is_background(seg: Any, segment: Any) -> bool:
    """Whether a segment of a label map is what belongs to no structure: by its padding value, or by its code."""
    code = segment.get("SegmentedPropertyTypeCodeSequence") or [{}]
    return segment.SegmentNumber == seg.get("PixelPaddingValue") or code[0].get("CodeValue") == BACKGROUND


def _read_frames(seg: Any, ct: CtScan, references: References) -> set[int]:
    """The segment numbers that frames, or the voxels of a label map, refer to; and the images that frames name."""
    to_index = np.linalg.inv(LPS_TO_RAS @ ct.scan.affine)[2]
    numbers: set[int] = set()
    for group in [*(seg.get("SharedFunctionalGroupsSequence") or []), *seg.PerFrameFunctionalGroupsSequence]:
        numbers |= {int(item.ReferencedSegmentNumber) for item in group.get("SegmentIdentificationSequence") or []}
        derived = [image for item in group.get("DerivationImageSequence") or [] for image in item.SourceImageSequence]
        for item in group.get("PlanePositionSequence") or []:
            position = np.array([*item.ImagePositionPatient, 1], dtype=float)
            references.add(derived, round(float(to_index @ position)))
    if str(seg.SegmentationType) == "LABELMAP":
        frames = np.atleast_3d(seg.pixel_array)
        numbers = {n for frame in frames for n in np.unique(frame).tolist()} - {0, seg.get("PixelPaddingValue")}
    return numbers


def _align(file: Path, array: NDArray, to_ct: NDArray[np.float64], ct: CtScan) -> tuple[NDArray, NDArray[np.intp]]:
    """The segments with their axes in the order of the CT (column, row, slice), and where their first voxel lies there.

    By hand, because `match_geometry` of highdicom 0.28 drops every second voxel of a finer SEG without a word.
    """
    axes = np.round(to_ct[:3, :3])
    drift = np.abs(to_ct[:3, :3] - axes) * np.array(array.shape[:3])
    corner = np.round(to_ct[:3, 3])
    off_mm = max(float(drift.max()), float(np.abs(to_ct[:3, 3] - corner).max())) * max(ct.scan.spacing_mm)
    if off_mm > OFF_PLANE_MM or not np.array_equal(np.abs(axes).sum(axis=0), np.ones(3)):
        problem = f"its voxels lie beside those of the CT, by up to {off_mm:.2f} mm."
        remedy = "Give the CT that it was drawn on; nothing is resampled in silence."
        raise input_error("E-GEOMETRY", file, problem, remedy)
    order = [int(np.flatnonzero(axes[axis])[0]) for axis in range(3)]
    aligned = array.transpose(*order, 3)
    for axis, source in enumerate(order):
        if axes[axis, source] < 0:
            aligned = np.flip(aligned, axis)
            corner[axis] -= array.shape[source] - 1
    return aligned, corner.astype(np.intp)


def _paste(file: Path, mask: NDArray[np.bool_], part: NDArray[np.bool_], start: NDArray[np.intp]) -> None:
    """Enter a block at its place; voxels beyond the scan are refused."""
    low = np.maximum(start, 0)
    high = np.maximum(np.minimum(start + part.shape, mask.shape), low)
    inside = part[tuple(map(slice, low - start, high - start))]
    mask[tuple(map(slice, low, high))] = inside
    beyond = int(np.count_nonzero(part)) - int(np.count_nonzero(inside))
    if beyond:
        problem = f"{beyond} voxels of a segment lie beyond the scan."
        raise input_error("E-CONTOUR-OUTSIDE", file, problem, "Give the whole CT that they were drawn on.")


def write_seg(
    file: Path, masks: Mapping[str, NDArray[np.bool_]], ct: CtScan, *, description: str = "",
    drawn_by: str = "AUTOMATIC",
) -> None:  # fmt: skip
    """Write masks (column, row, slice) by organ name as a binary SEG, read back before it is kept.

    Each segment bears the `description`, and as its algorithm type who drew it (`drawn_by`).
    """
    check_references(ct)
    if INTERPOLATED in ct.uids:
        problem = "slices of this CT were interpolated; a SEG would have to refer to them."
        raise input_error("E-NO-REFERENCE", file, problem, "Take RTSTRUCT, which leaves them out, or NIfTI.")
    content = io.BytesIO()
    with dicom_errors(ct.series.first.path), closed_segmentation(_segmentation(masks, ct, drawn_by)) as segmentation:
        for segment in segmentation.SegmentSequence if description else ():
            segment.SegmentDescription = description
        segmentation.save_as(content)

    def compare(part: Path) -> None:
        read_back = read_seg(part, ct).masks
        for name, mask in masks.items():
            back = read_back.get(name)
            if mask.any() if back is None else not np.array_equal(mask, back):
                remedy = "Nothing was written; report this scan."
                raise input_error("E-READ-BACK", file, f"read back, {name} differs.", remedy)

    write_atomically(file, content.getvalue(), check=compare)


def _segmentation(masks: Mapping[str, NDArray[np.bool_]], ct: CtScan, drawn_by: str) -> Any:
    """The whole SEG, one segment an organ."""
    import highdicom
    import pydicom
    from highdicom.sr.coding import CodedConcept

    images = [pydicom.dcmread(file.path) for file in ct.series.files]
    optional = dict.fromkeys((*PATIENT, *STUDY), "") | {"Modality": "CT", "SliceThickness": ct.scan.spacing_mm[2]}
    for image, (keyword, value) in itertools.product(images, optional.items()):
        if not image.get(keyword):  # many archives take them out, and highdicom asks for them
            setattr(image, keyword, value)
    by_uid = {str(image.SOPInstanceUID): image for image in images}
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="pedseg", version=__version__, family=CodedConcept("123110", "DCM", "Artificial Intelligence")
    )
    segments = []
    for number, name in enumerate(masks, 1):
        code, meaning = CODES.get(name.removesuffix("_L").removesuffix("_R"), ("113343008", "Organ"))
        segments.append(
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=name,
                segmented_property_category=CodedConcept("123037004", "SCT", "Anatomical Structure"),
                segmented_property_type=CodedConcept(code, "SCT", meaning),
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues(drawn_by),
                algorithm_identification=None if drawn_by == "MANUAL" else algorithm,
            )
        )
    array = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1).astype(np.uint8)
    if ct.frames[0] is not None:
        array = array[np.argsort([frame or 0 for frame in ct.frames])]  # an enhanced CT's frames have their own order
    return highdicom.seg.Segmentation(
        source_images=[by_uid[uid] for uid in dict.fromkeys(ct.uids)],
        pixel_array=array,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="pedseg",
        manufacturer_model_name="pedseg",
        software_versions=__version__,
        device_serial_number="none",
        omit_empty_frames=True,
    )
