"""Do the slices of a series make one volume? Order along the normal, equal steps, duplicates, gaps, gantry tilt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.ct_slices import CtSlice
from pedseg.errors import InputProblem, raise_problems

SAME_MM = 0.01  # two slices nearer than this lie in one place
STEP_MM, STEP_SHARE = 0.05, 0.01  # how much a step may differ from the others
SIDEWAYS_MM = 0.1  # how far slices may drift across the direction in which they follow each other
FEWEST = 3


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
    wrong = np.abs(steps - usual) > max(STEP_MM, STEP_SHARE * usual)
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
    return SliceStack(ordered, direction * mean if tilted else normal * mean, bool(tilted), bool(wrong.any()))


def _differences(slices: Sequence[CtSlice], folder: Path) -> Iterator[InputProblem]:
    """Slices that do not belong to one scan, or do not say how they become HU."""
    if len(slices) < FEWEST:
        problem = f"the series has {len(slices)} slice(s)."
        yield InputProblem("E-SERIES-SHORT", str(folder), problem, f"Give a whole scan, of at least {FEWEST} slices.")
        return
    missing = [ct_slice for ct_slice in slices if ct_slice.rescale is None]
    if missing:
        problem = f"{len(missing)} of {len(slices)} slices have no RescaleSlope or RescaleIntercept."
        remedy = "Export the series again: without them nobody knows what is air and what is bone."
        yield InputProblem("E-RESCALE", str(missing[0].file.path), problem, remedy)
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


def _duplicates(ordered: Sequence[CtSlice], steps: NDArray[np.float64]) -> Iterator[InputProblem]:
    """Slices in the same place."""
    places = np.flatnonzero(steps < SAME_MM)
    if len(places):
        first, second = ordered[places[0]], ordered[places[0] + 1]
        problem = f"{len(places)} slice(s) lie where another does; the first: {first.label} and {second.label}."
        remedy = "If they are copies, ask for the repair `duplicates`; otherwise take one of the two runs out."
        yield InputProblem("E-SERIES-DOUBLES", str(second.file.path), problem, remedy)


def _gaps(
    ordered: Sequence[CtSlice], steps: NDArray[np.float64], usual: float, wrong: NDArray[np.bool_]
) -> InputProblem:
    """Where slices are missing, or are spaced unevenly."""
    first = int(np.flatnonzero(wrong)[0])
    multiple = steps[wrong] / usual
    missing = np.all(np.abs(multiple - np.round(multiple)) < 0.05) and np.all(multiple > 1.5)
    steps_mm = f"{usual:.4g} mm expected, {steps[first]:.4g} found"
    problem = f"after {ordered[first].label}: {steps_mm}; {int(wrong.sum())} place(s) like this."
    remedy = "Fetch the missing slices, or ask for the repair `gaps` (interpolated; recorded in cases.tsv)."
    code = "E-SERIES-GAP" if missing else "E-SERIES-UNEVEN"
    return InputProblem(code, str(ordered[first].file.path), problem, remedy)
