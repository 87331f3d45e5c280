"""itkwidgets as the viewer's engine, in JupyterLab alone; chosen explicitly.

Its import alone silences a notebook that is run without a browser, and a viewer that cannot be fetched keeps every
later cell waiting for ever. So it is imported last, after a check that says what is missing.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.scan import Scan

SOURCE_VARIABLE = "PEDSEG_ITK"  # `network` or `offline`: set by `pedseg lab --itk` and `--offline-itk`
REMEDY = "Start JupyterLab by `python3 run.py lab --offline-itk` (or `--itk`, with a network)."


def check() -> None:
    """Raise `PedsegInputError` where itkwidgets cannot run."""
    if find_spec("itkwidgets") is None:
        raise input_error("E-ITK", "itkwidgets", "it is not installed.", "Install the extra `viewer3d`.")
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        raise input_error("E-ITK", "itkwidgets", "it does not run in a Voilà page.", REMEDY)
    if os.environ.get(SOURCE_VARIABLE) not in ("network", "offline"):
        raise input_error("E-ITK", "itkwidgets", "its viewer cannot be fetched in this session.", REMEDY)


def view(scan: Scan, labels: NDArray | None = None) -> Any:
    """Show a scan (HU, RAS) and a label map on its grid in itkwidgets; it must be the last line of a cell.

    Run that cell when the spinner on ImJoy's button in the toolbar has stopped. Before, the extension does not know the
    kernel, and only text appears: restart the kernel, reload the page, and wait.
    """
    check()
    import itkwidgets
    from ngff_zarr import to_ngff_image

    def ngff_image(voxels: NDArray, name: str) -> Any:
        scale = dict(zip("xyz", scan.spacing_mm, strict=True))
        zyx = np.ascontiguousarray(voxels.transpose(2, 1, 0))
        return to_ngff_image(zyx, dims=["z", "y", "x"], scale=scale, name=name)

    images = {"image": ngff_image(np.asarray(scan.voxels).astype(np.int16), "scan")}
    if labels is not None:
        images["label_image"] = ngff_image(np.asarray(labels).astype(np.uint8), "labels")
    return itkwidgets.view(**images, view_mode="ZPlane")  # slices: a volume needs a graphics card
