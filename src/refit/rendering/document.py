"""
HTML that is safe to fill with data.

Every `str` is text and is escaped; only `Markup`, which the functions here and in `charts` return, is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape as _escape
from typing import Literal

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What neither XML nor UTF-8 can carry: control characters and halves of surrogate pairs."""

Kind = Literal["good", "warning", "refused", "neutral"]
_SIGNS: dict[Kind, str] = {"good": "✓", "warning": "!", "refused": "✕", "neutral": "·"}
"""A verdict is read without its colour: by the colour-blind, and on paper."""


class Markup(str):
    """Markup that is complete and safe to put into a page. Joining it with a `str` by `+` or an f-string gives text."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """One part of a page under a heading of its own."""

    title: str
    """Text."""
    body: Markup


def escape(text: str) -> Markup:
    """
    Return *text* as markup that shows it, `Markup` unchanged; characters that no document can carry become U+FFFD.

    >>> escape("<a> & 'b'")
    '&lt;a&gt; &amp; &#x27;b&#x27;'
    """
    return text if isinstance(text, Markup) else Markup(_escape(shown_as_text(text)))


def shown_as_text(text: str) -> str:
    """Return *text* with U+FFFD for each character that no document can carry."""
    return _UNPRINTABLE.sub("\ufffd", text)


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """
    Return one element.

    Text children and attribute values are escaped; `class_` is `class`, `stroke_width` is `stroke-width`; numbers are
    rounded to two decimals.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items())
    # Never self-closed: `<td/>` would stay open in HTML, `<rect></rect>` is right in HTML and in XML.
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Return the parts one after the other; those that are text are escaped."""
    return Markup("".join(escape(part) for part in parts))


def shorten(text: str, most: int = 60) -> str:
    """
    Return *text* in at most *most* characters, the last of them an ellipsis when something was cut.

    >>> shorten("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def number(value: float) -> str:
    """
    Return a number for people: thousands separated, at most three digits behind the point.

    >>> number(12345), number(0.25), number(1e18)
    ('12,345', '0.25', '1e+18')
    """
    if abs(value) >= 1e15 or 0 < abs(value) < 5e-4:
        return f"{value:.3g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def percent(part: float, whole: float) -> str:
    """
    Return the share of *part* in *whole*; something is never shown as nothing and less than all never as all.

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
    *numeric* are the positions of columns that hold numbers, counted from 0; they are aligned on the right. A cell that
    is `Markup` is taken as it is.
    """
    many = len(headers) > 3

    def line(cell: str, values: Sequence[str]) -> Markup:
        cells = []
        for position, value in enumerate(values):
            how: dict[str, str | float] = {"scope": "col"} if cell == "th" else {}
            how |= {"class_": "number"} if position in numeric else {}
            how |= {"data_head": headers[position]} if cell == "td" and many and position and headers[position] else {}
            cells.append(tag(cell, value, **how))
        return tag("tr", *cells)

    head = tag("thead", line("th", headers))
    body = tag("tbody", *(line("td", row) for row in rows))
    return tag("div", tag("table", head, body), class_="wide cards" if many else "wide")


def page(
    title: str, sections: Sequence[Section], *, summary: str = "", kicker: str = "", verdict: str = "", foot: str = ""
) -> str:
    """
    Return one HTML document that needs nothing outside it.

    *title* is the headline and the name of the tab, *kicker* a small line above it, *verdict* a `badge` beside it,
    *summary* a sentence or markup below it, *foot* a last small line.
    """
    head = tag(
        "header",
        tag("p", kicker, class_="kicker") if kicker else "",
        tag("div", tag("h1", title), verdict, class_="headline"),
        tag("div", summary, class_="summary") if summary else "",
    )
    parts = [tag("section", tag("h2", section.title), section.body) for section in sections]
    end = tag("footer", foot) if foot else ""
    name = escape(f"{title} · {kicker}" if kicker else title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n{tag('main', head, *parts, end)}\n</body>\n</html>\n"
    )


def _attribute(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 2):g}"


_LIGHT = """
--surface:#fff;--ink:#1c2228;--muted:#5b6670;--line:#dfe4e8;--grid:#e9edf0;--soft:#f5f7f8;
--good:#0b6b4a;--good-soft:#e6f4ee;--warning:#7d5200;--warning-soft:#fdf3dc;--refused:#a3271b;--refused-soft:#fcebe8;
--part-0:#0067a8;--part-1:#d55e00;--part-2:#8f9aa3;--part-3:#009e73;--part-4:#cc79a7;--part-5:#e0a100;--part-6:#56b4e9;
--part-7:#6b4c9a;--part-8:#7a4a21;--reference:#aab4bc;--current:#0067a8;
"""
_DARK = """
--surface:#14181c;--ink:#e6eaed;--muted:#9aa6b0;--line:#323a42;--grid:#262d34;--soft:#1c2227;
--good:#6fd3a8;--good-soft:#14332a;--warning:#f0c060;--warning-soft:#38290a;--refused:#ff9c8f;--refused-soft:#401b17;
--part-0:#56b4e9;--part-1:#f08a3c;--part-2:#7d8892;--part-3:#2bbf94;--part-4:#dd96bd;--part-5:#f0c040;--part-6:#2f7fb8;
--part-7:#a68bd4;--part-8:#b98a5e;--reference:#68737d;--current:#56b4e9;
"""
"""Parts follow the palette of Okabe and Ito, which the colour-blind can tell apart."""
_PARTS = "".join(
    f".part-{n}{{fill:var(--part-{n})}}.line-{n}{{stroke:var(--part-{n})}}.key-{n}{{background:var(--part-{n})}}"
    f".rule-{n}{{border-color:var(--part-{n})}}"
    for n in range(9)
)
_CSS = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--surface);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;-webkit-text-size-adjust:100%}}
main{{max-width:800px;margin:0 auto;padding:40px 24px 56px}}
h1{{font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.01em;margin:0;overflow-wrap:anywhere}}
h2{{font-size:18px;line-height:1.3;font-weight:650;margin:0 0 10px}}
h3{{font-size:15px;font-weight:650;margin:22px 0 2px}}h3 span{{font-weight:400}}
p{{margin:0 0 10px;max-width:70ch}}
ul{{margin:0 0 10px;padding-left:20px}}
code{{font:.87em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}}
.kicker{{color:var(--muted);margin:0 0 4px}}
.headline{{display:flex;flex-wrap:wrap;align-items:center;gap:8px 14px}}
.summary{{font-size:17px;margin-top:12px;max-width:62ch}}
section{{margin-top:32px;padding-top:24px;border-top:1px solid var(--line)}}
footer{{margin-top:40px;padding-top:14px;border-top:1px solid var(--line);color:var(--muted);font-size:13px;
overflow-wrap:anywhere}}
.muted,.note{{color:var(--muted)}}
.note{{font-size:13px;margin:2px 0 8px}}
.next{{margin-top:26px}}.lead{{font-variant-numeric:tabular-nums}}
.badge{{display:inline-block;padding:1px 9px;border:1px solid;border-radius:99px;font-size:12.5px;font-weight:600;
line-height:1.5;white-space:nowrap}}
.headline .badge{{font-size:15px;padding:3px 13px}}
.good{{color:var(--good);background:var(--good-soft)}}
.warning{{color:var(--warning);background:var(--warning-soft)}}
.refused{{color:var(--refused);background:var(--refused-soft)}}
.neutral{{color:var(--muted);background:var(--soft)}}
.passed{{color:var(--good);white-space:nowrap}}
.notice{{border-left:4px solid;border-radius:3px;padding:10px 16px;margin:0 0 14px}}
.notice>*{{color:var(--ink)}}.notice>:last-child{{margin-bottom:0}}
.wide{{overflow-x:auto;margin:6px 0 4px}}
table{{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}}
th{{text-align:left;font-weight:500;font-size:12.5px;color:var(--muted);white-space:nowrap}}
th,td{{padding:6px 18px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}}
th:last-child,td:last-child{{padding-right:0}}
tbody tr:last-child td{{border-bottom:0}}
td .note{{margin:1px 0 0}}td p{{margin:0}}
td{{overflow-wrap:break-word}}
.number{{text-align:right;white-space:nowrap}}
figure{{margin:14px 0 16px}}
figcaption{{font-size:13px;color:var(--muted);margin-bottom:6px}}
figcaption b{{color:var(--ink);font-weight:600}}
.keys{{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:4px 0 6px;padding:0;font-size:13px}}
.key{{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}}
.rule{{display:inline-block;width:20px;border-top:2.5px solid;margin-right:6px;vertical-align:4px}}
.rule-1{{border-top-style:dashed}}.rule-2{{border-top-style:dotted}}
.plot{{overflow-x:auto}}.late{{direction:rtl}}.late svg{{direction:ltr}}
svg{{display:block;width:100%;height:auto;overflow:visible}}
.plot svg{{min-width:600px}}
svg text{{font-size:12px;fill:var(--muted);font-variant-numeric:tabular-nums}}
svg .here{{fill:var(--ink);font-weight:650}}
.intervals{{font-size:13px;font-variant-numeric:tabular-nums}}
.interval{{display:grid;grid-template-columns:minmax(0,190px) 1fr 190px;column-gap:14px;align-items:center}}
.interval .name,.interval .said{{color:var(--muted);overflow-wrap:anywhere}}.interval .said{{text-align:right}}
.track{{height:26px;fill:none}}
.ticks{{grid-column:2;position:relative;height:20px;font-size:12px;color:var(--muted)}}
.ticks span{{position:absolute;transform:translateX(-50%);white-space:nowrap}}
.in-good{{color:var(--good)}}.in-warning{{color:var(--warning)}}
.in-refused{{color:var(--refused)}}.in-muted{{color:var(--muted)}}
.grid{{stroke:var(--grid)}}.axis{{stroke:var(--muted)}}.guide{{stroke:var(--muted);stroke-dasharray:2 3}}
.unseen{{fill:transparent}}
.line{{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}}
path.line-1{{stroke-dasharray:6 4}}path.line-2{{stroke-dasharray:1 4}}
{_PARTS}
.reference{{fill:var(--reference);background:var(--reference)}}.current{{fill:var(--current);background:var(--current)}}
@media (max-width:560px){{main{{padding:24px 16px 40px}}h1{{font-size:25px}}.summary{{font-size:16px}}
th,td{{padding-right:12px}}
.plot svg{{min-width:0}}svg text{{font-size:17px}}.roomy{{display:none}}.passed{{white-space:normal}}
.interval{{grid-template-columns:1fr auto;row-gap:1px;padding-top:5px}}.interval .said{{grid-row:1;grid-column:2}}
.track,.ticks{{grid-row:2;grid-column:1/-1}}.ticks{{grid-row:1}}
.cards{{overflow-x:visible}}.cards table,.cards tbody,.cards td{{display:block}}.cards thead{{display:none}}
.cards tr{{display:grid;grid-template-columns:repeat(auto-fill,minmax(98px,1fr));gap:5px 12px;padding:9px 0;
align-items:end;border-bottom:1px solid var(--line)}}.cards tr:last-child{{border-bottom:0}}
.cards td{{border:0;padding:0;text-align:left;min-width:0}}.cards td:not(.number){{grid-column:1/-1}}
.cards td:empty{{display:none}}
.cards td[data-head]::before{{content:attr(data-head);display:block;font-size:11.5px;line-height:1.3;
color:var(--muted);white-space:normal}}}}
@media print{{:root{{color-scheme:light;{_LIGHT}}}main{{max-width:none;padding:0}}body{{font-size:10.5pt}}
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}figure,tr,.notice{{break-inside:avoid}}
h2,h3{{break-after:avoid}}.wide,.plot{{overflow:visible}}}}
"""
