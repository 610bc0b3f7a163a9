"""The judge of published lists, by hand: who is judged, by what, and how good a list is."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from bench.published_quality import read_orders, scores, wanted_of


def test_recall_and_ndcg_are_those_of_a_calculation_by_hand() -> None:
    lists = {"ann": ["a", "b", "c"], "bob": ["a"]}
    wanted = {"ann": {"b", "c", "z"}, "bob": {"a"}, "cem": {"a"}}
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    perfect = 1 + second + third
    found = scores(lists, wanted, 3)
    assert np.allclose(found, [(2 / 3, (second + third) / perfect), (1, 1), (0, 0)])
    # A list of two can hold two of the three.
    assert np.allclose(scores(lists, wanted, 2)[0], (1 / 2, second / (1 + second)))


def test_people_and_items_must_be_known_before() -> None:
    before = pd.DataFrame({"person": ["ann", "ann", "bob"], "item": ["a", "b", "c"]})
    bought = pd.DataFrame({"person": ["ann", "ann", "ann", "bob", "new"], "item": ["a", "c", "unseen", "c", "a"]})
    assert wanted_of(bought, before, again=False) == {"ann": {"c"}}
    assert wanted_of(bought, before, again=True) == {"ann": {"a", "c"}, "bob": {"c"}}


def test_orders_are_purchases_of_known_customers_and_real_products(tmp_path: Path) -> None:
    lines = [
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        "1,20724,BAG,10,2011-05-09 08:23:00,0.85,13003.0,United Kingdom",
        "1,85014B,UMBRELLA,1,2011-05-09 08:23:00,0.85,13003,United Kingdom",
        "C2,20724,BAG,-10,2011-05-09 08:23:00,0.85,13003.0,United Kingdom",
        "3,20724,BAG,1,2011-05-09 08:23:00,0.0,13003.0,United Kingdom",
        "4,20724,BAG,1,2011-05-09 08:23:00,0.85,,United Kingdom",
        "5,POST,POSTAGE,1,2011-05-09 08:23:00,18.0,13003.0,United Kingdom",
    ]
    for day in ("2011-05-08", "2011-05-09"):
        with gzip.open(tmp_path / f"{day}.csv.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines))
    found = read_orders(tmp_path, date(2011, 5, 9), date(2011, 5, 10))
    assert found[["person", "item"]].values.tolist() == [["13003", "20724"], ["13003", "85014B"]]
    assert set(found["day"]) == {date(2011, 5, 9)}
