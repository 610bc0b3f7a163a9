"""The three tables that Refit reads, by whatever names the warehouse uses."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import ConfigurationError

CONTRACT: dict[str, dict[str, str]] = {
    "interactions": {
        Columns.USER: "string",
        Columns.ITEM: "string",
        Columns.EVENT_TYPE: "string",
        Columns.EVENT_TIME: "timestamp",
        Columns.VALUE: "double",
    },
    "items": {
        Columns.ITEM: "string",
        Columns.TITLE: "string",
        Columns.CATEGORY: "string",
        Columns.PRICE: "double",
        Columns.AVAILABLE: "boolean",
        Columns.LISTED_AT: "timestamp",
    },
    "users": {Columns.USER: "string", Columns.CONSENT: "boolean"},
}
"""Table -> column -> Spark type. Additional columns are kept as context."""

_OWN = {
    Columns.LOCAL_TIME,
    Columns.SOURCE_DAY,
    Columns.EVENT_DATE,
    Columns.ITEM_KNOWN,
    Columns.BROKEN,
    Columns.FATE,
    Columns.CHANGED,
}
"""Columns that Refit adds to interactions; a mapping must not use them, or they would be overwritten silently."""


def conform(frame: DataFrame, table: str, *, time_zone: str | None = None) -> DataFrame:
    """
    Return *frame* with the contract's columns first and its other columns after them.

    Interactions end with `local_time` (string). A mapping may give `event_time` without a zone, as timestamp_ntz: it is
    then converted from *time_zone* to UTC, and `local_time` keeps the original; otherwise `local_time` is null. A time
    in the hour that repeats when summer time ends counts as the earlier one; a time that was skipped when summer time
    began becomes null, so that validation can report it.

    Raises:
        ConfigurationError: the mapping lacks a column of the contract, gives it another type or uses a name of Refit's,
            or it gives times without a zone and *time_zone* is None.
    """
    types = dict(frame.dtypes)
    wanted = CONTRACT[table]
    missing = [name for name in wanted if name not in types]
    if missing:
        raise ConfigurationError(
            f"the mapping of {table} lacks the column(s) {', '.join(missing)}; it gives {', '.join(types)}; "
            f"add them to sources/{table}.sql"
        )
    has_clock = table == "interactions" and types[Columns.EVENT_TIME] == "timestamp_ntz"
    if has_clock and time_zone is None:
        raise ConfigurationError(
            f"the mapping of {table} gives {Columns.EVENT_TIME} as timestamp_ntz, a time on a clock whose zone is not "
            'known; set time_zone in [calendar] of shop.toml, e.g. time_zone = "Europe/London"'
        )
    for name, kind in wanted.items():
        if types[name] != kind and not (has_clock and name == Columns.EVENT_TIME):
            raise ConfigurationError(
                f"the mapping of {table} gives {name} as {types[name]}, the contract wants {kind}; "
                f"cast it in sources/{table}.sql with try_cast, so that a bad value becomes null and is counted"
            )
    context = [F.col(f"`{name}`") for name in types if name not in wanted]
    if table != "interactions":
        return frame.select(*wanted, *context)
    if taken := sorted(_OWN & set(types)):
        raise ConfigurationError(
            f"the mapping of {table} gives {', '.join(taken)}, a name that Refit uses itself; "
            f"rename it in sources/{table}.sql"
        )
    clock = F.col(Columns.EVENT_TIME)
    times = {Columns.EVENT_TIME: _in_utc(clock, time_zone)} if has_clock and time_zone else {}
    local = clock if has_clock else F.lit(None)
    return frame.select(
        *[times.get(name, F.col(name)).alias(name) for name in wanted],
        *context,
        local.cast("string").alias(Columns.LOCAL_TIME),
    )


def _in_utc(clock: Column, time_zone: str) -> Column:
    """Return the instant at which a clock in *time_zone* shows *clock*; null if it never does."""
    # Spark casts between zoneless and zoned times in its session's zone, UTC, so the digits stay the same.
    instant = F.to_utc_timestamp(clock.cast("timestamp"), time_zone)
    shown = F.from_utc_timestamp(instant, time_zone).cast("timestamp_ntz")
    # Spark moves a skipped time past the gap; only then does converting back give another time.
    return F.when(shown == clock, instant)
