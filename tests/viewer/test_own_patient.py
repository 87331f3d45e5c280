"""A patient of one's own from the first click to the file, and the room in a browser without WebGL."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.example_patient import write_example_patient
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.scan import read_nifti
from pedseg.viewer import browser

pytestmark = pytest.mark.slow
SLICES = ".pedseg-slices"


@pytest.fixture(scope="module")
def paula(root, tmp_path_factory) -> Path:
    """The folder of the example patient: a CT, a localizer and the hospital's RTSTRUCT."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    case = dataset.cases[0]
    return write_example_patient(tmp_path_factory.mktemp("archive"), load_image(case), load_labels(dataset, case))


def test_open_compare_correct_write_and_reopen_elsewhere(chromium, voila, keep, paula, tmp_path):
    page, outside = browser.open_page(chromium, voila)
    page.wait_for_selector(f"{SLICES}[data-drawn]")
    page.get_by_role("tab", name="Files").click()
    path = page.locator("input[title='path of what is opened']")
    path.fill(str(paula))
    path.press("Tab")
    page.get_by_role("button", name="open", exact=True).click()
    browser.wait_until_described(page, "hospital:")
    assert "truth" not in page.locator(".pedseg-crosshair").inner_text()
    page.locator("select[title='B, dashed']").select_option(label="federated")  # it draws now
    browser.wait_until_described(page, "federated:")
    page.get_by_role("tab", name="Correct").click()
    page.get_by_role("button", name="draw (D)").click()
    page.get_by_text("changed: +0.0").wait_for()
    page.wait_for_selector(f"{SLICES}[data-pen=brush]")
    box = page.locator(SLICES).bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_function("!document.body.innerText.includes('changed: +0.0')")
    keep(page, "own-corrected")
    page.get_by_role("tab", name="Files").click()
    file = tmp_path / "corrected.dcm"
    page.locator("input[title='file to write']").fill(str(file))
    page.locator("input[title='file to write']").press("Tab")
    page.get_by_role("button", name="write", exact=True).click()
    page.get_by_text("read back and compared").wait_for()
    keep(page, "own-written")
    assert outside == []
    page.close()
    ct = read_ct(paula)
    before, after = (read_rtstruct(name, ct).masks for name in (paula / "RS.dcm", file))
    assert "KIDNEY_RIGHT" in before and set(after) == {"Liver", "Spleen", "Kidney_L", "Heart"}
    assert 0 < np.count_nonzero(after["Liver"] & ~before["Leber"]) < 500
    np.testing.assert_array_equal(after["Spleen"], before["spleen"])
    assert {roi.ROIGenerationAlgorithm for roi in pydicom.dcmread(file).StructureSetROISequence} == {"MANUAL"}
    program = shutil.which("plastimatch", path=str(Path(sys.executable).parent)) or shutil.which("plastimatch")
    if program:  # it is for Linux only
        options = ["--input", file, "--referenced-ct", paula / "CT", "--output-prefix", tmp_path / "elsewhere"]
        subprocess.run([program, "convert", *map(str, [*options, "--prefix-format", "nii.gz"])], check=True)
        liver = read_nifti(tmp_path / "elsewhere" / "Liver.nii.gz").voxels > 0
        assert liver.sum() == pytest.approx(after["Liver"].sum(), rel=0.01)


def test_without_webgl_slices_and_pen_work_and_the_page_says_what_does_not(chromium, voila, keep):
    program = next(filter(None, map(shutil.which, browser.PROGRAMS)))
    options = [option for option in browser.ARGUMENTS if "angle" not in option and "swiftshader" not in option]
    with chromium.browser_type.launch(executable_path=program, args=[*options, "--disable-3d-apis"]) as without:
        page, _ = browser.open_page(without, voila)
        browser.wait_until_drawn(page)
        page.get_by_text("3-D needs WebGL 2").wait_for()
        picture = keep(page, "no-webgl", SLICES)
        assert (picture.max(axis=2) > 40).mean() > 0.2
        was = page.locator(SLICES).get_attribute("data-voxel")
        page.locator(SLICES).press("ArrowUp")
        page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel !== '{was}'")
        page.close()
