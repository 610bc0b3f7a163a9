"""Names each column once, so that a typo is an AttributeError at import and not a null column at midnight."""

from __future__ import annotations


class Columns:
    """Columns of the three contract tables and of what Refit derives from them."""

    USER = "user_id"
    ITEM = "item_id"
    EVENT_TYPE = "event_type"
    EVENT_TIME = "event_time"
    EVENT_DATE = "event_date"
    VALUE = "value"
    LOCAL_TIME = "local_time"
    """Local time by the shop's clock, if the mapping gives no zone; read and checked, never landed."""
    SOURCE_DAY = "source_day"
    """Day of the file that an event was read from, if there is one file per day; read and checked, never landed."""

    ITEM_KNOWN = "item_known"
    """Whether the catalogue has the item; checked, never landed."""
    BROKEN = "broken"
    """Names of the row rules that an event breaks; null if none."""
    FATE = "fate"
    """Status of an event: kept, quarantined, or the kind of cleaning that removed it."""
    CHANGED = "changed"
    """Kinds of cleaning that altered a kept event; null if none."""

    TITLE = "title"
    CATEGORY = "category"
    PRICE = "price"
    AVAILABLE = "available"
    LISTED_AT = "listed_at"

    CONSENT = "consent"
    SEGMENT = "segment"
    """Value of the shop's segment column: people without a history get what is popular in their segment."""

    CONFIDENCE = "confidence"
    """MLlib's rating r, from which the confidence c = 1 + alpha * r is made."""
    BOUGHT = "bought"
    """Whether the item is excluded from this person's lists because it was bought and lists do not repeat it."""
    ITEMS = "items"
    CONFIDENCES = "confidences"
    RELEVANT = "relevant"
    RATING = "rating"
    RATINGS = "ratings"
    """Ratings of the relevant items, in the same order; only for shops with explicit preferences."""
