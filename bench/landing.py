"""
Landing 10,000,000 events against one hand-written Spark aggregation and write of the same data.

By hand: read and pseudonymise the same way, one aggregation that counts the rows that break each rule, one write by day
and sorted by person. Refit: the suite, quarantine, cleaning, ledgers and pages as well. Everything in a process of its
own; CPU seconds of the process tree with the start of the JVM, most memory of the tree. In the last line 1,000,000
rows break a rule. `BENCH_ROWS=100000` makes it smaller.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from pyspark.sql import functions as F

from bench.harness.places import session
from bench.harness.process_tree import Used, run_measured
from pipelines import land_interactions
from pipelines.addresses import LAKE_CATALOG
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.folder import FolderObjectStore
from refit.columns import Columns
from refit.config import Shop, load_shop
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey, pseudonymise
from refit.landing.day_landing import interval_parameters
from refit.landing.raw_events import events_of, with_known_items
from refit.landing.row_rules import row_rules
from refit.landing.suites import fill, load_suite
from refit.simulation import write_simulated_shop
from refit.sources import Warehouse

_DAYS, _FIRST = 10, date(2026, 1, 1)
_SINCE, _UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)
_KEY = PseudonymKey(b"a key for a bench only", "k1")
_CLEANING = {
    "shipped": "",
    "every kind": """
[cleaning.outliers]
method = "robust_z"

[cleaning.impute]
country = "mode"

[cleaning.normalise]
text = ["country", "device"]
""",
}


def measure() -> None:
    """Print one line per way, with the ratio to the hand-written job."""
    rows = int(os.environ.get("BENCH_ROWS", "10000000"))
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        _run("prepare", folder, str(rows))
        _write_shop(folder, failing=False)
        hand = _run("hand", folder)
        _print("by hand", hand, hand)
        for cleaning in _CLEANING:
            _print(f"refit, cleaning: {cleaning}", _run("refit", folder, cleaning), hand)
        _write_shop(folder, failing=True)
        _print("refit, cleaning: shipped, a tenth fails", _run("refit", folder, "shipped"), hand)


def _print(name: str, used: Used, hand: Used) -> None:
    ratio = f"{used.seconds / hand.seconds:5.2f}x CPU"
    print(f"{name:<42}{used.seconds:7.0f} CPU s {used.wall:7.0f} s {used.peak:6.2f} GiB {ratio}  {used.output.strip()}")


def _run(what: str, folder: str, *more: str) -> Used:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"}
    command = [sys.executable, "-m", "bench.landing", what, folder, *more]
    return run_measured(command, folder=REPOSITORY, environment=environment)


def _write_shop(folder: str, *, failing: bool) -> None:
    """Write a shop like the simulated one; where *failing*, a tenth of its values are below zero."""
    source = REPOSITORY / "shops" / "simulated"
    for cleaning, added in _CLEANING.items():
        place = Path(folder) / "shops" / cleaning.replace(" ", "_")
        (place / "sources").mkdir(parents=True, exist_ok=True)
        text = (source / "shop.toml").read_text(encoding="utf-8")
        text = text.replace("[validation]", "[validation]\nmax_lost_share = 0.2\nmax_removed_share = 0.9")
        (place / "shop.toml").write_text(text + added, encoding="utf-8")
        for sql in (source / "sources").glob("*.sql"):
            query = sql.read_text(encoding="utf-8")
            if failing:
                query = query.replace(
                    "CAST(quantity AS DOUBLE)", "IF(hash(happened_at, customer) % 10 = 0, -1D, quantity)"
                )
            (place / "sources" / sql.name).write_text(query, encoding="utf-8")


def _shop(folder: str, cleaning: str) -> Shop:
    return load_shop(Path(folder) / "shops", cleaning.replace(" ", "_"))


def _prepare(folder: str, rows: int) -> None:
    simulated = load_shop(REPOSITORY / "shops", "simulated").simulation
    if simulated is None:
        raise RuntimeError("the simulated shop is not simulated")
    size = {"events": rows, "people": rows // 25, "items": 20_000, "days": _DAYS, "first_day": _FIRST}
    shop = type(simulated).model_validate({**simulated.model_dump(), **size, "drift_day": None})
    spark = session("bench landing")
    write_simulated_shop(spark, shop, f"{folder}/raw")
    spark.stop()


def _by_hand(folder: str) -> None:
    shop = _shop(folder, "shipped")
    spark = session("bench landing")
    warehouse = Warehouse(spark, shop, f"{folder}/raw")
    events = warehouse.read("interactions", since=_SINCE, until=_UNTIL)
    items = warehouse.read("items", since=_SINCE, until=_UNTIL)
    people = warehouse.read("users", since=_SINCE, until=_UNTIL)
    if events is None or items is None or people is None:
        raise RuntimeError("the simulated shop lacks a table")
    own = [name for name in events.columns if name not in {Columns.LOCAL_TIME, Columns.SOURCE_DAY}]
    suite = load_suite(REPOSITORY / "expectations", "interactions")
    rules = row_rules(fill(suite, interval_parameters(shop, [_FIRST])))
    consenting = people.where(Columns.CONSENT).select(Columns.USER)
    read = with_known_items(events_of(events, _SINCE, _UNTIL), items).join(consenting, Columns.USER, "left_semi")
    counts = [F.count_if(rule.broken).alias(rule.name) for rule in rules]
    broken = read.agg(F.count(F.lit(1)).alias("rows"), F.max(Columns.EVENT_TIME), *counts).collect()[0]
    (
        pseudonymise(read, _KEY)
        .select(*own, Columns.EVENT_DATE)
        .hint("rebalance", Columns.EVENT_DATE)
        .sortWithinPartitions(Columns.EVENT_DATE, Columns.USER, Columns.EVENT_TIME)
        .write.mode("overwrite")
        .partitionBy(Columns.EVENT_DATE)
        .parquet(f"{folder}/by_hand")
    )
    print(f"{broken['rows']:,} rows, {broken['value_in_range']:,} break a rule")
    spark.stop()


def _refit(folder: str, cleaning: str) -> None:
    shop = _shop(folder, cleaning)
    spark = session("bench landing")
    with tempfile.TemporaryDirectory(prefix="lake-", dir=folder) as root:
        receipt = land_interactions.run(
            _SINCE,
            _UNTIL,
            shop=shop,
            warehouse=Warehouse(spark, shop, f"{folder}/raw"),
            key=_KEY,
            suites=REPOSITORY / "expectations",
            spark=spark,
            lake=Lake(root, LAKE_CATALOG, FolderObjectStore(Path(root)), shop.calendar.clock),
            validator=GreatExpectations(),
        )
    print(f"{receipt.rows:,} kept, {receipt.quarantined:,} set apart, removed {receipt.removed}")
    spark.stop()


if __name__ == "__main__":
    what, where, *given = sys.argv[1:]
    if what == "prepare":
        _prepare(where, int(given[0]))
    elif what == "hand":
        _by_hand(where)
    else:
        _refit(where, given[0])
