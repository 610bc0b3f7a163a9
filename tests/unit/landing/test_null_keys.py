"""A key of which a part is null names no event: cleaning and the rule of uniqueness agree on that."""

from __future__ import annotations

import pytest
from support.corner import Corner, day

from pipelines.land_interactions import Receipt
from refit.errors import DataRefusedError

VIEWS = [
    "ann,tea,2026-01-05 10:00:00,1,view,",
    "ann,tea,2026-01-05 10:05:00,1,view,",
]
ORDER = "ann,tea,2026-01-05 10:06:00,1,purchase,order-77"
HEADER = "customer,sku,at,pieces,kind,order_no"
COLUMNS = '"customer STRING, sku STRING, at STRING, pieces STRING"'
MAPPING = """
    SELECT customer AS user_id, sku AS item_id, kind AS event_type, try_to_timestamp(at) AS event_time,
           try_cast(pieces AS DOUBLE) AS value, order_no
    FROM orders
"""


def land(corner: Corner, lines: list[str], settings: str) -> Receipt:
    """Land *lines* of views and purchases in a shop whose events are named by order and item."""
    replaced = {
        COLUMNS: f'{COLUMNS[:-1]}, kind STRING, order_no STRING"',
        "weights = { purchase = 1.0 }": 'weights = { view = 0.1, purchase = 1.0 }\nkey = ["order_no", "item_id"]',
    }
    corner.write("2026-01-05", lines, header=HEADER)
    data = corner.write("2025-12-31", [], header=HEADER)
    (data / "stock.csv").write_text("sku,name,price\ntea,Green tea,4.5\nmug,Mug,\n", encoding="utf-8")
    limits = "\n[validation]\nmax_removed_share = 0.9\n"
    shop = corner.shop(limits + settings, replace=replaced, sources={"interactions": MAPPING})
    return corner.lenient("interactions").land(day(5), day(6), shop=shop, data=str(data))


NO_CLEANING = "\n[cleaning]\nexact_repeats = false\n"
NEWEST = '\n[cleaning]\nexact_repeats = false\nkeyed_repeats = "newest"\n'


@pytest.mark.parametrize("settings", ["", NO_CLEANING, NEWEST], ids=["exact", "none", "keyed"])
def test_events_without_an_order_number_are_no_repeats(corner: Corner, settings: str) -> None:
    assert land(corner, [*VIEWS, ORDER], settings).rows == 3


def test_events_of_one_order_and_item_are_one_for_cleaning_and_for_the_rule(corner: Corner) -> None:
    lines = [*VIEWS, ORDER, ORDER.replace("10:06", "10:07")]
    receipt = land(corner, lines, NEWEST)
    assert (receipt.rows, receipt.removed) == (3, {"keyed_repeats": 1})
    with pytest.raises(DataRefusedError, match=r"2 of 4 rows break event_key_unique \(0 allowed\) \("):
        land(corner, lines, NO_CLEANING)


def test_events_without_an_order_number_that_agree_in_everything_are_one(corner: Corner) -> None:
    lines = [*VIEWS, VIEWS[0], ORDER]
    assert land(corner, lines, "").removed == {"exact_repeats": 1}
    with pytest.raises(DataRefusedError, match=r"2 of 4 rows break event_key_unique"):
        land(corner, lines, NO_CLEANING)


def test_the_order_number_of_a_person_is_no_part_of_a_message(corner: Corner) -> None:
    with pytest.raises(DataRefusedError) as found:
        land(corner, [*VIEWS, ORDER, ORDER.replace("10:06", "10:07")], NO_CLEANING)
    assert "order-77" not in str(found.value)
