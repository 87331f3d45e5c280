"""Case and DataSet: a scan with its contours, whose it is, its split, and which organs somebody annotated.

"Not annotated" and "annotated and absent" differ. Where nobody drew the heart, background there
means "unknown"; where a kidney was removed, background means "none", and a contour is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pedseg.errors import InputProblem
from pedseg.files import content_sha256, file_stamp
from pedseg.organs import NAMES

SPLITS = ("train", "validation", "test")
UNLABELED = "unlabeled"  # the split of a scan that nobody contoured
TUMORS = ("renal", "neuroblastoma")
POSTURES = ("supine", "left side", "right side", "prone")  # on what the patient lies
PHASES = ("none", "arterial", "portal venous")  # of the contrast medium
MODALITIES = ("CT", "MR")
SEQUENCES = ("T1w", "T2w", "other")  # of an MR scan: what its contrast is weighted by


def folder_suffix(split: str) -> str:
    """Where nnU-Net keeps the cases of a split: in imagesTr and labelsTr, or in imagesTs and labelsTs."""
    return "Ts" if split in ("test", UNLABELED) else "Tr"


def center_name(folder: Path) -> str:
    """The center's name as the folder tells it: `Dataset901_Polder` -> `Polder`."""
    return re.sub(r"^Dataset\d{3}_", "", Path(folder).resolve().name)


@dataclass(frozen=True)
class Case:
    """One scan of one patient and where its files lie.

    `split` is `train`, `validation` or `test`, or `unlabeled` for a scan that nobody contoured.
    `label_file` is a label map, or a folder of one mask per organ, or None. `annotated` are the
    organs that somebody looked for; `silver` are those of them that a program drew, `absent` those
    that the scan does not hold.
    `tumor`, `posture` and `phase` are words of `TUMORS`, `POSTURES` and `PHASES`, or "" where
    nobody said. Only a CT is in HU; `sequence` is a word of `SEQUENCES` for an MR scan.
    """

    name: str
    patient: str
    center: str
    split: str
    image_file: Path
    label_file: Path | None
    annotated: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    age_months: int | None = None
    sex: str = ""
    tumor: str = ""
    months_since_surgery: float | None = None
    posture: str = ""
    phase: str = ""
    silver: tuple[str, ...] = ()
    modality: str = "CT"
    sequence: str = ""

    @property
    def trusted(self) -> tuple[str, ...]:
        """Organs that a network is scored on: those that people drew; all, where a program drew everything."""
        return tuple(name for name in self.annotated if name not in self.silver) or self.annotated


@dataclass(frozen=True)
class DataSet:
    """The cases of one center. `labels` says which organ a number in its label maps means.

    An empty name in `labels` is a structure that the data set's owner chose to ignore.
    """

    folder: Path
    center: str
    cases: tuple[Case, ...]
    labels: dict[int, str] = field(hash=False)

    def split(self, name: str) -> list[Case]:
        """The cases of one split, in the order of their names."""
        return [case for case in self.cases if case.split == name]

    @property
    def organs(self) -> tuple[str, ...]:
        """Organs that are annotated in at least one case, in the order of the organ table."""
        annotated = {name for case in self.cases for name in case.annotated}
        return tuple(name for name in NAMES if name in annotated)

    def state_of(self, case: Case) -> tuple[str, ...]:
        """All that a result on a case depends on: what is said of it, and the names, sizes and times of its files."""
        files = (case.image_file, case.label_file) if case.label_file else (case.image_file,)
        return repr(case), repr(sorted(self.labels.items())), *map(file_stamp, files)

    def sha256(self, *splits: str) -> str:
        """A digest of all that a training on the cases of some splits depends on; where the files lie does not count.

        Unlike `state_of` it reads the files: written again with the same content, they are the same.
        """
        digest = hashlib.sha256(repr(sorted(self.labels.items())).encode())
        for case in self.cases:
            if case.split in splits:
                digest.update(repr(replace(case, image_file=Path(), label_file=None)).encode())
                for file in filter(None, (case.image_file, case.label_file)):
                    digest.update(content_sha256(file))
        return digest.hexdigest()


@dataclass(frozen=True)
class Inspection:
    """What the voxels of one case say: what is wrong, which organs have a voxel, hashes of file and voxels."""

    problems: tuple[InputProblem, ...] = ()
    present: tuple[str, ...] = ()
    image_sha256: str = ""
    voxels_sha256: str = ""


@dataclass
class DataSetListing:
    """What the names and tables of a data-set folder say, later also its voxels, and everything that is wrong."""

    dataset: DataSet
    problems: list[InputProblem] = field(default_factory=list)
    absent_stated: bool = False  # cases.tsv says which organs are absent; otherwise the voxels do
    sha256: dict[str, str] = field(default_factory=dict)  # case -> stated hash of its image file
    situs_inversus: tuple[str, ...] = ()  # cases whose organs are truly mirrored
    inspections: dict[str, Inspection] = field(default_factory=dict)  # by case, once its voxels were read

    def add_problem(self, code: str, file: Path | str, problem: str, remedy: str) -> None:
        """Add one problem."""
        self.problems.append(InputProblem(code, str(file), problem, remedy))

    def check_patients(self) -> None:
        """Enough patients, and none of them in two splits."""
        folder, labeled = self.dataset.folder, [case for case in self.dataset.cases if case.label_file]
        patients = {case.patient for case in labeled}
        if len(patients) < 3:
            problem = f"this data set holds {len(patients)} patient(s) with contours."
            remedy = "A center needs at least 3 patients, so that some can be held out for validation and test."
            self.add_problem("E-TOO-FEW", folder, problem, remedy)
        for patient in sorted(patients):
            splits = sorted({case.split for case in labeled if case.patient == patient})
            if len(splits) > 1:
                problem = f"the patient {patient} is in {' and '.join(splits)}."
                remedy = "Give all scans of a patient one split; otherwise the test is no test."
                self.add_problem("E-PATIENT-SPLIT", folder, problem, remedy)


def assign_splits(cases: Iterable[Case]) -> list[Case]:
    """Give every case a split where the data's owner gave none; one patient is never in two.

    Without a labeled test case, a quarter of these patients (at least 1) become test; without a
    validation case, a tenth of the rest (at least 1 of 5 or more). Who it is follows from a hash
    of the patient's name: the same on every machine, and independent of order and of results.
    """
    cases = list(cases)
    given = {case.split for case in cases}
    stated = {case.patient: case.split for case in cases if case.split in SPLITS}
    patients = sorted({case.patient for case in cases if not case.split} - stated.keys(), key=_shuffle_key)
    n_test = 0 if "test" in given else min(len(patients), max(1, int(0.25 * len(patients) + 0.5)))
    rest = len(patients) - n_test
    n_validation = 0 if rest < 5 or "validation" in given else max(1, int(0.1 * rest + 0.5))
    chosen = dict.fromkeys(patients, "train")
    chosen |= dict.fromkeys(patients[:n_test], "test")
    chosen |= dict.fromkeys(patients[n_test : n_test + n_validation], "validation") | stated
    return [case if case.split else replace(case, split=chosen[case.patient]) for case in cases]


def _shuffle_key(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
