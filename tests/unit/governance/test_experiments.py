"""Retraining as of a day of the past: it works, says early what it is, and is never put before a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql.types import StructType

from pipelines import check_drift
from pipelines.addresses import LAKE_CATALOG, PROFILE_FILE, Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.config import load_shop
from refit.digests import digest_of_files
from refit.errors import ConfigurationError
from refit.governance.audit_log import AuditLog
from refit.governance.experiments import describe_experiment, experiment, refuse_experiment
from refit.interfaces import ModelVersion
from refit.lake.lake import Lake, Landed
from refit.model.item_factors import ItemFactors
from refit.testing import FakeObjectStore
from refit.testing.tracking import FakeRegistry, FakeTracker, crown
from refit.verdicts import Measure, Verdict

CHAMPION = ModelVersion(
    name="shop", version=4, model_id="m-4", run_id="r-4", digest="d", cutoff="2026-03-02T00:00:00+00:00"
)
GOOD = Verdict(
    gate="promotion",
    decision="propose",
    measures=(Measure(name="ndcg", value=0.2, limit=0.1, n=60, passed=True),),
    reasons=("better than the champion",),
)


@pytest.mark.parametrize("days", [0, 1, 30])
def test_training_up_to_the_day_of_the_champion_or_later_is_no_experiment(days: int) -> None:
    assert experiment(CHAMPION, datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=days)) is None


def test_without_a_champion_every_day_of_the_past_may_give_the_first_one() -> None:
    assert experiment(None, datetime(2020, 1, 1, tzinfo=UTC)) is None


def test_training_up_to_an_earlier_day_is_an_experiment_that_says_so() -> None:
    assert experiment(CHAMPION, datetime(2026, 3, 1, tzinfo=UTC)) == (
        "an experiment on the past: training ends before 2026-03-01, that of the champion (version 4) ended before "
        "2026-03-02; the challenger is judged and registered, and nobody is asked to promote it, because an older "
        "model replaces a newer one only by rollback"
    )


def test_an_experiment_is_refused_with_everything_that_was_measured() -> None:
    """The person who reads the dossier sees how good it was; nobody is asked."""
    refused = refuse_experiment(GOOD, "an experiment")
    assert refused.decision == "refuse"
    assert refused.reasons == ("an experiment", "better than the champion")
    assert refused.measures == GOOD.measures
    assert refuse_experiment(GOOD, None) == describe_experiment(GOOD, None) == GOOD


@pytest.fixture
def landed(tmp_path: Path) -> Lake:
    """Give a lake with one landed day, the second of March."""
    lake = Lake(str(tmp_path), LAKE_CATALOG, FolderObjectStore(tmp_path))
    lake.commit("one", {"interactions": (StructType(), [Landed("2026-03-02", "", 0, "d", "one")])})
    return lake


def _check(lake: Lake, as_of: datetime, *, force: bool, refit: bool = True) -> check_drift.Receipt:
    tracker, registry, log = FakeTracker(), FakeRegistry(), AuditLog(FakeObjectStore())
    model = ItemFactors(
        items=pa.array(["a"]),
        factors=np.ones((1, 1), dtype=np.float32),
        people=np.ones(1, dtype=np.int64),
        alpha=1.0,
        regularisation=0.1,
        facts={"training_set": "0" * 64},
    )
    files = {**model.to_files(), PROFILE_FILE: b"never read"}
    run_id = tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    model_id = tracker.log_model(run_id, files, params={})
    tags = {"digest": digest_of_files(files), "cutoff": "2026-03-02T00:00:00+00:00"}
    crown(registry, registry.register(model_id=model_id, run_id=run_id, tags=tags), log)

    def never(*_: object) -> None:
        raise AssertionError("there is nothing to compare")

    return check_drift.run(
        as_of,
        force,
        "what would it have looked like" if force else "",
        "dana",
        shop=load_shop(REPOSITORY / "shops", "simulated").model_copy(update={"refit": refit}),
        open_spark=never,
        lake=lake,
        addresses=Addresses("corner", "unused", ""),
        tracker=tracker,
        registry=registry,
        log=log,
        open_reporter=never,
    )


@pytest.mark.parametrize(("refit", "learnt"), [(True, "2026-02-20"), (False, "2026-02-13")])
def test_a_retraining_as_of_a_day_that_the_champion_knows_goes_on_when_it_is_forced(
    landed: Lake, refit: bool, learnt: str
) -> None:
    """It says first what it is, before hours are spent on it; a refitted model learns from the holdout, too."""
    receipt = _check(landed, datetime(2026, 2, 20, tzinfo=UTC), force=True, refit=refit)
    assert receipt.retrain
    assert receipt.reasons[0].startswith(f"an experiment on the past: training ends before {learnt}")
    assert receipt.reasons[1:] == [
        "forced by dana: what would it have looked like",
        "nothing is compared: the champion has learnt from everything before that day",
    ]


def test_without_force_it_says_how_to_get_an_experiment(landed: Lake) -> None:
    with pytest.raises(ConfigurationError, match="give a later as_of, or force=true and a reason for an experiment"):
        _check(landed, datetime(2026, 2, 20, tzinfo=UTC), force=False)


def test_a_champion_that_has_learnt_from_every_day_is_no_failure_of_the_check(landed: Lake) -> None:
    """A refitted champion on the day it was made: the weekly check has nothing to say."""
    receipt = _check(landed, datetime(2026, 3, 2, tzinfo=UTC), force=False)
    assert (receipt.decision, receipt.retrain) == ("skip", False)
    assert receipt.reasons == ["the champion has learnt from every day before 2026-03-02; nothing is new"]


@pytest.mark.parametrize("refit", [True, False])
def test_a_forced_retraining_as_of_the_day_of_the_champion_is_an_experiment_only_without_refitting(
    landed: Lake, refit: bool
) -> None:
    receipt = _check(landed, datetime(2026, 3, 2, tzinfo=UTC), force=True, refit=refit)
    assert receipt.retrain
    assert receipt.reasons[0].startswith("an experiment on the past") is not refit
