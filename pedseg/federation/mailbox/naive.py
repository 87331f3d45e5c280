"""A mailbox as one would write it in an afternoon. For lessons only: it can be broken in every way.

It has the faults of real ones: a file counts as there while it is still being written, nothing says
who wrote it, for which round, or whether it is still what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class NaiveMailbox:
    """A shared folder in which models lie as plain files; `shapes` says how to read them."""

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.folder, self.shapes = folder, shapes
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            file.unlink()

    def put(self, name: str, weights: Mapping[str, NDArray], arrived: float = 1.0) -> None:
        """Write a model, array after array; `arrived` is the share that has come through the line so far."""
        raw = b"".join(weights[key].astype("<f4").tobytes() for key in self.shapes)
        (self.folder / name).write_bytes(raw[: int(len(raw) * arrived)])

    def is_there(self, word: str) -> bool:
        """Whether a listing of the folder has this word somewhere."""
        return word in " ".join(self.names())

    def names(self) -> list[str]:
        """A listing of the folder."""
        return sorted(file.name for file in self.folder.iterdir())

    def get(self, name: str) -> dict[str, NDArray]:
        """Read a model; what has not arrived is read as zeros, as from a file whose place was reserved."""
        raw = (self.folder / name).read_bytes()
        sizes = {key: 4 * int(np.prod(shape)) for key, shape in self.shapes.items()}
        raw += bytes(sum(sizes.values()) - len(raw))
        weights, start = {}, 0
        for key, size in sizes.items():
            weights[key] = np.frombuffer(raw[start : start + size], "<f4").reshape(self.shapes[key])
            start += size
        return weights

    def copy(self, old: str, new: str) -> None:
        """What anybody with the password can do: a file under another name."""
        (self.folder / new).write_bytes((self.folder / old).read_bytes())

    def flip(self, name: str, byte: int, bit: int = 6) -> None:
        """What a bad line, a bad disk or a bad person can do: change one bit."""
        flip(self.folder / name, byte, bit)

    def lose(self) -> None:
        """What a server can do: forget everything."""
        for file in self.folder.iterdir():
            file.unlink()


def flip(file: Path, byte: int, bit: int = 6) -> None:
    """Change one bit of a file; a negative `byte` counts from the end."""
    raw = bytearray(file.read_bytes())
    raw[byte] ^= 1 << bit
    file.write_bytes(raw)
