"""Axial, coronal and sagittal slices in NiiVue (through ipyniivue): window/level, crosshair, measurement, pen.

NiiVue shows the scan; `slices.js` draws the contours as lines over it, because only lines can be solid, dashed or
dotted, and stay thin on coarse voxels. Voxels are counted as everywhere in pedseg: (x, y, z), RAS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipyniivue
import numpy as np
from traitlets import Bytes, CBytes, Dict, Int, List, Unicode

from pedseg.errors import input_error
from pedseg.organs import ORGANS
from pedseg.scan import WINDOWS, Scan
from pedseg.viewer.outlines import Outlines
from pedseg.workbook.figures import is_dark

LINE_STYLES = {"solid": [], "dashed": [7, 5], "dotted": [1.5, 4]}  # pixels on and off
EXPORT = re.compile(r"export\{([\w$]+) as default\};?\s*$")
# Sends the whole scan back to the kernel that it came from, where nothing uses it.
IMAGE_ECHO = re.compile(r'\w+\(\w,"img",\w\.img\.buffer,\w\)')
INSTANCE = re.compile(r'\{if\(!([\w$]+)\)\{console\.error\("Niivue instance not found')
OWN_NAMES = "SHORTCUTS|LINE_WIDTH|AXES|PLANES|Overlay"  # of slices.js; must not meet the bundle's own


def javascript_module() -> str:
    """ipyniivue's JavaScript module with slices.js behind it; refused where another release has another structure."""
    bundle = Path(ipyniivue.__file__).with_name("static") / "widget.js"
    text = bundle.read_text(encoding="utf-8")
    export, instance = EXPORT.search(text), INSTANCE.search(text)
    if not export or not instance:
        problem = f"ipyniivue {ipyniivue.__version__} is not structured like the one that was tested (2.4.4)."
        remedy = "Install ipyniivue 2.4.4, or choose the engine `matplotlib`."
        raise input_error("E-NIIVUE", bundle.name, problem, remedy)
    own = Path(__file__).with_name("slices.js").read_text(encoding="utf-8")
    own = own.replace("NIIVUE", instance[1]).replace("INNER", export[1])
    own = re.sub(rf"\b({OWN_NAMES})\b", r"pedseg\1", own)
    return IMAGE_ECHO.sub("void 0", text[: export.start()]) + "\n" + own


class Slices(ipyniivue.NiiVue):
    """The slices of a scan with crosshair, layers of contours and a pen; every trait is shared with the browser."""

    _esm = javascript_module()
    layers: Any = List().tag(sync=True)  # dicts as `contour_layer` makes them
    colors: Any = Dict().tag(sync=True)  # organ id: "#rrggbb"
    dark: Any = List().tag(sync=True)  # organ ids whose color needs a light rim
    visible_organs: Any = List().tag(sync=True)  # organ ids
    contour_style: Any = Dict({"lines": True, "fill": False, "opacity": 0.9, "hidden": []}).tag(sync=True)
    crosshair: Any = List().tag(sync=True)  # voxel, empty before a scan is shown
    focused_organ = Int(0).tag(sync=True)  # organ id that is drawn stronger
    marker: Any = List().tag(sync=True)  # voxel with a ring around it
    spacing_mm = List([1.0, 1.0, 1.0]).tag(sync=True)
    arrangement = Unicode("planes").tag(sync=True)
    drag_mode = Unicode("window").tag(sync=True)  # of the right mouse button: window, measure or pan
    pen = Dict({"on": False, "erase": False, "filled": True, "size": 1}).tag(sync=True)
    pen_input = Bytes(b"").tag(sync=True)  # mask to edit with the pen, one byte a voxel, x fastest
    pen_output = CBytes(b"").tag(sync=True)  # the edited mask
    undo_count = Int(0).tag(sync=True)  # strokes of the pen that were undone
    ready = Unicode("").tag(sync=True)  # `webgl` or `none`, and when: set by the browser

    def __init__(self, height: int) -> None:
        super().__init__(
            height=height, slice_type=ipyniivue.SliceType.MULTIPLANAR, is_radiological_convention=True,
            sagittal_nose_left=True, is_orientation_text_visible=False, crosshair_color=(0.35, 0.75, 1.0, 0.6),
            crosshair_width=0.15, crosshair_width_unit="percent",
            crosshair_gap=4, font_color=(0.95, 0.95, 0.95, 1.0), text_height=0.035, is_resize_canvas=True,
        )  # fmt: skip
        self.colors = {organ.id: organ.color for organ in ORGANS}
        self.dark = [organ.id for organ in ORGANS if is_dark(organ.color)]
        self.on_key: Callable[[str], object] = lambda key: None  # a letter or digit pressed over the slices
        self.on_hover: Callable[[Any], object] = lambda voxel: None  # voxel under the pointer

    def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
        event = content.get("event") if isinstance(content, dict) else None
        if event == "pedseg_key":
            self.on_key(str(content["data"]))
        elif event == "pedseg_hover":
            self.on_hover(tuple(int(v) for v in content["data"]))
        else:
            super()._handle_custom_msg(content, buffers)

    def show(self, scan: Scan, low_hu: float, high_hu: float) -> None:
        """Show a scan (RAS) instead of the one before, from `low_hu` (black) to `high_hu` (white)."""
        import nibabel

        voxels = np.asarray(scan.voxels).astype(np.int16)
        # NiiVue's slices run along the voxels; without the rotation of an oblique scan they stay what was contoured
        image = nibabel.nifti1.Nifti1Image(voxels, np.diag([*scan.spacing_mm, 1.0]))
        volume = {"data": image.to_bytes(), "name": "scan.nii", "colormap": "gray"}
        self.spacing_mm = list(scan.spacing_mm)
        self.layers, self.marker, self.focused_organ = [], [], 0
        self.load_volumes([volume | {"cal_min": low_hu, "cal_max": high_hu}])

    def set_window(self, low_hu: float, high_hu: float) -> None:
        """Set the window: from `low_hu` (black) to `high_hu` (white)."""
        for volume in self.volumes[:1]:
            volume.cal_min, volume.cal_max = low_hu, high_hu

    def undo(self) -> None:
        """Undo the last stroke of the pen."""
        self.undo_count += 1


def contour_layer(name: str, outlines: Outlines, line_style: str, **options: Any) -> dict[str, Any]:
    """One layer of contours; option `color` overrules the organs' own, `always` shows it whatever is switched off."""
    arrays = {"table": outlines.table.tobytes(), "points": outlines.points.tobytes()}
    return {"name": name, "dash": LINE_STYLES[line_style], **arrays, **options}


def window_limits(window: str) -> tuple[int, int]:
    """Lowest and highest HU of a named window."""
    center, width = WINDOWS[window]
    return int(center - width / 2), int(center + width / 2)
