"""
Step: replay past weeks under the drift policy and say what its decisions were worth.

Reads:  every landed day, at each check only what was landed before it.
Writes: an MLflow run with a table of policies, the choices of the configured one, and a page.
Re-run: safe; the same landed days and settings give the same choices, seconds differ.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.instants import Instant, landed_as_of
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.interfaces import Factoriser, Tracker
from refit.lake import Lake
from refit.pages.replay_page import HEADS, STEP_HEADS, as_csv, replay_page, score_rows
from refit.past import Past
from refit.replays import Replay, alternatives, moments

_LOG = logging.getLogger("refit.replay")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step found."""

    since: str
    until: str
    policies: list[dict[str, Any]]
    """One score per policy: the configured one, retraining always, never, and alternatives if asked for."""
    address: str
    """Page of the run."""


def run(
    since: Instant,
    until: Instant | None,
    every_days: int,
    judged_days: int,
    others: bool,
    *,
    shop: Shop,
    spark: SparkSession,
    lake: Lake,
    tracker: Tracker,
    factoriser: Factoriser,
) -> Receipt:
    """Check every *every_days* days from *since* to *until*; *others* adds alternatives to the configured policy."""
    until = landed_as_of(until, lake, shop)
    if every_days < 1 or judged_days < 1 or since + timedelta(days=every_days) > until:
        raise ConfigurationError(
            f"since={since.date()} until={until.date()} every_days={every_days} judged_days={judged_days} leave "
            "nothing to replay; give at least two checks and one day to judge"
        )
    steps = moments(since, until, timedelta(days=every_days), shop)
    past = Past(spark, lake, shop, steps, lake.path("replays"), factoriser)
    replay = Replay(past, judged_days, shop.promotion.margin, _LOG.info)
    policies = {"configured": shop.drift, **(alternatives(shop.drift) if others else {})}
    scores = replay.play(policies)
    rows, choices = score_rows(scores), replay.rows()
    for row in (HEADS, *rows):
        _LOG.info("%-20s%s", row[0], "".join(f"{cell:>11}" for cell in row[1:]))
    page = replay_page(
        f"{shop.title}: {since.date()} to {until.date()}",
        scores,
        [str(at.as_of.date()) for at in steps[1:]],
        replay.served,
        choices,
        metric=shop.promotion.metric,
        margin=shop.promotion.margin,
        days=judged_days,
    )
    run_id = tracker.log_run(
        f"replay {since.date()} to {until.date()}",
        params={"since": since.isoformat(), "until": until.isoformat(), "every_days": every_days, "days": judged_days},
        metrics={name: float(value) for name, value in asdict(scores[0]).items() if name != "policy"},
        tags={"step": "replay_drift"},
        files={
            "replay.html": page.encode(),
            "policies.csv": as_csv(HEADS, rows),
            "checks.csv": as_csv(STEP_HEADS, choices),
        },
    )
    return Receipt(
        since=since.isoformat(),
        until=until.isoformat(),
        policies=[asdict(score) for score in scores],
        address=tracker.run_address(run_id),
    )


def main(
    since: Instant, until: Instant | None = None, every_days: int = 7, judged_days: int = 14, others: bool = False
) -> dict[str, Any]:
    """Replay with the real collaborators."""
    receipt = run(
        since,
        until,
        every_days,
        judged_days,
        others,
        shop=wiring.shop(),
        spark=wiring.spark("replay_drift"),
        lake=wiring.lake(),
        tracker=wiring.tracker(),
        factoriser=wiring.factoriser(),
    )
    return asdict(receipt)
