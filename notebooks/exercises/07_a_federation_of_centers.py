"""Exercises of the chapter "A federation of centers"."""

from __future__ import annotations

import math

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def sign_test(first, second):
    """The two-sided p-value of the sign test for values of the same patients under two models."""
    differences = np.subtract(first, second)
    better, worse = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    count = better + worse
    tail = sum(math.comb(count, k) for k in range(max(better, worse), count + 1)) / 2**count
    return min(1.0, 2 * tail)


def _by_scipy(first, second):
    from scipy.stats import binomtest

    differences = np.subtract(first, second)
    better, worse = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return binomtest(better, better + worse, 0.5).pvalue


def _one_sided(first, second):
    better, count = int(np.sum(np.greater(first, second))), int(np.sum(np.not_equal(first, second)))
    return sum(math.comb(count, k) for k in range(better, count + 1)) / 2**count


def _with_ties(first, second):
    better, worse = int(np.sum(np.greater(first, second))), int(np.sum(np.less(first, second)))
    count = len(first)
    return min(1.0, 2 * sum(math.comb(count, k) for k in range(max(better, worse), count + 1)) / 2**count)


def _wilcoxon(first, second):
    from scipy.stats import wilcoxon

    return wilcoxon(first, second).pvalue if np.any(np.subtract(first, second)) else 1.0


def _exactly(first, second):
    better, count = int(np.sum(np.greater(first, second))), int(np.sum(np.not_equal(first, second)))
    return min(1.0, 2 * math.comb(count, better) / 2**count)


def _children(count, seed=2):
    rng = np.random.default_rng(seed)
    first = rng.uniform(0.7, 0.95, count).round(2)
    return first, (first - rng.normal(0.005, 0.02, count)).round(2)


def _significant(lines, p, better=False):
    return sum(line[p] < 0.05 and (not better or line["difference"] > 0) for line in lines)


HIGH, LOW = [0.91, 0.88, 0.93, 0.90, 0.87, 0.92, 0.89, 0.94], [0.90, 0.85, 0.92, 0.89, 0.86, 0.90, 0.88, 0.91]

EXERCISES = {
    "sign_test": FunctionExercise(
        reference=sign_test,
        checks=[
            Check(
                "eight children, all better",
                lambda: (HIGH, LOW),
                2 / 256,
                "2 / 256: all eight better or all eight worse",
            ),
            Check("the same with the models swapped", lambda: (LOW, HIGH), 2 / 256, "2 / 256 again"),
            Check(
                "four children, three of them better",
                lambda: ([3, 3, 3, 1], [2, 2, 2, 2]),
                10 / 16,
                "10 / 16: (4 + 1) ways of 16, on both sides",
            ),
            Check("as many better as worse", lambda: ([1, 2, 3, 4], [2, 1, 4, 3]), 1, "1, no more"),
            Check(
                "six better, and two ties that say nothing",
                lambda: ([2, 2, 2, 2, 2, 2, 5, 5], [1, 1, 1, 1, 1, 1, 5, 5]),
                2 / 64,
                "2 / 64: ties are left out",
            ),
            Check("ties only", lambda: ([0.9, 0.8], [0.9, 0.8]), 1),
            Check("40 children, some of them tied", lambda: _children(40), _by_scipy, "what SciPy's `binomtest` gives"),
        ],
        hints=[
            "Count the children in whom the first model is better, and those in whom it is worse; ties do not count.",
            "By chance, each of the n children is like a coin: `math.comb(n, k) / 2**n` is the probability of k heads.",
            "Add up the probabilities from the larger of the two counts to n, double the sum, and limit it to 1.",
        ],
        slips={
            "This is one side; either model might have been the better one.": _one_sided,
            "Ties say nothing: leave them out.": _with_ties,
            "This is Wilcoxon's test, which also looks at how large the differences are.": _wilcoxon,
            "Just as many or *more*: add up to n.": _exactly,
            "A probability is at most 1.": lambda first, second: (
                2 * _one_sided(*((first, second) if np.mean(np.subtract(first, second)) > 0 else (second, first)))
            ),
        },
    ),
    "recovered": Exercise(
        answer=lambda home, away, federated: (federated - away) / (home - away),
        hint="The whole drop is home - away. What fraction of it does the federation recover?",
        mistakes={
            "This is the fraction that is still missing.": lambda home, away, federated: (
                (home - federated) / (home - away)
            ),
            "This is the gain itself; divide it by the drop.": lambda home, away, federated: federated - away,
        },
    ),
    "paying": Exercise(
        answer=lambda lines: _significant(lines, "p_holm", better=True),
        hint="Count the lines whose `difference` is above 0 and whose `p_holm` is below 0.05.",
        mistakes={
            "Some of these are significantly worse.": lambda lines: _significant(lines, "p_holm"),
            "So many comparisons need the corrected p.": lambda lines: _significant(lines, "p", better=True),
            "Some of these are worse, and so many comparisons need the corrected p.": lambda lines: _significant(
                lines, "p"
            ),
        },
    ),
}
