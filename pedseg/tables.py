"""Tables and JSON objects that map one thing to another; what says a key twice is refused, the last one never wins."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LazyMapping(Mapping[K, V]):
    """A mapping whose values are made when they are looked up, anew each time: all at once would fill the memory."""

    def __init__(self, keys: Iterable[K], make: Callable[[K], V]) -> None:
        self._keys, self._make = dict.fromkeys(keys), make

    def __getitem__(self, key: K) -> V:
        if key not in self._keys:
            raise KeyError(key)
        return self._make(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def unique(pairs: Iterable[tuple[K, V]]) -> dict[K, V]:
    """A mapping of pairs; `ValueError` if a key comes twice, even with the same value."""
    mapping: dict[K, V] = {}
    for key, value in pairs:
        if key in mapping:
            both = f", as {str(mapping[key])[:40]} and as {str(value)[:40]}" if value != mapping[key] else ""
            raise ValueError(f"{key!r} is there twice{both}")
        mapping[key] = value
    return mapping


def one_to_one(pairs: Iterable[tuple[K, V]]) -> dict[K, V]:
    """The same where no value may come twice either."""
    mapping = unique(pairs)
    unique((value, key) for key, value in mapping.items())
    return mapping


def read_json(file: Path) -> Any:
    """What a JSON file holds, with or without a byte-order mark; `ValueError` for what is no JSON or says a key twice.

    Raises `OSError` where the file cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_rows(file: Path, key: str, delimiter: str = "\t") -> list[dict[str, str]]:
    """The rows of a table in UTF-8, by the names in its header, of which `key` must be one.

    Raises `ValueError` for a column that is there twice and a row of another length, `OSError` for an unreadable file.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header, *rows = [row for row in csv.reader(stream, delimiter=delimiter) if row] or [[]]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    unique((column, "") for column in header)
    if key not in header:
        raise ValueError(f"it has no column {key}")
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"the row of {row[0]} has another number of fields than the header")
    return [dict(zip(header, row, strict=True)) for row in rows]
