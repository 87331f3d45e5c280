"""Open and write in the page: scans, contours, models, data sets and studies of one's own; RTSTRUCT, SEG and NIfTI.

The page runs on the user's own machine, so that a path is chosen or typed and nothing is uploaded.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import ipywidgets as widgets
from ipywidgets import HBox, Layout

from pedseg.scan import is_nifti_name
from pedseg.viewer.controls import dropdown, sentence
from pedseg.workbook.slice_viewer import suspend_callbacks

KINDS = {
    "DICOM folder": "dicom", "scan (.nii.gz)": "nifti", "data set, or folder of them": "data", "study": "study",
    "contours on this scan": "contours", "model (.safetensors)": "model",
}  # fmt: skip
FORMATS = {"RTSTRUCT": "rtstruct", "SEG": "seg", "NIfTI": "nnunet"}
ENDINGS = (".nii", ".nii.gz", ".dcm", ".safetensors")
UP, MOST_ENTRIES = "‥ (the folder above)", 500
WIDE = Layout(width="99%")


class FilesPanel(widgets.VBox):
    """Choose a path and open what is there; write a contour set.

    `open_` is given the kind (a value of `KINDS`), the path and the name for contours; `write` the set, the format and
    the file. Both give back what to tell the user, "" if the page says already what is wrong.
    """

    def __init__(
        self, open_: Callable[[str, Path, str], str], write: Callable[[Hashable, str, Path], str], start: Path
    ) -> None:
        self.quiet = False
        self.case: object = None  # whose contours can be written
        self.stem, self.folder = "scan", Path.home()
        self.kind = dropdown(KINDS.items(), "58%", "what is opened")
        self.name = widgets.Text(
            placeholder="name of the contours",
            tooltip="name of the contours, such as reader A",
            layout=Layout(width="40%"),
        )
        self.path = widgets.Text(value=str(start), tooltip="path of what is opened", layout=Layout(width="78%"))
        self.open_button = widgets.Button(description="open", layout=Layout(width="20%"))
        self.entries = widgets.Select(
            rows=6, layout=Layout(width="99%", height="112px"), tooltip="files and folders here"
        )
        self.anyway = widgets.Checkbox(
            value=False, indent=False, layout=WIDE,
            description="draw even where it is not plausible; every contour says so",
        )  # fmt: skip
        self.anyway.add_class("pedseg-wrap")
        self.source = dropdown([], "38%", "contours to write")
        self.format = dropdown(FORMATS.items(), "30%", "format")
        self.out = widgets.Text(tooltip="file to write", layout=Layout(width="78%"))
        self.write_button = widgets.Button(description="write", layout=Layout(width="20%"), disabled=True)
        self.message = widgets.HTML()
        super().__init__(
            [
                _heading("Open"), HBox([self.kind, self.name]), HBox([self.path, self.open_button]), self.entries,
                self.anyway, _heading("Write"), HBox([self.source, self.format]), HBox([self.out, self.write_button]),
                self.message,
            ]
        )  # fmt: skip
        self.open_button.on_click(
            lambda _: self._act(lambda: open_(self.kind.value, Path(self.path.value).expanduser(), self.name.value))
        )
        self.write_button.on_click(
            lambda _: self._act(lambda: write(self.source.value, self.format.value, Path(self.out.value).expanduser()))
        )
        self.kind.observe(lambda _: self._kind_changed(), "value")
        self.path.observe(lambda _: self._list(), "value")
        self.entries.observe(lambda _: self._enter(), "value")
        self.format.observe(lambda _: self._name_file(), "value")
        self._kind_changed()
        self._list()

    def set_case(self, beside: Path | None, stem: str, *, dicom: bool) -> None:
        """What can be written of a case, and where to: beside its folder, as within it, it would be read as its own."""
        self.stem = stem
        self.folder = Path.home() if beside is None else Path(beside).resolve().parent
        self.format.options = list(FORMATS.items()) if dicom else [("NIfTI", "nnunet")]
        self._name_file()

    def set_sources(self, sources: Sequence[Hashable]) -> None:
        """The contour sets that can be written, the corrected one first."""
        old = self.source.value
        self.source.options = [(str(source), source) for source in sources]
        self.source.index = None  # else a browser that knew index 0 shows nothing
        self.source.value = old if old in sources else next(iter(sources), None)
        self.write_button.disabled = not sources

    def say(self, text: str) -> None:
        """Say what has been done, line by line."""
        lines = "<br>".join(map(html.escape, text.splitlines()))
        self.message.value = f'<div class="pedseg-info" role="status">{lines}</div>'

    def _act(self, do: Callable[[], str]) -> None:
        self.message.value = sentence("One moment …", role="status")
        self.say(do())

    def _kind_changed(self) -> None:
        self.name.layout.visibility = "visible" if self.kind.value == "contours" else "hidden"

    def _name_file(self) -> None:
        ending = ".nii.gz" if self.format.value == "nnunet" else ".dcm"
        self.out.value = str(self.folder / f"{self.stem}_contours{ending}")

    def _list(self) -> None:
        """List what lies in the folder that the path names, or that holds the file that it names."""
        if self.quiet:
            return
        path = Path(self.path.value or ".").expanduser()
        folder = path if path.is_dir() else path.parent
        try:
            inside = sorted(folder.iterdir(), key=lambda entry: (entry.is_file(), entry.name.lower()))
        except OSError:
            inside = []
        wanted = (e for e in inside if not e.name.startswith(".") and (e.is_dir() or e.name.lower().endswith(ENDINGS)))
        names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in wanted][:MOST_ENTRIES]
        with suspend_callbacks(self):
            self.entries.options = [UP, *names]
            self.entries.value = None
        self.here = folder

    def _enter(self) -> None:
        """Go into the folder, or take the file, that was clicked."""
        if self.quiet or self.entries.value is None:
            return
        chosen = self.here.resolve().parent if self.entries.value == UP else self.here / self.entries.value.rstrip("/")
        if chosen.is_file():
            self.kind.value = self._kind_of(chosen)
        self.path.value = str(chosen)

    def _kind_of(self, file: Path) -> str:
        if file.suffix == ".safetensors":
            return "model"
        return "nifti" if is_nifti_name(file) and self.kind.value != "contours" else "contours"


def _heading(text: str) -> widgets.HTML:
    return widgets.HTML(f'<h3 class="pedseg-heading">{text}</h3>')
