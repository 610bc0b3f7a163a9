"""Landings that commit at once to a lake on a real S3 server: all are kept, and readers see whole landings only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Event

import pytest
from pyspark.sql.types import LongType, StructField, StructType

from refit.adapters.s3 import S3ObjectStore
from refit.digests import canonical_json
from refit.lake.lake import Lake, Landed

WRITERS, LANDINGS = 4, 3
COLUMNS = StructType([StructField("value", LongType())])
FIRST = date(2026, 1, 1)
EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("is_old", [False, True], ids=["sharded", "one object"])
def test_landings_at_once_are_all_kept_and_seen_whole(s3_endpoint: str, is_old: bool) -> None:
    address = f"s3://refit/lake-commits-{int(is_old)}"

    def lake() -> Lake:
        return Lake(address, "catalog.json", S3ObjectStore.connect(address, endpoint=s3_endpoint))

    def days_of(landing: str) -> list[Landed]:
        """Return two days in two months that no other landing has."""
        number = int(landing.removeprefix("n"))
        both = (FIRST + timedelta(days=number), FIRST + timedelta(days=100 + number))
        return [Landed(str(day), f"interactions/landing={landing}/{day}", 1, "d", landing) for day in both]

    if is_old:
        fields = ("day", "path", "rows", "digest", "landing")
        entry = {name: getattr(days_of("n99")[0], name) for name in fields}
        before = {"tables": {"interactions": {entry["day"]: entry}}, "schemas": {"interactions/n99": COLUMNS.json()}}
        lake().store.create("catalog.json", canonical_json(before))
    over = Event()

    def write(writer: int) -> None:
        mine = lake()
        for number in range(LANDINGS):
            landing = f"n{writer * LANDINGS + number}"
            mine.commit(landing, {"interactions": (COLUMNS, days_of(landing))})

    def read() -> list[int]:
        mine, halves = lake(), []
        while not over.is_set():
            found = [landed.landing for landed in mine.days("interactions", *EVER) if landed.landing != "n99"]
            halves.append(sum(found.count(landing) != 2 for landing in set(found)))
        return halves

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reading = pool.submit(read)
        try:
            list(pool.map(write, range(WRITERS)))
        finally:
            over.set()
        assert set(reading.result()) == {0}
    expected = {f"n{number}" for number in range(WRITERS * LANDINGS)} | ({"n99"} if is_old else set())
    assert {landed.landing for landed in lake().days("interactions", *EVER)} == expected
