"""A coordinator that asks for too much meets the center's own bounds before any memory is taken."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict

import pedseg
from pedseg import memory
from pedseg.datasets.reading import read_dataset
from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.center_policy import check_plan, plan_digest
from pedseg.federation.client_app import app
from pedseg.federation.config import CenterConfig
from pedseg.federation.in_process import CenterError
from pedseg.federation.mailbox.messages import MAX_REQUEST_BYTES, SLACK_BYTES
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.fingerprint import Fingerprint, fingerprint, merge
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.weights import get_weights

HUGE = 10**9
DYNUNET = {"kernels": [[3] * 3] * 3, "strides": [[1] * 3] + [[2] * 3] * 2}
ABSURD: dict[str, Callable[[Plan], Plan]] = {
    "wide": lambda plan: replace(plan, network={"kind": "compact", "widths": [HUGE, HUGE]}),
    "deep": lambda plan: replace(plan, network={"kind": "compact", "widths": [8] * 1000}),
    "nested": lambda plan: replace(plan, network={"kind": "compact", "widths": [[8]]}),
    "long patch": lambda plan: replace(plan, patch=(HUGE, HUGE, HUGE)),
    "patch that fits no network": lambda plan: replace(plan, patch=(3, 5, 7)),
    "batch": lambda plan: replace(plan, batch=HUGE),
    "fine voxels": lambda plan: replace(plan, spacing_mm=(0.001, 0.001, 0.001)),
    "no voxels": lambda plan: replace(plan, spacing_mm=(0.0, 1.0, 1.0)),
    "voxels without a number": lambda plan: replace(plan, spacing_mm=(float("nan"), 1.0, 1.0)),
    "many organs": lambda plan: replace(plan, organs=plan.organs * 200_000),
    "filters": lambda plan: replace(plan, network={"kind": "dynunet", "filters": [HUGE] * 3, **DYNUNET}),
    "more memory than one step has": lambda plan: replace(plan, network={"kind": "compact", "widths": [3000, 4]},
                                                          patch=(256, 256, 240), spacing_mm=(0.6, 0.6, 0.6)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_plan_takes_no_memory(kind: str, coordinator) -> None:
    check_plan(coordinator.plan.to_json(), CenterConfig(), coordinator.own)
    text, before = ABSURD[kind](coordinator.plan).to_json(), memory.peak_mib()
    with pytest.raises(PedsegInputError, match=r"E-POLICY|E-PLAN"):
        check_plan(text, CenterConfig(), coordinator.own)
    assert memory.peak_mib() < before + 50


def test_a_plan_that_nobody_has_approved_waits_for_it(coordinator) -> None:
    text, own = coordinator.plan.to_json(), coordinator.own
    with pytest.raises(PedsegInputError, match=f"E-PLAN-NEW {plan_digest(text)}.*--approved-plan"):
        check_plan(text, CenterConfig(approve_plans=True), own)
    check_plan(text, CenterConfig(approve_plans=True, approved_plan=plan_digest(text)), own)


@pytest.mark.parametrize("text", ["{}", "[]", "x", "[" * 100_000, "null"])
def test_what_is_no_plan_is_refused(text: str, coordinator) -> None:
    with pytest.raises(PedsegInputError, match="E-PLAN plan"):
        check_plan(text, CenterConfig(), coordinator.own)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"local_steps": 6}, "E-POLICY"),
        ({"local_steps": 0}, "E-POLICY"),
        ({"noise_multiplier": float("nan")}, "E-TASK"),
        ({"clipping_norm": float("inf")}, "E-TASK"),
        ({"proximal_mu": -1.0}, "E-TASK"),
        ({"send": "the scans"}, "E-TASK"),
    ],
)
def test_what_a_center_does_not_train(asked: dict, code: str, coordinator) -> None:
    center = coordinator.center(max_steps=5)
    assert coordinator.refused(center, "train", coordinator.plan, **asked) == code
    assert coordinator.ask(center, "train", coordinator.plan).has_content()  # and goes on


def test_a_run_gets_no_more_replies_than_the_policy_allows(coordinator) -> None:
    """Whatever round the coordinator says it is in; what was refused is not counted, for nothing left."""
    center = coordinator.center(max_replies=3, max_steps=5)
    assert coordinator.ask(center, "query.fingerprint").has_content()
    assert coordinator.ask(center, "train", coordinator.plan).has_content()
    assert coordinator.refused(center, "train", coordinator.plan, local_steps=6) == "E-POLICY"
    assert coordinator.ask(center, "evaluate", coordinator.plan).has_content()
    for kind in ("train", "evaluate"):
        assert coordinator.refused(center, kind, coordinator.plan) == "E-POLICY"


@pytest.mark.parametrize("kind", ["query", "query.scans", "train.more", "evaluate.each_case"])
def test_a_question_that_is_not_allowed_is_not_answered(kind: str, coordinator) -> None:
    center = coordinator.center()
    with pytest.raises(ValueError, match="registered"):
        coordinator.ask(center, kind, coordinator.plan)
    assert dict(center.state) == {}


def test_another_version_or_too_long_a_round_is_refused(coordinator) -> None:
    center = coordinator.center()
    assert coordinator.refused(center, "query.fingerprint", version="9.9") == "E-VERSION"
    assert coordinator.ask(center, "query.fingerprint", version=pedseg.__version__).has_content()
    assert coordinator.refused(coordinator.center(max_hours=1e-9), "train", coordinator.plan) == "E-POLICY"


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_plan_holds_for_the_whole_run(kind: str, coordinator) -> None:
    """Else a coordinator could look at the same children through ever finer voxels."""
    center = coordinator.center(min_score_cases=1)
    assert coordinator.ask(center, "train", coordinator.plan).has_content()
    assert coordinator.refused(center, kind, replace(coordinator.plan, clip_hu=(0.0, 1.0))) == "E-PLAN-CHANGED"
    assert coordinator.ask(center, kind, coordinator.plan).has_content()


def test_data_that_changed_since_enrollment_is_told(coordinator) -> None:
    center, table = coordinator.center(), coordinator.folder / "cases.tsv"
    coordinator.ask(center, "query.fingerprint")
    text = table.read_text()
    table.write_text(text.replace("\ttrain\t", "\tvalidation\t", 1))
    assert coordinator.refused(center, "train", coordinator.plan) == "E-DATA-CHANGED"
    table.write_text(text)
    assert coordinator.ask(center, "train", coordinator.plan).has_content()  # put back, with another time of the file
    first, second = sorted((coordinator.folder / "labelsTr").iterdir())[:2]
    shutil.copy(second, first)  # another child's contours: the same number of cases
    assert coordinator.refused(center, "train", coordinator.plan).startswith("E-")


@pytest.mark.parametrize("wrong", ["not finite", "of another plan", "of very many numbers"])
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_model_that_is_none_is_not_run(kind: str, wrong: str, coordinator) -> None:
    weights = get_weights(build(coordinator.plan))
    name = next(iter(weights))
    weights[name] = {
        "not finite": np.full_like(weights[name], np.nan),
        "of another plan": np.ones(5, np.float32),
        "of very many numbers": np.broadcast_to(np.float32(0), (1000, 1000)),
    }[wrong]
    center = coordinator.center(min_score_cases=1)
    assert coordinator.refused(center, kind, coordinator.plan, weights=weights) == "E-MODEL"


def test_an_array_that_claims_to_be_huge_is_never_made(coordinator) -> None:
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**4, 10**5)}
    np.lib.format.write_array_header_1_0(stream, header)  # 4 GB, of which not one byte follows
    liar = ArrayRecord({"w": Array("float32", (1,), "numpy.ndarray", stream.getvalue())})
    before = memory.peak_mib()
    assert coordinator.refused(coordinator.center(), "train", coordinator.plan, arrays=liar) == "E-MODEL"
    assert memory.peak_mib() < before + 50


def test_a_model_larger_than_the_policy_allows_is_not_read(make_federation) -> None:
    federation = make_federation()
    center = federation.centers["Aa"]
    center.max_model_bytes = 100 - SLACK_BYTES  # for one hundred bytes in all
    ids = federation.push(1)
    assert federation.poll("Aa") == ["E-MAIL-SIZE"] and federation.poll("Bb") == []
    assert federation.read(ids) == {3: 2.0}
    assert federation.center("Aa").max_model_bytes == 4 * CenterConfig().max_weights + MAX_REQUEST_BYTES


BOUND_MIB = 1000
ROOM_MIB = 20  # by which the process grows between the search for the largest plan and the request for it
PLANS: dict[str, Callable[[Plan], Plan]] = {
    "honest": lambda plan: plan,
    "wide": lambda plan: replace(plan, network={"kind": "compact", "widths": [64, 256, 1024]}),
    "batch": lambda plan: replace(plan, batch=600),
    "fine": lambda plan: replace(plan, spacing_mm=(0.6, 0.6, 0.6), patch=(240, 240, 240)),
    "dynunet": lambda plan: replace(plan, batch=400, network={"kind": "dynunet", "filters": [32, 64, 128], **DYNUNET}),
    "at the edge": lambda plan: next(
        wider for batch in range(200, 0, -5) if _is_allowed(wider := replace(plan, batch=batch), BOUND_MIB - ROOM_MIB)
    ),
}


def _is_allowed(plan: Plan, bound_mib: int) -> bool:
    with suppress(PedsegInputError):
        return bool(check_plan(plan.to_json(), CenterConfig(max_memory=bound_mib), OWN[0]))
    return False


OWN: list[Fingerprint] = []  # of the center, in the process that stands for it


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound the data of a process")
def test_the_peak_of_a_center_is_its_policys(coordinator, tmp_path: Path) -> None:
    """Plans that only its bound on memory forbids, and the largest that it allows, in a process whose peak counts."""
    command = [sys.executable, __file__, str(coordinator.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(pedseg.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    *said, peak = done.stdout.splitlines()
    answers = dict(line.split(": ") for line in said)
    assert answers.pop("honest") == answers.pop("at the edge") == "trained"
    assert set(answers.values()) == {"E-POLICY"}, answers
    assert 0.7 * BOUND_MIB < float(peak) <= 1.2 * BOUND_MIB, peak


def ask_in_a_process_of_its_own(folder: Path) -> None:
    """Train by each plan and say what came of it; then the peak of this process."""
    _flower.identify_server()
    dataset = read_dataset(folder)
    OWN.append(fingerprint(dataset, dataset.split("train")))
    honest = make_plan(merge(OWN), "lesson")
    policy = {"data-dir": str(folder), "max-memory": BOUND_MIB}
    for kind, change in PLANS.items():
        plan = change(honest)
        weights = get_weights(build(plan)) if kind in ("honest", "at the edge") else {}
        task = TrainingTask(plan.to_json(), 1, 2, 0, 2, 1).to_record()
        content = RecordDict({"config": task, "arrays": _flower.to_arrays(weights)})
        try:
            app(Message(content, dst_node_id=2, message_type="train"), Context(1, 2, policy, RecordDict(), {}))
            print(f"{kind}: trained")
        except CenterError as error:
            print(f"{kind}: {error}")
    print(memory.peak_mib())


if __name__ == "__main__":
    ask_in_a_process_of_its_own(Path(sys.argv[1]))
