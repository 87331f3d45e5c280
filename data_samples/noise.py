"""What noise does to whole trainings of 2, 5 and 20 hospitals: `python data_samples/noise.py runs/noise`.

Takes the virtual children of the study (`runs/data`, made by `python3 run.py`), three for each hospital, on voxels of
8 mm and with the seven largest organs alone, so that 27 trainings fit into half an hour of one core. Each
center clips its updates and adds its noise before they leave, as `pedseg federate --noise-multiplier` does.
Leaves noise.csv and summary.json; what is there is kept, and an interrupted run goes on. Noise comes from the
system and is another one each time, so that a repetition gives the same picture and not the same digits.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.datasets.writing import write_case, write_index
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.privacy.differential_privacy import DELTA, epsilon
from pedseg.federation.rounds import train_rounds
from pedseg.files import write_atomically
from pedseg.learning.inference import mean_dice
from pedseg.learning.network import build
from pedseg.learning.training import load_cases
from pedseg.learning.weights import set_weights
from pedseg.organs import organ
from pedseg.scan import Scan, resample

SOURCE = Path("runs/data")
ORGANS = ("Liver", "Spleen", "Kidney_L", "Kidney_R", "Lung_L", "Lung_R", "Heart")
VOXEL_MM = 8.0
HOSPITALS, CHILDREN, WATCHED = (2, 5, 20), 3, 4  # hospitals; training children of each; validation children a center
ROUNDS, STEPS = 10, 20
CLIPPING_NORM = 12.0  # about the L2 norm of an update without noise
NOISES = (0.0, 0.01, 0.003)  # the ends first
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Row:
    """One whole training: hospitals, noise as a multiple of the bound, seed, mean DSC after the last round, epsilon."""

    hospitals: int
    noise_multiplier: float
    seed: int
    dsc: float
    epsilon: float


def coarse(dataset: DataSet, case: Case) -> tuple[Scan, Scan]:
    """A child's scan and label map on large voxels, with the large organs alone."""
    image = resample(load_image(case), (VOXEL_MM,) * 3)
    labels = resample(load_labels(dataset, case), (VOXEL_MM,) * 3, order=0)
    kept = np.isin(labels.voxels, [organ(name).id for name in ORGANS])
    return image, Scan(np.where(kept, labels.voxels, 0).astype(np.uint8), labels.affine)


def make_hospitals(out: Path) -> Path:
    """Twenty small hospitals from the children of the two virtual centers, by turns, and the watched children."""
    centers = [read_dataset(folder) for folder in sorted(SOURCE.iterdir()) if (folder / "cases.tsv").exists()]
    children = [(center, iter(one_scan_each(center.split("train")))) for center in centers]
    for number in range(max(HOSPITALS)):
        center, cases = children[number % len(children)]
        write_hospital(out / "hospitals" / f"H{number:02d}", [(center, next(cases)) for _ in range(CHILDREN)], "train")
    watched = [(center, case) for center in centers for case in center.split("validation")[:WATCHED]]
    write_hospital(out / "watched" / "W", watched, "validation")
    return out / "hospitals"


def one_scan_each(cases: Sequence[Case]) -> list[Case]:
    """The first scan of each child."""
    return list({case.patient: case for case in reversed(cases)}.values())[::-1]


def write_hospital(folder: Path, children: list[tuple[DataSet, Case]], split: str) -> None:
    """A data set of some children, unless it is there."""
    if (folder / "cases.tsv").exists():
        return
    for center, case in children:
        image, labels = coarse(center, case)
        about = {"patient": case.patient, "center": folder.name, "split": split, "manual": ORGANS}
        write_case(folder, case.name, image, labels, **about)  # type: ignore[arg-type]
    write_index(folder, center=folder.name)


def training(data: Path, watched: DataSet, hospitals: int, noise: float, seed: int) -> Row:
    """One federation from its first network to its last round."""
    schedule = {"rounds": ROUNDS, "local_steps": STEPS, "seed": seed}
    config = FederationConfig(out=None, clipping_norm=CLIPPING_NORM, noise_multiplier=noise, **schedule)
    nodes = [{"data-dir": str(data / f"H{number:02d}")} for number in range(hospitals)]
    *_, last = train_rounds(InProcessGrid(app, nodes, config.to_run_config(), workers=1), config)
    network = build(last.plan)
    set_weights(network, last.weights)
    dsc = mean_dice(network, load_cases(watched, watched.cases, last.plan), last.plan)
    return Row(hospitals, noise, seed, dsc, epsilon(noise, ROUNDS))


def rows_in(file: Path) -> list[Row]:
    """The trainings that were finished before."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as table:
        return [
            Row(int(r["hospitals"]), float(r["noise_multiplier"]), int(r["seed"]), float(r["dsc"]), float(r["epsilon"]))
            for r in csv.DictReader(table)
        ]


def play(out: Path) -> Iterator[Row]:
    """All trainings that are missing, one row each; the table is whole after each."""
    data, rows = make_hospitals(out), rows_in(out / "noise.csv")
    watched = read_dataset(out / "watched" / "W")
    done = {(row.hospitals, row.noise_multiplier, row.seed) for row in rows}
    for hospitals, noise, seed in itertools.product(HOSPITALS, NOISES, SEEDS):
        if (hospitals, noise, seed) not in done:
            rows.append(training(data, watched, hospitals, noise, seed))
            lines = [[field.name for field in fields(Row)], *map(astuple, sorted(rows, key=astuple))]
            write_atomically(out / "noise.csv", "".join(",".join(map(str, line)) + "\n" for line in lines).encode())
            yield rows[-1]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    settings = {
        "command": "python data_samples/noise.py runs/noise", "rounds": ROUNDS, "local_steps": STEPS,
        "clipping_norm": CLIPPING_NORM,
        "children_a_hospital": CHILDREN, "voxel_mm": VOXEL_MM, "organs": ORGANS, "seeds": SEEDS, "delta": DELTA,
    }  # fmt: skip
    write_atomically(place / "summary.json", json.dumps(settings, indent=1).encode())
    for row in play(place):
        print(row, flush=True)
