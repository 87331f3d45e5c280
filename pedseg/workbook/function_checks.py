"""Function exercises: a learner's function runs on hidden inputs and is compared with hand-computed values and twins.

The exercises of each chapter are in `notebooks/exercises`, checks included: they may be read. `lesson.check` prints
what is said here.
"""

from __future__ import annotations

import copy
import dis
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import CodeType
from typing import Any

import numpy as np

RTOL, ATOL = 1e-4, 1e-6  # float32 is right
EMPTY_BODY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "LOAD_GLOBAL", "RAISE_VARARGS"}


def call(function: Callable, *arguments: Any) -> Any:
    """What a check looks at if it says nothing else: the result."""
    return function(*arguments)


@dataclass(frozen=True)
class Check:
    """One hidden input of a function, and what is expected for it.

    `given` is the input in words, `arguments` makes it anew for each run. `expected` is the right value, or a function
    of the arguments that computes it. `says` puts the expectation into words. `measure(function, *arguments)` is what
    is compared, by default the result of the function.
    """

    given: str
    arguments: Callable[[], tuple]
    expected: Any
    says: str = ""
    measure: Callable[..., Any] = call


@dataclass(frozen=True)
class FunctionExercise:
    """A function to be written: the reference, its checks, hints in steps, and wrong answers with a sentence each.

    The reference takes over where the learner's function is open or wrong. `in_place` allows the function to change its
    arguments, as a training loop must.
    """

    reference: Callable
    checks: Sequence[Check]
    hints: Sequence[str]
    slips: Mapping[str, Callable] = field(default_factory=dict)
    in_place: bool = False


class _Misbehaves(Exception):
    """The function broke a rule that no value shows: it returned nothing, or changed its inputs."""


def is_open(function: Any) -> bool:
    """Whether a function is the stub as it was given: nothing but a docstring, dots or `raise NotImplementedError`."""
    code = getattr(function, "__code__", None)
    if function is ... or code is None:
        return function is ...
    values = [value for value in code.co_consts if value not in (None, ..., function.__doc__)]
    names = set(code.co_names) <= {"NotImplementedError"}
    return not values and names and {line.opname for line in dis.get_instructions(code)} <= EMPTY_BODY


def first_problem(exercise: FunctionExercise, function: Any) -> str:
    """The first check that a function fails, in a sentence; empty if it passes all of them."""
    if not callable(function):
        return "This is no function: keep the line that begins with `def`."
    with warnings.catch_warnings(action="ignore"):  # those of a learner or of a twin fail no check
        for number, check in enumerate(exercise.checks, start=1):
            if problem := _problem(check, function, exercise.in_place):
                return f"Check {number} of {len(exercise.checks)}: for {check.given}, {problem}"
    return ""


def advice(exercise: FunctionExercise, function: Callable, tried: list[CodeType | Callable]) -> str:
    """The sentence of a known slip, or else one hint more for each new version; `tried` remembers the versions."""
    with warnings.catch_warnings(action="ignore"):
        if slip := _known_slip(exercise, function):
            return slip
    version = getattr(function, "__code__", function)
    if version not in tried:
        tried.append(version)
    number = min(len(tried), len(exercise.hints))
    return f"Hint {number} of {len(exercise.hints)}: {exercise.hints[number - 1]}"


def _problem(check: Check, function: Callable, in_place: bool) -> str:
    """What is wrong with the answer to one check; empty if nothing is."""
    wanted = check.expected(*check.arguments()) if callable(check.expected) else check.expected
    expected = f"expected is {check.says or _in_words(wanted)}."
    try:
        answer = _run(check, function, in_place)
    except _Misbehaves as broken:
        return f"your function {broken}; {expected}"
    except (Exception, SystemExit) as error:
        return f"your function stops with {type(error).__name__} ({error}); {expected}"
    return "" if agrees(answer, wanted) else f"your function gives {_in_words(answer, wanted)}; {expected}"


def _run(check: Check, function: Callable, in_place: bool) -> Any:
    """What the check measures of the function."""

    def guarded(*arguments: Any) -> Any:
        before = copy.deepcopy(arguments)
        answer = function(*arguments)
        if answer is None:
            raise _Misbehaves("returns nothing (is a `return` missing?)")
        if not in_place and not _unchanged(arguments, before):
            raise _Misbehaves("changes its inputs (work on a copy)")
        return answer

    return _plain(check.measure(guarded, *check.arguments()))


def _known_slip(exercise: FunctionExercise, function: Callable) -> str:
    """The sentence of the slip that gives the same answers as the function to every check; empty if there is none."""

    def outcome(check: Check, candidate: Callable) -> Any:
        try:
            return _run(check, candidate, exercise.in_place)
        except (Exception, SystemExit) as error:
            return type(error).__name__

    for sentence, slip in exercise.slips.items():
        if all(agrees(outcome(check, function), outcome(check, slip)) for check in exercise.checks):
            return sentence
    return ""


def agrees(answer: Any, expected: Any, *, rtol: float = RTOL, atol: float = ATOL) -> bool:
    """Whether two answers are the same: text, truth, numbers and arrays within rounding, containers item by item."""
    same = partial(agrees, rtol=rtol, atol=atol)
    answer, expected = _plain(answer), _plain(expected)
    if isinstance(expected, Mapping):
        same_names = isinstance(answer, Mapping) and set(answer) == set(expected)
        return same_names and all(same(answer[name], expected[name]) for name in expected)
    if isinstance(expected, list) and not _is_numeric(expected):
        same_length = isinstance(answer, list) and len(answer) == len(expected)
        return same_length and all(map(same, answer, expected))
    if answer is None or expected is None or isinstance(expected, str | set):
        return type(answer) is type(expected) and bool(answer == expected)
    if not _is_numeric(answer):
        return False
    actual, wanted = np.asarray(answer, dtype=float), np.asarray(expected, dtype=float)
    return actual.shape == wanted.shape and np.allclose(actual, wanted, rtol=rtol, atol=atol, equal_nan=True)


def _is_numeric(value: Any) -> bool:
    """Whether a value is a number, or an array or a nested list of numbers."""
    try:
        np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return False
    return True


def _plain(value: Any) -> Any:
    """Tensors as arrays and tuples as lists, inside containers too."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _unchanged(arguments: Any, before: Any) -> bool:
    """Whether arrays, lists and dictionaries are what they were; networks and generators are not asked."""
    if isinstance(before, Mapping):
        same_names = list(arguments) == list(before)
        return same_names and all(_unchanged(arguments[name], before[name]) for name in before)
    if isinstance(before, list | tuple):
        return len(arguments) == len(before) and all(map(_unchanged, arguments, before))
    if isinstance(before, np.ndarray) or hasattr(before, "detach"):
        now, then = _plain(arguments), _plain(before)
        return now.shape == then.shape and np.array_equal(now, then, equal_nan=then.dtype.kind == "f")
    return not isinstance(before, set) or arguments == before


def _in_words(value: Any, beside: Any = None) -> str:
    """A value in few words; a large array by its shape, or by how far it is from the one `beside` it."""
    value = _plain(value)
    if isinstance(value, Mapping):
        wrong = [name for name in value if isinstance(beside, Mapping) and not agrees(value[name], beside.get(name))]
        items = {name: value[name] for name in (wrong or list(value))[:1]}
        return " and ".join(f"{_in_words(item)} for {name!r}" for name, item in items.items()) or "an empty dictionary"
    if isinstance(value, list) and len(value) <= 8:
        return "[" + ", ".join(_in_words(item) for item in value) + "]"
    if isinstance(value, np.ndarray) and value.size > 8:
        differ = ""
        if isinstance(beside := _plain(beside), np.ndarray) and beside.shape == value.shape:
            wrong_count = np.count_nonzero(~np.isclose(value, beside, rtol=RTOL, atol=ATOL, equal_nan=True))
            differ = f" of which {wrong_count} of {value.size} numbers differ"
        return f"an array of the shape {value.shape}{differ}"
    if isinstance(value, np.ndarray) and value.ndim:
        return " ".join(np.array2string(value, precision=4, separator=", ").split())
    if isinstance(value, bool | np.bool_ | str) or value is None:
        return repr(value) if isinstance(value, str) else str(value)
    return f"{value:.4g}" if isinstance(value, int | float | np.number | np.ndarray) else f"a {type(value).__name__}"
