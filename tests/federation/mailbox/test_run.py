"""A federation through a mailbox, every member a process of its own: the same weights as in one process."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from filelock import FileLock

from pedseg.__main__ import main
from pedseg.errors import PedsegInputError
from pedseg.federation import transports
from pedseg.federation.config import CenterConfig, FederationConfig
from pedseg.federation.keys import make_keys, write_keys
from pedseg.federation.mailbox import run
from pedseg.federation.mailbox.messages import REQUESTS, run_number
from pedseg.federation.mailbox.outbox import resume
from pedseg.federation.privacy.differential_privacy import epsilon
from pedseg.federation.privacy.disclosure_log import FILE, DisclosureLog
from pedseg.learning.weights import load_weights, sha256_of

LONG = {"rounds": 8, "local_steps": 2, "seed": 7}


@pytest.mark.slow
@pytest.mark.timeout(0 if "PEDSEG_KILLS" in os.environ else 900)
def test_kills_at_any_moment_change_nothing(programs, storage, three_hospitals: Path, tmp_path: Path) -> None:
    """Coordinator, centers and WebDAV server are killed at random moments and begun again at once.

    PEDSEG_KILLS says how many (default 8), PEDSEG_KILLS_SEED which; where they struck is noted beside the programs.
    """
    seed = os.environ.get("PEDSEG_KILLS_SEED", "3")
    random, left = Random(seed), int(os.environ.get("PEDSEG_KILLS", "8"))
    *_, here = transports.federate(FederationConfig(data=three_hospitals, out=tmp_path / "here", **LONG))
    expected = here.sha256
    url, environment, server = storage("webdav")
    struck: Counter = Counter()
    while left:
        played = programs(f"{url}/{left}", "--rounds", str(LONG["rounds"]), environment=environment)
        played.start()
        while left and not played.has_ended("coordinator"):
            time.sleep(random.uniform(0.1, 6.0))
            victim = random.choice([*played.commands, "server"])
            if victim == "server":
                server.kill()
                time.sleep(random.uniform(0.0, 1.0))
                server.start()
            elif played.has_ended(victim):
                continue
            else:
                played.kill(victim)
                played.start(victim)
            struck[victim, played.rounds_done()] += 1
            left -= 1
        played.wait()
        assert played.digest() == expected, (seed, left)
        for name in played.commands:
            weights, _, _ = load_weights(played.work / name / "federated.safetensors")
            assert sha256_of(weights) == expected, (name, seed, left)
        for name in list(played.commands)[1:]:  # each question is answered once, whoever was killed
            answered = Counter((e.round, e.message_type) for e in DisclosureLog(played.work / name / FILE).entries())
            assert len(answered) == LONG["rounds"] + 1 and set(answered.values()) == {1}, (name, answered)
    (tmp_path / "kills.txt").write_text(
        "\n".join(f"{n} x {who} after round {r}" for (who, r), n in sorted(struck.items()))
    )


def test_two_programs_on_one_folder_are_refused(three_hospitals: Path, key_folder: Path, tmp_path: Path) -> None:
    data = sorted(three_hospitals.iterdir())[0]
    with FileLock(tmp_path / "in-use.lock"), pytest.raises(PedsegInputError, match="E-IN-USE"):
        next(run.join(tmp_path / "box", "Aa", data, tmp_path, CenterConfig(keys=key_folder)))


def test_another_centers_data_set_is_refused(three_hospitals: Path, key_folder: Path, tmp_path: Path) -> None:
    data = sorted(three_hospitals.iterdir())[1]
    with pytest.raises(PedsegInputError, match="E-OTHER-CENTER"):
        next(run.join(tmp_path / "box", "Aa", data, tmp_path, CenterConfig(keys=key_folder)))


@pytest.mark.parametrize("centers", [("Aa", "Aa"), ("Aa", "coordinator"), ()])
def test_every_center_is_there_once(centers: tuple[str, ...], key_folder: Path, tmp_path: Path) -> None:
    keys = key_folder if centers else tmp_path
    if not centers:
        write_keys(tmp_path, make_keys("coordinator"))
    with pytest.raises(PedsegInputError, match="E-NO-CENTERS"):
        next(run.coordinate(tmp_path / "box", FederationConfig(out=tmp_path / "out", keys=keys), centers=centers))


def test_one_center_under_two_names_is_refused(tmp_path: Path) -> None:
    write_keys(tmp_path, make_keys("coordinator"))
    _, public = write_keys(tmp_path, make_keys("Aa"))
    public.with_name("Bb.public.json").write_text(public.read_text().replace('"Aa"', '"Bb"'))
    with pytest.raises(PedsegInputError, match="E-NO-CENTERS"):
        next(run.coordinate(tmp_path / "box", FederationConfig(out=tmp_path / "out", keys=tmp_path)))


def test_a_wrong_data_folder_is_told_before_the_first_round(
    key_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["join", str(tmp_path / "box"), "--center", "Aa", "--data", str(tmp_path), "--keys", str(key_folder)]
    assert main([*words, "--state", str(tmp_path / "state")]) == 1
    assert "E-" in capsys.readouterr().err and not (tmp_path / "box").exists()


def test_other_settings_make_another_run(tmp_path: Path) -> None:
    counter = tmp_path / "coordinator.runs"
    first = resume(tmp_path, "a", counter)
    assert resume(tmp_path, "a", counter) == first
    second = resume(tmp_path, "b", counter)
    assert second.secret != first.secret and (run_number(first.id), run_number(second.id)) == (1, 2)
    (tmp_path / "run.json").write_text("{")
    assert run_number(resume(tmp_path, "b", counter).id) == 3
    assert run_number(resume(tmp_path / "another folder", "a", counter).id) == 4
    for spoiled in ("four", "-3", "65535"):
        counter.write_text(spoiled)
        with pytest.raises(PedsegInputError, match="E-RUN-COUNT"):
            resume(tmp_path / "new", "c", counter)


@pytest.mark.slow
def test_the_verb_federate_brings_everything_with_it(
    three_hospitals: Path, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["federate", "--data", str(three_hospitals), "--transport", "mailbox", "--out", str(tmp_path)]
    for _ in range(2):  # the second time everything is there
        assert main([*words, "--rounds", "2", "--local-steps", "2", "--seed", "7"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"sha256 {expected[-1]}"
    assert main([*words, "--rounds", "3", "--local-steps", "2", "--seed", "7"]) == 0  # the end of before is not theirs
    for folder in (tmp_path, tmp_path / "mailbox" / "Aa"):
        assert load_weights(folder / "federated.safetensors")[2]["restarts"] == "2"


@pytest.mark.slow
def test_after_a_correction_the_old_run_is_refused_and_a_new_one_is_made(
    programs, three_hospitals: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(three_hospitals, tmp_path / "data")
    played = programs(tmp_path / "box", "--evaluate-every", "1")
    for name, folder in zip(list(played.commands)[1:], sorted(data.iterdir()), strict=True):
        played.commands[name][played.commands[name].index("--data") + 1] = str(folder)
    played.start()
    played.wait()
    before = played.digest()
    labels = data / "Dataset900_Aa" / "labelsTr" / "Aa-1.nii.gz"
    shutil.copyfile(labels.with_name("Aa-0.nii.gz"), labels)
    played.start()
    played.wait()
    assert played.digest() == before and "was over" in played.said("coordinator")
    assert "E-DATA-CHANGED" in played.said("Aa") and "of the earlier cases" in played.said("Aa")
    assert "E-DATA-CHANGED" not in played.said("Bb")
    played.commands["coordinator"] = [
        word.replace("/coordinator", "/corrected") for word in played.commands["coordinator"]
    ]
    requests = tmp_path / "box" / REQUESTS / "Cc"
    old = {file.name for file in requests.iterdir()}
    played.start("coordinator")
    while {file.name for file in requests.iterdir()} <= old:  # centers that find the end of the earlier run end again
        assert not played.has_ended("coordinator")
        time.sleep(0.1)
    played.start("Aa", "Bb", "Cc")
    played.wait()
    *_, here = transports.federate(FederationConfig(data=data, out=None, rounds=2, local_steps=2, seed=7))
    assert played.digest() == here.sha256 != before


@pytest.mark.slow
def test_a_correction_is_another_run_of_the_verb_federate(three_hospitals: Path, tmp_path: Path) -> None:
    data = shutil.copytree(three_hospitals, tmp_path / "data")
    config = FederationConfig(data=data, out=tmp_path / "out", rounds=1, local_steps=1)
    *_, first = transports.federate(config, "mailbox")
    labels = data / "Dataset900_Aa" / "labelsTr" / "Aa-1.nii.gz"
    shutil.copyfile(labels.with_name("Aa-0.nii.gz"), labels)
    *_, second = transports.federate(config, "mailbox")
    assert second.sha256 != first.sha256 and not second.restored


@pytest.mark.slow
def test_noise_through_a_mailbox_is_told_on_both_sides(programs, tmp_path: Path) -> None:
    played = programs(tmp_path / "box", "--clipping-norm", "1", "--noise-multiplier", "2")
    played.commands["Cc"] += ["--noise-multiplier", "5"]
    played.start()
    played.wait()
    assert f"epsilon {epsilon(2, 2):.3g}" in played.said("coordinator")
    assert f"epsilon {epsilon(2, 2):.3g}" in played.said("Aa") and f"epsilon {epsilon(5, 2):.3g}" in played.said("Cc")
    assert [entry.noise_multiplier for entry in DisclosureLog(played.work / "Cc" / FILE).entries()] == [0, 5, 5]
