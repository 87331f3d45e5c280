"""Flower's records as NumPy arrays and bytes, and the few parts of Flower that are not public, as in flwr 1.41.

`Message(...)` asks the process for its identity, a message's id is given by whoever carries it, and `Grid.run`
describes the run. A new Flower release that moves them needs changes here alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecords
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

SERVER_NODE = 1  # the id of the server among the nodes, as Flower numbers it
RUN_ID = 1
APP_RAISED = 2  # ErrorCode.CLIENT_APP_RAISED_EXCEPTION


def identify_server() -> None:
    """Tell Flower that this process speaks for the server of the run; messages cannot be made before."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN_ID, SERVER_NODE, 1


def number_message(message: Message, message_id: str) -> None:
    """Give a message the id that its reply will refer to."""
    message.metadata.__dict__["_message_id"] = message_id


def with_content(message: Message, content: RecordDict) -> Message:
    """A message with the same sender, receiver and ids, and other content."""
    return Message(content, metadata=message.metadata)  # type: ignore[call-overload]


def empty_run() -> Run:
    """The description of a run without a SuperLink: its id and nothing else."""
    return Run.create_empty(RUN_ID)


def arrays_of(content: RecordDict) -> dict[str, ArrayRecord]:
    """The arrays among some records, by name.

    Flower's own `RecordDict.array_records` refers to itself and to the records in a circle, which
    keeps a model in memory until the garbage collector comes by.
    """
    return {name: record for name, record in content.items() if isinstance(record, ArrayRecord)}


def metrics_of(content: RecordDict) -> dict[str, MetricRecord]:
    """The metrics among some records, by name."""
    return {name: record for name, record in content.items() if isinstance(record, MetricRecord)}


def configs_of(content: RecordDict) -> dict[str, ConfigRecord]:
    """The settings and texts among some records, by name."""
    return {name: record for name, record in content.items() if isinstance(record, ConfigRecord)}


def records_to_bytes(records: RecordDict) -> bytes:
    """Records as Flower sends them: the same records give the same bytes."""
    return recorddict_to_proto(records).SerializeToString(deterministic=True)


def records_from_bytes(raw: bytes) -> RecordDict:
    """Records again; arrays stay bytes until they are asked for, and no pickle is loaded then."""
    return recorddict_from_proto(ProtoRecords.FromString(raw))


def to_arrays(weights: Mapping[str, NDArray]) -> ArrayRecord:
    """Weights by name as Flower sends them."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in weights.items()})


def to_weights(arrays: ArrayRecord) -> dict[str, NDArray]:
    """Weights by name as NumPy arrays; no pickle is loaded."""
    return {name: array.numpy() for name, array in arrays.items()}
