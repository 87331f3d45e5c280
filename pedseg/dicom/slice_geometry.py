"""Do the slices of a series make one block? Order, equal steps, nothing twice, nothing tilted, one rescale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.ct_slices import Slice
from pedseg.errors import InputProblem, PedsegInputError

SAME_MM = 0.01  # two slices nearer than this lie in one place
STEP_MM, STEP_SHARE = 0.05, 0.01  # how much a step may differ from the others
SIDEWAYS_MM = 0.1  # how far slices may drift across the direction in which they follow each other
FEWEST = 3


@dataclass(frozen=True)
class Stack:
    """Slices in order along their normal; `step` leads from one to the next in mm (LPS)."""

    ordered: list[Slice]
    step: NDArray[np.float64]
    tilted: bool
    uneven: bool

    @property
    def places(self) -> NDArray[np.float64]:
        """Places of the slices along their normal, in mm."""
        return np.array([one.along for one in self.ordered])


def check_stack(slices: Sequence[Slice], folder: Path, *, allowed: Collection[str] = ()) -> Stack:
    """The slices as a block; one error lists everything that keeps them from being one.

    `allowed` may hold `gaps` and `tilt`: these are then left to a repair.
    """
    problems = list(_differences(slices, folder))
    if problems:
        raise PedsegInputError(problems)
    normal = slices[0].normal
    ordered = sorted(slices, key=lambda one: float(one.position @ normal))
    places = np.array([float(one.position @ normal) for one in ordered])
    steps = np.diff(places)
    problems = list(_doubles(ordered, steps))
    usual = float(np.median(steps))
    wrong = np.abs(steps - usual) > max(STEP_MM, STEP_SHARE * usual)
    if wrong.any() and not problems and "gaps" not in allowed:
        problems += _gaps(ordered, steps, usual, wrong)
    whole = (ordered[-1].position - ordered[0].position) / max(places[-1] - places[0], 1e-9)
    lean = float(np.linalg.norm(whole - normal))  # mm sideways a mm of way
    path = ordered[0].position + np.outer(places - places[0], whole)
    drift = np.abs(np.array([one.position for one in ordered]) - path).max()
    tilted = lean * (places[-1] - places[0]) > SIDEWAYS_MM
    if tilted and drift <= SIDEWAYS_MM and "tilt" not in allowed:
        problems.append(_tilt(folder, lean))
    if drift > SIDEWAYS_MM:
        found = f"slices lie up to {drift:.1f} mm beside the line through the first and the last."
        problems.append(InputProblem("E-SERIES-DRIFT", str(folder), found, "Export the series again, unshifted."))
    if problems:
        raise PedsegInputError(problems)
    mean = float(np.mean(steps)) if not wrong.any() else usual
    return Stack(ordered, whole * mean if tilted else normal * mean, bool(tilted), bool(wrong.any()))


def _differences(slices: Sequence[Slice], folder: Path) -> Iterator[InputProblem]:
    """Slices that do not belong to one scan, or do not say how they become HU."""
    if len(slices) < FEWEST:
        found = f"the series has {len(slices)} slice(s)."
        yield InputProblem("E-SERIES-SHORT", str(folder), found, f"Give a whole scan, of at least {FEWEST} slices.")
        return
    properties: dict[str, tuple[str, list]] = {
        "E-SLICE-SIZE": ("size in pixels", [one.size for one in slices]),
        "E-SERIES-MIXED": (
            "orientation or pixel spacing",
            [(*(np.round((*one.across, *one.down), 3) + 0.0), *np.round(one.spacing_mm, 4)) for one in slices],
        ),
        "E-FRAME": ("frame of reference", [one.file.text("FrameOfReferenceUID") for one in slices]),
        "E-MODALITY": ("modality", [one.file.kind for one in slices]),
        "E-RESCALE": ("rescale", [one.rescale for one in slices]),
    }
    missing = [one for one in slices if one.rescale is None]
    if missing:
        found = f"{len(missing)} of {len(slices)} slices have no RescaleSlope or RescaleIntercept."
        remedy = "Export the series again: without them nobody knows what is air and what is bone."
        yield InputProblem("E-RESCALE", str(missing[0].file.path), found, remedy)
    for code, (what, values) in properties.items():
        counts = Counter(map(str, values)).most_common()
        if len(counts) > 1 and not (code == "E-RESCALE" and missing):
            odd = next(one for one, value in zip(slices, values, strict=True) if str(value) != counts[0][0])
            found = f"{odd.called} has another {what} than {counts[0][1]} of {len(slices)} slices."
            remedy = "Take the slices that do not belong there out of the folder, or export the series again."
            yield InputProblem(code, str(odd.file.path), found, remedy)


def _doubles(ordered: Sequence[Slice], steps: NDArray[np.float64]) -> Iterator[InputProblem]:
    """Slices in the same place."""
    twice = np.flatnonzero(steps < SAME_MM)
    if len(twice):
        one, other = ordered[twice[0]], ordered[twice[0] + 1]
        found = f"{len(twice)} slice(s) lie where another does; the first: {one.called} and {other.called}."
        remedy = "If they are copies, ask for the repair `doubles`; otherwise take one of the two runs out."
        yield InputProblem("E-SERIES-DOUBLES", str(other.file.path), found, remedy)


def _gaps(
    ordered: Sequence[Slice], steps: NDArray[np.float64], usual: float, wrong: NDArray[np.bool_]
) -> Iterator[InputProblem]:
    """Where slices are missing, or are spaced unevenly."""
    first = int(np.flatnonzero(wrong)[0])
    multiple = steps[wrong] / usual
    missing = np.all(np.abs(multiple - np.round(multiple)) < 0.05) and np.all(multiple > 1.5)
    found = f"after {ordered[first].called}: {usual:.4g} mm expected, {steps[first]:.4g} found"
    places = int(wrong.sum())
    remedy = "Fetch the missing slices, or ask for the repair `gaps` (interpolated; recorded in cases.tsv)."
    code = "E-SERIES-GAP" if missing else "E-SERIES-UNEVEN"
    yield InputProblem(code, str(ordered[first].file.path), f"{found}; {places} place(s) like this.", remedy)


def _tilt(folder: Path, lean: float) -> InputProblem:
    degrees = float(np.degrees(np.arctan(lean)))
    remedy = "Ask for the repair `tilt` (resampled; recorded in cases.tsv), or take the _Tilt file of dcm2niix."
    return InputProblem("E-TILT", str(folder), f"the gantry was tilted by {degrees:.1f} degrees.", remedy)
