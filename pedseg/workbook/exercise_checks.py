"""How an answer is judged: whether it agrees with the right one and, where it does not, what can be said about it.

The questions themselves stand in `questions`; `lesson.check` does the talking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Question:
    """One question: how the answer follows from what is given, and what each usual slip betrays.

    `slips` maps a sentence to the wrong value that earns it; both functions take what `check`
    was given by name. `nudge` is said while the line is still open.
    """

    answer: Callable[..., Any]
    nudge: str
    slips: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    rtol: float = 1e-3


def same(answer: Any, reference: Any, rtol: float = 1e-3) -> bool:
    """Whether two answers agree: text without regard to case, numbers and arrays within `rtol`."""
    if isinstance(reference, Mapping):
        return (
            isinstance(answer, Mapping)
            and set(answer) == set(reference)
            and all(same(answer[key], reference[key], rtol) for key in reference)
        )
    if isinstance(reference, str):
        return isinstance(answer, str) and answer.strip().casefold() == reference.casefold()
    try:
        got, want = np.asarray(answer, dtype=float), np.asarray(reference, dtype=float)
    except (TypeError, ValueError):
        return False
    return got.shape == want.shape and bool(np.allclose(got, want, rtol=rtol, atol=1e-9))


def judge(question: Question, answer: Any, given: Mapping[str, Any]) -> tuple[Any, str]:
    """The right answer, and what is wrong with the one given; an empty text if it is right."""
    reference = question.answer(**given)
    if same(answer, reference, question.rtol):
        return reference, ""
    for sentence, slip in question.slips.items():
        if same(answer, slip(**given), question.rtol):
            return reference, sentence
    return reference, _difference(answer, reference)


def _difference(answer: Any, reference: Any) -> str:
    """What can be said without knowing the slip: kind, shape, or direction."""
    if isinstance(reference, Mapping):
        if not isinstance(answer, Mapping):
            return "A dictionary of arrays, one for each name, is asked for."
        wrong = [name for name in reference if name not in answer or not same(answer[name], reference[name])]
        return f"{len(wrong)} of {len(reference)} arrays differ, the first is {wrong[0] if wrong else 'one too many'}."
    if isinstance(reference, str):
        return (
            "Look at the picture once more." if isinstance(answer, str) else "A word in quotation marks is asked for."
        )
    try:
        got = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        got = np.asarray(np.nan)
    want = np.asarray(reference, dtype=float)
    if np.isnan(got).any():
        return "A number is asked for." if np.ndim(reference) == 0 else "Numbers are asked for."
    if got.shape != want.shape:
        return f"The shape is {got.shape or 'a single number'}; {want.shape or 'a single number'} is asked for."
    if want.ndim:
        return f"{int((~np.isclose(got, want, rtol=1e-3)).sum())} of {want.size} numbers differ."
    return f"{float(got):g} is too {'large' if got > want else 'small'}."
