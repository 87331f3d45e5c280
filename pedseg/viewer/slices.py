"""Axial, coronal and sagittal slices on a plain canvas in the browser: window/level, crosshair, measurement, pen.

Nothing of it needs WebGL. The scan goes to the browser slice by slice, the nearest to the crosshair first; contours go
as packed label maps, and the browser draws their lines. Voxels are counted as everywhere in pedseg: (x, y, z), RAS.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
from numpy.typing import NDArray
from traitlets import Dict, Int, List, Unicode

from pedseg.organs import ORGANS
from pedseg.scan import WINDOWS, Scan
from pedseg.workbook.figures import is_dark

LINE_STYLES = {"solid": [], "dashed": [7, 5], "dotted": [1.5, 4]}  # pixels on and off
LARGE = 2_000_000  # voxels
SCRIPTS = ("volume", "contours", "pen", "slice_viewer")  # shared with the exhibit; `widget` is the notebook's own
Box = tuple[int, int, int, int, int, int]  # first voxel (x, y, z), then the number of voxels along each axis
_numbers = itertools.count(1)


def javascript(*names: str) -> str:
    """The viewer's scripts as one module."""
    folder = Path(__file__).with_name("js")
    return "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in names)


class Slices(anywidget.AnyWidget):
    """The slices of a scan with crosshair, layers of contours and a pen; every trait is shared with the browser."""

    _esm = javascript(*SCRIPTS, "widget")
    scan: Any = Dict().tag(sync=True)  # id, shape, spacing_mm, axes; its voxels are sent when they are asked for
    layers: Any = List().tag(sync=True)  # dicts as `contour_layer` makes them
    colors: Any = Dict().tag(sync=True)  # organ id: "#rrggbb"
    dark: Any = List().tag(sync=True)  # organ ids whose color needs a light rim
    visible_organs: Any = List().tag(sync=True)  # organ ids
    contour_style: Any = Dict({"lines": True, "fill": False, "opacity": 0.9, "smooth": True, "hidden": []}).tag(
        sync=True
    )
    crosshair: Any = List().tag(sync=True)  # voxel, empty before a scan is shown
    focused_organ = Int(0).tag(sync=True)  # organ id that is drawn stronger
    marker: Any = List().tag(sync=True)  # voxel with a ring around it
    window: Any = List([-160, 240]).tag(sync=True)  # HU that are black and white
    arrangement = Unicode("planes").tag(sync=True)
    drag_mode = Unicode("window").tag(sync=True)  # of right mouse button and finger: window, scroll, measure, pan
    pen: Any = Dict({"on": False, "tool": "brush", "radius_mm": 4.0, "color": "#ffffff"}).tag(sync=True)
    session = Int(0).tag(sync=True)  # what is drawn on; 0 for nothing
    reset_count = Int(0).tag(sync=True)  # how often zoom and place were reset
    ready = Unicode("").tag(sync=True)  # when a browser showed it: set there
    whole = Unicode("").tag(sync=True)  # id of the scan that the browser has in whole
    webgl = Unicode("").tag(sync=True)  # `ok`, `none` or `lost`: of the browser's 3-D

    def __init__(self) -> None:
        super().__init__()
        self.colors = {organ.id: organ.color for organ in ORGANS}
        self.dark = [organ.id for organ in ORGANS if is_dark(organ.color)]
        self.on_key: Callable[[str], object] = lambda key: None  # a letter or digit pressed over the slices
        self.on_hover: Callable[[Any], object] = lambda voxel: None  # voxel under the pointer
        self.on_stroke: Callable[[Box, NDArray[np.bool_]], object] = lambda box, mask: (
            None
        )  # what the pen has left there
        self.on_mask_wanted: Callable[[], object] = lambda: None  # a page has opened and knows no mask
        self._voxels: NDArray[np.int16] = np.zeros((0, 0, 0), np.int16)
        self.on_msg(lambda _, content, buffers: self._receive(content, buffers))

    def _receive(self, content: Any, buffers: Any) -> None:
        """Answer what the browser asks or reports; what concerns the scan before this one is passed over."""
        event = content.get("event")
        if event == "key":
            self.on_key(str(content["data"]))
        elif event == "hover":
            self.on_hover(tuple(int(v) for v in content["data"]))
        elif event == "mask":
            self.on_mask_wanted()
        elif content.get("scan") == self.scan.get("id"):
            if event == "slices":
                self._send_slices(*map(int, content["data"]))
            elif event == "stroke":
                box: Any = tuple(int(v) for v in content["box"])
                bits = np.frombuffer(buffers[0], np.uint8)
                count = int(np.prod(box[3:]))
                mask = np.unpackbits(bits, count=count, bitorder="little").astype(bool)
                self.on_stroke(box, mask.reshape(box[3:], order="F"))

    @property
    def is_loading(self) -> bool:
        """Whether the scan is so large that contours should wait until the browser has all of it."""
        return self._voxels.size > LARGE and self.whole != self.scan["id"]

    def _send_slices(self, first: int, end: int) -> None:
        piece = self._voxels[:, :, first:end].tobytes(order="F")
        self.send({"event": "slices", "scan": self.scan["id"], "data": [first, end]}, [piece])

    def show(self, scan: Scan, axes: NDArray | None = None) -> None:
        """Show a scan (RAS, HU) instead of the one before.

        `axes` (3, 3) says where its voxel axes point in the patient (a row each: right, anterior, superior), where that
        is not what its affine says.
        """
        self._voxels = np.clip(np.asarray(scan.voxels), -32768, 32767).astype(np.int16, copy=False)
        if axes is None:
            axes = (scan.affine[:3, :3] / scan.spacing_mm).T
        self.marker, self.focused_organ, self.session, self.layers = [], 0, 0, []
        self.scan = {
            "id": str(next(_numbers)), "shape": list(scan.shape), "spacing_mm": list(scan.spacing_mm),
            "axes": np.asarray(axes, float).tolist(),
        }  # fmt: skip

    def send_mask(self, mask: NDArray[np.bool_], box: Box, *, fresh: bool = False) -> None:
        """Show a box of what is drawn on; `fresh` where there is nothing beyond the box."""
        content = {"event": "mask", "scan": self.scan["id"], "box": list(box), "fresh": fresh}
        self.send(content, [zlib.compress(mask.astype(np.uint8).tobytes(order="F"), 1)])


def bounding_box(mask: NDArray) -> Box:
    """The smallest box that holds every voxel of a mask or a label map; of an empty one, its first voxel."""
    edges = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        edges.append((int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 1))
    return *(low for low, _ in edges), *(high - low for low, high in edges)  # type: ignore[return-value]


def slices_of(box: Box) -> tuple[slice, slice, slice]:
    """A box as an index of an array."""
    return tuple(slice(low, low + count) for low, count in zip(box[:3], box[3:], strict=True))  # type: ignore[return-value]


def contour_layer(name: str, packed: PackedLabels, line_style: str, **options: Any) -> dict[str, Any]:
    """One layer of contours; option `color` overrules the organs' own, `always` shows it whatever is switched off."""
    content = {"key": packed.key, "box": list(packed.box), "labels": packed.data}
    return {"name": name, "dash": LINE_STYLES[line_style], **content, **options}


class PackedLabels:
    """A label map as the browser gets it: the box that holds all organs, compressed, under a key of its own."""

    def __init__(self, labels: NDArray[np.uint8]) -> None:
        self.key = str(next(_numbers))
        self.box = bounding_box(labels)
        self.data = zlib.compress(labels[slices_of(self.box)].tobytes(order="F"), 1)


def window_limits(window: str) -> tuple[int, int]:
    """Lowest and highest HU of a named window."""
    center, width = WINDOWS[window]
    return int(center - width / 2), int(center + width / 2)


def window_name(limits: Sequence[float]) -> str | None:
    """The named window of these limits; None where somebody set another one."""
    return next((name for name in WINDOWS if window_limits(name) == tuple(limits)), None)
