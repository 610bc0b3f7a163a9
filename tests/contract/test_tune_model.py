"""The step that tunes, with a real MLflow server: a data scientist finds every trial below the run of its study."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from pyspark.sql import SparkSession

from pipelines import tune_model
from pipelines.addresses import Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.mlflow import MlflowRegistry, MlflowTracker
from refit.adapters.optuna import OptunaProposer
from refit.config import Models, Range, Shop, Training, Tuning, load_shop
from refit.digests import canonical_json
from refit.governance.audit_log import AuditLog
from refit.lake.lake import Lake, Landed
from refit.testing import FakeObjectStore
from refit.training.training_set import Recipe

FIRST, CUTOFF = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 12, tzinfo=UTC)
TRIALS = 4
"""Each of two kinds as it stands, and two proposals."""


@pytest.fixture
def shop() -> Shop:
    """Give the simulated shop with a search that takes seconds."""
    space = {
        "als.rank": Range(low=1, high=3),
        "confidence.half_life_days": Range(choices=(2.0, 30.0)),
    }
    whole = load_shop(REPOSITORY / "shops", "simulated")
    return whole.model_copy(
        update={
            "als": whole.als.model_copy(update={"rank": 2, "iterations": 2}),
            "models": Models(candidates=("als", "neighbours")),
            "training": Training(holdout_days=2, min_interactions=1, min_people=2, min_items=2),
            "tuning": Tuning(trials=2, seconds=3_600, folds=1, seed=2, space=space),
        }
    )


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    """Give a lake in which twelve people of two tastes buy an item a day."""
    lake = Lake(
        str(tmp_path / "lake" / "simulated"), "catalog.json", FolderObjectStore(tmp_path / "lake" / "simulated")
    )
    rows = [
        (f"u{person:02d}", f"{'ab'[person % 2]}{(person + number) % 6}", "purchase", when, 1.0, when.date())
        for number in range(7)
        for person in range(12)
        for when in [FIRST + timedelta(days=number, hours=10, minutes=person)]
    ]
    frame = spark.createDataFrame(
        rows,
        "user_id string, item_id string, event_type string, event_time timestamp, value double, event_date date",
    )
    frame.coalesce(1).write.parquet(lake.path("interactions/all"))
    landed = Landed(FIRST.date().isoformat(), "interactions/all", len(rows), "all", "all")
    lake.commit("all", {"interactions": (frame.schema, [landed])})
    return lake


def test_every_trial_is_a_child_of_the_run_of_its_study(
    spark: SparkSession, mlflow_address: str, shop: Shop, lake: Lake
) -> None:
    recipe = Recipe(
        shop="simulated",
        since=FIRST - timedelta(days=30),
        cutoff=CUTOFF,
        as_of=CUTOFF + timedelta(days=2),
        events=shop.serving_events,
        confidence=shop.confidence,
        days=lake.days("interactions", FIRST, CUTOFF),
    )
    places = Addresses("simulated", str(Path(lake.root).parent), "refit")
    manifest = {
        "digest": recipe.digest,
        "ingredients": recipe.ingredients(),
        "used": [asdict(landed) for landed in recipe.days],
    }
    lake.store.create(f"{places.training_set(recipe.digest)}/manifest.json", canonical_json(manifest))
    name = f"shop_{uuid4().hex}"
    tracker = MlflowTracker(mlflow_address, f"refit-{name}", f"s3://refit/mlflow/{name}")

    def tune() -> tune_model.Receipt:
        return tune_model.run(
            recipe.digest,
            shop=shop,
            open_spark=lambda: spark,
            lake=lake,
            addresses=places,
            tracker=tracker,
            registry=MlflowRegistry(mlflow_address, f"{name}-challengers", name),
            log=AuditLog(FakeObjectStore()),
            factoriser=ImplicitLibrary(1),
            proposer=OptunaProposer(),
        )

    found = tune()
    assert found.trials == TRIALS

    client = MlflowClient(tracking_uri=mlflow_address)
    experiment = client.get_experiment_by_name(f"refit-{name}")
    parent = client.get_run(found.address.rpartition("/")[2])
    assert parent.info.run_name == f"tune {date(2026, 1, 14)}"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["training_set"] == recipe.digest
    assert parent.data.metrics == {"best_ndcg_at_20": found.score}
    assert {entry.path for entry in client.list_artifacts(parent.info.run_id)} == {"settings.json", "trials.json"}

    children = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", order_by=["start_time ASC"]
    )
    assert [child.info.run_name.split(":")[0] for child in children] == [f"trial {n}" for n in range(TRIALS)]
    assert [child.data.params["kind"] for child in children] == ["als", "neighbours", "als", "neighbours"]
    assert {child.data.tags["state"] for child in children} <= {"done", "pruned", "refused"}
    scored = [child.data.metrics["ndcg_at_20"] for child in children if child.data.tags["state"] == "done"]
    assert max(scored) == found.score
    for child in children:
        searched = {"confidence.half_life_days", *(["als.rank"] if child.data.params["kind"] == "als" else [])}
        assert set(child.data.params) == {"kind", *searched}
        assert child.data.metrics["ndcg_at_20"] == child.data.metrics["ndcg_at_20_fold_0"]

    assert tune() == found
    assert len(client.search_runs([experiment.experiment_id])) == TRIALS + 1
