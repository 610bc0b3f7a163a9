"""The catalogue: a small head and shards that never change, so that readers load what they need and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType

from refit.clocks.shop_clock import ShopClock
from refit.digests import canonical_json
from refit.errors import ConfigurationError, DamagedBatchError, NotFoundError
from refit.lake.lake import Lake, Landed
from refit.lake.pseudonyms import PseudonymKey
from refit.lake.schema_widening import IncompatibleTypesError
from refit.storage.object_store import StoredObject
from refit.testing import FakeObjectStore

LONG, TEXT = (StructType([StructField("value", kind())]) for kind in (LongType, StringType))
WIDE = StructType([StructField("user_id", StringType()), *[StructField(f"c{n}", DoubleType()) for n in range(20)]])
FIRST = date(2026, 1, 30)
TABLES = ("interactions", "quarantine", "intake", "items", "users")


@dataclass(eq=False)
class Watched(FakeObjectStore):
    """Remembers what was read, and calls *after* when something was written."""

    read: list[tuple[str, int]] = field(default_factory=list)
    after: Callable[[str], None] | None = None

    def get(self, key: str) -> StoredObject | None:
        stored = super().get(key)
        self.read.append((key, len(stored.content) if stored else 0))
        return stored

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        etag = super().swap(key, content, expected=expected)
        if self.after:
            self.after(key)
        return etag

    def reads(self, look: Callable[[], object]) -> tuple[int, int]:
        """Return how many objects and bytes *look* reads."""
        self.read.clear()
        look()
        return len(self.read), sum(size for _, size in self.read)


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def entry(day: date, landing: str, table: str = "interactions") -> Landed:
    return Landed(str(day), f"{table}/landing={landing}/event_date={day}/fate=kept", 1000, "d" * 64, landing)


def lake_in(store: FakeObjectStore) -> Lake:
    return Lake("nowhere", "catalog.json", store)


def seen(lake: Lake) -> dict[str, str]:
    """Return day -> landing of all that is landed."""
    whole = lake.days("interactions", at(date(1970, 1, 1)), at(date(9999, 1, 1)))
    return {landed.day: landed.landing for landed in whole}


def of_before(days: int) -> dict[str, Any]:
    """Return a catalogue as one object, as it was before there were shards; its first day was landed twice."""
    landed = [entry(FIRST + timedelta(days=n), f"old{n}") for n in range(days)]
    fields = ("day", "path", "rows", "digest", "landing")
    rows = {each.day: {name: asdict(each)[name] for name in fields} for each in landed}
    schemas = {f"interactions/{each.landing}": LONG.json() for each in landed}
    return {
        "tables": {"interactions": rows, "items": {}},
        "schemas": {**schemas, "interactions/replaced": WIDE.json()},
        "keys": {"k1": PseudonymKey(b"a key for these tests", "k1").fingerprint},
    }


def test_days_are_found_across_the_ends_of_months_and_years() -> None:
    lake = lake_in(FakeObjectStore())
    days = [date(2025, 12, 30) + timedelta(days=n) for n in range(64)]
    lake.commit("one", {"interactions": (LONG, [entry(day, "one") for day in days])})
    for since, until in ((0, 64), (0, 1), (1, 3), (2, 34), (33, 35), (63, 64), (64, 70)):
        found = lake.days("interactions", at(days[0] + timedelta(since)), at(days[0] + timedelta(until)))
        assert [landed.day for landed in found] == [str(day) for day in days[since:until]]
    assert lake.newest_day("interactions") == days[-1]
    assert lake.newest_day("items") is None


def test_snapshots_are_found_across_months_without_any() -> None:
    lake = lake_in(FakeObjectStore())
    for day in (date(2026, 1, 20), date(2026, 4, 10), date(2026, 4, 20)):
        lake.commit(str(day), {"items": (LONG, [entry(day, str(day), "items")])})
    for asked, day in (
        (date(2025, 6, 1), "2026-01-20"),
        (date(2026, 1, 19), "2026-01-20"),
        (date(2026, 3, 1), "2026-01-20"),
        (date(2026, 4, 9), "2026-01-20"),
        (date(2026, 4, 10), "2026-04-10"),
        (date(2026, 4, 21), "2026-04-20"),
        (date(2027, 1, 1), "2026-04-20"),
    ):
        found = lake.snapshot("items", at(asked))
        assert found is not None
        assert found.day == day
    newest = lake.newest_snapshot("items")
    assert newest is not None
    assert newest.day == "2026-04-20"


def test_a_catalogue_of_before_is_read_and_cut_into_shards_by_the_next_landing() -> None:
    """After every single write a reader that starts then, and one that has read before, see all that was landed."""
    store = Watched(objects={"catalog.json": canonical_json(of_before(40))})
    before = {str(FIRST + timedelta(days=n)): f"old{n}" for n in range(40)}
    early = lake_in(store)
    assert seen(early) == before
    assert list(store.objects) == ["catalog.json"]
    new = FIRST + timedelta(days=40)
    views: list[dict[str, str]] = []
    store.after = lambda _: views.extend((seen(early), seen(lake_in(store))))
    writer = lake_in(store)
    writer.commit("new", {"interactions": (LONG, [entry(new, "new")])})
    after = {**before, str(new): "new"}
    assert views[:-2] == [before] * (len(views) - 2)
    assert views[-2:] == [after, after]
    assert "tables" not in json.loads(store.objects["catalog.json"])
    fresh = lake_in(store)
    fresh.require_key(PseudonymKey(b"a key for these tests", "k1"))
    with pytest.raises(ConfigurationError):
        fresh.require_key(PseudonymKey(b"another key for tests", "k1"))


def test_columns_of_a_landing_of_before_are_known_even_if_it_was_replaced() -> None:
    """The manifest of a training set names it without its schema."""
    store = FakeObjectStore(objects={"catalog.json": canonical_json(of_before(2))})
    named = Landed("2026-01-30", "p", 1, "d", "replaced")
    assert lake_in(store).schema("interactions", named) == WIDE
    lake_in(store).commit("new", {"items": (LONG, [entry(FIRST, "new", "items")])})
    lake = lake_in(store)
    assert lake.schema("interactions", named) == WIDE
    assert lake.schema("interactions", lake.days("interactions", at(FIRST), at(FIRST + timedelta(1)))[0]) == LONG
    with pytest.raises(
        NotFoundError, match="the columns of interactions of 2026-01-30, landing never, are not known any"
    ):
        lake.schema("interactions", Landed("2026-01-30", "p", 1, "d", "never"))


def test_two_that_cut_the_same_catalogue_at_once_keep_both_landings() -> None:
    store = Watched(objects={"catalog.json": canonical_json(of_before(3))})
    days = [FIRST + timedelta(days=n) for n in (5, 6)]

    def race(key: str) -> None:
        store.after = None
        lake_in(store).commit("other", {"interactions": (LONG, [entry(days[0], "other")])})

    store.after = race
    lake_in(store).commit("mine", {"interactions": (LONG, [entry(days[1], "mine")])})
    assert list(seen(lake_in(store)).values()) == ["old0", "old1", "old2", "other", "mine"]


def test_a_shard_that_is_collected_while_it_is_asked_for_is_looked_up_again() -> None:
    store = Watched()
    lake_in(store).commit("one", {"interactions": (LONG, [entry(FIRST, "one")])})
    old = [key for key in store.objects if key.startswith("catalog/interactions/")]
    reader, heads = lake_in(store), [store.objects["catalog.json"]]
    lake_in(store).commit("two", {"interactions": (LONG, [entry(FIRST, "two")])})
    heads.insert(0, store.objects["catalog.json"])
    store.objects["catalog.json"] = heads[1]
    for key in old:
        store.delete(key)
    get = store.get

    def overtaken(key: str) -> StoredObject | None:
        stored = get(key)
        if key == "catalog.json":
            store.objects[key] = heads[0]
        return stored

    store.get = overtaken  # type: ignore[method-assign]
    assert seen(reader) == {str(FIRST): "two"}


def test_a_shard_that_is_lost_is_told() -> None:
    store = FakeObjectStore()
    lake_in(store).commit("one", {"interactions": (LONG, [entry(FIRST, "one")])})
    for key in store.keys("catalog/interactions/"):
        store.delete(key)
    with pytest.raises(
        DamagedBatchError, match=r"catalog\.json names catalog/interactions/2026-01-.*\.json, which is not"
    ):
        seen(lake_in(store))


def test_a_catalogue_of_a_later_version_is_refused() -> None:
    store = FakeObjectStore(objects={"catalog.json": b'{"format":"refit-catalog/9","shards":{}}'})
    with pytest.raises(
        ConfigurationError, match="has the format 'refit-catalog/9', this version of Refit reads 'refit-cat"
    ):
        seen(lake_in(store))


def test_types_that_do_not_go_together_are_refused_across_months() -> None:
    store = FakeObjectStore()
    lake = lake_in(store)
    days = [date(2026, month, 5) for month in (1, 2, 3)]
    for day in days[:2]:
        lake.commit(f"n{day}", {"interactions": (LONG, [entry(day, f"n{day}")])})
    before = dict(store.objects)
    with pytest.raises(IncompatibleTypesError, match="is bigint on 2026-01-05 and string on 2026-03-05, and no type"):
        lake.commit("text", {"interactions": (TEXT, [entry(days[2], "text")])})
    assert store.objects == before
    empty = Landed(str(days[2]), "", 0, "d", "empty")
    lake.commit("empty", {"interactions": (TEXT, [empty])})
    assert lake.days("interactions", at(days[2]), at(days[2] + timedelta(1))) == [empty]
    lake.commit("all", {"interactions": (TEXT, [entry(day, "all") for day in days])})
    assert set(seen(lake).values()) == {"all"}


def test_ten_years_at_three_landings_a_day_cost_readers_little() -> None:
    """As one object the catalogue had 50 MB by then, and every single question read and parsed all of it."""
    store = Watched()
    start, lake = date(2016, 1, 1), lake_in(store)
    months = [(start.year + n // 12, start.month + n % 12) for n in range(120)]
    for year, month in months:
        days = [day for n in range(31) if (day := date(year, month, 1) + timedelta(n)).month == month]
        for number in range(3 if year == 2025 else 1):
            landing = f"{year}{month:02}{number:06}"
            tables = {table: (WIDE, [entry(day, landing, table) for day in days]) for table in TABLES}
            lake.commit(landing, tables)
    end = at(date(2026, 1, 1))
    reader = lake_in(store)
    objects, size = store.reads(lambda: reader.days("interactions", end - timedelta(days=14), end))
    assert objects <= 3
    assert size < 100_000
    whole = store.reads(lambda: reader.days("interactions", at(start), end))
    assert len(reader.days("interactions", at(start), end)) == 3653
    assert whole[1] < 1_500_000
    again = store.reads(lambda: reader.days("interactions", at(start), end))
    assert again == (1, len(store.objects["catalog.json"]))
    assert again[1] < 80_000
    assert len(store.keys("catalog/schemas/")) == 1
    assert store.reads(lambda: lake_in(store).newest_day("interactions"))[1] < 80_000
    assert store.reads(lambda: lake_in(store).snapshot("items", end))[1] < 80_000


def test_days_are_those_of_the_clock_of_the_lake_which_stays_the_same() -> None:
    """Monday in Auckland begins on Sunday in UTC; a lake whose days were cut by another clock is refused."""
    store, auckland = FakeObjectStore(), ShopClock("Pacific/Auckland")
    lake = Lake("nowhere", "catalog.json", store, auckland)
    days = [date(2026, 1, 31), date(2026, 2, 1)]
    lake.commit("one", {"interactions": (LONG, [entry(day, "one") for day in days])})
    saturday, sunday, monday = (auckland.start_of(day) for day in (*days, date(2026, 2, 2)))
    assert sunday.astimezone(UTC).month == 1
    for since, until, found in ((saturday, sunday, days[:1]), (sunday, monday, days[1:]), (saturday, monday, days)):
        assert [landed.day for landed in lake.days("interactions", since, until)] == [str(day) for day in found]
    before = dict(store.objects)
    for look in (seen, lambda lake: lake.commit("two", {"interactions": (LONG, [entry(days[0], "two")])})):
        with pytest.raises(
            ConfigurationError, match="its days are cut by the clock of Pacific/Auckland, those of the sh"
        ):
            look(lake_in(store))
    assert store.objects == before
