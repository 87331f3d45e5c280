"""What every organ of a phantom is placed with: voxels, walls, sizes, random numbers, and the effects of surgery."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.phantoms.anatomy import BodySize, organ_id
from pedseg.phantoms.body import Body
from pedseg.phantoms.canvas import Canvas, Shape
from pedseg.phantoms.surgery import SurgeryEffects


@dataclass(frozen=True)
class PhantomBuilder:
    """What every organ of one child is placed with: voxels, body walls, sizes, random numbers, effects of surgery."""

    canvas: Canvas
    body: Body
    size: BodySize
    rng: np.random.Generator
    left: float  # how far organs have sunk into the bed of a removed left kidney: 0 (it is in place) to 1
    right: float
    displacements: NDArray  # (16, 3) a small random displacement in mm for each organ
    surgery: SurgeryEffects

    @classmethod
    def sample(
        cls, canvas: Canvas, body: Body, size: BodySize, effects: SurgeryEffects, rng: np.random.Generator
    ) -> PhantomBuilder:
        """Draw the random displacements of one child's organs, and how far they have sunk into an empty renal bed."""
        displacements, sunk = rng.normal(0.0, 2.5, (16, 3)), rng.uniform(0.6, 1.0)
        displacements[2:] *= 1 + effects.child.variety  # aorta and vena cava stay beside each other
        left, right = (sunk * (effects.child.removed_kidney == side) for side in ("left", "right"))
        return cls(canvas, body, size, rng, left, right, displacements, effects)

    def at(self, number: int, points: ArrayLike) -> NDArray:
        """Points or rows (x, y, z, radius) moved by this child's displacement of that number."""
        out = np.array(points, dtype=float)
        out[..., :3] += self.displacements[number]
        return out

    def generator(self, *part: int) -> np.random.Generator:
        """The random numbers of one part of the body: the same at every visit, whatever other parts draw."""
        return np.random.default_rng((self.surgery.child.seed, 19, *part))

    def with_new_filling(self) -> PhantomBuilder:
        """At a follow-up scan: stomach, bowel and bladder are filled anew, everything else is as it was."""
        child = self.surgery.child
        if not child.visit:
            return self
        rng = self.generator(child.visit)
        stomach, bladder = np.exp(rng.normal(0.0, (0.2, 0.3)))
        volume_ml = dict(self.size.volume_ml)
        volume_ml["Stomach"] *= float(stomach)
        volume_ml["Bladder"] *= float(bladder)
        return replace(self, rng=rng, size=replace(self.size, volume_ml=volume_ml))

    def organ(self, shape: Shape, tissue: int, name: str, volume_ml: float) -> NDArray:
        """Fill an abdominal organ up to its volume, in one component; returns its mask in the shape's box."""
        below = self.body.below
        return self.canvas.fill(shape, tissue, organ_id(name), volume_ml=volume_ml, where=below, connected=True)
