"""Drafts a shop from undescribed data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.errors import SourceError
from refit.shop_drafts import mappings
from refit.shop_drafts.inspecting import Looked, look
from refit.shop_drafts.mappings import Events, Mapped
from refit.shop_drafts.measures import Measures, measure
from refit.shop_drafts.roles import Column
from refit.shop_drafts.tables import Table

_MOST_CONTEXT = 4
"""Largest number of additional event columns to keep."""
_MOST_VALUES = 300
"""Largest number of distinct values of a useful context column."""
_LEAST_KNOWN = 0.7
"""Smallest share of events whose item a catalogue must have to belong to these events."""
_ALL = {"since": datetime(1970, 1, 1, tzinfo=UTC), "until": datetime(2100, 1, 1, tzinfo=UTC)}

Open = Callable[[Table], DataFrame]


@dataclass(frozen=True)
class Draft:
    """Everything needed to write the files of a shop."""

    sources: tuple[Table, ...]
    schemas: dict[str, str]
    """Source -> its declared columns as DDL, if any."""
    events: Events
    interactions: Mapped
    items: Mapped
    users: Mapped | None
    measures: Measures
    most_price: float | None
    segment: str
    """Context column used for cohorts; empty: none."""


def draft_shop(tables: Sequence[Table], open_table: Open, *, time_zone: str) -> Draft:
    """
    Return a draft for a shop with the data *tables*, each read whole by *open_table*.

    *time_zone* is the zone of the shop's clock, which determines its days and applies to times without a zone.

    Raises:
        SourceError: no table has a column of people and one of items, or no event could be landed.
    """
    frames = {table.name: open_table(table) for table in tables}
    looks = [look(frames[table.name], table) for table in tables]
    main = _main(looks)
    frame = frames[main.table.name]
    events = _events(main, frame, time_zone)
    interactions = mappings.interactions(events)
    people = max((other for other in looks if _is_people(other, main)), key=lambda other: other.rows, default=None)
    catalogue = max(
        (other for other in looks if _is_catalogue(other, main)),
        key=lambda other: ("title" in other.roles, other.roles["item"].distinct),
        default=None,
    )
    spark = frame.sparkSession

    def mapped(mapping: Mapped, of: Looked) -> DataFrame:
        return _run(spark, mapping, {of.table.name: frames[of.table.name], of.table.whole.name: frames[of.table.name]})

    items, of = mappings.items_of_events(events), main
    if catalogue:
        own = _repeated(frames[catalogue.table.name], mappings.id_of(catalogue.roles["item"]))
        items, of = mappings.items_of_table(catalogue, repeated=own), catalogue
    listed, events_frame = mapped(items, of), mapped(interactions, main)
    measures = measure(events_frame, listed, time_zone)
    if catalogue and measures.known < _LEAST_KNOWN:
        question = (
            f"{catalogue.table.name} knows the items of only {measures.known:.0%} of the events: which table does?"
        )
        items = mappings.items_of_events(events)
        items, of, catalogue = replace(items, questions=(*items.questions, question)), main, None
        listed = mapped(items, of)
        measures = measure(events_frame, listed, time_zone)
    if not measures.days:
        raise SourceError(
            f"of {main.rows:,} rows of {main.table.name} none could be landed as an event; columns were taken as "
            f"{_describe_columns(main)}; rename them, or write the mapping by hand as docs/data.md says"
        )
    consenting = None
    if people:
        own = _repeated(frames[people.table.name], mappings.id_of(people.roles["user"]))
        consenting = mappings.users(people, repeated=own)
    used = [main.table, *([catalogue.table] if catalogue else []), *([people.table] if people else [])]
    if of is main and events.catalogue_name != main.table.name:
        used.append(main.table.whole)
    prices = listed.agg(F.max("price")).collect()[0][0]
    return Draft(
        sources=tuple(used),
        schemas={table.name: ddl for table in used if (ddl := _ddl(table, looks))},
        events=events,
        interactions=interactions,
        items=items,
        users=consenting,
        measures=measures,
        most_price=prices,
        segment=_segment(events),
    )


def _main(looks: Sequence[Looked]) -> Looked:
    """Return the table of events: one with people, items and, if possible, times; of several the longest."""
    events = [looked for looked in looks if looked.is_events]
    if not events:
        found = "; ".join(f"{looked.table.name} has {_describe_columns(looked)}" for looked in looks)
        raise SourceError(
            f"no table has both a column of people and one of items, so nobody's events can be told: {found}; name the "
            "columns user_id and item_id, or write the mapping by hand as docs/data.md says"
        )
    return max(events, key=lambda looked: ("time" in looked.roles, looked.rows))


def _describe_columns(looked: Looked) -> str:
    found = {column.name: role for role, column in looked.roles.items()}
    return ", ".join(f"{column.name} ({found.get(column.name, 'unknown')})" for column in looked.columns) or "nothing"


def _is_people(looked: Looked, main: Looked) -> bool:
    return looked is not main and {"user", "consent"} <= set(looked.roles) and "item" not in looked.roles


def _is_catalogue(looked: Looked, main: Looked) -> bool:
    return looked is not main and "item" in looked.roles and "user" not in looked.roles and bool(looked.rows)


def _events(main: Looked, frame: DataFrame, time_zone: str) -> Events:
    types, found = mappings.types_of(main), main.roles
    value, order = found.get("value"), found.get("order")
    cancels, questions = "", []
    if value and "type" not in found and not value.is_rating and (value.least or 0) < 0:
        number = mappings.number_of(value)
        letter = _letter(frame, order, number) if order else ""
        text = f"CAST({order.sql} AS STRING)" if order and order.kind != "string" else order.sql if order else ""
        cancels = f"{text} LIKE '{letter}%'" if letter else f"coalesce({number} < 0, FALSE)"
        types = replace(types, cancellation="cancellation")
        sign = f"{order.name} begins with {letter}" if order and letter else f"{value.name} is below 0"
        questions.append(f"Where {sign} an order is taken back: is that right?")
    if types.unknown:
        questions.append(
            f"How much wanting do events of type {', '.join(types.unknown)} show? See weights in shop.toml."
        )
    if "time" not in found:
        how = f"in the order of {found['position'].name}" if "position" in found else "by chance, always the same"
        questions.append(
            f"No column gives a time, so each person's events are spread over {mappings.SPREAD_DAYS} days, {how}."
        )
    elif (time := found["time"].time) and time.question:
        questions.append(time.question)
    return Events(main, types, time_zone, cancels, _context(main), questions)


def _letter(frame: DataFrame, order: Column, number: str) -> str:
    """Return the letter that prefixes the numbers of cancelled orders, or an empty text."""
    first = F.regexp_extract(F.expr(f"CAST({order.sql} AS STRING)"), "^([A-Za-z])", 1).alias("letter")
    negative = F.coalesce(F.expr(f"{number} < 0"), F.lit(False)).alias("negative")
    counts = {tuple(row)[:2]: row["count"] for row in frame.groupBy(negative, first).count().collect()}
    letters = {letter for is_negative, letter in counts if is_negative and letter}
    return next(
        (letter for letter in sorted(letters) if counts[(True, letter)] > 9 * counts.get((False, letter), 0)),
        "",
    )


def _context(main: Looked) -> tuple[Column, ...]:
    taken = {column.name for role, column in main.roles.items() if role != "segment"} | {main.table.partition}
    telling = [
        column
        for column in main.columns
        if column.name not in taken and column.kind == "string" and 1 < column.distinct <= _MOST_VALUES
    ]
    first = [column for column in telling if column is main.roles.get("segment")]
    return tuple([*first, *[column for column in telling if column not in first]][:_MOST_CONTEXT])


def _segment(events: Events) -> str:
    column = events.looked.roles.get("segment")
    return mappings.context_name(column) if column in events.context and column is not None else ""


def _ddl(table: Table, looks: Sequence[Looked]) -> str:
    looked = next(
        looked for looked in looks if looked.table.name == table.name or looked.table.whole.name == table.name
    )
    if table.partition or table.options.get("multiLine"):
        return ""
    named = [(field.name, field.dataType.simpleString()) for field in looked.schema.fields]
    return ", ".join(f"{_column_name(name)} {kind.upper()}" for name, kind in named)


def _column_name(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else f"`{name.replace('`', '``')}`"


def _repeated(frame: DataFrame, id_sql: str) -> bool:
    ids = frame.groupBy(F.expr(id_sql).alias("id")).count()
    return not ids.where("count > 1 AND id IS NOT NULL").isEmpty()


def _run(spark: SparkSession, mapping: Mapped, sources: dict[str, DataFrame]) -> DataFrame:
    for name, frame in sources.items():
        frame.createOrReplaceTempView(name)
    try:
        return spark.sql(mapping.sql, args={name: F.lit(moment) for name, moment in _ALL.items()})
    finally:
        for name in sources:
            spark.catalog.dropTempView(name)
