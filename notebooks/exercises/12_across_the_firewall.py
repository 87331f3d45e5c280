"""Exercises of the chapter "Across the firewall"."""

from __future__ import annotations

import hashlib
import json
from functools import cache

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def _flipped(weight, bit):
    return float((np.array([weight], np.float32).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)[0])


def accept(message, run, round_, seen, verify):
    """Whether a reply is let in: signed by its sender, whole, of this run and round, and not let in before."""
    header = message["header"]
    if not verify(header, message["signature"]):
        return False
    if header["sha256"] != hashlib.sha256(message["weights"]).hexdigest():
        return False
    place = header["run"], header["round"], header["sender"]
    if place[:2] != (run, round_) or place in seen:
        return False
    seen.add(place)
    return True


@cache
def _key(sender):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(sender.encode()).digest())


def _signed_bytes(header):
    return json.dumps(header, sort_keys=True).encode()


def _verify(header, signature):
    """Whether the member whom the header names has signed this very header (Ed25519)."""
    from cryptography.exceptions import InvalidSignature

    if header["sender"] not in ("Polder", "Neckar"):
        return False
    try:
        _key(header["sender"]).public_key().verify(signature, _signed_bytes(header))
    except InvalidSignature:
        return False
    return True


def _message(sender="Polder", *, run="A", round_=1, weights=b"weights", author="", **changed):
    """A reply that `author` has signed, by default its sender; `changed` replaces parts of the header afterwards."""
    header = {"run": run, "round": round_, "sender": sender, "sha256": hashlib.sha256(weights).hexdigest()}
    signature = _key(author or sender).sign(_signed_bytes(header))
    return {"header": header | changed, "weights": weights, "signature": signature}


def _in_turn(accept, messages, round_, verify):
    """What is let in if these messages come one after the other."""
    seen = set()
    return [accept(message, "A", round_, seen, verify) for message in messages]


def _come(*messages, round_=1):
    return lambda: (list(messages), round_, _verify)


def _by_content(message, run, round_, seen, verify):
    content = message["header"]["sha256"]
    if content in seen or not accept(message, run, round_, set(), verify):
        return False
    seen.add(content)
    return True


def _remembers_first(message, run, round_, seen, verify):
    place = message["header"]["round"], message["header"]["sender"]
    if place in seen:
        return False
    seen.add(place)
    return accept(message, run, round_, set(), verify)


def _believes_the_sum(message, run, round_, seen, verify):
    sound = hashlib.sha256(message["weights"]).hexdigest() == message["header"]["sha256"]
    return sound and accept(message, run, round_, seen, lambda header, signature: True)


def _believes_the_signature(message, run, round_, seen, verify):
    digest = hashlib.sha256(message["weights"]).hexdigest()
    whole = {**message, "header": {**message["header"], "sha256": digest}}
    return verify(message["header"], message["signature"]) and accept(whole, run, round_, seen, lambda *_: True)


def _any_round(message, run, round_, seen, verify):
    return accept(message, run, message["header"]["round"], seen, verify)


def _any_run(message, run, round_, seen, verify):
    return accept(message, message["header"]["run"], round_, seen, verify)


def _forgets(message, run, round_, seen, verify):
    return accept(message, run, round_, set(), verify)


def _one_a_round(message, run, round_, seen, verify):
    if round_ in seen or not accept(message, run, round_, set(), verify):
        return False
    seen.add(round_)
    return True


HALF = {**_message(), "weights": b"weig"}

EXERCISES = {
    "accept": FunctionExercise(
        reference=accept,
        in_place=True,
        checks=[
            Check("an honest reply", _come(_message()), [True], measure=_in_turn),
            Check(
                "the same reply twice",
                _come(_message(), _message()),
                [True, False],
                "True, then False: that is a replay",
                _in_turn,
            ),
            Check(
                "the reply of round 1 in round 2",
                _come(_message(), round_=2),
                [False],
                "False: it is of another round",
                _in_turn,
            ),
            Check(
                "the reply of round 1 with its header changed to round 2",
                _come(_message() | {"header": _message(round=2)["header"]}, round_=2),
                [False],
                "False: the signature covers the header",
                _in_turn,
            ),
            Check("a reply from another run", _come(_message(run="B")), [False], measure=_in_turn),
            Check(
                "Neckar's reply under Polder's name",
                _come(_message("Polder", author="Neckar")),
                [False],
                "False: Polder did not sign it",
                _in_turn,
            ),
            Check(
                "half of the weights", _come(HALF), [False], "False: the SHA-256 in the header is different", _in_turn
            ),
            Check(
                "two hospitals, each with its own weights",
                _come(_message("Polder"), _message("Neckar", weights=b"others")),
                [True, True],
                measure=_in_turn,
            ),
            Check(
                "two hospitals with the same weights",
                _come(_message("Polder"), _message("Neckar")),
                [True, True],
                "True and True: it is no replay if both have signed",
                _in_turn,
            ),
            Check(
                "a forged reply, and after it the honest one",
                _come(_message(author="Neckar"), _message()),
                [False, True],
                "False, then True: what is refused must not be remembered",
                _in_turn,
            ),
            Check("a stranger's reply", _come(_message("Mallory")), [False], measure=_in_turn),
        ],
        hints=[
            "Accept what passes all tests: signature, SHA-256 of the weights, run and round, not seen before.",
            "`hashlib.sha256(message['weights']).hexdigest()` must be what the header says.",
            "Add run, round, and sender to `seen`, but only after all tests have passed.",
        ],
        slips={
            "A replay is accepted: remember in `seen` what you accepted.": _forgets,
            "Another hospital may have the same weights: remember who and when, not what.": _by_content,
            "A forged reply blocks the honest one: remember after all tests.": _remembers_first,
            "A SHA-256 proves nothing by itself: anybody can compute it.": _believes_the_sum,
            "The signature covers the header; the weights are tied to it by their SHA-256.": _believes_the_signature,
            "An old reply is accepted: compare the round.": _any_round,
            "A reply from another run is accepted: compare the run.": _any_run,
            "Each hospital sends one reply per round.": _one_a_round,
        },
    ),
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
