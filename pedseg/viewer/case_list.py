"""The case list of the reading room: data sets, a study's test cases, the same ones on their side or fine, own scans.

A study on the virtual centers keeps no scans: each of its cases is simulated again from its seed when it is opened, in
half a second and voxel by voxel the same. In the fine voxels of a clinic (1 x 1 x 2 mm) it takes 2 to 6 s, once: these
scans are kept in `runs/fine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.cases_table import read_table
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import center_folders, is_data_set, read_dataset
from pedseg.evaluation.domain_shift import SHIFT_FACTORS, planned_test_scans, shifted_center
from pedseg.evaluation.results import rows_file
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import organ
from pedseg.phantoms import centers
from pedseg.phantoms.centers import CENTERS, RESOLUTIONS, Center, PlannedScan, simulate_scan
from pedseg.scan import Scan, read_nifti, to_ras, write_nifti
from pedseg.viewer.own_scans import LazySets, OwnScan, find_ct_scans, find_nifti_scan
from pedseg.workbook import lesson

ROLL_DEG = {"left side": 90.0, "right side": -90.0, "prone": 180.0}  # of a posture, where nobody has measured it
ON_THE_SIDE = next(factor for factor in SHIFT_FACTORS if factor.name == "on the side; as they lie")
SAMPLE, STUDY, SIDE, FINE, OWN = "sample", "study", "on the side", "fine", "own"
OF_STUDY = (STUDY, SIDE, FINE)  # the kinds that come with a study
DATA_SET = "data set"  # the contours of a data set whose scans are no phantoms
PHANTOM = "pedseg phantom"  # how the source of a synthetic case begins in cases.tsv


class CaseKey(NamedTuple):
    """What identifies a case: a sample and a case of the study may have the same center and name."""

    center: str
    case: str
    kind: str  # SAMPLE, STUDY, SIDE, FINE or OWN


@dataclass(frozen=True)
class ListedCase:
    """One line of the case list; `open` gives the scan and its ground truth, `contours` all other contour sets.

    `axes` (3, 3) says where the voxel axes of a patient on the side point: right, anterior, superior.
    """

    key: CaseKey
    title: str
    open: Callable[[], tuple[Scan, Scan | None]]
    image_file: Path | None = None  # None for a scan that is simulated
    contours: Callable[[], Mapping[Hashable, NDArray]] = dict
    own: OwnScan | None = None
    axes: NDArray | None = None
    is_own: bool = False  # nobody knows the truth of it: models draw behind the gate, and when they are asked to

    def shows_same(self, other: ListedCase) -> bool:
        """Whether it is the same child in the same place, in coarser or finer voxels."""
        return self.key.case == other.key.case and {self.key.kind, other.key.kind} == {STUDY, FINE}

    @property
    def origin(self) -> tuple[Path, Mapping[str, Any]]:
        """Where the scan comes from, and the header of a CT in DICOM, else an empty one."""
        if self.own is not None:
            return self.own.path, {} if self.own.ct is None else self.own.ct.header
        return self.image_file or Path(self.key.case), {}

    @property
    def file_stem(self) -> str:
        """The case in the name of a file, different for each kind of the same case."""
        kind = self.key.kind
        if self.own is not None:
            return self.own.file_stem
        if self.is_own:  # other data sets have a case of this name, too
            place = str(Path(self.image_file or "").resolve())
            return f"{self.key.case}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        return self.key.case if kind == SAMPLE else f"{self.key.case}_{kind.replace(' ', '-')}"


Cases = dict[CaseKey, ListedCase]


def list_cases(datasets: list[DataSet], study: Path) -> Cases:
    """The samples, then all test cases of the finished study in the folder `study`: supine, on the side, and fine."""
    cases = [case for dataset in datasets for case in _of_data_set(dataset, "test")]
    if _is_virtual(study):
        for name, center in CENTERS.items():
            cases += _simulated(center, STUDY)
            cases += _simulated(shifted_center(name, ON_THE_SIDE), SIDE)
        for center in CENTERS.values():
            cases += _simulated(RESOLUTIONS["clinic"](center), FINE)
    return {case.key: case for case in cases}


def list_data(folder: Path) -> Cases:
    """Every case of a data set, or of a folder of data sets; contours are true only where the scans are phantoms."""
    folders = [folder] if is_data_set(folder) else center_folders(folder)
    cases = (case for place in folders for case in _of_data_set(read_dataset(place)))
    return {case.key: case for case in cases}


def list_ct(folder: Path) -> Cases:
    """The CT series below a folder, with the contours that lie beside them."""
    return _own(Path(folder).resolve().name, find_ct_scans(Path(folder)))


def list_nifti(file: Path) -> Cases:
    """A NIfTI file."""
    return _own("NIfTI", [find_nifti_scan(Path(file))])


def _own(place: str, scans: list[tuple[str, OwnScan]]) -> Cases:
    listed = (
        ListedCase(CaseKey(place, scan.file_stem, OWN), title, scan.open, contours=scan.contours, own=scan, is_own=True)
        for title, scan in scans
    )
    return {case.key: case for case in listed}


def _is_virtual(study: Path) -> bool:
    """Whether the study tested the cases of the virtual centers: others cannot be simulated."""
    file = rows_file(study)
    if not file.is_file():
        return False
    rows = pd.read_csv(file, usecols=["tested_on", "case"], dtype=str)
    virtual = {(name, scan.name) for name, center in CENTERS.items() for scan in planned_test_scans(center)}
    return not rows.empty and {*zip(rows["tested_on"], rows["case"], strict=True)} <= virtual


def _of_data_set(dataset: DataSet, split: str = "") -> Iterator[ListedCase]:
    synthetic = _is_synthetic(dataset.folder)
    for case in dataset.cases if not split else dataset.split(split):
        key, title = (
            CaseKey(dataset.center, case.name, SAMPLE),
            f"{describe(case)} · {(split and 'sample') or case.split}",
        )
        axes = _axes(ROLL_DEG[case.posture]) if case.posture in ROLL_DEG else None
        opening, image_file = partial(_load, dataset, case), case.image_file
        if synthetic or case.label_file is None:
            yield ListedCase(key, title, opening, image_file, axes=axes, is_own=not synthetic)
        else:
            contours = partial(_contours, dataset, case)
            yield ListedCase(key, title, partial(_load_scan, case), image_file, contours, axes=axes, is_own=True)


def _is_synthetic(folder: Path) -> bool:
    """Whether all cases of a data set are phantoms, whose contours are the truth."""
    file = folder / "cases.tsv"
    rows = read_table(file) if file.is_file() else []
    return bool(rows) and all(row.get("source", "").startswith(PHANTOM) for row in rows)


def _load_scan(case: Case) -> tuple[Scan, None]:
    return load_image(case), None


def _contours(dataset: DataSet, case: Case) -> LazySets:
    return LazySets({DATA_SET: lambda: load_labels(dataset, case).voxels})


def _axes(roll_deg: float) -> NDArray:
    """Where the axes of the room point in a patient that is rolled about the long axis (`Child.roll_deg`)."""
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def describe(case: Case) -> str:
    """Name, age and missing kidneys of a case, for a list."""
    age = "" if case.age_months is None else f", {case.age_months // 12} y {case.age_months % 12} m"
    missing = [f", no {organ(name).plain}" for name in KIDNEYS if name in case.absent]
    return case.name + age + "".join(missing)


def _load(dataset: DataSet, case: Case) -> tuple[Scan, Scan | None]:
    return load_image(case), load_labels(dataset, case) if case.label_file else None


def _simulated(center: Center, kind: str) -> Iterator[ListedCase]:
    for scan in planned_test_scans(center):
        key = CaseKey(f"{center.name}, {FINE}" if kind == FINE else center.name, scan.name, kind)
        axes = _axes(scan.child.roll_deg) if kind == SIDE else None
        simulate = _simulate_once if kind == FINE else _simulate
        yield ListedCase(key, _title(scan, kind), partial(simulate, center, scan), axes=axes)


def _simulate(center: Center, scan: PlannedScan) -> tuple[Scan, Scan]:
    image, labels = simulate_scan(center, scan)
    return to_ras(image), to_ras(labels)


def _simulate_once(center: Center, scan: PlannedScan) -> tuple[Scan, Scan]:
    """The same, kept for the next time, as long as the program that makes it stays the same."""
    digest = hashlib.sha256(f"{center} {scan} {_phantoms_digest()}".encode()).hexdigest()[:12]
    files = [lesson.runs() / "fine" / f"{scan.name}_{digest}{part}.nii.gz" for part in ("", "_labels")]
    if not all(file.is_file() for file in files):
        for file, volume in zip(files, _simulate(center, scan), strict=True):
            write_nifti(file, volume)
    image, labels = map(read_nifti, files)
    return image, labels


@cache
def _phantoms_digest() -> str:
    """What the program that makes the children is known by."""
    sources = sorted(Path(centers.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()


def _title(scan: PlannedScan, kind: str) -> str:
    """Name, age, removed kidney and posture of a case."""
    months = round(12 * scan.child.age_years)
    removed = f", no {scan.child.removed_kidney} kidney" if scan.child.removed_kidney else ""
    posture = f", on the {scan.child.posture}" if kind == SIDE else ""
    return f"{scan.name}, {months // 12} y {months % 12} m{removed}{posture}"
