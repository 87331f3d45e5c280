"""What the notebooks ask: for each question the right answer, the usual slips and what to say to them.

An answer is computed from what the notebook gives with it, so that questions stay true when data
or sizes change. `lesson.check` does the talking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pedseg.organs import EVALUATED, ORGANS


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


def _resampled(shape, spacing_mm, new_mm):
    return np.maximum(1, np.round(np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)))


def _average(updates, cases):
    shares = np.asarray(cases, dtype=float) / np.sum(cases)
    return {name: sum(s * u[name].astype(float) for s, u in zip(shares, updates, strict=True)) for name in updates[0]}


def _dice(truth, prediction):
    return 2 * np.count_nonzero(truth & prediction) / (np.count_nonzero(truth) + np.count_nonzero(prediction))


def _jaccard(truth, prediction):
    return np.count_nonzero(truth & prediction) / np.count_nonzero(truth | prediction)


QUESTIONS: dict[str, Question] = {
    "number of organs": Question(
        answer=lambda: len(ORGANS),
        nudge="Python counts with `len(...)`; the organs stand in `ORGANS`.",
        slips={"This is the number of evaluated organs; there are more in the list.": lambda: len(EVALUATED)},
    ),
    "darkest shade": Question(
        answer=lambda center, width: center - width / 2,
        nudge="Half of the window lies below its center.",
        slips={
            "That is the brightest end: it lies above the center.": lambda center, width: center + width / 2,
            "The width spans the whole window; only half of it lies below the center.": lambda center, width: (
                center - width
            ),
        },
    ),
    "voxel volume": Question(
        answer=lambda spacing_mm: np.prod(spacing_mm) / 1000,
        nudge="A voxel is a small box: width × depth × height. How many cubic millimeters make a milliliter?",
        slips={
            "These are cubic millimeters. A milliliter holds 1000 of them.": lambda spacing_mm: np.prod(spacing_mm),
            "The edges must be multiplied, not added.": lambda spacing_mm: np.sum(spacing_mm) / 1000,
        },
    ),
    "side of the liver": Question(
        answer=lambda: "right",
        nudge="Look where the liver lies and which letter stands on that rim of the picture.",
        slips={"It is on the left of the picture. On which side of the child is that?": lambda: "left"},
    ),
    "size after resampling": Question(
        answer=lambda shape, spacing_mm, new_mm: _resampled(shape, spacing_mm, new_mm),
        nudge="The child keeps its size in millimeters: number × spacing is the same before and after.",
        slips={
            "The ratio is upside down: coarser voxels must become fewer.": lambda shape, spacing_mm, new_mm: _resampled(
                shape, new_mm, spacing_mm
            ),
            "Almost: a grid has whole voxels, so round.": lambda shape, spacing_mm, new_mm: (
                np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)
            ),
        },
        rtol=1e-9,
    ),
    "normalized": Question(
        answer=lambda hu, clip_hu, mean_hu, sd_hu: (np.clip(hu, *clip_hu) - mean_hu) / sd_hu,
        nudge="First clip, then subtract the mean, then divide by the standard deviation.",
        slips={
            "Clip first: the network never sees values beyond the limits.": lambda hu, clip_hu, mean_hu, sd_hu: (
                (hu - mean_hu) / sd_hu
            ),
            "Only shifted so far: divide by the standard deviation too.": lambda hu, clip_hu, mean_hu, sd_hu: (
                np.clip(hu, *clip_hu) - mean_hu
            ),
        },
    ),
    "dice": Question(
        answer=lambda truth, prediction: _dice(truth, prediction),
        nudge="Twice the shared voxels over the sum of both volumes.",
        slips={
            "This is Jaccard (shared over united); Dice counts the shared part twice.": lambda truth, prediction: (
                _jaccard(truth, prediction)
            ),
            "The shared part counts twice.": lambda truth, prediction: _dice(truth, prediction) / 2,
        },
    ),
    "drop": Question(
        answer=lambda home, away: home - away,
        nudge="Home minus away, so that a loss is a positive number.",
        slips={"Turn the sign: home minus away.": lambda home, away: away - home},
    ),
    "weighted mean": Question(
        answer=lambda updates, cases: _average(updates, cases),
        nudge="Each center's weights, times its share of the cases, added up.",
        slips={
            "This is the plain mean. A center with more children should count more.": lambda updates, cases: _average(
                updates, np.ones(len(cases))
            ),
            "This is the sum. The shares must add up to one.": lambda updates, cases: {
                name: array * len(cases) for name, array in _average(updates, np.ones(len(cases))).items()
            },
        },
    ),
    "shares": Question(
        answer=lambda cases: np.asarray(cases) / np.sum(cases),
        nudge="A center's number of children over everyone's.",
        slips={
            "These are equal shares; the centers do not have equally many children.": lambda cases: (
                np.ones(len(cases)) / len(cases)
            )
        },
    ),
    "traffic": Question(
        answer=lambda weights, centers, rounds: 2 * 4 * weights * centers * rounds / 1e6,
        nudge="Four bytes a weight, down and up again, for each center, in each round; a megabyte is 10⁶ bytes.",
        slips={
            "That is one way only: the model travels down and comes back up.": lambda weights, centers, rounds: (
                4 * weights * centers * rounds / 1e6
            ),
            "These are bytes; divide by a million.": lambda weights, centers, rounds: (
                2 * 4 * weights * centers * rounds
            ),
            "These are numbers, not bytes: each takes four.": lambda weights, centers, rounds: (
                2 * weights * centers * rounds / 1e6
            ),
        },
    ),
    "recovered": Question(
        answer=lambda home, away, federated: (federated - away) / (home - away),
        nudge="The whole drop is home - away. Which part of it does the federation win back?",
        slips={
            "This is the part that is still missing.": lambda home, away, federated: (home - federated) / (home - away),
            "This is the gain itself; set it in relation to the drop.": lambda home, away, federated: federated - away,
        },
    ),
    "hd95": Question(
        answer=lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95)),
        nudge="One percentile for each direction, then the larger one.",
        slips={
            "Both directions in one pot: that is another definition, and mostly smaller.": lambda there, back: (
                np.percentile(np.concatenate([there, back]), 95)
            ),
            "That is the Hausdorff distance itself, without the 95th percentile.": lambda there, back: max(
                there.max(), back.max()
            ),
        },
    ),
    "surface dice": Question(
        answer=lambda there, back, tolerance_mm: np.mean(np.concatenate([there, back]) <= tolerance_mm),
        nudge="Put both directions together; comparing gives true and false, and the mean of those is a share.",
        slips={
            "This is the share of the true surface only; the drawn one counts.": lambda there, back, tolerance_mm: (
                np.mean(there <= tolerance_mm)
            ),
            "This is the share that lies outside the tolerance.": lambda there, back, tolerance_mm: np.mean(
                np.concatenate([there, back]) > tolerance_mm
            ),
        },
    ),
    "false volume": Question(
        answer=lambda voxels, spacing_mm: voxels * np.prod(spacing_mm) / 1000,
        nudge="The number of voxels times the volume of one; 1000 cubic millimeters are a milliliter.",
        slips={
            "These are cubic millimeters.": lambda voxels, spacing_mm: voxels * np.prod(spacing_mm),
            "These are voxels. How large is one?": lambda voxels, spacing_mm: voxels,
        },
    ),
    "diagonal": Question(
        answer=lambda shape, spacing_mm: np.linalg.norm(np.multiply(shape, spacing_mm)),
        nudge="First each edge in millimeters; then Pythagoras, in three dimensions.",
        slips={
            "That is in voxels: multiply by the spacing first.": lambda shape, spacing_mm: np.linalg.norm(shape),
            "These are the edges added up; the diagonal is shorter.": lambda shape, spacing_mm: np.sum(
                np.multiply(shape, spacing_mm)
            ),
        },
    ),
}
