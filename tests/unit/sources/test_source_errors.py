"""What Spark finds wrong with a file, a value or a mapping is one sentence with a remedy and no value of a row."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from support.corner import GOOD_LINE, Corner, day

from pipelines import wiring
from refit.clocks.time_zones import require_known_zone
from refit.config import Shop
from refit.errors import ConfigurationError, RefitError, SourceError
from refit.sources import Warehouse
from refit.sources.conditions import Cause, sentence

SECRET = "ann-the-secret"


def told(corner: Corner, **changes: object) -> str:
    """Return the sentence with which landing 5 January is refused."""
    with pytest.raises(RefitError) as found:
        corner.land(day(5), day(6), shop=corner.shop(**changes))  # type: ignore[arg-type]
    message = str(found.value)
    assert "\n" not in message
    assert "SQLSTATE" not in message
    assert SECRET not in message
    return message


STRICT = {
    "a number": ("try_cast(pieces AS DOUBLE)", "CAST(customer AS DOUBLE)", "a value cannot be read as DOUBLE"),
    "a time": ("try_to_timestamp(at)", "CAST(customer AS TIMESTAMP)", "a value cannot be read as TIMESTAMP"),
    "a division": ("try_cast(pieces AS DOUBLE)", "1.0D / length(substr(customer, 90))", "(DIVIDE_BY_ZERO)"),
}


@pytest.mark.parametrize(("old", "new", "part"), STRICT.values(), ids=STRICT)
def test_a_strict_expression_of_the_mapping_is_named_without_the_value(
    corner: Corner, old: str, new: str, part: str
) -> None:
    """The file is read well; what fails is the shop's own SQL."""
    corner.write("2026-01-05", [GOOD_LINE.replace("ann", SECRET)])
    mapping = f"""
        SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type,
               {new if "to_timestamp" in old else "try_to_timestamp(at)"} AS event_time,
               {new if "DOUBLE" in old else "1.0D"} AS value
        FROM orders
    """
    message = told(corner, sources={"interactions": mapping})
    assert message.startswith("landing 2026-01-05 of 'corner': ")
    assert part in message
    assert new in message or new.split(" / ")[0] in message
    assert "use its try_ form" in message


def test_a_text_in_a_column_of_numbers_is_told_with_file_and_source(corner: Corner) -> None:
    data = corner.write("2026-01-05", [GOOD_LINE, f"ben,tea,2026-01-05 10:00:00,{SECRET}"])
    declared = {"at STRING, pieces STRING": "at STRING, pieces DOUBLE"}
    mapping = """
        SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type, try_to_timestamp(at) AS event_time,
               pieces AS value
        FROM orders
    """
    message = told(corner, replace=declared, sources={"interactions": mapping})
    assert message == (
        f"landing 2026-01-05 of 'corner': a text is no number in file://{data}/orders/2026-01-05.csv of source "
        "'orders'; mend it, or declare the column as STRING and cast it with try_cast"
    )


def test_a_compressed_file_that_is_none_is_named_with_its_source(corner: Corner) -> None:
    data = corner.write("2026-01-05", [GOOD_LINE])
    path = data / "orders" / "2026-01-05.csv"
    path.rename(path.with_suffix(".csv.gz"))
    message = told(corner, replace={"{day}.csv": "{day}.csv.gz"})
    assert message.startswith("source 'orders': the compressed file is cut short or damaged in file:")
    assert message.endswith("2026-01-05.csv.gz; fetch it again")
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(b"customer,sku,at,pieces\n" + GOOD_LINE.encode()))


MISTAKES = {
    "an encoding that Spark does not know": (
        {'mode = "FAILFAST" }\n\n[sources.stock]': 'mode = "FAILFAST", encoding = "latin-15" }\n\n[sources.stock]'},
        "Spark knows no encoding 'latin-15', it knows iso-8859-1, ",
    ),
    "a flag that is none": (
        {'header = "true", mode = "FAILFAST" }\n\n[sources.stock]': 'header = "yes" }\n\n[sources.stock]'},
        "the option header must be true or false; correct `options` in shop.toml",
    ),
    "columns that are no DDL": (
        {"at STRING, pieces STRING": "at STRING, pieces STRIN"},
        "source 'orders': Unsupported data type \"STRIN\"; correct it",
    ),
    "a format that does not exist": (
        {'format = "csv"\npath = "{DATA}/orders': 'format = "xlsx"\npath = "{DATA}/orders'},
        "source 'orders': Spark knows no format 'xlsx'; correct `format` in shop.toml, ",
    ),
    "a pattern that fits nothing": (
        {"{DATA}/stock.csv": "{DATA}/stock/*.csv"},
        "/data/stock/*.csv; deliver it, or correct `path` in shop.toml and DATA",
    ),
    "a file system that is not there": (
        {"{DATA}/stock.csv": "s3://shop/stock.csv"},
        "source 'stock': Spark knows no file system for this address (s3); write s3a:// for S3, ",
    ),
    "a bracket that stays open": (
        {"{DATA}/stock.csv": "{DATA}/[stock.csv"},
        "source 'stock': its path is no pattern that can be read, a bracket may be open; ",
    ),
}


def test_a_pattern_that_a_time_does_not_fit_is_told_without_the_time(corner: Corner) -> None:
    """Spark does not say which expression it was."""
    corner.write("2026-01-05", [GOOD_LINE.replace("ann", SECRET)])
    mapping = """
        SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type,
               to_timestamp(customer, 'yyyy') AS event_time, 1.0D AS value
        FROM orders
    """
    assert told(corner, sources={"interactions": mapping}) == (
        "landing 2026-01-05 of 'corner': an expression fails (CANNOT_PARSE_TIMESTAMP); use its try_ form, such as "
        "try_cast or try_to_timestamp, so that a bad value becomes null and is counted"
    )


@pytest.mark.parametrize(("replaced", "part"), MISTAKES.values(), ids=MISTAKES)
def test_a_source_that_is_declared_wrongly_is_told_with_its_remedy(
    corner: Corner, replaced: dict[str, str], part: str
) -> None:
    corner.write("2026-01-05", [GOOD_LINE])
    assert part in told(corner, replace=replaced)


@pytest.mark.parametrize("columns", [None, "customer STRING, at TIMESTAMP"], ids=["not declared", "declared"])
def test_times_in_nanoseconds_are_named_with_file_column_and_remedy(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, columns: str | None
) -> None:
    """As pandas writes them."""
    (tmp_path / "orders").mkdir()
    at = pa.array([datetime(2026, 1, 5, 10, tzinfo=UTC)], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"customer": [SECRET], "at": at}), tmp_path / "orders" / "2026-01-05.parquet")
    shop = make_shop("parquet", "{DATA}/orders/{day}.parquet", columns)
    with pytest.raises(SourceError) as found:
        Warehouse(spark, shop, str(tmp_path)).read("interactions", since=day(5), until=day(6))
    assert str(found.value) == (
        f"source 'orders': 'at' of file://{tmp_path}/orders/2026-01-05.parquet is a time in nanoseconds, which Spark "
        "does not read; write it in microseconds, with pandas by "
        'to_parquet(..., coerce_timestamps="us", allow_truncated_timestamps=True)'
    )


def test_a_zone_that_only_python_knows_is_named_before_anything_is_read(
    spark: SparkSession, corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes `Factory` from the IANA database, Java does not."""
    require_known_zone(spark, None)
    require_known_zone(spark, "Europe/London")
    zone = 'closed_weekdays = ["sunday"]\ntime_zone = "Factory"'
    monkeypatch.setattr(wiring, "open_session", lambda *_, **__: spark)
    monkeypatch.setenv("REFIT_SHOP", "corner")
    monkeypatch.setenv("REFIT_SHOPS", str(corner.write_shop(replace={'closed_weekdays = ["sunday"]': zone})))
    with pytest.raises(ConfigurationError, match=r"calendar\.time_zone 'Factory' .* not known to this Java"):
        wiring.spark("land_interactions")


def test_what_nobody_has_foreseen_is_told_without_what_it_says() -> None:
    """The message of an error about values may quote one; that of an error about SQL cannot."""
    unknown = Cause("org.example.OddException", f"cannot read {SECRET}")
    assert sentence([unknown]) == "Spark cannot read it (OddException); fetch it again or mend it"
    raised = Cause(
        "org.apache.spark.SparkRuntimeException", SECRET, condition="USER_RAISED_EXCEPTION", sql_state="P0001"
    )
    assert SECRET not in sentence([raised])
    of_sql = Cause(
        "org.apache.spark.sql.AnalysisException",
        "[MISSING_GROUP_BY] The query does not include a GROUP BY clause. SQLSTATE: 42803; line 1 pos 7",
        condition="MISSING_GROUP_BY",
        sql_state="42803",
    )
    assert sentence([of_sql]) == "The query does not include a GROUP BY clause; correct it"


def test_a_file_that_may_not_be_read_is_told() -> None:
    denied = Cause("java.io.FileNotFoundException", "file:/data/x.csv (Permission denied)")
    assert sentence([denied]) == (
        "the user of this process may not read it in file:/data/x.csv; grant it the right to read"
    )


LOGGED = """
import pathlib, sys
from refit.adapters.spark import open_session
spark = open_session("log", master="local[1]", memory="512m", log_config=pathlib.Path(sys.argv[1]))
rows = spark.createDataFrame([(sys.argv[2],)], "age string").repartition(2)
for query in ("cast(age AS double)", "to_timestamp(age, 'yyyy')", "nosuch", "raise_error(age)"):
    try:
        rows.selectExpr(query).collect()
    except Exception:
        pass
spark.read.schema("a STRING").csv(sys.argv[1].replace(".properties", "*.properties")).count()
"""


def test_the_log_of_spark_quotes_no_value_and_prints_no_stack() -> None:
    log = Path(__file__).resolve().parents[3] / "infra" / "log4j2.properties"
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, str(log), SECRET], capture_output=True, text=True, check=True, timeout=300
    )
    assert "[CAST_INVALID_INPUT] (not shown)" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "\tat " not in done.stderr
    assert "QueryContextLogger" not in done.stderr
    assert "FileStreamSink" not in done.stderr
