"""Reading a real PostgreSQL server over JDBC: what crosses the wire, what its times mean, how it fails."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgres_server import Server, serving
from pyspark.sql import SparkSession

from infra.postgres import DRIVER
from infra.services import FAST_START
from pipelines import wiring
from pipelines.settings import REPOSITORY
from refit.config import Shop, load_shop
from refit.errors import ConfigurationError, RefitError, SourceError, TransientError
from refit.sources import Warehouse, explained

ShopWriter = Callable[..., Path]

SINCE, UNTIL = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
MAPPING = """
    SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type, at AS event_time,
           CAST(pieces AS DOUBLE) AS value
    FROM orders
"""
COLUMNS = "customer STRING, sku STRING, at TIMESTAMP, pieces INT"


@pytest.fixture
def make_shop(write_shop: ShopWriter) -> Callable[..., Shop]:
    """Give what loads a corner shop whose orders are in a database; `keys` are further lines of the source."""

    def make(table: str = 'dbtable = "orders"', keys: str = 'time_column = "at"', calendar: str = "") -> Shop:
        files = (
            'format = "csv"\npath = "{DATA}/orders/{day}.csv"\n'
            'columns = "customer STRING, sku STRING, at STRING, pieces STRING"\n'
            'options = { header = "true", mode = "FAILFAST" }'
        )
        database = f'format = "jdbc"\noptions = {{ url = "{{DATA}}", {table} }}\n{keys}'
        closed = 'closed_weekdays = ["sunday"]'
        return load_shop(
            write_shop(replace={files: database, closed: f"{closed}\n{calendar}"}, sources={"interactions": MAPPING}),
            "corner",
        )

    return make


@pytest.fixture
def orders(postgres: Server) -> Server:
    """Give the server with four days of orders, one every minute; those of the fifth of January are inside."""
    postgres.sql(
        """
        DROP TABLE IF EXISTS orders CASCADE;
        CREATE TABLE orders (customer text, sku text, at timestamptz, pieces integer);
        INSERT INTO orders
        SELECT CASE WHEN at >= '2026-01-05 00:00+00' AND at < '2026-01-06 00:00+00' THEN 'inside-' ELSE 'outside-' END
               || to_char(at AT TIME ZONE 'UTC', 'DDHH24MI'), 'tea', at, 1
        FROM generate_series(timestamptz '2026-01-03 12:00+00', '2026-01-07 11:59+00', interval '1 minute') AS at;
        """
    )
    return postgres


def warehouse(spark: SparkSession, shop: Shop, server: Server, url: str | None = None) -> Warehouse:
    return Warehouse(spark, shop, url or server.url, server.user, server.password)


def read(
    raw: Warehouse, since: datetime = SINCE, until: datetime = UNTIL, table: str = "interactions"
) -> list[tuple[object, ...]]:
    with explained("landing"):
        frame = raw.read(table, since=since, until=until)
        assert frame is not None
        return sorted(tuple(row) for row in frame.collect())


def refusal(raw: Warehouse, kind: type[RefitError] = SourceError) -> str:
    with pytest.raises(RefitError) as found:
        read(raw)
    message = str(found.value)
    assert type(found.value) is kind, message
    assert "\n" not in message
    assert not raw.password or raw.password not in message
    return message


# --- what crosses the wire -------------------------------------------------------------------------------------------


class Wire:
    """Stands between Spark and the server and keeps every byte that the server sends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sent: list[bytes] = []
        self._counting = threading.Lock()
        self._open = 0
        self.most_open = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self._listener.getsockname()[1]}/postgres"

    @property
    def markers(self) -> list[str]:
        """The customers that the server has sent, once every connection has ended."""
        deadline = time.monotonic() + 30
        while self._open:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return sorted(marker.decode() for marker in re.findall(rb"(?:in|out)side-\d+", b"".join(self._sent)))

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            with self._counting:
                self._open += 1
                self.most_open = max(self.most_open, self._open)
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._sent), daemon=True).start()

    def _pump(self, origin: socket.socket, target: socket.socket, kept: list[bytes] | None) -> None:
        mine: list[bytes] = []
        while part := _received(origin):
            mine.append(part)
            target.sendall(part)
        if kept is not None:
            with self._counting:
                kept.append(b"".join(mine))  # whole connections, so that no marker is cut by a packet
                self._open -= 1
        target.close()

    def close(self) -> None:
        self._listener.close()


def _received(origin: socket.socket) -> bytes:
    try:
        return origin.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def wire(orders: Server) -> Iterator[Wire]:
    between = Wire(orders.cluster.port)
    yield between
    between.close()


def test_only_the_asked_interval_crosses_the_wire(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, wire: Wire
) -> None:
    """Of 5,760 orders the 1,440 of the day are sent, each of them once, by one query a slice."""
    rows = read(warehouse(spark, make_shop(keys='time_column = "at"\nslices = 7'), orders, wire.url))
    expected = sorted(f"inside-05{hour:02}{minute:02}" for hour in range(24) for minute in range(60))
    assert [row[0] for row in rows] == expected
    assert wire.markers == expected


def test_without_a_time_column_the_whole_table_crosses_the_wire(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, wire: Wire
) -> None:
    """The proof above can fail."""
    read(warehouse(spark, make_shop(keys=""), orders, wire.url))
    assert len(wire.markers) == 5_760


def test_several_connections_fetch_side_by_side(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, wire: Wire
) -> None:
    """Each query takes at least 0.4 s, so two at a time overlap on the two cores of the tests."""
    slow = 'query = "SELECT orders.* FROM orders, (SELECT pg_sleep(0.4)) AS pause"'
    assert len(read(warehouse(spark, make_shop(slow), orders, wire.url))) == 1_440
    assert wire.most_open >= 2


@pytest.mark.parametrize("count", [1, 4, 13])
def test_slices_neither_overlap_nor_leave_gaps(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, count: int
) -> None:
    """Also where the interval cannot be divided: the rows at both its ends and at every cut come once."""
    shop = make_shop(keys=f'time_column = "at"\nslices = {count}')
    since, until = SINCE + timedelta(minutes=1), UNTIL - timedelta(minutes=2, seconds=7)
    rows = read(warehouse(spark, shop, orders), since, until)
    assert len(rows) == len(set(rows)) == 1_437
    assert (rows[0][0], rows[-1][0]) == ("inside-050001", "inside-052357")


def test_a_large_table_is_fetched_in_portions(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server
) -> None:
    """PostgreSQL's driver holds the whole answer in memory unless it is told how many rows to fetch at a time."""
    read(warehouse(spark, make_shop(), orders))
    assert "log_statement" in orders.sql("SELECT name FROM pg_settings WHERE name = 'log_statement'")
    orders.sql("ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()")
    try:
        shop = make_shop('dbtable = "orders", fetchsize = "100"', keys="")
        assert len(read(warehouse(spark, shop, orders))) == 5_760
    finally:
        orders.sql("ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()")
    fetches = re.findall(r"execute fetch from", (orders.cluster.folder.parent / "log").read_text())
    assert len(fetches) >= 57


# --- what the times mean ---------------------------------------------------------------------------------------------


def test_times_with_a_zone_are_instants(spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server) -> None:
    """Half past midnight in Athens is still the day before in UTC, whatever zone the server's users prefer."""
    postgres.sql(
        """
        DROP TABLE IF EXISTS orders CASCADE;
        CREATE TABLE orders (customer text, sku text, at timestamptz, pieces integer);
        INSERT INTO orders VALUES ('early', 'tea', '2026-01-05 00:30+02', 1), ('on', 'tea', '2026-01-05 02:00+02', 1),
                                  ('late', 'tea', '2026-01-06 01:59:59.999999+02', 1), ('none', 'tea', NULL, 1);
        ALTER ROLE refit SET timezone = 'Asia/Tokyo';
        """
    )
    try:
        rows = read(warehouse(spark, make_shop(), postgres))
    finally:
        postgres.sql("ALTER ROLE refit RESET timezone")
    midnight = datetime(2026, 1, 5)  # noqa: DTZ001  as Spark gives it, in UTC
    assert [(row[0], row[3], row[5]) for row in rows] == [
        ("late", midnight + timedelta(days=1) - timedelta(microseconds=1), None),
        ("on", midnight, None),
    ]


CLOCK = """
    DROP TABLE IF EXISTS orders CASCADE;
    CREATE TABLE orders (customer text, sku text, at timestamp, pieces integer);
    INSERT INTO orders SELECT to_char(at, 'MM-DD HH24:MI'), 'tea', at, 1
    FROM generate_series(timestamp '2026-03-27 00:30', '2026-03-31 23:30', interval '1 hour') AS at;
"""


def test_times_without_a_zone_are_read_on_the_clock_of_the_shop(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    """
    On 30 March 2026 London is an hour ahead of UTC, so the day in UTC begins at one o'clock there.

    Two hours more are fetched than the interval has, for the nights when a clock is set back; landing drops them.
    """
    postgres.sql(CLOCK)
    shop = make_shop(calendar='time_zone = "Europe/London"')
    since, until = datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    rows = read(warehouse(spark, shop, postgres), since, until)
    assert [row[0] for row in rows] == [
        *[f"03-30 {hour:02}:30" for hour in range(1, 24)],
        *[f"03-31 {hour:02}:30" for hour in range(3)],
    ]
    first = rows[0]
    assert (first[3], first[5]) == (datetime(2026, 3, 30, 0, 30), "2026-03-30 01:30:00")  # noqa: DTZ001


def test_a_time_that_the_clock_skipped_is_fetched_and_null(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    """At one o'clock on 29 March 2026 London went on to two."""
    postgres.sql(CLOCK)
    shop = make_shop(calendar='time_zone = "Europe/London"')
    since, until = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
    rows = read(warehouse(spark, shop, postgres), since, until)
    assert [(row[0], row[5]) for row in rows if row[3] is None] == [("03-29 01:30", "2026-03-29 01:30:00")]


def test_times_without_a_zone_need_to_know_the_clock(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    postgres.sql(CLOCK)
    assert refusal(warehouse(spark, make_shop(), postgres), ConfigurationError) == (
        "the mapping of interactions gives event_time as timestamp_ntz, a time on a clock whose zone is not known; "
        'set time_zone in [calendar] of shop.toml, e.g. time_zone = "Europe/London"'
    )


def test_a_mapping_that_converts_by_itself_gets_everything_that_any_clock_may_mean(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    """Fourteen hours more at both ends, as with files that are named by a local day."""
    postgres.sql(CLOCK)
    shop = make_shop()
    converted = "to_utc_timestamp(CAST(at AS TIMESTAMP), 'Europe/London') AS event_time"
    (shop.folder / "sources" / "interactions.sql").write_text(MAPPING.replace("at AS event_time", converted))
    since, until = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
    rows = read(warehouse(spark, shop, postgres), since, until)
    assert (rows[0][0], rows[-1][0], len(rows)) == ("03-28 10:30", "03-30 13:30", 52)


# --- as declared -----------------------------------------------------------------------------------------------------


def test_a_table_that_is_as_declared_is_read(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    postgres.sql(
        """
        DROP TABLE IF EXISTS orders CASCADE;
        CREATE TABLE orders (customer varchar(20), sku char(3), at timestamptz, pieces integer);
        INSERT INTO orders VALUES ('ann', 'tea', '2026-01-05 10:00+00', 2);
        """
    )
    rows = read(warehouse(spark, make_shop(keys=f'time_column = "at"\ncolumns = "{COLUMNS}"'), postgres))
    assert [row[:2] for row in rows] == [("ann", "tea")]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (
            "customer text, sku text, at timestamptz, number integer",
            "'pieces' (int) is missing, 'number' (int) is not declared (renamed?)",
        ),
        ("customer text, sku text, at timestamptz", "'pieces' (int) is missing"),
        (
            "customer text, sku text, at timestamptz, pieces integer, colour text",
            "'colour' (string) is not declared",
        ),
        ("customer text, sku text, at timestamptz, pieces text", "'pieces' is string instead of int"),
        ("customer text, sku text, at timestamp, pieces integer", "'at' is timestamp_ntz instead of timestamp"),
    ],
    ids=["renamed", "missing", "extra", "retyped", "without zone"],
)
def test_a_table_with_other_columns_is_refused(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server, table: str, complaint: str
) -> None:
    postgres.sql(f"DROP TABLE IF EXISTS orders CASCADE; CREATE TABLE orders ({table})")
    shop = make_shop(keys=f'time_column = "at"\ncolumns = "{COLUMNS}"')
    assert refusal(warehouse(spark, shop, postgres)) == (
        f"source 'orders' differs from its `columns` in orders: {complaint}; "
        "mend it there, or correct `columns` in shop.toml"
    )


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("when", "source 'orders' has no column 'when', its time_column, but customer, sku, at, pieces; correct it"),
        (
            "pieces",
            "time_column 'pieces' of source 'orders' is int; name a column of timestamps, "
            "or leave time_column out and the source is read whole",
        ),
    ],
)
def test_a_time_column_must_be_one(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, column: str, sentence: str
) -> None:
    shop = make_shop(keys=f'time_column = "{column}"')
    assert refusal(warehouse(spark, shop, orders), ConfigurationError) == sentence


def test_another_database_is_asked_in_its_own_words(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    """Derby, which Spark brings along: names are in capitals there, and its times have no zone."""
    spark._jvm.java.lang.System.setProperty("derby.stream.error.file", str(tmp_path / "derby.log"))
    url, driver = "jdbc:derby:memory:refit;create=true", "org.apache.derby.jdbc.EmbeddedDriver"
    times = [datetime(2026, 1, 4, 23, 59, 59), datetime(2026, 1, 5), datetime(2026, 1, 5, 23, 59, 59, 900_000)]  # noqa: DTZ001
    rows = [(f"c{number}", "tea", at, 1) for number, at in enumerate([*times, datetime(2026, 1, 6, 3)])]  # noqa: DTZ001
    frame = spark.createDataFrame(rows, "customer STRING, sku STRING, at TIMESTAMP, pieces INT")
    frame.write.format("jdbc").options(url=url, dbtable="ORDERS", driver=driver).save()
    shop = make_shop(f'dbtable = "ORDERS", driver = "{driver}"', calendar='time_zone = "UTC"')
    rows_read = read(Warehouse(spark, shop, url))
    assert [(row[0], row[3]) for row in rows_read] == [("c1", times[1]), ("c2", times[2])]


# --- how it fails ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("table", "keys", "sentence"),
    [
        (
            'dbtable = "orders", password = "pw"',
            "",
            "no password belongs in shop.toml; set REFIT_SOURCE_PASSWORD",
        ),
        ('dbtable = "orders", query = "SELECT 1"', "", "the options url and either dbtable or query"),
        ('fetchsize = "7"', "", "the options url and either dbtable or query"),
        ('dbtable = "orders"', 'path = "{DATA}"', "a jdbc source has no path"),
    ],
)
def test_a_database_that_is_declared_wrongly_is_refused_when_the_shop_is_loaded(
    make_shop: Callable[..., Shop], table: str, keys: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)) as found:
        make_shop(table, keys)
    assert "pw" not in str(found.value)


def test_a_time_column_is_for_databases(write_shop: ShopWriter) -> None:
    path = 'path = "{DATA}/stock.csv"'
    with pytest.raises(ConfigurationError, match=r"time_column is for jdbc sources; files are chosen by \{day\}"):
        load_shop(write_shop(replace={path: f'{path}\ntime_column = "at"'}), "corner")


# --- a server that goes away -----------------------------------------------------------------------------------------

SLOW = 'query = "SELECT customer, sku, at, pieces, pg_sleep(30)::text AS pause FROM orders"'
ASLEEP = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def reading(raw: Warehouse) -> tuple[threading.Thread, list[BaseException]]:
    """Read in another thread and keep what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            read(raw)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def wait_until_asleep(server: Server) -> None:
    """Wait until a query of Spark is under way."""
    deadline = time.monotonic() + 60
    while server.sql(f"SELECT count(*) {ASLEEP}") == "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_is_killed_while_it_is_read_is_worth_another_try(
    spark: SparkSession, make_shop: Callable[..., Shop]
) -> None:
    with serving() as server:
        server.sql(
            "CREATE TABLE orders (customer text, sku text, at timestamptz, pieces integer);"
            "INSERT INTO orders SELECT 'ann', 'tea', '2026-01-05 10:00+00', n FROM generate_series(1, 9) AS n"
        )
        thread, raised = reading(warehouse(spark, make_shop(SLOW), server))
        wait_until_asleep(server)
        server.kill()
        thread.join(timeout=60)
        assert not thread.is_alive()
    (error,) = raised
    assert isinstance(error, TransientError)
    assert re.fullmatch(
        r"landing: the database went away or does not answer "
        r"\((Connection to 127\.0\.0\.1:\d+ refused|An I/O error .*|.* administrator command)\); "
        r"try again when it is back",
        str(error),
    )


def test_a_session_that_is_ended_again_and_again_is_worth_another_try(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server
) -> None:
    """Spark itself tries four times; a single broken connection is mended without a word."""
    thread, raised = reading(warehouse(spark, make_shop(SLOW, keys=""), orders))
    wait_until_asleep(orders)
    ended = 0
    while thread.is_alive():
        ended += orders.sql(f"SELECT pg_terminate_backend(pid) {ASLEEP}").count("t")
        time.sleep(0.05)
    (error,) = raised
    assert ended >= 4
    assert isinstance(error, TransientError)
    assert str(error) == (
        "landing: the database went away or does not answer (terminating connection due to administrator command); "
        "try again when it is back"
    )


# --- secrets ---------------------------------------------------------------------------------------------------------

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
