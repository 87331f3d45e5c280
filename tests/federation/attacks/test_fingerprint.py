"""The description of the training cases: what two of them tell of the child by which they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from pedseg.datasets.writing import write_case, write_index
from pedseg.federation import _flower
from pedseg.federation.client_app import app
from pedseg.federation.in_process import CenterError
from pedseg.learning.fingerprint import Fingerprint
from pedseg.scan import Scan

VOXEL_MM3 = 6**3
LIVERS = (100, 200, 300, 700, 400)  # voxels of the liver of each child


@pytest.fixture
def describe(tiny_case: Callable, tmp_path: Path) -> Callable[..., Fingerprint]:
    """The fingerprint of a hospital with so many training children that joins with a policy, each time anew."""
    runs: Iterator[int] = iter(range(99))

    def ask(children: int, **policy: object) -> Fingerprint:
        folder = tmp_path / f"data{next(runs)}"
        for place in range(children):
            image, labels = tiny_case(place, 60.0)
            liver = np.zeros(labels.voxels.shape, np.uint8)
            liver[8:18, 8:18, 8:18].flat = np.arange(1000) < LIVERS[place]
            about = {"patient": f"Aa-{place}", "center": "Aa", "split": "train", "manual": ("Liver",)}
            write_case(folder, f"Aa-{place}", image, Scan(liver, labels.affine), **about)
        write_index(folder, center="Aa")
        _flower.identify_server()
        node = {"data-dir": str(folder), **policy}
        question = Message(RecordDict(), dst_node_id=2, message_type="query.fingerprint")
        reply = app(question, Context(1, 2, node, RecordDict(), {}))  # type: ignore[arg-type]
        return Fingerprint.from_json(str(reply.content["fingerprint"]["json"]))

    return ask


def read_liver(before: Fingerprint, after: Fingerprint) -> float:
    """The mean volume of the livers that came between two descriptions, in voxels."""
    new = after.organs["Liver"].total_mm3 - before.organs["Liver"].total_mm3
    return new / VOXEL_MM3 / (after.cases - before.cases)


def test_two_descriptions_without_a_memory_tell_the_volumes_of_the_new_child(describe) -> None:
    """Before: a center that keeps nothing on disk."""
    assert read_liver(describe(3), describe(4)) == LIVERS[3]


def test_a_child_by_itself_is_not_described(describe, tmp_path: Path) -> None:
    """After: one child more is not described; of two children more the mean is read, 150 voxels off for each."""
    state = tmp_path / "state"
    state.mkdir()
    first = describe(3, state=str(state))
    with pytest.raises(CenterError, match="E-FEW-NEW"):
        describe(4, state=str(state))
    read = read_liver(first, describe(5, state=str(state)))
    assert [abs(read - liver) for liver in LIVERS[3:]] == [150, 150]
    with pytest.raises(CenterError, match="E-FEW-NEW"):
        describe(4, state=str(state))  # nor one child less
    describe(5, state=str(state))
    (state / "described_cases.json").unlink()  # the center's own will
    describe(4, state=str(state))


def test_a_hospital_of_very_few_children_is_not_described(describe) -> None:
    with pytest.raises(CenterError, match="E-FEW-CASES"):
        describe(4, **{"min-cases": 5})
