"""Comparison: the batch that readers saw before, and how alike its lists are, seen on some of the people."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.digests import sha256
from refit.errors import DamagedBatchError
from refit.interfaces import ObjectStore
from refit.lists.against_before import NOTHING
from refit.lists.batch_index import Place, read_group
from refit.publication.pointer import LIVE, Target, date_pointer, read_pointer

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
        theirs = _groups(earlier)
    except DamagedBatchError as error:
        return Before(None, missing=f"the batch before cannot be read: {error}")
    looked_for, alike = 0, []
    for group in _spread(_groups(commit)):
        lists = _read(store, group.place)
        middle = lists["user_id"][len(lists) // 2].as_py()
        number = max(bisect_right(theirs, middle, key=attrgetter("first")) - 1, 0)
        try:
            others = _read(store, theirs[number].place)
        except DamagedBatchError as error:
            return Before(None, missing=f"the batch before cannot be read: {error}")
        # Of the people of our group only these can be in theirs; the rest is in one that is not read.
        since = pc.greater_equal(lists["user_id"], theirs[number].first if number else "")
        if number + 1 < len(theirs):
            since = pc.and_(since, pc.less(lists["user_id"], theirs[number + 1].first))
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
class _Group:
    first: str
    place: Place


def _groups(commit: Mapping[str, Any]) -> list[_Group]:
    """Return the row groups of a batch in the order of their people."""
    found = []
    for part in commit["parts"]:
        for number, group in enumerate(part.get("groups", [])):
            place = {name: group[name] for name in ("offset", "bytes", "sha256")}
            found.append(_Group(group["first"], Place(part["key"], number, footer=part["footer"], **place)))
    if not found:
        raise DamagedBatchError(f"batch {commit['batch']} does not say where its row groups lie")
    return sorted(found, key=attrgetter("first"))


def _spread(groups: Sequence[_Group]) -> list[_Group]:
    count = min(_LOOKS, len(groups))
    return [groups[(2 * n + 1) * len(groups) // (2 * count)] for n in range(count)]


def _read(store: ObjectStore, place: Place) -> pa.Table:
    content = store.get_range(place.key, place.offset, place.bytes)
    if content is None:
        raise DamagedBatchError(f"{store.address}/{place.key} is gone although a batch names it")
    return read_group(place, content, _LEAVES)


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
