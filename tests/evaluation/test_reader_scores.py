"""Reader scores: kept at once, exported, refused where they are none; kappa by hand and beside statsmodels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from pedseg.errors import PedsegInputError
from pedseg.evaluation.reader_scores import (
    ReaderScore,
    ScoreBook,
    agreements,
    as_csv,
    read_scores,
    weighted_kappa,
    with_dsc,
)

SCORE = ReaderScore("Reader A", 1, "Polder", "polder-036", "Liver", "federated", 4, 'a "quote", and a comma', True, "t")


def test_a_score_is_on_disk_at_once_and_a_second_one_replaces_it(tmp_path):
    book = ScoreBook(tmp_path / "scores")
    assert book.all() == [] and book.of("Reader A") == {}
    book.put(SCORE)
    book.put(replace(SCORE, organ="Spleen", score=1))
    assert ScoreBook(tmp_path / "scores").of("Reader A")[1, *SCORE.item] == SCORE
    book.put(replace(SCORE, score=2))
    book.put(replace(SCORE, reading=2, score=5))
    book.put(replace(SCORE, reader="Reader B"))
    assert [s.score for s in book.of("Reader A").values()] == [2, 1, 5] and len(book.all()) == 4
    assert {file.name for file in (tmp_path / "scores").iterdir()} == {"Reader_A.csv", "Reader_B.csv"}


def test_what_is_exported_is_read_again(tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text(as_csv([SCORE, replace(SCORE, blinded=False)]), encoding="utf-8-sig")  # as Excel saves it
    assert read_scores(file) == [SCORE, replace(SCORE, blinded=False)]
    assert as_csv([]).startswith("reader,reading,center,case,organ,contours,score,comment,blinded,saved_at")


@pytest.mark.parametrize(
    ("text", "code"),
    [("reader,score\nA,3\n", "E-SCORES"), (as_csv([replace(SCORE, score=6)]), "E-SCORES"),
     (as_csv([SCORE]).replace(",4,", ",four,"), "E-SCORES")],
)  # fmt: skip
def test_a_table_of_something_else_is_refused(tmp_path, text, code):
    file = tmp_path / "scores.csv"
    file.write_text(text)
    with pytest.raises(PedsegInputError, match=code):
        read_scores(file)


@pytest.mark.parametrize(("changed", "code"), [({"score": 0}, "E-SCORE"), ({"reader": " .. "}, "E-READER")])
def test_what_is_no_score_is_not_kept(tmp_path, changed, code):
    with pytest.raises(PedsegInputError, match=code):
        ScoreBook(tmp_path).put(replace(SCORE, **changed))
    assert list(tmp_path.iterdir()) == []


def test_kappa_by_hand():
    """Scores 1 1 5 5 and 1 5 5 5: mean squared difference 4; by chance (8 of 16 pairs are 4 apart) 8."""
    assert weighted_kappa(np.array([1, 1, 5, 5]), np.array([1, 5, 5, 5])) == pytest.approx(1 - 4 / 8)
    assert weighted_kappa(np.array([1, 2, 3]), np.array([1, 2, 3])) == 1.0
    assert weighted_kappa(np.array([1, 5]), np.array([5, 1])) == -1.0
    assert weighted_kappa(np.array([4, 4]), np.array([4, 4])) is None  # no chance to disagree


def test_kappa_is_that_of_statsmodels():
    rng = np.random.default_rng(3)
    x = rng.integers(1, 6, 80)
    y = np.clip(x + rng.integers(-1, 2, 80), 1, 5)
    counts = np.histogram2d(x, y, bins=[np.arange(0.5, 6)] * 2)[0]
    assert weighted_kappa(x, y) == pytest.approx(cohens_kappa(counts, wt="quadratic", return_results=False), rel=1e-12)


def reading(reader: str, number: int, scores: list[int], cases: int = 4) -> list[ReaderScore]:
    return [
        replace(SCORE, reader=reader, reading=number, case=f"c{k % cases}", organ=f"organ {k}", score=score)
        for k, score in enumerate(scores)
    ]


def test_every_two_readings_are_compared_on_what_they_share():
    first, again = reading("A", 1, [1, 2, 3, 4, 5, 4, 3, 2]), reading("A", 2, [1, 2, 3, 4, 5, 4, 3, 1])
    other = reading("B", 1, [1, 1, 5, 5])
    a_a, a_b, _ = agreements([*first, *again, *other])
    assert (a_a.first, a_a.second, a_a.items, a_a.cases, a_a.same) == ("A, reading 1", "A, reading 2", 8, 4, 7 / 8)
    assert a_a.low <= a_a.kappa <= a_a.high <= 1 and (a_b.second, a_b.items) == ("B, reading 1", 4)
    assert agreements(first) == [] and agreements([*first, replace(other[0], organ="another")]) == []
    (few,) = agreements([*reading("A", 1, [1, 5], 1), *reading("B", 1, [1, 4], 1)])
    assert few.kappa is not None and few.low is None  # one child has no interval


def test_scores_stand_beside_the_dsc_of_the_same_contour():
    rows = pd.DataFrame(
        [("local", "Polder", "Polder", "c0", "organ 0", 0.9), ("federated", "A+B", "Polder", "c0", "organ 0", 0.8),
         ("federated", "A+B", "Polder", "c1", "organ 1", float("nan"))],
        columns=["model", "trained_on", "tested_on", "case", "organ", "dsc"],
    )  # fmt: skip
    table = with_dsc(reading("A", 1, [3, 4]), rows)
    assert table[["reader", "organ", "score", "dsc"]].values.tolist() == [["A", "organ 0", 3, 0.8]]
    assert with_dsc([], rows).empty
