"""The geometry of one CT slice (ImagePositionPatient, ImageOrientationPatient, PixelSpacing) and its rescale to HU.

A classic CT has a file a slice; an enhanced CT has all slices in one file. Both come out the same here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.dicom_files import EXPORT_AGAIN, DicomFile, dicom_errors
from pedseg.errors import input_error

Values = NDArray[np.float64]


@dataclass(frozen=True)
class CtSlice:
    """One slice: its file, the frame within it (None: the file is the slice), and its place in mm (LPS, as DICOM says).

    `row_cosines` and `column_cosines` are the directions in which a row and a column run, `spacing_mm` the distances
    (between rows, between columns). `rescale` is slope and intercept, None where they are missing.
    """

    file: DicomFile
    frame: int | None
    number: int
    uid: str
    position: Values
    row_cosines: Values
    column_cosines: Values
    spacing_mm: Values
    size: tuple[int, int]  # rows, columns
    rescale: tuple[float, float] | None
    padding: int | None

    @property
    def normal(self) -> Values:
        """The direction in which slices follow each other."""
        return np.cross(self.row_cosines, self.column_cosines)

    @property
    def location_mm(self) -> float:
        """The place of the slice along its own normal."""
        return float(self.position @ self.normal)

    @property
    def label(self) -> str:
        """How a person finds it: instance number and file name."""
        frame = "" if self.frame is None else f", frame {self.frame + 1}"
        return f"instance {self.number} ({self.file.path.name}{frame})"


def read_slices(file: DicomFile) -> list[CtSlice]:
    """The slices of one CT file; refused if it does not say where they lie."""
    header = file.header()
    with dicom_errors(file.path):
        return list(_frames(file, header)) if file.kind == "enhanced CT" else [_slice(file, header, None, {})]


def _frames(file: DicomFile, header: Any) -> Iterator[CtSlice]:
    """The frames of an enhanced CT: their shared functional groups, then what each frame says for itself."""
    shared = header.get("SharedFunctionalGroupsSequence")
    common = _flatten(shared[0]) if shared else {}
    for number, group in enumerate(header.get("PerFrameFunctionalGroupsSequence") or []):
        yield _slice(file, header, number, common | _flatten(group))


def _flatten(group: Any) -> dict[str, Any]:
    """The elements inside the sequences of a functional group, by keyword."""
    sequences = (element.value for element in group if element.VR == "SQ" and element.value)
    return {element.keyword: element.value for sequence in sequences for element in sequence[0]}


def _slice(file: DicomFile, header: Any, frame: int | None, groups: Mapping[str, Any]) -> CtSlice:
    """One slice from a header and, in an enhanced CT, from the functional groups of its frame."""

    def numbers(keyword: str, count: int) -> Values:
        value = groups.get(keyword, None if frame is not None else header.get(keyword))
        array = np.atleast_1d(np.array([] if value is None else value, dtype=float))
        if array.shape != (count,) or not np.isfinite(array).all():
            problem = f"{keyword} is {'missing' if value is None else value}: nobody knows where this slice lies."
            raise input_error("E-DICOM-GEOMETRY", file.path, problem, EXPORT_AGAIN)
        return array

    def number(keyword: str) -> float | None:
        value = groups.get(keyword, header.get(keyword))
        return None if value is None or value == "" else float(value)

    orientation, spacing = numbers("ImageOrientationPatient", 6), numbers("PixelSpacing", 2)
    row, column = orientation[:3], orientation[3:]
    products = np.array([[row @ row, row @ column], [row @ column, column @ column]])
    if np.abs(products - np.eye(2)).max() > 2e-3 or spacing.min() <= 0:
        problem = f"its directions {orientation.tolist()} or its pixel spacing {spacing.tolist()} are impossible."
        raise input_error("E-DICOM-GEOMETRY", file.path, problem, EXPORT_AGAIN)
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    slope, intercept = number("RescaleSlope"), number("RescaleIntercept")
    padding = number("PixelPaddingValue")
    return CtSlice(
        file=file,
        frame=frame,
        number=int(header.get("InstanceNumber") or 0) if frame is None else frame + 1,
        uid=str(header.get("SOPInstanceUID") or ""),
        position=numbers("ImagePositionPatient", 3),
        row_cosines=row,
        column_cosines=column / np.linalg.norm(column),
        spacing_mm=spacing,
        size=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        rescale=None if slope is None or intercept is None else (slope, intercept),
        padding=None if padding is None else int(padding),
    )
