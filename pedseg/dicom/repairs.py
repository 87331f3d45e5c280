"""Repairs of a CT series that somebody asked for: duplicate slices, missing slices, gantry tilt. Each is recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.loading import PADDING_HU
from pedseg.dicom.pixel_data import read_hu
from pedseg.dicom.slice_geometry import SAME_MM, CtSlice, SliceStack
from pedseg.errors import input_error

MOST_MADE = 1.5  # a scan may have so many times as many slices after a repair


def remove_duplicates(slices: Sequence[CtSlice]) -> tuple[list[CtSlice], list[str]]:
    """The slices without those that lie in the place of another and hold the same voxels; others are refused."""
    ordered = sorted(slices, key=lambda ct_slice: (ct_slice.location_mm, ct_slice.number))
    kept = ordered[:1]
    for ct_slice in ordered[1:]:
        last = kept[-1]
        if ct_slice.location_mm - last.location_mm >= SAME_MM or ct_slice.size != last.size:
            kept.append(ct_slice)
        elif None not in (ct_slice.rescale, last.rescale) and not np.array_equal(read_hu([ct_slice]), read_hu([last])):
            problem = f"it lies where {last.label} does, and shows something else."
            remedy = "Take one of the two runs out of the folder."
            raise input_error("E-SERIES-DOUBLES", ct_slice.file.path, problem, remedy)
    count = len(ordered) - len(kept)
    return kept, [f"{count} doubled slices removed"] if count else []


def interpolate_missing_slices(
    voxels: NDArray[np.int16], stack: SliceStack
) -> tuple[NDArray[np.int16], list[CtSlice | None], str]:
    """The scan in equal steps: slices in their place stay as they are, between them it is interpolated (None)."""
    locations = stack.locations_mm - stack.locations_mm[0]
    step = float(stack.step @ stack.slices[0].normal)  # as places are counted: along the normal, tilted or not
    count = int(np.floor(locations[-1] / step + 1e-3)) + 1
    if count > MOST_MADE * len(locations):
        problem = f"{count - len(locations)} of {count} slices are missing."
        remedy = "That is too much to make up: fetch the scan again."
        raise input_error("E-SERIES-GAP", stack.slices[0].file.path, problem, remedy)
    wanted = np.arange(count) * step
    after = np.clip(np.searchsorted(locations, wanted), 1, len(locations) - 1)
    share = np.clip((wanted - locations[after - 1]) / (locations[after] - locations[after - 1]), 0, 1)
    even = np.empty((*voxels.shape[:2], len(wanted)), dtype=np.int16)
    slices: list[CtSlice | None] = []
    for k, (index, part) in enumerate(zip(after, share, strict=True)):
        near = int(index if part > 0.5 else index - 1)
        exact = abs(locations[near] - wanted[k]) < max(SAME_MM, 0.01 * step)
        slices.append(stack.slices[near] if exact else None)
        between = (1 - part) * voxels[:, :, index - 1] + part * voxels[:, :, index]
        even[:, :, k] = voxels[:, :, near] if exact else np.round(between)
    made = slices.count(None)
    left_out = len(locations) - (count - made)
    return even, slices, f"{made} slices interpolated" + (f", {left_out} between the others left out" * bool(left_out))


def correct_gantry_tilt(
    voxels: NDArray[np.int16], affine: NDArray[np.float64], stack: SliceStack
) -> tuple[NDArray[np.int16], NDArray[np.float64], str]:
    """The scan with its slices shifted within their planes until they stand upright above each other (linear).

    How far follows from where a slice lies, not from its number: slices may be missing.
    """
    from scipy import ndimage

    first = stack.slices[0]
    upright = affine.copy()
    step = float(stack.step @ first.normal)
    upright[:3, 2] = first.normal * step
    shift_mm = upright[:3, 2] - affine[:3, 2]  # a step, within its plane
    rows_mm, columns_mm = first.spacing_mm
    pixels = np.array([shift_mm @ first.row_cosines / columns_mm, shift_mm @ first.column_cosines / rows_mm])
    moved = np.empty_like(voxels)
    for k, steps in enumerate((stack.locations_mm - stack.locations_mm[0]) / step):
        plane = ndimage.shift(voxels[:, :, k].astype(np.float32), -steps * pixels, order=1, cval=PADDING_HU)
        moved[:, :, k] = np.round(plane)
    degrees = np.degrees(np.arccos(np.clip(first.normal @ stack.step / np.linalg.norm(stack.step), -1, 1)))
    return moved, upright, f"gantry tilt of {degrees:.1f} degrees undone"
