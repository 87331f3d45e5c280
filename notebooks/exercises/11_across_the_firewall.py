"""Exercises of chapter 11, Across the firewall."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise


def _flipped(weight, bit):
    return float((np.array([weight], np.float32).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)[0])


EXERCISES = {
    "flipped bit": Exercise(
        answer=_flipped,
        hint="Look at the 32 bits as a whole number (`view(np.uint32)`), flip one with `^ (1 << bit)`, and look back.",
        mistakes={
            "That is the lowest bit of the exponent; the bit that was flipped is its highest.": lambda weight, bit: (
                _flipped(weight, 23)
            ),
            "That is the sign.": lambda weight, bit: _flipped(weight, 31),
        },
    ),
    "what finds a swap": Exercise(
        answer=lambda: "signature",
        hint="One of the two proves who wrote it, the other decides who can read it: `seal` or `signature`?",
        mistakes={"The seal decides who can read it. Anybody can seal a message to the coordinator.": lambda: "seal"},
    ),
    "objects a round": Exercise(
        answer=lambda centers: 2 * centers + 1,
        hint="A request and a reply for each center; and the model?",
        mistakes={
            "The model is the same for all: it is stored once.": lambda centers: 3 * centers,
            "The model is stored beside the requests, in an object of its own.": lambda centers: 2 * centers,
            "The replies are stored there, too.": lambda centers: centers + 1,
        },
    ),
}
