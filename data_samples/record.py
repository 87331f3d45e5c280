"""Keep the results of a run for the notebooks: `python data_samples/record.py runs/study study`.

Copies the rows, the summary, what failed, what each cause costs, and the first seed's weights to results/NAME, where
the notebooks look first. How each is made:

    study     python3 run.py study --seeds 3; python3 run.py sweep
    rotated   python3 run.py study --posture rotated --out runs/rotated
              python3 run.py sweep --study runs/rotated --cause "on the side; as they lie"
"""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(run: Path, name: str) -> None:
    """Replace results/NAME by what the run has left."""
    target = HERE / "results" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "causes.csv.gz").write_bytes(gzip.compress((run / "causes.csv").read_bytes(), mtime=0))
    kept = [run / "summary.json", run / "causes.json"]
    if name != "rotated":  # of that one only the costs are shown
        kept += [run / "cases.csv", run / "failures.json", *sorted((run / "weights").glob("seed0_*.safetensors"))]
    for file in kept:
        shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
