"""Write an example patient as DICOM: a CT series, a localizer and an RTSTRUCT with ROI names as people write them.

The patient is invented, and her name and number stand wherever hospitals write such things, so that a reader can see
what becomes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.dicom.dicom_files import dicom_bytes, dicom_item
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.files import write_atomically
from pedseg.organs import organ
from pedseg.scan import Scan

PATIENT = {
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
# ROI names that somebody typed, and the organ behind them; an empty contour is what a template leaves.
ROIS = {
    "Leber": "Liver",
    "spleen": "Spleen",
    "Lt Kidney": "Kidney_L",
    "KIDNEY_RIGHT": "",
    "Herz": "Heart",
    "PTV 10.8 Gy": "Glnd_Adrenal_L",
}

SERIES = {"SeriesDescription": "Abdomen", "SeriesNumber": 1, "Manufacturer": "pedseg", "ConvolutionKernel": "B30f"}
STUDY = {"ContentDate": "20240305", "StudyTime": "", "StudyID": "", "AccessionNumber": ""}
GEOMETRY = {"PatientPosition": "HFS", "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
CT = {"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "KVP": "80"}
RESCALE = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
PIXELS = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0}
PIXELS |= {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}


def write_example_patient(folder: Path, image: Scan, labels: Scan) -> Path:
    """Write a scan (RAS, HU) as DICOM files below a folder that bears the patient's name; gives back that folder.

    A folder that is there already is left as it is.
    """
    place = folder / "Paula_Practice"
    if (place / "RS.dcm").exists():
        return place
    write_ct(place / "CT", image)
    _write_localizer(place / "scout.dcm")
    ct = read_ct(place / "CT")
    voxels = labels.voxels[::-1, ::-1]  # from RAS to the scanner's own axes
    empty = np.zeros(voxels.shape, dtype=bool)
    masks = {name: voxels == organ(meaning).id if meaning else empty for name, meaning in ROIS.items()}
    write_rtstruct(place / "RS.dcm", masks, ct, drawn_by="MANUAL")
    return place


def write_ct(folder: Path, image: Scan) -> None:
    """A scan in RAS as one CT series, a file a slice, columns to the patient's left and rows to her back."""
    from pydicom.uid import generate_uid

    grid = LPS_TO_RAS @ image.affine
    corner = grid @ [image.shape[0] - 1, image.shape[1] - 1, 0, 1]
    series = {key: generate_uid() for key in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for k in range(image.shape[2]):
        position = corner[:3] + k * grid[:3, 2]
        stored = np.clip(image.voxels[::-1, ::-1, k].T.astype(np.int32) + 1024, 0, 65535).astype(np.uint16)
        geometry = {
            "ImagePositionPatient": [f"{mm:.4f}" for mm in position],
            "PixelSpacing": [f"{image.spacing_mm[axis]:.6g}" for axis in (1, 0)],
            "SliceThickness": f"{image.spacing_mm[2]:.6g}",
            "InstanceNumber": k + 1,
        }
        _save(folder / f"IM{k + 1:04d}.dcm", stored, {**PATIENT, **series, **geometry})


def _write_localizer(file: Path) -> None:
    from pydicom.uid import generate_uid

    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    _save(file, np.zeros((64, 64), np.uint16), {**PATIENT, **uids, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})


def _save(file: Path, stored: np.ndarray, elements: Mapping[str, Any]) -> None:
    """One CT image; `elements` are those in which it differs from the others."""
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    rows, columns = stored.shape
    uids = {"SOPClassUID": CTImageStorage, "SOPInstanceUID": generate_uid()}
    image = {"Rows": rows, "Columns": columns, "PixelData": np.ascontiguousarray(stored).tobytes()}
    common = {**SERIES, **STUDY, **GEOMETRY, **CT, **RESCALE, **PIXELS, **uids, **image}
    write_atomically(file, dicom_bytes(dicom_item(**{**common, **elements}), ExplicitVRLittleEndian))
