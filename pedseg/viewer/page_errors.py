"""Errors as sentences on the page: whatever goes wrong behind a control, its reader is told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from pedseg.errors import PedsegInputError
from pedseg.viewer.controls import sentence


class PageErrors:
    """The line of the page that says what is wrong."""

    def __init__(self, line: widgets.HTML) -> None:
        self.line = line

    def show(self, text: str = "") -> None:
        """Show an error message, or remove it."""
        self.line.value = sentence(text, "error", role="alert") if text else ""

    @contextmanager
    def caught(self, addition: str = "") -> Iterator[None]:
        """Show an error of the block as a sentence, with `addition` behind it."""
        try:
            yield
        except PedsegInputError as error:
            problems = (f"{problem.file}: {problem.problem} {problem.remedy}" for problem in error.problems)
            self.show(" ".join(problems) + addition)
        except Exception as error:  # a reader of the page gets a sentence, whatever it was
            self.show(f"That could not be done ({type(error).__name__}: {error}).{addition}")

    def guard(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """A callback that shows its errors."""
        return self.caught()(act)

    def connect(self, act: Callable[[], object], *sources: widgets.Widget, name: str = "value") -> None:
        """Let a change of widgets act, and show its errors."""
        for source in sources:
            source.observe(self.guard(lambda _: act()), name)

    def guard_text(self, act: Callable[..., str]) -> Callable[..., str]:
        """What gives back a text to say: "" where it fails; an older message goes."""

        def guarded(*arguments: Any) -> str:
            self.show()
            with self.caught():
                return act(*arguments)
            return ""

        return guarded
