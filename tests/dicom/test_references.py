"""Contours belong to the ROI, the series and the slices that they name, one to one; else a person decides."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive import body, write_series, write_structures
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from pedseg.datasets.writing import written_cases
from pedseg.dicom.ct_series import CtScan, read_ct
from pedseg.dicom.rtstruct import RoiMasks, read_rtstruct
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.dicom.seg import read_seg, write_seg
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.importing.import_scans import ImportResult, import_scans
from pedseg.importing.scan_sources import ImportOptions

SHAPE = (24, 20, 8)
REFERENCES = ImportOptions(repairs=("references",))
Change = Callable[[Dataset], object]


def masks() -> dict[str, np.ndarray]:
    """Liver, spleen and a kidney of 96, 48 and 24 voxels, each on other slices."""
    made = {name: np.zeros(SHAPE, bool) for name in ("Liver", "Spleen", "Kidney_L")}
    made["Liver"][4:10, 5:9, 1:5] = True
    made["Spleen"][14:18, 5:9, 2:5] = True
    made["Kidney_L"][14:18, 11:14, 4:6] = True
    return made


@pytest.fixture
def ct(tmp_path) -> CtScan:
    write_series(tmp_path / "in" / "ct", body(SHAPE), spacing_mm=(8, 8, 8))
    return read_ct(tmp_path / "in" / "ct")


Read = Callable[..., RoiMasks]
WRITERS = {"RTSTRUCT": (write_rtstruct, read_rtstruct), "SEG": (write_seg, read_seg)}


@pytest.fixture(params=WRITERS)
def changed(request, ct, tmp_path) -> tuple[str, Callable[..., RoiMasks]]:
    """Kind of the file, and a reader of it after a change: three organs as the own writer leaves them."""
    write, read = WRITERS[request.param]

    def reader(change: Change, **ignored: bool) -> RoiMasks:
        file = tmp_path / "structures.dcm"
        write(file, masks(), ct)
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)
        return read(file, ct, **ignored)

    return request.param, reader


def codes(read: Callable[[], object]) -> set[str]:
    with pytest.raises(PedsegInputError) as caught:
        read()
    return {problem.code for problem in caught.value.problems}


def described(file: Dataset) -> list[Dataset]:
    return file.StructureSetROISequence if "StructureSetROISequence" in file else file.SegmentSequence


def number_twice(file: Dataset) -> None:
    for item in described(file)[:2]:
        item.ROINumber = item.SegmentNumber = 1
        del item["SegmentNumber" if "ROIName" in item else "ROINumber"]


def nobody_describes(file: Dataset) -> None:
    del described(file)[1]


def by_index(file: Dataset) -> None:
    for item in file.get("ROIContourSequence") or []:
        item.ReferencedROINumber -= 1
    for group in file.get("PerFrameFunctionalGroupsSequence") or []:
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber -= 1


@pytest.mark.parametrize(
    ("change", "code"),
    [(number_twice, "E-ROI-TWICE"), (nobody_describes, "E-ROI-UNKNOWN"), (by_index, "E-ROI-UNKNOWN")],
)
def test_numbers_that_are_not_one_to_one_are_refused(change, code, changed):
    _, read = changed
    assert read(lambda file: None).masks["Spleen"].sum() == 48  # nothing is wrong with the file before
    assert code in codes(lambda: read(change))


def test_two_items_of_contours_for_one_roi_are_refused_and_an_empty_one_is_none(ct, tmp_path):
    write_rtstruct(tmp_path / "rs.dcm", masks(), ct)
    file = pydicom.dcmread(tmp_path / "rs.dcm")
    file.ROIContourSequence[1].ReferencedROINumber = 1
    file.save_as(tmp_path / "two.dcm")
    assert codes(lambda: read_rtstruct(tmp_path / "two.dcm", ct)) == {"E-ROI-TWICE"}
    file.ROIContourSequence[1].ContourSequence = []
    file.save_as(tmp_path / "empty.dcm")
    read = read_rtstruct(tmp_path / "empty.dcm", ct)
    assert read.masks["Liver"].sum() == 96
    assert read.empty == {"Spleen"}


def test_a_label_map_with_a_number_that_nobody_describes_and_its_background(ct, tmp_path):
    import highdicom
    from highdicom.sr.coding import CodedConcept

    from pedseg.dicom.seg import closed_segmentation

    organ = CodedConcept("123037004", "SCT", "Anatomical Structure"), CodedConcept("10200004", "SCT", "Liver")
    manual = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    segments = [highdicom.seg.SegmentDescription(n, name, *organ, manual) for n, name in ((1, "liver"), (2, "spleen"))]
    labels = (masks()["Liver"] + 2 * masks()["Spleen"]).transpose(2, 1, 0).astype(np.uint8)
    sources = [pydicom.dcmread(file.path) for file in ct.series.files]
    kind = highdicom.seg.SegmentationTypeValues.LABELMAP
    uids = highdicom.UID(), 1, highdicom.UID(), 1
    made = highdicom.seg.Segmentation(sources, labels, kind, segments, *uids, "else", "else", "1", "1")
    with closed_segmentation(made):
        made.save_as(tmp_path / "seg.dcm")
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [segment.SegmentLabel for segment in file.SegmentSequence] == ["Background", "liver", "spleen"]
    del file.PixelPaddingValue  # the background is known by its code alone
    file.save_as(tmp_path / "seg.dcm")
    read = read_seg(tmp_path / "seg.dcm", ct)
    assert {name: int(mask.sum()) for name, mask in read.masks.items()} == {"liver": 96, "spleen": 48}
    del file.SegmentSequence[2]
    file.save_as(tmp_path / "lost.dcm")
    assert codes(lambda: read_seg(tmp_path / "lost.dcm", ct)) == {"E-ROI-UNKNOWN"}


# --- contours of another scan --------------------------------------------------------------------------------------


def other_series(file: Dataset) -> None:
    for item in file.get("ReferencedSeriesSequence") or []:
        item.SeriesInstanceUID = "1.2.3"
    for frame in file.get("ReferencedFrameOfReferenceSequence") or []:
        frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def image_lists(file: Dataset) -> list[list[Dataset]]:
    """For each contour or frame, the images that it names."""
    lists = [item.ContourImageSequence for roi in file.get("ROIContourSequence") or [] for item in roi.ContourSequence]
    groups = file.get("PerFrameFunctionalGroupsSequence") or []
    return [*lists, *(group.DerivationImageSequence[0].SourceImageSequence for group in groups)]


def next_slice(file: Dataset) -> None:
    """Each contour names the image of the next slice, the last ones none of this CT."""
    uids = [images[0].ReferencedSOPInstanceUID for images in image_lists(file)]
    following = dict(zip(sorted({*uids}, key=uids.index), [*sorted({*uids}, key=uids.index)[1:], "1.2.9"], strict=True))
    for images, uid in zip(image_lists(file), uids, strict=True):
        images[0].ReferencedSOPInstanceUID = following[uid]


def unnamed_series_other_slices(file: Dataset) -> None:
    for keyword in ("ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence"):
        if keyword in file:
            del file[keyword]
    for images in image_lists(file):
        images[0].ReferencedSOPInstanceUID = f"2{images[0].ReferencedSOPInstanceUID[1:]}"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (other_series, "E-STRUCTURES-SERIES", "another series"),
        (unnamed_series_other_slices, "E-STRUCTURES-SERIES", "another series"),
        (next_slice, "E-CONTOUR-SLICE", "millimeters"),
    ],
)
def test_contours_that_name_other_images_are_refused_unless_asked_for(change, code, words, changed):
    _, read = changed
    assert codes(lambda: read(change)) == {code}
    taken = read(change, ignore_references=True)
    assert {name: int(mask.sum()) for name, mask in taken.masks.items()} == {"Liver": 96, "Spleen": 48, "Kidney_L": 24}
    (decided,) = taken.decided
    assert words in decided
    assert read(lambda file: None).decided == ()


def test_the_distance_to_the_slice_that_is_named_by_hand(ct, tmp_path):
    """Named two slices of 8 mm further on."""
    write_rtstruct(tmp_path / "rs.dcm", masks(), ct)
    file = pydicom.dcmread(tmp_path / "rs.dcm")
    file.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0].ReferencedSOPInstanceUID = ct.uids[3]
    file.save_as(tmp_path / "rs.dcm")
    with pytest.raises(PedsegInputError, match=r"1 contours name other slices .* up to 16 mm away"):
        read_rtstruct(tmp_path / "rs.dcm", ct)


def structures(folder: Path, name: str, ct_folder: Path, series: str | None = "") -> Path:
    """An RTSTRUCT for a CT that may name another series, or none."""
    made = read_ct(ct_folder)
    write_rtstruct(folder / name, masks(), made)
    file = pydicom.dcmread(folder / name)
    frame = file.ReferencedFrameOfReferenceSequence[0]
    if series is None:
        del frame.RTReferencedStudySequence
    elif series:
        frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = series
    file.save_as(folder / name)
    return folder / name


def bring(folder: Path, options: ImportOptions | None = None, **more) -> list:
    target = folder / f"ds{len([*folder.glob('ds*')])}"
    return list(import_scans(folder / "in", target, center="Here", key=folder / "key", options=options, **more))


def test_contours_of_a_series_that_is_not_here_are_refused_or_taken_by_word(ct, tmp_path):
    structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "ct", "1.2.3")
    assert codes(lambda: bring(tmp_path)) == {"E-STRUCTURES-SERIES"}
    (result,) = bring(tmp_path, REFERENCES)
    assert result.organs == ("Liver", "Spleen", "Kidney_L")
    (row,) = written_cases(tmp_path / "ds0").values()
    assert row["repairs"] == "contours of another series taken"


def test_a_seg_of_a_series_that_is_not_here_is_refused_or_taken_by_word(ct, tmp_path):
    write_seg(tmp_path / "in" / "seg.dcm", masks(), ct)
    file = pydicom.dcmread(tmp_path / "in" / "seg.dcm")
    other_series(file)
    file.save_as(tmp_path / "in" / "seg.dcm")
    assert codes(lambda: bring(tmp_path)) == {"E-STRUCTURES-SERIES"}
    (result,) = bring(tmp_path, REFERENCES)
    assert result.organs == ("Liver", "Spleen", "Kidney_L")


def test_a_ct_that_lost_its_series_may_be_any_ones(ct, tmp_path):
    structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "ct")
    for file in (tmp_path / "in" / "ct").iterdir():
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID = ""
        header.save_as(file)
    assert codes(lambda: bring(tmp_path)) == {"E-STRUCTURES-SERIES"}
    (result,) = bring(tmp_path, REFERENCES)
    assert result.organs == ("Liver", "Spleen", "Kidney_L")
    (row,) = written_cases(tmp_path / "ds0").values()
    assert row["repairs"] == "contours of another series taken"


def test_another_frame_of_reference_is_recorded_when_it_was_asked_for(ct, tmp_path):
    file = pydicom.dcmread(structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "ct"))
    file.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
    file.save_as(tmp_path / "in" / "rs.dcm")
    assert codes(lambda: bring(tmp_path)) == {"E-FRAME"}
    assert codes(lambda: bring(tmp_path, REFERENCES)) == {"E-FRAME"}  # another decision
    bring(tmp_path, ImportOptions(ignore_frame_of_reference=True))
    (row,) = written_cases(tmp_path / "ds0").values()
    assert row["repairs"] == "contours of another frame of reference taken"


@pytest.mark.parametrize("asked", [ImportOptions(), REFERENCES], ids=["", "references"])
def test_contours_of_the_mr_of_the_same_patient_are_left_out_and_said(asked, ct, tmp_path):
    """It lies in the same frame of reference, and its RTSTRUCT beside that of the CT."""
    uids = (str(ct.header.StudyInstanceUID), generate_uid(), ct.frame_of_reference)
    magnetic = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}
    write_series(tmp_path / "in" / "mr", body(SHAPE), spacing_mm=(8, 8, 8), uids=uids, **magnetic)
    structures(tmp_path / "in", "mr.dcm", tmp_path / "in" / "ct", uids[1])
    (result,) = bring(tmp_path, asked)
    assert result.organs == ()
    assert "left out, contours of another series: mr.dcm" in result.messages
    structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "ct")
    (result,) = bring(tmp_path, asked)
    assert result.organs == ("Liver", "Spleen", "Kidney_L")
    assert "left out, contours of another series: mr.dcm" in result.messages


def test_another_phase_is_not_the_one_that_was_drawn_on(ct, tmp_path):
    uids = (str(ct.header.StudyInstanceUID), generate_uid(), ct.frame_of_reference)
    write_series(tmp_path / "in" / "phase50", body(SHAPE, seed=1), spacing_mm=(8, 8, 8), uids=uids)
    structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "phase50")
    (result,) = bring(tmp_path)
    assert result.source == tmp_path / "in" / "phase50"
    (result,) = bring(tmp_path, ImportOptions(series=ct.series.uid))
    assert result.organs == ()
    assert any("left out, another series" in line for line in result.messages)
    assert "left out with it: rs.dcm" in result.messages
    (tmp_path / "in" / "rs.dcm").unlink()
    structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "phase50", "1.2.3")
    assert codes(lambda: bring(tmp_path)) == {"E-STRUCTURES-SERIES", "E-SERIES-CHOICE"}


def test_of_two_sets_of_contours_none_wins(ct, tmp_path):
    write_series(tmp_path / "in" / "b", body(SHAPE, seed=1), spacing_mm=(8, 8, 8), PatientID="b")
    structures(tmp_path / "in", "first.dcm", tmp_path / "in" / "ct")
    structures(tmp_path / "in", "second.dcm", tmp_path / "in" / "ct", None)
    became = bring(tmp_path, skip_refused=True)
    (problem,) = [result for result in became if isinstance(result, InputProblem)]
    assert problem.code == "E-STRUCTURES-TWICE"
    (result,) = [result for result in became if isinstance(result, ImportResult)]
    assert result.source == tmp_path / "in" / "b"


def test_a_second_rtstruct_that_names_another_series_is_no_second_set_of_this_ct(ct, tmp_path):
    structures(tmp_path / "in", "a.dcm", tmp_path / "in" / "ct", "1.2.3")  # first by name
    structures(tmp_path / "in", "b.dcm", tmp_path / "in" / "ct")
    (result,) = bring(tmp_path)
    assert result.organs == ("Liver", "Spleen", "Kidney_L")
    assert "left out, contours of another series: a.dcm" in result.messages


def test_an_rtstruct_of_two_series_is_of_both_and_its_foreign_slices_are_seen(ct, tmp_path):
    file = pydicom.dcmread(structures(tmp_path / "in", "rs.dcm", tmp_path / "in" / "ct"))
    series = file.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    series.insert(0, copy.deepcopy(series[0]))
    series[0].SeriesInstanceUID = "1.2.3"
    file.save_as(tmp_path / "in" / "rs.dcm")
    (result,) = bring(tmp_path)
    assert result.organs == ("Liver", "Spleen", "Kidney_L")
    file.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
    file.save_as(tmp_path / "in" / "rs.dcm")
    assert codes(lambda: bring(tmp_path)) == {"E-STRUCTURES-SERIES"}


def test_an_rtstruct_without_references_is_placed_by_its_frame_as_before(ct, tmp_path):
    write_structures(
        tmp_path / "in" / "rs.dcm", {"liver": [[[0, 0, 108], [16, 0, 108], [16, 16, 108]]]}, ct.series.files[0].path
    )
    file = pydicom.dcmread(tmp_path / "in" / "rs.dcm")
    del file.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    file.save_as(tmp_path / "in" / "rs.dcm")
    (result,) = bring(tmp_path)
    assert result.organs == ("Liver",)
