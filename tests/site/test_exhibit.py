"""The exhibit's files: scores and failures as recorded, outlines and surfaces as the library computes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pedseg.evaluation.results import rows_file
from pedseg.evaluation.trained_models import weight_files
from pedseg.organs import organ
from pedseg.site import exhibit
from pedseg.viewer.case_list import STUDY, list_cases
from pedseg.viewer.failure_list import list_failures
from pedseg.workbook import lesson

SURFACES = Path(exhibit.__file__).parent / "static" / "surfaces.js"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js on this machine")


def test_gray_values_are_rounded_finely_in_soft_tissue_only():
    voxels = np.array([-1000, -203, -200, -96, 44, 46, 300, 301, 1019], np.int16)
    assert exhibit.rounded(voxels).tolist() == [-1000, -200, -200, -100, 40, 50, 300, 320, 1000]


@pytest.fixture(scope="module")
def described():
    study = lesson.recorded("study")
    cases = [case for key, case in list_cases([], study).items() if key.kind == STUDY]
    starts = {case.key.case: [1, 2, 3] for case in cases}
    return study, json.loads(json.dumps(exhibit.describe_study(study, cases, weight_files(study), starts)))


def test_scores_are_those_of_the_study(described):
    study, page = described
    rows = pd.read_csv(rows_file(study))
    rows = rows[(rows["seed"] == 0) & (rows["model"] == "local") & (rows["trained_on"] == "Polder")]
    for case in page["cases"][:3]:
        liver = rows[(rows["case"] == case["key"]) & (rows["organ"] == "Liver")].iloc[0]
        expected = [liver["volume_ml"], liver["predicted_ml"], liver["dsc"], liver["hd95_mm"]]
        assert case["scores"]["local_Polder"][str(organ("Liver").id)] == pytest.approx(expected, abs=0.006)


def test_an_absent_organ_has_no_true_volume(described):
    _, page = described
    case = next(case for case in page["cases"] if "no left kidney" in case["title"])
    for scores in case["scores"].values():
        truth, predicted, dsc, _ = scores[str(organ("Kidney_L").id)]
        assert truth is None and dsc is None and predicted is not None


def test_every_failure_of_a_supine_patient_is_listed(described):
    study, page = described
    entries = [entry for entry in list_failures(study) if entry.group != "side"]
    sentences = [[failure.sentence for failure in entry.failures] for entry in entries]
    assert [[failure["sentence"] for failure in line["failures"]] for line in page["failures"]] == sentences
    models = {failure["model"] for line in page["failures"] for failure in line["failures"]}
    assert models <= {model["key"] for model in page["models"]}
    assert sum(line["selected"] for line in page["failures"]) >= 10
    assert {line["group"] for line in page["failures"]} == set(page["lists"]) == {"evaluated", "others"}
    assert {cause for line in page["failures"] for cause in line["causes"]} == set(page["causes"])
    assert np.array(page["map"]["counts"]).sum() == sum(
        len({f["model"] for f in line["failures"]}) for line in page["failures"]
    )
    assert len(page["models"]) == 4


def in_node(tmp_path, labels, expression):
    """Evaluate an expression about `map`, a label map (x, y, z), with surfaces.js."""
    shutil.copyfile(SURFACES, tmp_path / "surfaces.mjs")
    voxels = labels.ravel(order="F").tolist()
    script = tmp_path / "run.mjs"
    script.write_text(
        'import { labelMap, surface } from "./surfaces.mjs";\n'
        f"const map = labelMap(Uint8Array.from({voxels}), {list(labels.shape)});\n"
        f"console.log(JSON.stringify({expression}));\n"
    )
    answer = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


@pytest.fixture
def labels():
    """A ball and a box that touch each other and the border, and a single voxel."""
    x, y, z = np.mgrid[0:14, 0:12, 0:10]
    labels = ((x - 6) ** 2 + (y - 5) ** 2 + (z - 5) ** 2 < 20).astype(np.uint8)
    labels[9:14, 3:9, 0:6] = 3
    labels[1, 10, 8] = 7
    return labels


@needs_node
@pytest.mark.parametrize("organ_id", [1, 3, 7])
def test_a_surface_is_closed_and_encloses_its_voxels(tmp_path, labels, organ_id):
    spacing = (3.0, 3.0, 4.0)
    expression = "((s) => [[...s.points], [...s.triangles]])" + f"(surface(map, {organ_id}, {list(spacing)}, 0))"
    points, triangles = (np.array(v).reshape(-1, 3) for v in in_node(tmp_path, labels, expression))
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, back = np.unique(edges, axis=0, return_counts=True)
    assert (back == 1).all()  # each edge once in each direction
    assert {tuple(edge) for edge in edges} == {tuple(edge[::-1]) for edge in edges}
    a, b, c = (points[triangles[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx((labels == organ_id).sum() * np.prod(spacing), rel=1e-4)  # outward, so positive


@needs_node
def test_smoothing_keeps_the_volume(tmp_path, labels):
    expression = "((s) => [[...s.points], [...s.triangles]])(surface(map, 1, [1, 1, 1]))"
    points, triangles = (np.array(v).reshape(-1, 3) for v in in_node(tmp_path, labels, expression))
    a, b, c = (points[triangles[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx((labels == 1).sum(), rel=0.15)
