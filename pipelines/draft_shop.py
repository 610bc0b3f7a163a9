"""
Step: inspect undescribed data and write a first shop.toml with its mappings.

Reads:  every table below the folder `source`, or of the database that it names (jdbc:...#TABLE,TABLE).
Writes: shops/NAME/shop.toml and shops/NAME/sources/*.sql, with a question wherever a guess may be wrong.
Re-run: refused while shops/NAME exists, so that no edits are overwritten.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.parameters import ShopName, Source, TimeZone
from refit.clocks.time_zones import require_known_zone
from refit.config import Calendar
from refit.errors import ConfigurationError
from refit.shop_drafts import Draft, Table, draft_shop, tables_of_database, tables_of_folder
from refit.shop_drafts.inspecting import open_whole
from refit.shop_drafts.rendering import files, questions
from refit.sources import explained, refuse_secrets
from refit.validation_errors import with_given

_LOG = logging.getLogger("refit.draft")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    folder: str
    """Folder of the drafted shop."""
    files: list[str]
    first_day: str
    last_day: str
    events: int
    """Events that would be landed."""
    questions: list[str]
    """Questions that a person should answer; the files contain them as comments."""
    next: str
    """The next command to run."""


def run(
    name: str, source: str, time_zone: str, *, shops: Path, spark: SparkSession, login: Mapping[str, str]
) -> Receipt:
    """Draft shop *name* for the data at *source*; *login* holds database credentials, by Spark's option names."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError(
            f"{name!r} cannot name a shop; use small letters, digits and underscores, a letter first"
        )
    folder = shops / name
    if folder.exists():
        raise ConfigurationError(f"{folder} exists already and is left as it is; choose another NAME, or move it away")
    _require_zone(time_zone)
    data, tables = _tables(source)
    _LOG.info("looking at %d tables: %s", len(tables), ", ".join(table.name for table in tables))
    with explained(f"drafting shop {name!r}"):
        draft = draft_shop(tables, lambda table: open_whole(spark, table, data, login), time_zone=time_zone)
    written = files(draft, name, data)
    _write(folder, written)
    return _receipt(folder, draft, list(written), f"make run SHOP={name} DATA={data}")


def main(name: ShopName, source: Source, time_zone: TimeZone = "UTC") -> dict[str, Any]:
    """Draft with the real collaborators."""
    chosen, spark = wiring.settings(), wiring.spark_without_shop("draft_shop")
    require_known_zone(spark, time_zone)
    password = chosen.source_password.get_secret_value() if chosen.source_password else ""
    login = {key: value for key, value in {"user": chosen.source_user, "password": password}.items() if value}
    return asdict(run(name, source, time_zone, shops=chosen.shops, spark=spark, login=login))


def _require_zone(name: str) -> None:
    try:
        Calendar(first_day=date(1970, 1, 1), time_zone=name)
    except ValidationError as error:
        raise ConfigurationError(f"ZONE={name} {with_given(error.errors()[0])}") from error


def _tables(source: str) -> tuple[str, list[Table]]:
    """Return the value of DATA and the tables found there."""
    if source.startswith("jdbc:"):
        refuse_secrets(source)
        data, _, names = source.partition("#")
        if not names:
            raise ConfigurationError(f"which tables of {data}? name them: FROM='{data}#orders,products'")
        return data, tables_of_database([name.strip() for name in names.split(",") if name.strip()])
    folder = Path(source).absolute()
    if not folder.is_dir():
        raise ConfigurationError(
            f"{source} is no folder; give FROM=folder or FROM='jdbc:postgresql://host/database#table'"
        )
    return str(folder), tables_of_folder(folder)


def _write(folder: Path, written: Mapping[str, str]) -> None:
    part = folder.with_name(f".{folder.name}.unfinished")
    for path, text in written.items():
        target = part / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    part.rename(folder)


def _receipt(folder: Path, draft: Draft, written: list[str], command: str) -> Receipt:
    days = draft.measures
    return Receipt(
        folder=str(folder),
        files=written,
        first_day=str(days.first),
        last_day=str(days.last),
        events=sum(day.kept for day in days.days.values()),
        questions=questions(draft),
        next=command,
    )
