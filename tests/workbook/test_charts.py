"""Charts say what their numbers say, and say it without color too."""

from __future__ import annotations

import numpy as np

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


def test_the_band_is_a_bar_with_its_median_and_the_models_are_on_it():
    models = {"federated": {"median": 0.95}, "home": {"median": 0.91}, "away": {"median": 0.85}}
    line = {"organ": "Liver", "median": 0.92, "low": 0.9, "high": 0.94, "models": models}
    axes = charts.beside_band([line]).axes[0]
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_width()) == (0.9, np.float64(0.94 - 0.9))
    middle, *marks = axes.lines
    assert list(middle.get_xdata()) == [0.92, 0.92]
    assert [mark.get_xdata()[0] for mark in marks] == [0.95, 0.91, 0.85]
    assert len({mark.get_marker() for mark in marks}) == 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["liver"]


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


def test_a_bar_chart_prints_its_numbers():
    figure = charts.bars({"Polder": 1.5, "Neckar": 2.25}, x="MB")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.5", "2.25"]
    assert png(figure).startswith(b"\x89PNG")
