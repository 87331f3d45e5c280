"""A federation over a SuperLink with TLS and keys, recorded: `python data_samples/superlink.py runs/superlink`.

Two rounds of ten steps on a few children of each hospital, as notebook 12 plays them in one program and through a
mailbox. Leaves the log of the run, the disclosure log of each center and summary.json
with the fingerprint of the weights after each round, beside those of the same federation in this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from pedseg.federation import transports
from pedseg.federation.config import FederationConfig
from pedseg.files import write_atomically
from pedseg.workbook import lesson

SHORT = {"rounds": 2, "local_steps": 10, "seed": 0}


def main(out: Path) -> None:
    """Play it both ways and write down what came of it."""
    data, start = lesson.few_children(), time.time()
    config = FederationConfig(data=data, out=out, **SHORT)
    over_superlink = [round_.sha256 for round_ in transports.federate(config, "superlink")]
    seconds = time.time() - start
    config = FederationConfig(data=data, out=out / "in_process", **SHORT)
    in_process = [round_.sha256 for round_ in transports.federate(config)]
    summary = {
        "command": "python data_samples/superlink.py runs/superlink", **SHORT, "seconds": round(seconds),
        "sha256": over_superlink, "sha256_in_process": in_process,
        "versions": {name: version(name) for name in ("flwr", "torch", "numpy")},
    }  # fmt: skip
    write_atomically(out / "summary.json", json.dumps(summary, indent=1).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
