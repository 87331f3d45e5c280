"""The patient to practice with is what an archive would hand over."""

from __future__ import annotations

import numpy as np
import pydicom

from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.dicom_files import find_dicom_files
from pedseg.dicom.example_patient import PATIENT, ROIS, write_example_patient
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.organs import organ
from pedseg.scan import Scan, to_ras


def test_paula_lies_where_the_sample_child_lies(root, tmp_path):
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    image, labels = load_image(dataset.cases[0]), load_labels(dataset, dataset.cases[0])
    folder = write_example_patient(tmp_path, image, labels)
    ct = read_ct(folder)
    ras = to_ras(ct.scan)
    np.testing.assert_array_equal(ras.voxels, image.voxels)
    np.testing.assert_allclose(ras.affine, image.affine, atol=1e-3)
    contours = read_rtstruct(folder / "RS.dcm", ct)
    assert [*contours.masks] == [*ROIS]
    assert contours.automatic == frozenset()
    assert contours.masks["KIDNEY_RIGHT"] is None
    liver = to_ras(Scan(contours.masks["Leber"].astype(np.uint8), ct.scan.affine)).voxels
    np.testing.assert_array_equal(liver > 0, labels.voxels == organ("Liver").id)
    kinds = sorted({file.kind for file in find_dicom_files(folder)[0]})
    assert kinds == ["CT", "RTSTRUCT", "localizer"]
    assert pydicom.dcmread(folder / "scout.dcm").PatientID == PATIENT["PatientID"]
    before = (folder / "RS.dcm").read_bytes()
    assert write_example_patient(tmp_path, image, labels) == folder
    assert (folder / "RS.dcm").read_bytes() == before
