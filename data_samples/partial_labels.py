"""What it costs when hospitals draw different organs: `python data_samples/partial_labels.py runs/partial_labels`.

Takes the virtual children of the study (`runs/data`, made by `python3 run.py`) on voxels of 5 mm. Of the nine evaluated
organs both hospitals draw the liver, each draws four others, and no one draws all. Four federations, three seeds (or as
many as a second word says):

    naive      each hospital says that it drew all nine: what it did not draw counts as background
    marginal   the organs that nobody drew are unknown, and the loss knows that (Shi et al. 2021)
    head       the same, and an organ's rows of the last layer are averaged over those that draw it
    complete   both hospitals draw all nine, as far as that is from the others

Tested on the study's test children, all nine organs. Leaves cases.csv and summary.json; what is there is kept.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import pandas as pd

from pedseg.datasets.cases import DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.datasets.writing import write_case, write_index
from pedseg.evaluation.comparisons import bootstrap_interval
from pedseg.evaluation.results import ModelKey, Results, read_rows, row_means, write_rows
from pedseg.evaluation.scoring import load_labeled_scans, score
from pedseg.evaluation.trained_models import TrainedModel
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.starting_point import merged_plan
from pedseg.files import write_atomically
from pedseg.learning.fingerprint import fingerprint
from pedseg.learning.network import build
from pedseg.learning.weights import set_weights
from pedseg.organs import EVALUATED, organ
from pedseg.scan import Scan

SOURCE = Path("runs/data")
DRAWN = {
    "Polder": ("Liver", "Spleen", "Lung_L", "Lung_R", "Bowel^Stomach"),
    "Neckar": ("Liver", "Kidney_L", "Kidney_R", "Pancreas", "Heart"),
}
METHODS = {"naive": ("naive", "all"), "marginal": ("partial", "all"), "head": ("partial", "annotating")}
METHODS["complete"] = ("complete", "all")  # which data sets, and how the last layer is averaged
VOXEL_MM = 5.0


def write_hospitals(centers: list[DataSet], folder: Path, kind: str) -> list[DataSet]:
    """The training children of both hospitals, with the contours that are drawn and those that are said to be."""
    made = []
    for number, center in enumerate(centers, 901):
        target = folder / f"Dataset{number}_{center.center}"
        annotated = EVALUATED if kind == "complete" else DRAWN[center.center]
        for case in center.split("train") if not (target / "dataset.json").exists() else ():
            image, labels = load_image(case), load_labels(center, case)
            kept = np.where(np.isin(labels.voxels, [organ(name).id for name in annotated]), labels.voxels, 0)
            about = {"patient": case.patient, "center": center.center, "split": "train"}
            said = annotated if kind == "partial" else EVALUATED
            write_case(target, case.name, image, Scan(kept.astype(np.uint8), labels.affine), manual=said, **about)
        write_index(target, center=center.center)
        made.append(read_dataset(target))
    return made


def trained(centers: list[DataSet], method: str, seed: int) -> TrainedModel:
    """One federation from its first network to its last round."""
    config = FederationConfig(out=None, seed=seed, head_average=METHODS[method][1], max_norm_ratio=0.0)
    prints = [fingerprint(center, center.split("train")) for center in centers]
    plan = replace(merged_plan(prints, config), spacing_mm=(VOXEL_MM,) * 3)
    nodes = [{"data-dir": str(center.folder)} for center in centers]
    *_, last = train_rounds(InProcessGrid(app, nodes, config.to_run_config()), config, plan=plan)
    network = build(plan)
    set_weights(network, last.weights)
    return TrainedModel(network, plan, ModelKey(method, "+".join(center.center for center in centers)), seed)


def organs_of(center: str) -> dict[str, list[str]]:
    """The evaluated organs by who draws them, from this center's side."""
    (other,) = DRAWN.keys() - {center}
    return {
        "only the other": [name for name in DRAWN[other] if name not in DRAWN[center]],
        "only this": [name for name in DRAWN[center] if name not in DRAWN[other]],
        "both": [name for name in DRAWN[center] if name in DRAWN[other]],
    }


def means(results: Results) -> Iterator[dict]:
    """Mean DSC of each federation by test center and who draws the organs, with the interval over patients."""
    for key in (_key(results, method) for method in METHODS):
        for center in results.centers:
            for drawn_by, organs in organs_of(center).items():
                mean = results.organ_mean(key.at(center), "dsc", organs)
                yield {"method": key.model, "tested_on": center, "drawn_by": drawn_by, **vars(mean)}


def differences(results: Results) -> Iterator[dict]:
    """What each step gains over the one before it: mean paired difference over patients, with its interval."""
    for first, second in (("marginal", "naive"), ("head", "marginal"), ("complete", "head")):
        for center in results.centers:
            for drawn_by, organs in organs_of(center).items():
                sides = [
                    results.patient_means(_key(results, method).at(center), "dsc", organs) for method in (first, second)
                ]
                gain = (row_means(sides[0]) - row_means(sides[1])).dropna().to_numpy()
                low, high = bootstrap_interval(gain, np.mean) or (None, None)
                who = {"first": first, "second": second, "tested_on": center, "drawn_by": drawn_by}
                yield {**who, "difference": float(gain.mean()), "low": low, "high": high}


def _key(results: Results, method: str) -> ModelKey:
    return next(key for key in results.model_keys if key.model == method)


def play(out: Path, seeds: int) -> Iterator[str]:
    """All trainings that are missing, a line each."""
    centers = [read_dataset(folder) for folder in sorted(SOURCE.iterdir()) if (folder / "cases.tsv").exists()]
    parts = []
    for seed in range(seeds):
        for method, (kind, _) in METHODS.items():
            file = out / "work" / f"{method}_{seed}.csv"
            if not file.exists():
                model = trained(write_hospitals(centers, out / "data" / kind, kind), method, seed)
                write_rows(file, score(model, load_labeled_scans(*centers)))
            parts.append(read_rows(file))
            yield f"seed {seed}, {method}: mean DSC {parts[-1]['dsc'].mean():.3f}"
    rows = pd.concat(parts, ignore_index=True)
    write_rows(out / "cases.csv", rows)
    results = Results(rows)
    summary = {
        "command": f"python data_samples/partial_labels.py runs/partial_labels {seeds}", "voxel_mm": VOXEL_MM,
        "drawn": DRAWN, "means": list(means(results)), "differences": list(differences(results)),
    }  # fmt: skip
    write_atomically(out / "summary.json", json.dumps(summary, indent=1).encode())


if __name__ == "__main__":
    for line in play(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3):
        print(line, flush=True)
