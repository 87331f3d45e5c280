"""The page without a browser: what it says when things do not fit, what keys and jumps do, what a plain page shows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pedseg.errors import PedsegInputError, input_error
from pedseg.organs import EVALUATED, organ
from pedseg.scan import Scan
from pedseg.viewer import engines, shortcuts
from pedseg.viewer.case_list import SAMPLE, Child, Children
from pedseg.viewer.failure_list import Entry
from pedseg.viewer.reading_room import Room
from pedseg.workbook.slice_viewer import SliceViewer

SHAPE = (24, 22, 20)
LIVER, SPLEEN = organ("Liver").id, organ("Spleen").id


def seen(room: Room) -> Room:
    """As if a browser had opened the page."""
    room._seen("webgl")
    return room


@pytest.fixture
def room(scan, truth):
    other = np.where(truth == SPLEEN, LIVER, truth).astype(np.uint8)
    return seen(engines.view(scan, truth, {"one": truth.copy(), "two": other}, engine="room"))


def trouble(room: Room) -> str:
    return room.set.trouble.value


def test_a_model_draws_only_when_a_browser_looks(scan, truth):
    asked = []

    class Late(dict):
        def __getitem__(self, name):
            asked.append(name)
            return truth

    room = engines.view(scan, truth, Late(one=None), engine="room")
    assert asked == [] and len(room.slices.widget.layers) == 1
    seen(room)
    assert "one" in asked and [each["name"] for each in room.slices.widget.layers] == ["truth", "one"]


def test_a_prediction_on_another_grid_is_a_sentence_and_the_scan_stays(scan, truth):
    room = seen(engines.view(scan, truth, {"model": truth[:-1]}, engine="room"))
    assert "23 × 22 × 20 voxels, the scan 24 × 22 × 20" in trouble(room) and "Traceback" not in trouble(room)
    assert room.slices.widget.volumes and [each["name"] for each in room.slices.widget.layers] == ["truth"]


def test_an_empty_prediction_is_a_sentence(scan, truth):
    room = seen(engines.view(scan, truth, {"model": np.zeros_like(truth)}, engine="room"))
    assert "model drew nothing at all on this patient" in trouble(room)
    assert "missed" in room.box.organs.table.value


def test_a_flat_file_is_a_sentence():
    room = engines.view(Scan(np.zeros((24, 22, 1), np.int16), np.eye(4)), engine="room")
    assert "flat, not a volume" in trouble(room)


def test_the_table_says_what_colors_say(room):
    assert "<td>1.00</td>" in room.box.organs.table.value and "absent" in room.box.organs.table.value
    room.set.model.value = "two"
    assert "missed" in room.box.organs.table.value


def test_two_models_are_stepped_through(room):
    room.set.tabs.selected_index = 2
    assert "Choose a second model" in room.box.disagreements.total.value
    room.set.second.value = "two"
    assert "1 places, 5 mL together" in room.box.disagreements.total.value
    room.box.disagreements.step(1)
    assert room.slices.widget.layers[-1]["always"] and room.reading.truth[tuple(room.slices.widget.at)] == SPLEEN


def test_the_list_of_disagreements_follows_the_organs_that_are_on(room):
    room.set.second.value = "two"
    room.set.tabs.selected_index = list(room.set.tabs.children).index(room.box.disagreements)
    assert "1 places" in room.box.disagreements.total.value
    shortcuts.press(room, "e")
    room.box.organs.only([organ("Heart").id])
    assert "0 places" in room.box.disagreements.total.value


def test_surfaces_that_stay_are_not_sent_again(room):
    before = {name: dict(solid.meshes) for name, solid in room.box.solids.items()}
    room.set.model.value = "two"
    now = {name: solid.meshes for name, solid in room.box.solids.items()}
    assert set(now["truth"]) == {LIVER, SPLEEN} and set(now["model"]) == {LIVER}
    assert all(now["truth"][i] is mesh for i, mesh in before["truth"].items())
    assert now["model"][LIVER] is not before["model"][LIVER] and len(room.box.solids["model"].plot.objects) == 2
    room.set.coloring.value = "distance to truth"
    assert len(now["model"][LIVER].attribute) and now["truth"][LIVER] is before["truth"][LIVER]


def test_keys_set_window_layers_organs_and_pen(room):
    shortcuts.press(room, "3")
    assert room.set.window.value == "bone" and room.set.range.value == (-500, 1300)
    shortcuts.press(room, "t")
    assert room.slices.widget.look["hidden"] == [0]
    shortcuts.press(room, "f")
    assert room.slices.widget.look["fill"]
    room.go((15, 5, 5))
    shortcuts.press(room, "o")
    assert room.slices.widget.shown == [SPLEEN]
    shortcuts.press(room, "e")
    assert set(room.slices.widget.shown) == {organ(name).id for name in EVALUATED}
    shortcuts.press(room, "d")
    assert room.slices.widget.pen["on"] and len(room.slices.widget.drawing) == np.prod(SHAPE)
    shortcuts.press(room, "q")  # means nothing


def test_what_is_drawn_changes_the_numbers_and_can_be_saved(room, tmp_path, monkeypatch):
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path))
    assert room.corrections.start_from.options == ("one", "truth", "nothing")
    assert room.corrections.start_from.value == "one"
    room.corrections.on.value = True
    before = room.corrections.numbers.value
    assert "DSC <b>1.000</b>" in before
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[2:12, 4:14, 3:8] = 1  # half of the liver
    room.slices.widget.drawn = drawn.tobytes(order="F")
    assert "DSC <b>0.667</b>" in room.corrections.numbers.value and "−18.0 mL" in room.corrections.numbers.value
    room.corrections.keep.click()
    assert (tmp_path / "corrections" / "scan_Liver_corrected.nii.gz").is_file()
    assert "Saved as" in room.corrections.saved.value


def test_a_failure_whose_scan_is_not_here_is_only_a_sentence(room):
    before = room.reading
    room.jump(Entry("missed", ("Far", "far-1", "study"), "Liver", "one", 1.0, (1, 1, 1), "It draws none."))
    assert "far-1 is not on this machine" in trouble(room) and room.reading is before


@pytest.fixture
def two(scan, truth):
    """A page that has been seen, with one child that opens and one whose file is damaged."""

    def damaged():
        raise input_error("E-NIFTI-DAMAGED", "bad.nii.gz", "it is damaged.", "Copy it again.")

    whole = Child("Here", "good", SAMPLE, "a good child", lambda: (scan, Scan(truth, scan.affine)))
    children = Children([whole, Child("Here", "bad", SAMPLE, "a bad child", damaged)])
    return seen(Room(children, [], ["one"], lambda *_: {"one": truth.copy()}))


def test_a_patient_who_cannot_be_opened_is_a_sentence_that_stays(two):
    two.corrections.on.value = True
    two.set.patient.value = ("Here", "bad", SAMPLE)
    assert "bad.nii.gz: it is damaged. Copy it again. Still shown: a good child." in trouble(two)
    assert two.child.key == two.set.patient.value == ("Here", "good", SAMPLE)
    assert two.corrections.correction.reading is two.reading


def test_a_failure_of_a_patient_who_cannot_be_opened_moves_nothing(two):
    before = two.slices.at
    two.jump(Entry("missed", ("Here", "bad", SAMPLE), "Spleen", "one", 1.0, (1, 1, 1), "It draws none."))
    assert "it is damaged" in trouble(two) and two.slices.at == before and two.slices.widget.marker == []


def test_where_a_model_cannot_draw_nothing_is_drawn_in_its_name(scan, truth):
    room = seen(engines.view(scan, truth, {"good": truth.copy(), "bad": truth[:-1]}, engine="room"))
    room.set.model.value = "bad"
    assert "another grid" in trouble(room) and [each["name"] for each in room.slices.widget.layers] == ["truth"]
    room.slices.widget.heard("pedseg_hover", [1, 1, 1])
    assert "truth: no organ" in room.set.under.value and "bad" not in room.set.under.value


def test_a_drawing_ends_with_its_child_though_no_model_can_draw_the_next(scan, truth):
    def child(name):
        return Child("Here", name, SAMPLE, name, lambda: (scan, Scan(truth, scan.affine)))

    def predict(_, which):
        return {"one": truth.copy() if which.case == "first" else truth[:-1]}

    room = seen(Room(Children([child("first"), child("second")]), [], ["one"], predict))
    room.corrections.on.value = True
    room.set.patient.value = ("Here", "second", SAMPLE)
    assert "another grid" in trouble(room) and room.child.case == "second"
    assert room.corrections.correction is None and room.corrections.reading is room.reading
    assert room.corrections.start_from.options == ("truth", "nothing")


def test_a_correction_that_cannot_be_saved_is_a_sentence(room, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path / "a file"))
    room.corrections.on.value = True
    room.corrections.keep.click()
    assert "could not be" in trouble(room) and "Not saved." in room.corrections.saved.value


def test_a_failure_opens_model_organ_and_place(room):
    room.box.organs.only([])
    room.jump(Entry("missed", ("this scan", "scan", "sample"), "Spleen", "two", 1.0, (15, 5, 5), "It draws none."))
    assert room.set.model.value == "two" and room.slices.widget.at == room.slices.widget.marker == [15, 5, 5]
    assert room.slices.widget.shown == [SPLEEN] and room.slices.widget.focus == SPLEEN


def test_where_no_widgets_are_known_a_picture_is_shown(room):
    data, metadata = room._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("Axial slice")


def test_the_engine_is_chosen_by_place_and_can_be_forced(monkeypatch, scan, truth):
    for variable in ("PEDSEG_VIEWER", "VSCODE_PID", "VSCODE_CWD"):
        monkeypatch.delenv(variable, raising=False)
    assert engines.choose() == "room"
    monkeypatch.setenv("VSCODE_PID", "1")
    assert engines.choose() == "pictures" and engines.choose("room") == "room"
    assert isinstance(engines.view(scan, truth), SliceViewer)
    monkeypatch.setenv("PEDSEG_VIEWER", "room")
    assert isinstance(engines.view(scan, truth), Room)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(PedsegInputError, match="ipyniivue, k3d, fast_simplification is not installed"):
        engines.choose()
    monkeypatch.delenv("PEDSEG_VIEWER")
    assert engines.choose() == "pictures"
    with pytest.raises(PedsegInputError, match="Choose room, pictures, itk"):
        engines.choose("vtk")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [({}, "cannot be fetched in this session"), ({"SERVER_SOFTWARE": "voila/0.5.13"}, "does not run in a Voilà page")],
)
def test_itkwidgets_says_in_a_sentence_what_is_missing(monkeypatch, scan, variables, sentence):
    for name, value in ({"PEDSEG_ITK": "", "SERVER_SOFTWARE": ""} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PedsegInputError, match=sentence):
        engines.view(scan, engine="itk")
    assert "itkwidgets" not in sys.modules


def test_nothing_of_the_room_imports_itkwidgets_or_a_browser():
    code = "import sys, pedseg.viewer.reading_room; print({'itkwidgets', 'imjoy_rpc', 'playwright'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
