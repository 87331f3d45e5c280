"""Which children can be opened: the samples, the study's own test children, and the same ones laid on their side.

The study's children are drawn by a program from a seed, so each is grown anew when it is asked for, in half a second
and voxel by voxel the same; a folder of their scans is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pedseg.datasets.cases import DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.evaluation.domain_shift import SHIFT_FACTORS, changed, tested
from pedseg.evaluation.results import each_row
from pedseg.phantoms.centers import CENTERS, Center, PlannedScan, simulate_scan
from pedseg.scan import Scan, to_ras
from pedseg.workbook import evaluation_helpers

ON_THE_SIDE = next(cause for cause in SHIFT_FACTORS if cause.name == "on the side; as they lie")
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

    @property
    def stem(self) -> str:
        """The child in the name of a file: one laid on the side is another one than the same one on the back."""
        return self.case if self.kind == SAMPLE else f"{self.case}_{self.kind.replace(' ', '-')}"


class Children:
    """The children of the reading room, each by its key, in the order in which they are listed."""

    def __init__(self, found: Iterable[Child]) -> None:
        self.all = {child.key: child for child in found}

    @property
    def centers(self) -> list[str]:
        """The centers in the order in which they are read."""
        return list(dict.fromkeys(child.center for child in self.all.values()))

    def of(self, center: str) -> list[Child]:
        """The children of one center."""
        return [child for child in self.all.values() if child.center == center]


def everyone(datasets: list[DataSet], study: Path) -> Children:
    """The samples, then all test children of the finished study in the folder `study`, on their back and side."""
    found = [*_samples(datasets)]
    if _is_ours(study):
        for name, center in CENTERS.items():
            found += _of_the_study(center, STUDY)
            found += _of_the_study(changed(name, ON_THE_SIDE), SIDE)
    return Children(found)


def _is_ours(study: Path) -> bool:
    """Whether the study tested the virtual centers' children: others cannot be grown."""
    file = study / "cases.csv"
    met = {(row["tested_on"], row["case"]) for row in each_row(file)} if file.is_file() else set()
    return bool(met) and met <= {(name, scan.name) for name, center in CENTERS.items() for scan in tested(center)}


def _samples(datasets: list[DataSet]) -> Iterator[Child]:
    for dataset in datasets:
        for case in dataset.split("test"):
            title = evaluation_helpers.describe(dataset, case).partition(": ")[2] + " · sample"
            yield Child(dataset.center, case.name, SAMPLE, title, _from_disk(dataset, case), case.image_file)


def _of_the_study(center: Center, kind: str) -> list[Child]:
    return [
        Child(center.name, scan.name, kind, _title(scan, kind), _grown(center, scan)) for scan in tested(center)
    ]  # fmt: skip


def _from_disk(dataset: DataSet, case) -> Callable[[], tuple[Scan, Scan | None]]:
    return lambda: (load_image(case), load_labels(dataset, case) if case.label_file else None)


def _grown(center: Center, scan: PlannedScan) -> Callable[[], tuple[Scan, Scan | None]]:
    def grow() -> tuple[Scan, Scan | None]:
        image, labels = simulate_scan(center, scan)
        return to_ras(image), to_ras(labels)

    return grow


def _title(scan: PlannedScan, kind: str) -> str:
    """A child in a few words: name, age, what is missing, how it lies."""
    months = round(12 * scan.child.age_years)
    gone = f", no {scan.child.removed_kidney} kidney" if scan.child.removed_kidney else ""
    lies = f", on the {scan.child.posture}" if kind == SIDE else ""
    return f"{scan.name}, {months // 12} y {months % 12} m{gone}{lies}"
