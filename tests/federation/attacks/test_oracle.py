"""Scores as an oracle: what a coordinator reads of one child's organs from the scores of models that it makes up.

A network whose last layer says "liver" everywhere overlaps with the liver by its volume V of all N voxels: the mean DSC
of three organs is 2 V / (V + N) / 3. So the score of one validation child tells V.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.datasets.reading import read_dataset
from pedseg.learning.network import build
from pedseg.learning.training import load_cases
from pedseg.learning.weights import Weights, get_weights

EXACT = {"min_score_cases": 1, "score_digits": 15}


def saying(organ: int, coordinator) -> Weights:
    """A network of the plan that calls every voxel by one channel."""
    weights = {name: np.zeros_like(array) for name, array in get_weights(build(coordinator.plan)).items()}
    weights["head.bias"].reshape(len(coordinator.plan.organs) + 1, -1)[organ] = 1.0
    return weights


def true_voxels(coordinator) -> tuple[NDArray, int]:
    """The voxels of each organ of the one validation child on the plan's grid, and of the whole grid."""
    dataset = read_dataset(coordinator.folder)
    (case,) = load_cases(dataset, dataset.split("validation"), coordinator.plan)
    return np.array([(case.labels == organ).sum() for organ in (1, 2, 3)]), case.labels.size


def read_by_the_attacker(coordinator, policy: dict) -> tuple[NDArray, int]:
    """The volumes that the answers to three questions lead to, in voxels, and how many cases were counted."""
    center, (_, grid) = coordinator.center(**policy), true_voxels(coordinator)
    dice, counted = [], 0
    for organ in (1, 2, 3):
        weights = saying(organ, coordinator)
        metrics = coordinator.ask(center, "evaluate", coordinator.plan, weights=weights).content["metrics"]
        dice.append(3 * float(metrics["validation-dsc"]))
        counted += int(metrics["num-examples"])
    return np.array(dice) * grid / (2 - np.array(dice)), counted


def error_percent(read: NDArray, coordinator) -> float:
    truth, _ = true_voxels(coordinator)
    return float(np.abs(read / truth - 1).mean() * 100)


def test_exact_scores_tell_the_volumes_of_a_child(coordinator) -> None:
    """Before: no bound on the cases, all digits."""
    read, counted = read_by_the_attacker(coordinator, EXACT)
    assert counted == 3 and error_percent(read, coordinator) < 1e-6


def test_two_digits_leave_little_of_it(coordinator) -> None:
    """After rounding alone: an organ of a hundredth of the grid cannot be told from none."""
    read, _ = read_by_the_attacker(coordinator, {**EXACT, "score_digits": 2})
    assert 10 < error_percent(read, coordinator)


@pytest.mark.parametrize("policy", [{}, {"no_scores": True, **EXACT},
                                    {"clipping_norm": 1.0, "noise_multiplier": 1.0, **EXACT}])  # fmt: skip
def test_of_one_child_no_score_leaves(policy: dict, coordinator) -> None:
    """After: by default, and wherever noise is added, there is nothing to read; the attacker reads 0 of each organ."""
    read, counted = read_by_the_attacker(coordinator, policy)
    assert counted == 0 and not read.any() and error_percent(read, coordinator) == 100


@pytest.mark.parametrize(("digits", "min_cases", "counted"), [(2, 1, 1), (15, 1, 1), (0, 1, 1), (2, 2, 0)])
def test_scores_have_the_decimals_of_the_policy(digits: int, min_cases: int, counted: int, coordinator) -> None:
    center = coordinator.center(score_digits=digits, min_score_cases=min_cases)
    metrics = coordinator.ask(center, "evaluate", coordinator.plan).content["metrics"]
    assert metrics["num-examples"] == counted
    assert metrics["validation-dsc"] == round(float(metrics["validation-dsc"]), digits)
