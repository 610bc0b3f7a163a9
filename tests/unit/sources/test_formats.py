"""Reading Parquet and JSON lines: real files, whole and damaged, as declared and otherwise."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from support.any_format import DECLARED, MAPPING

from refit.config import Shop
from refit.errors import ConfigurationError, SourceError
from refit.sources import Warehouse, explained

Row = dict[str, object]

SINCE, UNTIL = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
ANN: Row = {"customer": "ann", "sku": "tea", "at": datetime(2026, 1, 5, 10, tzinfo=UTC), "pieces": 2}
BEN: Row = {"customer": "ben", "sku": "mug", "at": datetime(2026, 1, 5, 11, 30, tzinfo=UTC), "pieces": 1}
EXPECTED = [
    ("ann", "tea", "purchase", datetime(2026, 1, 5, 10), 2.0, None, date(2026, 1, 5)),  # noqa: DTZ001  as Spark gives it, in UTC
    ("ben", "mug", "purchase", datetime(2026, 1, 5, 11, 30), 1.0, None, date(2026, 1, 5)),  # noqa: DTZ001
]
SCHEMA = {"customer": pa.string(), "sku": pa.string(), "at": pa.timestamp("us", "UTC"), "pieces": pa.int32()}


def write_parquet(path: Path, rows: list[Row], **types: pa.DataType) -> None:
    """Write *rows* with the columns of the first; *types* are those that differ from the declared ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {**SCHEMA, **types}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([(name, known[name]) for name in rows[0]])), path)


def as_lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, default=lambda moment: moment.isoformat()) + "\n" for row in rows)


def write_json(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = as_lines(rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def read(spark: SparkSession, shop: Shop, data: Path) -> list[tuple[object, ...]]:
    with explained("landing"):
        frame = Warehouse(spark, shop, str(data)).read("interactions", since=SINCE, until=UNTIL)
        assert frame is not None
        return sorted(tuple(row) for row in frame.collect())


def refusal(spark: SparkSession, shop: Shop, data: Path) -> str:
    with pytest.raises(SourceError) as found:
        read(spark, shop, data)
    message = str(found.value)
    assert "\n" not in message
    assert not re.search(r"\b(ann|yesterday|3000000000)\b", message), "raw data are not for logs"
    return message.replace(f"file://{data}", "DATA").replace(f"file:{data}", "DATA")


# --- Parquet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [DECLARED, None], ids=["declared", "not declared"])
def test_parquet_comes_as_it_was_written(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, columns: str | None
) -> None:
    """One folder a day here; every file of it counts, and the day in its name is told with each row."""
    write_parquet(tmp_path / "orders" / "2026-01-05" / "a.parquet", [ANN])
    write_parquet(tmp_path / "orders" / "2026-01-05" / "b.parquet", [BEN])
    assert read(spark, make_shop("parquet", "{DATA}/orders/{day}", columns), tmp_path) == EXPECTED


def test_a_column_that_the_folders_name_may_be_declared_or_not(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "orders" / "shop=1" / "a.parquet", [ANN])
    write_parquet(tmp_path / "orders" / "shop=2" / "a.parquet", [BEN])
    without_day = [(*row[:-1], None) for row in EXPECTED]
    for columns in (DECLARED, f"{DECLARED}, shop INT"):
        assert read(spark, make_shop("parquet", "{DATA}/orders", columns), tmp_path) == without_day


DIFFERENCES = {
    "renamed": (
        [{"customer": "ann", "sku": "tea", "at": ANN["at"], "number": 2}],
        "'pieces' (int) is missing, 'number' ({}) is not declared (renamed?)",
    ),
    "missing": ([{"customer": "ann", "sku": "tea", "at": ANN["at"]}], "'pieces' (int) is missing"),
    "extra": ([{**ANN, "colour": "red"}], "'colour' (string) is not declared"),
    "retyped": ([{**ANN, "pieces": "two"}], "'pieces' is string instead of int"),
    "all at once": (
        [{"customer": "ann", "sku": 7, "at": ANN["at"], "colour": "red"}],
        "'pieces' (int) is missing, 'colour' (string) is not declared, 'sku' is bigint instead of string (renamed?)",
    ),
}


@pytest.mark.parametrize(("rows", "complaint"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_parquet_file_with_other_columns_is_refused(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, rows: list[Row], complaint: str
) -> None:
    """The file of the day before is as declared, so that one good file cannot vouch for the others."""
    kinds = {str: pa.string(), int: pa.int64(), datetime: SCHEMA["at"]}
    types = {name: kinds[type(value)] for name, value in rows[0].items()}
    types |= {name: pa.int32() for name in ("pieces", "number") if rows[0].get(name) == 2}
    write_parquet(tmp_path / "orders" / "2026-01-04.parquet", [BEN])
    write_parquet(tmp_path / "orders" / "2026-01-05.parquet", rows, **types)
    assert refusal(spark, make_shop("parquet", "{DATA}/orders/{day}.parquet"), tmp_path) == (
        f"source 'orders' differs from its `columns` in DATA/orders/2026-01-05.parquet: {complaint.format('int')}; "
        "mend it there, or correct `columns` in shop.toml"
    )


def test_a_time_without_a_zone_is_not_one_with_a_zone(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    naive = {**ANN, "at": datetime(2026, 1, 5, 10)}  # noqa: DTZ001  the point of this test
    write_parquet(tmp_path / "orders" / "2026-01-05.parquet", [naive], at=pa.timestamp("us"))
    message = refusal(spark, make_shop("parquet", "{DATA}/orders/{day}.parquet"), tmp_path)
    assert "'at' is timestamp_ntz instead of timestamp" in message


def test_a_column_that_is_declared_optional_may_be_absent(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    columns = f"{DECLARED}, colour STRING COMMENT 'optional'"
    write_parquet(tmp_path / "orders" / "2026-01-05.parquet", [ANN, BEN])
    assert read(spark, make_shop("parquet", "{DATA}/orders/{day}.parquet", columns), tmp_path) == EXPECTED
    write_json(tmp_path / "orders" / "2026-01-05.json", [ANN, BEN])
    assert read(spark, make_shop("json", "{DATA}/orders/{day}.json", columns), tmp_path) == EXPECTED


@pytest.mark.parametrize("columns", [DECLARED, None], ids=["declared", "not declared"])
@pytest.mark.parametrize("kept", [0, 30, 700], ids=["empty", "beginning only", "without its end"])
def test_a_parquet_file_that_is_cut_short_is_named(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, columns: str | None, kept: int
) -> None:
    path = tmp_path / "orders" / "2026-01-05.parquet"
    write_parquet(path, [ANN, BEN])
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(spark, make_shop("parquet", "{DATA}/orders/{day}.parquet", columns), tmp_path)
    assert message == "source 'orders': not a readable Parquet file in DATA/orders/2026-01-05.parquet; fetch it again"


def test_a_parquet_file_that_is_damaged_inside_is_named(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    path = tmp_path / "orders" / "2026-01-05.parquet"
    write_parquet(path, [{**ANN, "customer": f"person {n}"} for n in range(1000)])
    content = bytearray(path.read_bytes())
    content[10:200] = b"\xff" * 190
    path.write_bytes(content)
    message = refusal(spark, make_shop("parquet", "{DATA}/orders/{day}.parquet"), tmp_path)
    assert message == "landing: the Parquet file is damaged in DATA/orders/2026-01-05.parquet; fetch it again"


# --- JSON lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [DECLARED, None], ids=["declared", "not declared"])
@pytest.mark.parametrize("name", ["{day}.json", "{day}.json.gz"])
def test_json_lines_come_as_they_were_written(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, columns: str | None, name: str
) -> None:
    write_json(tmp_path / "orders" / name.replace("{day}", "2026-01-05"), [ANN, BEN])
    assert read(spark, make_shop("json", f"{{DATA}}/orders/{name}", columns), tmp_path) == EXPECTED


@pytest.mark.parametrize(("rows", "complaint"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_json_lines_with_other_fields_are_refused(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, rows: list[Row], complaint: str
) -> None:
    write_json(tmp_path / "orders" / "2026-01-04.json", [BEN])
    write_json(tmp_path / "orders" / "2026-01-05.json", rows)
    assert refusal(spark, make_shop("json", "{DATA}/orders/{day}.json"), tmp_path) == (
        f"source 'orders' differs from its `columns` in DATA/orders/2026-01-05.json: {complaint.format('bigint')}; "
        "mend it there, or correct `columns` in shop.toml"
    )


def test_a_field_that_changes_its_type_within_a_file_is_refused(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    write_json(tmp_path / "orders" / "2026-01-05.json", [ANN, {**BEN, "pieces": "1"}])
    message = refusal(spark, make_shop("json", "{DATA}/orders/{day}.json"), tmp_path)
    assert ": 'pieces' is of several types instead of int; " in message


def test_whole_numbers_and_nulls_are_fine_where_a_fraction_is_declared(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    """A field may also be left out of some lines of a file."""
    rows = [{**ANN, "pieces": 2}, {**BEN, "pieces": 1.5}, {**BEN, "pieces": None}, {"customer": "cem", "at": ANN["at"]}]
    write_json(tmp_path / "orders" / "2026-01-05.json", rows)
    shop = make_shop("json", "{DATA}/orders/{day}.json", DECLARED.replace("INT", "DOUBLE"))
    frame = Warehouse(spark, shop, str(tmp_path)).read("interactions", since=SINCE, until=UNTIL)
    assert frame is not None
    assert {(row[0], row[4]) for row in frame.collect()} == {("ann", 2), ("ben", 1.5), ("ben", None), ("cem", None)}


def test_names_of_fields_may_hold_anything(spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path) -> None:
    """They are compared as names, whatever they look like."""
    write_json(tmp_path / "orders" / "2026-01-05.json", [{**ANN, "a b: c<d>, `e`": {"x y": [1]}}])
    message = refusal(spark, make_shop("json", "{DATA}/orders/{day}.json"), tmp_path)
    assert ": 'a b: c<d>, `e`' (struct<x y:array<bigint>>) is not declared; " in message


@pytest.mark.parametrize("columns", [DECLARED, None], ids=["declared", "not declared"])
@pytest.mark.parametrize("last", ['{"customer": "ann", "sk', "\x00\x01garbage"], ids=["cut short", "garbage"])
def test_a_line_that_is_no_json_is_refused_with_its_file(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, columns: str | None, last: str
) -> None:
    path = tmp_path / "orders" / "2026-01-05.json"
    write_json(path, [ANN, BEN])
    path.write_text(path.read_text() + last)
    message = refusal(spark, make_shop("json", "{DATA}/orders/{day}.json", columns), tmp_path)
    assert message == (
        "source 'orders': 1 of 3 lines of DATA/orders/2026-01-05.json are no JSON object, "
        "the file may be cut short; fetch it again or mend it"
    )


def test_a_compressed_json_file_that_is_cut_short_is_named(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    path = tmp_path / "orders" / "2026-01-05.json.gz"
    write_json(path, [{**ANN, "sku": f"{n * n * 7919}"} for n in range(5000)])
    path.write_bytes(path.read_bytes()[:-5000])
    message = refusal(spark, make_shop("json", "{DATA}/orders/{day}.json.gz"), tmp_path)
    assert message == (
        "source 'orders': the compressed file is cut short or damaged in DATA/orders/2026-01-05.json.gz; fetch it again"
    )


@pytest.mark.parametrize("wrong", [{"at": "yesterday"}, {"pieces": 3_000_000_000}], ids=["no time", "too large"])
def test_a_value_that_its_column_cannot_hold_is_refused_with_its_file(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path, wrong: Row
) -> None:
    """A text may be a time and a number may be small, so this shows only when it is read."""
    write_json(tmp_path / "orders" / "2026-01-05.json", [{**ANN, **wrong}])
    message = refusal(spark, make_shop("json", "{DATA}/orders/{day}.json"), tmp_path)
    assert message == (
        "landing: a number is too large for its column or a text is no time "
        "in DATA/orders/2026-01-05.json; mend it, or declare it as string"
    )


def test_json_over_several_lines_is_compared_too(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    """Spark then says itself what it finds; the type of a text cannot be told from that of a time."""
    (tmp_path / "orders").mkdir()
    rows = json.dumps([{**ANN, "at": "2026-01-05T10:00:00Z"}], indent=2)
    (tmp_path / "orders" / "2026-01-05.json").write_text(rows)
    columns = "customer STRING, sku STRING, at STRING, pieces BIGINT"
    shop = make_shop("json", "{DATA}/orders/{day}.json", columns, 'multiLine = "true"')
    assert read(spark, shop, tmp_path) == EXPECTED[:1]
    other = make_shop("json", "{DATA}/orders/{day}.json", f"{columns}, colour STRING", 'multiLine = "true"')
    assert "'colour' (string) is missing" in refusal(spark, other, tmp_path)


# --- which files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "write"), [("parquet", write_parquet), ("json", write_json)])
def test_the_files_of_neighbouring_days_are_read_and_tell_their_day(
    spark: SparkSession,
    make_shop: Callable[..., Shop],
    tmp_path: Path,
    form: str,
    write: Callable[[Path, list[Row]], None],
) -> None:
    """Whatever the path holds beside the day: blanks, plus signs, a wildcard, another date."""
    data = tmp_path / "1999-12-31" / "a b+c"
    for day in range(3, 8):
        write(data / f"day=2026-01-0{day}-x" / f"part-0.{form}", [{**ANN, "customer": f"c{day}"}])
    shop = make_shop(form, f"{{DATA}}/day={{day}}-*/part-?.{form}")
    assert {(row[0], row[-1]) for row in read(spark, shop, data)} == {
        (f"c{day}", date(2026, 1, day)) for day in (4, 5, 6)
    }


def test_the_day_of_a_file_is_unknown_where_several_sources_are_joined(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "orders" / "2026-01-05.parquet", [ANN])
    (tmp_path / "stock.csv").write_text("sku,name,price\ntea,Green tea,4.5\n")
    shop = make_shop("parquet", "{DATA}/orders/{day}.parquet")
    joined = MAPPING.replace("FROM orders", "FROM orders JOIN stock USING (sku)").replace("sku AS", "orders.sku AS")
    (shop.folder / "sources" / "interactions.sql").write_text(joined)
    assert [row[-1] for row in read(spark, shop, tmp_path)] == [None]


def test_the_day_of_a_file_is_unknown_after_rows_were_put_together(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "orders" / "2026-01-05.parquet", [ANN, ANN])
    shop = make_shop("parquet", "{DATA}/orders/{day}.parquet")
    (shop.folder / "sources" / "interactions.sql").write_text(MAPPING.replace("SELECT", "SELECT DISTINCT"))
    assert read(spark, shop, tmp_path) == [(*EXPECTED[0][:-1], None)]


def test_a_database_given_to_a_shop_of_files_is_refused(spark: SparkSession, make_shop: Callable[..., Shop]) -> None:
    shop = make_shop("parquet", "{DATA}/orders/{day}.parquet")
    with pytest.raises(ConfigurationError) as found:
        Warehouse(spark, shop, "jdbc:postgresql://db/shop").read("interactions", since=SINCE, until=UNTIL)
    assert str(found.value) == (
        "source 'orders' reads parquet files, but DATA is the address of a database; set DATA=folder"
    )
