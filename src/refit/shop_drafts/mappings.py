"""Writes the guess as SQL that maps the shop's tables to interactions, items and users, with questions as comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from refit.shop_drafts.event_types import EventTypes, event_types, spelt
from refit.shop_drafts.inspecting import Looked
from refit.shop_drafts.roles import Column

SPREAD_DAYS = 28
"""Number of days over which events without times are spread."""
SPREAD_FROM = "2026-01-01"


@dataclass(frozen=True)
class Mapped:
    """One mapping."""

    sql: str
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Events:
    """How events are read from one table."""

    looked: Looked
    types: EventTypes
    time_zone: str
    """Zone of the shop's clock; used where the data give times without a zone."""
    cancels_by: str = ""
    """SQL that is true for cancelling rows; empty: there are none, or their type identifies them."""
    context: tuple[Column, ...] = ()
    """Additional columns to keep."""
    questions: list[str] = field(default_factory=list)

    @property
    def time(self) -> str:
        """SQL for the time of an event, with or without a zone."""
        found = self.looked.roles
        if column := found.get("time"):
            return column.time.read(column.sql) if column.time else column.sql
        user, item = found["user"].sql, found["item"].sql
        if position := found.get("position"):
            number = f"try_cast({position.sql} AS DOUBLE)"
            share = f"percent_rank() OVER (PARTITION BY {user} ORDER BY {number}, {item})"
            offset = f"CAST({SPREAD_DAYS - 1} * {share} AS INT)"
        else:
            offset = f"CAST(pmod(xxhash64({user}, {item}), {SPREAD_DAYS}) AS INT)"
        return f"CAST(date_add(DATE'{SPREAD_FROM}', {offset}) AS TIMESTAMP)"

    @property
    def instant(self) -> str:
        """SQL for the time of an event in UTC."""
        column = self.looked.roles.get("time")
        if column and column.time and not column.time.zoned:
            return f"to_utc_timestamp(CAST({self.time} AS TIMESTAMP), '{self.time_zone}')"
        return self.time

    @property
    def time_column(self) -> str:
        """Column by which a database filters the requested interval; empty: none."""
        column = self.looked.roles.get("time")
        timed = column is not None and column.kind in ("timestamp", "timestamp_ntz")
        return column.name if column and timed and self.looked.table.format == "jdbc" else ""

    @property
    def catalogue_name(self) -> str:
        """Name of the source that gives the items of all days."""
        table = self.looked.table
        return table.whole.name if table.a_file_a_day or self.time_column else table.name

    @property
    def has_clock(self) -> bool:
        """Whether the data give local times without a zone."""
        column = self.looked.roles.get("time")
        return bool(column and column.time and not column.time.zoned)


def id_of(column: Column) -> str:
    """Return SQL for the ids in *column* as text without white space."""
    if column.kind in ("double", "float") and column.whole:
        return f"CAST(try_cast({column.sql} AS BIGINT) AS STRING)"
    text = f"trim({column.sql})" if column.kind == "string" else text_of(column)
    if column.kind == "string" and column.whole:
        return rf"regexp_replace({text}, '\\.0$', '')"
    return rf"regexp_replace({text}, '\\s+', '_')" if column.spaces else text


def text_of(column: Column) -> str:
    """Return SQL for *column* as STRING."""
    return column.sql if column.kind == "string" else f"CAST({column.sql} AS STRING)"


def number_of(column: Column) -> str:
    """Return SQL for *column* as DOUBLE; null if it is not a number."""
    return column.sql if column.kind == "double" else f"try_cast({column.sql} AS DOUBLE)"


def truth_of(column: Column) -> str:
    """Return SQL for *column* as BOOLEAN; null if it is neither true nor false."""
    return column.sql if column.kind == "boolean" else f"try_cast(trim(CAST({column.sql} AS STRING)) AS BOOLEAN)"


def types_of(looked: Looked) -> EventTypes:
    """Return the meaning of the event types in *looked*; events without types are purchases or ratings."""
    if column := looked.roles.get("type"):
        return event_types(column.values)
    value = looked.roles.get("value")
    if value and value.is_rating:
        return EventTypes({"rating": 1.0})
    return EventTypes({"purchase": 1.0})


def interactions(events: Events) -> Mapped:
    """Return the mapping of events."""
    found, table = events.looked.roles, events.looked.table
    where = [f"{found['user'].sql} IS NOT NULL"] if found["user"].filled < 1 else []
    questions = list(events.questions)
    if where:
        share = 1 - found["user"].filled
        questions.append(
            f"{share:.1%} of the rows name nobody in {found['user'].name} and are left out: is that right?"
        )
    type_sql = _type(events)
    if events.types.dropped:
        names = ", ".join(_text(name) for name in events.types.dropped)
        where.append(f"NOT coalesce({found['type'].sql} IN ({names}), FALSE)")
        questions.append(f"Events of type {names} say the opposite of wanting and are left out: is that right?")
    value, asked = _value(events, where)
    questions += asked
    where += _only_asked_days(events)
    columns = {
        "user_id": id_of(found["user"]),
        "item_id": id_of(found["item"]),
        "event_type": type_sql,
        "event_time": events.time,
        "value": value,
    }
    for column in events.context:
        columns[context_name(column)] = column.sql
    if "price" in found:
        columns["unit_price"] = number_of(found["price"])
    if "order" in found:
        columns["order_id"] = text_of(found["order"])
    if "event" in found:
        columns["event_id"] = text_of(found["event"])
    return Mapped(_select(columns, table.name, where), tuple(questions))


def items_of_table(looked: Looked, *, repeated: bool) -> Mapped:
    """Return the mapping of a table of items; *repeated* says that items may have more than one row."""
    found = looked.roles
    columns = {
        "title": found["title"].sql if "title" in found else "CAST(NULL AS STRING)",
        "category": found["category"].sql if "category" in found else "CAST(NULL AS STRING)",
        "price": number_of(found["price"]) if "price" in found else "CAST(NULL AS DOUBLE)",
        "available": f"coalesce({truth_of(found['available'])}, TRUE)" if "available" in found else "TRUE",
        "listed_at": _listed_at(found.get("listed_at")),
    }
    asked = []
    if "available" not in found:
        asked.append(
            "No column says whether an item can be bought now, so all are taken to be available: is there one?"
        )
    if repeated:
        asked.append("An item has several rows here, and of each column the largest value is taken: is that right?")
    return Mapped(_once("item_id", id_of(found["item"]), columns, looked, repeated, "max"), tuple(asked))


def items_of_events(events: Events) -> Mapped:
    """Return a mapping that derives the catalogue from the events before :until, with the newest title and price."""
    found = events.looked.roles
    # Select only the needed columns under own names: a data column may be called item or at.
    inner = {"item": id_of(found["item"]), "at": events.instant}
    columns = {"item_id": "item"}
    for role, kind in (("title", "STRING"), ("category", "STRING"), ("price", "DOUBLE")):
        if role in found:
            inner[role] = number_of(found[role]) if kind == "DOUBLE" else f"nullif(trim({found[role].sql}), '')"
            columns[role] = f"max_by({role}, at) FILTER (WHERE {role} IS NOT NULL)"
        else:
            columns[role] = f"CAST(NULL AS {kind})"
    columns |= {"available": "TRUE", "listed_at": "min(at)"}
    lines = _select(inner, events.catalogue_name, []).replace("\n", "\n  ")
    question = "There is no table of items, so they are read off the events: is there one, with what can be bought now?"
    mapped = _select(columns, f"(\n  {lines}\n)", ["at < :until", "item IS NOT NULL"])
    return Mapped(f"{mapped}\nGROUP BY item", (question,))


def users(looked: Looked, *, repeated: bool) -> Mapped:
    """Return the mapping of a table of people with their consent; *repeated* as for items."""
    found = looked.roles
    columns = {"consent": f"coalesce({truth_of(found['consent'])}, FALSE)"}
    columns |= {context_name(found["segment"]): found["segment"].sql} if "segment" in found else {}
    asked = [f"Whoever has nothing in {found['consent'].name} is taken to have refused: is that right?"]
    if repeated:
        asked.append("Somebody has several rows here; who has refused in one of them is taken to have refused: right?")
    return Mapped(_once("user_id", id_of(found["user"]), columns, looked, repeated, "min"), tuple(asked))


def _type(events: Events) -> str:
    column, main = events.looked.roles.get("type"), next(iter(events.types.weights))
    if column is None:
        if events.cancels_by:
            return f"CASE WHEN {events.cancels_by} THEN 'cancellation' ELSE '{main}' END"
        return f"'{main}'"
    if all(spelt(value) == value for value in column.values):
        return column.sql
    spellings = " ".join(f"WHEN {_text(value)} THEN '{spelt(value)}'" for value in column.values)
    return f"CASE CAST({column.sql} AS STRING) {spellings} END"


def _value(events: Events, where: list[str]) -> tuple[str, list[str]]:
    column = events.looked.roles.get("value")
    if column is None:
        return "CAST(1 AS DOUBLE)", []
    number, least = number_of(column), column.least or 0.0
    if column.is_rating and least <= 0:
        shift = 1 - least
        return f"{number} + {shift:g}", [
            f"A value must be more than 0, so {shift:g} is added to {column.name}: is that right?"
        ]
    sql = number if column.filled == 1 else f"CASE WHEN {column.sql} IS NULL THEN 1 ELSE {number} END"
    asked = []
    if column.filled < 1:
        asked.append(f"Events without {column.name} get the value 1: is that right?")
    takes_back = events.cancels_by
    if takes_back:
        sql = f"abs({sql})"
        where.append(f"NOT coalesce({number} <= 0 AND NOT ({takes_back}), FALSE)")
        asked.append(
            f"Rows in which {column.name} is 0 or less and that take nothing back are left out: is that right?"
        )
    elif events.types.cancellation:
        sql = f"abs({sql})"
    elif least <= 0:
        where.append(f"NOT coalesce({number} <= 0, FALSE)")
        asked.append(f"Rows in which {column.name} is 0 or less are left out: what do they mean?")
    return sql, asked


def _only_asked_days(events: Events) -> list[str]:
    part = events.looked.table.partition
    column = next((column for column in events.looked.columns if column.name == part and column.kind == "date"), None)
    if column is None:
        return []
    return [f"{column.sql} BETWEEN date_sub(to_date(:since), 1) AND date_add(to_date(:until), 1)"]


def _listed_at(column: Column | None) -> str:
    if column is None or column.time is None:
        return "CAST(NULL AS TIMESTAMP)"
    read = column.time.read(column.sql)
    return read if column.time.zoned else f"CAST({read} AS TIMESTAMP)"


def context_name(column: Column) -> str:
    """Return the name of *column* among the events, avoiding names that Refit uses."""
    name = "".join(letter if letter.isalnum() else "_" for letter in column.name).strip("_").lower()
    taken = {"user_id", "item_id", "event_type", "event_time", "value", "unit_price", "order_id", "event_id"}
    taken |= {"local_time", "source_day", "event_date", "item_known", "broken", "fate", "changed", "consent"}
    return f"{name}_given" if name in taken else name


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _once(key: str, id_sql: str, columns: dict[str, str], looked: Looked, repeated: bool, choose: str) -> str:
    """Return a query with one row per id; if ids are *repeated*, it takes *choose* (min or max) of each column."""
    source = looked.roles[key.removesuffix("_id")]
    where = [f"{source.sql} IS NOT NULL"] if source.filled < 1 else []
    chosen = {name: f"{choose}({sql})" for name, sql in columns.items()} if repeated else columns
    return _select({key: id_sql, **chosen}, looked.table.name, where) + (f"\nGROUP BY {id_sql}" if repeated else "")


def _select(columns: dict[str, str], table: str, where: Sequence[str]) -> str:
    width = max((len(sql) for sql in columns.values() if len(sql) <= 60), default=0)
    lines = ",\n".join(f"  {sql:<{width}} AS {name}" for name, sql in columns.items())
    conditions = "".join(f"\n{'WHERE' if number == 0 else '  AND'} {text}" for number, text in enumerate(where))
    return f"SELECT\n{lines}\nFROM {table}{conditions}"
