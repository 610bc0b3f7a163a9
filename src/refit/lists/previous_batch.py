"""Comparison: the batch that readers saw before, and how alike its lists are, seen on some of the people."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.batches.index import Fetch, Group, RowGroupRange, people_of, read_group, read_groups, row_groups_of
from refit.batches.pointer import LIVE, Target, date_pointer, read_pointer
from refit.digests import sha256
from refit.errors import DamagedBatchError
from refit.storage.object_store import ObjectStore

_DATES, _, _ENDING = date_pointer("*").partition("*")
_LOOKS = 8
"""Row groups of a batch that are compared, of about a thousand people each: the median is then good to 0.01."""
_LEAVES = ("user_id", "recommendations.list.element.item_id")


@dataclass(frozen=True)
class Overlap:
    """How alike the lists of the same people are in two batches."""

    looked_for: int
    """People of the later batch who were looked for in the earlier one."""
    found: int
    median: float | None
    """Of (items in both lists) / (items in either) over the people who were found; None when nobody was."""
    same: float | None
    """Share of them whose lists hold the same items."""

    @property
    def share_new(self) -> float | None:
        """Share of the people who were looked for and are not in the earlier batch."""
        return 1 - self.found / self.looked_for if self.looked_for else None


@dataclass(frozen=True)
class Before:
    """The batch that a new one is compared with."""

    commit: Mapping[str, Any] | None
    """What scoring wrote of it."""
    overlap: Overlap | None = None
    missing: str = ""
    """Why there is no such batch."""


def look_back(store: ObjectStore, commit: Mapping[str, Any]) -> Before:
    """
    Return the batch to compare the batch of *commit* with, and how alike the lists are.

    That is the live one, or for a batch of the past the newest one for its own or an earlier date. A batch that cannot
    be read any more is no reason to keep readers on it: then nothing is compared, and it is said why. What is read
    does not grow with the batch.

    Raises:
        DamagedBatchError: a file of the new batch is not what *commit* promises.
    """
    try:
        target = _target_before(store, commit)
        if target is None:
            return Before(None, missing=NOTHING)
        earlier = json.loads(_whole(store, target.index, target.index_sha256))
        theirs = _Groups(earlier, partial(_range, store))
    except DamagedBatchError as error:
        return Before(None, missing=f"the batch before cannot be read: {error}")
    looked_for, alike = 0, []
    for place in _spread(_Groups(commit, partial(_range, store))):
        lists = _read(store, place)
        middle = lists["user_id"][len(lists) // 2].as_py()
        try:
            around = theirs.around(middle)
            others = _read(store, around.place)
        except DamagedBatchError as error:
            return Before(None, missing=f"the batch before cannot be read: {error}")
        # Of the people of our group only these can be in theirs; the rest is in one that is not read.
        since = pc.greater_equal(lists["user_id"], around.since)
        if around.until is not None:
            since = pc.and_(since, pc.less(lists["user_id"], around.until))
        lists = lists.filter(since)
        looked_for += len(lists)
        alike.append(jaccard(lists, others))
    both = np.concatenate(alike)
    median, same = (float(np.median(both)), float((both == 1).mean())) if len(both) else (None, None)
    return Before(earlier, Overlap(looked_for, len(both), median, same))


def jaccard(one: pa.Table, other: pa.Table) -> NDArray[np.float64]:
    """
    Return (items in both lists) / (items in either) of each person who is in both tables, 1 for two empty lists.

    >>> lists = pa.list_(pa.struct([("item_id", pa.string())]))
    >>> def rows(**people: str) -> pa.Table:
    ...     entries = [[{"item_id": item} for item in items] for items in people.values()]
    ...     return pa.table({"user_id": list(people), "recommendations": pa.array(entries, lists)})
    >>> jaccard(rows(ann="abcd", ben="ab", cem="a"), rows(ben="ba", ann="bcx", dia="a"))
    array([0.4, 1. ])
    """
    ids = pa.array(sorted(set(one["user_id"].to_pylist()) & set(other["user_id"].to_pylist())), pa.string())
    names: dict[str, int] = {}
    first, second = (_pairs(rows, ids, names) for rows in (one, other))
    both = np.bincount(np.intersect1d(first, second) >> 32, minlength=len(ids))
    either = np.bincount(np.union1d(first, second) >> 32, minlength=len(ids))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


@dataclass(frozen=True)
class _Around:
    """The row group of a batch that holds a person, if any does."""

    since: str
    """Nobody before this person can be in it; empty where it is the first one."""
    until: str | None
    """Nobody from this person on can be in it; None where it is the last one."""
    place: RowGroupRange


class _Groups:
    """The row groups of a batch in the order of their people; where they lie is read for parts that are looked at."""

    def __init__(self, commit: Mapping[str, Any], fetch: Fetch) -> None:
        self._commit = commit
        self._fetch = fetch
        self._parts = sorted((part for part in commit["parts"] if row_groups_of(part)), key=people_of)
        if not self._parts:
            raise DamagedBatchError(f"batch {commit['batch']} does not say where its row groups lie")
        self._ends = list(accumulate(row_groups_of(part) for part in self._parts))
        self._known: dict[int, list[Group]] = {}

    def __len__(self) -> int:
        return self._ends[-1]

    def place(self, number: int) -> RowGroupRange:
        """Return where row group *number* of the whole batch lies."""
        part = bisect_right(self._ends, number)
        return self._of(part)[number - (self._ends[part - 1] if part else 0)].place

    def around(self, user_id: str) -> _Around:
        """Return the last row group that begins with *user_id* or before; the first one where none does."""
        part = max(bisect_right([people_of(part)[0] for part in self._parts], user_id) - 1, 0)
        groups = self._of(part)
        number = max(bisect_right(groups, user_id, key=attrgetter("first")) - 1, 0)
        following = [group.first for group in groups[number + 1 :]] + [
            people_of(other)[0] for other in self._parts[part + 1 :]
        ]
        return _Around(
            since=groups[number].first if part or number else "",
            until=following[0] if following else None,
            place=groups[number].place,
        )

    def _of(self, part: int) -> list[Group]:
        if part not in self._known:
            self._known[part] = read_groups(self._commit, self._parts[part], self._fetch)
        return self._known[part]


def _spread(groups: _Groups) -> Iterator[RowGroupRange]:
    count = min(_LOOKS, len(groups))
    for n in range(count):
        yield groups.place((2 * n + 1) * len(groups) // (2 * count))


def _range(store: ObjectStore, key: str, start: int, length: int) -> bytes:
    content = store.get_range(key, start, length)
    if content is None:
        raise DamagedBatchError(f"{store.address}/{key} is gone although a batch names it")
    return content


def _read(store: ObjectStore, place: RowGroupRange) -> pa.Table:
    return read_group(place, _range(store, place.key, place.offset, place.bytes), _LEAVES)


def _pairs(rows: pa.Table, ids: pa.Array, names: dict[str, int]) -> NDArray[np.int64]:
    """Return person * 2^32 + item of every entry of the people *ids*, numbering items by *names* as they come."""
    rows = rows.filter(pc.is_in(rows["user_id"], value_set=ids)).combine_chunks()
    people = pc.index_in(rows["user_id"], value_set=ids).to_numpy().astype(np.int64)
    entries = rows["recommendations"]
    items = pc.struct_field(pc.list_flatten(entries), "item_id").combine_chunks().dictionary_encode()
    numbers = np.array([names.setdefault(name, len(names)) for name in items.dictionary.to_pylist()], dtype=np.int64)
    persons = np.repeat(people, pc.list_value_length(entries).to_numpy())
    pairs: NDArray[np.int64] = (persons << 32) + numbers[items.indices.to_numpy()]
    return pairs


def _target_before(store: ObjectStore, commit: Mapping[str, Any]) -> Target | None:
    live = _target(store, LIVE)
    if live is not None and live.run_date <= commit["run_date"] and live.batch != commit["batch"]:
        return live
    dates = [key for key in store.keys(_DATES) if key.removeprefix(_DATES).removesuffix(_ENDING) <= commit["run_date"]]
    for key in sorted(dates, reverse=True):
        target = _target(store, key)
        if target is not None and target.batch != commit["batch"]:
            return target
    return None


def _target(store: ObjectStore, key: str) -> Target | None:
    stored = store.get(key)
    return None if stored is None else read_pointer(stored.content, f"{store.address}/{key}").target


def _whole(store: ObjectStore, key: str, expected: str) -> bytes:
    stored = store.get(key)
    if stored is None:
        raise DamagedBatchError(f"{store.address}/{key} is gone although a pointer names it")
    if sha256(stored.content) != expected:
        raise DamagedBatchError(f"{store.address}/{key} differs from its SHA-256 in the pointer")
    return stored.content


NOTHING = "no batch before"
"""Why nothing is compared when a shop publishes for the first time."""
