"""What a network predicts: turned patients keep their grid, small components go, organs at the scan's end stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from pedseg.learning import inference
from pedseg.learning.orientation import rotate_axial
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import prepare, restore
from pedseg.organs import organ
from pedseg.scan import Scan

LIVER, SPLEEN = organ("Liver").id, organ("Spleen").id
PLAN = Plan(
    "lesson", ("Liver", "Spleen"), (3.0, 3.0, 4.0), (48, 48, 32), 1, (-900.0, 600.0), 0.0, 200.0,
    {"kind": "compact", "widths": [4, 8, 8]}, orientation="reorient", min_component_ml={"Liver": 10.0, "Spleen": 0.0},
)  # fmt: skip
VOXEL_ML = 1.0


def test_small_pieces_go_and_large_ones_stay():
    label_map = np.zeros((20, 20, 10), np.uint8)
    label_map[2:6, 2:6, 4:6] = LIVER  # 32 mL
    label_map[10:12, 10:12, 4:6] = LIVER  # 8 mL
    label_map[15, 15, 5] = SPLEEN  # no limit is known
    cleaned = inference.remove_small_components(label_map, PLAN, VOXEL_ML)
    assert (cleaned == LIVER).sum() == 32
    assert (cleaned == SPLEEN).sum() == 1
    assert (label_map == LIVER).sum() == 40  # what was given stays as it is


@pytest.mark.parametrize(("z", "left"), [(0, 4), (9, 4), (5, 0)])
def test_what_the_scan_may_have_cut_stays(z, left):
    label_map = np.zeros((8, 8, 10), np.uint8)
    label_map[3:5, 3:5, z] = LIVER
    assert (inference.remove_small_components(label_map, PLAN, VOXEL_ML) == LIVER).sum() == left


def test_pieces_touch_by_faces():
    label_map = np.zeros((12, 12, 8), np.uint8)
    label_map[2:5, 2:5, 4], label_map[5:8, 5:8, 5] = LIVER, LIVER  # two pieces of 9 mL that meet at a corner
    assert ndimage.label(label_map)[1] == 2
    assert not inference.remove_small_components(label_map, PLAN, VOXEL_ML).any()


def test_an_empty_map_stays_empty():
    assert not inference.remove_small_components(np.zeros((4, 4, 4), np.uint8), PLAN, VOXEL_ML).any()


def body(shape=(44, 30, 12)) -> tuple[Scan, Scan]:
    """A flat oval body with bones behind and one liver."""
    x, y, _ = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")
    inside = (x / 18) ** 2 + (y / 11) ** 2 < 1
    voxels = np.where(inside, 40, -1000).astype(np.int16)
    voxels[inside & (np.abs(x) < 4) & (y < -6)] = 600
    liver = inside & ((x - 8) ** 2 + y**2 < 25)
    return Scan(voxels, np.diag([3.0, 3.0, 4.0, 1.0])), Scan(
        np.where(liver, LIVER, 0).astype(np.uint8), np.diag([3.0, 3.0, 4.0, 1.0])
    )


@pytest.mark.parametrize("roll", [0.0, 70.0, -90.0])
def test_the_truth_comes_back_on_the_scans_own_grid(roll):
    image, truth = (rotate_axial(scan, -roll, order=order) for scan, order in zip(body(), (1, 0), strict=True))
    # `rotate_axial` turns the grid; on a plain grid the same voxels are a patient turned in the room.
    place = np.diag([3.0, 3.0, 4.0, 1.0])
    image, truth = Scan(image.voxels.astype(np.int16), place), Scan(truth.voxels, place)
    prepared = prepare(image, PLAN, truth)
    assert prepared.labels is not None
    one_hot = np.stack([prepared.labels == channel for channel in range(3)]).astype(np.float32)
    restored = restore(one_hot, prepared, image, PLAN)
    assert restored.shape == image.shape
    both = 2 * ((restored == LIVER) & (truth.voxels == LIVER)).sum()
    assert both / ((restored == LIVER).sum() + (truth.voxels == LIVER).sum()) > (0.999 if roll == 0 else 0.95)


def test_a_turned_body_is_seen_as_one_on_its_back():
    image, truth = body()
    lying = [
        Scan(rotate_axial(s, 90.0, order=o).voxels.astype(s.voxels.dtype), s.affine)
        for s, o in ((image, 1), (truth, 0))
    ]
    supine, lateral = prepare(image, PLAN, truth), prepare(lying[0], PLAN, lying[1])
    assert supine.image.shape == lateral.image.shape
    assert np.mean(supine.labels == lateral.labels) > 0.95
    ignored = prepare(lying[0], replace(PLAN, orientation="none"))
    assert ignored.image.shape != supine.image.shape


class Painter(torch.nn.Module):
    """Calls every voxel inside the body liver."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        inside = (image > -1).float()
        return torch.cat([1 - inside, inside, torch.zeros_like(inside)], dim=1) * 9


def test_prediction_takes_small_components_away():
    image, _ = body()
    image.voxels[20, 28, 6] = 40  # a lonely voxel in the air
    label_map = inference.predict(Painter(), image, PLAN)
    assert label_map[20, 28, 6] == 0
    assert label_map[22, 15, 6] == LIVER
