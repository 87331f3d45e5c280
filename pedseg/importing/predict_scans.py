"""Contours drawn by a trained network on scans as they come: NIfTI files, or a CT from the archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from pedseg.datasets.checks import why_not_hu
from pedseg.datasets.loading import PADDING_HU
from pedseg.dicom.ct_series import CtScan, read_ct
from pedseg.dicom.exporting import export
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.learning import inference
from pedseg.learning.plans import Plan
from pedseg.scan import Scan, read_nifti, restore_axes, to_ras, write_nifti


def draw(network: nn.Module, plan: Plan, scan: Scan, source: Path) -> Scan:
    """The label map (organ ids) of a scan on its own grid and in its own orientation; refused if it is not in HU."""
    if not np.isfinite(scan.voxels).all():
        raise input_error(
            "E-NOT-FINITE", source, "it holds NaN or infinite voxels.", "Convert the source again with dcm2niix."
        )
    reason = why_not_hu(scan.voxels)
    if reason:
        remedy = "Export the CT in HU (air -1000, water 0)."
        raise input_error("E-NOT-HU", source, f"the gray values are no Hounsfield units: {reason}.", remedy)
    ras = to_ras(scan)
    voxels = np.maximum(ras.voxels, ras.voxels.dtype.type(PADDING_HU))
    return restore_axes(inference.predict(network, Scan(voxels, ras.affine), plan), scan)


def draw_nifti(network: nn.Module, plan: Plan, targets: Sequence[tuple[Path, Path]]) -> Iterator[str]:
    """A label map beside each NIfTI scan; a scan that is refused does not keep the others from being drawn."""
    problems: list[InputProblem] = []
    for source, target in targets:
        try:
            write_nifti(target, draw(network, plan, read_nifti(source), source))
            yield f"{target.name}"
        except PedsegInputError as error:
            problems += error.problems
    if problems:
        raise PedsegInputError(problems)


def draw_dicom(
    network: nn.Module, plan: Plan, folder: Path, out: Path, *, series: str = "", repairs: Sequence[str] = ()
) -> Iterator[str]:
    """Contours of the CT in a DICOM folder: a label map, or an RTSTRUCT if `out` ends in .dcm."""
    ct: CtScan = read_ct(folder, wanted=series, repairs=repairs)
    yield from (*ct.notes, *ct.repairs)
    labels = draw(network, plan, ct.scan, folder)
    if out.suffix == ".dcm":
        yield from export(labels, out, kind="rtstruct", ct=ct, name=folder)
    else:
        write_nifti(out if out.name.endswith(".nii.gz") else out / "contours.nii.gz", to_ras(labels))
