"""Prices that are null because nobody could read them are counted, whatever made them so."""

from __future__ import annotations

import pytest
from support.corner import GOOD_LINE, STOCK, Corner, day

from refit.landing.catalogue_losses import values_lost

TEXTS = 'sku,name,price\ntea,Green tea,"1.299,00"\nmug,Mug,"$1,299.00"\n'
PRICED = "sku,name,price\ntea,Green tea,4.5\nmug,Mug,2\ncup,Cup,\n"


@pytest.fixture(name="corner")
def _with_the_suite_of_items(corner: Corner) -> Corner:
    """Give the corner shop with the suite that prices are judged by."""
    return corner.lenient("items")


def test_prices_that_no_cast_can_read_are_counted_from_the_first_landing_on(corner: Corner) -> None:
    corner.write("2026-01-05", [GOOD_LINE])
    receipt = corner.land(day(5), day(6), stock=TEXTS)
    assert [warning.split(" (a text")[0] for warning in receipt.warnings] == [
        "items: price: 2 of 2 rows break price_present (1 allowed)"
    ]
    assert "validation.min_priced_share" in receipt.warnings[0]
    shop = corner.shop("\n[validation]\nmin_priced_share = 0\n")
    assert corner.land(day(5), day(6), shop=shop, stock=TEXTS).warnings == []


def test_values_that_the_last_snapshot_had_are_counted(corner: Corner) -> None:
    """The cup never had a price, and the bowl was not there; neither has lost anything."""
    shop = corner.shop("\n[validation]\nmin_priced_share = 0\n")
    for number in (5, 6):
        corner.write(f"2026-01-0{number}", [GOOD_LINE.replace("01-05", f"01-0{number}")])
    assert corner.land(day(5), day(6), shop=shop, stock=PRICED).warnings == []
    receipt = corner.land(day(6), day(7), shop=shop, stock=f"{TEXTS}cup,,\nbowl,Bowl,\n")
    assert [warning for warning in receipt.warnings if "snapshot" in warning] == [
        "items: title: 1 of 3 items that had a value in the snapshot of 2026-01-06 have none now; "
        "what try_cast cannot read becomes null, so mend the source or sources/items.sql if that is not meant",
        "items: price: 2 of 2 items that had a value in the snapshot of 2026-01-06 have none now; "
        "what try_cast cannot read becomes null, so mend the source or sources/items.sql if that is not meant",
    ]


def test_a_share_of_prices_that_the_shop_asks_for_is_told_with_what_is_allowed(corner: Corner) -> None:
    corner.write("2026-01-05", [GOOD_LINE])
    shop = corner.shop("\n[validation]\nmin_priced_share = 0.6\n")
    assert (
        corner.land(day(5), day(6), shop=shop, stock=STOCK)
        .warnings[0]
        .startswith("items: price: 1 of 2 rows break price_present (0 allowed)")
    )


def test_only_columns_and_items_of_both_snapshots_are_compared(corner: Corner) -> None:
    make = corner.spark.createDataFrame
    before = make([("a", 1.0, "x"), ("b", 2.0, None), ("gone", 3.0, "x")], "item_id string, price double, old string")
    now = make([("a", None, None), ("b", 2.0, None), ("new", None, None)], "item_id string, price double, hue string")
    assert values_lost(before, now) == {"price": (1, 2)}
