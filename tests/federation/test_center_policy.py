"""A hostile or careless coordinator meets the center's own bounds before any memory is taken."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

import pedseg
from pedseg import memory
from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.center_policy import as_lines, check_plan, plan_digest, read_policy
from pedseg.federation.client_app import app
from pedseg.federation.config import CenterConfig, FederationConfig
from pedseg.federation.in_process import CenterError, InProcessGrid, problems_of
from pedseg.federation.rounds import train_rounds
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.fingerprint import Fingerprint, fingerprint, merge
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.weights import get_weights


@pytest.fixture(scope="module")
def own(hospitals: Path) -> Fingerprint:
    from pedseg.datasets.reading import read_dataset

    dataset = read_dataset(sorted(hospitals.iterdir())[0])
    return fingerprint(dataset, dataset.split("train"))


@pytest.fixture(scope="module")
def plan(own: Fingerprint) -> Plan:
    return make_plan(merge([own]), "lesson")


def center(hospitals: Path, tmp_path: Path, **node: object) -> Context:
    folder = shutil.copytree(sorted(hospitals.iterdir())[0], tmp_path / "data")
    return Context(1, 2, {"data-dir": str(folder), **node}, RecordDict(), {})  # type: ignore[arg-type]


def ask(context: Context, kind: str, plan: Plan | None = None, **task: object) -> Message:
    """The reply of the app to a coordinator that asks for this."""
    _flower.identify_server()
    content = RecordDict()
    if plan:
        settings = {"plan": plan.to_json()}
        if kind == "train":
            settings = TrainingTask(plan.to_json(), 1, 1, 0, 2, 1).to_record()  # type: ignore[assignment]
        content = RecordDict({"config": ConfigRecord({**settings, **task})})  # type: ignore[dict-item]
        content["arrays"] = _flower.to_arrays(get_weights(build(plan)))
    elif task:
        content = RecordDict({"config": ConfigRecord(task)})  # type: ignore[arg-type]
    return app(Message(content, dst_node_id=2, message_type=kind), context)


def code_of(context: Context, kind: str, plan: Plan | None = None, **task: object) -> str:
    with pytest.raises(CenterError) as caught:
        ask(context, kind, plan, **task)
    assert str(caught.value) == problems_of(caught.value)[0].code  # the code alone is what others see
    return str(caught.value)


HUGE = 10**9
ABSURD = {
    "wide": lambda plan: replace(plan, network={"kind": "compact", "widths": [HUGE, HUGE]}),
    "deep": lambda plan: replace(plan, network={"kind": "compact", "widths": [8] * 1000}),
    "long patch": lambda plan: replace(plan, patch=(HUGE, HUGE, HUGE)),
    "batch": lambda plan: replace(plan, batch=HUGE),
    "fine voxels": lambda plan: replace(plan, spacing_mm=(0.001, 0.001, 0.001)),
    "no voxels": lambda plan: replace(plan, spacing_mm=(0.0, 1.0, 1.0)),
    "many organs": lambda plan: replace(plan, organs=plan.organs * 200_000),
    "filters": lambda plan: replace(
        plan,
        network={
            "kind": "dynunet",
            "filters": [HUGE] * 3,
            "kernels": [[3] * 3] * 3,
            "strides": [[1] * 3] + [[2] * 3] * 2,
        },
    ),
}


@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_plan_takes_no_memory(kind: str, plan: Plan, own: Fingerprint) -> None:
    check_plan(plan.to_json(), CenterConfig(), own)
    text = ABSURD[kind](plan).to_json()
    before = memory.peak_mib()
    with pytest.raises(PedsegInputError, match="E-POLICY"):
        check_plan(text, CenterConfig(), own)
    assert memory.peak_mib() < before + 50


def test_a_plan_that_nobody_has_approved_waits_for_it(plan: Plan) -> None:
    text = plan.to_json()
    with pytest.raises(PedsegInputError, match=f"E-PLAN-NEW {plan_digest(text)}.*--approved-plan"):
        check_plan(text, CenterConfig(approve_plans=True))
    check_plan(text, CenterConfig(approve_plans=True, approved_plan=plan_digest(text)))
    with pytest.raises(PedsegInputError, match="E-PLAN plan"):
        check_plan("{}", CenterConfig())


def test_what_a_center_does_not_answer(plan: Plan, hospitals: Path, tmp_path: Path) -> None:
    context = center(hospitals, tmp_path, **{"max-steps": 5})
    assert code_of(context, "query.fingerprint", version="9.9") == "E-VERSION"
    assert ask(context, "query.fingerprint", version=pedseg.__version__).has_content()
    assert code_of(context, "train", plan, **{"local-steps": 6}) == "E-POLICY"
    assert code_of(context, "train", plan, **{"noise-multiplier": float("nan")}) == "E-TASK"
    assert code_of(context, "train", plan, **{"clipping-norm": float("inf")}) == "E-TASK"
    slow = Context(1, 2, {**context.node_config, "max-hours": 1e-9}, RecordDict(), {})
    assert code_of(slow, "train", plan) == "E-POLICY"
    assert ask(context, "train", plan).has_content()
    other = replace(plan, clip_hu=(0.0, 1.0))
    assert code_of(context, "train", other) == "E-PLAN-CHANGED"
    image = sorted((Path(str(context.node_config["data-dir"])) / "labelsTr").iterdir())
    content = image[0].read_bytes()
    shutil.copy(image[1], image[0])  # another child's contours: the same number of cases
    table = Path(str(context.node_config["data-dir"])) / "cases.tsv"
    kept = table.read_bytes()
    table.unlink()
    assert code_of(context, "train", plan).startswith("E-")
    image[0].write_bytes(content)
    table.write_bytes(kept)
    assert ask(context, "train", plan).has_content()  # put back, with other times of the files


def test_data_that_changed_since_enrollment_is_told(plan: Plan, hospitals: Path, tmp_path: Path) -> None:
    context = center(hospitals, tmp_path)
    ask(context, "query.fingerprint")
    table = Path(str(context.node_config["data-dir"])) / "cases.tsv"
    text = table.read_text()
    table.write_text(text.replace("\ttrain\t", "\tvalidation\t", 1))
    assert code_of(context, "train", plan) == "E-DATA-CHANGED"
    table.write_text(text)
    assert ask(context, "train", plan).has_content()


def test_a_model_that_is_not_finite_or_fits_no_plan_is_not_trained(plan: Plan, hospitals: Path, tmp_path: Path) -> None:
    context = center(hospitals, tmp_path)
    _flower.identify_server()
    message = Message(
        RecordDict(
            {
                "config": TrainingTask(plan.to_json(), 1, 1, 0, 2, 1).to_record(),
                "arrays": ArrayRecord({"w": Array(np.ones(5, np.float32))}),
            }
        ),
        dst_node_id=2, message_type="train",
    )  # fmt: skip
    with pytest.raises(CenterError, match="E-MODEL"):
        app(message, context)
    weights = get_weights(build(plan))
    next(iter(weights.values())).flat[0] = np.nan
    message.content["arrays"] = _flower.to_arrays(weights)
    with pytest.raises(CenterError, match="E-MODEL"):
        app(message, context)


@pytest.mark.parametrize(
    ("node", "counted", "digits"),
    [({}, 0, 0), ({"min-score-cases": 1}, 1, 2), ({"min-score-cases": 1, "score-digits": 15}, 1, 15),
     ({"min-score-cases": 1, "no-scores": True}, 0, 0),
     ({"min-score-cases": 1, "clipping-norm": 1.0, "noise-multiplier": 1.0}, 0, 0)],
)  # fmt: skip
def test_scores_are_rounded_and_of_few_cases_there_is_none(
    node: dict, counted: int, digits: int, plan: Plan, hospitals: Path, tmp_path: Path
) -> None:
    metrics = ask(center(hospitals, tmp_path, **node), "evaluate", plan).content["metrics"]
    assert metrics["num-examples"] == counted
    assert metrics["validation-dsc"] == round(float(metrics["validation-dsc"]), digits)  # type: ignore[arg-type]


def test_a_policy_is_read_from_a_file_and_options_come_first(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("max-steps = 100\nclipping-norm = 3\nno-scores = true\n")
    policy = read_policy(file, max_steps=50)
    assert (policy.max_steps, policy.clipping_norm, policy.no_scores) == (50, 3.0, True)
    assert len(as_lines(policy)) == len(fields(CenterConfig)) and "max-steps                50" in "\n".join(
        as_lines(policy)
    )
    for text, problem in (("max_steps = 1", "nobody knows max_steps"), ("max-steps = 'x'", "max-steps"), ("=", "TOML")):
        file.write_text(text)
        with pytest.raises(PedsegInputError, match=problem):
            read_policy(file)
    with pytest.raises(PedsegInputError, match="E-POLICY-FILE"):
        read_policy(tmp_path / "none.toml")


# --- at the coordinator ---------------------------------------------------------------------------


def test_scores_and_cases_are_told_by_center(config: FederationConfig) -> None:
    config = replace(config, rounds=1, evaluate_every=1)
    (round_,) = train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config)
    assert round_.cases == {"Aa": 3, "Bb": 2} and set(round_.scores) == {"Aa", "Bb"}
    assert round_.validation_dsc == pytest.approx(np.mean(list(round_.scores.values())))
