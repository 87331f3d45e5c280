"""Training one network on one data set, or on several pooled: without a federation, and without a study around it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import center_folders, is_data_set, read_checked
from pedseg.errors import input_error
from pedseg.evaluation.concurrency import Progress, StageTimer
from pedseg.evaluation.config import StudyConfig
from pedseg.evaluation.study_training import StudyTraining
from pedseg.evaluation.trained_models import Model
from pedseg.evaluation.virtual_data import CHILD_UNITS, write_datasets
from pedseg.federation.config import FederationConfig
from pedseg.learning.weights import load_weights
from pedseg.phantoms.varied import VARIED

MODEL = "model.safetensors"
VARIED_DATA = Path("runs/varied_data")
VARIED_COHORT = {"train": 300, "validation": 15, "test": 30}


def make_varied(folder: Path = VARIED_DATA) -> Iterator[Progress]:
    """Make the data set of phantoms of all ages, builds and ways of scanning; what is there is kept."""
    total, done = sum(VARIED_COHORT.values()) * CHILD_UNITS, 0
    for units in write_datasets([(VARIED, folder, VARIED_COHORT, 0)]):
        done += units
        yield Progress("virtual patients", min(done, total), total)


def train_one(data: Path, out: Path, federation: FederationConfig) -> Iterator[Progress]:
    """Train one network on all training cases under `data`; leaves `out`/model.safetensors.

    `data` is a data set or a folder of them; pooled, each adds as many steps. Profile, rounds, steps and seed are those
    that a `federation` of them would have. A call that was stopped goes on with the
    last finished round. Raises `PedsegInputError` where no case is for training.
    """
    datasets = [read_checked(folder) for folder in ([data] if is_data_set(data) else center_folders(data))]
    _refuse_empty(data, datasets)
    training = StudyTraining(datasets, out, StudyConfig(federation), StageTimer())
    model = Model("local" if len(datasets) == 1 else "centralized", training.centers, federation.seed)
    total, done = training.steps(model) * federation.rounds, 0
    for units in training.train(model):
        done += units
        yield Progress("training", done, total)
    shutil.copyfile(training.weights_file(model), out / MODEL)
    yield Progress("done", total, total)


def curve(file: Path) -> list[dict[str, float | None]]:
    """Steps, training loss and mean validation DSC after each round, from the metadata of the weights."""
    return json.loads(load_weights(file)[2]["curve"])


def _refuse_empty(data: Path, datasets: list[DataSet]) -> None:
    if not any(dataset.split("train") for dataset in datasets):
        remedy = "Change the column `split` of its cases.tsv, or leave it empty: cases are then divided by patient."
        raise input_error("E-SPLIT-EMPTY", data, "no case is for training.", remedy)
