"""Pair the CT series of a DICOM folder with their RTSTRUCT or SEG, patient by patient, and load them for an import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.dicom.ct_series import CtSeries, choose_series, group_series, read_series, series_table
from pedseg.dicom.deidentification import identifiers, refuse_burned_in_annotation, retained_attributes
from pedseg.dicom.dicom_files import DicomFile, dicom_errors, find_dicom_files
from pedseg.dicom.options import CT_REPAIRS
from pedseg.dicom.references import named_series
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.dicom.seg import read_seg
from pedseg.errors import InputProblem, PedsegInputError, collect_problems
from pedseg.importing.scan_sources import ImportOptions, LoadedScan, ScanSource, merge_masks
from pedseg.organ_names import map_roi_names

STRUCTURES = ("RTSTRUCT", "SEG")


@dataclass
class Pairing:
    """The contours of each series; series with two sets of them; by patient, contours of series that are no CT here."""

    contours: dict[CtSeries, DicomFile] = field(default_factory=dict)
    contested: set[CtSeries] = field(default_factory=set)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    problems: list[InputProblem] = field(default_factory=list)


def list_dicom_scans(folder: Path, options: ImportOptions) -> tuple[list[ScanSource], list[InputProblem]]:
    """The scans below a folder, one a patient or one a contoured series, and all that keeps others from being one."""
    files, problems = find_dicom_files(folder)
    series = group_series(files)
    broken = {Path(problem.file).parent for problem in problems}  # a slice of what lies beside it may be the broken one
    sources: list[ScanSource] = []
    try:
        pairing = _pair(series, files, options)
    except PedsegInputError as error:
        return [], [*problems, *error.problems]
    problems += pairing.problems
    if not series and not problems:
        with collect_problems(problems):
            choose_series(series, folder, others=files)
    for patient in sorted({member.patient_id for member in series}):
        own = [member for member in series if member.patient_id == patient]
        contoured = [member for member in own if member in pairing.contours]
        with collect_problems(problems):
            chosen = contoured if contoured and not options.series else [choose_series(own, folder, options.series)]
            others = [member for member in own if member not in chosen]
            left_out = [*_left_out(others, pairing), *pairing.left_out.get(patient, [])]
            for member in chosen:
                if not (broken & {file.path.parent for file in member.files} or member in pairing.contested):
                    sources.append(_source(member, pairing.contours.get(member), options, left_out))
    return sources, problems


def _left_out(others: Sequence[CtSeries], pairing: Pairing) -> Iterator[str]:
    for member, line in zip(others, series_table(others), strict=True):
        contours = pairing.contours.get(member)
        drawn = f", and its contours {contours.path.name}" if contours else ""
        yield f"left out, another series of this patient:{line[3:]}{drawn}"


def _pair(series: Sequence[CtSeries], files: Sequence[DicomFile], options: ImportOptions) -> Pairing:
    """The contours of each series: by the series they name; only if they name none, by their frame of reference."""
    pairing, here = Pairing(), {file.text("SeriesInstanceUID") for file in files}
    structures = [(file, *_references(file)) for file in files if file.kind in STRUCTURES]
    structures.sort(key=lambda entry: entry[1].isdisjoint(member.uid for member in series))  # who names a CT is first
    for file, named, frame in structures:
        own = [member for member in series if member.patient_id == file.text("PatientID")]
        fitting = [member for member in own if member.uid in named]
        elsewhere = bool(named) and not fitting and ("references" not in options.repairs or bool(named & here))
        if elsewhere and own and (named & here or not pairing.contours.keys().isdisjoint(own)):
            line = f"left out, contours of another series: {file.path.name}"
            pairing.left_out.setdefault(own[0].patient_id, []).append(line)
            continue
        fitting = fitting or [member for member in own if member.first.text("FrameOfReferenceUID") == frame]
        fitting = fitting or own  # a wrong frame is refused when the contours are read
        if elsewhere or len(fitting) != 1:
            pairing.problems.append(_unpaired(file, own, elsewhere))
        elif fitting[0] in pairing.contours:
            problem = f"it and {pairing.contours[fitting[0]].path.name} both fit one CT; nobody knows which counts."
            remedy = "Keep one of the two in the folder."
            pairing.problems.append(InputProblem("E-STRUCTURES-TWICE", str(file.path), problem, remedy))
            pairing.contested.add(fitting[0])
        else:
            pairing.contours[fitting[0]] = file
    return pairing


def _unpaired(file: DicomFile, own: Sequence[CtSeries], elsewhere: bool) -> InputProblem:
    """Contours that belong to no CT here."""
    if own and elsewhere:
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
    ct = read_series(series, repairs=[word for word in options.repairs if word in CT_REPAIRS])
    path = series.first.path
    refuse_burned_in_annotation(path, ct.header)
    with dicom_errors(path):
        secret = frozenset(identifiers(ct.header, of_the_patient=True))
    attributes = retained_attributes(path, ct.header)
    notes, messages = [*ct.notes], [*ct.notes, *left_out]
    if (attributes["age_months"] or 0) >= 18 * 12:
        notes.append("18 years or older: not a pediatric scan")
    labels, manual, silver, repairs = None, [], [], ct.repairs
    if structures is not None:
        read = read_rtstruct if structures.kind == "RTSTRUCT" else read_seg
        rois = read(
            structures.path, ct, ignore_frame_of_reference=options.ignore_frame_of_reference,
            ignore_references="references" in options.repairs,
        )  # fmt: skip
        empty = set() if options.empty_means_absent else rois.empty
        mapping = map_roi_names((name for name in rois.masks if name not in empty), options.names, structures.path)
        labels, organs, findings = merge_masks(rois.masks, mapping, ct.scan, structures.path, options.repairs)
        silver = [name for name in organs if rois.automatic & {*mapping.organs[name]}]
        manual = [name for name in organs if name not in silver]
        repairs += rois.decided
        notes += findings
        messages += [*rois.notes, *mapping.messages()]
        messages += [*(f"empty, taken as not annotated: {name}" for name in sorted(empty)), *findings]
    return LoadedScan(
        ct.scan, labels, tuple(manual), tuple(silver), attributes, tuple(notes), repairs, tuple(messages), secret
    )
