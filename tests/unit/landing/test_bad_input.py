"""Bad input, each stopped or set apart with a sentence of its own, and nothing half-landed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from support.corner import ONLY_MONDAYS, STOCK, TOLERANT, Corner, day
from support.lasting_corner import lasting_corner

from infra.stack.services import FAST_START
from pipelines.land_interactions import Receipt
from pipelines.settings import REPOSITORY
from refit.errors import ConfigurationError, DataRefusedError, RefitError
from refit.lake.lake import Lake
from refit.landing.suites import load_suite

Tell = Callable[[str, str], None]

GOOD = [f"u{n},tea,2026-01-05 {9 + n % 9:02d}:{n % 60:02d}:00,1" for n in range(100)]
ODD = {
    "an id with a space": ("ann,green tea,2026-01-05 10:00:00,1", "item_format"),
    "an id with a blank at its end": ('ann,"tea ",2026-01-05 10:00:00,1', "item_format"),
    "an id with an invisible character": ("ann,tea\u200b,2026-01-05 10:00:00,1", "item_format"),
    "an id of 300 characters": (f"ann,{'x' * 300},2026-01-05 10:00:00,1", "item_length"),
    "a person with a space": ("ann b,tea,2026-01-05 10:00:00,1", "user_format"),
    "a person of 300 characters": (f"{'x' * 300},tea,2026-01-05 10:00:00,1", "user_length"),
    "a negative value": ("ann,tea,2026-01-05 10:00:00,-1", "value_in_range"),
    "a value of zero": ("ann,tea,2026-01-05 10:00:00,0", "value_in_range"),
    "NaN": ("ann,tea,2026-01-05 10:00:00,NaN", "value_is_a_number"),
    "infinity": ("ann,tea,2026-01-05 10:00:00,Infinity", "value_is_a_number"),
    "a value that is no number": ("ann,tea,2026-01-05 10:00:00,two", "value_present"),
    "a time in the future": ("ann,tea,2038-01-19 03:14:08,1", "time_on_its_day"),
    "a time before 1970": ("ann,tea,1969-07-20 20:17:00,1", "time_on_its_day"),
    "a time that is none": ("ann,tea,yesterday,1", "time_present"),
    "an item that the catalogue lacks": ("ann,cup,2026-01-05 10:00:00,1", "item_known"),
}
"""Name -> line of the file, and the rule that must be told of it."""


SCRIPTS = ("größe-1", "茶", "日本")
MONDAYS = (5, 12, 19, 26)


def is_empty(lake: Lake) -> bool:
    """Return whether no row of *lake* is visible, and it holds no file but pages that tell why."""
    files = [path for path in Path(lake.root).rglob("*") if path.is_file() and not path.name.startswith(".")]
    data = [path for path in files if "reports" not in path.parts]
    return not data and lake.days("interactions", day(1), day(31, 12)) == []


@pytest.fixture
def nothing_landed(lake: Lake) -> Callable[[], bool]:
    """Give whether the lake of the test is as empty as before."""
    return lambda: is_empty(lake)


@pytest.fixture(scope="module")
def mondays(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Corner:
    """
    Give a shop, open on Mondays only, whose days differ little and may lose a lot.

    Of a hundred events each, the first Monday has odd rows and ids of any script besides, and the fourth only 60.
    """
    corner = lasting_corner(spark, tmp_path_factory.mktemp("mondays"))
    for number in MONDAYS:
        corner.write(f"2026-01-{number:02d}", good_lines(number)[: 60 if number == 26 else 100])
    scripts = [f"ann,{item},2026-01-05 10:00:00,1" for item in SCRIPTS]
    corner.write("2026-01-05", [*GOOD, *scripts, *[line for line, _ in ODD.values()]])
    return corner.lenient("days")


def good_lines(number: int) -> list[str]:
    """Return GOOD on another day of January."""
    return [line.replace("2026-01-05", f"2026-01-{number:02d}") for line in GOOD]


def land_mondays(corner: Corner, since: int, until: int) -> Receipt:
    """Land some of the Mondays."""
    shop = corner.shop(TOLERANT + "min_weekday_ratio = 0.85\n", replace=ONLY_MONDAYS)
    stock = STOCK + "".join(f"{item},{item},1\n" for item in SCRIPTS)
    return corner.land(day(since), day(until), shop=shop, stock=stock)


@pytest.fixture(scope="module")
def three_landed(mondays: Corner) -> Receipt:
    """Land the first three Mondays."""
    return land_mondays(mondays, 5, 20)


def test_odd_rows_are_set_apart_and_the_rest_of_the_day_is_landed(
    mondays: Corner, three_landed: Receipt, tell: Tell
) -> None:
    assert (three_landed.rows, three_landed.quarantined) == (3 * len(GOOD) + len(SCRIPTS), len(ODD))
    entries = mondays.lake.days("interactions", day(1), day(31))
    assert entries[0].rows == len(GOOD) + len(SCRIPTS)
    whys = {rule["name"]: rule["why"] for rule in load_suite(mondays.suites, "interactions")["expectations"]}
    told = [rule for _, rule in ODD.values()]
    for name, (_, rule) in ODD.items():
        assert three_landed.broken[rule] >= told.count(rule)
        tell(name, f"set apart by {rule}: {whys[rule]}")


@pytest.mark.usefixtures("three_landed")
def test_ids_of_any_script_are_landed_unharmed(mondays: Corner) -> None:
    landed = mondays.lake.read(mondays.spark, "interactions", mondays.lake.days("interactions", day(5), day(6)))
    assert sorted(row["item_id"] for row in landed.where("item_id <> 'tea'").collect()) == sorted(SCRIPTS)


REFUSED = {
    "a column of nothing but nulls": (
        [line.rsplit(",", 1)[0] + "," for line in good_lines(5)],
        "of 2026-01-05 100 of 100 events break rules, 100.0%: value_present 100",
    ),
    "an empty day": ([], "2026-01-06 has 0 events"),
    "the rows of a whole partition twice": (
        good_lines(7) * 2,
        "of 2026-01-07 cleaning leaves out 100 of 200 events, 50.0%: exact_repeats 100",
    ),
    "a thousand bad rows of a thousand and a hundred": (
        [*good_lines(8), *[f"u{n},tea,2026-01-08 10:00:00,-1" for n in range(1_000)]],
        "of 2026-01-08 1,000 of 1,100 events break rules, 90.9%: value_in_range 1,000",
    ),
}
"""What is wrong with Monday, Tuesday, Wednesday and Thursday, and how it is told."""


@pytest.fixture(scope="module")
def refused(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corner, str]:
    """Land a week of which only Friday is good, and give what is said of it."""
    corner = lasting_corner(spark, tmp_path_factory.mktemp("refused")).lenient("days")
    for number, lines in enumerate([*[lines for lines, _ in REFUSED.values()], good_lines(9)], start=5):
        corner.write(f"2026-01-{number:02d}", lines)
    with pytest.raises(DataRefusedError) as refusal:
        corner.land(day(5), day(10), shop=corner.shop(""))
    return corner, str(refusal.value)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_day_is_refused_and_nothing_of_it_is_landed(refused: tuple[Corner, str], tell: Tell, name: str) -> None:
    """A sentence on a rule is part of the refusal only if the rule refuses the landing: warnings are told apart."""
    corner, refusal = refused
    _, sentence = REFUSED[name]
    (told,) = [part for part in refusal.split("; ") if sentence in part]
    assert is_empty(corner.lake)
    assert "2026-01-09" not in refusal.replace("2026-01-05 to 2026-01-10", "")
    tell(name, told)


@pytest.mark.usefixtures("three_landed")
def test_a_day_of_which_two_fifths_are_missing_is_refused_and_the_day_before_serves(
    mondays: Corner, tell: Tell
) -> None:
    """Three Mondays of 100 events, then one of 60, in a shop whose days differ little."""
    before = mondays.lake.days("interactions", day(1), day(31))
    with pytest.raises(
        DataRefusedError, match=r"2026-01-26 has 60 events, 60% of the usual 100 of a Monday"
    ) as refusal:
        land_mondays(mondays, 26, 27)
    assert mondays.lake.days("interactions", day(1), day(31)) == before
    assert [entry.day for entry in before] == ["2026-01-05", "2026-01-12", "2026-01-19"]
    tell("40 % of a day missing", str(refusal.value).replace(mondays.lake.root, "LAKE"))


def test_a_day_landed_twice_is_there_once(mondays: Corner, three_landed: Receipt, tell: Tell) -> None:
    second = land_mondays(mondays, 5, 20)
    assert second.landing != three_landed.landing
    assert (three_landed.digest, three_landed.rows) == (second.digest, second.rows)
    assert [(entry.day, entry.rows) for entry in mondays.lake.days("interactions", day(1), day(31))] == [
        ("2026-01-05", len(GOOD) + len(SCRIPTS)),
        ("2026-01-12", len(GOOD)),
        ("2026-01-19", len(GOOD)),
    ]
    tell("a day landed twice", f"replaced by an equal version: {second.rows} events, digest {second.digest[:16]}")


def test_an_hour_that_the_clock_skipped_is_set_apart(corner: Corner, tell: Tell) -> None:
    """At 01:00 on 29 March 2026 the clocks of London went to 02:00."""
    mapping = """
        SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type,
               CAST(try_to_timestamp(at) AS TIMESTAMP_NTZ) AS event_time, try_cast(pieces AS DOUBLE) AS value
        FROM orders
    """
    zone = {'closed_weekdays = ["sunday"]': 'time_zone = "Europe/London"'}
    shop = corner.shop(TOLERANT, replace=zone, sources={"interactions": mapping})
    times = ("00:59:59", "01:00:00", "01:59:59", "02:00:00")
    corner.write("2026-03-29", [f"ann,tea,2026-03-29 {time},1" for time in times])
    receipt = corner.lenient().land(*shop.calendar.clock.span(date(2026, 3, 29), date(2026, 3, 30)), shop=shop)
    assert (receipt.rows, receipt.broken) == (2, {"time_exists": 2})
    whys = {rule["name"]: rule["why"] for rule in load_suite(corner.suites, "interactions")["expectations"]}
    tell("a time in the hour that summer time skips", f"set apart by time_exists: {whys['time_exists']}")


def test_a_misspelt_expectation_stops_the_landing_before_anything_is_read(
    corner: Corner, nothing_landed: Callable[[], bool], tmp_path: Path, tell: Tell
) -> None:
    shutil.copytree(REPOSITORY / "expectations", tmp_path / "expectations")
    suite = tmp_path / "expectations" / "interactions.yaml"
    suite.write_text(suite.read_text().replace("expect_column_values_to_be_in_set", "expect_column_values_in_set"))
    corner.suites = suite.parent
    corner.write("2026-01-05", GOOD)
    with pytest.raises(ConfigurationError) as refusal:
        corner.lenient("interactions").land(day(5), day(6))
    assert str(refusal.value) == (
        "suite 'interactions' has expectation types that do not exist: "
        "expect_column_values_in_set, expect_column_values_in_set; correct them"
    )
    assert nothing_landed()
    tell("a suite with a misspelt type", str(refusal.value))


def test_a_row_that_cannot_be_read_is_told_without_its_person(corner: Corner, tell: Tell) -> None:
    """The step as Airflow runs it: its log goes to Airflow, so it must not quote the row as Spark would."""
    data = corner.write("2026-01-05", [*GOOD, "ann-the-secret,tea"])
    (data / "stock.csv").write_text(STOCK, encoding="utf-8")
    environment = {
        **os.environ,
        "REFIT_SHOP": "corner",
        "REFIT_SHOPS": str(corner.write_shop()),
        "REFIT_DATA": str(data),
        "REFIT_LAKE": str(data.parent / "other"),
        "REFIT_PSEUDONYM_KEY": "a key for these tests",
        "REFIT_SPARK_JAVA_OPTIONS": FAST_START,
    }
    command = [sys.executable, "-m", "pipelines", "land_interactions", "since=2026-01-05", "until=2026-01-06"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    told = done.stderr.strip().splitlines()[-1]
    assert "a row does not have the declared columns in file:" in told
    assert "[FAILED_READ_FILE.NO_HINT] (not shown)" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    tell("a row cut short", told.replace(data.as_uri(), "DATA"))


PARQUET = {
    """[sources.orders]
format = "csv"
path = "{DATA}/orders/{day}.csv"
columns = "customer STRING, sku STRING, at STRING, pieces STRING"
options = { header = "true", mode = "FAILFAST" }
""": """[sources.orders]
format = "parquet"
path = "{DATA}/orders"
"""
}


def _write_parquet(corner: Corner, rows: int, user: str, value: str) -> str:
    """Write *rows* generated events of 5 January beside 1,000 good ones and return the folder of the data."""
    data = corner.write("2025-12-31", [])
    (data / "stock.csv").write_text(STOCK, encoding="utf-8")
    shutil.rmtree(data / "orders")
    many = corner.spark.range(rows).select(
        F.expr(user).alias("customer"), F.col("id").alias("n"), F.expr(value).alias("pieces")
    )
    good = corner.spark.range(1_000).select(F.expr("concat('g', id)").alias("customer"), F.col("id").alias("n"))
    frame = many.unionByName(good.withColumn("pieces", F.lit("1")))
    at = F.timestamp_seconds(F.lit(int(day(5).timestamp())) + F.col("n") % 86_000).cast("string")
    frame.select("customer", F.lit("tea").alias("sku"), at.alias("at"), "pieces").write.parquet(f"{data}/orders")
    return str(data)


def _land(corner: Corner, data: str, settings: str) -> Receipt:
    return corner.land(day(5), day(6), shop=corner.shop(settings, replace=PARQUET), data=data)


@pytest.mark.long
def test_a_person_with_two_million_events_refuses_the_day(
    corner: Corner, nothing_landed: Callable[[], bool], tell: Tell
) -> None:
    data = _write_parquet(corner, 2_000_000, "'endless'", "cast(1 + id / 4 AS STRING)")
    with pytest.raises(RefitError) as refusal:
        _land(corner, data, "")
    assert "cleaning leaves out 1,995,000 of 2,001,000 events, 99.7%: over_the_cap 1,995,000" in str(refusal.value)
    assert nothing_landed()
    tell("a person with 2,000,000 events", str(refusal.value).replace(corner.lake.root, "LAKE"))


@pytest.mark.long
def test_a_million_bad_rows_are_set_apart_where_the_shop_tolerates_it(corner: Corner, lake: Lake, tell: Tell) -> None:
    data = _write_parquet(corner, 1_000_000, "concat('b', id)", "'-1'")
    receipt = _land(corner, data, "\n[validation]\nmax_lost_share = 1.0\n")
    assert (receipt.rows, receipt.quarantined, receipt.broken) == (1_000, 1_000_000, {"value_in_range": 1_000_000})
    assert [entry.rows for entry in lake.days("quarantine", day(5), day(6))] == [1_000_000]
    tell("1,000,000 bad rows, tolerated", receipt.warnings[0])
