"""Contours for a planning system: label map to RTSTRUCT, read back and compared before anybody gets it.

The file carries the patient's name and number from the CT on this machine, because a planning system files it by
them; nothing else of the CT's header enters it. Contours come marked as drawn by a program and not approved.
"""

from __future__ import annotations

import datetime
import io
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg import __version__
from pedseg.dicom.ct_series import INTERPOLATED, LPS_TO_RAS, CtScan
from pedseg.dicom.dicom_files import reading
from pedseg.dicom.polygons import trace
from pedseg.dicom.rtstruct import CONTOUR_DATA, read_rtstruct
from pedseg.errors import input_error
from pedseg.files import staged_file
from pedseg.organs import ORGANS

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
CONTOURS, ITEM = 0x30060040, 0xFFFEE000
LEAST_DSC = 0.999
FEW_VOXELS = 10


def write_rtstruct(
    file: Path,
    masks: Mapping[str, NDArray[np.bool_]],
    ct: CtScan,
    *,
    label: str = "pedseg",
    few: int = FEW_VOXELS,
    drawn_by: str = "AUTOMATIC",
) -> list[str]:
    """Write masks (column, row, slice), by TG-263 name, as an RTSTRUCT; gives back what a person should look at.

    The file is written under a temporary name, read back, compared (DSC at least 0.999 for each organ), then renamed.
    Raises `PedsegInputError` if the CT lacks the identifiers that contours refer to.
    """
    check_references(ct)
    masks, told = _on_real_slices(masks, ct)
    with reading(ct.source.first.path):
        content = _encode(_dataset(masks, ct, label, drawn_by))
    file.parent.mkdir(parents=True, exist_ok=True)
    with staged_file(file, content) as part:
        _compare(part, file, masks, ct)
        os.replace(part, file)
    return [*told, *_notes(masks, few)]


def _on_real_slices(
    masks: Mapping[str, NDArray[np.bool_]], ct: CtScan
) -> tuple[Mapping[str, NDArray[np.bool_]], list[str]]:
    """Slices that a repair has interpolated cannot bear a contour: there is no image to refer to."""
    made = np.array([uid == INTERPOLATED for uid in ct.uids])
    if not made.any():
        return masks, []
    told = f"{int(made.sum())} interpolated slices bear no contours"
    return {name: mask & ~made for name, mask in masks.items()}, [told]


def check_references(ct: CtScan) -> None:
    """Refuse a CT that lacks the identifiers by which contours refer to it."""
    real = [(uid, frame) for uid, frame in zip(ct.uids, ct.frames, strict=True) if uid != INTERPOLATED]
    missing = [
        what
        for what, there in (
            ("SOPInstanceUID", "" not in real and len({*real}) == len(real)),
            ("SeriesInstanceUID", bool(ct.source.uid)),
            ("StudyInstanceUID", bool(ct.source.first.text("StudyInstanceUID"))),
            ("FrameOfReferenceUID", bool(ct.frame_of_reference)),
        )
        if not there
    ]
    if missing:
        found = f"the CT has no unique {', '.join(missing)}: contours could not refer to it."
        remedy = "Export the CT from the archive again with its identifiers; or take NIfTI label maps."
        raise input_error("E-NO-REFERENCE", ct.source.first.path, found, remedy)


def _notes(masks: Mapping[str, NDArray[np.bool_]], few: int):
    for name, mask in masks.items():
        count, planes = int(mask.sum()), int(mask.any(axis=(0, 1)).sum())
        if count == 0:
            yield f"{name}: nothing drawn"
        elif count < few or planes == 1:
            yield f"{name}: only {count} voxels in {planes} slice(s)"


def _compare(part: Path, file: Path, masks: Mapping[str, NDArray[np.bool_]], ct: CtScan) -> None:
    """Read the file as a stranger would; what comes back must be what was meant."""
    back = read_rtstruct(part, ct).masks
    for name, mask in masks.items():
        found = back.get(name)
        size = int(mask.sum()) + (0 if found is None else int(found.sum()))
        both = 0 if found is None else int(np.count_nonzero(mask & found))
        if size and 2 * both < LEAST_DSC * size:
            what = f"read back, {name} has a DSC of {2 * both / size:.4f}."
            raise input_error("E-READ-BACK", file, what, "Nothing was written; please report this scan's geometry.")


def _dataset(masks: Mapping[str, NDArray[np.bool_]], ct: CtScan, label: str, drawn_by: str) -> Any:
    """The whole RTSTRUCT (DICOM PS3.3 A.19.3)."""
    from pydicom.dataset import Dataset
    from pydicom.uid import RTStructureSetStorage, generate_uid

    now = datetime.datetime.now()
    dataset = Dataset()
    for keyword in (*PATIENT, *STUDY):
        setattr(dataset, keyword, ct.header.get(keyword) or ("" if keyword != "StudyInstanceUID" else None))
    charset = ct.header.get("SpecificCharacterSet")
    if charset:
        dataset.SpecificCharacterSet = charset
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "RTSTRUCT", generate_uid(), None
    by = "a program" if drawn_by == "AUTOMATIC" else "hand"
    dataset.SeriesDescription = f"Contours drawn by {by}, not approved"
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.SoftwareVersions = "pedseg", "pedseg", __version__
    dataset.OperatorsName = ""
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = ct.frame_of_reference, ""
    dataset.StructureSetLabel = label[:16]
    dataset.StructureSetDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.StructureSetTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_reference(ct)]
    dataset.StructureSetROISequence, dataset.ROIContourSequence, dataset.RTROIObservationsSequence = [], [], []
    colors = {organ.name: organ.color for organ in ORGANS}
    for number, (name, mask) in enumerate(masks.items(), 1):
        dataset.StructureSetROISequence.append(_roi(number, name, ct, drawn_by))
        dataset.ROIContourSequence.append(_contours(number, mask, ct, colors.get(name, "#FFFFFF")))
        dataset.RTROIObservationsSequence.append(_observation(number, name))
    return dataset


def _item(**elements: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _image(ct: CtScan, place: int) -> Any:
    """The slice that a contour lies on."""
    item = _item(
        ReferencedSOPClassUID=str(ct.header.SOPClassUID),
        ReferencedSOPInstanceUID=ct.uids[place],
    )
    frame = ct.frames[place]
    if frame is not None:
        item.ReferencedFrameNumber = frame + 1
    return item


def _reference(ct: CtScan) -> Any:
    """Frame of reference, study and series of the CT, and every slice of it."""
    images = [_image(ct, place) for place, uid in enumerate(ct.uids) if uid != INTERPOLATED]
    series = _item(SeriesInstanceUID=ct.source.uid, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=str(ct.header.StudyInstanceUID),
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=ct.frame_of_reference, RTReferencedStudySequence=[study])


def _roi(number: int, name: str, ct: CtScan, drawn_by: str) -> Any:
    return _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=ct.frame_of_reference,
        ROIName=name[:64],
        ROIGenerationAlgorithm=drawn_by,
    )


def _observation(number: int, name: str) -> Any:
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=name[:16],
        RTROIInterpretedType="ORGAN",
        ROIInterpreter="",
    )


def _contours(number: int, mask: NDArray[np.bool_], ct: CtScan, color: str) -> Any:
    """All rings of one organ, from the lowest slice to the highest."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    affine = LPS_TO_RAS @ ct.scan.affine
    items = []
    for place in np.flatnonzero(mask.any(axis=(0, 1))):
        image = _encode_image(ct, int(place))
        for ring in trace(mask[:, :, place]):
            points = ring @ affine[:3, :2].T + (affine[:3, 2] * place + affine[:3, 3])
            items.append(_encode_ring(points, image))
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    item = _item(ROIDisplayColor=[red, green, blue], ReferencedROINumber=number)
    content = b"".join(items)
    item[CONTOURS] = RawDataElement(Tag(CONTOURS), "SQ", len(content), content, 0, True, True)
    return item


def _encode_ring(points: NDArray[np.float64], image: bytes) -> bytes:
    """One item of the ContourSequence in bytes: its slice, type, number of points and coordinates with two decimals."""
    text = "\\".join(["%.2f"] * points.size) % tuple(points.ravel().tolist())
    return _element(
        ITEM,
        _element(0x30060016, image)
        + _element(0x30060042, b"CLOSED_PLANAR ")
        + _element(0x30060046, _even(str(len(points))))
        + _element(CONTOUR_DATA, _even(text)),
    )


def _encode_image(ct: CtScan, place: int) -> bytes:
    """The slice that a contour lies on, as the one item of a ContourImageSequence."""
    uids = _element(0x00081150, _even(str(ct.header.SOPClassUID), "\0")) + _element(
        0x00081155, _even(ct.uids[place], "\0")
    )
    frame = ct.frames[place]
    return _element(ITEM, uids if frame is None else uids + _element(0x00081160, _even(str(frame + 1))))


def _element(tag: int, content: bytes) -> bytes:
    """An element with implicit VR. pydicom takes twenty times as long over thousands of rings."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(content)) + content


def _even(text: str, fill: str = " ") -> bytes:
    return (text + fill * (len(text) % 2)).encode("ascii")


def _encode(dataset: Any) -> bytes:
    """The bytes of the file, with implicit VR: an element of explicit VR ends at 64 KiB, a contour may not."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True, implicit_vr=True, little_endian=True)
    return stream.getvalue()
