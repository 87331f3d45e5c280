"""Organ contours in every slice of a label map (axial, coronal, sagittal), packed for drawing in a browser.

A slice is contoured as in the figures (`workbook.figures`): the line runs half-way between voxels in and out of the
organ. So every point has integer coordinates in half voxels, and two bytes hold it without loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
from numpy.typing import NDArray

from pedseg.workbook.figures import PLANES

# The class itself: `contourpy.contour_generator` looks for masked values, which takes longer than all else.
ContourGenerator: Any = contourpy.SerialContourGenerator
GENERATOR_OPTIONS: Any = {
    "corner_mask": False, "line_type": contourpy.LineType.Separate, "fill_type": contourpy.FillType.OuterCode,
    "quad_as_tri": False, "z_interp": contourpy.ZInterp.Linear, "x_chunk_size": 0, "y_chunk_size": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Outlines:
    """The closed lines of a label map, packed into two arrays.

    `table` (line, 5): plane, slice, organ id, start and length, counted in points. `points` (point, 2) across and up:
    a point's position in voxels is its value / 2 - 1, where voxel k extends from k - 1/2 to k + 1/2.
    """

    table: NDArray[np.int32]
    points: NDArray[np.uint16]


def outline_organs(labels: NDArray[np.uint8]) -> Outlines:
    """The outlines of all organs of a label map (x, y, z), in all slices of all three planes."""
    from scipy.ndimage import find_objects

    rows: list[tuple[int, int, int, int, int]] = []
    lines: list[NDArray[np.uint16]] = [np.zeros((0, 2), np.uint16)]
    count = 0
    for organ_id, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        mask = np.pad(labels[box] == organ_id, 1).astype(float)
        for plane, (axis, across, up, _) in enumerate(PLANES.values()):
            corner = 2 * np.array([box[across].start, box[up].start])
            x, y = np.meshgrid(*(np.arange(mask.shape[along], dtype=float) for along in (across, up)))
            for index, cut in enumerate(np.moveaxis(mask, axis, 0)[1:-1], start=box[axis].start):
                for line in ContourGenerator(x, y, cut.T, None, **GENERATOR_OPTIONS).lines(0.5):
                    lines.append((2 * np.asarray(line) + corner).astype(np.uint16))
                    rows.append((plane, index, organ_id, count, len(line)))
                    count += len(line)
    return Outlines(np.array(rows, dtype=np.int32).reshape(-1, 5), np.concatenate(lines))
