"""Every benchmark in one run, one line a measure: `python -m benchmarks [--json] [NAME …]`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

NAMES = (
    "metrics", "federation", "transports", "mailbox", "growth", "learning", "gin", "viewer", "hospital_scan", "dicom",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, or all; ratios are peer / ours, for the federation ours / peer.

    A row has no peer (None) where there is nothing to compare with; it may have a `limit` that the project sets itself.
    """
    as_json = "--json" in arguments
    chosen = [argument for argument in arguments if argument != "--json"] or NAMES
    if unknown := [name for name in chosen if name not in NAMES]:
        print(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in chosen:
        for row in importlib.import_module(f"benchmarks.{name}").measure():
            print(json.dumps(row) if as_json else as_line(row), flush=True)
    return 0


def as_line(row: dict[str, Any]) -> str:
    """A row in words."""
    text = f"{row['name']}: ours {row['ours']:.3g} {row['unit']}"
    if row["peer"] is not None:
        text += f", peer {row['peer']:.3g} {row['unit']}, ratio {row['ratio']:.3g}"
    if row.get("limit") is not None:
        text += f", limit {row['limit']:.3g} {row['unit']}"
    return text


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one thread for all
    sys.exit(main(sys.argv[1:]))
