"""Pair the CT series of a DICOM folder with their RTSTRUCT or SEG, patient by patient, and load them for an import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pedseg.dicom.ct_series import CtScan, CtSeries, choose_series, group_series, read_series, series_table
from pedseg.dicom.deidentification import ages_disagree, identifiers, refuse_burned_in_annotation, retained_attributes
from pedseg.dicom.dicom_files import DicomFile, dicom_errors, find_dicom_files
from pedseg.dicom.options import CT_REPAIRS
from pedseg.dicom.references import named_series
from pedseg.errors import InputProblem, PedsegInputError, collect_problems
from pedseg.importing.contour_sets import read_structures
from pedseg.importing.scan_sources import ImportOptions, LoadedScan, ScanSource

Pairs = dict[CtSeries, list[DicomFile]]  # a series and its contours; of more than one file none counts


def list_dicom_scans(folder: Path, options: ImportOptions) -> tuple[list[ScanSource], list[InputProblem], list[str]]:
    """The scans below a folder, one of a patient or of a contoured series; what is wrong with others, and left out."""
    files, problems = find_dicom_files(folder)
    series = group_series(files)
    broken = {Path(problem.file).parent for problem in problems}  # a slice of what lies beside it may be the broken one
    sources: list[ScanSource] = []
    try:
        pairs, foreign, unpaired = _pair(series, files, options)
    except PedsegInputError as error:
        return [], [*problems, *error.problems], []
    problems += unpaired
    if not series and not problems:
        with collect_problems(problems):
            choose_series(series, folder, others=files)
    for patient in sorted({member.patient_id for member in series}):
        own = [member for member in series if member.patient_id == patient]
        contoured = [member for member in own if member in pairs]
        with collect_problems(problems):
            chosen = contoured if contoured and not options.series else [choose_series(own, folder, options.series)]
            others = [member for member in own if member not in chosen]
            left_out = [f"left out, another series of this patient:{line[3:]}" for line in series_table(others)]
            left_out += [f"left out with it: {file.path.name}" for member in others for file in pairs.get(member, [])]
            for member in chosen:
                structures = pairs.get(member, [])
                if len(structures) < 2 and not broken & {file.path.parent for file in member.files}:
                    sources.append(
                        _source(member, next(iter(structures), None), options, left_out + foreign.get(patient, []))
                    )
    return sources, problems, _without_ct(files, {member.patient_id for member in series})


def _without_ct(files: Sequence[DicomFile], patients: set[str]) -> list[str]:
    """A line for the images of patients of whom there is no CT series."""
    others = [file for file in files if file.text("PatientID") not in patients and file.kind not in ("RTSTRUCT", "SEG")]
    kinds = ", ".join(sorted({file.kind for file in others}))
    return [f"{len(others)} file(s) of patients without a CT: {kinds}"] if others else []


def _pair(
    series: Sequence[CtSeries], files: Sequence[DicomFile], options: ImportOptions
) -> tuple[Pairs, dict[str, list[str]], list[InputProblem]]:
    """The contours of each series: by the series they name; only if they name none, by their frame of reference.

    Also, by patient, a line for contours of other series that are left out; and the problems of those that fit nowhere.
    """
    pairs: Pairs = {}
    foreign: dict[str, list[str]] = {}
    problems = []
    here, cts = ({member.text("SeriesInstanceUID") for member in files}, {member.uid for member in series})
    structures = [(file, *_references(file)) for file in files if file.kind in ("RTSTRUCT", "SEG")]
    for file, named, frame in sorted(structures, key=lambda entry: entry[1].isdisjoint(cts)):  # who names a CT is first
        own = [member for member in series if member.patient_id == file.text("PatientID")]
        fitting = [member for member in own if member.uid in named]
        elsewhere = bool(own and named and not fitting)
        if elsewhere and (named & here or not pairs.keys().isdisjoint(own)):
            line = f"left out, contours of another series: {file.path.name}"
            foreign.setdefault(own[0].patient_id, []).append(line)
            continue
        fitting = fitting or [member for member in own if member.first.text("FrameOfReferenceUID") == frame]
        fitting = fitting or own  # a wrong frame is refused when the contours are read
        if len(fitting) == 1 and (not elsewhere or "references" in options.repairs):
            pairs.setdefault(fitting[0], []).append(file)
        else:
            problems.append(_unpaired(file, own, elsewhere))
    for first, *others in pairs.values():
        problem = f"it and {first.path.name} both fit one CT; nobody knows which counts."
        remedy = "Keep one of the two in the folder."
        problems += [InputProblem("E-STRUCTURES-TWICE", str(file.path), problem, remedy) for file in others]
    return pairs, foreign, problems


def _unpaired(file: DicomFile, own: Sequence[CtSeries], elsewhere: bool) -> InputProblem:
    """Why contours belong to none of the CT series of their patient."""
    if elsewhere:
        remedy = "Add that series, or take the file out; if it fits this CT, ask for the repair `references`."
        return InputProblem("E-STRUCTURES-SERIES", str(file.path), "it was drawn on a series that is not here.", remedy)
    problem = f"{len(own)} CT series fit and it names none of them." if own else "no CT series of this patient is here."
    return InputProblem("E-STRUCTURES-ALONE", str(file.path), problem, "Add its CT, or take it out.")


def _references(file: DicomFile) -> tuple[set[str], str]:
    """The series that contours name, and their frame of reference."""
    header = file.header("ReferencedFrameOfReferenceSequence", "ReferencedSeriesSequence")
    with dicom_errors(file.path):
        items = header.get("ReferencedFrameOfReferenceSequence") or []
        frame = str(items[0].get("FrameOfReferenceUID") or "") if items else file.text("FrameOfReferenceUID")
        return named_series(header), frame


def _source(
    series: CtSeries, structures: DicomFile | None, options: ImportOptions, left_out: Sequence[str]
) -> ScanSource:
    folder = series.first.path.parent
    identity = series.patient_id or str(folder), series.uid or str(folder)
    return ScanSource(
        folder, *identity, lambda: _load(series, structures, options, left_out), contoured=structures is not None
    )


def _load(
    series: CtSeries, structures: DicomFile | None, options: ImportOptions, left_out: Sequence[str]
) -> LoadedScan:
    """Voxels and contours of one patient; what passes of the header is listed in `deidentification`."""
    refuse_burned_in_annotation(series.files)
    ct = read_series(series, repairs=[word for word in options.repairs if word in CT_REPAIRS])
    path = series.first.path
    with dicom_errors(path):
        secret = frozenset(identifiers(ct.header, of_the_patient=True))
        unsure = ages_disagree(ct.header)
    attributes, notes = retained_attributes(path, ct.header), [*ct.notes]
    if unsure:
        notes.append("birth date and stated age differ by more than two years: no age is kept")
    if (attributes["age_months"] or 0) >= 18 * 12:
        notes.append("18 years or older: not a pediatric scan")
    messages = [*notes, *left_out]
    loaded = LoadedScan(
        ct.scan, None, attributes=attributes, notes=tuple(notes), repairs=ct.repairs, messages=tuple(messages),
        secret=secret,
    )  # fmt: skip
    return loaded if structures is None else _with_contours(loaded, structures, ct, options)


def _with_contours(loaded: LoadedScan, structures: DicomFile, ct: CtScan, options: ImportOptions) -> LoadedScan:
    """The same scan with its contours: by organ, and who drew them."""
    contours = read_structures(structures.path, structures.kind, ct, options)
    manual = tuple(name for name in contours.organs if name not in contours.automatic)
    return replace(
        loaded, labels=contours.labels, manual=manual, silver=contours.automatic,
        notes=(*loaded.notes, *contours.notes), repairs=loaded.repairs + contours.decided,
        messages=(*loaded.messages, *contours.messages),
    )  # fmt: skip
