"""Federations of two tiny hospitals: repeated, disturbed, stopped and taken up again."""

from __future__ import annotations

import hashlib
import random
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from flwr.app import Context, Message

from pedseg.datasets.reading import read_dataset
from pedseg.errors import PedsegInputError
from pedseg.federation.checkpoints import Round, checkpoint_file, read_checkpoint
from pedseg.federation.client_app import app as client_app
from pedseg.federation.client_app import round_seed
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.learning import training
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.inference import mean_dice
from pedseg.learning.network import build
from pedseg.learning.plans import make_plan
from pedseg.learning.training import load_cases, train
from pedseg.learning.weights import get_weights, set_weights


def grid_of(config: FederationConfig, app: Callable = client_app, workers: int = 2) -> InProcessGrid:
    return InProcessGrid(app, [{}, {}], config.to_run_config(), workers=workers)


def play(config: FederationConfig, app: Callable = client_app, workers: int = 2) -> list[Round]:
    return list(train_rounds(grid_of(config, app, workers), config))


def disturbed(spoil: Callable[[Message], Message], place: int = 1, in_round: int = 1) -> Callable:
    """The real app, but for one center's answer in one round."""

    def app(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        mine = message.metadata.message_type == "train" and context.node_config["partition-id"] == place
        return spoil(reply) if mine and message.content["config"]["server-round"] == in_round else reply

    return app


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The settings of every call of `train`."""
    calls: list[dict] = []

    def noted(*args, **settings):
        calls.append(settings)
        return train(*args, **settings)

    monkeypatch.setattr(training, "train", noted)
    return calls


def test_one_round_is_what_one_would_compute_by_hand(config: FederationConfig, hospitals: Path) -> None:
    sets = [read_dataset(folder) for folder in sorted(hospitals.iterdir())]
    plan = make_plan(merge([fingerprint(dataset, dataset.split("train")) for dataset in sets]), "lesson")
    models, cases = [], [3, 2]
    for index, dataset in enumerate(sets):
        net = build(plan, 7)
        prepared = load_cases(dataset, dataset.split("train"), plan)
        list(train(net, prepared, plan, steps=2, total_steps=4, first_step=0, seed=round_seed(7, 1, index)))
        models.append(get_weights(net))
    first, second = play(config)
    assert first.plan == plan
    for name, values in first.weights.items():
        assert np.array_equal(values, models[0][name] * (3 / 5) + models[1][name] * (2 / 5)), name
    assert list(first.losses) == ["Aa", "Bb"]
    assert first.train_loss == pytest.approx(np.average(list(first.losses.values()), weights=cases))
    assert second.sha256 != first.sha256 and second.train_loss < first.train_loss


def test_results_do_not_depend_on_the_number_of_workers(config: FederationConfig) -> None:
    assert [r.sha256 for r in play(config, workers=1)] == [r.sha256 for r in play(config, workers=2)]


def test_results_depend_on_the_seed(config: FederationConfig) -> None:
    assert play(replace(config, rounds=1))[0].sha256 != play(replace(config, rounds=1, seed=8))[0].sha256


def test_training_goes_on_from_given_weights(config: FederationConfig, tmp_path: Path) -> None:
    once = replace(config, rounds=1, out=tmp_path / "out")
    (first,) = play(once)
    given = [list(train_rounds(grid_of(once), once, plan=first.plan, weights=w)) for w in (None, first.weights)]
    assert given[0][0].sha256 == first.sha256  # taken up
    assert given[1][0].sha256 != first.sha256  # another start is another run
    start = get_weights(build(first.plan, config.seed))
    (same,) = train_rounds(grid_of(once), replace(once, out=None), plan=first.plan, weights=start)
    assert same.sha256 == first.sha256


def test_one_learning_rate_schedule_runs_through_all_rounds(config: FederationConfig, counted: list[dict]) -> None:
    play(config, workers=1)
    assert [call["first_step"] for call in counted] == [0, 0, 2, 2]
    assert {(call["steps"], call["total_steps"]) for call in counted} == {(2, 4)}
    assert len({call["seed"] for call in counted}) == 4


def test_the_round_goes_on_without_a_center_that_fails(config: FederationConfig) -> None:
    def fail(_: Message) -> Message:
        raise MemoryError("no memory left")

    first, second = play(config, disturbed(fail))
    assert [(f.code, f.file) for f in first.refused] == [("E-CENTER-ERROR", "Bb")]
    assert "no memory left" in first.refused[0].problem
    assert list(first.losses) == ["Aa"]
    assert second.refused == () and list(second.losses) == ["Aa", "Bb"]


def test_a_round_without_any_update_ends_the_run(config: FederationConfig) -> None:
    def app(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "train":
            raise RuntimeError("strike")
        return client_app(message, context)

    with pytest.raises(PedsegInputError) as caught:
        play(config, app)
    assert [f.file for f in caught.value.problems] == ["Aa", "Bb"]


def test_a_center_that_cannot_describe_its_data_is_named_before_training(config: FederationConfig) -> None:
    grid = InProcessGrid(client_app, [{}, {"data-dir": "nowhere"}], config.to_run_config())
    with pytest.raises(PedsegInputError, match="nowhere"):
        list(train_rounds(grid, config))


def test_two_centers_with_one_number_are_refused(config: FederationConfig) -> None:
    grid = InProcessGrid(client_app, [{}, {"partition-id": 0}], config.to_run_config())
    with pytest.raises(PedsegInputError, match="E-CENTER-TWICE"):
        list(train_rounds(grid, config))


def test_a_stopped_federation_ends_as_an_unbroken_one(
    config: FederationConfig, tmp_path: Path, counted: list[dict]
) -> None:
    whole = play(config)
    config = replace(config, out=tmp_path)
    begun = train_rounds(grid_of(config), config)
    next(begun)
    begun.close()
    counted.clear()
    taken_up = play(config)
    assert len(counted) == 2  # the second round of both centers, nothing else
    assert [r.restored for r in taken_up] == [True, False]
    assert [r.sha256 for r in taken_up] == [r.sha256 for r in whole]
    assert [(r.train_loss, r.losses) for r in taken_up] == [(r.train_loss, r.losses) for r in whole]


def test_a_damaged_checkpoint_costs_its_round_only(config: FederationConfig, tmp_path: Path) -> None:
    config = replace(config, out=tmp_path)
    whole = play(config)
    file = checkpoint_file(tmp_path / "rounds", 2)
    content = bytearray(file.read_bytes())
    content[-5] ^= 64  # one bit in the weights
    file.write_bytes(content)
    again = play(config)
    assert [r.restored for r in again] == [True, False]
    assert again[-1].sha256 == whole[-1].sha256
    file.write_bytes(file.read_bytes()[:-100])
    assert read_checkpoint(file) is None
    shutil.copy(file, file.with_name(f"{file.stem} copy.safetensors"))  # somebody's backup
    assert play(config)[-1].sha256 == whole[-1].sha256


@pytest.mark.parametrize("other", [{"seed": 8}, {"local_steps": 1}])
def test_checkpoints_of_other_settings_are_not_taken_up(config: FederationConfig, tmp_path: Path, other: dict) -> None:
    config = replace(config, out=tmp_path)
    play(config)
    assert not any(r.restored for r in play(replace(config, **other)))


def _change_a_voxel(file: Path) -> None:
    """Change one voxel in a corner."""
    image = nib.load(file)
    voxels = np.asanyarray(image.dataobj).copy()
    voxels[0, 0, 0] += 1
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), file)


@pytest.mark.parametrize(("split", "folder"), [("train", "imagesTr"), ("validation", "labelsTr")])
def test_checkpoints_of_other_data_are_not_taken_up(
    config: FederationConfig, hospitals: Path, tmp_path: Path, split: str, folder: str
) -> None:
    """Neither is in a fingerprint: a scan outside its organs, and contours of a validation case."""
    data = shutil.copytree(hospitals, tmp_path / "data")
    config = replace(config, data=data, out=tmp_path / "out")
    play(config)
    first = sorted(data.iterdir())[0]
    name = read_dataset(first).split(split)[0].name
    (file,) = (first / folder).glob(f"{name}*")
    before, table = file.read_bytes(), first / "cases.tsv"
    file.write_bytes(before)  # written again
    assert all(r.restored for r in play(config))
    _change_a_voxel(file)
    stated, now = (hashlib.sha256(content).hexdigest() for content in (before, file.read_bytes()))
    table.write_text(table.read_text().replace(stated, now))  # the change was meant
    assert not any(r.restored for r in play(config))


def test_old_checkpoints_go_when_asked(config: FederationConfig, tmp_path: Path) -> None:
    config = replace(config, out=tmp_path, keep_rounds=1)
    last = play(config)[-1]
    assert [file.name for file in (tmp_path / "rounds").iterdir()] == ["round_002.safetensors"]
    assert [(r.number, r.sha256) for r in play(config)] == [(2, last.sha256)]


def test_validation_is_the_mean_over_the_cases_of_all_centers(config: FederationConfig, hospitals: Path) -> None:
    first, second = play(replace(config, evaluate_every=2))
    assert first.validation_dsc is None
    net = build(second.plan)
    set_weights(net, second.weights)
    sets = [read_dataset(folder) for folder in sorted(hospitals.iterdir())]
    scores = [
        mean_dice(net, load_cases(dataset, dataset.split("validation"), second.plan), second.plan) for dataset in sets
    ]
    assert second.validation_dsc == pytest.approx(np.mean(scores))


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"local_steps": 0}, {"seed": -1}, {"rounds": 1.5}, {"min_available_centers": "two"}]
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match=next(iter(wrong)).replace("_", "-")):
        FederationConfig(**wrong)


def test_nothing_touches_the_network_or_the_random_generators(
    config: FederationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, lambda *args: attempts.append(args))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: attempts.append(args))
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    play(config)
    assert attempts == []
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
