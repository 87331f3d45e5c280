"""A sealed and signed message: only the receiver can read it, and nobody else can have written it.

    PEDSEG1 | length of the header | header (JSON) | sealed content (HPKE) | signature (Ed25519)

The header (run, round, request, sender, receiver, when it was issued and when it expires) can be read by everybody
and changed by nobody: it is bound to the sealed content and covered by the signature. The content is sealed by HPKE
(RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305). Nothing of an envelope is parsed before its signature is verified.
"""

from __future__ import annotations

import json
import math
import struct
import time
from dataclasses import asdict, dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from pedseg.errors import input_error
from pedseg.federation.keys import Member, OwnKeys

MAGIC = b"PEDSEG1\n"
SIGNATURE = 64  # bytes
LENGTH = struct.Struct(">I")
LONGEST_HEADER = 4096  # bytes
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Header:
    """The header of an envelope: run, round and request; sender and receiver; times as seconds since 1970."""

    run: str
    round: int
    request: str
    sender: str
    receiver: str
    issued: float
    expires: float

    def to_bytes(self) -> bytes:
        """The header as it is signed and bound to the content."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Header:
        """The inverse of `to_bytes`; `ValueError` or `TypeError` if a field is missing, surplus or of another type."""
        fields = json.loads(raw)
        header = cls(**fields)
        kinds = {"round": int, "issued": float, "expires": float}
        wrong = [name for name, value in fields.items() if type(value) is not kinds.get(name, str)]
        if wrong or not math.isfinite(header.issued + header.expires):
            raise ValueError(f"wrong values in {wrong}")
        return header


def seal(content: bytes, header: Header, own: OwnKeys, receiver: Member) -> bytes:
    """An envelope around `content` that only `receiver` can open."""
    head = header.to_bytes()
    bound = MAGIC + LENGTH.pack(len(head)) + head
    body = b"".join([bound, SUITE.encrypt(content, receiver.sealing, info=bound)])
    return b"".join([body, own.signing.sign(body)])


def unseal(raw: bytes, own: OwnKeys, sender: Member, *, file: str, now: float | None = None) -> tuple[Header, bytes]:
    """Header and content of an envelope from `sender` to us, or `PedsegInputError` with the reason of the refusal.

    `file` is its name, for the error. Refused are: anything that `sender` did not sign as it is, what was meant for
    somebody else, and what has expired at `now` (default: this machine's clock).
    """
    header, bound, sealed = _signed(raw, sender, file)
    if (header.sender, header.receiver) != (sender.name, own.name):
        problem = f"it is from {header.sender} for {header.receiver}, not from {sender.name} for {own.name}."
        remedy = "Somebody moved it here; look at who may write to the mailbox."
        raise input_error("E-MAIL-ADDRESS", file, problem, remedy)
    if header.expires < (time.time() if now is None else now):
        raise input_error("E-MAIL-EXPIRED", file, "it has expired.", "If this is new, set the clocks of both machines.")
    try:
        return header, SUITE.decrypt(sealed, own.sealing, info=bound)
    except InvalidTag as error:
        problem = "it was sealed for other keys than ours."
        raise input_error("E-MAIL-SEAL", file, problem, "Exchange the public files again.") from error


def header_of(raw: bytes, sender: Member, *, file: str) -> Header:
    """The header of an envelope that `sender` signed, for anybody who knows the sender."""
    return _signed(raw, sender, file)[0]


def _signed(raw: bytes, sender: Member, file: str) -> tuple[Header, bytes, bytes]:
    """Header, the bytes bound to the content, and the sealed content, once the signature is verified."""
    if not raw.startswith(MAGIC) or len(raw) < len(MAGIC) + LENGTH.size + SIGNATURE:
        raise input_error("E-MAIL-FORMAT", file, "this is no envelope, or only its beginning.", "It is ignored.")
    view = memoryview(raw)  # a model is not copied to be looked at
    try:
        sender.signing.verify(raw[-SIGNATURE:], view[:-SIGNATURE])
    except InvalidSignature as error:
        problem = f"{sender.name} did not sign it, or it was changed since."
        remedy = "It is ignored; look at who may write to the mailbox."
        raise input_error("E-MAIL-SIGNATURE", file, problem, remedy) from error
    start = len(MAGIC) + LENGTH.size
    (length,) = LENGTH.unpack_from(raw, len(MAGIC))
    try:
        if length > LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        header = Header.from_bytes(raw[start : start + length])
    except (TypeError, ValueError) as error:
        problem = f"the header is not understood ({error})."
        raise input_error("E-MAIL-FORMAT", file, problem, "Install the same pedseg.") from error
    return header, raw[: start + length], raw[start + length : -SIGNATURE]
