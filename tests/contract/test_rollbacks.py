"""A rollback on a real MLflow server and a real S3 server: how long it takes, and how often the lists are asked."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from support.audited_shop import ANSWERED, AuditedShop
from support.published import CREATED, go_live

from pipelines import read_audit, rollback
from refit.adapters.mlflow import MlflowRegistry, MlflowTracker
from refit.adapters.s3 import S3ObjectStore
from refit.governance.champions import serving_champion
from refit.publication import read_live_batch

SECONDS, REQUESTS = 5.0, 5


@pytest.fixture
def shop(mlflow_address: str, s3_endpoint: str) -> AuditedShop:
    """Give a shop with two champions, each with lists for one person of its own."""
    name = f"shop_{uuid4().hex[:12]}"
    made = AuditedShop(
        store=S3ObjectStore.connect(f"s3://refit/{name}", endpoint=s3_endpoint),
        registry=MlflowRegistry(mlflow_address, f"{name}-challengers", name),
        tracker=MlflowTracker(mlflow_address, f"refit-{name}", f"s3://refit/mlflow/{name}"),
    )
    for version in made.champions(2):
        champion = made.registry.champion_version(version)
        created = CREATED + timedelta(hours=version)
        go_live(made.store, created, [[f"by-{version}"]], logical_run=f"recommend/{version}", champion=champion)
    return made


def test_model_and_lists_go_back_within_seconds(shop: AuditedShop) -> None:
    """The time holds the verification of the model and the audit log; the requests are those for the lists."""
    asked: Counter[str] = Counter()

    def count(request: Any, **_: Any) -> None:
        asked["audit" if "audit" in request.url else "lists"] += 1

    shop.store.client.meta.events.register("before-send.s3", count)
    began = time.monotonic()
    receipt = rollback.run(
        None,
        "too narrow",
        "ana",
        "rollback/a",
        "back",
        now=ANSWERED + timedelta(days=1),
        registry=shop.registry,
        tracker=shop.tracker,
        log=shop.log,
        store=shop.store,
    )
    seconds = time.monotonic() - began
    shop.store.client.meta.events.unregister("before-send.s3", count)
    told = f"rollback: {seconds:.2f} s, {asked['lists']} requests for the lists, {asked['audit']} for the audit log"
    sys.stdout.write(f"\n{told}\n")
    assert (receipt.champion, receipt.rolled_back_from) == (1, 2)
    assert read_live_batch(shop.store)["user_id"].to_pylist() == ["by-1"]
    champion = serving_champion(shop.registry, shop.log, ANSWERED)
    assert champion is not None
    assert champion.version == 1
    assert asked["lists"] <= REQUESTS
    assert seconds <= SECONDS


def test_the_audit_log_of_a_real_shop_is_whole(shop: AuditedShop) -> None:
    receipt = read_audit.run(0, log=shop.log, registry=shop.registry)
    assert [record["kind"] for record in receipt.records] == ["approval", "promotion"] * 2
    assert receipt.remembered == receipt.count == 4
