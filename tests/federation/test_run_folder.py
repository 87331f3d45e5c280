"""A run is seen from its folder: on the screen, in lines, and as one page."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.__main__ import main
from pedseg.federation import run_folder
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.mailbox.status import SignOfLife, Status
from pedseg.federation.rounds import train_rounds


@pytest.fixture(scope="module")
def folder(hospitals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a coordinator after two rounds of three, of which the last was scored."""
    out = tmp_path_factory.mktemp("out")
    config = FederationConfig(data=hospitals, out=out, rounds=3, local_steps=1, seed=7, evaluate_every=2)
    rounds = train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config)
    next(rounds), next(rounds)
    rounds.close()
    return out


def test_rounds_are_told_with_cases_and_scores(folder: Path) -> None:
    first, second = run_folder.read_rows(folder)
    assert first.cases == second.cases == {"Aa": 3, "Bb": 2}
    assert set(first.norms) == {"Aa", "Bb"} and all(norm > 0 for norm in first.norms.values())
    assert first.validation_dsc is None and set(second.scores) == {"Aa", "Bb"}
    line = run_folder.line_of(replace(second, train_loss=1.5, losses={"Aa": 2.0}, scores={"Aa": 0.5}), 3)
    assert line.startswith("round 2 of 3: loss 1.5000, validation DSC ") and line.endswith(
        "Aa 2.0000 (3 cases) DSC 0.50"
    )
    assert " (best so far); " in line
    later = replace(second, number=3, phases=(2, 4))
    assert run_folder.line_of(later, 4).endswith("; the learning rate started over")


def test_the_verb_tells_who_is_waited_for(folder: Path, capsys: pytest.CaptureFixture) -> None:
    sign = SignOfLife(Status("failed", 3, "train", code="E-LABEL-EMPTY"), 4, time.monotonic() - 30)
    run_folder.write_status(folder, 3, time.time(), ["Bb"], {"Bb": sign})
    if os.name == "posix":
        assert (folder / "status.json").stat().st_mode & 0o777 == 0o600
    page = folder / "page.html"
    assert main(["status", str(folder), "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("waiting for Bb (") and "reports E-LABEL-EMPTY and tries again (30 s ago)" in lines[3]
    text = page.read_text(encoding="utf-8")
    run_folder.write_status(folder, 3, time.time(), [], {}, ended=True)  # early
    assert not any(line.startswith("waiting") for line in run_folder.lines_of(folder))
    assert text.count("<svg") == 2 and "http" not in text.replace("http://www.w3.org", "") and "2 of 3 rounds" in text


def test_a_folder_without_a_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for words in (["status", str(tmp_path)], ["status", str(tmp_path), "--html", str(tmp_path / "x.html")]):
        assert main(words) == 1 and "E-NO-RUN" in capsys.readouterr().err
