"""The order of failures: sides and kidneys, then evaluated and serial organs, then weighted mL; one line an organ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pedseg.evaluation.failure import Failure
from pedseg.evaluation.severity import by_organ, by_severity, organ_weights, tier, varied, weight_of, weighted_ml
from pedseg.organs import NAMES

FAILURE = Failure("c1", "Neckar", "Liver", "local", "Polder", "worst", 0.5, "DSC", 20.0, None, "")


def failure(organ: str, kind: str = "worst", wrong_ml: float = 20.0, **changed) -> Failure:
    return replace(FAILURE, organ=organ, kind=kind, wrong_ml=wrong_ml, **changed)


def test_every_organ_has_a_weight_with_a_reason_and_a_source():
    weights = organ_weights()
    assert set(weights) == set(NAMES)
    assert all(
        w.weight > 0 and w.reason and w.source and w.architecture in ("serial", "parallel") for w in weights.values()
    )
    assert weight_of("an organ of another table").weight == 1


@pytest.mark.parametrize(
    ("organ", "kind", "expected"),
    [
        ("Glnd_Adrenal_L", "swapped", 1), ("Kidney_L", "false", 1), ("Kidney_R", "missed", 1), ("Kidney_R", "worst", 2),
        ("Liver", "leaking", 2), ("SpinalCanal", "worst", 2), ("Glnd_Adrenal_L", "false", 3),
    ],
)  # fmt: skip
def test_what_matters_comes_first(organ, kind, expected):
    assert tier(failure(organ, kind)) == expected


def test_the_order_by_hand():
    small_false_kidney = failure("Kidney_L", "false", 2.0)
    liver, kidney, canal = failure("Liver"), failure("Kidney_R", wrong_ml=3.0), failure("SpinalCanal", wrong_ml=2.5)
    vein = failure("V_Portal", wrong_ml=50.0)
    assert [weighted_ml(f) for f in (liver, kidney, canal, vein)] == [6.0, 9.0, 7.5, 25.0]
    assert by_severity([vein, liver, canal, kidney, small_false_kidney]) == [
        small_false_kidney, kidney, canal, liver, vein
    ]  # fmt: skip


def test_one_line_a_child_and_organ_with_its_models():
    first, other = failure("Liver"), failure("Liver", case="c2")
    worse = failure("Liver", "leaking", 30.0, model="federated", trained_on="Neckar+Polder")
    worst_tenth = replace(worse, kind="worst")
    assert by_organ([first, other, worse, worst_tenth]) == [(worse, worst_tenth, first), (other,)]


def test_a_short_list_repeats_neither_contour_nor_organ_nor_kind():
    many = [failure("Liver", case=f"c{k}", wrong_ml=30.0 - k) for k in range(9)]
    many += [failure("Liver", "leaking", 5.0), failure("Bladder", "part", 90.0), failure("Spleen", case="c4")]
    chosen = varied(many)
    assert [(f.case, f.organ, f.kind) for f in chosen] == [
        ("c4", "Spleen", "worst"), ("c0", "Liver", "worst"), ("c1", "Liver", "worst"), ("c1", "Bladder", "part"),
    ]  # fmt: skip
    assert varied(many, 2) == chosen[:2]
