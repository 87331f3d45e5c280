"""Which engine shows scans here: the whole reading room where a browser can carry it, pictures everywhere else.

`room` is NiiVue and k3d, `pictures` the viewer that matplotlib draws in the kernel, `itk` itkwidgets, which is only
imported when it is chosen. The choice is automatic; the argument `engine` or the variable PEDSEG_VIEWER forces one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pedseg.datasets.cases import DataSet
from pedseg.errors import input_error
from pedseg.scan import Scan

if TYPE_CHECKING:
    from pedseg.viewer.case_list import Child

ENGINES = ("room", "pictures", "itk")
NEEDED = {"room": ("ipyniivue", "k3d", "fast_simplification"), "pictures": (), "itk": ("itkwidgets",)}


def choose(engine: str = "") -> str:
    """The engine to use: the one that is asked for, else `room` where its packages and a front end for it are."""
    wanted = engine or os.environ.get("PEDSEG_VIEWER", "")
    if wanted and wanted not in ENGINES:
        raise input_error("E-ENGINE", wanted, "there is no such engine.", f"Choose {', '.join(ENGINES)}.")
    if wanted:
        gone = [name for name in NEEDED[wanted] if find_spec(name) is None]
        if gone:
            found = f"{', '.join(gone)} is not installed."
            raise input_error(
                "E-ENGINE", wanted, found, "Install the extra `viewer3d`, or choose the engine `pictures`."
            )
        return wanted
    there = all(find_spec(name) for name in NEEDED["room"])
    return "room" if there and not _known_to_fail() else "pictures"


def _known_to_fail() -> bool:
    """Front ends that cannot fetch the room's modules from the kernel: VS Code and Colab."""
    return "google.colab" in sys.modules or bool(os.environ.get("VSCODE_PID") or os.environ.get("VSCODE_CWD"))


def prepare(engine: str = "") -> None:
    """Load what the engine needs (some seconds), so that the page opens at once when it is asked for."""
    if choose(engine) == "room":
        from pedseg.viewer.slices import canvas_class

        import_module("pedseg.viewer.reading_room")
        canvas_class()


def reading_room(datasets: list[DataSet], study: Path, engine: str = "") -> Any:
    """The page of all children, models and failures of a study, in the engine that this place can carry."""
    from pedseg.evaluation.trained_models import weight_files
    from pedseg.viewer.case_list import everyone, picture_cases

    if choose(engine) != "room":
        from pedseg.workbook.slice_viewer import SliceViewer

        return SliceViewer(picture_cases(datasets, study))
    from pedseg.viewer.failure_list import entries
    from pedseg.viewer.reading_room import Room

    return Room(everyone(datasets, study), entries(study), list(weight_files(study)), contours(study))


def contours(study: Path) -> Callable[[Scan, Child], Mapping[Hashable, NDArray]]:
    """What the models of a study draw of a child, each when it is looked up; of one on its side in two ways."""
    from pedseg.evaluation.trained_models import LazyPredictions, weight_files
    from pedseg.viewer.case_list import SIDE
    from pedseg.viewer.failure_list import AsItLies

    files = weight_files(study)
    lying = {AsItLies(model_key): file for model_key, file in files.items()}

    def predict(scan: Scan, child: Child) -> Mapping[Hashable, NDArray]:
        if child.kind != SIDE:
            return LazyPredictions(scan, files)
        return LazyPredictions(scan, files | lying, dict.fromkeys(files, "reorient") | dict.fromkeys(lying, "none"))

    return predict


def view(
    scan: Scan, truth: NDArray | None = None, predictions: Mapping[str, NDArray] | None = None, engine: str = ""
) -> Any:
    """A viewer for one scan (HU, RAS) with label maps on its grid, in the engine that this place can carry.

    itkwidgets shows one label map: the truth, or the first prediction where there is none.
    """
    chosen, drawn = choose(engine), predictions or {}
    if chosen == "itk":
        from pedseg.viewer import itk

        return itk.view(scan, truth if truth is not None else next(iter(drawn.values()), None))
    if chosen == "pictures":
        from pedseg.workbook import slice_viewer

        return slice_viewer.view(scan, truth, drawn)
    from pedseg.viewer.case_list import SAMPLE, Child, Children
    from pedseg.viewer.reading_room import Room

    true = None if truth is None else Scan(truth, scan.affine)
    child = Child("this scan", "scan", SAMPLE, "scan", lambda: (scan, true))
    return Room(Children([child]), [], list(drawn), lambda *_: drawn)
