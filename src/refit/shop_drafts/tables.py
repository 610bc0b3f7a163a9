"""Finds the tables of a folder or a database, and how Spark opens each of them."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from refit.errors import SourceError

_FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"}
_FORMATS[".json"] = "json"
_PACKED: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SEPARATORS = ",;\t|"
_HEAD = 1 << 20
"""Number of bytes read from a file for its encoding and first line."""
_LOOKED_AT = 40
"""Number of files per table, spread from first to last, whose encoding is checked."""
_NO_TEXT_OF_UTF8 = "windows-1252"


@dataclass(frozen=True)
class Table:
    """One source of the drafted shop."""

    name: str
    """Name of the source in mappings."""
    format: str
    path: str = ""
    """Path as in shop.toml, with {DATA} and {day}; empty for a database table."""
    options: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    """Names in the header of CSV files; empty if Spark reads them itself."""
    partition: str = ""
    """Column given by folder names, as in day=2026-01-05."""

    @property
    def a_file_a_day(self) -> bool:
        """Whether the source has one file per day and reads only those of the requested days."""
        return "{day}" in self.path

    @property
    def whole(self) -> Table:
        """The same table with all its days at once."""
        return replace(self, name=f"all_{self.name}", path=self.path.replace("{day}", "*"))


def tables_of_folder(folder: Path) -> list[Table]:
    """
    Return the tables in *folder*: files that differ only in a day in their path, folders of parts, or single files.

    Raises:
        SourceError: the folder has nothing to read, or CSV files have no header.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        kind = _format(file)
        if kind and file.is_file() and file.stat().st_size and not any(part.startswith((".", "_")) for part in parts):
            found.setdefault((_pattern(PurePosixPath(*parts)), kind), []).append(file)
    if not found:
        known = ", ".join(sorted(_FORMATS))
        raise SourceError(f"there is nothing to read in {folder}; it should hold files that end with {known} (or .gz)")
    tables: dict[tuple[str, ...], Table] = {}
    for (pattern, kind), files in found.items():
        table = _table(pattern, kind, files, folder)
        alike = (str(PurePosixPath(pattern).parent), kind, *table.columns)
        if kind == "csv" and "{day}" not in pattern and alike in tables:
            ending = "".join(PurePosixPath(pattern).suffixes)
            above = PurePosixPath(pattern).parent.name or table.name
            table = replace(table, name=above, path=str(PurePosixPath(table.path).parent / f"*{ending}"))
        tables[alike if kind == "csv" and "{day}" not in pattern else (pattern, kind)] = table
    return _named(tables.values())


def tables_of_database(names: Iterable[str]) -> list[Table]:
    """Return the tables *names* of the database that DATA names."""
    return _named(Table(name.rpartition(".")[2], "jdbc", options={"url": "{DATA}", "dbtable": name}) for name in names)


def _format(file: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def _pattern(path: PurePosixPath) -> str:
    """Return the path pattern that a file shares with the other parts of its table."""
    for depth, part in enumerate(path.parts):
        if "=" in part:
            return str(PurePosixPath(*path.parts[:depth], part.partition("=")[0] + "="))
    if path.name.startswith("part-"):
        path = path.parent
    return _DAY.sub("{day}", str(path))


def _table(pattern: str, kind: str, files: list[Path], folder: Path) -> Table:
    partition = PurePosixPath(pattern).name.removesuffix("=") if pattern.endswith("=") else ""
    directory = str(PurePosixPath(pattern).parent) if partition else pattern
    path = "{DATA}" if directory == "." else "{DATA}/" + directory
    words = [part for part in re.split(r"[/.]", directory.replace("{day}", "")) if re.search("[A-Za-z]", part)]
    endings = {suffix.removeprefix(".") for suffix in (*_FORMATS, *_PACKED)}
    name = next((word for word in reversed(words) if word.lower() not in endings), "") or "events"
    table = Table(name, kind, path, partition=partition)
    if kind == "csv":
        encoding = _encoding(files)
        columns, separator = _header(files[0], encoding)
        options = {"header": "true", "mode": "FAILFAST", "escape": '"'}
        options |= {} if separator == "," else {"sep": separator}
        return replace(
            table, columns=columns, options=options | ({} if encoding == "utf-8" else {"encoding": encoding})
        )
    if kind == "json" and _head(files[0]).lstrip()[:1] == b"[":
        return replace(table, options={"multiLine": "true"})
    return table


def _head(file: Path) -> bytes:
    opened = _PACKED.get(file.suffix.lower(), open)
    with opened(file, "rb") as stream:
        return bytes(stream.read(_HEAD))


def _encoding(files: list[Path]) -> str:
    step = max(1, len(files) // _LOOKED_AT)
    for file in [*files[::step], files[-1]]:
        try:
            _head(file).decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                return _NO_TEXT_OF_UTF8
    return "utf-8"


def _header(file: Path, encoding: str) -> tuple[tuple[str, ...], str]:
    line = _head(file).decode(encoding, errors="replace").removeprefix("\ufeff").splitlines()[0]
    separator = max(_SEPARATORS, key=line.count)
    names = tuple(name.strip() for name in next(csv.reader([line], delimiter=separator)))
    if any(not re.search("[A-Za-z_]", name) for name in names) or len({*names}) < len(names):
        raise SourceError(f"the first line of {file} names no columns, it is {line[:80]!r}; put a line of names first")
    return names, separator


def _named(tables: Iterable[Table]) -> list[Table]:
    """Give each table a unique name that is valid in SQL."""
    named: list[Table] = []
    for table in tables:
        name = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", table.name)).strip("_").lower() or "events"
        name = f"t_{name}" if name[0].isdigit() or name in _RESERVED else name
        taken = {other.name for other in named}
        while name in taken:
            name += "_2"
        named.append(replace(table, name=name))
    return named


_RESERVED = {
    "all",
    "date",
    "day",
    "from",
    "group",
    "items",
    "order",
    "select",
    "table",
    "time",
    "timestamp",
    "user",
    "users",
}
"""Names reserved by SQL or the contract."""


def as_option(value: Mapping[str, str]) -> str:
    """Return options as a TOML inline table."""
    return "{ " + ", ".join(f"{name} = {json.dumps(text)}" for name, text in value.items()) + " }"
