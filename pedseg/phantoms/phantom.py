"""Digital phantom of a child: from age, sex, posture and surgery to a label map of organs and a map of tissues.

It follows from tables of organ volume and trunk size by age (`anatomy`), a standard child whose coordinates are
deformed at random (`canvas`), walls and bones (`body`, `muscles`, `skeleton`), and organs that are placed one after the
other so that they press against each other. Phantoms show patterns; they say nothing about clinical validity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pedseg import organs
from pedseg.phantoms import (
    bowel,
    kidneys,
    mesentery,
    muscles,
    small_bowel,
    surgery,
    thorax,
    vessels,
    viscera,
)
from pedseg.phantoms.anatomy import sample_size
from pedseg.phantoms.body import Body, extent_mm
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Canvas, rotation_matrix
from pedseg.phantoms.child import Child, Side
from pedseg.phantoms.skeleton import skeleton

__all__ = ["Child", "Phantom", "make_phantom"]

MARGIN_MM = np.array([[12.0, 26.0, 0.0], [12.0, 12.0, 0.0]])  # air around the skin; below it there is room for a couch


@dataclass(frozen=True)
class Phantom:
    """Organ labels and `Tissue` ids on one grid (x, y, z), RAS+, with the affine in mm of the room."""

    labels: NDArray[np.uint8]
    tissues: NDArray[np.uint8]
    affine: NDArray[np.float64]
    child: Child

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along x, y and z in mm."""
        return tuple(float(s) for s in np.diag(self.affine)[:3])  # type: ignore[return-value]


def make_phantom(child: Child, spacing_mm: tuple[float, float, float] = (3.0, 3.0, 4.0)) -> Phantom:
    """Build the phantom of one child; the same `Child` has the same organs in every posture and at every spacing.

    Sheets thinner than a voxel, as skin and the fat between muscles, are drawn only where `spacing_mm` resolves them.

    Raises `ValueError` for ages above 90 years, unknown words, and surgery that contradicts itself.
    """
    child.validate()
    if child.variant == "situs inversus":
        return mirrored(make_phantom(_mirror_twin(child), spacing_mm), child)
    rng = np.random.default_rng((child.seed, 19))
    size = sample_size(child.age_years, child.sex, rng, child.adiposity)
    rotation = rotation_matrix((0.0, 0.0, child.roll_deg))
    extent = extent_mm(size, child, rotation)
    canvas = Canvas(size.scale, child.roll_deg, extent + MARGIN_MM * [[-1.0], [1.0]], spacing_mm, rng)
    effects = surgery.sample_effects(child)
    body = Body(canvas, size, child)
    muscles.walls(body)
    skeleton(body)
    place_organs(PhantomBuilder.sample(canvas, body, size, effects, rng))
    return Phantom(canvas.labels, canvas.tissues, canvas.affine, child)


def _mirror_twin(child: Child) -> Child:
    """The child of usual anatomy whose mirror image a child with situs inversus is."""
    other: dict[Side, Side] = {"": "", "left": "right", "right": "left"}
    return replace(
        child, variant="", roll_deg=-child.roll_deg, removed_kidney=other[child.removed_kidney], side=other[child.side]
    )


def mirrored(phantom: Phantom, child: Child) -> Phantom:
    """The phantom seen in a mirror: left and right swapped, and with them the labels of paired organs."""
    twins = {organ.id: organ.id for organ in organs.ORGANS} | {0: 0}
    for organ in organs.ORGANS:
        if organ.name.endswith(("_L", "_R")):
            twins[organ.id] = organs.organ(organ.name[:-1] + ("R" if organ.name.endswith("L") else "L")).id
    swap = np.array([twins[number] for number in range(max(twins) + 1)], np.uint8)
    affine = phantom.affine.copy()
    affine[0, 3] = -(affine[0, 3] + affine[0, 0] * (phantom.labels.shape[0] - 1))
    labels, tissues = (np.ascontiguousarray(volume[::-1]) for volume in (swap[phantom.labels], phantom.tissues))
    return Phantom(labels, tissues, affine, child)


def place_organs(builder: PhantomBuilder) -> None:
    """Place every organ; what comes first keeps its place, and what comes later makes way."""
    vessels.great_vessels(builder)
    thorax.chest(builder)
    muscles.beside_the_spine(builder)
    kidneys.kidneys(builder)
    vessels.visceral_arteries(builder)
    vessels.portal_system(builder)
    viscera.gallbladder_and_pancreas(builder)
    surgery.add_scar(builder.canvas, builder.surgery)
    viscera.spleen(builder)
    viscera.liver(builder)
    builder = builder.with_new_filling()
    viscera.bladder(builder)
    bowel.stomach_and_duodenum(builder)
    bowel.colon(builder)
    small_bowel.small_bowel(builder)
    mesentery.keep_largest_component(builder)
    surgery.add_clips(builder.canvas, builder.surgery)
