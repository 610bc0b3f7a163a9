"""
HTML that is safe to fill with data.

Every `str` is text and is escaped; only `Markup`, which the functions here and in `charts` return, is taken as it is.
Whole pages and tables are Jinja2 templates beside this file; `tag` makes their contents.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML or UTF-8 cannot carry: control characters and lone surrogates."""

Kind = Literal["good", "warning", "refused", "neutral"]
_SIGNS: dict[Kind, str] = {"good": "✓", "warning": "!", "refused": "✕", "neutral": "·"}
"""Signs that show a verdict without colour, for colour-blind readers and on paper."""


@dataclass(frozen=True)
class Section:
    """One part of a page with its own heading."""

    title: str
    """Text."""
    body: Markup


def escape(text: str) -> Markup:
    """
    Return *text* escaped, `Markup` unchanged; characters that no document can carry become U+FFFD.

    >>> escape("<a> & 'b'")
    Markup('&lt;a&gt; &amp; &#39;b&#39;')
    """
    return text if isinstance(text, Markup) else Markup.escape(shown_as_text(text))


def shown_as_text(text: str) -> str:
    """Return *text* with U+FFFD for each character that no document can carry."""
    return _UNPRINTABLE.sub("\ufffd", text)


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """
    Return one element.

    Text children and attribute values are escaped; `class_` is `class`, `stroke_width` is `stroke-width`; numbers are
    rounded to two decimals.

    >>> tag("p", "1 < 2", class_="note")
    Markup('<p class="note">1 &lt; 2</p>')
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items())
    # Never self-closed: `<td/>` would stay open in HTML, `<rect></rect>` is right in HTML and in XML.
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Concatenate the parts; plain text is escaped."""
    return Markup("".join(escape(part) for part in parts))


def shorten(text: str, most: int = 60) -> str:
    """
    Return *text* in at most *most* characters, ending with an ellipsis if it was cut.

    >>> shorten("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def number(value: float) -> str:
    """
    Format a number: thousands separated, at most three decimals.

    >>> number(12345), number(0.25), number(1e18)
    ('12,345', '0.25', '1e+18')
    """
    if abs(value) >= 1e15 or 0 < abs(value) < 5e-4:
        return f"{value:.3g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def percent(part: float, whole: float) -> str:
    """
    Format the share of *part* in *whole*; a non-zero share is never shown as 0, nor an incomplete one as 100%.

    >>> percent(1, 8), percent(1, 9999), percent(9999, 10000), percent(0, 0)
    ('12.5%', '<0.1%', '>99.9%', '—')
    """
    if not whole:
        return "—"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1%"
    return ">99.9%" if 99.9 < share < 100 else f"{share:.1f}%"


def badge(text: str, kind: Kind) -> Markup:
    """Return a short verdict as a pill with the colour and the sign of its kind."""
    return tag("span", tag("span", _SIGNS[kind], aria_hidden="true"), " ", text, class_=f"badge {kind}")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Collection[int] = ()) -> Markup:
    """
    Return a table that scrolls sideways when it is wider than the page.

    On a narrow page each row of a table of more than three columns is a card, with its header above each cell.
    *numeric* are the positions, counted from 0, of numeric columns, which are right-aligned. A cell that is `Markup` is
    not escaped.
    """
    return Markup(_template("table.html.j2").render(headers=headers, rows=rows, numeric=numeric))


def page(
    title: str, sections: Sequence[Section], *, summary: str = "", kicker: str = "", verdict: str = "", foot: str = ""
) -> str:
    """
    Return one self-contained HTML document.

    *title* is the headline and the name of the tab, *kicker* a small line above it, *verdict* a `badge` beside it,
    *summary* a sentence or markup below it, *foot* a last small line.
    """
    css = Markup(files(__package__).joinpath("page.css").read_text(encoding="utf-8"))
    return _template("page.html.j2").render(
        title=title, kicker=kicker, verdict=verdict, summary=summary, sections=sections, foot=foot, css=css
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        # Jinja2 escapes, but does not remove characters that no document can carry.
        finalize=lambda value: escape(value) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)


def _attribute(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 2):g}"
