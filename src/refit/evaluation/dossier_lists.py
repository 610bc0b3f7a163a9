"""The part of the dossier about lists: their overall properties, and the lists of a few people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from refit.evaluation.beyond_accuracy import shown
from refit.evaluation.comparison import Comparison
from refit.evaluation.holdout_lists import CHALLENGER, CHAMPION, Judged
from refit.evaluation.list_examples import Example, ListedItem
from refit.rendering.charts import paired_bars
from refit.rendering.document import join, shorten, table, tag

_GROUPS = (
    (0.01, "top 1%"),
    (0.05, "1 to 5%"),
    (0.1, "5 to 10%"),
    (0.25, "10 to 25%"),
    (0.5, "25 to 50%"),
    (1.0, "rest"),
)
"""Popularity groups of items: upper end as a share of the catalogue, from most to least popular, and label."""


def model_name(name: str) -> str:
    """Return the display name of a model."""
    return name.replace("_", " ")


def what_lists_show(compared: Comparison, judged: Judged, people: Sequence[int]) -> Markup:
    """Return coverage, novelty, variety and popularity; *people* counts people per item in training."""
    heads = ("model", "catalogue shown", "Gini", "novelty (bits)", "variety", "popularity lift")
    rows = [
        (
            tag("b", model_name(name)) if name == CHALLENGER else model_name(name),
            f"{found.coverage:.1%}",
            f"{found.gini:.3f}",
            f"{found.novelty:.2f}",
            "" if found.diversity is None else f"{found.diversity:.3f}",
            f"{found.popularity_lift:.2f}",
        )
        for name, found in compared.lists.items()
    ]
    rival = CHAMPION if CHAMPION in judged.lists else "popularity"
    bars = paired_bars(
        [name for _, name in _GROUPS],
        _by_popularity(judged, rival, people),
        _by_popularity(judged, CHALLENGER, people),
        left_name=model_name(rival),
        right_name=CHALLENGER,
        title="Where the places go: items from most to least popular",
    )
    words = (
        "Gini: 0 when all items are shown equally often, 1 when one is. Novelty: how surprising an item is to somebody "
        "who knows what sells. Variety: 1 when no two items of a list are touched by the same people. Popularity lift: "
        "how much more popular a list is than what the person did before."
    )
    return join([table(heads, rows, numeric={1, 2, 3, 4, 5}), tag("p", words, class_="note"), bars])


def _by_popularity(judged: Judged, model: str, people: Sequence[int]) -> list[float]:
    counts = shown(judged.lists[model][:, : judged.k], len(judged.items))
    ranked = counts[np.argsort(-np.asarray(people), kind="stable")]
    ends = [int(np.ceil(share * len(ranked))) for share, _ in _GROUPS]
    total = max(int(ranked.sum()), 1)
    return [float(ranked[start:end].sum()) / total for start, end in zip([0, *ends], ends, strict=False)]


def people_drawn(examples: Sequence[Example]) -> Markup:
    """Return the lists of some people, champion beside challenger if both exist; the first is expanded."""
    parts = [tag("p", "✓ is what the person came to want; grey is what the champion showed too.", class_="note")]
    for n, example in enumerate(examples):
        names = list(example.lists)
        longest = max((len(entries) for entries in example.lists.values()), default=0)
        rows = [
            [str(rank + 1), *(_cell(example.lists[name], rank, example.lists[names[0]]) for name in names)]
            for rank in range(longest)
        ]
        hits = ", ".join(f"{name} {sum(entry.hit for entry in example.lists[name])}" for name in names)
        head = (
            f"{shorten(example.user_id, 16)} · {example.activity} items before, {example.wanted} wanted, hits: {hits}"
        )
        past = f"Before: {', '.join(shorten(title, 40) for title in example.past) or 'nothing that is known'}"
        body = join([tag("p", past, class_="note"), table(("", *names), rows, numeric={0})])
        parts.append(tag("details", tag("summary", head), body, **({"open": "open"} if n == 0 else {})))
    return join(parts)


def _cell(entries: Sequence[ListedItem], rank: int, old: Sequence[ListedItem]) -> str:
    if rank >= len(entries):
        return ""
    entry = entries[rank]
    title = shorten(entry.title, 44)
    new = entries is not old and entry.title not in {each.title for each in old}
    if entry.hit:
        return tag("b", f"✓ {title}", class_="passed")
    return tag("span", title) if new or entries is old else tag("span", title, class_="muted")
