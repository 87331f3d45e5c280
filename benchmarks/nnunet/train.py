"""Train nnU-Net v2 by its own trainer for so many minutes, and let it draw the test cases of a data set.

Run it in the environment of this folder's README.md, from the repository's root:

    PYTHONPATH=. benchmarks/.venv-nnunet/bin/python benchmarks/nnunet/train.py DATASET OUT --minutes 30

Planner, preprocessing, network, loss, augmentation, optimizer and learning rate are nnU-Net's. Three things are told:
the trainer without mirroring (a mirrored left kidney is no right kidney); one thread, with the data loader in the same
process, so that CPU time is one number; and how long: the polynomial schedule ends with the minutes. `--spacing` plans
voxels of another size, as `nnUNetv2_plan_experiment -overwrite_target_spacing` does. With `--device cuda` the minutes
are those of the clock, and threads and data loaders are nnU-Net's own.
OUT holds the label maps (NIfTI) and `run.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAME, NUMBER, PLANS = "Dataset999_Benchmark", 999, "nnUNetPlans"
STEPS_AN_EPOCH = 10  # nnU-Net's rate falls from epoch to epoch; with its own 250 it would hardly fall in minutes


def main() -> None:
    """Prepare, train, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="x y z; default: nnU-Net's own plan")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    _set_folders(options.out / "nnunet")
    prepare(options.dataset, options.spacing)
    trainer, run = train(options.minutes * 60, options.device)
    draw(trainer, options.dataset, options.out)
    run |= {"spacing": list(trainer.configuration_manager.spacing[::-1])}
    run |= {"patch": list(trainer.configuration_manager.patch_size[::-1]), "batch": trainer.batch_size}
    (options.out / "run.json").write_text(json.dumps(run, indent=1))


def _set_folders(folder: Path) -> None:
    """nnU-Net reads its folders from the environment when it is imported."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
        (folder / name).mkdir(parents=True, exist_ok=True)
    os.environ["nnUNet_n_proc_DA"] = "1"  # the planner takes it for a number of threads
    os.environ["nnUNet_compile"] = "f"


def prepare(dataset: Path, spacing: list[float] | None) -> None:
    """Give nnU-Net the training cases, let it plan and preprocess."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    raw, preprocessed = (Path(os.environ[f"nnUNet_{part}"]) / NAME for part in ("raw", "preprocessed"))
    if (preprocessed / "splits_final.json").exists():
        return
    for part in ("imagesTr", "labelsTr"):
        shutil.copytree(dataset / part, raw / part, dirs_exist_ok=True)
    shutil.copyfile(dataset / "dataset.json", raw / "dataset.json")
    api.extract_fingerprints([NUMBER], num_processes=1)
    order = spacing and spacing[::-1]  # nnU-Net's axes are z, y, x
    api.plan_experiments([NUMBER], overwrite_target_spacing=order, overwrite_plans_name=PLANS)
    api.preprocess([NUMBER], PLANS, configurations=("3d_fullres",), num_processes=(1,))
    shutil.copyfile(dataset / "splits_final.json", preprocessed / "splits_final.json")


def train(seconds: float, device: str) -> tuple[Any, dict[str, Any]]:
    """A trainer that has trained for so many seconds (on a CPU of processor time), and what it did."""
    import torch

    on_cpu, clock = device == "cpu", time.process_time if device == "cpu" else time.perf_counter
    if on_cpu:
        os.environ["nnUNet_n_proc_DA"] = "0"  # the data loader in this process
        torch.set_num_threads(1)
    else:
        del os.environ["nnUNet_n_proc_DA"]  # as many loaders as nnU-Net takes by itself
    epochs = max(1, round(seconds / seconds_a_step(make_trainer(1000, device), clock) / STEPS_AN_EPOCH))
    trainer, start = make_trainer(epochs, device), clock()
    losses = list(itertools.islice(steps(trainer), epochs * STEPS_AN_EPOCH))
    used = (clock() - start) / 60
    return trainer, {
        "cpu_minutes" if on_cpu else "minutes": used,
        "steps": len(losses),
        "loss": sum(losses[-50:]) / len(losses[-50:]),
    }


def seconds_a_step(trainer: Any, clock: Callable[[], float], trial: int = 3) -> float:
    """Seconds of a training step: the mean of three, after one that warms up."""
    trained = steps(trainer)
    next(trained)
    start = clock()
    for _ in itertools.islice(trained, trial):
        pass
    return (clock() - start) / trial


def make_trainer(epochs: int, device: str) -> Any:
    """nnU-Net's trainer without mirroring, with a schedule of so many epochs."""
    import torch
    from nnunetv2.training.nnUNetTrainer.variants.data_augmentation import nnUNetTrainerNoMirroring as variant

    folder = Path(os.environ["nnUNet_preprocessed"]) / NAME
    plans, dataset = (json.loads((folder / name).read_text()) for name in (f"{PLANS}.json", "dataset.json"))
    plans["continue_training"] = False  # as nnUNetv2_train puts it there
    torch.manual_seed(0)
    trainer = variant.nnUNetTrainerNoMirroring(plans, "3d_fullres", 0, dataset, device=torch.device(device))
    trainer.num_epochs, trainer.num_iterations_per_epoch = epochs, STEPS_AN_EPOCH
    trainer.initialize()
    return trainer


def steps(trainer: Any) -> Iterator[float]:
    """nnU-Net's own training steps, one at a time; yields the loss of each."""
    trainer.on_train_start()
    while True:
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        for _ in range(trainer.num_iterations_per_epoch):
            yield float(trainer.train_step(next(trainer.dataloader_train))["loss"])
        trainer.current_epoch += 1


def draw(trainer: Any, dataset: Path, out: Path) -> None:
    """Label maps of the test cases, by nnU-Net's sliding window."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    device = trainer.device
    predictor = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=device.type == "cuda", device=device)
    weights = [trainer.network.state_dict()]
    trainer.set_deep_supervision_enabled(False)
    predictor.manual_initialization(
        trainer.network, trainer.plans_manager, trainer.configuration_manager, weights, trainer.dataset_json,
        type(trainer).__name__, None,
    )  # fmt: skip
    files = SimpleITKIO()
    for image in sorted((dataset / "imagesTs").glob("*_0000.nii.gz")):
        voxels, properties = files.read_images([str(image)])
        labels = predictor.predict_single_npy_array(voxels, properties)
        files.write_seg(labels, str(out / image.name.replace("_0000", "")), properties)


if __name__ == "__main__":
    main()
