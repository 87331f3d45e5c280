"""The first anatomy of the phantoms: that of all children in the recorded results, until they are recorded anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pedseg.phantoms import surgery
from pedseg.phantoms.anatomy import BodySize
from pedseg.phantoms.canvas import Canvas
from pedseg.phantoms.simple import bowel, thorax, viscera
from pedseg.phantoms.simple.body import Body, PhantomBuilder
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
    builder = with_new_filling(builder)
    viscera.bladder(builder)
    bowel.stomach_and_duodenum(builder)
    bowel.colon(builder)
    bowel.small_bowel(builder)
    bowel.keep_largest_component(builder)
    surgery.add_clips(canvas, effects)


def with_new_filling(builder: PhantomBuilder) -> PhantomBuilder:
    """At a follow-up scan: stomach, bowel and bladder are filled anew, everything else is as it was."""
    child = builder.surgery.child
    if not child.visit:
        return builder
    rng = np.random.default_rng((child.seed, 19, child.visit))
    stomach, bladder = np.exp(rng.normal(0.0, (0.2, 0.3)))
    volume_ml = dict(builder.size.volume_ml)
    volume_ml["Stomach"] *= float(stomach)
    volume_ml["Bladder"] *= float(bladder)
    return replace(builder, rng=rng, size=replace(builder.size, volume_ml=volume_ml))
