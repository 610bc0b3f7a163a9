"""Requests to S3 that fail on their way, before or after their effect: what is said of them, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from botocore.config import Config

from refit.adapters.s3 import CredentialsRefusedError, S3ObjectStore, StoreUnavailableError
from refit.errors import TransientError
from refit.storage.driver import pause_with_jitter
from refit.storage.requests import DONE, UNKNOWN, Create, Get
from refit.testing.fault_proxy import FAULTS, FaultProxy

_IMPATIENT = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=0.5)


@pytest.fixture
def proxy(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Give what stands between the store and the real server."""
    monkeypatch.setattr("refit.storage.requests._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("refit.adapters.s3._CONFIG", _IMPATIENT)
    with FaultProxy(s3_endpoint.removeprefix("http://"), slow_seconds=1) as proxy:
        yield proxy


AFTER = ("500 after", "no answer after", "slow answer after")


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "damaged upload"])
def test_s3_says_that_it_does_not_know_what_a_failed_request_has_done(proxy: FaultProxy, fault: str) -> None:
    """moto stores what was damaged on its way; the server of the stack does not, see the tests of publication."""
    store = S3ObjectStore.connect(f"s3://refit/contract/{uuid4().hex}", endpoint=proxy.address)
    store.create("there", b"here")
    if fault not in {"half of the answer", "damaged answer"}:
        proxy.begin({1: fault})
        answer = store.ask(Create("new", b"one"))
        assert answer.outcome is UNKNOWN
        assert answer.why
        assert (store.get("new") is not None) == (fault in AFTER)
    proxy.begin({1: fault})
    assert store.ask(Get("there")).outcome is (DONE if fault == "half of the upload" else UNKNOWN)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "damaged upload"])
def test_s3_finds_out_what_a_failed_request_has_done(proxy: FaultProxy, fault: str, times: int) -> None:
    """A write is made once and not lost, whatever was said of it; a read gives the right bytes."""
    store = S3ObjectStore.connect(f"s3://refit/contract/{uuid4().hex}", endpoint=proxy.address)
    plan = {number: fault for number in range(1, times + 1)}
    proxy.begin(plan)
    first = store.create("a", b"one")
    proxy.begin(plan)
    found = store.get("a")
    assert found is not None
    assert (found.content, found.etag) == (b"one", first)
    proxy.begin(plan)
    store.swap("a", b"two", expected=first)
    proxy.begin(plan)
    # A range has no checksum of its own; whoever reads one checks it against an index.
    assert store.get_range("a", 1, 2) == (b"wo" if fault != "damaged answer" else b"wn")
    proxy.begin(plan)
    assert store.keys("") == ["a"]
    proxy.begin(plan)
    store.delete("a")
    proxy.begin()
    assert store.keys("") == []


def test_an_s3_that_stays_busy_is_given_up_after_seven_tries_with_growing_pauses(proxy: FaultProxy) -> None:
    pauses: list[int] = []
    store = replace(S3ObjectStore.connect("s3://refit/shop", endpoint=proxy.address), pause=pauses.append)
    proxy.begin(dict.fromkeys(range(1, 100), "503 before"))
    with pytest.raises(StoreUnavailableError, match=r"^cannot read s3://refit/shop/live\.json: .*\(SlowDown\)"):
        store.get("live.json")
    assert len(proxy.requests) == 7
    assert pauses == [1, 2, 3, 4, 5, 6]


def test_pauses_grow_to_seconds_and_are_drawn_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    for _ in range(200):
        pause_with_jitter(1)
        pause_with_jitter(20)
    assert 0.3 < max(waited[::2]) <= 0.5
    assert 7 < max(waited[1::2]) <= 8
    assert min(waited[1::2]) < 1
    assert len(set(waited)) == 400


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (
            "expired credentials",
            "the credentials for s3://refit/shop have expired (ExpiredToken); nothing was written by this request; "
            "renew them and run the step again",
        ),
        ("unknown credentials", "s3://refit/shop does not accept the credentials (InvalidAccessKeyId); set the right "),
        (
            "clock astray",
            "s3://refit/shop does not accept the credentials (RequestTimeTooSkewed); set the right ones, ",
        ),
    ],
)
def test_credentials_that_are_refused_say_so_at_once(proxy: FaultProxy, refusal: str, sentence: str) -> None:
    """A new process reads them anew, so trying the step again may help, and trying the request again does not."""
    store = S3ObjectStore.connect("s3://refit/shop", endpoint=proxy.address)
    for call in (lambda: store.get("a"), lambda: store.create("a", b"x"), lambda: store.ask(Get("a"))):
        proxy.begin(dict.fromkeys(range(1, 100), refusal))
        with pytest.raises(CredentialsRefusedError) as failure:
            call()
        assert str(failure.value).startswith(sentence)
        assert isinstance(failure.value, TransientError)
        assert len(proxy.requests) == 1
