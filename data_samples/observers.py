"""What two people would reach on the study's test children: `python data_samples/observers.py runs/observers`.

Four invented observers (`pedseg/phantoms/observers.py`) contour the 66 test scans of the study, which are made anew; no
data are needed. Their contours are compared in pairs, and the networks of `results/study` and `results/evaluate` stand
beside them. Leaves observers.csv and summary.json, the same each time.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pedseg.evaluation.observer_band import band, beside_the_band, compare_observers
from pedseg.evaluation.results import Results, read_rows
from pedseg.evaluation.scoring import labeled_scan
from pedseg.files import write_atomically
from pedseg.phantoms.centers import CENTERS, COHORT, planned_scans
from pedseg.phantoms.observers import OBSERVERS

RECORDED = Path(__file__).parent / "results"
NETWORKS = {"study": "study/cases.csv.xz", "evaluate": "evaluate/cases.csv.xz"}
DIGITS = {"dsc": 3, "hd95_mm": 1, "msd_mm": 2, "nsd": 3}


def play(out: Path) -> None:
    """Contour all scans, compare, and write the two files."""
    planned = [
        (center, scan)
        for center in CENTERS.values()
        for scan in planned_scans(center, **COHORT)
        if scan.split == "test"
    ]
    tables = []
    for number, scan_rows in enumerate(compare_observers(labeled_scan(*pair) for pair in planned), 1):
        tables.append(scan_rows.round(DIGITS))
        print(f"{number} of {len(planned)} scans", flush=True)
    rows = pd.concat(tables, ignore_index=True)
    write_atomically(out / "observers.csv", rows.to_csv(index=False, lineterminator="\n").encode())
    write_atomically(out / "summary.json", json.dumps(summarize(rows), indent=1).encode())


def summarize(rows: pd.DataFrame) -> dict[str, Any]:
    """Who contoured, the band of every organ, and the recorded networks beside that of the evaluated ones."""
    return {
        "command": "python data_samples/observers.py runs/observers",
        "observers": [asdict(person) for person in OBSERVERS],
        "scans": int(rows["case"].nunique()),
        "band": band(rows).to_dict("records"),
        "networks": {
            name: beside_the_band(rows, Results(read_rows(RECORDED / file))) for name, file in NETWORKS.items()
        },
    }


if __name__ == "__main__":
    play(Path(sys.argv[1]))
