"""Keep the results of a run for the notebooks: `python data_samples/record.py runs/study study`.

Copies what the notebooks open, weights of the first seed only, to results/NAME. How each is made:

    study      python3 run.py study --seeds 3; python3 run.py shift; python3 run.py failures
    evaluate   python3 run.py evaluate
    unseen     python3 run.py evaluate --study data_samples/results/study --center Delta --center Fjord --patients 90
               --seeds 1 --out runs/unseen
    evaluate_extra60  python3 run.py study --extra-patients 60 --rounds 20 --seeds 3 --out runs/extra60
               python3 run.py evaluate --study runs/extra60 --out runs/evaluate_extra60
    orientation  python3 run.py shift --seeds 3 --factor "on the side; as they lie"
               --factor "on the side; turned first" --out runs/orientation
    single_phase  python3 run.py study --single-phase --out runs/single_phase
               python3 run.py shift --study runs/single_phase --factor "contrast phase"
    single_phase_gin  python3 run.py study --single-phase --gin-probability 0.5 --out runs/single_phase_gin
    augment    python3 run.py study --orientation augment --out runs/augment
               python3 run.py shift --study runs/augment --factor "on the side; as they lie"
    fedgin     python3 run.py fedgin
    fedgin_complete  python3 run.py fedgin --scenario complete --model federated --model federated_gin
               --test-patients 40 --out runs/fedgin_complete
    fedgin_long  python3 run.py fedgin --scenario complete --rounds 80 --model federated --model federated_gin
               --test-patients 40 --out runs/fedgin_long
    methods    python3 run.py methods
    noise      python data_samples/noise.py runs/noise
    observers  python data_samples/observers.py runs/observers
    partial_labels  python data_samples/partial_labels.py runs/partial_labels 3
    robust     python3 run.py train --out runs/robust; python data_samples/robust.py runs/robust
    superlink  python data_samples/superlink.py runs/superlink
    convergence  PYTHONPATH=. python -m benchmarks.convergence DATASET runs/convergence
    capstone   python data_samples/capstone.py runs/capstone
"""

from __future__ import annotations

import json
import lzma
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pedseg.evaluation.cohort import virtual_ages
from pedseg.evaluation.config import LARGE_COHORT
from pedseg.evaluation.fairness import fairness
from pedseg.evaluation.gains import summarize_gains
from pedseg.evaluation.methods import compare_methods
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.statistics import summarize_rows
from pedseg.learning.weights import load_weights, save_weights, sha256_of
from pedseg.organs import EVALUATED

HERE = Path(__file__).parent
KEPT = {
    "study": (
        "cases.csv.xz", "summary.json", "failures.json", "causes.csv", "rescans.csv.xz", "shift.csv.xz", "shift.json",
        "weights/seed0_*.safetensors",
    ),
    "evaluate": ("cases.csv.xz", "summary.json"),
    "unseen": ("cases.csv.xz", "summary.json"),
    "evaluate_extra60": ("cases.csv.xz", "summary.json"),
    "orientation": ("shift.csv.xz", "shift.json"),
    "single_phase": ("cases.csv.xz", "summary.json", "shift.json"),
    "single_phase_gin": ("cases.csv.xz", "summary.json"),
    "augment": ("summary.json", "shift.csv.xz", "shift.json"),
    "fedgin": ("cases.csv.xz", "summary.json", "weights/complete_seed0_[fl]*.safetensors"),  # local and federated
    "fedgin_complete": ("cases.csv.xz", "summary.json"),
    "fedgin_long": ("cases.csv.xz", "summary.json"),
    "methods": ("cases.csv.xz", "summary.json"),
    "noise": ("summary.json", "noise.csv"),
    "observers": ("observers.csv.xz", "summary.json"),
    "partial_labels": ("cases.csv.xz", "summary.json"),
    "capstone": ("summary.json", "hospitals.json.xz"),
    "robust": ("cases.csv.xz", "summary.json", "model.safetensors"),
    "convergence": ("rows.json",),
    "superlink": ("summary.json", "run.log", "disclosure_logs/*.tsv"),
}  # fmt: skip

# What else their rows hold is told nowhere: of all organs, or of the evaluated nine, the DSC alone.
DSC_ALONE = ("fedgin", "fedgin_complete", "fedgin_long")
HALVED = ("fedgin", "robust")  # weights as float16
DSC_OF_NINE = ("methods", "partial_labels")
COLUMNS = ("seed", "model", "trained_on", "tested_on", "patient", "case", "organ", "present", "dsc", "scenario", "seen")


def main(run: Path, name: str) -> None:
    """Replace results/NAME by what the run has left; what ends in .xz is packed.

    Of the experiment with MR, weights of the complete scenario are kept, under the names that a study's have.
    """
    target = HERE / "results" / name
    files_by_pattern = {pattern: sorted(run.glob(pattern.removesuffix(".xz"))) for pattern in KEPT[name]}
    missing = [pattern for pattern, files in files_by_pattern.items() if not files]
    if missing:
        sys.exit(f"{run} holds no {', '.join(missing)}: make the run whole first.")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for pattern, files in files_by_pattern.items():
        for file in files:
            if pattern.endswith(".xz"):
                content = dsc_alone(file, name) if name in (*DSC_ALONE, *DSC_OF_NINE) else file.read_bytes()
                (target / f"{file.name}.xz").write_bytes(lzma.compress(content))
            elif file.suffix == ".json":
                content = json.loads(file.read_text(encoding="utf-8"))
                if file.name == "summary.json":
                    content = _recomputed(content, run / "cases.csv", name)
                (target / file.name).write_text(_packed(content), encoding="utf-8")
            elif name in HALVED:
                _write_halved(target / file.name.removeprefix("complete_"), file)
            else:
                shutil.copyfile(file, target / file.name)


def dsc_alone(file: Path, name: str) -> bytes:
    """The rows with what was measured by DSC alone, of nine organs where no other is told: a sixth of a file."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    shown = table[table["organ"].isin(EVALUATED)] if name in DSC_OF_NINE else table
    return shown[[name for name in COLUMNS if name in table]].to_csv(index=False, lineterminator="\n").encode()


def _write_halved(target: Path, file: Path) -> None:
    """Weights as float16, half as large and still finer than the bfloat16 that convolutions are computed in.

    The metadata keep the digest of the weights as they were trained, which summary.json has, too.
    """
    weights, plan, identity = load_weights(file)
    halved = {name: array.astype(np.float16) for name, array in weights.items()}
    save_weights(target, halved, plan, **identity, sha256=sha256_of(weights))


def _recomputed(summary: dict[str, Any], rows: Path, name: str) -> dict[str, Any]:
    """A summary with today's statistics of the rows: a run may be older than they are.

    Left out are statistics of rows that are not kept.
    """
    kept = any(pattern.startswith("cases.csv") for pattern in KEPT[name])
    if "statistics" in summary and kept:
        summary["statistics"] = summarize_rows(read_rows(rows))
    if "comparisons" in summary:
        summary["comparisons"] = list(compare_methods(read_rows(rows)))
    if "fairness" in summary:
        summary["fairness"] = list(fairness(read_rows(rows), virtual_ages(LARGE_COHORT["patients"])))
    if "gains" in summary:
        summary |= summarize_gains(read_rows(rows))
    return {key: value for key, value in summary.items() if kept or key != "statistics"}


def _packed(content: Any) -> str:
    """JSON with a line for each entry and six digits a number, half as large as with all digits and a line for each."""
    content = rounded(content)
    if isinstance(content, dict):
        return "{\n" + ",\n".join(f"{_line(key)}:{_line(value)}" for key, value in content.items()) + "\n}\n"
    return "[\n" + ",\n".join(map(_line, content)) + "\n]\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def rounded(content: Any) -> Any:
    """The same with six digits a number, as in cases.csv."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
