"""Proof of a reason: the same synthetic child is scanned again with one cause changed, and the same network draws it.

A cause that only goes along with a failure changes nothing when it changes alone. The control is the same scan with
other noise: the worst contours of many are partly bad luck, and better in any second scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.evaluation.domain_shift import planned_test_scans
from pedseg.evaluation.failure import Failure
from pedseg.evaluation.failures import FALSE_ML, worst_dsc
from pedseg.evaluation.misplacement import misplaced_kinds
from pedseg.evaluation.results import ModelKey, read_rows, rows_file
from pedseg.evaluation.trained_models import TrainedModel, load_model, weight_files
from pedseg.organs import organ
from pedseg.phantoms.centers import CENTERS, Center, PlannedScan, simulate_scan
from pedseg.phantoms.ct_scanner import Phase
from pedseg.scan import Scan, to_ras

CONTROL = "other noise"
CONTROL_SEED = 1
OTHER_PHASE: dict[Phase, Phase] = {"none": "portal venous", "portal venous": "none", "arterial": "none"}
THIN, LOW_NOISE = 0.5, 0.5  # of what the center does
Change = Callable[[PlannedScan], PlannedScan | None]


def _protocol(changed: Callable[[Any], dict[str, Any]]) -> Change:
    """A scan by the same protocol, but for what is changed in it."""
    return lambda scan: replace(scan, protocol=replace(scan.protocol, **changed(scan.protocol)))


def _supine(scan: PlannedScan) -> PlannedScan | None:
    return None if scan.child.posture == "supine" else replace(scan, child=replace(scan.child, roll_deg=0.0))


# What is changed, by the cause that it belongs to; None where there is nothing to change.
CHANGES: dict[str, tuple[str, Change]] = {
    "phase": ("in the other contrast phase", _protocol(lambda ct: {"phase": OTHER_PHASE[ct.phase]})),
    "slices": ("in slices half as thick", _protocol(lambda ct: {"slice_mm": THIN * ct.slice_mm})),
    "noise": ("with half the noise", _protocol(lambda ct: {"noise_hu": LOW_NOISE * ct.noise_hu})),
    "posture": ("on its back", _supine),
}


@dataclass(frozen=True)
class Outcome:
    """How one organ of one scan is drawn: its DSC (None where it is absent) and whether the failure is still there."""

    dsc: float | None
    predicted_ml: float
    fails: bool

    def __str__(self) -> str:
        return f"{self.predicted_ml:.1f} mL drawn" if self.dsc is None else f"a DSC of {self.dsc:.2f}"


@dataclass(frozen=True)
class Rescan:
    """One cause changed: the outcome as it was, with the change, and with other noise only."""

    change: str  # a key of CHANGES
    before: Outcome
    after: Outcome
    control: Outcome

    @property
    def sentence(self) -> str:
        """What the rescan proves, in words."""
        verdict, end = "Not the cause", "The failure stays."
        if not self.after.fails:
            verdict, end = "Proved", "The failure vanishes with that change, and not with other noise."
        if not self.after.fails and not self.control.fails:
            verdict, end = "Open", "The failure vanishes, but so it does with other noise."
        return (
            f"{verdict}: the same child, scanned again {CHANGES[self.change][0]}: {self.after} instead of"
            f" {self.before}; with other noise only, {self.control}. {end}"
        )

    def as_row(self) -> dict[str, Any]:
        """The change and its outcomes as columns of rescans.csv."""
        outcomes = {"before": self.before, "after": self.after, "control": self.control}
        columns = {f"{name}_{when}": value for when, o in outcomes.items() for name, value in asdict(o).items()}
        return {"change": self.change, **columns}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Rescan:
        """What `as_row` gave, read from a table."""

        def outcome(when: str) -> Outcome:
            dsc, predicted_ml, fails = (row[f"{field}_{when}"] for field in ("dsc", "predicted_ml", "fails"))
            return Outcome(None if pd.isna(dsc) else dsc, predicted_ml, bool(fails))

        return cls(row["change"], outcome("before"), outcome("after"), outcome("control"))


FailureKey = tuple[ModelKey, str, str, str, str]  # model, test center, case, organ and kind


def read_rescans(study: Path) -> dict[FailureKey, list[Rescan]]:
    """The recorded rescans of a study by failure; empty where there are none."""
    file = next((file for file in (study / "rescans.csv", study / "rescans.csv.xz") if file.is_file()), None)
    rescans: dict[FailureKey, list[Rescan]] = {}
    for row in pd.read_csv(file, dtype={"kind": str}).to_dict("records") if file else ():
        key = ModelKey(row["model"], row["trained_on"]), row["tested_on"], row["case"], row["organ"], row["kind"]
        rescans.setdefault(key, []).append(Rescan.from_row(row))
    return rescans


def find_scan(center: str, case: str) -> PlannedScan | None:
    """How a test scan of the study's virtual centers was made; None for any other."""
    scans = planned_test_scans(CENTERS[center]) if center in CENTERS else []
    return next((scan for scan in scans if scan.name == case), None)


def worst_limits(rows: pd.DataFrame) -> dict[tuple[str, ModelKey], float]:
    """The DSC that divides the worst tenth of each organ and model from the rest, from rows of the first seed."""
    first = rows[rows["seed"] == rows["seed"].min()]
    groups = first.groupby(["organ", "model", "trained_on"], sort=False)
    return {(name, ModelKey(*who)): worst_dsc(group) for (name, *who), group in groups}


class SecondScans:
    """Scans of one child with one cause changed at a time, and what models draw in them, each made when asked for."""

    def __init__(self, center: Center, scan: PlannedScan) -> None:
        self.center, self.scan = center, scan
        self._made: dict[str, tuple[Scan, NDArray]] = {}
        self._predicted: dict[tuple[ModelKey, str], NDArray] = {}

    def possible(self) -> list[str]:
        """The changes that can be made to this scan."""
        return [name for name, (_, change) in CHANGES.items() if change(self.scan) is not None]

    def make(self, change: str) -> tuple[Scan, NDArray]:
        """The scan and its truth: unchanged (""), with a change of `possible`, or the control."""
        if change not in self._made:
            planned = CHANGES[change][1](self.scan) if change in CHANGES else self.scan
            assert planned is not None
            image, labels = simulate_scan(self.center, planned, CONTROL_SEED if change == CONTROL else None)
            self._made[change] = to_ras(image), to_ras(labels).voxels
        return self._made[change]

    def predict(self, model: TrainedModel, change: str) -> NDArray:
        """The label map that a model predicts for such a scan."""
        key = model.key, change
        if key not in self._predicted:
            self._predicted[key] = model.predict(self.make(change)[0])
        return self._predicted[key]


def rescan(failure: Failure, model: TrainedModel, scans: SecondScans, limit_dsc: float) -> Iterator[Rescan]:
    """Whether a failure stays when one cause changes, for each change that can be made.

    `limit_dsc` is that of `worst_limits`.
    """
    before, control = (_outcome(failure, model, scans, change, limit_dsc) for change in ("", CONTROL))
    for change in scans.possible():
        yield Rescan(change, before, _outcome(failure, model, scans, change, limit_dsc), control)


def prove(study: Path, model: ModelKey, center: str, case: str, name: str, kind: str) -> list[Rescan]:
    """Scan a child of a study again, one cause changed at a time, and let the model that failed draw it.

    Raises `PedsegInputError` where the study's weights are not here or its children cannot be scanned again.
    """
    planned, files = find_scan(center, case), weight_files(study)
    if planned is None or model not in files:
        problem = f"{case} cannot be scanned again here, or the weights of the model ({model}) are missing."
        raise input_error("E-NO-RESCAN", study, problem, "Give a finished study of the virtual centers.")
    limit = worst_limits(read_rows(rows_file(study)))[name, model]
    failure = Failure(case, center, name, model.model, model.trained_on, kind, 0.0, "", 0.0, None, "")
    return [*rescan(failure, load_model(files[model]), SecondScans(CENTERS[center], planned), limit)]


def _outcome(failure: Failure, model: TrainedModel, scans: SecondScans, change: str, limit_dsc: float) -> Outcome:
    """How the organ of a failure is drawn in one of the scans."""
    (image, truth), predicted = scans.make(change), scans.predict(model, change)
    true_mask, mask = (labels == organ(failure.organ).id for labels in (truth, predicted))
    total = int(true_mask.sum() + mask.sum())
    dsc = 2 * int((true_mask & mask).sum()) / total if true_mask.any() else None
    predicted_ml = float(mask.sum() * image.voxel_ml)
    if failure.kind == "missed":
        fails = not mask.any()
    elif failure.kind == "false":
        fails = predicted_ml >= FALSE_ML
    elif failure.kind == "worst":
        fails = dsc is not None and dsc <= limit_dsc
    else:
        fails = failure.kind in misplaced_kinds(truth, predicted, image.spacing_mm, failure.organ)
    return Outcome(dsc, predicted_ml, fails)
