"""HTML: data can say anything and a page still shows it as text, and needs nothing but itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from refit.rendering.document import Section, badge, escape, join, number, page, percent, shorten, table, tag

HOSTILE = "<script>alert(\"1\")</script> & 'ünïcode' \u202e 日本"


def text_of(markup: str) -> str:
    """Return what a reader sees."""
    return "".join(ET.fromstring(f"<x>{markup}</x>").itertext())


def test_escaped_text_is_what_was_given() -> None:
    assert escape(HOSTILE) == ("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; &#39;ünïcode&#39; \u202e 日本")
    assert text_of(escape(HOSTILE)) == HOSTILE


def test_nothing_is_escaped_twice() -> None:
    assert escape(escape("a < b")) == "a &lt; b"
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"


def test_markup_that_was_joined_with_text_is_text() -> None:
    """Whoever builds markup by hand sees it escaped, instead of opening a hole."""
    assert tag("p", f"{tag('b', 'x')}<script>") == "<p>&lt;b&gt;x&lt;/b&gt;&lt;script&gt;</p>"


def test_characters_that_no_document_carries_are_replaced() -> None:
    assert escape("a\x00b\x1b\ud800c\ufffe") == "a\ufffdb\ufffd\ufffdc\ufffd"


def test_attributes_cannot_be_closed_by_their_value() -> None:
    assert tag("a", title='x" onclick="evil') == '<a title="x&#34; onclick=&#34;evil"></a>'


def test_a_long_id_is_cut_with_an_ellipsis() -> None:
    assert shorten("x" * 300, 20) == "x" * 19 + "…"
    assert shorten("x" * 20, 20) == "x" * 20


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (1, 4, "25.0%"), (0, 5, "0.0%"), (5, 5, "100.0%"), (1, 2_000, "<0.1%"),
        (99_999, 100_000, ">99.9%"), (3, 0, "—"), (3, 2, "150.0%"),
    ],
)  # fmt: skip
def test_a_share_never_rounds_something_to_nothing_or_to_all(part: int, whole: int, said: str) -> None:
    assert percent(part, whole) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (1234567, "1,234,567"), (12480.5, "12,480.5"), (0.1, "0.1"), (0.00001, "1e-05"), (1e300, "1e+300")],
)
def test_numbers_are_written_for_people(value: float, said: str) -> None:
    assert number(value) == said


def test_a_table_aligns_numbers_and_escapes_cells() -> None:
    element = ET.fromstring(table(["Name", "Rows"], [["<i>", "12"], [badge("odd", "warning"), "3"]], numeric={1}))
    first, second = element.findall("table/tbody/tr")
    assert [cell.text for cell in first] == ["<i>", "12"]
    assert [cell.get("class") for cell in first] == [None, "number"]
    assert second.find("td/span").get("class") == "badge warning"  # type: ignore[union-attr]
    assert [cell.get("scope") for cell in element.findall("table/thead/tr/th")] == ["col", "col"]


def test_a_verdict_is_read_without_its_colour() -> None:
    signs = {text_of(badge("", kind)).strip() for kind in ("good", "warning", "refused", "neutral")}
    assert len(signs) == 4


def test_a_page_needs_nothing_outside_it() -> None:
    whole = page("A day", [Section("One", tag("p", "x"))], kicker="Shop", summary="fine", foot="end")
    for reference in ("http", "//", "<script", "src=", "<link", "@import", "url("):
        assert reference not in whole
    assert whole.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>A day · Shop</title>" in whole
    assert "prefers-color-scheme: dark" in whole
    assert "@media print" in whole


def test_every_text_of_a_page_is_escaped() -> None:
    whole = page(HOSTILE, [Section(HOSTILE, tag("p", HOSTILE))], kicker=HOSTILE, summary=HOSTILE, foot=HOSTILE)
    assert "<script" not in whole
    in_the_tab, in_the_body = 2, 6
    assert whole.count("&lt;script&gt;") == in_the_tab + in_the_body


@given(st.text(), st.text(), st.text())
def test_whatever_the_data_say_the_markup_is_well_formed(first: str, second: str, third: str) -> None:
    made = join([tag("p", first, title=second), badge(second, "good"), table([first], [[second], [third]])])
    assert isinstance(made, Markup)
    element = ET.fromstring(f"<x>{made}</x>")
    assert len(element.findall("p")) == 1
    assert len(element.findall("div/table/tbody/tr/td")) == 2
