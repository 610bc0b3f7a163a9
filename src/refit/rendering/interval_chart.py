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
    """One interval with its value."""

    name: str
    low: float
    value: float
    high: float
    kind: Kind = "neutral"
    limit: float | None = None
    """Lower limit for the interval; drawn as its own tick."""


def interval_chart(lines: Sequence[Line], *, title: str, unit: str = "", percent: bool = False) -> Markup:
    """
    Return the intervals one below the other, with each value as a dot; the axis always includes 0, marked by a line.

    With *percent* 1.0 is shown as +100%, otherwise as a plain number. Limits are short dashed lines. On a narrow page
    name and numbers are above their interval, which takes the whole width.

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

    def formatted(value: float) -> str:
        return f"{100 * value:+.1f}%" if percent else number(value)

    grid, marks = [], []
    for n in range(round((last - first) / step) + 1):
        at = first + n * step
        zero = abs(at) < step / 2
        grid.append(_upright(x(at), "axis" if zero else "grid"))
        mark = f"{100 * at:+.0f}%" if percent and step >= 0.01 else formatted(at)
        marks.append(tag("span", "0" if zero else mark, style=f"left:{x(at):.2f}%"))
    rows = []
    for line in lines:
        inside = f"{formatted(line.value)} ({formatted(line.low)} to {formatted(line.high)})"
        drawn = [tag("title", f"{line.name}: {inside}"), *grid]
        if line.limit is not None:
            drawn.append(_upright(x(line.limit), "guide"))
        drawn.append(_stroke(x(line.low), x(line.high), 3))
        # A zero-length stroke with round ends is a dot at any picture width.
        drawn.append(_stroke(x(line.value), x(line.value), 10))
        track = tag("svg", *drawn, viewBox=f"0 0 100 {_ROW}", preserveAspectRatio="none", class_="track", role="img")
        shown = inside.replace("% to", " to").replace("%)", ")")
        parts = (tag("span", shorten(line.name, 28), class_="name"), track, tag("span", shown, class_="said"))
        rows.append(tag("div", *parts, class_=f"interval {_COLOURS[line.kind]}"))
    rows.append(tag("div", tag("div", *marks, class_="ticks"), class_="interval", aria_hidden="true"))
    return tag("figure", caption, tag("div", *rows, class_="intervals"))


def _upright(at: float, kind: str) -> Markup:
    return tag("path", d=f"M{at:.2f} 0V{_ROW}", class_=kind, vector_effect="non-scaling-stroke")


def _stroke(start: float, end: float, width: int) -> Markup:
    how: dict[str, str | float] = {"stroke": "currentColor", "stroke_width": width, "stroke_linecap": "round"}
    return tag("path", d=f"M{start:.2f} {_ROW / 2:g}H{end:.2f}", **how, vector_effect="non-scaling-stroke")


def _axis(low: float, high: float) -> tuple[float, float, float]:
    """Return the first tick, the last tick and the step for 3 to 8 ticks that include 0."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= span / 5), 10 * power)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step
