"""One model meets the test patients of one center: scores, and for the first seed what went wrong and where.

Leaves two files: the rows of cases.csv, and beside them a JSON with the failures that only contours show. The rows
come last, so that a file with today's columns and the rows of all test cases means: finished.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.evaluation.failure_reasons import Failure, Look, habits
from pedseg.evaluation.failures import by_severity, from_rows
from pedseg.evaluation.misplacement import from_contours, look
from pedseg.evaluation.reporting import COLUMNS, as_csv
from pedseg.evaluation.results import ModelKey
from pedseg.files import write_atomically
from pedseg.learning import inference
from pedseg.learning.plans import Plan
from pedseg.metrics import score_case
from pedseg.scan import Scan, write_nifti

Json = dict[str, Any]


def is_finished(file: Path, dataset: DataSet) -> bool:
    """Whether the rows are there, with the columns of today, and are those of the data set's test cases."""
    if not file.exists():
        return False
    with file.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        asked = {case.name for case in dataset.split("test") if case.trusted}
        return tuple(rows.fieldnames or ()) == COLUMNS and {row["case"] for row in rows} == asked


def score_center(
    net, plan: Plan, dataset: DataSet, model_key: ModelKey, seed: int, file: Path, *,
    kept: Path | None = None, usual_phase: Mapping[str, str] | None = None,
) -> Iterator[Case]:  # fmt: skip
    """Let one model contour all test cases of a center, and write the rows to `file`; yields each case when scored.

    With a folder `kept`, the contours of the first case are kept there, and what went wrong with all.
    """
    rows: list[Json] = []
    failures: list[Json] = []
    looks: dict[str, Json] = {}
    for case in dataset.split("test"):
        scan, truth = load_image(case), load_labels(dataset, case).voxels
        predicted = inference.predict(net, scan, plan)
        known = tuple(name for name in plan.organs if name in case.trusted)
        who = {
            "seed": seed, "model": model_key.model, "trained_on": model_key.trained_on,
            "tested_on": dataset.center, "patient": case.patient, "case": case.name,
        }  # fmt: skip
        for score in score_case(truth, predicted, scan.spacing_mm, known):
            rows.append({**who, **{key: getattr(score, key) for key in COLUMNS[6:]}})
        if kept is not None:
            if not looks:
                _keep(kept / dataset.center / case.name, scan, {"truth": truth, model_key.file_name: predicted})
            found = from_contours(
                truth, predicted, scan.spacing_mm, case, model_key, tested_on=dataset.center, usual_phase=usual_phase
            )
            failures += [failure.as_json() for failure in found if failure.organ in known]
            looks[case.name] = {name: [*one.voxel, one.cut] for name, one in look(truth, predicted, known).items()}
        yield case
    if kept is not None:
        told: Json = {"model": model_key.model, "trained_on": model_key.trained_on, "tested_on": dataset.center}
        told |= {"failures": failures, "looks": looks}
        write_atomically(_beside(file), json.dumps(told, ensure_ascii=False).encode())
    write_atomically(file, as_csv(rows))


def _keep(folder: Path, scan: Scan, label_maps: Mapping[str, NDArray]) -> None:
    """Write a scan and its contours as NIfTI, for pictures and the viewer."""
    for name, voxels in {"image": scan.voxels, **label_maps}.items():
        write_nifti(folder / f"{name}.nii.gz", Scan(voxels, scan.affine))


def _beside(file: Path) -> Path:
    return file.with_suffix(".failures.json")


def gather(files: Sequence[Path], rows: Sequence[Mapping[str, Any]], datasets: Sequence[DataSet]) -> list[Json]:
    """All failures of one seed, the worst first: those of the rows, and those that lie beside the `files` of rows."""
    found: list[Failure] = []
    seen: dict[tuple[ModelKey, str, str, str], Look] = {}
    for file in files:
        told = json.loads(_beside(file).read_text(encoding="utf-8"))
        found += [Failure.from_json(line) for line in told["failures"]]
        model_key = ModelKey(told["model"], told["trained_on"])
        for case, organs in told["looks"].items():
            for name, (x, y, z, cut) in organs.items():
                seen[model_key, told["tested_on"], case, name] = Look((x, y, z), bool(cut))
    cases = {(d.center, case.name): case for d in datasets for case in d.split("test")}
    found += from_rows(rows, cases, seen, habits(datasets))
    return [failure.as_json() for failure in by_severity(found)]
