"""Sheets of synthetic children: axial, coronal and sagittal slices of a CT at 1 x 1 x 2 mm, as a radiologist leafs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import CtProtocol, Phase, scan_ct
from pedseg.phantoms.phantom import make_phantom
from pedseg.workbook.figures import PLANES, slices_figure

SPACING_MM = (1.0, 1.0, 2.0)
COLUMNS = 4
# Where the slices lie between the first and the last voxel of the scan.
HEIGHTS = (0.97, 0.84, 0.74, 0.66, 0.58, 0.50, 0.40, 0.30, 0.20, 0.13, 0.08, 0.03)
CORONAL, SAGITTAL = (0.62, 0.42), (0.5, 0.68)


def sheet(child: Child, phase: Phase = "portal venous", *, window: str = "soft tissue") -> tuple[Figure, str]:
    """Twelve axial, two coronal and two sagittal slices of one child, and the alt text of the picture."""
    x, _, z = SPACING_MM
    protocol = CtProtocol("sheet", phase, pixel_mm=x, slice_mm=z, kernel_mm=1.4, noise_hu=11.0, noise_grain_mm=1.6)
    image, _ = scan_ct(make_phantom(child, SPACING_MM), protocol, child.seed)
    places = [("axial", share) for share in HEIGHTS]
    places += [("coronal", share) for share in CORONAL] + [("sagittal", share) for share in SAGITTAL]
    panels = {}
    for plane, share in places:
        axis = PLANES[plane][0]
        index = int(np.clip(round(share * image.shape[axis]), 0, image.shape[axis] - 1))
        title = f"{plane}, {image.affine[axis, 3] + index * image.spacing_mm[axis]:.0f} mm"
        panels[title] = (image, {"plane": plane, "index": index, "window": window})
    contrast = "without contrast medium" if phase == "none" else f"in the {phase} phase"
    counts = ", ".join(f"{sum(plane == name for plane, _ in places)} {name}" for name in PLANES)
    alt = f"Synthetic CT {contrast}, {child.age_years:g} years old; slices: {counts}."
    return slices_figure(panels, columns=COLUMNS), alt
