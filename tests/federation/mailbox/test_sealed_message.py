"""An envelope opens for its receiver as it was sealed, and for nobody and in no way else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pedseg.errors import PedsegInputError
from pedseg.federation.keys import OwnKeys, make_keys
from pedseg.federation.mailbox.sealed_message import LENGTH, MAGIC, SIGNATURE, Header, header_of, seal, unseal

NOW = 1_000_000.0
ALICE, BOB, EVE = make_keys("alice"), make_keys("bob"), make_keys("eve")
HEADER = Header("a" * 16, 3, "b" * 32, "alice", "bob", NOW, NOW + 60)
TEXT = b"thirty-two bytes of weights here"
RAW = seal(TEXT, HEADER, ALICE, BOB.member)


def opened(raw: bytes, own: OwnKeys = BOB, sender: OwnKeys = ALICE, now: float = NOW) -> tuple[Header, bytes]:
    return unseal(raw, own, sender.member, file="x", now=now)


def code(raw: bytes, **others) -> str:
    with pytest.raises(PedsegInputError) as caught:
        opened(raw, **others)
    assert caught.value.problems[0].file == "x"
    return caught.value.problems[0].code


def parts(raw: bytes) -> tuple[bytes, bytes]:
    """Header and sealed content."""
    start = len(MAGIC) + LENGTH.size
    (length,) = LENGTH.unpack_from(raw, len(MAGIC))
    return raw[start : start + length], raw[start + length : -SIGNATURE]


def assembled(header: bytes, sealed: bytes, signer: OwnKeys) -> bytes:
    body = MAGIC + LENGTH.pack(len(header)) + header + sealed
    return body + signer.signing.sign(body)


def test_the_receiver_reads_what_was_sealed() -> None:
    assert opened(RAW) == (HEADER, TEXT)
    assert header_of(RAW, ALICE.member, file="x") == HEADER
    assert TEXT not in RAW


def test_every_flipped_byte_is_found() -> None:
    codes = {code(RAW[:place] + bytes([RAW[place] ^ 1 << place % 8]) + RAW[place + 1 :]) for place in range(len(RAW))}
    assert codes == {"E-MAIL-FORMAT", "E-MAIL-SIGNATURE"}


def test_every_truncation_and_every_addition_is_found() -> None:
    assert {code(RAW[:length]) for length in range(len(RAW))} == {"E-MAIL-FORMAT", "E-MAIL-SIGNATURE"}
    assert {code(RAW[start:]) for start in range(1, len(RAW))} == {"E-MAIL-FORMAT"}
    assert code(RAW + b"\0") == code(RAW + RAW) == "E-MAIL-SIGNATURE"


def test_a_forged_sender_is_found() -> None:
    assert code(seal(TEXT, HEADER, EVE, BOB.member)) == "E-MAIL-SIGNATURE"
    assert code(seal(TEXT, replace(HEADER, sender="eve"), EVE, BOB.member)) == "E-MAIL-SIGNATURE"


def test_an_envelope_for_somebody_else_is_found() -> None:
    other = seal(TEXT, replace(HEADER, receiver="eve"), ALICE, EVE.member)
    assert code(other) == "E-MAIL-ADDRESS"
    assert opened(other, own=EVE)[1] == TEXT
    assert code(seal(TEXT, HEADER, ALICE, EVE.member)) == "E-MAIL-SEAL"  # the name on it is not what opens it
    assert code(RAW, own=EVE) == "E-MAIL-ADDRESS"


def test_a_stolen_content_cannot_be_sent_under_another_name() -> None:
    header, sealed = parts(RAW)
    mine = json.dumps({**json.loads(header), "sender": "eve"}, sort_keys=True).encode()
    assert code(assembled(mine, sealed, EVE), sender=EVE) == "E-MAIL-SEAL"


@pytest.mark.parametrize("change", [{"round": 4}, {"run": "c" * 16}, {"request": "d" * 32}, {"expires": NOW + 61}])
def test_even_its_author_cannot_put_an_old_content_under_a_new_header(change: dict) -> None:
    header, sealed = parts(RAW)
    new = json.dumps({**json.loads(header), **change}, sort_keys=True).encode()
    assert code(assembled(new, sealed, ALICE)) == "E-MAIL-SEAL"


def test_an_expired_envelope_is_refused() -> None:
    assert opened(RAW, now=NOW + 59)[1] == TEXT
    assert code(RAW, now=NOW + 61) == "E-MAIL-EXPIRED"


@pytest.mark.parametrize(
    "change",
    [{"round": "3"}, {"round": True}, {"expires": "never"}, {"expires": float("inf")}, {"issued": float("nan")},
     {"run": 5}, {"surplus": 1}, {"sender": None}],
)  # fmt: skip
def test_a_header_of_other_kinds_is_refused_though_well_signed(change: dict) -> None:
    header, sealed = parts(RAW)
    assert code(assembled(json.dumps({**json.loads(header), **change}).encode(), sealed, ALICE)) == "E-MAIL-FORMAT"


@pytest.mark.parametrize("header", [b"", b"{}", b"[1]", b"null", b"\xff", b"{" * 4000, b" " * 5000])
def test_a_header_that_is_none_is_refused_though_well_signed(header: bytes) -> None:
    assert code(assembled(header, b"", ALICE)) == "E-MAIL-FORMAT"


def test_the_same_content_never_looks_the_same() -> None:
    again = seal(TEXT, HEADER, ALICE, BOB.member)
    assert parts(again)[0] == parts(RAW)[0] and parts(again)[1] != parts(RAW)[1]
