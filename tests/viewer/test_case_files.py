"""Files of one's own in the room, without a browser: what opens, is called true, is refused, and is written."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest

from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.example_patient import write_example_patient
from pedseg.dicom.seg import read_seg
from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti, write_nifti
from pedseg.viewer import engines


@pytest.fixture(scope="module")
def paula(root, tmp_path_factory):
    """The folder of the example patient: a CT, a localizer and the hospital's RTSTRUCT."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    case = dataset.cases[0]
    return write_example_patient(tmp_path_factory.mktemp("archive"), load_image(case), load_labels(dataset, case))


@pytest.fixture(scope="module")
def study(root, tmp_path_factory):
    """A study of one's own with one model."""
    folder = tmp_path_factory.mktemp("studies") / "my study"
    folder.mkdir()
    weights = sorted((root / "data_samples" / "results" / "study").rglob("seed0_*.safetensors"))
    shutil.copy(next(file for file in weights if "federated" in file.name), folder)
    return folder


@pytest.fixture
def room(paula, study, tmp_path, monkeypatch):
    """The room on that folder, as `pedseg viewer --dicom` opens it."""
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv(engines.OPENED["dicom"], str(paula))
    room = engines.reading_room([], study, "canvas")
    room.slices.webgl = room.slices.ready = "none"
    return room


def press(room, button) -> str:
    """Press a button of the files panel; the error of the page, or what the panel says."""
    button.click()
    return room.controls.error.value or room.files.message.value


def open_(room, kind: str, path, name: str = "") -> str:
    room.files.kind.value, room.files.path.value, room.files.name.value = kind, str(path), name
    return press(room, room.files.open_button)


def write(room, source: str, kind: str, file) -> str:
    room.files.source.value, room.files.format.value, room.files.out.value = source, kind, str(file)
    return press(room, room.files.write_button)


def test_the_hospitals_contours_are_there_and_nobody_calls_them_true(room):
    assert room.case_view.truth is None and room.case_view.reference == "hospital"
    assert room.controls.model.value == "nothing"  # no network draws unasked
    assert "Practice" not in room.case.file_stem and "0047110" not in room.case.file_stem
    assert "true" not in room.controls.crosshair_info.value
    labels = room.case_view.segmentation("hospital").labels
    assert set(np.unique(labels)) - {0} == {organ(name).id for name in ("Liver", "Spleen", "Kidney_L", "Heart")}


def test_a_second_reader_is_compared_and_written_as_seg(room, paula, tmp_path):
    view, file = room.case_view, tmp_path / "reader.nii.gz"
    labels = np.where(view.segmentation("hospital").labels == organ("Liver").id, organ("Liver").id, 0).astype(np.uint8)
    labels[labels.shape[0] // 2 :] = 0
    write_nifti(file, Scan(labels, view.scan.affine))
    assert "reader A is shown as B, dashed" in open_(room, "contours", file, "reader A")
    assert 0.1 < view.scores("reader A")["Liver"].dsc < 1 and view.scores("reader A")["Heart"].dsc == 0
    assert "there are contours called reader A already" in open_(room, "contours", file, "reader A")
    out = tmp_path / "reader.dcm"
    assert "read back and compared" in write(room, "reader A", "seg", out)
    assert read_seg(out, read_ct(paula)).masks["Liver"].sum() == (labels > 0).sum()
    assert "this file exists already" in write(room, "reader A", "seg", out)
    own = tmp_path / "own.nii.gz"
    assert "written to" in write(room, "hospital", "nnunet", own)
    np.testing.assert_allclose(read_nifti(own).affine, read_ct(paula).scan.affine, atol=1e-4)


def test_what_is_not_plausible_is_refused_in_the_page(room, paula, tmp_path):
    for number, file in enumerate(sorted((paula / "CT").iterdir())):
        slice_ = pydicom.dcmread(file)
        slice_.BodyPartExamined = "HEAD"
        slice_.save_as(tmp_path / f"{number}.dcm")
    assert "No contours lie beside it." in open_(room, "dicom", tmp_path)
    assert room.case_view.reference is None
    room.controls.model.value = room.case_view.models[0]
    assert "it shows HEAD" in room.controls.error.value and room.views.models == []


def test_a_study_of_ones_own_is_opened_and_no_other(room, study, tmp_path):
    assert "no weights of a study are here" in open_(room, "study", tmp_path)
    other = tmp_path / "another study"
    shutil.copytree(study, other)
    assert "1 models and 0 failures of the study another study." in open_(room, "study", other)
    assert [str(model) for model in room.case_view.models] == ["federated"] and room.failures.entries == []
    assert {key.kind for key in room.cases} == {"own"}
    open_(room, "model", next(other.glob("*.safetensors")))
    assert len(room.case_view.models) == 2 and room.controls.model.value == room.case_view.models[1]


def test_what_is_no_scan_is_a_sentence_and_the_page_stays(room, paula, tmp_path):
    before = room.case
    assert "there is no such file" in open_(room, "dicom", tmp_path / "none <b>")
    assert "&lt;b&gt;" in room.controls.error.value
    (tmp_path / "empty").mkdir()
    assert "there is no DICOM in it" in open_(room, "dicom", tmp_path / "empty")
    assert "it holds localizer and no CT" in open_(room, "dicom", paula / "scout.dcm")
    assert room.case is before


def test_folders_are_clicked_through(room, paula):
    panel = room.files
    panel.path.value = str(paula)
    assert {"CT/", "RS.dcm", "scout.dcm"} <= set(panel.entries.options)
    panel.entries.value = "CT/"
    assert panel.path.value == str(paula / "CT") and "IM0001.dcm" in panel.entries.options
    panel.entries.index = 0
    panel.entries.value = "RS.dcm"
    assert panel.path.value == str(paula / "RS.dcm") and panel.kind.value == "contours"
