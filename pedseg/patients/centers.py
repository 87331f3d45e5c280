"""Two invented hospitals, Polder and Neckar: whom they treat, how they scan, and their scans on disk.

They differ in causes that have names: contrast phase, slice thickness, kernel, noise, table, ages, and which kidney
is mostly gone. Each is one field, so `dataclasses.replace` switches one of them at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pedseg.findings import refuse
from pedseg.patients.datasets import write_case, write_index, written_cases
from pedseg.patients.phantom import Child, grow
from pedseg.patients.scanner import CtProtocol, scan_ct

LICENSE = "Apache-2.0"
BLOCK = 30  # patients


@dataclass(frozen=True)
class Center:
    """One hospital: its patients and the protocols it scans with (share, protocol)."""

    name: str
    protocols: tuple[tuple[float, CtProtocol], ...]
    age_years: tuple[float, float, float]  # youngest, median, oldest
    removed_share: float = 0.4  # patients with one kidney removed
    left_share: float = 0.5  # of those, the left one
    build_mm: tuple[float, float, float] = (3.0, 3.0, 2.0)  # voxels the child is built of before the scan


POLDER_PORTAL = CtProtocol("portal venous, soft", "portal venous", slice_mm=4.0, kernel_mm=3.5, noise_hu=10.0)
NECKAR_PLAIN = CtProtocol(
    "plain, sharp", "none", slice_mm=4.0, kernel_mm=2.5, noise_hu=10.0, noise_grain_mm=2.0, couch="flat"
)
# One patient in thirty is scanned in the other phase: that share sets how much a local model fears the other center.
POLDER = Center(
    name="Polder",
    protocols=((29, POLDER_PORTAL), (1, replace(POLDER_PORTAL, name="plain, soft", phase="none"))),
    age_years=(1.0, 4.0, 10.0),
    left_share=0.8,
)
NECKAR = Center(
    name="Neckar",
    protocols=((29, NECKAR_PLAIN), (1, replace(NECKAR_PLAIN, name="portal venous, sharp", phase="portal venous"))),
    age_years=(2.0, 6.0, 11.0),
    left_share=0.2,
)
CENTERS = {center.name: center for center in (POLDER, NECKAR)}
COHORT = {"train": 30, "validation": 5, "test": 25}  # patients of each center in the study


def draw_patient(center: Center, seed: int, index: int) -> tuple[Child, CtProtocol]:
    """Patient number `index` of a center and the protocol of the scan.

    Operations, ages and protocols are dealt like cards, so that any thirty patients in a row, counted from a multiple
    of thirty, show the center's habits.
    """
    operation, protocol, age, sex = (_dealt(center, seed, index, deck) for deck in range(4))
    own = np.random.default_rng((seed, *center.name.encode(), index))
    removed: Literal["", "left", "right"] = ""
    if operation < center.removed_share:
        removed = "left" if operation < center.removed_share * center.left_share else "right"
    years = float(np.interp(age + own.uniform(-0.5, 0.5) / BLOCK, (0.0, 0.5, 1.0), center.age_years))
    shares = np.cumsum([share for share, _ in center.protocols])
    chosen = center.protocols[int(np.searchsorted(shares[:-1], protocol * shares[-1], side="right"))][1]
    return Child(round(years, 2), "F" if sex < 0.5 else "M", removed, seed=int(own.integers(2**31))), chosen


def _dealt(center: Center, seed: int, index: int, deck: int) -> float:
    """A number from 0 to 1; each block of thirty patients gets thirty evenly spread numbers in random order."""
    block, place = divmod(index, BLOCK)
    order = np.random.default_rng((seed, *center.name.encode(), 31, deck, block)).permutation(BLOCK)
    return (float(order[place]) + 0.5) / BLOCK


def make_dataset(
    center: Center, folder: Path, *, train: int = 20, validation: int = 4, test: int = 20, seed: int = 0
) -> Iterator[str]:
    """Write a center's scans as a data set; yields each case's name when it is finished.

    Cases that a former call with the same center and seed has finished are kept; those of another seed are
    written anew. Raises `PedsegInputError` if the folder holds cases of other names.
    """
    folder = Path(folder)
    source = f"pedseg phantom, seed {seed}, {hashlib.sha256(repr(center).encode()).hexdigest()[:12]}"
    splits = ["train"] * train + ["validation"] * validation + ["test"] * test
    names = [f"{center.name.lower()}-{index + 1:03d}" for index in range(len(splits))]
    rows = written_cases(folder)
    strangers = sorted(set(rows) - set(names))
    if strangers:
        text = f"it holds cases of another data set: {', '.join(strangers[:4])}."
        raise refuse("E-OTHER-CASES", folder, text, "Delete the folder or name another.")
    for index, (name, split) in enumerate(zip(names, splits, strict=True)):
        if name not in rows or (rows[name]["source"], rows[name]["split"]) != (source, split):
            write_patient(center, folder, name, split, seed, index, source)
        yield name
    write_index(folder, center=center.name)


def write_patient(center: Center, folder: Path, name: str, split: str, seed: int, index: int, source: str) -> None:
    """Grow, scan and write one patient."""
    child, protocol = draw_patient(center, seed, index)
    spacing = (center.build_mm[0], center.build_mm[1], min(center.build_mm[2], protocol.slice_mm))
    image, labels = scan_ct(grow(child, spacing), protocol, child.seed)
    write_case(
        folder,
        name,
        image,
        labels,
        patient=f"{center.name[0]}{index + 1:03d}",
        center=center.name,
        split=split,
        age_months=round(child.age_years * 12),
        sex=child.sex,
        source=source,
        license=LICENSE,
    )
