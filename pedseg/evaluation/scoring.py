"""Score a trained model: predict label maps of test scans, compare them with the ground truth, one row an organ.

`score` is what every experiment, notebook and command uses. `score_center` runs it over the test cases of one center
and leaves two files: the rows of cases.csv, and beside them a JSON with what only contours show: misplaced organs,
where each is most wrong, and its dose in the teaching plan. The rows come last, so that a file with today's columns and
the rows of all test cases means: finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels, organs_present
from pedseg.evaluation.concurrency import Job, run_concurrently
from pedseg.evaluation.dose import DoseMap, organ_dose_gy, teaching_dose
from pedseg.evaluation.failure import ContourFacts, Dose, Failure
from pedseg.evaluation.failure_reasons import RiskRatio, usual_phases
from pedseg.evaluation.failures import Cases, ContourKey, from_rows, with_reasons
from pedseg.evaluation.misplacement import error_locations, from_contours
from pedseg.evaluation.results import COLUMNS, ModelKey, read_rows, typed_rows, write_rows
from pedseg.evaluation.severity import by_severity
from pedseg.evaluation.trained_models import LazyPredictions, TrainedModel
from pedseg.files import write_atomically
from pedseg.metrics import score_case
from pedseg.organs import NAMES, organ
from pedseg.phantoms.centers import Center, PlannedScan, case_fields, simulate_scan
from pedseg.scan import Scan, to_ras, write_nifti


@dataclass(frozen=True)
class LabeledScan:
    """A scan with its ground truth on one grid, and what its data set knows of the case.

    `tested_on` names the test center: a hospital, or one of several ways in which it scans.
    """

    image: Scan
    truth: NDArray
    tested_on: str
    case: Case


def load_labeled_scans(*datasets: DataSet) -> Iterator[LabeledScan]:
    """The test cases of some data sets with their ground truth, one at a time in memory."""
    for dataset in datasets:
        for case in dataset.split("test"):
            image, truth = load_image(case), load_labels(dataset, case).voxels
            yield LabeledScan(image, truth, dataset.center, case)


def labeled_scan(center: Center, planned: PlannedScan) -> LabeledScan:
    """One scan of a virtual center with its ground truth, simulated now."""
    image, labels = map(to_ras, simulate_scan(center, planned))
    present = organs_present(labels)
    fields = {k: v for k, v in case_fields(center, planned, "").items() if k not in ("source", "license")}
    absent = tuple(name for name in NAMES if name not in present)
    case = Case(planned.name, image_file=Path(), label_file=None, annotated=NAMES, absent=absent, **fields)
    return LabeledScan(image, labels.voxels, center.name, case)


def score(
    model: TrainedModel, scans: Iterable[LabeledScan], inspect: Callable[[LabeledScan, NDArray], None] | None = None
) -> pd.DataFrame:
    """Predict each scan and compare with its ground truth: one row an organ, with the columns of cases.csv.

    `inspect` is called with each scan and its predicted label map.
    """
    rows = []
    for scan in scans:
        predicted = model.predict(scan.image)
        organs = [name for name in model.plan.organs if name in scan.case.trusted]
        who = {"seed": model.seed, **asdict(model.key)}
        who |= {"tested_on": scan.tested_on, "patient": scan.case.patient, "case": scan.case.name}
        scores = score_case(scan.truth, predicted, scan.image.spacing_mm, organs)
        rows += [{**who, **vars(organ_score)} for organ_score in scores]
        if inspect:
            inspect(scan, predicted)
    return typed_rows(pd.DataFrame(rows, columns=list(COLUMNS)))


def score_simulated(
    models: Sequence[TrainedModel], center: Center, scans: Sequence[PlannedScan], file: Path, factor: str
) -> Iterator[int]:
    """Simulate scans of a virtual center, score every model on them, write the rows to `file`; one tick a scan.

    A `factor` of domain shift, if it is not empty, becomes the first column. A file that is there is kept.
    """
    if file.exists():
        yield len(scans)
        return
    parts = []
    for planned in scans:
        scan = labeled_scan(center, planned)
        parts += [score(model, [scan]) for model in models]
        yield 1
    rows = pd.concat(parts, ignore_index=True)
    if factor:
        rows.insert(0, "factor", factor)
    write_rows(file, rows)


def score_side_by_side(
    tasks: Sequence[tuple[Sequence[TrainedModel], Center, Sequence[PlannedScan], Path, str]], cores: int | None = None
) -> Generator[tuple[int, int], None, pd.DataFrame]:
    """Do `score_simulated` for several tasks (its arguments); yields (scans done, in all), and returns all rows."""
    jobs = [Job(task[1].name, score_simulated(*task)) for task in tasks]
    done, total = 0, sum(len(scans) for _, _, scans, _, _ in tasks)
    for _, scans_done in run_concurrently(jobs, cores):
        done += scans_done
        yield done, total
    return pd.concat([read_rows(file) for *_, file, _ in tasks], ignore_index=True)


def is_finished(file: Path, dataset: DataSet) -> bool:
    """Whether the rows are there, with the columns of today, and are those of the data set's test cases."""
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (FileNotFoundError, ValueError):  # a copy that was cut off
        return False
    expected = {case.name for case in dataset.split("test") if case.trusted}
    return tuple(rows.columns) == COLUMNS and set(rows["case"]) == expected


def score_center(model: TrainedModel, dataset: DataSet, file: Path, *, kept: Path | None = None) -> Iterator[str]:
    """Score one model on all test cases of a center, write the rows to `file`, yield the name of each case.

    A file that is finished stays. With a folder `kept`, the contours of the first case are kept there, and what went
    wrong with all.
    """
    if is_finished(file, dataset) and (kept is None or InspectedContours.are_in(_contours_file(file))):
        yield from (case.name for case in dataset.split("test"))
        return
    parts: list[pd.DataFrame] = []
    contours = InspectedContours(model.key, dataset.center)

    def inspect(scan: LabeledScan, predicted: NDArray) -> None:
        if not contours.facts and kept is not None:
            _keep(kept / dataset.center / scan.case.name, scan, predicted, model.key)
        contours.add(scan, predicted, teaching_dose(scan.image, scan.truth))

    for scan in load_labeled_scans(dataset):
        parts.append(score(model, [scan], None if kept is None else inspect))
        yield scan.case.name
    if kept is not None:
        contours.write(_contours_file(file))
    write_rows(file, pd.concat(parts))


class InspectedContours:
    """What the contours of one model show on the scans of one center: misplaced organs, and facts of every organ."""

    def __init__(self, model_key: ModelKey, tested_on: str) -> None:
        self.model_key, self.tested_on = model_key, tested_on
        self.misplaced: list[Failure] = []
        self.facts: dict[ContourKey, ContourFacts] = {}

    def add(self, scan: LabeledScan, predicted: NDArray, dose_gy: DoseMap | None) -> None:
        """Inspect the predicted label map of a scan; `dose_gy` is that of its teaching plan."""
        organs = scan.case.trusted
        self.misplaced += [f for f in misplaced_organs(scan, predicted, self.model_key) if f.organ in organs]
        for name, facts in error_locations(scan.truth, predicted, organs).items():
            dose: Dose | None = None
            if dose_gy is not None:
                masks = (labels == organ(name).id for labels in (scan.truth, predicted))
                true_gy, predicted_gy = (organ_dose_gy(dose_gy, mask, name) for mask in masks)
                dose = true_gy, predicted_gy
            self.facts[self.model_key, self.tested_on, scan.case.name, name] = replace(facts, dose_gy=dose)

    def write(self, file: Path) -> None:
        """Keep them in a JSON file."""
        content = {
            **asdict(self.model_key),
            "tested_on": self.tested_on,
            "misplaced": [failure.as_json() for failure in self.misplaced],
            "facts": [[case, name, asdict(facts)] for (_, _, case, name), facts in self.facts.items()],
        }
        write_atomically(file, json.dumps(content, ensure_ascii=False).encode())

    @classmethod
    def are_in(cls, file: Path) -> bool:
        """Whether `read` understands a file: a copy may have been cut off."""
        try:
            cls.read(file)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True

    @classmethod
    def read(cls, file: Path) -> InspectedContours:
        """What `write` has written."""
        content = json.loads(file.read_text(encoding="utf-8"))
        contours = cls(ModelKey(content["model"], content["trained_on"]), content["tested_on"])
        contours.misplaced = [Failure.from_json(line) for line in content["misplaced"]]
        for case, name, facts in content["facts"]:
            dose = None if facts["dose_gy"] is None else tuple(facts["dose_gy"])
            key = contours.model_key, contours.tested_on, case, name
            contours.facts[key] = ContourFacts(tuple(facts["voxel"]), facts["cut"], dose)
        return contours


def misplaced_organs(scan: LabeledScan, predicted: NDArray, model_key: ModelKey) -> list[Failure]:
    """What is misplaced in one predicted label map of a scan."""
    spacing_mm = scan.image.spacing_mm
    return from_contours(scan.truth, predicted, spacing_mm, scan.case, model_key, tested_on=scan.tested_on)


def find_misplaced(files: Mapping[ModelKey, Path], scans: Iterable[LabeledScan]) -> list[Failure]:
    """What is misplaced in some scans, predicted now by the models of these weights files; the gravest first."""
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


def _contours_file(file: Path) -> Path:
    return file.with_suffix(".contours.json")


def collect_failures(
    files: Sequence[Path], rows: pd.DataFrame, datasets: Sequence[DataSet]
) -> tuple[list[Failure], dict[str, RiskRatio]]:
    """All failures of one seed, the gravest first, and the risk ratio of each cause.

    They are those of the rows, and those that lie beside the `files` of rows.
    """
    contours = [InspectedContours.read(_contours_file(file)) for file in files]
    cases = {(d.center, case.name): case for d in datasets for case in d.split("test")}
    return all_failures(contours, rows, cases, usual_phases(datasets))


def all_failures(
    contours: Iterable[InspectedContours], rows: pd.DataFrame, cases: Cases, usual: Mapping[str, str]
) -> tuple[list[Failure], dict[str, RiskRatio]]:
    """The failures of rows and of inspected contours, the gravest first, with reasons and their risk ratios."""
    facts: dict[ContourKey, ContourFacts] = {}
    failures = from_rows(rows)
    for inspected in contours:
        failures += inspected.misplaced
        facts |= inspected.facts
    failures, ratios = with_reasons(failures, rows, cases, facts, usual)
    return by_severity(failures), ratios
