"""The lake: a reader sees each day as it was before a landing or as it is after, and nothing in between."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from refit.adapters.folder import FolderObjectStore
from refit.errors import ConfigurationError, ConflictError, NotFoundError, TransientError
from refit.lake.lake import Lake, Landed
from refit.lake.pseudonyms import PseudonymKey
from refit.lake.schema_widening import IncompatibleTypesError
from refit.landing.staging import staging
from refit.row_hashes import content_digest, hash_sum
from refit.storage.object_store import ObjectStore
from refit.testing import FakeObjectStore

EVENTS = "user_id string, item_id string, event_type string, event_time timestamp, value double"
EMPTY = StructType()


def day(number: int, hour: int = 0) -> datetime:
    """Return an instant of January 2026."""
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def events(spark: SparkSession, days: list[int], mark: str = "first") -> DataFrame:
    """Return one event on each of the days, whose item says who has landed it."""
    rows = [("ann", mark, "buy", day(number, 12), 1.0) for number in days]
    return spark.createDataFrame(rows, EVENTS)


def fated(frame: DataFrame) -> DataFrame:
    """Return *frame* as cleaning hands it over when nothing is wrong with it."""
    nothing = F.lit(None).cast("array<string>")
    return frame.withColumns(
        {"event_date": F.to_date("event_time"), "fate": F.lit("kept"), "broken": nothing, "changed": nothing}
    )


def land(spark: SparkSession, lake: Lake, landing: str, frame: DataFrame) -> list[Landed]:
    with staging(spark, lake, landing) as stage:
        stage.stage_events(fated(frame), [])
        stage.commit()
    return [entry for entry in lake.days("interactions", day(1), day(31)) if entry.landing == landing]


def seen(spark: SparkSession, lake: Lake, since: datetime, until: datetime) -> dict[int, str]:
    """Return day of the month -> item, as a reader of the interval finds them."""
    frame = lake.read(spark, "interactions", lake.days("interactions", since, until))
    return {row["event_time"].day: row["item_id"] for row in frame.collect()}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path), catalog="catalog.json", store=FolderObjectStore(tmp_path))


def memory_lake(store: ObjectStore | None = None) -> Lake:
    return Lake(root="nowhere", catalog="catalog.json", store=store or FakeObjectStore())


def entry(number: int, landing: str = "one") -> Landed:
    name = date(2026, 1, number).isoformat()
    return Landed(name, f"t/landing={landing}/event_date={name}", 1, "d", landing)


def test_landing_again_replaces_exactly_its_days(spark: SparkSession, lake: Lake) -> None:
    land(spark, lake, "one", events(spark, [1, 2, 3]))
    land(spark, lake, "two", events(spark, [2], "second"))
    assert seen(spark, lake, day(1), day(4)) == {1: "first", 2: "second", 3: "first"}


def test_what_was_replaced_can_still_be_read_by_whoever_holds_it(spark: SparkSession, lake: Lake) -> None:
    """A training set names the versions it was built from and stays valid when a day is landed again."""
    before = land(spark, lake, "one", events(spark, [1, 2]))
    land(spark, lake, "two", events(spark, [1, 2], "second"))
    old = lake.read(spark, "interactions", before).collect()
    assert [row["item_id"] for row in old] == ["first", "first"]


def test_an_interval_holds_its_first_day_and_not_its_last(spark: SparkSession, lake: Lake) -> None:
    land(spark, lake, "one", events(spark, [1, 2, 3]))
    assert sorted(seen(spark, lake, day(1), day(3))) == [1, 2]
    assert [landed.day for landed in lake.days("interactions", day(2), day(9))] == ["2026-01-02", "2026-01-03"]
    assert [landed.day for landed in lake.days("interactions", day(2), day(2, 1))] == ["2026-01-02"]
    assert lake.days("interactions", day(4), day(9)) == []
    assert lake.newest_day("interactions") == date(2026, 1, 3)


def test_a_column_that_is_new_is_null_in_what_was_landed_before(spark: SparkSession, lake: Lake) -> None:
    land(spark, lake, "one", events(spark, [1]).withColumn("device", F.lit("phone")))
    land(spark, lake, "two", events(spark, [2]).withColumn("country", F.lit("Sweden")))
    frame = lake.read(spark, "interactions", lake.days("interactions", day(1), day(3)))
    found = {row["event_time"].day: (row["device"], row["country"]) for row in frame.collect()}
    assert found == {1: ("phone", None), 2: (None, "Sweden")}


def test_equal_rows_have_equal_digests_in_any_order_and_other_rows_have_others(spark: SparkSession, lake: Lake) -> None:
    rows = [(f"u{n}", f"i{n % 7}", "buy", day(1, n % 24), float(n)) for n in range(50)]
    first = land(spark, lake, "one", spark.createDataFrame(rows, EVENTS))[0]
    again = land(spark, lake, "two", spark.createDataFrame(rows[::-1], EVENTS).repartition(3))[0]
    other = land(spark, lake, "three", spark.createDataFrame([*rows[:-1], rows[0]], EVENTS))[0]
    assert (first.rows, again.rows, other.rows) == (50, 50, 50)
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_the_digest_does_not_depend_on_the_order_of_columns(spark: SparkSession) -> None:
    frame = events(spark, [1, 2])
    turned = frame.select(*reversed(frame.columns))
    digests = set()
    for some in (frame, turned):
        count, total = some.agg(F.count(F.lit(1)), hash_sum(some.schema)).collect()[0]
        digests.add(content_digest(count, total, some.schema))
    assert len(digests) == 1
    assert content_digest(0, None, frame.schema) != content_digest(0, None, frame.drop("value").schema)


def test_nothing_is_landed_at_first(spark: SparkSession, lake: Lake) -> None:
    assert lake.days("interactions", day(1), day(9)) == []
    assert lake.newest_day("interactions") is None
    assert lake.snapshot("items", day(1)) is None
    with pytest.raises(NotFoundError, match=r"nothing is landed for the asked days; land them first$"):
        lake.read(spark, "interactions", [])


def test_a_snapshot_is_the_newest_that_is_not_younger_than_asked() -> None:
    """A history that was landed in one go has only a young one, which is better than none."""
    lake = memory_lake()
    lake.commit("one", {"items": (EMPTY, [entry(10)])})
    lake.commit("two", {"items": (EMPTY, [entry(20, "two")])})
    chosen = {number: lake.snapshot("items", day(number)) for number in (5, 10, 15, 20, 25)}
    assert {number: found.day for number, found in chosen.items() if found} == {
        5: "2026-01-10",
        10: "2026-01-10",
        15: "2026-01-10",
        20: "2026-01-20",
        25: "2026-01-20",
    }


class RecordingStore(FakeObjectStore):
    """Remembers which objects were written that were, or could have been, there before."""

    def __init__(self) -> None:
        super().__init__()
        self.swapped: list[str] = []

    def create(self, key: str, content: bytes) -> str:
        return super().swap(key, content, expected=None)

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        self.swapped.append(key)
        return super().swap(key, content, expected=expected)


def test_all_tables_of_a_landing_become_current_at_once() -> None:
    """One swap of one object is all that readers can see; what else is written nobody can know of before."""
    store = RecordingStore()
    lake = memory_lake(store)
    lake.commit("one", {"interactions": (EMPTY, [entry(1), entry(2)]), "items": (EMPTY, [entry(3)])})
    assert store.swapped == ["catalog.json"]
    assert [landed.day for landed in lake.days("interactions", day(1), day(9))] == ["2026-01-01", "2026-01-02"]
    assert lake.snapshot("items", day(9)) == entry(3)


class RacingStore(FakeObjectStore):
    """Another landing commits just before each of the first `races` swaps."""

    races = 0

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        if self.races and key == "catalog.json":
            number, self.races = self.races, 0
            memory_lake(self).commit(f"other{number}", {"interactions": (EMPTY, [entry(number, f"other{number}")])})
            self.races = number - 1
        return super().swap(key, content, expected=expected)


def test_two_landings_at_once_are_both_kept() -> None:
    """Whoever loses a swap puts its days on top of the winner's, three times over."""
    store = RacingStore()
    store.races = 3
    lake = memory_lake(store)
    lake.commit("mine", {"interactions": (EMPTY, [entry(9, "mine")])})
    found = {landed.day[-2:]: landed.landing for landed in lake.days("interactions", day(1), day(31))}
    assert found == {"01": "other1", "02": "other2", "03": "other3", "09": "mine"}


def test_a_catalogue_that_never_rests_is_given_up_with_a_sentence() -> None:
    store = RacingStore()
    store.races = 25
    lake = memory_lake(store)
    with pytest.raises(ConflictError, match=r"the catalogue changed 20 times while landing mine; try again$"):
        lake.commit("mine", {"interactions": (EMPTY, [entry(31, "mine")])})
    assert "2026-01-31" not in {landed.day for landed in lake.days("interactions", day(1), day(31, 1))}


@pytest.mark.parametrize("moment", ["when all is staged", "while a table is measured"])
def test_a_landing_that_fails_shows_nothing_and_leaves_nothing(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("no more")

    def land_two() -> None:
        with staging(spark, lake, "two") as stage:
            stage.snapshot("items", events(spark, [1]), day(2))
            if moment == "while a table is measured":
                monkeypatch.setattr("refit.landing.staging.content_digest", fail)
            stage.stage_events(fated(events(spark, [1], "second")), [])
            fail()

    land(spark, lake, "one", events(spark, [1]))
    before = set(Path(lake.root).rglob("*"))
    with pytest.raises(RuntimeError, match="no more"):
        land_two()
    assert seen(spark, lake, day(1), day(2)) == {1: "first"}
    assert {path.name for path in set(Path(lake.root).rglob("*")) - before} <= {"items"}


class AnswerLost(FolderObjectStore):
    """Every swap is done, and the one who asked for it never hears so."""

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        super().swap(key, content, expected=expected)
        raise TransientError("connection reset")


def test_a_landing_that_was_shown_is_not_deleted_when_only_the_answer_is_lost(
    spark: SparkSession, tmp_path: Path
) -> None:
    """The catalogue may name its files by then."""
    lake = Lake(root=str(tmp_path), catalog="catalog.json", store=AnswerLost(tmp_path))
    with pytest.raises(TransientError):
        land(spark, lake, "one", events(spark, [1]))
    assert seen(spark, lake, day(1), day(2)) == {1: "first"}


def test_a_day_that_lost_all_its_events_is_landed_as_empty(spark: SparkSession, lake: Lake) -> None:
    """The day is landed again, and its file has nothing any more: readers must not go on seeing what it had."""
    land(spark, lake, "one", events(spark, [1, 2]))
    with staging(spark, lake, "two") as stage:
        stage.stage_events(fated(events(spark, [1], "second")), [date(2026, 1, 2)])
        stage.commit()
    assert seen(spark, lake, day(1), day(3)) == {1: "second"}
    assert [(entry.day, entry.rows) for entry in lake.days("interactions", day(1), day(3))] == [
        ("2026-01-01", 1),
        ("2026-01-02", 0),
    ]


def test_a_landing_made_from_versions_that_are_not_current_any_more_is_refused() -> None:
    lake = memory_lake()
    lake.commit("one", {"interactions": (EMPTY, [entry(1), entry(2)])})
    lake.commit("two", {"interactions": (EMPTY, [entry(2, "two")])})
    mine = {"interactions": (EMPTY, [entry(1, "mine"), entry(2, "mine")])}
    with pytest.raises(ConflictError, match="2026-01-02 was landed again meanwhile; nothing was changed, run it again"):
        lake.commit("mine", mine, replacing=[entry(1), entry(2)])
    assert [day.landing for day in lake.days("interactions", day(1), day(3))] == ["one", "two"]
    lake.commit("mine", mine, replacing=[entry(1), entry(2, "two")])
    assert [day.landing for day in lake.days("interactions", day(1), day(3))] == ["mine", "mine"]


def test_days_are_those_of_utc(spark: SparkSession, lake: Lake) -> None:
    """The last microsecond before midnight belongs to the day that ends."""
    last = day(2) - timedelta(microseconds=1)
    frame = spark.createDataFrame([("ann", "x", "buy", last, 1.0), ("ann", "y", "buy", day(2), 1.0)], EVENTS)
    assert [(landed.day, landed.rows) for landed in land(spark, lake, "one", frame)] == [
        ("2026-01-01", 1),
        ("2026-01-02", 1),
    ]


TYPES = {
    "grown": ("int", "bigint", "bigint"),
    "shrunk": ("bigint", "smallint", "bigint"),
    "halved": ("int", "double", "double"),
    "finer": ("float", "double", "double"),
    "priced": ("decimal(6,2)", "decimal(10,4)", "decimal(10,4)"),
    "counted": ("decimal(10,4)", "int", "decimal(14,4)"),
    "many": ("array<int>", "array<bigint>", "array<bigint>"),
    "nested": ("struct<a:int>", "struct<A:bigint,b:string>", "struct<a:bigint,b:string>"),
}
"""Column -> its type on the first day, on the second, and when both are read."""


def of_type(number: int, kind: str) -> Column:
    if kind.startswith("struct"):
        more = [F.lit(None).alias("b")] if "b:" in kind else []
        return F.struct(F.lit(number).alias("a"), *more).cast(kind)
    return (F.array(F.lit(number)) if kind.startswith("array") else F.lit(number)).cast(kind)


@pytest.mark.parametrize("landings", [("aaa", "bbb"), ("bbb", "aaa")])
def test_a_column_is_read_with_its_widest_type_whatever_the_landings_are_called(
    spark: SparkSession, lake: Lake, landings: tuple[str, str]
) -> None:
    for place, landing in enumerate(landings):
        columns = {name: of_type(7 + place, kinds[place]) for name, kinds in TYPES.items()}
        land(spark, lake, landing, events(spark, [1 + place]).withColumns(columns))
    frame = lake.read(spark, "interactions", lake.days("interactions", day(1), day(3)))
    assert {name: kind for name, kind in frame.dtypes if name in TYPES} == {name: k[2] for name, k in TYPES.items()}
    found = frame.select(*TYPES).orderBy("grown").collect()
    assert [tuple(row) for row in found] == [(n, n, n, n, n, n, [n], (n, None)) for n in (7, 8)]


@pytest.mark.parametrize(("older", "newer"), [("bigint", "double"), ("int", "string")])
def test_a_type_that_does_not_go_together_with_other_days_is_refused_before_the_swap(
    spark: SparkSession, lake: Lake, older: str, newer: str
) -> None:
    first, second = (events(spark, [n]).withColumn("more", F.lit(n).cast(kind)) for n, kind in ((1, older), (2, newer)))
    land(spark, lake, "two", first)
    before = set(Path(lake.root).rglob("*.parquet"))
    with pytest.raises(
        IncompatibleTypesError,
        match=f"^column 'more' of interactions is {older} on 2026-01-01 and {newer} on 2026-01-02, and no type holds",
    ):
        land(spark, lake, "one", second)
    assert set(Path(lake.root).rglob("*.parquet")) == before
    assert seen(spark, lake, day(1), day(9)) == {1: "first"}
    # A landing that replaces every day of the other type is none of the kind.
    land(spark, lake, "all", events(spark, [1, 2]).withColumn("more", F.lit("x")))
    assert seen(spark, lake, day(1), day(9)) == {1: "first", 2: "first"}


def test_a_snapshot_may_have_any_types_because_it_is_read_alone(spark: SparkSession, lake: Lake) -> None:
    for number, kind in ((2, "bigint"), (3, "string")):
        with staging(spark, lake, f"n{number}") as stage:
            stage.snapshot("items", spark.range(1).select(F.col("id").cast(kind)), day(number))
            stage.commit()
    assert lake.read(spark, "items", [lake.newest_snapshot("items")]).dtypes == [("id", "string")]  # type: ignore[list-item]


def test_an_old_day_that_is_landed_again_keeps_its_catalogue() -> None:
    """What is known today was not known then; the newest day may be corrected, and a gap in the past is not filled."""
    lake = memory_lake()
    for number in (10, 20):
        assert lake.commit(f"n{number}", {"items": (EMPTY, [entry(number, f"n{number}")])}) == []
    for number in (10, 15, 5):
        tables = {"items": (EMPTY, [entry(number, "now")]), "interactions": (EMPTY, [entry(number, "now")])}
        assert lake.commit("now", tables) == ["items"]
    assert lake.commit("now", {"users": (EMPTY, [entry(10, "now")])}) == []
    assert lake.commit("later", {"items": (EMPTY, [entry(20, "later")])}) == []
    chosen = [lake.snapshot("items", day(number)) for number in (5, 10, 15, 20)]
    assert [found.landing for found in chosen if found] == ["n10", "n10", "n10", "later"]
    assert [landed.day[-2:] for landed in lake.days("interactions", day(1), day(31))] == ["05", "10", "15"]


def test_another_pseudonym_key_is_refused() -> None:
    store = FakeObjectStore()
    lake = memory_lake(store)
    mine, other = PseudonymKey(b"a key for these tests", "k1"), PseudonymKey(b"another key for them", "k1")
    lake.require_key(other)
    lake.commit("one", {"interactions": (EMPTY, [entry(1)])}, key=mine)
    lake.require_key(mine)
    before = dict(store.objects)
    sentence = r"^the pseudonym key 'k1' is not the one with which nowhere was landed .*REFIT_PSEUDONYM_KEY_VERSION"
    for refused in (
        lambda: lake.require_key(other),
        lambda: lake.commit("two", {"interactions": (EMPTY, [entry(2)])}, key=other),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            refused()
    assert store.objects == before
    assert not any(secret in b"".join(before.values()) for secret in (mine.secret, other.secret))
    rotated = PseudonymKey(other.secret, "k2")
    lake.commit("three", {"interactions": (EMPTY, [entry(3)])}, key=rotated)
    lake.commit("four", {"interactions": (EMPTY, [entry(4)])})
    for key in (mine, rotated):
        lake.require_key(key)
