"""What one slice of a CT says about itself: where it lies and how its numbers become Hounsfield units.

A classic CT has a file a slice; an enhanced CT has all slices in one file. Both come out the same here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.dicom_files import AGAIN, DicomFile, reading
from pedseg.errors import input_error

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """One slice: its file, the frame within it (None: the file is the slice), and its place in mm (LPS, as DICOM says).

    `across` and `down` are the directions in which columns and rows run, `spacing_mm` the distances
    (between rows, between columns). `rescale` is slope and intercept, None where they are missing.
    """

    file: DicomFile
    frame: int | None
    number: int
    uid: str
    position: Values
    across: Values
    down: Values
    spacing_mm: Values
    size: tuple[int, int]  # rows, columns
    rescale: tuple[float, float] | None
    padding: int | None

    @property
    def normal(self) -> Values:
        """The direction in which slices follow each other."""
        return np.cross(self.across, self.down)

    @property
    def along(self) -> float:
        """The place of the slice along its own normal, in mm."""
        return float(self.position @ self.normal)

    @property
    def called(self) -> str:
        """How a person finds it: instance number and file name."""
        return (
            f"instance {self.number} ({self.file.path.name}{'' if self.frame is None else f', frame {self.frame + 1}'})"
        )


def slices_of(file: DicomFile) -> list[Slice]:
    """The slices of one CT file; refused if it does not say where they lie."""
    header = file.header()
    with reading(file.path):
        return list(_frames(file, header)) if file.kind == "enhanced CT" else [_slice(file, header, None, {})]


def _frames(file: DicomFile, header: Any) -> Iterator[Slice]:
    """The frames of an enhanced CT: what they share, then what each says for itself."""
    shared = header.get("SharedFunctionalGroupsSequence")
    common = _flat(shared[0]) if shared else {}
    for place, group in enumerate(header.get("PerFrameFunctionalGroupsSequence") or []):
        yield _slice(file, header, place, common | _flat(group))


def _flat(group: Any) -> dict[str, Any]:
    """The elements inside the sequences of a functional group, by keyword."""
    return {
        inner.keyword: inner.value for outer in group if outer.VR == "SQ" and outer.value for inner in outer.value[0]
    }


def _slice(file: DicomFile, header: Any, frame: int | None, said: Mapping[str, Any]) -> Slice:
    """One slice from a header and, in an enhanced CT, from what its frame said."""

    def numbers(keyword: str, count: int) -> Values:
        value = said.get(keyword, None if frame is not None else header.get(keyword))
        array = np.atleast_1d(np.array([] if value is None else value, dtype=float))
        if array.shape != (count,) or not np.isfinite(array).all():
            problem = f"{keyword} is {'missing' if value is None else value}: nobody knows where this slice lies."
            raise input_error("E-DICOM-GEOMETRY", file.path, problem, AGAIN)
        return array

    def number(keyword: str) -> float | None:
        value = said.get(keyword, header.get(keyword))
        return None if value is None or value == "" else float(value)

    orientation, spacing = numbers("ImageOrientationPatient", 6), numbers("PixelSpacing", 2)
    across, down = orientation[:3], orientation[3:]
    square = np.array([[across @ across, across @ down], [across @ down, down @ down]])
    if np.abs(square - np.eye(2)).max() > 2e-3 or spacing.min() <= 0:
        problem = f"its directions {orientation.tolist()} or its pixel spacing {spacing.tolist()} are impossible."
        raise input_error("E-DICOM-GEOMETRY", file.path, problem, AGAIN)
    across = across / np.linalg.norm(across)
    down = down - (down @ across) * across
    slope, intercept = number("RescaleSlope"), number("RescaleIntercept")
    padding = number("PixelPaddingValue")
    return Slice(
        file=file,
        frame=frame,
        number=int(header.get("InstanceNumber") or 0) if frame is None else frame + 1,
        uid=str(header.get("SOPInstanceUID") or ""),
        position=numbers("ImagePositionPatient", 3),
        across=across,
        down=down / np.linalg.norm(down),
        spacing_mm=spacing,
        size=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        rescale=None if slope is None or intercept is None else (slope, intercept),
        padding=None if padding is None else int(padding),
    )
