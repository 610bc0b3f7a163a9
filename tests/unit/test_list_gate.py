"""The list gate: what is counted, and when a batch is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from refit.config import Lists
from refit.lists.counts import Counts
from refit.lists.filling import Drafts
from refit.lists.gate import judge_lists, sum_counts
from refit.ranking.flat_histories import Histories
from refit.shelves.shelf import Shelf

ITEMS = 30
LABELS = ["factors", "popularity", "popularity:FR", "new"]


def drafts_of(positions: list[int], scores: list[float], sources: list[int] | None = None) -> Drafts:
    """Return the list of one person."""
    numbers = np.array([sources or [0] * len(positions)], dtype=np.int16)
    return Drafts(np.array([positions]), np.array([scores], dtype=np.float32), numbers, LABELS)


def history_of(*bought: int, looked_at: int | None = None) -> Histories:
    entries = [*bought, *([] if looked_at is None else [looked_at])]
    return Histories(
        user_ids=pa.array(["ann"]),
        offsets=np.array([0, len(entries)]),
        positions=np.array(entries, dtype=np.int64),
        confidences=np.ones(len(entries)),
        bought=np.array([True] * len(bought) + [False] * (len(entries) - len(bought)), dtype=np.bool_),
    )


@pytest.fixture
def shelf() -> Shelf:
    """Give a shelf on which position 6 is withdrawn and 20 to 29 are one category, of which a list may show one."""
    plain = Shelf.plain(pa.array([f"i{n:02d}" for n in range(ITEMS)]), np.arange(ITEMS) != 6)
    return replace(plain, groups=np.where(np.arange(ITEMS) < 20, -1, 7).astype(np.int32), cap=1)


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
    ],
)
def test_each_fault_of_a_list_is_counted(drafts: Drafts, expected: dict[str, int], shelf: Shelf) -> None:
    """Position 5 was bought, position 4 only looked at; lists shall hold two items."""
    counts = Counts(items=ITEMS)
    counts.add(drafts, history_of(5, looked_at=4), shelf)

    record = counts.as_record()
    assert (record.pop("people"), record.pop("items"), len(record.pop("shown"))) == (1, ITEMS, 8)
    assert {name: number for name, number in record.items() if number} == expected
    listed = drafts.positions[drafts.positions >= 0]
    assert np.flatnonzero(counts.shown).tolist() == sorted(set(listed.tolist()))


def test_what_one_person_bought_is_no_fault_in_the_list_of_another(shelf: Shelf) -> None:
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
    counts = Counts(items=ITEMS)
    counts.add(drafts, histories, shelf)
    assert (counts.people, counts.filled, counts.bought, counts.repeats) == (3, 3, 1, 0)


def test_counts_of_blocks_add_up_and_items_count_once(shelf: Shelf) -> None:
    """Items 1, 2 and 3 are shown although one of them occurs in both blocks; JSON lies between."""
    blocks = [Counts(items=ITEMS), Counts(items=ITEMS)]
    blocks[0].add(drafts_of([1, 2], [2.0, 1.0]), history_of(), shelf)
    blocks[0].add(drafts_of([-1, -1], [0.0, 0.0]), history_of(), shelf)
    blocks[1].add(drafts_of([2, 3], [2.0, 1.0]), history_of(), shelf)

    total = sum_counts([json.loads(json.dumps(block.as_record())) for block in blocks])
    expected = {"people": 3, "filled": 2, "empty": 1, "items": ITEMS, "shown": 3}
    assert {name: number for name, number in total.items() if number} == expected


GOOD = {
    "people": 1_000,
    "filled": 995,
    "empty": 0,
    "by_popularity": 40,
    "with_new": 3,
    "repeats": 0,
    "bought": 0,
    "withdrawn": 0,
    "disordered": 0,
    "over_cap": 0,
    "items": 200,
    "shown": 20,
}
POLICY = Lists(min_people=1_000, min_filled=0.99, min_catalogue=0.1)


def test_a_batch_that_just_meets_every_limit_is_published() -> None:
    verdict = judge_lists({**GOOD, "filled": 990}, POLICY)
    assert (verdict.decision, verdict.reasons) == ("publish", ())
    assert all(measure.passed for measure in verdict.measures)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"people": 999, "filled": 999}, "people is 999, at least 1000 is asked (n 999)"),
        ({"filled": 989}, "share_filled is 0.989, at least 0.99 is asked (n 1,000)"),
        ({"shown": 19}, "share_of_catalogue is 0.095, at least 0.1 is asked (n 200)"),
        ({"empty": 1}, "empty is 1, exactly 0 is asked (n 1,000)"),
        ({"repeats": 2}, "repeats is 2, exactly 0 is asked (n 1,000)"),
        ({"bought": 1}, "bought is 1, exactly 0 is asked (n 1,000)"),
        ({"withdrawn": 3}, "withdrawn is 3, exactly 0 is asked (n 1,000)"),
        ({"disordered": 1}, "disordered is 1, exactly 0 is asked (n 1,000)"),
        ({"over_cap": 1}, "over_cap is 1, exactly 0 is asked (n 1,000)"),
    ],
)
def test_each_limit_refuses_with_its_numbers(change: dict[str, int], sentence: str) -> None:
    verdict = judge_lists({**GOOD, **change}, POLICY)
    assert (verdict.decision, verdict.reasons) == ("refuse", (sentence,))


def test_a_batch_without_people_is_refused_for_every_number_that_is_unknown() -> None:
    """Missing evidence never passes, whatever the limits are."""
    nobody = dict.fromkeys(GOOD, 0)
    verdict = judge_lists(nobody, Lists(min_people=1, min_filled=0.0, min_catalogue=0.0))
    assert verdict.decision == "refuse"
    assert [reason.split(" is ")[0] for reason in verdict.reasons] == ["people", "share_filled", "share_of_catalogue"]


def test_all_reasons_are_given_at_once() -> None:
    verdict = judge_lists({**GOOD, "filled": 1, "empty": 5, "bought": 7}, POLICY)
    assert len(verdict.reasons) == 3
