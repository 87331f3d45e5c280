"""How the robust network does on people it has not met: `python data_samples/robust.py runs/robust`.

The folder holds `model.safetensors` of `python3 run.py train --out runs/robust`. Four collections of fifteen people,
each of one kind, are made with another seed than its training data. The study's federated network (seed 0) meets them.
Leaves the data sets in `data`, and beside them `cases.csv` and `summary.json`, as `score` does.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from pathlib import Path

from pedseg.evaluation.cross_site import by_organ, matrix, score_models
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.virtual_data import write_datasets
from pedseg.phantoms.varied import ADULTS, CHILDREN, OBESE, PARTS

SEED, PATIENTS = 7, 15
FEDERATED = Path(__file__).parent / "results" / "study" / "seed0_federated.safetensors"


def main(out: Path) -> None:
    """Make the collections and score both networks."""
    counts = {"train": 0, "validation": 0, "test": PATIENTS}
    kinds = enumerate((CHILDREN, ADULTS, OBESE, PARTS), 910)
    jobs = [(center, out / "data" / f"Dataset{number}_{center.name}", counts, SEED) for number, center in kinds]
    deque(write_datasets(jobs), maxlen=0)
    deque(score_models([out / "model.safetensors", FEDERATED], out / "data", out), maxlen=0)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    summary["command"] = f"python data_samples/robust.py {out.as_posix()}"
    (out / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    rows = read_rows(out / "cases.csv")
    print(matrix(rows).to_string(), by_organ(rows).to_string(), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
