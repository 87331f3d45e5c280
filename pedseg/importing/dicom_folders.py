"""Which scans a folder from the archive or the planning system holds: each patient's CT with its contours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pedseg.dicom.ct_series import CtScan, Series, choose, group, read_series, table
from pedseg.dicom.deidentification import burned_in, identifiers, who
from pedseg.dicom.dicom_files import DicomFile, open_folder, reading
from pedseg.dicom.options import REPAIRS
from pedseg.dicom.rtstruct import Contours, read_rtstruct, referenced_series
from pedseg.dicom.seg import read_seg, segmented_series
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.importing.incoming import Incoming, Loaded, by_program, join
from pedseg.organ_names import map_roi_names

DRAWN = ("RTSTRUCT", "SEG")


@dataclass(frozen=True)
class ImportOptions:
    """What the user wants of an import: which series, whose names, which repairs."""

    series: str = ""
    names: Mapping[str, str] | None = None
    repairs: tuple[str, ...] = ()
    other_frame: bool = False
    empty_means_absent: bool = False


def survey_dicom(folder: Path, options: ImportOptions) -> tuple[list[Incoming], list[InputProblem]]:
    """The scans below a folder, one a patient or one a contoured series, and all that keeps others from being one."""
    files, problems = open_folder(folder)
    drawn = [file for file in files if file.kind in DRAWN]
    series = group(files)
    broken = {Path(problem.file).parent for problem in problems}  # a slice of what lies beside it may be the broken one
    found: list[Incoming] = []
    try:
        pairs, alone = _pair(series, drawn)
        problems += alone
    except PedsegInputError as error:
        return [], [*problems, *error.problems]
    for patient in sorted({file.text("PatientID") for one in series for file in one.files[:1]}):
        own = [one for one in series if one.first.text("PatientID") == patient]
        contoured = [one for one in own if one in pairs]
        try:
            chosen = contoured if contoured and not options.series else [choose(own, folder, options.series)]
        except PedsegInputError as error:
            problems += error.problems
            continue
        whole = [one for one in chosen if not broken & {file.path.parent for file in one.files}]
        others = [one for one in own if one not in chosen]
        found += [_incoming(one, pairs.get(one), options, others) for one in whole]
    if not series and not problems:
        try:
            choose(series, folder, others=files)
        except PedsegInputError as error:
            problems += error.problems
    return found, problems


def _pair(series: Sequence[Series], drawn: Iterable[DicomFile]) -> tuple[dict[Series, DicomFile], list[InputProblem]]:
    """The contours of each series: by the series they name, else by the only one in their frame of reference."""
    pairs: dict[Series, DicomFile] = {}
    problems = []
    for file in drawn:
        header = file.header("ReferencedFrameOfReferenceSequence", "ReferencedSeriesSequence")
        with reading(file.path):
            named = referenced_series(header) if file.kind == "RTSTRUCT" else segmented_series(header)
        own = [one for one in series if one.first.text("PatientID") == file.text("PatientID")]
        fitting = [one for one in own if one.uid == named]
        fitting = fitting or [one for one in own if one.first.text("FrameOfReferenceUID") == _frame(file, header)]
        fitting = fitting or own  # a wrong frame is refused when the contours are read
        if len(fitting) != 1:
            told = (
                "no CT series of this patient is here"
                if not own
                else f"{len(own)} CT series fit and it names none of them"
            )
            problems.append(
                InputProblem("E-STRUCTURES-ALONE", str(file.path), f"{told}.", "Add its CT, or take it out.")
            )
        elif fitting[0] in pairs:
            told = f"{pairs[fitting[0]].path.name} holds contours of the same CT."
            problems.append(
                InputProblem("E-STRUCTURES-TWICE", str(file.path), told, "Keep one of the two in the folder.")
            )
        else:
            pairs[fitting[0]] = file
    return pairs, problems


def _frame(file: DicomFile, header) -> str:
    items = header.get("ReferencedFrameOfReferenceSequence") or []
    return str(items[0].get("FrameOfReferenceUID") or "") if len(items) else file.text("FrameOfReferenceUID")


def _incoming(series: Series, drawn: DicomFile | None, options: ImportOptions, others: Sequence[Series]) -> Incoming:
    place = series.first.path.parent
    left = [f"left out, another series of this patient:{line[3:]}" for line in table(others)]
    patient = series.first.text("PatientID")
    return Incoming(
        place, patient or str(place), series.uid or str(place), lambda: _load(series, drawn, options, left),
        contoured=drawn is not None,
    )  # fmt: skip


def _load(series: Series, drawn: DicomFile | None, options: ImportOptions, left: Sequence[str]) -> Loaded:
    """Voxels and contours of one patient; what passes of the header is listed in `deidentify`."""
    ct = read_series(series, repairs=[word for word in options.repairs if word in REPAIRS])
    place = series.first.path
    refused = burned_in(place, ct.header)
    if refused:
        raise PedsegInputError(refused)
    with reading(place):
        secret = frozenset(identifiers(ct.header, of_the_patient=True))
    about, told = who(place, ct.header), [*ct.notes, *left]
    notes = [*ct.notes, *_unusual(about)]
    if drawn is None:
        return Loaded(ct.scan, None, (), (), about, tuple(notes), ct.repairs, tuple(told), secret)
    contours = read_drawn(drawn, ct, other_frame=options.other_frame)
    there = [name for name in contours.masks if options.empty_means_absent or name not in contours.empty]
    meaning = map_roi_names(there, options.names, drawn.path)
    empty = sorted(contours.masks.keys() - {*there})
    labels, overlaps = join(contours.masks, meaning, ct.scan, drawn.path, allowed="overlaps" in options.repairs)
    told += [*contours.notes, *meaning.lines(), *(f"empty, taken as not annotated: {name}" for name in empty)]
    manual, silver = by_program(meaning, contours.automatic)
    return Loaded(ct.scan, labels, manual, silver, about, (*notes, *overlaps), ct.repairs, (*told, *overlaps), secret)


def read_drawn(file: DicomFile, ct: CtScan, *, other_frame: bool = False) -> Contours:
    """The contours of an RTSTRUCT or a DICOM SEG on the grid of a CT."""
    read = read_rtstruct if file.kind == "RTSTRUCT" else read_seg
    return read(file.path, ct, other_frame=other_frame)


def _unusual(about: Mapping[str, object]) -> Iterator[str]:
    age = about.get("age_months")
    if isinstance(age, int) and age >= 18 * 12:
        yield "18 years or older: not a pediatric scan"
