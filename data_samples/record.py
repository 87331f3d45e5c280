"""Keep the results of a run for the notebooks: `python data_samples/record.py runs/study study`.

Copies the rows, the summary and the first seed's weights to results/NAME, where the notebooks look first. The study
is made by `python3 run.py study --seeds 3`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(run: Path, name: str) -> None:
    """Replace results/NAME by what the run has left."""
    target = HERE / "results" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    kept = [run / "cases.csv", run / "summary.json", *sorted((run / "weights").glob("seed0_*.safetensors"))]
    for file in kept:
        shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
