"""How good the models are at home: the rows of `score`, as one matrix, with a report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pedseg.__main__ import main
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.errors import PedsegInputError
from pedseg.evaluation.cross_site import by_organ, matrix, score_models
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.scoring import load_labeled_scans, score
from pedseg.evaluation.trained_models import load_model
from pedseg.federation import transports
from pedseg.federation.config import FederationConfig
from pedseg.learning.weights import load_weights, save_weights
from pedseg.organs import NAMES, organ
from pedseg.scan import Scan, read_nifti, write_nifti


@pytest.fixture(scope="module")
def models(hospitals: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A federated model as `federate` leaves it, and a local one (the same weights under another name)."""
    out = tmp_path_factory.mktemp("out")
    list(transports.federate(FederationConfig(data=hospitals, out=out, rounds=1, local_steps=1, seed=7)))
    weights, plan, _ = load_weights(out / "federated.safetensors")
    save_weights(out / "mine.safetensors", weights, plan, model="local", trained_on="Aa", seed=7)
    return [out / "federated.safetensors", out / "mine.safetensors"]


@pytest.mark.slow
def test_the_federated_model_beside_ones_own(models: list[Path], hospitals: Path, tmp_path: Path, capsys) -> None:
    words = [word for file in models for word in ("--model", str(file))]
    assert main(["score", *words, "--data", str(hospitals), "--out", str(tmp_path)]) == 0
    rows = read_rows(tmp_path / "cases.csv")
    by_hand = score(load_model(models[0]), load_labeled_scans(*map(read_dataset, sorted(hospitals.iterdir()))))
    federated = rows[rows["model"] == "federated"]
    assert set(federated["trained_on"]) == {"Aa+Bb"} and len(federated) == len(by_hand)
    assert federated["dsc"].mean() == pytest.approx(by_hand["dsc"].mean(), rel=1e-5)
    table = matrix(rows)
    assert list(table.columns) == ["patients of Aa", "patients of Bb"] and set(table.index) == {"federated", "Aa alone"}
    assert (tmp_path / "report.html").is_file() and "federated" in capsys.readouterr().out
    assert list(score_models(models, hospitals, tmp_path))[-1] == (4, 4)  # what is finished is not run again


def test_what_cannot_be_compared_is_refused(models: list[Path], hospitals: Path, tmp_path: Path) -> None:
    with pytest.raises(PedsegInputError, match="E-SAME-MODEL"):
        list(score_models([models[0], models[0]], hospitals, tmp_path))
    folder = shutil.copytree(sorted(hospitals.iterdir())[0], tmp_path / "data")
    table = (folder / "cases.tsv").read_text().replace("\ttest\t", "\ttrain\t")
    (folder / "cases.tsv").write_text(table)
    with pytest.raises(PedsegInputError, match="E-"):
        list(score_models(models, folder, tmp_path))


@pytest.mark.slow
def test_a_public_collection_is_imported_scored_by_organ_and_shown(root, tmp_path: Path, capsys) -> None:
    """AMOS22 in small: its list, its numbers, fewer organs than ours; a missing bowel has no score."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    case = dataset.split("test")[0]
    image, truth = load_image(case), load_labels(dataset, case)
    amos = {"1": "spleen", "2": "right kidney", "6": "liver", "8": "aorta"}
    theirs_of = dict(zip(("Spleen", "Kidney_R", "Liver", "A_Aorta"), amos, strict=True))
    drawn = np.zeros_like(truth.voxels)
    for name, theirs in theirs_of.items():
        drawn[truth.voxels == organ(name).id] = int(theirs)
    source = tmp_path / "amos22"
    write_nifti(source / "imagesTr" / "amos_0004.nii.gz", image)
    write_nifti(source / "labelsTr" / "amos_0004.nii.gz", Scan(drawn, truth.affine))
    entry = {"image": "./imagesTr/amos_0004.nii.gz", "label": "./labelsTr/amos_0004.nii.gz"}
    listing = {"labels": {"0": "background"} | amos, "training": [entry], "test": []}
    (source / "dataset.json").write_text(json.dumps(listing))
    federated = root / "data_samples" / "results" / "study" / "seed0_federated.safetensors"
    words = ["--model", str(federated), "--data", str(source), "--out", str(tmp_path / "out"), "--pictures"]
    for _ in range(2):  # what is imported and scored is not imported and scored again
        assert main(["score", *words]) == 0
    rows = read_rows(tmp_path / "out" / "cases.csv")
    present = rows[rows["present"]]
    assert {*present["organ"]} == {"Spleen", "Kidney_R", "Liver", "A_Aorta"} == {*rows["organ"]}
    table = by_organ(rows)["federated"]
    assert list(table.index) == [name for name in NAMES if name in {*present["organ"]}]
    assert table.loc["Liver", "patients"] == 1 and table.loc["Liver", "dsc"] > 0.85
    assert table.loc["Spleen", "dsc"] == pytest.approx(present.set_index("organ").loc["Spleen", "dsc"], abs=6e-4)
    printed = capsys.readouterr().out
    assert "Liver" in printed and "Bowel" not in printed
    assert "data:image/png" in (tmp_path / "out" / "report.html").read_text()


def test_a_contour_that_is_corrected_is_scored_again(models: list[Path], hospitals: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sorted(hospitals.iterdir())[0], tmp_path / "data")
    words = ["score", "--model", str(models[0]), "--data", str(folder), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before = read_rows(tmp_path / "out" / "cases.csv")
    (file,) = (folder / "labelsTs").iterdir()
    labels = read_nifti(file)
    labels.voxels[:2, :2, :2] = organ("Liver").id
    write_nifti(file, labels)
    assert main(words) == 0
    after = read_rows(tmp_path / "out" / "cases.csv")
    liver = [rows.loc[rows["organ"] == "Liver", "volume_ml"].item() for rows in (before, after)]
    assert liver[1] == pytest.approx(liver[0] + 8 * labels.voxel_ml, abs=0.01)


@pytest.mark.slow
def test_another_public_scan_is_scored_by_itself(root, tmp_path: Path) -> None:
    """With the same --out, the second table is that of the second source, and a corrected map counts."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    out, weights = tmp_path / "out", root / "data_samples" / "results" / "study" / "seed0_federated.safetensors"
    cases = []
    for name, case in zip("ab", dataset.split("test"), strict=False):
        image, truth = load_image(case), load_labels(dataset, case)
        drawn = np.where(truth.voxels == organ("Liver").id, np.uint8(1), np.uint8(0))
        write_nifti(tmp_path / name / "image.nii.gz", image)
        write_nifti(tmp_path / name / "label.nii.gz", Scan(drawn, truth.affine))
        entry = {"image": "image.nii.gz", "label": "label.nii.gz"}
        (tmp_path / name / "list.json").write_text(json.dumps({"labels": {"1": "liver"}, "training": [entry]}))
        words = ["score", "--model", str(weights), "--data", str(tmp_path / name / "list.json"), "--out", str(out)]
        assert main(words) == 0
        rows = read_rows(out / "cases.csv")
        assert rows["patient"].nunique() == 1
        cases.append(rows["volume_ml"].max())
    assert cases[0] != cases[1]
    drawn[: len(drawn) // 2] = 0
    drawn[0, 0, 0] = 1
    write_nifti(tmp_path / "b" / "label.nii.gz", Scan(drawn, truth.affine))
    assert main(words) == 0
    assert read_rows(out / "cases.csv")["volume_ml"].max() < cases[1]


def test_a_folder_without_a_scan_is_refused_by_its_own_name(root, tmp_path: Path, capsys) -> None:
    """A data set whose making was interrupted has no dataset.json; nothing is scored in its place."""
    folder = shutil.copytree(root / "data_samples" / "Dataset901_Polder", tmp_path / "unfinished")
    (folder / "dataset.json").unlink()
    federated = root / "data_samples" / "results" / "study" / "seed0_federated.safetensors"
    words = ["--model", str(federated), "--data", str(folder), "--out", str(tmp_path / "out")]
    assert main(["score", *words]) == 1
    said = capsys.readouterr().err
    assert "E-NO-SCAN" in said and str(folder) in said
    assert main(["score", *words[:-1], str(folder / "scores")]) == 1  # what it writes would change its own source
    assert "E-OUT-NAME" in capsys.readouterr().err and not (folder / "scores").exists()
