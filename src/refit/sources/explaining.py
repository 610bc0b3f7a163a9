"""What Spark, a file system or a database says about unreadable input, as one sentence for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PySparkException

from refit.accidents import accident
from refit.errors import RefitError, SourceError, TransientError

_LONGEST = 300
"""Characters that are passed on of a message nobody has foreseen."""
_AWAY = ("08", "57P", "53300", "40001", "40P01")
"""SQL states of a connection that failed, a server that stops or starts or is full, and of work that lost a race."""
_AWAY_WORDS = re.compile(r"Connection (?:to \S+ )?(?:refused|reset)|terminating connection|Communications link failure")
_NO_DRIVER = re.compile(r"No suitable driver|ClassNotFoundException: (?:\S*[dD]river)|could not open a JDBC connection")
_FILE = re.compile(r"(?:file:/+|s3a?://|hdfs://)[^\s,'\"\]]+")


@dataclass(frozen=True)
class _Cause:
    """One exception of the JVM in a chain of causes."""

    name: str
    message: str
    state: str
    """The five characters by which SQL names an error; empty for anything but an error of a database."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """
    Turn what Spark says about unreadable input into one sentence that begins with *what*.

    Raises:
        TransientError: a database did not answer or went away.
        SourceError: anything else that Spark found wrong.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        causes = _causes(error)
        if any("OutOfMemoryError" in cause.name for cause in causes):
            raise  # the machine is too small; the data are not to blame
        if accident(error):
            raise  # a disk, the JVM or a worker; the data are not to blame
        said = "\n".join([str(error), *[f"{cause.name}: {cause.message}" for cause in causes]])
        of_database = next((cause for cause in causes if cause.state), None)
        if of_database or _AWAY_WORDS.search(said):
            raise _of_database(what, of_database, said) from error
        raise SourceError(f"{what}: {_of_files(str(error), said)}") from error


def _causes(error: Exception) -> list[_Cause]:
    """Return the chain of the JVM's exceptions behind *error*, the outermost first."""
    thrown: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    causes: list[_Cause] = []
    while thrown is not None and len(causes) < 20:
        state = ""
        if is_instance_of(SparkContext._gateway, thrown, "java.sql.SQLException"):
            state = str(thrown.getSQLState() or "unknown")
        causes.append(_Cause(str(thrown.getClass().getName()), str(thrown.getMessage() or ""), state))
        thrown = thrown.getCause()
    return causes


def _of_database(what: str, cause: _Cause | None, said: str) -> RefitError:
    if _NO_DRIVER.search(said):
        return SourceError(f"{what}: {_missing_driver()}")
    state = cause.state if cause else "08"
    words = cause.message if cause else (_AWAY_WORDS.search(said) or [""])[0]
    first = words.splitlines()[0].split(". Check ")[0].rstrip(".") if words else "no answer"
    short = re.sub(r"^(?:ERROR|FATAL|PANIC): ", "", first)[:_LONGEST]
    if "no password was provided" in first:
        return SourceError(
            f"{what}: the database wants a password and none is given; set REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD"
        )
    if state.startswith(_AWAY):
        host = re.search(r"UnknownHostException: (\S+)", said)
        reason = f"the host {host[1]} is unknown" if host else short
        whose = "the database" if cause else "the source"
        return TransientError(f"{what}: {whose} went away or does not answer ({reason}); try again when it is back")
    remedy = {
        "28": "correct REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD",
        "3D": "correct the address, DATA or the option url",
        "42501": "let REFIT_SOURCE_USER read it",
        "42": "correct dbtable, query or time_column of the source in shop.toml",
    }
    fitting = next((text for start, text in remedy.items() if state.startswith(start)), "mend it there")
    return SourceError(f"{what}: the database refuses: {short}; {fitting}")


def _of_files(message: str, said: str) -> str:
    file = _FILE.search(said)
    where = f" in {file.group(0).rstrip('.')}" if file else ""
    if _NO_DRIVER.search(said):
        return _missing_driver()
    header = re.search(r"CSV header does not conform to the schema.*?Expected: (.*?) but found: (.*?)\n", said, re.S)
    if header:
        return f"the column {header[1]!r} is missing or renamed{where}: the header says {header[2]!r} there; mend it"
    sizes = re.search(r"Number of column in CSV header.*?Header length: (\d+), schema size: (\d+)", said, re.S)
    if sizes:
        return (
            f"the header{where} has {sizes[1]} columns and {sizes[2]} are declared; "
            "compare it with `columns` in shop.toml"
        )
    kind = re.search(r"reading Parquet column \[(.*?)\]\. Expected Spark type (\S+), actual Parquet type (\S+)\.", said)
    if kind:
        return f"the column {kind[1]!r} is {kind[3]}{where} and {kind[2]} elsewhere; mend it"
    value = re.search(r"Cannot parse the field name '?(.*?)'? and the value .* to target Spark data type \"(\w+)", said)
    if value:
        return f"a value of {value[1]!r} cannot be read as {value[2].lower()}{where}; mend it, or declare it as string"
    if re.search(
        r"Unexpected end of (ZLIB )?input|(?<!Json)EOFException|incorrect data check|invalid (block|stored)", said
    ):
        return f"the compressed file is cut short or damaged{where}; fetch it again"
    if re.search(r"out of range of|OUT_OF_RANGE|DateTime(Parse)?Exception|Cannot parse field value", said):
        return f"a number is too large for its column or a text is no time{where}; mend it, or declare it as string"
    if "UNABLE_TO_INFER_SCHEMA" in said:
        return "its files are empty or missing, so it has no columns; fetch them again, or declare `columns`"
    if "MALFORMED_RECORD" in said or "Malformed records" in said:
        return f"a row does not have the declared columns{where}; mend the file"
    if re.search(r"is not a Parquet file|CANNOT_READ_FILE_FOOTER", said):
        return f"not a readable Parquet file{where}; fetch it again"
    if "FAILED_READ_FILE" in said and re.search(r"parquet", said, re.I):
        return f"the Parquet file is damaged{where}; fetch it again"
    lines = (line.strip(": ") for line in message.splitlines() if not line.startswith("An error occurred while"))
    first = next(filter(None, lines), "unknown error")
    return f"{first[:_LONGEST]}{where if file and file.group(0) not in first else ''}"


def _missing_driver() -> str:
    return (
        "there is no JDBC driver for this address; correct the address (DATA or the option url), "
        "or name the jar of the driver in REFIT_SPARK_JARS and its class in the option driver"
    )
