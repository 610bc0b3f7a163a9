"""Bad batches: each way in which lists may be wrong, planted and brought to publication; none gets there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from support.kiosk import CATEGORIES, ITEMS, Kiosk, Rows, Spoilt, drafts

from refit.config import load_shop
from refit.errors import ListsRefusedError
from refit.lists.generate import Listed
from refit.publication import read_live_batch
from refit.ranking.flat_histories import Histories
from refit.ranking.reasons import Reasons

SETTINGS = "\n[lists]\nk = 10\ncap_per_category = 3\n"
Positions, Scores = NDArray[np.int64], NDArray[np.float32]


@pytest.fixture
def kiosk(write_shop: Callable[..., Path]) -> Kiosk:
    """Give a kiosk with one good batch live; it is made once."""
    kiosk = Kiosk(load_shop(write_shop(append=SETTINGS), "corner"))
    if not _GOOD:
        kiosk.publish(kiosk.score(0))
        _GOOD.update(kiosk.store.objects)
    kiosk.store.objects.update(_GOOD)
    return kiosk


_GOOD: dict[str, bytes] = {}


def without(share: int) -> Callable[[Histories], Histories]:
    """Return what loses one person of *share*."""

    def lose(people: Histories) -> Histories:
        return people.part(0, len(people) - len(people) // share)

    return lose


def renamed(people: Histories) -> Histories:
    """Return the people as another key would call them."""
    names = pa.array([f"{number:08x}" for number in range(len(people))])
    return Histories(names, people.offsets, people.positions, people.confidences, people.bought)


def unknown_to_the_model(people: Histories) -> Histories:
    """Return people of whose histories nothing teaches any more."""
    return Histories(people.user_ids, people.offsets, people.positions, np.zeros(len(people.positions)), people.bought)


def fits(row: NDArray[np.int64], item: int) -> bool:
    """Return whether one more item keeps a list within the cap."""
    return int((CATEGORIES[row] == CATEGORIES[item]).sum()) < 3


def bought_once(listed: Listed) -> Listed:
    """Return lists of which one shows what the person has bought."""
    person = int(np.flatnonzero(np.diff(listed.histories.offsets))[0])
    row, since = listed.drafts.positions[person, :9], listed.histories.offsets
    bought = listed.histories.positions[since[person] : since[person + 1]].tolist()

    def change(positions: Positions, scores: Scores) -> None:
        positions[person, 9] = next(item for item in bought if fits(row, item))

    return drafts(change)(listed)


def crowded(listed: Listed) -> Listed:
    """Return lists of which one, of somebody who has bought nothing, holds a fourth item of a category."""
    person = int(np.flatnonzero(np.diff(listed.histories.offsets) == 0)[0])
    row = listed.drafts.positions[person, :9]
    category = np.flatnonzero(np.bincount(CATEGORIES[row]) == 3)[0]

    def change(positions: Positions, scores: Scores) -> None:
        positions[person, 9] = next(n for n in range(ITEMS) if CATEGORIES[n] == category and n not in row)

    return drafts(change)(listed)


@drafts
def repeated(positions: Positions, scores: Scores) -> None:
    row = positions[0, :9]
    positions[0, 9] = next(item for item in row if fits(row, item))


@drafts
def withdrawn(positions: Positions, scores: Scores) -> None:
    person = next(person for person, row in enumerate(positions) if fits(row[:9], ITEMS - 1))
    positions[person, 9] = ITEMS - 1


@drafts
def emptied(positions: Positions, scores: Scores) -> None:
    positions[0] = -1


@drafts
def shortened(positions: Positions, scores: Scores) -> None:
    positions[:8, 9] = -1


@drafts
def holed(positions: Positions, scores: Scores) -> None:
    positions[0, 4] = -1


@drafts
def not_a_number(positions: Positions, scores: Scores) -> None:
    scores[0, 3] = np.nan


@drafts
def rising(positions: Positions, scores: Scores) -> None:
    scores[1] = scores[1, ::-1].copy()


@drafts
def levelled(positions: Positions, scores: Scores) -> None:
    scores[:] = 1.0


@drafts
def one_list_for_all(positions: Positions, scores: Scores) -> None:
    positions[:] = [384, 385, 386, 387, 390, 391, 392, 395, 396, 397]


@drafts
def favourites(positions: Positions, scores: Scores) -> None:
    """One of a few items that nobody has bought takes the last place of every list."""
    for row in positions:
        row[9] = next(item for item in (384, 389, 390, 395, 397) if fits(row[:9], item) and item not in row[:9])


def untold(listed: Listed) -> Listed:
    """Return lists that nobody can say the reasons of."""
    people, k = listed.drafts.positions.shape
    return Listed(listed.histories, listed.drafts, Reasons.none(people, k, 2), listed.short)


def with_ids(rows: Rows, change: Callable[[pa.Array], pa.Array]) -> Rows:
    """Return rows in which item ids are others."""
    lists = rows.column("recommendations")
    entries = lists.flatten()
    fields = [entries.field(number) for number in range(entries.type.num_fields)]
    fields[0] = pa.DictionaryArray.from_arrays(fields[0].indices, change(fields[0].dictionary))
    made = pa.StructArray.from_arrays(fields, names=[field.name for field in entries.type])
    columns = [pa.ListArray.from_arrays(lists.offsets, made) if name == "recommendations" else rows.column(name)
               for name in rows.schema.names]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def scrambled(rows: Rows) -> Rows:
    """Return rows in which every id is that of another item that may be shown."""

    def change(names: pa.Array) -> pa.Array:
        return pa.array([f"i{int(name[1:]) * 7 % (ITEMS - 1):03d}" for name in names.to_pylist()])

    return with_ids(rows, change)


def foreign(rows: Rows) -> Rows:
    """Return rows in which one item has an id that no shelf knows."""
    return with_ids(rows, lambda names: pa.array(["elsewhere", *names.to_pylist()[1:]]))


def twice(rows: Rows) -> Rows:
    """Return rows in which the first person stands twice."""
    return rows.take(pa.array([0, *range(len(rows) - 1)]))


LOST = "people_against_before"
BAD: dict[str, tuple[Spoilt, set[str]]] = {
    "a tenth of the people is lost": (Spoilt(people=without(10)), {"share_covered", LOST}),
    "a tenth of the people is lost, and of the users table": (
        Spoilt(people=without(10), facts={"eligible": None}),
        {LOST},
    ),
    "somebody has not given consent": (Spoilt(consent=False), {"without_consent"}),
    "somebody is in the batch twice": (Spoilt(rows=twice), {"twice"}),
    "everybody has another id": (Spoilt(people=renamed), {"share_new_against_before"}),
    "an empty list": (Spoilt(listed=emptied), {"empty"}),
    "lists are short": (Spoilt(listed=shortened), {"share_filled"}),
    "an item twice in a list": (Spoilt(listed=repeated), {"repeats"}),
    "something bought": (Spoilt(listed=bought_once), {"bought"}),
    "something withdrawn": (Spoilt(listed=withdrawn), {"withdrawn"}),
    "an id that is on no shelf": (Spoilt(rows=foreign), {"unknown"}),
    "a place is left out": (Spoilt(listed=holed), {"gaps"}),
    "a score that is no number": (Spoilt(listed=not_a_number), {"disordered"}),
    "scores that rise": (Spoilt(listed=rising), {"disordered"}),
    "one score for a whole list": (Spoilt(listed=levelled), {"share_flat"}),
    "too many of one category": (Spoilt(listed=crowded), {"over_cap"}),
    "histories no longer teach": (
        Spoilt(people=unknown_to_the_model),
        {"share_by_popularity"}
        | {f"{name}_against_before" for name in ("share_by_popularity", "bytes_per_person", "top_share", "gini")}
        | {"shown_against_before", "overlap_against_before"},
    ),
    "everybody is shown the same": (
        Spoilt(listed=one_list_for_all, once=False),
        {"top_share_against_before", "gini_against_before", "shown_against_before", "overlap_against_before"},
    ),
    "a few items are everywhere": (Spoilt(listed=favourites, once=False), {"top_share_against_before"}),
    "ids of items are mixed up": (Spoilt(rows=scrambled), {"overlap_against_before"}),
    "reasons are lost": (Spoilt(listed=untold, once=False), {"bytes_per_person_against_before"}),
    "the data are old": (Spoilt(facts={"stale_days": 3}), {"stale_days"}),
    "another model than the approved one": (Spoilt(digest=lambda digest: digest[::-1]), {"other_model"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_batch_is_never_published(kiosk: Kiosk, name: str) -> None:
    """The pointers stay, the verdict lies beside the batch with every number, and the batch can be read by its id."""
    spoilt, wrong = BAD[name]
    before = {key: content for key, content in kiosk.store.objects.items() if not key.startswith("batches/")}
    live = read_live_batch(kiosk.store)
    prefix = kiosk.score(1, spoilt)

    with pytest.raises(ListsRefusedError, match="is refused, the last good batch stays live: ") as refusal:
        kiosk.publish(prefix)

    after = {key: content for key, content in kiosk.store.objects.items() if not key.startswith("batches/")}
    assert after == before
    assert read_live_batch(kiosk.store).equals(live)
    manifest = json.loads(kiosk.store.objects[f"{prefix}/manifest.json"])
    verdict = manifest["verdict"]
    failed = {measure["name"] for measure in verdict["measures"] if not measure["passed"]}
    assert failed == wrong
    assert verdict["decision"] == "refuse"
    assert all(reason in str(refusal.value) for reason in verdict["reasons"])
    assert len(verdict["reasons"]) == len(failed)
    rows = [pq.read_table(pa.BufferReader(kiosk.store.objects[part["key"]])) for part in manifest["parts"]]
    assert sum(map(len, rows)) == manifest["counts"]["people"] > 500
