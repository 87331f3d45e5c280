"""Training: it learns, it repeats, it can be cut anywhere; predictions land on the scan's own grid."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from pedseg.datasets.reading import read_dataset
from pedseg.errors import PedsegInputError
from pedseg.learning import inference, network, training
from pedseg.learning.preprocessing import prepare
from pedseg.learning.weights import get_weights, load_network, load_weights, save_weights, set_weights, sha256_of
from pedseg.scan import Scan, read_nifti, write_nifti


@pytest.fixture
def prepared(patient, plan):
    return [prepare(*[patient[0], plan, patient[1]], name="one")]


def weights_after(plan, prepared, steps, *, first_step=0, start=None, seed=0):
    net = network.build(plan, 3)
    if start:
        set_weights(net, start)
    list(training.train(net, prepared, plan, steps=steps, first_step=first_step, total_steps=40, seed=seed))
    return get_weights(net)


def test_a_tiny_network_learns_one_patient_and_predicts_on_the_scans_own_grid(patient, make_plan):
    plan = make_plan(network={"kind": "compact", "widths": [16, 16]})
    prepared = [prepare(patient[0], plan, patient[1])]
    net = network.build(plan, 0)
    losses = [step.loss for step in training.train(net, prepared, plan, steps=200, total_steps=200)]
    assert losses[-1] < 0.4 * losses[0]
    assert inference.mean_dice(net, prepared, plan) > 0.9
    labels = inference.predict(net, patient[0], plan)
    assert labels.shape == patient[0].shape
    assert labels.dtype == np.uint8
    truth = patient[1].voxels
    assert (
        2 * np.count_nonzero((labels == truth) & (truth > 0)) / (np.count_nonzero(labels) + np.count_nonzero(truth))
        > 0.8
    )


def test_a_corrected_contour_is_read_again(hospitals, plan, tmp_path):
    folder = shutil.copytree(sorted(hospitals.iterdir())[0], tmp_path / "data")
    dataset = read_dataset(folder)
    case = dataset.split("train")[0]
    (before,) = training.load_cases(dataset, [case], plan)
    assert training.load_cases(dataset, [case], plan)[0] is before
    labels = read_nifti(case.label_file)
    labels.voxels[:] = 0
    write_nifti(case.label_file, labels)
    (after,) = training.load_cases(dataset, [case], plan)
    assert before.labels.any() and not after.labels.any()


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(plan, prepared):
    first, again = (weights_after(plan, prepared * 3, 4) for _ in range(2))
    assert sha256_of(first) == sha256_of(again)


def test_another_seed_gives_another_order_of_cases(plan, prepared, patient):
    other = prepare(Scan(patient[0].voxels + np.int16(30), patient[0].affine), plan, patient[1])
    cases = [*prepared, other]
    digests = {sha256_of(weights_after(plan, cases, 1, seed=seed)) for seed in range(6)}
    assert len(digests) == 2


@pytest.mark.parametrize("profile", ["lesson", "clinic"])
def test_learning_rate_follows_the_steps_of_the_whole_run(make_plan, profile):
    rates = [training.learning_rate(make_plan(profile), number, 100) for number in range(1, 101)]
    assert max(rates) <= 1e-2
    assert rates[-1] < 0.1 * max(rates)
    if profile == "clinic":
        assert rates[50] == pytest.approx(1e-2 * 0.5**0.9)


@pytest.mark.slow
def test_clinic_profile_trains_patches_with_deep_supervision(make_plan, patient):
    plan = make_plan("clinic", patch=(16, 16, 16), batch=2)
    net = network.build(plan, 0)
    cases = [prepare(patient[0], plan, patient[1])]
    steps = list(training.train(net, cases, plan, steps=3, total_steps=3))
    assert [step.number for step in steps] == [1, 2, 3]
    assert inference.predict(net, patient[0], plan).shape == patient[0].shape


def test_no_cases_is_an_error_before_anything_happens(plan):
    with pytest.raises(PedsegInputError, match="no training case"):
        next(training.train(network.build(plan), [], plan, steps=1, total_steps=1))


def test_a_loss_that_is_no_number_stops_the_training(plan, prepared):
    net = network.build(plan)
    with torch.no_grad():
        next(net.parameters()).fill_(math.nan)
    with pytest.raises(PedsegInputError, match="loss is nan"):
        list(training.train(net, prepared, plan, steps=1, total_steps=1))


def test_weights_and_plan_come_back_from_disk(tmp_path, plan):
    weights = get_weights(network.build(plan))
    save_weights(tmp_path / "w.safetensors", weights, plan, model="local", round=3)
    again, same_plan, metadata = load_weights(tmp_path / "w.safetensors")
    assert sha256_of(again) == sha256_of(weights)
    assert same_plan == plan
    assert metadata == {"model": "local", "round": "3"}


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_file_that_holds_no_weights_is_named(tmp_path, content):
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    with pytest.raises(PedsegInputError, match=r"w\.safetensors"):
        load_weights(file)


def test_a_file_of_weights_becomes_a_network_that_draws(patient, plan, tmp_path):
    net = network.build(plan, 4)
    save_weights(tmp_path / "w.safetensors", get_weights(net), plan)
    again, read = load_network(tmp_path / "w.safetensors")
    assert read == plan
    assert np.array_equal(inference.predict(again, patient[0], plan), inference.predict(net, patient[0], plan))


def test_a_plan_that_rotates_trains_on_turned_bodies(plan, prepared):
    turning = replace(plan, orientation="augment")
    rotated, plain = weights_after(turning, prepared, 4), weights_after(plan, prepared, 4)
    assert any(not np.array_equal(rotated[name], plain[name]) for name in plain)
    again = weights_after(turning, prepared, 4)
    assert all(np.array_equal(rotated[name], again[name]) for name in rotated)


@pytest.mark.parametrize("patch, cut", [((16, 16, 16), True), ((24, 16, 16), False), ((32, 32, 16), False)])
def test_training_and_prediction_see_the_same_part_of_a_body(prepared, make_plan, patch, cut):
    plan, seen = make_plan(patch=patch), set()
    net = network.build(plan, 0)
    net.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape[2:])))
    list(training.train(net, prepared, plan, steps=2, total_steps=2))
    inference.probabilities(net, prepared[0].image, plan)
    assert plan.uses_whole_volume(prepared[0].image.shape) != cut
    assert seen == {patch if cut else prepared[0].image.shape}


def test_cases_of_one_batch_are_padded_to_the_largest(prepared, make_plan):
    plan, seen = make_plan(batch=2), set()
    small = replace(prepared[0], image=prepared[0].image[:, :, 8:], labels=prepared[0].labels[:, :, 8:])
    net = network.build(plan, 0)
    net.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape)))
    list(training.train(net, [*prepared, small], plan, steps=1, total_steps=1))
    assert seen == {(2, 1, *prepared[0].image.shape)}


def test_small_numbers_are_numbers_again_after_training_and_prediction(patient, plan):
    prepared = [prepare(patient[0], plan, patient[1])]
    net = network.build(plan)
    for _ in training.train(net, prepared, plan, steps=2, total_steps=2):
        assert np.float32(1e-40) * np.float32(1) > 0  # between two steps, too
    inference.predict(net, patient[0], plan)
    assert np.float32(1e-40) * np.float32(1) > 0
    grid = np.argwhere(np.ones((6, 6, 2))) * (1.0, 1.0, 3.0)  # with ties; where 0 + the smallest number is 0, no end
    assert KDTree(grid).query(grid[3])[0] == 0


def test_a_displacement_is_added_over_the_steps_in_proportion_to_the_learning_rate(plan, prepared):
    start = get_weights(network.build(plan, 3))
    shift = {name: np.full_like(array, 0.5) for name, array in start.items()}
    rates = [training.learning_rate(plan, number, 40) for number in (5, 6, 7)]
    net, free = network.build(plan, 3), network.build(plan, 3)
    shifted = training.train(net, prepared, plan, steps=3, first_step=4, total_steps=40, shift=shift)
    next(shifted)
    next(training.train(free, prepared, plan, steps=3, first_step=4, total_steps=40))
    for name, array in get_weights(free).items():
        assert np.allclose(get_weights(net)[name], array + 0.5 * rates[0] / sum(rates), atol=1e-6), name
    assert training.sum_of_rates(plan, 4, 3, 40) == sum(rates)


def test_without_a_displacement_the_weights_are_the_same(plan, prepared):
    net = network.build(plan, 3)
    none = {name: np.zeros_like(array) for name, array in get_weights(net).items()}
    list(training.train(net, prepared, plan, steps=2, total_steps=40, shift=none))
    assert sha256_of(get_weights(net)) == sha256_of(weights_after(plan, prepared, 2))
