"""Make the six sample children of data_samples anew: `python data_samples/make.py`.

Three phantoms a center, none of them in the study's cohorts, and MANIFEST.json with the SHA-256
of every file, age, protocol and license.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from pedseg.datasets.reading import read_dataset
from pedseg.phantoms.centers import CENTERS, in_single_phase, make_dataset, sample_patient

HERE = Path(__file__).parent
SEED = 2103  # the study's cohorts have seed 0
CASES = 3


def make(target: Path) -> list[dict[str, Any]]:
    """Write both data sets under `target`; returns the manifest's entries, one a case.

    Every child is scanned once, in its hospital's usual phase.
    """
    entries = []
    for number, center in enumerate(CENTERS.values(), start=901):
        folder = target / f"Dataset{number}_{center.name}"
        shutil.rmtree(folder, ignore_errors=True)
        usual = dataclasses.replace(in_single_phase(center), repeat_share=0.0)
        list(make_dataset(usual, folder, train=0, validation=0, test=CASES, seed=SEED))
        for index, case in enumerate(read_dataset(folder).cases):
            child, protocol = sample_patient(usual, SEED, index)
            files = {str(f.relative_to(target).as_posix()): _sha256(f) for f in (case.image_file, case.label_file) if f}
            entries.append(
                {
                    "case": case.name, "center": center.name, "age_years": child.age_years, "sex": child.sex,
                    "tumor": child.tumor, "removed_kidney": child.removed_kidney or "none",
                    "months_since_surgery": child.months_since_surgery, "protocol": protocol.name,
                    "license": "Apache-2.0", "source": "pedseg phantom; no patient was scanned", "sha256": files,
                }
            )  # fmt: skip
    return entries


def main() -> None:
    """Write both data sets and the manifest."""
    text = json.dumps({"seed": SEED, "cases": make(HERE)}, indent=1) + "\n"
    (HERE / "MANIFEST.json").write_text(text, encoding="utf-8")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
