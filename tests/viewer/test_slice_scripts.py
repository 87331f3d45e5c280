"""The scripts of the slices in node: lines round the voxels that they enclose, slices and bits as NumPy has them."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

from pedseg.viewer.slices import javascript

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
SHAPE = (9, 8, 7)


def in_node(tmp_path, expression: str, **arrays: np.ndarray):
    """Evaluate an expression about arrays (x, y, z), which become typed arrays with x fastest."""
    given = "".join(
        f"const {name} = Uint8Array.from({array.ravel(order='F').tolist()});\n" for name, array in arrays.items()
    )
    script = tmp_path / "run.mjs"
    script.write_text(f"{javascript('volume', 'contours')}\n{given}console.log(JSON.stringify({expression}));\n")
    answer = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def area(loop: list[float]) -> float:
    u, v = np.array(loop).reshape(-1, 2).T
    return float((u * np.roll(v, -1) - v * np.roll(u, -1)).sum() / 2)


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)  # holes, corners that touch, the border
    labels[2:6, 2:6, 3] = 2
    labels[3, 3, 3] = 0
    return labels


def test_lines_enclose_exactly_the_voxels_of_their_organ(tmp_path, labels):
    expression = (
        "[0, 1, 2].map((plane) => [...traceSlice(cutSlice(labels, [0, 0, 0, 9, 8, 7], plane, 3), new Set([1, 2]))])"
    )
    for axis, lines in zip((2, 1, 0), in_node(tmp_path, expression, labels=labels), strict=True):
        cut = np.take(labels, 3, axis=axis)
        assert {organ for organ, _ in lines} == {1, 2}
        for organ, loops in lines:
            assert sum(map(area, loops)) == (cut == organ).sum()  # holes count negative


def test_only_wanted_organs_are_traced_and_a_slice_beside_the_box_is_none(tmp_path, labels):
    box = "[0, 0, 0, 9, 8, 7]"
    expression = f"[[...traceSlice(cutSlice(labels, {box}, 0, 3), new Set([2])).keys()], cutSlice(labels, {box}, 0, 7)]"
    assert in_node(tmp_path, expression, labels=labels) == [[2], None]


def test_slices_are_those_of_numpy(tmp_path, labels):
    expression = "[0, 1, 2].map((plane) => [...cutSlice(labels, [0, 0, 0, 9, 8, 7], plane, 2).values])"
    for axis, values in zip((2, 1, 0), in_node(tmp_path, expression, labels=labels), strict=True):
        assert values == np.take(labels, 2, axis=axis).ravel(order="F").tolist()


def test_bits_are_packed_as_numpy_unpacks_them(tmp_path, labels):
    mask = (labels > 0).astype(np.uint8)
    packed = np.array(in_node(tmp_path, "[...packBits(mask)]", mask=mask), np.uint8)
    bits = np.unpackbits(packed, count=mask.size, bitorder="little")
    np.testing.assert_array_equal(bits.reshape(SHAPE, order="F"), mask)


@pytest.mark.parametrize(
    ("direction", "letters"),
    [((1, 0, 0), "R"), ((-1, 0.1, 0), "L"), ((0, -0.9, 0.45), "PI"[:1] + "S"), ((0, 0, 1), "S")],
)
def test_letters_are_the_sides_that_a_direction_points_to(tmp_path, direction, letters):
    assert in_node(tmp_path, f"sideLetters({list(direction)})") == letters
