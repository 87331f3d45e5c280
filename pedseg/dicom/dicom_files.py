"""DICOM files as they lie in a folder: what is DICOM, what it shows, and in words what cannot be read.

pydicom answers a damaged file with a dozen kinds of exceptions; here every one becomes a finding that names the file.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pedseg.errors import InputProblem, PedsegInputError, input_error

AGAIN = "Export it again from the archive or the planning system."
CT_CLASSES = {"1.2.840.10008.5.1.4.1.1.2": "CT", "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT"}
OTHER_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.1.3.10": "folder index",
}


@contextmanager
def reading(file: Path | str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one finding about this file; pydicom's warnings are not for the user."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PedsegInputError:
        raise
    except MemoryError as error:
        raise input_error("E-DICOM-DAMAGED", file, "it asks for more memory than there is.", AGAIN) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise input_error("E-DICOM-DAMAGED", file, f"it cannot be read ({reason}).", AGAIN) from error


# What is remembered of every file, so that thousands of them fit in memory; the rest is read when it is needed.
REMEMBERED = (
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesDescription",
    "ConvolutionKernel",
    "SliceThickness",
    "PixelSpacing",
    "ImageOrientationPatient",
    "NumberOfFrames",
)


@dataclass(frozen=True)
class DicomFile:
    """One file: `kind` is what it holds, such as `CT`, `localizer` or `RTSTRUCT`; `about` is what it says, as text."""

    path: Path
    kind: str
    about: dict[str, str] = field(compare=False, repr=False)

    def text(self, keyword: str) -> str:
        """One element of `REMEMBERED` as plain text, "" if it is not there."""
        return self.about.get(keyword, "")

    def header(self, *only: str) -> Any:
        """The whole header without voxels, or the elements named, read anew."""
        import pydicom

        with reading(self.path):
            return pydicom.dcmread(self.path, stop_before_pixels=True, specific_tags=list(only) or None)


def open_folder(folder: Path) -> tuple[list[DicomFile], list[InputProblem]]:
    """Every DICOM file below a folder (or the one file named), sorted by path, and those that are broken.

    What is not DICOM, such as notes and pictures, and what is hidden is passed over.
    """
    folder = Path(folder)
    if not folder.exists():
        raise input_error("E-FILE-MISSING", folder, "there is no such file or folder.", "Check the name.")
    files: list[DicomFile] = []
    problems: list[InputProblem] = []
    for path in [folder] if folder.is_file() else sorted(filter(_counts, folder.rglob("*"))):
        try:
            file = open_file(path)
        except PedsegInputError as error:
            problems += error.problems
            continue
        if file is not None and file.kind != "folder index":
            files.append(file)
    return files, problems


def _counts(path: Path) -> bool:
    """Files, without those that systems hide, such as the `._IM0001.dcm` of macOS."""
    return path.is_file() and not path.name.startswith(".")


def open_file(path: Path) -> DicomFile | None:
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
        raise input_error(
            "E-FILE", path, f"it cannot be read ({error.strerror}).", "Check your rights to it."
        ) from error
    if opening[128:132] != b"DICM":
        _refuse_nameless(path, opening)
        return None
    with reading(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(REMEMBERED))
        return DicomFile(path, kind_of(header), {keyword: _text(header.get(keyword)) for keyword in REMEMBERED})


def _text(value: Any) -> str:
    """A value as text that is stored once, however many slices say it."""
    return sys.intern("" if value is None else str(value).strip("\0 "))


def _refuse_nameless(path: Path, opening: bytes) -> None:
    """Files that claim to be DICOM and are not, or that lost their first lines."""
    if opening[:2] in (b"\x08\x00", b"\x02\x00") and opening[3:4] == b"\0":
        problem = "it looks like DICOM without its file meta header, which says how the voxels are stored."
        raise input_error("E-DICOM-NO-META", path, problem, AGAIN)
    if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        kind = "it is empty" if not opening else "it is named like DICOM and is not"
        raise input_error("E-NOT-DICOM", path, f"{kind}.", AGAIN)


def kind_of(header: Any) -> str:
    """What a file shows: `CT`, `enhanced CT`, `localizer`, `secondary capture`, `dose report`, `MR`, `RTSTRUCT` …"""
    sop_class = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "").upper()
    types = [str(word).upper() for word in _several(header.get("ImageType"))]
    if sop_class in OTHER_CLASSES:
        return OTHER_CLASSES[sop_class]
    if modality in ("RTSTRUCT", "SEG"):
        return modality
    if "LOCALIZER" in types or "SCOUT" in types:
        return "localizer"
    if sop_class not in CT_CLASSES:
        if modality in ("CT", "") and sop_class:
            return "secondary capture" if sop_class.startswith("1.2.840.10008.5.1.4.1.1.7") else "report"
        return modality or "unknown"
    if modality and modality != "CT":
        return modality
    if {"SCREEN SAVE", "DOSE_INFO", "DOSE", "DOSEINFO"} & {*types}:
        return "dose screen"
    return CT_CLASSES[sop_class]


def _several(value: Any) -> list:
    """A multi-valued element as a list."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)
