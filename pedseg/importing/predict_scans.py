"""Predict contours with a trained network on scans as they come: NIfTI files, or a CT in DICOM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from pedseg.datasets.checks import check_hounsfield
from pedseg.datasets.loading import PADDING_HU, organs_present
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.exporting import IMPLAUSIBLE, export
from pedseg.errors import InputProblem, collect_problems, input_error, raise_problems
from pedseg.files import refuse_overwriting
from pedseg.importing.plausibility import doubts_after, doubts_before
from pedseg.learning import inference
from pedseg.learning.plans import Plan
from pedseg.scan import CONVERT_AGAIN, Scan, read_nifti, restore_axes, to_ras, write_nifti

REMEDY = "Look at the scan; to draw all the same, say --even-if-implausible, which is noted in the file."
Network = Any  # a torch module; torch itself stays in learning and federation
Header = Mapping[str, Any]  # of a DICOM slice
NO_HEADER: Header = MappingProxyType({})


def count_drawn(labels: Scan, plan: Plan) -> str:
    """How many of the organs that a network knows it has drawn, and which it has not."""
    present = organs_present(labels)
    missing = [name for name in plan.organs if name not in present]
    return f"contours of {len(present)} of {len(plan.organs)} organs" + (
        f"; none of {', '.join(missing)}" * bool(missing)
    )


def predict_plausible(
    network: Network, plan: Plan, scan: Scan, source: Path, header: Header = NO_HEADER, *,
    even_if_implausible: bool = False,
) -> tuple[Scan, str]:  # fmt: skip
    """The label map (organ ids) of a scan on its own grid, behind the gate of `plausibility`, and a note for its file.

    `header` is that of a DICOM slice.

    Raises `PedsegInputError` with all doubts, unless `even_if_implausible`: then they are a note for the file.
    """
    if not np.isfinite(scan.voxels).all():
        raise input_error("E-NOT-FINITE", source, "it holds NaN or infinite voxels.", CONVERT_AGAIN)
    if plan.intensity == "hu":
        raise_problems(check_hounsfield(scan.voxels, source))
    ras = to_ras(scan)
    if plan.intensity == "hu" and ras.voxels.min() < PADDING_HU:  # else no copy
        ras = Scan(np.maximum(ras.voxels, ras.voxels.dtype.type(PADDING_HU)), ras.affine)
    doubts = list(doubts_before(ras, plan, header))
    if not doubts or even_if_implausible:
        labels = Scan(inference.predict(network, ras, plan), ras.affine)
        doubts += doubts_after(labels, plan, header)
    text = "; ".join(doubts)
    if doubts and not even_if_implausible:
        raise input_error("E-IMPLAUSIBLE", source, f"{text}.", REMEDY)
    return restore_axes(labels.voxels, scan), f"{IMPLAUSIBLE}{text}" if doubts else ""


def predict_nifti(
    network: Network, plan: Plan, targets: Sequence[tuple[Path, Path]], *, even_if_implausible: bool = False
) -> Iterator[str]:
    """A label map for each NIfTI scan; a scan that is refused does not keep the others from being predicted."""
    problems: list[InputProblem] = []
    refuse_overwriting((target for _, target in targets), (source for source, _ in targets))
    for source, target in targets:
        with collect_problems(problems):
            scan = read_nifti(source)
            labels, note = predict_plausible(network, plan, scan, source, even_if_implausible=even_if_implausible)
            write_nifti(target, labels, note=note)
            yield from filter(None, (f"{target.name}: {count_drawn(labels, plan)}", note))
    raise_problems(problems)


def predict_dicom(
    network: Network, plan: Plan, folder: Path, out: Path, *, series: str = "", repairs: Sequence[str] = (),
    even_if_implausible: bool = False,
) -> Iterator[str]:  # fmt: skip
    """Contours of the CT in a DICOM folder: a label map, or an RTSTRUCT if `out` ends in .dcm."""
    ct = read_ct(folder, wanted=series, repairs=repairs)
    yield from (*ct.notes, *ct.repairs)
    labels, note = predict_plausible(network, plan, ct.scan, folder, ct.header, even_if_implausible=even_if_implausible)
    if out.suffix.lower() == ".dcm":
        yield from export(labels, out, kind="rtstruct", ct=ct, name=folder, description=note)
    else:
        write_nifti(out, to_ras(labels), note=note)
    yield from filter(None, (count_drawn(labels, plan), note))
