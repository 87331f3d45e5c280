"""Exercises of chapter 06, Averaging by hand."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise


def _average(updates, cases):
    shares = np.asarray(cases, dtype=float) / np.sum(cases)
    return {name: sum(s * u[name].astype(float) for s, u in zip(shares, updates, strict=True)) for name in updates[0]}


EXERCISES = {
    "weighted mean": Exercise(
        answer=_average,
        hint="Multiply each center's weights by its share of the cases, and add them up.",
        mistakes={
            "This is the plain mean. A center with more cases should count more.": lambda updates, cases: _average(
                updates, np.ones(len(cases))
            ),
            "This is the sum. The shares must add up to one.": lambda updates, cases: {
                name: array * len(cases) for name, array in _average(updates, np.ones(len(cases))).items()
            },
        },
    ),
    "shares": Exercise(
        answer=lambda cases: np.asarray(cases) / np.sum(cases),
        hint="A center's number of cases divided by the total.",
        mistakes={
            "These are equal shares; the centers do not have the same number of cases.": lambda cases: (
                np.ones(len(cases)) / len(cases)
            )
        },
    ),
    "traffic": Exercise(
        answer=lambda weights, centers, rounds: 2 * 4 * weights * centers * rounds / 1e6,
        hint="Four bytes per weight, down and back up, for each center, in each round; a megabyte is 10⁶ bytes.",
        mistakes={
            "That is one way only: the model travels down and comes back up.": lambda weights, centers, rounds: (
                4 * weights * centers * rounds / 1e6
            ),
            "These are bytes; divide by a million.": lambda weights, centers, rounds: (
                2 * 4 * weights * centers * rounds
            ),
            "These are mebibytes, of 2²⁰ bytes; a megabyte is 10⁶ bytes.": lambda weights, centers, rounds: (
                2 * 4 * weights * centers * rounds / 2**20
            ),
            "These are numbers, not bytes: each takes four.": lambda weights, centers, rounds: (
                2 * weights * centers * rounds / 1e6
            ),
        },
    ),
}
