"""itkwidgets as an engine that one chooses: image and labels in its own viewer, in JupyterLab alone.

It is imported at the last moment and never for anybody who did not ask for it: its import alone silences a notebook
that is run without a browser, and a viewer that cannot be fetched keeps every later cell waiting for ever. So what it
needs is looked for first, and what is missing is said in one sentence.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.scan import Scan

WAY = "PEDSEG_ITK"  # `network` or `offline`: set by `pedseg lab --itk` and `--offline-itk`
HOW = "Start JupyterLab by `python3 run.py lab --offline-itk` (or `--itk`, with a network)."


def check() -> None:
    """Say in one sentence what itkwidgets lacks here; nothing if it can run."""
    if find_spec("itkwidgets") is None:
        raise input_error("E-ITK", "itkwidgets", "it is not installed.", "Install the extra `viewer3d`.")
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        raise input_error("E-ITK", "itkwidgets", "it does not run in a Voilà page.", HOW)
    if os.environ.get(WAY) not in ("network", "offline"):
        raise input_error("E-ITK", "itkwidgets", "its viewer cannot be fetched in this session.", HOW)


def view(scan: Scan, labels: NDArray | None = None) -> Any:
    """Show a scan (HU, RAS) and a label map on its grid in itkwidgets; it must be the last line of a cell."""
    check()
    from itkwidgets import view as show
    from ngff_zarr import to_ngff_image

    def as_ngff(voxels: NDArray, name: str) -> Any:
        scale = dict(zip("xyz", scan.spacing_mm, strict=True))
        placed = np.ascontiguousarray(voxels.transpose(2, 1, 0))  # (z, y, x)
        return to_ngff_image(placed, dims=["z", "y", "x"], scale=scale, name=name)

    image = as_ngff(np.asarray(scan.voxels).astype(np.int16), "scan")
    drawn = {} if labels is None else {"label_image": as_ngff(np.asarray(labels).astype(np.uint8), "labels")}
    return show(image=image, view_mode="ZPlane", **drawn)  # as slices: a volume takes a graphics card
