"""Read a CT series (CT Image or Enhanced CT, DICOM) as one scan in HU, or refuse it with the place and the remedy.

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

from pedseg.datasets.checks import check_hounsfield
from pedseg.dicom.dicom_files import CT_CLASSES, DicomFile, find_dicom_files
from pedseg.dicom.options import CT_REPAIRS
from pedseg.dicom.pixel_data import read_hu
from pedseg.dicom.repairs import correct_gantry_tilt, interpolate_missing_slices, remove_duplicates
from pedseg.dicom.slice_geometry import CtSlice, SliceStack, check_stack, read_slices
from pedseg.errors import InputProblem, collect_problems, input_error, raise_problems
from pedseg.scan import Scan

INTERPOLATED = "interpolated"  # in place of the SOP instance UID of a slice that a repair has made
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class CtSeries:
    """The CT files that share a SeriesInstanceUID: a choice that a person can make from a table."""

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
    def patient_id(self) -> str:
        """The patient's number at the hospital; it never leaves the reader."""
        return self.first.text("PatientID")

    @property
    def slice_count(self) -> int:
        """Number of slices."""
        frames = (file.text("NumberOfFrames") for file in self.files)
        return sum(int(count) if count.isdecimal() else 1 for count in frames)


@dataclass(frozen=True)
class CtScan:
    """A CT in HU on the scanner's own grid (column, row, slice), with what is needed to write contours for it.

    `header` is that of the first slice, without voxels; `uids` are the SOP instances of the slices, `frames` the frame
    of each in an enhanced CT. `notes` are doubts that did not stop the reading; `repairs` is what was changed because
    somebody asked for it.
    """

    scan: Scan
    series: CtSeries
    header: Any = field(repr=False)
    uids: tuple[str, ...]
    frames: tuple[int | None, ...]
    frame_of_reference: str
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()


def group_series(files: Iterable[DicomFile]) -> list[CtSeries]:
    """The CT series among files, each by its UID; localizers, dose screens and other kinds are left out."""
    series: dict[tuple[str, ...], list[DicomFile]] = {}
    for file in files:
        if file.kind in CT_CLASSES.values():
            uid = file.text("SeriesInstanceUID")
            key = (uid,) if uid else ("", file.text("FrameOfReferenceUID"), file.text("ImageOrientationPatient"))
            series.setdefault((file.text("PatientID"), *key), []).append(file)
    return [CtSeries(key[1], tuple(members)) for key, members in series.items()]


def series_table(series: Sequence[CtSeries]) -> list[str]:
    """The series as lines to choose from: number, slices, spacing, kernel, description."""
    lines = []
    for number, member in enumerate(series, 1):
        spacing, thickness = member.first.text("PixelSpacing"), member.first.text("SliceThickness")
        geometry = f"{member.slice_count:>5} slices  pixel {spacing or '?'}  thickness {thickness or '?'} mm"
        lines.append(f"{number:>3} {geometry}  {member.first.text('ConvolutionKernel'):<8} {member.description}")
    return lines


def choose_series(
    series: Sequence[CtSeries], folder: Path, wanted: str = "", others: Sequence[DicomFile] = ()
) -> CtSeries:
    """The only series, or that of the number or UID that was asked for; the error lists the table of them all."""
    fitting = [member for number, member in enumerate(series, 1) if not wanted or wanted in (str(number), member.uid)]
    if len(fitting) == 1:
        return fitting[0]
    if not series:
        kinds = sorted({file.kind for file in others})
        problem = f"there is no CT here, but {', '.join(kinds)}." if kinds else "there is no DICOM here."
        remedy = "Give the folder of a CT series, or that of NIfTI files."
        raise input_error("E-MODALITY" if kinds else "E-NO-SCAN", folder, problem, remedy)
    listed = "\n".join(series_table(series))
    unknown = f"no series is called {wanted}; there are" if wanted and not fitting else f"{len(series)} CT series fit:"
    remedy = "Choose one by its number or its UID: --series NUMBER."
    raise input_error("E-SERIES-CHOICE", folder, f"{unknown}\n{listed}", remedy)


def read_ct(folder: Path, *, wanted: str = "", repairs: Iterable[str] = ()) -> CtScan:
    """The only CT series below a folder, or the one named by `wanted` (its number in the table, or its UID)."""
    files, problems = find_dicom_files(folder)
    raise_problems(problems)
    return read_series(choose_series(group_series(files), folder, wanted, files), repairs=repairs)


def read_series(series: CtSeries, *, repairs: Iterable[str] = ()) -> CtScan:
    """Every slice of a series read, checked and stacked; one error lists all that is wrong.

    Raises `PedsegInputError` where slices are missing, doubled, unevenly spaced, tilted, of different sizes or
    frames of reference, cut off, not packed as known, or not in HU. `repairs` are words of `CT_REPAIRS`.
    """
    allowed, folder = set(repairs), series.first.path.parent
    unknown = allowed - CT_REPAIRS.keys()
    if unknown:
        problem = f"there is no repair {sorted(unknown)}."
        raise input_error("E-REPAIR", series.first.path, problem, f"Use {', '.join(CT_REPAIRS)}.")
    slices = _read_slices(series)
    done: list[str] = []
    if "duplicates" in allowed:
        slices, done = remove_duplicates(slices)
    stack = check_stack(slices, folder, allowed=allowed)
    voxels, affine = read_hu(stack.slices), _affine(stack)
    if "gantry-tilt" in allowed and stack.tilted:
        voxels, affine, message = correct_gantry_tilt(voxels, affine, stack)
        done.append(message)
    ordered: Sequence[CtSlice | None] = stack.slices
    if "gaps" in allowed and stack.uneven:
        voxels, ordered, message = interpolate_missing_slices(voxels, stack)
        done.append(message)
    raise_problems(check_hounsfield(voxels, folder))
    return CtScan(
        scan=Scan(voxels, LPS_TO_RAS @ affine),
        series=series,
        header=stack.slices[0].file.header(),
        uids=tuple(ct_slice.uid if ct_slice else INTERPOLATED for ct_slice in ordered),
        frames=tuple(ct_slice.frame if ct_slice else None for ct_slice in ordered),
        frame_of_reference=series.first.text("FrameOfReferenceUID"),
        notes=tuple(_doubts(stack.slices, voxels, series)),
        repairs=tuple(done),
    )


def _read_slices(series: CtSeries) -> list[CtSlice]:
    """The slices of all files; one error lists what is wrong with single ones."""
    slices: list[CtSlice] = []
    problems: list[InputProblem] = []
    for file in series.files:
        with collect_problems(problems):
            slices += read_slices(file)
    raise_problems(problems)
    return slices


def _affine(stack: SliceStack) -> NDArray[np.float64]:
    """Voxel index (column, row, slice) to mm, LPS."""
    first = stack.slices[0]
    affine = np.eye(4)
    affine[:3, 0] = first.row_cosines * first.spacing_mm[1]
    affine[:3, 1] = first.column_cosines * first.spacing_mm[0]
    affine[:3, 2] = stack.step
    affine[:3, 3] = first.position
    return affine


def _doubts(ordered: Sequence[CtSlice], voxels: NDArray[np.int16], series: CtSeries) -> Iterable[str]:
    """What a person should know and what does not make the scan wrong."""
    uids = [ct_slice.uid for ct_slice in ordered]
    if ordered[0].frame is None and (not all(uids) or len({*uids}) < len(uids)):
        yield "slices without an identifier of their own: contours cannot be exported for this series"
    if not series.first.text("FrameOfReferenceUID") or not series.uid:
        yield "no frame of reference or series identifier: contours cannot be exported for this series"
    if any(file.text("LossyImageCompression") == "01" for file in series.files):
        yield "lossy compression: gray values and edges are not those of the scanner"
    spacing = abs(ordered[1].location_mm - ordered[0].location_mm)
    if spacing >= 5:
        yield f"thick slices ({spacing:.3g} mm): small organs may vanish"
    extent = np.array(ordered[0].size) * ordered[0].spacing_mm
    if extent.min() < 150 or spacing * (len(ordered) - 1) < 100:
        yield "small field of view: organs may be cut"
    metal = float(np.mean(voxels >= 3000))
    if metal > 1e-5:
        yield f"metal or overflow: {metal:.2%} of the voxels at 3000 HU and more"
