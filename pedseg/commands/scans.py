"""The verbs about scans and data sets: `check`, `predict`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pedseg.findings import as_table, refuse


def check(options: argparse.Namespace) -> int:
    """Check every byte of a data set, or of a folder of data sets."""
    from pedseg.patients.datasets import check_dataset

    findings = check_dataset(options.dataset)
    if findings:
        print(as_table(findings), file=sys.stderr)
        return 1
    print(f"{options.dataset}: nothing to complain about")
    return 0


def _check(own: argparse.ArgumentParser) -> None:
    own.add_argument("dataset", type=Path)


def predict(options: argparse.Namespace) -> int:
    """Draw contours on one scan, or on every NIfTI scan of a folder."""
    from tqdm import tqdm

    from pedseg.learning import prediction, training
    from pedseg.scan import Scan, like, read_nifti, to_ras, write_nifti

    net, plan = training.load_network(options.model)
    for source, target in tqdm(_targets(options.scan, options.out), unit="scan", disable=None):
        original = read_nifti(source)
        ras = to_ras(original)
        labels = prediction.predict(net, Scan(ras.voxels, ras.affine), plan)
        write_nifti(target, like(labels, original))
    print(f"contours of {len(plan.organs)} organs: {options.out}")
    return 0


def _predict(own: argparse.ArgumentParser) -> None:
    own.add_argument("scan", type=Path, help="a NIfTI file, or a folder of them")
    own.add_argument("--model", type=Path, required=True, help="weights, a .safetensors file")
    own.add_argument("--out", type=Path, required=True, help="label map (.nii.gz), or a folder")


def _targets(source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Which scan becomes which label map; one file may name its own target."""
    if source.is_dir():
        scans = sorted(source.glob("*.nii.gz")) + sorted(source.glob("*.nii"))
        if not scans:
            raise refuse(
                "E-NO-SCAN", source, "the folder holds no NIfTI scan.", "Give a .nii.gz file or a folder of them."
            )
        return [(scan, out / f"{scan.name.removesuffix('.gz').removesuffix('.nii')}.nii.gz") for scan in scans]
    if out.name.endswith(".nii.gz"):
        return [(source, out)]
    return [(source, out / f"{source.name.removesuffix('.gz').removesuffix('.nii')}.nii.gz")]


VERBS = {check: _check, predict: _predict}
