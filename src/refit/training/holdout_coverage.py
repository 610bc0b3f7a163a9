"""
Holdout coverage: what people wanted after a cutoff, and the part of it that no model can be evaluated on.

A model knows only the people and items of its training set, so the holdout leaves out new people and new items. They
are stored beside the holdout and counted here, so that a metric over people who can be judged is not mistaken for a
metric over everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Confidence, Events
from refit.lake.pairs import person_item_pairs

KNOWN_PERSON, KNOWN_ITEM, LEFT_OUT = "known_person", "known_item", "left_out"


def asked_pairs(
    interactions: DataFrame,
    training: DataFrame,
    *,
    cutoff: datetime,
    as_of: datetime,
    events: Events,
    ratings: Confidence | None = None,
) -> DataFrame:
    """
    Return each distinct (person, item) of the relevant events in [cutoff, as_of), marked with what *training* knows.

    Columns: user_id, item_id, the booleans known_person and known_item (present in *training* with confidence above 0)
    and bought (bought before the cutoff, in a shop whose lists leave bought items out) and, if confidences are
    *ratings*, the rating, NaN without one above 0. No boolean is null.
    """
    taught = training.where(F.col(Columns.CONFIDENCE) > 0)
    after = interactions.where(
        (F.col(Columns.EVENT_TIME) >= F.lit(cutoff)) & (F.col(Columns.EVENT_TIME) < F.lit(as_of))
    ).where(F.col(Columns.EVENT_TYPE).isin(*events.relevant))
    if ratings is None:
        asked = after.select(Columns.USER, Columns.ITEM).distinct()
    else:
        given = person_item_pairs(after, since=cutoff, as_of=as_of, events=events, confidence=ratings)
        rating = F.when(F.col(Columns.CONFIDENCE) > 0, F.col(Columns.CONFIDENCE)).otherwise(F.lit(float("nan")))
        asked = given.select(Columns.USER, Columns.ITEM, rating.alias(Columns.RATING))
    people = taught.select(Columns.USER).distinct().withColumn(KNOWN_PERSON, F.lit(True))
    items = taught.select(Columns.ITEM).distinct().withColumn(KNOWN_ITEM, F.lit(True))
    had = training.where(Columns.BOUGHT).select(Columns.USER, Columns.ITEM, F.lit(True).alias(Columns.BOUGHT))
    marked = asked.join(people, Columns.USER, "left").join(items, Columns.ITEM, "left")
    return marked.join(had, [Columns.USER, Columns.ITEM], "left").fillna(
        False, subset=[KNOWN_PERSON, KNOWN_ITEM, Columns.BOUGHT]
    )


def left_out(asked: DataFrame) -> DataFrame:
    """Return user_id and left_out, the number (at least 1) of items the person wanted that the holdout leaves out."""
    return (
        asked.where(~F.col(Columns.BOUGHT) & ~(F.col(KNOWN_PERSON) & F.col(KNOWN_ITEM)))
        .groupBy(Columns.USER)
        .agg(F.count(F.lit(1)).alias(LEFT_OUT))
    )


def count_asked(asked: DataFrame, judges: int) -> dict[str, int]:
    """
    Return the counts behind the holdout; *judges* is the number of people in it.

    `people`, `items` and `pairs` count what people wanted and had not bought before. Among the people, `new_people` are
    not in the training set and `people_of_new_items` wanted only items that are not in it; the rest are the judges.
    Among the items, `new_items` are not in the training set. Among the pairs, `pairs_of_new_people` and, of the others,
    `pairs_of_new_items` are left out. `people_again` and `pairs_again` count people who wanted only what they had
    already bought, and such pairs; no other number includes them.
    """
    first, person, item = ~F.col(Columns.BOUGHT), F.col(KNOWN_PERSON), F.col(KNOWN_ITEM)

    def rows(which: Column) -> Column:
        return F.count(F.when(which, 1))

    def different(name: str, which: Column) -> Column:
        return F.count_distinct(F.when(which, F.col(name)))

    found = asked.agg(
        F.count_distinct(Columns.USER).alias("everybody"),
        different(Columns.USER, first).alias("people"),
        different(Columns.USER, first & ~person).alias("new_people"),
        rows(first).alias("pairs"),
        rows(first & ~person).alias("pairs_of_new_people"),
        rows(first & person & ~item).alias("pairs_of_new_items"),
        different(Columns.ITEM, first).alias("items"),
        different(Columns.ITEM, first & ~item).alias("new_items"),
        rows(F.col(Columns.BOUGHT)).alias("pairs_again"),
    ).collect()[0]
    counts = {name: int(value) for name, value in found.asDict().items()}
    counts["people_again"] = counts.pop("everybody") - counts["people"]
    return counts | {"people_of_new_items": counts["people"] - counts["new_people"] - judges}


def describe_coverage(counts: Mapping[str, int], judges: int) -> str:
    """
    Return one sentence about the people the holdout leaves out; *counts* are those of `count_asked`.

    >>> told = {"people": 100, "new_people": 12, "people_of_new_items": 3, "items": 40, "new_items": 4}
    >>> describe_coverage(told, 85)
    '85 of 100 people who came to want something can judge: 12 were new, 3 wanted only new items (4 of 40 are new)'
    """
    if not counts["people"]:
        return "nobody came to want anything new"
    return (
        f"{judges:,} of {counts['people']:,} people who came to want something can judge: {counts['new_people']:,} "
        f"were new, {counts['people_of_new_items']:,} wanted only new items ({counts['new_items']:,} of "
        f"{counts['items']:,} are new)"
    )
