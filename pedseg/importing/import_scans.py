"""Import scans into a center's data set: all are checked before one is written, and a crash leaves the old data set.

A case is marked before its first file is written and counts only when the table lists it, so a data set that
was killed in the middle of an import reads as it did before; the same command then goes on.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pedseg.datasets.cases import UNLABELED
from pedseg.datasets.cases_table import IMPORTING, cases_being_imported
from pedseg.datasets.writing import write_case, write_index, written_cases
from pedseg.dicom.deidentification import find_leaks, pseudonym, read_key
from pedseg.dicom.options import REPAIRS
from pedseg.errors import InputProblem, collect_problems, import_errors, input_error, raise_problems
from pedseg.files import write_atomically
from pedseg.importing.public_layouts import list_scans
from pedseg.importing.scan_sources import ImportOptions, LoadedScan, ScanSource, check_scan, load_scan

MIRRORED = b"situs inversus\n"  # in the mark of a case, so that an import that is killed and called again still knows
KEPT_BYTES = 2**29  # scans that are kept from checking to writing; others are read twice


@dataclass(frozen=True)
class ImportResult:
    """What became of one scan: the case's name, and what its user should read (not kept anywhere)."""

    source: Path
    case: str
    organs: tuple[str, ...]
    messages: tuple[str, ...]
    already_imported: bool = False


@dataclass(frozen=True)
class ImportTarget:
    """Where scans go and under which names: data set, center, the center's key, what is said of all.

    Only an `origin` makes a name such as s0001 that of one scan for all; else it is another one in each folder.
    """

    dataset: Path
    center: str
    key: bytes
    license: str = ""
    origin: str = ""
    split: str = ""
    situs_inversus: bool = False

    def public_id(self, source: ScanSource) -> str:
        """The name under which everybody finds the scan again."""
        return source.public_id if self.origin else ""

    def patient(self, source: ScanSource) -> str:
        """The patient's keyed hash."""
        return pseudonym(self.key, "patient", self.public_id(source) or source.patient)

    def case(self, source: ScanSource) -> str:
        """The case's name: the patient, and four more digits for the scan."""
        identity = self.public_id(source) or source.patient
        return f"{self.patient(source)}-{pseudonym(self.key, 'scan', identity, source.scan)[:4]}"


def import_scans(
    source: Path, dataset: Path, *, center: str, key: Path, options: ImportOptions | None = None,
    skip_refused: bool = False, license: str = "", origin: str = "", split: str = "", situs_inversus: bool = False,
) -> Iterator[ImportResult | InputProblem]:  # fmt: skip
    """Import every scan of a folder, a file or a public layout; a generator of what became of each.

    Raises one `PedsegInputError` with the problems of all scans before anything is written; with `skip_refused`
    problems are yielded and the other scans are imported. `options` are the user's options for reading, `origin`
    says in words where the scans come from. Scans that are in the data set already stay as they are, but for those that
    nobody had contoured: they get the contours that have come since.
    """
    options = options or ImportOptions()
    rows = written_cases(dataset) if dataset.exists() else {}
    _check_options(source, dataset, options, {row.get("center") or center for row in rows.values()} - {center})
    scans, problems, left_out = list_scans(source, options)
    target = ImportTarget(dataset, center, read_key(key, dataset, make=False), license, origin, split, situs_inversus)
    splits = {name: row["split"] for name, row in rows.items()}

    def is_done(scan: ScanSource) -> bool:
        stored = splits.get(target.case(scan))
        return stored is not None and not (scan.contoured and stored == UNLABELED)  # contours come later

    done, new = [scan for scan in scans if is_done(scan)], [scan for scan in scans if not is_done(scan)]
    kept, refused = _check_scans(new, target)
    problems += [problem for scan_problems in refused.values() for problem in scan_problems]
    duplicates = _duplicates(new, target)
    problems += duplicates.values()
    if not skip_refused:
        raise_problems(problems)
    yield from problems
    yield from (InputProblem("I-LEFT-OUT", str(source), line, "") for line in left_out)
    yield from (ImportResult(scan.path, target.case(scan), (), (), True) for scan in done)
    sound = [scan for scan in new if scan not in refused and scan not in duplicates]
    if sound:  # only now: the file of a new key bears the center's name
        target = replace(target, key=read_key(key, dataset))
    yield from _write(sound, kept, target)


def _check_options(source: Path, dataset: Path, options: ImportOptions, other_centers: set[str]) -> None:
    with import_errors():  # what writes the scans is here before the first of them is marked
        import nibabel  # noqa: F401
    if not source.exists():
        raise input_error("E-FILE-MISSING", source, "there is no such file or folder.", "Check the name.")
    if source.resolve() == dataset.resolve():
        raise input_error("E-SAME-FOLDER", source, "this is the data set itself.", "Name another folder with --to.")
    for other in other_centers:
        remedy = f"Say --center {other!r}, or name another folder by --to."
        raise input_error("E-CENTER", dataset, f"this is the data set of {other}.", remedy)
    unknown = sorted({*options.repairs} - REPAIRS.keys())
    if unknown:
        known = "; ".join(f"{word}: {meaning}" for word, meaning in REPAIRS.items())
        raise input_error("E-REPAIR", source, f"there is no repair {unknown[0]!r}.", f"Use one of these. {known}.")


def _check_scans(
    scans: Sequence[ScanSource], target: ImportTarget
) -> tuple[dict[ScanSource, LoadedScan], dict[ScanSource, list[InputProblem]]]:
    """Read and check every scan; what fits into memory is kept."""
    kept: dict[ScanSource, LoadedScan] = {}
    refused: dict[ScanSource, list[InputProblem]] = {}
    free_bytes = KEPT_BYTES
    said = [target.center, target.license, target.origin, target.dataset.name]
    for scan in scans:
        problems: list[InputProblem] = []
        with collect_problems(problems):
            loaded = load_scan(scan)
            problems += check_scan(scan, loaded, target.situs_inversus)
            problems += find_leaks(scan.path, said, loaded.secret)
            if not problems and loaded.image.voxels.nbytes < free_bytes:
                kept[scan] = loaded
                free_bytes -= loaded.image.voxels.nbytes
        if problems:
            refused[scan] = problems
    return kept, refused


def _duplicates(scans: Sequence[ScanSource], target: ImportTarget) -> dict[ScanSource, InputProblem]:
    """Scans that would become one case: nobody knows which of them counts."""
    times = Counter(map(target.case, scans))
    problem, remedy = "it has the name and the patient of another.", "Keep one of them in the source."
    twice = [scan for scan in scans if times[target.case(scan)] > 1]
    return {scan: InputProblem("E-CASE-TWICE", str(scan.path), problem, remedy) for scan in twice}


def _write(
    scans: Sequence[ScanSource], kept: dict[ScanSource, LoadedScan], target: ImportTarget
) -> Iterator[ImportResult]:
    """Mark, write and list the cases; the table comes last."""
    marks = target.dataset / IMPORTING
    for scan in scans:
        loaded = kept.pop(scan, None) or load_scan(scan)
        name, contoured = target.case(scan), loaded.labels is not None
        write_atomically(marks / name, MIRRORED if target.situs_inversus else b"")
        write_case(
            target.dataset, name, loaded.image, loaded.labels, patient=target.patient(scan), center=target.center,
            split=(target.split or scan.split) if contoured else UNLABELED, manual=loaded.manual,
            silver=loaded.silver, source=f"{target.origin} {target.public_id(scan)}".strip(), license=target.license,
            repairs=loaded.repairs, notes=loaded.notes, **loaded.attributes,
        )  # fmt: skip
        yield ImportResult(scan.path, name, (*loaded.manual, *loaded.silver), loaded.messages)
    if scans or marks.exists():
        mirrored = [name for name in cases_being_imported(target.dataset) if (marks / name).read_bytes()]
        write_index(target.dataset, center=target.center, situs_inversus=mirrored)
        shutil.rmtree(marks, ignore_errors=True)
