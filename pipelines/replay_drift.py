"""
Step: replay past weeks under the drift policy and report the value of its decisions.

Reads:  every landed day, at each check only what was landed before it.
Writes: an MLflow run with a table of policies, the choices of the configured one, and a page; training sets below
        `replays` in the lake, deleted at the end.
Re-run: safe; the same landed days and settings give the same choices, seconds differ.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.instants import Instant, landed_as_of
from pipelines.parameters import EveryDays, FirstCheck, JudgedDays, OtherPolicies, ReplayEnd, Tuned
from refit.backtest.lake_history import LakeHistory
from refit.backtest.page import HEADS, STEP_HEADS, as_csv, choice_of, policy_rows, replay_page
from refit.backtest.replay import ALWAYS, CONFIGURED, NEVER, Replay, alternatives, backtest_steps
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.interfaces import Factoriser, Proposer, Tracker
from refit.lake.lake import Lake
from refit.lake.retention import REPLAYS
from refit.storage import filesystem

_LOG = logging.getLogger("refit.replay")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step found."""

    since: str
    until: str
    policies: list[dict[str, Any]]
    """One score per policy: the configured one, alternatives if requested, always retraining, and never."""
    first_half: list[dict[str, Any]]
    """Scores on the first half of the weeks, by which a policy is chosen; empty if there are too few."""
    second_half: list[dict[str, Any]]
    """Scores on the second half of the weeks."""
    chosen: str | None
    """The best policy on the first half of the weeks."""
    said: str
    """Sentence on that choice and its result on the second half."""
    address: str
    """URL of the run's page."""


def run(
    since: Instant,
    until: Instant | None,
    every_days: int,
    judged_days: int,
    others: bool,
    tuned: bool = False,
    *,
    shop: Shop,
    spark: SparkSession,
    lake: Lake,
    tracker: Tracker,
    factoriser: Factoriser,
    proposer: Proposer,
) -> Receipt:
    """
    Check every *every_days* days from *since* to *until*; *others* adds alternatives to the configured policy.

    With *tuned* the settings of each model are searched, as in retraining, starting from those of shop.toml; without it
    all models have the settings of shop.toml, and each retraining is charged with the cost of one search.
    """
    since, until = shop.calendar.clock.local(since), landed_as_of(until, lake, shop)
    if every_days < 1 or judged_days < 1 or since + timedelta(days=every_days) > until:
        raise ConfigurationError(
            f"since={since.date()} until={until.date()} every_days={every_days} judged_days={judged_days} leave "
            "nothing to replay; give at least two checks and one day to judge"
        )
    steps = backtest_steps(since, until, timedelta(days=every_days), shop)
    scratch = f"{REPLAYS}/{uuid4()}"  # concurrent replays use separate folders
    past = LakeHistory(spark, lake, shop, steps, scratch, factoriser, proposer, tuned)
    replay = Replay(past, judged_days, shop.promotion.margin, _LOG.info)
    try:
        played = replay.play({CONFIGURED: shop.drift, **(alternatives(shop.drift) if others else {})})
        choices = replay.rows()
    finally:
        filesystem.delete(spark, lake.path(scratch))
    rows = policy_rows(played)
    for row in (("weeks", *HEADS), *rows):
        _LOG.info("%-12s%-20s%s", row[0], row[1], "".join(f"{cell:>11}" for cell in row[2:]))
    _LOG.info("%s", choice_of(played))
    page = replay_page(
        f"{shop.title}: {since.date()} to {until.date()}",
        played,
        [str(at.as_of.date()) for at in steps[replay.first + 1 :]],
        {name: replay.served(name) for name in (CONFIGURED, ALWAYS, NEVER)},
        choices,
        metric=shop.promotion.metric,
        margin=shop.promotion.margin,
        days=judged_days,
    )
    run_id = tracker.log_run(
        f"replay {since.date()} to {until.date()}",
        params={
            "since": since.isoformat(),
            "until": until.isoformat(),
            "every_days": every_days,
            "days": judged_days,
            "tuned": tuned,
        },
        metrics={name: float(value) for name, value in asdict(played.scores[0]).items() if name != "policy"},
        tags={"step": "replay_drift"},
        files={
            "replay.html": page.encode(),
            "policies.csv": as_csv(("weeks", *HEADS), rows),
            "checks.csv": as_csv(STEP_HEADS, choices),
        },
    )
    return Receipt(
        since=since.isoformat(),
        until=until.isoformat(),
        policies=[asdict(score) for score in played.scores],
        first_half=[asdict(score) for score in played.first],
        second_half=[asdict(score) for score in played.second],
        chosen=played.chosen,
        said=choice_of(played),
        address=tracker.run_address(run_id),
    )


def main(
    since: FirstCheck,
    until: ReplayEnd = None,
    every_days: EveryDays = 7,
    judged_days: JudgedDays = 14,
    others: OtherPolicies = False,
    tuned: Tuned = False,
) -> dict[str, Any]:
    """Replay with the real collaborators."""
    receipt = run(
        since,
        until,
        every_days,
        judged_days,
        others,
        tuned,
        shop=wiring.shop(),
        spark=wiring.spark("replay_drift"),
        lake=wiring.lake(),
        tracker=wiring.tracker(),
        factoriser=wiring.factoriser(),
        proposer=wiring.proposer(),
    )
    return asdict(receipt)
