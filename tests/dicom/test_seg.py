"""DICOM SEG onto the grid of its CT, whichever way its slices run, and back."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from archive import body, write_series
from highdicom.sr.coding import CodedConcept

from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.seg import closed_segmentation, read_seg, write_seg
from pedseg.errors import PedsegInputError
from pedseg.importing.dicom_folders import list_dicom_scans
from pedseg.importing.scan_sources import ImportOptions

OBLIQUE = (float(np.cos(np.radians(15))), 0.0, float(np.sin(np.radians(15))), 0.0, 1.0, 0.0)
GRIDS = {
    "straight": {},
    "oblique": {"orientation": OBLIQUE},
    "upside down": {"orientation": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
    "anisotropic": {"spacing_mm": (0.8, 1.3, 4.0)},
}


def masks(shape) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    made = {name: rng.random(shape) > 0.6 for name in ("Liver", "Spleen")}
    made["Kidney_L"] = np.zeros(shape, bool)
    made["Kidney_L"][3:9, 4:7, 2:5] = True
    return made


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_segments_come_back_voxel_by_voxel(grid, tmp_path):
    write_series(tmp_path / "ct", body((24, 20, 8)), **grid)
    ct = read_ct(tmp_path / "ct")
    drawn = masks(ct.scan.shape)
    write_seg(tmp_path / "seg.dcm", drawn, ct)
    back = read_seg(tmp_path / "seg.dcm", ct)
    for name, mask in drawn.items():
        np.testing.assert_array_equal(back.masks[name], mask)
    assert back.automatic == {*drawn}


def by_highdicom(file: Path, ct_files, mask, kind: str, share: float = 0.9) -> None:
    """Write a SEG as another program does: all frames, slices from the top down, made by hand."""
    sources = [pydicom.dcmread(file) for file in ct_files][::-1]
    segment = highdicom.seg.SegmentDescription(
        1, "liver", CodedConcept("123037004", "SCT", "Anatomical Structure"), CodedConcept("10200004", "SCT", "Liver"),
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )  # fmt: skip
    array = mask[:, :, ::-1].transpose(2, 1, 0)
    segmentation = highdicom.seg.Segmentation(
        sources, array.astype(np.float32) * share if kind == "FRACTIONAL" else array.astype(np.uint8), kind, [segment],
        highdicom.UID(), 1, highdicom.UID(), 1, "else", "else", "1", "1",
    )  # fmt: skip
    with closed_segmentation(segmentation):
        segmentation.save_as(file)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_what_other_programs_write_is_read(kind, tmp_path):
    files = write_series(tmp_path / "ct", body((24, 20, 8)))
    ct = read_ct(tmp_path / "ct")
    mask = masks(ct.scan.shape)["Kidney_L"]
    by_highdicom(tmp_path / "seg.dcm", files, mask, kind)
    back = read_seg(tmp_path / "seg.dcm", ct)
    np.testing.assert_array_equal(back.masks["liver"], mask)
    assert back.automatic == frozenset()


def test_another_frame_and_another_grid_are_refused(tmp_path):
    write_series(tmp_path / "ct", body((24, 20, 8)))
    ct = read_ct(tmp_path / "ct")
    write_seg(tmp_path / "seg.dcm", masks(ct.scan.shape), ct)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    frame, seg.FrameOfReferenceUID = seg.FrameOfReferenceUID, "1.2.3"
    seg.save_as(tmp_path / "frame.dcm")
    with pytest.raises(PedsegInputError, match="E-FRAME"):
        read_seg(tmp_path / "frame.dcm", ct)
    assert read_seg(tmp_path / "frame.dcm", ct, ignore_frame_of_reference=True).masks["Liver"] is not None
    uids = (str(ct.header.StudyInstanceUID), "1.2.9", str(frame))
    write_series(tmp_path / "half", body((24, 20, 8)), origin=(-30.0, -27.0, 101.25), uids=uids)
    with pytest.raises(PedsegInputError, match="E-GEOMETRY"):
        read_seg(tmp_path / "seg.dcm", read_ct(tmp_path / "half"))


def test_a_seg_beside_its_ct_is_imported_as_its_contours(tmp_path):
    files = write_series(tmp_path / "in" / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8))
    mask = masks((24, 20, 8))["Kidney_L"]
    by_highdicom(tmp_path / "in" / "seg.dcm", files, mask, "BINARY")
    (source,), problems, left_out = list_dicom_scans(tmp_path / "in", ImportOptions())
    assert problems == left_out == []
    loaded = source.load()
    assert loaded.manual == ("Liver",)
    assert int((loaded.labels.voxels > 0).sum()) == int(mask.sum())


def test_a_fractional_segment_that_nowhere_reaches_half_is_drawn_and_not_empty(tmp_path):
    files = write_series(tmp_path / "ct", body((24, 20, 8)))
    ct = read_ct(tmp_path / "ct")
    by_highdicom(tmp_path / "seg.dcm", files, masks(ct.scan.shape)["Kidney_L"], "FRACTIONAL", share=0.3)
    back = read_seg(tmp_path / "seg.dcm", ct)
    assert back.empty == set()
    assert not back.masks["liver"].any()


def test_two_frames_of_one_segment_in_one_place_are_refused(tmp_path):
    write_series(tmp_path / "ct", body((24, 20, 8)))
    ct = read_ct(tmp_path / "ct")
    write_seg(tmp_path / "seg.dcm", masks(ct.scan.shape), ct)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    first, second = seg.PerFrameFunctionalGroupsSequence[:2]
    for keyword in ("PlanePositionSequence", "FrameContentSequence", "DerivationImageSequence"):
        second[keyword] = first[keyword]
    seg.save_as(tmp_path / "seg.dcm")
    with pytest.raises(PedsegInputError, match=r"E-DICOM-DAMAGED .* not uniquely identify frames"):
        read_seg(tmp_path / "seg.dcm", ct)
