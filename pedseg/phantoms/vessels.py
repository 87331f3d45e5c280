"""The great vessels of the abdomen and their branches: aorta and vena cava, iliac, renal, celiac, mesenteric, portal.

All millimeters are those of the standard 5-year-old (`canvas`). Thin branches belong to no label; the label of the
portal vein holds the splenic vein and the two first branches in the liver.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import landmarks
from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Shape, largest_component, union
from pedseg.phantoms.kidneys import kidney_poses
from pedseg.phantoms.landmarks import after_operation, mirrored
from pedseg.phantoms.skeleton import SPINE_Y, sagittal_curve

RNG_PART = 23


def line(b: PhantomBuilder, path: NDArray | landmarks.Path, tissue: int, organ: int = 0) -> None:
    """A tube through free voxels."""
    b.canvas.fill(b.canvas.tube(path, 1.0, 10.0), tissue, organ)


def great_vessels(b: PhantomBuilder) -> None:
    """Aorta, inferior vena cava, their renal and iliac branches, and the crura of the diaphragm.

    What lies behind comes first: the right renal artery passes behind the cava, the right common iliac artery in front
    of the left common iliac vein.
    """
    c = b.canvas
    left_cava = b.surgery.child.variant == "left cava"
    cava = b.at(1, landmarks.LEFT_CAVA if left_cava else landmarks.CAVA)
    aorta = _aorta(b)
    c.fill(c.tube(aorta, 1.0), Tissue.ARTERY, organ_id("A_Aorta"), connected=True)
    if left_cava:
        _iliac_vessels(b, aorta, cava)
        c.fill(_flattened(b, cava), Tissue.VEIN, organ_id("V_Venacava_I"), connected=True)
        _renal_vessels(b, aorta, cava)
    else:
        _renal_vessels(b, aorta, cava)
        _iliac_vessels(b, aorta, cava)
        c.fill(_flattened(b, cava), Tissue.VEIN, organ_id("V_Venacava_I"), connected=True)
    for side in (-1, 1):
        c.fill(c.tube(mirrored(landmarks.CRURA[0], side), 1.0), Tissue.MUSCLE)


def _flattened(b: PhantomBuilder, cava: NDArray) -> Shape:
    """The vena cava, round or an oval as wide as 1.7 times its depth: how full it is differs among people."""
    flat = b.surgery.child.variety * b.generator(RNG_PART).uniform(0.0, 0.55)
    sides = [cava * [1, 1, 1, 1 - 0.45 * flat] + flat * side * cava[:, 3:] * [1, 0, 0, 0] for side in (-1, 1)]
    return union(*(b.canvas.tube(path, 1.0) for path in sides)) if flat else b.canvas.tube(cava, 1.0)


def _aorta(b: PhantomBuilder) -> NDArray:
    """The aorta in front of the spine, down to its bifurcation at the fourth lumbar vertebra."""
    aorta = np.array(landmarks.AORTA)
    aorta[:, 1] += SPINE_Y + sagittal_curve(aorta[:, 2], b.surgery.child.age_years)
    aorta[:, 0] += b.displacements[0, 0] * 0.6
    return aorta


def _on(path: NDArray, z: float) -> NDArray:
    """The point of a path at one height."""
    order = np.argsort(path[:, 2])
    return np.array([np.interp(z, path[order, 2], path[order, axis]) for axis in range(3)])


def _renal_vessels(b: PhantomBuilder, aorta: NDArray, cava: NDArray) -> None:
    """Renal arteries, the right one behind the cava; renal veins, the left one in front of the aorta."""
    for pose in kidney_poses(b):
        side, hilum = pose.side, pose.hilum
        root, drain = _on(aorta, 9.0 - 2 * side), _on(cava, 2.0 + side)
        bend = [11.0, min(root[1] - 6.5, -15.5), 6.0] if side > 0 else [-20.0, -16.0, 8.0]
        line(b, np.array([[*root, 1.9], [*bend, 1.9], [*(hilum - [side * 6, 1.5, 0]), 1.8], [*hilum, 1.4]]),
             Tissue.ARTERY)  # fmt: skip
        end = hilum + np.array([0.0, 4.0, -1.0])
        middle: list[list[float]] = []
        if side < 0 and drain[0] > 0:
            front = _on(aorta, 3.0)
            middle = [[front[0] - 13, front[1] + 3.0, 4.0, 2.4], [front[0], front[1] + 7.0, 4.0, 2.1]]
        line(b, np.array([[*end, 2.0], [*(end - [side * 5, 0, 0]), 2.4], *middle, [*drain, 2.6]]), Tissue.VEIN)


def _iliac_vessels(b: PhantomBuilder, aorta: NDArray, cava: NDArray) -> None:
    """Common, external and internal iliac arteries, and the veins behind them."""
    for side in (1, -1):
        artery, vein = mirrored(landmarks.ILIAC, side), mirrored(landmarks.ILIAC_VEIN, side)
        artery[0, :3] = aorta[-1, :3]
        vein[0, :3] = cava[0, :3]
        line(b, artery, Tissue.ARTERY)
        line(b, mirrored(landmarks.INNER_ILIAC, side), Tissue.ARTERY)
        line(b, vein, Tissue.VEIN)
        line(b, mirrored(landmarks.INNER_ILIAC, side) + np.array([-side, -4.0, 0, 0.5]), Tissue.VEIN)


def visceral_arteries(b: PhantomBuilder) -> None:
    """Celiac trunk with hepatic, splenic and left gastric artery; upper and lower mesenteric artery."""
    aorta = _aorta(b)
    shift = np.zeros(4)
    shift[:2] = (aorta[4] - [-6.0, -10.5, 0, 0])[:2] * [1, 0.5]  # they rise from this child's aorta
    spleen = b.displacements[11] * 0.6
    for number, path in enumerate(landmarks.CELIAC):
        rows = np.array(path) + shift
        if number == 2:
            rows[2:, :3] += after_bed(b, spleen, len(rows) - 2)
        line(b, rows, Tissue.ARTERY)
    for path in (landmarks.UPPER_MESENTERIC_ARTERY, landmarks.LOWER_MESENTERIC_ARTERY):
        line(b, np.array(path) + shift, Tissue.ARTERY)


def after_bed(b: PhantomBuilder, shift: NDArray, rows: int) -> NDArray:
    """How the last rows of a vessel to the spleen move with it, toward the bed of a removed left kidney."""
    return np.linspace(0.4, 1.0, rows)[:, None] * (shift + b.left * np.array([2.0, -8.0, -6.0]))


def portal_system(b: PhantomBuilder) -> None:
    """Portal, splenic and mesenteric veins that join behind the neck of the pancreas, with which they move."""
    trunk = along_pancreas(b, after_operation("splenic vein", landmarks.SPLENIC_VEIN, b.left, b.right))
    for path in (trunk, *map(np.array, landmarks.PORTAL_BRANCHES)):
        line(b, b.at(10, path), Tissue.PORTAL, organ_id("V_Portal"))
    box = b.canvas.box((-90, -70, -40), (90, 70, 90))
    portal = b.canvas.labels[box] == organ_id("V_Portal")
    b.canvas.labels[box][portal & ~largest_component(portal, corners=True)] = 0  # cut off by other vessels
    for vein in (landmarks.UPPER_MESENTERIC_VEIN, landmarks.LOWER_MESENTERIC_VEIN):
        line(b, b.at(10, vein), Tissue.PORTAL)


def along_pancreas(b: PhantomBuilder, path: NDArray) -> NDArray:
    """The path of the gland or its vein, with the course that this person's body and tail of the pancreas take.

    The tail lies higher or lower, and the body between arches up or down. Of 78 pancreases 31 % were sigmoid, 26 %
    transverse, 14 % L-shaped, 12 % oblique, 12 % like a horseshoe, 5 % like an inverted V (Covantev and Belic, Folia
    Medica 2022): the spread covers such courses, not their shares.
    """
    tail, arch, forward = b.surgery.child.variety * b.generator(RNG_PART, 1).normal(0.0, (7.0, 6.0, 3.0))
    left = np.clip((4.0 - path[:, 0]) / 53.0, 0.0, 1.0)  # 0 at the neck, 1 at the tip of the tail
    out = path.copy()
    out[:, 1] += forward * np.sin(np.pi * left) - 0.5 * max(tail, 0.0) * left  # behind the stomach
    out[:, 2] += tail * left + arch * np.sin(np.pi * left)
    return out


def paint_vessels(b: PhantomBuilder, paths: tuple[landmarks.Path, ...], tissue: int, organ: str, number: int) -> None:
    """Paint branches within an organ, whose label they keep."""
    c = b.canvas
    for path in paths:
        vessel = c.tube(b.at(number, path), 0.5, 10.0)
        c.tissues[vessel.box][(c.labels[vessel.box] == organ_id(organ)) & (vessel.field < 0)] = tissue
