"""The trigger that notices decisions, against a real MLflow server."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from support.mlflow_server import free_port

POLL = 0.2
QUIET = 5 * POLL
"""So long nothing may come for nothing to have come."""
PATIENCE = 30.0
"""Seconds; a busy machine answers late."""
Events = list[dict[str, Any]]
Heard = Callable[[int], Awaitable[Events]]
LINE = "approve 0123456789abcdef lee: looks right"


class Kept:
    """What Airflow keeps for a trigger, here in memory: asynchronous, and through JSON values only."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str) -> Any:
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.fixture
def shop(mlflow_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a shop that nobody has used, to which the trigger is set."""
    # Airflow writes its configuration where it is first imported.
    if "AIRFLOW_HOME" not in os.environ:
        monkeypatch.setenv("AIRFLOW_HOME", tempfile.mkdtemp(prefix="refit-airflow-"))
    name = f"shop_{uuid4().hex[:12]}"
    monkeypatch.setenv("REFIT_SHOP", name)
    monkeypatch.setenv("REFIT_MLFLOW", mlflow_address)
    return name


def listening(script: Callable[[Heard], Awaitable[None]], kept: Kept) -> None:
    """
    Run *script* while a trigger made from its serialized form runs.

    `await heard(2)` gives what it told since, after two events have come and no other for a while.
    """
    from dags.triggers.registry import DecisionTrigger

    path, values = DecisionTrigger(poll_seconds=POLL).serialize()
    module, _, name = path.rpartition(".")

    async def both() -> None:
        trigger = getattr(import_module(module), name)(**values)
        trigger.asset_state_store = kept
        told: Events = []

        async def run() -> None:
            async for event in trigger.run():
                told.append(event.payload)

        async def heard(count: int) -> Events:
            deadline = time.monotonic() + PATIENCE
            while len(told) < count and time.monotonic() < deadline:
                await asyncio.sleep(POLL / 4)
            await asyncio.sleep(QUIET)
            assert not running.done(), running.exception()
            found, told[:] = list(told), []
            return found

        running = asyncio.create_task(run())
        try:
            await script(heard)
        finally:
            running.cancel()

    asyncio.run(both())


def test_each_decision_is_told_once_and_a_changed_one_again(shop: str, mlflow_address: str) -> None:
    client = MlflowClient(tracking_uri=mlflow_address)

    async def script(heard: Heard) -> None:
        assert await heard(0) == [], "there is no model to decide on yet"
        client.create_registered_model(shop)
        client.set_registered_model_tag(shop, "audit-record", "3 abc")
        assert await heard(0) == [], "other tags are none"
        client.set_registered_model_tag(shop, "decision-7", LINE)
        (event,) = await heard(1)
        assert event["version"] == 7
        assert event["answer"]["decision"] == LINE
        assert event["answer"]["noticed_at"].endswith("+00:00")
        assert await heard(0) == []
        client.set_registered_model_tag(shop, "decision-7", LINE.replace("approve", "reject"))
        client.set_registered_model_tag(shop, "decision-8", "nonsense")
        assert sorted(event["version"] for event in await heard(2)) == [7, 8]
        client.delete_registered_model_tag(shop, "decision-8")
        assert await heard(0) == []
        client.set_registered_model_tag(shop, "decision-8", "nonsense")
        assert [event["version"] for event in await heard(1)] == [8]

    listening(script, Kept())


def test_a_decision_that_was_told_is_not_told_again_after_a_restart(shop: str, mlflow_address: str) -> None:
    client = MlflowClient(tracking_uri=mlflow_address)
    client.create_registered_model(shop)
    client.set_registered_model_tag(shop, "decision-7", LINE)
    kept = Kept()

    async def first(heard: Heard) -> None:
        assert len(await heard(1)) == 1

    async def second(heard: Heard) -> None:
        assert await heard(0) == []

    listening(first, kept)
    listening(second, kept)


def test_a_server_that_is_down_is_asked_again(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_MLFLOW", f"http://127.0.0.1:{free_port()}")

    async def script(heard: Heard) -> None:
        assert await heard(0) == []
        assert await heard(0) == []

    began = time.monotonic()
    kept = Kept()
    kept.values["told"] = {"decision-7": LINE}
    listening(script, kept)
    assert time.monotonic() - began < 15
    assert kept.values["told"] == {"decision-7": LINE}, "silence of the server is no deletion"
