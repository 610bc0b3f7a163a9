"""The three tables that Refit reads, whatever the warehouse calls them."""

from __future__ import annotations

from pyspark.sql import DataFrame
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
"""Table -> column -> Spark type. Further columns are welcome and kept as context."""


def conform(frame: DataFrame, table: str) -> DataFrame:
    """
    Return *frame* with the contract's columns first and its other columns after them.

    Raises:
        ConfigurationError: the mapping lacks a column of the contract or gives it another type.
    """
    types = dict(frame.dtypes)
    wanted = CONTRACT[table]
    missing = [name for name in wanted if name not in types]
    if missing:
        raise ConfigurationError(
            f"the mapping of {table} lacks the column(s) {', '.join(missing)}; it gives {', '.join(types)}; "
            f"add them to sources/{table}.sql"
        )
    for name, kind in wanted.items():
        if types[name] != kind:
            raise ConfigurationError(
                f"the mapping of {table} gives {name} as {types[name]}, the contract wants {kind}; "
                f"cast it in sources/{table}.sql with try_cast, so that a bad value becomes null and is counted"
            )
    return frame.select(*wanted, *[F.col(f"`{name}`") for name in types if name not in wanted])
