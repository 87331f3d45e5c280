"""One network without a federation: on one's own data, on several data sets pooled, on phantoms of all kinds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.__main__ import main
from pedseg.datasets.reading import read_dataset
from pedseg.evaluation import single_training
from pedseg.evaluation.trained_models import load_model
from pedseg.learning import training
from pedseg.learning.weights import load_weights
from pedseg.phantoms.varied import VARIED


@pytest.mark.slow
def test_ones_own_data_alone_and_pooled(hospitals: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    first = sorted(hospitals.iterdir())[0]
    words = ["--rounds", "2", "--local-steps", "2", "--seed", "3"]
    assert main(["train", "--data", str(first), *words, "--out", str(tmp_path / "one")]) == 0
    assert main(["train", "--data", str(hospitals), *words, "--out", str(tmp_path / "both")]) == 0
    one, both = (load_model(tmp_path / name / single_training.MODEL) for name in ("one", "both"))
    center = read_dataset(first).center
    assert (str(one.key), one.seed, one.plan.profile) == (f"{center} alone", 3, "lesson")
    assert (both.key.model, both.key.trained_on) == ("centralized", "Aa+Bb")
    steps = [[point["step"] for point in single_training.curve(tmp_path / name / "model.safetensors")] for name in
             ("one", "both")]  # fmt: skip
    assert steps == [[2, 4], [4, 8]]
    assert "validation DSC" in capsys.readouterr().out
    before = load_weights(tmp_path / "one" / "model.safetensors")[0]
    monkeypatch.setattr(training, "train", None)  # what is finished is not trained again
    assert main(["train", "--data", str(first), *words, "--out", str(tmp_path / "one")]) == 0
    after = load_weights(tmp_path / "one" / "model.safetensors")[0]
    assert all((before[name] == after[name]).all() for name in before)


def test_nothing_to_train_on_is_refused(hospitals: Path, tmp_path: Path, capsys) -> None:
    folder = shutil.copytree(sorted(hospitals.iterdir())[0], tmp_path / "data")
    table = (folder / "cases.tsv").read_text().replace("\ttrain\t", "\tvalidation\t")
    (folder / "cases.tsv").write_text(table)
    assert main(["train", "--data", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "E-SPLIT-EMPTY" in capsys.readouterr().err and not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
def test_the_robust_profile_on_phantoms_of_all_kinds(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    coarse = replace(VARIED, build_mm=(6.0, 6.0, 6.0))
    monkeypatch.setattr(single_training, "VARIED", coarse)
    monkeypatch.setattr(single_training, "VARIED_COHORT", {"train": 3, "validation": 1, "test": 1})
    assert main(["train", "--rounds", "1", "--local-steps", "2", "--out", "out"]) == 0
    _, plan, identity = load_weights(tmp_path / "out" / "model.safetensors")
    assert plan.profile == "robust" and plan.network == {"kind": "compact", "widths": [24, 48, 96]}
    assert identity["trained_on"] == "Varied" and len(plan.organs) == 19
    assert main(["score", "--model", "out/model.safetensors", "--data", "runs/varied_data", "--out", "scores"]) == 0
    assert "Liver" in capsys.readouterr().out
