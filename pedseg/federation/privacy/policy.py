"""What a center does to its own update before that leaves: shorten it, add noise, hide it behind masks.

The coordinator's question says what the federation has agreed on. A center may ask for more in its own
settings, `clip`, `noise` and `masks-only` of its node: then it takes the smaller bound and the larger noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.federation import _flower
from pedseg.federation.averaging import to_arrays
from pedseg.federation.keys import read_member, read_own
from pedseg.federation.privacy.differential_privacy import clipped, noisy
from pedseg.federation.privacy.disclosure_log import PRIVACY
from pedseg.federation.privacy.secure_aggregation import masked
from pedseg.learning.network import sha256_of

MASKS = "masks"  # the record that says who hides behind masks together


@dataclass(frozen=True)
class AggregationGroup:
    """The centers of a round behind masks, with the training cases of each; the same for all, or no mask cancels."""

    run: str
    names: tuple[str, ...]
    cases: tuple[int, ...]

    def to_record(self) -> ConfigRecord:
        """As it travels in a question."""
        return ConfigRecord({"run": self.run, "names": list(self.names), "cases": list(self.cases)})

    @classmethod
    def from_record(cls, record: ConfigRecord) -> AggregationGroup:
        """The circle again."""
        return cls(str(record["run"]), tuple(record["names"]), tuple(record["cases"]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Terms:
    """How one update of a center may leave: its bound (L2 norm), its noise as a multiple of that, and its masks."""

    clip: float
    noise: float
    center: str
    group: AggregationGroup | None = None
    keys: Path = Path()
    context_hash: str = ""

    def leaving(self, weights: Mapping[str, NDArray], before: Mapping[str, NDArray]) -> RecordDict:
        """The records that leave for a trained model and the one that was sent; noise is drawn from the system."""
        sent = dict(weights)
        if self.noise:
            sent = noisy(sent, before, largest=self.clip, noise=self.noise, rng=np.random.default_rng())
        elif self.clip:
            sent = clipped(sent, before, self.clip)
        if self.group:
            sent = self._masked(sent, before, self.group)
        records = RecordDict({"arrays": to_arrays(sent)})
        if self.clip or self.group:
            done = {"clip": self.clip, "noise": self.noise, "masked": self.group is not None}
            records[PRIVACY] = ConfigRecord(done)  # type: ignore[arg-type]
        return records

    def _masked(
        self, weights: Mapping[str, NDArray], before: Mapping[str, NDArray], group: AggregationGroup
    ) -> dict[str, NDArray]:
        share = group.cases[group.names.index(self.center)] / sum(group.cases)
        change = {name: weights[name].astype(np.float64) - start for name, start in before.items()}
        members = [read_member(self.keys, name) for name in group.names]
        return masked(change, share, read_own(self.keys, self.center), members, self.context_hash)


def agree(message: Message, context: Context, center: str, cases: int, before: Mapping[str, NDArray]) -> Terms:
    """The terms of one question, told before anything is trained; `PedsegInputError` if the center must say no."""
    task, node = _flower.configs_of(message.content)["config"], context.node_config
    bounds = [bound for bound in (_number(task, "clip"), _number(node, "clip")) if bound > 0]
    clip, noise = min(bounds, default=0.0), max(_number(task, "noise"), _number(node, "noise"))
    if noise and not clip:
        raise input_error(
            "E-SETTING", center, "noise without a bound promises nothing.", "Set a bound (--clipping-norm), too."
        )
    record = _flower.configs_of(message.content).get(MASKS)
    if record is None:
        if node.get("masks-only"):
            found = "the coordinator asks for an update without masks."
            raise input_error("E-MASK-NONE", center, found, "Agree on `pedseg coordinate --secure-aggregation`.")
        return Terms(clip, noise, center)
    group = AggregationGroup.from_record(record)
    if dict(zip(group.names, group.cases, strict=False)).get(center) != cases:
        found = f"among the masks it stands with other than its {cases} training cases."
        raise input_error("E-MASK-CASES", center, found, "Nothing is sent; ask the coordinator.")
    context_hash = _occasion(message, before)
    _once(context, group.run, int(str(task["server-round"])), context_hash, center)
    keys = node.get("keys") or context.run_config.get("keys")
    if not keys:
        raise input_error("E-KEY-MISSING", center, "it has no keys for masks.", "Make them with `pedseg keys`.")
    return Terms(clip, noise, center, group, Path(str(keys)), context_hash)


def _occasion(message: Message, before: Mapping[str, NDArray]) -> str:
    """What the masks hang on: the whole question, so that one that differs by a bit between centers gives noise."""
    asked = RecordDict({**_flower.configs_of(message.content)})
    return hashlib.sha256(_flower.records_to_bytes(asked) + sha256_of(before).encode()).hexdigest()


def _once(context: Context, run: str, round_: int, context_hash: str, center: str) -> None:
    """Refuse a second, other question of one round: the difference of two sums would be somebody's own update."""
    last = _flower.configs_of(context.state).get(MASKS)
    if last and last["run"] == run and (round_, context_hash) != (last["round"], last["occasion"]):
        answered = int(str(last["round"]))
        if round_ <= answered:
            found = f"it has answered behind masks in round {answered}, and is asked for round {round_} once more."
            raise input_error("E-MASK-AGAIN", center, found, "Nothing is sent; ask the coordinator.")
    context.state[MASKS] = ConfigRecord({"run": run, "round": round_, "occasion": context_hash})


def _number(settings: Mapping, name: str) -> float:
    return float(settings.get(name, 0.0) or 0.0)
