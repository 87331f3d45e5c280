"""A patient to practice with: a scan of the workbook as an archive and a planning system would hand it over.

A CT series, a localizer, and an RTSTRUCT with names as people write them; the patient is invented, and her name and
number stand wherever hospitals write such things, so that a reader can see what becomes of them.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.files import write_atomically
from pedseg.organs import organ
from pedseg.scan import Scan

WHO = {
    "PatientName": "Practice^Paula",
    "PatientID": "MRN-0047110",
    "PatientBirthDate": "20200102",
    "PatientSex": "F",
    "InstitutionName": "Children's Hospital of Nowhere",
    "ReferringPhysicianName": "Invented^Ida",
    "StudyDate": "20240305",
    "StudyDescription": "Abdomen, Paula P., after surgery",
    "PatientComments": "Mother calls on Monday",
}
# What somebody typed, and the organ behind it; an empty contour is what a template leaves.
DRAWN = {
    "Leber": "Liver",
    "spleen": "Spleen",
    "Lt Kidney": "Kidney_L",
    "KIDNEY_RIGHT": "",
    "Herz": "Heart",
    "PTV 10.8 Gy": "Glnd_Adrenal_L",
}


def hand_over(folder: Path, image: Scan, labels: Scan, drawn: Mapping[str, str] | None = None) -> Path:
    """Write a scan (RAS, HU) as DICOM files below a folder that bears the patient's name; gives back that folder.

    `drawn` are the ROIs of the RTSTRUCT, `DRAWN` unless others are given. A folder that is
    there already is left as it is.
    """
    place = folder / "Paula_Practice"
    if (place / "RS.dcm").exists():
        return place
    write_ct(place / "CT", image)
    _write_localizer(place / "scout.dcm")
    ct = read_ct(place / "CT")
    voxels = labels.voxels[::-1, ::-1]  # from RAS to the scanner's own axes
    nothing = np.zeros(voxels.shape, dtype=bool)
    masks = {name: voxels == organ(what).id if what else nothing for name, what in (drawn or DRAWN).items()}
    write_rtstruct(place / "RS.dcm", masks, ct, drawn_by="MANUAL")
    return place


def write_ct(folder: Path, image: Scan, who: Mapping[str, str] = WHO) -> None:
    """A scan in RAS as one CT series, a file a slice, columns to the patient's left and rows to her back."""
    from pydicom.uid import generate_uid

    grid = LPS_TO_RAS @ image.affine
    corner = grid @ [image.shape[0] - 1, image.shape[1] - 1, 0, 1]
    series = {key: generate_uid() for key in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for k in range(image.shape[2]):
        place = corner[:3] + k * grid[:3, 2]
        stored = np.clip(image.voxels[::-1, ::-1, k].T.astype(np.int32) + 1024, 0, 65535).astype(np.uint16)
        about = {
            "ImagePositionPatient": [f"{mm:.4f}" for mm in place],
            "PixelSpacing": [f"{image.spacing_mm[axis]:.6g}" for axis in (1, 0)],
            "SliceThickness": f"{image.spacing_mm[2]:.6g}",
            "InstanceNumber": k + 1,
        }
        _save(folder / f"IM{k + 1:04d}.dcm", stored, {**who, **series, **about})


def _write_localizer(file: Path) -> None:
    from pydicom.uid import generate_uid

    about: dict[str, Any] = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    _save(file, np.zeros((64, 64), np.uint16), {**WHO, **about, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})


def _save(file: Path, stored: np.ndarray, about: Mapping[str, Any]) -> None:
    """One CT image; `about` is what distinguishes it."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = CTImageStorage, generate_uid(), "CT"
    image.ImageType, image.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
    image.SeriesDescription, image.ConvolutionKernel, image.KVP = "Abdomen", "B30f", "80"
    image.ContentDate, image.StudyTime, image.StudyID = datetime.date(2024, 3, 5).strftime("%Y%m%d"), "", ""
    image.AccessionNumber, image.Manufacturer, image.SeriesNumber = "", "pedseg", 1
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, -1024, "HU"
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.Rows, image.Columns = stored.shape
    for keyword, value in about.items():
        setattr(image, keyword, value)
    image.PixelData = np.ascontiguousarray(stored).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    content = io.BytesIO()
    image.save_as(content, enforce_file_format=True)
    write_atomically(file, content.getvalue())
