"""What `lesson.check` was asked, as a message to whoever runs the notebook: the record that grading reads.

A record holds the answer itself, not a verdict, so that the reader of the message can judge it. It is an output of a
MIME type of its own, which front ends do not show; it is sent only where PEDSEG_GRADING is set.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

VARIABLE = "PEDSEG_GRADING"
STILL_OPEN = "Still open"  # how a reader is told of an exercise that nobody has tried
MIME = "application/vnd.pedseg.answer+json"
RESULT_MIME = "application/vnd.pedseg.result+json"
MAX_BYTES = 64 * 2**20  # of one array; the largest that a chapter asks for has 3 MiB

_functions: dict[str, Callable] = {}  # what the learner wrote, for `call`


@dataclass(frozen=True)
class Unreadable:
    """Stands for an answer that is no number, text, array, list or dictionary: a function, a model, a file."""

    type_name: str


@dataclass(frozen=True)
class AnswerRecord:
    """One call of `lesson.check`: the answer, what it was to be computed from, and what the reader was told.

    `problem` is what the notebook's own process said ("" for a right answer). Only the answer is evidence.
    """

    name: str
    answer: Any
    given: Mapping[str, Any]
    problem: str


def publish(name: str, answer: Any, given: Mapping[str, Any], problem: str) -> None:
    """Send a record to whoever runs this notebook for grading; otherwise do nothing."""
    if not os.environ.get(VARIABLE):
        return
    from IPython.display import display

    if callable(answer):
        _functions[name] = answer
    packed = {"name": name, "answer": encode(answer), "given": encode(given), "problem": problem}
    display({MIME: packed}, raw=True)


def call(name: str, packed: Any) -> None:
    """Run the function that a learner wrote for an exercise on arguments of the grader's, and send the result."""
    from IPython.display import display

    display({RESULT_MIME: encode(_functions[name](*decode(packed)))}, raw=True)


def read(message: Any) -> AnswerRecord | None:
    """The record in a message; None for one that `publish` cannot have sent."""
    try:
        answer, given = decode(message["answer"]), decode(message["given"])
        return AnswerRecord(str(message["name"]), answer, dict(given), str(message["problem"]))
    except Exception:  # it may be anything: whoever wrote the notebook can send messages of this type
        return None


def encode(value: Any) -> Any:
    """A value as JSON: arrays and tensors keep their bits; what has no such form becomes the name of its type."""
    if value is ...:
        return {"open": True}
    if value is None or isinstance(value, str | bool | int):
        return {"plain": value}
    if isinstance(value, Mapping):
        return {"map": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [encode(item) for item in value]}
    tensor = hasattr(value, "detach")
    try:
        array = np.asarray(value.detach() if tensor else value)
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
    except (TypeError, ValueError, RuntimeError):  # an object, or a tensor that still has its gradient
        return {"type": type(value).__name__}
    return {"tensor" if tensor else "npy": base64.b64encode(stream.getvalue()).decode()}


def decode(packed: Any) -> Any:
    """The value that `encode` was given; arrays without a dimension become numbers. ValueError for anything else."""
    ((kind, content),) = packed.items()
    if kind == "open":
        return ...
    if kind == "plain" and (content is None or isinstance(content, str | bool | int)):
        return content
    if kind == "map":
        return {decode(key): decode(item) for key, item in content}
    if kind == "list":
        return [decode(item) for item in content]
    if kind in ("npy", "tensor") and len(content) <= MAX_BYTES:
        array = np.lib.format.read_array(io.BytesIO(base64.b64decode(content)), allow_pickle=False)
        if kind == "tensor" and "torch" in sys.modules:  # whoever sends or takes tensors has imported it
            return sys.modules["torch"].from_numpy(array)
        return array if array.ndim else array[()]
    if kind == "type":
        return Unreadable(str(content))
    raise ValueError(f"no such kind of value: {kind}")
