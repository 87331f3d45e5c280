"""Which engine shows scans: NiiVue with k3d where a browser can run them, matplotlib everywhere else, or itkwidgets.

The choice is automatic; the argument `engine` or the environment variable PEDSEG_VIEWER forces one. itkwidgets is only
imported when it is chosen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pedseg.datasets.cases import DataSet
from pedseg.errors import input_error
from pedseg.scan import Scan

if TYPE_CHECKING:
    from pedseg.viewer.case_list import ListedCase
    from pedseg.viewer.reading_room import Predict

PACKAGES = {"niivue": ("ipyniivue", "k3d", "fast_simplification"), "matplotlib": (), "itkwidgets": ("itkwidgets",)}


def choose_engine(engine: str = "") -> str:
    """The engine that is asked for, else `niivue` where its packages are installed and the front end can run it."""
    engine = engine or os.environ.get("PEDSEG_VIEWER", "")
    if engine and engine not in PACKAGES:
        raise input_error("E-ENGINE", engine, "there is no such engine.", f"Choose {', '.join(PACKAGES)}.")
    missing = [name for name in PACKAGES[engine or "niivue"] if find_spec(name) is None]
    if engine and missing:
        remedy = "Install the extra `viewer3d`, or choose the engine `matplotlib`."
        raise input_error("E-ENGINE", engine, f"{', '.join(missing)} is not installed.", remedy)
    # VS Code and Colab cannot fetch NiiVue's JavaScript modules from the kernel
    incapable = "google.colab" in sys.modules or os.environ.get("VSCODE_PID") or os.environ.get("VSCODE_CWD")
    return engine or ("matplotlib" if missing or incapable else "niivue")


def prepare(engine: str = "") -> None:
    """Load what the engine needs (some seconds), so that the page opens at once when it is asked for."""
    if choose_engine(engine) == "niivue":
        import_module("pedseg.viewer.reading_room")


def reading_room(datasets: list[DataSet], study: Path, engine: str = "") -> Any:
    """The reading room: all cases, models and failures of a study on one page."""
    from pedseg.evaluation.trained_models import weight_files
    from pedseg.viewer.case_list import list_cases, matplotlib_cases

    if choose_engine(engine) != "niivue":
        from pedseg.workbook.slice_viewer import SliceViewer

        return SliceViewer(matplotlib_cases(datasets, study))
    from pedseg.viewer.failure_list import list_failures
    from pedseg.viewer.reading_room import ReadingRoom

    return ReadingRoom(
        list_cases(datasets, study), list_failures(study), [*weight_files(study)], study_predictions(study)
    )


def study_predictions(study: Path) -> Predict:
    """What the models of a study predict on a case when looked up; on the side with and without reorientation."""
    from pedseg.evaluation.trained_models import LazyPredictions, weight_files
    from pedseg.viewer.case_list import SIDE
    from pedseg.viewer.failure_list import AsItLies

    models: dict[Hashable, Path] = {key: file for key, file in weight_files(study).items()}
    lying: dict[Hashable, Path] = {AsItLies(key): file for key, file in weight_files(study).items()}

    def predict(scan: Scan, case: ListedCase) -> Mapping[Hashable, NDArray]:
        if case.key.kind != SIDE:
            return LazyPredictions(scan, models)
        return LazyPredictions(scan, models | lying, dict.fromkeys(models, "reorient") | dict.fromkeys(lying, "none"))

    return predict


def view(
    scan: Scan, truth: NDArray | None = None, predictions: Mapping[Hashable, NDArray] | None = None, engine: str = ""
) -> Any:
    """A viewer for one scan (HU, RAS) with label maps on its grid; itkwidgets shows the first label map alone."""
    engine, predictions = choose_engine(engine), predictions or {}
    if engine == "itkwidgets":
        from pedseg.viewer import itk

        return itk.view(scan, truth if truth is not None else next(iter(predictions.values()), None))
    if engine == "matplotlib":
        from pedseg.workbook import slice_viewer

        return slice_viewer.view(scan, truth, predictions)
    from pedseg.viewer.case_list import SAMPLE, CaseKey, ListedCase
    from pedseg.viewer.reading_room import ReadingRoom

    labels = None if truth is None else Scan(truth, scan.affine)
    case = ListedCase(CaseKey("this scan", "scan", SAMPLE), "scan", lambda: (scan, labels))
    return ReadingRoom({case.key: case}, [], [*predictions], lambda *_: predictions)
