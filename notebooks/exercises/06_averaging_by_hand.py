"""Exercises of the chapter "Averaging by hand"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def fedavg(updates, cases):
    """Federated averaging: the mean of the updates (name -> array), each weighted by its number of cases."""
    shares = np.asarray(cases) / np.sum(cases)
    return {name: sum(s * u[name] for s, u in zip(shares, updates, strict=True)) for name in updates[0]}


def robust_average(updates):
    """An average of updates (name -> array) that one poisoned update cannot drag away."""
    return {name: np.median([update[name] for update in updates], axis=0) for name in updates[0]}


def _by_flower(updates, cases):
    from flwr.server.strategy.aggregate import aggregate

    names = list(updates[0])
    replies = [([u[name] for name in names], n) for u, n in zip(updates, cases, strict=True)]
    return dict(zip(names, aggregate(replies), strict=True))


def _plain_mean(updates, cases):
    return fedavg(updates, np.ones(len(cases)))


def _in_place(updates, cases):
    shares, mean = np.asarray(cases) / np.sum(cases), updates[0]
    for name in mean:
        mean[name] *= shares[0]
        for share, update in zip(shares[1:], updates[1:], strict=True):
            mean[name] += share * update[name]
    return mean


def _two():
    return [
        {"kernel": np.array([1.0, 2.0, 3.0]), "bias": np.array(0.5)},
        {"kernel": np.array([5.0, 2.0, -1.0]), "bias": np.array(0.1)},
    ]


def _honest(count, seed=5):
    """Updates of so many honest centers: close to each other, but all different."""
    rng = np.random.default_rng(seed)
    return [{"kernel": rng.normal(1, 0.1, (3, 2)), "bias": rng.normal(-2, 0.1, 4)} for _ in range(count)]


def _poisoned(place, value, *, count=5, only_first=False):
    """Honest updates, and at `place` one that sends the same value everywhere, or in its very first weight alone."""
    updates = _honest(count)
    for array in updates[place].values():
        array.flat[slice(0, 1) if only_first else slice(None)] = value
        if only_first:
            break
    return (updates,)


def _outside(place):
    """How far an average lies outside the range of the honest centers, at its worst weight."""

    def measure(average, updates):
        honest, mean = [u for n, u in enumerate(updates) if n != place], average(updates)
        mean = {name: np.asarray(array) for name, array in mean.items()}
        far = [np.maximum(mean[n] - np.max([u[n] for u in honest], 0), np.min([u[n] for u in honest], 0) - mean[n])
               for n in honest[0]]  # fmt: skip
        return max(0.0, *(float(np.max(f)) for f in far))

    return measure


WITHIN = "0: no weight lies outside the range of the honest centers"

EXERCISES = {
    "fedavg": FunctionExercise(
        reference=fedavg,
        checks=[
            Check(
                "two hospitals with 30 and 10 cases",
                lambda: (_two(), [30, 10]),
                {"kernel": [2, 2, 2], "bias": 0.4},
                "[2, 2, 2] for 'kernel' and 0.4 for 'bias'",
            ),
            Check(
                "two hospitals with 20 cases each",
                lambda: (_two(), [20, 20]),
                {"kernel": [3, 2, 1], "bias": 0.3},
                "the plain mean, [3, 2, 1] and 0.3",
            ),
            Check("one hospital alone", lambda: (_two()[:1], [7]), _two()[0], "its own update"),
            Check(
                "a hospital without a case",
                lambda: (_two(), [4, 0]),
                _two()[0],
                "the update of the other one",
            ),
            Check(
                "three hospitals with 5, 80 and 15 cases",
                lambda: (_honest(3), [5, 80, 15]),
                _by_flower,
                "what Flower's `aggregate` gives",
            ),
        ],
        hints=[
            "The share of a hospital is its number of cases over the number of all cases.",
            "For each name: multiply each hospital's array by its share, and add them up.",
            "`{name: ... for name in updates[0]}` makes a new dictionary and leaves the updates as they are.",
        ],
        slips={
            "This is the plain mean. A hospital with more cases should count more.": _plain_mean,
            "This is the sum. The shares must add up to one.": lambda updates, cases: {
                name: sum(update[name] for update in updates) for name in updates[0]
            },
            "The shares are those of other hospitals: keep both lists in the same order.": lambda updates, cases: (
                fedavg(updates, cases[::-1])
            ),
            "`mean = updates[0]` is not a copy: the first update is overwritten.": _in_place,
            "This counts batches or hospitals, not cases: divide by all cases.": lambda updates, cases: {
                name: sum(n * u[name] for n, u in zip(cases, updates, strict=True)) / len(cases) for name in updates[0]
            },
            "Every name must be in the result.": lambda updates, cases: {"kernel": fedavg(updates, cases)["kernel"]},
        },
    ),
    "robust_average": FunctionExercise(
        reference=robust_average,
        checks=[
            Check("five equal updates", lambda: (_honest(1) * 5,), lambda updates: updates[0], "that update"),
            Check("a hospital that sends a million everywhere", lambda: _poisoned(2, 1e6), 0, WITHIN, _outside(2)),
            Check("a hospital that sends minus a million", lambda: _poisoned(2, -1e6), 0, WITHIN, _outside(2)),
            Check("the first of five, poisoned", lambda: _poisoned(0, 1e6), 0, WITHIN, _outside(0)),
            Check("the last of five, poisoned", lambda: _poisoned(4, -1e6), 0, WITHIN, _outside(4)),
            Check(
                "one poisoned weight in an update that is honest otherwise",
                lambda: _poisoned(1, 50.0, only_first=True),
                0,
                WITHIN,
                _outside(1),
            ),
            Check(
                "the shapes of what comes back",
                lambda: (_honest(5),),
                {"kernel": [3, 2], "bias": [4]},
                "(3, 2) for 'kernel' and (4,) for 'bias'",
                lambda average, updates: {name: np.shape(array) for name, array in average(updates).items()},
            ),
            Check("three hospitals, one poisoned", lambda: _poisoned(1, 1e6, count=3), 0, WITHIN, _outside(1)),
        ],
        hints=[
            "A mean follows any outlier. Which average of five numbers does not care how large the largest is?",
            "Compare the hospitals weight by weight: stack their arrays and go along the first axis.",
            "`np.median(arrays, axis=0)`; or sort, leave out the smallest and the largest, and take the mean.",
        ],
        slips={
            "This is the mean: one hospital can drag it anywhere.": lambda updates: _plain_mean(
                updates, [1] * len(updates)
            ),
            "The smallest value is no average: a poisoned one may be small.": lambda updates: {
                name: np.min([update[name] for update in updates], axis=0) for name in updates[0]
            },
            "The largest value is no average: a poisoned one may be large.": lambda updates: {
                name: np.max([update[name] for update in updates], axis=0) for name in updates[0]
            },
            "This is one number for a whole array: go along the axis of the hospitals.": lambda updates: {
                name: np.median([update[name] for update in updates]) for name in updates[0]
            },
            "You trust the first hospital. It may be the poisoned one.": lambda updates: dict(updates[0]),
            "Only the largest is left out; a poisoned value may be the smallest.": lambda updates: {
                name: np.sort([update[name] for update in updates], axis=0)[:-1].mean(axis=0) for name in updates[0]
            },
        },
    ),
    "traffic": Exercise(
        answer=lambda weights, centers, rounds: 2 * 4 * weights * centers * rounds / 1e6,
        hint="Four bytes per weight, down and back up, for each center, in each round; a megabyte is 10⁶ bytes.",
        mistakes={
            "That is one way only: the model is sent down and comes back up.": lambda weights, centers, rounds: (
                4 * weights * centers * rounds / 1e6
            ),
            "These are bytes; divide by a million.": lambda weights, centers, rounds: (
                2 * 4 * weights * centers * rounds
            ),
            "These are mebibytes (2²⁰ bytes); a megabyte is 10⁶ bytes.": lambda weights, centers, rounds: (
                2 * 4 * weights * centers * rounds / 2**20
            ),
            "These are numbers, not bytes: each takes four.": lambda weights, centers, rounds: (
                2 * weights * centers * rounds / 1e6
            ),
        },
    ),
}
