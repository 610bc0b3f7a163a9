"""List counts: each fault of a list is counted where lists are made, against what they were made from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from refit.candidates.candidate_set import CandidateSet
from refit.lists.counts import Counts
from refit.lists.exposures import add_up
from refit.lists.filling import Drafts
from refit.lists.gate import sum_counts
from refit.lists.generate import Listed, to_batch
from refit.ranking.flat_histories import Histories
from refit.ranking.reasons import Reasons

ITEMS = 30
LABELS = ["factors", "popularity", "popularity:FR", "new"]


def drafts_of(positions: list[int], scores: list[float], sources: list[int] | None = None) -> Drafts:
    """Return the list of one person."""
    numbers = np.array([sources or [0] * len(positions)], dtype=np.int16)
    return Drafts(np.array([positions]), np.array([scores], dtype=np.float32), numbers, LABELS)


def history_of(*bought: int, looked_at: int | None = None, names: tuple[str | None, ...] = ("ann",)) -> Histories:
    entries = [*bought, *([] if looked_at is None else [looked_at])]
    return Histories(
        user_ids=pa.array(names, pa.string()),
        offsets=np.array([0] + [len(entries)] * len(names)),
        positions=np.array(entries, dtype=np.int64),
        confidences=np.ones(len(entries)),
        bought=np.array([True] * len(bought) + [False] * (len(entries) - len(bought)), dtype=np.bool_),
    )


@pytest.fixture
def candidate_set() -> CandidateSet:
    """Give a shelf on which position 6 is withdrawn and 20 to 29 are one category, of which a list may show one."""
    plain = CandidateSet.plain(pa.array([f"i{n:02d}" for n in range(ITEMS)]), np.arange(ITEMS) != 6)
    return replace(plain, groups=np.where(np.arange(ITEMS) < 20, -1, 7).astype(np.int32), cap=1)


def numbers(counts: Counts) -> dict[str, int]:
    """Return the counts that are not 0."""
    return {name: number for name, number in vars(counts.numbers).items() if number}


@pytest.mark.parametrize(
    ("drafts", "expected"),
    [
        (drafts_of([1, 2], [2.0, 1.0]), {"filled": 1}),
        (drafts_of([1, 2], [1.0, 1.0], [1, 1]), {"filled": 1, "by_popularity": 1}),
        (drafts_of([1, 2], [1.0, 1.0], [2, 1]), {"filled": 1, "by_popularity": 1}),
        (drafts_of([1, 2], [1.0, 9.0], [0, 1]), {"filled": 1}),
        (drafts_of([1, 2], [1.0, 0.5], [0, 3]), {"filled": 1, "with_new": 1}),
        (drafts_of([1, -1], [2.0, 0.0]), {}),
        (drafts_of([1, -1], [-2.0, 0.0]), {}),
        (drafts_of([-1, -1], [0.0, 0.0]), {"empty": 1}),
        (drafts_of([1, 1], [2.0, 1.0]), {"filled": 1, "repeats": 1}),
        (drafts_of([5, 1], [2.0, 1.0]), {"filled": 1, "bought": 1}),
        (drafts_of([1, 6], [2.0, 1.0]), {"filled": 1, "withdrawn": 1}),
        (drafts_of([1, 2], [1.0, 2.0]), {"filled": 1, "disordered": 1}),
        (drafts_of([1, 2], [2.0, np.nan]), {"filled": 1, "disordered": 1}),
        (drafts_of([1, 2], [np.inf, 2.0]), {"filled": 1, "disordered": 1}),
        (drafts_of([20, 29], [2.0, 1.0]), {"filled": 1, "over_cap": 1}),
        (drafts_of([1, -1, 2], [2.0, 0.0, 1.0]), {"gaps": 1}),
        (drafts_of([1, 2, 3], [1.0, 1.0, 1.0]), {"filled": 1, "flat": 1}),
        (drafts_of([1, 2, 3, 4], [1.0, 1.0, 1.0, 0.5], [0, 0, 0, 1]), {"filled": 1, "flat": 1}),
        (drafts_of([1, 2, 3], [1.0, 1.0, 0.5]), {"filled": 1}),
        (drafts_of([1, 2, 3], [1.0, 1.0, 1.0], [0, 0, 1]), {"filled": 1}),
        (drafts_of([1, 2, 3], [1.0, 1.0, 1.0], [1, 1, 1]), {"filled": 1, "by_popularity": 1}),
    ],
)
def test_each_fault_of_a_list_is_counted(drafts: Drafts, expected: dict[str, int], candidate_set: CandidateSet) -> None:
    """Position 5 was bought, position 4 only looked at; lists shall hold two items."""
    counts = Counts(candidate_set)
    counts.add(drafts, history_of(5, looked_at=4))

    assert numbers(counts) == {"people": 1, **expected}
    shown = drafts.positions[drafts.positions >= 0].tolist()
    assert counts.exposures.tolist() == [shown.count(item) for item in range(ITEMS)]


def test_what_one_person_bought_is_no_fault_in_the_list_of_another(candidate_set: CandidateSet) -> None:
    """Ann bought 5 and 9 and sees 1 and 2; Ben bought nothing and sees 9 and 5; Cem bought 2 and sees it."""
    histories = Histories(
        user_ids=pa.array(["ann", "ben", "cem"]),
        offsets=np.array([0, 2, 2, 3]),
        positions=np.array([5, 9, 2]),
        confidences=np.ones(3),
        bought=np.ones(3, dtype=np.bool_),
    )
    drafts = Drafts(
        np.array([[1, 2], [9, 5], [1, 2]]), np.ones((3, 2), np.float32), np.zeros((3, 2), np.int16), ["factors"]
    )
    counts = Counts(candidate_set)
    counts.add(drafts, histories)
    assert numbers(counts) == {"people": 3, "filled": 3, "bought": 1}


@pytest.mark.parametrize(
    ("people", "twice"),
    [
        ([["ann", "ben"], ["cem"]], 0),
        ([["ann", "ann"], ["cem"]], 1),
        ([["ann", "cem"], ["cem", "dia"]], 1),
        ([["cem", "ann"], ["ben"]], 1),
        ([["ann", None], ["cem"]], 1),
    ],
)
def test_people_as_written_must_rise_within_and_between_groups(
    people: list[list[str]], twice: int, candidate_set: CandidateSet
) -> None:
    """Nobody can be in a part twice without being out of order somewhere; an id that is null is nobody's."""
    counts = Counts(candidate_set)
    for names in people:
        counts.add_rows(rows_of([drafts_of([1, 2], [2.0, 1.0])] * len(names), names, candidate_set))
    assert numbers(counts) == ({"twice": twice} if twice else {})


def rows_of(drafts: list[Drafts], names: list[str], candidate_set: CandidateSet) -> pa.RecordBatch:
    """Return one row group of lists."""
    listed = [
        Listed(history_of(names=(name,)), draft, Reasons.none(1, draft.positions.shape[1], 0), {})
        for name, draft in zip(names, drafts, strict=True)
    ]
    return to_batch(candidate_set, listed, 7, "2026-01-05")


def test_ids_that_are_not_on_the_shelf_are_found_in_what_is_written(candidate_set: CandidateSet) -> None:
    """The ids of two items were mixed up when rows were made: three of four lists show one of them, one both."""
    drafts = [drafts_of(list(items), [2.0, 1.0]) for items in ((1, 2), (3, 4), (2, 7), (9, 1))]
    wrong = replace(candidate_set, items=pa.array([{1: "x", 2: "y"}.get(n, f"i{n:02d}") for n in range(ITEMS)]))
    counts = Counts(candidate_set)
    counts.add_rows(rows_of(drafts, list("abcd"), wrong))
    counts.add_rows(rows_of(drafts, list("efgh"), candidate_set))
    assert numbers(counts) == {"unknown": 3}


def test_people_are_counted_as_they_come_in_with_their_consent(candidate_set: CandidateSet) -> None:
    """A shop without a users table has no such column; where there is one only true is consent."""
    counts = Counts(candidate_set)
    counts.receive(pa.record_batch({"user_id": ["ann", "ben"]}))
    assert numbers(counts) == {"received": 2}
    counts.receive(pa.record_batch({"user_id": ["ann", "ben", "cem"], "consent": [True, False, None]}))
    assert numbers(counts) == {"received": 5, "without_consent": 2}


def test_counts_of_blocks_add_up_and_items_count_once(candidate_set: CandidateSet) -> None:
    """Items 1, 2 and 3 are shown although one of them occurs in both blocks; JSON lies between."""
    blocks = [Counts(candidate_set), Counts(candidate_set)]
    blocks[0].add(drafts_of([1, 2], [2.0, 1.0]), history_of())
    blocks[0].add(drafts_of([-1, -1], [0.0, 0.0]), history_of())
    blocks[1].add(drafts_of([2, 3], [2.0, 1.0]), history_of())

    records = [json.loads(json.dumps(block.as_record())) for block in blocks]
    total = sum_counts(records)
    # 0 for 26 of the 29 items that may be shown, then 1, 1 and 2: (24 + 26 + 2 * 28) / (29 * 4).
    expected = {
        "people": 3, "filled": 2, "empty": 1, "items": ITEMS, "allowed": 29,
        "places": 4, "shown": 3, "top_share": 0.5, "gini": pytest.approx(106 / 116),
    }  # fmt: skip
    assert {name: number for name, number in total.items() if number} == expected
    assert add_up([record["exposures"] for record in records])[1:4].tolist() == [1, 2, 1]


def test_exposures_of_a_large_shelf_are_small() -> None:
    """20,000 items of which most are hardly shown: a few kilobytes for each block, whatever the people."""
    candidate_set = CandidateSet.plain(pa.array([f"i{n}" for n in range(20_000)]))
    counts = Counts(candidate_set)
    counts.exposures = np.random.default_rng(5).zipf(1.6, 20_000).clip(max=50_000).astype(np.int64)
    record = counts.as_record()
    assert len(json.dumps(record)) < 30_000
    np.testing.assert_array_equal(add_up([record["exposures"]] * 2), 2 * counts.exposures)
