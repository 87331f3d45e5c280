"""Two charts as SVG text for the report: learning curves, and dots with intervals.

Drawn without matplotlib because they must follow the reader's light or dark page and stay sharp in
print: colors come from the page's style sheet (classes `s0` … `s5`), and every series has a line
style and a marker of its own, so that color is never alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10

Point = tuple[float, float]
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 2")
LEFT, RIGHT, TOP, ROW = 52, 24, 26, 30  # margins and row height in SVG units
WIDTH = 460


def line_chart(series: Mapping[str, Sequence[Sequence[Point]]], *, title: str, x: str) -> str:
    """Lines by name, each name with one line a seed; points are (x, y). Empty text without a point."""
    known = {name: [[p for p in line] for line in lines if line] for name, lines in series.items()}
    points = [point for lines in known.values() for line in lines for point in line]
    if not points:
        return ""
    xs, ys = ticks(0, max(p[0] for p in points)), ticks(min(p[1] for p in points), max(p[1] for p in points))
    key = _key(list(known))
    top, height = TOP + 10 + 18 * len(key), 220
    across, up = _scale(xs[0], xs[-1], LEFT, WIDTH - RIGHT), _scale(ys[0], ys[-1], top + height, top)
    parts = [_text(4, 16, title, "t"), *_placed(key)]
    for value in ys:
        parts += [_rule(LEFT, up(value), WIDTH - RIGHT, up(value)), _text(LEFT - 6, up(value) + 4, f"{value:g}", "e")]
    for value in xs:
        parts.append(_text(across(value), top + height + 16, f"{value:g}", "m"))
    for index, lines in enumerate(known.values()):
        for line in lines:
            places = [(across(a), up(b)) for a, b in line]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            parts.append(f'<polyline class="s{index % 6}" points="{path}" stroke-dasharray="{DASHES[index % 6]}"/>')
            parts.append(_marker(index, *places[-1]))
    parts.append(_text((LEFT + WIDTH) / 2, top + height + 34, x, "m"))
    last = "; ".join(f"{name} ends at {lines[0][-1][1]:.3g}" for name, lines in known.items() if lines)
    return _svg(parts, top + height + 44, f"{title} over {x}: {last}.")


def dot_chart(
    series: Mapping[str, Mapping[str, tuple[float, float | None, float | None]]], *, title: str, x: str
) -> str:
    """One row a label, one mark a series: `series[name][label] = (value, low, high)`, None without interval."""
    labels = list(dict.fromkeys(label for values in series.values() for label in values))
    numbers = [n for values in series.values() for triple in values.values() for n in triple if n is not None]
    if not numbers:
        return ""
    xs, key, left = ticks(min(numbers), max(numbers)), _key(list(series)), 138
    top, height = TOP + 18 * len(key), ROW * len(labels)
    across = _scale(xs[0], xs[-1], left, WIDTH - RIGHT)
    parts = [_text(4, 16, title, "t"), *_placed(key)]
    for value in xs:
        parts += [_rule(across(value), top, across(value), top + height)]
        parts += [_text(across(value), top + height + 16, f"{value:g}", "m")]
    for row, label in enumerate(labels):
        parts.append(_text(left - 8, top + ROW * (row + 0.5) + 4, label, "e"))
        for index, values in enumerate(series.values()):
            if label in values:
                value, low, high = values[label]
                y = top + ROW * (row + (index + 1) / (len(series) + 1))
                if low is not None and high is not None:
                    parts.append(f'<path class="s{index % 6}" d="M{across(low):.1f} {y:.1f}H{across(high):.1f}"/>')
                parts.append(_marker(index, across(value), y))
    parts.append(_text((left + WIDTH) / 2, top + height + 34, x, "m"))
    return _svg(
        parts, top + height + 44, f"{title}. {x} by organ and model with intervals; the numbers stand in the table."
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from just below `low` to just above `high`, about `count` of them."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** floor(log10(span / count))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= count)
    first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, max(last, first + 1) + 1)]


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _key(names: list[str]) -> list[list[tuple[int, str]]]:
    """The names in lines of two, with the number of their style."""
    numbered = list(enumerate(names))
    return [numbered[k : k + 2] for k in range(0, len(numbered), 2)]


def _placed(key: list[list[tuple[int, str]]]) -> list[str]:
    parts = []
    for row, line in enumerate(key):
        for column, (index, name) in enumerate(line):
            x, y = 16 + column * WIDTH / 2, 34 + 18 * row
            dash = DASHES[index % 6]
            parts.append(
                f'<path class="s{index % 6}" d="M{x} {y}h34" stroke-dasharray="{dash}"/>{_marker(index, x + 17, y)}'
            )
            parts.append(_text(x + 42, y + 4, name, ""))
    return parts


def _marker(index: int, x: float, y: float) -> str:
    """Circle, square, triangle, diamond, triangle on its tip, cross."""
    shapes = ("m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "m-4,-4h8v8h-8z", "m0,-5l5,9h-10z", "m0,-5l5,5l-5,5l-5,-5z",
              "m0,5l5,-9h-10z", "m-1.5,-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z")  # fmt: skip
    return f'<path class="f{index % 6}" d="M{x:.1f} {y:.1f}{shapes[index % 6]}"/>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="g" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(parts: list[str], height: float, alt: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(alt, quote=True)}">{body}</svg>'
