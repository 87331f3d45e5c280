"""Drafts: undo and redo to the byte, tools over many slices, scores by hand, and files that are found again."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.organs import organ
from pedseg.viewer.contour_editing import Draft, Drafts, interpolate_slices, largest_part, score_draft, smooth
from pedseg.viewer.slices import bounding_box, slices_of

LIVER, SPLEEN = organ("Liver"), organ("Spleen")
SHAPE = (10, 10, 10)


def cube(*edges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(low, high) for low, high in edges)] = True
    return mask


def test_fifty_strokes_undone_and_redone_give_the_same_bytes():
    rng, draft = np.random.default_rng(0), Draft(LIVER, cube((2, 5), (2, 8), (2, 8)))
    start = draft.mask.tobytes()
    for _ in range(50):
        low = rng.integers(0, 6, 3)
        box = (*map(int, low), 4, 4, 1)
        draft.change(box, rng.random((4, 4, 1)) > 0.5)
    end = draft.mask.tobytes()
    assert end != start
    while draft.undo():
        pass
    assert draft.mask.tobytes() == start
    while draft.redo():
        pass
    assert draft.mask.tobytes() == end


def test_undo_goes_back_stroke_by_stroke_and_a_new_stroke_ends_the_redo():
    draft, one = Draft(LIVER, cube()), np.ones((1, 1, 1), bool)
    draft.mask[:] = False
    for k in range(3):
        assert draft.change((k, 0, 0, 1, 1, 1), one)
    volumes = [draft.mask.sum()]
    for _ in range(3):
        draft.undo()
        volumes.append(draft.mask.sum())
    assert volumes == [3, 2, 1, 0] and draft.undo() is None
    assert draft.redo() == (0, 0, 0, 1, 1, 1) and not draft.change((0, 0, 0, 1, 1, 1), one)
    draft.change((9, 9, 9, 1, 1, 1), one)
    assert draft.redo() is None and draft.mask.sum() == 2


def test_the_numbers_follow_the_draft():
    reference, draft = cube((2, 8), (2, 8), (2, 8)), Draft(LIVER, cube((2, 5), (2, 8), (2, 8)))
    before = score_draft(draft, reference, (2.0, 2.0, 2.0))
    assert before.dsc == pytest.approx(2 * 108 / (108 + 216)) and before.hd95_mm == 6.0
    assert (before.volume_ml, before.added_ml, before.removed_ml) == pytest.approx((0.864, 0, 0))
    # In each of the 6 slices the reference has 20 border pixels; the draft has the 6 at its left and 2 of each column.
    assert before.added_path_mm == pytest.approx(6 * (20 - 6 - 2 * 2) * 2.0)
    draft.change((5, 2, 2, 3, 6, 6), np.ones((3, 6, 6), bool))
    draft.change((2, 2, 2, 1, 1, 1), np.zeros((1, 1, 1), bool))
    after = score_draft(draft, reference, (2.0, 2.0, 2.0))
    assert after.dsc == pytest.approx(2 * 215 / 431) and after.hd95_mm < 2.1
    assert (after.added_ml, after.removed_ml) == pytest.approx((0.864, 0.008))
    alone = score_draft(draft, None, (2.0, 2.0, 2.0))
    assert alone.dsc is None and alone.volume_ml == after.volume_ml


def test_slices_between_are_filled_by_shape():
    mask = cube((2, 8), (2, 8), (1, 2)) | cube((4, 6), (4, 6), (5, 6))
    filled = interpolate_slices(mask)
    areas = filled.sum(axis=(0, 1))
    assert list(areas[[1, 5]]) == [36, 4] and (np.diff(areas[1:6]) <= 0).all() and areas[2:5].min() >= 4
    assert areas[[0, 6, 7, 8, 9]].sum() == 0
    np.testing.assert_array_equal(interpolate_slices(filled), filled)
    assert not interpolate_slices(cube((0, 0))).any()


def test_islands_go_and_rough_edges_are_rounded():
    mask = cube((1, 8), (1, 8), (1, 8))
    island = mask.copy()
    island[9, 9, 9] = True
    np.testing.assert_array_equal(largest_part(island), mask)
    assert not smooth(island, (1.0, 1.0, 1.0))[9, 9, 9]
    rounded = smooth(mask, (1.0, 1.0, 1.0))
    assert not rounded[1, 1, 1] and rounded[4, 4, 4] and rounded.sum() < mask.sum()
    np.testing.assert_array_equal(smooth(mask, (9.0, 9.0, 9.0)), mask)  # voxels larger than what is smoothed


def test_drafts_are_found_again_by_organ_and_win_over_their_neighbors(tmp_path):
    drafts, nothing = Drafts(tmp_path / "case", SHAPE), np.zeros(SHAPE, bool)
    liver = drafts.open(LIVER, nothing.copy())
    liver.replace(cube((0, 4), (0, 4), (0, 4)))
    drafts.keep(liver)
    spleen = drafts.open(SPLEEN, nothing.copy())
    spleen.replace(cube((3, 6), (0, 4), (0, 4)))
    drafts.keep(spleen)
    assert drafts.open(LIVER, nothing) is liver  # another organ drops nothing
    again = Drafts(tmp_path / "case", SHAPE)
    assert again.organs == ["Liver", "Spleen"]
    np.testing.assert_array_equal(again.open(LIVER, nothing.copy()).mask, liver.mask)
    labels = np.full(SHAPE, organ("Heart").id, np.uint8)
    labels[9] = LIVER.id  # of the set that they start from: the draft says otherwise
    merged = again.merged(labels, organ)
    assert (merged == LIVER.id).sum() == 48 and (merged == SPLEEN.id).sum() == 48 and not merged[9].any()
    with pytest.raises(PedsegInputError, match="drawn on another scan"):
        Drafts(tmp_path / "case", (10, 10, 11)).open(LIVER, np.zeros((10, 10, 11), bool))
    (tmp_path / "case" / "Liver.npz").write_bytes(b"PK")
    with pytest.raises(PedsegInputError, match="E-DRAFT"):
        Drafts(tmp_path / "case", SHAPE).open(LIVER, nothing)


def test_a_box_holds_a_mask_and_no_more():
    mask = cube((2, 5), (3, 4), (7, 10))
    assert bounding_box(mask) == (2, 3, 7, 3, 1, 3) and mask[slices_of(bounding_box(mask))].all()
    assert bounding_box(np.zeros(SHAPE, bool)) == (0, 0, 0, 1, 1, 1)
