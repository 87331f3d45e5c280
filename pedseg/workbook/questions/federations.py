"""What notebooks 11 and 12 ask: mailboxes, seals, noise and masks."""

from __future__ import annotations

import math

import numpy as np

from pedseg.workbook.exercise_checks import Question


def _flipped(weight, bit):
    return float((np.array([weight], np.float32).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)[0])


FEDERATIONS: dict[str, Question] = {
    "flipped bit": Question(
        answer=lambda weight, bit: _flipped(weight, bit),
        nudge="Look at the 32 bits as a whole number (`view(np.uint32)`), flip one with `^ (1 << bit)`, and look back.",
        slips={
            "That is the lowest bit of the exponent; the bit that was flipped is its highest.": lambda weight, bit: (
                _flipped(weight, 23)
            ),
            "That is the sign.": lambda weight, bit: _flipped(weight, 31),
        },
    ),
    "what finds a swap": Question(
        answer=lambda: "signature",
        nudge="One of the two says who wrote it, the other who may read it: `seal` or `signature`?",
        slips={"The seal says who may read it. Anybody can seal something for the coordinator.": lambda: "seal"},
    ),
    "objects a round": Question(
        answer=lambda centers: 2 * centers + 1,
        nudge="A question and an answer for each center; and the model?",
        slips={
            "The model is the same for all: it lies there once.": lambda centers: 3 * centers,
            "The model lies beside the questions, in an object of its own.": lambda centers: 2 * centers,
            "The answers lie there, too.": lambda centers: centers + 1,
        },
    ),
    "share of the weights": Question(
        answer=lambda weights, everything: weights / everything,
        nudge="The bytes that are weights over all bytes.",
        slips={
            "This is the share of everything else.": lambda weights, everything: 1 - weights / everything,
            "That is per cent; a share lies between 0 and 1.": lambda weights, everything: 100 * weights / everything,
        },
    ),
    "whose kidney": Question(
        answer=lambda ratios: min(ratios, key=ratios.get),
        nudge="From which kidney does the network draw less than before?",
        slips={"This one is drawn nearly as before.": lambda ratios: max(ratios, key=ratios.get)},
    ),
    "noise for more rounds": Question(
        answer=lambda rounds, more: math.sqrt(more / rounds),
        nudge="Privacy is lost with the square root of rounds over noise: what keeps √rounds / noise the same?",
        slips={
            "Not in proportion: variances add up, spreads do not.": lambda rounds, more: more / rounds,
            "The wrong way round: more rounds need more noise.": lambda rounds, more: math.sqrt(rounds / more),
        },
    ),
    "pairs of masks": Question(
        answer=lambda centers: centers * (centers - 1) // 2,
        nudge="How many pairs can be made of them?",
        slips={
            "Every pair was counted twice.": lambda centers: centers * (centers - 1),
            "That is how many one center shares.": lambda centers: centers - 1,
        },
    ),
}
