"""Which children can be opened: the samples, the study's own test children, and the same ones laid on their side.

The study's children are drawn by a program from a seed, so each is grown anew when it is asked for, in half a second
and voxel by voxel the same; a folder of their scans is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.evaluation.domain_shift import SHIFT_FACTORS, planned_test_scans, shifted_center
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.evaluation.trained_models import LazyPredictions, weight_files
from pedseg.organs import organ
from pedseg.phantoms.centers import CENTERS, Center, PlannedScan, simulate_scan
from pedseg.scan import Scan, to_ras
from pedseg.workbook.slice_viewer import Sight

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
            found += _of_the_study(shifted_center(name, ON_THE_SIDE), SIDE)
    return Children(found)


def _is_ours(study: Path) -> bool:
    """Whether the study tested the virtual centers' children: others cannot be grown."""
    file = study / "cases.csv"
    if not file.is_file():
        return False
    rows = read_rows(file)
    met = set(zip(rows["tested_on"], rows["case"], strict=True))
    own = {(name, scan.name) for name, center in CENTERS.items() for scan in planned_test_scans(center)}
    return bool(met) and met <= own


def _samples(datasets: list[DataSet]) -> Iterator[Child]:
    for dataset in datasets:
        for case in dataset.split("test"):
            title = describe(case) + " · sample"
            yield Child(dataset.center, case.name, SAMPLE, title, _from_disk(dataset, case), case.image_file)


def describe(case: Case) -> str:
    """A child in a few words, for a list: name, age, what is missing."""
    age = "" if case.age_months is None else f", {case.age_months // 12} y {case.age_months % 12} m"
    gone = [f", no {organ(name).plain}" for name in KIDNEYS if name in case.absent]
    return case.name + age + "".join(gone)


def picture_cases(datasets: list[DataSet], study: Path) -> dict[str, Callable[[], Sight]]:
    """What the picture engine opens, by title: every test child, contoured by a study's models when asked for."""
    models = weight_files(study)

    def open_case(dataset: DataSet, case: Case) -> Sight:
        scan = load_image(case)
        truth = load_labels(dataset, case).voxels if case.label_file else None
        return Sight(scan, truth, LazyPredictions(scan, models))

    return {
        f"{dataset.center}: {describe(case)}": lambda dataset=dataset, case=case: open_case(dataset, case)  # type: ignore[misc]
        for dataset in datasets
        for case in dataset.split("test")
    }


def _of_the_study(center: Center, kind: str) -> list[Child]:
    scans = planned_test_scans(center)
    return [Child(center.name, scan.name, kind, _title(scan, kind), _grown(center, scan)) for scan in scans]


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
