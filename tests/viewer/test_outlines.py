"""Outlines for the browser: the same lines as in the figures, packed without loss."""

from __future__ import annotations

import numpy as np

from pedseg.organs import ORGANS
from pedseg.viewer.outlines import outline_organs
from pedseg.workbook.figures import PLANES, contours, cut


def lines_of(outlines, plane: int, index: int, organ_id: int) -> list[np.ndarray]:
    """Outlines of one organ in one slice, as places in voxels."""
    rows = outlines.table[(outlines.table[:, :3] == (plane, index, organ_id)).all(axis=1)]
    return [outlines.points[start : start + length] / 2 - 1.0 for *_, start, length in rows]


def test_one_voxel_is_a_diamond_in_each_plane():
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[2, 3, 4] = 1
    outlines = outline_organs(labels)
    assert outlines.table[:, :3].tolist() == [[0, 4, 1], [1, 3, 1], [2, 2, 1]]
    (line,) = lines_of(outlines, 0, 4, 1)
    assert {tuple(point) for point in line} == {(1.5, 3), (2.5, 3), (2, 2.5), (2, 3.5)}


def test_they_are_those_of_the_figures_in_every_slice_of_every_plane():
    labels = np.random.default_rng(0).integers(0, 3, (9, 8, 7)).astype(np.uint8)
    outlines = outline_organs(labels)
    for number, (plane, (axis, *_)) in enumerate(PLANES.items()):
        for index in range(labels.shape[axis]):
            expected = contours(cut(labels, plane, index), list(ORGANS[:2]), (1.0, 1.0))
            for organ, lines in zip(ORGANS[:2], expected, strict=True):
                ours = lines_of(outlines, number, index, organ.id)
                assert sorted(map(len, ours)) == sorted(map(len, lines))
                points = [
                    np.unique(np.concatenate(part), axis=0) for part in (ours, [line - 0.5 for line in lines]) if part
                ]
                assert len(points) in (0, 2) and (not points or np.array_equal(*points))


def test_an_empty_map_has_no_outlines():
    outlines = outline_organs(np.zeros((4, 4, 4), np.uint8))
    assert len(outlines.table) == len(outlines.points) == 0
