"""Scans of one's own in the reading room: a CT series or a NIfTI file, the contours that belong to it, and models.

Nobody calls any of the contours true. A network draws behind the gate of `importing.plausibility`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.loading import PADDING_HU
from pedseg.dicom.ct_series import CtScan, CtSeries, group_series, read_series
from pedseg.dicom.dicom_files import DicomFile, find_dicom_files
from pedseg.dicom.references import named_series
from pedseg.errors import input_error, raise_problems
from pedseg.importing.contour_sets import READERS, read_contours
from pedseg.importing.scan_sources import ImportOptions
from pedseg.scan import Scan, nifti_stem, ras_view, read_nifti, to_ras

HOSPITAL = "hospital"  # the only contours that lie beside a CT
MERGE_OVERLAPS = ImportOptions(repairs=("overlaps",))  # for the screen; what went to which organ is said


class LazySets(Mapping[Hashable, NDArray]):
    """Contour sets by name, each made when it is first looked at."""

    def __init__(self, makers: Mapping[Hashable, Callable[[], NDArray]]) -> None:
        self.makers = dict(makers)
        self._made: dict[Hashable, NDArray] = {}

    def __getitem__(self, name: Hashable) -> NDArray:
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


@dataclass
class OwnScan:
    """A scan of one's own. `read` reads it, once; `files` are the contours that were found with it, by name.

    After `open`, `source` is the scan as it was read, and `messages` say what a person should know.
    """

    path: Path
    identity: str  # what tells it from others; hashed in the names of files
    read: Callable[[], CtScan | Scan]
    files: dict[str, Path] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    source: CtScan | Scan | None = None

    @property
    def file_stem(self) -> str:
        """The scan in the name of a file: no name of a patient, no number of a hospital."""
        return f"own-{hashlib.sha256(self.identity.encode()).hexdigest()[:12]}"

    @property
    def ct(self) -> CtScan | None:
        """The CT in DICOM, for which RTSTRUCT and SEG can be written; None for a NIfTI file."""
        return self.source if isinstance(self.source, CtScan) else None

    @property
    def grid(self) -> Scan:
        """The scan on its own grid, as it was read."""
        assert self.source is not None
        return self.source.scan if isinstance(self.source, CtScan) else self.source

    def open(self) -> tuple[Scan, None]:
        """The scan in RAS; nobody knows the truth of it."""
        if self.source is None:
            self.source = self.read()
        self.messages = list(self.ct.notes) if self.ct else []
        scan = ras_view(self.grid)
        if scan.voxels.min() < PADDING_HU:
            scan = Scan(np.maximum(scan.voxels, scan.voxels.dtype.type(PADDING_HU)), scan.affine)
        return scan, None

    def contours(self) -> LazySets:
        """The contours that were found with the scan, by name; each is read when it is looked at."""
        return LazySets({name: partial(self.read_set, name, file) for name, file in self.files.items()})

    def read_set(self, name: str, file: Path) -> NDArray[np.uint8]:
        """One set of contours, in RAS; what was left out or given to another organ becomes a message."""
        assert self.source is not None
        contours = read_contours(file, self.source, MERGE_OVERLAPS)
        self.messages += [f"{name}: {line}" for line in contours.messages]
        return to_ras(contours.labels).voxels

    def add_set(self, name: str, file: Path) -> NDArray[np.uint8]:
        """Read one more set of contours, and keep its name."""
        labels = self.read_set(name, file)
        self.files[name] = file
        return labels

    def close(self) -> None:
        """Forget the voxels: they are read again when the scan is opened again."""
        self.source = None


def find_ct_scans(folder: Path) -> list[tuple[str, OwnScan]]:
    """The CT series below a folder, each with a line about it, and the contours that name it."""
    files, problems = find_dicom_files(folder)
    series = group_series(files)
    if not series:
        raise_problems(problems)
        kinds = ", ".join(sorted({file.kind for file in files}))
        problem = f"it holds {kinds} and no CT." if kinds else "there is no DICOM in it."
        raise input_error("E-NO-CT", folder, problem, "Give the folder of a CT, or another kind of source.")
    scans = []
    for member in series:
        scan = OwnScan(folder, member.uid or str(folder), partial(read_series, member))
        scan.files = dict(_named(_structures_of(member, series, files)))
        scans.append((_line(member), scan))
    return scans


def _structures_of(member: CtSeries, series: Sequence[CtSeries], files: Sequence[DicomFile]) -> Iterator[DicomFile]:
    """RTSTRUCT and SEG that name a series; those that name none, if it is the only one of its patient."""
    only = [other.uid for other in series if other.patient_id == member.patient_id] == [member.uid]
    for file in files:
        if file.kind in READERS and file.text("PatientID") == member.patient_id:
            named = named_series(file.header("ReferencedFrameOfReferenceSequence", "ReferencedSeriesSequence"))
            if member.uid in named or (only and not named):
                yield file


def _named(structures: Iterator[DicomFile]) -> Iterator[tuple[str, Path]]:
    files = [*structures]
    for file in files:
        yield (HOSPITAL if len(files) == 1 else file.path.stem), file.path


def _line(series: CtSeries) -> str:
    thickness = series.first.text("SliceThickness") or "?"
    return (
        f"{series.slice_count} slices, {thickness} mm, {series.first.text('ConvolutionKernel')}, {series.description}"
    )


def find_nifti_scan(file: Path) -> tuple[str, OwnScan]:
    """A NIfTI file as a scan of one's own."""
    if not file.is_file():
        raise input_error("E-FILE-MISSING", file, "there is no such file.", "Check the name.")
    return nifti_stem(file), OwnScan(file, str(file.resolve()), partial(read_nifti, file))
