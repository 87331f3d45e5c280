"""The geometry of CT slices, and whether they make one volume: order, equal steps, duplicates, gaps, gantry tilt.

A slice says where it lies (ImagePositionPatient, ImageOrientationPatient, PixelSpacing) and how its values become HU
(rescale slope and intercept). A classic CT has a file a slice, an enhanced CT all slices in one file; both come out the
same here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.dicom_files import EXPORT_AGAIN, DicomFile, dicom_errors
from pedseg.errors import InputProblem, input_error, raise_problems
from pedseg.scan import check_extent

SAME_MM = 0.01  # two slices nearer than this lie in one place
STEP_MM, STEP_SHARE = 0.05, 0.01  # how much a step may differ from the others
ADDED_UP_MM, ADDED_UP_SHARE = 0.1, 0.1  # how far a slice may lie from its place among equal steps
SIDEWAYS_MM = 0.1  # how far slices may drift across the direction in which they follow each other
FEWEST = 3
OTHER_UNITS = ("ED", "EDW", "HU_MOD", "MGML", "OD", "PCT", "Z_EFF")  # that RescaleType knows beside HU (PS3.3 C.11.1)
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
    unit: str
    padding: tuple[int, int] | None  # the range of stored values that lie outside the picture

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
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    promised = int(header.get("NumberOfFrames") or 1)
    if len(groups) != promised:
        problem = f"it holds {promised} slices and says of {len(groups)} where they lie."
        raise input_error("E-DICOM-GEOMETRY", file.path, problem, EXPORT_AGAIN)
    for number, group in enumerate(groups):
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
    ends = [n for n in map(number, ("PixelPaddingValue", "PixelPaddingRangeLimit")) if n is not None]
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
        unit=str(groups.get("RescaleType", header.get("RescaleType")) or "").strip().upper(),
        padding=(int(min(ends)), int(max(ends))) if ends else None,
    )


@dataclass(frozen=True)
class SliceStack:
    """Slices in order along their normal; `step` leads from one to the next in mm (LPS)."""

    slices: list[CtSlice]
    step: NDArray[np.float64]
    tilted: bool
    uneven: bool

    @property
    def locations_mm(self) -> NDArray[np.float64]:
        """Places of the slices along their normal."""
        return np.array([ct_slice.location_mm for ct_slice in self.slices])


def check_stack(slices: Sequence[CtSlice], folder: Path, *, allowed: Collection[str] = ()) -> SliceStack:
    """The slices as a volume; one error lists everything that keeps them from being one.

    `allowed` may hold `gaps` and `gantry-tilt`: these are then left to a repair.
    """
    raise_problems(_differences(slices, folder))
    normal = slices[0].normal
    ordered = sorted(slices, key=lambda ct_slice: float(ct_slice.position @ normal))
    locations = np.array([float(ct_slice.position @ normal) for ct_slice in ordered])
    steps = np.diff(locations)
    problems = list(_duplicates(ordered, steps))
    usual = float(np.median(steps))
    wrong = _odd_steps(locations, steps, usual)
    if wrong.any() and not problems and "gaps" not in allowed:
        problems.append(_gaps(ordered, steps, usual, wrong))
    direction = (ordered[-1].position - ordered[0].position) / max(locations[-1] - locations[0], 1e-9)
    lean = float(np.linalg.norm(direction - normal))  # mm sideways a mm of way
    path = ordered[0].position + np.outer(locations - locations[0], direction)
    drift = np.abs(np.array([ct_slice.position for ct_slice in ordered]) - path).max()
    tilted = lean * (locations[-1] - locations[0]) > SIDEWAYS_MM
    if drift > SIDEWAYS_MM:
        problem = f"slices lie up to {drift:.1f} mm beside the line through the first and the last."
        problems.append(InputProblem("E-SERIES-DRIFT", str(folder), problem, "Export the series again, unshifted."))
    elif tilted and "gantry-tilt" not in allowed:
        problem = f"the gantry was tilted by {np.degrees(np.arctan(lean)):.1f} degrees."
        repair = "Ask for the repair `gantry-tilt` (resampled; recorded in cases.tsv)"
        problems.append(InputProblem("E-TILT", str(folder), problem, f"{repair}, or take the _Tilt file of dcm2niix."))
    raise_problems(problems)
    mean = float(np.mean(steps)) if not wrong.any() else usual
    check_extent(folder, (*slices[0].spacing_mm, mean), (*slices[0].size, len(slices)))
    return SliceStack(ordered, direction * mean if tilted else normal * mean, bool(tilted), bool(wrong.any()))


def _odd_steps(locations: Values, steps: Values, usual: float) -> NDArray[np.bool_]:
    """Steps unlike the usual one; where there is none, those to slices beside an even grid: differences add up."""
    wrong = np.abs(steps - usual) > max(STEP_MM, STEP_SHARE * usual)
    even = np.linspace(locations[0], locations[-1], len(locations))
    return wrong if wrong.any() else np.abs(locations - even)[1:] > max(ADDED_UP_MM, ADDED_UP_SHARE * usual)


def _differences(slices: Sequence[CtSlice], folder: Path) -> Iterator[InputProblem]:
    """Slices that do not belong to one scan, or do not say how they become HU."""
    if len(slices) < FEWEST:
        problem = f"the series has {len(slices)} slice(s)."
        yield InputProblem("E-SERIES-SHORT", str(folder), problem, f"Give a whole scan, of at least {FEWEST} slices.")
        return
    missing = [*_without_hu(slices)]
    yield from missing
    cosines = [np.round((*ct_slice.row_cosines, *ct_slice.column_cosines), 3) + 0.0 for ct_slice in slices]
    spacings = [np.round(ct_slice.spacing_mm, 4) for ct_slice in slices]
    properties: dict[str, tuple[str, list]] = {
        "E-SLICE-SIZE": ("size in pixels", [ct_slice.size for ct_slice in slices]),
        "E-SERIES-MIXED": (
            "orientation or pixel spacing",
            [(*cosine, *spacing) for cosine, spacing in zip(cosines, spacings, strict=True)],
        ),
        "E-FRAME": ("frame of reference", [ct_slice.file.text("FrameOfReferenceUID") for ct_slice in slices]),
        "E-MODALITY": ("modality", [ct_slice.file.kind for ct_slice in slices]),
        "E-RESCALE": ("rescale", [ct_slice.rescale for ct_slice in slices]),
    }
    for code, (what, values) in properties.items():
        counts = Counter(map(str, values)).most_common()
        if len(counts) > 1 and not (code == "E-RESCALE" and missing):
            usual, times = counts[0]
            odd = next(ct_slice for ct_slice, value in zip(slices, values, strict=True) if str(value) != usual)
            problem = f"{odd.label} has another {what} than {times} of {len(slices)} slices."
            remedy = "Take the slices that do not belong there out of the folder, or export the series again."
            yield InputProblem(code, str(odd.file.path), problem, remedy)


def _without_hu(slices: Sequence[CtSlice]) -> Iterator[InputProblem]:
    """Slices that do not say how their values become HU, or that they become something else."""
    missing = [ct_slice for ct_slice in slices if ct_slice.rescale is None]
    if missing:
        problem = f"{len(missing)} of {len(slices)} slices have no RescaleSlope or RescaleIntercept."
        remedy = "Export the series again: without them nobody knows what is air and what is bone."
        yield InputProblem("E-RESCALE", str(missing[0].file.path), problem, remedy)
    foreign = [ct_slice for ct_slice in slices if ct_slice.unit in OTHER_UNITS]
    if foreign:
        problem = f"its values are {foreign[0].unit}, not HU."
        yield InputProblem("E-NOT-HU", str(foreign[0].file.path), problem, "Export the CT in HU.")


def _duplicates(ordered: Sequence[CtSlice], steps: Values) -> Iterator[InputProblem]:
    """Slices in the same place."""
    places = np.flatnonzero(steps < SAME_MM)
    if len(places):
        first, second = ordered[places[0]], ordered[places[0] + 1]
        problem = f"{len(places)} slice(s) lie where another does; the first: {first.label} and {second.label}."
        remedy = "If they are copies, ask for the repair `duplicates`; otherwise take one of the two runs out."
        yield InputProblem("E-SERIES-DOUBLES", str(second.file.path), problem, remedy)


def _gaps(ordered: Sequence[CtSlice], steps: Values, usual: float, wrong: NDArray[np.bool_]) -> InputProblem:
    """Where slices are missing, or are spaced unevenly."""
    first = int(np.flatnonzero(wrong)[0])
    multiple = steps[wrong] / usual
    missing = np.all(np.abs(multiple - np.round(multiple)) < 0.05) and np.all(multiple > 1.5)
    steps_mm = f"{usual:.4g} mm expected, {steps[first]:.4g} found"
    problem = f"after {ordered[first].label}: {steps_mm}; {int(wrong.sum())} place(s) like this."
    remedy = "Fetch the missing slices, or ask for the repair `gaps` (interpolated; recorded in cases.tsv)."
    code = "E-SERIES-GAP" if missing else "E-SERIES-UNEVEN"
    return InputProblem(code, str(ordered[first].file.path), problem, remedy)
