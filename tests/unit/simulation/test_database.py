"""A simulated shop in a real PostgreSQL database: the same rows as in files, there as a whole or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from support.postgres_server import Server

from pipelines import simulate_shop
from pipelines.settings import REPOSITORY
from refit.config import load_shop
from refit.errors import ConfigurationError, ConflictError, SourceError, TransientError
from refit.simulation import SimulatedShop, database, tables, write_simulated_database
from refit.sources import Warehouse

ShopWriter = Callable[..., Path]

SMALL = SimulatedShop(seed=1, first_day=date(2025, 3, 1), days=10, people=20, items=30, categories=5, events=1_000)


@dataclass(frozen=True)
class Database:
    """A database of its own on the shared server."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return self.server.url.replace("/postgres", f"/{self.name}")

    def sql(self, statement: str) -> str:
        return self.server.sql(f"\\connect {self.name}\n{statement}")

    def write(self, spark: SparkSession, shop: SimulatedShop = SMALL) -> object:
        return write_simulated_database(spark, shop, self.url, user=self.server.user, password=self.server.password)

    @property
    def tables(self) -> list[str]:
        listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        return self.sql(listed).split()


@pytest.fixture
def empty(postgres: Server) -> Iterator[Database]:
    postgres.sql("CREATE DATABASE simulated")
    yield Database(postgres, "simulated")
    postgres.sql("DROP DATABASE simulated WITH (FORCE)")


def _content(frame: DataFrame) -> tuple[int, int]:
    """Return number of rows and a hash of the rows that does not depend on their order."""
    row = frame.select(F.xxhash64(*frame.columns).alias("hash")).agg(F.count("*"), F.bit_xor("hash")).first()
    assert row is not None
    return row[0], row[1]


def test_the_tables_hold_the_rows_that_the_files_would(spark: SparkSession, empty: Database) -> None:
    facts = empty.write(spark)
    assert facts == database.facts_of(SMALL, empty.url)
    assert empty.tables == ["customers", "events", "products", "simulated_shop"]
    assert empty.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'refit%'") == ""
    login = {"url": empty.url, "user": empty.server.user, "password": empty.server.password}
    for name, expected in {
        "events": tables.events(spark, SMALL, tasks=1).drop("day"),
        "products": tables.products(spark, SMALL),
        "customers": tables.customers(spark, SMALL),
    }.items():
        reader = spark.read.format("jdbc").options(**login, dbtable=name, driver="org.postgresql.Driver")
        assert _content(reader.load()) == _content(expected), name
    assert "Index Scan" in empty.sql(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; "
        "EXPLAIN SELECT * FROM events WHERE happened_at < '2025-03-02'"
    )


def test_the_same_shop_again_is_left_alone_and_another_is_refused(spark: SparkSession, empty: Database) -> None:
    empty.write(spark)
    written = "SELECT relname, relfilenode FROM pg_class WHERE relname IN ('events', 'products', 'customers')"
    before = empty.sql(written)
    empty.write(spark)
    with pytest.raises(ConfigurationError) as found:
        empty.write(spark, SMALL.model_copy(update={"seed": 2}))
    assert str(found.value) == (
        f"{empty.url} holds a shop simulated with other parameters (seed is 1 there and 2 here); "
        "choose another database or drop its tables"
    )
    assert empty.sql(written) == before


def test_a_database_with_tables_of_somebody_else_is_left_alone(spark: SparkSession, empty: Database) -> None:
    empty.sql("CREATE TABLE products (thesis text); INSERT INTO products VALUES ('ten years of work')")
    with pytest.raises(ConfigurationError) as found:
        empty.write(spark)
    assert str(found.value) == (
        f"{empty.url} has a table products and is no simulated shop; choose another database, this one is left alone"
    )
    assert empty.sql("SELECT * FROM products") == "ten years of work"
    assert empty.tables == ["products"]


def test_an_interrupted_generation_shows_nothing_and_can_be_repeated(
    spark: SparkSession, empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interruption comes when every row has been written and only the marker is missing."""

    def interrupted(*_: object) -> None:
        assert empty.sql("SELECT count(*) FROM refit_unfinished.events") == "1000"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(database, "_show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            empty.write(spark)
    assert empty.tables == []

    empty.write(spark)
    assert empty.tables == ["customers", "events", "products", "simulated_shop"]
    assert empty.sql("SELECT count(*) FROM events") == "1000"


def test_two_at_a_time_do_not_mix(spark: SparkSession, empty: Database) -> None:
    """Somebody else holds the lock of a generation under way."""
    other = threading.Thread(
        target=lambda: empty.sql(f"SELECT pg_advisory_lock({database._ONLY_ONE}); SELECT pg_sleep(3)")
    )
    other.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'simulated'"
    deadline = time.monotonic() + 30
    while empty.server.sql(asleep) == "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(ConflictError, match="somebody else is writing a simulated shop"):
        empty.write(spark)
    other.join()
    empty.write(spark)


def test_the_step_says_what_it_wrote_and_the_shop_reads_it(spark: SparkSession, empty: Database) -> None:
    """The shop of the repository, made smaller: its declared columns are those that the generator writes."""
    shop = load_shop(REPOSITORY / "shops", "simulated_postgres")
    small = shop.model_copy(update={"simulation": SMALL})
    raw = Warehouse(spark, small, empty.url, empty.server.user, empty.server.password)
    receipt = simulate_shop.run(warehouse=raw)
    assert (receipt.folder, receipt.events, receipt.first_day) == (empty.url, 1_000, "2025-03-01")
    span = {"since": datetime(2025, 3, 1, tzinfo=UTC), "until": datetime(2025, 3, 11, tzinfo=UTC)}
    counts = {
        table: frame.count() for table in ("interactions", "items", "users") if (frame := raw.read(table, **span))
    }
    assert counts["interactions"] == 1_000
    assert counts["users"] == 20
    assert 20 <= counts["items"] <= 30


def test_a_place_that_the_shop_would_not_read_is_refused(spark: SparkSession) -> None:
    shops = {name: load_shop(REPOSITORY / "shops", name) for name in ("simulated", "simulated_postgres")}

    def refusal(name: str, data: str) -> str:
        with pytest.raises(ConfigurationError) as found:
            simulate_shop.run(warehouse=Warehouse(spark, shops[name], data))
        return str(found.value)

    assert refusal("simulated", "jdbc:postgresql://db/shop") == (
        "shop 'simulated' would not read what is written to jdbc:postgresql://db/shop; set DATA=folder"
    )
    assert refusal("simulated_postgres", "/data") == (
        "shop 'simulated_postgres' would not read what is written to /data; set DATA=jdbc:postgresql://host/database"
    )
    assert refusal("simulated_postgres", "jdbc:mysql://db/shop") == (
        "a simulated shop is written to a folder or to PostgreSQL and not to jdbc:mysql://db/shop; "
        "set DATA=jdbc:postgresql://host/database"
    )
    assert "carries a password" in refusal("simulated_postgres", "jdbc:postgresql://db/shop?password=pw")


def test_a_server_that_refuses_or_is_away_is_one_sentence(spark: SparkSession, empty: Database) -> None:
    shop = load_shop(REPOSITORY / "shops", "simulated_postgres")
    with pytest.raises(SourceError) as refused:
        simulate_shop.run(warehouse=Warehouse(spark, shop, empty.url, "refit", "wrong-word"))
    assert str(refused.value) == (
        "simulating shop 'simulated_postgres': the database refuses: password authentication failed for user "
        '"refit"; correct REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD'
    )
    with pytest.raises(TransientError, match="does not answer"):
        simulate_shop.run(warehouse=Warehouse(spark, shop, "jdbc:postgresql://127.0.0.1:1/shop", "refit", "word"))
