"""Fingerprints, plans, and the planner of nnunetv2 as a twin (fixtures: benchmarks/nnunet/README.md)."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pedseg import organs
from pedseg.datasets.loading import load_image
from pedseg.datasets.reading import read_dataset
from pedseg.datasets.writing import write_case, write_index
from pedseg.errors import PedsegInputError
from pedseg.learning import plans
from pedseg.learning.body_mask import body_box
from pedseg.learning.fingerprint import Fingerprint, Grid, OrganCount, fingerprint, merge
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan, with_filters
from pedseg.scan import Scan, write_nifti

FIXTURES = Path(__file__).with_name("fixtures")
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "nnunet" / "make_plans.py"
NAMES = ("lesson", "planning", "thick", "sagittal")


def fixture(name: str) -> tuple[Fingerprint, dict]:
    """Our fingerprint of a data set and what nnunetv2 made of the same files."""
    content = json.loads((FIXTURES / f"nnunet_plans_{name}.json").read_text())
    return Fingerprint.from_json(json.dumps(content["fingerprint"])), content["nnunet"]


def equal_cases(cases: int = 1, *, spacing=(1.0, 1.0, 1.0), shape=(64, 64, 64), body=(64.0, 64.0, 64.0)) -> Fingerprint:
    """A fingerprint written by hand: so many equal cases with every organ, all of it at 40 HU."""
    parts = tuple(10**9 * cases * (hu == 40) for hu in range(-1024, 3072))
    counts = {name: OrganCount(cases, cases, 1000 * cases) for name in organs.NAMES}
    return Fingerprint((Grid(spacing, shape, body),) * cases, parts, counts)


def as_ours(theirs: dict, vector: list) -> list:
    """From nnunetv2's axes (turned z, y, x) to x, y, z."""
    return [vector[axis] for axis in theirs["transpose_backward"]][::-1]


# --- the planner of nnunetv2 ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_clinic_plan_is_nnunets(name: str) -> None:
    merged, theirs = fixture(name)
    plan, full = make_plan(merged, "clinic"), theirs["3d_fullres"]
    assert plan.spacing_mm == pytest.approx(as_ours(theirs, full["spacing"]), abs=2e-6)
    assert list(plan.patch) == as_ours(theirs, full["patch_size"])
    assert plan.batch == full["batch_size"]
    assert plan.network["strides"] == [as_ours(theirs, s) for s in full["strides"]]
    assert plan.network["kernels"] == [as_ours(theirs, k) for k in full["kernel_sizes"]]
    assert plan.network["filters"] == full["features_per_stage"]
    assert full["normalization_schemes"] == ["CTNormalization"]
    assert set(full["n_conv_per_stage"] + full["n_conv_per_stage_decoder"]) == {2}  # as DynUNet's blocks


@pytest.mark.parametrize("name", NAMES)
def test_clinic_normalization_is_nnunets(name: str) -> None:
    """Theirs from 10^8 voxels drawn at random: standard error of the mean 0.03 HU."""
    merged, theirs = fixture(name)
    plan, intensity = make_plan(merged, "clinic"), theirs["intensity"]
    assert plan.mean_hu == pytest.approx(intensity["mean"], abs=0.2)
    assert plan.sd_hu == pytest.approx(intensity["std"], abs=0.2)
    assert plan.clip_hu[0] == pytest.approx(intensity["percentile_00_5"], abs=1.0)
    assert plan.clip_hu[1] == pytest.approx(intensity["percentile_99_5"], abs=1.0)


@pytest.mark.parametrize("name", NAMES)
def test_fingerprint_sees_what_nnunets_sees(name: str) -> None:
    merged, theirs = fixture(name)
    ours = sorted((*grid.shape, *grid.spacing_mm) for grid in merged.grids)
    rows = zip(theirs["shapes_after_crop"], theirs["spacings"], strict=True)
    assert np.allclose(ours, sorted((*shape[::-1], *spacing[::-1]) for shape, spacing in rows), atol=2e-6)


def test_fixture_holds_todays_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored fingerprints are what `fingerprint` gives now for the same files."""
    spec = importlib.util.spec_from_file_location("make_plans", BENCHMARK)
    assert spec and spec.loader
    make_plans = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_plans", make_plans)
    spec.loader.exec_module(make_plans)
    dataset = read_dataset(make_plans.make_dataset("sagittal", tmp_path / "Dataset934_sagittal"))
    assert fingerprint(dataset, dataset.cases) == fixture("sagittal")[0]


def test_clinic_plan_is_nnunets_for_random_sizes() -> None:
    random_plans = json.loads((FIXTURES / "nnunet_plans_random.json").read_text())
    for theirs in random_plans:
        rows = zip(theirs["spacings"], theirs["shapes"], strict=True)
        grids = tuple(Grid(tuple(mm[::-1]), tuple(n[::-1]), (1.0, 1.0, 1.0)) for mm, n in rows)
        counts = {name: OrganCount(1, 1, 1) for name in organs.NAMES[: theirs["labels"] - 1]}
        plan = make_plan(replace(equal_cases(), grids=grids, organs=counts), "clinic")
        assert plan.spacing_mm == pytest.approx(as_ours(theirs, theirs["spacing"]))
        assert (list(plan.patch), plan.batch) == (as_ours(theirs, theirs["patch_size"]), theirs["batch_size"])
        assert plan.network == {
            "kind": "dynunet",
            "filters": theirs["features_per_stage"],
            "kernels": [as_ours(theirs, kernel) for kernel in theirs["kernel_sizes"]],
            "strides": [as_ours(theirs, stride) for stride in theirs["strides"]],
        }
    assert len(random_plans) == 60


def test_the_pediatric_studys_published_plan() -> None:
    """Ding et al., public code: from its spacing and median shape follow its patch, batch and network."""
    merged = equal_cases(250, spacing=(1.0176, 1.0176, 2.0), shape=(512, 512, 187))
    plan = make_plan(merged, "clinic")
    assert plan.spacing_mm == (1.0176, 1.0176, 2.0)
    assert plan.patch == (192, 192, 64)
    assert plan.batch == 2
    assert plan.network["filters"] == [32, 64, 128, 256, 320, 320]
    assert plan.network["strides"] == [[1, 1, 1], *[[2, 2, 2]] * 4, [2, 2, 1]]


@pytest.mark.parametrize("name", NAMES)
def test_dynunet_takes_the_clinic_plans_patch(name: str) -> None:
    """On torch's meta device: shapes only, no arithmetic."""
    plan = make_plan(fixture(name)[0], "clinic")
    with torch.device("meta"):
        network = build(plan).eval()
        out = network(torch.empty(1, 1, *plan.patch))
    assert tuple(out.shape) == (1, len(plan.organs) + 1, *plan.patch)


def test_a_narrower_network_is_nnunets_with_fewer_filters() -> None:
    plan = make_plan(equal_cases(), "clinic")
    narrow = with_filters(plan, 8)
    assert narrow.network["filters"] == [8, 16, 32, 64, 128, 256][: len(plan.network["strides"])]
    assert replace(narrow, network=plan.network) == plan and narrow.network["strides"] == plan.network["strides"]
    assert with_filters(plan, 32) == plan
    with pytest.raises(PedsegInputError, match="E-FILTERS"):
        with_filters(make_plan(equal_cases(), "lesson"), 8)


def test_clinic_refuses_scans_too_small_for_its_network() -> None:
    with pytest.raises(PedsegInputError, match="E-TOO-SMALL"):
        make_plan(equal_cases(shape=(12, 12, 12)), "clinic")


# --- fingerprints ----------------------------------------------------------------------------------


def write(
    folder: Path, name: str, boxes: dict[str, tuple[slice, float]], *, manual: tuple[str, ...], edge: int = 24
) -> None:
    """A case in which organs fill slabs along x (slice, HU) of a trunk of water with 2 mm voxels."""
    image, labels = np.full((edge, edge, edge), -1000), np.zeros((edge, edge, edge), np.uint8)
    image[2:-2, 2:-2] = 0
    for organ, (slab, hu) in boxes.items():
        image[slab, 4:6, 4:6], labels[slab, 4:6, 4:6] = hu, organs.organ(organ).id
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    write_case(
        folder, name, Scan(image, affine), Scan(labels, affine), patient=name, center="A", split="train", manual=manual
    )


@pytest.fixture
def dataset(tmp_path: Path):
    """Three cases: a large liver at 0 HU, a small one at 100 HU, and one without left kidney."""
    folder = tmp_path / "Dataset001_A"
    write(folder, "a", {"Liver": (slice(4, 14), 0)}, manual=("Liver",))
    write(folder, "b", {"Liver": (slice(4, 5), 100)}, manual=("Liver",), edge=20)
    write(folder, "c", {"Spleen": (slice(4, 6), 50)}, manual=("Spleen", "Kidney_L"))
    write_index(folder, center="A")
    return read_dataset(folder)


def test_fingerprint_by_hand(dataset) -> None:
    a, b = (case for case in dataset.cases if case.name in "ab")
    both = fingerprint(dataset, [a, b])
    assert both.cases == 2
    assert both.mean_hu == 50.0  # 40 voxels of 0 HU and 4 of 100 HU: cases weigh the same, not voxels
    assert both.sd_hu == 50.0
    assert (both.percentile_hu(0.5), both.percentile_hu(50), both.percentile_hu(50.1)) == (0.0, 0.0, 100.0)
    assert both.organs == {"Liver": OrganCount(annotated=2, present=2, total_mm3=44 * 8)}
    assert both.organs["Liver"].mean_ml == pytest.approx(0.176)
    assert [(grid.shape, grid.spacing_mm) for grid in both.grids] == [((20,) * 3, (2.0,) * 3), ((24,) * 3, (2.0,) * 3)]


def test_an_absent_organ_is_annotated_but_not_present(dataset) -> None:
    (case,) = (case for case in dataset.cases if case.name == "c")
    counts = fingerprint(dataset, [case]).organs
    assert counts["Kidney_L"] == OrganCount(annotated=1, present=0, total_mm3=0)
    assert counts["Kidney_L"].mean_ml == 0.0
    assert list(counts) == ["Spleen", "Kidney_L"]  # table order


def test_merged_fingerprints_are_that_of_the_pooled_cases(dataset) -> None:
    singles = [fingerprint(dataset, [case]) for case in dataset.cases]
    a, b, c = singles
    pooled = fingerprint(dataset, dataset.cases)
    assert len(set(map(Fingerprint.to_json, singles))) == 3
    assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([c, a, b]) == pooled
    assert merge([]).cases == 0 and merge([pooled, merge([])]) == pooled


def test_zero_borders_do_not_count(dataset) -> None:
    case = dataset.cases[0]
    scan = load_image(case)
    scan.voxels[:3], scan.voxels[:, :, -2:] = 0, 0
    write_nifti(case.image_file, scan)
    assert fingerprint(dataset, [case]).grids[0].shape == (21, 24, 22)


def test_fingerprint_survives_json_and_holds_no_name(dataset) -> None:
    pooled = fingerprint(dataset, dataset.cases)
    text = pooled.to_json()
    assert Fingerprint.from_json(text) == pooled
    assert set(json.loads(text)) == {"grids", "hu_histogram", "organs"}
    with pytest.raises(KeyError):
        Fingerprint.from_json("{}")


# --- the body box ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 4.0), (1.0, 1.0, 5.0)])
def test_body_box_holds_the_body_and_not_the_couch(spacing_mm: tuple[float, float, float]) -> None:
    """An elliptic trunk of 200 × 150 mm with thin-walled lungs on a hollow couch that is twice as wide."""
    field_mm = np.array([440.0, 300.0, 200.0])
    shape = np.round(field_mm / spacing_mm).astype(int)
    mm = [(np.arange(n) + 0.5) * s - f / 2 for n, s, f in zip(shape, spacing_mm, field_mm, strict=True)]
    x, y, z = np.meshgrid(*mm, indexing="ij", sparse=True)
    radius = np.sqrt((x / 100) ** 2 + (y / 75) ** 2)
    voxels = np.where((radius < 1) & (z > -1000), 40, -1000)
    voxels[(radius < 0.9) & (np.abs(x) > 20) & (z > 0)] = -800
    depth = -75 - y  # under the back; a shell of 4 mm around 40 mm of foam
    couch = np.abs(depth - 24) - 20
    voxels[(np.abs(couch) < 4) & (np.abs(x) < 200) & (z > -1000)] = 0
    box = body_box(Scan(voxels.astype(np.int16), np.diag([*spacing_mm, 1.0])))
    for axis, half in ((0, 100.0), (1, 75.0)):
        low, high = mm[axis][box[axis].start], mm[axis][box[axis].stop - 1]
        assert -half - 18 <= low <= -half and half <= high <= half + 18
    assert (box[2].start, box[2].stop) == (0, shape[2])


def test_body_box_of_two_slices_is_that_of_the_body() -> None:
    """The border of the field of view is no skin: what leaves it stays."""
    voxels = np.full((60, 60, 2), -1000, np.int16)
    voxels[20:40, 24:36] = 40
    box = body_box(Scan(voxels, np.diag([3.0, 3.0, 4.0, 1.0])))
    assert box == (slice(18, 42), slice(22, 38), slice(0, 2))


def test_body_box_of_air_is_everything() -> None:
    voxels = np.full((20, 30, 10), -1000, np.int16)
    assert body_box(Scan(voxels, np.diag([3.0, 3.0, 4.0, 1.0]))) == (slice(0, 20), slice(0, 30), slice(0, 10))


# --- plans -------------------------------------------------------------------------------------------


def test_lesson_keeps_its_voxels_for_a_child() -> None:
    plan = make_plan(equal_cases(spacing=(0.7, 0.7, 3.0), body=(240.0, 170.0, 250.0)))
    assert plan.spacing_mm == (3.0, 3.0, 4.0)
    assert plan.patch == (80, 64, 64)  # 80, 56.7 and 62.5 voxels, rounded up to multiples of 8
    assert (plan.profile, plan.batch, plan.network) == ("lesson", 1, plans.LESSON_NETWORK)
    assert plan.organs == organs.NAMES


def test_lesson_coarsens_for_an_adult_until_the_body_fits() -> None:
    body = (420.0, 280.0, 400.0)
    plan = make_plan(equal_cases(spacing=(0.9, 0.9, 2.0), body=body))
    voxels = np.prod(np.divide(body, plan.spacing_mm))
    assert 0.9 * plans.LESSON_VOXELS < voxels <= plans.LESSON_VOXELS
    assert plan.spacing_mm[2] / plan.spacing_mm[0] == pytest.approx(4 / 3, rel=1e-3)
    assert np.all(np.multiply(plan.patch, plan.spacing_mm) >= body)


def test_lesson_cuts_a_whole_body_scan_along_z() -> None:
    plan = make_plan(equal_cases(spacing=(1.0, 1.0, 3.0), body=(550.0, 400.0, 1900.0)))
    assert plan.spacing_mm == (6.0, 6.0, 8.0)
    assert plan.patch[:2] == (96, 72)
    assert np.prod(plan.patch) <= plans.LESSON_PATCH_VOXELS
    assert all(n % 8 == 0 for n in plan.patch)


def test_lesson_never_invents_slices_but_keeps_those_of_one_center() -> None:
    thick, thin = (equal_cases(spacing=(1.0, 1.0, mm), body=(200.0, 150.0, 250.0)) for mm in (8.0, 4.0))
    assert make_plan(thick).spacing_mm == (3.0, 3.0, 8.0)
    assert make_plan(merge([thick, thin])).spacing_mm == (3.0, 3.0, 4.0)


def test_organs_of_any_center_enter_in_table_order() -> None:
    a = replace(equal_cases(), organs={"Spleen": OrganCount(1, 1, 10)})
    b = replace(equal_cases(), organs={"Heart": OrganCount(1, 1, 10), "Liver": OrganCount(1, 0, 0)})
    assert make_plan(merge([a, b])).organs == ("Liver", "Spleen", "Heart")


@pytest.mark.parametrize("profile", plans.PROFILES)
def test_plan_survives_json(profile: str) -> None:
    plan = make_plan(fixture("thick")[0], profile)
    assert Plan.from_json(plan.to_json()) == plan
    with pytest.raises(TypeError):
        Plan.from_json('{"profile": "lesson"}')


def test_plan_without_labels_or_of_an_unknown_profile_is_refused() -> None:
    with pytest.raises(PedsegInputError, match="E-NO-LABELS"):
        make_plan(merge([]))
    with pytest.raises(PedsegInputError, match="E-NO-LABELS"):
        make_plan(replace(equal_cases(), hu_histogram=(0,) * 4096))
    with pytest.raises(ValueError, match="lesson, robust, clinic"):
        make_plan(equal_cases(), "night")


def test_the_robust_profile_is_the_lesson_with_a_wider_network_and_augmented_samples() -> None:
    merged = equal_cases(4, body=(300.0, 200.0, 300.0), spacing=(3.0, 3.0, 4.0))
    lesson, robust = make_plan(merged, "lesson"), make_plan(merged, "robust")
    assert robust.network["widths"] == [24, 48, 96] and lesson.network["widths"] == [16, 32, 64]
    assert replace(robust, profile="lesson", network=lesson.network) == lesson
    assert robust.recipe == replace(lesson.recipe, augmentation="nnunet", threads=None)


def test_posture_and_smallest_pieces_follow_from_profile_and_mean_volumes() -> None:
    merged = equal_cases(4, body=(300.0, 200.0, 300.0), spacing=(3.0, 3.0, 4.0))
    lesson = make_plan(merged, "lesson")
    assert (lesson.orientation, make_plan(equal_cases(4), "clinic").orientation) == ("reorient", "augment")
    assert lesson.min_component_ml == dict.fromkeys(organs.NAMES, 0.1)  # a tenth of 1 mL
    rotated = make_plan(merged, "lesson", "augment")
    assert rotated.patch[0] == rotated.patch[1] == max(lesson.patch[:2])
    assert Plan.from_json(rotated.to_json()) == rotated
    with pytest.raises(ValueError, match="no orientation"):
        make_plan(merged, "lesson", "prone")


# --- MR among the scans ------------------------------------------------------------------------------


def mr() -> Fingerprint:
    """A fingerprint of MR scans: no HU."""
    return replace(equal_cases(), hu_histogram=(0,) * 4096, modalities=("MR",))


def test_a_plan_for_ct_alone_says_nothing_of_mr() -> None:
    assert "modalities" not in equal_cases().to_json()
    assert not {"intensity", "gin_probability"} & set(json.loads(make_plan(equal_cases()).to_json()))


def test_with_mr_no_hu_is_asked_for_and_nobody_is_turned() -> None:
    merged = merge([equal_cases(), mr()])
    assert merged.modalities == ("CT", "MR") and Fingerprint.from_json(merged.to_json()) == merged
    for prints in (merged, mr()):
        plan = make_plan(prints, gin_probability=0.5)
        assert (plan.intensity, plan.mean_hu, plan.sd_hu, plan.orientation, plan.gin_probability) == (
            "body",
            0.0,
            1.0,
            "none",
            0.5,
        )
        assert Plan.from_json(plan.to_json()) == plan
    with pytest.raises(PedsegInputError, match="E-ORIENTATION"):
        make_plan(merged, orientation="reorient")


def test_mr_scans_that_nobody_contoured_make_no_plan() -> None:
    with pytest.raises(PedsegInputError, match="E-NO-LABELS"):
        make_plan(replace(mr(), organs={"Liver": OrganCount(1, 0, 0)}))


def test_the_fingerprint_of_an_mr_case_has_its_body_and_no_hu(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image, labels = np.hypot(*rng.normal(0, 8, (2, 24, 24, 24))), np.zeros((24, 24, 24), np.uint8)
    image[4:20, 6:18] += 300
    image[8:12, 8:12, 8:12], labels[8:12, 8:12, 8:12] = 900, organs.organ("Liver").id
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    for place in range(3):
        about = {"patient": f"p{place}", "center": "A", "split": "train", "manual": ("Liver",), "modality": "MR"}
        write_case(tmp_path, f"case-{place}", Scan(image, affine), Scan(labels, affine), **about, sequence="T1w")
    write_index(tmp_path, center="A")
    dataset = read_dataset(tmp_path)
    mr_print = fingerprint(dataset, dataset.cases)
    assert mr_print.modalities == ("MR",) and not any(mr_print.hu_histogram)
    assert mr_print.grids[0].body_mm == (18 * 6.0, 14 * 6.0, 144.0)  # 16 and 12 voxels, and one around
    assert mr_print.organs["Liver"].total_mm3 == 3 * 64 * 216
