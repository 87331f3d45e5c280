"""One run of a federation through a mailbox, as it lies on the coordinator's disk."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.files import write_atomically


@dataclass(frozen=True)
class Run:
    """One run of a federation: its public id, when it began (seconds since 1970) and a secret for names and keys."""

    run: str
    started: float
    secret: bytes = field(repr=False)


def resume(folder: Path, settings: str) -> Run:
    """The run that lies in a folder, if it has the same settings; else a new one, written there."""
    file = folder / "run.json"
    try:
        text = json.loads(file.read_text(encoding="utf-8"))
        if text["settings"] == settings:
            return Run(text["run"], text["started"], bytes.fromhex(text["secret"]))
    except (FileNotFoundError, KeyError, ValueError):
        pass
    run = Run(secrets.token_hex(8), time.time(), secrets.token_bytes(32))
    text = {"run": run.run, "started": run.started, "secret": run.secret.hex(), "settings": settings}
    write_atomically(file, json.dumps(text).encode(), mode=0o600)
    return run
