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
    LOCAL_TIME = "local_time"
    """The time as the shop's clock said it, where the mapping gives no zone; read and checked, never landed."""
    SOURCE_DAY = "source_day"
    """Day of the file that an event was read from, where there is one file a day; read and checked, never landed."""

    ITEM_KNOWN = "item_known"
    """Whether the catalogue has the item; checked, never landed."""
    BROKEN = "broken"
    """Names of the row rules that an event breaks; null for none."""
    FATE = "fate"
    """What became of an event: kept, quarantined, or the kind of cleaning that left it out."""
    CHANGED = "changed"
    """Kinds of cleaning that altered a kept event; null for none."""

    TITLE = "title"
    CATEGORY = "category"
    PRICE = "price"
    AVAILABLE = "available"
    LISTED_AT = "listed_at"

    CONSENT = "consent"
    SEGMENT = "segment"
    """The value of the shop's segment column: people without a history get what is popular among their like."""

    CONFIDENCE = "confidence"
    """MLlib's rating r, from which the confidence c = 1 + alpha * r is made."""
    BOUGHT = "bought"
    """Whether the shop's lists must leave this item out for this person: bought, and lists do not repeat that."""
    ITEMS = "items"
    CONFIDENCES = "confidences"
    RELEVANT = "relevant"
    RATING = "rating"
    RATINGS = "ratings"
    """Of the relevant items, in their order; only a shop of explicit preferences has them."""
