"""Organ by organ in the last layer, beside values computed by hand, and whole federations of unequal organ lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict

from pedseg.datasets.writing import write_case, write_index
from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.enrollment import Center
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.partial_labels import AnnotatedHeadFedAvg
from pedseg.federation.rounds import train_rounds
from pedseg.learning.fingerprint import Fingerprint, OrganCount
from pedseg.learning.network import build, personal_names
from pedseg.learning.plans import Plan
from pedseg.organs import organ
from pedseg.scan import Scan

DRAWN = {"Aa": ("Liver", "Spleen"), "Bb": ("Liver", "Kidney_L")}


def reply(index: int, cases: int, **arrays: np.ndarray) -> Message:
    _flower.identify_server()
    question = Message(RecordDict(), dst_node_id=2 + index, message_type="train")
    metrics = MetricRecord({"num-examples": cases, "train-loss": 0.5, "center-index": index})
    weights = {name.replace("_", "."): array for name, array in arrays.items()}
    return Message(RecordDict({"arrays": _flower.to_arrays(weights), "metrics": metrics}), reply_to=question)


NETWORK = {"kind": "compact", "widths": [2, 2]}
FOUR = Plan("lesson", ("Liver", "Spleen", "Heart"), (4.0, 4.0, 4.0), (8, 8, 8), 1, (-1.0, 1.0), 0.0, 1.0, NETWORK)


def center(index: int, **annotated: int) -> Center:
    counts = {name: OrganCount(cases, 0, 0) for name, cases in annotated.items()}
    return Center(index, index, str(index), 4, Fingerprint((), (), counts))


@pytest.mark.parametrize("streamed", [False, True])
def test_rows_are_averaged_over_those_that_annotate(streamed: bool) -> None:
    """Classes: background, an organ of both (3 and 2 cases), one of the second alone, one of nobody."""
    strategy = AnnotatedHeadFedAvg([center(0, Liver=3), center(1, Liver=2, Spleen=1, Heart=0)], FOUR)
    if streamed:
        strategy.expect(4)
    first = {"down_weight": np.full((4, 2), 8, np.float32), "head_weight": np.full((8, 2), 1, np.float32)}
    second = {"down_weight": np.zeros((4, 2), np.float32), "head_weight": np.full((8, 2), 5, np.float32)}
    arrays, metrics = strategy.aggregate_train(1, [reply(0, 3, **first), reply(1, 1, **second)])
    assert arrays is not None and metrics is not None and metrics["train-loss"] == 0.5
    weights = _flower.to_weights(arrays)
    assert np.all(weights["down.weight"] == 6)  # by all cases, 3 and 1
    expected = [2, 2, 2.6, 2.6, 5, 5, 2, 2]  # background and the last by all cases; (3 * 1 + 2 * 5) / 5; the second's
    assert weights["head.weight"].dtype == np.float32 and np.allclose(weights["head.weight"], np.c_[expected, expected])


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory, tiny_case) -> Path:
    """Aa draws liver and spleen, Bb liver and left kidney."""
    data = tmp_path_factory.mktemp("partial")
    for number, (center, drawn) in enumerate(DRAWN.items()):
        folder = data / f"Dataset90{number}_{center}"
        for place, split in enumerate(["train", "train", "train", "validation", "test"]):
            image, labels = tiny_case(100 * number + place, 60.0)
            kept = np.where(np.isin(labels.voxels, [organ(name).id for name in drawn]), labels.voxels, 0)
            who = {"patient": f"{center}{place}", "center": center, "split": split}
            write_case(folder, f"{center}-{place}", image, Scan(kept, labels.affine), manual=drawn, **who)
        write_index(folder, center=center)
    return data


def test_an_organs_rows_are_those_of_the_center_that_draws_it(partial: Path) -> None:
    config = FederationConfig(data=partial, out=None, rounds=1, local_steps=2, seed=7)
    usual, own = (
        next(train_rounds(InProcessGrid(app, [{}, {}], (c := replace(config, head_average=mode)).to_run_config()), c))
        for mode in ("all", "annotating")
    )
    plan, heads = own.plan, ("head.weight", "head.bias")
    assert plan.organs == usual.plan.organs
    same = [name for name in own.weights if np.array_equal(own.weights[name], usual.weights[name])]
    assert set(own.weights) - set(same) == set(heads)
    rows = {n: own.weights[n].reshape(4, -1) != usual.weights[n].reshape(4, -1) for n in heads}
    differs = rows["head.weight"].any(axis=1) | rows["head.bias"].any(axis=1)
    shared = [True, *(all(name in drawn for drawn in DRAWN.values()) for name in plan.organs)]
    assert differs.tolist() == [not both for both in shared]


def test_both_profiles_have_a_head_of_as_many_rows_as_classes(clinic_plan) -> None:
    network = build(clinic_plan)
    shapes = {name: network.state_dict()[name].shape for name in personal_names(network, "head")}
    assert len(shapes) > 2 and all(shape[0] == len(clinic_plan.organs) + 1 for shape in shapes.values())


@pytest.fixture
def clinic_plan():
    """A tiny plan of the clinic, with a head for deep supervision."""
    strides = [[1, 1, 1], *[[2, 2, 2]] * 3]
    network = {"kind": "dynunet", "filters": [4, 6, 6, 6], "kernels": [[3, 3, 3]] * 4, "strides": strides}
    return Plan("clinic", ("Liver", "Spleen"), (2.0, 2.0, 2.0), (32, 32, 32), 2, (-1000.0, 500.0), 0.0, 1.0, network)


@pytest.mark.parametrize(
    "with_", [{"secure_aggregation": True}, {"strategy": "median"}, {"network": "segresnet"}, {"head_average": "mine"}]
)
def test_what_does_not_go_with_it_is_refused(with_: dict) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING head-average"):
        FederationConfig(**{"head_average": "annotating", **with_})
