"""The data page: its sum is exact, it says why, and whatever the shop delivered is shown and never run."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.interfaces import Check
from refit.landing.day_ledger import DayLedger, Example
from refit.landing.day_page import data_page

LEDGER = DayLedger(
    day="2026-03-08",
    rows_in=1_300,
    quarantined=12,
    broken={"item_known": 9, "value_in_range": 4, "user_format": 0},
    removed={"exact_repeats": 241, "bots": 0, "moonlight": 7},
    changed={"partly_cancelled": 31, "imputed_country": 4},
    kept=1_040,
    weekday_median=1_300.0,
)
PASSED = Check(
    suite="interactions",
    name="user_present", column="user_id", severity="critical", passed=True,
    unexpected=0, rows=1_040, observed="", why="an event of nobody cannot be learnt from",
)  # fmt: skip
ODD = replace(PASSED, name="price_plausible", column="price", severity="warning", passed=False, unexpected=3)
BROKEN = replace(
    PASSED, name="enough_rows", column=None, passed=False, observed="only 4", why="a day that is short is not whole"
)


def shown(
    *,
    ledger: DayLedger = LEDGER,
    history: tuple[DayLedger, ...] = (),
    checks: tuple[Check, ...] = (PASSED,),
    examples: tuple[Example, ...] = (),
    refused: tuple[str, ...] = (),
) -> str:
    return data_page(
        shop_title="Tea & Co",
        ledger=ledger,
        history=history,
        checks=checks,
        examples=examples,
        whys={"item_known": "the catalogue lacks it"},
        landing="landing-17",
        refused=refused,
    )


def read(page: str) -> str:
    """Return the text of the page, one blank between words."""
    body = page.split("<body>")[1]
    return " ".join(unescape(re.sub("<[^>]*>", " ", body)).split())


def badge_of(page: str) -> str:
    found = re.search('class="badge ([a-z]+)"', page.split("</header>")[0])
    return found[1] if found else ""


def example(reason: str, **row: object) -> Example:
    return Example(day="2026-03-08", reason=reason, row=row)


def test_the_sum_of_where_rows_went_is_exact() -> None:
    """1,040 + 12 + 241 + 7 = 1,300; a kind that met nothing is in the table and not in the sum."""
    text = read(shown())
    assert "1,300 read = 1,040 kept + 12 set apart + 241 exact repeats + 7 moonlight" in text
    assert "exact repeats 241 18.5% bots 0 0.0% moonlight 7 0.5% read 1,300 100.0%" in text


def test_a_sum_that_does_not_add_up_is_said_and_warned_of() -> None:
    page = shown(ledger=replace(LEDGER, kept=1_037))
    assert "1,300 read ≠ 1,037 kept" in read(page)
    assert "This does not add up: 3 missing." in read(page)
    assert badge_of(page) == "warning"
    assert "add up: 2 too many." in read(shown(ledger=replace(LEDGER, kept=1_042)))


def test_the_headline_names_the_day_the_shop_and_the_verdict() -> None:
    page = shown()
    text = read(page)
    assert text.startswith("Tea & Co · data of one day Sunday, 8 March 2026 ✓ landed 1,300 events were read, 1,040 are")
    assert "(80.0%). 1 of 1 checks passed." in text
    assert badge_of(page) == "good"
    assert "Landing landing-17" in text


@pytest.mark.parametrize(
    ("checks", "kind", "said"),
    [
        ((PASSED, ODD), "warning", "1 of 2 checks is broken."),
        ((), "warning", "Nothing was checked."),
        ((ODD, BROKEN), "refused", "2 of 2 checks are broken."),
    ],
)
def test_a_day_is_as_good_as_its_worst_check(checks: tuple[Check, ...], kind: str, said: str) -> None:
    page = shown(checks=checks)
    assert badge_of(page) == kind
    assert said in read(page)


def test_a_refused_day_says_why_first() -> None:
    page = shown(refused=("too few events: 40 of 1,300 <b>", "a second reason"))
    text = read(page)
    assert badge_of(page) == "refused"
    reasons = "Why it is refused too few events: 40 of 1,300 <b> a second reason Nothing of the day became visible"
    assert 0 < text.index(reasons) < text.index("Where every row went")
    assert "1,300 read = 1,040 would be kept + 12 set apart" in text


def test_a_broken_critical_check_is_a_reason_when_none_is_given() -> None:
    text = read(shown(checks=(PASSED, BROKEN)))
    assert "Why it is refused enough_rows: it is broken, seen only 4 (a day that is short is not whole)" in text


def test_a_good_day_has_no_section_on_refusal() -> None:
    assert "Why it is refused" not in read(shown())


def test_broken_checks_come_first_with_their_rows_and_reasons() -> None:
    text = read(shown(checks=(PASSED, ODD, BROKEN)))
    seen = [
        text.index(name)
        for name in ("enough_rows interactions", "price_plausible interactions", "user_present interactions")
    ]
    assert seen == sorted(seen)
    assert (
        "price_plausible interactions · price · warning An event of nobody cannot be learnt from. ! broken 3 of 1,040"
        in text
    )
    assert "✓ passed 0 of 1,040" in text


def test_each_rule_that_set_rows_apart_says_why_and_shows_examples() -> None:
    rows = tuple(example("item_known", user_id=f"person-{n}", value=n) for n in range(7))
    text = read(shown(examples=rows))
    assert "item_known · 9 events, 0.7% The catalogue lacks it. user_id value person-0 0 person-1 1" in text
    assert "person-4 4 5 of 9, as read." in text
    assert "person-5" not in text
    assert "An event that breaks two rules is listed under both." in text
    assert "user_format" not in text


def test_examples_of_another_day_are_passed_over() -> None:
    assert "person-9" not in read(shown(examples=(Example(day="2026-03-07", reason="bots", row={"u": "person-9"}),)))


def test_an_example_whose_reason_nobody_counted_is_still_shown() -> None:
    assert "full_moon · 0 events" in read(shown(examples=(example("full_moon", user_id="person-1"),)))


def test_each_kind_of_cleaning_says_what_it_does_and_an_unknown_one_keeps_its_name() -> None:
    text = read(shown(examples=(example("exact_repeats", user_id="person-3"),)))
    repeats = "248 events (19.1%) were left out. exact repeats · 241 events, 18.5% Equal to another event of the day"
    assert repeats in text
    assert "person-3 1 of 241, as read." in text
    assert "moonlight · 7 events, 0.5% Nobody has said why." in text
    assert "imputed_country · 4 events, 0.3% Missing context was filled with what is typical of the day." in text
    assert "altered 35 times. partly cancelled · 31 events, 2.4% A part was taken back on the same day" in text


def test_a_day_without_losses_says_so() -> None:
    whole = DayLedger(day="2026-03-08", rows_in=5, quarantined=0, broken={}, removed={}, changed={}, kept=5)
    text = read(shown(ledger=whole))
    assert "5 read = 5 kept + 0 set apart" in text
    assert "No event broke a rule about single rows." in text
    assert "Nothing was left out and nothing was altered." in text
    assert "There are too few Sundays before this one" in text
    assert "There is no earlier day to draw." in text


def test_a_day_without_rows_is_a_page_too() -> None:
    nothing = DayLedger(day="2026-03-08", rows_in=0, quarantined=0, broken={}, removed={}, changed={}, kept=0)
    text = read(shown(ledger=nothing))
    assert "0 events were read, 0 are kept. 1 of 1 checks passed." in text
    assert "0 read = 0 kept + 0 set apart" in text


def test_volumes_are_drawn_with_gaps_and_against_the_weekday() -> None:
    """Four and two days before: five labels from 4 to 8 March, three of them with a ledger."""
    history = tuple(replace(LEDGER, day=day, kept=900) for day in ("2025-03-08", "2026-03-04", "2026-03-06"))
    page = shown(history=history)
    assert "1,040 events are 80.0% of the median of the Sundays before, 1,300." in read(page)
    points = re.findall(r"<title>(\d+ \w+: kept [\d,]+)</title>", page)
    assert points == ["4 Mar: kept 900", "6 Mar: kept 900", "8 Mar: kept 1,040"]
    assert 'class="here">8 Mar<' in page


def test_what_a_shop_delivers_is_shown_and_never_run() -> None:
    row = {
        "<img src=x>": "<script>alert(1)</script>",
        "b": 'say "hi"',
        "c": "x" * 300,
        "d": None,
        "e": "a\tb ",
        "f": "",
    }
    page = shown(examples=(example("item_known", **row),))
    for danger in ("<script", "<img", "src=x>alert", "http"):
        assert danger not in page
    text = read(page)
    assert '<script>alert(1)</script> say "hi" ' + "x" * 27 + '… null "a\\u0009b " empty text' in text


def test_a_page_references_nothing() -> None:
    page = shown(checks=(PASSED, ODD, BROKEN), history=(replace(LEDGER, day="2026-03-07"),))
    for reference in ("http", "<script", "src=", "<link", "url("):
        assert reference not in page


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.text())), st.text())
def test_any_row_and_any_reason_can_be_shown(row: dict[str, object], reason: str) -> None:
    page = shown(examples=(Example(day="2026-03-08", reason=reason, row=row),), refused=(reason,))
    assert "<script" not in page
    page.encode()
