"""People of all ages and builds, scanned in all ways: what a network must have seen before it meets real scans.

Where the virtual hospitals of the study (`centers`) differ in named causes, one at a time, here everything varies at
once: age from birth to old age, build, surgery or none, variants of the anatomy, arms, contrast phase, tube voltage,
kernel, noise, slice thickness, and how much of the body is in the field of view. Ranges are plausible guesses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pedseg.phantoms.centers import Center, Protocol
from pedseg.phantoms.child import Child, Variant
from pedseg.phantoms.ct_scanner import CtProtocol

ANY = CtProtocol("varied")
RARE: tuple[Variant, ...] = ("left cava", "horseshoe kidney", "situs inversus")
SHORTEST_FIELD = 0.2  # of the trunk, from the bladder to the heart


@dataclass(frozen=True)
class VariedCenter(Center):
    """A collection of CT scans of many hospitals; `age_years` are youngest, median and oldest, as in each center."""

    name: str = "Varied"
    protocols: tuple[tuple[float, Protocol], ...] = ((1.0, ANY),)
    age_years: tuple[float, float, float] = (0.1, 9.0, 80.0)
    repeat_share: float = 0.0
    surgery_share: float = 0.35
    adiposity: tuple[float, float] = (0.0, 1.0)  # mean and standard deviation
    variant_share: float = 0.04
    arms_down_share: float = 0.25
    partial_share: float = 0.5  # of the scans, those that show a part of the trunk
    round_share: float = 0.3  # of the scans, those whose reconstruction cuts the skin off
    roll_sd_deg: float = 4.0
    build_mm: tuple[float, float, float] = (2.5, 2.5, 2.5)
    variety: float = 1.0  # of the places and shapes of organs (`Child`)

    def vary(self, child: Child, protocol: Protocol, rng: np.random.Generator) -> tuple[Child, Protocol]:
        """Another build, arms, variant and scan of a person that the center's traits have drawn."""
        if rng.random() > self.surgery_share:
            child = replace(child, removed_kidney="", tumor="", side="", clips=0, months_since_surgery=12.0)
        variant = RARE[int(rng.integers(len(RARE)))]
        usual = rng.random() > self.variant_share or child.tumor != ""
        child = replace(
            child,
            adiposity=round(float(np.clip(rng.normal(*self.adiposity), -2.0, 3.0)), 2),
            arms_down=bool(rng.random() < self.arms_down_share),
            variant="" if usual else variant,
            variety=self.variety,
        )
        return child, self._protocol(child, rng)

    def _protocol(self, child: Child, rng: np.random.Generator) -> CtProtocol:
        """How this one is scanned."""
        phase = str(rng.choice(("none", "arterial", "portal venous"), p=(0.35, 0.15, 0.5)))
        cut = rng.random() < self.round_share
        width_mm = 180.0 + 12.0 * min(child.age_years, 16.0)  # of the trunk, about
        return replace(
            ANY,
            name=f"varied, {phase}",
            phase=phase,  # type: ignore[arg-type]
            pixel_mm=round(float(rng.uniform(2.0, 3.0)), 2),
            slice_mm=round(float(rng.choice((2.5, 3.0, 4.0, 5.0, 6.0))), 2),
            kernel_mm=round(float(rng.uniform(1.5, 3.5)), 2),
            noise_hu=round(float(np.exp(rng.uniform(np.log(6.0), np.log(24.0)))), 1),
            noise_grain_mm=round(float(rng.uniform(1.5, 3.5)), 2),
            kvp=int(rng.choice((80, 100, 120))),
            couch=str(rng.choice(("", "flat", "curved"), p=(0.2, 0.4, 0.4))),  # type: ignore[arg-type]
            oral_contrast=bool(rng.random() < 0.2),
            field_mm=round(float(width_mm * rng.uniform(0.85, 1.1)), 1) if cut else None,
            field_z=self._field_z(rng),
        )

    def _field_z(self, rng: np.random.Generator) -> tuple[float, float]:
        """Lower and upper end of the field of view, as shares of the trunk."""
        if rng.random() > self.partial_share:
            return 0.0, 1.0
        length = rng.uniform(SHORTEST_FIELD, 0.8)
        low = rng.uniform(0.0, 1.0 - length)
        return round(float(low), 3), round(float(low + length), 3)


VARIED = VariedCenter()
# Kinds of people and scans that VARIED holds some of, or none, each in a collection of its own: for tests.
CHILDREN = replace(VARIED, name="Children", age_years=(1.0, 6.0, 15.0), partial_share=0.0)
ADULTS = replace(VARIED, name="Adults", age_years=(25.0, 50.0, 80.0))
OBESE = replace(VARIED, name="Obese", age_years=(14.0, 40.0, 70.0), adiposity=(2.2, 0.4))
PARTS = replace(VARIED, name="Parts", partial_share=1.0)
