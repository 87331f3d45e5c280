"""Mask to RTSTRUCT for a planning system: written, read back and compared before anybody gets the file.

The file carries the patient's name and number from the CT on this machine, because a planning system files it by
them; nothing else of the CT's header enters it. Contours come marked as drawn by a program and not approved.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg import __version__
from pedseg.dicom.ct_series import INTERPOLATED, LPS_TO_RAS, CtScan
from pedseg.dicom.dicom_files import dicom_bytes, dicom_errors, dicom_item
from pedseg.dicom.polygons import mask_to_polygons
from pedseg.dicom.rtstruct import CONTOUR_DATA, read_rtstruct
from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.organs import ORGANS

Masks = Mapping[str, NDArray[np.bool_]]

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
CONTOURS, CONTOUR_IMAGES, ITEM = 0x30060040, 0x30060016, 0xFFFEE000
LEAST_DSC = 0.999
FEW_VOXELS = 10
AUTHORS = {"AUTOMATIC": "a program", "SEMIAUTOMATIC": "a program and by hand", "MANUAL": "hand"}


def write_rtstruct(
    file: Path, masks: Masks, ct: CtScan, *, drawn_by: str = "AUTOMATIC", description: str = ""
) -> list[str]:
    """Write masks (column, row, slice), by TG-263 name, as an RTSTRUCT; gives back what a person should look at.

    `description` is what a planning system shows beside each ROI, such as doubts.

    The file is written under a temporary name, read back, compared (DSC at least 0.999 for each organ), then renamed.
    Raises `PedsegInputError` if the CT lacks the identifiers that contours refer to.
    """
    check_references(ct)
    notes = []
    made = np.array([uid == INTERPOLATED for uid in ct.uids])
    if made.any():  # there is no image that a contour on such a slice could refer to
        masks = {name: mask & ~made for name, mask in masks.items()}
        notes.append(f"{int(made.sum())} interpolated slices bear no contours")
    with dicom_errors(ct.series.first.path):
        # Implicit VR: an element of explicit VR ends at 64 KiB, a contour may not.
        content = dicom_bytes(_dataset(masks, ct, drawn_by, description), "1.2.840.10008.1.2")
    write_atomically(file, content, check=lambda part: _compare(part, file, masks, ct))
    return [*notes, *_small_contours(masks)]


def check_references(ct: CtScan) -> None:
    """Refuse a CT that lacks the identifiers by which contours refer to it."""
    real = [(uid, frame) for uid, frame in zip(ct.uids, ct.frames, strict=True) if uid != INTERPOLATED]
    present = {
        "SOPClassUID": bool(ct.series.first.text("SOPClassUID")),
        "SOPInstanceUID": "" not in real and len({*real}) == len(real),
        "SeriesInstanceUID": bool(ct.series.uid),
        "StudyInstanceUID": bool(ct.series.first.text("StudyInstanceUID")),
        "FrameOfReferenceUID": bool(ct.frame_of_reference),
    }
    missing = [keyword for keyword, there in present.items() if not there]
    if missing:
        problem = f"the CT has no unique {', '.join(missing)}: contours could not refer to it."
        remedy = "Export the CT from the archive again with its identifiers; or take NIfTI label maps."
        raise input_error("E-NO-REFERENCE", ct.series.first.path, problem, remedy)


def _small_contours(masks: Masks) -> Iterator[str]:
    for name, mask in masks.items():
        count, planes = int(mask.sum()), int(mask.any(axis=(0, 1)).sum())
        if count == 0:
            yield f"{name}: nothing drawn"
        elif count < FEW_VOXELS or planes == 1:
            yield f"{name}: only {count} voxels in {planes} slice(s)"


def _compare(part: Path, file: Path, masks: Masks, ct: CtScan) -> None:
    """Read the file as a stranger would; what comes back must be what was meant."""
    read_back = read_rtstruct(part, ct).masks
    for name, mask in masks.items():
        back = read_back.get(name)
        size = int(mask.sum()) + (0 if back is None else int(back.sum()))
        both = 0 if back is None else int(np.count_nonzero(mask & back))
        if size and 2 * both < LEAST_DSC * size:
            problem = f"read back, {name} has a DSC of {2 * both / size:.4f}."
            raise input_error("E-READ-BACK", file, problem, "Nothing was written; please report this scan's geometry.")


def _dataset(masks: Masks, ct: CtScan, drawn_by: str, description: str) -> Any:
    """The whole RTSTRUCT: as many elements as DICOM PS3.3 A.19.3 asks for."""
    from pydicom.uid import RTStructureSetStorage, generate_uid

    now = datetime.datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    author = AUTHORS[drawn_by]
    colors = {organ.name: organ.color for organ in ORGANS}
    contours = [_contours(number, masks[name], ct, colors.get(name, "#FFFFFF")) for number, name in enumerate(masks, 1)]
    dataset = dicom_item(
        **{keyword: ct.header.get(keyword) or "" for keyword in (*PATIENT, *STUDY)},
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID=generate_uid(),
        Modality="RTSTRUCT",
        SeriesInstanceUID=generate_uid(),
        SeriesNumber=None,
        SeriesDescription=f"Contours drawn by {author}, not approved",
        Manufacturer="pedseg",
        ManufacturerModelName="pedseg",
        SoftwareVersions=__version__,
        OperatorsName="",
        FrameOfReferenceUID=ct.frame_of_reference,
        PositionReferenceIndicator="",
        StructureSetLabel="pedseg",
        StructureSetDate=date,
        StructureSetTime=time,
        InstanceCreationDate=date,
        InstanceCreationTime=time,
        ApprovalStatus="UNAPPROVED",
        ReferencedFrameOfReferenceSequence=[_reference(ct)],
        StructureSetROISequence=[_roi(number, name, ct, drawn_by) for number, name in enumerate(masks, 1)],
        ROIContourSequence=contours,
        RTROIObservationsSequence=[_observation(number, name) for number, name in enumerate(masks, 1)],
    )
    for roi, observation in zip(dataset.StructureSetROISequence, dataset.RTROIObservationsSequence, strict=True):
        if description:
            roi.ROIDescription = observation.ROIObservationDescription = description[:1024]
    charset = ct.header.get("SpecificCharacterSet")
    if charset:
        dataset.SpecificCharacterSet = charset
    return dataset


def _reference(ct: CtScan) -> Any:
    """Frame of reference, study and series of the CT, and every slice of it."""
    series = dicom_item(SeriesInstanceUID=ct.series.uid)
    images = [_encode_image(ct, place) for place, uid in enumerate(ct.uids) if uid != INTERPOLATED]
    _add_sequence(series, CONTOUR_IMAGES, images)
    study = dicom_item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=str(ct.header.StudyInstanceUID),
        RTReferencedSeriesSequence=[series],
    )
    return dicom_item(FrameOfReferenceUID=ct.frame_of_reference, RTReferencedStudySequence=[study])


def _roi(number: int, name: str, ct: CtScan, drawn_by: str) -> Any:
    frame = {"ReferencedFrameOfReferenceUID": ct.frame_of_reference}
    return dicom_item(ROINumber=number, ROIName=name[:64], ROIGenerationAlgorithm=drawn_by, **frame)


def _observation(number: int, name: str) -> Any:
    kind = {"RTROIInterpretedType": "ORGAN", "ROIInterpreter": ""}
    return dicom_item(ObservationNumber=number, ReferencedROINumber=number, ROIObservationLabel=name[:16], **kind)


def _contours(number: int, mask: NDArray[np.bool_], ct: CtScan, color: str) -> Any:
    """All contours of one organ, from the lowest slice to the highest."""
    affine = LPS_TO_RAS @ ct.scan.affine
    items = []
    for place in np.flatnonzero(mask.any(axis=(0, 1))):
        image = _encode_image(ct, int(place))
        for polygon in mask_to_polygons(mask[:, :, place]):
            points = polygon @ affine[:3, :2].T + (affine[:3, 2] * place + affine[:3, 3])
            items.append(_encode_contour(points, image))
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    roi = dicom_item(ROIDisplayColor=[red, green, blue], ReferencedROINumber=number)
    _add_sequence(roi, CONTOURS, items)
    return roi


def _add_sequence(dataset: Any, tag: int, items: list[bytes]) -> None:
    """Add a sequence whose items are encoded by hand: pydicom takes twenty times as long over thousands of contours."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    content = b"".join(items)
    dataset[tag] = RawDataElement(Tag(tag), "SQ", len(content), content, 0, True, True)


def _encode_contour(points: NDArray[np.float64], image: bytes) -> bytes:
    """One item of the ContourSequence in bytes: its slice, type, number of points and coordinates with two decimals."""
    text = "\\".join(["%.2f"] * points.size) % tuple(points.ravel().tolist())
    elements = (
        _element(CONTOUR_IMAGES, image),
        _element(0x30060042, b"CLOSED_PLANAR "),
        _element(0x30060046, _even(str(len(points)))),
        _element(CONTOUR_DATA, _even(text)),
    )
    return _element(ITEM, b"".join(elements))


def _encode_image(ct: CtScan, place: int) -> bytes:
    """The slice that a contour lies on, as the one item of a ContourImageSequence."""
    content = _element(0x00081150, _even(str(ct.header.SOPClassUID), "\0"))
    content += _element(0x00081155, _even(ct.uids[place], "\0"))
    frame = ct.frames[place]
    return _element(ITEM, content if frame is None else content + _element(0x00081160, _even(str(frame + 1))))


def _element(tag: int, content: bytes) -> bytes:
    """An element with implicit VR."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(content)) + content


def _even(text: str, fill: str = " ") -> bytes:
    return (text + fill * (len(text) % 2)).encode("ascii")
