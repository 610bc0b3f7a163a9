"""A chart of intervals, one per line, over a common axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refit.rendering.charts import NotDrawableError
from refit.rendering.document import Kind, number, shorten, tag

_ROW = 26
_COLOURS: dict[Kind, str] = {"good": "in-good", "warning": "in-warning", "refused": "in-refused", "neutral": "in-muted"}


@dataclass(frozen=True)
class Line:
    """One interval with the value inside it."""

    name: str
    low: float
    value: float
    high: float
    kind: Kind = "neutral"
    limit: float | None = None
    """Where the interval must not reach below; drawn as a tick of its own."""


def interval_chart(lines: Sequence[Line], *, title: str, unit: str = "", percent: bool = False) -> Markup:
    """
    Return the intervals below each other with the value as a dot; 0 is always on the axis and has a line.

    With *percent* 1.0 is shown as +100%, else numbers stand as they are. Limits are short dashed lines. On a narrow
    page name and numbers stand above their interval, which takes the whole width.

    Raises:
        NotDrawableError: a number is NaN or infinite.
    """
    ends = [0.0, *(end for line in lines for end in (line.low, line.value, line.high, line.limit or 0.0))]
    if not all(math.isfinite(end) for end in ends):
        raise NotDrawableError(f"chart {title!r}: an interval has no finite end")
    caption = tag("figcaption", tag("b", title), f" · {unit}" if unit else "")
    if not lines:
        return tag("figure", caption, tag("p", "Nothing to show.", class_="note"))
    first, last, step = _axis(min(ends), max(ends))

    def x(value: float) -> float:
        return 100 * (value - first) / (last - first)

    def said(value: float) -> str:
        return f"{100 * value:+.1f}%" if percent else number(value)

    grid, marks = [], []
    for n in range(round((last - first) / step) + 1):
        at = first + n * step
        zero = abs(at) < step / 2
        grid.append(_upright(x(at), "axis" if zero else "grid"))
        mark = f"{100 * at:+.0f}%" if percent and step >= 0.01 else said(at)
        marks.append(tag("span", "0" if zero else mark, style=f"left:{x(at):.2f}%"))
    rows = []
    for line in lines:
        inside = f"{said(line.value)} ({said(line.low)} to {said(line.high)})"
        drawn = [tag("title", f"{line.name}: {inside}"), *grid]
        if line.limit is not None:
            drawn.append(_upright(x(line.limit), "guide"))
        drawn.append(_stroke(x(line.low), x(line.high), 3))
        # A stroke without length and with round ends is a dot, whatever the picture's width is.
        drawn.append(_stroke(x(line.value), x(line.value), 10))
        track = tag("svg", *drawn, viewBox=f"0 0 100 {_ROW}", preserveAspectRatio="none", class_="track", role="img")
        told = inside.replace("% to", " to").replace("%)", ")")
        parts = (tag("span", shorten(line.name, 28), class_="name"), track, tag("span", told, class_="said"))
        rows.append(tag("div", *parts, class_=f"interval {_COLOURS[line.kind]}"))
    rows.append(tag("div", tag("div", *marks, class_="ticks"), class_="interval", aria_hidden="true"))
    return tag("figure", caption, tag("div", *rows, class_="intervals"))


def _upright(at: float, kind: str) -> Markup:
    return tag("path", d=f"M{at:.2f} 0V{_ROW}", class_=kind, vector_effect="non-scaling-stroke")


def _stroke(start: float, end: float, width: int) -> Markup:
    how: dict[str, str | float] = {"stroke": "currentColor", "stroke_width": width, "stroke_linecap": "round"}
    return tag("path", d=f"M{start:.2f} {_ROW / 2:g}H{end:.2f}", **how, vector_effect="non-scaling-stroke")


def _axis(low: float, high: float) -> tuple[float, float, float]:
    """Return the first and last tick and the distance of ticks, 3 to 8 of them, 0 among them."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= span / 5), 10 * power)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step
