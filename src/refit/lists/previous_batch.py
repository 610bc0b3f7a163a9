"""The previous batch that readers saw, and how similar its lists are, measured on a sample of people."""

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
_GROUPS_COMPARED = 8
"""Number of row groups compared, of about 1,000 people each: enough for a median accurate to 0.01."""
_LEAVES = ("user_id", "recommendations.list.element.item_id")


@dataclass(frozen=True)
class Overlap:
    """Similarity of the lists of the same people in two batches."""

    looked_for: int
    """Number of people of the later batch who were looked up in the earlier one."""
    found: int
    median: float | None
    """Median of (items in both lists) / (items in either) over the people found; None if there are none."""
    same: float | None
    """Share of the people found whose lists contain the same items."""

    @property
    def share_new(self) -> float | None:
        """Share of the people looked up who are not in the earlier batch."""
        return 1 - self.found / self.looked_for if self.looked_for else None


@dataclass(frozen=True)
class Before:
    """The batch that a new one is compared with."""

    commit: Mapping[str, Any] | None
    """The commit record that scoring wrote; None if there is no such batch."""
    overlap: Overlap | None = None
    missing: str = ""
    """Why no batch can be compared; empty if one can."""


def look_back(store: ObjectStore, commit: Mapping[str, Any]) -> Before:
    """
    Return the batch to compare the batch of *commit* with, and how similar the lists are.

    This is the live batch or, for a batch of the past, the newest one for the same or an earlier date. An unreadable
    earlier batch must not keep readers on it, so nothing is compared and the reason is given. The amount of data read
    does not grow with the batch.

    Raises:
        DamagedBatchError: a file of the new batch does not match *commit*.
    """
    try:
        target = _target_before(store, commit)
        if target is None:
            return Before(None, missing=NOTHING)
        earlier = json.loads(_whole(store, target.index, target.index_sha256))
        earlier_groups = _Groups(earlier, partial(_range, store))
    except DamagedBatchError as error:
        return Before(None, missing=f"the batch before cannot be read: {error}")
    looked_for, similarities = 0, []
    for group_range in _spread(_Groups(commit, partial(_range, store))):
        lists = _read(store, group_range)
        middle_person = lists["user_id"][len(lists) // 2].as_py()
        try:
            around = earlier_groups.around(middle_person)
            others = _read(store, around.place)
        except DamagedBatchError as error:
            return Before(None, missing=f"the batch before cannot be read: {error}")
        # Only these people can be in the earlier row group; the others are in groups that are not read.
        since = pc.greater_equal(lists["user_id"], around.since)
        if around.until is not None:
            since = pc.and_(since, pc.less(lists["user_id"], around.until))
        lists = lists.filter(since)
        looked_for += len(lists)
        similarities.append(jaccard(lists, others))
    similarity = np.concatenate(similarities)
    median, same = (float(np.median(similarity)), float((similarity == 1).mean())) if len(similarity) else (None, None)
    return Before(earlier, Overlap(looked_for, len(similarity), median, same))


def jaccard(one: pa.Table, other: pa.Table) -> NDArray[np.float64]:
    """
    Return (items in both lists) / (items in either) for each person in both tables; 1 for two empty lists.

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
    """The only row group of a batch that may hold a given person."""

    since: str
    """First user id that can be in the group; empty for the first group."""
    until: str | None
    """First user id of the next group; None for the last group."""
    place: RowGroupRange


class _Groups:
    """The row groups of a batch in the order of user ids; their locations are read only for parts that are needed."""

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
        """Return the byte range of row group *number* of the whole batch."""
        part = bisect_right(self._ends, number)
        return self._of(part)[number - (self._ends[part - 1] if part else 0)].place

    def around(self, user_id: str) -> _Around:
        """Return the last row group that begins at or before *user_id*; the first group if none does."""
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
    count = min(_GROUPS_COMPARED, len(groups))
    for n in range(count):
        yield groups.place((2 * n + 1) * len(groups) // (2 * count))


def _range(store: ObjectStore, key: str, start: int, length: int) -> bytes:
    content = store.get_range(key, start, length)
    if content is None:
        raise DamagedBatchError(f"{store.address}/{key} is gone although a batch names it")
    return content


def _read(store: ObjectStore, group_range: RowGroupRange) -> pa.Table:
    return read_group(group_range, _range(store, group_range.key, group_range.offset, group_range.bytes), _LEAVES)


def _pairs(rows: pa.Table, ids: pa.Array, names: dict[str, int]) -> NDArray[np.int64]:
    """Return person * 2^32 + item for every entry of the people *ids*; new items are numbered in *names*."""
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
"""Reason for comparing nothing when a shop publishes for the first time."""
