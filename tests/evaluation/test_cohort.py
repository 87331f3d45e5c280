"""More patients: the first are the study's own, everybody is met by every network, and what is done stays done."""

from __future__ import annotations

import csv
import json

import pytest

from pedseg.__main__ import main
from pedseg.errors import PedsegInputError
from pedseg.evaluation.cohort import _blocks, evaluate_cohort
from pedseg.learning import network
from pedseg.learning.weights import get_weights, save_weights
from pedseg.organs import NAMES
from pedseg.phantoms.centers import COHORT, NECKAR, POLDER, planned_scans


def test_the_first_patients_are_those_of_the_study():
    blocks = _blocks(POLDER, 70)
    assert [len({scan.patient for scan in block}) for block in blocks] == [30, 30, 10]
    own = [scan for scan in planned_scans(POLDER, **COHORT) if scan.split == "test"]
    assert blocks[0] == own
    names = [scan.name for block in blocks for scan in block]
    assert len(set(names)) == len(names)


@pytest.fixture
def study(coarse_plan, tmp_path):
    """A finished study of networks that draw nothing."""
    both = ("federated", "Polder+Neckar")
    for seed, model, trained_on in ((0, "local", "Polder"), (0, "local", "Neckar"), (0, *both), (1, *both)):
        weights = {key: 0 * array for key, array in get_weights(network.build(coarse_plan)).items()}
        file = tmp_path / "study/weights" / f"seed{seed}_{model}_{trained_on}.safetensors"
        identity = {"model": model, "trained_on": trained_on, "seed": seed}
        save_weights(file, weights, coarse_plan, curve="[]", **identity)
    return tmp_path / "study"


@pytest.mark.slow
def test_every_network_meets_every_patient_and_nothing_is_done_twice(study, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["evaluate", "--study", str(study), "--patients", "1", "--seeds", "1", "--out", str(out)]
    assert main(command) == 0
    rows = list(csv.DictReader((out / "cases.csv").read_text().splitlines()))
    met = {(row["seed"], row["model"], row["trained_on"], row["tested_on"]) for row in rows}
    model_keys = [("local", "Polder"), ("local", "Neckar"), ("federated", "Polder+Neckar")]
    assert met == {("0", *model_key, center) for model_key in model_keys for center in ("Polder", "Neckar")}
    assert len(rows) == len(NAMES) * sum(len(_blocks(center, 1)[0]) for center in (POLDER, NECKAR)) * len(model_keys)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["data"] == {"Polder": {"test": 1}, "Neckar": {"test": 1}}
    assert summary["sha256"].keys() == {"seed0_local_Polder", "seed0_local_Neckar", "seed0_federated"}
    assert "patients of Polder" in capsys.readouterr().out and (out / "report.html").exists()
    done = {file: file.stat().st_mtime_ns for file in out.glob("work/*/*")}
    list(evaluate_cohort(study, out, patients=1, seeds=1))
    assert {file: file.stat().st_mtime_ns for file in out.glob("work/*/*")} == done


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(PedsegInputError, match="E-NO-WEIGHTS"):
        list(evaluate_cohort(tmp_path, tmp_path / "out", patients=1, seeds=1))
