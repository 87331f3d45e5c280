"""Sheets of synthetic children: as many pictures as asked for, in three planes, told in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pedseg.__main__ import main
from pedseg.phantoms.child import Child
from pedseg.workbook import phantom_sheets


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    monkeypatch.setattr(phantom_sheets, "SPACING_MM", (4.0, 4.0, 5.0))


@pytest.mark.slow
def test_a_picture_for_each_age_and_phase(tmp_path, capsys):
    assert main(["phantoms", "--age", "1", "--age", "5", "--out", str(tmp_path)]) == 0
    files = sorted(tmp_path.glob("*.png"))
    assert [file.stem for file in files] == [
        f"{age}_years_{phase}" for age in (1, 5) for phase in ("none", "portal_venous")
    ]
    said = capsys.readouterr().out
    assert "5 years old" in said and "without contrast medium" in said and "in the portal venous phase" in said
    pixels = np.asarray(Image.open(io.BytesIO(files[0].read_bytes())).convert("L"), int)
    assert pixels.shape[1] > 900 and 0.1 < ((pixels > 60) & (pixels < 220)).mean() < 0.9


def test_all_slices_are_in_the_picture_and_in_its_words():
    figure, alt = phantom_sheets.sheet(Child(5.0, seed=1))
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == len(phantom_sheets.HEIGHTS) + 4
    assert "12 axial, 2 coronal, 2 sagittal" in alt


def test_an_age_that_nobody_has_is_refused(tmp_path, capsys):
    assert main(["phantoms", "--age", "200", "--out", str(tmp_path)]) == 1
    assert "E-NO-CHILD" in capsys.readouterr().err and not list(tmp_path.iterdir())
