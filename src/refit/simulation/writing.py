"""Writes a simulated shop to a folder: all of it or nothing."""

from __future__ import annotations

import math
import uuid
from typing import Any

from pyspark.sql import SparkSession

from refit.errors import ConfigurationError
from refit.simulation import tables
from refit.simulation.parameters import described, refuse_other_shop
from refit.simulation.shop import SimulatedShop, SimulationFacts

_PARAMETERS = "shop.json"
_EVENTS_PER_TASK = 1_000_000


def write_simulated_shop(spark: SparkSession, shop: SimulatedShop, folder: str) -> SimulationFacts:
    """
    Write `events/day=.../`, `products/`, `customers/` (Parquet) and `shop.json` (parameters) below *folder*.

    *folder* is any address with atomic rename that Spark can write to (not S3). Everything is first written to a hidden
    sibling, so *folder* exists complete or not at all. A killed generation (not a failed one) leaves that sibling,
    `.NAME.unfinished-...`, which is never read and may be deleted. Repeating the call does nothing; a folder that holds
    anything else is refused with a ConfigurationError.
    """
    jvm: Any = spark.sparkContext._jvm
    target = jvm.org.apache.hadoop.fs.Path(folder)
    files = target.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    target = files.makeQualified(target)
    facts = facts_of(shop, folder)
    if _is_finished(jvm, files, target, shop):
        return facts

    hidden = f".{target.getName()}.unfinished-{uuid.uuid4().hex[:8]}"
    unfinished = jvm.org.apache.hadoop.fs.Path(target.getParent(), hidden)
    try:
        _write_tables(spark, shop, unfinished.toString())
        _write_text(jvm, files, jvm.org.apache.hadoop.fs.Path(unfinished, _PARAMETERS), described(shop))
        if _is_finished(jvm, files, target, shop):  # by another process, meanwhile
            return facts
        files.delete(target, False)  # an empty folder, or nothing
        if not files.rename(unfinished, target):
            raise ConfigurationError(f"{folder}: the finished simulation cannot be moved here; is it writable?")
    finally:
        files.delete(unfinished, True)
    return facts


def facts_of(shop: SimulatedShop, place: str) -> SimulationFacts:
    """Return the facts about *place* once *shop* is written there."""
    return SimulationFacts(
        folder=place,
        events=shop.events,
        products=shop.items,
        customers=shop.people,
        first_day=shop.first_day,
        last_day=shop.last_day,
    )


def generating_session(spark: SparkSession) -> SparkSession:
    """Return a separate session, so that its settings do not affect the caller's."""
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    # With this many expressions one generated method exceeds what the JIT compiles, and is slower by half.
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    return session


def tasks_for(session: SparkSession, shop: SimulatedShop) -> int:
    """Return the number of partitions in which the events of *shop* are generated."""
    return max(2 * session.sparkContext.defaultParallelism, math.ceil(shop.events / _EVENTS_PER_TASK))


def _write_tables(spark: SparkSession, shop: SimulatedShop, folder: str) -> None:
    session = generating_session(spark)
    tables.customers(session, shop).write.parquet(f"{folder}/customers")
    tables.products(session, shop).write.parquet(f"{folder}/products")
    tables.events(session, shop, tasks=tasks_for(session, shop)).write.partitionBy("day").parquet(f"{folder}/events")


def _is_finished(jvm: Any, files: Any, target: Any, shop: SimulatedShop) -> bool:
    """Return whether *target* holds exactly this shop; raise if it holds anything else."""
    if not files.exists(target):
        return False
    parameters = jvm.org.apache.hadoop.fs.Path(target, _PARAMETERS)
    if not files.exists(parameters):
        if files.isDirectory(target) and not files.listStatus(target):
            return False
        raise ConfigurationError(f"{target.toString()} exists and is no simulated shop; choose another folder")
    found = _read_text(jvm, files, parameters)
    refuse_other_shop(shop, found, target.toString(), "choose another folder or delete it")
    return True


def _read_text(jvm: Any, files: Any, path: Any) -> str:
    stream = files.open(path)
    try:
        return str(jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
    finally:
        stream.close()


def _write_text(jvm: Any, files: Any, path: Any, text: str) -> None:
    stream = files.create(path, False)
    try:
        stream.write(text.encode())
    finally:
        stream.close()
