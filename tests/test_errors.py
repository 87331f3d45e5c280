"""What is wrong is said with file, finding and remedy."""

from __future__ import annotations

import pytest

from pedseg.errors import InputProblem, PedsegInputError, as_table, input_error

CUT = InputProblem("E-NIFTI-DAMAGED", "ct.nii.gz", "it is cut off.", "Copy it again.")
GRID = InputProblem("E-GEOMETRY", "label.nii.gz", "it lies on another grid.", "Export it again.")


def test_an_error_lists_every_finding_on_a_line_of_its_own():
    error = PedsegInputError([CUT, GRID])
    assert error.problems == (CUT, GRID)
    assert str(error).splitlines() == [
        "E-NIFTI-DAMAGED ct.nii.gz: it is cut off. Copy it again.",
        "E-GEOMETRY label.nii.gz: it lies on another grid. Export it again.",
    ]


def test_refuse_makes_an_error_with_one_finding():
    with pytest.raises(ValueError, match="E-GEOMETRY label") as caught:
        raise input_error("E-GEOMETRY", "label.nii.gz", "it lies on another grid.", "Export it again.")
    assert caught.value.problems == (GRID,)


def test_the_table_names_file_finding_and_remedy():
    lines = as_table([CUT, GRID]).splitlines()
    assert len(lines) == 6
    assert lines[0].split() == ["E-NIFTI-DAMAGED", "ct.nii.gz"]
    assert lines[1].strip() == "found:  it is cut off."
    assert lines[2].strip() == "remedy: Copy it again."
    assert as_table([]) == ""
