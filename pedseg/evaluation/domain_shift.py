"""Domain shift: which difference between two hospitals costs how much, one factor at a time.

The test patients of a hospital are scanned once as it scans, and once for each factor with that factor alone
changed: to what the other hospital does, or to something that happens in any. The models of a finished
study segment them all. Where a factor leaves the patients as they are, each patient is his own control.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pedseg.errors import input_error
from pedseg.evaluation.comparisons import bootstrap_interval, bootstrap_interval_of_two
from pedseg.evaluation.config import SHIFT
from pedseg.evaluation.results import Results, row_means, write_rows
from pedseg.evaluation.scoring import score_side_by_side
from pedseg.evaluation.trained_models import TrainedModel, load_virtual_models, models_digest
from pedseg.files import write_atomically
from pedseg.phantoms.centers import CENTERS, COHORT, Center, PlannedScan, planned_scans
from pedseg.phantoms.contouring_protocol import ContouringProtocol
from pedseg.phantoms.ct_scanner import CtProtocol

Change = Callable[[Center, Center], Center]


@dataclass(frozen=True)
class ShiftFactor:
    """One factor of domain shift: its name, whether the patients stay the same, and how it changes a center.

    `change` takes the center and the other one. `orientation` is how the models meet patients on their side, where it
    is not as their plan says.
    """

    name: str
    change: Change
    paired: bool = True
    orientation: str = ""


def usual(center: Center) -> CtProtocol:
    """The CT protocol that a center scans most patients with."""
    scanned = [(share, protocol) for share, protocol in center.protocols if isinstance(protocol, CtProtocol)]
    return max(scanned, key=lambda pair: pair[0])[1]


def with_protocol(center: Center, **changed: Any) -> Center:
    """A center that scans every patient alike: as usual, but for what is changed."""
    return replace(center, protocols=((1.0, replace(usual(center), **changed)),))


def _others_protocol(*fields: str) -> Change:
    """What the other center does with these fields of its usual protocol."""
    return lambda home, other: with_protocol(home, **{field: getattr(usual(other), field) for field in fields})


def _others_patients(field: str) -> Change:
    return lambda home, other: replace(with_protocol(home), **{field: getattr(other, field)})


def _protocol(**changed: Any) -> Change:
    return lambda home, other: with_protocol(home, **changed)


def _center(**changed: Any) -> Change:
    return lambda home, other: replace(with_protocol(home), **changed)


OTHER_PROTOCOL = ContouringProtocol(heart_top_mm=15.0, bowel_bottom="inlet", canal="cord")
NOTHING = ShiftFactor("nothing", lambda home, other: with_protocol(home))
SHIFT_FACTORS = (
    NOTHING,
    ShiftFactor("contrast phase", _others_protocol("phase")),
    ShiftFactor("kernel and noise grain", _others_protocol("kernel_mm", "noise_grain_mm")),
    ShiftFactor("table", _others_protocol("couch")),
    ShiftFactor("ages", _others_patients("age_years"), paired=False),
    ShiftFactor("side of the removed kidney", _others_patients("left_share"), paired=False),
    ShiftFactor("slices of 8 mm", _protocol(slice_mm=8.0)),
    ShiftFactor("twice the noise", lambda home, other: with_protocol(home, noise_hu=2 * usual(home).noise_hu)),
    ShiftFactor("80 kV", _protocol(kvp=80)),
    ShiftFactor("oral contrast", _protocol(oral_contrast=True)),
    ShiftFactor("vacuum cushion", _protocol(cushion=True)),
    ShiftFactor("clips in every patient", _center(clip_share=1.0)),
    ShiftFactor("other contouring habits", _center(contouring_protocol=OTHER_PROTOCOL)),
    ShiftFactor("on the side; turned first", _center(lateral_share=1.0), orientation="reorient"),
    ShiftFactor("on the side; as they lie", _center(lateral_share=1.0), orientation="none"),
)  # fmt: skip


def evaluate_shift(
    study: Path,
    out: Path,
    *,
    patients: int = SHIFT["patients"],
    seeds: int = SHIFT["seeds"],
    names: Sequence[str] = (),
    cores: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Test a study's models under every factor (or under those named); yields (scans done, scans in all).

    Each local model meets its own center's patients only, the federated one those of all centers. `patients` are
    those of each center's test split, from its first; `seeds` the first so many of the study's; `cores` how many
    scans are segmented side by side, each in memory of its own. Leaves `shift.csv` (the columns of cases.csv behind
    `factor`) and `shift.json` in `out`; a factor that was finished before the call is not run again.
    """
    chosen = _factors(names)
    models = load_virtual_models(study, seeds)
    work = out / "work" / f"factors_{_digest(models, patients)}"
    tasks = []
    for factor in chosen:
        for name in CENTERS:
            center = shifted_center(name, factor)
            file = work / f"{factor.name.replace(' ', '-').replace(';', '')}_{name}.csv"
            tasks.append((_met(models, name, factor), center, planned_test_scans(center, patients), file, factor.name))
    rows = yield from score_side_by_side(tasks, cores)
    write_rows(out / "shift.csv", rows)
    summary = {"patients": patients, "seeds": seeds, "costs": shift_costs(rows).to_dict("records")}
    write_atomically(out / "shift.json", json.dumps(summary, indent=1).encode())


def _factors(names: Sequence[str]) -> list[ShiftFactor]:
    """The factors of these names and, to compare with, nothing changed; all without a name."""
    unknown = sorted(set(names) - {factor.name for factor in SHIFT_FACTORS})
    if unknown:
        known = ", ".join(factor.name for factor in SHIFT_FACTORS)
        raise input_error("E-SHIFT-FACTOR", ", ".join(unknown), "there is no such factor.", f"Choose from: {known}.")
    return [factor for factor in SHIFT_FACTORS if not names or factor.name in (*names, NOTHING.name)]


def _met(models: Sequence[TrainedModel], center: str, factor: ShiftFactor) -> list[TrainedModel]:
    """The models that meet a center's patients under a factor: its own local one, and the federated one."""
    met = [model for model in models if model.key.at(center).role != "away"]
    if not factor.orientation:
        return met
    return [replace(model, plan=replace(model.plan, orientation=factor.orientation)) for model in met]


def _digest(models: Sequence[TrainedModel], patients: int) -> str:
    """A name for these models, patients and factors: with others the evaluation starts anew."""
    centers = [shifted_center(center, factor) for factor in SHIFT_FACTORS for center in CENTERS]
    return models_digest(models, [planned_test_scans(center, patients) for center in centers], CENTERS)


def shifted_center(center: str, factor: ShiftFactor) -> Center:
    """A center under a factor of domain shift, next to the other center."""
    (other,) = [other for name, other in CENTERS.items() if name != center]
    return factor.change(CENTERS[center], other)


def planned_test_scans(center: Center, patients: int = COHORT["test"]) -> list[PlannedScan]:
    """The planned test scans of a center, as it is or under a factor; the patients' numbers are those of the study."""
    before = {split: COHORT[split] for split in ("train", "validation")}
    return [scan for scan in planned_scans(center, **before, test=patients) if scan.split == "test"]


def shift_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """What each factor costs each model on each center: mean DSC over the evaluated organs, without minus with.

    `rows` are those of shift.csv. One number a patient (scans first, then seeds, then organs); the interval is a
    bootstrap over patients, paired where the factor leaves the patients as they are, None for a single one.
    """
    by_factor = {factor: Results(part) for factor, part in rows.groupby("factor", sort=False)}
    means = {
        (factor, at): row_means(results.patient_means(at, "dsc", results.evaluated))
        for factor, results in by_factor.items()
        for at in results.tested
        if at.role != "away"
    }
    paired = {factor.name: factor.paired for factor in SHIFT_FACTORS}
    lines = []
    for (factor, at), shifted in means.items():
        cost, interval = _difference(means[NOTHING.name, at], shifted, paired[factor])
        lines.append((factor, at.model, at.tested_on, len(shifted), cost, interval))
    columns = ["factor", "model", "tested_on", "patients", "cost", "interval"]
    return pd.DataFrame(lines, columns=columns).astype({"interval": object})


def _difference(unshifted: pd.Series, shifted: pd.Series, paired: bool) -> tuple[float, tuple[float, float] | None]:
    """Mean cost and its 95 % interval, patients resampled."""
    if paired:
        both = (unshifted - shifted).dropna().to_numpy()
        return float(both.mean()), bootstrap_interval(both, np.mean)
    a, b = unshifted.to_numpy(), shifted.to_numpy()
    return float(a.mean() - b.mean()), bootstrap_interval_of_two(a, b, np.mean)


def table(out: Path) -> str:
    """The costs as plain text, the dearest factor of each model and center first."""
    costs = pd.DataFrame(json.loads((Path(out) / "shift.json").read_text(encoding="utf-8"))["costs"])
    costs = costs.sort_values(["model", "tested_on", "cost"], ascending=[True, True, False])
    return pd.DataFrame(
        {
            "mean DSC lost, nine organs": costs["factor"],
            "model": costs["model"],
            "patients of": costs["tested_on"],
            "cost": costs["cost"].map("{:.3f}".format),
            "95 % interval": ["{:.3f} to {:.3f}".format(*limits) if limits else "–" for limits in costs["interval"]],
        }
    ).to_string(index=False)
