"""Guesses the meaning of each column of a table from its name and, if names are ambiguous, from its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from refit.shop_drafts.times import TimeFormat

_NAMES: Mapping[str, str] = {
    "user": "customer client user userid visitor person people member buyer shopper account reviewer listener "
    "reader viewer patron subscriber uid profile contact",
    "item": "sku item product article stockcode isbn asin movie song track book goods productcode itemcode ean recipe "
    "artist game business listing material",
    "time": "time timestamp ts at date datetime when eventtime happened created occurred ordered invoicedate "
    "orderdate purchased rated viewed unixtime day",
    "type": "eventtype event action kind behaviour behavior interaction verb activity type op",
    "value": "quantity qty pieces units count number rating stars score overall plays listens playcount duration "
    "amount weight",
    "price": "price unitprice cost msrp listprice",
    "order": "invoice invoiceno order orderno ordernumber basket transaction receipt ticket orderid",
    "event": "eventid lineid rowid interactionid id uuid",
    "position": "position pos rank seq sequence step index nr place",
    "title": "title name description productname label heading",
    "category": "category department genre genres group class family subcategory producttype",
    "available": "instock available active instore onsale enabled listed",
    "listed_at": "listedon listedat listed released releasedate published createdat created launched year",
    "consent": "consent optin agreed gdpr marketing permission allowed",
    "segment": "country region state city segment gender sex age device language tier",
}
"""Role -> words that name it, most specific first."""
_TAILS = ("id", "no", "nr", "key", "code", "number", "num", "pk", "hash", "at", "on", "s", "name")
_RATINGS = {"rating", "ratings", "stars", "score", "overall"}
_MANY = 0.5
"""Smallest share of filled rows for a key column."""


@dataclass(frozen=True)
class Column:
    """The result of inspecting one column."""

    name: str
    kind: str
    """Type in Spark's words."""
    filled: float
    """Share of rows with a value other than white space."""
    distinct: int
    """Approximate number of distinct values."""
    numbers: float = 0.0
    """Share of values that are numbers."""
    least: float | None = None
    most: float | None = None
    whole: bool = False
    """Whether every value is a whole number written with .0."""
    spaces: bool = False
    """Whether any value contains white space."""
    time: TimeFormat | None = None
    values: tuple[str, ...] = ()
    """All distinct values if there are few; else empty."""

    @property
    def sql(self) -> str:
        """The column's name in SQL."""
        return self.name if re.fullmatch(r"[A-Za-z_]\w*", self.name) else f"`{self.name.replace('`', '``')}`"

    @property
    def is_rating(self) -> bool:
        """Whether the column holds ratings."""
        return _plain(self.name) in _RATINGS


def roles(columns: Iterable[Column], rows: int) -> dict[str, Column]:
    """
    Return role -> column. Each column has at most one role; roles without a fitting column are left out.

    *rows* is the number of rows of the table.
    """
    columns = list(columns)
    found: dict[str, Column] = {}
    # Assign the roles that identify a row first; the remaining ones matter less.
    for role in ("time", "type", "user", "item", "consent", "value", "price", "order", "event", "position", "category"):
        _give(role, columns, rows, found)
    for role in ("title", "available", "listed_at", "segment"):
        _give(role, columns, rows, found)
    times = [column for column in columns if column not in found.values() and _may_be("time", column, rows)]
    if "user" in found and "time" not in found and len(times) == 1 and times[0].kind != "bigint":
        found["time"] = times[0]
    if "user" not in found and "time" in found and "listed_at" not in found:
        found["listed_at"] = found.pop("time")  # rows of this table are not actions of people
    return found


def _give(role: str, columns: list[Column], rows: int, found: dict[str, Column]) -> None:
    free = [column for column in columns if column not in found.values() and _may_be(role, column, rows)]
    ranked = sorted(
        (rank, position) for position, column in enumerate(free) if (rank := _rank(role, column)) is not None
    )
    if ranked:
        found[role] = free[ranked[0][1]]


def _rank(role: str, column: Column) -> int | None:
    """Return the rank of the column's name among the words of *role*, lower is better; None if it has none of them."""
    words, plain, pieces = _NAMES[role].split(), _plain(column.name), _pieces(column.name)
    for position, word in enumerate(words):
        if plain == word or any(plain == word + tail for tail in _TAILS):
            return position
    for position, word in enumerate(words):
        if word in pieces:
            return len(words) + position
    return None


def _may_be(role: str, column: Column, rows: int) -> bool:
    numeric = column.numbers > 0.95
    match role:
        case "user" | "item":
            return column.filled >= _MANY and column.kind not in ("date", "timestamp", "timestamp_ntz", "boolean")
        case "time" | "listed_at":
            return column.time is not None and column.filled >= _MANY
        case "type":
            return 1 <= len(column.values) <= 20 and column.kind in ("string", "int", "bigint")
        case "value" | "price":
            return numeric and column.filled > 0
        case "position":
            return numeric and (column.least or 0) >= 0
        case "event":
            return column.filled == 1.0 and column.distinct >= 0.9 * rows
        case "category" | "segment":
            return column.kind == "string" and column.distinct > 1
        case "available" | "consent":
            return column.kind == "boolean" or {value.lower() for value in column.values} <= TRUTHS
    return True


TRUTHS = {"true", "false", "t", "f", "yes", "no", "y", "n", "1", "0"}
"""Words that Spark reads as true or false."""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _pieces(name: str) -> list[str]:
    return [piece.lower() for piece in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
