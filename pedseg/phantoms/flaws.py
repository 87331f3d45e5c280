"""Flaws in a hospital's data that no strict reader can see: a catalog, a hospital that has two of them, and repairs.

Every file is well formed and every table agrees with its files, but what they say is not so: the sides of a picture are
mirrored, a phase is not the one stated. Which two flaws a hospital has, and in which children, follows from a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.writing import write_case, write_index, written_cases
from pedseg.organs import organ
from pedseg.phantoms.centers import DELTA, PlannedScan, case_fields, planned_scans, simulate_scan, source_of
from pedseg.phantoms.contouring_protocol import WHOLE_ORGANS, ContouringProtocol
from pedseg.scan import Scan

PATIENTS = {"train": 12, "validation": 1, "test": 10}
SHARE = 0.4  # of the children have a flaw that is not the whole hospital's
DECISIONS = ("fix", "exclude", "accept", "ask")
Fields = dict[str, Any]
Change = Callable[[Scan, Scan, Fields], tuple[Scan, Scan, Fields]]


def _unchanged(image: Scan, labels: Scan, fields: Fields) -> tuple[Scan, Scan, Fields]:
    return image, labels, fields


def _mirror_image(image: Scan, labels: Scan, fields: Fields) -> tuple[Scan, Scan, Fields]:
    """Exchange left and right in the picture alone; a second time brings it back."""
    return replace(image, voxels=image.voxels[::-1].copy()), labels, fields


def _swap_lungs(image: Scan, labels: Scan, fields: Fields) -> tuple[Scan, Scan, Fields]:
    """Exchange the names of both lungs; a second time brings them back."""
    left, right = organ("Lung_L").id, organ("Lung_R").id
    numbers = np.arange(256, dtype=np.uint8)
    numbers[[left, right]] = right, left
    return image, replace(labels, voxels=numbers[labels.voxels]), fields


def _state_other_phase(image: Scan, labels: Scan, fields: Fields) -> tuple[Scan, Scan, Fields]:
    """State the other contrast phase in the table; a second time brings it back."""
    other = {"none": "portal venous", "portal venous": "none"}
    return image, labels, fields | {"phase": other[fields["phase"]]}


def _erase(name: str, labels: Scan) -> Scan:
    return replace(labels, voxels=np.where(labels.voxels == organ(name).id, 0, labels.voxels).astype(np.uint8))


@dataclass(frozen=True)
class Flaw:
    """One way in which data are wrong: what it changes, how it is found, which decisions hold, and why no others.

    `organ` is set where the flaw lies in this organ's contours of all children; otherwise it is in some children.
    `change` acts on image, labels and table fields on their way to disk; applied again it is the repair, if
    `reversible`. `slice_mm` is that of the scan, 0 for the usual one; `contours` is the contouring protocol.
    """

    name: str
    what: str
    found_by: str
    decisions: tuple[str, ...]
    why: str
    organ: str = ""
    change: Change = _unchanged
    reversible: bool = False
    slice_mm: float = 0.0
    contours: ContouringProtocol = WHOLE_ORGANS


FLAWS = {
    defect.name: defect
    for defect in (
        Flaw(
            "mirrored sides",
            "left and right are exchanged in the picture of some children, not in their contours",
            "an overlay; the DSC of liver and spleen, which have no twin on the other side",
            ("fix", "ask", "exclude"),
            "Contours beside their organs teach the network nonsense.",
            change=_mirror_image,
            reversible=True,
        ),
        Flaw(
            "wrong phase",
            "the table states the other contrast phase for some children",
            "HU in the aorta: about 35 without contrast agent, 125 in the portal venous phase",
            ("fix", "ask", "accept"),
            "Pictures and contours of these children are right: to leave them out is a waste.",
            change=_state_other_phase,
            reversible=True,
        ),
        Flaw(
            "swapped label",
            "the names of left and right lung are exchanged in some children",
            "where the lungs lie; the failure list of the federated network",
            ("fix", "ask", "exclude"),
            "The network would learn that sides do not matter.",
            change=_swap_lungs,
            reversible=True,
        ),
        Flaw(
            "thick slices",
            "some children were scanned in slices of 10 mm",
            "the spacing in the header",
            ("accept", "ask", "exclude"),
            "No program brings back what was not measured.",
            slice_mm=10.0,
        ),
        Flaw(
            "contouring habit",
            "the bowel's contour ends at the inlet of the pelvis in all children",
            "the bowel's volume, beside what the federated network draws",
            ("ask", "exclude"),
            "Two rules for one organ teach neither, and no program knows what this hospital's people would have drawn.",
            organ="Bowel^Stomach",
            contours=ContouringProtocol(bowel_bottom="inlet"),
        ),
        Flaw(
            "unequal organ list",
            "nobody contours the pancreas, and the export lists it as absent in all children",
            "the column absent of the table: an organ that no child has",
            ("fix", "ask", "exclude"),
            "Where an organ is said to be absent, the network is punished for every voxel of it.",
            organ="Pancreas",
            change=lambda image, labels, fields: (image, _erase("Pancreas", labels), fields),
        ),
    )
}


def draw_flaws(number: int) -> tuple[str, str]:
    """The names of two different flaws, in the order of the catalog, that follow from a number."""
    first, second = sorted(np.random.default_rng((number, 17)).choice(len(FLAWS), 2, replace=False))
    names = list(FLAWS)
    return names[first], names[second]


def flawed_cases(number: int, flaws: Sequence[str], patients: Mapping[str, int] = PATIENTS) -> dict[str, list[str]]:
    """Flaw -> names of the cases that have it: all, or a share of each split; no child has two such flaws."""
    planned = planned_scans(DELTA, seed=number, **patients)
    order = {
        split: np.random.default_rng((number, 18, place)).permutation([s.name for s in planned if s.split == split])
        for place, split in enumerate(patients)
    }
    cases = {}
    for place, name in enumerate(flaws):
        if FLAWS[name].organ:
            cases[name] = [scan.name for scan in planned]
        else:
            counts = {split: round(SHARE * len(names)) for split, names in order.items()}
            chosen = [order[split][place * n : (place + 1) * n] for split, n in counts.items()]
            cases[name] = sorted(str(case) for names in chosen for case in names)
    return cases


def make_hospital(
    folder: Path, number: int, flaws: Sequence[str], patients: Mapping[str, int] = PATIENTS
) -> Iterator[str]:
    """Write the data set of the hospital Delta with these flaws; yields the name of each case when it is finished.

    Cases that a former call with the same number and flaws has finished are kept.
    """
    affected, rows = flawed_cases(number, flaws, patients), written_cases(folder)
    source = source_of(number, (DELTA, affected))
    for scan in planned_scans(DELTA, seed=number, **patients):
        if rows.get(scan.name, {}).get("source") != source:
            own = [FLAWS[name] for name in flaws if scan.name in affected[name]]
            image, labels, fields = _simulate(scan, own, source)
            write_case(folder, scan.name, image, labels, **fields)
        yield scan.name
    write_index(folder, center=DELTA.name)


def _simulate(scan: PlannedScan, flaws: Sequence[Flaw], source: str) -> tuple[Scan, Scan, Fields]:
    """One scan as this hospital makes, contours and exports it."""
    center, fields = DELTA, case_fields(DELTA, scan, source)
    for defect in flaws:
        scan = replace(scan, protocol=replace(scan.protocol, slice_mm=defect.slice_mm or scan.protocol.slice_mm))
        if defect.contours != WHOLE_ORGANS:
            center = replace(center, contouring_protocol=defect.contours)
    image, labels = simulate_scan(center, scan)
    for defect in flaws:
        image, labels, fields = defect.change(image, labels, fields)
    return image, labels, fields


def repair(
    dataset: DataSet, folder: Path, cases: Mapping[str, Sequence[str]], decisions: Mapping[str, str]
) -> Iterator[str]:
    """Write a copy of a data set in which it is done as decided; yields the name of each case of the original.

    `cases` says which cases have which flaw, `decisions` what is done about it: `fix` undoes it, `exclude` leaves out
    the cases or, where it lies in one organ, lists the organ as not annotated; `ask` leaves out as well until there is
    an answer; `accept` changes nothing.
    """
    for case in dataset.cases:
        flaws = [FLAWS[name] for name, names in cases.items() if case.name in names and decisions[name] != "accept"]
        image, labels, fields = load_image(case), load_labels(dataset, case), _fields_of(case)
        kept = True
        for defect in flaws:
            if defect.organ:
                labels = _erase(defect.organ, labels)
                fields["manual"] = [name for name in fields["manual"] if name != defect.organ]
            elif decisions[defect.name] == "fix" and defect.reversible:
                image, labels, fields = defect.change(image, labels, fields)
            else:
                kept = decisions[defect.name] == "fix" and kept
        if kept:
            fields["repairs"] = [defect.name for defect in flaws]
            write_case(folder, case.name, image, labels, **fields)
        yield case.name
    write_index(folder, center=dataset.center)


def _fields_of(case: Case) -> Fields:
    """What the table says of a case, as `write_case` takes it."""
    names = "patient center split age_months sex tumor months_since_surgery posture phase modality sequence".split()
    return {name: getattr(case, name) for name in names} | {"manual": case.annotated}
