"""The page without a browser: what it says when things do not fit, what keys and jumps do, what a plain page shows."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest

from pedseg.errors import PedsegInputError, input_error
from pedseg.organs import EVALUATED, organ
from pedseg.scan import Scan
from pedseg.viewer import engines
from pedseg.viewer.case_list import FINE, SAMPLE, STUDY, CaseKey, ListedCase
from pedseg.viewer.failure_list import FailureEntry, ModelFailure
from pedseg.viewer.reading_room import ReadingRoom
from pedseg.workbook.slice_viewer import SliceViewer

SHAPE = (24, 22, 20)
LIVER, SPLEEN = organ("Liver").id, organ("Spleen").id


def seen(room: ReadingRoom) -> ReadingRoom:
    """As if a browser had opened the page."""
    room.slices.webgl, room.slices.ready = "ok", "1"
    return room


def missed(case_key, organ_name, model, voxel) -> FailureEntry:
    return FailureEntry(case_key, organ_name, (ModelFailure(model, "missed", "It draws none.", voxel),))


@pytest.fixture
def room(scan, truth):
    other = np.where(truth == SPLEEN, LIVER, truth).astype(np.uint8)
    return seen(engines.view(scan, truth, {"one": truth.copy(), "two": other}, engine="canvas"))


def error(room: ReadingRoom) -> str:
    return room.controls.error.value


def test_a_model_draws_only_when_a_browser_looks(scan, truth):
    asked = []

    class Late(dict):
        def __getitem__(self, name):
            asked.append(name)
            return truth

    room = engines.view(scan, truth, Late(one=None), engine="canvas")
    assert asked == [] and len(room.slices.layers) == 1
    seen(room)
    assert "one" in asked and [layer["name"] for layer in room.slices.layers] == ["truth", "one"]


def test_a_prediction_on_another_grid_is_a_sentence_and_the_scan_stays(scan, truth):
    room = seen(engines.view(scan, truth, {"model": truth[:-1]}, engine="canvas"))
    assert "23 × 22 × 20 voxels, the scan 24 × 22 × 20" in error(room) and "Traceback" not in error(room)
    assert room.slices.scan["shape"] == [24, 22, 20] and [layer["name"] for layer in room.slices.layers] == ["truth"]


def test_an_empty_prediction_is_a_sentence(scan, truth):
    room = seen(engines.view(scan, truth, {"model": np.zeros_like(truth)}, engine="canvas"))
    assert "model drew nothing at all on this patient" in error(room)
    assert "missed" in room.views.organs.table.value


def test_a_flat_file_is_a_sentence():
    room = engines.view(Scan(np.zeros((24, 22, 1), np.int16), np.eye(4)), engine="canvas")
    assert "flat, not a volume" in error(room)


def test_the_table_says_what_colors_say(room):
    assert "<td>1.00</td>" in room.views.organs.table.value and "absent" in room.views.organs.table.value
    room.controls.model.value = "two"
    assert "missed" in room.views.organs.table.value


def test_two_models_are_stepped_through(room):
    room.controls.tabs.selected_index = 2
    assert "0 places" in room.views.disagreements.total.value  # of the truth and the first model
    room.controls.second.value = "two"
    assert "1 places, 5 mL together" in room.views.disagreements.total.value
    room.views.disagreements.step(1)
    assert room.slices.layers[-1]["always"] and room.case_view.truth[tuple(room.slices.crosshair)] == SPLEEN
    assert room.slices.marker == room.slices.crosshair  # and no longer round the last failure


def test_the_list_of_disagreements_follows_the_organs_that_are_on(room):
    room.controls.second.value = "two"
    room.controls.tabs.selected_index = list(room.controls.tabs.children).index(room.views.disagreements)
    assert "1 places" in room.views.disagreements.total.value
    room.press("e")
    room.views.organs.set_visible([organ("Heart").id])
    assert "0 places" in room.views.disagreements.total.value


def test_surfaces_that_stay_are_not_sent_again(room):
    before = {name: dict(plot.meshes) for name, plot in room.views.plots.items()}
    room.controls.model.value = "two"
    now = {name: plot.meshes for name, plot in room.views.plots.items()}
    assert set(now["reference"]) == {LIVER, SPLEEN} and set(now["model"]) == {LIVER}
    assert all(now["reference"][i] is mesh for i, mesh in before["reference"].items())
    assert now["model"][LIVER] is not before["model"][LIVER] and len(room.views.plots["model"].plot.objects) == 2
    room.controls.coloring.value = "distance to A"
    assert len(now["model"][LIVER].attribute) and now["reference"][LIVER] is before["reference"][LIVER]


def test_keys_set_window_layers_organs_and_pen(room):
    room.press("3")
    assert room.controls.window.value == "bone" and room.controls.range.value == (-500, 1300)
    room.press("t")
    assert room.slices.contour_style["hidden"] == [0]
    room.press("f")
    assert room.slices.contour_style["fill"]
    room.navigation.move_crosshair((15, 5, 5))
    room.press("o")
    assert room.slices.visible_organs == [SPLEEN]
    room.press("e")
    assert set(room.slices.visible_organs) == {organ(name).id for name in EVALUATED}
    room.press("v")
    assert not room.slices.contour_style["smooth"]
    room.press("d")
    assert room.slices.pen["on"] and room.slices.session == 1
    room.press("x")
    room.press("]")
    assert room.slices.pen["tool"] == "eraser" and room.slices.pen["radius_mm"] > 4
    room.press("q")  # means nothing


def test_the_window_is_what_all_controls_say(room):
    room.slices.window = [-300, 300]  # dragged with the mouse
    assert room.controls.range.value == (-300, 300) and room.controls.window.value is None
    room.controls.window.value = "soft tissue"
    assert room.slices.window == [-160, 240] and room.controls.range.value == (-160, 240)
    room.controls.range.value = (-500, 1300)
    assert room.controls.window.value == "bone" and room.slices.window == [-500, 1300]
    room.reset()
    assert room.controls.window.value == "soft tissue" and room.slices.reset_count == 1


def stroke(room, box, mask) -> None:
    bits = np.packbits(mask.ravel(order="F"), bitorder="little").tobytes()
    room.slices._receive({"event": "stroke", "scan": room.slices.scan["id"], "box": list(box)}, [bits])


def with_drafts(room, folder) -> None:
    """The pen on the liver of the room, its drafts in a folder."""
    room.corrections.set_case(room.case_view, folder / "drafts" / "scan")
    room._list_sets()
    room.corrections.on.value = True


@pytest.fixture
def drawing(room, tmp_path, monkeypatch):
    """The room with the pen on the liver, and its drafts in a folder."""
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path))
    with_drafts(room, tmp_path)
    return room


def test_what_is_drawn_changes_the_numbers_and_is_kept(drawing, tmp_path):
    assert drawing.corrections.start_from.options == (
        ("one", "one"),
        ("two", "two"),
        ("truth", "truth"),
        ("nothing", "nothing"),
    )
    assert "DSC <b>1.000</b>" in drawing.corrections.scores.value
    stroke(drawing, (2, 4, 8, 10, 10, 5), np.zeros((10, 10, 5), bool))  # half of the liver goes
    text = drawing.corrections.scores.value
    assert "against truth: DSC <b>0.667</b>" in text and "−18.0 mL" in text
    assert (tmp_path / "drafts" / "scan" / "Liver.npz").is_file()
    assert drawing.case_view.sets[-1] == "corrected" and "corrected" in dict(drawing.controls.model.options).values()
    assert (drawing.case_view.segmentation("corrected").labels == LIVER).sum() == 500
    drawing.press("u")
    assert "DSC <b>1.000</b>" in drawing.corrections.scores.value
    drawing.press("y")
    assert "DSC <b>0.667</b>" in drawing.corrections.scores.value
    drawing.corrections.organ.value = "Spleen"
    assert "spleen: <b>5.2 mL</b>" in drawing.corrections.scores.value
    drawing.corrections.organ.value = "Liver"
    assert "DSC <b>0.667</b>" in drawing.corrections.scores.value  # nothing was dropped
    assert "Drafts kept: liver." in drawing.corrections.drafted.value


def test_a_draft_is_there_again_when_the_case_is_opened_again(drawing, scan, truth, tmp_path):
    stroke(drawing, (2, 4, 3, 1, 1, 1), np.zeros((1, 1, 1), bool))
    again = seen(engines.view(scan, truth, {"one": truth.copy()}, engine="canvas"))
    with_drafts(again, tmp_path)
    assert "−0.0 mL" in again.corrections.scores.value and again.corrections.draft.mask.sum() == 999


def test_a_stroke_for_another_scan_is_passed_over(drawing):
    before = drawing.corrections.draft.mask.copy()
    drawing.slices._receive({"event": "stroke", "scan": "none", "box": [0, 0, 0, 1, 1, 1]}, [b"\1"])
    np.testing.assert_array_equal(drawing.corrections.draft.mask, before)


def test_scan_and_mask_reach_the_browser_piece_by_piece(drawing, monkeypatch, scan):
    sent = []
    monkeypatch.setattr(drawing.slices, "send", lambda content, buffers: sent.append((content, *buffers)))
    drawing.slices._receive({"event": "slices", "scan": drawing.slices.scan["id"], "data": [4, 6]}, [])
    voxels = np.frombuffer(sent[-1][1], np.int16).reshape(24, 22, 2, order="F")
    np.testing.assert_array_equal(voxels, scan.voxels[:, :, 4:6])
    drawing.slices._receive({"event": "mask"}, [])
    assert sent[-1][0]["box"] == [2, 4, 3, 10, 10, 10] and sent[-1][0]["fresh"]
    assert zlib.decompress(sent[-1][1]) == b"\1" * 1000


def test_no_webgl_and_a_lost_context_are_said_and_the_slices_stay(room):
    room.slices.webgl = "lost"
    assert "Slices, contours and pen work on" in room.controls.info_3d.value and not room.controls.plots_3d.children
    assert room.controls.again_3d.layout.display is None
    room.controls.again_3d.click()
    assert len(room.controls.plots_3d.children) == 2 and room.views.plots["reference"].meshes
    room.slices.webgl = "none"
    room.controls.model.value = "two"
    assert "needs WebGL 2" in room.controls.info_3d.value and len(room.slices.layers) == 2


def test_a_failure_whose_scan_is_not_here_is_only_a_sentence(room):
    before = room.case_view
    room.open_failure(missed(CaseKey("Far", "far-1", "study"), "Liver", "one", (1, 1, 1)))
    assert "far-1 is not on this machine" in error(room) and room.case_view is before


@pytest.fixture
def two(scan, truth):
    """A page that has been seen, with one child that opens and one whose file is damaged."""

    def damaged():
        raise input_error("E-NIFTI-DAMAGED", "bad.nii.gz", "it is damaged.", "Copy it again.")

    whole = ListedCase(CaseKey("Here", "good", SAMPLE), "a good child", lambda: (scan, Scan(truth, scan.affine)))
    bad = ListedCase(CaseKey("Here", "bad", SAMPLE), "a bad child", damaged)
    return seen(ReadingRoom({case.key: case for case in (whole, bad)}, [], ["one"], lambda *_: {"one": truth.copy()}))


def test_a_patient_who_cannot_be_opened_is_a_sentence_that_stays(two):
    two.corrections.on.value = True
    two.controls.patient.value = ("Here", "bad", SAMPLE)
    assert "bad.nii.gz: it is damaged. Copy it again. Still shown: a good child." in error(two)
    assert two.case.key == two.controls.patient.value == ("Here", "good", SAMPLE)
    assert two.corrections.draft is not None and two.corrections.case_view is two.case_view


def test_a_failure_of_a_patient_who_cannot_be_opened_moves_nothing(two):
    before = list(two.slices.crosshair)
    two.open_failure(missed(CaseKey("Here", "bad", SAMPLE), "Spleen", "one", (1, 1, 1)))
    assert "it is damaged" in error(two) and two.slices.crosshair == before and two.slices.marker == []


def test_where_a_model_cannot_draw_nothing_is_drawn_in_its_name(scan, truth):
    room = seen(engines.view(scan, truth, {"good": truth.copy(), "bad": truth[:-1]}, engine="canvas"))
    room.controls.model.value = "bad"
    assert "another grid" in error(room) and [layer["name"] for layer in room.slices.layers] == ["truth"]
    room.slices._receive({"event": "hover", "data": [1, 1, 1]}, [])
    assert "truth: no organ" in room.controls.pointer_info.value and "bad" not in room.controls.pointer_info.value


def test_a_link_to_a_failure_brings_its_tab_to_the_front(scan, truth):
    case = ListedCase(CaseKey("Here", "good", SAMPLE), "a good child", lambda: (scan, Scan(truth, scan.affine)))
    entry = missed(case.key, "Spleen", "one", (15, 5, 5))
    room = seen(ReadingRoom({case.key: case}, [entry], ["one"], lambda *_: {"one": truth.copy()}))
    room.controls.tabs.selected_index = 3
    room.press("n")  # stepping through the list leaves what is in front
    assert room.controls.tabs.selected_index == 3
    room.failures.map.fragment = entry.fragment
    assert room.controls.tabs.selected_index == 3  # it is open already
    room.set_failures([entry])
    room.failures.map.fragment = entry.fragment
    assert room.views.is_open(room.failures) and room.slices.crosshair == [15, 5, 5]


def test_the_same_child_in_finer_voxels_is_shown_at_the_same_place(scan, truth):
    fine = Scan(np.zeros((72, 66, 40), np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    cases = [
        ListedCase(CaseKey("Here", name, STUDY), name, lambda: (scan, Scan(truth, scan.affine))) for name in ("1", "2")
    ]
    cases.append(ListedCase(CaseKey("Here, fine", "2", FINE), "2", lambda: (fine, None)))
    room = seen(ReadingRoom({case.key: case for case in cases}, [], ["one"], lambda *_: {}))
    room.controls.patient.value = cases[1].key
    room.navigation.move_crosshair((3, 4, 5))
    room.controls.center.value = "Here, fine"
    assert room.slices.scan["shape"] == [72, 66, 40] and room.slices.crosshair == [9, 12, 10]
    room.controls.center.value = "Here"
    assert room.case.key == cases[1].key and room.slices.crosshair == [3, 4, 5]


def test_a_drawing_ends_with_its_child_though_no_model_can_draw_the_next(scan, truth):
    def listed(name):
        return ListedCase(CaseKey("Here", name, SAMPLE), name, lambda: (scan, Scan(truth, scan.affine)))

    def predict(_, which, anyway):
        return {"one": truth.copy() if which.key.case == "first" else truth[:-1]}

    cases = {case.key: case for case in (listed("first"), listed("second"))}
    room = seen(ReadingRoom(cases, [], ["one"], predict))
    room.corrections.on.value = True
    room.controls.patient.value = ("Here", "second", SAMPLE)
    assert "another grid" in error(room) and room.case.key.case == "second"
    assert room.corrections.draft is None and room.corrections.case_view is room.case_view


def test_a_draft_that_cannot_be_kept_is_a_sentence(room, tmp_path):
    (tmp_path / "a file").write_text("")
    room.corrections.set_case(room.case_view, tmp_path / "a file" / "drafts")
    room.corrections.on.value = True
    stroke(room, (0, 0, 0, 1, 1, 1), np.ones((1, 1, 1), bool))
    assert "could not be" in error(room)


def test_a_failure_opens_model_organ_and_place(room):
    room.views.organs.set_visible([])
    room.open_failure(missed(CaseKey("this scan", "scan", SAMPLE), "Spleen", "two", (15, 5, 5)))
    assert room.controls.model.value == "two" and room.slices.crosshair == room.slices.marker == [
        15,
        5,
        5,
    ]
    assert room.slices.visible_organs == [SPLEEN] and room.slices.focused_organ == SPLEEN


def test_where_no_widgets_are_known_a_picture_is_shown(room):
    data, metadata = room._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("Axial slice")


def test_the_engine_is_chosen_by_place_and_can_be_forced(monkeypatch, scan, truth):
    for variable in ("PEDSEG_VIEWER", "VSCODE_PID", "VSCODE_CWD"):
        monkeypatch.delenv(variable, raising=False)
    assert engines.choose_engine() == "canvas"
    monkeypatch.setenv("VSCODE_PID", "1")
    assert engines.choose_engine() == "matplotlib" and engines.choose_engine("canvas") == "canvas"
    assert isinstance(engines.view(scan, truth), SliceViewer)
    monkeypatch.setenv("PEDSEG_VIEWER", "canvas")
    assert isinstance(engines.view(scan, truth), ReadingRoom)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(PedsegInputError, match="anywidget, k3d, fast_simplification is not installed"):
        engines.choose_engine()
    monkeypatch.delenv("PEDSEG_VIEWER")
    assert engines.choose_engine() == "matplotlib"
    with pytest.raises(PedsegInputError, match="Choose canvas, matplotlib, itkwidgets"):
        engines.choose_engine("vtk")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [({}, "cannot be fetched in this session"), ({"SERVER_SOFTWARE": "voila/0.5.13"}, "does not run in a Voilà page")],
)
def test_itkwidgets_says_in_a_sentence_what_is_missing(monkeypatch, scan, variables, sentence):
    for name, value in ({"PEDSEG_ITK": "", "SERVER_SOFTWARE": ""} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PedsegInputError, match=sentence):
        engines.view(scan, engine="itkwidgets")
    assert "itkwidgets" not in sys.modules


@pytest.mark.slow
def test_nothing_of_the_room_imports_itkwidgets_or_a_browser():
    code = "import sys, pedseg.viewer.reading_room; print({'itkwidgets', 'imjoy_rpc', 'playwright'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
