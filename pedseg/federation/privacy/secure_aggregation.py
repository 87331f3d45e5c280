"""Secure aggregation by pairwise masks: the coordinator learns the sum of all updates, and no single one.

Every two centers share a secret that follows from their keys, and for each round a long row of random numbers that
follows from it. One adds the row to its update, the other subtracts it. In the sum all rows cancel, to the last bit,
because the numbers are whole and are counted modulo 2³².

The idea is that of Bonawitz et al. (2017) without the recovery of lost centers: if one is missing, the
masks do not cancel, and the round is void. With two centers each could take its own part from the sum and
would have the other's; so three at least. The keys are those that were compared over the phone:
no coordinator can slip in its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.federation.keys import Member, OwnKeys

MIN_CENTERS = 3
FRACTION_BITS = 20  # weights are rounded to about 1e-6
MAX_CHANGE = 1.0  # of a weight, once weighted by the center's share


def mask_update(
    update: Mapping[str, NDArray], share: float, own: OwnKeys, members: Sequence[Member], context_hash: str
) -> dict[str, NDArray]:
    """A center's update times its share of the cases, as whole numbers behind the masks that it shares with the others.

    `members` are all centers of the round, this one included; `context_hash` identifies run and round and
    must never come twice with the same keys. Arrays of uint32, of the shapes of `update`.
    """
    others = [member for member in members if member.name != own.name]
    if len(others) + 1 < MIN_CENTERS or len({member.name for member in members}) != len(members):
        remedy = f"Masks hide nothing below {MIN_CENTERS} centers."
        raise input_error("E-MASK-FEW", context_hash, f"{len(others) + 1} centers.", remedy)
    masked = {name: _to_fixed_point(array * share, name) for name, array in update.items()}
    for other in others:
        mask = _shared_mask(own, other, context_hash, sum(array.size for array in masked.values()))
        start = 0
        for name, array in masked.items():
            part = mask[start : start + array.size].reshape(array.shape)
            masked[name] = array + part if own.name < other.name else array - part
            start += array.size
    return masked


def sum_masked(
    parts: Mapping[str, Mapping[str, NDArray]], members: Sequence[str], context_hash: str
) -> dict[str, NDArray]:
    """The sum of all updates times their shares, in single precision, out of the masked ones by center name.

    Refused unless every center of the round is there: otherwise the masks do not cancel, and the sum is noise.
    """
    missing = sorted(set(members) - set(parts))
    if missing:
        remedy = "The round is void; the model stays, and the next round is asked with those that are there."
        raise input_error("E-MASK-MISSING", ", ".join(missing), f"no masked update for {context_hash}.", remedy)
    sums: dict[str, NDArray] = {}
    for name in members:
        add_masked(sums, parts[name])
    return from_fixed_point(sums)


def add_masked(sums: dict[str, NDArray], part: Mapping[str, NDArray]) -> None:
    """Add a masked update to the sums, modulo 2³²; the order does not matter."""
    for name, array in part.items():
        sums[name] = sums[name] + array if name in sums else array


def from_fixed_point(sums: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The sum of all masked updates as floating-point numbers, in single precision."""
    return {name: (array.view(np.int32) / 2.0**FRACTION_BITS).astype(np.float32) for name, array in sums.items()}


def _to_fixed_point(array: NDArray, name: str) -> NDArray:
    """Numbers in steps of 2^-20, as uint32 that count on from 2³² for negative ones."""
    if not np.isfinite(array).all() or np.abs(array).max(initial=0.0) > MAX_CHANGE:
        problem = f"a weight changes by more than {MAX_CHANGE:g}."
        raise input_error("E-MASK-RANGE", name, problem, "Clip the update first.")
    return np.rint(array.astype(np.float64) * 2.0**FRACTION_BITS).astype(np.int64).astype(np.uint32)


def _shared_mask(own: OwnKeys, other: Member, context_hash: str, length: int) -> NDArray:
    """The random numbers that two centers share for one context, and nobody else knows."""
    pair = "|".join(sorted((own.name, other.name)))
    secret = own.sealing.exchange(other.sealing)
    key = HKDF(SHA256(), 32, salt=None, info=f"pedseg mask|{pair}|{context_hash}".encode()).derive(secret)
    stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(4 * length)), dtype="<u4").astype(np.uint32)
