"""When a run ends, which of its rounds is the final model, and how it goes on with more rounds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message

from pedseg.__main__ import main
from pedseg.datasets.reading import read_dataset
from pedseg.errors import PedsegInputError
from pedseg.federation.checkpoints import Round, checkpoint_file
from pedseg.federation.client_app import app as client_app
from pedseg.federation.client_app import round_seed
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.stopping import is_over, phase_of, plan_phases, with_best
from pedseg.learning.network import build
from pedseg.learning.training import load_cases, train
from pedseg.learning.weights import get_weights, load_weights, set_weights, sha256_of

SCORES = (0.2, 0.5, 0.5, 0.4, 0.9)  # of the rounds: the first of the two equal ones is the best of four
STOPPED = {"rounds": 5, "local_steps": 1, "evaluate_every": 1, "patience": 2}


def scored(scores: Sequence[float]) -> Callable[[Message, Context], Message]:
    """The real app, but for the DSC of every center in each round."""

    def app(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        if message.metadata.message_type == "evaluate":
            number = int(message.content["config"]["server-round"])
            reply.content["metrics"]["validation-dsc"] = scores[number - 1]
        return reply

    return app


def play(config: FederationConfig, app: Callable = client_app, rounds: int | None = None) -> list[Round]:
    return list(islice(train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config), rounds))


def made(number: int, dsc: float | None = None, **others) -> Round:
    return Round(number, {}, None, math.nan, {}, dsc, **others)  # type: ignore[arg-type]


def test_the_best_round_is_the_first_of_the_highest_score() -> None:
    last, best = made(0), []
    for number, dsc in enumerate((None, 0.0, 0.3, None, 0.3, 0.31), start=1):
        last = with_best(made(number, dsc), last)
        best.append((last.best_round, last.best_dsc))
    assert best == [(0, 0.0), (2, 0.0), (3, 0.3), (3, 0.3), (3, 0.3), (6, 0.31)]


@pytest.mark.parametrize(
    ("number", "best", "phases", "over"),
    [
        (10, 9, (10,), True),  # as planned
        (7, 4, (10,), False),  # evaluated at 6
        (8, 4, (10,), True),  # and at 8: twice without a gain
        (3, 0, (10,), False),
        (11, 4, (10, 20), False),  # counted from the restart
        (14, 4, (10, 20), True),
        (14, 12, (10, 20), False),
    ],
)
def test_patience_counts_evaluations_since_the_best_or_the_restart(
    number: int, best: int, phases: tuple[int, ...], over: bool
) -> None:
    config = FederationConfig(rounds=20, evaluate_every=2, patience=2)
    assert is_over(made(number, best_round=best), phases, config) is over


def test_the_phases_of_a_run_are_those_of_its_schedules() -> None:
    assert [phase_of(number, (10, 15)) for number in (1, 10, 11, 15)] == [(0, 10), (0, 10), (10, 15), (10, 15)]
    longer = FederationConfig(rounds=15)
    assert plan_phases(None, longer) == (15,)
    assert plan_phases(made(4, phases=(15,)), longer) == (15,)
    assert plan_phases(made(10, phases=(10,)), longer) == (10, 15)
    assert plan_phases(made(12, phases=(10, 15)), longer) == (10, 15)
    assert plan_phases(made(15, phases=(10, 15)), replace(longer, rounds=16)) == (10, 15, 16)
    stopped = made(7, best_round=5, phases=(10,))
    assert plan_phases(stopped, replace(longer, evaluate_every=1, patience=2)) == (7, 15)


def test_a_run_that_gains_nothing_ends_and_hands_over_its_best_round(config: FederationConfig, tmp_path: Path) -> None:
    whole = play(replace(config, **STOPPED | {"patience": 0}, out=tmp_path / "whole"), scored(SCORES))
    chosen = replace(config, **STOPPED, select="best", out=tmp_path / "chosen")
    rounds = play(chosen, scored(SCORES))
    assert [round_.sha256 for round_ in rounds] == [
        round_.sha256 for round_ in whole[:4]
    ]  # one schedule, no other bits
    assert [round_.best_round for round_ in rounds] == [1, 2, 2, 2]
    weights, _, about = load_weights(tmp_path / "chosen" / "federated.safetensors")
    assert sha256_of(weights) == about["sha256"] == rounds[1].sha256
    assert (about["round"], about["rounds"], about["planned_rounds"], about["best_dsc"]) == ("2", "4", "5", "0.5")
    last, _, about = load_weights(tmp_path / "whole" / "federated.safetensors")
    assert sha256_of(last) == whole[-1].sha256 and (about["round"], about["best_round"]) == ("5", "5")
    more = play(replace(chosen, patience=0), scored(SCORES))  # more patience: the same run goes on to its planned end
    assert [round_.restored for round_ in more] == [True] * 4 + [False] and more[-1].sha256 == whole[-1].sha256


@pytest.mark.parametrize("keep_rounds", [0, 1])
def test_a_stopped_run_stops_where_an_unbroken_one_does(
    config: FederationConfig, tmp_path: Path, keep_rounds: int
) -> None:
    config = replace(config, **STOPPED, select="best", keep_rounds=keep_rounds, out=tmp_path / "broken")
    whole = play(replace(config, out=tmp_path / "whole"), scored(SCORES))
    play(config, scored(SCORES), rounds=3)
    again = play(config, scored(SCORES))
    assert again[-1].number == 4 and not again[-1].restored and again[-1].sha256 == whole[-1].sha256
    for folder in (tmp_path / "whole", tmp_path / "broken"):
        assert sha256_of(load_weights(folder / "federated.safetensors")[0]) == whole[1].sha256
        kept = [file.name for file in sorted((folder / "rounds").iterdir())]
        assert kept == [f"round_{number:03d}.safetensors" for number in ((2, 4) if keep_rounds else (1, 2, 3, 4))]


def test_the_lost_checkpoint_of_the_best_round_is_told(config: FederationConfig, tmp_path: Path) -> None:
    config = replace(config, **STOPPED, select="best", out=tmp_path)
    play(config, scored(SCORES))
    checkpoint_file(tmp_path / "rounds", 2).unlink()
    with pytest.raises(PedsegInputError, match="E-BEST-ROUND"):
        play(config, scored(SCORES))
    assert play(replace(config, select="last"), scored(SCORES))[-1].number == 4


def test_without_any_score_no_round_can_be_chosen(config: FederationConfig) -> None:
    config = replace(config, **STOPPED)
    grid = InProcessGrid(client_app, [{"no-scores": True}] * 2, config.to_run_config())
    with pytest.raises(PedsegInputError, match="E-NO-SCORE evaluate-every"):  # told before anybody trains
        list(train_rounds(grid, config))

    def silent(message: Message, context: Context) -> Message:
        """The real app at a center that promised scores, and then sends none."""
        reply = client_app(message, context)
        if message.metadata.message_type == "evaluate":
            reply.content["metrics"]["num-examples"] = 0
        return reply

    with pytest.raises(PedsegInputError, match="E-NO-SCORE round 1"):
        play(config, silent)


def test_a_finished_run_goes_on_with_a_new_schedule(config: FederationConfig, hospitals: Path, tmp_path: Path) -> None:
    config = replace(config, out=tmp_path / "out")
    first = play(config)
    longer = replace(config, rounds=4)
    begun = play(longer, rounds=3)
    again = play(longer)  # killed in the added part
    assert [round_.restored for round_ in again] == [True] * 3 + [False]
    assert [round_.sha256 for round_ in again[:3]] == [round_.sha256 for round_ in (*first, begun[2])]
    for before, after in ((first[1], again[2]), (again[2], again[3])):  # as one would compute it by hand
        models = []
        for index, folder in enumerate(sorted(hospitals.iterdir())):
            dataset, net = read_dataset(folder), build(after.plan)
            set_weights(net, before.weights)
            prepared = load_cases(dataset, dataset.split("train"), after.plan)
            seed, begin = round_seed(7, after.number, index), 2 * (after.number - 3)
            list(train(net, prepared, after.plan, steps=2, first_step=begin, total_steps=4, seed=seed))
            models.append(get_weights(net))
        for name, values in after.weights.items():
            assert np.array_equal(values, models[0][name] * (3 / 5) + models[1][name] * (2 / 5)), name
    about = load_weights(tmp_path / "out" / "federated.safetensors")[2]
    assert (about["rounds"], about["restarts"]) == ("4", "2")


def test_the_servers_memory_goes_on_into_the_added_rounds(config: FederationConfig, tmp_path: Path) -> None:
    config = replace(config, rounds=1, local_steps=1, strategy="fedavgm", server_momentum=0.9, out=tmp_path / "out")
    (first,) = play(config)
    *_, second = play(replace(config, rounds=2))
    plain = replace(config, strategy="average", server_momentum=0.0, rounds=1, out=tmp_path / "plain")
    play(plain)
    *_, mean = play(replace(plain, rounds=2))
    name = next(iter(first.weights))
    start = get_weights(build(first.plan, config.seed))[name]
    momentum = start - first.weights[name]  # FedAvgM: weights - (0.9 momentum + gradient), the gradient is old - mean
    expected = first.weights[name] - (0.9 * momentum + (first.weights[name] - mean.weights[name]))
    assert np.allclose(second.weights[name], expected, atol=1e-6)
    assert not np.allclose(second.weights[name], mean.weights[name], atol=1e-6)


@pytest.mark.parametrize(("done", "rounds"), [(1, 3), (2, 1)])
def test_another_number_of_rounds_never_begins_anew_silently(
    config: FederationConfig, tmp_path: Path, done: int, rounds: int
) -> None:
    config = replace(config, local_steps=1, out=tmp_path)
    play(config, rounds=done)
    with pytest.raises(PedsegInputError, match=rf"E-ROUNDS.* {done} of 2 rounds lie here"):
        play(replace(config, rounds=rounds))


def test_checkpoints_of_another_run_do_not_lie_behind_the_end(config: FederationConfig, tmp_path: Path) -> None:
    config = replace(config, local_steps=1, out=tmp_path)
    play(replace(config, rounds=3))
    play(replace(config, seed=8))
    assert sorted(file.name for file in (tmp_path / "rounds").iterdir())[-1] == "round_002.safetensors"


def test_the_choice_is_told_on_the_screen_and_by_status(
    hospitals: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["federate", "--data", str(hospitals), "--rounds", "2", "--local-steps", "1", "--out", str(tmp_path)]
    assert main([*words, "--evaluate-every", "2", "--select", "best"]) == 0
    said, page = capsys.readouterr(), tmp_path / "page.html"
    line = "the final model is that of round 2; the highest validation DSC is that of round 2, "
    assert said.out.startswith(line) and "(best so far)" in said.err
    digest = sha256_of(load_weights(tmp_path / "federated.safetensors")[0])
    assert said.out.splitlines()[-1] == f"sha256 {digest}"
    assert main(["status", str(tmp_path), "--html", str(page)]) == 0
    assert line in capsys.readouterr().out and line[1:] in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"select": "best"}, "select"),  # nothing is evaluated
        ({"patience": 2}, "patience"),
        ({"select": "best", "evaluate_every": 11}, "select"),  # never within ten rounds
        ({"patience": 5, "evaluate_every": 2}, "patience"),  # at the end, at the earliest
        ({"select": "best", "evaluate_every": 1, "out": None}, "select"),
        ({"track": "tensorboard", "out": None}, "track"),
        ({"weights": Path("runs/federation/federated.safetensors")}, "weights"),
        ({"plan": Path("runs/federation/plan.json")}, "plan"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(wrong: dict, name: str) -> None:
    with pytest.raises(PedsegInputError, match=f"E-SETTING {name}:"):
        FederationConfig(**wrong)


@pytest.mark.slow
def test_a_stopped_and_prolonged_run_through_a_mailbox_has_the_same_weights(
    programs, three_hospitals: Path, tmp_path: Path
) -> None:
    """A run of two rounds shall have six, and stops after four; every member gets the third. Killed twice."""
    nodes = [{"data-dir": str(folder), "score-digits": 0} for folder in sorted(three_hospitals.iterdir())]
    base = FederationConfig(data=three_hospitals, out=tmp_path / "here", rounds=2, local_steps=2, seed=7)
    config = replace(base, rounds=6, evaluate_every=1, patience=1, select="best")
    for part in (base, config):
        here = list(train_rounds(InProcessGrid(client_app, nodes, part.to_run_config()), part))
    played = programs(tmp_path / "box")
    played.start()
    played.wait()
    assert [round_.best_round for round_ in here] == [0, 0, 3, 3]  # scores without a decimal are all 0
    words = ["--rounds", "6", "--evaluate-every", "1", "--patience", "1", "--select", "best"]
    played.commands["coordinator"] += words
    for name in ("Aa", "Bb", "Cc"):
        played.commands[name] += ["--min-score-cases", "1", "--score-digits", "0"]
    before = played.rounds_done()
    ended = set((tmp_path / "box" / "to" / "Aa").iterdir())
    played.start("coordinator")
    while ended & set((tmp_path / "box" / "to" / "Aa").iterdir()):  # a center that is first would only end again
        time.sleep(0.1)
    played.start("Aa", "Bb", "Cc")
    played.kill("coordinator")  # before it has any answer, and again after a round of the added part
    played.start("coordinator")
    while played.rounds_done() == before:
        time.sleep(0.1)
    played.kill("coordinator")
    played.start("coordinator")
    played.wait()
    assert played.rounds_done() == 4 and "ended after round 4 of 6" in played.said("coordinator")
    for name in ("coordinator", "Aa", "Bb", "Cc"):
        weights, _, about = load_weights(played.work / name / "federated.safetensors")
        expected = load_weights(tmp_path / "here" / "federated.safetensors")[2]
        assert sha256_of(weights) == about["sha256"] == expected["sha256"], name
        assert about == expected
