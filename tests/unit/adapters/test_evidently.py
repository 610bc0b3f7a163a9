"""Evidently's report: whatever the samples hold, it is drawn, whole, and says nothing to anybody."""

from __future__ import annotations

import os
import re

import pyarrow as pa

from refit.adapters.evidently import EvidentlyReporter


def test_a_report_is_one_page_on_every_column_that_can_be_drawn() -> None:
    """Infinities, missing values, a constant and a column without any value are all in it or left out, never fatal."""
    n = 200
    before = pa.table(
        {
            "price": pa.array([float(k % 40) for k in range(n)]),
            "constant": pa.array([1.0] * n),
            "nothing": pa.array([None] * n, pa.float64()),
            "country": pa.array(["France", "Spain"] * (n // 2)),
        }
    )
    after = pa.table(
        {
            "price": pa.array([float("inf"), None, *[float(40 + k % 40) for k in range(n - 2)]]),
            "constant": pa.array([1.0] * n),
            "nothing": pa.array([1.0] * n),
            "country": pa.array(["France", None] * (n // 2)),
        }
    )
    page = EvidentlyReporter().report(before, after, numbers=["price", "constant", "nothing"], categories=["country"])
    text = page.decode()
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert text.lstrip().lower().startswith(("<html", "<!doctype"))
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', text)
    assert "K-S p_value" in text
    assert "PSI" in text
    drawn = set(re.findall(r'"column_name": "(\w+)"', text))
    assert drawn == {"price", "constant", "country"}
    assert "(missing)" in text
