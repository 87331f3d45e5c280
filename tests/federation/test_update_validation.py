"""Federated averaging of valid updates beside NumPy, and which updates are refused."""

from __future__ import annotations

import io
import itertools
import tracemalloc

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from pedseg.federation import _flower
from pedseg.federation._flower import to_arrays, to_weights
from pedseg.federation.enrollment import Center
from pedseg.federation.strategies import OrderedFedAvg
from pedseg.federation.update_validation import validate_update
from pedseg.learning.weights import sha256_of

CASES = (20, 7, 13)


def reply_of(content: RecordDict | Error, node: int = 2) -> Message:
    """An answer as it arrives from a center."""
    _flower.identify_server()
    question = Message(RecordDict(), dst_node_id=node, message_type="train")
    return Message(content, reply_to=question)


def update(weights: dict, index: int = 0, cases: float = 20, loss: float = 0.5) -> RecordDict:
    metrics = MetricRecord({"num-examples": cases, "train-loss": loss, "center-index": index})
    return RecordDict({"arrays": to_arrays(weights), "metrics": metrics})


@pytest.fixture
def models() -> list[dict]:
    rng = np.random.default_rng(3)
    return [{"w": rng.normal(size=(40, 5)).astype(np.float32)} for _ in range(3)]


@pytest.fixture
def replies(models: list[dict]) -> list[Message]:
    return [reply_of(update(w, i, CASES[i], float(i)), node=9 - i) for i, w in enumerate(models)]


def test_equals_the_weighted_mean_by_hand_to_the_last_bit(models: list[dict], replies: list[Message]) -> None:
    arrays, metrics = OrderedFedAvg().aggregate_train(1, replies)
    by_hand = sum(model["w"] * (cases / 40) for model, cases in zip(models, CASES, strict=True))
    assert np.array_equal(to_weights(arrays)["w"], by_hand)
    exact = np.average([model["w"].astype(np.float64) for model in models], axis=0, weights=CASES)
    assert np.allclose(to_weights(arrays)["w"], exact, atol=1e-6)
    assert metrics["train-loss"] == pytest.approx((0 * 20 + 1 * 7 + 2 * 13) / 40)


def test_the_order_of_arrival_does_not_matter(replies: list[Message]) -> None:
    def digests(strategy: FedAvg) -> set[str]:
        orders = itertools.permutations(replies)
        return {sha256_of(to_weights(strategy.aggregate_train(1, list(order))[0])) for order in orders}

    assert len(digests(OrderedFedAvg())) == 1
    assert len(digests(FedAvg())) > 1  # what the sorting is for


def expecting(cases: int) -> OrderedFedAvg:
    strategy = OrderedFedAvg()
    strategy.expect(cases)
    return strategy


def test_added_up_as_they_come_gives_the_bits_of_flower(replies: list[Message]) -> None:
    arrays, metrics = expecting(sum(CASES)).aggregate_train(1, iter(replies))
    peer, peer_metrics = FedAvg().aggregate_train(1, replies)
    assert np.array_equal(to_weights(arrays)["w"], to_weights(peer)["w"])
    assert to_weights(arrays)["w"].dtype == np.float32 and dict(metrics) == dict(peer_metrics)


def test_added_up_without_one_it_is_the_mean_of_the_others(replies: list[Message]) -> None:
    arrays, metrics = expecting(sum(CASES)).aggregate_train(1, iter(replies[1:]))
    peer, peer_metrics = FedAvg().aggregate_train(1, replies[1:])
    assert np.allclose(to_weights(arrays)["w"], to_weights(peer)["w"], atol=1e-6)
    assert dict(metrics) == dict(peer_metrics)
    assert expecting(sum(CASES)).aggregate_train(1, iter([])) == (None, None)


def test_a_share_is_taken_out_of_weights_without_axes_too() -> None:
    replies = [reply_of(update({"s": np.float32(value)}, i, 1)) for i, value in enumerate((1.0, 3.0))]
    arrays, _ = expecting(3).aggregate_train(1, iter(replies))  # the third was left out
    assert to_weights(arrays)["s"] == pytest.approx(2.0)


def test_the_memory_of_the_server_does_not_grow_with_the_centers() -> None:
    def peak(centers: int) -> int:
        made = (
            reply_of(update({"w": np.full(100_000, index, np.float32)}, index, 1, 0.0), node=2 + index)
            for index in range(centers)
        )
        tracemalloc.start()
        try:
            expecting(centers).aggregate_train(1, made)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(64) < 1.1 * peak(4)  # one model is 0.4 MB; 64 would be 26 MB


def test_evaluation_is_averaged_in_the_same_way() -> None:
    contents = [
        MetricRecord({"num-examples": n, "validation-dsc": d, "center-index": i})
        for i, (n, d) in enumerate([(4, 0.5), (1, 1.0)])
    ]
    answers = [reply_of(RecordDict({"metrics": metrics})) for metrics in contents]
    assert OrderedFedAvg().aggregate_evaluate(1, answers[::-1])["validation-dsc"] == pytest.approx(0.6)


def raw(data: bytes, shape: tuple[int, ...] = (2, 3), dtype: str = "float32") -> RecordDict:
    content = update({})
    content["arrays"] = ArrayRecord({"w": Array(dtype, shape, "numpy.ndarray", data)})
    return content


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.full((2, 3), None, dtype=object), allow_pickle=True)
    return stream.getvalue()


AA = Center(2, 0, "Aa", 20, None)  # type: ignore[arg-type]
GOOD = {"w": np.ones((2, 3), dtype=np.float32)}
INVALID = {
    "E-CENTER-ERROR": Error(2, "out of memory"),
    "E-UPDATE-RECORDS": RecordDict({"metrics": MetricRecord({"num-examples": 20})}),
    "E-UPDATE-METRICS": update(GOOD, loss=float("nan")),
    "E-UPDATE-CENTER": update(GOOD, index=1),
    "E-UPDATE-CASES": update(GOOD, cases=1e9),
    "E-UPDATE-NAMES": update({"v": GOOD["w"]}),
    "E-UPDATE-SHAPE": update({"w": np.ones((3, 2), dtype=np.float32)}),
    "E-UPDATE-TYPE": update({"w": np.ones((2, 3))}),
    "E-UPDATE-NOT-FINITE": update({"w": np.array([[1, 2, np.inf], [0, 0, 0]], dtype=np.float32)}),
    "E-UPDATE-ARRAY": raw(b"\x93NUMPY nonsense"),
    "E-UPDATE-SIZE": raw(npy_header((2, 3)) + b"\0" * 20),
}


def test_a_valid_update_has_no_problem() -> None:
    assert validate_update(reply_of(update(GOOD)), GOOD, AA) is None
    extra = update(GOOD)
    extra["log"] = ConfigRecord({"seconds": 3})
    assert validate_update(reply_of(extra), GOOD, AA) is None


@pytest.mark.parametrize("code", INVALID)
def test_an_invalid_update_is_refused_by_the_name_of_its_center(code: str) -> None:
    problem = validate_update(reply_of(INVALID[code]), GOOD, AA)
    assert problem is not None and (problem.code, problem.file) == (code, "Aa")


def test_no_answer_is_named_too() -> None:
    problem = validate_update(None, GOOD, AA)
    assert problem is not None and problem.code == "E-CENTER-SILENT"


@pytest.mark.parametrize("cases", [-20, 0, 19])
def test_a_center_cannot_change_its_weight(cases: int) -> None:
    problem = validate_update(reply_of(update(GOOD, cases=cases)), GOOD, AA)
    assert problem is not None and problem.code == "E-UPDATE-CASES"


def test_a_huge_claim_is_refused_before_memory_is_taken() -> None:
    liar = raw(npy_header((10**9, 10**3)) + b"\0" * 24)  # 4 TB, though the record says 2 x 3
    problem = validate_update(reply_of(liar), GOOD, AA)
    assert problem is not None and problem.code == "E-UPDATE-SHAPE"


def test_pickled_objects_are_never_loaded() -> None:
    problem = validate_update(reply_of(raw(pickled())), GOOD, AA)
    assert problem is not None and problem.code == "E-UPDATE-TYPE"
