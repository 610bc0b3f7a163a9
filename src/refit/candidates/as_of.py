"""Candidates as of an instant: recent interactions, and what the shop's rules allow to be recommended."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from refit.candidates.build import BuiltCandidates, build_candidates
from refit.candidates.eligibility import judge_items
from refit.candidates.popularity import RecentInteractions, count_interactions
from refit.cleaning import without_cancelled
from refit.columns import Columns
from refit.config import Shop
from refit.lake.as_of import catalogue_as_of, people_as_of
from refit.lake.consent import events_of_consenting
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors


def recent_interactions_as_of(spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime) -> RecentInteractions:
    """Return the interactions of the shop's recent days before *as_of*; only these days are read."""
    since = shop.calendar.clock.back(as_of, shop.lists.recent_days)
    days = lake.days("interactions", since, as_of)
    if not any(day.path for day in days):
        return RecentInteractions()
    time = F.col(Columns.EVENT_TIME)
    events = events_of_consenting(spark, lake, days, lake.snapshot("users", as_of))
    recent = events.where((time >= F.lit(since)) & (time < F.lit(as_of)))
    # Cancellations apply to the latest orders first, so older days would not change what remains of these.
    return count_interactions(
        without_cancelled(recent, shop.events),
        people_as_of(spark, lake, shop, as_of) if shop.lists.segment else None,
        events=shop.events,
        min_segment_people=shop.lists.min_segment_people,
    )


def candidates_as_of(
    spark: SparkSession, lake: Lake, shop: Shop, model: ItemFactors, as_of: datetime
) -> BuiltCandidates:
    """
    Return the candidate set as of *as_of*.

    Raises:
        ConfigurationError: a rule in `[lists]` does not fit the catalogue or the users.
        ListsRefusedError: the rules leave nothing to recommend.
    """
    judged = judge_items(catalogue_as_of(spark, lake, as_of), shop.lists, as_of)
    return build_candidates(model, judged, recent_interactions_as_of(spark, lake, shop, as_of), shop.lists)
