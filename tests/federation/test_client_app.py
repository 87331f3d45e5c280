"""What a center replies, and what the server app leaves behind."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower, server_app
from pedseg.federation.client_app import app, center_folders, own_data, round_seed
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.learning.fingerprint import Fingerprint
from pedseg.learning.weights import load_weights, sha256_of


def context_of(run_config: dict, **node_config) -> Context:
    return Context(run_id=1, node_id=2, node_config=node_config, state=RecordDict(), run_config=run_config)


def test_a_center_finds_its_data_by_its_place_or_by_its_own_folder(config: FederationConfig, hospitals: Path) -> None:
    by_place, index = own_data(context_of(config.to_run_config(), **{"partition-id": 1}))
    assert (by_place.center, index) == ("Bb", 1)
    folder = str(hospitals / "Dataset900_Aa")
    by_folder, index = own_data(context_of({}, **{"partition-id": 5, "data-dir": folder}))
    assert (by_folder.center, index) == ("Aa", 5)


@pytest.mark.parametrize("node", [{"partition-id": 2}, {"partition-id": 0, "num-partitions": 1}])
def test_data_sets_and_centers_must_be_as_many(config: FederationConfig, node: dict) -> None:
    with pytest.raises(PedsegInputError, match="2 data sets for"):
        own_data(context_of(config.to_run_config(), **node))


def test_data_sets_are_sorted_and_hidden_folders_do_not_count(tmp_path: Path) -> None:
    for name in ("b", "a", ".cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "note.txt").write_text("no data set")
    assert [folder.name for folder in center_folders(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("place", ["missing", "."])
def test_a_folder_without_data_sets_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(PedsegInputError, match="E-NO-CENTERS"):
        center_folders(tmp_path / place)


def test_a_data_set_in_place_of_a_folder_of_data_sets_is_refused(hospitals: Path) -> None:
    with pytest.raises(PedsegInputError, match="E-NO-CENTERS"):
        center_folders(hospitals / "Dataset900_Aa")


def test_the_description_holds_sums_and_no_names(config: FederationConfig) -> None:
    grid = InProcessGrid(app, [{}, {}], config.to_run_config())
    questions = [Message(RecordDict(), dst_node_id=n, message_type="query.fingerprint") for n in grid.get_node_ids()]
    answers = [reply.content["fingerprint"] for reply in grid.send_and_receive(questions)]
    assert [(a["center"], a["center-index"], a["cases"]) for a in answers] == [("Aa", 0, 3), ("Bb", 1, 2)]
    for answer in answers:
        text = str(answer["json"])
        assert Fingerprint.from_json(text).cases == answer["cases"]
        assert "Aa-" not in text and "Bb-" not in text and len(text) < 20_000  # an image alone has 27 kB


@pytest.mark.parametrize(("least", "answers"), [(2, [True, True]), (3, [True, False]), (4, [False, False])])
def test_nothing_is_said_of_fewer_cases_than_a_center_allows(
    config: FederationConfig, least: int, answers: list[bool]
) -> None:
    grid = InProcessGrid(app, [{"min-cases": least}] * 2, config.to_run_config())
    questions = [Message(RecordDict(), dst_node_id=n, message_type="query.fingerprint") for n in grid.get_node_ids()]
    replies = list(grid.send_and_receive(questions))
    assert [reply.has_content() for reply in replies] == answers
    assert all("E-FEW-CASES" in str(reply.error.reason) for reply in replies if reply.has_error())


def test_seeds_differ_by_run_round_and_center() -> None:
    seeds = {round_seed(run, round_, center) for run in range(3) for round_ in range(1, 9) for center in range(4)}
    assert len(seeds) == 3 * 8 * 4
    assert round_seed(0, 1, 0) == 3964924996  # fixed: recorded results depend on it


def test_the_coordinator_saves_the_model_and_ends_with_its_fingerprint(
    config: FederationConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("flwr")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        run_config = replace(config, out=tmp_path).to_run_config()
        context = Context(1, _flower.SERVER_NODE, {}, RecordDict(), run_config)
        server_app.app(InProcessGrid(app, [{}, {}], run_config), context)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    weights, plan, metadata = load_weights(tmp_path / "federated.safetensors")
    assert lines[-1] == f"sha256 {sha256_of(weights)}"
    assert metadata["sha256"] == sha256_of(weights) and metadata["rounds"] == "2"
    assert plan.profile == "lesson"
