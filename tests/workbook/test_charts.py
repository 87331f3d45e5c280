"""Charts say what their numbers say, and say it without color too."""

from __future__ import annotations

import numpy as np

from pedseg.scan import resample
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


def test_the_table_prints_every_number_and_a_dash_for_none():
    figure = charts.table({"federated": {"Polder": 0.9, "Neckar": 0.88}, "pooled": {"Polder": 0.91}})
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.900", "0.880", "0.910", "–"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["federated", "pooled"]


def test_dots_have_their_intervals():
    figure = charts.dots({"local": {"Liver": (0.9, 0.8, 0.95)}, "federated": {"Spleen": (0.7, 0.6, 0.75)}})
    bars = [container.lines[2][0].get_segments()[0] for container in figure.axes[0].containers]
    assert np.allclose(bars[0][:, 0], [0.8, 0.95]) and np.allclose(bars[1][:, 0], [0.6, 0.75])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["liver", "spleen"]


def test_a_histogram_finds_the_peak_of_each_tissue(toy):
    image, labels = toy
    figure = charts.histogram(
        {"liver": image.voxels[labels == 1], "all": image.voxels}, windows=["soft tissue", "lung"]
    )
    hu, share = figure.axes[0].lines[0].get_data()
    assert abs(hu[np.argmax(share)] - 60) < 15 and share.max() == 1


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
