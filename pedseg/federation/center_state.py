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

from collections.abc import Mapping

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray
from torch import nn

from pedseg.federation import _flower
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid, SingleRunGrid
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.network import personal_names
from pedseg.learning.plans import Plan
from pedseg.learning.training import sum_of_rates
from pedseg.learning.weights import Weights, get_weights, sha256_of

PERSONAL, ALONE, LAST = "personal-weights", "alone", "last-round"  # records of the state
KEPT = (PERSONAL, ALONE, LAST)
LABEL = "center "  # before a node's number: what a center in this process keeps, beside a checkpoint


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
    scale = np.float32(_rates(task, plan) / float(str(last["rates"])))
    alone = _flower.to_weights(_flower.arrays_of(state)[ALONE])
    return {name: scale * (before[name] - array) for name, array in alone.items()}


def _rates(task: TrainingTask, plan: Plan) -> float:
    return sum_of_rates(plan, task.first_step, task.local_steps, task.total_steps)


def keep(
    network: nn.Module, before: Weights, shift: Weights, task: TrainingTask, plan: Plan, state: RecordDict
) -> Weights:
    """The trained weights as they may leave; what the next round needs stays in the state."""
    trained = get_weights(network)
    if task.personal_weights:
        names = personal_names(network, task.personal_weights)
        state[PERSONAL] = _flower.to_arrays({name: array for name, array in trained.items() if name in names})
        trained |= {name: before[name] for name in names}
    if task.scaffold:
        alone = {name: array - shift[name] if shift else array for name, array in trained.items()}
        state[ALONE] = _flower.to_arrays(alone)
        rates = _rates(task, plan)
        state[LAST] = ConfigRecord({"round": task.server_round, "model": sha256_of(before), "rates": rates})
    return trained


def is_kept(grid: Grid, config: FederationConfig) -> bool:
    """Whether centers still have what they kept when a run is taken up; a new run of Flower's own begins without."""
    return isinstance(grid, SingleRunGrid) or not config.keeps_center_state


def states_of(grid: Grid, config: FederationConfig) -> dict[str, NDArray[np.uint8]]:
    """What centers in this process keep, as bytes that can lie beside a checkpoint; others have it on their disks."""
    if not (isinstance(grid, InProcessGrid) and config.keeps_center_state):
        return {}
    kept = {
        node: RecordDict({name: context.state[name] for name in KEPT if name in context.state})
        for node, context in grid.contexts.items()
    }
    return {f"{LABEL}{node}": np.frombuffer(_flower.records_to_bytes(own), np.uint8) for node, own in kept.items()}


def restore_states(grid: Grid, config: FederationConfig, kept: Mapping[str, NDArray]) -> None:
    """The inverse of `states_of`; a center of which nothing is there begins anew, whatever a stopped run has left."""
    if not (isinstance(grid, InProcessGrid) and config.keeps_center_state):
        return
    for node, context in grid.contexts.items():
        for name in KEPT:
            context.state.pop(name, None)
        if (label := f"{LABEL}{node}") in kept:
            context.state.update(_flower.records_from_bytes(kept[label].tobytes()))
