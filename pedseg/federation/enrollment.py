"""Enrollment of the centers before the first round: each sends the fingerprint of its training cases."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from pedseg import __version__
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.config import ROBUST, FederationConfig
from pedseg.federation.in_process import SingleRunGrid
from pedseg.learning.fingerprint import Fingerprint


@dataclass(frozen=True)
class Center:
    """A center as the server knows it: node, index in the order, name, number of training cases, fingerprint.

    `scored` are the validation cases that its scores are of; 0 where it sends none. `data` is a digest of all its
    training and validation cases: another one after any correction.
    """

    node_id: int
    index: int
    name: str
    cases: int
    fingerprint: Fingerprint
    scored: int = 0
    data: str = ""


def enroll(grid: Grid, config: FederationConfig) -> list[Center]:
    """Ask every center for the fingerprint of its training cases; centers in their order.

    Waits until `min_available_centers` are connected to a SuperLink; our own grids know all their centers. Raises
    `PedsegInputError` with everything that the centers replied in place of a fingerprint, and for centers that are too
    few or too small for what the configuration asks.
    """
    least = 0 if isinstance(grid, SingleRunGrid) else config.min_available_centers
    while len(nodes := sorted(grid.get_node_ids())) < least:
        time.sleep(0.5)
    content = RecordDict({"config": ConfigRecord({"version": __version__})})
    messages = [Message(content, dst_node_id=node, message_type="query.fingerprint") for node in nodes]
    replies = {reply.metadata.src_node_id: reply for reply in grid.send_and_receive(messages)}
    names = {node: grid.node_name(node) if isinstance(grid, SingleRunGrid) else f"node {node}" for node in nodes}
    failed = []
    for node, name in names.items():
        if node not in replies:
            remedy = "Look at this center's log; the same command asks it again."
            failed.append(InputProblem("E-CENTER-SILENT", name, "no reply came.", remedy))
        elif replies[node].has_error():
            reason = f"the center stopped with an error ({replies[node].error.reason})."
            failed.append(InputProblem("E-CENTER-ERROR", name, reason, "Look at its log, which says file and remedy."))
    if failed:
        raise PedsegInputError(failed)
    centers = sorted((_center_of(replies[node], names[node]) for node in nodes), key=lambda center: center.index)
    _refuse_impossible(centers, config.max_share)
    check_wishes(centers, config)
    return centers


def check_wishes(centers: Sequence[Center], config: FederationConfig) -> None:
    """Raise `PedsegInputError`, before anybody trains, for centers that are too few or too small for a setting."""
    if config.strategy in ROBUST and len(centers) <= 2 * config.num_malicious:
        problem = f"{len(centers)} centers cannot outvote {config.num_malicious} malicious."
        remedy = "Wait for more centers (--min-available-centers), or trust more of them (--num-malicious)."
        raise input_error("E-TOO-FEW-CENTERS", config.strategy, problem, remedy)
    if config.evaluate_every and not any(center.scored for center in centers):
        problem = "no center sends a score: their validation cases are too few, or their policy says no."
        remedy = "Leave --evaluate-every out, or give a center more validation cases (or a lower --min-score-cases)."
        raise input_error("E-NO-SCORE", "evaluate-every", problem, remedy)


def _refuse_impossible(centers: Sequence[Center], max_share: float) -> None:
    """Refuse centers that are one and the same, and one that counts more than `max_share` of all cases.

    The number of cases is a center's weight in the average, and its own word.
    """
    if min(len({center.index for center in centers}), len({center.name for center in centers})) < len(centers):
        listed = ", ".join(f"{center.index} {center.name}" for center in centers)
        problem = f"two centers have the same number or name: {listed}."
        raise input_error("E-CENTER-TWICE", "federation", problem, "Give each center its own partition-id and name.")
    for center in centers:
        same = [other.name for other in centers if other.fingerprint == center.fingerprint]
        if len(same) > 1:
            problem, remedy = f"{' and '.join(same)} describe the same scans.", "Give each center its own data set."
            raise input_error("E-SAME-SCAN", "federation", problem, remedy)
        total = sum(other.cases for other in centers)
        if len(centers) > 1 and center.cases > max_share * total:
            problem = f"it counts {center.cases} of all {total} training cases: it would decide alone."
            raise input_error("E-SHARE", center.name, problem, "Ask the center; raise --max-share if it is right.")


def _center_of(reply: Message, known_as: str) -> Center:
    """The center that replied; refused if the reply is not understood or if it has no training case."""
    node = reply.metadata.src_node_id
    try:
        record = _flower.configs_of(reply.content)["fingerprint"]
        keys = ("center-index", "center", "cases", "scored", "json", "data", "version")
        index, name, cases, scored, text, data, version = (str(record[key]) for key in keys)
        center = Center(node, int(index), name, int(cases), Fingerprint.from_json(text), int(scored), data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        problem, remedy = f"its reply is not understood ({error}).", "Ask the center; install the same pedseg there."
        raise input_error("E-CENTER-ANSWER", known_as, problem, remedy) from error
    if version != __version__:
        problem = f"it runs pedseg {version}, and the coordinator {__version__}."
        raise input_error("E-VERSION", name, problem, "Install the same version on both sides.")
    if center.cases < 1 or center.cases != center.fingerprint.cases:
        remedy = "Give the center at least one labeled case."
        raise input_error("E-NO-CASES", center.name, f"it counts {center.cases} training cases.", remedy)
    return center
