"""What the names and tables of a data-set folder say, before a voxel is read, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.datasets.cases import DataSet
from pedseg.errors import InputProblem


@dataclass
class Survey:
    """What a folder holds: its data set, what is wrong with it, and what its tables state."""

    dataset: DataSet
    problems: list[InputProblem] = field(default_factory=list)
    absent_stated: bool = False  # cases.tsv says which organs are absent; otherwise the voxels do
    sha256: dict[str, str] = field(default_factory=dict)  # case -> stated hash of its image file
    situs_inversus: tuple[str, ...] = ()  # cases whose organs are truly mirrored

    def note(self, code: str, file: Path | str, problem: str, remedy: str) -> None:
        """Add one finding."""
        self.problems.append(InputProblem(code, str(file), problem, remedy))


def center_name(folder: Path) -> str:
    """The center's name as the folder tells it: `Dataset901_Polder` -> `Polder`."""
    return re.sub(r"^Dataset\d{3}_", "", Path(folder).resolve().name)


def check_patients(found: Survey) -> None:
    """Enough patients, and none of them in two splits."""
    labeled = [case for case in found.dataset.cases if case.label_file]
    patients = {case.patient for case in labeled}
    if len(patients) < 3:
        remedy = "A center needs at least 3 patients, so that some can be held out for validation and test."
        found.note(
            "E-TOO-FEW", found.dataset.folder, f"this data set holds {len(patients)} patient(s) with contours.", remedy
        )
    for patient in sorted(patients):
        splits = sorted({case.split for case in labeled if case.patient == patient})
        if len(splits) > 1:
            remedy = "Give all scans of a patient one split; otherwise the test is no test."
            found.note(
                "E-PATIENT-SPLIT", found.dataset.folder, f"the patient {patient} is in {' and '.join(splits)}.", remedy
            )
