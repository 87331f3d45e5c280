"""Failures, dose and scores on the page, without a browser: what a click or a key does."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from pedseg.evaluation.dose import teaching_dose
from pedseg.evaluation.reader_scores import read_scores
from pedseg.evaluation.rescans import Rescan
from pedseg.organs import organ
from pedseg.scan import Scan
from pedseg.viewer import engines, failure_panel
from pedseg.viewer.failure_list import list_failures
from pedseg.viewer.failure_panel import FailurePanel
from pedseg.workbook import lesson


@pytest.fixture(scope="module")
def entries():
    return list_failures(lesson.recorded("study"))


@pytest.fixture
def panel(entries):
    opened: list = []
    panel = FailurePanel(entries, opened.append)
    panel.opened = opened
    return panel


def test_it_starts_with_the_map_and_a_cell_lists_its_failures(panel):
    assert panel.map.layout.display is None and panel.listing.layout.display == "none"
    counts = np.array(panel.map.cells["counts"])
    row, column = map(int, np.unravel_index(counts.argmax(), counts.shape))
    panel.map.chosen = [row, column, 1]
    assert panel.map.layout.display == "none" and len(panel.items) == counts[row][column]
    at = panel.map.cells["columns"][column]
    assert {str(entry.model) for entry in panel.items} == {at["title"]}
    assert panel.filters["organ"].value == panel.map.cells["organs"][row]["name"]


def test_a_step_opens_the_gravest_first_with_reason_dose_and_proof(panel, entries):
    panel.step(1)
    assert panel.opened == [entries[0]] and panel.view.value == "list"
    text = panel.message.value
    assert "times as often" in text and "In the teaching plan" in text and "scanned again" in text
    assert panel.map.fragment == entries[0].fragment and f"#{entries[0].fragment}" in panel.link.value


def test_another_model_of_the_line_is_chosen(panel, entries):
    entry = next(entry for entry in panel.items if len(entry.models) > 1)
    panel.list.index = panel.items.index(entry)
    panel.who.value = entry.models[1]
    assert panel.opened[-1].model == entry.models[1] and panel.opened[-1].case_key == entry.case_key


def test_the_address_opens_a_failure_of_any_list(panel, entries):
    entry = next(entry for entry in entries if entry.group == "others")
    panel.map.fragment = entry.fragment
    assert panel.opened == [entry] and panel.filters["group"].value == "others"
    panel.map.fragment = "failure=nobody%2FLiver"
    assert "not in this study" in panel.message.value and panel.opened == [entry]
    panel.map.fragment = "something=else"
    assert panel.opened == [entry]


def test_two_lists_and_the_children_on_their_side(panel, entries):
    sizes = {}
    for group in ("evaluated", "others", "side"):
        panel.filters["group"].value = group
        sizes[group] = len(panel.items)
    assert sum(sizes.values()) == len(entries) and min(sizes.values()) > 0


def test_without_a_study_it_says_so():
    panel = FailurePanel([], print)
    assert "No failures were recorded" in panel.message.value
    panel.prove()  # does nothing


@pytest.mark.slow
def test_a_reason_is_proved_by_a_scan_now(panel, entries):
    panel.filters["kind"].value = "false"
    panel.step(1)
    recorded = panel.rescans[
        panel.entry.model,
        panel.entry.center,
        panel.entry.case_key.case,
        panel.entry.organ,
        panel.entry.failures[0].kind,
    ]
    panel.prove()
    assert panel.proof.disabled is False
    for second in recorded:
        assert isinstance(second, Rescan) and second.change in ("phase", "slices", "noise")
    assert panel.message.value.count("scanned again") == len(recorded)


SHAPE = (40, 30, 20)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A box of water with a spine, a right kidney and a liver; one model draws the kidney too small."""
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path))
    truth = np.zeros(SHAPE, np.uint8)
    truth[19:22, 5:9] = organ("VBs").id
    truth[30:36, 8:12, 4:12] = organ("Kidney_R").id
    truth[26:38, 14:26, 8:18] = organ("Liver").id
    small = truth.copy()
    small[33:36, 8:12, 4:12] = 0
    scan = Scan(np.zeros(SHAPE, np.int16), np.diag([4.0, 4.0, 4.0, 1.0]))
    room = engines.view(scan, truth, {"one": truth, "two": small}, engine="canvas")
    room._ready()
    return room


def tab(room, panel):
    room.controls.tabs.selected_index = room.controls.tabs.children.index(panel)


def test_the_dose_is_that_of_the_plan_by_both_contours(room):
    tab(room, room.views.dose)
    room.controls.model.value = "two"
    dose = teaching_dose(room.case_view.scan, room.case_view.truth)
    text = re.sub(r"<[^>]+>", " ", room.views.dose.table.value)
    true, drawn = (
        dose[room.case_view.segmentation(source).labels == organ("Kidney_R").id].mean() for source in ("truth", "two")
    )
    assert f"right kidney mean {true:.1f} {drawn:.1f}" in " ".join(text.split())
    assert "not clinical" in room.views.dose.message.value and "data:image/png" in room.views.dose.histogram.value
    before = room.views.dose.histogram.value
    room.views.dose.plan.index = 1
    assert room.views.dose.histogram.value != before


def test_without_a_missing_organ_there_is_no_plan(scan, truth):
    room = engines.view(scan, truth, {"one": truth}, engine="canvas")
    room._ready()
    tab(room, room.views.dose)
    assert "No plan" in room.views.dose.message.value and room.views.dose.table.value == ""


def test_a_key_scores_saves_and_goes_on(room, tmp_path):
    panel = room.scores
    tab(room, panel)
    room.press("4")
    assert "Write who reads" in panel.status.value and not (tmp_path / "scores").exists()
    panel.reader.value = "Reader A"
    panel.organ.value = "Liver"
    room.press("4")
    (score,) = read_scores(tmp_path / "scores" / "Reader_A.csv")
    assert (score.organ, score.score, score.contours, score.reading) == ("Liver", 4, "one", 1)
    assert panel.organ.value == "Spleen" and panel.score.value is None
    assert room.slices.focused_organ == organ("Spleen").id
    panel.organ.value = "Liver"
    assert panel.score.value == 4
    panel.comment.value = "a lobe is missing"
    (score,) = read_scores(tmp_path / "scores" / "Reader_A.csv")
    assert score.comment == "a lobe is missing" and score.score == 4
    tab(room, room.views.organs)
    room.press("2")
    assert room.controls.window.value == "lung"  # elsewhere the digits are windows


def test_a_blinded_reader_sees_letters_and_no_truth(room, tmp_path):
    tab(room, room.scores)
    room.scores.reader.value = "B"
    room.scores.blinded.value = True
    names = [str(model) for model in room.case_view.models]
    assert names == ["network A", "network B"] and room.case_view.truth is None
    assert [layer["name"] for layer in room.slices.layers] == ["nothing", "network A"]
    assert "truth" not in room.controls.crosshair_info.value and "one" not in room.controls.crosshair_info.value
    room.press("3")
    (score,) = read_scores(tmp_path / "scores" / "B.csv")
    assert score.blinded and score.contours in ("one", "two")
    order = [model.key for model in room.case_view.models]
    room.scores.blinded.value = False
    assert room.case_view.truth is not None and [*room.case_view.models] == ["one", "two"]
    room.scores.blinded.value = True
    assert [model.key for model in room.case_view.models] == order  # the same letters again


def test_agreement_says_what_it_needs_and_then_what_it_is(room):
    panel = room.scores
    panel.reader.value = "A"
    panel.compare.click()
    assert "Agreement needs two readings" in panel.result.value
    for reading, scores in ((1, "45321"), (2, "44321")):
        panel.reading.value = reading
        for name, key in zip(("Liver", "Spleen", "Kidney_R", "Heart", "Pancreas"), scores, strict=True):
            panel.organ.value = name
            panel.press(key)
    panel.compare.click()
    assert "Agreement needs" not in panel.result.value and "Scores beside DSC need" in panel.result.value
    assert "A, reading 1" in panel.result.value and "80 %" in panel.result.value
    data = re.search(r"base64,([\w+/=]+)\">download", panel.result.value)[1]
    assert len(base64.b64decode(data).decode().splitlines()) == 11


def test_the_proof_of_a_study_that_is_gone_is_a_sentence(panel, tmp_path, monkeypatch):
    """The panel's button raises what the room shows as a sentence; the button can be used again."""
    panel.step(1)
    panel.entries.study = tmp_path
    with pytest.raises(Exception, match="E-NO-RESCAN"):
        panel.prove()
    assert panel.proof.disabled is False and failure_panel.MAP == "map"
    assert replace(panel.entry) == panel.entry
