"""Rows set apart: counted to the last one, kept to be judged again, and landed exactly once when they are mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from support.corner import KEY, ONLY_MONDAYS, STOCK, TOLERANT, Corner, day

from refit.errors import ConflictError
from refit.lake.lake import Lake
from refit.landing.day_ledger import DayLedger

MONDAY = [
    "ann,tea,2026-01-05 10:00:00,2",
    "ben,mug,2026-01-05 11:00:00,1",
    "ben,mug,2026-01-05 11:00:00,1",
    "cem,cup,2026-01-05 12:00:00,1",
    "dia,cup,2026-01-05 13:00:00,-1",
    "eve ,tea,2026-01-05 13:00:00,1",
]
"""Kept: ann, ben once. Set apart: two cups that no catalogue knows, one also of no value; a person with a blank."""
TUESDAY = ["ann,tea,2026-01-06 10:00:00,2"]


@pytest.fixture(name="corner")
def _without_suites(corner: Corner) -> Corner:
    """Give the corner shop with the rules about single rows alone, which are what sets rows apart."""
    return corner.lenient()


def test_every_row_that_was_read_is_accounted_for(spark: SparkSession, lake: Lake, corner: Corner) -> None:
    corner.write("2026-01-05", MONDAY)
    receipt = corner.land(day(5), day(6))
    assert (receipt.rows_in, receipt.quarantined, receipt.rows) == (6, 3, 2)
    assert receipt.removed == {"exact_repeats": 1}
    assert receipt.broken == {"item_known": 2, "user_format": 1, "value_in_range": 1}
    assert receipt.rows_in == receipt.quarantined + sum(receipt.removed.values()) + receipt.rows
    assert corner.kept() == [("ann", "tea"), ("ben", "mug")]
    assert receipt.warnings == [
        "3 of 6 events are set apart in quarantine: item_known 2, user_format 1, value_in_range 1; "
        "mend the cause and run replay_quarantine"
    ]
    apart = lake.read(spark, "quarantine", lake.days("quarantine", day(5), day(6))).orderBy("event_time", "value")
    assert [(row["item_id"], row["value"], row["broken"]) for row in apart.collect()] == [
        ("cup", 1.0, ["item_known"]),
        ("cup", -1.0, ["item_known", "value_in_range"]),
        ("tea", 1.0, ["user_format"]),
    ]


def test_each_landed_day_has_a_ledger_and_a_page(lake: Lake, corner: Corner) -> None:
    corner.write("2026-01-05", MONDAY)
    corner.write("2026-01-06", TUESDAY)
    receipt = corner.land(day(5), day(7))
    stored = lake.store.get(f"reports/landing={receipt.landing}/ledgers.json")
    assert stored is not None
    monday, tuesday = (DayLedger.from_record(record) for record in json.loads(stored.content))
    assert (monday.day, monday.rows_in, monday.quarantined, monday.kept) == ("2026-01-05", 6, 3, 2)
    assert (tuesday.day, tuesday.rows_in, tuesday.quarantined, tuesday.kept) == ("2026-01-06", 1, 0, 1)
    assert receipt.report.endswith("2026-01-06.html")
    page = Path(receipt.report).with_name("2026-01-05.html").read_text()
    assert "item_known" in page
    assert "cup" in page
    assert "the catalogue lacks" in page
    assert KEY.pseudonym("cem")[:12] in page


def test_what_is_mended_is_landed_exactly_once(lake: Lake, corner: Corner) -> None:
    """
    The catalogue learns of cups on Tuesday: cem's cup comes in, dia's still has no value, eve's name is still odd.

    Replaying again changes nothing, and the outcome is that of landing Monday anew.
    """
    corner.write("2026-01-05", MONDAY)
    corner.write("2026-01-06", TUESDAY)
    corner.land(day(5), day(6))
    assert corner.replay(day(5), day(6)).warnings == ["nothing that was set apart has been mended"]
    corner.land(day(6), day(7), stock=STOCK + "cup,Cup,1\n")

    replayed = corner.replay(day(5), day(7))
    assert (replayed.days, replayed.replayed) == (["2026-01-05"], 1)
    assert (replayed.rows_in, replayed.quarantined, replayed.rows) == (6, 2, 3)
    assert replayed.broken == {"user_format": 1, "value_in_range": 1}
    assert corner.kept() == [("ann", "tea"), ("ann", "tea"), ("ben", "mug"), ("cem", "cup")]
    (monday,) = lake.days("interactions", day(5), day(6))

    again = corner.replay(day(5), day(7))
    assert (again.replayed, again.days) == (0, [])
    assert lake.days("interactions", day(5), day(6)) == [monday]

    corner.land(day(5), day(6), stock=STOCK + "cup,Cup,1\n")
    (anew,) = lake.days("interactions", day(5), day(6))
    assert (anew.rows, anew.digest) == (monday.rows, monday.digest)


def test_a_limit_that_was_mended_lets_its_rows_in(corner: Corner) -> None:
    """Five thousand pieces were more than the shop believed in."""
    corner.write("2026-01-05", [*MONDAY[:2], "cem,tea,2026-01-05 12:00:00,5000"])
    corner.land(day(5), day(6), shop=corner.shop(TOLERANT + "max_value = 1000\n"))
    assert len(corner.kept()) == 2
    assert corner.replay(day(5), day(6), shop=corner.shop(TOLERANT + "max_value = 10000\n")).replayed == 1
    assert corner.kept() == [("ann", "tea"), ("ben", "mug"), ("cem", "tea")]


def test_a_replay_does_not_undo_a_landing_that_came_between(
    lake: Lake, corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Monday is landed again, from a corrected file, while its quarantine is being replayed."""
    corner.write("2026-01-05", [*MONDAY[:2], "cem,tea,2026-01-05 12:00:00,5000"])
    corner.land(day(5), day(6), shop=corner.shop(TOLERANT + "max_value = 1000\n"))
    commit = Lake.commit

    def land_first(self: Lake, *given: Any, **more: Any) -> None:
        monkeypatch.setattr(Lake, "commit", commit)
        corner.write("2026-01-05", MONDAY[:1])
        corner.land(day(5), day(6))
        commit(self, *given, **more)

    monkeypatch.setattr(Lake, "commit", land_first)
    with pytest.raises(ConflictError, match="2026-01-05 was landed again meanwhile; nothing was changed, run it again"):
        corner.replay(day(5), day(6), shop=corner.shop(TOLERANT + "max_value = 10000\n"))
    assert corner.kept() == [("ann", "tea")]


def test_landing_a_mended_day_again_empties_its_quarantine(lake: Lake, corner: Corner) -> None:
    corner.write("2026-01-05", MONDAY)
    corner.land(day(5), day(6))
    corner.write("2026-01-05", MONDAY[:2])
    corner.land(day(5), day(6))
    assert [entry.rows for entry in lake.days("quarantine", day(5), day(6))] == [0]
    assert corner.replay(day(5), day(6)).warnings == ["nothing is set apart in the interval"]


def test_an_event_that_arrives_late_is_landed_with_its_day_and_replaces_nothing_else(
    lake: Lake, corner: Corner
) -> None:
    """Monday's file of Tuesday has an event of Monday more; only Monday gets a new version."""
    corner.write("2026-01-05", MONDAY[:1])
    corner.write("2026-01-06", TUESDAY)
    corner.land(day(5), day(7))
    monday, tuesday = lake.days("interactions", day(5), day(7))
    corner.write("2026-01-05", [*MONDAY[:1], "cem,mug,2026-01-05 23:59:59,1"])
    corner.land(day(5), day(6))
    assert corner.kept() == [("ann", "tea"), ("ann", "tea"), ("cem", "mug")]
    newer, same = lake.days("interactions", day(5), day(7))
    assert same == tuesday
    assert newer.landing != monday.landing
    assert newer.rows == monday.rows + 1


def test_days_landed_at_once_and_one_by_one_are_the_same(lake: Lake, corner: Corner) -> None:
    corner.write("2026-01-05", MONDAY)
    corner.write("2026-01-06", TUESDAY)
    corner.land(day(5), day(7))
    together = [(entry.day, entry.rows, entry.digest) for entry in lake.days("interactions", day(5), day(7))]
    corner.land(day(5), day(6))
    corner.land(day(6), day(7))
    assert [(entry.day, entry.rows, entry.digest) for entry in lake.days("interactions", day(5), day(7))] == together


def test_the_volume_of_a_day_is_compared_with_the_same_weekday_of_the_weeks_before(corner: Corner) -> None:
    """A hundred events on each of three Mondays; 30 on the fourth are refused, 50 are told, 100 are usual."""
    corner = corner.lenient("days")
    hundred = [f"u{n},tea,2026-01-{{day:02d}} 10:{n % 60:02d}:00,1" for n in range(100)]
    shop = corner.shop(replace=ONLY_MONDAYS)
    for monday in (5, 12, 19, 26):
        corner.write(f"2026-01-{monday:02d}", [line.format(day=monday) for line in hundred])
    assert corner.land(day(5), day(27), shop=shop).warnings == []
    corner.write("2026-01-26", [line.format(day=26) for line in hundred[:50]])
    (warning,) = corner.land(day(26), day(27), shop=shop).warnings
    assert warning.startswith(
        "days: 1 of 1 days break as_much_as_usual (at least 70%): "
        "2026-01-26 has 50 events, 50% of the usual 100 of a Monday ("
    )
    corner.write("2026-01-26", [line.format(day=26) for line in hundred[:30]])
    with pytest.raises(Exception, match=r"not_much_less_than_usual \(at least 50%\): 2026-01-26 has 30 events, 30% of"):
        corner.land(day(26), day(27), shop=shop)


def test_an_event_dated_years_away_is_set_apart_under_the_day_of_its_file(lake: Lake, corner: Corner) -> None:
    """It is counted once, on the day it was delivered, although neighbouring days read the same file."""
    odd = ["cem,tea,1969-12-31 23:59:59,1", "cem,tea,2038-01-01 00:00:00,1", "cem,tea,no time,1"]
    corner.write("2026-01-05", [*MONDAY[:1], *odd])
    corner.write("2026-01-06", TUESDAY)
    assert corner.land(day(5), day(6)).broken == {"time_on_its_day": 2, "time_present": 1}
    assert corner.land(day(6), day(7)).rows_in == 1
    assert [(entry.day, entry.rows) for entry in lake.days("quarantine", day(1), day(31))] == [
        ("2026-01-05", 3),
        ("2026-01-06", 0),
    ]
