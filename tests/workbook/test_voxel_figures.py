"""Voxels are drawn where they are, to scale, on every grid."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.organs import organ
from pedseg.scan import Scan, resample
from pedseg.workbook import voxel_figures
from pedseg.workbook.figures import png


def bead() -> Scan:
    """A spleen of 3 × 3 × 3 voxels of 1 mm in the middle of 9 × 9 × 9, the first voxel's center at (10, 20, 30) mm."""
    voxels, affine = np.zeros((9, 9, 9), np.uint8), np.eye(4)
    voxels[3:6, 3:6, 3:6], affine[:3, 3] = organ("Spleen").id, (10, 20, 30)
    return Scan(voxels, affine)


def test_the_edges_of_voxels_lie_half_a_voxel_from_their_centers():
    assert voxel_figures.edges_mm(resample(bead(), (3, 3, 3), order=0), 2).tolist() == [29.5, 32.5, 35.5, 38.5]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_an_organ_fills_the_voxels_of_a_coarse_grid_inside_its_own_contour(plane):
    fine = bead()
    figure = voxel_figures.label_grids(
        {"fine": fine, "coarse": resample(fine, (3, 3, 3), order=0)}, "Spleen", plane=plane
    )
    assert [axes.get_title() for axes in figure.axes] == ["fine\n27 voxels", "coarse\n1 voxels"]
    for axes, filled in zip(figure.axes, (9, 1), strict=True):
        mesh, outline = axes.collections
        inside = np.argwhere(mesh.get_array())
        assert len(inside) == filled
        corners = [mesh.get_coordinates()[tuple(where)] for where in (inside.min(axis=0), inside.max(axis=0) + 1)]
        assert np.allclose(corners, [[6, 6], [9, 9]])  # a margin of 6 mm, then the organ
        points = np.concatenate([path.vertices for path in outline.get_paths()])
        assert np.isclose(points.min(), 6) and np.isclose(points.max(), 9)
        assert np.allclose([axes.get_xlim(), axes.get_ylim()], [(15, 0), (0, 15)])


def test_patches_and_grids_can_be_drawn(toy):
    image, _ = toy
    patches = {"before": image.voxels, "after": image.voxels + 50}
    grids = voxel_figures.two_grids(image, resample(image, (6.0, 6.0, 6.0)))
    for figure in (voxel_figures.patches(patches, image.spacing_mm), grids):
        assert png(figure).startswith(b"\x89PNG")
    assert "6 × 6 × 6 mm" in grids.axes[1].get_title()
