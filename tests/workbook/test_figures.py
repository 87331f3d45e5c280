"""Slices hang as radiologists hang them, lines lie where the organs lie, and pictures can be read aloud."""

from __future__ import annotations

import html
import io
import re

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter
from PIL import Image
from skimage import measure

from pedseg.organs import ORGANS, organ
from pedseg.scan import Scan
from pedseg.workbook import figures


def pixels(figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figures.png(figure))).convert("L"), float)


def bare(image: Scan, plane: str, index: int) -> np.ndarray:
    """The gray picture alone, without letters, as (row from the top, column from the left)."""
    figure = figures.Figure(figsize=(4, 4))
    axes = figure.add_axes((0, 0, 1, 1))
    figures.draw_slice(axes, image, plane, index)
    for text in axes.texts:
        text.set_visible(False)
    axes.set_aspect("auto")
    return pixels(figure)


@pytest.mark.parametrize(
    ("plane", "axis", "direction", "side"),
    [
        ("axial", 0, "right", "left"),
        ("axial", 1, "anterior", "top"),
        ("coronal", 0, "right", "left"),
        ("coronal", 2, "superior", "top"),
        ("sagittal", 1, "anterior", "left"),
        ("sagittal", 2, "superior", "top"),
    ],
)
def test_radiological_convention(plane, axis, direction, side):
    """A bright half towards one side of the patient appears on the agreed side of the picture."""
    voxels = np.full((10, 10, 10), -1000.0)
    voxels[tuple(slice(5, 10) if a == axis else slice(None) for a in range(3))] = 1000.0
    picture = bare(Scan(voxels, np.eye(4)), plane, 5)
    half = picture.shape[0] // 2
    bright, dark = {
        "left": (picture[:, : half - 40], picture[:, half + 40 :]),
        "top": (picture[: half - 40], picture[half + 40 :]),
    }[side]
    assert bright.mean() > 250 and dark.mean() < 5


def test_lengths_are_true_to_scale(toy):
    image, _ = toy
    figure = figures.planes_figure(image)
    figure.draw_without_rendering()
    for axes, plane in zip(figure.axes, figures.PLANES, strict=True):
        box = axes.get_position().width * figure.get_figwidth(), axes.get_position().height * figure.get_figheight()
        width, height = figures.size_mm(image.shape, image.spacing_mm, plane)
        assert box[0] / box[1] == pytest.approx(width / height, rel=0.01)


def test_slices_in_rows_are_as_large_as_the_wider_figure_allows(toy):
    image, labels = toy
    pictures = {str(number): (image, {"truth": labels, "prediction": labels}) for number in range(5)}
    figure = figures.slices_figure(pictures, columns=2)
    figure.draw_without_rendering()
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == [*pictures] and len(figure.axes) == 6
    widths = [axes.get_position().width * figure.get_figwidth() for axes in shown]
    assert figure.get_figwidth() > 11 and min(widths) == pytest.approx(max(widths)) and min(widths) > 5
    tops = [round(axes.get_position().y1, 3) for axes in shown]
    assert tops[0] == tops[1] > tops[2] == tops[3] > tops[4]


def test_the_side_letters():
    figure = figures.Figure()
    axes = figure.subplots()
    figures.prepare_axes(axes, 100, 100, "axial")
    assert [(text.get_text(), text.get_position()) for text in axes.texts][:2] == [
        ("R", (0.03, 0.5)),
        ("L", (0.97, 0.5)),
    ]


def test_contours_of_a_known_box():
    labels = np.zeros((6, 8), np.uint8)  # (up, across)
    labels[2:4, 1:5] = organ("Liver").id
    (line,) = figures.contours(labels, [organ("Liver")], (2.0, 3.0))[0]
    assert (line.min(axis=0) == [1 * 2.0, 2 * 3.0]).all()
    assert (line.max(axis=0) == [5 * 2.0, 4 * 3.0]).all()


def test_contours_equal_those_of_skimage(toy):
    _, labels = toy
    piece = figures.cut(labels, "coronal", 33)
    liver = organ("Liver")
    ours = figures.contours(piece, [liver], (1.0, 1.0))[0]
    theirs = measure.find_contours(np.pad(piece == liver.id, 1).astype(float), 0.5)
    assert len(ours) == len(theirs) == 1
    assert {tuple(point) for point in ours[0]} == {(x - 0.5, y - 0.5) for y, x in theirs[0]}


def test_an_organ_at_the_edge_is_closed_and_a_missing_one_has_no_line():
    labels = np.full((4, 4), organ("Liver").id, np.uint8)
    lines = figures.contours(labels, [organ("Liver"), organ("Heart")], (1.0, 1.0))
    assert len(lines[0]) == 1 and (lines[0][0][0] == lines[0][0][-1]).all()
    assert lines[1] == []


def test_truth_is_solid_and_prediction_dashed(toy):
    image, labels = toy
    figure = figures.slice_figure(image, index=14, truth=labels, prediction=labels, organs=["Liver"])
    solid, dashed = figure.axes[0].collections
    assert solid.get_linestyle()[0][1] is None and dashed.get_linestyle()[0][1] is not None
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["liver", "reference (solid)", "prediction (dashed)"]


def test_with_one_map_every_organ_keeps_its_own_line_style():
    labels = np.zeros((12, 6, 3), np.uint8)
    labels[1:4, 1:4], labels[6:9, 1:4] = organ("Liver").id, organ("Pancreas").id
    figure = figures.slice_figure(Scan(labels.astype(float), np.eye(4)), index=1, prediction=labels)
    dashes = [collection.get_linestyle()[0][1] for collection in figure.axes[0].collections]
    assert dashes[0] is None and dashes[1] is not None


def test_the_key_names_only_what_is_seen(toy):
    image, labels = toy
    figure = figures.slice_figure(image, index=12, truth=labels)  # below lungs and spleen
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"liver", "left kidney", "right kidney"}


def test_fullest_slice(toy):
    _, labels = toy
    axial = figures.fullest(labels)
    assert {"Liver", "Kidney_L", "Kidney_R"} <= set(figures.organs_in(labels[:, :, axial]))
    for name in ("Liver", "Spleen", "Kidney_L", "Kidney_R", "Lung_L"):
        areas = (labels == organ(name).id).sum(axis=(0, 1))
        assert figures.fullest(labels, organs=[name]) == areas.argmax()


def test_fullest_slice_counts_cuts_by_their_size():
    labels = np.zeros((10, 10, 4), np.uint8)
    labels[0, 0, 0], labels[1, 0, 0], labels[2, 0, 0] = 1, 2, 3  # three tips
    labels[:5, :, 2], labels[5:, :, 2] = 1, 2  # two organs at their largest
    labels[:5, :2, 3] = 3
    assert figures.fullest(labels) == 2
    assert figures.fullest(labels, organs=[ORGANS[2].name]) == 3


def test_a_shown_figure_carries_its_alt_text(toy):
    image, _ = toy
    shown = figures.show(figures.slice_figure(image), 'A slice of "liver"')
    data, metadata = shown._repr_mimebundle_()
    assert "image/png" in data and metadata["image/png"]["alt"] == 'A slice of "liver"'
    assert data["text/html"].startswith(
        '<img alt="A slice of &quot;liver&quot;" width="400" src="data:image/png;base64,'
    )


def test_the_alt_text_reaches_the_page(toy):
    """JupyterLab and nbconvert ignore the alt text in the metadata of a PNG."""
    data, metadata = figures.show(figures.slice_figure(toy[0]), 'A slice of "liver" & more')._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (tag,) = re.findall(r'<img [^>]*src="data:image/png[^>]*>', page)
    assert 'A slice of "liver" & more' in html.unescape(tag)


def test_no_two_organs_look_alike():
    assert len({(one.color, one.line) for one in ORGANS}) == len(ORGANS)


def test_a_scan_without_hu_is_brought_into_the_window():
    voxels = np.arange(1000.0).reshape(10, 10, 10)
    shown = figures.rescale_to_window(Scan(voxels, np.eye(4)), percent=100)
    assert (shown.voxels.min(), shown.voxels.max()) == (-160, 240)
    assert not np.isnan(figures.rescale_to_window(Scan(0 * voxels, np.eye(4))).voxels).any()
