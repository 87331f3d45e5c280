"""How a center protects its update before that leaves: clipping, noise and secure aggregation.

The coordinator's message says what the federation has agreed on. A center may demand more in its node config
(`CenterConfig`): then the smaller clipping norm and the larger noise multiplier hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.federation import _flower
from pedseg.federation.config import CenterConfig, PrivacyConfig
from pedseg.federation.keys import read_member, read_own
from pedseg.federation.privacy.differential_privacy import add_noise, clip
from pedseg.federation.privacy.disclosure_log import PRIVACY
from pedseg.federation.privacy.secure_aggregation import mask_update
from pedseg.files import write_atomically
from pedseg.learning.weights import sha256_of
from pedseg.tables import read_json

PINNED_GROUP = "aggregation_group.json"  # in a center's state folder: behind whose masks its updates may leave
GROUP = "aggregation-group"  # the record of a message that says whose masks cancel


@dataclass(frozen=True)
class AggregationGroup:
    """The centers of a round of secure aggregation, with the training cases of each; masks cancel within it."""

    run: str
    names: tuple[str, ...]
    cases: tuple[int, ...]

    def to_record(self) -> ConfigRecord:
        """As it travels in a message."""
        return ConfigRecord({"run": self.run, "names": list(self.names), "cases": list(self.cases)})

    @classmethod
    def from_record(cls, record: ConfigRecord) -> AggregationGroup:
        """The inverse of `to_record`."""
        return cls(str(record["run"]), tuple(record["names"]), tuple(record["cases"]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class UpdateProtection:
    """How one update of a center may leave: clipping norm, noise multiplier, and the group behind whose masks."""

    clipping_norm: float
    noise_multiplier: float
    center: str
    group: AggregationGroup | None = None
    keys: Path = Path()
    context_hash: str = ""

    def apply(self, weights: Mapping[str, NDArray], before: Mapping[str, NDArray]) -> RecordDict:
        """The records that leave for a trained model and the one that was sent out; the system seeds the noise."""
        sent = dict(weights)
        if self.noise_multiplier:
            noise = {"clipping_norm": self.clipping_norm, "noise_multiplier": self.noise_multiplier}
            sent = add_noise(sent, before, **noise, rng=np.random.default_rng())
        elif self.clipping_norm:
            sent = clip(sent, before, self.clipping_norm)
        if self.group:
            sent = self._masked(sent, before, self.group)
        records = RecordDict({"arrays": _flower.to_arrays(sent)})
        if self.clipping_norm or self.group:
            done = {"clipping-norm": self.clipping_norm, "noise-multiplier": self.noise_multiplier}
            records[PRIVACY] = ConfigRecord({**done, "masked": self.group is not None})
        return records

    def _masked(
        self, weights: Mapping[str, NDArray], before: Mapping[str, NDArray], group: AggregationGroup
    ) -> dict[str, NDArray]:
        share = group.cases[group.names.index(self.center)] / sum(group.cases)
        change = {name: weights[name].astype(np.float64) - start for name, start in before.items()}
        members = [read_member(self.keys, name) for name in group.names]
        return mask_update(change, share, read_own(self.keys, self.center), members, self.context_hash)


def protection_for(
    message: Message, context: Context, center: str, cases: int, before: Mapping[str, NDArray]
) -> UpdateProtection:
    """The protection of the update that a message asks for; `PedsegInputError` if the center must refuse it.

    Called before anything is trained.
    """
    records, own = _flower.configs_of(message.content), CenterConfig.from_run_config(context.node_config)
    task = records["config"]
    asked = PrivacyConfig.from_run_config(task)
    norms = [norm for norm in (asked.clipping_norm, own.clipping_norm) if norm > 0]
    clipping_norm, noise = min(norms, default=0.0), max(asked.noise_multiplier, own.noise_multiplier)
    _refuse_in_vain(center, clipping_norm, noise, bool(task.get("scaffold")))
    if GROUP not in records:
        if own.secure_aggregation_only:
            problem = "the coordinator asks for an update without masks."
            raise input_error("E-MASK-NONE", center, problem, "Agree on `pedseg coordinate --secure-aggregation`.")
        return UpdateProtection(clipping_norm, noise, center)
    group = AggregationGroup.from_record(records[GROUP])
    if dict(zip(group.names, group.cases, strict=False)).get(center) != cases:
        problem = f"the group for secure aggregation has it with other than its {cases} training cases."
        raise input_error("E-MASK-CASES", center, problem, "Nothing is sent; ask the coordinator.")
    context_hash = _context_hash(message, before)
    _refuse_other_group(context, own, group, center)
    _refuse_second_sum(context, group.run, int(str(task["server-round"])), context_hash, center)
    keys = own.keys if "keys" in context.node_config else PrivacyConfig.from_run_config(context.run_config).keys
    if not keys.is_dir():
        problem = "it has no keys for secure aggregation."
        raise input_error("E-KEY-MISSING", center, problem, "Make them with `pedseg keys`.")
    return UpdateProtection(clipping_norm, noise, center, group, keys, context_hash)


def _refuse_in_vain(center: str, clipping_norm: float, noise_multiplier: float, scaffold: bool) -> None:
    """Refuse what protects nothing, or cannot be protected so."""
    if noise_multiplier and not clipping_norm:
        problem = "noise promises nothing without a bound on the update."
        raise input_error("E-SETTING", center, problem, "Set a clipping norm (--clipping-norm), too.")
    if clipping_norm and scaffold:
        problem = "SCAFFOLD corrects by whole updates, and this center clips its own."
        raise input_error("E-TASK", center, problem, "Agree on another strategy, or on no clipping norm.")


def _context_hash(message: Message, before: Mapping[str, NDArray]) -> str:
    """What the masks depend on: the whole message, so that one that differs by a bit between centers gives noise."""
    configs = RecordDict({**_flower.configs_of(message.content)})
    return hashlib.sha256(_flower.records_to_bytes(configs) + sha256_of(before).encode()).hexdigest()


def _refuse_other_group(context: Context, own: CenterConfig, group: AggregationGroup, center: str) -> None:
    """Refuse a group that is not the one of the first masked update, which is kept in the center's state folder.

    Two sums over groups that differ by one center differ by its update, whatever the run is called. Within a run the
    group may become smaller when a center is missing, unless the policy forbids that, too.
    """
    if own.state is None:
        return
    file, names = own.state / PINNED_GROUP, sorted(group.names)
    pinned = read_json(file)["names"] if file.exists() else names
    last = _flower.configs_of(context.state).get(GROUP)
    smaller = set(names) < set(pinned) and last is not None and last["run"] == group.run and not own.fixed_group
    if names != pinned and not smaller:
        problem = f"it is asked to hide among {', '.join(names)}; its group is {', '.join(pinned)}."
        remedy = f"If all centers agree on another group, remove {file.name} in the folder of its state."
        raise input_error("E-MASK-GROUP", center, problem, remedy)
    if not file.exists():
        write_atomically(file, json.dumps({"names": names}).encode(), mode=0o600)


def _refuse_second_sum(context: Context, run: str, round_: int, context_hash: str, center: str) -> None:
    """Refuse a second, other message of one round: the difference of two sums would be a single update."""
    last = _flower.configs_of(context.state).get(GROUP)
    if last and last["run"] == run and (round_, context_hash) != (last["round"], last["context-hash"]):
        answered = int(str(last["round"]))
        if round_ <= answered:
            problem = f"it has sent a masked update in round {answered}, and is asked for round {round_} once more."
            raise input_error("E-MASK-AGAIN", center, problem, "Nothing is sent; ask the coordinator.")
    context.state[GROUP] = ConfigRecord({"run": run, "round": round_, "context-hash": context_hash})
