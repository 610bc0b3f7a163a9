"""The page of a drift check: complete, readable without a network, and true to the verdict."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from refit.config import Drift
from refit.drift.page import Checked, drift_page, picture
from refit.drift.policy import judge_drift, measure_windows
from refit.drift.profiles import MISSING, Binning, Profile
from refit.drift.statistics import sides
from refit.verdicts import Verdict

POLICY = Drift(
    numbers=("value", "price"),
    categories=("weekday", "country"),
    activity=(),
    newcomers=("new_items",),
    min_rows=10,
    window_days=2,
    windows=2,
)
EDGES = tuple(float(n) for n in range(40))
REFERENCE = Profile(
    ruler=Binning(edges={"value": (1.0, 2.0), "price": EDGES}, names={"country": ("France", "<Spain & co>")}),
    days={weekday: 4 for weekday in range(7)},
    counts={
        "value": {0: {1: 30, 3: 10}, 1: {1: 40}},
        "price": {0: {2 * n + 1: 1 for n in range(40)}, 1: {2 * n + 1: 1 for n in range(40)}},
        "weekday": {0: {0: 40}, 1: {0: 40}},
        "country": {0: {1: 20, 2: 20}, 1: {1: 20, 2: 20}},
    },
    tenure={"new_items": {0: 10, 90: 30}},
    history=60,
)
DAILY = {
    day: {
        "value": {1: 18, 4: 2},
        "price": {1: 20},
        "weekday": {0: 20},
        "country": {2: 10, 0: 10},
        "new_items": {0: 15, 1: 5},
    }
    for day in (4, 5, 11, 12)
}
CUTOFF, AS_OF = datetime(1970, 1, 4, tzinfo=UTC), datetime(1970, 1, 14, tzinfo=UTC)


class Texts(HTMLParser):
    """Collects the text of a page, cell by cell, and every address that it names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    windows = measure_windows(REFERENCE, DAILY, POLICY, cutoff=3)
    return judge_drift(windows, POLICY, cutoff=CUTOFF, as_of=AS_OF, forced=None)


@pytest.fixture(scope="module")
def page(verdict: Verdict) -> Texts:
    checked = Checked(
        shop="A corner shop",
        champion=7,
        cutoff=CUTOFF,
        as_of=AS_OF,
        reference=REFERENCE,
        daily=DAILY,
        windows=measure_windows(REFERENCE, DAILY, POLICY, cutoff=3),
    )
    return Texts(drift_page(verdict, checked, POLICY, ["Another report lies beside it."]))


def test_the_page_says_what_was_decided_why_and_about_what(page: Texts, verdict: Verdict) -> None:
    assert verdict.decision == "retrain"
    assert "retrain" in page.texts
    assert verdict.reasons[0] in page.texts
    assert "version 7" in page.texts
    assert "1970-01-12 to 1970-01-13 (included)" in page.texts
    assert "1970-01-05 to 1970-01-06 (included)" in page.texts
    assert "Another report lies beside it." in page.texts


def test_every_number_of_the_newest_window_stands_there_with_its_limit_and_n(page: Texts, verdict: Verdict) -> None:
    for measure in verdict.measures:
        name, _, statistic = measure.name.partition(".")
        if statistic in {"ks", "psi", "missing", "new"}:
            at = [n for n, text in enumerate(page.texts) if text == name and page.texts[n + 1] == statistic]
            assert len(at) == 1, measure.name
            value, limit, n = page.texts[at[0] + 2 : at[0] + 5]
            assert (value, limit, n) == (f"{measure.value:.4f}", f"{measure.limit:g}", f"{measure.n:,}")


def test_there_is_one_picture_per_feature_and_nothing_is_fetched(page: Texts) -> None:
    assert page.tags.count("svg") == len(POLICY.features)
    assert page.addresses == []
    assert "script" not in page.tags


def test_names_from_the_data_are_shown_as_text(page: Texts) -> None:
    assert any("<Spain & co>" in text for text in page.texts)
    assert "spain" not in page.tags


def shown(feature: str) -> dict[str, tuple[float, float]]:
    both = sides(REFERENCE, {day: DAILY[day] for day in (11, 12)}, feature)
    assert both is not None
    labels, before, after = picture(REFERENCE, feature, both)
    return {label: (round(b, 6), round(a, 6)) for label, b, a in zip(labels, before, after, strict=True)}


def test_a_number_with_few_values_is_drawn_value_by_value() -> None:
    """Monday 3/4 ones and Tuesday all ones, in equal parts: 7/8; the window has a tenth above every edge."""
    assert shown("value") == {"1": (0.875, 0.9), "2": (0.125, 0.0), "over 2": (0.0, 0.1)}


def test_a_number_with_many_values_is_drawn_in_tenths() -> None:
    bars = shown("price")
    assert len(bars) == 10
    assert {before for before, _ in bars.values()} == {0.1}
    assert next(iter(bars.items())) == ("to 3", (0.1, 1.0))


def test_a_category_is_drawn_with_what_is_outside_of_the_reference() -> None:
    assert shown("country") == {"France": (0.5, 0.0), "<Spain & co>": (0.5, 0.5), "other": (0.0, 0.5)}


def test_weekdays_are_drawn_by_name() -> None:
    assert shown("weekday") == {"Monday": (0.5, 0.5), "Tuesday": (0.5, 0.5)}


def test_missing_values_have_a_bar_of_their_own() -> None:
    daily = {11: {"value": {1: 1, MISSING: 1}}}
    both = sides(REFERENCE, daily, "value")
    assert both is not None
    labels, _, after = picture(REFERENCE, "value", both)
    assert dict(zip(labels, after, strict=True))["missing"] == 0.5


def test_a_check_without_any_window_still_has_a_page() -> None:
    verdict = judge_drift([], POLICY, cutoff=CUTOFF, as_of=AS_OF, forced=None)
    checked = Checked(
        shop="A corner shop", champion=7, cutoff=CUTOFF, as_of=AS_OF, reference=REFERENCE, daily={}, windows=()
    )
    found = Texts(drift_page(verdict, checked, POLICY))
    assert verdict.decision == "refuse"
    assert "refuse" in found.texts
    assert re.search("too little data to tell", " ".join(found.texts))
