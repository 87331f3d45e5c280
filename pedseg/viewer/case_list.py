"""The case list of the reading room: sample scans, the test cases of a study, and the same ones lying on their side.

A study on the virtual centers keeps no scans: each of its cases is simulated again from its seed when it is opened, in
half a second and voxel by voxel the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.evaluation.domain_shift import SHIFT_FACTORS, planned_test_scans, shifted_center
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.evaluation.trained_models import LazyPredictions, weight_files
from pedseg.organs import organ
from pedseg.phantoms.centers import CENTERS, Center, PlannedScan, simulate_scan
from pedseg.scan import Scan, to_ras
from pedseg.workbook.slice_viewer import CaseImages

ON_THE_SIDE = next(factor for factor in SHIFT_FACTORS if factor.name == "on the side; as they lie")
SAMPLE, STUDY, SIDE = "sample", "study", "on the side"


class CaseKey(NamedTuple):
    """What identifies a case: a sample and a case of the study may have the same center and name."""

    center: str
    case: str
    kind: str  # SAMPLE, STUDY or SIDE


@dataclass(frozen=True)
class ListedCase:
    """One line of the case list; `open` gives the scan and its ground truth."""

    key: CaseKey
    title: str
    open: Callable[[], tuple[Scan, Scan | None]]
    image_file: Path | None = None  # None for a scan that is simulated

    @property
    def file_stem(self) -> str:
        """The case in the name of a file, different for each kind of the same case."""
        kind = self.key.kind
        return self.key.case if kind == SAMPLE else f"{self.key.case}_{kind.replace(' ', '-')}"


def list_cases(datasets: list[DataSet], study: Path) -> dict[CaseKey, ListedCase]:
    """The samples, then all test cases of the finished study in the folder `study`, supine and on their side."""
    cases = [*_samples(datasets)]
    if _is_virtual(study):
        for name, center in CENTERS.items():
            cases += _simulated(center, STUDY)
            cases += _simulated(shifted_center(name, ON_THE_SIDE), SIDE)
    return {case.key: case for case in cases}


def _is_virtual(study: Path) -> bool:
    """Whether the study tested the cases of the virtual centers: others cannot be simulated."""
    file = study / "cases.csv"
    if not file.is_file():
        return False
    rows = pd.read_csv(file, usecols=["tested_on", "case"], dtype=str)
    virtual = {(name, scan.name) for name, center in CENTERS.items() for scan in planned_test_scans(center)}
    return not rows.empty and {*zip(rows["tested_on"], rows["case"], strict=True)} <= virtual


def _samples(datasets: list[DataSet]) -> Iterator[ListedCase]:
    for dataset in datasets:
        for case in dataset.split("test"):
            key = CaseKey(dataset.center, case.name, SAMPLE)
            yield ListedCase(key, f"{describe(case)} · sample", partial(_load, dataset, case), case.image_file)


def describe(case: Case) -> str:
    """Name, age and missing kidneys of a case, for a list."""
    age = "" if case.age_months is None else f", {case.age_months // 12} y {case.age_months % 12} m"
    missing = [f", no {organ(name).plain}" for name in KIDNEYS if name in case.absent]
    return case.name + age + "".join(missing)


def matplotlib_cases(datasets: list[DataSet], study: Path) -> dict[str, Callable[[], CaseImages]]:
    """The samples for the engine `matplotlib`, by title, with predictions of a study's models when looked up."""
    models = weight_files(study)

    def load(dataset: DataSet, case: Case) -> CaseImages:
        scan, truth = _load(dataset, case)
        return CaseImages(scan, None if truth is None else truth.voxels, LazyPredictions(scan, models))

    tests = [(dataset, case) for dataset in datasets for case in dataset.split("test")]
    return {f"{dataset.center}: {describe(case)}": partial(load, dataset, case) for dataset, case in tests}


def _load(dataset: DataSet, case: Case) -> tuple[Scan, Scan | None]:
    return load_image(case), load_labels(dataset, case) if case.label_file else None


def _simulated(center: Center, kind: str) -> Iterator[ListedCase]:
    for scan in planned_test_scans(center):
        key = CaseKey(center.name, scan.name, kind)
        yield ListedCase(key, _title(scan, kind), partial(_simulate, center, scan))


def _simulate(center: Center, scan: PlannedScan) -> tuple[Scan, Scan]:
    image, labels = simulate_scan(center, scan)
    return to_ras(image), to_ras(labels)


def _title(scan: PlannedScan, kind: str) -> str:
    """Name, age, removed kidney and posture of a case."""
    months = round(12 * scan.child.age_years)
    removed = f", no {scan.child.removed_kidney} kidney" if scan.child.removed_kidney else ""
    posture = f", on the {scan.child.posture}" if kind == SIDE else ""
    return f"{scan.name}, {months // 12} y {months % 12} m{removed}{posture}"
