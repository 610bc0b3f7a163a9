"""Splits history at a cutoff into a training set and a holdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.cleaning import without_cancelled
from refit.columns import Columns
from refit.config import Confidence, Events, Shop, Training
from refit.digests import canonical_json, digest_of
from refit.errors import NotEnoughDataError, NotFoundError
from refit.lake.consent import events_of_consenting
from refit.lake.lake import Lake, Landed
from refit.lake.pairs import person_item_pairs
from refit.row_hashes import content_digest, hash_sum
from refit.training.holdout_coverage import KNOWN_ITEM, KNOWN_PERSON, asked_pairs, count_asked, left_out


@dataclass(frozen=True, kw_only=True)
class Written:
    """Result of writing a training set."""

    counts: Mapping[str, int]
    """Numbers of pairs, people and items with confidence above 0, and of holdout people."""
    asked: Mapping[str, int]
    """Counts behind the holdout and of what it leaves out; see `refit.training.holdout_coverage.count_asked`."""
    content: Mapping[str, str]
    """Part -> digest of its rows."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All inputs of a training set; equal recipes give equal rows."""

    shop: str
    since: datetime
    cutoff: datetime
    as_of: datetime
    events: Events
    confidence: Confidence
    days: Sequence[Landed]
    """The landed versions to read."""
    users: Landed | None = None
    """Users snapshot with the consents, the newest not after *as_of*; None in a shop without a users table."""
    rated: bool = False
    """Whether confidences are ratings, so that the holdout includes ratings to predict."""

    @classmethod
    def of(cls, shop: Shop, as_of: datetime, days: Sequence[Landed], users: Landed | None) -> Recipe:
        """
        Return the recipe of the set whose holdout ends at *as_of*.

        *days* are all landed days before *as_of*, *users* is the newest users snapshot not after it.
        """
        clock = shop.calendar.clock
        return cls(
            shop=shop.name,
            since=clock.back(as_of, shop.training.window_days),
            cutoff=clock.back(as_of, shop.training.holdout_days),
            as_of=as_of,
            events=shop.serving_events,
            confidence=shop.confidence,
            days=days,
            users=users,
            rated=shop.als.preferences == "explicit",
        )

    def whole(self) -> Recipe:
        """Return the recipe of the set with every day before `as_of` and an empty holdout, from the same versions."""
        return replace(self, cutoff=self.as_of)

    def ingredients(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        return {
            "shop": self.shop,
            "since": self.since.isoformat(),
            "cutoff": self.cutoff.isoformat(),
            "as_of": self.as_of.isoformat(),
            "events": self.events.model_dump(mode="json"),
            "confidence": self.confidence.model_dump(mode="json"),
            "days": [[day.day, day.rows, day.digest] for day in self.days],
            # Added only where it applies, so that digests of other shops' sets stay the same.
            **({"users": [self.users.rows, self.users.digest]} if self.users else {}),
            **({"rated": True} if self.rated else {}),
        }

    @property
    def digest(self) -> str:
        """Name of the set: equal content gives an equal name, whichever landing it comes from."""
        return digest_of(self.ingredients())

    def manifest(self, written: Written) -> dict[str, Any]:
        """Return the manifest of the set that was *written*, as plain JSON values."""
        return {
            "digest": self.digest,
            "ingredients": self.ingredients(),
            "counts": dict(written.counts),
            "asked": dict(written.asked),
            "content": dict(written.content),
            "used": [asdict(day) for day in self.days],
            **({"users": asdict(self.users)} if self.users else {}),
        }

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a finished set, with exactly the landed versions that it read."""
        made = manifest["ingredients"]
        return cls(
            shop=made["shop"],
            since=datetime.fromisoformat(made["since"]),
            cutoff=datetime.fromisoformat(made["cutoff"]),
            as_of=datetime.fromisoformat(made["as_of"]),
            events=Events.model_validate(made["events"]),
            confidence=Confidence.model_validate(made["confidence"]),
            days=[Landed(**entry) for entry in manifest["used"]],
            users=Landed(**manifest["users"]) if "users" in manifest else None,
            rated=made.get("rated", False),
        )

    def events_before(self, spark: SparkSession, lake: Lake, until: datetime) -> DataFrame:
        """Return the landed events before *until* of people who consent at `as_of`."""
        events = events_of_consenting(spark, lake, self.days, self.users)
        return events.where(F.col(Columns.EVENT_TIME) < F.lit(until))

    def history(self, spark: SparkSession, lake: Lake) -> DataFrame:
        """
        Return the events before the cutoff, without those cancelled before it; later cancellations are unknown then.

        Only events of people who consent at `as_of` are included.
        """
        return without_cancelled(self.events_before(spark, lake, self.cutoff), self.events)

    def store(self, spark: SparkSession, lake: Lake, place: str, before_manifest: Callable[[Written], object]) -> bool:
        """
        Write the set below *place* unless it is finished already; return whether it was written.

        The manifest is written last: a set without one is unfinished and is built again. *before_manifest* may refuse
        the set, or add to it.
        """
        if lake.store.get(f"{place}/manifest.json") is not None:
            return False
        written = self.write(spark, lake, place)
        before_manifest(written)
        lake.store.create(f"{place}/manifest.json", canonical_json(self.manifest(written)))
        return True

    def write(self, spark: SparkSession, lake: Lake, place: str) -> Written:
        """Write `pairs`, `holdout` and `left_out` below the folder *place*, relative to the lake."""
        pairs = person_item_pairs(
            self.history(spark, lake),
            since=self.since,
            as_of=self.cutoff,
            events=self.events,
            confidence=self.confidence,
        )
        written = _written(spark, pairs, lake.path(f"{place}/pairs"))
        whole = without_cancelled(self.events_before(spark, lake, self.as_of), self.events)
        asked = asked_pairs(
            whole,
            written,
            cutoff=self.cutoff,
            as_of=self.as_of,
            events=self.events,
            ratings=self.confidence if self.rated else None,
        ).persist()
        try:
            judged = _written(spark, questions(asked), lake.path(f"{place}/holdout"))
            beside = _written(spark, left_out(asked), lake.path(f"{place}/left_out"))
            counts = count_pairs(written, judged)
            made = {"pairs": written, "holdout": judged, "left_out": beside}
            return Written(
                counts=counts,
                asked=count_asked(asked, counts["judges"]),
                content={name: _content(rows) for name, rows in made.items()},
            )
        finally:
            asked.unpersist()


def changed_days(lake: Lake, used: Sequence[Landed]) -> list[str]:
    """Return the days of *used* whose content in the lake has changed since."""
    now = {entry.day: entry.digest for entry in lake.days("interactions", _FIRST_INSTANT, _LAST_INSTANT)}
    return [entry.day for entry in used if now.get(entry.day) != entry.digest]


_FIRST_INSTANT, _LAST_INSTANT = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def holdout(
    interactions: DataFrame,
    training: DataFrame,
    *,
    cutoff: datetime,
    as_of: datetime,
    events: Events,
    ratings: Confidence | None = None,
) -> DataFrame:
    """
    Return what each person wanted in [cutoff, as_of): user_id and the array `relevant` of item ids.

    If confidences are *ratings*, the array `ratings` holds the ratings of the relevant items in the same order,
    computed from the relevant events in [cutoff, as_of) as in training; NaN stands for an item without a rating above
    0.

    Only people and items with confidence above 0 in *training* (pairs of `person_item_pairs` at *cutoff*) are kept, so
    that every model is evaluated on the same items. Items the person had bought are left out if the shop's lists leave
    them out.
    """
    return questions(asked_pairs(interactions, training, cutoff=cutoff, as_of=as_of, events=events, ratings=ratings))


def questions(asked: DataFrame) -> DataFrame:
    """Return the holdout of *asked*, the result of `asked_pairs`."""
    kept = F.col(KNOWN_PERSON) & F.col(KNOWN_ITEM) & ~F.col(Columns.BOUGHT)
    left = asked.where(kept).groupBy(Columns.USER)
    if Columns.RATING not in asked.columns:
        return left.agg(F.array_sort(F.collect_set(Columns.ITEM)).alias(Columns.RELEVANT))
    entries = left.agg(F.array_sort(F.collect_list(F.struct(Columns.ITEM, Columns.RATING))).alias("entries"))
    return entries.select(
        Columns.USER,
        F.col(f"entries.{Columns.ITEM}").alias(Columns.RELEVANT),
        F.col(f"entries.{Columns.RATING}").alias(Columns.RATINGS),
    )


def count_pairs(pairs: DataFrame, judges: DataFrame) -> dict[str, int]:
    """Return the numbers of pairs, people and items with confidence above 0, and of holdout people."""
    taught = pairs.where(F.col(Columns.CONFIDENCE) > 0)
    row = taught.agg(F.count(F.lit(1)), F.count_distinct(Columns.USER), F.count_distinct(Columns.ITEM)).collect()[0]
    return {"pairs": row[0], "people": row[1], "items": row[2], "judges": judges.count()}


def require_enough(counts: Mapping[str, int], limits: Training) -> None:
    """Raise NotEnoughDataError naming every count below its limit."""
    needed = {
        "pairs": limits.min_interactions,
        "people": limits.min_people,
        "items": limits.min_items,
        "judges": limits.min_people,
    }
    short = [
        f"{counts[name]:,} {name} (at least {minimum:,})" for name, minimum in needed.items() if counts[name] < minimum
    ]
    if short:
        raise NotEnoughDataError(
            f"the training set is too small: {', '.join(short)}; land more days, move as_of or the window, or "
            "lengthen training.holdout_days where only judges are missing"
        )


def load_manifest(lake: Lake, place: str) -> dict[str, Any]:
    """Return the manifest of the training set at *place*; NotFoundError if the set was never finished."""
    stored = lake.store.get(f"{place}/manifest.json")
    if stored is None:
        raise NotFoundError(f"{lake.path(place)} holds no finished training set; run build_training_set first")
    manifest: dict[str, Any] = json.loads(stored.content)
    return manifest


def _written(spark: SparkSession, rows: DataFrame, path: str) -> DataFrame:
    rows.write.mode("overwrite").parquet(path)
    return spark.read.schema(rows.schema).parquet(path)


def _content(rows: DataFrame) -> str:
    count, total = rows.agg(F.count(F.lit(1)), hash_sum(rows.schema)).collect()[0]
    return content_digest(count, total, rows.schema)
