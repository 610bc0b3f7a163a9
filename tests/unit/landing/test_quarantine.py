"""
Rows set apart: counted to the last one, kept to be judged again, and landed exactly once when they are mended.

The tests follow four days of one shop, which believes in no more than a thousand pieces. Each fixture is the next step:
the days are landed at once; Monday is landed alone; Wednesday is landed from a corrected file while its quarantine is
replayed; Tuesday is replayed by a shop that believes in more; Thursday is landed alone, with a catalogue that has cups;
all is replayed; Monday is landed anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from support.corner import KEY, NAMES, ONLY_MONDAYS, STOCK, TOLERANT, Corner, day
from support.lasting_corner import lasting_corner

from pipelines.land_interactions import Receipt
from pipelines.replay_quarantine import Receipt as Replay
from refit.errors import ConflictError
from refit.lake.lake import Lake, Landed
from refit.landing.day_ledger import DayLedger
from tests.unit.conftest import SOURCES

THOUSAND = TOLERANT + "max_value = 1000\n"
TEN_THOUSAND = TOLERANT + "max_value = 10000\n"
MORE_STOCK = STOCK + "cup,Cup,1\n"
ODD = ["fay,tea,1969-12-31 23:59:59,1", "fay,tea,2038-01-01 00:00:00,1", "fay,tea,no time,1"]
"""Times that are none or years away."""
MONDAY = [
    "ann,tea,2026-01-05 10:00:00,2",
    "ben,mug,2026-01-05 11:00:00,1",
    "ben,mug,2026-01-05 11:00:00,1",
    "cem,cup,2026-01-05 12:00:00,1",
    "dia,cup,2026-01-05 13:00:00,-1",
    "eve ,tea,2026-01-05 13:00:00,1",
    *ODD,
]
"""Kept: ann, ben once. Set apart: two cups that no catalogue knows, one also of no value; a blank in a name; ODD."""
TUESDAY = ["ann,tea,2026-01-06 10:00:00,2", "cem,tea,2026-01-06 12:00:00,5000"]
WEDNESDAY = ["ann,tea,2026-01-07 10:00:00,2", "cem,tea,2026-01-07 12:00:00,5000", *ODD]
CORRECTED = [*WEDNESDAY[:1], "cem,mug,2026-01-07 23:59:59,1"]
"""Wednesday without what was odd, and with an event that arrived late."""
THURSDAY = ["ann,tea,2026-01-08 10:00:00,2"]


@dataclass(frozen=True)
class Seen:
    """What the lake shows after a step."""

    kept: Mapping[str, list[tuple[str, str]]]
    """Day -> person and item of each landed event."""
    days: Mapping[str, Landed]
    apart: Mapping[str, Landed]

    def content(self, day: str) -> tuple[int, str]:
        """Return the rows of a day and their digest."""
        return self.days[day].rows, self.days[day].digest


def look(corner: Corner) -> Seen:
    """Look at all days of the lake."""
    entries = corner.lake.days("interactions", day(1), day(31))
    people = {KEY.pseudonym(name): name for name in NAMES}
    kept = {}
    for entry in entries:
        rows = pq.read_table(corner.lake.path(entry.path), columns=["user_id", "item_id"], partitioning=None)
        kept[entry.day] = sorted((people[row["user_id"]], row["item_id"]) for row in rows.to_pylist())
    return Seen(
        kept=kept,
        days={entry.day: entry for entry in entries},
        apart={entry.day: entry for entry in corner.lake.days("quarantine", day(1), day(31))},
    )


@pytest.fixture(scope="module")
def lasting(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Corner:
    """Give the shop with the rules about single rows alone, which are what sets rows apart, and four days of files."""
    corner = lasting_corner(spark, tmp_path_factory.mktemp("quarantine")).lenient()
    for number, lines in {5: MONDAY, 6: TUESDAY, 7: WEDNESDAY, 8: THURSDAY}.items():
        corner.write(f"2026-01-{number:02d}", lines)
    return corner


@pytest.fixture(scope="module")
def at_once(lasting: Corner) -> tuple[Receipt, Seen]:
    """Land the four days in one landing."""
    return lasting.land(day(5), day(9), shop=lasting.shop(THOUSAND)), look(lasting)


@pytest.fixture(scope="module")
def monday(lasting: Corner, at_once: object) -> tuple[Receipt, Seen]:
    """Land Monday alone, from the same file and with the same catalogue."""
    return lasting.land(day(5), day(6), shop=lasting.shop(THOUSAND)), look(lasting)


@pytest.fixture(scope="module")
def not_mended(lasting: Corner, monday: object) -> Replay:
    """Replay Monday's quarantine although nothing has been mended."""
    return lasting.replay(day(5), day(6), shop=lasting.shop(THOUSAND))


@pytest.fixture(scope="module")
def overtaken(lasting: Corner, not_mended: object) -> tuple[str, Seen]:
    """Land Wednesday again, from its corrected file, while its quarantine is replayed; give what the replay says."""
    commit = Lake.commit
    with pytest.MonkeyPatch.context() as patch:

        def land_first(self: Lake, *given: Any, **more: Any) -> None:
            patch.setattr(Lake, "commit", commit)
            lasting.write("2026-01-07", CORRECTED)
            lasting.land(day(7), day(8), shop=lasting.shop(THOUSAND))
            commit(self, *given, **more)

        patch.setattr(Lake, "commit", land_first)
        with pytest.raises(ConflictError) as conflict:
            lasting.replay(day(7), day(8), shop=lasting.shop(TEN_THOUSAND))
    return str(conflict.value), look(lasting)


@pytest.fixture(scope="module")
def believed(lasting: Corner, overtaken: object) -> tuple[Replay, Seen]:
    """Replay Tuesday's quarantine in the shop that believes in ten thousand pieces."""
    return lasting.replay(day(6), day(7), shop=lasting.shop(TEN_THOUSAND)), look(lasting)


@pytest.fixture(scope="module")
def learned(lasting: Corner, believed: object) -> tuple[Receipt, Seen]:
    """Land Thursday alone, with a catalogue that knows cups."""
    return lasting.land(day(8), day(9), shop=lasting.shop(THOUSAND), stock=MORE_STOCK), look(lasting)


@pytest.fixture(scope="module")
def replayed(lasting: Corner, learned: object) -> tuple[Replay, Seen]:
    """Replay everything now that cups are known."""
    return lasting.replay(day(5), day(9), shop=lasting.shop(TEN_THOUSAND)), look(lasting)


def test_every_row_that_was_read_is_accounted_for(
    spark: SparkSession, lasting: Corner, monday: tuple[Receipt, Seen]
) -> None:
    receipt, seen = monday
    assert (receipt.rows_in, receipt.quarantined, receipt.rows) == (9, 6, 2)
    assert receipt.removed == {"exact_repeats": 1}
    assert receipt.broken == {
        "item_known": 2,
        "time_on_its_day": 2,
        "time_present": 1,
        "user_format": 1,
        "value_in_range": 1,
    }
    assert receipt.rows_in == receipt.quarantined + sum(receipt.removed.values()) + receipt.rows
    assert seen.kept["2026-01-05"] == [("ann", "tea"), ("ben", "mug")]
    assert receipt.warnings == [
        "6 of 9 events are set apart in quarantine: "
        "item_known 2, time_on_its_day 2, time_present 1, user_format 1, value_in_range 1; "
        "mend the cause and run replay_quarantine"
    ]
    apart = lasting.lake.read(spark, "quarantine", [seen.apart["2026-01-05"]]).orderBy("event_time", "value")
    assert [(row["item_id"], row["value"], row["broken"]) for row in apart.collect()] == [
        ("tea", 1.0, ["time_present"]),
        ("tea", 1.0, ["time_on_its_day"]),
        ("cup", 1.0, ["item_known"]),
        ("cup", -1.0, ["item_known", "value_in_range"]),
        ("tea", 1.0, ["user_format"]),
        ("tea", 1.0, ["time_on_its_day"]),
    ]


def test_each_landed_day_has_a_ledger_and_a_page(lasting: Corner, at_once: tuple[Receipt, Seen]) -> None:
    receipt, _ = at_once
    stored = lasting.lake.store.get(f"reports/landing={receipt.landing}/ledgers.json")
    assert stored is not None
    days = [DayLedger.from_record(record) for record in json.loads(stored.content)]
    assert [(ledger.day, ledger.rows_in, ledger.quarantined, ledger.kept) for ledger in days] == [
        ("2026-01-05", 9, 6, 2),
        ("2026-01-06", 2, 1, 1),
        ("2026-01-07", 5, 4, 1),
        ("2026-01-08", 1, 0, 1),
    ]
    assert receipt.report.endswith("2026-01-08.html")
    assert all(Path(receipt.report).with_name(f"{ledger.day}.html").is_file() for ledger in days)
    page = Path(receipt.report).with_name("2026-01-05.html").read_text()
    assert "item_known" in page
    assert "cup" in page
    assert "the catalogue lacks" in page
    assert KEY.pseudonym("cem")[:12] in page


def test_days_landed_at_once_and_one_by_one_are_the_same(
    at_once: tuple[Receipt, Seen], monday: tuple[Receipt, Seen], learned: tuple[Receipt, Seen]
) -> None:
    together = at_once[1]
    assert monday[1].content("2026-01-05") == together.content("2026-01-05")
    assert learned[1].content("2026-01-08") == together.content("2026-01-08")
    landings = {together.days[name].landing for name in ("2026-01-05", "2026-01-08")}
    assert landings.isdisjoint({monday[0].landing, learned[0].landing})


def test_an_event_dated_years_away_is_set_apart_under_the_day_of_its_file(
    at_once: tuple[Receipt, Seen], monday: tuple[Receipt, Seen], learned: tuple[Receipt, Seen]
) -> None:
    """
    It is counted once, on the day it was delivered, although neighbouring days read the same file.

    Thursday, the neighbour of Wednesday with its three odd events, is landed with the others and alone.
    """
    broken = {"time_on_its_day": 2, "time_present": 1}
    assert {rule: monday[0].broken[rule] for rule in broken} == broken
    assert {rule: at_once[0].broken[rule] for rule in broken} == {rule: 2 * count for rule, count in broken.items()}
    assert {name: entry.rows for name, entry in at_once[1].apart.items()} == {
        "2026-01-05": 6,
        "2026-01-06": 1,
        "2026-01-07": 4,
        "2026-01-08": 0,
    }
    receipt, seen = learned
    assert (receipt.rows_in, receipt.quarantined, receipt.broken) == (1, 0, {})
    assert seen.apart["2026-01-08"].rows == 0


def test_a_replay_does_not_undo_a_landing_that_came_between(overtaken: tuple[str, Seen]) -> None:
    """Wednesday is landed again, from a corrected file, while its quarantine is being replayed."""
    conflict, seen = overtaken
    assert "2026-01-07 was landed again meanwhile; nothing was changed, run it again" in conflict
    assert seen.kept["2026-01-07"] == [("ann", "tea"), ("cem", "mug")]


def test_landing_a_mended_day_again_empties_its_quarantine(lasting: Corner, overtaken: tuple[str, Seen]) -> None:
    _, seen = overtaken
    assert seen.apart["2026-01-07"].rows == 0
    assert lasting.replay(day(7), day(8)).warnings == ["nothing is set apart in the interval"]


def test_an_event_that_arrives_late_is_landed_with_its_day_and_replaces_nothing_else(
    monday: tuple[Receipt, Seen], overtaken: tuple[str, Seen]
) -> None:
    """The corrected file of Wednesday has an event of Wednesday more; only Wednesday gets a new version."""
    before, after = monday[1], overtaken[1]
    assert after.kept == {**before.kept, "2026-01-07": [("ann", "tea"), ("cem", "mug")]}
    newer, older = after.days["2026-01-07"], before.days["2026-01-07"]
    assert after.days == {**before.days, "2026-01-07": newer}
    assert newer.landing != older.landing
    assert newer.rows == older.rows + 1


def test_what_is_mended_is_landed_exactly_once(
    lasting: Corner, not_mended: Replay, learned: tuple[Receipt, Seen], replayed: tuple[Replay, Seen]
) -> None:
    """
    The catalogue learns of cups: cem's cup of Monday comes in, dia's still has no value, eve's name is still odd.

    Replaying again changes nothing, and the outcome is that of landing Monday anew.
    """
    assert not_mended.warnings == ["nothing that was set apart has been mended"]
    assert not_mended.replayed == 0

    receipt, seen = replayed
    assert (receipt.days, receipt.replayed) == (["2026-01-05"], 1)
    assert (receipt.rows_in, receipt.quarantined, receipt.rows) == (9, 5, 3)
    assert receipt.broken == {"time_on_its_day": 2, "time_present": 1, "user_format": 1, "value_in_range": 1}
    assert seen.kept == {**learned[1].kept, "2026-01-05": [("ann", "tea"), ("ben", "mug"), ("cem", "cup")]}
    assert seen.days == {**learned[1].days, "2026-01-05": seen.days["2026-01-05"]}

    again = lasting.replay(day(5), day(9), shop=lasting.shop(TEN_THOUSAND))
    assert (again.replayed, again.days) == (0, [])
    assert look(lasting) == seen

    lasting.land(day(5), day(6), shop=lasting.shop(TEN_THOUSAND), stock=MORE_STOCK)
    assert look(lasting).content("2026-01-05") == seen.content("2026-01-05")


def test_a_limit_that_was_mended_lets_its_rows_in(overtaken: tuple[str, Seen], believed: tuple[Replay, Seen]) -> None:
    """Five thousand pieces, on Tuesday, were more than the shop believed in."""
    receipt, seen = believed
    assert overtaken[1].kept["2026-01-06"] == [("ann", "tea")]
    assert receipt.replayed == 1
    assert seen.kept == {**overtaken[1].kept, "2026-01-06": [("ann", "tea"), ("cem", "tea")]}


def test_the_volume_of_a_day_is_compared_with_the_same_weekday_of_the_weeks_before(corner: Corner) -> None:
    """A hundred events on each of four Mondays are usual; 50 on the fifth are told, 30 are refused."""
    corner = corner.lenient("days")
    shop = corner.shop(replace=ONLY_MONDAYS)

    def write(name: str, events: int) -> None:
        corner.write(name, [f"u{n},tea,{name} 10:{n % 60:02d}:00,1" for n in range(events)])

    for name in ("2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"):
        write(name, 100)
    write("2026-02-02", 50)
    (warning,) = corner.land(day(5), day(3, 2), shop=shop).warnings
    assert warning.startswith(
        "days: 1 of 5 days break as_much_as_usual (at least 70%): "
        "2026-02-02 has 50 events, 50% of the usual 100 of a Monday ("
    )
    write("2026-02-02", 30)
    with pytest.raises(Exception, match=r"not_much_less_than_usual \(at least 50%\): 2026-02-02 has 30 events, 30% of"):
        corner.land(day(2, 2), day(3, 2), shop=shop)


def test_days_landed_at_once_and_one_of_them_alone_again_are_replayed_together(lake: Lake, corner: Corner) -> None:
    """
    Two folders hold Monday's raw events, the first of them out of date; each event is judged once, as it is now.

    A column has a wider type in the second landing.
    """
    corner = corner.lenient()
    wider = {"interactions": SOURCES["interactions"].replace("AS value", "AS value, CAST(7 AS BIGINT) AS shelf")}
    narrow = {"interactions": wider["interactions"].replace("BIGINT", "INT")}
    for number in (5, 6):
        corner.write(
            f"2026-01-{number:02d}",
            [f"ann,tea,2026-01-{number:02d} 10:00:00,2", f"cem,tea,2026-01-{number:02d} 12:00:00,5000"],
        )
    corner.land(day(5), day(7), shop=corner.shop(THOUSAND, sources=narrow))
    corner.write("2026-01-05", ["ben,mug,2026-01-05 10:00:00,1", "cem,tea,2026-01-05 12:00:00,5000"])
    corner.land(day(5), day(6), shop=corner.shop(THOUSAND, sources=wider))
    replayed = corner.replay(day(5), day(7), shop=corner.shop(TEN_THOUSAND, sources=wider))
    assert (replayed.days, replayed.replayed) == (["2026-01-05", "2026-01-06"], 2)
    assert (replayed.rows_in, replayed.quarantined, replayed.removed, replayed.rows) == (4, 0, {}, 4)
    assert corner.kept() == [("ann", "tea"), ("ben", "mug"), ("cem", "tea"), ("cem", "tea")]
    assert not any(entry.rows for entry in lake.days("quarantine", day(5), day(7)))
    rows = lake.read(corner.spark, "interactions", lake.days("interactions", day(5), day(7)))
    assert dict(rows.dtypes)["shelf"] == "bigint"
    assert [row["shelf"] for row in rows.collect()] == [7, 7, 7, 7]
