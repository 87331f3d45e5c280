"""The clinic profile on a graphics card, to a time given in minutes: `python -m benchmarks.gpu OUT --minutes 12`.

Local, federated and centralized networks by nnU-Net's recipe on the virtual hospitals' children at 1 × 1 × 2 mm, each
hospital's network tested next door, too. Where the environment of `benchmarks/nnunet` is there (with a torch for the
card), nnU-Net's own trainer learns from the first hospital's cases for as long as that hospital's network took.
Children and preprocessing are not in the minutes. OUT gets all that a study leaves (`cases.csv`, `summary.json`,
`report.html`, weights) and `gpu.json`: the card, its mean use in percent by stage, as `nvidia-smi` tells it every
second, and the table. The same call goes on where an earlier one stopped.

`--toy` tries all of it on any machine: few children in coarse voxels, a narrow network, and a few steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.convergence import PYTHON, nnunet
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_centers
from pedseg.errors import PedsegInputError, as_table, input_error
from pedseg.evaluation.concurrency import Progress
from pedseg.evaluation.config import StudyConfig
from pedseg.evaluation.cross_site import matrix
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.study import run_study
from pedseg.evaluation.virtual_data import data_folder
from pedseg.federation.config import FederationConfig
from pedseg.files import write_atomically
from pedseg.learning import devices
from pedseg.workbook import lesson
from pedseg.workbook.report import write_report

ROUNDS, TRAINED = 10, 4  # rounds of the federation; networks of the study: two local, one federated, one centralized
QUERY = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]


class GpuUse:
    """Percent of the time in which the card computed, by stage; asked once a second in a thread."""

    def __init__(self) -> None:
        self.stage, self.percent = "", defaultdict[str, list[float]](list)
        self._stop = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while torch.cuda.is_available() and not self._stop.wait(1):
            output = subprocess.run(QUERY, capture_output=True, text=True, check=True).stdout
            self.percent[self.stage].append(float(output.splitlines()[0]))

    def watch(self, progress: Iterator[Progress]) -> None:
        """Go through a run, with a line for each stage that begins."""
        for tick in progress:
            if tick.stage != self.stage:
                self.stage = tick.stage
                print(f"{tick.done}/{tick.total}  {tick.stage}", flush=True)
        self._stop.set()

    def means(self) -> dict[str, float]:
        """Mean percent by stage."""
        return {stage: round(fmean(values), 1) for stage, values in self.percent.items()}


def configuration(minutes: int, *, toy: bool) -> StudyConfig:
    """The study whose training and tests fit the minutes; a fifth of them is nnU-Net's where it runs, too."""
    if toy:
        return StudyConfig(FederationConfig(profile="clinic", rounds=1, local_steps=2), filters=4)
    share = TRAINED / (TRAINED + 1) if Path(PYTHON).exists() else 1.0
    federation = FederationConfig(profile="clinic", rounds=ROUNDS)
    return StudyConfig(federation, resolution="clinic", minutes=max(1, round(share * minutes)))


def peer(dataset: DataSet, out: Path, minutes: float, *, toy: bool) -> dict[str, object]:
    """nnU-Net's own trainer on one hospital's cases for so many minutes: its scores there, and its settings."""
    file = out / "nnunet.json"
    if not file.exists():
        options = ["--device", devices.fastest_device().type, *(["--spacing", "5", "5", "6"] if toy else [])]
        scores, run = nnunet(dataset.folder, out / "nnunet", minutes, options)
        write_atomically(file, json.dumps(run | scores, indent=1).encode())
    return json.loads(file.read_text())


def measure(out: Path, minutes: int, *, toy: bool) -> None:
    """Train, test, and write; on a machine without a card refused unless it is a toy."""
    if not (toy or torch.cuda.is_available()):
        problem = f"torch {torch.__version__} sees no CUDA device."
        remedy = "Install the torch of your card (https://pytorch.org/get-started), or try it with --toy."
        raise input_error("E-NO-GPU", "bench --gpu", problem, remedy)
    config, use = configuration(minutes, toy=toy), GpuUse()
    data = lesson.few_children() if toy else None
    use.watch(run_study(data, out, config))
    summary = json.loads((out / "summary.json").read_text())
    own = next(seconds["wall"] for stage, seconds in summary["seconds"].items() if stage.startswith("training: local"))
    results = {"device": devices.processor(), "minutes": minutes, "percent": use.means()}
    if Path(PYTHON).exists():
        results["nnunet"] = peer(read_centers(data or data_folder(config))[0], out, own / 60, toy=toy)
    write_atomically(out / "gpu.json", json.dumps(results, indent=1).encode())
    print(matrix(read_rows(out / "cases.csv")).to_string(), json.dumps(results, indent=1), sep="\n")
    print(f"report: {write_report(out)}")


def main() -> int:
    """Measure, or say why not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=int, default=12)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    try:
        measure(options.out, options.minutes, toy=options.toy)
    except PedsegInputError as error:
        print(as_table(error.problems), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
