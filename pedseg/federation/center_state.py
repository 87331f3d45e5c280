"""What a center keeps to itself from round to round, in its context's state, which goes with the run.

Personal weights: those of the norms (FedBN; Li et al. 2021) or of the last layer (FedPer; Arivazhagan et al. 2019) are
trained at their center and never leave it. In their place a reply holds what the request brought, so the global ones
stay as they were drawn at the start: that is what a hospital gets that took no part.

SCAFFOLD (Karimireddy et al. 2020), option II with all centers and a server rate of 1: each local step is corrected by
the difference between what all centers and what this one have learned per step in the round before. As displacements
of weights instead of gradients the control variates need no step size and can follow any optimizer's step, and the
coordinator sends nothing more than its model: that is where all have come to, and the center knows where it would have
come alone. With plain gradient steps this is the algorithm of the paper. An optimizer that normalizes its steps, as
Muon does, is kept from drifting apart, but where normalized steps cancel need not be the minimum of the common loss.
"""

from __future__ import annotations

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from numpy.typing import NDArray
from torch import nn

from pedseg.federation import _flower
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.network import personal_names
from pedseg.learning.plans import Plan
from pedseg.learning.training import sum_of_rates
from pedseg.learning.weights import Weights, get_weights, sha256_of

PERSONAL, ALONE, LAST = "personal-weights", "alone", "last-round"  # records of the state
KEPT = (PERSONAL, ALONE, LAST)


def with_personal(weights: Weights, state: RecordDict) -> Weights:
    """Global weights with the center's personal ones in their place, if it has any."""
    kept = _flower.arrays_of(state).get(PERSONAL)
    return {**weights, **_flower.to_weights(kept)} if kept else weights


def control_variates(before: Weights, task: TrainingTask, plan: Plan, state: RecordDict) -> Weights:
    """The displacement by which SCAFFOLD corrects a round: where all centers have come to, minus this one alone.

    It is scaled by the learning rates of both rounds. Empty in the first round, and after one in which this center
    was missing or which was void.
    """
    last = _flower.configs_of(state).get(LAST)
    if (
        not task.scaffold
        or last is None
        or last["round"] != task.server_round - 1
        or last["model"] == sha256_of(before)
    ):
        return {}
    steps, total = task.local_steps, task.total_steps
    now, then = (sum_of_rates(plan, first, steps, total) for first in (task.first_step, task.first_step - steps))
    alone = _flower.to_weights(_flower.arrays_of(state)[ALONE])
    return {name: np.float32(now / then) * (before[name] - array) for name, array in alone.items()}


def keep(network: nn.Module, before: Weights, shift: Weights, task: TrainingTask, state: RecordDict) -> Weights:
    """The trained weights as they may leave; what the next round needs stays in the state."""
    trained = get_weights(network)
    if task.personal_weights:
        names = personal_names(network, task.personal_weights)
        state[PERSONAL] = _flower.to_arrays({name: array for name, array in trained.items() if name in names})
        trained |= {name: before[name] for name in names}
    if task.scaffold:
        alone = {name: array - shift[name] if shift else array for name, array in trained.items()}
        state[ALONE] = _flower.to_arrays(alone)
        state[LAST] = ConfigRecord({"round": task.server_round, "model": sha256_of(before)})
    return trained


def to_array(state: RecordDict) -> NDArray[np.uint8]:
    """What a center keeps, as bytes that can lie beside a checkpoint."""
    kept = RecordDict({name: state[name] for name in KEPT if name in state})
    return np.frombuffer(_flower.records_to_bytes(kept), np.uint8)


def restore(state: RecordDict, kept: NDArray[np.uint8] | None) -> None:
    """The inverse of `to_array`: a center goes on from there; with None it begins anew."""
    for name in KEPT:
        state.pop(name, None)
    if kept is not None:
        state.update(_flower.records_from_bytes(kept.tobytes()))
