"""The first anatomy of the phantoms: that of all children in the recorded results, until they are recorded anew."""

from __future__ import annotations

import numpy as np

from pedseg.phantoms import surgery
from pedseg.phantoms.anatomy import BodySize
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Canvas
from pedseg.phantoms.mesentery import keep_largest_component
from pedseg.phantoms.simple import bowel, thorax, viscera
from pedseg.phantoms.simple.body import Body
from pedseg.phantoms.simple.skeleton import skeleton


def build(canvas: Canvas, size: BodySize, effects: surgery.SurgeryEffects, rng: np.random.Generator) -> None:
    """Draw walls, bones and organs; what comes first keeps its place, and what comes later makes way."""
    body = Body(canvas, size.fat_mm)
    skeleton(body)
    builder = PhantomBuilder.sample(canvas, body, size, effects, rng)
    viscera.great_vessels(builder)
    thorax.chest(builder)
    viscera.muscles(builder)
    viscera.kidneys(builder)
    viscera.portal_system(builder)
    viscera.gallbladder_and_pancreas(builder)
    surgery.add_scar(canvas, effects)
    viscera.spleen(builder)
    viscera.liver(builder)
    builder = builder.with_new_filling()
    viscera.bladder(builder)
    bowel.stomach_and_duodenum(builder)
    bowel.colon(builder)
    bowel.small_bowel(builder)
    keep_largest_component(builder)
    surgery.add_clips(canvas, effects)
