"""Days are those of the shop's own clock: what belongs to them, closed and empty ones, and those that come late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from support.corner import KEY, ONLY_MONDAYS, Corner, Lenient

from pipelines import land_late_days
from refit.adapters.expectations import GreatExpectations
from refit.clocks.shop_clock import ShopClock
from refit.config import Shop
from refit.drift.features import event_features, first_days, person_days
from refit.errors import ConfigurationError, DayNotThereError
from refit.landing.day_ledger import DayLedger, ledger_frame
from refit.sources import Warehouse

AUCKLAND = ShopClock("Pacific/Auckland")
SATURDAY, SUNDAY, MONDAY, TUESDAY = (date(2026, 1, number) for number in (10, 11, 12, 13))
ORDERS = {
    SATURDAY: ["ann,tea,2026-01-10 10:00:00,1"],
    MONDAY: ["ann,tea,2026-01-12 09:30:00,1", "ben,mug,2026-01-12 16:00:00,1"],
    TUESDAY: ["cem,tea,2026-01-13 09:30:00,1"],
}
LOCAL = "SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type, "
LOCAL += "CAST(at AS TIMESTAMP_NTZ) AS event_time, CAST(pieces AS DOUBLE) AS value FROM orders"


@pytest.fixture
def auckland(corner: Corner) -> Corner:
    """Give the corner shop in Auckland, which is closed on Sundays."""
    return replace(corner, lake=replace(corner.lake, clock=AUCKLAND), validator=Lenient())


def shop_of(corner: Corner, settings: str = "", **calendar: str) -> Shop:
    said = "".join(f"{name} = {value}\n" for name, value in {"time_zone": '"Pacific/Auckland"', **calendar}.items())
    closed = 'closed_weekdays = ["sunday"]\n'
    return corner.shop(settings, replace={closed: closed + said}, sources={"interactions": LOCAL})


def span(first: date, end: date) -> tuple[datetime, datetime]:
    since, until = AUCKLAND.span(first, end)
    return since.astimezone(UTC), until.astimezone(UTC)


def landed(corner: Corner) -> list[tuple[str, int]]:
    days = corner.lake.days("interactions", *span(date(2025, 12, 1), date(2027, 1, 1)))
    return [(entry.day, entry.rows) for entry in days]


def test_mondays_orders_are_mondays_whether_days_are_landed_alone_or_together(auckland: Corner) -> None:
    """Monday 09:30 in Auckland is Sunday in UTC, on which the shop is closed."""
    shop = shop_of(auckland)
    for day, lines in ORDERS.items():
        auckland.write(str(day), lines)
    together = auckland.land(*span(SATURDAY, date(2026, 1, 14)), shop=shop)
    assert (together.rows, together.open_days) == (4, 3)
    assert landed(auckland) == [("2026-01-10", 1), ("2026-01-12", 2), ("2026-01-13", 1)]
    digests = [entry.digest for entry in auckland.lake.days("interactions", *span(SATURDAY, date(2026, 1, 14)))]

    sunday, monday = (auckland.land(*span(day, day + timedelta(days=1)), shop=shop) for day in (SUNDAY, MONDAY))
    assert (sunday.rows, monday.rows) == (0, 2)
    assert sunday.warnings == ["the shop is closed on every day of the interval, and nothing has happened"]
    assert digests == [entry.digest for entry in auckland.lake.days("interactions", *span(SATURDAY, date(2026, 1, 14)))]
    with pytest.raises(ConfigurationError, match="do not span whole days of Pacific/Auckland; give two dates"):
        auckland.land(datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC), shop=shop)


def test_what_happened_on_a_closed_day_is_landed_with_a_warning(auckland: Corner) -> None:
    strict = replace(auckland, validator=GreatExpectations())
    auckland.write(str(SUNDAY), ["ann,tea,2026-01-11 23:30:00,1", "ben,tea,2026-01-11 00:10:00,1"])
    receipt = strict.land(*span(SUNDAY, MONDAY), shop=shop_of(auckland))
    assert (receipt.rows, receipt.open_days, landed(auckland)) == (2, 0, [("2026-01-11", 2)])
    (warning,) = receipt.warnings
    assert warning.startswith(
        "days: 1 of 1 days break closed_day_is_empty (at most 0): 2026-01-11 has 2 events (a shop that is closed sells "
        "nothing; correct calendar.closed_weekdays"
    )


def test_the_day_on_which_summer_time_ends_has_25_hours(auckland: Corner) -> None:
    """5 April 2026: its first and its last half hour are its own, those before and after are not."""
    hours = ["04-04 23:45", "04-05 00:15", "04-05 23:45", "04-06 00:15"]
    auckland.write("2026-04-05", [f"u{n},tea,2026-{hour}:00,1" for n, hour in enumerate(hours)])
    shop = auckland.shop(
        replace={'closed_weekdays = ["sunday"]\n': 'time_zone = "Pacific/Auckland"\n'}, sources={"interactions": LOCAL}
    )
    assert auckland.land(*span(date(2026, 4, 5), date(2026, 4, 6)), shop=shop).rows == 2


def test_a_lake_that_is_cut_by_another_clock_is_refused(auckland: Corner, corner: Corner) -> None:
    """Reading it by the shop's clock would take a part of each day for the day before."""
    auckland.write(str(MONDAY), ORDERS[MONDAY])
    auckland.land(*span(MONDAY, TUESDAY), shop=shop_of(auckland))
    sentence = (
        r"its days are cut by the clock of Pacific/Auckland, those of the shop by that of UTC \(calendar.time_zone"
    )
    with pytest.raises(ConfigurationError, match=sentence):
        corner.lake.newest_day("interactions")
    assert auckland.lake.newest_day("interactions") == MONDAY


def late(corner: Corner, shop: Shop, before: datetime) -> land_late_days.Receipt:
    folder = corner.write("2025-12-31", [])
    return land_late_days.run(
        before,
        shop=shop,
        open_warehouse=lambda spark: Warehouse(spark, shop, str(folder)),
        key=KEY,
        suites=corner.suites,
        open_spark=lambda: corner.spark,
        lake=corner.lake,
        validator=corner.validator,
    )


def test_late_orders_are_landed_by_looking_back_and_nothing_moves_without_them(auckland: Corner) -> None:
    """Monday gets an order more; then a file is damaged, and both days that read it stay as they were landed."""
    shop = shop_of(auckland, look_back_days="2")
    for day in (MONDAY, TUESDAY):
        auckland.write(str(day), ORDERS[day])
    auckland.land(*span(MONDAY, date(2026, 1, 14)), shop=shop)
    before, wednesday = (
        auckland.lake.days("interactions", *span(MONDAY, date(2026, 1, 14))),
        span(TUESDAY, date(2026, 1, 14))[1],
    )
    same = late(auckland, shop, wednesday)
    assert (same.days, same.landed, same.warnings) == ([], False, [])
    assert auckland.lake.days("interactions", *span(MONDAY, date(2026, 1, 14))) == before

    auckland.write(str(MONDAY), [*ORDERS[MONDAY], "dia,tea,2026-01-12 23:50:00,1"])
    changed = late(auckland, shop, wednesday)
    assert (changed.days, changed.landed, changed.rows) == (["2026-01-12"], True, 3)
    assert landed(auckland) == [("2026-01-12", 3), ("2026-01-13", 1)]

    auckland.write(str(TUESDAY), ["ann,tea"])
    damaged = late(auckland, shop, wednesday)
    assert [warning[:46] for warning in damaged.warnings] == [
        f"{day} stays as it is in the lake: landing" for day in (MONDAY, TUESDAY)
    ]
    assert landed(auckland) == [("2026-01-12", 3), ("2026-01-13", 1)]

    nothing = late(auckland, shop_of(auckland, look_back_days="0"), wednesday)
    assert nothing == land_late_days.Receipt(days=[], landed=False)


def test_a_day_that_may_still_come_is_told_from_one_that_is_wrong(corner: Corner) -> None:
    """Three Mondays from 8 to 20 o'clock; the fourth ends at 15 o'clock, and nothing else is wrong with it."""
    corner = corner.lenient("days")

    def write(monday: int, hours: int) -> None:
        lines = [
            f"u{n},tea,2026-01-{monday:02d} {8 + hour:02d}:{n:02d}:00,1" for hour in range(hours) for n in range(40)
        ]
        corner.write(f"2026-01-{monday:02d}", lines)

    shop = corner.shop(replace=ONLY_MONDAYS)
    for monday in (5, 12, 19):
        write(monday, 12)
    assert corner.land(_day(5), _day(20), shop=shop).warnings == []
    write(26, 8)
    with pytest.raises(DayNotThereError) as missing:
        corner.land(_day(26), _day(27), shop=shop)
    assert "newest_day_has_its_last_hours (at most 10%): 2026-01-26 has no event after 15:59" in str(missing.value)
    assert "at least 33% of a Monday usually comes later" in str(missing.value)
    assert "validation.max_silent_share" in str(missing.value)
    corner.write("2026-01-26", [])
    with pytest.raises(DayNotThereError, match=r"2026-01-26 has 0 events .*calendar\.empty_days_are_normal"):
        corner.land(_day(26), _day(27), shop=shop)
    write(26, 12)
    assert corner.land(_day(26), _day(27), shop=shop).warnings == []


def test_a_shop_with_few_events_says_once_that_empty_days_are_normal(corner: Corner) -> None:
    """Mondays of four, one, two and no events: no ratio is judged, and the empty day counts as landed."""
    corner = corner.lenient("days")
    changes = {**ONLY_MONDAYS, "first_day": "empty_days_are_normal = true\nfirst_day"}
    shop = corner.shop(replace=changes)
    for monday, events in ((5, 4), (12, 1), (19, 2), (26, 0)):
        corner.write(f"2026-01-{monday:02d}", [f"u{n},tea,2026-01-{monday:02d} 10:00:00,1" for n in range(events)])
    assert corner.land(_day(5), _day(27), shop=shop).rows == 7
    assert corner.lake.newest_day("interactions") == date(2026, 1, 26)
    assert corner.land(_day(26), _day(27), shop=shop).rows == 0


def _day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def test_volumes_are_judged_where_a_median_is_a_measure(spark: SparkSession, corner: Corner) -> None:
    """A closed day, a small median and a shop's empty day have no ratio; a likely ratio lies around the plain one."""
    shop = corner.shop()

    def ledger(day: date, kept: int, usual: float) -> DayLedger:
        nothing: dict[str, Any] = {"quarantined": 0, "broken": {}, "removed": {}, "changed": {}}
        return DayLedger(day=str(day), rows_in=kept, kept=kept, weekday_median=usual, silent_share=0.5, **nothing)

    days = [ledger(SUNDAY, 5, 100.0), ledger(MONDAY, 5, 29.0), ledger(TUESDAY, 50, 100.0)]
    sunday, monday, tuesday = ledger_frame(spark, days, shop, newest=TUESDAY).collect()
    assert (sunday["kept_when_open"], sunday["kept_when_closed"]) == (None, 5)
    for row in (sunday, monday):
        assert (row["weekday_ratio"], row["weekday_ratio_low"], row["weekday_ratio_high"]) == (None, None, None)
    assert tuesday["weekday_ratio"] == 0.5
    assert 0.3 < tuesday["weekday_ratio_low"] < 0.4 < 0.6 < tuesday["weekday_ratio_high"] < 0.75
    assert [row["silent_share"] for row in (sunday, monday, tuesday)] == [None, 0.5, 0.5]
    assert [row["silent_share_of_newest"] for row in (sunday, monday, tuesday)] == [None, None, 0.5]


def test_drift_looks_at_days_and_hours_of_the_shops_clock(spark: SparkSession, corner: Corner) -> None:
    """Monday 09:30 in Auckland is Sunday 20:30 in UTC: a person's day, an item's first day and the hour say so."""
    shop, zone = corner.shop(), AUCKLAND.zone
    events = spark.createDataFrame(
        [("ann", "tea", "purchase", datetime(2026, 1, 11, 20, 30, tzinfo=UTC), 1.0)],
        "user_id string, item_id string, event_type string, event_time timestamp, value double",
    )
    items = spark.createDataFrame([("tea", "hot", 4.5)], "item_id string, category string, price double")
    monday = (MONDAY - date(1970, 1, 1)).days
    (row,) = event_features(events, items, shop.drift, time_zone=zone).collect()
    assert (row["day"], row["hour"]) == (monday, 9.0)
    assert [row["day"] for row in person_days(events, items, shop.drift, shop.events, time_zone=zone).collect()] == [
        monday
    ]
    assert [row["first"] for row in first_days(events, "item_id", time_zone=zone).collect()] == [monday]
