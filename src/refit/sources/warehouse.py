"""A shop's raw tables, mapped to the contract by its SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.sources.contract import conform
from refit.sources.databases import open_table
from refit.sources.files import day_of_file, open_files
from refit.sources.source_errors import explained


@dataclass(frozen=True)
class Warehouse:
    """The raw tables of a shop in one deployment."""

    spark: SparkSession
    shop: Shop
    data: str
    """Replaces `{DATA}` in paths and options: a folder, or a JDBC address without secrets."""
    user: str = ""
    """Database user; empty: the user in the source's options."""
    password: str = field(default="", repr=False)
    """Password of that user."""

    def read(self, table: str, *, since: datetime, until: datetime) -> DataFrame | None:
        """
        Return contract *table* as the shop's SQL maps it, or None if the shop has no such table.

        The SQL sees the sources by name and may use the parameters `:since` and `:until` (UTC timestamps); this only
        saves time, because the caller filters again. Interactions end with `source_day` (date): the day in the name of
        the file that a row was read from, or null if unknown.

        Raises:
            ConfigurationError: the mapping or a source is wrong, independent of the data.
            SourceError: a source is missing, damaged or has other columns than declared.
            TransientError: a database cannot be reached now.
        """
        query = self.shop.mapping(table)
        if query is None:
            return None
        statement = re.sub(r"--[^\n]*", "", query)
        used = [name for name in self.shop.sources if re.search(rf"\b{re.escape(name)}\b", statement)]
        if not used:
            raise ConfigurationError(f"sources/{table}.sql of shop {self.shop.name!r} names none of its sources")
        for name in used:
            self._open(name, since, until).createOrReplaceTempView(name)
        try:
            with explained(f"mapping {table} of shop {self.shop.name!r}"):
                arguments = {"since": F.lit(since), "until": F.lit(until)}
                mapped = self.spark.sql(query, args=arguments)
                frame = conform(mapped, table, time_zone=self.shop.calendar.time_zone)
                if table != "interactions":
                    return frame
                only = self.shop.sources[used[0]].path if len(used) == 1 else None
                return frame.withColumn(Columns.SOURCE_DAY, day_of_file(only))
        finally:
            for name in used:
                self.spark.catalog.dropTempView(name)

    def source_of(self, file: str) -> str | None:
        """Return the name of the source that *file* (an address as Spark writes it) belongs to, or None."""
        place = unquote(file)
        for name, source in self.shop.sources.items():
            if source.path is not None:
                pattern = source.path.replace("{DATA}", self.data.rstrip("/")).replace("{day}", "????-??-??")
                ending = f"*/{pattern.lstrip('./')}"
                if fnmatch(place, ending) or fnmatch(place, f"{ending}/*"):
                    return name
        return None

    def _open(self, name: str, since: datetime, until: datetime) -> DataFrame:
        source = self.shop.sources[name]
        with explained(f"source {name!r}"):
            if source.is_database:
                zone = self.shop.calendar.time_zone
                return open_table(self.spark, name, source, self.data, since, until, zone, (self.user, self.password))
            return open_files(self.spark, name, source, self.data, since, until)
