"""Checkpoints of a federation: the global weights after each round, so that stopping it costs one round at most.

A checkpoint also holds the progress of its round. It is valid only if it is whole and belongs to the same settings,
centers and cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.numpy
from numpy.typing import NDArray

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.files import write_atomically
from pedseg.learning.plans import Plan
from pedseg.learning.weights import Weights, load_weights, save_weights, sha256_of

FINAL_MODEL = "federated.safetensors"
PROGRESS = ("number", "train_loss", "losses", "validation_dsc", "cases", "scores", "norms")


@dataclass(frozen=True)
class Round:
    """A finished round: the global weights, the mean training loss and what was refused.

    `losses`, training `cases` and L2 `norms` of the updates by center name (no norms behind masks); where the round was
    evaluated `validation_dsc`, and the `scores` of those centers that send one; `restored` if the round was read from a
    checkpoint of an earlier run.
    """

    number: int
    weights: Weights = field(repr=False)
    plan: Plan = field(repr=False)
    train_loss: float
    losses: dict[str, float]
    validation_dsc: float | None = None
    refused: tuple[InputProblem, ...] = ()
    restored: bool = False
    cases: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """SHA-256 of the global weights."""
        return sha256_of(self.weights)


def checkpoint_file(folder: Path, number: int) -> Path:
    """The file of the global weights after a round."""
    return folder / f"round_{number:03d}.safetensors"


def write_checkpoint(
    folder: Path, round_: Round, identity: str, keep_rounds: int, memory: Mapping[str, NDArray]
) -> None:
    """Write a round's checkpoint, then delete those beyond the number to keep; 0 keeps all.

    `memory` is what the strategy keeps from round to round; it is written first, for the last round alone.
    """
    if memory:
        tagged = safetensors.numpy.save(dict(memory), metadata={"sha256": round_.sha256})
        write_atomically(_memory_file(folder, round_.number), tagged)
    progress = {key: getattr(round_, key) for key in PROGRESS}
    progress["refused"] = [asdict(problem) for problem in round_.refused]
    metadata = {"identity": identity, "sha256": round_.sha256, "progress": json.dumps(progress)}
    save_weights(checkpoint_file(folder, round_.number), round_.weights, round_.plan, **metadata)
    _memory_file(folder, round_.number - 1).unlink(missing_ok=True)
    if keep_rounds:
        checkpoint_file(folder, round_.number - keep_rounds).unlink(missing_ok=True)


def read_memory(folder: Path, round_: Round) -> dict[str, NDArray]:
    """What a strategy had kept after a round; refused if that is lost: without it another model would come out."""
    file = _memory_file(folder, round_.number)
    try:
        with safetensors.safe_open(file, framework="numpy") as stream:
            if (stream.metadata() or {})["sha256"] == round_.sha256:
                return {name: stream.get_tensor(name) for name in stream.keys()}
    except (OSError, KeyError, safetensors.SafetensorError):
        pass
    problem = f"what the strategy remembers of round {round_.number} is gone."
    raise input_error("E-STRATEGY-MEMORY", file, problem, "Begin anew in another folder (--out).")


def _memory_file(folder: Path, number: int) -> Path:
    return folder / f"memory_{number:03d}.safetensors"


def read_checkpoint(file: Path, identity: str | None = None) -> Round | None:
    """A round from its checkpoint, or None if the file is missing, damaged or of a run with other settings."""
    try:
        weights, plan, metadata = load_weights(file)
        progress = json.loads(metadata["progress"])
        valid = metadata["sha256"] == sha256_of(weights) and identity in (None, metadata["identity"])
    except (PedsegInputError, OSError, KeyError, ValueError):
        return None
    refused = tuple(InputProblem(**problem) for problem in progress.pop("refused"))
    return Round(weights=weights, plan=plan, refused=refused, restored=True, **progress) if valid else None


def read_checkpoints(folder: Path | None, identity: str, rounds: int) -> Iterator[Round]:
    """The rounds of an earlier run with the same identity, from the oldest kept to the newest valid one."""
    if folder:
        for number in range(1, rounds + 1):
            if round_ := read_checkpoint(checkpoint_file(folder, number), identity):
                yield round_


def save_final_model(last: Round, folder: Path | None, trained_on: str, seed: int) -> None:
    """Write the global model after the last round as `folder`/federated.safetensors; nothing without a folder.

    `trained_on` names the centers, joined by "+": by that and the `seed` a table of results knows the model. A model of
    one center alone is its local one.
    """
    if folder:
        kind = "federated" if "+" in trained_on else "local"
        identity: dict[str, str | int] = {"model": kind, "trained_on": trained_on, "seed": seed}
        save_weights(folder / FINAL_MODEL, last.weights, last.plan, sha256=last.sha256, rounds=last.number, **identity)
