"""Summaries of the days before the training window: lists are what all days would make them, and few days are read."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from pyspark.sql import SparkSession
from support.plain_shop import DAY, EVENTS, SETTINGS, WINDOW, Event, known, pairs_of
from support.tea_shop import TeaShop

from refit.adapters.folder import FolderObjectStore
from refit.clocks.shop_clock import ShopClock
from refit.config import Shop, load_shop
from refit.lake.as_of import everybody_as_of, history_before, people_as_of
from refit.lake.consent import events_of_consenting
from refit.lake.lake import Lake
from refit.lake.pairs import histories, person_item_pairs
from refit.lake.people import everybody
from refit.lake.retention import collect
from refit.lake.summaries import split, stand_in

ShopWriter = Callable[..., Path]
People = dict[str, dict[str, tuple[float, bool]]]
"""Person -> item -> confidence and whether it was bought."""

BEGIN = datetime(2025, 8, 3, tzinfo=UTC)
NOW = datetime(2025, 12, 20, 12, tzinfo=UTC)
"""The window begins on 5 December, so a summary stands for the days up to November."""
BEFORE = datetime(2025, 11, 3, 7, tzinfo=UTC)
"""An instant of before, with a summary up to September."""
PEOPLE = [f"p{number:02d}" for number in range(12)]
GONE = {"p03", "p04"}


def raw_events(seed: int) -> list[Event]:
    """
    Return what people do in four months, every twelfth day or so and near the ends of months by every clock.

    Every sixth value is null. Returns follow an order by hours or by months, take back a part, all or more than there
    was. A person looked long ago and never again, one gave back all that she had, and one gives back what he bought
    before the window within it.
    """
    chance = random.Random(seed)
    late = NOW - DAY
    events = [
        Event("looked", "i1", "view", BEGIN + DAY, 1.0),
        Event("gave back", "i1", "purchase", BEGIN + DAY, 2.0),
        Event("gave back", "i1", "return", BEGIN + 5 * DAY, 2.0),
        Event("gives back", "i1", "purchase", BEGIN + DAY, 2.0),
        Event("gives back", "i1", "purchase", BEGIN + 60 * DAY, 1.0),
        Event("gives back", "i1", "return", late, 3.0),
        Event("gives back", "i2", "purchase", BEGIN + DAY, 2.0),
        Event("gives back", "i2", "return", late, 1.0),
        Event("gives back", "i3", "purchase", BEGIN + DAY, None),
        Event("gives back", "i3", "return", late, 9.0),
    ]
    ends = [datetime(2025, month, 1, hour, 30, tzinfo=UTC) for month in (9, 10, 11, 12) for hour in (0, 11)]
    times = [BEGIN + 12 * n * DAY + timedelta(hours=9) for n in range(12)]
    for time in (*times, *ends, *[end - timedelta(hours=12) for end in ends]):
        for person in PEOPLE:
            item, moment = f"i{chance.randrange(12)}", time + timedelta(minutes=chance.randrange(25))
            value = None if chance.random() < 1 / 6 else float(chance.randint(1, 4))
            kind = chance.choice(["view", "view", "cart", "purchase"])
            events.append(Event(person, item, kind, moment, value))
            if kind == "purchase" and chance.random() < 0.5:
                back = moment + timedelta(minutes=chance.choice((7, 60, 90 * 24 * 60)))
                taken = None if chance.random() < 1 / 6 else float(chance.randint(1, 5))
                events.append(Event(person, item, "return", min(back, late), taken))
    return [event for event in events if event.time < NOW]


@dataclass(frozen=True)
class Told:
    """A shop in which *events* happened."""

    tea: TeaShop
    shop: Shop
    events: list[Event]

    @property
    def lake(self) -> Lake:
        return self.tea.lake

    def land(self, events: list[Event]) -> None:
        """Land the days of *events*, as the clock of the shop cuts them."""
        self.tea.tell(event._replace(time=self.lake.clock.local(event.time)) for event in events)

    def lists(self, as_of: datetime, lake: Lake | None = None) -> People:
        """Return what lists are made of."""
        return _people(everybody_as_of(self.tea.spark, lake or self.lake, self.shop, as_of).collect())

    def of_all_days(self, as_of: datetime) -> People:
        """Return what lists are made of when every landed day is read."""
        shop = self.shop
        pairs = person_item_pairs(
            history_before(self.tea.spark, self.lake, shop, as_of),
            since=shop.calendar.clock.back(as_of, shop.training.window_days),
            as_of=as_of,
            events=shop.serving_events,
            confidence=shop.confidence,
        )
        people = people_as_of(self.tea.spark, self.lake, shop, as_of)
        return _people(everybody(histories(pairs, silent=False), people).collect())

    def worked_out(self, as_of: datetime, people: set[str] | None = None) -> People:
        """Return what lists are made of, computed without Spark."""
        history = known(self.events, as_of, people)
        found: People = {event.person: {} for event in history}
        since = self.lake.clock.back(as_of, WINDOW.days)
        for (person, item), (confidence, bought) in pairs_of(history, since=since, as_of=as_of).items():
            if confidence > 0 or bought:
                found[person][item] = (pytest.approx(confidence), bought)
        return found

    def days_read(self, as_of: datetime) -> set[str]:
        """Return the days whose landed files are opened for lists."""
        files = everybody_as_of(self.tea.spark, self.lake, self.shop, as_of).inputFiles()
        read = {path.split("landing=")[1].split("/")[0] for file in files if "/interactions/" in (path := _path(file))}
        landed = self.lake.days("interactions", datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        return {day.day for day in landed if day.landing in read}

    def summaries(self) -> set[str]:
        """Return the names of the summaries that are there."""
        return {path.parent.name for path in Path(self.lake.root).glob("summaries/*/manifest.json")}


def _path(file: str) -> str:
    return urlparse(file).path


def _people(rows: list[Any]) -> People:
    return {
        row["user_id"]: dict(
            zip(row["items"], zip(row["confidences"], row["bought"], strict=True), strict=True),
        )
        for row in rows
    }


@pytest.fixture
def tell(spark: SparkSession, tmp_path: Path, write_shop: ShopWriter) -> Callable[..., Told]:
    def make(zone: str = "UTC", settings: str = SETTINGS, events: list[Event] | None = None) -> Told:
        days = "first_day = 2026-01-01\n"
        first = f'first_day = 2025-01-01\ntime_zone = "{zone}"\n'
        shop = load_shop(write_shop(replace={**EVENTS, days: first}, append=settings), "corner")
        root = tmp_path / "lake"
        lake = Lake(str(root), "catalog.json", FolderObjectStore(root), clock=ShopClock(zone))
        told = Told(TeaShop(spark, lake), shop, raw_events(2) if events is None else events)
        told.land(told.events)
        return told

    return make


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
def test_lists_are_made_of_what_all_days_say_and_few_days_are_read(tell: Callable[..., Told], zone: str) -> None:
    """At noon and in the past; the second time the summary is there already."""
    told = tell(zone)
    assert len({event.kind for event in told.events if event.time < BEFORE - 40 * DAY and event.value is None}) == 4
    assert any(event.value is None for event in told.events if event.kind == "view")
    for as_of, first in ((BEFORE, "2025-10-01"), (NOW, "2025-12-01")):
        expected = told.of_all_days(as_of)
        assert told.lists(as_of) == expected == told.worked_out(as_of)
        landed = {told.lake.clock.day_of(event.time).isoformat() for event in told.events if event.time < as_of}
        assert told.days_read(as_of) == {day for day in landed if day >= first}
    assert told.lists(NOW) == expected
    assert expected["gives back"] == {"i2": (0.0, True), "i3": (0.0, True)}
    assert expected["looked"] == {}
    assert "gave back" not in expected
    assert len(told.summaries()) == 2


def test_a_month_later_the_summary_is_made_of_the_one_before_it(tell: Callable[..., Told]) -> None:
    """Files of summed up days are gone: whoever opened one would fail."""
    told = tell()
    expected = [told.of_all_days(as_of) for as_of in (BEFORE, NOW)]
    assert told.lists(BEFORE) == expected[0]
    for day in split(told.lake.days("interactions", BEGIN - DAY, NOW), BEFORE - WINDOW, told.lake.clock).before:
        shutil.rmtree(told.lake.path(day.path))
    assert [told.lists(as_of) for as_of in (BEFORE, NOW)] == expected


def test_who_withdraws_after_the_summary_was_written_is_in_no_list(tell: Callable[..., Told]) -> None:
    """An instant before the withdrawal goes on seeing the answers of then."""
    told = tell()
    names = sorted({event.person for event in told.events})
    told.tea.agree([(name, True) for name in names], BEFORE - DAY)
    assert told.lists(NOW) == told.worked_out(NOW) | {"gave back": {}}
    written = told.summaries()
    answers = [(name, name not in GONE) for name in names if name != "p05"]
    told.tea.agree([*answers, ("p06", None)], NOW - DAY)
    stayed = set(names) - GONE - {"p05", "p06"}
    left = told.lists(NOW)
    assert {name: left[name] for name in stayed} == told.worked_out(NOW, stayed) | {"gave back": {}}
    assert left == told.of_all_days(NOW)
    assert told.summaries() == written
    spark, users = told.tea.spark, told.lake.snapshot("users", NOW)
    old = split(told.lake.days("interactions", BEGIN - DAY, NOW), NOW - WINDOW, told.lake.clock).before
    everyone = stand_in(spark, told.lake, old, told.shop.serving_events)
    asked = events_of_consenting(spark, told.lake, [], users, earlier=everyone)
    assert {row["user_id"] for row in asked.collect()} == stayed
    assert set(told.lists(BEFORE)) == set(names)


def test_a_day_that_is_landed_again_before_the_window_is_seen(tell: Callable[..., Told]) -> None:
    """An order that came late, and one that is not there any more; what is landed with equal content is not."""
    told = tell()
    before = told.lists(NOW)
    day = BEGIN + DAY
    rows = [event for event in told.events if event.time.date() == day.date() and event.person != "gives back"]
    late = Event("late", "i9", "purchase", day, 1.0)
    told.land([*rows, late])
    other = replace(told, events=[*(e for e in told.events if e.time.date() != day.date()), *rows, late])
    after = other.lists(NOW)
    assert after == other.worked_out(NOW)
    assert before["gives back"] == {"i2": (0.0, True), "i3": (0.0, True)}
    assert after["late"] == {"i9": (0.0, True)}
    assert "gives back" not in after


def test_other_meanings_of_events_have_summaries_of_their_own(tell: Callable[..., Told]) -> None:
    """Without cancellations, where carts count as bought, and where nothing does: each beside the others."""
    plain = [event for event in raw_events(6) if event.kind != "return"]
    told = tell(events=plain)
    shop, no_returns = told.shop, {"cancellation": None, "cancels": ()}
    changes: dict[str, dict[str, Any]] = {
        "sum": {},
        "log_sum": {"bought": ()},
        "mean": no_returns,
        "latest": {**no_returns, "bought": ("cart", "purchase")},
    }
    for combine, change in changes.items():
        parts = {"events": shop.events.model_copy(update=change)}
        parts["confidence"] = shop.confidence.model_copy(update={"combine": combine})
        other = replace(told, shop=shop.model_copy(update=parts))
        assert _close(other.lists(NOW), other.of_all_days(NOW))
    assert len(told.summaries()) == 4


def _close(found: People, expected: People) -> bool:
    """Return whether both say the same but for the order in which fractions are added."""
    return found == {
        name: {item: (pytest.approx(confidence), bought) for item, (confidence, bought) in items.items()}
        for name, items in expected.items()
    }


def test_a_summary_is_shorter_than_what_it_stands_for(tell: Callable[..., Told], spark: SparkSession) -> None:
    """A hundred looks and carts of a person are one row each, and so are a hundred orders of one item."""
    looks = [Event("ann", f"i{n % 7}", kind, BEGIN + n * DAY, 1.0) for n in range(60) for kind in ("view", "cart")]
    orders = [Event("ben", "i1", "purchase", BEGIN + n * DAY, None) for n in range(60)]
    told = tell(events=[*looks, *orders, Event("ann", "i1", "view", NOW - DAY, 1.0)])
    events = told.shop.events.model_copy(update={"cancellation": None, "cancels": ()})
    told = replace(told, shop=told.shop.model_copy(update={"events": events}))
    assert _close(told.lists(NOW), told.of_all_days(NOW))
    (name,) = told.summaries()
    assert spark.read.parquet(told.lake.path(f"summaries/{name}/*/*.parquet")).count() == 3


class ReadOnly(FolderObjectStore):
    """Lets nobody write."""

    def create(self, key: str, content: bytes) -> str:
        """Refuse."""
        raise PermissionError(f"{key} is not yours to write")


def test_who_may_not_write_reads_the_days(tell: Callable[..., Told], caplog: pytest.LogCaptureFixture) -> None:
    told = tell()
    store = ReadOnly(Path(told.lake.root))
    lake = Lake(told.lake.root, "catalog.json", store, clock=told.lake.clock)
    with caplog.at_level(logging.WARNING, "refit.lake.summaries"):
        assert told.lists(NOW, lake) == told.of_all_days(NOW)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{told.lake.root}/summaries cannot be written (summaries/")
    assert record.getMessage().endswith(
        " so all landed days up to 2025-11-30 are read each time; allow score_users to write there"
    )
    assert not told.summaries()


def test_of_two_writers_one_is_shown_and_both_are_right(tell: Callable[..., Told]) -> None:
    told = tell()
    other: list[People] = []

    class Slow(FolderObjectStore):
        """Is overtaken by another writer before it shows what it has written."""

        def create(self, key: str, content: bytes) -> str:
            other.append(told.lists(NOW))
            return super().create(key, content)

    lake = Lake(told.lake.root, "catalog.json", Slow(Path(told.lake.root)), clock=told.lake.clock)
    assert [told.lists(NOW, lake)] == other == [told.of_all_days(NOW)]
    assert len(told.summaries()) == 1
    assert len(list(Path(told.lake.root).glob("summaries/*/*/_SUCCESS"))) == 2


def test_collect_lake_keeps_the_summaries_of_now_and_nothing_else(tell: Callable[..., Told]) -> None:
    """What goes waits for `replaced_days`: that of a past instant, that of other days, and what was never shown."""
    told = tell()
    for as_of in (BEFORE - 32 * DAY, BEFORE, NOW):
        told.lists(as_of)
    past, _, current = sorted(
        told.summaries(), key=lambda name: Path(told.lake.path(f"summaries/{name}")).stat().st_mtime_ns
    )
    day = BEGIN + 100 * DAY
    never = f"summaries/{current}/never/part-0.parquet"
    told.lake.store.create(never, b"rows")

    def collected(days: int, by: str) -> int:
        return collect(told.lake, told.shop, {}, NOW + days * DAY, by).summaries_deleted

    assert [collected(days, f"c{days}") for days in (0, 29)] == [0, 0]
    assert len(told.summaries()) == 3
    # The past one and the one that NOW was made from: a manifest and its rows each; and what was never shown.
    assert collected(30, "c30") == 5
    assert told.summaries() == {current}
    expected = told.of_all_days(NOW)
    assert told.lists(NOW) == expected
    told.land([Event("late", "i9", "purchase", day, 1.0)])
    told.lists(NOW)
    assert [collected(days, f"d{days}") for days in (31, 61)] == [0, 2]
    assert len(told.summaries()) == 1
    assert told.summaries() != {current} != {past}


def test_before_the_window_there_may_be_nothing_and_in_it_as_well(tell: Callable[..., Told]) -> None:
    """A shop of a week has no summary; one that has slept for a year has nothing else."""
    told = tell(events=[Event("ann", "i1", "purchase", NOW - DAY, None), Event("ann", "i2", "view", NOW - DAY, 1.0)])
    assert told.lists(NOW) == told.worked_out(NOW)
    assert not told.summaries()
    later = NOW + 400 * DAY
    assert told.lists(later) == {"ann": {"i1": (0.0, True)}} == told.of_all_days(later)
    assert told.days_read(later) == set()
