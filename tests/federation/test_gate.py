"""One gate for all ways to training: what `pedseg check` refuses is refused by each of them, before the first round."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from pedseg.__main__ import main
from pedseg.datasets import reading
from pedseg.datasets.loading import load_image
from pedseg.errors import PedsegInputError
from pedseg.federation import transports
from pedseg.federation.client_app import app, own_data
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.files import file_stamp
from pedseg.learning.weights import load_weights
from pedseg.scan import Scan, read_nifti, write_nifti


def redraw(place: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Change the voxels of the first file of a folder; the table's digest of it goes, as nobody must keep one."""

    def damage(center: Path) -> None:
        file = sorted((center / place).iterdir())[0]
        scan = read_nifti(file)
        write_nifti(file, Scan(change(scan.voxels), scan.affine))
        (center / "cases.tsv").unlink()

    return damage


BAD = {
    "E-LEFT-RIGHT": redraw("labelsTr", lambda voxels: voxels[::-1].copy()),
    "E-NOT-HU": redraw("imagesTr", lambda voxels: voxels * 0 + 7),
    "E-LABEL-EMPTY": redraw("labelsTr", lambda voxels: voxels * 0),
}


def one_scan_in_two_centers(data: Path) -> None:
    first, second = sorted(data.iterdir())
    for folder in ("imagesTr", "labelsTr"):
        source, target = (sorted((center / folder).iterdir())[0] for center in (first, second))
        shutil.copy(source, target)
    (second / "cases.tsv").unlink()


@pytest.fixture
def data(hospitals: Path, tmp_path: Path) -> Path:
    return shutil.copytree(hospitals, tmp_path / "data")


@pytest.fixture(params=[*BAD, "E-SAME-SCAN"])
def spoiled(request: pytest.FixtureRequest, data: Path) -> tuple[str, Path]:
    """What is wrong, and a folder of two data sets in which it is."""
    if request.param in BAD:
        BAD[request.param](sorted(data.iterdir())[1])
    else:
        one_scan_in_two_centers(data)
    return request.param, data


@pytest.mark.parametrize("way", ["in-process", "ray", "superlink", "mailbox", "study"])
def test_a_federation_on_one_machine(way: str, spoiled, tmp_path: Path, capsys) -> None:
    code, data = spoiled
    verb = ["study"] if way == "study" else ["federate", "--transport", way]
    options = ["--data", str(data), "--out", str(tmp_path / "out"), "--rounds", "1", "--local-steps", "1"]
    assert main([*verb, *options]) == 1
    assert code in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_check_itself(spoiled, capsys) -> None:
    code, data = spoiled
    assert main(["check", str(data)]) == 1
    assert code in capsys.readouterr().err


@pytest.mark.parametrize("code", BAD)
def test_a_center_that_joins(code: str, data: Path, key_folder: Path, tmp_path: Path, capsys) -> None:
    center = sorted(data.iterdir())[0]
    BAD[code](center)
    words = ["join", str(tmp_path / "box"), "--center", "Aa", "--data", str(center), "--keys", str(key_folder)]
    assert main([*words, "--state", str(tmp_path / "state")]) == 1
    assert code in capsys.readouterr().err
    assert not (tmp_path / "box").exists()


def test_centers_of_a_flower_run(spoiled, tmp_path: Path) -> None:
    """The ClientApp by its place among the data sets, as `flwr run` starts it."""
    code, data = spoiled
    config = FederationConfig(data=data, out=tmp_path / "out", rounds=1, local_steps=1)
    with pytest.raises(PedsegInputError, match=code):
        next(train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config))


@pytest.mark.parametrize("code", BAD)
def test_a_center_behind_a_supernode(code: str, data: Path) -> None:
    center = sorted(data.iterdir())[1]
    BAD[code](center)
    grid = InProcessGrid(app, [{"data-dir": str(center)}], {})
    (reply,) = grid.send_and_receive([Message(RecordDict(), dst_node_id=2, message_type="query.fingerprint")])
    assert code in str(reply.error.reason)


def test_two_centers_with_one_data_set(data: Path) -> None:
    """Far from each other nobody can compare scans; descriptions that are equal to the last digit tell enough."""
    first, second = sorted(data.iterdir())
    shutil.rmtree(second)
    table = (shutil.copytree(first, second) / "cases.tsv").read_text().replace("\tAa\t", "\tBb\t")
    (second / "cases.tsv").write_text(table)
    config = FederationConfig(data=data, out=None, rounds=1, local_steps=1)
    nodes = [{"data-dir": str(center)} for center in (first, second)]
    with pytest.raises(PedsegInputError, match="Aa and Bb describe the same scans"):
        next(train_rounds(InProcessGrid(app, nodes, {}), config))


def test_what_was_checked_is_not_read_again_until_a_file_changes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    center = sorted(data.iterdir())[0]
    context = Context(run_id=1, node_id=2, node_config={"data-dir": str(center)}, state=RecordDict(), run_config={})
    dataset, _ = own_data(context)
    later = Context(run_id=1, node_id=2, node_config=context.node_config, state=context.state, run_config={})
    with monkeypatch.context() as patch:  # in another process nothing is remembered but the context's state
        patch.setattr(reading, "inspect_case", lambda *_: pytest.fail("read twice"))
        assert own_data(later)[0] == dataset
    image = dataset.cases[0].image_file
    scan = load_image(dataset.cases[0])
    write_nifti(image, Scan(scan.voxels * 0, scan.affine))
    with pytest.raises(PedsegInputError, match="E-NOT-HU"):
        own_data(later)


def test_a_stamp_changes_with_every_file(tmp_path: Path) -> None:
    assert file_stamp(tmp_path / "none") == file_stamp(tmp_path)  # nothing is there
    (tmp_path / "a").mkdir()
    seen = {file_stamp(tmp_path)}
    for name, content in (("a/x", b"1"), ("a/y", b"1"), ("a/x", b"22")):
        (tmp_path / name).write_bytes(content)
        assert file_stamp(tmp_path) == file_stamp(tmp_path)
        seen.add(file_stamp(tmp_path))
    assert len(seen) == 4


def test_the_weights_of_a_federation_carry_what_the_scans_were_like(hospitals: Path, tmp_path: Path) -> None:
    """By hand: 18 x 18 x 22 voxels of 6 mm, and 6 mm around; the tables say neither ages nor phases."""
    list(transports.federate(FederationConfig(data=hospitals, out=tmp_path, rounds=1, local_steps=1)))
    _, plan, _ = load_weights(tmp_path / "federated.safetensors")
    assert plan.domain == {"spacing_mm": [[6.0] * 3] * 2, "body_mm": [[120.0, 120.0, 140.0]] * 2}
