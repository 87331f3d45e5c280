"""Reading contours as work: a score from 1 to 5 and a comment for each organ, by keyboard, blinded if wished."""

from __future__ import annotations

import hashlib
from collections import ChainMap
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegInputError
from pedseg.evaluation.reader_scores import SCORES, ReaderScore, ScoreBook
from pedseg.evaluation.results import read_rows, rows_file
from pedseg.organs import EVALUATED, NAMES, organ
from pedseg.scan import Scan
from pedseg.viewer.case_list import CaseKey
from pedseg.viewer.case_view import CaseView
from pedseg.viewer.controls import dropdown, sentence
from pedseg.viewer.failure_panel import FailurePanel
from pedseg.workbook import lesson
from pedseg.workbook.reader_study import readings_html
from pedseg.workbook.slice_viewer import suspend_callbacks


@dataclass(frozen=True)
class BlindedModel:
    """A model under a letter, for a reader who must not know which it is."""

    letter: str
    key: Hashable

    def __str__(self) -> str:
        return f"network {self.letter}"


class _Renamed(Mapping[Hashable, NDArray]):
    """Predictions under other keys, still made when looked up."""

    def __init__(self, predictions: Mapping[Hashable, NDArray], models: list[BlindedModel]) -> None:
        self.predictions, self.models = predictions, models

    def __getitem__(self, model: Any) -> NDArray:
        if model not in self.models:
            raise KeyError(model)
        return self.predictions[model.key]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)


class ScorePanel(widgets.VBox):
    """Scores of the open case. `on_organ` is called with the organ to look at, `on_blind` when blinding changes.

    The study of the panel `failures` has the DSC that scores are set beside.
    """

    def __init__(
        self, failures: Callable[[], FailurePanel], on_organ: Callable[[str], object], on_blind: Callable[[], object]
    ) -> None:
        self.book, self.failures, self.on_organ = ScoreBook(lesson.runs() / "scores"), failures, on_organ
        self.quiet = False
        self.case_key: CaseKey | None = None
        self.model: Hashable = None
        self._build()
        self._connect(on_blind)

    def _build(self) -> None:
        def layout(width: str) -> widgets.Layout:
            return widgets.Layout(width=width)

        self.reader = widgets.Text(placeholder="reader", description="reader", layout=layout("45%"))
        self.reader.style = {"description_width": "44px"}
        self.reading = widgets.BoundedIntText(value=1, min=1, max=9, description="reading", layout=layout("24%"))
        self.reading.style = {"description_width": "48px"}
        self.blinded = widgets.ToggleButton(description="blinded", tooltip="hide the network's name and the truth")
        self.blinded.layout = layout("28%")
        names = [*EVALUATED, *(name for name in NAMES if name not in EVALUATED)]
        self.organ = dropdown([(organ(name).plain, name) for name in names], "45%", "organ to score")
        self.next = widgets.Button(description="next open", tooltip="the next organ without a score")
        self.next.layout = layout("28%")
        self.score = widgets.ToggleButtons(options=[(str(k), k) for k in SCORES], value=None)
        self.score.style = {"button_width": "58px"}
        self.score.tooltips = list(SCORES.values())
        self.comment = widgets.Text(placeholder="comment", continuous_update=False, layout=layout("99%"))
        self.status, self.result = widgets.HTML(), widgets.HTML()
        self.compare = widgets.Button(description="agreement, and scores beside DSC", layout=layout("240px"))
        scale = " · ".join(f"{k} {text}" for k, text in SCORES.items())
        rows = [(self.reader, self.reading, self.blinded), (self.organ, self.next)]
        boxes = [widgets.HBox(row, layout=widgets.Layout(width="100%", flex="0 0 auto")) for row in rows]
        hint = widgets.HTML(sentence(f"{scale}. With this tab open, the keys 1 to 5 score."))
        super().__init__([*boxes, self.score, hint, self.comment, self.status, self.compare, self.result])
        self.layout = widgets.Layout(height="100%", overflow="hidden auto")
        self.add_class("pedseg-scroll")

    def _connect(self, on_blind: Callable[[], object]) -> None:
        self.blinded.observe(lambda _: on_blind(), "value")
        for control in (self.reader, self.reading):
            control.observe(lambda _: self._show(), "value")
        self.organ.observe(lambda _: self._look(), "value")
        self.score.observe(lambda _: self._save(), "value")
        self.comment.observe(lambda _: self._save(go_on=False), "value")
        self.next.on_click(lambda _: self.go_on())
        self.compare.on_click(lambda _: self._show_agreement())

    # --- what the room tells ------------------------------------------------------------------------

    def case_view(
        self, case_key: CaseKey, scan: Scan, truth: Scan | None, predictions: Mapping[Hashable, NDArray],
        contours: Mapping[Hashable, NDArray],
    ) -> CaseView:  # fmt: skip
        """The case as the reader may see it: where blinded, without the truth, and all contour sets under letters.

        The letters are dealt anew for each reader, reading and case, always the same way.
        """
        self.case_key = case_key
        sets: Mapping[Hashable, NDArray] = ChainMap(predictions, contours)  # type: ignore[arg-type]
        if not self.blinded.value:
            return CaseView(scan, None if truth is None else truth.voxels, sets, [*predictions])
        text = "|".join([self.reader.value, str(self.reading.value), *case_key])
        rng = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:12], 16))
        names = [*sets]
        models = [BlindedModel(chr(65 + k), names[place]) for k, place in enumerate(rng.permutation(len(names)))]
        return CaseView(scan, None, _Renamed(sets, models), models)

    def set_model(self, model: Hashable) -> None:
        """The contours that are scored, None for no model."""
        self.model = model
        self._show()

    def press(self, key: str) -> bool:
        """Score by a key; whether it was one."""
        if key not in map(str, SCORES):
            return False
        self.score.value = int(key)
        return True

    # --- scoring ------------------------------------------------------------------------------------

    @property
    def contours(self) -> str:
        """Who drew what is scored, by the true name."""
        return str(getattr(self.model, "key", self.model))

    def _item(self, name: str) -> tuple[int, str, str, str, str] | None:
        """What is scored for an organ."""
        if self.case_key is None or self.model is None:
            return None
        return self.reading.value, self.case_key.center, self.case_key.case, name, self.contours

    def _given(self) -> dict[tuple, ReaderScore]:
        try:
            return self.book.of(self.reader.value) if self.reader.value.strip() else {}
        except PedsegInputError as error:
            self._say(str(error.problems[0].problem), "error")
            return {}

    def _show(self) -> None:
        """Show the score that the organ has already."""
        given = self._given()
        old = given.get(self._item(self.organ.value) or ())
        with suspend_callbacks(self):
            self.score.value, self.comment.value = (old.score, old.comment) if old else (None, "")
        here = sum(self._item(name) in given for name in NAMES)
        self._say(f"{here} organs of this contour scored." if self.reader.value.strip() else "Write who reads.")

    def _look(self) -> None:
        if not self.quiet:
            self._show()
            if self.case_key is not None:
                self.on_organ(self.organ.value)

    def _save(self, go_on: bool = True) -> None:
        """Keep the score at once, and go on to the next organ."""
        item = self._item(self.organ.value)
        if self.quiet or self.score.value is None:
            return
        if item is None or not self.reader.value.strip():
            self._show()
            self._say("Choose a network to score." if item is None else "Write who reads, then score.", "error")
            return
        when = datetime.now(UTC).isoformat(timespec="seconds")
        score = ReaderScore(
            self.reader.value.strip(),
            item[0],
            *item[1:],
            self.score.value,
            self.comment.value,
            self.blinded.value,
            when,
        )
        try:
            self.book.put(score)
        except (PedsegInputError, OSError) as error:
            self._say(f"Not saved: {error}", "error")
            return
        saved = f"Saved: {organ(score.organ).plain}, {score.score}."
        if go_on:
            self.go_on()
        self._say(saved + " " + self._progress())

    def go_on(self) -> None:
        """Look at the next organ of this contour that has no score; stay where all have one."""
        given, names = self._given(), [name for _, name in self.organ.options]
        start = names.index(self.organ.value) + 1
        open_ = [name for name in names[start:] + names[:start] if self._item(name) not in given]
        if open_:
            self.organ.value = open_[0]
        else:
            self._say("All organs of this contour are scored: choose another network or child.")

    def _progress(self) -> str:
        given = self._given()
        return f"{sum(self._item(name) in given for name in NAMES)} of {len(NAMES)} organs of this contour scored."

    def _say(self, text: str, kind: str = "note") -> None:
        self.status.value = sentence(text, kind, role="status")

    # --- all scores ---------------------------------------------------------------------------------

    def _show_agreement(self) -> None:
        """Agreement of readings, scores beside DSC, and a file to download."""
        study = self.failures().entries.study
        file = rows_file(study) if study else None
        rows = read_rows(file) if file and file.is_file() else None
        try:
            self.result.value = readings_html(self.book.all(), None if rows is None else rows[rows["seed"] == 0])
        except PedsegInputError as error:
            self._say(str(error), "error")
