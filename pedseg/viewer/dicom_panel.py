"""The desk: a folder from the archive in, contours to look at, an RTSTRUCT out, with buttons and without code."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import ipywidgets as widgets

from pedseg.dicom.ct_series import CtScan, CtSeries, group_series, read_series
from pedseg.dicom.dicom_files import find_dicom_files
from pedseg.dicom.exporting import export
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.scan import Scan, to_ras

WIDE = widgets.Layout(width="98%")


class Desk(widgets.VBox):
    """Choose a folder, a CT series and a network; draw; look; write the contours for the planning system.

    `draw` makes a label map of a CT (on its own grid) with the named network; `view` shows a scan with label maps.
    """

    def __init__(
        self,
        folder: Path | str,
        models: Iterable[str],
        draw: Callable[[str, Scan], Scan],
        view: Callable[[Scan, Mapping[str, object]], widgets.Widget],
    ) -> None:
        self.draw_with, self.view = draw, view
        self.series: list[CtSeries] = []
        self.ct: CtScan | None = None
        self.drawn: Scan | None = None
        self.folder = widgets.Text(value=str(folder), description="Folder", layout=WIDE)
        self.look = widgets.Button(description="1 · look into it")
        self.choice = widgets.Dropdown(options=[], description="CT series", layout=WIDE)
        self.model = widgets.Dropdown(options=[(str(model), model) for model in models], description="Drawn by")
        self.draw = widgets.Button(description="2 · draw contours", disabled=True)
        self.out = widgets.Text(value=_beside(folder), description="RTSTRUCT", layout=WIDE)
        self.write = widgets.Button(description="3 · write them", disabled=True)
        self.words = widgets.HTML()
        self.picture = widgets.VBox()
        first, second = widgets.HBox([self.look, self.model]), widgets.HBox([self.draw])
        super().__init__([self.folder, first, self.choice, second, self.picture, self.out, self.write, self.words])
        self.look.on_click(lambda _: self._carefully(self._look))
        self.draw.on_click(lambda _: self._carefully(self._draw))
        self.write.on_click(lambda _: self._carefully(self._write))

    def _carefully(self, step: Callable[[], None]) -> None:
        """Do a step; what is wrong with the input is shown in words, and everything else stays as it was."""
        self.words.value = "One moment …"
        try:
            step()
        except PedsegInputError as error:
            self.words.value = as_html(error.problems)
        except OSError as error:
            self.words.value = html.escape(str(error))
        except Exception as error:  # a fault of the program: said here, because a button swallows it
            self.words.value = html.escape(f"This should not have happened: {error!r}")
            raise

    def _look(self) -> None:
        files, problems = find_dicom_files(Path(self.folder.value))
        self.series, self.out.value = group_series(files), _beside(self.folder.value)
        self.choice.options = [(_line(one), number) for number, one in enumerate(self.series)]
        self.choice.index = 0 if self.series else None
        self.draw.disabled = not self.series
        kinds = sorted({file.kind for file in files})
        said = f"{len(files)} DICOM files: {', '.join(kinds)}." if files else "There is no DICOM here."
        self.words.value = html.escape(said) + as_html(problems)

    def _draw(self) -> None:
        self.drawn, self.write.disabled = None, True
        self.ct = read_series(self.series[self.choice.value])
        self.drawn = self.draw_with(self.model.value, self.ct.scan)
        image, labels = to_ras(self.ct.scan), to_ras(self.drawn)
        self.picture.children = [self.view(image, {self.model.value: labels.voxels})]
        self.write.disabled = False
        self.words.value = html.escape(" · ".join(["Contours are drawn. Look at every slice of them.", *self.ct.notes]))

    def _write(self) -> None:
        assert self.drawn is not None
        told = export(self.drawn, Path(self.out.value), kind="rtstruct", ct=self.ct, name=self.folder.value)
        said = [f"{self.out.value}: written, read back and compared. Not approved: that is for a person.", *told]
        self.words.value = "<br>".join(map(html.escape, said))


def _beside(folder: Path | str) -> str:
    """Where contours go: beside the folder, because within it they would be found again as somebody's contours."""
    return str(Path(folder).parent / "contours.dcm")


def _line(series: CtSeries) -> str:
    first = series.first
    spacing = first.text("SliceThickness") or "?"
    return f"{series.slice_count} slices, {spacing} mm, {first.text('ConvolutionKernel')}, {series.description}"


def as_html(problems: Iterable[InputProblem]) -> str:
    """Findings as a list: what is wrong, where, and what to do."""
    lines = [
        f"<li><b>{html.escape(one.code)}</b> {html.escape(one.file)}<br>{html.escape(one.problem)}<br>"
        f"<i>{html.escape(one.remedy)}</i></li>"
        for one in problems
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def desk(folder: Path | str, files: Mapping[str, Path]) -> Desk:
    """The desk with the networks of a study: name -> file of weights."""
    from pedseg.importing.predict_scans import predict_scan
    from pedseg.learning import training
    from pedseg.workbook.slice_viewer import view

    def draw_with(model: str, scan: Scan) -> Scan:
        return predict_scan(*training.load_network(files[model]), scan, Path(folder))

    return Desk(folder, files, draw_with, lambda image, labels: view(image, None, labels))  # type: ignore[arg-type]
