"""How reading a database fails: in its own words, with a remedy, and never with the password."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.orders_database import read, refusal
from support.postgres_server import Server

from infra.host.postgres import DRIVER
from infra.stack.services import FAST_START
from pipelines import wiring
from pipelines.settings import REPOSITORY
from refit.config import Shop
from refit.errors import ConfigurationError, RefitError, SourceError, TransientError
from refit.sources import Warehouse


def test_what_the_database_refuses_is_said_in_its_words_with_a_remedy(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server
) -> None:
    shop, url = make_shop(), orders.url
    orders.sql("DROP ROLE IF EXISTS nobody; CREATE ROLE nobody LOGIN PASSWORD 'nobodys'")
    assert refusal(Warehouse(spark, shop, url, "refit", "wrong-word")) == (
        "source 'orders': the database refuses: password authentication failed for user \"refit\"; "
        "correct REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD"
    )
    assert refusal(Warehouse(spark, shop, url, "refit")) == (
        "source 'orders': the database wants a password and none is given; "
        "set REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD"
    )
    assert refusal(Warehouse(spark, shop, url.replace("/postgres", "/shop"), "refit", orders.password)) == (
        "source 'orders': the database refuses: database \"shop\" does not exist; "
        "correct the address, DATA or the option url"
    )
    assert refusal(Warehouse(spark, make_shop('dbtable = "ordrs"'), url, "refit", orders.password)) == (
        "source 'orders': the database refuses: relation \"ordrs\" does not exist; "
        "correct dbtable, query or time_column of the source in shop.toml"
    )
    assert refusal(Warehouse(spark, make_shop(), url, "nobody", "nobodys")) == (
        "source 'orders': the database refuses: permission denied for table orders; let REFIT_SOURCE_USER read it"
    )
    broken = make_shop('query = "SELECT customer, sku, at, 1 / (pieces - 1) AS pieces FROM orders"')
    assert refusal(Warehouse(spark, broken, url, "refit", orders.password)) == (
        "landing: the database refuses: division by zero; mend it there"
    )


@pytest.mark.parametrize(
    ("address", "kind", "sentence"),
    [
        (
            "",
            ConfigurationError,
            "source 'orders' reads from {DATA}, but no database is given; set DATA=jdbc:postgresql://host/database",
        ),
        (
            "/data/orders",
            ConfigurationError,
            "source 'orders' reads a database, but /data/orders is no address of one; "
            "set DATA=jdbc:postgresql://host/database",
        ),
        (
            "jdbc:nosuch://127.0.0.1/shop",
            SourceError,
            "source 'orders': there is no JDBC driver for this address; correct the address (DATA or the option url), "
            "or name the jar of the driver in REFIT_SPARK_JARS and its class in the option driver",
        ),
        (
            "jdbc:postgresql://127.0.0.1:1/shop",
            TransientError,
            "source 'orders': the database went away or does not answer (Connection to 127.0.0.1:1 refused); "
            "try again when it is back",
        ),
        (
            "jdbc:postgresql://no-such-host.invalid/shop",
            TransientError,
            "source 'orders': the database went away or does not answer (the host no-such-host.invalid is unknown); "
            "try again when it is back",
        ),
        *[
            (
                address,
                ConfigurationError,
                "the address of the database carries a password and would show it in logs; "
                "leave it out and set REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD",
            )
            for address in ("jdbc:postgresql://db/shop?user=a&password=pw", "jdbc:mysql://ann:pw@db/shop")
        ],
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(
    spark: SparkSession, make_shop: Callable[..., Shop], address: str, kind: type[RefitError], sentence: str
) -> None:
    assert refusal(Warehouse(spark, make_shop(), address, "refit", "a-word"), kind) == sentence


TALKATIVE = """
import logging, sys
from datetime import UTC, datetime
from pathlib import Path
from refit.adapters.spark import open_session
from refit.config import load_shop
from refit.sources import Warehouse, explained

url, jar, shops, log_config, java_options, password = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
spark = open_session("t", master="local[1,2]", memory="512m", log_config=Path(log_config), jars=jar,
                     java_options=java_options)
span = {"since": datetime(2026, 1, 5, tzinfo=UTC), "until": datetime(2026, 1, 6, tzinfo=UTC)}
for name in ("good", "missing", "broken"):
    for word in (password, password + "-wrong")[: 2 if name == "good" else 1]:
        try:
            raw = Warehouse(spark, load_shop(Path(shops), name), url, "refit", word)
            print(raw)
            frame = raw.read("interactions", **span)
            frame.explain("extended")
            frame.explain("formatted")
            print(frame._jdf.queryExecution().toString())
            print(name, "rows:", len(frame.collect()))
        except Exception:
            logging.exception("read %s", name)
"""


def test_the_login_comes_from_the_settings(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a step gets it, and without showing it."""
    monkeypatch.setenv("REFIT_SHOP", "corner")
    monkeypatch.setenv("REFIT_SHOPS", str(make_shop().folder.parent))
    monkeypatch.setenv("REFIT_DATA", orders.url)
    monkeypatch.setenv("REFIT_SOURCE_USER", orders.user)
    monkeypatch.setenv("REFIT_SOURCE_PASSWORD", orders.password)
    raw = wiring.warehouse(spark)
    assert len(read(raw)) == 1_440
    assert orders.password not in f"{raw!r} {wiring.settings()!r}"


def test_no_word_of_spark_shows_the_password(make_shop: Callable[..., Shop], orders: Server, tmp_path: Path) -> None:
    """Neither plans nor errors, nor Spark's log, with a right password and a wrong one."""
    tables = {
        "good": 'dbtable = "orders"',
        "missing": 'dbtable = "ordrs"',
        "broken": 'query = "SELECT customer, sku, at, 1 / (pieces - 1) AS pieces FROM orders"',
    }
    for name, table in tables.items():
        made = make_shop(table).folder
        made.rename(made.with_name(name))
    log_config = REPOSITORY / "infra" / "log4j2.properties"
    words = [orders.url, DRIVER, tmp_path / "shops", log_config, FAST_START, orders.password]
    done = subprocess.run(
        [sys.executable, "-c", TALKATIVE, *map(str, words)],
        cwd=REPOSITORY,
        env={"PATH": str(Path(sys.executable).parent) + ":/usr/bin:/bin", "PYTHONPATH": "src:."},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "good rows: 1440" in said
    assert "password authentication failed" in said
    assert 'relation "ordrs" does not exist' in said
    assert "division by zero" in said
    assert "JDBCRelation" in said
    assert orders.password not in said
