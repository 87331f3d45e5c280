"""Read the data set of a center or of all centers, and check every byte of it: right, or refused with all problems.

Two layouts are known: nnU-Net v2 raw (with or without `cases.tsv`; see `writing`) and TotalSegmentator v2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pedseg.datasets.cases import Case, DataSet, DataSetListing, Inspection, center_name
from pedseg.datasets.cases_table import PENDING, cases_being_imported
from pedseg.datasets.checks import inspect_case
from pedseg.datasets.loading import organs_present, read_labels
from pedseg.datasets.nnunet import list_nnunet
from pedseg.datasets.totalsegmentator import is_totalsegmentator, list_totalsegmentator
from pedseg.errors import InputProblem, input_error, raise_problems
from pedseg.organs import normalize


def read_dataset(folder: Path) -> DataSet:
    """The cases of one center, from nnU-Net v2 raw (with or without `cases.tsv`) or TotalSegmentator v2.

    Strict on names, tables and splits: raises one `PedsegInputError` with all problems. Voxels
    are read only where no `cases.tsv` says which organs are absent; `check_dataset` opens all of them.
    """
    listing = list_cases(folder)
    raise_problems(listing.problems)
    dataset = listing.dataset
    if listing.absent_stated:
        return dataset
    labeled = [case for case in dataset.cases if case.label_file]
    return _with_absent(dataset, {case.name: organs_present(read_labels(dataset.labels, case)) for case in labeled})


def _with_absent(dataset: DataSet, present: Mapping[str, Sequence[str]]) -> DataSet:
    """What was annotated and has no voxel is absent."""

    def absent(case: Case) -> tuple[str, ...]:
        return tuple(organ for organ in case.annotated if organ not in present.get(case.name, ()))

    return replace(dataset, cases=tuple(replace(case, absent=absent(case)) for case in dataset.cases))


def list_cases(folder: Path) -> DataSetListing:
    """The cases of a data-set folder of either layout, with everything wrong in names and tables."""
    folder = Path(folder)
    listing = DataSetListing(DataSet(folder, center_name(folder), (), {}))
    if any(row.stem not in cases_being_imported(folder) for row in (folder / PENDING).glob("*.json")):
        problem = "the making of this data set was interrupted."
        listing.add_problem("E-UNFINISHED", folder, problem, "Start it again; it resumes.")
    elif (folder / "dataset.json").is_file():
        list_nnunet(folder, listing)
    elif is_totalsegmentator(folder):
        list_totalsegmentator(folder, listing)
    else:
        remedy = "Give nnU-Net v2 raw (dataset.json, imagesTr, labelsTr) or TotalSegmentator v2 (s0000/ct.nii.gz)."
        problem = "this folder is in no layout that pedseg knows." if folder.is_dir() else "there is no such folder."
        listing.add_problem("E-NO-DATASET", folder, problem, remedy)
    if listing.dataset.cases:
        listing.check_patients()
    return listing


def check_dataset(*folders: Path) -> list[InputProblem]:
    """Everything that is wrong with a data set, or with several beside each other; every byte of every case is read."""
    return _check(list(map(list_cases, folders)))


def read_checked(folder: Path, *, few: bool = False) -> DataSet:
    """The cases of one center, after all checks: what every way to training asks for.

    Where nothing is trained, few patients are enough.
    """
    listing = list_cases(folder)
    raise_problems([problem for problem in _check([listing]) if not few or problem.code != "E-TOO-FEW"])
    return listing.dataset


def read_centers(folder: Path) -> list[DataSet]:
    """The data sets of all centers, in the order of `center_folders`.

    Every byte is read. One `PedsegInputError` lists all problems of all centers; nothing is trained
    on a part of the data.
    """
    listings = list(map(list_cases, center_folders(folder)))
    raise_problems(_check(listings))
    return [listing.dataset for listing in listings]


def center_folders(folder: Path) -> list[Path]:
    """The data-set folders of all centers: each subfolder is one, hidden ones aside; sorted by name."""
    folder = Path(folder)
    places = sorted(place for place in folder.glob("[!.]*") if place.is_dir())
    itself = is_data_set(folder)
    if itself or not places:
        problem = "this is a data set itself." if itself else "this folder holds no data sets."
        raise input_error("E-NO-CENTERS", folder, problem, "Give the folder that holds one data-set folder a center.")
    return places


def is_data_set(folder: Path) -> bool:
    """Whether a folder is in one of the two layouts."""
    return (folder / "dataset.json").exists() or is_totalsegmentator(folder)


def _check(listings: Sequence[DataSetListing]) -> list[InputProblem]:
    """Read the voxels of every case of the listed data sets, two cases at a time; everything that is wrong."""
    jobs = [(listing, case) for listing in listings for case in listing.dataset.cases]

    def inspect(job: tuple[DataSetListing, Case]) -> Inspection:
        listing, case = job
        return inspect_case(listing.dataset, case, case.name in listing.situs_inversus)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for (listing, case), inspection in zip(jobs, pool.map(inspect, jobs), strict=True):
            listing.inspections[case.name] = inspection
            listing.problems += [*inspection.problems, *_against_table(listing, case, inspection)]
    for listing in listings:
        if not listing.absent_stated:
            present = {name: inspection.present for name, inspection in listing.inspections.items()}
            listing.dataset = _with_absent(listing.dataset, present)
    problems = [problem for listing in listings for problem in listing.problems]
    return [*problems, *_same_scans(listings), *_same_centers(listings)]


def _against_table(listing: DataSetListing, case: Case, inspection: Inspection) -> Iterator[InputProblem]:
    """Where the bytes of a case contradict its row in cases.tsv."""
    if listing.absent_stated and case.label_file and not inspection.problems:
        expected = [organ for organ in case.annotated if organ not in case.absent]
        wrong = sorted({*expected} ^ {*inspection.present})
        if wrong:
            listed = ", ".join(f"{organ} has {'no' if organ in expected else 'a'} voxel" for organ in wrong)
            remedy = "Correct the column absent in cases.tsv, or the map."
            yield InputProblem("E-ABSENT", str(case.label_file), f"against cases.tsv, {listed}.", remedy)
    stated = listing.sha256.get(case.name)
    if stated and inspection.image_sha256 and stated != inspection.image_sha256:
        problem = "its bytes are not those that cases.tsv was written for."
        remedy = "Restore the file, or correct the row if the change was meant."
        yield InputProblem("E-CHANGED", str(case.image_file), problem, remedy)


def _same_scans(listings: Iterable[DataSetListing]) -> Iterator[InputProblem]:
    """The same voxels under two names: a patient would be learned and tested, or counted twice."""
    first: dict[str, Case] = {}
    for listing in listings:
        for case in listing.dataset.cases:
            voxels = listing.inspections[case.name].voxels_sha256
            other = first.setdefault(voxels, case) if voxels else case
            if other is not case:
                problem = f"its voxels are those of {other.image_file}."
                yield InputProblem("E-SAME-SCAN", str(case.image_file), problem, "Keep one of the two.")


def _same_centers(listings: Iterable[DataSetListing]) -> Iterator[InputProblem]:
    """Two data sets that claim to be the same center."""
    first: dict[str, DataSet] = {}
    for dataset in (listing.dataset for listing in listings):
        other = first.setdefault(normalize(dataset.center), dataset)
        if other is not dataset:
            problem = f"the center {dataset.center!r} is also that of {other.folder}."
            remedy = "Give each center a name and a folder of its own."
            yield InputProblem("E-CENTER", str(dataset.folder), problem, remedy)
