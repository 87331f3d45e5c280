"""The scans and contours of a center, read strictly from disk: right, or refused with everything that is wrong.

Two layouts are known: nnU-Net v2 raw (with or without `cases.tsv`; see `writing`) and TotalSegmentator v2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.cases_table import COLUMNS, PENDING, coming
from pedseg.datasets.checks import Inspection, inspect, organs_present
from pedseg.datasets.loading import load_image, load_labels, read_labels
from pedseg.datasets.nnunet import survey_nnunet
from pedseg.datasets.survey import Survey, center_name, check_patients
from pedseg.datasets.totalsegmentator import is_totalsegmentator, survey_totalsegmentator
from pedseg.datasets.writing import write_case, write_index, written_cases
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.organs import normalize

__all__ = [
    "COLUMNS",
    "Case",
    "DataSet",
    "check_dataset",
    "load_image",
    "load_labels",
    "read_centers",
    "read_dataset",
    "write_case",
    "write_index",
    "written_cases",
]

Progress = Callable[[int, int], object]  # called with (cases done, cases in all)


def read_dataset(folder: Path) -> DataSet:
    """The cases of one center, from nnU-Net v2 raw (with or without `cases.tsv`) or TotalSegmentator v2.

    Strict on names, tables and splits: raises one `PedsegInputError` with everything found. Voxels
    are read only where no `cases.tsv` says which organs are absent; `check_dataset` opens all of them.
    """
    found = survey(folder)
    if found.problems:
        raise PedsegInputError(found.problems)
    if found.absent_stated:
        return found.dataset
    present = {case.name: _present(found.dataset, case) for case in found.dataset.cases}
    return _with_absent(found.dataset, present)


def _present(dataset: DataSet, case: Case) -> tuple[str, ...]:
    return organs_present(read_labels(dataset.labels, case)) if case.label_file else ()


def _with_absent(dataset: DataSet, present: Mapping[str, Sequence[str]]) -> DataSet:
    """What was annotated and has no voxel is absent."""
    cases = [replace(c, absent=tuple(o for o in c.annotated if o not in present[c.name])) for c in dataset.cases]
    return replace(dataset, cases=tuple(cases))


@dataclass(frozen=True)
class _Opened:
    """A data set whose every byte was read, and what was found."""

    dataset: DataSet
    problems: list[InputProblem]
    inspections: dict[str, Inspection]


def check_dataset(folder: Path, *, progress: Progress | None = None) -> list[InputProblem]:
    """Everything that is wrong with one data set; every byte of every case is read. Empty if all is well."""
    opened = _open([survey(folder)], progress)
    return opened[0].problems + _same_scans(opened)


def read_centers(folder: Path, *, progress: Progress | None = None) -> list[DataSet]:
    """The data sets of all centers: each subfolder is one, hidden ones aside; sorted by folder name.

    Every byte is read. One `PedsegInputError` lists all findings of all centers; nothing is trained
    on a part of the data.
    """
    folder = Path(folder)
    places = sorted(place for place in folder.glob("[!.]*") if place.is_dir())
    itself = (folder / "dataset.json").exists() or is_totalsegmentator(folder)
    if itself or not places:
        found = "this is a data set itself." if itself else "this folder holds no data sets."
        raise input_error("E-NO-CENTERS", folder, found, "Give the folder that holds one data-set folder a center.")
    opened = _open([survey(place) for place in places], progress)
    problems = [problem for one in opened for problem in one.problems] + _same_scans(opened) + _same_names(opened)
    if problems:
        raise PedsegInputError(problems)
    return [one.dataset for one in opened]


def _open(surveys: Sequence[Survey], progress: Progress | None) -> list[_Opened]:
    """Inspect every case of the surveyed folders, two at a time."""
    jobs = [(place, case) for place, found in enumerate(surveys) for case in found.dataset.cases]
    seen: list[dict[str, Inspection]] = [{} for _ in surveys]

    def open_case(job: tuple[int, Case]) -> Inspection:
        place, case = job
        return inspect(surveys[place].dataset, case, case.name in surveys[place].situs_inversus)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for number, ((place, case), inspection) in enumerate(zip(jobs, pool.map(open_case, jobs), strict=True), 1):
            seen[place][case.name] = inspection
            surveys[place].problems += [*inspection.problems, *_against_table(surveys[place], case, inspection)]
            if progress:
                progress(number, len(jobs))
    return [_opened(found, inspections) for found, inspections in zip(surveys, seen, strict=True)]


def _opened(found: Survey, inspections: dict[str, Inspection]) -> _Opened:
    dataset = found.dataset
    if not found.absent_stated:
        dataset = _with_absent(dataset, {name: one.present for name, one in inspections.items()})
    return _Opened(dataset, found.problems, inspections)


def _against_table(found: Survey, case: Case, seen: Inspection) -> Iterable[InputProblem]:
    """Where the bytes of a case contradict its row in cases.tsv."""
    if found.absent_stated and case.label_file and not seen.problems:
        drawn = [organ for organ in case.annotated if organ not in case.absent]
        wrong = sorted({*drawn} ^ {*seen.present})
        if wrong:
            listed = ", ".join(f"{organ} has {'no' if organ in drawn else 'a'} voxel" for organ in wrong)
            remedy = "Correct the column absent in cases.tsv, or the map."
            yield InputProblem("E-ABSENT", str(case.label_file), f"against cases.tsv, {listed}.", remedy)
    stated = found.sha256.get(case.name)
    if stated and seen.image_sha256 and stated != seen.image_sha256:
        remedy = "Restore the file, or correct the row if the change was meant."
        yield InputProblem(
            "E-CHANGED", str(case.image_file), "its bytes are not those that cases.tsv was written for.", remedy
        )


def _same_scans(opened: Iterable[_Opened]) -> list[InputProblem]:
    """The same voxels under two names: a patient would be learned and tested, or counted twice."""
    first: dict[str, Case] = {}
    problems = []
    for one in opened:
        for case in one.dataset.cases:
            voxels = one.inspections[case.name].voxels_sha256
            other = first.setdefault(voxels, case) if voxels else case
            if other is not case:
                found = f"its voxels are those of {other.image_file}."
                problems.append(InputProblem("E-SAME-SCAN", str(case.image_file), found, "Keep one of the two."))
    return problems


def _same_names(opened: Iterable[_Opened]) -> list[InputProblem]:
    """Two data sets that claim to be the same center."""
    first: dict[str, DataSet] = {}
    problems = []
    for dataset in (one.dataset for one in opened):
        other = first.setdefault(normalize(dataset.center), dataset)
        if other is not dataset:
            found = f"the center {dataset.center!r} is also that of {other.folder}."
            problems.append(
                InputProblem("E-CENTER", str(dataset.folder), found, "Give each center a name and a folder of its own.")
            )
    return problems


def survey(folder: Path) -> Survey:
    """List the cases of a data-set folder of either layout, with everything wrong in names and tables."""
    folder = Path(folder)
    found = Survey(DataSet(folder, center_name(folder), (), {}))
    if any(row.stem not in coming(folder) for row in (folder / PENDING).glob("*.json")):
        found.note(
            "E-UNFINISHED", folder, "the making of this data set was interrupted.", "Start it again; it resumes."
        )
    elif (folder / "dataset.json").is_file():
        survey_nnunet(folder, found)
    elif is_totalsegmentator(folder):
        survey_totalsegmentator(folder, found)
    else:
        remedy = "Give nnU-Net v2 raw (dataset.json, imagesTr, labelsTr) or TotalSegmentator v2 (s0000/ct.nii.gz)."
        reason = "this folder is in no layout that pedseg knows." if folder.is_dir() else "there is no such folder."
        found.note("E-NO-DATASET", folder, reason, remedy)
    if found.dataset.cases:
        check_patients(found)
    return found
