"""Read the contours of one scan (RTSTRUCT, SEG, or a NIfTI label map) as a map of organ ids on its own grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pedseg.datasets.loading import describe_grid, organs_present, same_grid
from pedseg.dicom.ct_series import INTERPOLATED, CtScan
from pedseg.dicom.dicom_files import read_dicom_file
from pedseg.dicom.exporting import read_label_map
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.dicom.seg import read_seg
from pedseg.errors import input_error
from pedseg.importing.scan_sources import ImportOptions, leave_out_organs_in_gaps, merge_masks
from pedseg.organ_names import map_roi_names
from pedseg.scan import Scan, is_nifti_name, restore_axes, to_ras

READERS = {"RTSTRUCT": read_rtstruct, "SEG": read_seg}


@dataclass(frozen=True)
class ContourSet:
    """The contours of one file: `labels` (organ ids, on the grid of the scan), and the `organs` that it speaks of.

    `automatic` are the organs that a program drew. `notes` may enter a data set; `messages` are for the screen only,
    as they hold the ROIs' own names. `decided` is what the user took against the file's own references.
    """

    labels: Scan
    organs: tuple[str, ...]
    automatic: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    decided: tuple[str, ...] = ()


def read_contours(file: Path, scan: CtScan | Scan, options: ImportOptions | None = None) -> ContourSet:
    """The contours in a file for this scan; of a scan that is no DICOM, a label map on its grid.

    Raises `PedsegInputError` for a file that holds no contours, or those of another scan.
    """
    file = Path(file)
    if is_nifti_name(file):
        return _read_label_map(file, scan.scan if isinstance(scan, CtScan) else scan)
    if not file.is_file():
        raise input_error("E-FILE-MISSING", file, "there is no such file.", "Check the name.")
    content = read_dicom_file(file)
    if content is None or content.kind not in READERS:
        problem = f"it is {content.kind if content else 'no DICOM file'}, and holds no contours."
        raise input_error("E-NO-CONTOURS", file, problem, "Give an RTSTRUCT, a SEG, or a label map (.nii.gz).")
    if not isinstance(scan, CtScan):
        problem = "its contours are placed on DICOM slices, and this scan is a NIfTI file."
        raise input_error("E-NO-CT", file, problem, "Open the DICOM folder of the CT.")
    return read_structures(file, content.kind, scan, options or ImportOptions())


def _read_label_map(file: Path, scan: Scan) -> ContourSet:
    labels, grid = to_ras(read_label_map(file)), to_ras(scan)
    if not same_grid(labels, grid):
        problem = f"it lies on the grid {describe_grid(labels)}, the scan on {describe_grid(grid)}."
        raise input_error("E-GEOMETRY", file, problem, "Give the scan that these contours were drawn for.")
    return ContourSet(restore_axes(labels.voxels, scan), tuple(organs_present(labels)))


def read_structures(file: Path, kind: str, ct: CtScan, options: ImportOptions) -> ContourSet:
    """The ROIs of an RTSTRUCT or a SEG (`kind`) that mean organs of the table, merged on the grid of a CT."""
    rois = READERS[kind](
        file, ct, ignore_frame_of_reference=options.ignore_frame_of_reference,
        ignore_references="references" in options.repairs,
    )  # fmt: skip
    empty = set() if options.empty_means_absent else rois.empty
    mapping = map_roi_names((name for name in rois.masks if name not in empty), options.names, file)
    made = np.array(ct.uids) == INTERPOLATED
    notes = leave_out_organs_in_gaps(rois.masks, mapping, made, file) if made.any() else []
    labels, organs, merging = merge_masks(rois.masks, mapping, ct.scan, file, options.repairs)
    notes += merging
    automatic = tuple(name for name in organs if rois.automatic & {*mapping.organs[name]})
    left_out = [f"empty, taken as not annotated: {name}" for name in sorted(empty)]
    messages = (*rois.notes, *mapping.messages(), *left_out, *notes)
    return ContourSet(labels, organs, automatic, tuple(notes), messages, rois.decided)
