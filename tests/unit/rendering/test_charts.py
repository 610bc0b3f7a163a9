"""Charts: lengths are proportional to values, gaps stay gaps, and any name gives a picture that parses."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.rendering.charts import NotDrawableError, line_chart, paired_bars, stacked_bar


def svg(chart: str) -> ET.Element:
    found = ET.fromstring(chart).find(".//svg")
    assert found is not None
    return found


def rects(chart: str, kind: str) -> list[ET.Element]:
    return [rect for rect in svg(chart).iter("rect") if rect.get("class") == kind]


def floats(elements: list[ET.Element], name: str) -> list[float]:
    return [float(element.get(name, "nan")) for element in elements]


def texts(chart: str) -> list[str]:
    return [text.text or "" for text in svg(chart).iter("text")]


def bars(labels: list[str], left: list[float], right: list[float]) -> str:
    return paired_bars(labels, left, right, left_name="reference", right_name="current", title="Type")


def test_bars_are_as_high_as_their_shares() -> None:
    """0.5 at the top tick of 0.5 fills the plot of 200; 0.25 fills half of it and 0.1 a fifth."""
    chart = bars(["view", "buy"], [0.5, 0.25], [0.1, 0.0])
    assert floats(rects(chart, "reference"), "height") == [200, 100]
    assert floats(rects(chart, "current"), "height") == [40, 0]
    assert "50%" in texts(chart)


def test_a_bar_tells_its_name_and_value() -> None:
    told = [rect.findtext("title") for rect in svg(bars(["view"], [0.5], [0.25])).iter("rect")]
    assert told == ["view: reference 50.0%", "view: current 25.0%"]


@pytest.mark.parametrize("count", [1, 2, 7, 30, 60])
def test_labels_do_not_overlap_and_stay_inside(count: int) -> None:
    names = [f"category number {n}" for n in range(count)]
    chart = bars(names, [0.1] * count, [0.2] * count)
    labels = [text for text in svg(chart).iter("text") if text.get("text-anchor") == "middle"]
    assert labels
    places = [(float(label.get("x", "nan")), 7 * len(label.text or "")) for label in labels]
    assert all(x - width / 2 >= 0 and x + width / 2 <= 720 for x, width in places)
    gaps = [b[0] - b[1] / 2 - a[0] - a[1] / 2 for a, b in itertools.pairwise(places)]
    assert all(gap >= 12 for gap in gaps)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_few_categories_are_all_named_even_if_cut(count: int) -> None:
    chart = bars(
        [
            f"{n} has a name that is far too long for the space below its bars, whatever the number of bars is"
            for n in range(count)
        ],
        [0.1] * count,
        [0.2] * count,
    )
    labels = [text.text or "" for text in svg(chart).iter("text") if text.get("text-anchor") == "middle"]
    assert [label[:3] for label in labels] == [f"{n} h" for n in range(count)]
    assert all(label.endswith("…") for label in labels)


def test_bars_do_not_overlap() -> None:
    chart = bars([str(n) for n in range(60)], [0.1] * 60, [0.2] * 60)
    spans = sorted((float(r.get("x", "nan")), float(r.get("width", "nan"))) for r in svg(chart).iter("rect"))
    assert len(spans) == 120
    assert all(x + width <= after for (x, width), (after, _) in itertools.pairwise(spans))


def path_of(chart: str, line: int = 0) -> str:
    return next(path.get("d", "") for path in svg(chart).iter("path") if path.get("class") == f"line line-{line}")


def test_a_line_has_a_point_for_every_value_and_none_for_a_gap() -> None:
    chart = line_chart(["a", "b", "c", "d"], {"kept": [1, 2, None, 4]}, title="Volume")
    assert [circle.findtext("title") for circle in svg(chart).iter("circle")] == ["a: kept 1", "b: kept 2", "d: kept 4"]
    assert re.findall("[ML]", path_of(chart)) == ["M", "L", "M"]


def test_points_are_as_high_as_their_values() -> None:
    """The axis ends at the tick 1,000; the plot is 200 high and ends at 208."""
    chart = line_chart(["a", "b", "c"], {"kept": [0, 500, 1000]}, title="Volume")
    assert floats(list(svg(chart).iter("circle")), "cy") == [208, 108, 8]


def test_ticks_are_round_numbers() -> None:
    chart = line_chart(["x", "y"], {"kept": [480, 2310]}, title="Volume")
    assert [text for text in texts(chart) if text not in "xy"] == ["0", "500", "1,000", "1,500", "2,000", "2,500"]


@pytest.mark.parametrize(("highest", "ticks"), [(2, ["0", "1", "2"]), (12, ["0", "5", "10", "15"])])
def test_ticks_of_counts_are_whole(highest: int, ticks: list[str]) -> None:
    chart = line_chart(["x", "y"], {"kept": [1, highest]}, title="Volume")
    assert [text for text in texts(chart) if text not in "xy"] == ticks


def test_the_marked_day_is_emphasised_and_named_among_many() -> None:
    days = [f"day {n}" for n in range(60)]
    chart = line_chart(days, {"kept": [5.0] * 60}, title="Volume", marked=37)
    assert [text.text for text in svg(chart).iter("text") if text.get("class") == "here"] == ["day 37"]
    large = [circle for circle in svg(chart).iter("circle") if circle.get("r") == "4.5"]
    assert [circle.findtext("title") for circle in large] == ["day 37: kept 5"]


def test_a_point_between_gaps_is_seen() -> None:
    chart = line_chart(["a", "b", "c"], {"kept": [1, 1, 1], "apart": [None, 1, None]}, title="Volume")
    alone = [circle for circle in svg(chart).iter("circle") if circle.findtext("title") == "b: apart 1"]
    assert [circle.get("class") for circle in alone] == ["part-1"]


def test_parts_are_as_wide_as_their_shares() -> None:
    """Three quarters and a quarter of 720, less one for the gap between them."""
    chart = stacked_bar({"kept": 75, "bots": 0, "apart": 25}, title="Where")
    parts = list(svg(chart).iter("rect"))
    assert floats(parts, "x") == [0, 540]
    assert floats(parts, "width") == [539, 180]
    assert [part.findtext("title") for part in parts] == ["kept: 75 (75.0%)", "apart: 25 (25.0%)"]
    assert "apart 25" in "".join(ET.fromstring(chart).itertext())


def test_one_row_of_a_million_is_seen() -> None:
    parts = list(svg(stacked_bar({"kept": 999_999, "apart": 1}, title="Where")).iter("rect"))
    assert floats(parts, "width")[1] >= 3
    assert sum(floats(parts, "width")) == pytest.approx(719)


def test_more_parts_than_colours_never_look_like_the_first() -> None:
    chart = stacked_bar({str(n): 1 for n in range(30)}, title="Where")
    assert len(rects(chart, "part-0")) == 1


EMPTY: list[Callable[[], str]] = [
    lambda: bars([], [], []),
    lambda: line_chart([], {}, title="Volume"),
    lambda: line_chart(["a"], {"kept": [None]}, title="Volume"),
    lambda: stacked_bar({}, title="Where"),
    lambda: stacked_bar({"kept": 0}, title="Where"),
]


@pytest.mark.parametrize("chart", EMPTY)
def test_without_data_a_chart_says_so(chart: Callable[[], str]) -> None:
    assert "Nothing to show." in "".join(ET.fromstring(chart()).itertext())


def test_zeros_lie_on_the_axis() -> None:
    chart = line_chart(["a", "b"], {"kept": [0, 0]}, title="Volume")
    assert floats(list(svg(chart).iter("circle")), "cy") == [208, 208]
    assert floats(rects(bars(["a"], [0], [0]), "current"), "height") == [0]


@pytest.mark.parametrize("huge", [1e15, 1e300, 10**30])
def test_a_huge_value_stays_inside_the_picture(huge: float) -> None:
    chart = line_chart(["a", "b"], {"kept": [1, huge]}, title="Volume")
    low, high = floats(list(svg(chart).iter("circle")), "cy")
    assert low == pytest.approx(208)
    assert 8 <= high <= 108


BAD = [math.nan, math.inf, -1.0]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    "draw",
    [
        lambda value: bars(["a"], [value], [0.5]),
        lambda value: bars(["a"], [0.5], [value]),
        lambda value: line_chart(["a", "b"], {"kept": [1, value]}, title="Volume"),
        lambda value: stacked_bar({"kept": value}, title="Where"),
    ],
)
def test_what_has_no_length_is_refused(draw: Callable[[Any], str], value: float) -> None:
    with pytest.raises(NotDrawableError, match=re.escape(f"{value} cannot be drawn")):
        draw(value)


def test_every_label_has_a_value() -> None:
    with pytest.raises(NotDrawableError, match=re.escape("2 labels with [2, 1] values")):
        bars(["a", "b"], [0.5, 0.5], [1.0])
    with pytest.raises(NotDrawableError, match=re.escape("1 labels with [2] values")):
        line_chart(["a"], {"kept": [1, 2]}, title="Volume")
    with pytest.raises(NotDrawableError, match="label 1 is to be marked, there are 1"):
        line_chart(["a"], {"kept": [1]}, title="Volume", marked=1)


def test_a_chart_says_what_it_is_to_those_who_do_not_see_it() -> None:
    for chart in (
        bars(["a"], [1], [1]),
        line_chart(["a"], {"b": [1]}, title="Type"),
        stacked_bar({"a": 1}, title="Type"),
    ):
        picture = svg(chart)
        assert (picture.get("role"), picture.get("aria-label"), picture.findtext("title")) == ("img", "Type", "Type")
        assert re.fullmatch(r"0 0 720 \d+", picture.get("viewBox", ""))


@given(st.lists(st.tuples(st.text(), st.floats(0, 1), st.floats(0, 1)), max_size=20), st.text(), st.text())
def test_any_names_and_shares_give_bars_that_parse(rows: list[tuple[str, float, float]], name: str, title: str) -> None:
    labels, left, right = ([row[n] for row in rows] for n in range(3))
    chart = paired_bars(labels, left, right, left_name=name, right_name=title, title=title)
    assert len(list(ET.fromstring(chart).iter("rect"))) == 2 * len(rows)
    assert all(0 <= height <= 200.01 for height in floats(list(ET.fromstring(chart).iter("rect")), "height"))


@given(st.lists(st.tuples(st.text(), st.none() | st.floats(0, 1e300)), max_size=20), st.text(), st.text(), st.text())
def test_any_names_and_values_give_a_line_that_parses(
    rows: list[tuple[str, float | None]], name: str, title: str, unit: str
) -> None:
    chart = line_chart([row[0] for row in rows], {name: [row[1] for row in rows]}, title=title, unit=unit)
    circles = list(ET.fromstring(chart).iter("circle"))
    assert len(circles) == sum(value is not None for _, value in rows)
    assert all(7.99 <= y <= 208 for y in floats(circles, "cy"))


@given(st.dictionaries(st.text(), st.integers(0, 10**30), max_size=20), st.text())
def test_any_parts_give_a_bar_that_parses_and_is_full(parts: dict[str, int], title: str) -> None:
    found = list(ET.fromstring(stacked_bar(parts, title=title)).iter("rect"))
    assert len(found) == sum(value > 0 for value in parts.values())
    if found:
        assert float(found[-1].get("x", "nan")) + float(found[-1].get("width", "nan")) == pytest.approx(720, abs=0.1)
