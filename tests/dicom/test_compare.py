"""Two contour sets of one CT beside each other: RTSTRUCT, SEG and NIfTI, with numbers worked out by hand."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest
from archive import body, write_series

from pedseg.__main__ import main
from pedseg.dicom.ct_series import read_ct
from pedseg.evaluation.contour_comparison import compare_contours
from pedseg.metrics import added_path_length_mm
from pedseg.organs import organ
from pedseg.scan import Scan, to_ras, write_nifti


@pytest.fixture
def folder(tmp_path):
    """A CT of 8 mm voxels; `a` has a liver of 5 x 4 x 4 voxels, `b` one slice less and a spleen of 2 x 2 x 1."""
    write_series(tmp_path / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8))
    scan = read_ct(tmp_path / "ct").scan
    a = np.zeros(scan.shape, np.uint8)
    a[4:9, 5:9, 2:6] = organ("Liver").id
    b = np.where(np.arange(8) == 5, 0, a).astype(np.uint8)
    b[15:17, 5:7, 3] = organ("Spleen").id
    for name, labels in (("a", a), ("b", b)):
        file = tmp_path / f"{name}.nii.gz"
        write_nifti(file, to_ras(Scan(labels, scan.affine)))
        for kind in ("rtstruct", "seg"):
            out = tmp_path / f"{name}_{kind}.dcm"
            assert main(["export", str(file), "--ct", str(tmp_path / "ct"), "--out", str(out), "--format", kind]) == 0
    return tmp_path


def test_added_path_length_by_hand():
    """A square of 4 x 4 pixels has 12 border pixels; moved by one column, both share the border of 6 of them."""
    square, moved = np.zeros((8, 8, 2), bool), np.zeros((8, 8, 2), bool)
    square[1:5, 1:5, 0], moved[2:6, 1:5, 0] = True, True
    # In a column that both have, top and bottom are shared: 3 columns, 2 pixels each; no side of one is a side of the
    # other, and their inner pixels are no border.
    shared = 3 * 2
    assert added_path_length_mm(square, moved, (2.0, 2.0, 5.0)) == pytest.approx((12 - shared) * 2.0)
    assert added_path_length_mm(square, square, (2.0, 2.0, 5.0)) == 0
    assert added_path_length_mm(square, ~np.ones_like(square), (1.0, 4.0, 5.0)) == pytest.approx(12 * 2.0)
    assert added_path_length_mm(np.ones((3, 3, 1), bool), square[:3, :3, :1] & False, (1, 1, 1)) == 8  # at the border


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LIA", "PIR"])
def test_the_added_path_is_that_of_axial_slices_however_a_scan_is_stored(axes):
    """A box of 4 x 3 voxels of 2 x 3 mm in two slices beside nothing: 10 border pixels in each."""
    labels = np.zeros((10, 9, 6), np.uint8)
    labels[2:6, 3:6, 2:4] = organ("Liver").id
    image = nibabel.Nifti1Image(labels, np.diag([2.0, 3.0, 5.0, 1.0]))
    wanted = nibabel.orientations.axcodes2ornt(tuple(axes))
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))
    b = Scan(np.asarray(turned.dataobj), turned.affine)
    (row,) = compare_contours(Scan(np.zeros_like(b.voxels), b.affine), b)
    assert row.added_path_mm == pytest.approx(2 * 10 * 6**0.5)


def test_the_table_names_both_volumes_and_what_only_one_has(folder):
    ct = read_ct(folder / "ct").scan
    empty = Scan(np.zeros(ct.shape, np.uint8), ct.affine)
    assert compare_contours(empty, empty) == []
    other = Scan(empty.voxels.copy(), ct.affine)
    other.voxels[2:5, 2:5, 2] = organ("Heart").id
    (row,) = compare_contours(empty, other)
    assert (row.organ, row.dsc, row.hd95_mm, row.a_ml) == ("Heart", 0.0, None, 0.0)
    assert row.added_path_mm == pytest.approx(8 * 8) and row.b_ml == pytest.approx(9 * 0.512)


@pytest.mark.parametrize(("a", "b"), [("a.nii.gz", "b_rtstruct.dcm"), ("a_rtstruct.dcm", "b_seg.dcm")])
def test_any_two_formats_give_the_same_numbers(folder, capsys, a, b):
    out = [str(folder / "out.csv"), str(folder / "out.html")]
    options = ["--ct", str(folder / "ct"), "--out", out[0], "--out", out[1]]
    assert main(["compare", str(folder / a), str(folder / b), *options]) == 0
    assert "added path mm" in capsys.readouterr().out
    liver, spleen = csv.DictReader((folder / "out.csv").read_text().splitlines())
    assert float(liver["dsc"]) == pytest.approx(2 * 60 / 140, abs=1e-6) and float(liver["hd95_mm"]) == 8
    assert float(liver["a_ml"]) == pytest.approx(80 * 0.512) and float(liver["b_ml"]) == pytest.approx(60 * 0.512)
    assert float(liver["added_path_mm"]) == 0  # a has all of the line that b has
    assert (spleen["organ"], spleen["hd95_mm"], float(spleen["added_path_mm"])) == ("Spleen", "", 4 * 8)
    page = (folder / "out.html").read_text()
    assert f"{a} (A) beside {b} (B)" in page and "Neither set is called the truth" in page


def test_what_cannot_be_compared_is_a_sentence(folder, capsys):
    ct = ["--ct", str(folder / "ct")]
    assert main(["compare", str(folder / "a.nii.gz"), str(folder / "none.dcm"), *ct]) == 1
    assert "E-FILE-MISSING" in capsys.readouterr().err
    assert main(["compare", str(folder / "a.nii.gz"), str(next((folder / "ct").iterdir())), *ct]) == 1
    assert "E-NO-CONTOURS" in capsys.readouterr().err
    some_slice = next((folder / "ct").iterdir())
    assert main(["compare", str(folder / "a.nii.gz"), str(some_slice), *ct]) == 1
    assert "holds no contours" in capsys.readouterr().err
    assert main(["compare", str(folder / "a.nii.gz"), str(folder / "b.nii.gz"), *ct, "--out", "x.xlsx"]) == 1
    assert "E-OUT-NAME" in capsys.readouterr().err
    write_nifti(folder / "c.nii.gz", Scan(np.ones((4, 4, 4), np.uint8), np.eye(4)))
    assert main(["compare", str(folder / "a.nii.gz"), str(folder / "c.nii.gz"), *ct]) == 1
    assert "E-GEOMETRY" in capsys.readouterr().err
