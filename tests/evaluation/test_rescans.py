"""Second scans change one thing and nothing else; what a failure does in them is judged by its own rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pedseg.evaluation.failure import Failure
from pedseg.evaluation.failure_study import vanishing, virtual_phases
from pedseg.evaluation.rescans import (
    CONTROL,
    Outcome,
    Rescan,
    SecondScans,
    find_scan,
    read_rescans,
    rescan,
    worst_limits,
)
from pedseg.evaluation.results import ModelKey, typed_rows
from pedseg.evaluation.scoring import labeled_scan
from pedseg.organs import organ
from pedseg.phantoms.centers import POLDER
from pedseg.scan import to_ras

LIVER = organ("Liver").id
FEDERATED = ModelKey("federated", "Polder+Neckar")


@pytest.fixture(scope="module")
def scans():
    return SecondScans(POLDER, find_scan("Polder", "polder-036"))


def soft(image):
    """Where a scan shows soft tissue."""
    return (image.voxels > -250) & (image.voxels < 400)


def test_a_scan_is_found_by_center_and_case():
    assert find_scan("Polder", "polder-036").patient == "P036"
    assert find_scan("Polder", "neckar-036") is None and find_scan("St Mary", "polder-036") is None


def test_the_control_changes_the_noise_only(scans):
    (image, truth), (noisy, again) = scans.make(""), scans.make(CONTROL)
    assert (truth == again).all() and (image.affine == noisy.affine).all()
    difference = noisy.voxels - image.voxels
    expected = np.sqrt(2) * scans.scan.protocol.noise_hu
    assert difference[truth == LIVER].mean() == pytest.approx(0, abs=1.5)
    # noise grows with what the beam has crossed, so it is stronger in the liver than on average
    assert 0.9 < difference[truth == LIVER].std() / expected < 1.4
    assert difference[soft(image)].std() == pytest.approx(expected, rel=0.1)


def test_each_change_is_what_it_says(scans):
    image, truth = scans.make("")
    assert scans.possible() == ["phase", "slices", "noise"]  # the child lies on its back
    plain, same = scans.make("phase")
    assert (truth == same).all()
    assert plain.voxels[truth == LIVER].mean() < image.voxels[truth == LIVER].mean() - 30  # without contrast
    thin, _ = scans.make("slices")
    assert thin.spacing_mm[2] == image.spacing_mm[2] / 2
    smooth, _ = scans.make("noise")
    noise = (smooth.voxels - image.voxels)[soft(image)]
    assert noise.std() == pytest.approx(scans.scan.protocol.noise_hu / 2, rel=0.1)
    control, _ = scans.make(CONTROL)  # two independent noises, where this is half of one
    both = (control.voxels - image.voxels)[soft(image)].std()
    assert noise.std() == pytest.approx(both / (2 * np.sqrt(2)), rel=0.05)
    halved, whole = ((other.voxels - image.voxels)[truth == LIVER].std() for other in (smooth, control))
    assert halved == pytest.approx(whole / (2 * np.sqrt(2)), rel=0.05)


def test_a_child_on_its_side_is_turned():
    lying = replace(find_scan("Polder", "polder-036").child, roll_deg=-90.0)
    scans = SecondScans(POLDER, replace(find_scan("Polder", "polder-036"), child=lying))
    assert scans.possible()[-1] == "posture"


class Drawing:
    """A model that draws the truth of a second scan, but for the liver, which it only finds with contrast."""

    key = FEDERATED

    def __init__(self, scans):
        self.scans = scans

    def predict(self, image):
        change = next(c for c in ("", "phase", "slices", "noise", CONTROL) if self.scans.make(c)[0] is image)
        truth = self.scans.make(change)[1].copy()
        if change != "phase":
            truth[truth == LIVER] = 0
        return truth


def failure(kind: str, name: str = "Liver") -> Failure:
    return Failure("polder-036", "Polder", name, "federated", "Polder+Neckar", kind, 1.0, "mL", 1.0, None, "It failed.")


def test_a_failure_vanishes_or_stays(scans):
    model = Drawing(scans)
    by_change = {second.change: second for second in rescan(failure("missed"), model, scans, 0.0)}
    assert by_change["phase"].after == Outcome(1.0, pytest.approx(by_change["phase"].after.predicted_ml), False)
    assert by_change["phase"].before.fails and by_change["phase"].control.fails
    assert by_change["noise"].after.fails and by_change["slices"].after.dsc == 0.0
    worst = next(iter(rescan(failure("worst"), model, scans, 0.5)))
    assert worst.before.fails and not worst.after.fails
    assert not next(iter(rescan(failure("worst", "Spleen"), model, scans, 0.5))).before.fails
    false = next(iter(rescan(failure("false", "Spleen"), model, scans, 0.0)))
    assert false.before.fails and not next(iter(rescan(failure("leaking"), model, scans, 0.0))).before.fails


def second(after: bool, control: bool, dsc: float | None = 0.85) -> Rescan:
    outcomes = Outcome(0.62, 10.0, True), Outcome(dsc, 12.0, after), Outcome(0.63, 9.0, control)
    return Rescan("phase", *outcomes)


def test_the_sentence_holds_both_dsc_and_the_control():
    assert second(False, True).sentence == (
        "Proved: the same child, scanned again in the other contrast phase: a DSC of 0.85 instead of a DSC of 0.62;"
        " with other noise only, a DSC of 0.63. The failure vanishes with that change, and not with other noise."
    )
    assert second(False, False).sentence.startswith("Open:") and second(True, True).sentence.startswith(
        "Not the cause:"
    )
    assert "12.0 mL drawn" in second(False, True, None).sentence


def test_rescans_are_read_as_they_were_written(tmp_path):
    assert read_rescans(tmp_path) == {}
    line = {"case": "c", "tested_on": "Polder", "organ": "Liver", "model": "local", "trained_on": "Neckar"}
    line |= {"kind": "false", "cause": "", **second(False, True, None).as_row()}
    pd.DataFrame([line]).to_csv(tmp_path / "rescans.csv", index=False)
    key = ModelKey("local", "Neckar"), "Polder", "c", "Liver", "false"
    assert read_rescans(tmp_path) == {key: [second(False, True, None)]}


def test_the_limit_is_that_of_the_worst_tenth():
    rows = [
        {"seed": 0, "model": "local", "trained_on": "Polder", "tested_on": "Neckar", "case": f"c{k}", "organ": "Liver",
         "present": 1, "dsc": 0.5 + k / 50, "volume_ml": 1, "predicted_ml": 1}
        for k in range(20)
    ]  # fmt: skip
    assert worst_limits(typed_rows(rows)) == {("Liver", ModelKey("local", "Polder")): pytest.approx(0.52)}


def test_shares_that_vanish_by_hand():
    lines = [
        ("young", second(after, control)) for after, control in [(False, True)] * 3 + [(True, True), (False, False)]
    ]
    lines += [("", second(True, True))]
    gone = replace(second(False, False), before=Outcome(0.9, 1.0, False))  # did not fail again: left out
    table = vanishing(pd.DataFrame([{"cause": cause, **s.as_row()} for cause, s in [*lines, ("young", gone)]]))
    young, nothing = table.to_dict("records")
    assert (young["cause"], young["failures"], young["vanished"], young["control"]) == ("young", 5, 0.8, 0.2)
    assert young["vanished_low"] == pytest.approx(0.376, abs=0.001)  # Wilson
    assert young["dsc_gain"] == pytest.approx(0.23) and nothing["cause"] == "nothing known"


def test_a_virtual_child_has_the_record_of_its_data_set():
    scan = find_scan("Polder", "polder-036")
    labeled = labeled_scan(POLDER, scan)
    assert labeled.case.age_months == round(12 * scan.child.age_years) and labeled.case.phase == scan.protocol.phase
    gone = {"left": "Kidney_L", "right": "Kidney_R"}.get(scan.child.removed_kidney)
    assert gone is None or gone in labeled.case.absent
    assert (labeled.image.affine == to_ras(labeled.image).affine).all()
    assert virtual_phases() == {"Polder": "portal venous", "Neckar": "none"}
