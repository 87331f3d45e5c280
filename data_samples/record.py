"""Keep the results of a run for the notebooks: `python data_samples/record.py runs/study study`.

Copies what the notebooks open, weights of the first seed only, to results/NAME. How each is made:

    study      python3 run.py study --seeds 3; python3 run.py sweep
    one_phase  python3 run.py study --one-phase --out runs/one_phase
               python3 run.py sweep --study runs/one_phase --cause "contrast phase"
    rotated    python3 run.py study --posture rotated --out runs/rotated
               python3 run.py sweep --study runs/rotated --cause "on the side; as they lie"
    noise      python data_samples/noise.py runs/noise
    superlink  python data_samples/superlink.py runs/superlink
"""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = {
    "study": ("cases.csv", "summary.json", "failures.json", "causes.csv", "causes.json", "weights/seed0_*.safetensors"),
    "one_phase": ("cases.csv", "summary.json", "causes.json"),
    "rotated": ("summary.json", "causes.csv", "causes.json"),
    "noise": ("summary.json", "noise.csv"),
    "superlink": ("summary.json", "run.log", "ledgers/*.tsv"),
}


def main(run: Path, name: str) -> None:
    """Replace results/NAME by what the run has left."""
    target = HERE / "results" / name
    files = [file for pattern in KEPT[name] for file in sorted(run.glob(pattern))]
    missing = [pattern for pattern in KEPT[name] if not any(run.glob(pattern))]
    if missing:
        sys.exit(f"{run} holds no {', '.join(missing)}: make the run whole first.")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in files:
        if file.name == "causes.csv":
            (target / "causes.csv.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        else:
            shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
