"""The centers of a rehearsal on one machine: each with its own output, whatever becomes of the others."""

import json
import subprocess
import sys

from pedseg.federation.mailbox import rehearsal


def test_each_center_writes_its_own_output_and_an_error_of_one_is_its_own(tmp_path):
    """Both end; the first is refused by name, and the second, a fork of the first, too."""
    commands = {}
    for name in ("Aa", "Bb"):
        (tmp_path / name).mkdir()
        data = str(tmp_path / f"no data of {name}")
        commands[str(tmp_path / name)] = ["check", data]
    command = [sys.executable, "-m", rehearsal.__name__, json.dumps(commands)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    for name in ("Aa", "Bb"):
        output = (tmp_path / name / rehearsal.OUTPUT).read_text()
        assert output.count(f"no data of {name}") == 1
        assert output.count("E-") == 1


def test_a_wrong_command_of_one_center_leaves_the_others_alone(tmp_path):
    """What argparse refuses is a usage message in that center's output, and no second copy of the program runs on."""
    for name in ("Aa", "Bb", "Cc"):
        (tmp_path / name).mkdir()
    wrong = {str(tmp_path / name): ["no-such-verb"] for name in ("Bb", "Cc")}
    commands = {str(tmp_path / "Aa"): ["check", str(tmp_path / "none")], **wrong}
    command = [sys.executable, "-m", rehearsal.__name__, json.dumps(commands)]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    for name in ("Bb", "Cc"):
        assert (tmp_path / name / rehearsal.OUTPUT).read_text().count("invalid choice: 'no-such-verb'") == 1
