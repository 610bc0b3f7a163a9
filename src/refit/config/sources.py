"""Where a shop's raw tables are."""

from __future__ import annotations

from pydantic import Field, model_validator

from refit.config.parts import Count, Section


class Source(Section):
    """One named Spark source; the mapping SQL reads it by that name."""

    format: str = Field(examples=["csv"])
    """Any format that Spark knows: csv, parquet, json, jdbc, iceberg, ..."""
    path: str | None = None
    """Path with `{DATA}` for the deployment's folder and `{day}` for one file or folder per day."""
    columns: str | None = None
    """
    Expected columns as DDL; a source with others is refused. A CSV header must name exactly these, in this order; for
    other formats name and type must match, and a column with the comment 'optional' may be absent.
    """
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the Spark reader; `{DATA}` is replaced here too. Never a password: that is REFIT_SOURCE_PASSWORD."""
    time_column: str | None = None
    """For jdbc: the time column by which only the requested interval is fetched; none: the table is read whole."""
    slices: Count = 4
    """For jdbc with a time column: number of equal parts of the interval that are fetched in parallel."""

    @property
    def is_database(self) -> bool:
        """Whether the source is a table or query of a database, and not files."""
        return self.format == "jdbc"

    @model_validator(mode="after")
    def _secrets_stay_out(self) -> Source:
        if any("password" in name.lower() for name in self.options):
            raise ValueError("no password belongs in shop.toml; set REFIT_SOURCE_PASSWORD")
        return self

    @model_validator(mode="after")
    def _databases_are_told_from_files(self) -> Source:
        tables = {"dbtable", "query"} & set(self.options)
        if self.is_database and (self.path is not None or "url" not in self.options or len(tables) != 1):
            raise ValueError("a jdbc source has no path, but the options url and either dbtable or query")
        if self.time_column is not None and not self.is_database:
            raise ValueError("time_column is for jdbc sources; files are chosen by {day} in their path")
        return self
