"""A small simulated shop whose steps run as processes, and proxies that fail, kill or stop them at a chosen request."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.injection import Ended, Running

from infra.host.class_archive import class_archive
from infra.stack.services import FAST_START
from pipelines.settings import REPOSITORY
from refit.adapters.s3 import S3ObjectStore
from refit.batches.pointer import Pointer, read_pointer
from refit.publication import LIVE, read_live_batch
from refit.testing.fault_proxy import FaultProxy

FIRST, DAYS = datetime(2026, 1, 1, tzinfo=UTC), 30
AS_OF = FIRST + timedelta(days=26)
"""As of which the loop trains and makes lists; the days after it are landed too."""
SETTINGS = """
title = "A small shop"
[calendar]
first_day = 2026-01-01
last_day = 2026-01-30
[first_run]
as_of = 2026-01-27
[sources.events]
format = "parquet"
path = "{DATA}/events"
[sources.products]
format = "parquet"
path = "{DATA}/products"
[sources.customers]
format = "parquet"
path = "{DATA}/customers"
[events]
weights = { view = 0.2, cart = 0.6, purchase = 1.0 }
relevant = ["cart", "purchase"]
bought = ["purchase"]
[training]
window_days = 30
holdout_days = 7
[als]
engine = "mllib"
rank = 4
iterations = 2
seed = 1
[tuning]
trials = 2
folds = 1
seed = 1
[tuning.space.als.alpha]
choices = [1.0, 4.0]
[evaluation]
k = 10
seed = 1
resamples = 200
baselines = []
[lists]
k = 10
[simulation]
seed = 1
first_day = 2026-01-01
days = 30
people = 400
items = 150
events = 20000
categories = 8
"""


@dataclass
class FaultShop:
    """One shop with its own lake, lists and registered models, on servers that all shops of the tests share."""

    name: str
    folder: Path
    servers: Mapping[str, str]
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step took when nothing disturbed it."""
    asked: dict[str, int] = field(default_factory=dict)
    """How many requests each step made then, of MLflow or, publishing, of S3."""
    started: list[Running] = field(default_factory=list)

    @classmethod
    def make(cls, name: str, folder: Path, servers: Mapping[str, str]) -> FaultShop:
        """Write the configuration of a shop called *name*."""
        place = folder / "shops" / name
        place.mkdir(parents=True)
        shutil.copytree(REPOSITORY / "shops" / "simulated" / "sources", place / "sources")
        (place / "shop.toml").write_text(SETTINGS, encoding="utf-8")
        return cls(name, folder, servers)

    @property
    def environment(self) -> dict[str, str]:
        """What its steps find in their environment."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("REFIT_", "AWS_", "MLFLOW_"))},
            **self.servers,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")]),
            "REFIT_SHOP": self.name,
            "REFIT_SHOPS": str(self.folder / "shops"),
            "REFIT_DATA": str(self.folder / "data"),
            "REFIT_LAKE": str(self.folder / "lake"),
            "REFIT_SPARK_MEMORY": "1g",
            "REFIT_SPARK_JAVA_OPTIONS": FAST_START,
            "REFIT_SPARK_CLASS_ARCHIVE": class_archive(),
            "REFIT_PSEUDONYM_KEY": "a key for these tests",
        }

    def start(self, step: str, values: Mapping[str, Any], **settings: str) -> Running:
        """Start a step as a person would, with other *settings* if given."""
        number = len(self.started)
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log, out = logs / f"{number}-{step}.log", logs / f"{number}-{step}.json"
        words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "pipelines", step, *words, "--out", str(out)],
                cwd=self.folder,
                env={**self.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.started.append(Running(step, process, log, out, time.monotonic()))
        return self.started[-1]

    def end(self, step: str, values: Mapping[str, Any], **settings: str) -> Ended:
        """Run a step to its end, whatever that is."""
        return self.start(step, values, **settings).wait()

    def do(self, step: str, values: Mapping[str, Any], **settings: str) -> dict[str, Any]:
        """Run a step that must succeed, and return its receipt."""
        ended = self.end(step, values, **settings)
        assert ended.code == 0, ended.log[-4000:]
        return ended.receipt

    def words(self, step: str) -> dict[str, Any]:
        """Return what the loop gives to a step, from the receipts of those before."""
        as_of = AS_OF.isoformat()
        told = self.receipts
        trained = (
            {key: told["train_model"][key] for key in ("training_set", "run_id", "model_id", "digest")}
            if ("train_model" in told)
            else {}
        )
        offered = {key: told["refit_model"][key] for key in trained} if "refit_model" in told else {}
        given: dict[str, Callable[[], dict[str, Any]]] = {
            "simulate_shop": dict,
            "land_interactions": lambda: {
                "since": FIRST.isoformat(),
                "until": (FIRST + timedelta(days=DAYS)).isoformat(),
            },
            "check_drift": lambda: {"as_of": as_of},
            "build_training_set": lambda: {"as_of": as_of},
            "tune_model": lambda: {"training_set": told["build_training_set"]["training_set"]},
            "train_model": lambda: {
                "training_set": told["build_training_set"]["training_set"],
                "settings": told["tune_model"]["settings"],
            },
            "evaluate_model": lambda: {**trained, "settings": told["tune_model"]["settings"]},
            "refit_model": lambda: {**trained, "evaluation": told["evaluate_model"]},
            "register_model": lambda: {
                **offered,
                "evaluation": told["evaluate_model"],
                "refitted": told["refit_model"],
                "requested_by": "dana",
            },
            "promote_model": lambda: {
                "version": told["register_model"]["version"],
                "digest": offered["digest"],
                # Given once, as a person does; another try of the step has the same one.
                "answer": told.setdefault("approve", approval()),
            },
            "score_users": lambda: {"as_of": as_of, "logical_run": "the first run", "ordered_at": as_of},
            "publish_recommendations": lambda: {"batch": told["score_users"]["batch"]},
        }
        return given[step]()

    def loop(self, step: str, asked: FaultProxy) -> None:
        """Do the next step of the loop and keep what is to be known of it; it asks nobody else through that proxy."""
        asked.begin()
        ended = self.end(step, self.words(step))
        assert ended.code == 0, ended.log[-4000:]
        self.receipts[step], self.seconds[step], self.asked[step] = ended.receipt, ended.seconds, len(asked.requests)

    def score(self, days: int, run: str, minute: int = 0, **settings: str) -> dict[str, Any]:
        """Make lists as `scoring` says."""
        return self.do("score_users", scoring(days, run, minute), **settings)

    @property
    def lists(self) -> S3ObjectStore:
        """The store of its lists, past every proxy."""
        return S3ObjectStore.connect(f"s3://refit/{self.name}", endpoint=self.servers["MLFLOW_S3_ENDPOINT_URL"])

    def pointer(self) -> Pointer | None:
        """Return what is live."""
        found = self.lists.get(LIVE)
        return read_pointer(found.content, LIVE) if found else None

    def require_whole(self) -> None:
        """Readers see a whole batch of the live pointer, every byte checked."""
        assert len(read_live_batch(self.lists)) > 100


LOOP = (
    *("simulate_shop", "land_interactions", "check_drift", "build_training_set", "tune_model", "train_model"),
    *("evaluate_model", "refit_model", "register_model", "promote_model", "score_users", "publish_recommendations"),
)


def approval() -> dict[str, Any]:
    """Return what Airflow hands over when a person has approved just now."""
    return {
        "chosen_options": ["Approve"],
        "params_input": {"reason": "looks right"},
        "responded_at": datetime.now(UTC).isoformat(),
        "responded_by_user": {"id": "lee", "name": "lee"},
    }


def scoring(days: int, run: str, minute: int = 0) -> dict[str, Any]:
    """Return what `score_users` is given for lists so many *days* after those of the loop; *minute* orders runs."""
    as_of = AS_OF + timedelta(days=days)
    ordered_at = as_of + timedelta(minutes=minute)
    return {"as_of": as_of.isoformat(), "logical_run": run, "ordered_at": ordered_at.isoformat()}
