"""A CT series from DICOM files to one scan: every slice in its place, or refused with the place and the remedy.

Readers elsewhere space missing slices evenly, drop damaged ones and shear tilted ones without a word; here
nothing is repaired in silence. A repair is asked for by name and recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.checks import why_not_hu
from pedseg.dicom.ct_slices import Slice, slices_of
from pedseg.dicom.dicom_files import CT_CLASSES, DicomFile, open_folder
from pedseg.dicom.options import REPAIRS
from pedseg.dicom.pixel_data import read_hu
from pedseg.dicom.repairs import close_gaps, correct_gantry_tilt, without_doubles
from pedseg.dicom.slice_geometry import check_stack
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.scan import Scan

INTERPOLATED = "interpolated"  # in place of the identifier of a slice that a repair has made
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Series:
    """The CT files that one scanner run left: a choice that a person can make from a table."""

    uid: str
    files: tuple[DicomFile, ...]

    @property
    def first(self) -> DicomFile:
        """The file whose header speaks for the series."""
        return self.files[0]

    @property
    def description(self) -> str:
        """What the scanner called it; for the screen only, people write names there."""
        return self.first.text("SeriesDescription")

    @property
    def slice_count(self) -> int:
        """Number of slices."""
        frames = (file.text("NumberOfFrames") for file in self.files)
        return sum(int(count) if count.isdecimal() else 1 for count in frames)


@dataclass(frozen=True)
class CtScan:
    """A CT in HU on the scanner's own grid (column, row, slice), with what is needed to write contours for it.

    `header` is that of the first slice, without voxels;
    `uids` are the SOP instances of the slices, `frames` the frame of each in an enhanced CT. `notes` are
    doubts that did not stop the reading; `repairs` is what was changed because somebody asked for it.
    """

    scan: Scan
    source: Series
    header: Any = field(repr=False)
    uids: tuple[str, ...]
    frames: tuple[int | None, ...]
    frame_of_reference: str
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()


def group(files: Iterable[DicomFile]) -> list[Series]:
    """The CT series among files, each by its UID; localizers, dose screens and other kinds are left out."""
    series: dict[tuple[str, ...], list[DicomFile]] = {}
    for file in files:
        if file.kind in CT_CLASSES.values():
            uid = file.text("SeriesInstanceUID")
            key = (uid,) if uid else ("", file.text("FrameOfReferenceUID"), file.text("ImageOrientationPatient"))
            series.setdefault((file.text("PatientID"), *key), []).append(file)
    return [Series(key[1], tuple(found)) for key, found in series.items()]


def table(series: Sequence[Series]) -> list[str]:
    """The series as lines to choose from: number, slices, spacing, kernel, description."""
    lines = []
    for number, one in enumerate(series, 1):
        spacing, thickness = one.first.text("PixelSpacing"), one.first.text("SliceThickness")
        about = f"{one.slice_count:>5} slices  pixel {spacing or '?'}  thickness {thickness or '?'} mm"
        lines.append(f"{number:>3} {about}  {one.first.text('ConvolutionKernel'):<8} {one.description}")
    return lines


def choose(series: Sequence[Series], folder: Path, wanted: str = "", others: Sequence[DicomFile] = ()) -> Series:
    """The one series, or that of the number or UID that was asked for; otherwise the table of them all."""
    fitting = [one for number, one in enumerate(series, 1) if wanted in (str(number), one.uid)] if wanted else series
    if len(fitting) == 1:
        return fitting[0]
    if not series:
        kinds = sorted({file.kind for file in others})
        code = "E-MODALITY" if kinds else "E-NO-SCAN"
        found = f"there is no CT here, but {', '.join(kinds)}." if kinds else "there is no DICOM here."
        raise input_error(code, folder, found, "Give the folder of a CT series.")
    listed = "\n".join(table(series))
    remedy = "Choose one by its number or its UID: --series NUMBER."
    if wanted and not fitting:
        raise input_error("E-SERIES-CHOICE", folder, f"no series is called {wanted}; there are\n{listed}", remedy)
    raise input_error("E-SERIES-CHOICE", folder, f"{len(series)} CT series fit:\n{listed}", remedy)


def read_ct(folder: Path, *, wanted: str = "", repairs: Iterable[str] = ()) -> CtScan:
    """The one CT series below a folder, or the one named by `wanted` (its number in the table, or its UID)."""
    files, problems = open_folder(folder)
    if problems:
        raise PedsegInputError(problems)
    return read_series(choose(group(files), folder, wanted, files), repairs=repairs)


def read_series(series: Series, *, repairs: Iterable[str] = ()) -> CtScan:
    """Every slice of a series read, checked and stacked; one error lists all that is wrong.

    Raises `PedsegInputError` where slices are missing, doubled, unevenly spaced, tilted, of different sizes or
    frames of reference, cut off, not packed as known, or not in HU. `repairs` are words of `REPAIRS`.
    """
    asked = set(repairs)
    unknown = asked - REPAIRS.keys()
    if unknown:
        raise input_error(
            "E-REPAIR", series.first.path, f"there is no repair {sorted(unknown)}.", f"Use {', '.join(REPAIRS)}."
        )
    slices, problems = _slices(series)
    if problems:
        raise PedsegInputError(problems)
    done: list[str] = []
    if "doubles" in asked:
        slices, done = without_doubles(slices)
    stack = check_stack(slices, series.first.path.parent, allowed=asked)
    voxels, affine = read_hu(stack.ordered), _affine(stack.ordered, stack.step)
    if "tilt" in asked and stack.tilted:
        voxels, affine, words = correct_gantry_tilt(voxels, affine, stack)
        done.append(words)
    ordered: Sequence[Slice | None] = stack.ordered
    if "gaps" in asked and stack.uneven:
        voxels, ordered, words = close_gaps(voxels, stack)
        done.append(words)
    reason = why_not_hu(voxels)
    if reason:
        remedy = "Export the CT in HU (air -1000, water 0)."
        raise input_error(
            "E-NOT-HU", series.first.path.parent, f"the gray values are no Hounsfield units: {reason}.", remedy
        )
    return CtScan(
        scan=Scan(voxels, LPS_TO_RAS @ affine),
        source=series,
        header=stack.ordered[0].file.header(),
        uids=tuple(one.uid if one else INTERPOLATED for one in ordered),
        frames=tuple(one.frame if one else None for one in ordered),
        frame_of_reference=series.first.text("FrameOfReferenceUID"),
        notes=tuple(_doubts(stack.ordered, voxels, series)),
        repairs=tuple(done),
    )


def _slices(series: Series) -> tuple[list[Slice], list[InputProblem]]:
    """The slices of all files, and what is wrong with single ones."""
    slices: list[Slice] = []
    problems: list[InputProblem] = []
    for file in series.files:
        try:
            slices += slices_of(file)
        except PedsegInputError as error:
            problems += error.problems
    return slices, problems


def _affine(ordered: Sequence[Slice], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voxel index (column, row, slice) to mm, LPS."""
    first = ordered[0]
    affine = np.eye(4)
    affine[:3, 0] = first.across * first.spacing_mm[1]
    affine[:3, 1] = first.down * first.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return affine


def _doubts(ordered: Sequence[Slice], voxels: NDArray[np.int16], series: Series) -> Iterable[str]:
    """What a person should know and what does not make the scan wrong."""
    uids = [one.uid for one in ordered]
    if ordered[0].frame is None and (not all(uids) or len({*uids}) < len(uids)):
        yield "slices without an identifier of their own: contours cannot be exported for this series"
    if not series.first.text("FrameOfReferenceUID") or not series.uid:
        yield "no frame of reference or series identifier: contours cannot be exported for this series"
    spacing = abs(ordered[1].along - ordered[0].along)
    if spacing >= 5:
        yield f"thick slices ({spacing:.3g} mm): small organs may vanish"
    extent = np.array(ordered[0].size) * ordered[0].spacing_mm
    if extent.min() < 150 or spacing * (len(ordered) - 1) < 100:
        yield "small field of view: organs may be cut"
    metal = float(np.mean(voxels >= 3000))
    if metal > 1e-5:
        yield f"metal or overflow: {metal:.2%} of the voxels at 3000 HU and more"
