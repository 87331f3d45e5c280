"""Contours come back as they were: by the own reader and by plastimatch, on every kind of grid."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive import body, roi_rings, write_series, write_structures
from scipy import ndimage

from pedseg.dicom.ct_series import LPS_TO_RAS, CtScan, read_ct
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.errors import PedsegInputError
from pedseg.organs import NAMES, ORGANS

SHAPE = (48, 40, 20)
OBLIQUE = (float(np.cos(np.radians(15))), 0.0, float(np.sin(np.radians(15))), 0.0, 1.0, 0.0)
GRIDS = {
    "isotropic": {"spacing_mm": (1.5, 1.5, 1.5)},
    "oblique": {"spacing_mm": (1.5, 1.5, 1.5), "orientation": OBLIQUE},
    "anisotropic": {"spacing_mm": (1.2, 1.6, 3.0)},
    "upside down": {"spacing_mm": (0.7, 0.7, 2.0), "orientation": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
}


def nineteen(shape: tuple[int, int, int] = SHAPE) -> dict[str, np.ndarray]:
    """A mask for each organ: rings, nested rings, islands, one-voxel bridges, checkerboards, things on the border."""
    rng = np.random.default_rng(7)
    x, y, z = np.indices(shape)
    radius = np.hypot(x - shape[0] // 2, y - shape[1] // 2)
    masks = [
        (radius < 15) & (radius > 6),
        ((radius < 17) & (radius > 13)) | ((radius < 9) & (radius > 6)) | (radius < 3),
        (x == y) & (x > 5) & (x < 30),
        ((x + y + z) % 2 == 0) & (x < 12) & (y < 12) & (z < 5),
        np.zeros(shape, bool),
        (x < 3) | (z == 0),
        (y >= shape[1] - 2) & (z >= shape[2] - 3),
    ]
    masks[4][4:9, 4:9, 3:9] = masks[4][20:25, 4:9, 3:9] = masks[4][9:20, 6, 5] = True  # a bridge of one voxel
    masks[4][30, 30, 4] = True  # an island of one voxel
    masks += [ndimage.gaussian_filter(rng.normal(size=shape), size) > 0.01 for size in (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5)]
    masks += [ndimage.binary_fill_holes(radius < size) ^ (radius < size / 2) for size in (5, 8, 11, 14, 17)]
    return dict(zip(NAMES, masks, strict=True))


@pytest.fixture(scope="module", params=GRIDS)
def scanned(request, tmp_path_factory) -> tuple[Path, CtScan]:
    """A folder with a CT on one of the grids, and the CT as it was read."""
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, body(SHAPE), **GRIDS[request.param])
    return folder, read_ct(folder)


def run_plastimatch(*options: str | Path) -> None:
    program = shutil.which("plastimatch", path=str(Path(sys.executable).parent)) or shutil.which("plastimatch")
    subprocess.run([str(word) for word in (program, "convert", *options)], check=True, capture_output=True)


def plastimatch_masks(structures: Path, ct_folder: Path, out: Path) -> dict[str, np.ndarray]:
    """What plastimatch makes of an RTSTRUCT on the grid of a CT: (column, row, slice) by ROI name."""
    import SimpleITK

    target = ("--output-prefix", out, "--prefix-format", "nrrd")
    run_plastimatch("--input", structures, "--referenced-ct", ct_folder, *target)
    read = {file.stem: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file))) for file in out.glob("*.nrrd")}
    return {name: array.transpose(2, 1, 0) > 0 for name, array in read.items()}


def test_nineteen_organs_come_back_and_plastimatch_agrees(scanned, tmp_path):
    folder, ct = scanned
    masks = nineteen()
    assert write_rtstruct(tmp_path / "rs.dcm", masks, ct) == []
    own = read_rtstruct(tmp_path / "rs.dcm", ct)
    assert [*own.masks] == [*NAMES]
    assert own.notes == ()
    for name, mask in masks.items():
        np.testing.assert_array_equal(own.masks[name], mask, err_msg=name)
    if sys.platform != "linux":
        pytest.skip("plastimatch is installed for Linux only")
    theirs = plastimatch_masks(tmp_path / "rs.dcm", folder, tmp_path / "plastimatch")
    assert len(theirs) == len(masks)
    for name, mask in masks.items():
        back = theirs[name.replace("^", "_") if name not in theirs else name]
        best = max((back, back[:, :, ::-1]), key=lambda other: int((other & mask).sum()))  # it sorts slices by z
        assert 2 * (best & mask).sum() == best.sum() + mask.sum(), name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="plastimatch is installed for Linux only")
def test_what_plastimatch_writes_comes_back_and_its_keyholes_are_no_overlaps(scanned, tmp_path):
    folder, ct = scanned
    masks = nineteen()
    write_rtstruct(tmp_path / "rs.dcm", masks, ct)
    run_plastimatch("--input", tmp_path / "rs.dcm", "--referenced-ct", folder, "--output-dicom", tmp_path / "theirs")
    (file,) = [file for file in (tmp_path / "theirs").iterdir() if pydicom.dcmread(file).Modality == "RTSTRUCT"]
    oblique = ct.scan.affine[0, 2] != 0  # there it names slices up to 18 mm beside those that it draws on
    if oblique:
        assert refused(file, ct) == ["E-CONTOUR-SLICE"]
    theirs = read_rtstruct(file, ct, ignore_references=oblique)
    assert theirs.notes == ()
    for name, mask in masks.items():
        np.testing.assert_array_equal(theirs.masks[name], mask, err_msg=name)


def test_the_file_says_what_a_planning_system_asks(tmp_path):
    write_series(tmp_path / "ct", body())
    ct = read_ct(tmp_path / "ct")
    masks = {"Liver": np.zeros(ct.scan.shape, bool), "Bowel^Stomach": np.zeros(ct.scan.shape, bool)}
    masks["Liver"][10:20, 10:20, 5:9] = True
    masks["Bowel^Stomach"][2, 2, 2] = True
    notes = write_rtstruct(tmp_path / "rs.dcm", masks, ct)
    assert notes == ["Bowel^Stomach: only 1 voxels in 1 slice(s)"]
    file = pydicom.dcmread(tmp_path / "rs.dcm")
    slices = [pydicom.dcmread(f) for f in sorted((tmp_path / "ct").iterdir())]
    assert (file.Modality, file.ApprovalStatus, file.SOPClassUID) == (
        "RTSTRUCT",
        "UNAPPROVED",
        pydicom.uid.RTStructureSetStorage,
    )
    assert (file.PatientName, file.PatientID, file.StudyInstanceUID) == ("Doe^Jane", "4711", slices[0].StudyInstanceUID)
    assert file.SeriesInstanceUID != slices[0].SeriesInstanceUID
    assert [roi.ROIName for roi in file.StructureSetROISequence] == ["Liver", "Bowel^Stomach"]
    assert {roi.ROIGenerationAlgorithm for roi in file.StructureSetROISequence} == {"AUTOMATIC"}
    assert {item.RTROIInterpretedType for item in file.RTROIObservationsSequence} == {"ORGAN"}
    liver = file.ROIContourSequence[0]
    assert "#{:02X}{:02X}{:02X}".format(*liver.ROIDisplayColor) == ORGANS[0].color
    assert len(liver.ContourSequence) == 4
    for item in liver.ContourSequence:
        points = np.array(item.ContourData, float).reshape(-1, 3)
        (there,) = [s for s in slices if s.SOPInstanceUID == item.ContourImageSequence[0].ReferencedSOPInstanceUID]
        assert set(points[:, 2]) == {float(there.ImagePositionPatient[2])}
        assert len(points) == item.NumberOfContourPoints == 8  # a square with its corners cut
        assert max(len(str(number)) for number in item.ContourData) <= 16
        # half a pixel outside the centers of the outermost voxels: 10 pixels of 1.5 mm across
        assert np.ptp(points[:, 0]) == pytest.approx(15.0)
    assert {f.SOPInstanceUID for f in slices} == {
        item.ReferencedSOPInstanceUID
        for item in file.ReferencedFrameOfReferenceSequence[0]
        .RTReferencedStudySequence[0]
        .RTReferencedSeriesSequence[0]
        .ContourImageSequence
    }


def test_two_writings_are_two_files_for_the_archive(tmp_path):
    write_series(tmp_path / "ct", body())
    ct = read_ct(tmp_path / "ct")
    mask = {"Liver": ct.scan.voxels > 0}
    uids = []
    for name in ("a", "b"):
        write_rtstruct(tmp_path / name, mask, ct)
        uids += [pydicom.dcmread(tmp_path / name)[key].value for key in ("SOPInstanceUID", "SeriesInstanceUID")]
    assert len({*uids}) == 4


def test_holes_given_as_rings_of_their_own_are_holes(tmp_path):
    files = write_series(tmp_path / "ct", body())
    ct = read_ct(tmp_path / "ct")
    mask = np.zeros(ct.scan.shape, bool)
    mask[8:20, 8:20, 3:7] = True
    mask[11:17, 11:17, 3:7] = False
    mask[13:15, 13:15, 3:7] = True
    rings = roi_rings(mask, LPS_TO_RAS @ ct.scan.affine)
    assert len(rings) == 12
    write_structures(tmp_path / "rs.dcm", {"liver": rings}, files[0])
    np.testing.assert_array_equal(read_rtstruct(tmp_path / "rs.dcm", ct).masks["liver"], mask)


def square(x: float, y: float, z: float, size: float = 12.0) -> np.ndarray:
    return np.array([[x, y, z], [x + size, y, z], [x + size, y + size, z], [x, y + size, z]])


def test_the_area_within_a_ring_by_hand(tmp_path):
    """A square of 12 mm on pixels of 1.5 mm, its corners between the pixels, holds 8 x 8 of them."""
    files = write_series(tmp_path / "ct", body())
    ct = read_ct(tmp_path / "ct")
    write_structures(tmp_path / "rs.dcm", {"liver": [square(-15.75, -15.75, 105.0)]}, files[0])
    mask = read_rtstruct(tmp_path / "rs.dcm", ct).masks["liver"]
    assert mask is not None
    assert np.argwhere(mask).min(axis=0).tolist() == [10, 8, 2]
    assert np.argwhere(mask).max(axis=0).tolist() == [17, 15, 2]
    assert mask.sum() == 64


A = square(-15.75, -15.75, 105.0)  # 8 x 8 pixels of 1.5 mm
BESIDE = A + np.array([6.0, 0, 0])  # half of it in A
HOLE = square(-12.75, -12.75, 105.0, 6.0)  # 4 x 4 in A
ISLAND = square(-11.25, -11.25, 105.0, 3.0)  # 2 x 2 in HOLE
KEYHOLE = np.concatenate([A, A[:1], HOLE[::-1][-1:], HOLE[::-1], A[:1]])
TOGETHER = {
    "once": ([A], 64),
    "twice": ([A, A], 64),
    "three times": ([A, A, A], 64),
    "the second one backwards": ([A, A[::-1]], 64),
    "the second one closed": ([A, np.concatenate([A, A[:1]])], 64),
    "the second one 0.2 mm within": ([A, square(-15.55, -15.55, 105.0, 11.6)], 64),
    "the second one 0.5 mm beside": ([A, A + np.array([0.5, 0.5, 0])], 64),
    "round and round in one contour": ([np.concatenate([A, A])], 64),
    "half over each other": ([A, BESIDE], 96),
    "side by side": ([A, A + np.array([12.0, 0, 0])], 128),
    "a hole": ([A, HOLE], 48),
    "a hole before its outside": ([HOLE, A], 48),
    "a hole twice": ([A, HOLE, HOLE], 48),
    "a hole with an island": ([A, HOLE, ISLAND], 52),
    "a wall of one pixel": ([A, square(-14.25, -14.25, 105.0, 9.0)], 28),
    "a hole that leaves the border by 0.1 mm": ([A, square(-15.85, -12.75, 105.0, 6.0)], 48),
    "a hole in both of two that overlap": ([A, BESIDE, square(-8.25, -12.75, 105.0, 3.0)], 92),
    "a keyhole": ([KEYHOLE], 48),
    "a keyhole twice": ([KEYHOLE, KEYHOLE], 48),
    "a keyhole with an island": ([KEYHOLE, ISLAND], 52),
}
EXCLUSIVE_OR = {"twice": 0, "half over each other": 64, "a hole with an island": 52, "a hole twice": 64}


def of_type(*kinds: str):
    def change(file) -> None:
        items = file.ROIContourSequence[0].ContourSequence
        for item, kind in zip(items, kinds * len(items), strict=False):
            item.ContourGeometricType = kind

    return change


@pytest.mark.parametrize(("rings", "count"), TOGETHER.values(), ids=TOGETHER)
def test_what_contours_of_one_plane_enclose_together_by_hand(rings, count, drawn):
    ct, draw = drawn
    contours = read_rtstruct(draw({"liver": rings}), ct)
    assert contours.masks["liver"].sum() == count
    (parity,) = read_rtstruct(draw({"liver": rings}, of_type("CLOSEDPLANAR_XOR")), ct).masks.values()
    differs = not np.array_equal(parity, contours.masks["liver"])
    assert ["coincide or overlap in 1 slices" in note for note in contours.notes] == [True] * differs


@pytest.mark.parametrize(("name", "count"), EXCLUSIVE_OR.items())
@pytest.mark.parametrize("kinds", [("CLOSEDPLANAR_XOR",), ("CLOSEDPLANAR_XOR", "CLOSED_PLANAR")])
def test_exclusive_or_stays_exclusive_or(name, count, kinds, drawn):
    ct, draw = drawn
    contours = read_rtstruct(draw({"liver": TOGETHER[name][0]}, of_type(*kinds)), ct)
    assert contours.masks["liver"].sum() == count
    assert contours.notes == ()


def test_many_rings_at_random_are_what_they_enclose_pixel_by_pixel():
    """Circles that neither cross nor come near: the twin counts, pixel by pixel, how many of them it lies in."""
    from pedseg.dicom.polygons import enclose_together, polygons_to_mask

    rng = np.random.default_rng(1)
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    circles = [(40.0, 40.0, 36.0), (30.0, 44.0, 20.0), (62.0, 40.0, 9.0), (28.0, 44.0, 11.0), (44.0, 44.0, 3.0)]
    x, y = np.indices((80, 80))
    inside = [np.hypot(x - a, y - b) < r for a, b, r in circles]
    for _ in range(5):
        order = rng.permutation(len(circles))
        rings = [circles[i][:2] + circles[i][2] * np.stack([np.cos(turn), np.sin(turn)], 1) for i in order]
        assert enclose_together(rings, (80, 80)) is None  # an even-odd filling finds the same
        mask = polygons_to_mask(rings, np.zeros(5, int), (80, 80, 1))[..., 0]
        assert np.mean(mask == (np.sum(inside, axis=0) % 2 == 1)) > 0.99  # polygons of 90 corners, not circles
        twice = enclose_together([*rings, rings[2] + 0.1, *rings[3:]], (80, 80))
        assert twice is not None
        assert np.mean(twice == mask) > 0.99


@pytest.fixture
def drawn(tmp_path):
    """A CT, and a maker of RTSTRUCT files for it: (ROIs, then what to change) to the file."""
    files = write_series(tmp_path / "ct", body())
    ct = read_ct(tmp_path / "ct")

    def draw(rois, change=lambda file: None) -> Path:
        file = write_structures(tmp_path / "rs.dcm", rois, files[0])
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)
        return file

    return ct, draw


def refused(file: Path, ct: CtScan, **options) -> list[str]:
    with pytest.raises(PedsegInputError) as caught:
        read_rtstruct(file, ct, **options)
    assert all(problem.file == str(file) for problem in caught.value.problems)
    return [problem.code for problem in caught.value.problems]


def test_contours_half_a_slice_beside_are_refused_not_rounded(drawn):
    ct, draw = drawn
    assert refused(draw({"liver": [square(-10, -10, 105 + 1.25)]}), ct) == ["E-CONTOUR-OFF-PLANE"]
    assert refused(draw({"liver": [square(-10, -10, 105.2)]}), ct) == ["E-CONTOUR-OFF-PLANE"]
    leaning = square(-10, -10, 105.0) + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0.9], [0, 0, 0.9]])
    assert refused(draw({"liver": [leaning]}), ct) == ["E-CONTOUR-OFF-PLANE"]
    assert refused(draw({"liver": [square(-10, -10, 505.0)]}), ct) == ["E-CONTOUR-OUTSIDE"]
    assert read_rtstruct(draw({"liver": [square(-10, -10, 105.05)]}), ct).masks["liver"] is not None


def test_another_frame_of_reference_is_refused_unless_asked_for(drawn):
    ct, draw = drawn

    def other(file):
        file.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
        file.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"

    file = draw({"liver": [square(-10, -10, 105)]}, other)
    assert refused(file, ct) == ["E-FRAME"]
    assert read_rtstruct(file, ct, ignore_frame_of_reference=True).masks["liver"] is not None


def test_two_rois_of_one_name_are_refused(drawn):
    ct, draw = drawn

    def rename(file):
        file.StructureSetROISequence[1].ROIName = "liver"

    rings = [square(-10, -10, 105)]
    assert refused(draw({"liver": rings, "other": rings}, rename), ct) == ["E-ROI-TWICE"]


def test_points_lines_and_empty_rois_are_passed_over_and_named(drawn):
    ct, draw = drawn

    def odd(file):
        items = file.ROIContourSequence[0].ContourSequence
        items[1].ContourGeometricType = "POINT"
        items[2].ContourGeometricType = "OPEN_PLANAR"
        del file.ROIContourSequence[2]

    rings = [square(-10, -10, 105), square(-10, -10, 110), square(-10, -10, 115), square(-10, -10, 120)[:2]]
    contours = read_rtstruct(draw({"Leber/li. Lappen: *neu*": rings, "empty": [], "gone": []}, odd), ct)
    assert contours.masks["empty"] is None
    assert contours.masks["gone"] is None
    assert np.flatnonzero(contours.masks["Leber/li. Lappen: *neu*"].any(axis=(0, 1))).tolist() == [2]
    (note,) = contours.notes
    for words in ("1 x POINT", "1 x OPEN_PLANAR", "1 x less than 3 points"):
        assert words in note


def test_gaps_between_contours_and_area_outside_are_told(drawn):
    ct, draw = drawn
    rings = [square(-10, -10, 105), square(-10, -10, 112.5), square(-36.75, -10, 115)]
    notes = read_rtstruct(draw({"liver": rings}), ct).notes
    assert notes[0] == "liver: 2 slices between the contours have none; nothing is filled in"
    assert (
        notes[1] == "liver: 16.7% of the contoured area lies beyond the scan and is cut off"
    )  # 6 of 12 mm of one in three


def test_unknown_slice_identifiers_are_told_and_millimeters_count(drawn):
    ct, draw = drawn

    def lost(file):
        image = pydicom.Dataset()
        image.ReferencedSOPInstanceUID = "1.2.3.4"
        file.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = [image]

    contours = read_rtstruct(draw({"liver": [square(-10, -10, 105)]}, lost), ct)
    assert "1 slices are named that this CT does not have" in contours.notes[0]
    assert contours.masks["liver"].sum() > 0


def test_export_needs_identifiers_to_refer_to(tmp_path):
    write_series(tmp_path / "ct", body(), change=lambda k, header: setattr(header, "FrameOfReferenceUID", ""))
    ct = read_ct(tmp_path / "ct")
    assert any("no frame of reference" in note for note in ct.notes)
    with pytest.raises(PedsegInputError, match="E-NO-REFERENCE"):
        write_rtstruct(tmp_path / "rs.dcm", {"Liver": ct.scan.voxels > 0}, ct)
    assert not (tmp_path / "rs.dcm").exists()


def test_a_file_that_does_not_come_back_is_not_handed_over(tmp_path, monkeypatch):
    """The comparison itself: a writer that loses the holes is caught."""
    from pedseg.dicom import rtstruct_writing

    write_series(tmp_path / "ct", body())
    ct = read_ct(tmp_path / "ct")
    whole = rtstruct_writing.mask_to_polygons
    monkeypatch.setattr(rtstruct_writing, "mask_to_polygons", lambda mask: whole(ndimage.binary_fill_holes(mask)))
    with pytest.raises(PedsegInputError, match="E-READ-BACK"):
        write_rtstruct(tmp_path / "rs.dcm", {"Liver": nineteen(ct.scan.shape)["Spleen"]}, ct)
    assert [file.name for file in tmp_path.iterdir()] == ["ct"]
