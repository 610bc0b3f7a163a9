"""Freshness: a monitor outside Airflow learns by an exit code whether the live lists are still good."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.published import AS_OF, DAY, GOOD_UNTIL, MODEL, point, stage

from pipelines.__main__ import main
from pipelines.check_freshness import Receipt, run
from pipelines.settings import REPOSITORY
from refit.adapters.s3 import S3ObjectStore
from refit.errors import NothingPublishedError
from refit.publication.freshness import StaleListsError
from refit.testing import FakeObjectStore

AT_THE_END = datetime.fromisoformat(GOOD_UNTIL)


@pytest.fixture
def store() -> FakeObjectStore:
    """Give a store whose live batch knows everything before 5 January and is good for two days."""
    made = FakeObjectStore()
    point(made, stage(made, "a", [["ann"]]), 7)
    return made


def test_fresh_lists_are_told_with_everything_a_monitor_shows(store: FakeObjectStore) -> None:
    """Six and a half hours after the last thing that the lists know."""
    assert run(datetime(2026, 1, 5, 6, 30, tzinfo=UTC), store=store) == Receipt(
        generation=7, batch="a", run_date=DAY, as_of=AS_OF, age_hours=6.5, good_until=GOOD_UNTIL, model=MODEL
    )


def test_lists_are_good_until_the_moment_that_the_pointer_names_and_no_longer(store: FakeObjectStore) -> None:
    assert run(AT_THE_END - timedelta(microseconds=1), store=store).age_hours == 48.0
    with pytest.raises(StaleListsError) as refusal:
        run(AT_THE_END, store=store)
    assert str(refusal.value) == (
        f"memory://fake/live.json is stale: batch a of {DAY} (generation 7) knows nothing after {AS_OF}, 48.0 hours "
        f"ago, and was good until {GOOD_UNTIL}; see why recommend has published nothing since"
    )


def test_an_instant_of_another_zone_is_the_same_instant(store: FakeObjectStore) -> None:
    elsewhere = datetime.fromisoformat("2026-01-07T01:00:00+02:00")
    assert run(elsewhere, store=store).age_hours == 47.0


def test_where_nothing_is_published_nothing_is_fresh() -> None:
    with pytest.raises(NothingPublishedError, match=r"^nothing is published at memory://fake: there is no live\.json$"):
        run(AT_THE_END, store=FakeObjectStore())


Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Give what runs the command against a bucket and returns its exit code, output and error."""
    monkeypatch.setenv("REFIT_S3_ENDPOINT", s3_endpoint)
    monkeypatch.setenv("REFIT_BUCKET", "refit")
    monkeypatch.setenv("REFIT_SHOP", "freshness")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["check_freshness", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_the_command_has_an_exit_code_for_each_answer(s3_endpoint: str, check: Check) -> None:
    """2 while nothing is published, 0 while the lists are good, 2 afterwards; a refusal is one line."""
    code, out, error = check("now=2026-01-05T00:00Z")
    assert (code, out) == (2, "")
    assert error == "check_freshness: nothing is published at s3://refit/freshness: there is no live.json\n"

    bucket = S3ObjectStore.connect("s3://refit/freshness", endpoint=s3_endpoint)
    point(bucket, stage(bucket, "a", [["ann"]]), 1)
    code, out, error = check("now=2026-01-05T12:00:00Z")
    assert (code, error) == (0, "")
    assert json.loads(out)["age_hours"] == 12.0

    code, out, error = check("now=2026-01-08T00:00Z")
    assert (code, out) == (2, "")
    assert error.startswith("check_freshness: s3://refit/freshness/live.json is stale: batch a of 2026-01-05 ")
    assert error.count("\n") == 1


def test_without_an_instant_the_clock_is_asked(s3_endpoint: str, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that were good until a day in January 2026 are stale on any day on which this test runs."""
    monkeypatch.setenv("REFIT_SHOP", "freshness-by-clock")
    bucket = S3ObjectStore.connect("s3://refit/freshness-by-clock", endpoint=s3_endpoint)
    point(bucket, stage(bucket, "a", [["ann"]]), 1)
    assert check()[0] == 2
    assert check("now=")[0] == 2


def test_a_store_that_does_not_answer_is_neither_fresh_nor_stale(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # it asks seven times; the sentence is the same
    code, out, error = check("now=2026-01-05T00:00Z")
    assert (code, out) == (1, "")
    assert error.startswith("check_freshness: cannot read s3://refit/freshness/live.json: ")
    assert error.count("\n") == 1


def test_a_monitor_needs_neither_airflow_nor_mlflow_nor_java(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs where neither can be imported and no Java can be found."""
    bucket = S3ObjectStore.connect("s3://refit/freshness-alone", endpoint=s3_endpoint)
    point(bucket, stage(bucket, "a", [["ann"]]), 1)
    settings: dict[str, Any] = {"S3_ENDPOINT": s3_endpoint, "BUCKET": "refit", "SHOP": "freshness-alone"}
    for name, value in settings.items():
        monkeypatch.setenv(f"REFIT_{name}", value)
    monkeypatch.setenv("JAVA_HOME", "nowhere")
    monkeypatch.setenv("PATH", "nowhere")
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'src')!r}]; "
        "sys.modules.update(airflow=None, mlflow=None); from pipelines.__main__ import main; "
        "sys.exit(main(['check_freshness', 'now=2026-01-06T00:00Z']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["age_hours"] == 24.0
