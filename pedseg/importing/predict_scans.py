"""Predict contours with a trained network on scans as they come: NIfTI files, or a CT in DICOM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.datasets.checks import check_hounsfield
from pedseg.datasets.loading import PADDING_HU
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.exporting import export
from pedseg.errors import InputProblem, collect_problems, input_error, raise_problems
from pedseg.learning import inference
from pedseg.learning.plans import Plan
from pedseg.scan import CONVERT_AGAIN, Scan, read_nifti, restore_axes, to_ras, write_nifti

Network = Any  # a torch module; torch itself stays in learning and federation


def predict_scan(network: Network, plan: Plan, scan: Scan, source: Path) -> Scan:
    """The label map (organ ids) of a scan on its own grid and in its own orientation; refused if it is not in HU."""
    if not np.isfinite(scan.voxels).all():
        raise input_error("E-NOT-FINITE", source, "it holds NaN or infinite voxels.", CONVERT_AGAIN)
    raise_problems(check_hounsfield(scan.voxels, source))
    ras = to_ras(scan)
    voxels = np.maximum(ras.voxels, ras.voxels.dtype.type(PADDING_HU))
    return restore_axes(inference.predict(network, Scan(voxels, ras.affine), plan), scan)


def predict_nifti(network: Network, plan: Plan, targets: Sequence[tuple[Path, Path]]) -> Iterator[str]:
    """A label map for each NIfTI scan; a scan that is refused does not keep the others from being predicted."""
    problems: list[InputProblem] = []
    for source, target in targets:
        with collect_problems(problems):
            write_nifti(target, predict_scan(network, plan, read_nifti(source), source))
            yield target.name
    raise_problems(problems)


def predict_dicom(
    network: Network, plan: Plan, folder: Path, out: Path, *, series: str = "", repairs: Sequence[str] = ()
) -> Iterator[str]:
    """Contours of the CT in a DICOM folder: a label map, or an RTSTRUCT if `out` ends in .dcm."""
    ct = read_ct(folder, wanted=series, repairs=repairs)
    yield from (*ct.notes, *ct.repairs)
    labels = predict_scan(network, plan, ct.scan, folder)
    if out.suffix == ".dcm":
        yield from export(labels, out, kind="rtstruct", ct=ct, name=folder)
    else:
        write_nifti(out if out.name.endswith(".nii.gz") else out / "contours.nii.gz", to_ras(labels))
