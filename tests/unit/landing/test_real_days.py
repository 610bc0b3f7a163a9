"""Real days of the shop online_retail, landed as it ships and counted by an independent reading of the raw files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from support.corner import KEY

from pipelines.land_interactions import run
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.folder import FolderObjectStore
from refit.config import load_shop
from refit.lake.lake import Lake
from refit.sources import Warehouse

REAL_DAYS = REPOSITORY.parent / "shared" / "data" / "online_retail" / "by_day"


@pytest.mark.skipif(not REAL_DAYS.is_dir(), reason="the real days of online_retail lie beside the checkout")
def test_real_days_are_landed_as_an_independent_reading_counts_them(spark: SparkSession, tmp_path: Path) -> None:
    """
    Order lines of known customers and real products are read; exact repeats among them are left out and counted.

    What a cancellation takes back of the same day is counted too, and the sum is exact.
    """
    frames = [pd.read_csv(REAL_DAYS / f"2011-05-{number:02}.csv.gz", dtype=str) for number in range(9, 14)]
    raw = pd.concat(frames)
    wanted = (
        raw["CustomerID"].notna()
        & ((raw["Quantity"].astype(float) > 0) | raw["InvoiceNo"].str.startswith("C"))
        & (raw["UnitPrice"].astype(float) > 0)
        & raw["StockCode"].str.match(r"\d{5}")
    )
    shop = load_shop(REPOSITORY / "shops", "online_retail")
    receipt = run(
        *shop.calendar.clock.span(date(2011, 5, 9), date(2011, 5, 14)),
        shop=shop,
        warehouse=Warehouse(spark, shop, str(REAL_DAYS)),
        key=KEY,
        suites=REPOSITORY / "expectations",
        spark=spark,
        lake=Lake(str(tmp_path), "catalog.json", FolderObjectStore(tmp_path), clock=shop.calendar.clock),
        validator=GreatExpectations(),
    )
    assert receipt.rows_in == int(wanted.sum())
    assert receipt.removed["exact_repeats"] == int(raw[wanted].duplicated().sum())
    assert receipt.rows_in == receipt.quarantined + sum(receipt.removed.values()) + receipt.rows
    assert receipt.open_days == 5
