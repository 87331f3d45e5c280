"""One factor at a time: each changes what it says and nothing else; costs by hand; what is done is not done again."""

from __future__ import annotations

import csv
import json
from dataclasses import fields, replace

import pytest

from pedseg.__main__ import main
from pedseg.errors import PedsegInputError
from pedseg.evaluation import domain_shift
from pedseg.evaluation.domain_shift import NOTHING, SHIFT_FACTORS, shift_costs, usual, with_protocol
from pedseg.evaluation.results import typed_rows
from pedseg.evaluation.trained_models import load_virtual_models
from pedseg.learning import network
from pedseg.learning.weights import get_weights, load_weights, save_weights
from pedseg.phantoms.centers import NECKAR, POLDER

CHANGED = {
    "contrast phase": {"phase"},
    "kernel and noise grain": {"kernel_mm", "noise_grain_mm"},
    "table": {"couch"},
    "ages": {"age_years"},
    "side of the removed kidney": {"left_share"},
    "slices of 8 mm": {"slice_mm"},
    "twice the noise": {"noise_hu"},
    "80 kV": {"kvp"},
    "oral contrast": {"oral_contrast"},
    "vacuum cushion": {"cushion"},
    "clips in every patient": {"clip_share"},
    "other contouring habits": {"contouring_protocol"},
    "on the side; turned first": {"lateral_share"},
    "on the side; as they lie": {"lateral_share"},
    "nothing": set(),
}


def differences(first, second) -> set[str]:
    return {f.name for f in fields(first) if getattr(first, f.name) != getattr(second, f.name)}


@pytest.mark.parametrize(("home", "other"), [(POLDER, NECKAR), (NECKAR, POLDER)])
@pytest.mark.parametrize("factor", SHIFT_FACTORS, ids=lambda factor: factor.name)
def test_each_factor_changes_what_it_says_and_nothing_else(factor, home, other):
    changed, plain = factor.change(home, other), with_protocol(home)
    changed_fields = differences(usual(changed), usual(plain)) | differences(
        changed, replace(plain, protocols=changed.protocols)
    )
    assert changed_fields == CHANGED[factor.name]
    assert len(changed.protocols) == 1
    assert "," not in factor.name  # it is a field of a CSV file


@pytest.mark.parametrize("factor", [c for c in SHIFT_FACTORS if c.paired], ids=lambda factor: factor.name)
def test_paired_factors_leave_the_patients_as_they_are(factor):
    usual_children, others = (
        [
            replace(scan.child, roll_deg=0.0, clips=0)
            for scan in domain_shift.planned_test_scans(domain_shift.shifted_center("Polder", c), 6)
        ]
        for c in (NOTHING, factor)
    )
    assert usual_children == others


def row(factor: str, patient: str, dsc: float, organ: str = "Liver", **values) -> dict[str, str]:
    who = {"factor": factor, "seed": "0", "model": "local", "trained_on": "Polder", "tested_on": "Polder"}
    numbers = {"hd95_mm": "", "msd_mm": "", "nsd": "", "volume_ml": "1", "predicted_ml": "1"}
    what = {"patient": patient, "case": patient, "organ": organ, "present": "1"}
    return {**who, **what, **numbers, "dsc": str(dsc), **values}


def test_costs_by_hand():
    rows = [
        *(row("nothing", p, d) for p, d in (("a", 0.9), ("b", 0.8))),
        row("nothing", "a", 0.7, "Spleen"),
        row("nothing", "a", 0.1, "Bladder"),  # none of the nine
        row("nothing", "c", 0.0) | {"dsc": "", "present": "0"},  # undefined by rule
        row("contrast phase", "a", 0.0, trained_on="Neckar"),  # not at home
        *(row("contrast phase", p, d) for p, d in (("a", 0.5), ("b", 0.6))),
        *(row("ages", p, d) for p, d in (("a", 0.7), ("d", 0.5))),
    ]
    costs = shift_costs(typed_rows(rows)).set_index("factor")
    assert costs.loc["nothing", "cost"] == 0
    assert costs.loc["contrast phase", "cost"] == pytest.approx(((0.8 - 0.5) + (0.8 - 0.6)) / 2)
    assert costs.loc["contrast phase", "interval"] == pytest.approx((0.2, 0.3))
    assert costs.loc["ages", "cost"] == pytest.approx(0.8 - 0.6)
    assert costs.loc["ages", "patients"] == 2


@pytest.fixture
def study(coarse_plan, tmp_path):
    """A finished study of untrained networks."""
    for model, trained_on in (("local", "Polder"), ("local", "Neckar"), ("federated", "Polder+Neckar")):
        file = tmp_path / "weights" / f"seed0_{model}_{trained_on}.safetensors"
        weights = get_weights(network.build(coarse_plan))
        save_weights(file, weights, coarse_plan, model=model, trained_on=trained_on, seed=0)
    return tmp_path


@pytest.mark.slow
def test_a_shift_leaves_rows_and_costs_and_goes_on_where_it_stopped(study):
    wanted = ["contrast phase", "on the side; turned first"]
    ticks = list(domain_shift.evaluate_shift(study, study, patients=1, names=wanted))
    assert ticks[-1][0] == ticks[-1][1] == len(ticks)
    rows = list(csv.DictReader((study / "shift.csv").read_text().splitlines()))
    assert {r["factor"] for r in rows} == {"nothing", *wanted}
    assert {(r["model"], r["trained_on"], r["tested_on"]) for r in rows} == {
        ("local", "Polder", "Polder"), ("local", "Neckar", "Neckar"),
        ("federated", "Polder+Neckar", "Polder"), ("federated", "Polder+Neckar", "Neckar"),
    }  # fmt: skip
    summary = json.loads((study / "shift.json").read_text())
    assert len(summary["costs"]) == 3 * 4
    assert "contrast phase" in domain_shift.table(study)
    first = (study / "shift.csv").read_bytes()
    done = {file: file.stat().st_mtime_ns for file in study.glob("work/factors_*/*")}
    list(domain_shift.evaluate_shift(study, study, patients=1, names=wanted))
    assert (study / "shift.csv").read_bytes() == first
    assert {file: file.stat().st_mtime_ns for file in study.glob("work/factors_*/*")} == done


def test_other_patients_or_other_weights_start_anew(study):
    models = load_virtual_models(study, 1)
    first = domain_shift._digest(models, 2)
    assert domain_shift._digest(models, 3) != first
    assert domain_shift._digest(models[1:], 2) != first
    assert domain_shift._digest(load_virtual_models(study, 1), 2) == first


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(PedsegInputError, match="E-NO-WEIGHTS"):
        list(domain_shift.evaluate_shift(tmp_path, tmp_path))


def test_a_study_of_other_hospitals_is_refused(study):
    file = study / "weights" / "seed0_local_Polder.safetensors"
    weights, plan, _ = load_weights(file)
    save_weights(file, weights, plan, model="local", trained_on="St Mary_West", seed=0)
    with pytest.raises(PedsegInputError, match=r"(?s)E-OTHER-CENTERS.*St Mary_West"):
        list(domain_shift.evaluate_shift(study, study))


@pytest.mark.slow
def test_the_command_line_shifts(study, capsys):
    assert (
        main(["shift", "--study", str(study), "--patients", "1", "--factor", "table", "--out", str(study / "o")]) == 0
    )
    assert "table" in capsys.readouterr().out
    assert (study / "o" / "shift.csv").is_file()
    assert main(["shift", "--study", str(study), "--factor", "moon"]) == 1
    assert "E-SHIFT-FACTOR" in capsys.readouterr().err


def test_an_unknown_factor_is_refused(study):
    with pytest.raises(PedsegInputError, match="E-SHIFT-FACTOR"):
        list(domain_shift.evaluate_shift(study, study, names=["moon"]))
