"""Which engine shows scans: our canvas with k3d where a browser can run them, matplotlib elsewhere, or itkwidgets.

The choice is automatic; the argument `engine` or the environment variable PEDSEG_VIEWER forces one. itkwidgets is only
imported when it is chosen.
"""

from __future__ import annotations

import os
import sys
from collections import ChainMap
from collections.abc import Hashable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pedseg.datasets.cases import DataSet
from pedseg.errors import input_error
from pedseg.scan import Scan

if TYPE_CHECKING:
    from pedseg.viewer.case_list import Cases, ListedCase

PACKAGES = {"canvas": ("anywidget", "k3d", "fast_simplification"), "matplotlib": (), "itkwidgets": ("itkwidgets",)}
OPENED = {name: f"PEDSEG_VIEWER_{name.upper()}" for name in ("data", "study", "dicom")}


def choose_engine(engine: str = "") -> str:
    """The engine that is asked for, else `canvas` where its packages are installed and the front end can run it."""
    engine = engine or os.environ.get("PEDSEG_VIEWER", "")
    if engine and engine not in PACKAGES:
        raise input_error("E-ENGINE", engine, "there is no such engine.", f"Choose {', '.join(PACKAGES)}.")
    missing = [name for name in PACKAGES[engine or "canvas"] if find_spec(name) is None]
    if engine and missing:
        remedy = "Install the extra `viewer3d`, or choose the engine `matplotlib`."
        raise input_error("E-ENGINE", engine, f"{', '.join(missing)} is not installed.", remedy)
    # VS Code and Colab cannot fetch JavaScript modules from the kernel
    incapable = "google.colab" in sys.modules or os.environ.get("VSCODE_PID") or os.environ.get("VSCODE_CWD")
    return engine or ("matplotlib" if missing or incapable else "canvas")


def prepare(engine: str = "") -> None:
    """Load what the engine needs (some seconds), so that the page opens at once when it is asked for."""
    if choose_engine(engine) == "canvas":
        import_module("pedseg.viewer.reading_room")


def reading_room(datasets: list[DataSet], study: Path, engine: str = "", *, dicom: Path | None = None) -> Any:
    """The reading room: all cases, models and failures of a study on one page, and a DICOM folder of one's own.

    `pedseg viewer` names data, study and DICOM folder of its own by environment variables (`OPENED`).
    """
    from pedseg.evaluation.trained_models import weight_files
    from pedseg.viewer import case_list

    data, own_study, own_dicom = (os.environ.get(variable) for variable in OPENED.values())
    study, dicom = Path(own_study) if own_study else study, Path(own_dicom) if own_dicom else dicom
    if choose_engine(engine) != "canvas":
        return _pictures((case_list.list_ct(dicom) if dicom else {}) | case_list.list_cases(datasets, study), study)
    from pedseg.viewer.failure_list import list_failures
    from pedseg.viewer.models import study_predictions
    from pedseg.viewer.reading_room import ReadingRoom

    own = case_list.list_ct(dicom) if dicom else {}
    own |= case_list.list_data(Path(data)) if data else {}
    cases = own | case_list.list_cases([] if data else datasets, study)
    models = [*weight_files(study)]
    return ReadingRoom(cases, list_failures(study), models, study_predictions(study), start=dicom)


def _pictures(cases: Cases, study: Path) -> Any:
    """The engine `matplotlib` on the cases that lie on disk."""
    from pedseg.viewer.case_list import OF_STUDY
    from pedseg.viewer.models import study_predictions
    from pedseg.workbook.slice_viewer import CaseImages, SliceViewer

    predict = study_predictions(study)

    def load(case: ListedCase) -> CaseImages:
        scan, truth = case.open()
        sets: list[Any] = [predict(scan, case, lambda: False), case.contours()]
        return CaseImages(scan, None if truth is None else truth.voxels, ChainMap(*sets))

    listed = [case for key, case in cases.items() if key.kind not in OF_STUDY]
    return SliceViewer({f"{case.key.center}: {case.title}": partial(load, case) for case in listed})


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
