"""An S3 that fails, refuses or is damaged, and disks that are full, under whole steps."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.fault_shop import FaultShop, scoring
from support.injection import Ended, Faults, Table

from refit.testing.fault_proxy import FAULTS

pytestmark = pytest.mark.timeout(1800)
QUICK = [fault for fault in FAULTS if fault != "slow answer after"]
"""A slow answer is one that is waited for; one that takes more than a minute is none, as `no answer after`."""
PUBLISHED = {"live": "published", "date": "published"}


@pytest.fixture(scope="module")
def next_day(undisturbed: FaultShop) -> dict[str, Any]:
    """Give the receipt of a batch for the day after the live one, which nobody has published yet."""
    return undisturbed.score(1, "next day")


def each_request_fails_once() -> Callable[[int, str, str], str]:
    """Return a rule by which every request fails at its first try, with one kind of fault after the other."""
    seen: set[tuple[str, str]] = set()
    kinds = itertools.cycle(QUICK)

    def rule(number: int, method: str, path: str) -> str:
        if (method, path) in seen:
            return ""
        seen.add((method, path))
        return next(kinds)

    return rule


def from_request(first: str, fault: str) -> Callable[[int, str, str], str]:
    """Return a rule by which the first request that is called *first*, and all that follow, fail."""
    begun: list[int] = []

    def rule(number: int, method: str, path: str) -> str:
        if f"{method} {path}".find(first) >= 0:
            begun.append(number)
        return fault if begun else ""

    return rule


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("503 before", "is the object store up?"),
        ("expired credentials", "the credentials for s3://refit/undisturbed have expired (ExpiredToken)"),
        ("unknown credentials", "s3://refit/undisturbed does not accept the credentials (InvalidAccessKeyId)"),
    ],
)
def test_an_s3_that_goes_on_failing_ends_the_publication(
    live: FaultShop, s3: Faults, faults: Table, next_day: dict[str, Any], fault: str, sentence: str
) -> None:
    """It begins when the manifest is written; the same batch can be published later."""
    before = live.pointer()
    s3.begin()
    s3.rule = from_request("PUT /refit/undisturbed/batches", fault)
    ended = live.end("publish_recommendations", {"batch": next_day["batch"]})
    s3.heal()
    assert ended.code == 1
    assert ended.said.startswith("publish_recommendations: ")
    assert sentence in ended.said
    assert live.pointer() == before
    faults.add(f"S3: {fault}", "publishing, from the manifest on", f"exit {ended.code}: {sentence}")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("503 before", "is the object store up?"),
        ("expired credentials", "the credentials for s3://refit/undisturbed have expired (ExpiredToken)"),
    ],
)
def test_an_s3_that_goes_on_failing_ends_scoring(
    live: FaultShop, s3: Faults, faults: Table, fault: str, sentence: str
) -> None:
    """It begins with the first part file, in a Python worker of Spark, from where the sentence must come back."""
    before = live.pointer()
    s3.begin()
    s3.rule = from_request("PUT /refit/undisturbed/batches", fault)
    # A cluster tries each task four times; here that would only be waited for.
    ended = live.end("score_users", scoring(3, "unlucky"), REFIT_SPARK_MASTER="local[2]")
    s3.heal()
    assert ended.code == 1, ended.log[-3000:]
    assert ended.said.startswith("score_users: ")
    assert sentence in ended.said
    assert live.pointer() == before
    faults.add(f"S3: {fault}", "scoring, from the first part file on", f"exit {ended.code}: {sentence}")


def test_credentials_that_were_never_right_are_said_before_spark_starts(live: FaultShop, faults: Table) -> None:
    """The real S3 server refuses them; who runs the step must set others."""
    before = live.pointer()
    ended = live.start("score_users", scoring(3, "a stranger"), AWS_ACCESS_KEY_ID="stranger").without_jvm()
    assert ended.code == 1
    assert "s3://refit/undisturbed does not accept the credentials (InvalidAccessKeyId)" in ended.said
    assert live.pointer() == before
    faults.add("S3: wrong credentials", "scoring", "exit 1 before Spark starts, names the cause")


def test_the_publication_that_failed_is_run_again(live: FaultShop, next_day: dict[str, Any], faults: Table) -> None:
    """After all that."""
    receipt = live.do("publish_recommendations", {"batch": next_day["batch"]})
    assert receipt["outcomes"] == PUBLISHED
    faults.add("S3 is back", "publishing the same batch again", "published")


def test_each_request_of_scoring_and_publishing_fails_once(
    live: FaultShop, s3: Faults, next_day: dict[str, Any], faults: Table
) -> None:
    """Errors, lost answers, cut and damaged bytes in turn; the lists are those of a run without any."""
    s3.begin()
    s3.rule = each_request_fails_once()
    scored = live.score(1, "a run with faults", 1)
    failed = sum(fault != "" for _, _, fault in s3.requests)
    assert scored["content_sha256"] == next_day["content_sha256"]
    s3.begin()
    s3.rule = each_request_fails_once()
    receipt = live.do("publish_recommendations", {"batch": scored["batch"]})
    failed += sum(fault != "" for _, _, fault in s3.requests)
    assert (receipt["live"], receipt["outcomes"]) == (True, PUBLISHED)
    assert failed >= len(QUICK)
    faults.add(
        "S3 errors, lost answers, cut and damaged bytes", f"{failed} requests, each once", "the same lists, live"
    )


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of so many *kilobytes* at *place*; skip where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def make_room(disk: Path, megabytes: int) -> None:
    """Let the disk be larger, as an administrator would."""
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(disk)], check=True)


def said_full(ended: Ended, step: str) -> None:
    """The last line names the cause and says what to do."""
    assert ended.code == 1, ended.log[-3000:]
    assert ended.said.startswith(f"{step}: a disk is full: No space left on device"), ended.log[-3000:]
    assert "make room" in ended.said


def test_a_full_disk_under_the_lake_shows_nothing_of_a_landing(
    undisturbed: FaultShop, tmp_path: Path, faults: Table
) -> None:
    """With room the same step lands the same days."""
    words = undisturbed.words("land_interactions")
    with small_disk(tmp_path / "lake", 256) as disk:
        ended = undisturbed.end("land_interactions", words, REFIT_LAKE=str(disk))
        said_full(ended, "land_interactions")
        assert not (disk / "undisturbed" / "catalog.json").exists()
        make_room(disk, 500)
        receipt = undisturbed.do("land_interactions", words, REFIT_LAKE=str(disk))
    assert receipt["digest"] == undisturbed.receipts["land_interactions"]["digest"]
    faults.add("disk full under the lake", "landing, 256 KB", "exit 1, nothing visible; with room the same digest")


def test_a_full_disk_under_spark_and_the_working_folder_leaves_the_live_lists(
    live: FaultShop, tmp_path: Path, faults: Table
) -> None:
    """Shuffles and broadcasts go to `spark.local.dir`; whoever is full says so."""
    before = live.pointer()
    with small_disk(tmp_path / "scratch", 64) as disk:
        places = {"SPARK_LOCAL_DIRS": str(disk), "TMPDIR": str(disk)}
        ended = live.end("score_users", scoring(3, "cramped"), **places)
        said_full(ended, "score_users")
        assert live.pointer() == before
        make_room(disk, 500)
        assert live.score(3, "cramped", **places)["scored"]
    assert os.path.ismount(disk) is False
    faults.add("disk full under spark.local.dir", "scoring, 64 KB", "exit 1, live unmoved; with room scored")
