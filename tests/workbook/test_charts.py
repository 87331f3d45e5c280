"""Charts say what their numbers say, and say it without color too."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.organs import organ
from pedseg.scan import Scan, resample
from pedseg.workbook import charts
from pedseg.workbook.figures import png


def test_learning_curves_smooth_by_a_running_mean():
    figure = charts.learning_curves(
        {"Polder": [(1, 1.0), (2, 3.0), (3, 5.0)], "Neckar": [(1, 2.0)], "empty": []}, smooth=2
    )
    lines = figure.axes[0].lines
    assert lines[0].get_xydata().tolist() == [[2, 2.0], [3, 4.0]]
    assert lines[1].get_xydata().tolist() == [[1, 2.0]]
    assert lines[0].get_linestyle() != lines[1].get_linestyle()


def test_repeated_values_stand_at_their_level_and_the_line_goes_through_their_mean():
    values = {"2 hospitals": {0.0: [0.5, 0.7], 0.1: [0.2, 0.2]}, "5 hospitals": {0.0: [0.6], 0.1: [0.4]}}
    figure = charts.by_level(values, {0.0: "none", 0.1: "a tenth"}, x="noise", y="mean DSC")
    line, marks, *_ = figure.axes[0].lines
    assert np.allclose(line.get_ydata(), [0.6, 0.2])
    assert sorted(marks.get_xydata().tolist()) == [[0, 0.5], [0, 0.7], [1, 0.2], [1, 0.2]]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["none", "a tenth"]


def test_the_table_prints_every_number_and_a_dash_for_none():
    figure = charts.table({"federated": {"Polder": 0.9, "Neckar": 0.88}, "pooled": {"Polder": 0.91}})
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.900", "0.880", "0.910", "–"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["federated", "pooled"]


def test_dots_have_their_intervals():
    figure = charts.dots({"local": {"Liver": (0.9, 0.8, 0.95)}, "federated": {"Spleen": (0.7, 0.6, 0.75)}})
    bars = [container.lines[2][0].get_segments()[0] for container in figure.axes[0].containers]
    assert np.allclose(bars[0][:, 0], [0.8, 0.95]) and np.allclose(bars[1][:, 0], [0.6, 0.75])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["liver", "spleen"]


def test_rows_that_are_no_organs_keep_their_names_and_zero_is_marked_on_demand():
    figure = charts.dots({"local": {"80 kV": (0.1, -0.1, 0.2)}}, zero=True)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["80 kV"]
    assert [0, 0] in [list(line.get_xdata()) for line in figure.axes[0].lines]
    plain = charts.dots({"local": {"80 kV": (0.1, -0.1, 0.2)}})
    assert [0, 0] not in [list(line.get_xdata()) for line in plain.axes[0].lines]


def test_a_histogram_finds_the_peak_of_each_tissue(toy):
    image, labels = toy
    figure = charts.histogram(
        {"liver": image.voxels[labels == 1], "all": image.voxels}, windows=["soft tissue", "lung"]
    )
    hu, share = figure.axes[0].lines[0].get_data()
    assert abs(hu[np.argmax(share)] - 60) < 15 and share.max() == 1


def test_growth_curves_stand_on_a_scale_of_factors_with_their_names_at_the_end():
    figure = charts.growth({"Liver": [(1, 300.0), (10, 800.0)], "Spleen": [(1, 30.0)]}, {"Liver": [(5, 500.0)]})
    axes = figure.axes[0]
    assert axes.get_yscale() == "log" and [text.get_text() for text in axes.texts] == ["Liver", "Spleen"]
    curve, dots, other = axes.lines
    assert curve.get_xydata().tolist() == [[1, 300], [10, 800]] and dots.get_xydata().tolist() == [[5, 500]]
    assert dots.get_linestyle() == "None" and curve.get_linestyle() != other.get_linestyle()


def bead() -> Scan:
    """A spleen of 3 × 3 × 3 voxels of 1 mm in the middle of 9 × 9 × 9, the first voxel's center at (10, 20, 30) mm."""
    voxels, affine = np.zeros((9, 9, 9), np.uint8), np.eye(4)
    voxels[3:6, 3:6, 3:6], affine[:3, 3] = organ("Spleen").id, (10, 20, 30)
    return Scan(voxels, affine)


def test_the_edges_of_voxels_lie_half_a_voxel_from_their_centers():
    assert charts.edges_mm(resample(bead(), (3, 3, 3), order=0), 2).tolist() == [29.5, 32.5, 35.5, 38.5]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_an_organ_fills_the_voxels_of_a_coarse_grid_inside_its_own_contour(plane):
    fine = bead()
    figure = charts.label_grids({"fine": fine, "coarse": resample(fine, (3, 3, 3), order=0)}, "Spleen", plane=plane)
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


def test_all_charts_can_be_drawn(toy):
    image, _ = toy
    drawn = [
        charts.bars({"Polder": 1.5, "Neckar": 2.25}, x="MB"),
        charts.strip({"before": image.voxels, "after": image.voxels + 50}, image.spacing_mm, window_name="soft tissue"),
        charts.grids(image, resample(image, (6.0, 6.0, 6.0))),
    ]
    for figure in drawn:
        assert png(figure).startswith(b"\x89PNG")
    assert "6 × 6 × 6 mm" in drawn[2].axes[1].get_title()
