"""Cross-site evaluation: any trained models on the test cases of any centers, with the statistics of a study.

After a federation a hospital asks how good the model is at home: beside its own, and beside those of other rounds. With
the data sets of several centers it is the matrix of models by centers that papers print.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import center_folders, is_data_set, read_checked
from pedseg.errors import input_error
from pedseg.evaluation.fairness import ages_of, fairness
from pedseg.evaluation.reporting import write_results
from pedseg.evaluation.results import OrganMean, Results, read_rows
from pedseg.evaluation.scoring import score_center
from pedseg.evaluation.statistics import summarize_rows
from pedseg.evaluation.trained_models import TrainedModel, load_model, models_digest
from pedseg.organs import NAMES


def score_models(
    files: Sequence[Path], data: Path, out: Path, *, kept: Path | None = None
) -> Iterator[tuple[int, int]]:
    """Score the models of some weights files on the test cases under `data`; yields (scans done, scans in all).

    `data` is a data set or a folder of data sets. Leaves `cases.csv` and `summary.json` in `out`, as a study does; what
    an earlier call with the same weights and files has finished is not run again. In a folder `kept` stay one scan of
    each center and its contours, for pictures. Raises `PedsegInputError` without test cases, and for two files that
    hold the same model of the same seed.
    """
    datasets, models = _test_sets(data), _different_models(files)
    total, done = len(models) * sum(len(dataset.split("test")) for dataset in datasets), 0
    parts = []
    for model in models:
        for dataset in datasets:
            states = [dataset.state_of(case) for case in dataset.split("test")]
            file = out / "work" / f"{models_digest([model], dataset.center, states)}.csv"
            for _ in score_center(model, dataset, file, kept=kept):
                done += 1
                yield done, total
            parts.append(read_rows(file))
    rows = pd.concat(parts, ignore_index=True)
    weights = {f"seed{model.seed}_{model.key.file_name}": file for model, file in zip(models, files, strict=True)}
    counts = {dataset.center: {"test": len(dataset.split("test"))} for dataset in datasets}
    plan, statistics = json.loads(models[0].plan.to_json()), summarize_rows(rows)
    content = {"plan": plan, "left_out": [], "statistics": statistics}
    content["fairness"] = list(fairness(rows, ages_of(datasets)))
    write_results(out, rows, weights, mode=0o600, data=counts, **content)


def matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Models by centers: the mean DSC over the evaluated organs with its 95 % interval, as text."""
    results = Results(rows)
    organs = results.evaluated or results.organs
    return pd.DataFrame(
        {
            f"patients of {center}": {
                str(key): _as_text(results.organ_mean(key.at(center), "dsc", organs)) for key in results.model_keys
            }
            for center in results.centers
        }
    ).rename_axis(f"mean DSC, {len(organs)} organs", axis="columns")


def by_organ(rows: pd.DataFrame) -> pd.DataFrame:
    """Organs by models: patients who have the organ, and their mean DSC, HD95 (mm) and NSD; repeated scans count once.

    Unlike in the mean over organs, what nobody has drawn is not in the table at all.
    """
    present = rows[rows["present"]]
    measures = ["dsc", "hd95_mm", "nsd"]
    patients = present.groupby(["model", "trained_on", "organ", "tested_on", "patient"])[measures].mean()
    means = patients.groupby(level=[0, 1, 2]).mean().assign(patients=patients.groupby(level=[0, 1, 2]).size())
    columns = {
        str(key): means.loc[(key.model, key.trained_on)][["patients", *measures]] for key in Results(present).model_keys
    }
    table = pd.concat(columns, axis="columns").reindex([name for name in NAMES if name in set(present["organ"])])
    return table.round({(name, measure): 3 - 2 * (measure == "hd95_mm") for name in columns for measure in measures})


def _as_text(mean: OrganMean) -> str:
    if mean.mean is None:
        return ""
    interval = "" if mean.low is None else f" ({mean.low:.3f} to {mean.high:.3f})"
    return f"{mean.mean:.3f}{interval}"


def _test_sets(data: Path) -> list[DataSet]:
    """The data sets under a folder that hold test cases with contours."""
    datasets = [read_checked(folder, few=True) for folder in ([data] if is_data_set(data) else center_folders(data))]
    if empty := [dataset.center for dataset in datasets if not dataset.split("test")]:
        remedy = "Give some labeled cases the split test in cases.tsv, or leave the split empty."
        raise input_error("E-NO-TEST", data, f"no test case in {', '.join(empty)}.", remedy)
    return datasets


def _different_models(files: Sequence[Path]) -> list[TrainedModel]:
    models = [load_model(file) for file in files]
    identities = [(model.key, model.seed) for model in models]
    for place, identity in enumerate(identities):
        if identity in identities[:place]:
            problem = f"it is {identity[0]} of seed {identity[1]}, as {files[identities.index(identity)].name}."
            raise input_error("E-SAME-MODEL", files[place], problem, "Score it into another folder (--out).")
    return models
