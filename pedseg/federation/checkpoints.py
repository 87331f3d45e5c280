"""Checkpoints of a federation: the global weights after each round, so that stopping it costs one round at most.

A checkpoint also holds the progress of its round. It is valid only if it is whole and belongs to the same settings,
centers and cases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.numpy
from numpy.typing import NDArray

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.files import write_atomically
from pedseg.learning.plans import Plan
from pedseg.learning.weights import Weights, load_weights, save_weights, sha256_of

FINAL_MODEL = "federated.safetensors"
FINAL_METADATA = (
    "model", "trained_on", "seed", "sha256", "rounds", "planned_rounds", "restarts", "round", "best_round", "best_dsc",
)  # fmt: skip
PROGRESS = (
    "number", "train_loss", "losses", "validation_dsc", "cases", "scores", "norms", "phases", "best_round", "best_dsc",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """A finished round: the global weights, the mean training loss and what was refused.

    `losses`, training `cases` and L2 `norms` of the updates by center name (no norms behind masks); where the round was
    evaluated `validation_dsc`, and the `scores` of those centers that send one; `restored` if the round was read from a
    checkpoint of an earlier run. `best_round` is the one with the highest validation DSC so far, `best_dsc` (0: none
    was evaluated yet); `phases` the rounds with which a learning-rate schedule ends (`stopping`).
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
    phases: tuple[int, ...] = ()
    best_round: int = 0
    best_dsc: float = 0.0

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
    """Write a round's checkpoint, then delete those beyond the number to keep, but not the best; 0 keeps all.

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
        delete_checkpoints(folder, lambda number: number <= round_.number - keep_rounds, {round_.best_round})


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
        refused = tuple(InputProblem(**problem) for problem in progress.pop("refused"))
        progress["phases"] = tuple(progress["phases"])
    except (PedsegInputError, OSError, KeyError, ValueError):
        return None
    return Round(weights=weights, plan=plan, refused=refused, restored=True, **progress) if valid else None


def checkpoint_files(folder: Path) -> dict[int, Path]:
    """All checkpoints of a folder by the number of their round, from the oldest."""
    numbers = (file.stem.removeprefix("round_") for file in folder.glob("round_[0-9]*.safetensors"))
    return {number: checkpoint_file(folder, number) for number in sorted(int(n) for n in numbers if n.isdecimal())}


def read_checkpoints(folder: Path | None, identity: str) -> Iterator[Round]:
    """The rounds of an earlier run with the same identity, from the oldest kept to the newest valid one."""
    files = checkpoint_files(folder) if folder else {}
    return (round_ for file in files.values() if (round_ := read_checkpoint(file, identity)))


def newest_checkpoint(folder: Path | None, identity: str) -> Round | None:
    """The last of these rounds, or None."""
    files = reversed(checkpoint_files(folder).values()) if folder else ()
    return next((round_ for file in files if (round_ := read_checkpoint(file, identity))), None)


def delete_checkpoints(folder: Path, chosen: Callable[[int], bool], kept: Container[int] = ()) -> None:
    """Delete the chosen checkpoints, by the number of their round, but not those that are kept."""
    for number, file in checkpoint_files(folder).items():
        if chosen(number) and number not in kept:
            file.unlink()


def save_final_model(last: Round, chosen: Round, folder: Path, trained_on: str, seed: int) -> None:
    """Write the global model of a run as `folder`/federated.safetensors: that of the `chosen` round, mostly the last.

    `trained_on` names the centers, joined by "+": by that and the `seed` a table of results knows the model. A model of
    one center alone is its local one.
    """
    kind = "federated" if "+" in trained_on else "local"
    about: dict[str, str | int | float] = {"model": kind, "trained_on": trained_on, "seed": seed}
    if last.number < last.phases[-1]:
        about["planned_rounds"] = last.phases[-1]
    if restarts := last.phases[:-1]:
        about["restarts"] = ", ".join(map(str, restarts))
    if last.best_round:
        about |= {"round": chosen.number, "best_round": last.best_round, "best_dsc": last.best_dsc}
    save_weights(folder / FINAL_MODEL, chosen.weights, chosen.plan, sha256=chosen.sha256, rounds=last.number, **about)


def read_final_metadata(folder: Path) -> dict[str, str]:
    """What `folder`/federated.safetensors tells of itself, in the order of the names; empty if there is none yet."""
    try:
        with safetensors.safe_open(folder / FINAL_MODEL, framework="numpy") as stream:
            return {key: value for key, value in sorted((stream.metadata() or {}).items()) if key != "plan"}
    except (OSError, safetensors.SafetensorError):
        return {}
