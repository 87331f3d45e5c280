"""The keyboard of the reading room: what a letter or a digit does that is pressed over the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pedseg.scan import WINDOWS
from pedseg.viewer.controls import LOOKS
from pedseg.viewer.organ_panel import EVALUATED_IDS

if TYPE_CHECKING:
    from pedseg.viewer.reading_room import Room


def press(room: Room, key: str) -> None:
    """Do what a key says; unknown ones do nothing. The keys stand in `controls.KEYS`."""
    with room.show_errors():
        if key in "123":
            room.set.window.value = list(WINDOWS)[int(key) - 1]
        elif key in ACTS:
            ACTS[key](room)


def _toggle_layer(number: int):
    def toggle(room: Room) -> None:
        room.set.layers[number].value = not room.set.layers[number].value

    return toggle


def _next_look(room: Room) -> None:
    looks = list(LOOKS)
    room.set.look.value = looks[(looks.index(room.set.look.value) + 1) % len(looks)]


def _only_here(room: Room) -> None:
    """The organs under the crosshair alone."""
    if room.reading is not None and room.slices.at is not None:
        room.box.organs.only(room.reading.organs_at(room.slices.at, room.box.drawn_by) or room.box.organs.shown)


def _measure(room: Room) -> None:
    room.set.tool.value = "window" if room.set.tool.value == "measure" else "measure"


def _draw(room: Room) -> None:
    room.corrections.on.value = not room.corrections.on.value


ACTS = {
    "t": _toggle_layer(0),
    "p": _toggle_layer(1),
    "f": _next_look,
    "o": _only_here,
    "e": lambda room: room.box.organs.only(EVALUATED_IDS),
    "n": lambda room: room.failures.step(1),
    "b": lambda room: room.failures.step(-1),
    "m": _measure,
    "d": _draw,
    "u": lambda room: room.slices.undo(),
}
