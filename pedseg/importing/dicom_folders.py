"""Pair the CT series of a DICOM folder with their RTSTRUCT or SEG, patient by patient, and load them for an import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.dicom.ct_series import INTERPOLATED, CtSeries, choose_series, group_series, read_series, series_table
from pedseg.dicom.deidentification import identifiers, refuse_burned_in_annotation, retained_attributes
from pedseg.dicom.dicom_files import DicomFile, dicom_errors, find_dicom_files
from pedseg.dicom.options import CT_REPAIRS
from pedseg.dicom.rtstruct import read_rtstruct, referenced_series
from pedseg.dicom.seg import read_seg, segmented_series
from pedseg.errors import InputProblem, PedsegInputError, collect_problems
from pedseg.importing.scan_sources import ImportOptions, LoadedScan, ScanSource, leave_out_organs_in_gaps, merge_masks
from pedseg.organ_names import map_roi_names

Pairs = dict[CtSeries, DicomFile]  # a series and its contours


def list_dicom_scans(folder: Path, options: ImportOptions) -> tuple[list[ScanSource], list[InputProblem]]:
    """The scans below a folder, one a patient or one a contoured series, and all that keeps others from being one."""
    files, problems = find_dicom_files(folder)
    series = group_series(files)
    broken = {Path(problem.file).parent for problem in problems}  # a slice of what lies beside it may be the broken one
    sources: list[ScanSource] = []
    try:
        pairs, unpaired = _pair(series, [file for file in files if file.kind in ("RTSTRUCT", "SEG")])
    except PedsegInputError as error:
        return [], [*problems, *error.problems]
    problems += unpaired
    if not series and not problems:
        with collect_problems(problems):
            choose_series(series, folder, others=files)
    twice = {problem.file for problem in unpaired if problem.code == "E-STRUCTURES-TWICE"}
    waiting = {file.text("PatientID") for file in files if str(file.path) in twice}  # the first of two must not win
    for patient in sorted({member.patient_id for member in series} - waiting):
        own = [member for member in series if member.patient_id == patient]
        contoured = [member for member in own if member in pairs]
        with collect_problems(problems):
            chosen = contoured if contoured and not options.series else [choose_series(own, folder, options.series)]
            others = [member for member in own if member not in chosen]
            whole = [member for member in chosen if not broken & {file.path.parent for file in member.files}]
            sources += [_source(member, pairs.get(member), options, others) for member in whole]
    return sources, problems


def _pair(series: Sequence[CtSeries], structures: Iterable[DicomFile]) -> tuple[Pairs, list[InputProblem]]:
    """The contours of each series: by the series they name, else by the only one in their frame of reference."""
    pairs: Pairs = {}
    problems = []
    for file in structures:
        header = file.header("ReferencedFrameOfReferenceSequence", "ReferencedSeriesSequence")
        with dicom_errors(file.path):
            named = referenced_series(header) if file.kind == "RTSTRUCT" else segmented_series(header)
        own = [member for member in series if member.patient_id == file.text("PatientID")]
        frame = _frame_of_reference(file, header)
        fitting = [member for member in own if member.uid == named]
        fitting = fitting or [member for member in own if member.first.text("FrameOfReferenceUID") == frame]
        fitting = fitting or own  # a wrong frame is refused when the contours are read
        if len(fitting) != 1:
            problem = f"{len(own)} CT series fit and it names none of them."
            problem = problem if own else "no CT series of this patient is here."
            problems.append(InputProblem("E-STRUCTURES-ALONE", str(file.path), problem, "Add its CT, or take it out."))
        elif fitting[0] in pairs:
            problem = f"{pairs[fitting[0]].path.name} holds contours of the same CT."
            remedy = "Keep one of the two in the folder."
            problems.append(InputProblem("E-STRUCTURES-TWICE", str(file.path), problem, remedy))
        else:
            pairs[fitting[0]] = file
    return pairs, problems


def _frame_of_reference(file: DicomFile, header: Any) -> str:
    items = header.get("ReferencedFrameOfReferenceSequence") or []
    return str(items[0].get("FrameOfReferenceUID") or "") if len(items) else file.text("FrameOfReferenceUID")


def _source(
    series: CtSeries, structures: DicomFile | None, options: ImportOptions, others: Sequence[CtSeries]
) -> ScanSource:
    folder = series.first.path.parent
    left_out = [f"left out, another series of this patient:{line[3:]}" for line in series_table(others)]
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
    attributes = retained_attributes(path, ct.header)
    notes, messages = [*ct.notes], [*ct.notes, *left_out]
    if (attributes["age_months"] or 0) >= 18 * 12:
        notes.append("18 years or older: not a pediatric scan")
    labels, manual, silver = None, [], []
    if structures is not None:
        read = read_rtstruct if structures.kind == "RTSTRUCT" else read_seg
        rois = read(structures.path, ct, ignore_frame_of_reference=options.ignore_frame_of_reference)
        empty = set() if options.empty_means_absent else rois.empty
        mapping = map_roi_names((name for name in rois.masks if name not in empty), options.names, structures.path)
        made = np.array(ct.uids) == INTERPOLATED
        unknown = leave_out_organs_in_gaps(rois.masks, mapping, made, structures.path) if made.any() else []
        labels, overlaps = merge_masks(rois.masks, mapping, ct.scan, structures.path, options.repairs)
        silver = [name for name, parts in mapping.organs.items() if rois.automatic & {*parts}]
        manual = [name for name in mapping.organs if name not in silver]
        notes += [*unknown, *overlaps]
        messages += [*rois.notes, *mapping.messages(), *unknown]
        messages += [*(f"empty, taken as not annotated: {name}" for name in sorted(empty)), *overlaps]
    return LoadedScan(
        ct.scan, labels, tuple(manual), tuple(silver), attributes, tuple(notes), ct.repairs, tuple(messages), secret
    )
