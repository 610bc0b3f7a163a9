"""Examples: the lists of a few judged people, with titles, for inspection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.evaluation.holdout_lists import Judged

_PAST = 8
"""Number of history items shown: those with the highest confidence."""


@dataclass(frozen=True)
class ListedItem:
    """One entry of a list."""

    title: str
    hit: bool
    """Whether the item is relevant to the person."""


@dataclass(frozen=True)
class Example:
    """One judged person."""

    user_id: str
    """Pseudonymised, as everywhere."""
    activity: int
    """Number of items that the history teaches."""
    wanted: int
    """Number of relevant items of the person."""
    past: Sequence[str]
    """Titles of the history items with the highest confidence."""
    lists: Mapping[str, Sequence[ListedItem]]
    """Model -> list, best first."""


def examples(
    judged: Judged, histories: DataFrame, catalogue: DataFrame, models: Sequence[str], *, most: int, seed: int
) -> list[Example]:
    """
    Return *most* judged people, drawn at random by *seed*, with their lists from *models*.

    *catalogue* gives `item_id` and `title`; an item without a title is shown by its id. Only the shown rows are read.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(judged.people)[:most])
    users = [judged.users[int(row)].as_py() for row in chosen]
    pasts = _pasts(histories.where(F.col(Columns.USER).isin(users)))
    ids = judged.items.to_pylist()
    lists = {
        model: [[(ids[index], bool(hit)) for index, hit in _list_entries(judged, model, int(row))] for row in chosen]
        for model in models
    }
    item_ids = {item for rows in lists.values() for row in rows for item, _ in row}
    item_ids |= {item for past in pasts.values() for item in past}
    known = catalogue.where(F.col(Columns.ITEM).isin(sorted(item_ids)) & F.col(Columns.TITLE).isNotNull())
    titles = {row[0]: row[1] for row in known.select(Columns.ITEM, Columns.TITLE).collect()}
    return [
        Example(
            user_id=user,
            activity=int(judged.described.activity[row]),
            wanted=int(judged.relevant[row]),
            past=[titles.get(item, item) for item in pasts.get(user, ())],
            lists={
                model: [ListedItem(titles.get(item, item), hit) for item, hit in lists[model][position]]
                for model in models
            },
        )
        for position, (user, row) in enumerate(zip(users, chosen, strict=True))
    ]


def _list_entries(judged: Judged, model: str, row: int) -> list[tuple[int, bool]]:
    positions, hits = judged.lists[model][row, : judged.k], judged.hits[model][row, : judged.k]
    return [(int(position), bool(hit)) for position, hit in zip(positions, hits, strict=True) if position >= 0]


def _pasts(histories: DataFrame) -> dict[str, list[str]]:
    found = {}
    for row in histories.collect():
        taught = [pair for pair in zip(row[Columns.CONFIDENCES], row[Columns.ITEMS], strict=True) if pair[0] > 0]
        found[row[Columns.USER]] = [item for _, item in sorted(taught, key=lambda pair: (-pair[0], pair[1]))[:_PAST]]
    return found
