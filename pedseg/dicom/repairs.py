"""Repairs that somebody asked for by name: doubled slices, gaps, a tilted gantry. Each says what it did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.ct_slices import Slice
from pedseg.dicom.pixel_data import PADDING_HU, read_hu
from pedseg.dicom.slice_geometry import SAME_MM, Stack
from pedseg.errors import input_error

MOST_MADE = 1.5  # a scan may have so many times as many slices after a repair


def without_doubles(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices without those that lie in the place of another and hold the same voxels; others are refused."""
    ordered = sorted(slices, key=lambda one: (one.along, one.number))
    kept = ordered[:1]
    for one in ordered[1:]:
        if one.along - kept[-1].along >= SAME_MM or one.size != kept[-1].size:
            kept.append(one)
        elif None not in (one.rescale, kept[-1].rescale) and not np.array_equal(read_hu([one]), read_hu([kept[-1]])):
            found = f"it lies where {kept[-1].called} does, and shows something else."
            raise input_error("E-SERIES-DOUBLES", one.file.path, found, "Take one of the two runs out of the folder.")
    count = len(ordered) - len(kept)
    return kept, [f"{count} doubled slices removed"] if count else []


def close_gaps(voxels: NDArray[np.int16], stack: Stack) -> tuple[NDArray[np.int16], list[Slice | None], str]:
    """The scan in equal steps: slices in their place stay as they are, between them it is interpolated."""
    places = stack.places - stack.places[0]
    step = float(np.linalg.norm(stack.step))
    count = int(np.floor(places[-1] / step + 1e-3)) + 1
    if count > MOST_MADE * len(places):
        found = f"{count - len(places)} of {count} slices are missing."
        raise input_error(
            "E-SERIES-GAP", stack.ordered[0].file.path, found, "That is too much to make up: fetch the scan again."
        )
    wanted = np.arange(count) * step
    after = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
    share = np.clip((wanted - places[after - 1]) / (places[after] - places[after - 1]), 0, 1)
    even = np.empty((*voxels.shape[:2], len(wanted)), dtype=np.int16)
    origin: list[Slice | None] = []
    for k, (index, part) in enumerate(zip(after, share, strict=True)):
        near = int(index if part > 0.5 else index - 1)
        exact = abs(places[near] - wanted[k]) < max(SAME_MM, 0.01 * step)
        origin.append(stack.ordered[near] if exact else None)
        between = (1 - part) * voxels[:, :, index - 1] + part * voxels[:, :, index]
        even[:, :, k] = voxels[:, :, near] if exact else np.round(between)
    return even, origin, f"{origin.count(None)} slices interpolated"


def correct_gantry_tilt(
    voxels: NDArray[np.int16], affine: NDArray[np.float64], stack: Stack
) -> tuple[NDArray[np.int16], NDArray[np.float64], str]:
    """The scan with its slices shifted within their planes until they stand upright above each other (linear)."""
    from scipy import ndimage

    first = stack.ordered[0]
    upright = affine.copy()
    upright[:3, 2] = first.normal * float(stack.step @ first.normal)
    shift_mm = upright[:3, 2] - affine[:3, 2]  # a slice, within its plane
    pixels = np.array([shift_mm @ first.across / first.spacing_mm[1], shift_mm @ first.down / first.spacing_mm[0]])
    moved = np.empty_like(voxels)
    for k in range(voxels.shape[2]):
        plane = ndimage.shift(voxels[:, :, k].astype(np.float32), -k * pixels, order=1, cval=PADDING_HU)
        moved[:, :, k] = np.round(plane)
    degrees = np.degrees(np.arccos(np.clip(first.normal @ stack.step / np.linalg.norm(stack.step), -1, 1)))
    return moved, upright, f"gantry tilt of {degrees:.1f} degrees undone"
