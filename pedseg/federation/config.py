"""The configuration of a federation: every setting with its default, its range and a sentence about it.

The command line, the study, the Flower apps, checkpoints and the mailbox all use these dataclasses. A field
`local_steps` is `local-steps` in Flower's run config (`flwr run . --run-config`) and `--local-steps` on the command
line. Only the standard library is imported: the command line reads defaults and ranges before anything heavy is loaded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from pedseg.errors import PedsegInputError, input_error

OF_PROFILE: Any = None  # the default of settings that each profile has a value for
PROFILES: dict[str, dict[str, Any]] = {
    "lesson": {"rounds": 10, "local_steps": 45},
    "robust": {"rounds": 10, "local_steps": 600},
    "clinic": {"rounds": 200, "local_steps": 1250},
}
ORIENTATIONS = ("", "none", "augment", "reorient")
ROBUST = ("median", "trimmed-mean", "krum")
SERVER_OPTIMIZERS = ("fedavgm", "fedadam")
SELECTIONS = ("last", "best")
TRACKERS = ("", "tensorboard")
STRATEGIES = ("average", *ROBUST, *SERVER_OPTIMIZERS, "scaffold")
PERSONAL_WEIGHTS = ("", "norms", "head")
NUMBERS: dict[str, Any] = {"int": int, "float": int | float, "bool": bool}


def setting(
    default: Any, help_: str, *, least: float = 0, most: float = sys.float_info.max, choices: tuple[str, ...] = (),
    metavar: str = "N",
) -> Any:  # fmt: skip
    """A dataclass field with a default, a sentence about it, and the values that it may have."""
    metadata = {"help": help_, "least": least, "most": most, "choices": choices, "metavar": metavar}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Settings that are checked when they are made, and travel as Flower's run config or node config."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.metadata and not _is_valid(option, value):
                raise invalid_setting(option.name, f"the value is {value!r}.", f"Give {_valid_values(option)}.")
            if option.type == "float":  # an int in a run config means the same run
                object.__setattr__(self, option.name, float(value))

    @classmethod
    def from_run_config(cls, run_config: Mapping[str, Any]) -> Self:
        """The settings among these of a run or node; a missing one has its default.

        TOML has no null: 0 rounds or local steps stand for the profile's own, an empty path for none.
        """
        given = {}
        for option in fields(cls):
            key = option.name.replace("_", "-")
            if key in run_config:
                given[option.name] = _from_flower(option, run_config[key])
        return cls(**given)

    def to_run_config(self) -> dict[str, bool | float | int | str]:
        """All settings as Flower's configuration holds them, with hyphens in their names."""
        return {name.replace("_", "-"): _to_flower(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class PrivacyConfig(Config):
    """What is done to an update before it leaves a center, and where the keys for it are."""

    clipping_norm: float = setting(0.0, "clip each update to this L2 norm before it leaves; 0: as it is", metavar="L2")
    noise_multiplier: float = setting(
        0.0, "Gaussian noise of Z times the clipping norm on each weight of an update", metavar="Z"
    )
    keys: Path = setting(Path("keys"), "folder of the keys", metavar="FOLDER")


@dataclass(frozen=True)
class FederationConfig(PrivacyConfig):
    """The settings of one federation; those of the profile are filled in."""

    data: Path = setting(
        Path("runs/data"),
        "folder of data sets, one for each center; left out: the virtual centers",
        metavar="FOLDER",
    )
    out: Path | None = setting(Path("runs/federation"), "folder of the weights and checkpoints", metavar="FOLDER")
    profile: str = setting("lesson", "size of network and training", choices=tuple(PROFILES))
    network: str = setting(
        "", "in place of the profile's own: segresnet, swinunetr, or one of an installed package", metavar="NAME"
    )
    network_arguments: str = setting("", "of that network, numbers by name", metavar="JSON")
    orientation: str = setting("", "how networks meet patients on their side", choices=ORIENTATIONS)
    gin_probability: float = setting(0.0, "share of the training samples that GIN changes", most=1, metavar="P")
    rounds: int = setting(OF_PROFILE, "rounds of the federation", least=1)
    local_steps: int = setting(OF_PROFILE, "training steps of each center in a round", least=1)
    seed: int = setting(0, "of the first weights, and with round and center of each training")
    min_available_centers: int = setting(2, "centers that must be connected before the first round")
    plan: Path | None = setting(
        None, "plan (JSON, or of a file of weights) in place of the one that the fingerprints lead to", metavar="FILE"
    )
    weights: Path | None = setting(None, "start from these weights, by their plan (warm start)", metavar="FILE")
    evaluate_every: int = setting(0, "rounds between two evaluations on the validation cases; 0: never", metavar="K")
    select: str = setting(
        "last", "the final model: of the last round, or of the best validation DSC", choices=SELECTIONS
    )
    patience: int = setting(0, "end after so many evaluations without a higher validation DSC; 0: never")
    track: str = setting("", "write curves for this tool, in the folder of --out", choices=TRACKERS)
    keep_rounds: int = setting(0, "checkpoints to keep; 0: all")
    strategy: str = setting("average", "how updates combine", choices=STRATEGIES)
    head_average: str = setting("all", "over whom the last layer is averaged by organ", choices=("all", "annotating"))
    server_learning_rate: float = setting(1.0, "of fedavgm and fedadam, on the mean update", metavar="RATE")
    server_momentum: float = setting(0.0, "of fedavgm, over the rounds", most=1, metavar="M")
    num_malicious: int = setting(1, "malicious centers that a robust strategy tolerates")
    max_update_norm: float = setting(0.0, "refuse an update with a larger L2 norm; 0: refuse none", metavar="L2")
    max_norm_ratio: float = setting(
        5.0, "refuse an update K times as long as the others' median; 0: compare none", metavar="K"
    )
    proximal_mu: float = setting(0.0, "strength that holds weights at the global ones (FedProx)", metavar="MU")
    personal_weights: str = setting(
        "", "weights that stay at home: norms (FedBN) or last layer (FedPer)", choices=PERSONAL_WEIGHTS
    )
    max_share: float = setting(
        0.9, "refuse a center that counts a larger share of all training cases", most=1, metavar="P"
    )
    secure_aggregation: bool = setting(
        False, "the coordinator sees the sum of the updates alone; three centers at least"
    )

    def __post_init__(self) -> None:
        for name, value in PROFILES.get(self.profile, {}).items():
            if getattr(self, name) is OF_PROFILE:
                object.__setattr__(self, name, value)
        super().__post_init__()
        if self.network_arguments and not self.network:
            raise invalid_setting("network_arguments", "no network is named.", "Give its name (network), too.")
        if self.noise_multiplier and not self.clipping_norm:
            problem = "noise promises nothing without a bound on the update."
            raise invalid_setting("noise_multiplier", problem, "Set a clipping norm, too.")
        self._refuse_without_effect()
        self._check_together()
        self._check_selection()
        self._check_start()
        if self.secure_aggregation and self.max_update_norm:
            problem = "it hides the norm of a single update, which cannot be checked then."
            raise invalid_setting("secure_aggregation", problem, "Let the centers clip their updates (clipping norm).")

    def _refuse_without_effect(self) -> None:
        """Refuse settings of the server's optimizer that the strategy would ignore, and a rate that would destroy."""
        if self.server_momentum and self.strategy != "fedavgm":
            raise invalid_setting("server_momentum", f"{self.strategy} has none.", "Take the strategy fedavgm.")
        if self.server_learning_rate != 1 and self.strategy not in SERVER_OPTIMIZERS:
            raise invalid_setting("server_learning_rate", f"{self.strategy} has none.", "Take fedavgm or fedadam.")
        if self.strategy == "fedavgm" and self.server_learning_rate == 1 and not self.server_momentum:
            problem = "with the learning rate 1 and no momentum fedavgm is plain averaging."
            raise invalid_setting("server_momentum", problem, "Give a momentum, such as 0.9, or another rate.")
        if self.strategy == "fedadam" and self.server_learning_rate >= 0.1:
            problem = f"steps of {self.server_learning_rate:g} in each weight destroy the model within a round."
            raise invalid_setting("server_learning_rate", problem, "Begin with 0.003.")

    def _check_together(self) -> None:
        """Refuse settings of which one undoes the other, or leaves it without effect."""
        scaffold, personal, masked = self.strategy == "scaffold", self.personal_weights, self.secure_aggregation
        by_organ, plain = self.head_average == "annotating", self.strategy in ("average", "scaffold")
        needed = "it is for plain averaging of a profile's own network, whose updates are seen one by one."
        hidden, unseen = "compares single updates, which it hides.", "scores would leave without noise, and epsilon "
        reasons = (
            (self.noise_multiplier and self.evaluate_every, "evaluate_every", f"{unseen}would not count them."),
            (by_organ and (masked or self.network or self.strategy != "average"), "head_average", needed),
            (by_organ and personal == "head", "head_average", "the head stays at home."),
            (masked and not plain, "secure_aggregation", f"{self.strategy} {hidden}"),
            (personal and self.select == "best", "select", "centers keep personal weights of the last round alone."),
            (scaffold and self.clipping_norm, "clipping_norm", "SCAFFOLD corrects by whole updates."),
            (scaffold and self.rounds == 1, "rounds", "SCAFFOLD corrects from the second round on."),
        )
        for wrong, name, problem in reasons:
            if wrong:
                raise invalid_setting(name, problem, "Choose one of the two.")

    @property
    def keeps_center_state(self) -> bool:
        """Whether centers keep weights of their own from round to round (`center_state`)."""
        return bool(self.personal_weights) or self.strategy == "scaffold"

    def _check_selection(self) -> None:
        """Refuse a choice by validation without validation, and one that cannot change anything."""
        chosen = {"select": self.select == "best", "patience": self.patience > 0}
        for name in (name for name, asked in chosen.items() if asked):
            if not 0 < self.evaluate_every <= self.rounds:
                raise invalid_setting(name, "no round is evaluated.", "Give --evaluate-every, up to the rounds.")
        if self.patience and self.patience * self.evaluate_every >= self.rounds:
            problem = f"{self.patience} evaluations come to the end of the {self.rounds} rounds."
            raise invalid_setting("patience", problem, "Give less, or more rounds.")
        for name in ("select", "track"):
            if self.out is None and getattr(self, name) not in ("", "last"):
                raise invalid_setting(name, "nothing is written without a folder.", "Give a folder (out).")

    def _check_start(self) -> None:
        """Refuse to start from a file that the run itself writes."""
        for name in ("plan", "weights"):
            file = getattr(self, name)
            if file and self.out and file.resolve().is_relative_to(self.out.resolve()):
                problem = f"{file} lies in the folder that this run writes to."
                raise invalid_setting(name, problem, "Give another folder (--out).")

    def output_folder(self) -> Path:
        """The folder `out`; refused if there is none."""
        if self.out is None:
            raise invalid_setting("out", "the weights would not be written.", "Give a folder.")
        return self.out

    def identity(self) -> dict[str, Any]:
        """The settings that must be the same for a run to be resumed from its checkpoints.

        Of `plan` and `weights` the content counts, wherever the files lie (`rounds`).
        """
        free = {"data", "out", "keys", "keep_rounds", "evaluate_every", "min_available_centers", "max_share"}
        free |= {"plan", "weights", "select", "patience", "track"}
        return {name: value for name, value in asdict(self).items() if name not in free}


@dataclass(frozen=True)
class CenterConfig(PrivacyConfig):
    """What a center demands for its own updates and allows to be asked for, whatever the coordinator says.

    Part of Flower's node config; for `pedseg join` a TOML file can hold it (`center_policy`).
    """

    min_cases: int = setting(2, "send no statistic of fewer training cases")
    min_score_cases: int = setting(3, "send no score of fewer validation cases")
    score_digits: int = setting(2, "decimals of a score that is sent", most=15)
    no_scores: bool = setting(False, "send no score at all")
    secure_aggregation_only: bool = setting(False, "send no update without secure aggregation")
    fixed_group: bool = setting(False, "send no masked update to fewer centers, even when one is missing")
    state: Path | None = setting(None, "folder of its replies and its log; default: runs/join/NAME", metavar="FOLDER")
    max_steps: int = setting(10_000, "training steps that a round may ask for", least=1)
    max_hours: float = setting(48.0, "hours that the training of a round may take", metavar="HOURS")
    max_replies: int = setting(2000, "replies that a run gets, updates and scores together", least=1)
    max_weights: int = setting(100_000_000, "weights that the network may have", least=1)
    max_voxels: int = setting(16_000_000, "voxels that a training step may take: patch times batch", least=1)
    max_memory: int = setting(16_000, "memory that this program may take by a plan; 0: any", metavar="MIB")
    approve_plans: bool = setting(False, "train no plan before somebody has approved it (--approved-plan)")
    approved_plan: str = setting("", "digest of the plan that was approved", metavar="DIGEST")


# Within one process nothing leaves a hospital: scores are as they are, and memory is shared.
ONE_PROCESS = {"min-score-cases": 1, "score-digits": 15, "max-memory": 0}


@dataclass(frozen=True)
class MailboxConfig(Config):
    """How a member of a federation waits for messages in a mailbox."""

    poll: float = setting(5.0, "longest pause between two looks", metavar="SECONDS")
    round_timeout: float = setting(math.inf, "how long a round waits for its centers", most=math.inf, metavar="HOURS")
    min_centers: int = setting(1, "after the timeout, go on with this many centers")


def invalid_setting(name: str, problem: str, remedy: str) -> PedsegInputError:
    """The error for a setting, under the name that users give it."""
    return input_error("E-SETTING", name.replace("_", "-"), problem, remedy)


def _is_valid(option: Field, value: Any) -> bool:
    if option.metadata["choices"]:
        return value in option.metadata["choices"]
    if option.type in NUMBERS:  # what is no number compares false
        return isinstance(value, NUMBERS[option.type]) and option.metadata["least"] <= value <= option.metadata["most"]
    kind = Path if "Path" in option.type else str
    return isinstance(value, kind) or (value is None and "None" in option.type)


def _valid_values(option: Field) -> str:
    """What may be given, in words."""
    least, most = option.metadata["least"], option.metadata["most"]
    if option.metadata["choices"]:
        return f"one of {', '.join(filter(None, option.metadata['choices']))}"
    if option.type == "bool":
        return "true or false"
    if option.type == "int":
        return f"a whole number from {least} up"
    return f"a number from {least} to {most}" if most == 1 else f"a number from {least} up"


def _from_flower(option: Field, value: Any) -> Any:
    if "Path" in str(option.type):
        return Path(value) if value else None
    return value or OF_PROFILE if option.default is OF_PROFILE else value


def _to_flower(value: Any) -> bool | float | int | str:
    return "" if value is None else value.as_posix() if isinstance(value, Path) else value
