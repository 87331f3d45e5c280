"""A scan on its way into a data set, from wherever it comes: its voxels, its contours, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import UNLABELED, Case
from pedseg.datasets.checks import check_image, check_labels
from pedseg.datasets.loading import PADDING_HU, organs_present
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.organ_names import NameMapping
from pedseg.organs import NAMES, organ
from pedseg.scan import Scan

# Where contours of two organs overlap by a little, the later one keeps the voxel: what is small or sharp wins over
# what is large or vague. An organ that is not listed comes before all others.
PRIORITY = (
    "Lung_L", "Lung_R", "Bowel^Stomach", "Liver", "Spleen", "Heart", "VBs", "Kidney_L", "Kidney_R", "Bladder",
    "Pancreas", "Esophagus", "V_Venacava_I", "V_Portal", "A_Aorta", "Gallbladder", "Glnd_Adrenal_L", "Glnd_Adrenal_R",
    "SpinalCanal",
)  # fmt: skip
OVERLAP_ML = 1.0
MOST_NAN = 1e-3


@dataclass(frozen=True)
class Loaded:
    """All that enters a data set of one scan, and `told`: what the user shall read and nobody else.

    `labels` is a map of organ ids on the grid of `image`, None if nobody contoured the scan. `secret` are texts of the
    source that may not appear in the output.
    """

    image: Scan
    labels: Scan | None
    manual: tuple[str, ...] = ()
    silver: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # age_months, sex, posture
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    secret: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Incoming:
    """One scan that could be imported; `load` reads it, or raises `PedsegInputError`. `contoured`: it has contours.

    `patient` and `scan` identify it at its source and reach the data set as keyed hashes only. `public_id` is the name
    under which everybody can find it in a public collection.
    """

    source: Path
    patient: str
    scan: str
    load: Callable[[], Loaded]
    split: str = "train"
    public_id: str = ""
    contoured: bool = False


def check(one: Incoming, loaded: Loaded, situs_inversus: bool = False) -> list[InputProblem]:
    """What is wrong with the gray values and the contours of a scan, before a byte of it is written."""
    drawn = (*loaded.manual, *loaded.silver)
    split = one.split if loaded.labels is not None else UNLABELED
    contours, modality = one.source if loaded.labels is not None else None, loaded.about.get("modality", "CT")
    case = Case("", "", "", split, one.source, contours, drawn, modality=modality)
    problems = list(check_image(loaded.image, case))
    if loaded.labels is not None:
        problems += check_labels(loaded.labels, case, organs_present(loaded.labels), situs_inversus)
    return problems


def join(
    masks: Mapping[str, NDArray[np.bool_] | None],
    meaning: NameMapping,
    image: Scan,
    file: Path,
    *,
    allowed: bool = False,
) -> tuple[Scan, list[str]]:
    """One map of organ ids out of foreign masks; overlaps of up to 1 mL go to the organ that is later in `PRIORITY`.

    Raises `PedsegInputError` for larger overlaps, unless `allowed`.
    """
    labels = np.zeros(image.shape, dtype=np.uint8)
    notes, problems = [], []
    order = sorted(meaning.organs, key=lambda name: PRIORITY.index(name) if name in PRIORITY else -1)
    for name in order:
        whole = np.zeros(image.shape, dtype=bool)
        for part in meaning.organs[name]:
            mask = masks.get(part)
            if mask is not None:
                whole |= mask
        taken = np.bincount(labels[whole], minlength=1)
        for other in np.flatnonzero(taken[1:]) + 1:
            shared_ml = taken[other] * image.voxel_ml
            told = f"{NAMES[other - 1]} and {name} share {shared_ml:.2f} mL"
            notes.append(f"{told}: given to {name}")
            if shared_ml > OVERLAP_ML and not allowed:
                remedy = "Redraw them, or ask for the repair `overlaps` (smaller organ wins; recorded in cases.tsv)."
                problems.append(InputProblem("E-OVERLAP", str(file), f"{told}.", remedy))
        labels[whole] = organ(name).id
    if problems:
        raise PedsegInputError(problems)
    return Scan(labels, image.affine), notes


def by_program(meaning: NameMapping, automatic: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The organs drawn by people and those drawn, in any part, by a program."""
    machine = {*automatic}
    silver = tuple(name for name, parts in meaning.organs.items() if machine & {*parts})
    return tuple(name for name in meaning.organs if name not in silver), silver


def clean(scan: Scan, file: Path) -> tuple[Scan, list[str], list[str]]:
    """Gray values of a NIfTI file made fit, with repairs and notes: padding and a few NaN in the air become -1024."""
    from scipy import ndimage

    voxels, repairs, notes = scan.voxels, [], []
    if not np.issubdtype(voxels.dtype, np.integer):
        odd = ~np.isfinite(voxels)
        if odd.any():
            rim = ndimage.binary_dilation(odd, iterations=2) & ~odd
            if odd.mean() >= MOST_NAN or not rim.any() or np.median(voxels[rim]) > -500:
                found = f"{int(odd.sum())} voxels are NaN or infinite, in the body or too many."
                raise input_error("E-NOT-FINITE", file, found, "Convert the source again with dcm2niix.")
            voxels = np.where(odd, PADDING_HU, voxels)
            repairs.append(f"{int(odd.sum())} NaN voxels in the air set to {PADDING_HU}")
    if voxels.min() < PADDING_HU:
        voxels = np.maximum(voxels, voxels.dtype.type(PADDING_HU))
        notes.append(f"padding below {PADDING_HU} HU set to {PADDING_HU}")
    notes += _lies_oblique(scan)
    return Scan(voxels, scan.affine), repairs, notes


def _lies_oblique(scan: Scan) -> Iterator[str]:
    axes = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    degrees = float(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0), -1, 1))).max())
    if degrees > 1:
        yield f"axes oblique by {degrees:.0f} degrees: kept as they are"
