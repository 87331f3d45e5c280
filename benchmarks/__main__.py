"""Every benchmark in one run, one line a measure: `python -m benchmarks [--json] [NAME …]`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence

NAMES = ("metrics", "federation", "transports", "mailbox", "growth", "learning", "viewing")


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, or all; ratios are peer / ours, for the federation ours / peer."""
    as_json = "--json" in arguments
    chosen = [argument for argument in arguments if argument != "--json"] or NAMES
    if unknown := [name for name in chosen if name not in NAMES]:
        print(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in chosen:
        for row in importlib.import_module(f"benchmarks.{name}").measure():
            if as_json:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{row['name']}: ours {row['ours']:.3g} {row['unit']}, peer {row['peer']:.3g} {row['unit']}, "
                    f"ratio {row['ratio']:.3g}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one thread for all
    sys.exit(main(sys.argv[1:]))
