"""The DICOM panel: every button does what it says, and errors are sentences on the page."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.example_patient import write_example_patient
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.evaluation.trained_models import weight_files
from pedseg.viewer.dicom_panel import DicomPanel, dicom_panel


@pytest.fixture(scope="module")
def paula(root, tmp_path_factory):
    """The folder of the practice patient."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    case = dataset.cases[0]
    return write_example_patient(tmp_path_factory.mktemp("archive"), load_image(case), load_labels(dataset, case))


@pytest.fixture
def page(root, paula) -> DicomPanel:
    return dicom_panel(paula, weight_files(root / "data_samples" / "results" / "study"))


def test_from_the_folder_to_the_planning_system(page, paula, tmp_path):
    assert page.predict_button.disabled and page.write_button.disabled
    page.open_button.click()
    assert page.out.value == str(paula.parent / "contours.dcm")
    page.out.value = str(tmp_path / "contours.dcm")
    assert "CT, RTSTRUCT, localizer" in page.message.value
    assert len(page.series_choice.options) == 1
    page.model.label = "federated"
    page.predict_button.click()
    assert "Look at every slice" in page.message.value
    (viewer,) = page.viewer.children
    assert bytes(viewer.picture.value).startswith(b"\x89PNG")
    page.write_button.click()
    assert "read back and compared" in page.message.value
    masks = read_rtstruct(tmp_path / "contours.dcm", read_ct(paula)).masks
    assert masks["Liver"].sum() > 1000
    assert np.argwhere(masks["Liver"])[:, 0].mean() < np.argwhere(masks["Spleen"])[:, 0].mean()


def test_a_folder_without_scans_and_a_torn_one(page, paula, tmp_path):
    page.folder.value = str(tmp_path)
    page.open_button.click()
    assert page.message.value == "There is no DICOM here."
    assert page.predict_button.disabled
    page.folder.value = str(tmp_path / "none <b>")
    page.open_button.click()
    assert "E-FILE-MISSING" in page.message.value
    assert "&lt;b&gt;" in page.message.value
    for file in sorted((paula / "CT").iterdir()):
        if "0020" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    page.folder.value = str(tmp_path)
    page.open_button.click()
    page.predict_button.click()
    assert "E-SERIES-GAP" in page.message.value
    assert page.write_button.disabled


def test_a_scan_of_another_body_region_gets_no_contours(root, paula, tmp_path):
    for number, file in enumerate(sorted((paula / "CT").iterdir())):
        slice_ = pydicom.dcmread(file)
        slice_.BodyPartExamined = "HEAD"
        slice_.save_as(tmp_path / f"{number}.dcm")
    page = dicom_panel(tmp_path, weight_files(root / "data_samples" / "results" / "study"))
    page.open_button.click()
    page.predict_button.click()
    assert "E-IMPLAUSIBLE" in page.message.value and "it shows HEAD" in page.message.value
    assert page.write_button.disabled and page.viewer.children == ()
