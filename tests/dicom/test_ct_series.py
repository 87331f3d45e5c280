"""CT series as an archive hands them over: read voxel for voxel as SimpleITK does, or refused with place and remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from archive import STRAIGHT, body, save, slice_header, write_series
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

from pedseg.dicom.ct_series import INTERPOLATED, LPS_TO_RAS, group_series, read_ct, read_series, series_table
from pedseg.dicom.dicom_files import find_dicom_files
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.dicom.seg import read_seg, write_seg
from pedseg.errors import PedsegInputError

HU = body()
OBLIQUE = (float(np.cos(np.radians(15))), 0.0, float(np.sin(np.radians(15))), 0.0, 1.0, 0.0)
SERIES = {
    "straight": {},
    "oblique": {"orientation": OBLIQUE},
    "anisotropic": {"spacing_mm": (0.9, 1.3, 4.0)},
    "sagittal": {"orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)},
}


def by_simpleitk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (column, row, slice) and affine (LPS) as SimpleITK reads the series."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), affine


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_a_clean_series_is_what_simpleitk_reads(series, tmp_path):
    write_series(tmp_path, HU, **series)
    ct = read_ct(tmp_path)
    voxels, affine = by_simpleitk(tmp_path)
    np.testing.assert_array_equal(ct.scan.voxels, voxels)
    np.testing.assert_allclose(LPS_TO_RAS @ ct.scan.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(ct.scan.voxels, HU)
    assert ct.scan.voxels.dtype == np.int16


def test_the_first_voxel_by_hand(tmp_path):
    """LPS (-30, -27, 100) is 30 mm to the right, 27 mm in front and 100 mm up."""
    write_series(tmp_path, HU)
    affine = read_ct(tmp_path).scan.affine
    expected = [[-1.5, 0, 0, 30], [0, -1.5, 0, 27], [0, 0, 2.5, 100], [0, 0, 0, 1]]
    np.testing.assert_allclose(affine, expected)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless, DeflatedExplicitVRLittleEndian])
def test_packed_series_are_unpacked(syntax, tmp_path):
    write_series(tmp_path, HU[:, :, :4], syntax=syntax)
    np.testing.assert_array_equal(read_ct(tmp_path).scan.voxels, HU[:, :, :4])


def test_jpeg_lossless_of_old_archives_is_unpacked(tmp_path):
    """The syntax 1.2.840.10008.1.2.4.70, which only GDCM writes here."""
    import gdcm

    for file in write_series(tmp_path, HU[:, :, :4]):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(file))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(file))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"
    np.testing.assert_array_equal(read_ct(tmp_path).scan.voxels, HU[:, :, :4])


def enhanced(folder: Path, hu: np.ndarray, step_mm: float = 2.5, shared_rescale: bool = True) -> Path:
    """An enhanced CT: one file, the frames in no order of their own."""
    header = slice_header(1, (0, 0, 0))
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(header, keyword)
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    header.SOPInstanceUID, header.NumberOfFrames = generate_uid(), hu.shape[2]

    def within(sequence: str, **elements) -> Dataset:
        item, inner = Dataset(), Dataset()
        for keyword, value in elements.items():
            setattr(inner, keyword, value)
        setattr(item, sequence, [inner])
        return item

    shared = within("PlaneOrientationSequence", ImageOrientationPatient=list(STRAIGHT))
    shared.update(within("PixelMeasuresSequence", PixelSpacing=[1.5, 1.5], SliceThickness=2.5))
    rescale = within("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024)
    if shared_rescale:
        shared.update(rescale)
    order = np.random.default_rng(0).permutation(hu.shape[2])
    frames = []
    for k in order:
        frame = within("PlanePositionSequence", ImagePositionPatient=[-30.0, -27.0, 100 + step_mm * int(k)])
        if not shared_rescale:
            frame.update(rescale)
        frames.append(frame)
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], frames
    stored = np.stack([hu[:, :, k].T.astype(np.int32) + 1024 for k in order]).astype(np.uint16)
    return save(folder / "enhanced.dcm", header, stored)


@pytest.mark.parametrize("shared_rescale", [True, False])
def test_an_enhanced_ct_is_the_same_scan(shared_rescale, tmp_path):
    enhanced(tmp_path, HU, shared_rescale=shared_rescale)
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.scan.voxels, HU)
    np.testing.assert_allclose(ct.scan.affine[:3, 3], [30, 27, 100])
    assert len({*ct.uids}) == 1
    assert sorted(frame or 0 for frame in ct.frames) == [*range(20)]


def test_a_legacy_converted_enhanced_ct_is_the_same_scan(tmp_path):
    """Twin: highdicom puts a classic series into one file, as archives do."""
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    slices = [pydicom.dcmread(file) for file in write_series(tmp_path / "classic", HU)]
    converted = LegacyConvertedEnhancedCTImage(
        slices, series_instance_uid=generate_uid(), series_number=9, sop_instance_uid=generate_uid(), instance_number=1
    )
    (tmp_path / "converted").mkdir()
    converted.save_as(tmp_path / "converted" / "a.dcm")
    (file,), _ = find_dicom_files(tmp_path / "converted")
    assert file.kind == "enhanced CT"
    ct, twin = read_ct(tmp_path / "converted"), read_ct(tmp_path / "classic")
    np.testing.assert_array_equal(ct.scan.voxels, twin.scan.voxels)
    np.testing.assert_allclose(ct.scan.affine, twin.scan.affine)


def test_lossy_compression_is_noted(tmp_path):
    """One slice of an archive that shrinks old scans."""
    write_series(tmp_path, HU, change=spoil("LossyImageCompression", "01", 7))
    assert any("lossy compression" in note for note in read_ct(tmp_path).notes)
    write_series(tmp_path, HU, LossyImageCompression="00")
    assert not any("lossy" in note for note in read_ct(tmp_path).notes)
    for file in write_series(tmp_path, HU, syntax=JPEGLSLossless):
        packed = pydicom.dcmread(file)
        packed.file_meta.TransferSyntaxUID = JPEGLSNearLossless  # of which an error of 0 is one case
        packed.save_as(file)
    assert any("lossy" in note for note in read_ct(tmp_path).notes)


@pytest.mark.parametrize("kept", [0, 5, 19])
def test_an_enhanced_ct_that_does_not_place_each_of_its_frames_is_refused(kept, tmp_path):
    file = enhanced(tmp_path, HU)
    dataset = pydicom.dcmread(file)
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:kept]
    dataset.save_as(file)
    with pytest.raises(PedsegInputError, match=f"E-DICOM-GEOMETRY .*holds 20 slices and says of {kept} where"):
        read_ct(tmp_path)


def test_a_classic_slice_that_holds_several_pictures_is_refused(tmp_path):
    files = write_series(tmp_path, HU)
    dataset = pydicom.dcmread(files[5])
    pictures = np.stack([dataset.pixel_array] * 2)
    dataset.NumberOfFrames = 2
    save(files[5], dataset, pictures)
    with pytest.raises(PedsegInputError, match=r"E-SLICE-SIZE .*IM0005.dcm: it holds 2 pictures"):
        read_ct(tmp_path)


def test_what_is_no_ct_is_left_aside(tmp_path):
    write_series(tmp_path / "a" / "b", HU)
    straight = slice_header(1, (0, 0, 0))
    uids = {
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.3",
        "FrameOfReferenceUID": "1.4",
        "SOPInstanceUID": "1.5",
    }
    others = {
        "scout.dcm": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "dose.dcm": {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        "shot.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        "mr.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"},
        "pet.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT"},
        "report.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67", "Modality": "SR"},
        "letter.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "CT"},
        "dose_report.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67", "Modality": "CT"},
        "raw.dcm": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66", "Modality": "CT"},
        "own.dcm": {"SOPClassUID": "1.3.12.2.1107.5.9.1", "Modality": "CT"},
    }
    for name, change in others.items():
        header = Dataset()
        header.update(straight)
        for keyword, value in (uids | change).items():
            setattr(header, keyword, value)
        save(tmp_path / name, header, np.zeros((8, 8), np.uint16))
    (tmp_path / "notes.txt").write_text("scanned on Monday")
    (tmp_path / "Thumbs.db").write_bytes(bytes(300))
    (tmp_path / "a" / "b" / "._IM0001.dcm").write_bytes(b"Mac OS X        ")
    kinds = {file.path.name: file.kind for file in find_dicom_files(tmp_path)[0] if file.path.name in others}
    assert kinds == {
        "scout.dcm": "localizer",
        "dose.dcm": "dose screen",
        "shot.dcm": "secondary capture",
        "mr.dcm": "MR",
        "pet.dcm": "PT",
        "report.dcm": "SR",
        "letter.dcm": "Encapsulated PDF",
        "dose_report.dcm": "report",
        "raw.dcm": "Raw Data",
        "own.dcm": "1.3.12.2.1107.5.9.1",
    }
    np.testing.assert_array_equal(read_ct(tmp_path).scan.voxels, HU)


def test_several_series_are_a_table_to_choose_from(tmp_path):
    write_series(tmp_path / "thin", HU, SeriesDescription="Abdomen 2.5 B30f")
    write_series(tmp_path / "thick", HU[:, :, :5], SeriesDescription="Abdomen 5.0 B60f", ConvolutionKernel="B60f")
    with pytest.raises(PedsegInputError, match="E-SERIES-CHOICE") as caught:
        read_ct(tmp_path)
    problem = caught.value.problems[0].problem
    assert "20 slices" in problem
    assert "5 slices" in problem
    assert "B60f" in problem
    series = group_series(find_dicom_files(tmp_path)[0])
    assert len(series_table(series)) == 2
    for number, member in enumerate(series, 1):
        for wanted in (str(number), member.uid):
            assert read_ct(tmp_path, wanted=wanted).scan.shape[2] == member.slice_count
    with pytest.raises(PedsegInputError, match="no series is called 7"):
        read_ct(tmp_path, wanted="7")


def test_padding_becomes_air(tmp_path):
    stored = HU[:, :, 0].T.astype(np.int32) + 1024
    stored[:4] = 2**16 - 2000
    files = write_series(tmp_path, HU, PixelPaddingValue=-2000, PixelRepresentation=1)
    for file in files:
        dataset = pydicom.dcmread(file)
        pixels = dataset.pixel_array.copy()
        pixels[:4] = -2000
        dataset.PixelData = pixels.astype(np.int16).tobytes()
        dataset.save_as(file)
    voxels = read_ct(tmp_path).scan.voxels
    assert (voxels[:, :4] == -1024).all()
    np.testing.assert_array_equal(voxels[:, 4:], HU[:, 4:])


@pytest.mark.parametrize(
    ("declared", "limit", "filled", "read"),
    [
        (-2000, None, (-2000,), -1024),
        (-2000, -1500, (-2000, -1777, -1500), -1024),
        (-1500, -2000, (-2000, -1777, -1500), -1024),
        (1074, None, (), None),  # 50 HU, soft tissue: nothing is taken for padding
        (1074, None, (1074,), None),  # the corners are filled with it: nobody can tell
    ],
)
def test_padding_is_what_lies_beside_the_picture_and_never_tissue(declared, limit, filled, read, tmp_path):
    """50 HU is stored as 1074; what the file declares as padding may not punch holes into the body."""
    files = write_series(tmp_path, HU, PixelPaddingValue=declared, PixelRepresentation=1)
    for file in files:
        dataset = pydicom.dcmread(file)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "SS", limit)
        pixels = dataset.pixel_array.copy()
        for row, value in enumerate(filled):
            pixels[row] = value
        dataset.PixelData = pixels.astype(np.int16).tobytes()
        dataset.save_as(file)
    rows = len(filled)
    if filled and read is None:
        with pytest.raises(PedsegInputError, match=r"E-NOT-HU .*padded with 50 HU, which tissue has too"):
            read_ct(tmp_path)
        return
    ct = read_ct(tmp_path)
    assert rows == 0 or (ct.scan.voxels[:, :rows] == read).all()
    np.testing.assert_array_equal(ct.scan.voxels[:, rows:], HU[:, rows:])


# --- what is wrong is refused, and repaired only when asked for --------------------------------------------------


def spoil(keyword: str, value, *places: int):
    """A change of single slices."""

    def change(k: int, header: Dataset) -> None:
        if k in places:
            delattr(header, keyword) if value is None else setattr(header, keyword, value)

    return change


def moved(places: dict[int, tuple[float, float, float]]):
    def change(k: int, header: Dataset) -> None:
        header.ImagePositionPatient = [
            float(a) + b for a, b in zip(header.ImagePositionPatient, places.get(k, (0, 0, 0)), strict=True)
        ]

    return change


def tilted(degrees: float):
    lean = float(np.tan(np.radians(degrees)))
    return lambda k, header: setattr(header, "ImagePositionPatient", [-30.0, -27.0 + 2.5 * k * lean, 100 + 2.5 * k])


REFUSED = {
    "a slice missing": ("E-SERIES-GAP", lambda k, header: k != 7),
    "uneven steps": ("E-SERIES-UNEVEN", moved({9: (0, 0, 0.8)})),
    "steps that differ too little to see": (
        "E-SERIES-UNEVEN",
        moved({k: (0, 0, -0.04 * min(k, 19 - k)) for k in range(20)}),
    ),
    "a slice twice": ("E-SERIES-DOUBLES", moved({8: (0, 0, -2.5)})),
    "a tilted gantry": ("E-TILT", tilted(18.5)),
    "a slice beside the others": ("E-SERIES-DRIFT", moved({9: (3, 0, 0)})),
    "another frame of reference": ("E-FRAME", spoil("FrameOfReferenceUID", "1.2.3", 4)),
    "another orientation": ("E-SERIES-MIXED", spoil("ImageOrientationPatient", [0, 1, 0, 1, 0, 0], 4)),
    "another pixel spacing": ("E-SERIES-MIXED", spoil("PixelSpacing", [1.4, 1.5], 4)),
    "no rescale": ("E-RESCALE", spoil("RescaleIntercept", None, 3)),
    "two rescales": ("E-RESCALE", spoil("RescaleIntercept", -1000, *range(10))),
    "no position": ("E-DICOM-GEOMETRY", spoil("ImagePositionPatient", None, 3)),
    "impossible directions": ("E-DICOM-GEOMETRY", spoil("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], 3)),
    "colors": ("E-NOT-GRAY", spoil("PhotometricInterpretation", "RGB", 3)),
    "two slices only": ("E-SERIES-SHORT", lambda k, header: k < 2),
    "8 bit gray": ("E-NOT-HU", spoil("RescaleIntercept", 0, *range(20))),
    "an intercept of 24": ("E-NOT-HU", spoil("RescaleIntercept", -24, *range(20))),
    "a slope with its sign inverted": (
        "E-NOT-HU",
        lambda k, header: header.update({"RescaleSlope": -1, "RescaleIntercept": 1024}),
    ),
    "no rescale anywhere": (
        "E-RESCALE",
        lambda k, header: [delattr(header, keyword) for keyword in ("RescaleSlope", "RescaleIntercept")],
    ),
    "voxels of five micrometers": ("E-SPACING", spoil("PixelSpacing", [0.005, 0.005], *range(20))),
    "a field of two and a half cubic meters": (
        "E-FIELD",
        lambda k, header: header.update({"PixelSpacing": [45, 45], "ImagePositionPatient": [0, 0, 45 * k]}),
    ),
    "electron density": ("E-NOT-HU", spoil("RescaleType", "EDW", *range(20))),
}


@pytest.mark.parametrize(("code", "change"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_series_is_refused(code, change, tmp_path):
    write_series(tmp_path, HU, change=change)
    with pytest.raises(PedsegInputError) as caught:
        read_ct(tmp_path)
    assert [problem.code for problem in caught.value.problems] == [code], caught.value
    for problem in caught.value.problems:
        assert Path(problem.file).exists()
        assert problem.problem.endswith(".")
        assert problem.remedy.endswith(".")


def test_the_place_of_a_gap_is_named(tmp_path):
    write_series(tmp_path, HU, change=lambda k, header: k not in (7, 8))
    with pytest.raises(PedsegInputError) as caught:
        read_ct(tmp_path)
    assert "after instance 7 (IM0006.dcm): 2.5 mm expected, 7.5 found; 1 place(s)" in caught.value.problems[0].problem


def test_the_angle_of_a_tilt_is_named(tmp_path):
    write_series(tmp_path, HU, change=tilted(18.5))
    with pytest.raises(PedsegInputError, match=r"tilted by 18\.5 degrees"):
        read_ct(tmp_path)


def test_a_slice_of_another_size_is_named(tmp_path):
    files = write_series(tmp_path, HU)
    dataset = pydicom.dcmread(files[5])
    save(files[5], dataset, np.zeros((18, 20), np.uint16))
    with pytest.raises(PedsegInputError, match="E-SLICE-SIZE") as caught:
        read_ct(tmp_path)
    assert caught.value.problems[0].file == str(files[5])


@pytest.mark.parametrize("keep", [0.97, 0.6, 0.2])
def test_a_truncated_slice_is_named(keep, tmp_path):
    files = write_series(tmp_path, HU)
    content = files[5].read_bytes()
    files[5].write_bytes(content[: int(keep * len(content))])
    with pytest.raises(PedsegInputError) as caught:
        read_ct(tmp_path)
    (problem,) = caught.value.problems
    assert problem.code in ("E-SLICE-TRUNCATED", "E-DICOM-DAMAGED", "E-DICOM-GEOMETRY")
    assert problem.file == str(files[5])


def test_a_file_without_its_meta_header_is_named(tmp_path):
    files = write_series(tmp_path, HU)
    content = files[5].read_bytes()
    files[5].write_bytes(content[content.index(b"\x08\x00\x08\x00CS") :])
    with pytest.raises(PedsegInputError, match="E-DICOM-NO-META") as caught:
        read_ct(tmp_path)
    assert caught.value.problems[0].file == str(files[5])


def test_all_broken_files_are_reported_at_once(tmp_path):
    files = write_series(tmp_path, HU)
    files[3].write_bytes(b"")
    files[9].write_bytes(b"<html>Sign in</html>" * 20)
    with pytest.raises(PedsegInputError) as caught:
        read_ct(tmp_path)
    assert [(f.code, f.file) for f in caught.value.problems] == [("E-NOT-DICOM", str(files[n])) for n in (3, 9)]


def test_copies_are_dropped_when_asked_for_and_other_slices_never(tmp_path):
    files = write_series(tmp_path, HU)
    for place in (4, 11):
        copy = pydicom.dcmread(files[place])
        copy.SOPInstanceUID = generate_uid()
        save(tmp_path / f"copy{place}.dcm", copy)
    ct = read_ct(tmp_path, repairs=["duplicates"])
    np.testing.assert_array_equal(ct.scan.voxels, HU)
    assert ct.repairs == ("2 doubled slices removed",)
    copy.PixelData = np.zeros((36, 40), np.uint16).tobytes()
    save(tmp_path / "copy11.dcm", copy)
    with pytest.raises(PedsegInputError, match="shows something else"):
        read_ct(tmp_path, repairs=["duplicates"])


def test_gaps_are_interpolated_when_asked_for(tmp_path):
    ramp = np.repeat(np.arange(20, dtype=np.int16)[None, None] * 10, 40, 0).repeat(36, 1) + HU[:, :, :1]
    write_series(tmp_path, ramp, change=lambda k, header: k not in (7, 8, 15))
    ct = read_ct(tmp_path, repairs=["gaps"])
    np.testing.assert_array_equal(ct.scan.voxels, ramp)  # what is linear is interpolated exactly
    assert ct.repairs == ("3 slices interpolated",)
    assert [place for place, uid in enumerate(ct.uids) if uid == INTERPOLATED] == [7, 8, 15]


def test_small_differences_that_add_up_are_repaired_by_position(tmp_path):
    """Nine steps of 2.46 mm, nine of 2.54: hardly odd, but the tenth slice lies 0.36 mm beside its place."""
    ramp = np.repeat(np.arange(20, dtype=np.int16)[None, None] * 10, 40, 0).repeat(36, 1) + HU[:, :, :1]
    files = write_series(tmp_path, ramp, change=moved({k: (0, 0, -0.04 * min(k, 19 - k)) for k in range(20)}))
    heights = [float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in files]
    ct = read_ct(tmp_path, repairs=["gaps"])
    at = ct.scan.affine[2, 3] + ct.scan.affine[2, 2] * np.arange(ct.scan.shape[2])
    meant = np.interp(at, heights, ramp[3, 3])
    np.testing.assert_allclose(ct.scan.voxels[3, 3], meant, atol=0.51)


def test_a_tilt_is_undone_when_asked_for(tmp_path):
    """A straight rod scanned by a tilted gantry drifts from slice to slice; put upright, it stands straight again."""
    hu = np.repeat(body()[:, :, :1], 20, axis=2)
    lean = np.tan(np.radians(10))
    for k in range(20):
        at = 18 - k * 2.5 * lean / 1.5  # row of the rod in slice k
        rows = np.arange(36)
        hu[20, :, k] = np.round(1000 * np.clip(1 - np.abs(rows - at), 0, 1))
    write_series(tmp_path, hu, change=tilted(10))
    ct = read_ct(tmp_path, repairs=["gantry-tilt"])
    assert ct.repairs == ("gantry tilt of 10.0 degrees undone",)
    np.testing.assert_allclose(ct.scan.affine[:3, 2], [0, 0, 2.5], atol=1e-6)
    assert {int(place) for place in ct.scan.voxels[20].argmax(axis=0)} == {18}


@pytest.mark.parametrize("missing", [(), (7,), (3, 4, 11)])
def test_a_tilt_and_gaps_repaired_together_leave_anatomy_in_its_place(missing, tmp_path):
    """A rod that leans by 20 degrees in a scan tilted by 18.5: by where the slices lie, not by their numbers.

    Its tip is bright in one slice only, which must stay at its height; the rod's row in mm is that of the full scan.
    """
    hu = np.repeat(body((40, 120, 1)), 20, axis=2)
    lean, rod = np.tan(np.radians(18.5)), np.tan(np.radians(20))
    rows = np.arange(120)
    for k in range(20):
        at = 60 + (rod - lean) * k * 2.5 / 1.5  # row of the rod in slice k
        hu[20, :, k] = np.round((2000 if k == 17 else 1000) * np.clip(1 - np.abs(rows - at), 0, 1))
    write_series(tmp_path, hu, change=lambda k, header: False if k in missing else tilted(18.5)(k, header))
    ct = read_ct(tmp_path, repairs=["gantry-tilt", "gaps"])
    assert ct.scan.shape == (40, 120, 20)
    np.testing.assert_allclose(ct.scan.affine[:3, 2], [0, 0, 2.5], atol=1e-6)
    assert [place for place, uid in enumerate(ct.uids) if uid == INTERPOLATED] == [*missing]
    assert ct.scan.voxels[20, :, :].max(axis=0).argmax() == 17
    for k in {*range(20)} - {*missing}:
        profile = np.maximum(ct.scan.voxels[20, :, k].astype(float), 0)
        profile[: int(60 + rod * k * 2.5 / 1.5) - 3] = 0
        row = np.average(rows[:110], weights=profile[:110])
        assert abs(row - (60 + rod * k * 2.5 / 1.5)) < 0.1, k  # 0.15 mm


def test_thick_slices_and_lost_identifiers_are_noted(tmp_path):
    write_series(
        tmp_path, HU, spacing_mm=(5, 5, 6), change=lambda k, header: setattr(header, "SOPInstanceUID", "1.2.3")
    )
    notes = read_ct(tmp_path).notes
    assert any("thick slices (6 mm)" in note for note in notes)
    assert any("contours cannot be exported" in note for note in notes)


def test_nothing_here_is_said(tmp_path):
    with pytest.raises(PedsegInputError, match="E-FILE-MISSING"):
        read_ct(tmp_path / "none")
    with pytest.raises(PedsegInputError, match="E-NO-SCAN"):
        read_ct(tmp_path)
    write_series(tmp_path, HU[:, :, :3], Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    with pytest.raises(PedsegInputError, match="E-MODALITY"):
        read_ct(tmp_path)


def test_a_repair_that_does_not_exist(tmp_path):
    write_series(tmp_path, HU)
    with pytest.raises(PedsegInputError, match="E-REPAIR"):
        read_ct(tmp_path, repairs=["magic"])


def test_contours_of_an_enhanced_ct_name_its_frames(tmp_path):
    enhanced(tmp_path / "ct", HU)
    ct = read_ct(tmp_path / "ct")
    mask = {"Liver": ct.scan.voxels > 300, "Spleen": np.indices(HU.shape)[2] % 7 == 2}
    write_rtstruct(tmp_path / "rs.dcm", mask, ct)
    item = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence[1].ContourSequence[0]
    assert item.ContourImageSequence[0].ReferencedFrameNumber == ct.frames[2] + 1
    back = read_rtstruct(tmp_path / "rs.dcm", ct)
    assert back.notes == ("Spleen: 12 slices between the contours have none; nothing is filled in",)
    for name in mask:
        np.testing.assert_array_equal(back.masks[name], mask[name])


def test_segments_of_an_enhanced_ct_lie_on_its_frames(tmp_path):
    enhanced(tmp_path / "ct", HU)
    file = tmp_path / "ct" / "enhanced.dcm"
    dataset = pydicom.dcmread(file)  # what highdicom asks of a source
    dataset.ContentDate, dataset.ContentTime, dataset.Manufacturer = "20240305", "120000", "made"
    dataset.save_as(file)
    ct = read_ct(tmp_path / "ct")
    mask = {"Liver": ct.scan.voxels > 300, "Spleen": np.indices(HU.shape)[2] == 2}
    write_seg(tmp_path / "seg.dcm", mask, ct)
    for name, segment in read_seg(tmp_path / "seg.dcm", ct).masks.items():
        np.testing.assert_array_equal(segment, mask[name])


def test_more_slices_than_there_are_left_are_not_made_up(tmp_path):
    write_series(tmp_path, HU, change=lambda k, header: k < 6 or k == 19)
    with pytest.raises(PedsegInputError, match="13 of 20 slices are missing"):
        read_ct(tmp_path, repairs=["gaps"])


def test_odd_files_of_real_devices_are_read_or_refused():
    """The files that pydicom is tested with: 160 of many makers, syntaxes and faults, some of them CT."""
    files, problems = find_dicom_files(Path(pydicom.__file__).parent / "data" / "test_files")
    assert len(files) > 100
    assert {problem.code for problem in problems} <= {"E-NOT-DICOM", "E-DICOM-NO-META", "E-DICOM-DAMAGED"}
    series, read = group_series(files), 0
    assert len(series) > 3
    for member in series:
        try:
            read += read_series(member).scan.voxels.ndim == 3
        except PedsegInputError as error:
            assert all(problem.remedy for problem in error.problems)
    assert read >= 1
