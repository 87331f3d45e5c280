"""Find, read and write DICOM files: modality and SOP class, headers, and in words what cannot be read.

pydicom answers a damaged file with a dozen kinds of exceptions; here each becomes a problem that names the file.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pedseg.errors import InputProblem, PedsegInputError, collect_problems, input_error

EXPORT_AGAIN = "Export it again from the archive or the planning system."
CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "enhanced CT",  # Legacy Converted: classic slices that an archive put into one file
}
OTHER_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.1.3.10": "folder index",
}
CLASS_FAMILIES = {"1.2.840.10008.5.1.4.1.1.7": "secondary capture", "1.2.840.10008.5.1.4.1.1.88.": "report"}
LOSSY_SYNTAXES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")  # JPEG, near-lossless
# Elements that are kept of every file, so that thousands of files fit in memory; the rest is read when it is needed.
KEPT_ELEMENTS = (
    "SOPClassUID Modality ImageType PatientID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID SeriesDescription "
    "ConvolutionKernel SliceThickness PixelSpacing ImageOrientationPatient NumberOfFrames BurnedInAnnotation "
    "LossyImageCompression"
).split()


@contextmanager
def dicom_errors(file: Path | str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one problem of this file; pydicom's warnings are not for the user."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PedsegInputError:
        raise
    except MemoryError as error:
        raise input_error("E-DICOM-DAMAGED", file, "it asks for more memory than there is.", EXPORT_AGAIN) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise input_error("E-DICOM-DAMAGED", file, f"it cannot be read ({reason}).", EXPORT_AGAIN) from error


@dataclass(frozen=True)
class DicomFile:
    """One file: `kind` is what it holds, such as `CT`, `localizer` or `RTSTRUCT`; `elements` are the kept ones."""

    path: Path
    kind: str
    elements: dict[str, str] = field(compare=False, repr=False)

    def text(self, keyword: str) -> str:
        """One element of `KEPT_ELEMENTS` as plain text, "" if it is not there."""
        return self.elements.get(keyword, "")

    def header(self, *only: str) -> Any:
        """The whole header without voxels, or the elements named, read anew."""
        import pydicom

        with dicom_errors(self.path):
            return pydicom.dcmread(self.path, stop_before_pixels=True, specific_tags=list(only) or None)


def find_dicom_files(folder: Path) -> tuple[list[DicomFile], list[InputProblem]]:
    """Every DICOM file below a folder (or the one file named), sorted by path, and the problems of broken ones.

    What is not DICOM, such as notes and pictures, and what is hidden (`._IM0001.dcm` of macOS) is passed over.
    """
    folder = Path(folder)
    if not folder.exists():
        raise input_error("E-FILE-MISSING", folder, "there is no such file or folder.", "Check the name.")
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files: list[DicomFile] = []
    problems: list[InputProblem] = []
    for path in [folder] if folder.is_file() else sorted(paths):
        with collect_problems(problems):
            file = read_dicom_file(path)
            if file is not None and file.kind != "folder index":
                files.append(file)
    return files, problems


def read_dicom_file(path: Path) -> DicomFile | None:
    """The header of one file, or None if it is not DICOM."""
    try:
        import pydicom
    except ImportError as error:
        remedy = "Install what reads DICOM: pip install 'pedseg[dicom]'."
        raise input_error("E-NOT-INSTALLED", path, "pydicom is not here.", remedy) from error
    try:
        with path.open("rb") as stream:
            opening = stream.read(132)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror})."
        raise input_error("E-FILE", path, problem, "Check your rights to it.") from error
    if opening[128:132] != b"DICM":
        _refuse_without_prefix(path, opening)
        return None
    with dicom_errors(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(KEPT_ELEMENTS))
        elements = {keyword: _text(header.get(keyword)) for keyword in KEPT_ELEMENTS}
        if header.file_meta.get("TransferSyntaxUID") in LOSSY_SYNTAXES:
            elements["LossyImageCompression"] = "01"  # whatever the header says
        return DicomFile(path, kind_of(header), elements)


def _text(value: Any) -> str:
    """A value as text that is stored once, however many slices say it."""
    return sys.intern("" if value is None else str(value).strip("\0 "))


def _refuse_without_prefix(path: Path, opening: bytes) -> None:
    """Files without the prefix DICM that claim to be DICOM, or that lost their first lines."""
    if opening[:2] in (b"\x08\x00", b"\x02\x00") and opening[3:4] == b"\0":
        problem = "it looks like DICOM without its file meta header, which says how the voxels are stored."
        raise input_error("E-DICOM-NO-META", path, problem, EXPORT_AGAIN)
    if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        problem = "it is named like DICOM and is not." if opening else "it is empty."
        raise input_error("E-NOT-DICOM", path, problem, EXPORT_AGAIN)


def kind_of(header: Any) -> str:
    """What a file shows: `CT`, `enhanced CT`, `localizer`, `secondary capture`, `dose report`, `MR`, `RTSTRUCT` …"""
    from pydicom.uid import UID

    sop_class = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "").upper()
    image_type = header.get("ImageType") or []
    types = {str(word).upper() for word in ([image_type] if isinstance(image_type, str) else image_type)}
    if sop_class in OTHER_CLASSES:
        return OTHER_CLASSES[sop_class]
    if modality in ("RTSTRUCT", "SEG"):
        return modality
    if types & {"LOCALIZER", "SCOUT"}:
        return "localizer"
    if sop_class not in CT_CLASSES:
        if modality in ("CT", "") and sop_class:
            families = (kind for prefix, kind in CLASS_FAMILIES.items() if sop_class.startswith(prefix))
            return next(families, UID(sop_class).name.removesuffix(" Storage"))
        return modality or "unknown"
    if modality and modality != "CT":
        return modality
    if types & {"SCREEN SAVE", "DOSE_INFO", "DOSE", "DOSEINFO"}:
        return "dose screen"
    return CT_CLASSES[sop_class]


def dicom_item(**elements: Any) -> Any:
    """A pydicom dataset, or an item of a sequence, of these elements by keyword."""
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def dicom_bytes(dataset: Any, transfer_syntax: str) -> bytes:
    """The bytes of a DICOM file (PS3.10) with its file meta header."""
    from pydicom.dataset import FileMetaDataset

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
