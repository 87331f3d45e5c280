"""How a federation begins: every center describes its cases in aggregate, and gets its place."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.learning.plans import Fingerprint


@dataclass(frozen=True)
class Center:
    """A center as the server knows it: its node, its place in the order, its name, its aggregate description."""

    node_id: int
    index: int
    name: str
    cases: int
    fingerprint: Fingerprint


def enroll(grid: Grid, expected: int = 0) -> list[Center]:
    """Ask every center to describe its training cases in aggregate; centers in their order.

    Waits until `expected` centers (at least one) are connected. Raises `PedsegInputError` with
    everything that the centers answered in place of a description.
    """
    while len(nodes := sorted(grid.get_node_ids())) < max(1, expected):
        time.sleep(0.5)
    questions = [Message(RecordDict(), dst_node_id=node, message_type="query.fingerprint") for node in nodes]
    replies = {reply.metadata.src_node_id: reply for reply in grid.send_and_receive(questions)}
    failed = []
    for node in nodes:
        if node not in replies:
            failed.append(
                InputProblem("E-CENTER-SILENT", f"node {node}", "no answer came.", "Look at this center's log.")
            )
        elif replies[node].has_error():
            reason = f"the center stopped with an error ({replies[node].error.reason})."
            failed.append(InputProblem("E-CENTER-ERROR", f"node {node}", reason, "Mend what the message names."))
    if failed:
        raise PedsegInputError(failed)
    centers = sorted((_introduce(reply) for reply in replies.values()), key=lambda center: center.index)
    if min(len({center.index for center in centers}), len({center.name for center in centers})) < len(centers):
        found = ", ".join(f"{center.index} {center.name}" for center in centers)
        remedy = "Give each center its own partition-id and its own name."
        raise input_error("E-CENTER-TWICE", "federation", f"two centers have the same number or name: {found}.", remedy)
    return centers


def _introduce(reply: Message) -> Center:
    """What a center says of itself; refused if it is not understood or if there is nothing to learn from."""
    node = f"node {reply.metadata.src_node_id}"
    try:
        answer = _flower.configs_of(reply.content)["fingerprint"]
        index, cases, fingerprint = int(str(answer["center-index"])), int(str(answer["cases"])), str(answer["json"])
        center = Center(
            reply.metadata.src_node_id, index, str(answer["center"]), cases, Fingerprint.from_json(fingerprint)
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise input_error(
            "E-CENTER-ANSWER", node, f"its answer is not understood ({error}).", "Install the same pedseg there."
        ) from error
    if cases < 1 or cases != center.fingerprint.cases:
        raise input_error(
            "E-NO-CASES",
            center.name,
            f"it counts {cases} training cases.",
            "Give the center at least one labeled case.",
        )
    return center
