"""Let nnunetv2 plan four made-up data sets, and keep its plans beside pedseg's fingerprints of the same data.

Run it in an environment that holds nnunetv2 (README.md), from the repository root:

    PYTHONPATH=. python benchmarks/nnunet/make_plans.py tests/learning/fixtures

The data sets are blobs, not children: what a planner sees of a data set is voxel sizes, image
sizes, organs and intensities, and these are set here, one table row a data set.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pedseg.datasets.reading import read_dataset
from pedseg.datasets.writing import write_case, write_index
from pedseg.learning.fingerprint import fingerprint
from pedseg.organs import NAMES
from pedseg.scan import Scan


@dataclass(frozen=True)
class Recipe:
    """A made-up data set: its nnU-Net number, how many cases, spacings (mm) in turn, smallest and largest shape."""

    number: int
    cases: int
    spacings_mm: tuple[tuple[float, float, float], ...]
    smallest: tuple[int, int, int]
    largest: tuple[int, int, int]


RECIPES = {
    # as the lesson's scans: coarse, nearly isotropic, enough cases for a batch of more than two
    "lesson": Recipe(931, 100, ((3.0, 3.0, 4.0),), (64, 56, 48), (104, 88, 80)),
    # as planning CTs: pixels of 1 mm, slices of 2 to 3 mm
    "planning": Recipe(
        932, 5, ((1.0176, 1.0176, 2.0), (0.9766, 0.9766, 2.5), (1.1719, 1.1719, 3.0)), (256, 256, 90), (320, 300, 130)
    ),
    # thick slices, and few of them: the 10th percentile decides along z
    "thick": Recipe(933, 6, ((0.8, 0.8, 5.0), (0.75, 0.75, 6.0), (0.85, 0.85, 4.0)), (288, 256, 28), (352, 320, 48)),
    # thick along x, so that nnU-Net turns the axes
    "sagittal": Recipe(934, 5, ((3.5, 0.9, 0.9), (3.0, 1.0, 1.0)), (40, 150, 130), (56, 200, 180)),
}
MEAN_HU = (95, 100, 80, 140, 145, -780, -800, 60, 35, 30, 12, 65, 60, 150, 130, 135, 40, 240, 8)  # organ by organ


def make_case(name: str, index: int) -> tuple[Scan, Scan]:
    """Image and label map of one case: an elliptic trunk with an ellipsoid for each organ."""
    recipe = RECIPES[name]
    rng = np.random.default_rng((recipe.number, index))
    shape = rng.integers(recipe.smallest, recipe.largest, endpoint=True)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    x, y = axes[0][:, None, None], axes[1][None, :, None]
    image = np.broadcast_to(np.where((x / 0.9) ** 2 + (y / 0.8) ** 2 < 1, 20.0, -1000.0), shape).copy()
    labels = np.zeros(shape, dtype=np.uint8)
    for number, mean_hu in enumerate(MEAN_HU, start=1):
        center, radius = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.12, 0.3, 3)
        if number == 4 and index % 3 == 2:
            continue  # a removed kidney
        part = tuple(slice(*np.searchsorted(a, (c - r, c + r))) for a, c, r in zip(axes, center, radius, strict=True))
        grid = np.meshgrid(*(a[p] for a, p in zip(axes, part, strict=True)), indexing="ij", sparse=True)
        inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, center, radius, strict=True)) < 1
        labels[part][inside] = number
        image[part][inside] = mean_hu
    image += rng.normal(0.0, 25.0, shape)
    if name == "lesson" and index == 0:
        image[:6], labels[:6] = 0.0, 0  # a border of zeros, which nnU-Net cuts off
    affine = np.diag([*recipe.spacings_mm[index % len(recipe.spacings_mm)], 1.0])
    return Scan(np.round(image).astype(np.int16), affine), Scan(labels, affine)


def make_dataset(name: str, folder: Path) -> Path:
    """Write the data set as nnU-Net v2 raw; all its cases are training cases."""
    for index in range(RECIPES[name].cases):
        image, labels = make_case(name, index)
        case = f"{name}-{index:02}"
        write_case(folder, case, image, labels, patient=case, center=name, split="train", manual=NAMES)
    write_index(folder, center=name)
    return folder


def plan_with_nnunet(name: str, work: Path) -> dict:
    """Run nnunetv2's fingerprint and planner; its fingerprint and the `3d_fullres` part of its plans."""
    number = str(RECIPES[name].number)
    bins = Path(sys.executable).parent
    folders = {key: str(work / key) for key in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    for command in (["nnUNetv2_extract_fingerprint", "-np", "2", "--no_pbar"], ["nnUNetv2_plan_experiment"]):
        call = [str(bins / command[0]), "-d", number, *command[1:]]
        subprocess.run(call, env={**os.environ, **folders}, check=True, stdout=subprocess.DEVNULL)
    made = work / "nnUNet_preprocessed" / f"Dataset{number}_{name}"
    plans = json.loads((made / "nnUNetPlans.json").read_text())
    full = plans["configurations"]["3d_fullres"]
    kept = ("batch_size", "patch_size", "median_image_size_in_voxels", "spacing", "normalization_schemes")
    layers = ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage", "n_conv_per_stage_decoder")
    network = full["architecture"]["arch_kwargs"]
    prints = json.loads((made / "dataset_fingerprint.json").read_text())
    return {
        "nnunetv2": version("nnunetv2"),
        "transpose_backward": plans["transpose_backward"],
        "3d_fullres": {key: full[key] for key in kept} | {key: network[key] for key in layers},
        "spacings": prints["spacings"],
        "shapes_after_crop": prints["shapes_after_crop"],
        "intensity": prints["foreground_intensity_properties_per_channel"]["0"],
    }


def random_fingerprint(seed: int) -> dict:
    """Sizes of a data set drawn at random: spacings and shapes (z, y, x) of up to 40 cases, number of labels."""
    rng = np.random.default_rng(seed)
    cases = int(rng.integers(1, 41))
    pixel, slices = rng.uniform(0.5, 3.0), rng.uniform(0.5, 8.0)
    spacings = np.array([slices, pixel, pixel]) * rng.choice((1.0, 1.1, 1.25), (cases, 3))
    shapes = np.round(rng.integers((20, 64, 64), (240, 513, 513)) * rng.uniform(0.8, 1.2, (cases, 3))).astype(int)
    if seed % 4 == 0:  # a scanner that always does the same, with square slices
        spacings, shapes[:, 2] = np.tile((slices, pixel, pixel), (cases, 1)), shapes[:, 1]
    turned = np.roll(np.arange(3), seed % 3 if seed % 5 == 0 else 0)
    spacings = np.round(spacings[:, turned], 3)
    return {"spacings": spacings.tolist(), "shapes": shapes[:, turned].tolist(), "labels": int(rng.integers(2, 20))}


def plan_random(planner, sizes: dict) -> dict:
    """What nnunetv2's planner makes of such sizes, without the low-resolution and 2-D plans."""
    planner.dataset_fingerprint |= {"spacings": sizes["spacings"], "shapes_after_crop": sizes["shapes"]}
    planner.dataset_json |= {"numTraining": len(sizes["shapes"]), "labels": {str(i): i for i in range(sizes["labels"])}}
    planner.lowres_creation_threshold = 0
    with contextlib.redirect_stdout(io.StringIO()):
        plans = planner.plan_experiment()
    full = plans["configurations"]["3d_fullres"]
    network = full["architecture"]["arch_kwargs"]
    kept = {key: full[key] for key in ("spacing", "patch_size", "batch_size")}
    layers = {key: network[key] for key in ("strides", "kernel_sizes", "features_per_stage")}
    return sizes | {"transpose_backward": plans["transpose_backward"], **kept, **layers}


def make_random_plans(folder: Path, work: Path, number: int = 60) -> list[dict]:
    """Plans for many drawn sizes; the planner needs one real data set to start from."""
    os.environ |= {key: str(work / key) for key in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

    planner = ExperimentPlanner(folder.name)
    return [plan_random(planner, random_fingerprint(seed)) for seed in range(number)]


def main(out: Path, names: Sequence[str]) -> None:
    """Make, plan and write each fixture."""
    for name in names:
        recipe = RECIPES[name]
        with tempfile.TemporaryDirectory() as work:
            folder = make_dataset(name, Path(work) / "nnUNet_raw" / f"Dataset{recipe.number}_{name}")
            dataset = read_dataset(folder)
            ours = fingerprint(dataset, dataset.cases)  # all that nnunetv2 sees in imagesTr
            fixture = {"nnunet": plan_with_nnunet(name, Path(work)), "fingerprint": json.loads(ours.to_json())}
            keep(out / f"nnunet_plans_{name}.json", fixture)
            if name == "sagittal":
                keep(out / "nnunet_plans_random.json", make_random_plans(folder, Path(work)))


def keep(file: Path, content: object) -> None:
    """Write a fixture in one line."""
    file.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(RECIPES))
