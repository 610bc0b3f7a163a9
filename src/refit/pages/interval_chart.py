"""A chart of intervals, one per line, over a common axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from refit.pages.charts import NotDrawableError
from refit.pages.html import Kind, Markup, number, shorten, tag

_WIDTH, _NAMES, _VALUES = 720, 190, 165
_ROW = 26
_COLOURS: dict[Kind, str] = {"good": "good", "warning": "warning", "refused": "refused", "neutral": "muted"}


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

    With *percent* 1.0 is shown as +100%, else numbers stand as they are. Limits are short dashed lines.

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
    height = _ROW * len(lines) + 8

    def x(value: float) -> float:
        return _NAMES + (_WIDTH - _NAMES - _VALUES) * (value - first) / (last - first)

    def said(value: float) -> str:
        return f"{100 * value:+.1f}%" if percent else number(value)

    shapes = []
    for n in range(round((last - first) / step) + 1):
        at = first + n * step
        kind = "axis" if abs(at) < step / 2 else "grid"
        shapes.append(tag("line", x1=x(at), x2=x(at), y1=0, y2=height, class_=kind))
        mark = f"{100 * at:+.0f}%" if percent and step >= 0.01 else said(at)
        zero = "0" if abs(at) < step / 2 else mark
        shapes.append(tag("text", zero, x=x(at), y=height + 16, text_anchor="middle"))
    for n, line in enumerate(lines):
        y = _ROW * n + _ROW / 2 + 4
        colour = f"color:var(--{_COLOURS[line.kind]})"
        what = f"{line.name}: {said(line.value)} ({said(line.low)} to {said(line.high)})"
        drawn = [tag("title", what)]
        if line.limit is not None:
            at = x(line.limit)
            drawn.append(tag("line", x1=at, x2=at, y1=y - 10, y2=y + 10, class_="guide"))
        wide: dict[str, str | float] = {"stroke": "currentColor", "stroke_width": 3, "stroke_linecap": "round"}
        drawn.append(tag("line", **wide, x1=x(line.low), x2=x(line.high), y1=y, y2=y))
        drawn.append(tag("circle", cx=x(line.value), cy=y, r=5, fill="currentColor"))
        drawn.append(tag("text", shorten(line.name, 28), x=0, y=y + 4))
        inside = f"{said(line.value)} ({said(line.low)} to {said(line.high)})".replace("% to", " to").replace("%)", ")")
        drawn.append(tag("text", inside, x=_WIDTH, y=y + 4, text_anchor="end"))
        shapes.append(tag("g", *drawn, style=colour))
    picture = tag(
        "svg", tag("title", title), *shapes, viewBox=f"0 0 {_WIDTH} {height + 24}", role="img", aria_label=title
    )
    return tag("figure", caption, tag("div", picture, class_="plot"))


def _axis(low: float, high: float) -> tuple[float, float, float]:
    """Return the first and last tick and the distance of ticks, 3 to 8 of them, 0 among them."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= span / 5), 10 * power)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step
