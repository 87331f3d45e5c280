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
from statistics import fmean
from typing import Any

import numpy as np

from pedseg.evaluation.comparisons import RESAMPLES, percentile_interval
from pedseg.evaluation.jobs import WORKERS, side_by_side
from pedseg.evaluation.records import COLUMNS, as_csv
from pedseg.findings import refuse
from pedseg.learning import devices, network, prediction, training
from pedseg.learning.plans import Plan
from pedseg.metrics import score_case
from pedseg.organs import EVALUATED
from pedseg.patients.centers import CENTERS, COHORT, Appointment, Center, appointments, keep_appointment
from pedseg.patients.contouring import ContouringHabits
from pedseg.patients.scanner import CtProtocol
from pedseg.scan import Scan, write_whole

MODELS = ("local", "federated")  # the centralized one has no hospital of its own to lose
Change = Callable[[Center, Center], Center]


@dataclass(frozen=True)
class Cause:
    """One difference: its name, whether the patients stay the same, and what becomes of a center next to another.

    `posture` is how the models meet the patients' posture, where it is not as their plan says.
    """

    name: str
    change: Change
    paired: bool = True
    posture: str = ""


def usual(center: Center) -> CtProtocol:
    """The protocol that a center scans most patients with."""
    return max(center.protocols, key=lambda pair: pair[0])[1]


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


HABITS = ContouringHabits(heart_top_mm=15.0, bowel_bottom="inlet", canal="cord")
NOTHING = Cause("nothing", lambda home, other: with_protocol(home))
CAUSES = (
    NOTHING,
    Cause("contrast phase", _taken_over("phase")),
    Cause("kernel and noise grain", _taken_over("kernel_mm", "noise_grain_mm")),
    Cause("table", _taken_over("couch")),
    Cause("ages", _patients_of_the_other("age_years"), paired=False),
    Cause("side of the removed kidney", _patients_of_the_other("left_share"), paired=False),
    Cause("slices of 8 mm", _scanned(slice_mm=8.0)),
    Cause("twice the noise", lambda home, other: with_protocol(home, noise_hu=2 * usual(home).noise_hu)),
    Cause("80 kV", _scanned(kvp=80)),
    Cause("oral contrast", _scanned(oral_contrast=True)),
    Cause("vacuum cushion", _scanned(cushion=True)),
    Cause("clips in every patient", _treating(clip_share=1.0)),
    Cause("other contouring habits", _treating(habits=HABITS)),
    Cause("on the side; turned first", _treating(lateral_share=1.0), posture="turned"),
    Cause("on the side; as they lie", _treating(lateral_share=1.0), posture="ignored"),
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A network of a finished study, ready to draw."""

    model: str
    trained_on: str
    seed: int
    plan: Plan
    net: Any


def sweep(
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
    scans are drawn side by side, each in memory of its own. Leaves `causes.csv` (the columns of cases.csv behind
    `cause`) and `causes.json` in `out`; a cause that was finished before the call is not run again.
    """
    unknown = sorted(set(names) - {cause.name for cause in CAUSES})
    if unknown:
        known = ", ".join(cause.name for cause in CAUSES)
        raise refuse("E-CAUSE", ", ".join(unknown), "there is no such cause.", f"Choose from: {known}.")
    models = [one for one in load_models(study) if one.seed < seeds and one.model in MODELS]
    chosen = [cause for cause in CAUSES if not tuple(names) or cause.name in (*names, NOTHING.name)]
    work = out / "work" / f"causes_{_identity(models, patients)}"
    jobs = [(center, _run(cause, CENTERS[center], patients, models, work)) for cause in chosen for center in CENTERS]
    total = sum(len(_scans(CENTERS[center], cause, patients)) for cause in chosen for center in CENTERS)
    done = 0
    for _, scans in side_by_side(jobs, workers):
        done += scans
        yield done, total
    files = [work / _file_name(cause, center) for cause in chosen for center in CENTERS]
    text = "".join([files[0].read_text("utf-8"), *(file.read_text("utf-8").split("\n", 1)[1] for file in files[1:])])
    write_whole(out / "causes.csv", text.encode())
    costs = costs_of(list(csv.DictReader(io.StringIO(text))))
    write_whole(
        out / "causes.json", json.dumps({"patients": patients, "seeds": seeds, "costs": costs}, indent=1).encode()
    )


def _identity(models: list[Trained], patients: int) -> str:
    """A name for these models, patients and causes: with others the sweep starts anew."""
    weights = [(one.model, one.trained_on, one.seed, network.sha256_of(network.get_weights(one.net))) for one in models]
    scans = [_scans(center, cause, patients) for cause in CAUSES for center in CENTERS.values()]
    return hashlib.sha256(repr((weights, scans, CENTERS)).encode()).hexdigest()[:12]


def load_models(study: Path) -> list[Trained]:
    """The trained networks of a study folder, of all seeds that are there."""
    files = sorted(
        {file.stem: file for file in [*study.glob("seed*.safetensors"), *study.glob("weights/seed*")]}.items()
    )
    if not files:
        raise refuse("E-NO-WEIGHTS", study, "no weights of a study are here.", "Run `python3 run.py study` first.")
    models = []
    for stem, file in files:
        weights, plan, _ = training.load_weights(file)
        net = network.build(plan).to(devices.fastest_device())
        network.set_weights(net, weights)
        seed, kind, *trained_on = stem.split("_")
        models.append(Trained(kind, "+".join(trained_on or CENTERS), int(seed.removeprefix("seed")), plan, net))
    return models


def _scans(home: Center, cause: Cause, patients: int) -> list[Appointment]:
    """The test appointments of a center under a cause; the numbers of the patients are those of the study."""
    (other,) = [center for center in CENTERS.values() if center.name != home.name]
    before = {split: COHORT[split] for split in ("train", "validation")}
    planned = appointments(cause.change(home, other), **before, test=patients)
    return [scan for scan in planned if scan.split == "test"]


def _file_name(cause: Cause, center: str) -> str:
    return f"{cause.name.replace(' ', '-').replace(';', '')}_{center}.csv"


def _run(cause: Cause, home: Center, patients: int, models: list[Trained], work: Path) -> Iterator[int]:
    """All scans of one center under one cause; one tick a scan."""
    (other,) = [center for center in CENTERS.values() if center.name != home.name]
    file, rows = work / _file_name(cause, home.name), []
    changed = cause.change(home, other)
    for scan in _scans(home, cause, patients):
        if not file.exists():
            image, labels = keep_appointment(changed, scan)
            for one in models:
                if one.model != "local" or one.trained_on == home.name:
                    rows += _rows(cause, one, home.name, scan, image, labels)
        yield 1
    if rows:
        write_whole(file, as_csv(rows, ("cause", *COLUMNS)))


def _rows(cause: Cause, one: Trained, center: str, scan: Appointment, image: Scan, labels: Scan) -> list[dict]:
    plan = replace(one.plan, posture=cause.posture) if cause.posture else one.plan
    drawn = prediction.predict(one.net, image, plan)
    who = {"cause": cause.name, "seed": one.seed, "model": one.model, "trained_on": one.trained_on, "tested_on": center}
    scores = score_case(labels.voxels, drawn, image.spacing_mm, plan.organs)
    return [{**who, "patient": scan.patient, "case": scan.name, **asdict(score)} for score in scores]


def costs_of(rows: list[Mapping[str, str]]) -> list[dict[str, Any]]:
    """What each cause costs each kind of model on each center: mean DSC over the nine organs, without minus with.

    Patients are averaged over organs, scans and seeds first; the interval is a bootstrap over patients, paired
    where the cause leaves the patients as they are.
    """
    means = _patient_means(rows)
    costs = []
    for (cause, model, center), with_ in means.items():
        without = means[NOTHING.name, model, center]
        paired = next(c for c in CAUSES if c.name == cause).paired
        cost, interval = _difference(without, with_, paired)
        costs.append(
            {
                "cause": cause,
                "model": model,
                "tested_on": center,
                "patients": len(with_),
                "cost": cost,
                "interval": interval,
            }
        )
    return costs


def _patient_means(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Mean DSC of each patient over the evaluated organs that are present, by (cause, model, center)."""
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in rows:
        if row["organ"] in EVALUATED and row["dsc"] != "":
            group = values.setdefault((row["cause"], row["model"], row["tested_on"]), {})
            group.setdefault(row["patient"], []).append(float(row["dsc"]))
    return {key: {patient: fmean(dsc) for patient, dsc in group.items()} for key, group in values.items()}


def _difference(
    without: Mapping[str, float], with_: Mapping[str, float], paired: bool
) -> tuple[float, tuple[float, float]]:
    """Mean cost and its 95 % interval, patients drawn again."""
    rng = np.random.default_rng(0)
    if paired:
        both = np.array([without[patient] - with_[patient] for patient in sorted(without.keys() & with_.keys())])
        drawn = both[rng.integers(both.size, size=(RESAMPLES, both.size))].mean(axis=1)
        return float(both.mean()), percentile_interval(drawn)
    a, b = (np.array([group[patient] for patient in sorted(group)]) for group in (without, with_))
    means = [v[rng.integers(v.size, size=(RESAMPLES, v.size))].mean(axis=1) for v in (a, b)]
    return float(a.mean() - b.mean()), percentile_interval(means[0] - means[1])


def table(out: Path) -> str:
    """The costs as plain text, the dearest cause of each model and center first."""
    told = json.loads((Path(out) / "causes.json").read_text(encoding="utf-8"))
    lines = [f"{'mean DSC lost, nine organs':<30}{'model':<14}{'patients of':<14}{'cost':>8}   95 % interval"]
    for line in sorted(told["costs"], key=lambda line: (line["model"], line["tested_on"], -line["cost"])):
        low, high = line["interval"]
        who = f"{line['cause']:<30}{line['model']:<14}{line['tested_on']:<14}"
        lines.append(f"{who}{line['cost']:>8.3f}   {low:.3f} to {high:.3f}")
    return "\n".join(lines)
