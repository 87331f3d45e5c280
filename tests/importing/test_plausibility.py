"""The gate before and after a prediction: children pass, a thigh does not, and who insists finds it in the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from archive import write_series

from pedseg.__main__ import main
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.dicom.ct_series import read_ct
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.importing.plausibility import UNSAID, doubts_after, doubts_before
from pedseg.importing.predict_scans import predict_plausible
from pedseg.learning.fingerprint import Fingerprint, Grid, OrganCount
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.weights import load_weights
from pedseg.organs import organ
from pedseg.phantoms.centers import FJORD, planned_scans, simulate_scan
from pedseg.scan import Scan, write_nifti

SEGMENTS = ("SegmentSequence", "SegmentDescription")
WEIGHTS = "data_samples/results/study/seed0_federated.safetensors"


@pytest.fixture(scope="module")
def plan(root) -> Plan:
    return load_weights(root / WEIGHTS)[1]


@pytest.fixture(scope="module")
def child(root) -> tuple[Scan, Scan]:
    """A CT of a child of 37 months, and its organs."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    return load_image(dataset.cases[1]), load_labels(dataset, dataset.cases[1])


def thigh(shape=(64, 60, 50)) -> np.ndarray:
    """HU of a thigh: fat, muscle, and a femur near its middle; voxels of 3 x 3 x 4 mm."""
    x, y, _ = np.indices(shape)
    skin, femur = np.hypot(3 * (x - 32), 3 * (y - 30)), np.hypot(3 * (x - 34), 3 * (y - 33))
    hu = np.select([femur < 7, femur < 14, skin < 67, skin < 75], [-40.0, 900.0, 55.0, -90.0], -1000.0)
    return np.round(np.maximum(hu + np.random.default_rng(0).normal(0, 10, shape), -1024)).astype(np.int16)


@pytest.mark.parametrize("center", ["Dataset901_Polder", "Dataset902_Neckar"])
def test_children_pass(center, root, plan):
    dataset = read_dataset(root / "data_samples" / center)
    for case in dataset.cases:
        header = {"PatientAge": f"{case.age_months:03d}M", "BodyPartExamined": "ABDOMEN"}
        assert list(doubts_before(load_image(case), plan, header)) == []
        assert list(doubts_after(load_labels(dataset, case), plan, header)) == []


@pytest.fixture
def thigh_in_dicom(tmp_path: Path) -> Path:
    write_series(tmp_path / "ct", thigh(), spacing_mm=(3, 3, 4), BodyPartExamined="EXTREMITY", PatientAge="004Y")
    return tmp_path / "ct"


def test_a_thigh_gets_no_liver(thigh_in_dicom, root, tmp_path, capsys):
    out = tmp_path / "out.dcm"
    assert main(["predict", str(thigh_in_dicom), "--model", str(root / WEIGHTS), "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert "E-IMPLAUSIBLE" in told
    for doubt in ("shows EXTREMITY", "no lung is seen", "no spine is seen"):
        assert doubt in told
    assert not out.exists()


@pytest.mark.slow
def test_who_insists_finds_it_in_the_file_and_on_the_screen(thigh_in_dicom, root, tmp_path, capsys):
    command = ["predict", str(thigh_in_dicom), "--model", str(root / WEIGHTS), "--even-if-implausible", "--out"]
    assert main([*command, str(tmp_path / "out.dcm")]) == 0
    said = capsys.readouterr().out
    assert "IMPLAUSIBLE: its header says that it shows EXTREMITY" in said
    file = pydicom.dcmread(tmp_path / "out.dcm")
    rois, observations = file.StructureSetROISequence, file.RTROIObservationsSequence
    assert f"contours of {len(rois)} of 19 organs; none of " in said  # as many as were drawn
    for roi, observation in zip(rois, observations, strict=True):
        assert roi.ROIDescription == observation.ROIObservationDescription
        assert roi.ROIDescription.startswith("IMPLAUSIBLE: its header says") and "no lung" in roi.ROIDescription
    assert len(read_rtstruct(tmp_path / "out.dcm", read_ct(thigh_in_dicom)).masks) == len(rois)
    assert main([*command, str(tmp_path / "out.nii.gz")]) == 0
    capsys.readouterr()
    for kind, place in (("rtstruct", ("StructureSetROISequence", "ROIDescription")), ("seg", SEGMENTS)):
        export = ["export", str(tmp_path / "out.nii.gz"), "--ct", str(thigh_in_dicom), "--format", kind]
        assert main([*export, "--out", str(tmp_path / f"{kind}.dcm")]) == 0
        assert "IMPLAUSIBLE: its header says" in capsys.readouterr().out
        assert main([*export, "--out", str(tmp_path / "labels.nii")]) == 1
        assert "E-OUT-NAME" in capsys.readouterr().err
        (items, keyword) = place
        for item in pydicom.dcmread(tmp_path / f"{kind}.dcm")[items]:
            assert item[keyword].value.startswith("IMPLAUSIBLE: its header says")
    assert nibabel.load(tmp_path / "out.nii.gz").header["descrip"].item().startswith(b"IMPLAUSIBLE: its header")


def test_a_child_gets_a_file_without_a_word_of_doubt(child, root, tmp_path, capsys):
    write_nifti(tmp_path / "child.nii.gz", child[0])
    out = tmp_path / "out.nii.gz"
    assert main(["predict", str(tmp_path / "child.nii.gz"), "--model", str(root / WEIGHTS), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    drawn = np.unique(nibabel.load(out).dataobj)
    assert said.splitlines()[0].startswith(f"out.nii.gz: contours of {len(drawn) - 1} of 19 organs")
    assert said.splitlines()[1:] == [f"written: {out}"]
    assert nibabel.load(out).header["descrip"].item() == b""


def without_lungs(hu: np.ndarray) -> np.ndarray:
    return np.where((hu < -300) & (hu > -900), 30, hu)


OTHER_SCANS = {
    "no lung is seen": lambda scan: replace(scan, voxels=without_lungs(scan.voxels)),
    "no spine is seen": lambda scan: replace(scan, voxels=np.minimum(scan.voxels, 100)),
    "nobody is seen": lambda scan: replace(scan, voxels=np.full_like(scan.voxels, -1000)),
    "mm large, the network knows up to 3 x 3 x 4 mm": lambda scan: Scan(
        scan.voxels[:, :, ::2], scan.affine @ np.diag([1, 1, 2, 1])
    ),
    "the body in it is": lambda scan: Scan(scan.voxels, np.diag([0.5, 0.5, 0.5, 1]) @ scan.affine),  # half as large
}


@pytest.mark.parametrize("doubt", OTHER_SCANS)
def test_a_scan_that_is_none_of_a_childs_trunk(doubt, child, plan):
    assert any(doubt in said for said in doubts_before(OTHER_SCANS[doubt](child[0]), plan, {}))


@pytest.mark.parametrize("field", [slice(30, 50), slice(None)])
def test_a_field_of_view_that_is_too_short(field, child, plan):
    scan = Scan(child[0].voxels[:, :, field], child[0].affine)
    for domain in (plan.domain, {}):
        doubts = doubts_before(scan, replace(plan, domain=domain), {})
        said = [doubt for doubt in doubts if "the body in it is" in doubt]
        assert len(said) == (field != slice(None))
        assert all("x 80 mm large" in doubt and doubt.endswith(UNSAID) == (not domain) for doubt in said)


@pytest.mark.parametrize(
    ("header", "doubt"),
    [
        ({"BodyPartExamined": "HEAD"}, "it shows HEAD"),
        ({"BodyPartExamined": "Lower Leg"}, "it shows LOWERLEG"),
        ({"BodyPartExamined": "CHEST_ABDOMEN"}, ""),
        ({"BodyPartExamined": "NECKCHESTABDPELV"}, ""),
        ({}, ""),
        ({"PatientAge": "034Y"}, "34.0 years old, the network knows 1 to 11 years"),
        ({"PatientAge": "014Y"}, ""),  # at most a quarter older
        ({"PatientAge": "003M"}, "0.2 years old"),
        ({"PatientBirthDate": "20000101", "StudyDate": "20200101"}, "20.0 years old"),
        ({"ContrastBolusAgent": "Iomeron"}, ""),
    ],
)
def test_what_the_header_says(header, doubt, child, plan):
    said = list(doubts_before(child[0], plan, header))
    assert len(said) == bool(doubt)
    assert doubt in "".join(said)


def test_the_weights_carry_what_they_were_trained_on(child):
    """By hand: percentiles of two bodies are the middle 90 % between them, rounded to a centimeter."""
    small = Grid((1.0, 1.0, 2.0), (9, 9, 9), (200.0, 150.0, 300.0))
    large = Grid((2.0, 2.0, 4.0), (9, 9, 9), (300.0, 250.0, 400.0))
    about = {"ages_years": (12, 17), "phases": ("none",)}
    trained = Fingerprint((small, large), (1,) * 4096, {"Liver": OrganCount(1, 1, 9)}, **about)
    plan = Plan.from_json(make_plan(trained).to_json())
    assert plan.domain == {
        "spacing_mm": [[1.0, 1.0, 2.1], [2.0, 2.0, 3.9]],
        "body_mm": [[200.0, 160.0, 300.0], [300.0, 240.0, 400.0]],
        "ages_years": [12, 17],
        "phases": ["none"],
    }
    header = {"PatientAge": "037M", "ContrastBolusAgent": "Iomeron"}
    said = list(doubts_before(child[0], plan, header))
    assert "the network knows 12 to 17 years" in said[0]
    assert "contrast medium was given" in said[1]
    assert UNSAID not in "".join(said)


def test_a_center_says_ages_and_phases_only_where_its_table_does(root):
    from pedseg.learning.fingerprint import fingerprint

    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")  # 20, 37 and 104 months
    told = fingerprint(dataset, dataset.cases)
    assert (told.ages_years, told.phases) == ((1, 8), ("portal venous",))
    assert Fingerprint.from_json(told.to_json()) == told
    with pytest.raises(ValueError):
        Fingerprint.from_json(told.to_json().replace('"ages_years":[1,8]', '"ages_years":["one"]'))
    silent = fingerprint(dataset, [replace(case, age_months=None, phase="") for case in dataset.cases])
    assert (silent.ages_years, silent.phases) == ((), ())
    assert not {"ages_years", "phases"} & silent.domain().keys()
    assert "ages_years" not in silent.to_json()


def moved(labels: Scan, name: str, change) -> Scan:
    """One organ changed, the others as they are."""
    voxels, number = labels.voxels.copy(), organ(name).id
    voxels[labels.voxels == number] = 0
    voxels[change(labels.voxels == number)] = number
    return Scan(voxels, labels.affine)


def one_voxel(mask: np.ndarray) -> np.ndarray:
    single = np.zeros_like(mask)
    single[tuple(np.argwhere(mask)[0])] = True
    return single


def test_contours_that_are_no_anatomy(child, plan):
    labels = child[1]
    age = {"PatientAge": "037M"}
    assert list(doubts_after(Scan(labels.voxels * 0, labels.affine), plan, age)) == ["nothing was drawn"]
    mirrored = Scan(labels.voxels[::-1], labels.affine)
    assert "Spleen lies to the patient's right of Liver" in list(doubts_after(mirrored, plan, age))
    upside_down = list(doubts_after(Scan(labels.voxels[:, :, ::-1], labels.affine), plan, age))
    assert {"Liver lies above Heart", "Bladder lies above Liver"} <= {*upside_down}
    (tiny,) = doubts_after(moved(labels, "Liver", one_voxel), plan, age)
    # 314 mL at 1 year, 543 mL at 5: at 37 months 314 x (543 / 314) ** (25 / 48)
    assert tiny == "Liver has 0 mL, where 418 mL are usual"
    grown = moved(labels, "Spleen", lambda mask: (labels.voxels == 0) & (np.indices(labels.shape)[0] < 30))
    assert any(doubt.startswith("Spleen has") for doubt in doubts_after(grown, plan, age))


def test_an_organ_that_the_field_of_view_cuts_may_be_small(child, plan):
    z = int(np.argwhere(child[1].voxels == organ("Liver").id)[:, 2].min()) + 1
    cut = Scan(child[1].voxels[:, :, :z], child[1].affine)
    assert not any(doubt.startswith("Liver has") for doubt in doubts_after(cut, plan, {}))


def test_an_mr_scan_is_asked_for_no_hu(plan):
    scan, _ = simulate_scan(FJORD, planned_scans(FJORD, train=1, validation=0, test=0)[0])
    of_mr = replace(plan, intensity="body", clip_hu=(-3.0, 3.0), mean_hu=0.0, sd_hu=1.0, orientation="none")
    labels, _ = predict_plausible(build(of_mr), of_mr, scan, Path("mr.nii.gz"), even_if_implausible=True)
    assert labels.shape == scan.shape
