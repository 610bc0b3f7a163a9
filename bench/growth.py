"""
What a lake costs as it grows old: the bytes and seconds of its catalogue, and what a scoring reads.

The catalogue: ten years of days are entered, landed three times each, as a busy shop has them; opening the newest 90
days and entering one more day are measured beside one JSON object that holds the same entries, the least that a
catalogue in one piece can cost. Scoring: a simulated shop of two years with a window of 90 days, without a summary of
what was before the window, while the first one is made, and with it. `BENCH_ROWS` are its events (a million).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from bench.gate import land
from bench.harness.places import session
from pipelines.addresses import LAKE_CATALOG
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.config import Shop, load_shop
from refit.lake.as_of import days_before, everybody_as_of
from refit.lake.consent import events_of_consenting
from refit.lake.lake import Lake, Landed
from refit.lake.pairs import histories, person_item_pairs
from refit.lake.people import everybody
from refit.storage.object_store import StoredObject

_YEARS, _WINDOW, _TIMES = 10, 90, 5
_FIRST = date(2016, 1, 1)
_SCHEMA = StructType().add("user_id", "string").add("item_id", "string").add("event_type", "string")


class _Counting(FolderObjectStore):
    """Counts the bytes that are read and written."""

    read = 0
    written = 0

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        self.read += len(found.content) if found else 0
        return found

    def create(self, key: str, content: bytes) -> None:
        self.written += len(content)
        super().create(key, content)

    def swap(self, key: str, content: bytes, *, expected: str | None) -> None:
        self.written += len(content)
        super().swap(key, content, expected=expected)


def measure() -> None:
    """Print two lines about the catalogue, then three about what lists are made of."""
    _catalogue()
    spark = session("bench growth")
    _scoring(spark)
    spark.stop()


def _catalogue() -> None:
    entries = [_entry(_FIRST + timedelta(days=n)) for n in range(365 * _YEARS)]
    whole = json.dumps({"tables": {"interactions": {entry.day: asdict(entry) for entry in entries}}}).encode()
    newest = datetime.combine(_FIRST + timedelta(days=len(entries)), datetime.min.time(), UTC)
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        for landing in ("first", "second", "third"):
            _lake(folder, _Counting(Path(folder))).commit(landing, {"interactions": (_SCHEMA, entries)})

        def open_window() -> int:
            store = _Counting(Path(folder))
            days = _lake(folder, store).days("interactions", newest - timedelta(days=_WINDOW), newest)
            return store.read if len(days) == _WINDOW else 0

        def enter_day() -> int:
            store = _Counting(Path(folder))
            lake = _lake(folder, store)
            lake.commit("fourth", {"interactions": (_SCHEMA, [replace(entries[-1], landing="fourth")])})
            return store.read + store.written

        def open_whole() -> int:
            days = json.loads(whole)["tables"]["interactions"]
            found = [Landed(**entry) for day, entry in days.items() if day >= str(newest.date() - timedelta(_WINDOW))]
            return len(whole) if len(found) == _WINDOW else 0

        def write_whole() -> int:
            body = json.loads(whole)
            body["tables"]["interactions"][entries[-1].day]["landing"] = "fourth"
            return len(whole) + len(json.dumps(body).encode())

        for what, ours, one in (("open 90 days", open_window, open_whole), ("enter a day", enter_day, write_whole)):
            moved, seconds = _timed(ours)
            moved_whole, seconds_whole = _timed(one)
            print(
                f"{what} of {len(entries):,}: {moved / 1e3:,.0f} kB in {1e3 * seconds:.1f} ms; as one object "
                f"{moved_whole / 1e3:,.0f} kB in {1e3 * seconds_whole:.1f} ms ({moved_whole / moved:.0f} times the "
                f"bytes, {seconds_whole / seconds:.1f} times the seconds)",
                flush=True,
            )


def _entry(day: date) -> Landed:
    return Landed(
        day.isoformat(), f"interactions/landing=0123456789ab/event_date={day}", 20_000, "0" * 64, "0123456789ab"
    )


def _lake(folder: str, store: FolderObjectStore) -> Lake:
    return Lake(folder, LAKE_CATALOG, store)


def _timed(call: Callable[[], int]) -> tuple[int, float]:
    """Return what *call* returns, and the seconds of the quickest of some calls."""
    best, found = float("inf"), 0
    for _ in range(_TIMES):
        began = time.perf_counter()
        found = call()
        best = min(best, time.perf_counter() - began)
    return found, best


def _scoring(spark: SparkSession) -> None:
    shop, rows = load_shop(REPOSITORY / "shops", "simulated"), int(os.environ.get("BENCH_ROWS", 1_000_000))
    if shop.simulation is None:
        raise RuntimeError("the shop is not simulated")
    small = {"days": 730, "people": 20_000, "items": 2_000, "events": rows, "drift_day": None}
    simulation = shop.simulation.model_copy(update=small)
    window = shop.training.model_copy(update={"window_days": _WINDOW})
    # No users are landed, so lists have no segments.
    shop = shop.model_copy(update={"training": window, "lists": shop.lists.model_copy(update={"segment": None})})
    as_of = datetime.combine(simulation.first_day, datetime.min.time(), UTC) + timedelta(days=simulation.days)
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        lake = land(spark, simulation, folder)
        _consume(_of_all_days(spark, lake, shop, as_of))  # a JVM that has not seen the plan is no measure
        took = {
            "all days": _seconds(lambda: _of_all_days(spark, lake, shop, as_of)),
            "the first summary is made": _seconds(lambda: everybody_as_of(spark, lake, shop, as_of)),
            "a summary and the window": _seconds(lambda: everybody_as_of(spark, lake, shop, as_of)),
        }
        read = {
            "all days": _bytes(_of_all_days(spark, lake, shop, as_of)),
            "a summary and the window": _bytes(everybody_as_of(spark, lake, shop, as_of)),
        }
    for what, seconds in took.items():
        size = f", {read[what] / 1e6:.1f} MB of files" if what in read else ""
        ratio = seconds / took["all days"]
        print(
            f"people and items of {rows:,} events in 730 days, {what}: {seconds:.1f} s ({ratio:.2f}){size}", flush=True
        )


def _of_all_days(spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime) -> DataFrame:
    events = shop.serving_events
    told = events_of_consenting(spark, lake, days_before(lake, as_of), lake.snapshot("users", as_of))
    since = shop.calendar.clock.back(as_of, shop.training.window_days)
    pairs = person_item_pairs(told, since=since, as_of=as_of, events=events, confidence=shop.confidence)
    return everybody(histories(pairs, silent=False), None)


def _consume(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def _seconds(frame: Callable[[], DataFrame]) -> float:
    began = time.perf_counter()
    _consume(frame())
    return time.perf_counter() - began


def _bytes(frame: DataFrame) -> int:
    return sum(Path(name.removeprefix("file://")).stat().st_size for name in frame.inputFiles())
