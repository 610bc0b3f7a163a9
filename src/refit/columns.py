"""Each column is named once, so that a typo is an AttributeError at import and not a null column at midnight."""

from __future__ import annotations


class Columns:
    """Columns of the three contract tables and of what Refit derives from them."""

    USER = "user_id"
    ITEM = "item_id"
    EVENT_TYPE = "event_type"
    EVENT_TIME = "event_time"
    EVENT_DATE = "event_date"
    VALUE = "value"

    TITLE = "title"
    CATEGORY = "category"
    PRICE = "price"
    AVAILABLE = "available"
    LISTED_AT = "listed_at"

    CONSENT = "consent"

    CONFIDENCE = "confidence"
    """MLlib's rating r, from which the confidence c = 1 + alpha * r is made."""
    BOUGHT = "bought"
    """Whether the shop's lists must leave this item out for this person."""
    ITEMS = "items"
    CONFIDENCES = "confidences"
    RELEVANT = "relevant"
