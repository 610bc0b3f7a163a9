"""
Charts as inline SVG, drawn from plain numbers; names and values are escaped.

Colours are classes whose variables the page's style sheet sets for light and dark. Every bar and point carries its
name and value as a tooltip, so a label that is cut or left out is still there.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from refit.errors import RefitError
from refit.rendering.document import escape, number, percent, shorten, tag

_WIDTH = 720
"""Width of the page's column in pixels, so that chart text has the size of page text."""
_HEIGHT = 200
"""Height of the plot, without the labels below it."""
_LETTER = 7.8
"""Width of a letter at 12 pixels in the widest of the page's fonts."""
_NARROW = 17 / 12
"""Factor by which letters are larger on a narrow page."""
_APART = 12
"""Smallest distance between two labels."""
_LARGEST = 1e300
"""Largest value for which tick arithmetic does not overflow."""
_SMALLEST = 1e-300


class NotDrawableError(RefitError):
    """Numbers or names that cannot be drawn."""


def paired_bars(
    labels: Sequence[str],
    left: Sequence[float],
    right: Sequence[float],
    *,
    left_name: str,
    right_name: str,
    title: str,
) -> Markup:
    """
    Return two bars per label, *left* in grey and *right* in colour, over one axis of shares that starts at 0.

    Shares are fractions of 1; 1.0 is shown as 100%. Labels that would overlap are cut, then left out at even distances.

    Raises:
        NotDrawableError: the three lengths differ, or a value is negative, NaN or infinite.
    """
    _same_lengths(title, labels, left, right)
    _check(title, [*left, *right])
    if not labels:
        return _nothing(title)
    ticks = _ticks(max([*left, *right]))
    marks = [f"{number(100 * tick)}%" for tick in ticks]
    plot = _Plot(labels, ticks, marks)
    bar = min(plot.slot * 0.4, 30)
    shapes = []
    for position, label in enumerate(labels):
        middle = plot.x(position)
        for x, value, name, kind in (
            (middle - bar, left[position], left_name, "reference"),
            (middle, right[position], right_name, "current"),
        ):
            height = plot.base - plot.y(value)
            what = tag("title", f"{shorten(label)}: {name} {percent(value, 1)}")
            gap = min(bar * 0.06, 1)
            shapes.append(
                tag("rect", what, x=x + gap, y=plot.base - height, width=bar - 2 * gap, height=height, class_=kind)
            )
    keys = [("key reference", left_name), ("key current", right_name)]
    return _figure(title, _keys(keys), plot.drawn(title, shapes))


def line_chart(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    unit: str = "",
    marked: int | None = None,
) -> Markup:
    """
    Return one line per series over evenly spaced labels; the axis starts at 0.

    None is a gap; a value between two gaps is a point alone. *marked* is the position of the label to emphasise; its
    name is always shown. *unit* is what the numbers count and stands beside the title.

    Raises:
        NotDrawableError: a series is not as long as the labels, a value is negative, NaN or infinite, or there is no
            label at *marked*.
    """
    _same_lengths(title, labels, *series.values())
    known = [value for values in series.values() for value in values if value is not None]
    _check(title, known)
    if marked is not None and not 0 <= marked < len(labels):
        raise NotDrawableError(f"chart {title!r}: label {marked} is to be marked, there are {len(labels)}")
    if not known:
        return _nothing(title)
    ticks = _ticks(max(known), whole=all(float(value).is_integer() for value in known))
    plot = _Plot(labels, ticks, [number(tick) for tick in ticks], marked)
    shapes = []
    if marked is not None:
        x = plot.x(marked)
        shapes.append(tag("line", x1=x, x2=x, y1=plot.top, y2=plot.base, class_="guide"))
    # The first series is the main one, so it is drawn last, on top.
    for order, (name, values) in reversed(list(enumerate(series.items()))):
        colour = _colour(order)
        points = [None if value is None else (plot.x(at), plot.y(value)) for at, value in enumerate(values)]
        path = "".join(
            f"{'M' if at == 0 or points[at - 1] is None else 'L'}{point[0]:.2f} {point[1]:.2f}"
            for at, point in enumerate(points)
            if point is not None
        )
        if path:
            shapes.append(tag("path", d=path, class_=f"line line-{colour}"))
        for at, (point, value) in enumerate(zip(points, values, strict=True)):
            if point is not None and value is not None:
                what = tag("title", f"{shorten(labels[at])}: {name} {number(value)}")
                alone = all(points[near] is None for near in (at - 1, at + 1) if 0 <= near < len(points))
                # Dots would hide the dashes of a dashed line; invisible dots still show their tooltips.
                seen = order == 0 or alone or at == marked
                radius = 4.5 if at == marked else 2.2 if seen else 5
                kind = f"part-{colour}" if seen else "unseen"
                shapes.append(tag("circle", what, cx=point[0], cy=point[1], r=radius, class_=kind))
    keys = [(f"rule rule-{_colour(order)}", name) for order, name in enumerate(series)]
    return _figure(title, _keys(keys), plot.drawn(title, shapes), unit)


def stacked_bar(parts: Mapping[str, int], *, title: str, legend: bool = True) -> Markup:
    """
    Return one bar whose parts are as wide as their shares of the sum, in the order given, with a legend of counts.

    A non-zero part is at least 3 of 720 wide, so that it is visible, at the expense of the widest part. *legend* is
    false if a table below names the parts beside their `swatch`.

    Raises:
        NotDrawableError: a part is negative, NaN or infinite.
    """
    _check(title, parts.values())
    total = sum(parts.values())
    if not total:
        return _nothing(title)
    shares = {name: max(_WIDTH * value / total, 3.0) for name, value in parts.items() if value}
    widest = max(shares, key=lambda name: shares[name])
    shares[widest] = max(shares[widest] + _WIDTH - sum(shares.values()), 3.0)
    stretch = _WIDTH / sum(shares.values())
    x, shapes, keys = 0.0, [], []
    for order, (name, value) in enumerate(parts.items()):
        if not value:
            continue
        width = shares[name] * stretch
        what = tag("title", f"{shorten(name)}: {number(value)} ({percent(value, total)})")
        gap = 1 if x + width < _WIDTH - 0.01 else 0
        shapes.append(tag("rect", what, x=x, y=0, width=width - gap, height=26, class_=f"part-{_colour(order)}"))
        keys.append((f"key key-{_colour(order)}", f"{shorten(name)} {number(value)}"))
        x += width
    return _figure(title, _svg(title, 26, shapes), _keys(keys) if legend else escape(""))


def swatch(position: int) -> Markup:
    """Return a square in the colour of the part of a `stacked_bar` at *position*, counted from 0."""
    return tag("span", class_=f"key key-{_colour(position)}")


class _Plot:
    """Layout of labels, values and ticks."""

    def __init__(self, labels: Sequence[str], ticks: Sequence[float], marks: Sequence[str], marked: int | None = None):
        self._ticks, self._marks, self._marked = ticks, marks, marked
        axis = max(len(mark) for mark in marks) * _LETTER + 10
        fitting = int(((_WIDTH - axis) / len(labels) - _APART) / _LETTER)
        most = fitting if fitting >= 8 else 14
        self._labels = [shorten(label, most) for label in labels]
        widest = max(_length(label) for label in self._labels)
        self.left = axis
        self.slot = (_WIDTH - axis) / len(labels)
        if self.slot < widest:
            # The middle of a label at either end stays inside the picture.
            self.left = max(axis, widest / 2)
            self.slot = (_WIDTH - self.left - max(widest / 2 - self.slot / 2, 0)) / len(labels)
        self._every = max(math.ceil((widest + _APART) / self.slot), 1)
        # On a narrow page text keeps its size while the picture shrinks, so fewer labels fit.
        self._every_narrow = self._every * max(math.ceil((_NARROW * widest + _APART) / (self.slot * self._every)), 1)
        self.top, self.base = 8.0, 8.0 + _HEIGHT

    def x(self, position: int) -> float:
        return self.left + self.slot * (position + 0.5)

    def y(self, value: float) -> float:
        return self.base - _HEIGHT * (value / self._ticks[-1])

    def drawn(self, title: str, shapes: Sequence[Markup]) -> Markup:
        """Return the grid, the shapes over it and the labels around it."""
        back = []
        for tick, mark in zip(self._ticks, self._marks, strict=True):
            y = self.y(tick)
            kind = "grid" if tick else "axis"
            back.append(tag("line", x1=self.left, x2=_WIDTH, y1=y, y2=y, class_=kind))
            back.append(tag("text", mark, x=self.left - 8, y=y + 4, text_anchor="end"))
        start = self._marked or 0
        for position, label in enumerate(self._labels):
            if (position - start) % self._every == 0:
                roomy = (position - start) % self._every_narrow != 0
                how = {"class_": "here"} if position == self._marked else {"class_": "roomy"} if roomy else {}
                back.append(tag("text", label, x=self.x(position), y=self.base + 18, text_anchor="middle", **how))
        # If the chart scrolls sideways, one that marks a late label starts at its end.
        late = self._marked is not None and self._marked >= len(self._labels) / 2
        kind = "plot late" if late else "plot"
        return tag("div", _svg(title, self.base + 26, [*back, *shapes]), class_=kind)


def _ticks(highest: float, *, whole: bool = False) -> list[float]:
    """Return 2 to 6 round numbers from 0 to at least *highest*, whole ones if asked."""
    if highest < _SMALLEST:
        return [0.0, 1.0]
    raw = highest / 5
    power = 10.0 ** math.floor(math.log10(raw))
    factors = (1, 2, 5) if whole and power < 10 else (1, 2, 2.5, 5)
    step = next((factor * power for factor in factors if factor * power >= raw * 0.999), 10 * power)
    if whole:
        step = max(step, 1.0)
    return [step * n for n in range(math.ceil(highest / step * 0.999_999) + 1)]


def _length(text: str) -> float:
    return sum(2 * _LETTER if unicodedata.east_asian_width(letter) in "WF" else _LETTER for letter in text)


def _same_lengths(title: str, labels: Sequence[str], *series: Sequence[float | None]) -> None:
    lengths = [len(values) for values in series]
    if any(length != len(labels) for length in lengths):
        raise NotDrawableError(f"chart {title!r}: {len(labels)} labels with {lengths} values; each label has one")


def _check(title: str, values: Iterable[float]) -> None:
    for value in values:
        # Written so that NaN, for which every comparison is false, is refused too.
        if not 0 <= value <= _LARGEST:
            raise NotDrawableError(f"chart {title!r}: {value} cannot be drawn; values lie between 0 and {_LARGEST:g}")


def _colour(order: int) -> int:
    """Return the number of a colour in the style sheet; with many parts colours repeat, except the first."""
    return order if order < 9 else 1 + (order - 1) % 8


def _svg(title: str, height: float, shapes: Sequence[Markup]) -> Markup:
    name = tag("title", title)
    return tag("svg", name, *shapes, viewBox=f"0 0 {_WIDTH} {height:g}", role="img", aria_label=title)


def _keys(keys: Sequence[tuple[str, str]]) -> Markup:
    return tag("ul", *(tag("li", tag("span", class_=kind), name) for kind, name in keys), class_="keys")


def _figure(title: str, first: Markup, second: Markup, unit: str = "") -> Markup:
    caption = tag("figcaption", tag("b", title), f" · {unit}" if unit else "")
    return tag("figure", caption, first, second)


def _nothing(title: str) -> Markup:
    return _figure(title, tag("p", "Nothing to show.", class_="note"), escape(""))
