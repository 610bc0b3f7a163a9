"""A kiosk whose lists are made by the product's code without Spark, day after day, and may be spoilt on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines import publish_recommendations
from pipelines.publish_recommendations import Receipt
from refit.batches.part_files import PartFile
from refit.candidates.candidate_set import EVERYBODY, CandidateSet, Popular
from refit.config import Shop
from refit.digests import digest_of_files, sha256
from refit.interfaces import ModelVersion
from refit.lists.counts import Counts
from refit.lists.gate import sum_counts
from refit.lists.generate import Listed, make_lists, to_batch
from refit.model.item_factors import ItemFactors
from refit.publication import new_attempt, write_commit
from refit.ranking.flat_histories import Histories
from refit.ranking.ranker import Ranker
from refit.testing import FakeObjectStore

PEOPLE, ITEMS, TASTES, GROUP = 600, 400, 8, 100
SOLD = 384
"""Nobody has bought the items from here on."""
CATEGORIES = np.arange(ITEMS, dtype=np.int32) % 40 // 5
FIRST = date(2026, 1, 5)

Rows = pa.RecordBatch


@dataclass(frozen=True, kw_only=True)
class Spoilt:
    """What goes wrong on one day; by default nothing does."""

    people: Callable[[Histories], Histories] = lambda histories: histories
    """Who is scored, with what history."""
    listed: Callable[[Listed], Listed] = lambda listed: listed
    """Lists of some people after they were ranked."""
    once: bool = True
    """Whether only one block of lists is spoilt."""
    rows: Callable[[Rows], Rows] = lambda rows: rows
    """Rows as they are written."""
    digest: Callable[[str], str] = lambda digest: digest
    """Of the model that scored."""
    consent: bool = True
    """Of the first person."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What scoring knows of its data."""


@cache
def model_of(seed: int) -> ItemFactors:
    """Return a model whose items have one of eight tastes each; another seed is another training of the same data."""
    generator = np.random.default_rng(seed)
    factors = np.eye(TASTES, dtype=np.float32)[np.arange(ITEMS) % TASTES]
    popularity = 1 / np.arange(1, ITEMS + 1) ** 0.3
    noise = np.random.default_rng(0).normal(scale=0.2, size=(ITEMS, TASTES)) + generator.normal(
        scale=0.03, size=(ITEMS, TASTES)
    )
    return ItemFactors(
        items=pa.array([f"i{n:03d}" for n in range(ITEMS)]),
        factors=(factors * popularity[:, None] * 2 + noise).astype(np.float32),
        people=np.arange(ITEMS, 0, -1),
        alpha=1.0,
        regularisation=0.1,
        facts={"seed": seed},
    )


@cache
def histories_on(day: int) -> Histories:
    """
    Return what people have done by a day: six items and more at first, then one more every fourth day.

    One in fifteen has done nothing yet, and three new people come each day; their ids lie anywhere.
    """
    people = sorted((sha256(str(number).encode())[:8], number) for number in range(PEOPLE + 3 * day))
    entries = []
    for _, number in people:
        many = 0 if number % 15 == 0 else 6 + (day + number) // 4 % 24
        taste = np.random.default_rng(number).permutation(SOLD // TASTES) * TASTES + number % TASTES
        entries.append(np.sort(taste[:many]))
    total = sum(map(len, entries))
    return Histories(
        user_ids=pa.array([name for name, _ in people]),
        offsets=np.cumsum([0, *map(len, entries)]),
        positions=np.concatenate(entries).astype(np.int64),
        confidences=np.ones(total),
        bought=np.ones(total, dtype=np.bool_),
    )


def shelf_of(model: ItemFactors) -> CandidateSet:
    """Return the kiosk's shelf: the last item is withdrawn, a list may hold three of a category."""
    popular = Popular(np.arange(ITEMS - 1), (1 / np.arange(1, ITEMS)).astype(np.float32))
    plain = CandidateSet.plain(model.items, np.arange(ITEMS) < ITEMS - 1)
    return replace(plain, groups=CATEGORIES, cap=3, popular={EVERYBODY: popular})


@dataclass
class Kiosk:
    """The kiosk with its bucket."""

    shop: Shop
    store: FakeObjectStore = field(default_factory=FakeObjectStore)

    def score(self, day: int, spoilt: Spoilt | None = None, *, version: int = 1) -> str:
        """Score as of the end of a day with champion *version* and return the prefix of the batch."""
        spoilt, model = spoilt or Spoilt(), model_of(version)
        as_of = datetime.combine(FIRST + timedelta(days=day), time(), tzinfo=UTC)
        made_by = new_attempt(
            logical_run=f"day {day} {len(self.store.objects)}", ordered_at=as_of, created=as_of, code="c"
        )
        prefix = f"batches/run_date={as_of.date()}/batch={made_by.batch}"
        histories = spoilt.people(histories_on(day))
        records = []
        for number, half in enumerate(halves(histories)):
            content, record = self._part(half, model, spoilt, version, str(as_of.date()), number == 0)
            self.store.create(f"{prefix}/part-{number}.parquet", content)
            records.append({"key": f"{prefix}/part-{number}.parquet", **record})
        digest = spoilt.digest(digest_of(version))
        champion = ModelVersion(
            name="kiosk", version=version, model_id="m", run_id="r", digest=digest, cutoff="2026-01-01T00:00:00+00:00"
        )
        facts = {
            "k": self.shop.lists.k,
            "newest_event_day": (as_of - timedelta(days=1)).date().isoformat(),
            "stale_days": 0,
            "eligible": PEOPLE + 3 * day,
            "rules": "r",
            **spoilt.facts,
            "counts": sum_counts([record.pop("counts") for record in records]),
        }
        write_commit(self.store, prefix, made_by, champion, records, {"as_of": as_of.isoformat()}, facts)
        return prefix

    def publish(self, prefix: str) -> Receipt:
        """Publish a batch as the step does."""
        return publish_recommendations.run(
            prefix,
            shop=self.shop,
            store=self.store,
            approved=digest_of,
            withdrawn=lambda _: None,
            at="2026-01-05T03:00:00+00:00",
        )

    def _part(
        self, people: Histories, model: ItemFactors, spoilt: Spoilt, version: int, run_date: str, first: bool
    ) -> tuple[bytes, dict[str, Any]]:
        """Do what a Spark task does, with the spoilt places spoilt."""
        candidate_set = shelf_of(model)
        counts, part = Counts(candidate_set), PartFile()
        consent = [True] * len(people)
        consent[0] = spoilt.consent or not first
        counts.receive(pa.record_batch({"user_id": people.user_ids, "consent": consent}))
        ranker = Ranker(model, candidate_set)
        for start in range(0, len(people), GROUP):
            piece = people.part(start, min(start + GROUP, len(people)))
            group = list(make_lists(ranker, piece, self.shop.lists.k, 2))
            which = range(len(group)) if not spoilt.once else range(int(first and start == 0))
            for number in which:
                group[number] = spoilt.listed(group[number])
            for listed in group:
                counts.add(listed.drafts, listed.histories)
            rows = spoilt.rows(to_batch(candidate_set, group, version, run_date))
            counts.add_rows(rows)
            part.write_group(rows)
        content, record = part.close()
        return content, {**record, "counts": counts.as_record()}


@cache
def digest_of(version: int) -> str:
    """Return the digest with which a version became champion."""
    return digest_of_files(model_of(version).to_files())


def halves(people: Histories) -> Iterator[Histories]:
    """Yield two ranges of people."""
    middle = len(people) // 2
    yield people.part(0, middle)
    yield people.part(middle, len(people))


def drafts(change: Callable[[NDArray[np.int64], NDArray[np.float32]], None]) -> Callable[[Listed], Listed]:
    """Return what changes a copy of the positions and scores of lists."""

    def changed(listed: Listed) -> Listed:
        made = listed.drafts
        made = replace(made, positions=made.positions.copy(), scores=made.scores.copy())
        change(made.positions, made.scores)
        return replace(listed, drafts=made)

    return changed
