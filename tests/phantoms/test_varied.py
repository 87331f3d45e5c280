"""People of all ages, builds and ways of scanning: what varies, varies; what is drawn twice is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pedseg import organs
from pedseg.datasets.loading import load_labels
from pedseg.datasets.reading import read_checked
from pedseg.phantoms.centers import POLDER, make_dataset, planned_scans, sample_patient, simulate_scan
from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import CtProtocol, scan_ct
from pedseg.phantoms.phantom import make_phantom
from pedseg.phantoms.varied import ADULTS, CHILDREN, OBESE, PARTS, VARIED, VariedCenter

PATIENTS = 120


@pytest.fixture(scope="module")
def people() -> list[tuple[Child, CtProtocol]]:
    return [sample_patient(VARIED, 0, index) for index in range(PATIENTS)]


def test_every_trait_varies(people):
    ages = np.array([child.age_years for child, _ in people])
    assert ages.min() < 1.0 and ages.max() > 70 and 7 < np.median(ages) < 12
    assert {protocol.phase for _, protocol in people} == {"none", "arterial", "portal venous"}
    adiposity = [child.adiposity for child, _ in people]
    assert np.mean(adiposity) == pytest.approx(0, abs=0.3) and np.std(adiposity) == pytest.approx(1, abs=0.25)
    shares = {
        "surgery": (0.35, [child.tumor != "" for child, _ in people]),
        "arms": (0.25, [child.arms_down for child, _ in people]),
        "part": (0.5, [protocol.field_z != (0.0, 1.0) for _, protocol in people]),
        "round": (0.3, [protocol.field_mm is not None for _, protocol in people]),
        "oral": (0.2, [protocol.oral_contrast for _, protocol in people]),
    }
    for name, (share, drawn) in shares.items():
        assert np.mean(drawn) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / PATIENTS)), name
    for _, protocol in people:
        low, high = protocol.field_z
        assert 0 <= low < high <= 1 and high - low >= 0.2 - 0.001


def test_a_rare_variant_is_declared_and_in_nobody_after_surgery(people):
    many = [sample_patient(VARIED, 1, index)[0] for index in range(400)]
    rare = [child for child in many if child.variant]
    assert {child.variant for child in rare} == {"left cava", "horseshoe kidney", "situs inversus"}
    assert len(rare) < 0.06 * len(many) and not any(child.tumor for child in rare)


def test_the_same_number_is_the_same_person_and_another_seed_another(people):
    assert [sample_patient(VARIED, 0, index) for index in range(10)] == people[:10]
    assert sample_patient(VARIED, 1, 0) != people[0]


def test_the_hospitals_of_the_study_stay_as_they_were():
    child, protocol = sample_patient(POLDER, 0, 0)
    assert (child.adiposity, child.variant, child.arms_down, child.variety) == (0.0, "", False, 0.0)
    assert protocol.field_z == (0.0, 1.0)


@pytest.mark.parametrize(
    ("center", "holds"),
    [
        (ADULTS, lambda child, protocol: child.age_years >= 25),
        (CHILDREN, lambda child, protocol: child.age_years <= 15 and protocol.field_z == (0.0, 1.0)),
        (OBESE, lambda child, protocol: child.adiposity > 0.8),
        (PARTS, lambda child, protocol: protocol.field_z != (0.0, 1.0)),
    ],
)
def test_collections_of_one_kind(center, holds):
    assert all(holds(*sample_patient(center, 0, index)) for index in range(40))


def test_a_part_of_the_body_lies_where_it_lay_in_the_whole():
    phantom = make_phantom(Child(6.0, seed=1), (4.0, 4.0, 4.0))
    whole, part = CtProtocol("p", pixel_mm=4.0), CtProtocol("p", pixel_mm=4.0, field_z=(0.25, 0.75))
    image, labels = scan_ct(phantom, whole, 1)
    some_image, some_labels = scan_ct(phantom, part, 1)
    n = image.shape[2]
    first, last = round(0.25 * n), round(0.75 * n)
    np.testing.assert_array_equal(some_image.voxels, image.voxels[:, :, first:last])
    np.testing.assert_array_equal(some_labels.voxels, labels.voxels[:, :, first:last])
    np.testing.assert_allclose(some_image.affine @ [0, 0, 0, 1], image.affine @ [0, 0, first, 1])


@dataclass(frozen=True)
class Mirrored(VariedCenter):
    """Everybody has situs inversus."""

    def vary(self, child, protocol, rng):
        child, protocol = super().vary(child, protocol, rng)
        child = replace(child, variant="situs inversus", removed_kidney="", tumor="", side="", clips=0)
        return child, replace(protocol, pixel_mm=6.0, slice_mm=6.0, field_z=(0.0, 1.0))


def test_mirrored_organs_are_declared_and_pass_the_checks(tmp_path):
    center = Mirrored(build_mm=(6.0, 6.0, 6.0))
    assert len(list(make_dataset(center, tmp_path, train=3, validation=0, test=0))) == 3
    dataset = read_checked(tmp_path)
    for case in dataset.cases:
        labels = load_labels(dataset, case).voxels
        liver, spleen = (np.argwhere(labels == organs.organ(name).id)[:, 0].mean() for name in ("Liver", "Spleen"))
        assert liver < spleen  # RAS: the liver lies on the left


@pytest.mark.slow
def test_all_kinds_of_people_can_be_scanned():
    coarse = replace(VARIED, build_mm=(5.0, 5.0, 5.0))
    for planned in planned_scans(coarse, train=16, validation=0, test=0, seed=5):
        planned = replace(planned, protocol=replace(planned.protocol, pixel_mm=5.0, slice_mm=5.0))
        image, labels = simulate_scan(coarse, planned)
        low, high = planned.protocol.field_z
        assert image.shape == labels.shape and image.voxels.min() >= -1024
        names = {o.name for o in organs.ORGANS if (labels.voxels == o.id).any()}
        assert {"VBs", "SpinalCanal"} <= names
        if low < 0.3 and high > 0.85:
            assert {"Liver", "Heart", "Lung_L", "Lung_R", "A_Aorta", "Bowel^Stomach", "Spleen"} <= names
