"""Who is who in a mailbox: each member holds two private keys, and everybody else the public halves.

One key pair signs (Ed25519): it proves who wrote a message. The other seals (X25519): only its
holder can open what was sealed for it. The public halves travel by e-mail, and two people
compare their fingerprint over the phone: that is the moment on which all else rests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pedseg.errors import input_error
from pedseg.files import staged_file, write_atomically

COORDINATOR = "coordinator"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
PRIVATE, PUBLIC = ".private.json", ".public.json"


@dataclass(frozen=True)
class Member:
    """A member of the federation as the others know it: a name and two public keys."""

    name: str
    signing: Ed25519PublicKey
    sealing: X25519PublicKey

    @property
    def fingerprint(self) -> str:
        """Forty digits, in groups of five, to read over the phone: about 133 bits of a SHA-256 of name and keys."""
        text = json.dumps(describe(self), sort_keys=True).encode()
        number = int.from_bytes(hashlib.sha256(text).digest()) % 10**40
        return " ".join(f"{number:040d}"[place : place + 5] for place in range(0, 40, 5))


@dataclass(frozen=True)
class OwnKeys:
    """One's own two private keys; never leave the machine that made them."""

    name: str
    signing: Ed25519PrivateKey = field(repr=False)
    sealing: X25519PrivateKey = field(repr=False)

    @property
    def member(self) -> Member:
        """What the others may know."""
        return Member(self.name, self.signing.public_key(), self.sealing.public_key())


def make_keys(name: str) -> OwnKeys:
    """New private keys for a member; names have letters, digits, `-` and `_`, 40 at most."""
    return OwnKeys(checked_name(name), Ed25519PrivateKey.generate(), X25519PrivateKey.generate())


def checked_name(name: str) -> str:
    """The name, if it can stand in the name of a file on every system."""
    if not NAME.fullmatch(name):
        raise input_error("E-KEY-NAME", name, "this is no name for a member.", "Use 1 to 40 letters, digits, - and _.")
    return name


def describe(member: Member) -> dict[str, str]:
    """A member's public keys as text, the content of its public file."""
    raw = (key.public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (member.signing, member.sealing))
    signing, sealing = (base64.b64encode(one).decode() for one in raw)
    return {"name": member.name, "signing": signing, "sealing": sealing}


def write_keys(folder: Path, keys: OwnKeys) -> tuple[Path, Path]:
    """Write the private and the public file; the private one is readable for its owner only.

    Raises `PedsegInputError` when this name has keys there already: nobody could open old messages any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / f"{keys.name}{PRIVATE}", folder / f"{keys.name}{PUBLIC}"
    raw = [key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()) for key in (keys.signing, keys.sealing)]
    signing, sealing = (base64.b64encode(one).decode() for one in raw)
    content = json.dumps({"name": keys.name, "signing": signing, "sealing": sealing}, indent=1)
    try:
        with staged_file(private, content.encode(), mode=0o600) as part:
            os.link(part, private)  # unlike a renaming it fails when the name is taken
    except FileExistsError as error:
        raise input_error(
            "E-KEY-EXISTS", private, "there are keys of this name.", "Use them, or move them away."
        ) from error
    write_atomically(public, json.dumps(describe(keys.member), indent=1).encode())
    return private, public


def own_keys(folder: Path, name: str) -> OwnKeys:
    """One's own keys from a folder; made there if there are none, and the public file beside them if it is missing."""
    private, public = folder / f"{checked_name(name)}{PRIVATE}", folder / f"{name}{PUBLIC}"
    if not private.exists() and not public.exists():  # a public file alone is somebody else's
        write_keys(folder, make_keys(name))
    keys = read_own(folder, name)
    if not public.exists():  # the program that made them was killed, or somebody has moved it
        write_atomically(public, json.dumps(describe(keys.member), indent=1).encode())
    return keys


def read_own(folder: Path, name: str) -> OwnKeys:
    """One's own keys from the folder in which `write_keys` left them."""
    file = folder / f"{checked_name(name)}{PRIVATE}"
    text = _fields(file, "Make them with `pedseg keys`.")
    with _as_key_file(file):
        signing = Ed25519PrivateKey.from_private_bytes(_raw(text["signing"]))
        return OwnKeys(name, signing, X25519PrivateKey.from_private_bytes(_raw(text["sealing"])))


def read_member(folder: Path, name: str) -> Member:
    """The public keys of one member, from the file that it sent."""
    file = folder / f"{checked_name(name)}{PUBLIC}"
    text = _fields(file, "Ask this member for its public file, and compare the fingerprint over the phone.")
    with _as_key_file(file):
        if text["name"] != name:
            raise ValueError(f"the file speaks of {text['name']}")
        signing = Ed25519PublicKey.from_public_bytes(_raw(text["signing"]))
        return Member(name, signing, X25519PublicKey.from_public_bytes(_raw(text["sealing"])))


def known_members(folder: Path) -> list[str]:
    """The names of all members whose public file lies in a folder, in alphabetical order."""
    return sorted(file.name.removesuffix(PUBLIC) for file in folder.glob(f"*{PUBLIC}"))


def known_centers(folder: Path) -> list[str]:
    """The same without the coordinator."""
    return [name for name in known_members(folder) if name != COORDINATOR]


def _fields(file: Path, remedy: str) -> Mapping[str, Any]:
    try:
        text = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise input_error("E-KEY-MISSING", file, "this key file is not there.", remedy) from error
    except ValueError as error:
        raise input_error("E-KEY-FILE", file, "this is no key file.", remedy) from error
    return text


class _as_key_file:
    """Turn what goes wrong while a key file is understood into one finding."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError):
            raise input_error(
                "E-KEY-FILE", self.file, f"the keys are not understood ({error}).", "Get the file again."
            ) from error


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
