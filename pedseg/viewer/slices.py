"""NiiVue's slices with contours over them: one picture in the browser that scrolls, picks, measures and draws.

NiiVue (through ipyniivue) shows the scan; `slices.js` draws the contours as lines over it, because only lines can be
solid, dashed or dotted, and stay thin on coarse voxels. Voxels are counted as everywhere in pedseg: (x, y, z), RAS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from ipyniivue import NiiVue, SliceType

from pedseg.errors import input_error
from pedseg.organs import ORGANS
from pedseg.scan import WINDOWS, Scan
from pedseg.viewer.outlines import Outlines
from pedseg.workbook.figures import is_dark

STYLES = {"solid": [], "dashed": [7, 5], "dotted": [1.5, 4]}  # pixels on and off
EXPORT = re.compile(r"export\{([\w$]+) as default\};?\s*$")
# The whole scan, sent back to the kernel that it came from; nobody there looks at it.
ECHO = re.compile(r'\w+\(\w,"img",\w\.img\.buffer,\w\)')
INSTANCE = re.compile(r'\{if\(!([\w$]+)\)\{console\.error\("Niivue instance not found')


@cache
def front_end() -> str:
    """ipyniivue's module with ours behind it; refused where a release of ipyniivue looks different inside."""
    import ipyniivue

    bundle = Path(ipyniivue.__file__).with_name("static") / "widget.js"
    text = bundle.read_text(encoding="utf-8")
    inner, instance = EXPORT.search(text), INSTANCE.search(text)
    if not inner or not instance:
        found = f"ipyniivue {ipyniivue.__version__} is built in another way than the one that was tried (2.4.4)."
        raise input_error("E-NIIVUE", bundle.name, found, "Install ipyniivue 2.4.4, or choose the engine `pictures`.")
    own = Path(__file__).with_name("slices.js").read_text(encoding="utf-8")
    own = own.replace("NIIVUE", instance[1]).replace("INNER", inner[1])
    names = "KEYS|AXES|PLANES|Overlay"  # must not meet the bundle's own names
    own = re.sub(rf"\b({names})\b", r"pedseg\1", own)
    return ECHO.sub("void 0", text[: inner.start()]) + "\n" + own


@cache
def canvas_class() -> type[NiiVue]:
    """The widget class; made when it is first needed, since the module text is five megabytes."""

    class SliceCanvas(NiiVue):
        """Slices of one scan with layers of contours."""

        _esm = front_end()
        layers: Any = traitlets.List([]).tag(sync=True)  # dicts as `layer` makes them
        colors: Any = traitlets.Dict().tag(sync=True)  # organ id: "#rrggbb"
        dark: Any = traitlets.List([]).tag(sync=True)  # organ ids whose color needs a light rim
        shown: Any = traitlets.List([]).tag(sync=True)  # organ ids
        look = traitlets.Dict({"lines": True, "fill": False, "opacity": 0.9, "width": 1.7, "hidden": []}).tag(sync=True)
        at: Any = traitlets.List([]).tag(sync=True)  # voxel under the crosshair
        focus = traitlets.Int(0).tag(sync=True)  # organ id that is drawn stronger
        marker: Any = traitlets.List([]).tag(sync=True)  # voxel with a ring around it
        spacing_mm = traitlets.List([1.0, 1.0, 1.0]).tag(sync=True)
        arrangement = traitlets.Unicode("planes").tag(sync=True)
        tool = traitlets.Unicode("window").tag(sync=True)  # what the right mouse button does: window, measure, move
        pen = traitlets.Dict({"on": False, "erase": False, "filled": True, "size": 1}).tag(sync=True)
        drawing = traitlets.Bytes(b"").tag(sync=True)  # what the pen starts from, one byte a voxel, x fastest
        drawn = traitlets.CBytes(b"").tag(sync=True)  # what the pen has made of it
        undone = traitlets.Int(0).tag(sync=True)  # how often the last stroke was taken back
        ready = traitlets.Unicode("").tag(sync=True)  # `webgl` or `none`, and when: set by the browser
        heard: Callable[[str, Any], object] | None = None

        def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
            event = content.get("event", "") if isinstance(content, dict) else ""
            if not event.startswith("pedseg_"):
                super()._handle_custom_msg(content, buffers)
            elif self.heard is not None:
                self.heard(event, content.get("data"))

    return SliceCanvas


class Slices:
    """The picture and what can be asked of it."""

    def __init__(self, height: int) -> None:
        self.widget = canvas_class()(
            height=height, slice_type=SliceType.MULTIPLANAR, is_radiological_convention=True,
            is_orientation_text_visible=False, crosshair_color=(0.35, 0.75, 1.0, 0.6), crosshair_width=0.15,
            crosshair_width_unit="percent",
            crosshair_gap=4, font_color=(0.95, 0.95, 0.95, 1.0), text_height=0.035, is_resize_canvas=True,
        )  # fmt: skip
        self.widget.colors = {one.id: one.color for one in ORGANS}
        self.widget.dark = [one.id for one in ORGANS if is_dark(one.color)]
        self.on_key: Callable[[str], object] = lambda key: None  # told a letter or digit pressed over the slices
        self.on_hover: Callable[[Any], object] = lambda voxel: None  # told the voxel under the pointer, now and then
        self.widget.heard = self._hear

    def _hear(self, event: str, told: Any) -> None:
        if event == "pedseg_key":
            self.on_key(str(told))
        elif event == "pedseg_hover":
            self.on_hover(tuple(int(v) for v in told))

    @property
    def at(self) -> tuple[int, int, int] | None:
        """The voxel under the crosshair."""
        found = tuple(int(v) for v in self.widget.at)
        return found if len(found) == 3 else None  # type: ignore[return-value]

    def on_ready(self, act: Callable[[str], object]) -> None:
        """Call `act` when the browser has taken the picture: with `webgl`, or `none` where it cannot draw."""
        self.widget.observe(lambda change: act(change["new"].split()[0]), "ready")

    def show(self, scan: Scan, low: float, high: float) -> None:
        """Put a scan (RAS) in the place of the one before, with HU from `low` (black) to `high` (white)."""
        import nibabel

        voxels = np.asarray(scan.voxels).astype(np.int16)
        # NiiVue's slices run along the voxels; without the rotation of an oblique scan they stay what was contoured
        affine = np.diag([*scan.spacing_mm, 1.0])
        image = nibabel.nifti1.Nifti1Image(voxels, affine)
        self.widget.spacing_mm = list(scan.spacing_mm)
        self.widget.layers, self.widget.marker, self.widget.focus = [], [], 0
        self.widget.load_volumes(
            [{"data": image.to_bytes(), "name": "scan.nii", "colormap": "gray", "cal_min": low, "cal_max": high}]
        )

    def window(self, low: float, high: float) -> None:
        """Show HU from `low` (black) to `high` (white)."""
        for volume in self.widget.volumes[:1]:
            volume.cal_min, volume.cal_max = low, high

    def draw(self, layers: Sequence[dict[str, Any]]) -> None:
        """Exchange the contours; each layer as `layer` makes it."""
        self.widget.layers = list(layers)

    def undo(self) -> None:
        """Take the last stroke of the pen back."""
        self.widget.undone += 1

    def go(self, voxel: Iterable[int]) -> None:
        """Move the crosshair to a voxel."""
        self.widget.at = [int(v) for v in voxel]


def layer(name: str, found: Outlines, style: str, **more: Any) -> dict[str, Any]:
    """Outlines as one layer of contours; `color` overrules the organs' own, `always` shows it whatever is off."""
    return {
        "name": name, "dash": STYLES[style], "table": found.table.tobytes(), "points": found.points.tobytes(), **more
    }  # fmt: skip


def limits(window: str) -> tuple[float, float]:
    """Lowest and highest HU of a named window."""
    center, width = WINDOWS[window]
    return center - width / 2, center + width / 2
