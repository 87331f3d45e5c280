"""Absent is what somebody said is absent; what was drawn and has no voxel is not annotated, and that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive import body, write_series, write_structures

from pedseg.datasets.writing import written_cases
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.seg import read_seg, write_seg
from pedseg.errors import PedsegInputError
from pedseg.importing.import_scans import import_scans
from pedseg.importing.scan_sources import ImportOptions, merge_masks
from pedseg.organ_names import map_roi_names
from pedseg.scan import Scan

SHAPE = (24, 20, 8)
ABSENT = ImportOptions(empty_means_absent=True)


def square(x: float, y: float, size: float) -> np.ndarray:
    return np.array([[x, y, 116], [x + size, y, 116], [x + size, y + size, 116], [x, y + size, 116]], dtype=float)


def bring(folder: Path, rois: dict[str, list[np.ndarray]], options: ImportOptions, change=lambda file: None) -> dict:
    """The row of cases.tsv after the import of a CT (pixels of 8 mm at -30, -22, ...) and contours on one slice."""
    files = write_series(folder / "in" / "ct", body(SHAPE), spacing_mm=(8, 8, 8), origin=(-30.0, -22.0, 100.0))
    file = write_structures(folder / "in" / "rs.dcm", rois, files[0])
    dataset = pydicom.dcmread(file)
    change(dataset)
    dataset.save_as(file)
    list(import_scans(folder / "in", folder / "ds", center="Here", key=folder / "key", options=options))
    (row,) = written_cases(folder / "ds").values()
    return row


def as_point(file: pydicom.Dataset) -> None:
    file.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "POINT"


def as_line(file: pydicom.Dataset) -> None:
    file.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"


def without_type(file: pydicom.Dataset) -> None:
    del file.ROIContourSequence[1].ContourSequence[0].ContourGeometricType


LINE = square(10, 10, 40) * [1, 0, 1] + [0, 12, 0]
DRAWN = {
    "smaller than a voxel": (square(4, 4, 3), None),
    "a line": (LINE, None),
    "beside the image": (square(900, 10, 40), None),
    "two points": (square(10, 10, 40)[:2], None),
    "of type POINT": (square(10, 10, 40), as_point),
    "of type OPEN_PLANAR": (square(10, 10, 40), as_line),
    "of no type": (square(10, 10, 40), without_type),
}


@pytest.mark.parametrize(("ring", "change"), DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("options", [ImportOptions(), ABSENT], ids=["", "empty means absent"])
def test_drawn_and_lost_is_not_annotated(ring, change, options, tmp_path):
    rois = {"liver": [square(10, 10, 40)], "spleen": [ring], "heart": []}
    row = bring(tmp_path, rois, options, change or (lambda file: None))
    asked = options.empty_means_absent
    assert row["manual"] == ("Liver;Heart" if asked else "Liver")
    assert row["absent"] == ("Heart" if asked else "")  # that one is empty, and somebody says what this means
    assert "not imported: Spleen, which is drawn and has no voxel" in row["notes"]


def test_a_part_that_is_lost_takes_its_organ_along(tmp_path):
    rois = {"liver": [square(10, 10, 40)], "stomach": [square(4, 4, 3)], "duodenum": [square(60, 10, 20)]}
    rois |= {"small bowel": [square(60, 50, 20)], "colon": [square(90, 50, 20)]}
    row = bring(tmp_path, rois, ImportOptions())
    assert row["manual"] == "Liver"
    assert "not imported: Bowel^Stomach, which is drawn and has no voxel" in row["notes"]


def test_an_organ_that_another_one_covers_is_not_absent():
    masks = {"esophagus": np.zeros(SHAPE, bool), "aorta": np.zeros(SHAPE, bool)}
    masks["esophagus"][4, 4, 2:4] = masks["aorta"][4, 4, 1:6] = True  # .002 mL: less than what is asked about
    mapping = map_roi_names([*masks, "liver"])
    labels, organs, notes = merge_masks({**masks, "liver": None}, mapping, Scan(np.zeros(SHAPE), np.eye(4)), Path(), ())
    assert organs == ("Liver", "A_Aorta")  # of the liver somebody said that it is not there
    assert np.count_nonzero(labels.voxels) == 5
    assert notes == [
        "Esophagus and A_Aorta share 0.00 mL: given to A_Aorta",
        "not imported: Esophagus, which is drawn and has no voxel",
    ]


def test_a_segment_whose_voxels_lie_beyond_the_scan_is_refused_and_one_without_voxels_is_empty(tmp_path):
    """Drawn on ten slices, read on the first eight of them."""
    files = write_series(tmp_path / "ct", body((24, 20, 10)), spacing_mm=(8, 8, 8))
    whole = read_ct(tmp_path / "ct")
    liver, spleen = np.zeros((24, 20, 10), bool), np.zeros((24, 20, 10), bool)
    liver[4:9, 5:9, 2:6] = spleen[14:18, 5:9, 7:9] = True
    write_seg(tmp_path / "empty.dcm", {"Liver": liver, "Spleen": spleen & False}, whole)
    write_seg(tmp_path / "beyond.dcm", {"Liver": liver, "Spleen": spleen}, whole)
    for file in files[8:]:
        file.unlink()
    ct = read_ct(tmp_path / "ct")
    read = read_seg(tmp_path / "empty.dcm", ct)
    assert read.masks["Liver"].sum() == 80
    assert read.empty == {"Spleen"}
    with pytest.raises(PedsegInputError, match=r"E-CONTOUR-OUTSIDE .* 16 voxels"):
        read_seg(tmp_path / "beyond.dcm", ct)
