"""Twenty thousand damaged files: each is read or refused by the project's own error, soon and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from archive import body, roi_rings, write_series, write_structures
from fuzz import LONGEST_SECONDS, SOUND
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.uid import generate_uid

from pedseg.datasets.writing import write_case, write_index
from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.dicom.dicom_files import dicom_item
from pedseg.dicom.seg import write_seg
from pedseg.scan import Scan

SHAPE = (12, 10, 4)
COUNTS = {
    "nifti": 9000, "packed": 5000, "ct": 1500, "enhanced": 500, "rtstruct": 4200, "seg": 500,
    "json": 1000, "tsv": 1000, "names": 1000,
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """One sound file of each kind, as small as such files get."""
    folder = tmp_path_factory.mktemp("sound")
    hu = body(SHAPE)
    image = nibabel.Nifti1Image(hu, np.diag([6.0, 6.0, 8.0, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / "scan.nii")
    nibabel.save(image, folder / "scan.nii.gz")
    files = write_series(folder / "ct", hu, spacing_mm=(6, 6, 8))
    (folder / "slice.dcm").write_bytes(files[0].read_bytes())
    ct = read_ct(folder / "ct")
    slices = [pydicom.dcmread(file) for file in files]
    uids = {"series_instance_uid": generate_uid(), "sop_instance_uid": generate_uid()}
    LegacyConvertedEnhancedCTImage(slices, series_number=1, instance_number=1, **uids).save_as(folder / "enhanced.dcm")
    mask = np.zeros(SHAPE, bool)
    mask[3:8, 3:8, 1:3] = True
    mask[5, 5, 1] = False
    rings = roi_rings(mask, LPS_TO_RAS @ ct.scan.affine)  # one of them a hole, one drawn twice, one over another
    rois = {"liver": [*rings, rings[0], rings[0] + [9, 9, 0]], "spleen": rings[:1], "x": []}
    write_structures(folder / "rs.dcm", rois, files[0])
    structures = pydicom.dcmread(folder / "rs.dcm")
    for item in (item for roi in structures.ROIContourSequence for item in roi.ContourSequence):
        place = round((float(item.ContourData[2]) - 100) / 8)
        item.ContourImageSequence = [dicom_item(ReferencedSOPInstanceUID=ct.uids[place])]
    structures.save_as(folder / "rs.dcm")
    write_seg(folder / "seg.dcm", {"Liver": mask, "Spleen": ~mask}, ct)
    (folder / "names.txt").write_text("GTV 1\tignore\nLeber re\tLiver\nMilz Anna\tSpleen\n")
    scans = Scan(hu, np.diag([6.0, 6.0, 8.0, 1.0])), Scan(mask.astype(np.uint8), np.diag([6.0, 6.0, 8.0, 1.0]))
    for number, split in enumerate(("train", "validation", "test")):
        who = {"patient": f"p{number}", "center": "A", "split": split, "manual": ("Liver",)}
        write_case(folder / "data", f"c{number}", *scans, **who)
    write_index(folder / "data", center="A")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
@pytest.mark.parametrize("kind", SOUND)
def test_no_damaged_file_ends_in_anything_but_a_finding(kind, sound, root):
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(sound), kind, str(COUNTS[kind]), "0"]
    variables = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=600)
    assert ended.returncode == 0, ended.stderr[-2000:]
    report = json.loads(ended.stdout)
    assert report["fault_count"] == 0, report["faults"]
    assert report["slowest"] < LONGEST_SECONDS  # a hang, not a measure of speed
    assert report["codes"].get("read", 0) < COUNTS[kind]  # the damage is felt


def test_twenty_thousand_are_tried():
    assert sum(COUNTS.values()) >= 20_000
