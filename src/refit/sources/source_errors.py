"""Turns errors of Spark, a file system or a database on unreadable input into one readable sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PySparkException

from refit.errors import RefitError, SourceError, TransientError
from refit.failures import accident
from refit.sources.conditions import Cause, missing_driver, sentence

_LONGEST = 300
"""Number of characters passed on from a database message."""
_AWAY = ("08", "57P", "53300", "40001", "40P01")
"""SQLSTATEs of failed connections, servers that stop, start or are full, and serialization failures."""
_AWAY_WORDS = re.compile(r"Connection (?:to \S+ )?(?:refused|reset)|terminating connection|Communications link failure")
_NO_DRIVER = re.compile(r"No suitable driver|ClassNotFoundException: (?:\S*[dD]river)|could not open a JDBC connection")


@contextmanager
def explained(what: str, source_of: Callable[[str], str | None] = lambda _: None) -> Iterator[None]:
    """
    Turn Spark's errors about unreadable input into one sentence that begins with *what*.

    *source_of* returns the name of a file's source, or None if the file belongs to no source.

    Raises:
        TransientError: a database did not answer or went away.
        SourceError: Spark reported anything else.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        causes = _causes(error)
        if any("OutOfMemoryError" in cause.name for cause in causes):
            raise  # the machine is too small; the data are fine
        if accident(error):
            raise  # a disk, the JVM or a worker failed; the data are fine
        text = "\n".join([str(error), *[f"{cause.name}: {cause.message}" for cause in causes]])
        of_database = next((cause for cause in causes if cause.state), None)
        if of_database or _AWAY_WORDS.search(text):
            raise _of_database(what, of_database, text) from error
        if _NO_DRIVER.search(text):
            raise SourceError(f"{what}: {missing_driver()}") from error
        raise SourceError(f"{what}: {sentence(causes, source_of)}") from error


def _causes(error: Exception) -> list[Cause]:
    """Return the chain of exceptions behind *error*, outermost first; some PySpark errors have no Java exception."""
    thrown: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    causes: list[Cause] = []
    while thrown is not None and len(causes) < 20:
        causes.append(_cause(thrown))
        thrown = thrown.getCause()
    if not causes and isinstance(error, PySparkException):
        kind = type(error)
        name, condition = f"{kind.__module__}.{kind.__name__}", error.getCondition() or ""
        causes.append(Cause(name, str(error), condition=condition, parameters=error.getMessageParameters() or {}))
    return causes


def _cause(thrown: Any) -> Cause:
    name, message = str(thrown.getClass().getName()), str(thrown.getMessage() or "")
    gateway = SparkContext._gateway
    if is_instance_of(gateway, thrown, "java.sql.SQLException"):
        return Cause(name, message, state=str(thrown.getSQLState() or "unknown"))
    if not is_instance_of(gateway, thrown, "org.apache.spark.SparkThrowable"):
        return Cause(name, message)
    contexts = [context for context in thrown.getQueryContext() if str(context.contextType()) == "SQL"]
    return Cause(
        name,
        message,
        condition=str(thrown.getCondition() or ""),
        parameters=dict(thrown.getMessageParameters() or {}),
        fragment=re.sub(r"\s+", " ", str(contexts[0].fragment()))[:_LONGEST] if contexts else "",
        sql_state=str(thrown.getSqlState() or ""),
    )


def _of_database(what: str, cause: Cause | None, messages: str) -> RefitError:
    if _NO_DRIVER.search(messages):
        return SourceError(f"{what}: {missing_driver()}")
    state = cause.state if cause else "08"
    words = cause.message if cause else (_AWAY_WORDS.search(messages) or [""])[0]
    first = words.splitlines()[0].split(". Check ")[0].rstrip(".") if words else "no answer"
    short = re.sub(r"^(?:ERROR|FATAL|PANIC): ", "", first)[:_LONGEST]
    if "no password was provided" in first:
        return SourceError(
            f"{what}: the database wants a password and none is given; set REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD"
        )
    if state.startswith(_AWAY):
        host = re.search(r"UnknownHostException: (\S+)", messages)
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
