"""What an archive and a planning system would hand over: CT series and RTSTRUCT files made by the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def body(shape=(40, 36, 20), seed: int = 0) -> np.ndarray:
    """HU (column, row, slice) of an elliptic body with fat, a spine and noise."""
    x, y, _ = np.indices(shape)
    radius = ((x - shape[0] / 2) / (0.45 * shape[0])) ** 2 + ((y - shape[1] / 2) / (0.42 * shape[1])) ** 2
    hu = np.select([radius < 0.8, radius < 1.0], [50.0, -90.0], -1000.0)
    spine = slice(int(0.45 * shape[0]), int(0.55 * shape[0])), slice(int(0.75 * shape[1]), int(0.85 * shape[1]))
    hu[spine] = 450.0
    hu += np.random.default_rng(seed).normal(0, 12, shape)
    return np.clip(np.round(hu), -1024, 3000).astype(np.int16)


def slice_header(number: int, position, orientation=STRAIGHT, spacing=(1.5, 1.5), **more) -> Dataset:
    """The header of one CT slice; `more` overrides or adds elements, None takes one away."""
    header = Dataset()
    header.SOPClassUID, header.Modality = CT, "CT"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.PatientName, header.PatientID, header.PatientSex = "Doe^Jane", "4711", "F"
    header.PatientAge, header.PatientBirthDate, header.StudyDate, header.StudyTime = "004Y", "20200102", "20240305", ""
    header.StudyID, header.AccessionNumber, header.ReferringPhysicianName = "", "", ""
    header.PatientPosition, header.SeriesDescription = "HFS", "Abdomen 1.5 B30f"
    header.ConvolutionKernel, header.SliceThickness = "B30f", "1.5"
    header.SeriesNumber, header.InstanceNumber = 2, number
    header.ImagePositionPatient = [f"{mm:.6f}"[:16] for mm in position]
    header.ImageOrientationPatient = [f"{part:.12f}"[:16] for part in orientation]
    header.PixelSpacing = [float(mm) for mm in spacing]
    header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1, -1024, "HU"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    for keyword, value in more.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    return header


def save(file: Path, header: Dataset, stored: np.ndarray | None = None, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a DICOM file; `stored` are the numbers (row, column) that it holds, packed as `syntax` says."""
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    if stored is not None:
        header.Rows, header.Columns = stored.shape[-2:]
        header.PixelData = np.ascontiguousarray(stored).tobytes()
        header["PixelData"].VR = "OW"
    if syntax == DeflatedExplicitVRLittleEndian:
        header.file_meta.TransferSyntaxUID = syntax
    elif syntax != ExplicitVRLittleEndian:
        header.compress(syntax, generate_instance_uid=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(file, enforce_file_format=True)
    return file


def write_series(
    folder: Path,
    hu: np.ndarray,
    *,
    spacing_mm=(1.5, 1.5, 2.5),
    orientation=STRAIGHT,
    origin=(-30.0, -27.0, 100.0),
    uids: tuple[str, str, str] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    change: Callable[[int, Dataset], object] = lambda k, header: None,
    **more,
) -> list[Path]:
    """A CT series from HU (column, row, slice); spacing is (column, row, slice) in mm.

    `uids` are study, series and frame of reference; `change(k, header)` may alter the header of slice k, or
    return False to leave it out.
    """
    study, series, frame = uids or (generate_uid(), generate_uid(), generate_uid())
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    files = []
    for k in range(hu.shape[2]):
        position = np.array(origin) + k * spacing_mm[2] * np.cross(across, down)
        header = slice_header(k + 1, position, orientation, (spacing_mm[1], spacing_mm[0]), **more)
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, frame
        header.SOPInstanceUID = generate_uid()
        stored = (hu[:, :, k].T.astype(np.int32) + 1024).astype(np.uint16)
        if change(k, header) is not False:
            files.append(save(folder / f"IM{k:04d}.dcm", header, stored, syntax))
    return files


def roi_rings(mask: np.ndarray, affine_lps: np.ndarray) -> list[np.ndarray]:
    """The contours of a mask as a planning system stores them: rings (points, 3) in mm, holes as rings of their own."""
    from skimage.measure import find_contours

    rings = []
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        for ring in find_contours(np.pad(mask[:, :, k], 1).astype(float), 0.5):
            index = np.column_stack([ring[:-1] - 1, np.full(len(ring) - 1, k)])
            rings.append(index @ affine_lps[:3, :3].T + affine_lps[:3, 3])
    return rings


def write_structures(file: Path, rois: Mapping[str, list[np.ndarray]], ct_file: Path, **more) -> Path:
    """An RTSTRUCT by ROI name and rings in mm, drawn on the series of `ct_file`, as Varian lays it out."""
    ct = pydicom.dcmread(ct_file, stop_before_pixels=True)
    structures = Dataset()
    structures.SOPClassUID, structures.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", generate_uid()
    structures.Modality, structures.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    structures.StudyInstanceUID, structures.Manufacturer = ct.StudyInstanceUID, "Varian Medical Systems"
    structures.PatientName, structures.PatientID, structures.StructureSetLabel = ct.PatientName, ct.PatientID, "OAR"
    series = Dataset()
    series.SeriesInstanceUID = ct.SeriesInstanceUID
    study = Dataset()
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = ct.FrameOfReferenceUID, [study]
    structures.ReferencedFrameOfReferenceSequence = [frame]
    structures.StructureSetROISequence, structures.ROIContourSequence = [], []
    for number, (name, rings) in enumerate(rois.items(), 1):
        roi, contour = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, ct.FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "MANUAL"
        contour.ReferencedROINumber, contour.ContourSequence = number, []
        for ring in rings:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
            item.ContourData = [f"{mm:.2f}" for mm in np.asarray(ring).ravel()]
            contour.ContourSequence.append(item)
        structures.StructureSetROISequence.append(roi)
        structures.ROIContourSequence.append(contour)
    for keyword, value in more.items():
        setattr(structures, keyword, value)
    return save(file, structures)
