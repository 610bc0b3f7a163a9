"""
Translates Spark's error conditions into one sentence with the file and the remedy.

A condition is the name of an error, such as FAILED_READ_FILE.FILE_NOT_EXIST, with its parameters. Messages change
between versions and quote rows, so parts that may hold personal data are never passed on: only names, types, paths and
the shop's own SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_LONGEST = 300
"""Number of characters passed on from an unknown message."""
_FILE = re.compile(r"(?:file:/+|s3a?://|hdfs://)[^\s,'\"\]]+")
_DAMAGED = {
    "java.io.EOFException",
    "java.io.IOException",
    "java.util.zip.ZipException",
    "java.util.zip.DataFormatException",
}
"""Exceptions of decompressors; network failures throw other ones."""
_COMPRESSED = re.compile(r"\.(?:gz|bz2|zstd?|lz4|snappy|deflate|xz)(?: of source .*)?$")
_NO_NUMBER = ("java.lang.NumberFormatException", "org.apache.spark.SparkNumberFormatException")
_NO_TIME = re.compile(r"InputCoercionException$|DateTime(?:Parse)?Exception$|ArithmeticException$")
_NOT_ALLOWED = re.compile(r"AccessControlException$|AccessDeniedException$")
_NO_FILE_SYSTEM = re.compile(r"No FileSystem for scheme \"(\w+)\"|Class (org\.apache\.hadoop\.\S*FileSystem) not found")
_NEVER_QUOTED = re.compile(r"analysis|parser|catalyst", re.I)
"""Packages of exceptions thrown before any row is read; their messages hold only names and SQL."""


@dataclass(frozen=True)
class Cause:
    """One exception in a chain of causes."""

    name: str
    """Qualified class name of the exception."""
    message: str
    state: str = ""
    """SQLSTATE of a database error (five characters); empty for other errors."""
    condition: str = ""
    """Spark's name of the error; empty if it has none."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    fragment: str = ""
    """The part of the shop's SQL that failed."""
    sql_state: str = ""
    """SQLSTATE of `condition` (five characters)."""


def sentence(causes: Sequence[Cause], source_of: Callable[[str], str | None] = lambda _: None) -> str:
    """
    Return the first explanation that fits *causes*, outermost first, as a sentence on files or a mapping.

    *source_of* returns the name of a file's source, or None if the file belongs to no source.
    """
    where = _where(causes, source_of)
    for explain in (_of_condition, _of_records, _of_bytes, _of_places, _of_values):
        for cause in reversed(causes):
            found = explain(cause, where)
            if found:
                return found
    return _unforeseen(causes, where)


def missing_driver() -> str:
    """Return what to do if Java has no driver for a database address."""
    return (
        "there is no JDBC driver for this address; correct the address (DATA or the option url), "
        "or name the jar of the driver in REFIT_SPARK_JARS and its class in the option driver"
    )


def _where(causes: Sequence[Cause], source_of: Callable[[str], str | None]) -> str:
    read = [cause for cause in causes if cause.condition.startswith("FAILED_READ_FILE")]
    path = next((cause.parameters["path"] for cause in read if cause.parameters.get("path")), "")
    found = _FILE.search("\n".join(cause.message for cause in causes))
    file = path or (found.group(0).rstrip(".") if found else "")
    name = source_of(file) if file else None
    return (f" in {file}" if file else "") + (f" of source {name!r}" if name else "")


def _of_condition(cause: Cause, where: str) -> str:
    parameters = cause.parameters
    for name, describe in _SENTENCES.items():
        if cause.condition == name or cause.condition.startswith(f"{name}."):
            return describe({key: value.strip("`'\"") for key, value in parameters.items()}, where)
    return _of_header(cause, where)


def _of_header(cause: Cause, where: str) -> str:
    """Explain a wrong CSV header from the message, because all such errors share one condition."""
    header = re.search(
        r"CSV header does not conform to the schema.*?Expected: (.*?) but found: (.*?)\n", cause.message, re.S
    )
    if header:
        return f"the column {header[1]!r} is missing or renamed{where}: the header says {header[2]!r} there; mend it"
    sizes = re.search(r"Number of column in CSV header.*?Header length: (\d+), schema size: (\d+)", cause.message, re.S)
    if sizes:
        return (
            f"the header{where} has {sizes[1]} columns and {sizes[2]} are declared; "
            "compare it with `columns` in shop.toml, and the options `sep` and `encoding` with the file"
        )
    return ""


def _of_records(cause: Cause, where: str) -> str:
    if not where:
        return ""
    if cause.name in _NO_NUMBER:
        return f"a text is no number{where}; mend it, or declare the column as STRING and cast it with try_cast"
    if _NO_TIME.search(cause.name) or cause.condition == "CAST_INVALID_INPUT":
        return f"a number is too large for its column or a text is no time{where}; mend it, or declare it as string"
    if cause.condition.startswith(("MALFORMED_RECORD_IN_PARSING", "MALFORMED_CSV_RECORD")):
        return f"a row does not have the declared columns{where}; mend the file"
    return ""


def _of_bytes(cause: Cause, where: str) -> str:
    if _COMPRESSED.search(where) and cause.name in _DAMAGED:
        return f"the compressed file is cut short or damaged{where}; fetch it again"
    if "is not a Parquet file" in cause.message:
        return f"not a readable Parquet file{where}; fetch it again"
    of_parquet = "parquet" in f"{cause.name} {cause.message}".lower() and not cause.condition
    if where and (of_parquet or (".parquet" in where and cause.condition.startswith("FAILED_READ_FILE"))):
        return f"the Parquet file is damaged{where}; fetch it again"
    return ""


def _of_places(cause: Cause, where: str) -> str:
    if _NOT_ALLOWED.search(cause.name) or "(Permission denied)" in cause.message:
        return f"the user of this process may not read it{where}; grant it the right to read"
    scheme = _NO_FILE_SYSTEM.search(cause.message)
    if scheme:
        return (
            f"Spark knows no file system for this address ({scheme[1] or scheme[2]}); write s3a:// for S3, "
            "and name the jar of its file system in REFIT_SPARK_JARS"
        )
    if "Illegal file pattern" in cause.message:
        return "its path is no pattern that can be read, a bracket may be open; correct `path` in shop.toml"
    return ""


def _of_values(cause: Cause, where: str) -> str:
    """Name the expression of the shop's SQL that failed on a value (SQLSTATE class 22)."""
    if not cause.sql_state.startswith("22"):
        return ""
    target = cause.parameters.get("targetType", "").strip('"')
    expression = f"{cause.fragment!r} fails" if cause.fragment else "an expression fails"
    reason = f"a value cannot be read as {target}" if target else cause.condition
    return (
        f"{expression} ({reason}){where}; use its try_ form, such as try_cast or try_to_timestamp, "
        "so that a bad value becomes null and is counted"
    )


def _unforeseen(causes: Sequence[Cause], where: str) -> str:
    known = next((cause for cause in causes if cause.condition), None)
    if known is not None and _NEVER_QUOTED.search(known.name) and not known.sql_state.startswith("22"):
        text = re.sub(r"^\[[A-Z0-9_.]+\] | SQLSTATE: \w+.*$", "", known.message.strip().splitlines()[0])
        return f"{text[:_LONGEST].rstrip('. ')}{where if where and where not in text else ''}; correct it"
    kinds = dict.fromkeys(cause.condition or cause.name.rsplit(".", 1)[-1] for cause in causes)
    fragment = f" at {known.fragment!r}" if known is not None and known.fragment else ""
    return f"Spark cannot read it ({', '.join(kinds) or 'unknown error'}){fragment}{where}; fetch it again or mend it"


_Describe = Callable[[Mapping[str, str], str], str]


def _mismatch(parameters: Mapping[str, str], where: str) -> str:
    column, found, wanted = parameters["column"].strip("[]"), parameters["actualType"], parameters["expectedType"]
    return f"the column {column!r} is {found}{where} and {wanted} elsewhere; mend it"


def _field(parameters: Mapping[str, str], where: str) -> str:
    name, kind = parameters.get("fieldName", "?"), parameters.get("dataType", "?").lower()
    return f"a value of {name!r} cannot be read as {kind}{where}; mend it, or declare it as string"


def _instead(parameters: Mapping[str, str]) -> str:
    return f", but `{parameters['proposal']}`" if parameters.get("proposal") else ""


def _charset(parameters: Mapping[str, str], where: str) -> str:
    return (
        f"Spark knows no encoding {parameters['charset']!r}, it knows {parameters['charsets']}; "
        "correct the option encoding"
    )


_SENTENCES: dict[str, _Describe] = {
    "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH": _mismatch,
    "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER": lambda _, where: f"not a readable Parquet file{where}; fetch it again",
    "FAILED_READ_FILE.FILE_NOT_EXIST": lambda _, where: (
        f"a file went away while it was read{where}; land again when the delivery is complete"
    ),
    "CANNOT_PARSE_JSON_FIELD": _field,
    "PARQUET_TYPE_ILLEGAL": lambda parameters, where: (
        f"a column{where} is {parameters['parquetType']}, which Spark does not read; write times in microseconds, "
        'with pandas by to_parquet(..., coerce_timestamps="us", allow_truncated_timestamps=True)'
    ),
    "PATH_NOT_FOUND": lambda parameters, _: (
        f"there is nothing at {parameters['path']}; deliver it, or correct `path` in shop.toml and DATA"
    ),
    "UNABLE_TO_INFER_SCHEMA": lambda *_: (
        "its files are empty or missing, so it has no columns; fetch them again, or declare `columns`"
    ),
    "DATA_SOURCE_NOT_FOUND": lambda parameters, _: (
        f"Spark knows no format {parameters['provider']!r}; correct `format` in shop.toml, "
        "or name the jar of the format in REFIT_SPARK_JARS"
    ),
    "INVALID_PARAMETER_VALUE.CHARSET": _charset,
    "_LEGACY_ERROR_TEMP_2147": lambda parameters, _: (
        f"the option {parameters['paramName']} must be true or false; correct `options` in shop.toml"
    ),
    "UNRESOLVED_COLUMN": lambda parameters, _: (
        f"there is no column `{parameters['objectName']}`{_instead(parameters)}; correct the SQL"
    ),
    "TABLE_OR_VIEW_NOT_FOUND": lambda parameters, _: (
        f"there is no source `{parameters['relationName']}`; name one of [sources] in shop.toml"
    ),
    "UNRESOLVED_ROUTINE": lambda parameters, _: f"there is no function `{parameters['routineName']}`; correct the SQL",
    "PARSE_SYNTAX_ERROR": lambda parameters, _: f"the SQL cannot be read at {parameters['error']!r}; correct it",
    "INVALID_TIMEZONE": lambda *_: (
        "an expression names a time zone that Spark does not know; use one of the IANA database such as Europe/London"
    ),
}
"""Condition or its prefix -> function of its parameters and the location that returns the sentence."""
