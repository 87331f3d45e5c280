"""Scans into a center's data set: all of them are looked at before one is written, and a crash leaves the old data set.

A case is marked before its first file is written and counts only when the table lists it, so a data set that
was killed in the middle of an import reads as it did before; the same command then goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pedseg.datasets.cases import UNLABELED
from pedseg.datasets.cases_table import IMPORTING, cases_being_imported
from pedseg.datasets.writing import write_case, write_index, written_cases
from pedseg.dicom.deidentification import pseudonym, read_key, refuse_leaks
from pedseg.dicom.options import ALL_REPAIRS
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.files import write_atomically
from pedseg.importing.dicom_folders import ImportOptions
from pedseg.importing.incoming import Incoming, Loaded, check
from pedseg.importing.public_layouts import survey_source

MIRRORED = b"situs inversus\n"  # in the mark of a case, so that an import that is killed and called again still knows
KEPT_BYTES = 2**29  # scans that are kept from looking to writing; others are read twice


@dataclass(frozen=True)
class Imported:
    """What became of one scan: the case's name, and what its user should read (not kept anywhere)."""

    source: Path
    case: str
    organs: tuple[str, ...]
    told: tuple[str, ...]
    was_there: bool = False


@dataclass(frozen=True)
class Target:
    """Where scans go and under which names: data set, center, the center's key, what is said of all."""

    dataset: Path
    center: str
    key: bytes
    license: str = ""
    source: str = ""
    split: str = ""
    situs_inversus: bool = False

    def patient(self, one: Incoming) -> str:
        """The patient's keyed hash."""
        return pseudonym(self.key, "patient", one.patient)

    def case(self, one: Incoming) -> str:
        """The case's name: the patient, and four more digits for the scan."""
        return f"{self.patient(one)}-{pseudonym(self.key, 'scan', one.patient, one.scan)[:4]}"


def import_scans(
    source: Path, dataset: Path, *, center: str, key: Path, options: ImportOptions | None = None,
    skip_refused: bool = False, license: str = "", origin: str = "", split: str = "", situs_inversus: bool = False,
) -> Iterator[Imported | InputProblem]:  # fmt: skip
    """Import every scan of a folder, a file or a public layout; a generator of what became of each.

    Raises one `PedsegInputError` with the findings of all scans before anything is written; with `skip_refused`
    findings are given out and the other scans are imported. `options` are the user's options for reading, `origin`
    says in words where the scans come from. Scans that are in the data set already stay as they are, but for those that
    nobody had contoured: they get the contours that have come since.
    """
    options = options or ImportOptions()
    _check_options(source, dataset, options)
    scans, problems, told = survey_source(source, options)
    target = Target(dataset, center, read_key(key, dataset), license, origin, split, situs_inversus)
    splits = {name: row["split"] for name, row in written_cases(dataset).items()} if dataset.exists() else {}
    known = {one: splits[target.case(one)] for one in scans if target.case(one) in splits}
    there = {one for one, split in known.items() if not (one.contoured and split == UNLABELED)}  # contours come later
    new = [one for one in scans if one not in there]
    kept, refused = _look(new, target)
    problems += [problem for found in refused.values() for problem in found]
    doubled = _same_names(new, target)
    problems += doubled.values()
    if problems and not skip_refused:
        raise PedsegInputError(problems)
    yield from problems
    yield from (InputProblem("I-LEFT-OUT", str(source), line, "") for line in told)
    yield from (Imported(one.source, target.case(one), (), (), True) for one in scans if one in there)
    yield from _write([one for one in new if one not in refused and one not in doubled], kept, target)


def _check_options(source: Path, dataset: Path, options: ImportOptions) -> None:
    if not source.exists():
        raise input_error("E-FILE-MISSING", source, "there is no such file or folder.", "Check the name.")
    if source.resolve() == dataset.resolve():
        raise input_error("E-SAME-FOLDER", source, "this is the data set itself.", "Name another folder with --to.")
    unknown = {*options.repairs} - ALL_REPAIRS.keys()
    if unknown:
        known = "; ".join(f"{word}: {told}" for word, told in ALL_REPAIRS.items())
        raise input_error(
            "E-REPAIR", source, f"there is no repair {sorted(unknown)[0]!r}.", f"Use one of these. {known}."
        )


def _look(
    scans: Sequence[Incoming], target: Target
) -> tuple[dict[Incoming, Loaded], dict[Incoming, list[InputProblem]]]:
    """Read and check every scan; what fits into memory is kept."""
    kept: dict[Incoming, Loaded] = {}
    refused: dict[Incoming, list[InputProblem]] = {}
    for one in scans:
        try:
            loaded = one.load()
            wrong = check(one, loaded, target.situs_inversus)
            wrong += refuse_leaks(one.source, [target.center, target.license, target.source], loaded.secret)
        except PedsegInputError as error:
            wrong = list(error.problems)
        if wrong:
            refused[one] = wrong
        elif sum(other.image.voxels.nbytes for other in kept.values()) + loaded.image.voxels.nbytes < KEPT_BYTES:
            kept[one] = loaded
    return kept, refused


def _same_names(scans: Sequence[Incoming], target: Target) -> dict[Incoming, InputProblem]:
    """Scans that would become a case that another one becomes already."""
    seen: dict[str, Incoming] = {}
    doubled: dict[Incoming, InputProblem] = {}
    for one in scans:
        other = seen.setdefault(target.case(one), one)
        if other is not one:
            found = f"it is the same scan of the same patient as {other.source}."
            doubled[one] = InputProblem("E-CASE-TWICE", str(one.source), found, "Keep one of the two in the source.")
    return doubled


def _write(scans: Sequence[Incoming], kept: dict[Incoming, Loaded], target: Target) -> Iterator[Imported]:
    """Mark, write and list the cases; the table comes last."""
    for one in scans:
        loaded = kept.pop(one, None) or one.load()
        name, contoured = target.case(one), loaded.labels is not None
        write_atomically(target.dataset / IMPORTING / name, MIRRORED if target.situs_inversus else b"")
        write_case(
            target.dataset, name, loaded.image, loaded.labels, patient=target.patient(one), center=target.center,
            split=(target.split or one.split or "train") if contoured else UNLABELED, manual=loaded.manual,
            silver=loaded.silver, source=f"{target.source} {one.public_id}".strip(), license=target.license,
            repairs=loaded.repairs, notes=loaded.notes, **loaded.about,
        )  # fmt: skip
        yield Imported(one.source, name, (*loaded.manual, *loaded.silver), loaded.told)
    if scans or (target.dataset / IMPORTING).exists():
        mirrored = [
            name for name in cases_being_imported(target.dataset) if (target.dataset / IMPORTING / name).read_bytes()
        ]
        write_index(target.dataset, center=target.center, situs_inversus=mirrored)
        shutil.rmtree(target.dataset / IMPORTING, ignore_errors=True)
