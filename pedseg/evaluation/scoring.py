"""Score a trained model: predict label maps of test scans, compare them with the ground truth, one row an organ.

`score` is what every experiment, notebook and command uses. `score_center` runs it over the test cases of one center
and leaves two files: the rows of cases.csv, and beside them a JSON with the failures that only contours show. The rows
come last, so that a file with today's columns and the rows of all test cases means: finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from pedseg import memory
from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.evaluation.failure_reasons import ErrorLocation, Failure, usual_phases
from pedseg.evaluation.failures import LocationKey, by_severity, from_rows
from pedseg.evaluation.misplacement import error_locations, from_contours
from pedseg.evaluation.results import COLUMNS, ModelKey, typed_rows, write_rows
from pedseg.evaluation.trained_models import LazyPredictions, TrainedModel
from pedseg.files import write_atomically
from pedseg.metrics import score_case
from pedseg.organs import NAMES
from pedseg.phantoms.centers import Center, PlannedScan, simulate_scan
from pedseg.scan import Scan, write_nifti


@dataclass(frozen=True)
class LabeledScan:
    """A scan with its ground truth on one grid, whose it is, and the organs that a model is scored on.

    `record` is what the data set knows of the case; None of a simulated scan.
    """

    image: Scan
    truth: NDArray
    tested_on: str
    patient: str
    case: str
    organs: tuple[str, ...] = NAMES
    record: Case | None = None


def load_labeled_scans(*datasets: DataSet) -> Iterator[LabeledScan]:
    """The test cases of some data sets with their ground truth, one at a time in memory."""
    for dataset in datasets:
        for case in dataset.split("test"):
            memory.release_memory()
            image, truth = load_image(case), load_labels(dataset, case).voxels
            yield LabeledScan(image, truth, dataset.center, case.patient, case.name, case.trusted, case)


def score(
    model: TrainedModel, scans: Iterable[LabeledScan], inspect: Callable[[LabeledScan, NDArray], None] | None = None
) -> pd.DataFrame:
    """Predict each scan and compare with its ground truth: one row an organ, with the columns of cases.csv.

    `inspect` is called with each scan and its predicted label map.
    """
    rows = []
    for scan in scans:
        predicted = model.predict(scan.image)
        organs = [name for name in model.plan.organs if name in scan.organs]
        who = {"seed": model.seed, **asdict(model.key)}
        who |= {"tested_on": scan.tested_on, "patient": scan.patient, "case": scan.case}
        scores = score_case(scan.truth, predicted, scan.image.spacing_mm, organs)
        rows += [{**who, **vars(organ_score)} for organ_score in scores]
        if inspect:
            inspect(scan, predicted)
    return typed_rows(pd.DataFrame(rows, columns=list(COLUMNS)))


def score_simulated(
    models: Sequence[TrainedModel], center: Center, scans: Sequence[PlannedScan], file: Path, factor: str = ""
) -> Iterator[int]:
    """Simulate scans of a virtual center, score every model on them, write the rows to `file`; one tick a scan.

    A `factor` of domain shift becomes the first column. A file that is there is kept.
    """
    if file.exists():
        yield len(scans)
        return
    parts = []
    for planned in scans:
        image, labels = simulate_scan(center, planned)
        scan = LabeledScan(image, labels.voxels, center.name, planned.patient, planned.name)
        parts += [score(model, [scan]) for model in models]
        yield 1
    rows = pd.concat(parts, ignore_index=True)
    if factor:
        rows.insert(0, "factor", factor)
    write_rows(file, rows)


def is_finished(file: Path, dataset: DataSet) -> bool:
    """Whether the rows are there, with the columns of today, and are those of the data set's test cases."""
    if not file.exists():
        return False
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    expected = {case.name for case in dataset.split("test") if case.trusted}
    return tuple(rows.columns) == COLUMNS and set(rows["case"]) == expected


def score_center(
    model: TrainedModel, dataset: DataSet, file: Path, *,
    kept: Path | None = None, usual_phase: Mapping[str, str] | None = None,
) -> Iterator[str]:  # fmt: skip
    """Score one model on all test cases of a center, write the rows to `file`, yield the name of each case.

    With a folder `kept`, the contours of the first case are kept there, and what went wrong with all.
    """
    parts: list[pd.DataFrame] = []
    failures: list[Failure] = []
    locations: dict[str, dict[str, ErrorLocation]] = {}

    def inspect(scan: LabeledScan, predicted: NDArray) -> None:
        if not locations and kept is not None:
            _keep(kept / dataset.center / scan.case, scan, predicted, model.key)
        known = tuple(name for name in model.plan.organs if name in scan.organs)
        misplaced = misplaced_organs(scan, predicted, model.key, usual_phase)
        failures.extend(failure for failure in misplaced if failure.organ in known)
        locations[scan.case] = error_locations(scan.truth, predicted, known)

    for scan in load_labeled_scans(dataset):
        parts.append(score(model, [scan], None if kept is None else inspect))
        yield scan.case
    if kept is not None:
        content = {
            **asdict(model.key),
            "tested_on": dataset.center,
            "failures": [failure.as_json() for failure in failures],
            "locations": {case: {o: asdict(place) for o, place in by.items()} for case, by in locations.items()},
        }
        write_atomically(_failures_file(file), json.dumps(content, ensure_ascii=False).encode())
    write_rows(file, pd.concat(parts))


def misplaced_organs(
    scan: LabeledScan, predicted: NDArray, model_key: ModelKey, usual_phase: Mapping[str, str] | None = None
) -> list[Failure]:
    """What is misplaced in one predicted label map of a scan from a data set."""
    assert scan.record is not None
    spacing_mm, center = scan.image.spacing_mm, scan.tested_on
    return from_contours(
        scan.truth, predicted, spacing_mm, scan.record, model_key, tested_on=center, usual_phase=usual_phase
    )


def find_misplaced(files: Mapping[ModelKey, Path], scans: Iterable[LabeledScan]) -> list[Failure]:
    """What is misplaced in some scans, predicted now by the models of these weights files; the worst first."""
    failures: list[Failure] = []
    for scan in scans:
        for model_key, predicted in LazyPredictions(scan.image, files).items():
            failures += misplaced_organs(scan, predicted, model_key)
    return by_severity(failures)


def _keep(folder: Path, scan: LabeledScan, predicted: NDArray, model_key: ModelKey) -> None:
    """Write a scan and its contours as NIfTI, for pictures and the viewer."""
    images = {"image": scan.image.voxels, "truth": scan.truth, model_key.file_name: predicted}
    for name, voxels in images.items():
        write_nifti(folder / f"{name}.nii.gz", Scan(voxels, scan.image.affine))


def _failures_file(file: Path) -> Path:
    return file.with_suffix(".failures.json")


def collect_failures(files: Sequence[Path], rows: pd.DataFrame, datasets: Sequence[DataSet]) -> list[Failure]:
    """All failures of one seed, the worst first: those of the rows, and those that lie beside the `files` of rows."""
    failures: list[Failure] = []
    locations: dict[LocationKey, ErrorLocation] = {}
    for file in files:
        content = json.loads(_failures_file(file).read_text(encoding="utf-8"))
        failures += [Failure.from_json(line) for line in content["failures"]]
        model_key = ModelKey(content["model"], content["trained_on"])
        for case, organs in content["locations"].items():
            for name, place in organs.items():
                key = model_key, content["tested_on"], case, name
                locations[key] = ErrorLocation(tuple(place["voxel"]), place["cut"])
    cases = {(d.center, case.name): case for d in datasets for case in d.split("test")}
    failures += from_rows(rows, cases, locations, usual_phases(datasets))
    return by_severity(failures)
