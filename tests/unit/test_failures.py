"""Accidents of the machine are one sentence, whatever Spark wraps them in."""

from __future__ import annotations

import errno

import pytest

from refit.adapters import s3
from refit.errors import ListsRefusedError, RefitError, TransientError
from refit.failures import accident

AGAIN = "nothing of this try is visible, run the step again"
FULL = "a disk is full: No space left on device"


class Py4JNetworkError(Exception):
    """What py4j calls it; the name is all that is looked at."""


def test_a_full_disk_is_named_with_its_place() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/lake/part")
    assert str(accident(error)) == f"{FULL} at /lake/part; make room, {AGAIN}"


def test_a_full_disk_in_the_words_of_the_jvm_is_found_in_what_led_to_an_error() -> None:
    try:
        try:
            raise RuntimeError("java.io.IOException: No space left on device\n\tat java.base/sun.nio")
        except RuntimeError as first:
            raise ValueError("the job was aborted") from first
    except ValueError as error:
        found = accident(error)
    assert isinstance(found, TransientError)
    assert str(found) == f"{FULL}; make room, {AGAIN}"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Py4JNetworkError("Answer from Java side is empty"), "the JVM of Spark is gone: killed, or out of memory"),
        (
            RuntimeError("org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"),
            "a Python worker of Spark died too often: killed, or out of memory",
        ),
    ],
)
def test_a_process_that_is_gone_is_worth_another_try(error: Exception, sentence: str) -> None:
    found = accident(error)
    assert isinstance(found, TransientError)
    assert str(found) == f"{sentence}; {AGAIN}"


def test_an_error_of_refit_comes_back_from_a_python_worker_with_its_sentence_and_its_kind() -> None:
    """Its name tells whether another try makes sense."""
    said = 'Traceback (most recent call last):\n  File "worker.py", line 9\n{}: {}\n'
    expired = accident(RuntimeError(said.format(f"{s3.__name__}.CredentialsRefusedError", "they have expired")))
    assert isinstance(expired, TransientError)
    assert str(expired) == "they have expired"
    refused = accident(RuntimeError(said.format("refit.errors.ListsRefusedError", "too narrow")))
    assert isinstance(refused, RefitError)
    assert not isinstance(refused, TransientError)
    assert str(refused) == "too narrow"
    assert accident(RuntimeError(said.format("refit.nowhere.NoSuchError", "x"))) is None


def test_an_error_of_the_code_is_no_accident() -> None:
    assert accident(KeyError("digest")) is None
    assert accident(ConnectionResetError("not by the JVM")) is None
    assert accident(ListsRefusedError("too narrow")) is None
