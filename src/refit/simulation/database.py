"""Writes a simulated shop to a PostgreSQL database: all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from refit.errors import ConfigurationError, ConflictError
from refit.simulation import tables
from refit.simulation.parameters import described, refuse_other_shop
from refit.simulation.shop import SimulatedShop, SimulationFacts
from refit.simulation.writing import facts_of, generating_session, tasks_for

_ADDRESS, _DRIVER = "jdbc:postgresql:", "org.postgresql.Driver"
_MARKER = "simulated_shop"
_UNFINISHED = "refit_unfinished"
"""Schema in which the tables are built before they move to the readers' schema."""
_TABLES = {
    "customers": "customer text PRIMARY KEY, consent boolean NOT NULL, country text NOT NULL, "
    "registered_on date NOT NULL",
    "products": "sku text PRIMARY KEY, name text NOT NULL, category text NOT NULL, price double precision NOT NULL, "
    "in_stock boolean NOT NULL, listed_on timestamptz NOT NULL",
    "events": "event_id text PRIMARY KEY, customer text NOT NULL, sku text NOT NULL, action text NOT NULL, "
    "happened_at timestamptz NOT NULL, quantity integer NOT NULL, unit_price double precision NOT NULL, "
    "country text NOT NULL, device text NOT NULL",
}
_BATCH = {"batchsize": "10000", "reWriteBatchedInserts": "true"}
_ONLY_ONE = "hashtext('refit simulated shop')"
"""Advisory lock of the writing process; PostgreSQL releases it when the process dies."""


def write_simulated_database(
    spark: SparkSession, shop: SimulatedShop, url: str, *, user: str, password: str
) -> SimulationFacts:
    """
    Make the tables `events`, `products`, `customers` and `simulated_shop` (parameters) in the database at *url*.

    They are filled in a separate schema and appear in one transaction, complete or not at all. A killed generation
    leaves the schema `refit_unfinished`, which the next one drops first. Repeating the call does nothing.

    Raises:
        ConfigurationError: no PostgreSQL, or the database holds other data under these names, which are left unchanged.
        ConflictError: another process is writing.
    """
    if not url.startswith(_ADDRESS):
        raise ConfigurationError(
            f"a simulated shop is written to a folder or to PostgreSQL and not to {url}; "
            f"set DATA={_ADDRESS}//host/database"
        )
    facts = facts_of(shop, url)
    login = {"user": user, "password": password}
    with _connected(spark, url, login) as connection:
        if _asked(connection, f"SELECT pg_try_advisory_lock({_ONLY_ONE})") != "t":
            raise ConflictError(f"somebody else is writing a simulated shop to {url}; wait until that has ended")
        if _is_finished(connection, shop, url):
            return facts
        _do(connection, f"DROP SCHEMA IF EXISTS {_UNFINISHED} CASCADE")
        _do(connection, f"CREATE SCHEMA {_UNFINISHED}")
        session = generating_session(spark)
        rows = {
            "customers": tables.customers(session, shop),
            "products": tables.products(session, shop),
            "events": tables.events(session, shop, tasks=tasks_for(session, shop)).drop("day"),
        }
        for name, columns in _TABLES.items():
            _do(connection, f"CREATE TABLE {_UNFINISHED}.{name} ({columns})")
            _fill(rows[name], url, f"{_UNFINISHED}.{name}", login)
        _do(connection, f"CREATE INDEX ON {_UNFINISHED}.events (happened_at)")
        _show(connection, shop)
    return facts


def _is_finished(connection: Any, shop: SimulatedShop, url: str) -> bool:
    """Return whether the database holds exactly this shop; raise if it holds anything else."""
    if _asked(connection, f"SELECT to_regclass('{_MARKER}')"):
        found = _asked(connection, f"SELECT parameters FROM {_MARKER}")
        refuse_other_shop(shop, found, url, "choose another database or drop its tables")
        return True
    for name in _TABLES:
        if _asked(connection, f"SELECT to_regclass('{name}')"):
            raise ConfigurationError(
                f"{url} has a table {name} and is no simulated shop; choose another database, this one is left alone"
            )
    return False


def _fill(rows: DataFrame, url: str, table: str, login: dict[str, str]) -> None:
    options = {**_BATCH, **login, "url": url, "dbtable": table, "driver": _DRIVER}
    rows.write.format("jdbc").options(**options).mode("append").save()


def _show(connection: Any, shop: SimulatedShop) -> None:
    """Move the tables to the readers' schema and record that they are complete, in one transaction."""
    target = _asked(connection, "SELECT quote_ident(current_schema())")
    connection.setAutoCommit(False)
    for name in _TABLES:
        _do(connection, f"ALTER TABLE {_UNFINISHED}.{name} SET SCHEMA {target}")
    _do(connection, f"DROP SCHEMA {_UNFINISHED}")
    _do(connection, f"CREATE TABLE {target}.{_MARKER} (parameters text NOT NULL)")
    with closing(connection.prepareStatement(f"INSERT INTO {target}.{_MARKER} VALUES (?)")) as insertion:
        insertion.setString(1, described(shop))
        insertion.executeUpdate()
    connection.commit()


@contextmanager
def _connected(spark: SparkSession, url: str, login: dict[str, str]) -> Iterator[Any]:
    jvm: Any = spark.sparkContext._jvm
    # Java discovers drivers only in libraries that it was started with.
    jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry.register(_DRIVER)
    properties = jvm.java.util.Properties()
    for key, value in login.items():
        properties.setProperty(key, value)
    with closing(jvm.java.sql.DriverManager.getConnection(url, properties)) as connection:
        yield connection


def _do(connection: Any, statement: str) -> None:
    with closing(connection.createStatement()) as running:
        running.execute(statement)


def _asked(connection: Any, query: str) -> str:
    """Return the single value of *query* as text; an empty text for no row or null."""
    with closing(connection.createStatement()) as running:
        rows = running.executeQuery(query)
        return str(rows.getString(1) or "") if rows.next() else ""
