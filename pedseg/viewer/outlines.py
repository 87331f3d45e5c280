"""The outlines of every organ in every slice of a label map, packed for a browser.

A slice is contoured as in the figures (`workbook.figures`): the border runs half-way between voxels in and out of the
organ. So every point has whole coordinates in half voxels, and two bytes hold it without loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
from numpy.typing import NDArray

from pedseg.workbook.figures import PLANES

Contours: Any = contourpy.SerialContourGenerator
SEPARATE: Any = {
    "corner_mask": False, "line_type": contourpy.LineType.Separate, "fill_type": contourpy.FillType.OuterCode,
    "quad_as_tri": False, "z_interp": contourpy.ZInterp.Linear, "x_chunk_size": 0, "y_chunk_size": 0,
}  # fmt: skip
ROW = ("plane", "slice", "organ", "start", "length")  # of the table; start and length count points


@dataclass(frozen=True)
class Outlines:
    """Closed lines of one label map: `table` (line, 5) as in `ROW`, `points` (point, 2) across and up.

    A point's place in voxels is its value / 2 - 1, where voxel k reaches from k - 1/2 to k + 1/2.
    """

    table: NDArray[np.int32]
    points: NDArray[np.uint16]


def outlines(labels: NDArray[np.uint8]) -> Outlines:
    """The outlines of all organs of a label map (x, y, z), in all slices of all three planes."""
    from scipy.ndimage import find_objects

    rows: list[tuple[int, int, int, int, int]] = []
    pieces: list[NDArray[np.uint16]] = []
    count = 0
    for i, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        mask = np.pad(labels[box] == i, 1).astype(float)
        for plane, (axis, across, up, _) in enumerate(PLANES.values()):
            corner = 2 * np.array([box[across].start, box[up].start])
            x, y = np.meshgrid(*(np.arange(mask.shape[along], dtype=float) for along in (across, up)))
            for k, cut in enumerate(np.moveaxis(mask, axis, 0)[1:-1], start=box[axis].start):
                # the class itself: `contour_generator` looks for masked values, which takes longer than all else
                for line in Contours(x, y, cut.T, None, **SEPARATE).lines(0.5):
                    points = (2 * np.asarray(line) + corner).astype(np.uint16)
                    rows.append((plane, k, i, count, len(points)))
                    pieces.append(points)
                    count += len(points)
    table = np.array(rows, dtype=np.int32).reshape(-1, len(ROW))
    return Outlines(table, np.concatenate(pieces) if pieces else np.zeros((0, 2), np.uint16))
