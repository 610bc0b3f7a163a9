"""The batch before: which one it is, and what is seen of it with a few looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.kiosk import FIRST, Kiosk, Spoilt

from refit.config import load_shop
from refit.digests import canonical_json, sha256
from refit.errors import DamagedBatchError, ListsRefusedError
from refit.lists.previous_batch import Before, look_back
from refit.publication import read_commit
from refit.testing import FakeObjectStore


@pytest.fixture
def kiosk(write_shop: Callable[..., Path]) -> Kiosk:
    return Kiosk(load_shop(write_shop(append="\n[lists]\nk = 10\ncap_per_category = 3\n"), "corner"))


def publish(kiosk: Kiosk, *days: int) -> list[str]:
    """Publish good batches for some days and return their prefixes."""
    prefixes = [kiosk.score(day) for day in days]
    for prefix in prefixes:
        kiosk.publish(prefix)
    return prefixes


def seen(kiosk: Kiosk, day: int) -> Before:
    """Return what a new batch of a day is compared with."""
    return look_back(kiosk.store, read_commit(kiosk.store, kiosk.score(day)))


def date_of(before: Before) -> int:
    """Return the day of the kiosk that a batch is of."""
    assert before.commit is not None
    return [str(FIRST + timedelta(days=day)) for day in range(10)].index(before.commit["run_date"])


def rows(store: FakeObjectStore, commit: dict[str, object]) -> dict[str, set[str]]:
    tables = [pq.read_table(pa.BufferReader(store.objects[part["key"]])) for part in commit["parts"]]  # type: ignore[attr-defined]
    found = pa.concat_tables(tables).to_pylist()
    return {row["user_id"]: {entry["item_id"] for entry in row["recommendations"]} for row in found}


def test_the_first_batch_ever_has_none_before_it(kiosk: Kiosk) -> None:
    assert seen(kiosk, 0) == Before(None, missing="no batch before")


def test_a_batch_is_compared_with_the_live_one_also_of_its_own_day(kiosk: Kiosk) -> None:
    publish(kiosk, 1, 3)
    assert [date_of(seen(kiosk, day)) for day in (3, 4, 9)] == [3, 3, 3]


def test_a_batch_of_the_past_is_compared_with_the_past(kiosk: Kiosk) -> None:
    """Days 5 and 6 are live and yet to come; day 0 has nothing before it."""
    publish(kiosk, 1, 3, 5, 6)
    assert [date_of(seen(kiosk, day)) for day in (1, 2, 4, 5)] == [1, 1, 3, 5]
    assert seen(kiosk, 0).missing == "no batch before"


def test_where_only_the_past_was_published_it_is_what_there_is_to_compare_with(kiosk: Kiosk) -> None:
    """A shop may fill in its past before anything is live."""
    publish(kiosk, 1, 3)
    del kiosk.store.objects["live.json"]
    assert [date_of(seen(kiosk, day)) for day in (2, 4)] == [1, 3]


def test_a_batch_that_is_live_already_is_not_compared_with_itself(kiosk: Kiosk) -> None:
    """A step that was killed after it had moved the pointers judges again as if it had not."""
    publish(kiosk, 1)
    prefix = kiosk.score(3)
    first = look_back(kiosk.store, read_commit(kiosk.store, prefix))
    kiosk.publish(prefix)
    again = look_back(kiosk.store, read_commit(kiosk.store, prefix))
    assert (date_of(first), date_of(again)) == (1, 1)
    assert first.overlap == again.overlap


def test_the_overlap_is_that_of_all_people_within_a_hundredth(kiosk: Kiosk) -> None:
    """Eight of fourteen groups of a hundred are looked at; against sets over everybody."""
    earlier, later = (read_commit(kiosk.store, kiosk.score(day)) for day in (0, 8))
    publish(kiosk, 0)
    before = look_back(kiosk.store, later)
    mine, theirs = rows(kiosk.store, later), rows(kiosk.store, earlier)
    everybody = [len(mine[name] & theirs[name]) / len(mine[name] | theirs[name]) for name in mine if name in theirs]
    assert before.overlap is not None
    assert before.overlap.median == pytest.approx(np.median(everybody), abs=0.1)
    assert before.overlap.same == pytest.approx(np.mean(np.array(everybody) == 1), abs=0.05)
    assert 0.1 < np.mean(np.array(everybody) == 1) < 0.9
    assert before.overlap.share_new == pytest.approx(24 / 624, abs=0.02)
    assert 300 < before.overlap.found < before.overlap.looked_for < len(mine)


class CountingStore(FakeObjectStore):
    """Counts how often a part of an object is asked for."""

    requests = 0

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        self.requests += 1
        return super().get_range(key, start, length)


def test_however_large_a_batch_is_sixteen_row_groups_are_read(kiosk: Kiosk) -> None:
    publish(kiosk, 0)
    commit = read_commit(kiosk.store, kiosk.score(1))
    store = CountingStore(objects=kiosk.store.objects)
    look_back(store, commit)
    assert sum(part["row_groups"] for part in commit["parts"]) == 8
    assert store.requests == 16 + 2 * len(commit["parts"]), "each part tells once where its row groups lie"


def test_people_who_all_have_other_ids_are_new(kiosk: Kiosk) -> None:
    publish(kiosk, 0)

    def renamed(people):  # type: ignore[no-untyped-def]
        names = pa.array([f"{name}x" for name in people.user_ids.to_pylist()])
        return type(people)(names, people.offsets, people.positions, people.confidences, people.bought)

    before = look_back(kiosk.store, read_commit(kiosk.store, kiosk.score(1, Spoilt(people=renamed))))
    assert before.overlap is not None
    assert (before.overlap.share_new, before.overlap.median, before.overlap.same) == (1.0, None, None)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("index.json is gone", "index.json is gone although a pointer names it"),
        ("index.json", "index.json differs from its SHA-256 in the pointer"),
        ("places.jsonl is gone", "places.jsonl is gone although a batch names it"),
        ("places.jsonl", "places.jsonl differ from their SHA-256 in the index"),
        ("part-0.parquet", "part-0.parquet differ from their SHA-256 in the index"),
        ("part-0.parquet is gone", "part-0.parquet is gone although a batch names it"),
        ("live.json", "live.json is no pointer: "),
    ],
)
def test_a_batch_before_that_is_damaged_is_not_in_the_way_of_a_good_one(kiosk: Kiosk, harm: str, sentence: str) -> None:
    """Nothing is compared, and it is said why."""
    (prefix,) = publish(kiosk, 0)
    later = read_commit(kiosk.store, kiosk.score(1))
    name = harm.split(" ")[0]
    key = name if name == "live.json" else f"{prefix}/{name}"
    content = kiosk.store.objects.pop(key)
    if "gone" not in harm:
        kiosk.store.objects[key] = bytes([content[0] ^ 1]) + content[1:] if "part" not in name else _flipped(content)
    before = look_back(kiosk.store, later)
    assert before.commit is None
    assert before.missing.startswith("the batch before cannot be read: ")
    assert sentence in before.missing


def _flipped(content: bytes) -> bytes:
    """Return *content* with every byte behind the first four changed."""
    return content[:4] + bytes(byte ^ 1 for byte in content[4:])


def test_a_new_batch_that_is_damaged_is_never_judged(kiosk: Kiosk) -> None:
    publish(kiosk, 0)
    prefix = kiosk.score(1)
    kiosk.store.objects[f"{prefix}/part-0.parquet"] = _flipped(kiosk.store.objects[f"{prefix}/part-0.parquet"])
    with pytest.raises(DamagedBatchError, match=r"part-0\.parquet differ from their SHA-256 in the index"):
        kiosk.publish(prefix)
    assert f"{prefix}/manifest.json" not in kiosk.store.objects


def test_a_new_champion_may_change_lists_and_a_wrong_one_may_not(kiosk: Kiosk) -> None:
    """Version 2 is another training; ids that are mixed up are refused in spite of the wider limit."""
    publish(kiosk, 0)
    kiosk.publish(kiosk.score(1, version=2))
    kiosk.publish(kiosk.score(2, version=2))
    mixed_up = Spoilt(people=lambda people: type(people)(
        people.user_ids, people.offsets, (people.positions + 3) % 384, people.confidences, people.bought
    ))  # fmt: skip
    with pytest.raises(ListsRefusedError, match="overlap_against_before is 0"):
        kiosk.publish(kiosk.score(3, mixed_up, version=3))


def test_thirty_good_days_raise_no_alarm(kiosk: Kiosk) -> None:
    """People come and buy, and a new champion comes half-way; neither a refusal nor a warning."""
    medians = []
    for day in range(30):
        prefix = kiosk.score(day, version=1 + day // 15)
        assert kiosk.publish(prefix).warnings == []
        verdict = json.loads(kiosk.store.objects[f"{prefix}/manifest.json"])["verdict"]
        values = {measure["name"]: measure["value"] for measure in verdict["measures"]}
        medians.append(values["overlap_against_before"])
    assert medians[0] is None
    assert min(median for median in medians[1:]) > 0.2


def test_the_batch_before_may_have_an_index_of_before(kiosk: Kiosk) -> None:
    """One object with the row groups of all parts: the same people and lists are found by it."""
    (prefix,) = publish(kiosk, 0)
    commit = read_commit(kiosk.store, kiosk.score(1))
    expected = look_back(kiosk.store, commit)
    store, key = kiosk.store, f"{prefix}/index.json"
    index = json.loads(store.objects[key])
    lines = map(json.loads, store.objects.pop(f"{prefix}/places.jsonl").splitlines())
    parts = [{**entry, **line} for entry, line in zip(index["parts"], lines, strict=True)]
    for entry in parts:
        for name in ("first", "last", "row_groups", "places"):
            del entry[name]
    store.objects[key] = canonical_json({**index, "format": "refit-index/2", "parts": parts})
    pointer = {**json.loads(store.objects["live.json"]), "index_sha256": sha256(store.objects[key])}
    store.objects["live.json"] = canonical_json(pointer)
    assert expected.overlap is not None
    assert look_back(store, commit).overlap == expected.overlap
