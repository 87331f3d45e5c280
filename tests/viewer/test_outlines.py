"""Outlines for the browser: the same lines as in the figures, packed without loss."""

from __future__ import annotations

import numpy as np

from pedseg.organs import ORGANS
from pedseg.viewer.outlines import outlines
from pedseg.workbook.figures import PLANES, contours, cut


def lines_of(found, plane: int, index: int, organ_id: int) -> list[np.ndarray]:
    """Outlines of one organ in one slice, as places in voxels."""
    rows = found.table[(found.table[:, :3] == (plane, index, organ_id)).all(axis=1)]
    return [found.points[start : start + length] / 2 - 1.0 for *_, start, length in rows]


def test_one_voxel_is_a_diamond_in_each_plane():
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[2, 3, 4] = 1
    found = outlines(labels)
    assert found.table[:, :3].tolist() == [[0, 4, 1], [1, 3, 1], [2, 2, 1]]
    (line,) = lines_of(found, 0, 4, 1)
    assert {tuple(point) for point in line} == {(1.5, 3), (2.5, 3), (2, 2.5), (2, 3.5)}


def test_they_are_those_of_the_figures_in_every_slice_of_every_plane():
    labels = np.random.default_rng(0).integers(0, 3, (9, 8, 7)).astype(np.uint8)
    found = outlines(labels)
    for number, (plane, (axis, *_)) in enumerate(PLANES.items()):
        for index in range(labels.shape[axis]):
            expected = contours(cut(labels, plane, index), list(ORGANS[:2]), (1.0, 1.0))
            for one, lines in zip(ORGANS[:2], expected, strict=True):
                ours = lines_of(found, number, index, one.id)
                assert sorted(map(len, ours)) == sorted(map(len, lines))
                points = [
                    np.unique(np.concatenate(each), axis=0) for each in (ours, [line - 0.5 for line in lines]) if each
                ]
                assert len(points) in (0, 2) and (not points or np.array_equal(*points))


def test_an_empty_map_has_no_outlines():
    found = outlines(np.zeros((4, 4, 4), np.uint8))
    assert len(found.table) == len(found.points) == 0
