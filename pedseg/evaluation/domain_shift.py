"""Which difference between two hospitals costs how much: one cause at a time.

The test patients of a hospital are scanned once as it scans, and once for each cause with that cause alone
changed: to what the other hospital does, or to something that happens in any. The models of a finished
study contour them all. Where a cause leaves the patients as they are, each patient is his own control.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.errors import input_error
from pedseg.evaluation.comparisons import RESAMPLES, bootstrap_interval, percentile_interval
from pedseg.evaluation.concurrency import WORKERS, side_by_side
from pedseg.evaluation.reporting import COLUMNS, as_csv, join, weight_files
from pedseg.evaluation.results import ModelKey, Results, patient_means
from pedseg.learning import inference, network, training
from pedseg.learning.plans import Plan
from pedseg.metrics import score_case
from pedseg.phantoms.centers import CENTERS, COHORT, Center, PlannedScan, planned_scans, simulate_scan
from pedseg.phantoms.contouring_protocol import ContouringProtocol
from pedseg.phantoms.ct_scanner import CtProtocol
from pedseg.scan import Scan, write_whole

MODELS = ("local", "federated")  # the centralized one has no hospital of its own to lose
Change = Callable[[Center, Center], Center]


@dataclass(frozen=True)
class ShiftFactor:
    """One difference: its name, whether the patients stay the same, and what becomes of a center next to another.

    `orientation` is how the models meet the patients' posture, where it is not as their plan says.
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


def _taken_over(*fields: str) -> Change:
    """What the other center does with these fields of its usual protocol."""
    return lambda home, other: with_protocol(home, **{field: getattr(usual(other), field) for field in fields})


def _patients_of_the_other(field: str) -> Change:
    return lambda home, other: replace(with_protocol(home), **{field: getattr(other, field)})


def _scanned(**changed: Any) -> Change:
    return lambda home, other: with_protocol(home, **changed)


def _treating(**changed: Any) -> Change:
    return lambda home, other: replace(with_protocol(home), **changed)


HABITS = ContouringProtocol(heart_top_mm=15.0, bowel_bottom="inlet", canal="cord")
NOTHING = ShiftFactor("nothing", lambda home, other: with_protocol(home))
SHIFT_FACTORS = (
    NOTHING,
    ShiftFactor("contrast phase", _taken_over("phase")),
    ShiftFactor("kernel and noise grain", _taken_over("kernel_mm", "noise_grain_mm")),
    ShiftFactor("table", _taken_over("couch")),
    ShiftFactor("ages", _patients_of_the_other("age_years"), paired=False),
    ShiftFactor("side of the removed kidney", _patients_of_the_other("left_share"), paired=False),
    ShiftFactor("slices of 8 mm", _scanned(slice_mm=8.0)),
    ShiftFactor("twice the noise", lambda home, other: with_protocol(home, noise_hu=2 * usual(home).noise_hu)),
    ShiftFactor("80 kV", _scanned(kvp=80)),
    ShiftFactor("oral contrast", _scanned(oral_contrast=True)),
    ShiftFactor("vacuum cushion", _scanned(cushion=True)),
    ShiftFactor("clips in every patient", _treating(clip_share=1.0)),
    ShiftFactor("other contouring habits", _treating(contouring_protocol=HABITS)),
    ShiftFactor("on the side; turned first", _treating(lateral_share=1.0), orientation="reorient"),
    ShiftFactor("on the side; as they lie", _treating(lateral_share=1.0), orientation="none"),
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A network of a finished study, ready to draw."""

    model_key: ModelKey
    seed: int
    plan: Plan
    net: Any


def evaluate_shift(
    study: Path,
    out: Path,
    *,
    patients: int = COHORT["test"],
    seeds: int = 1,
    names: Iterable[str] = (),
    workers: int = WORKERS,
) -> Iterator[tuple[int, int]]:
    """Test a study's models on every cause (or on those named); yields (scans done, scans in all).

    Each local model meets its own center's patients only, the federated one those of all centers. `patients` are
    those of each center's test split, from its first; `seeds` the first so many of the study's; `workers` how many
    scans are drawn side by side, each in memory of its own. Leaves `shift.csv` (the columns of cases.csv behind
    `factor`) and `shift.json` in `out`; a cause that was finished before the call is not run again.
    """
    unknown = sorted(set(names) - {cause.name for cause in SHIFT_FACTORS})
    if unknown:
        known = ", ".join(cause.name for cause in SHIFT_FACTORS)
        raise input_error("E-CAUSE", ", ".join(unknown), "there is no such cause.", f"Choose from: {known}.")
    models = load_models(study, seeds)
    chosen = [cause for cause in SHIFT_FACTORS if not tuple(names) or cause.name in (*names, NOTHING.name)]
    work = out / "work" / f"causes_{_identity(models, patients)}"
    jobs = [(center, _run(cause, center, patients, models, work)) for cause in chosen for center in CENTERS]
    total = sum(len(tested(changed(center, cause), patients)) for cause in chosen for center in CENTERS)
    done = 0
    for _, scans in side_by_side(jobs, workers):
        done += scans
        yield done, total
    files = [work / _file_name(cause, center) for cause in chosen for center in CENTERS]
    text = join(files)
    write_whole(out / "shift.csv", text.encode())
    costs = costs_of(csv.DictReader(io.StringIO(text)))
    write_whole(
        out / "shift.json", json.dumps({"patients": patients, "seeds": seeds, "costs": costs}, indent=1).encode()
    )


def _identity(models: list[Trained], patients: int) -> str:
    """A name for these models, patients and causes: with others the evaluation starts anew."""
    weights = [(one.model_key, one.seed, network.sha256_of(network.get_weights(one.net))) for one in models]
    scans = [tested(changed(center, cause), patients) for cause in SHIFT_FACTORS for center in CENTERS]
    return hashlib.sha256(repr((weights, scans, CENTERS)).encode()).hexdigest()[:12]


def load_models(study: Path, seeds: int) -> list[Trained]:
    """The local and federated networks of a study of the virtual centers, of its first so many seeds."""
    files = weight_files(study, tuple(CENTERS))
    if not files:
        raise input_error("E-NO-WEIGHTS", study, "no weights of a study are here.", "Run `python3 run.py study` first.")
    strangers = sorted({model_key.trained_on for _, model_key in files if model_key.model == "local"} - set(CENTERS))
    if strangers:
        found = f"it is a study of {', '.join(strangers)}, whose patients cannot be scanned again."
        raise input_error("E-OTHER-CENTERS", study, found, f"Give a study of {' and '.join(CENTERS)}.")
    chosen = {which: file for which, file in files.items() if which[0] < seeds and which[1].model in MODELS}
    loaded = {which: training.load_network(file) for which, file in chosen.items()}
    return [Trained(model_key, seed, plan, net) for (seed, model_key), (net, plan) in loaded.items()]


def changed(center: str, cause: ShiftFactor) -> Center:
    """A center under a cause, next to the other one."""
    (other,) = [one for name, one in CENTERS.items() if name != center]
    return cause.change(CENTERS[center], other)


def tested(center: Center, patients: int = COHORT["test"]) -> list[PlannedScan]:
    """The test appointments of a center, as it is or under a cause; the patients' numbers are those of the study."""
    before = {split: COHORT[split] for split in ("train", "validation")}
    return [scan for scan in planned_scans(center, **before, test=patients) if scan.split == "test"]


def _file_name(cause: ShiftFactor, center: str) -> str:
    return f"{cause.name.replace(' ', '-').replace(';', '')}_{center}.csv"


def _run(cause: ShiftFactor, center: str, patients: int, models: list[Trained], work: Path) -> Iterator[int]:
    """All scans of one center under one cause; one tick a scan."""
    hospital, file = changed(center, cause), work / _file_name(cause, center)
    rows: list[dict] = []
    met = [one for one in models if one.model_key.role(center) != "away"]
    for scan in tested(hospital, patients):
        if not file.exists():
            image, labels = simulate_scan(hospital, scan)
            for one in met:
                rows += _rows(cause, one, center, scan, image, labels)
        yield 1
    if rows:
        write_whole(file, as_csv(rows, ("factor", *COLUMNS)))


def _rows(cause: ShiftFactor, one: Trained, center: str, scan: PlannedScan, image: Scan, labels: Scan) -> list[dict]:
    plan = replace(one.plan, orientation=cause.orientation) if cause.orientation else one.plan
    drawn = inference.predict(one.net, image, plan)
    who = {"factor": cause.name, "seed": one.seed, **asdict(one.model_key), "tested_on": center}
    scores = score_case(labels.voxels, drawn, image.spacing_mm, plan.organs)
    return [{**who, "patient": scan.patient, "case": scan.name, **asdict(score)} for score in scores]


def costs_of(rows: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """What each cause costs each model on each center: mean DSC over the evaluated organs, without minus with.

    One number a patient (scans first, then seeds, then organs); the interval is a bootstrap over patients, paired
    where the cause leaves the patients as they are, None for a single one.
    """
    by_cause: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_cause.setdefault(row["factor"], []).append(row)
    means = {
        (cause, model_key, center): patient_means(results, model_key, center, "dsc", results.evaluated)
        for cause, results in ((cause, Results(group)) for cause, group in by_cause.items())
        for center in results.centers
        for model_key in results.model_keys
        if model_key.role(center) != "away"
    }
    paired = {cause.name: cause.paired for cause in SHIFT_FACTORS}
    costs = []
    for (cause, model_key, center), with_ in means.items():
        cost, interval = _difference(means[NOTHING.name, model_key, center], with_, paired[cause])
        told = {"factor": cause, "model": model_key.model, "tested_on": center, "patients": len(with_)}
        costs.append({**told, "cost": cost, "interval": interval})
    return costs


def _difference(
    without: Mapping[str, float], with_: Mapping[str, float], paired: bool
) -> tuple[float, tuple[float, float] | None]:
    """Mean cost and its 95 % interval, patients drawn again."""
    if paired:
        both = np.array([without[patient] - with_[patient] for patient in sorted(without.keys() & with_.keys())])
        return float(both.mean()), bootstrap_interval(both, np.mean)
    a, b = (np.array([group[patient] for patient in sorted(group)]) for group in (without, with_))
    rng = np.random.default_rng(0)
    means = [v[rng.integers(v.size, size=(RESAMPLES, v.size))].mean(axis=1) for v in (a, b)]
    interval = percentile_interval(means[0] - means[1]) if min(a.size, b.size) > 1 else None
    return float(a.mean() - b.mean()), interval


def table(out: Path) -> str:
    """The costs as plain text, the dearest cause of each model and center first."""
    told = json.loads((Path(out) / "shift.json").read_text(encoding="utf-8"))
    lines = [f"{'mean DSC lost, nine organs':<30}{'model':<14}{'patients of':<14}{'cost':>8}   95 % interval"]
    for line in sorted(told["costs"], key=lambda line: (line["model"], line["tested_on"], -line["cost"])):
        who = f"{line['cause']:<30}{line['model']:<14}{line['tested_on']:<14}"
        interval = "{:.3f} to {:.3f}".format(*line["interval"]) if line["interval"] else "–"
        lines.append(f"{who}{line['cost']:>8.3f}   {interval}")
    return "\n".join(lines)
