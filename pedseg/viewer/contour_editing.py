"""Contour editing: a draft of one organ with undo and redo, tools over many slices, and what the draft is worth.

A draft is written to a file after every change, so that it is there again when the case is opened another day.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.metrics import added_path_length_mm, score_case
from pedseg.organs import Organ
from pedseg.scan import Spacing
from pedseg.viewer.slices import Box, bounding_box, slices_of

SMOOTHING_MM = 2.0
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """What a stroke or a tool has changed: a box, packed, before and after."""

    box: Box
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    def mask(self, packed: NDArray[np.uint8]) -> Mask:
        """One of the two as a mask of the box."""
        return _unpack(packed, self.box)


class Draft:
    """The mask of one organ as it is edited; `original` is what it started from."""

    def __init__(self, organ: Organ, original: Mask, mask: Mask | None = None) -> None:
        self.organ, self.original = organ, original
        self.mask = original.copy() if mask is None else mask
        self._changes: list[Change] = []
        self._done = 0  # so many of the changes are in the mask

    def change(self, box: Box, after: Mask) -> bool:
        """Set a box of the mask; whether that changed anything. What was undone before cannot be redone any more."""
        place = slices_of(box)
        if np.array_equal(self.mask[place], after):
            return False
        change = Change(box, np.packbits(self.mask[place]), np.packbits(after))
        self._changes[self._done :] = [change]
        self._done += 1
        self.mask[place] = after
        return True

    def replace(self, mask: Mask) -> Box | None:
        """Take another mask as one change; gives the box that changed, None where nothing did."""
        differs = self.mask != mask
        if not differs.any():
            return None
        box = bounding_box(differs)
        self.change(box, mask[slices_of(box)])
        return box

    def undo(self) -> Box | None:
        """Take back the last change; gives its box, None where there is none."""
        if not self._done:
            return None
        self._done -= 1
        change = self._changes[self._done]
        self.mask[slices_of(change.box)] = change.mask(change.before)
        return change.box

    def redo(self) -> Box | None:
        """Make the change again that was undone last; gives its box, None where there is none."""
        if self._done == len(self._changes):
            return None
        change = self._changes[self._done]
        self._done += 1
        self.mask[slices_of(change.box)] = change.mask(change.after)
        return change.box

    def write(self, file: Path) -> None:
        """Keep the mask in a file: the box that holds it, packed."""
        box, stream = bounding_box(self.mask), io.BytesIO()
        bits = np.packbits(self.mask[slices_of(box)])
        np.savez_compressed(stream, shape=self.mask.shape, box=box, bits=bits)
        write_atomically(file, stream.getvalue())


def read_draft_mask(file: Path, shape: tuple[int, ...]) -> Mask:
    """The mask of a draft; raises `PedsegInputError` for a damaged file or one of another scan."""
    try:
        with np.load(file, allow_pickle=False) as content:
            own, box, bits = content["shape"], tuple(map(int, content["box"])), content["bits"]
        mask = np.zeros(shape, bool)
        if tuple(own) == tuple(shape):
            mask[slices_of(box)] = _unpack(bits, box)  # type: ignore[arg-type]
            return mask
    except Exception as error:
        raise input_error("E-DRAFT", file, f"it cannot be read ({error}).", "Take it out of the folder.") from error
    raise input_error("E-DRAFT", file, "it was drawn on another scan.", "Take it out of the folder.")


def _unpack(packed: NDArray[np.uint8], box: Box) -> Mask:
    return np.unpackbits(packed, count=int(np.prod(box[3:]))).astype(bool).reshape(box[3:])


def interpolate_slices(mask: Mask) -> Mask:
    """Fill the empty axial slices between drawn ones: shape-based, by the distances from both borders.

    Raya and Udupa 1990, IEEE Trans Med Imaging 9(1).
    """
    from scipy.ndimage import distance_transform_edt

    filled, out = np.flatnonzero(mask.any(axis=(0, 1))), mask.copy()
    for low, high in itertools.pairwise(filled):
        if high - low > 1:
            a, b = (
                distance_transform_edt(cut) - distance_transform_edt(~cut)
                for cut in (mask[:, :, low], mask[:, :, high])
            )
            for k in range(low + 1, high):
                share = (k - low) / (high - low)
                out[:, :, k] = (1 - share) * a + share * b > 0
    return out


def largest_part(mask: Mask) -> Mask:
    """The largest connected part of a mask (in 3-D, by faces); the islands are gone."""
    from scipy.ndimage import label

    parts, count = label(mask)
    return mask if count < 2 else parts == 1 + int(np.argmax(np.bincount(parts[parts > 0])[1:]))


def smooth(mask: Mask, spacing_mm: Spacing) -> Mask:
    """Round off what is smaller than some 2 mm, in 3-D: a blurred mask above one half."""
    from scipy.ndimage import gaussian_filter

    low, size = np.array(bounding_box(mask)).reshape(2, 3)
    sigma = SMOOTHING_MM / np.asarray(spacing_mm)
    margin = np.ceil(3 * sigma).astype(int)
    start, end = np.maximum(0, low - margin), np.minimum(mask.shape, low + size + margin)
    box = tuple(map(slice, start, end))
    out = mask.copy()
    out[box] = gaussian_filter(mask[box].astype(np.float32), sigma, mode="nearest") > 0.5
    return out


TOOLS: dict[str, Callable[[Mask, Spacing], Mask]] = {
    "fill between slices": lambda mask, _: interpolate_slices(mask),
    "largest part only": lambda mask, _: largest_part(mask),
    "smooth": smooth,
}


class Drafts:
    """The drafts of one case by organ, each in a file of the folder; `folder` is made with the first of them."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder, self.shape = folder, shape
        self._open: dict[str, Draft] = {}

    @property
    def organs(self) -> list[str]:
        """The organs that have a draft, of this session or of an earlier one."""
        return sorted(file.stem.replace("-", "^") for file in self.folder.glob("*.npz"))

    def open(self, organ: Organ, original: Mask) -> Draft:
        """The draft of an organ: the one at work, else the one on disk, else a new one that starts from `original`."""
        file = self._file(organ)
        if not file.is_file():  # nothing was drawn yet
            self._open[organ.name] = Draft(organ, original)
        elif organ.name not in self._open:
            self._open[organ.name] = Draft(organ, original, read_draft_mask(file, self.shape))
        return self._open[organ.name]

    def keep(self, draft: Draft) -> None:
        """Write a draft to its file."""
        draft.write(self._file(draft.organ))

    def merged(self, labels: NDArray[np.uint8], organ_of: Callable[[str], Organ]) -> NDArray[np.uint8]:
        """A label map with all drafts in it: a drafted organ is what its draft says, and wins over its neighbors."""
        out = labels.copy()
        drafts = [self.open(organ_of(name), labels == organ_of(name).id) for name in self.organs]
        for draft in drafts:
            out[out == draft.organ.id] = 0
        for draft in drafts:
            out[draft.mask] = draft.organ.id
        return out

    def _file(self, organ: Organ) -> Path:
        return self.folder / f"{organ.name.replace('^', '-')}.npz"


@dataclass(frozen=True)
class DraftScore:
    """A draft against the reference, and its changes; the first three are None if the reference has no such organ."""

    dsc: float | None
    hd95_mm: float | None
    added_path_mm: float | None
    volume_ml: float
    added_ml: float
    removed_ml: float


def score_draft(draft: Draft, reference: Mask | None, spacing_mm: Spacing) -> DraftScore:
    """Score a draft as it is now; `reference` is the mask of the organ that it is compared with."""
    everything = draft.mask | draft.original
    box = slices_of(bounding_box(everything if reference is None else everything | reference))
    mask, original, ml = draft.mask[box], draft.original[box], float(np.prod(spacing_mm)) / 1000
    changes = [float(np.count_nonzero(change) * ml) for change in (mask & ~original, original & ~mask)]
    volume_ml = float(np.count_nonzero(mask) * ml)
    if reference is None or not reference.any():
        return DraftScore(None, None, None, volume_ml, *changes)
    true, edited = ((part * draft.organ.id).astype(np.uint8) for part in (reference[box], mask))
    (score,) = score_case(true, edited, spacing_mm, [draft.organ.name])
    path_mm = added_path_length_mm(reference[box], mask, spacing_mm)
    return DraftScore(score.dsc, score.hd95_mm, path_mm, volume_ml, *changes)
