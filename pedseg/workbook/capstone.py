"""The capstone: a third hospital joins whose data hide two flaws; its data, what can be measured, and the comparison.

Which flaws are hidden follows from a number that each learner chooses (`phantoms.flaws`). What is measured here says
nothing about flaws: it is the header, gray values, places and volumes of the contours, and how far the federated
network agrees with them.
"""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.checks import center_mm
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.evaluation.comparisons import compare_paired, holm
from pedseg.evaluation.results import MARGINS, ModelKey
from pedseg.metrics import score_case
from pedseg.organs import EVALUATED, organ
from pedseg.phantoms import flaws
from pedseg.phantoms.centers import CENTERS, DELTA
from pedseg.workbook import lesson

if TYPE_CHECKING:  # with torch, which not every notebook that reads the exercises needs
    from pedseg.evaluation.trained_models import TrainedModel
    from pedseg.learning.weights import Weights

NEIGHBORS_SEED = 2031  # children of Polder and Neckar that the study has not met
HIDDEN = (100000, 100001, 100002, 100004, 100008, 100013, 100033)  # hospitals that the audit is checked on
FLAWLESS = 100040  # and one without flaws
Measures = dict[str, Any]


def neighbors() -> list[DataSet]:
    """Polder and Neckar with as many children as the new hospital brings, none of whom the study has met."""
    centers = [replace(center, repeat_share=0.0) for center in CENTERS.values()]
    return lesson.make_datasets(_folder("neighbors"), centers, seed=NEIGHBORS_SEED, **patients())


def hospital(number: int) -> DataSet:
    """The third hospital, as its data arrive, with the two flaws that follow from the number."""
    folder = _folder(str(number)) / f"Dataset903_{DELTA.name}"
    made = flaws.make_hospital(folder, number, flaws.draw_flaws(number), patients())
    list(lesson.progress(made, sum(patients().values()), f"children of {DELTA.name}"))
    return read_dataset(folder)


def repaired(dataset: DataSet, cases: Mapping[str, Sequence[str]], decisions: Mapping[str, str]) -> DataSet:
    """The hospital's data after the decisions: a copy beside the original, made anew each time."""
    folder = dataset.folder.parent / "repaired" / dataset.folder.name
    shutil.rmtree(folder, ignore_errors=True)  # what other decisions have left
    list(lesson.progress(flaws.repair(dataset, folder, cases, decisions), len(dataset.cases), "repairs"))
    return read_dataset(folder)


def _folder(name: str) -> Path:
    return lesson.runs() / ("capstone" if lesson.size() == "full" else "capstone-test") / name


def patients() -> dict[str, int]:
    """How many children each of the three hospitals brings, by split."""
    return flaws.PATIENTS if lesson.size() == "full" else lesson.SIZES["test"]


def measure(dataset: DataSet, model: TrainedModel) -> list[Measures]:
    """Every child of a data set in numbers: a dictionary each, with dictionaries by organ.

    `case`, `split`, `years`, `slice_mm`, `phase` (stated) and `absent` are from table and header. By organ: `hu`, the
    median gray value in its contour; `x_mm`, how far its middle lies to the patient's right; `volume_ml` of the
    contour; `predicted_ml` that the model draws; `dsc` of both. An organ without a contour is in none but the last two.
    """
    children = []
    for case in lesson.progress(dataset.cases, text="children"):
        memory.release_memory()
        image, labels = load_image(case), load_labels(dataset, case)
        scores = score_case(labels.voxels, model.predict(image), image.spacing_mm, case.annotated)
        present = [score.organ for score in scores if score.present]
        masks = {name: labels.voxels == organ(name).id for name in present}
        children.append(
            {
                "case": case.name,
                "split": case.split,
                "years": round((case.age_months or 0) / 12, 1),
                "slice_mm": round(image.spacing_mm[2], 2),
                "phase": case.phase,
                "absent": list(case.absent),
                "hu": {name: round(float(np.median(image.voxels[mask]))) for name, mask in masks.items()},
                "x_mm": {name: round(float(center_mm(labels, name)[0])) for name in present},
                "volume_ml": {score.organ: round(score.volume_ml, 1) for score in scores if score.present},
                "predicted_ml": {score.organ: round(score.predicted_ml, 1) for score in scores},
                "dsc": {score.organ: round(score.dsc, 3) for score in scores if score.dsc is not None},
            }
        )
    return children


def stated(children: Iterable[Measures]) -> pd.DataFrame:
    """What table and header say, a line a child."""
    columns = ("case", "split", "years", "slice_mm", "phase")
    return pd.DataFrame(
        [{name: child[name] for name in columns} | {"absent": ", ".join(child["absent"])} for child in children]
    )


def table(children: Iterable[Measures], column: str, organs: Sequence[str] = EVALUATED) -> pd.DataFrame:
    """One of the measurements by organ, a line a child."""
    lines = [{"child": c["case"], **{name: c[column].get(name, "–") for name in organs}} for c in children]
    return pd.DataFrame(lines)


def recorded_hospitals() -> dict[int, list[Measures]]:
    """The measurements of the hospitals that an audit is checked on, by number; `FLAWLESS` is one of them."""
    file = lesson.recorded("capstone") / "hospitals.json.xz"
    return {int(number): children for number, children in json.loads(lzma.decompress(file.read_bytes())).items()}


def hidden_flaws(number: int) -> list[str]:
    """The flaws of a hospital that was recorded."""
    return [] if number == FLAWLESS else list(flaws.draw_flaws(number))


def compare(rows: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """First minus second in DSC, organ by organ, over the same children of all hospitals.

    Median difference with its bootstrap interval, Wilcoxon's p and the p of equivalence within the margin, both after
    Holm. `rows` are those of `score`; `first` and `second` are kinds of models.
    """
    names = [name for name in EVALUATED if name in set(rows["organ"])]
    dsc = rows.pivot_table(index="case", columns=["organ", "model"], values="dsc")
    pairs = {name: dsc[name][[first, second]].dropna() for name in names}
    compared = [compare_paired(pair[first], pair[second], MARGINS["dsc"]) for pair in pairs.values()]
    limits = [comparison.interval or (np.nan, np.nan) for comparison in compared]
    return pd.DataFrame(
        {
            "organ": names,
            "children": [comparison.n[0] for comparison in compared],
            "difference": [comparison.median_difference for comparison in compared],
            "low": [low for low, _ in limits],
            "high": [high for _, high in limits],
            "p (Holm)": holm([comparison.p for comparison in compared]),
            "p of equivalence (Holm)": holm([comparison.p_equivalence for comparison in compared]),
        }
    )


def readable(comparison: pd.DataFrame) -> pd.DataFrame:
    """A comparison as a reader wants it: differences with their sign, no p of zero."""
    shown = {name: "{:+.4f}".format for name in ("difference", "low", "high")}
    shown |= {name: lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}" for name in comparison if name.startswith("p ")}
    return comparison.assign(**{name: comparison[name].map(as_text) for name, as_text in shown.items()})


def judge(low: float, high: float, margin: float = MARGINS["dsc"]) -> str:
    """What an interval of a difference says: `equivalent`, `better`, `worse`, or `cannot tell`."""
    if -margin < low and high < margin:
        return "equivalent"
    return "better" if low > 0 else "worse" if high < 0 else "cannot tell"


def named(model: TrainedModel, name: str, weights: Weights | None = None) -> TrainedModel:
    """A model under a name that tables show; with other weights if there are any."""
    from pedseg.evaluation.trained_models import TrainedModel
    from pedseg.learning.network import build
    from pedseg.learning.weights import set_weights

    network = model.network
    if weights is not None:
        network = build(model.plan)
        set_weights(network, weights)
    return TrainedModel(network, model.plan, ModelKey(name, f"{'+'.join(CENTERS)}+{DELTA.name}"))
