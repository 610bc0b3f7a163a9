"""Bytes that are not text: refused with the file, or set apart, but never two people under one name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.corner import STOCK, TOLERANT, Corner, day

from refit.config import Shop, load_shop
from refit.errors import ConfigurationError, DataRefusedError, SourceError
from refit.landing.suites import load_suite
from refit.sources import Warehouse

LATIN = """customer,sku,at,pieces
ann,mug,2026-01-05 12:00:00,2
josé,tea,2026-01-05 10:00:00,1
josè,tea,2026-01-05 11:00:00,1
"""
NAMED = {'mode = "FAILFAST" }\n\n[sources.stock]': 'mode = "FAILFAST", encoding = "ISO-8859-1" }\n\n[sources.stock]'}


@pytest.fixture
def latin(corner: Corner) -> Corner:
    """Give the corner shop with a day of orders in Latin-1."""
    data = corner.write("2026-01-05", [])
    (data / "orders" / "2026-01-05.csv").write_bytes(LATIN.encode("latin-1"))
    return corner


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not declared"])
def test_a_csv_file_in_another_encoding_is_refused_with_line_and_remedy(latin: Corner, declared: bool) -> None:
    columns = 'columns = "customer STRING, sku STRING, at STRING, pieces STRING"\n'
    shop = latin.shop(replace={} if declared else {columns: ""})
    with pytest.raises(SourceError) as found:
        latin.land(day(5), day(6), shop=shop)
    message = str(found.value)
    assert message.startswith("source 'orders': 2 of 4 lines of file:")
    assert message.endswith(
        "/data/orders/2026-01-05.csv are not UTF-8, the first is line 3; name the encoding of the file in the options "
        'of the source, e.g. encoding = "ISO-8859-1", or write it as UTF-8'
    )
    assert "jos" not in message


def test_the_catalogue_in_another_encoding_is_refused_too(corner: Corner) -> None:
    corner.write("2026-01-05", ["ann,tea,2026-01-05 10:00:00,1"])
    data = corner.write("2025-12-31", [])
    (data / "stock.csv").write_bytes("sku,name,price\ntea,Café crème,4.5\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"source 'stock': 1 of 2 lines of .*stock\.csv are not UTF-8, .* line 2"):
        corner.land(day(5), day(6), data=str(data))


def test_two_people_stay_two_when_the_encoding_is_named(latin: Corner) -> None:
    assert latin.land(day(5), day(6), shop=latin.shop(replace=NAMED)).rows == 3
    kept = latin.lake.read(latin.spark, "interactions", latin.lake.days("interactions", day(5), day(6)))
    assert kept.select("user_id").distinct().count() == 3


def test_ids_that_were_repaired_on_the_way_are_set_apart(latin: Corner) -> None:
    """Spark reads what US-ASCII does not have as U+FFFD, without a word."""
    ascii_named = {key: value.replace("ISO-8859-1", "US-ASCII") for key, value in NAMED.items()}
    receipt = latin.land(day(5), day(6), shop=latin.shop(TOLERANT, replace=ascii_named))
    assert (receipt.rows, receipt.broken) == (1, {"user_is_text": 2})
    whys = {rule["name"]: rule["why"] for rule in load_suite(latin.suites, "interactions")["expectations"]}
    assert "encoding" in whys["user_is_text"]


@pytest.mark.parametrize("lines", [True, False], ids=["lines", "over several lines"])
def test_json_in_another_encoding_is_refused_with_its_line(
    corner: Corner, make_shop: Callable[..., Shop], tmp_path: Path, lines: bool
) -> None:
    rows = [{"customer": name, "sku": "tea", "at": "2026-01-05 10:00:00", "pieces": 1} for name in ("ann", "josé")]
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "orders").mkdir()
    text = "\n".join(texts) if lines else f"[{texts[0]},\n{texts[1]}]"
    (tmp_path / "orders" / "2026-01-05.json").write_bytes(text.encode("latin-1"))
    shop = make_shop("json", "{DATA}/orders/{day}.json", options="" if lines else 'multiLine = "true"')
    with pytest.raises(SourceError, match=r"1 of 2 lines of .*2026-01-05\.json are not UTF-8, the first is line 2;"):
        Warehouse(corner.spark, shop, str(tmp_path)).read("interactions", since=day(5), until=day(6))


def test_bytes_in_parquet_that_are_no_text_are_set_apart(corner: Corner, tmp_path: Path) -> None:
    """Nothing in the file says that its writer did not look; the day is refused, for two thirds of it are lost."""
    data = corner.write("2025-12-31", [])
    (data / "stock.csv").write_text(STOCK, encoding="utf-8")
    customers = pa.array([b"ann", b"jos\xe9", b"jos\xe8"]).view(pa.string())
    table = pa.table(
        {"customer": customers, "sku": ["tea"] * 3, "at": ["2026-01-05 10:00:00"] * 3, "pieces": ["1"] * 3}
    )
    pq.write_table(table, data / "orders" / "2026-01-05.parquet")
    old = 'format = "csv"\npath = "{DATA}/orders/{day}.csv"'
    columns = 'columns = "customer STRING, sku STRING, at STRING, pieces STRING"'
    options = 'options = { header = "true", mode = "FAILFAST" }'
    replaced = {f"{old}\n{columns}\n{options}": 'format = "parquet"\npath = "{DATA}/orders/{day}.parquet"'}
    with pytest.raises(DataRefusedError, match=r"2 of 3 events break rules, 66\.7%: user_is_text 2"):
        corner.land(day(5), day(6), shop=corner.shop("", replace=replaced), data=str(data))


@pytest.mark.parametrize("name", ["shop.toml", "sources/interactions.sql"])
def test_configuration_in_another_encoding_is_named_with_its_line(corner: Corner, name: str) -> None:
    folder = corner.write_shop() / "corner"
    content = (folder / name).read_bytes()
    comment = "#" if name.endswith("toml") else "--"
    (folder / name).write_bytes(f"\n{comment} für Später\n".encode("latin-1") + content)
    with pytest.raises(ConfigurationError, match=rf"line 2 of .*/{name} is not UTF-8; save the file as UTF-8"):
        load_shop(folder.parent, "corner")


def test_configuration_may_begin_with_a_byte_order_mark(corner: Corner) -> None:
    path = corner.write_shop() / "corner" / "shop.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_shop(path.parent.parent, "corner").title == "A corner shop"
