"""Which children can be opened: the samples, the study's own test children, and the same ones laid on their side.

The study's children are drawn by a program from a seed, so each is grown anew when it is asked for, in half a second
and voxel by voxel the same; a folder of their scans is not needed.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pedseg.evaluation.sweep import CAUSES
from pedseg.patients.centers import CENTERS, COHORT, Appointment, Center, appointments, keep_appointment
from pedseg.patients.datasets import DataSet, load_image, load_labels
from pedseg.scan import Scan, to_ras
from pedseg.workbook import exam

ON_THE_SIDE = next(cause for cause in CAUSES if cause.name == "on the side; as they lie")
SAMPLE, STUDY, SIDE = "sample", "study", "on the side"


@dataclass(frozen=True)
class Child:
    """One entry of the list: `key` names it for the program, `title` for people, `open` gives scan and truth."""

    center: str
    case: str
    kind: str  # SAMPLE, STUDY or SIDE
    title: str
    open: Callable[[], tuple[Scan, Scan | None]]
    image_file: Path | None = None  # where the scan lies on disk; None for a child that is grown

    @property
    def key(self) -> tuple[str, str, str]:
        """Center, case and kind: a sample and a study child may bear the same name."""
        return self.center, self.case, self.kind


class Children:
    """All children of the reading room, by center; `study` is the folder of a finished study."""

    def __init__(self, datasets: list[DataSet], study: Path | None = None) -> None:
        self.datasets, self.study = datasets, study

    @classmethod
    def of_one(cls, child: Child) -> Children:
        """A list of one child alone."""
        found = cls([])
        found.__dict__["all"] = {child.key: child}
        return found

    @cached_property
    def all(self) -> dict[tuple[str, str, str], Child]:
        """Every child by its key, samples first."""
        found = [*self._samples()]
        if self.study is not None and self._is_ours:
            for center in CENTERS.values():
                found += self._of_the_study(center, STUDY)
                found += self._of_the_study(_laid_on_the_side(center), SIDE)
        return {child.key: child for child in found}

    @property
    def centers(self) -> list[str]:
        """The centers in the order in which they are read."""
        return list(dict.fromkeys(child.center for child in self.all.values()))

    def of(self, center: str) -> list[Child]:
        """The children of one center."""
        return [child for child in self.all.values() if child.center == center]

    @cached_property
    def recorded_ml(self) -> dict[tuple[str, str], float]:
        """The liver volumes that the study recorded, by center and case: what a child grown anew must have."""
        if self.study is None or not (self.study / "cases.csv").is_file():
            return {}
        with (self.study / "cases.csv").open(newline="", encoding="utf-8") as stream:
            rows = (row for row in csv.DictReader(stream) if row["organ"] == "Liver")
            return {(row["tested_on"], row["case"]): float(row["volume_ml"]) for row in rows}

    @property
    def _is_ours(self) -> bool:
        """Whether the study tested the virtual centers' children: others cannot be grown."""
        ours = {(name, scan.name) for name, center in CENTERS.items() for scan in _tested(center)}
        return bool(self.recorded_ml) and set(self.recorded_ml) <= ours

    def _samples(self) -> Iterator[Child]:
        for dataset in self.datasets:
            for case in dataset.split("test"):
                title = exam.describe(dataset, case).partition(": ")[2] + " · sample"
                yield Child(dataset.center, case.name, SAMPLE, title, _from_disk(dataset, case), case.image_file)

    def _of_the_study(self, center: Center, kind: str) -> list[Child]:
        return [
            Child(center.name, scan.name, kind, _title(scan, kind), _grown(center, scan))
            for scan in _tested(center)
        ]  # fmt: skip


def _tested(center: Center) -> list[Appointment]:
    """The test appointments of a center in the study."""
    return [scan for scan in appointments(center, **COHORT) if scan.split == "test"]


def _laid_on_the_side(center: Center) -> Center:
    (other,) = [one for name, one in CENTERS.items() if name != center.name]
    return ON_THE_SIDE.change(center, other)


def _from_disk(dataset: DataSet, case) -> Callable[[], tuple[Scan, Scan | None]]:
    return lambda: (load_image(case), load_labels(dataset, case) if case.label_file else None)


def _grown(center: Center, scan: Appointment) -> Callable[[], tuple[Scan, Scan | None]]:
    def grow() -> tuple[Scan, Scan | None]:
        image, labels = keep_appointment(center, scan)
        return to_ras(image), to_ras(labels)

    return grow


def _title(scan: Appointment, kind: str) -> str:
    """A child in a few words: name, age, what is missing, how it lies."""
    months = round(12 * scan.child.age_years)
    gone = f", no {scan.child.removed_kidney} kidney" if scan.child.removed_kidney else ""
    lies = f", on the {scan.child.posture}" if kind == SIDE else ""
    return f"{scan.name}, {months // 12} y {months % 12} m{gone}{lies}"
