"""What a federation leaves in its folder while it runs: the rounds that are finished, and what every center does.

The coordinator writes `status.json` beside its rounds, a center beside its replies. `pedseg status` reads both, from
another window and after the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors

from pedseg.errors import InputProblem, input_error
from pedseg.federation.checkpoints import PROGRESS, Round, checkpoint_files, read_final_metadata
from pedseg.federation.mailbox.status import STATUS_FILE, SignOfLife, Status
from pedseg.files import write_atomically


@dataclass(frozen=True)
class RoundRow:
    """What is told of a finished round: losses, training cases and scores by center, and who was refused."""

    number: int
    train_loss: float
    losses: dict[str, float]
    validation_dsc: float | None
    cases: dict[str, int]
    scores: dict[str, float]
    norms: dict[str, float]
    phases: tuple[int, ...] = ()
    best_round: int = 0
    best_dsc: float = 0.0
    refused: tuple[str, ...] = ()


def row_of(round_: Round) -> RoundRow:
    """The row of a round that was just trained."""
    values: dict[str, Any] = {name: getattr(round_, name) for name in PROGRESS}
    return RoundRow(**values, refused=tuple(map(str, round_.refused)))


def read_rows(folder: Path) -> list[RoundRow]:
    """The rounds whose checkpoints lie in a coordinator's folder; of the files only the headers are read."""
    rows = []
    for file in checkpoint_files(folder / "rounds").values():
        try:
            with safetensors.safe_open(file, framework="numpy") as stream:
                progress = json.loads((stream.metadata() or {})["progress"])
        except (OSError, safetensors.SafetensorError, KeyError, ValueError):
            continue  # a damaged one is trained again
        refused = tuple(str(InputProblem(**problem)) for problem in progress.pop("refused"))
        rows.append(RoundRow(**{"cases": {}, "scores": {}, "norms": {}, **progress}, refused=refused))
    return rows


def write_status(
    folder: Path, rounds: int, started: float, waiting: Sequence[str], signs: Mapping[str, SignOfLife], *,
    ended: bool = False,
) -> None:  # fmt: skip
    """Write what the coordinator knows of its centers now, or that the run has ended; readable for its owner alone."""
    now = time.time()
    centers = {
        name: {**asdict(sign.status), "heard": now - (time.monotonic() - sign.seen)} for name, sign in signs.items()
    }
    own = {"rounds": rounds, "started": started, "written": now, "ended": ended}
    content = {**own, "waiting": list(waiting), "centers": centers}
    write_atomically(folder / STATUS_FILE, json.dumps(content, indent=1).encode(), mode=0o600)


def read_status(folder: Path) -> dict[str, Any]:
    """What was written last in a folder of a coordinator or of a center; empty if nothing was."""
    try:
        return json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def line_of(row: RoundRow, rounds: int) -> str:
    """A finished round in one line: the loss, and of each center loss, training cases and score."""
    centers = ", ".join(
        f"{name} {loss:.4f}"
        + (f" ({row.cases[name]} cases)" if name in row.cases else "")
        + (f" DSC {row.scores[name]:.2f}" if name in row.scores else "")
        for name, loss in row.losses.items()
    )
    dsc = "" if row.validation_dsc is None else f", validation DSC {row.validation_dsc:.3f}"
    best = " (best so far)" if row.best_round == row.number > 0 else ""
    restart = "; the learning rate started over" if row.number - 1 in row.phases else ""
    return f"round {row.number} of {rounds}: loss {row.train_loss:.4f}{dsc}{best}; {centers}{restart}"


def final_lines(folder: Path) -> list[str]:
    """What is to be said of the final model in a folder: an early end, and which round was the best."""
    about, lines = read_final_metadata(folder), []
    if "planned_rounds" in about:
        planned = about["planned_rounds"]
        lines.append(
            f"ended after round {about['rounds']} of {planned}: the validation DSC has not risen for long enough"
        )
    if "best_round" in about:
        best = f"the highest validation DSC is that of round {about['best_round']}, {float(about['best_dsc']):.3f}"
        lines.append(f"the final model is that of round {about['round']}; {best}")
    return lines


def lines_of(folder: Path, now: float | None = None) -> list[str]:
    """The state of a run in lines for a screen."""
    rows, status = read_rows(folder), read_status(folder)
    if not rows and not status:
        remedy = "Give the folder of --out (coordinator) or of --state (center)."
        raise input_error("E-NO-RUN", folder, "no federation has left anything here.", remedy)
    now = time.time() if now is None else now
    if "phase" in status:  # a center's own
        own = Status(**{key: value for key, value in status.items() if key != "written"})
        return [f"round {own.round}: {own} ({now - status['written']:.0f} s ago)"]
    rounds = status.get("rounds") or max([rows[-1].number, *rows[-1].phases])
    lines = [line for row in rows for line in (line_of(row, rounds), *(f"    {text}" for text in row.refused))]
    if status and len(rows) < rounds and not status.get("ended"):
        lines.append(f"waiting for {', '.join(status['waiting']) or 'nobody'} ({now - status['written']:.0f} s ago)")
        for name, center in sorted(status["centers"].items()):
            sign = Status(**{key: value for key, value in center.items() if key != "heard"})
            lines.append(f"    {name:<20} round {sign.round}: {sign} ({now - center['heard']:.0f} s ago)")
    return [*lines, *final_lines(folder)]
