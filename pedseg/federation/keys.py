"""Key pairs of the members of a federation: each holds two private keys, and all others the public halves.

One key pair signs (Ed25519): it proves who wrote a message. The other encrypts (X25519): only its holder can decrypt
what was sealed for it. The public halves travel by e-mail, and two people compare their fingerprint over the phone:
all other protection depends on that comparison.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pedseg.errors import input_error
from pedseg.files import write_atomically, write_new
from pedseg.tables import read_json

COORDINATOR = "coordinator"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
RUN_COUNTER = f"{COORDINATOR}.runs"  # counts the runs that were begun with the coordinator's keys
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
        text = json.dumps(public_keys(self), sort_keys=True).encode()
        number = int.from_bytes(hashlib.sha256(text).digest()) % 10**40
        return " ".join(f"{number:040d}"[start : start + 5] for start in range(0, 40, 5))


@dataclass(frozen=True)
class OwnKeys:
    """The two private keys of this member; they never leave the machine that made them."""

    name: str
    signing: Ed25519PrivateKey = field(repr=False)
    sealing: X25519PrivateKey = field(repr=False)

    @property
    def member(self) -> Member:
        """The name and the public keys, which the others may know."""
        return Member(self.name, self.signing.public_key(), self.sealing.public_key())


def make_keys(name: str) -> OwnKeys:
    """New private keys for a member; its name has 1 to 40 letters, digits, `-` and `_`."""
    return OwnKeys(checked_name(name), Ed25519PrivateKey.generate(), X25519PrivateKey.generate())


def checked_name(name: str) -> str:
    """The name, if it can stand in the name of a file on every system."""
    if not NAME.fullmatch(name):
        raise input_error("E-KEY-NAME", name, "this is no name for a member.", "Use 1 to 40 letters, digits, - and _.")
    return name


def public_keys(member: Member) -> dict[str, str]:
    """A member's public keys as text, the content of its public file."""
    raw = (key.public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (member.signing, member.sealing))
    return {"name": member.name, **_as_text(*raw)}


def write_keys(folder: Path, keys: OwnKeys) -> tuple[Path, Path]:
    """Write the private and the public file; the private one is readable for its owner only.

    Raises `PedsegInputError` when this name has keys there already: nobody could open old messages any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / f"{keys.name}{PRIVATE}", folder / f"{keys.name}{PUBLIC}"
    raw = (key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()) for key in (keys.signing, keys.sealing))
    content = json.dumps({"name": keys.name, **_as_text(*raw)}, indent=1)
    try:
        write_new(private, content.encode(), mode=0o600)
    except FileExistsError as error:
        remedy = "Use them, or move them away."
        raise input_error("E-KEY-EXISTS", private, "there are keys of this name.", remedy) from error
    write_atomically(public, json.dumps(public_keys(keys.member), indent=1).encode())
    return private, public


def own_keys(folder: Path, name: str) -> OwnKeys:
    """This member's keys from a folder; made there if there are none, and the public file too if it is missing."""
    private, public = folder / f"{checked_name(name)}{PRIVATE}", folder / f"{name}{PUBLIC}"
    if not private.exists() and not public.exists():  # a public file alone is somebody else's
        write_keys(folder, make_keys(name))
    keys = read_own(folder, name)
    if not public.exists():  # the program that made them was killed, or somebody has moved it
        write_atomically(public, json.dumps(public_keys(keys.member), indent=1).encode())
    return keys


def read_own(folder: Path, name: str) -> OwnKeys:
    """This member's keys from the folder in which `write_keys` left them."""
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
            raise ValueError(f"the file is that of {text['name']}")
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
        return read_json(file)
    except FileNotFoundError as error:
        raise input_error("E-KEY-MISSING", file, "this key file is not there.", remedy) from error
    except ValueError as error:
        raise input_error("E-KEY-FILE", file, "this is no key file.", remedy) from error


@contextmanager
def _as_key_file(file: Path) -> Iterator[None]:
    """Turn what goes wrong while a key file is parsed into an input error."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        problem = f"the keys are not understood ({error})."
        raise input_error("E-KEY-FILE", file, problem, "Get the file again.") from error


def _as_text(signing: bytes, sealing: bytes) -> dict[str, str]:
    return {"signing": base64.b64encode(signing).decode(), "sealing": base64.b64encode(sealing).decode()}


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
