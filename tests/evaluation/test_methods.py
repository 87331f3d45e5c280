"""Methods compared: differences by hand, every model in the rows, each hospital with its own weights, a run goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pedseg.evaluation import methods as room
from pedseg.evaluation import study_training
from pedseg.evaluation.config import METHODS, METHODS_STUDY
from pedseg.evaluation.methods import Size, compare_methods, run_methods
from pedseg.evaluation.results import read_rows, typed_rows
from pedseg.learning import training
from pedseg.learning.weights import load_weights

CHOICES = {
    "fedprox": ({"proximal_mu": 0.01}, {"proximal_mu": 1000.0}),
    "fedbn": METHODS["fedbn"],
    "fine-tuned": ({"home_steps": 1},),
}
SIZE = Size(scenarios={"study": (3, 2), "single-phase": (2, 2)}, validation=1, test=2, methods=CHOICES)
SETTINGS = replace(METHODS_STUDY, seeds=1, federation=replace(METHODS_STUDY.federation, rounds=2, local_steps=2))


def row(model: str, trained_on: str, tested_on: str, patient: str, seed: int, dsc: float) -> dict:
    named = {"seed": seed, "model": model, "trained_on": trained_on, "tested_on": tested_on, "scenario": "study"}
    return {**named, "patient": patient, "case": patient, "organ": "Liver", "present": 1, "dsc": dsc}


def test_differences_are_paired_by_patient_at_home_and_averaged_over_seeds() -> None:
    rows = []
    for seed, offset in ((0, 0.0), (1, 0.02)):
        for center, base in (("A", 0.8), ("B", 0.6)):
            for k in range(8):
                patient, dsc = f"{center}{k}", base + 0.01 * k
                rows.append(row("federated", "A+B", center, patient, seed, dsc))
                rows.append(row("scaffold", "A+B", center, patient, seed, dsc + 0.03 + offset))
                rows.append(row("fedprox", "A+B", center, patient, seed, dsc + (0.01 if k % 2 else -0.01)))
                for other in "AB":  # away, another network says nothing of home
                    rows.append(row("local", other, center, patient, seed, dsc - 0.1 if other == center else 0.0))
    lines = {(line["tested_on"], line["model"]): line for line in compare_methods(typed_rows(rows))}
    assert {where for where, _ in lines} == {"A", "B", "both"}
    assert lines["both", "federated"]["mean"] == pytest.approx(0.735) and lines["both", "federated"]["patients"] == 16
    gain, none, alone = (lines["A", model] for model in ("scaffold", "fedprox", "local"))
    assert (gain["difference"], alone["difference"]) == pytest.approx((0.04, -0.1))
    assert gain["seeds"] == pytest.approx([0.03, 0.05])
    assert gain["low"] == pytest.approx(0.04) and gain["p"] == 2 / 2**8 and gain["p_holm"] == 3 * gain["p"]
    assert none["difference"] == pytest.approx(0.0) and none["low"] < 0 < none["high"] and none["p_holm"] == 1.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny comparison: two steps a round (the first one of FedProx is free)."""
    folder = tmp_path_factory.mktemp("methods")
    list(run_methods(folder / "out", SETTINGS, data=folder / "data", size=SIZE))
    return folder


@pytest.mark.slow
def test_every_method_meets_every_patient_with_the_strength_that_was_best(finished) -> None:
    rows = read_rows(finished / "out" / "cases.csv")
    found = set(zip(rows["scenario"], rows["model"], rows["tested_on"], strict=True))
    kinds = ("local", "federated", *CHOICES)
    assert found == {(s, kind, center) for s in SIZE.scenarios for kind in kinds for center in ("Polder", "Neckar")}
    summary = json.loads((finished / "out" / "summary.json").read_text())
    trials = {line["model"]: line["dsc"] for line in summary["trials"]["study"]}
    best = max((0, 1), key=lambda k: trials[f"fedprox-{k}"])
    assert summary["chosen"]["study"]["fedprox"] == CHOICES["fedprox"][best]
    assert summary["trials"]["seed"] == SETTINGS.seeds  # one that no compared model has
    assert len(set(summary["sha256"].values())) == len(summary["sha256"]) - 2  # fine-tuned began as federated, twice
    assert "FedProx" in room.table(finished / "out")


@pytest.mark.slow
def test_a_hospital_is_tested_with_the_weights_that_it_kept(finished) -> None:
    (work,) = (finished / "out" / "study" / "work").iterdir()
    shared, polder, neckar = (
        load_weights(work / f"seed0_fedbn{where}.safetensors")[0] for where in ("", "_at_Polder", "_at_Neckar")
    )
    own = {name for name in shared if (polder[name] != neckar[name]).any()}
    assert own and all(np.array_equal(shared[name], polder[name]) for name in set(shared) - own)


@pytest.mark.slow
def test_a_second_call_trains_nothing(finished, monkeypatch) -> None:
    before = (finished / "out" / "cases.csv").read_bytes()
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(study_training, "train_rounds", None)
    list(run_methods(finished / "out", SETTINGS, data=finished / "data", size=SIZE))
    assert (finished / "out" / "cases.csv").read_bytes() == before
