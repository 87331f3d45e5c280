"""The slice viewer without a front end: what is drawn, what is said, and what a page without widgets shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pedseg.organs import organ
from pedseg.workbook.figures import PLANES, fullest
from pedseg.workbook.slice_viewer import CaseImages, SliceViewer, describe, view


@pytest.fixture
def prediction(toy):
    """The truth without its left kidney, and with a false bladder."""
    labels = toy[1].copy()
    labels[labels == organ("Kidney_L").id] = 0
    labels[40:44, 8:12, 10:16] = organ("Bladder").id
    return labels


@pytest.fixture
def viewer(toy, prediction):
    return view(*toy, {"federated": prediction})


def picture(viewer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(viewer.picture.value)), int)


def colored(viewer, name: str) -> int:
    """How many pixels have about the color of an organ."""
    color = [int(organ(name).color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture(viewer) - color).max(axis=2) < 25).sum())


def test_it_opens_where_most_organs_are(viewer, toy):
    assert viewer.plane.value == "axial"
    assert (viewer.slice.min, viewer.slice.max) == (1, toy[0].shape[2])  # counted as in the words
    assert viewer.slice.value == viewer.index + 1 == fullest(toy[1]) + 1
    assert picture(viewer).shape == (620, 620, 3)


def test_organs_can_be_switched_off_and_on_by_group(viewer):
    assert colored(viewer, "Liver") > 50
    viewer.organs["Liver"].value = False
    assert colored(viewer, "Liver") == 0
    viewer.toggle("abdomen")
    assert viewer.organs["Liver"].value and viewer.organs["Spleen"].value
    viewer.toggle("abdomen")
    assert not viewer.organs["Spleen"].value and viewer.organs["Kidney_R"].value


def test_truth_and_prediction_can_be_switched_off(viewer):
    viewer.truth.value = False
    assert colored(viewer, "Kidney_L") == 0 and colored(viewer, "Liver") > 20
    viewer.prediction.value = False
    assert colored(viewer, "Liver") == 0


def test_a_window_changes_the_picture(viewer):
    before = picture(viewer)
    viewer.window.value = "lung"
    assert (before != picture(viewer)).mean() > 0.2


def test_every_plane_has_its_own_slices(viewer, toy):
    for plane, (axis, *_) in PLANES.items():
        viewer.plane.value = plane
        assert viewer.slice.max == toy[0].shape[axis]
        viewer.slice.value = viewer.slice.max
        assert f"{plane.capitalize()} slice {toy[0].shape[axis]} of" in viewer.words.value


def test_one_drawing_for_one_change(viewer, monkeypatch):
    drawn = []
    monkeypatch.setattr(viewer.canvas, "draw", lambda *arguments: drawn.append(arguments) or b"")
    viewer.plane.value = "coronal"
    viewer.toggle("chest")
    assert len(drawn) == 2


def test_the_words_name_what_was_missed_and_what_was_invented(toy, prediction):
    said = describe(toy[0], "axial", 12, toy[1], prediction)
    assert "Missed: left kidney." in said and "Predicted but not there: bladder." in said
    assert "60 mm from the first" in said
    assert "Missed" not in describe(toy[0], "axial", 12, toy[1], None)


def test_a_second_child_is_loaded_when_it_is_chosen(toy, prediction):
    image, labels = toy
    opened = []

    def case(name, images):
        return lambda: opened.append(name) or images

    smaller = CaseImages(
        type(image)(image.voxels[:, :, :30], image.affine), labels[:, :, :30], {"federated": labels[:, :, :30]}
    )
    viewer = SliceViewer(
        {"a": case("a", CaseImages(image, labels, {"federated": prediction})), "b": case("b", smaller)}
    )
    viewer.slice.value = 45
    viewer.case.value = "b"
    assert opened == ["a", "b"] and viewer.slice.max == 30 and viewer.model.value == "federated"


def test_a_scan_without_contours_can_be_viewed(toy):
    alone = view(toy[0])
    assert alone.index == toy[0].shape[2] // 2
    assert alone.layers == (None, None)


def test_where_no_widgets_are_known_a_picture_is_shown(viewer):
    data, metadata = viewer._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/html"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("Axial slice")
