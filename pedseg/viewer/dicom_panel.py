"""DICOM in, RTSTRUCT out, with buttons: open a folder, contour its CT with a network, look, write the contours."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from numpy.typing import NDArray

from pedseg.dicom.ct_series import CtScan, CtSeries, group_series, read_series
from pedseg.dicom.dicom_files import find_dicom_files
from pedseg.dicom.exporting import export
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.learning.weights import load_network
from pedseg.scan import Scan, to_ras

WIDE = widgets.Layout(width="98%")


class DicomPanel(widgets.VBox):
    """Choose a folder, a CT series and a network; predict; look; write an RTSTRUCT for the planning system.

    `predict` makes a label map of a CT (on its own grid) with the named network; `view` shows a scan with label maps.
    """

    def __init__(
        self,
        folder: Path | str,
        models: Iterable[Hashable],
        predict: Callable[[Any, Scan], Scan],
        view: Callable[[Scan, Mapping[Any, NDArray]], widgets.Widget],
    ) -> None:
        self.predict, self.view = predict, view
        self.series: list[CtSeries] = []
        self.ct: CtScan | None = None
        self.labels: Scan | None = None
        self.folder = widgets.Text(value=str(folder), description="Folder", layout=WIDE)
        self.open_button = widgets.Button(description="1 · look into it")
        self.series_choice = widgets.Dropdown(options=[], description="CT series", layout=WIDE)
        self.model = widgets.Dropdown(options=[(str(model), model) for model in models], description="Drawn by")
        self.predict_button = widgets.Button(description="2 · draw contours", disabled=True)
        self.out = widgets.Text(value=_default_out(folder), description="RTSTRUCT", layout=WIDE)
        self.write_button = widgets.Button(description="3 · write them", disabled=True)
        self.message = widgets.HTML()
        self.viewer = widgets.VBox()
        first, second = widgets.HBox([self.open_button, self.model]), widgets.HBox([self.predict_button])
        output = [self.viewer, self.out, self.write_button, self.message]
        super().__init__([self.folder, first, self.series_choice, second, *output])
        self.open_button.on_click(self._show_errors()(lambda _: self._open()))
        self.predict_button.on_click(self._show_errors()(lambda _: self._predict()))
        self.write_button.on_click(self._show_errors()(lambda _: self._write()))

    @contextmanager
    def _show_errors(self) -> Iterator[None]:
        """Show what is wrong with the input in words; everything else stays as it was."""
        self.message.value = "One moment …"
        try:
            yield
        except PedsegInputError as error:
            self.message.value = problems_html(error.problems)
        except OSError as error:
            self.message.value = html.escape(str(error))
        except Exception as error:  # a fault of the program: said here, because a button swallows it
            self.message.value = html.escape(f"This should not have happened: {error!r}")
            raise

    def _open(self) -> None:
        files, problems = find_dicom_files(Path(self.folder.value))
        self.series, self.out.value = group_series(files), _default_out(self.folder.value)
        self.series_choice.options = [(_line(series), number) for number, series in enumerate(self.series)]
        self.series_choice.index = 0 if self.series else None
        self.predict_button.disabled = not self.series
        kinds = ", ".join(sorted({file.kind for file in files}))
        text = f"{len(files)} DICOM files: {kinds}." if files else "There is no DICOM here."
        self.message.value = html.escape(text) + problems_html(problems)

    def _predict(self) -> None:
        self.labels, self.write_button.disabled = None, True
        self.ct = read_series(self.series[self.series_choice.value])
        self.labels = self.predict(self.model.value, self.ct.scan)
        self.viewer.children = [self.view(to_ras(self.ct.scan), {self.model.value: to_ras(self.labels).voxels})]
        self.write_button.disabled = False
        notes = ["Contours are drawn. Look at every slice of them.", *self.ct.notes]
        self.message.value = html.escape(" · ".join(notes))

    def _write(self) -> None:
        assert self.labels is not None
        notes = export(self.labels, Path(self.out.value), kind="rtstruct", ct=self.ct, name=self.folder.value)
        written = f"{self.out.value}: written, read back and compared. Not approved: that is for a person."
        self.message.value = "<br>".join(map(html.escape, (written, *notes)))


def _default_out(folder: Path | str) -> str:
    """Where the RTSTRUCT goes: beside the folder, because within it, it would be read as part of the patient's data."""
    return str(Path(folder).parent / "contours.dcm")


def _line(series: CtSeries) -> str:
    first = series.first
    thickness = first.text("SliceThickness") or "?"
    return f"{series.slice_count} slices, {thickness} mm, {first.text('ConvolutionKernel')}, {series.description}"


def problems_html(problems: Iterable[InputProblem]) -> str:
    """Problems of an input as a list: what is wrong, where, and what to do."""
    lines = []
    for problem in problems:
        code, file, text, remedy = map(html.escape, (problem.code, problem.file, problem.problem, problem.remedy))
        lines.append(f"<li><b>{code}</b> {file}<br>{text}<br><i>{remedy}</i></li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def dicom_panel(folder: Path | str, files: Mapping[Any, Path]) -> DicomPanel:
    """The panel with the networks of a study; `files` are their weights."""
    from pedseg.importing.predict_scans import predict_scan
    from pedseg.workbook.slice_viewer import view

    def predict(model: Any, scan: Scan) -> Scan:
        return predict_scan(*load_network(files[model]), scan, Path(folder))

    return DicomPanel(folder, files, predict, lambda image, labels: view(image, None, labels))
