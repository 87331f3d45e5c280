"""Mean DSC for so many CPU minutes of training: the lesson, MONAI's tutorial recipe, and nnU-Net v2 by its own trainer.

    PYTHONPATH=. python -m benchmarks.convergence DATASET OUT --minutes 10 30 --method lesson tutorial nnunet

One hospital's training cases, one thread, one seed; each run has a schedule that ends with its minutes (the tutorial's
learning rate is constant). All are scored on the same test cases, on the scans' own grids, by `pedseg.metrics`. A row a
run is kept in OUT/rows.json: a run that is there is not made again. `nnunet` needs the environment of
`benchmarks/nnunet`; on the study's children its own plan has the lesson's voxels. `write_datasets` in
`pedseg.evaluation.virtual_data` makes such a data set without a study.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from benchmarks.learning import PATCH, tutorial
from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.files import write_atomically
from pedseg.learning import inference, network, training
from pedseg.learning.fingerprint import fingerprint
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.preprocessing import prepare
from pedseg.metrics import score_case
from pedseg.organs import EVALUATED, NAMES
from pedseg.scan import Scan, read_nifti, to_ras

METHODS = ("lesson", "tutorial", "nnunet")
TRIAL = 60  # steps of the lesson that are timed, the second half of them
PYTHON = "benchmarks/.venv-nnunet/bin/python"
Draw = Callable[[Scan], NDArray]


def scores(dataset: DataSet, label_map_of: Callable[[str, Scan], NDArray]) -> dict[str, float]:
    """Mean DSC over the test cases and their organs: the nine that the study evaluates, and all nineteen."""
    rows = []
    for case in dataset.split("test"):
        ct = load_image(case)
        rows += score_case(load_labels(dataset, case).voxels, label_map_of(case.name, ct), ct.spacing_mm, NAMES)
    dsc = [(row.organ, row.dsc) for row in rows if row.dsc is not None]
    nine = [value for name, value in dsc if name in EVALUATED]
    return {"dsc of 9": float(np.mean(nine)), "dsc of 19": float(np.mean([value for _, value in dsc]))}


def lesson(dataset: DataSet, plan: Plan, seconds: float) -> tuple[Draw, int, float]:
    """The lesson's network after so many CPU seconds; its steps, and the seconds that they took."""
    cases = training.load_cases(dataset, dataset.split("train"), plan)
    trial = training.train(network.build(plan), cases, plan, steps=TRIAL, total_steps=TRIAL)
    times = [time.process_time() for _ in trial]
    step = 2 * (times[-1] - times[TRIAL // 2 - 1]) / TRIAL  # the first steps prepare what all others use
    steps, net, start = int(seconds / step), network.build(plan, 0), time.process_time()
    for _ in training.train(net, cases, plan, steps=steps, total_steps=steps):
        pass
    return lambda ct: inference.predict(net, ct, plan), steps, time.process_time() - start


def monai_tutorial(dataset: DataSet, plan: Plan, seconds: float) -> tuple[Draw, int, float]:
    """The same of MONAI's tutorial recipe, on the lesson's preprocessed cases."""
    cases, start = training.load_cases(dataset, dataset.split("train"), plan), time.process_time()
    for steps, net in enumerate(tutorial(cases, plan), start=1):  # noqa: B007 - used after the loop, too
        used = time.process_time() - start
        if used > seconds:
            break
    net.eval()

    @torch.inference_mode()
    def draw(ct: Scan) -> NDArray:
        case = prepare(ct, plan)
        logits = sliding_window_inference(torch.from_numpy(case.image)[None, None], PATCH, 4, net, overlap=0.25)
        chances = torch.softmax(torch.as_tensor(logits)[0], dim=0).numpy()
        return inference.remove_small_components(inference.restore(chances, case, ct, plan), plan, ct.voxel_ml)

    return draw, steps, used


def nnunet(folder: Path, out: Path, minutes: float, options: Sequence[str] = ()) -> tuple[dict[str, float], dict]:
    """Scores and settings of nnU-Net's own trainer, which runs in an environment of its own."""
    command = [PYTHON, "benchmarks/nnunet/train.py", str(folder), str(out), "--minutes", str(minutes), *options]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": "."})
    measured = scores(read_dataset(folder), lambda name, _: to_ras(read_nifti(out / f"{name}.nii.gz")).voxels)
    return measured, json.loads((out / "run.json").read_text())


def measure(folder: Path, out: Path, method: str, minutes: float) -> dict:
    """The row of one run: CPU minutes of its training, its steps, and its scores."""
    row = {"method": method, "minutes": minutes}
    if method == "nnunet":
        measured, run = nnunet(folder, out / f"nnunet_{minutes:g}", minutes)
        return row | run | measured
    torch.set_num_threads(1)
    dataset = read_dataset(folder)
    plan = make_plan(fingerprint(dataset, dataset.split("train")), "lesson")
    learn = {"lesson": lesson, "tutorial": monai_tutorial}[method]
    draw, steps, used = learn(dataset, plan, 60 * minutes)
    return row | {"cpu_minutes": used / 60, "steps": steps} | scores(dataset, lambda _, ct: draw(ct))


def main() -> None:
    """Make the runs that are not there yet, and draw the chart."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 30, 90, 170])
    parser.add_argument("--method", nargs="+", choices=METHODS, default=METHODS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "rows.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    for minutes, method in itertools.product(options.minutes, options.method):
        if not any((row["method"], row["minutes"]) == (method, minutes) for row in rows):
            rows.append(measure(options.dataset, options.out, method, minutes))
            write_atomically(file, json.dumps(rows, indent=1).encode())
            print(rows[-1], flush=True)
    chart(rows, options.out / "convergence.png")


def chart(rows: Sequence[dict], file: Path) -> None:
    """Mean DSC against CPU minutes, a line a method: nine organs solid, nineteen dashed."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for color, (method, marker) in enumerate(zip(METHODS, "osD", strict=True)):
        mine = sorted((row for row in rows if row["method"] == method), key=lambda row: row["cpu_minutes"])
        for organs, line in (("9", "-"), ("19", "--")):
            points = [(row["cpu_minutes"], row[f"dsc of {organs}"]) for row in mine]
            if points:
                axes.plot(
                    *zip(*points, strict=True), line, marker=marker, color=f"C{color}", label=f"{method}, {organs}"
                )
    axes.set(xscale="log", xlabel="CPU minutes of training", ylabel="mean DSC on the test cases", ylim=(0, 1))
    axes.legend(title="method, organs")
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    memory.limit_heap()
    main()
