"""The lists of people: the model's items, what fills them up, why, and how they look as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from refit.batches.schema import SCHEMA
from refit.candidates.candidate_set import EVERYBODY, CandidateSet, Popular
from refit.lists.generate import Listed, make_lists, to_batch
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights
from refit.ranking.flat_histories import Histories
from refit.ranking.fold_in import fold_in_people
from refit.ranking.ranker import Ranker

ITEMS = 30
Entry = tuple[int, float, bool]


@pytest.fixture(scope="module")
def model() -> ItemFactors:
    generator = np.random.default_rng(4)
    return ItemFactors(
        items=pa.array([f"item {n:02d} é" for n in range(ITEMS)]),
        factors=np.abs(generator.normal(size=(ITEMS, 5))).astype(np.float32),
        # The most popular item is the last one; item 0 was touched by half as many people.
        people=np.array([15, *range(1, ITEMS - 1), 30]),
        alpha=1.5,
        regularisation=0.1,
        facts={},
    )


def people_with(*people: Sequence[Entry], segments: Sequence[str | None] | None = None) -> Histories:
    """Return people u0, u1, ... with histories of (position, confidence, bought)."""
    flat = [entry for person in people for entry in person]
    return Histories(
        user_ids=pa.array([f"u{n}" for n in range(len(people))], pa.string()),
        offsets=np.cumsum([0, *map(len, people)]),
        positions=np.array([entry[0] for entry in flat], dtype=np.int64),
        confidences=np.array([entry[1] for entry in flat], dtype=np.float64),
        bought=np.array([entry[2] for entry in flat], dtype=np.bool_),
        segments=None if segments is None else pa.array(segments, pa.string()),
    )


def listed(model: ItemFactors, candidate_set: CandidateSet, histories: Histories, k: int, reasons: int = 2) -> Listed:
    (only,) = make_lists(Ranker(model, candidate_set), histories, k, reasons)
    return only


def rows_of(
    model: ItemFactors, candidate_set: CandidateSet, histories: Histories, k: int, reasons: int = 2
) -> list[dict[str, Any]]:
    """Return the rows with positions in the place of ids."""
    batch = to_batch(candidate_set, [listed(model, candidate_set, histories, k, reasons)], 7, "2026-01-05")
    batch.validate(full=True)
    names = {name: position for position, name in enumerate(candidate_set.items.to_pylist())}
    rows: list[dict[str, Any]] = batch.to_pylist()
    for row in rows:
        for entry in row["recommendations"]:
            entry["item_id"] = names[entry["item_id"]]
            entry["reasons"] = [(names[reason["item_id"]], reason["contribution"]) for reason in entry["reasons"]]
    return rows


def shown(row: dict[str, Any]) -> list[tuple[int, str]]:
    return [(entry["item_id"], entry["source"]) for entry in row["recommendations"]]


ONE = [(3, 1.0, True), (8, 2.0, False), (9, 0.0, True)]


def test_the_list_is_the_order_of_the_scores_without_what_was_bought(model: ItemFactors) -> None:
    """Scores are Y x; also what was bought too long ago to teach stays away, and what was only looked at comes back."""
    histories = people_with(ONE)
    scores = model.factors.astype(np.float64) @ fold_in_people(model, histories).vectors[0]
    order = [n for n in np.argsort(-scores).tolist() if n not in {3, 9}]

    (row,) = rows_of(model, CandidateSet.plain(model.items), histories, 12)
    assert shown(row) == [(n, "factors") for n in order[:12]]
    np.testing.assert_allclose([e["score"] for e in row["recommendations"]], scores[order[:12]], rtol=1e-6)
    assert (row["user_id"], row["model_version"], row["run_date"], row["short"]) == ("u0", 7, "2026-01-05", None)


def test_contributions_of_all_past_items_add_up_to_the_score(model: ItemFactors) -> None:
    """Boosts multiply all of it; where a past item speaks against another it is left out, and the rest is more."""
    histories = people_with([(3, 1.0, True), (8, 2.0, True), (11, 0.5, True)], [(20, 1.0, True)])
    candidate_set = replace(CandidateSet.plain(model.items), boosts=np.linspace(0.5, 2, ITEMS).astype(np.float32))
    whole = 0
    for row, past in zip(rows_of(model, candidate_set, histories, 20, reasons=4), (3, 1), strict=True):
        for entry in row["recommendations"]:
            total = sum(part for _, part in entry["reasons"])
            if len(entry["reasons"]) == past:
                assert total == pytest.approx(entry["score"], rel=1e-5)
                whole += past == 3
            else:
                assert total > entry["score"]
    assert whole >= 5


def test_reasons_are_the_largest_contributions_and_never_speak_against_an_item(model: ItemFactors) -> None:
    """Against (YtCY + lambda n I)^-1 Yt Cp written out; some past items pull the score down."""
    signed = replace(model, factors=np.random.default_rng(5).normal(size=(ITEMS, 5)).astype(np.float32))
    past, ratings = [3, 8, 11], np.array([1.0, 2.0, 0.5])
    y = signed.factors.astype(np.float64)
    system = y.T @ y + (y[past].T * (1.5 * ratings)) @ y[past] + 0.1 * 3 * np.eye(5)
    parts = y @ np.linalg.solve(system, y[past].T * (1 + 1.5 * ratings))

    histories = people_with([(n, float(r), True) for n, r in zip(past, ratings, strict=True)])
    (row,) = rows_of(signed, CandidateSet.plain(model.items), histories, ITEMS, reasons=2)
    lengths = set()
    for entry in row["recommendations"]:
        mine = parts[entry["item_id"]]
        expected = sorted(((-part, n) for part, n in zip(mine, past, strict=True) if part > 0))[:2]
        assert [n for n, _ in entry["reasons"]] == [n for _, n in expected]
        np.testing.assert_allclose([p for _, p in entry["reasons"]], [-part for part, _ in expected], rtol=1e-4)
        lengths.add(len(expected))
    assert lengths == {0, 1, 2}


@pytest.mark.parametrize("seed", range(8))
def test_reasons_are_the_parts_of_the_score_written_out(model: ItemFactors, seed: int) -> None:
    """Past item j adds boost * (y_i A^-1 y_j c_j + r_j ** power * link of j to i); two of four were not bought."""
    generator = np.random.default_rng(seed)
    dense = np.where(generator.random((ITEMS, ITEMS)) < 0.3, generator.normal(size=(ITEMS, ITEMS)), 0.0)
    sources, targets = np.nonzero(dense)
    starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=ITEMS))])
    links = ItemItemWeights(starts, targets.astype(np.int32), dense[sources, targets].astype(np.float32), 0.5)
    linked = replace(model, factors=generator.normal(size=(ITEMS, 5)).astype(np.float32), links=links)
    past, ratings = generator.permutation(ITEMS)[:4], generator.uniform(0.5, 3, 4)
    y = linked.factors.astype(np.float64)
    system = y.T @ y + (y[past].T * (1.5 * ratings)) @ y[past] + 0.1 * 4 * np.eye(5)
    parts = y @ np.linalg.solve(system, y[past].T * (1 + 1.5 * ratings)) + dense[past].T * np.sqrt(ratings)
    candidate_set = replace(CandidateSet.plain(model.items), boosts=generator.uniform(0.5, 2, ITEMS).astype(np.float32))
    parts *= candidate_set.boosts[:, None]

    entries = [(int(n), float(r), place < 2) for place, (n, r) in enumerate(zip(past, ratings, strict=True))]
    (row,) = rows_of(linked, candidate_set, people_with(entries), ITEMS, reasons=3)
    assert len(row["recommendations"]) == ITEMS - 2
    for entry in row["recommendations"]:
        item = entry["item_id"]
        assert entry["score"] == pytest.approx(parts[item].sum(), rel=1e-5, abs=1e-6)
        speaks = [(-part, int(n)) for part, n in zip(parts[item], past, strict=True) if part > 0]
        expected = sorted(each for each in speaks if each[1] != item or dense[item, item] > 0)[:3]
        assert [n for n, _ in entry["reasons"]] == [n for _, n in expected]
        np.testing.assert_allclose([part for _, part in entry["reasons"]], [-p for p, _ in expected], rtol=2e-4)


def test_an_item_is_a_reason_for_itself_only_where_it_is_a_habit(model: ItemFactors) -> None:
    """Items 3 and 8 may be bought again; a link of 3 to itself says that people do so, for 8 there is none."""
    links = ItemItemWeights(
        starts=np.array([0] * 4 + [1] * 5 + [2] * 22), targets=np.array([3, 5], np.int32), values=np.ones(2, np.float32)
    )
    histories = people_with([(3, 1.0, False), (8, 2.0, False)])
    (row,) = rows_of(replace(model, links=links), CandidateSet.plain(model.items), histories, ITEMS, reasons=3)
    reasons = {entry["item_id"]: [n for n, _ in entry["reasons"]] for entry in row["recommendations"]}
    assert set(reasons[3]) == {3, 8}
    assert reasons[8] == [3]
    assert reasons[5][0] == 8, "the link of 8 to 5 adds 2.0"
    assert {source for _, source in shown(row)} == {"factors+links"}


def test_links_alone_rank_what_they_speak_for_and_popularity_follows(model: ItemFactors) -> None:
    """Item 3 leads to 5 and 6 with 0.5 and 1.5, with r = 2; nothing is known of any other item."""
    links = ItemItemWeights(
        starts=np.array([0] * 4 + [2] * 27),
        targets=np.array([5, 6], dtype=np.int32),
        values=np.array([0.5, 1.5], dtype=np.float32),
    )
    only = replace(model, factors=np.empty((ITEMS, 0), dtype=np.float32), links=links)
    (row,) = rows_of(only, CandidateSet.plain(model.items), people_with([(3, 2.0, True)]), 4)
    assert shown(row) == [(6, "links"), (5, "links"), (29, "popularity"), (28, "popularity")]
    assert [entry["score"] for entry in row["recommendations"]][:2] == [3.0, 1.0]
    assert [entry["reasons"] for entry in row["recommendations"]] == [[(3, 3.0)], [(3, 1.0)], [], []]


@pytest.mark.parametrize("person", [[], [(29, 0.0, False)]], ids=["nothing", "too long ago"])
def test_without_a_usable_history_popularity_ranks_and_says_so(model: ItemFactors, person: list[Entry]) -> None:
    """A shelf that knows nothing of recent days leaves the people of training: 30, 28, 27 of 30."""
    (row,) = rows_of(model, CandidateSet.plain(model.items), people_with(person), 3)
    assert shown(row) == [(29, "popularity"), (28, "popularity"), (27, "popularity")]
    np.testing.assert_allclose([e["score"] for e in row["recommendations"]], [1.0, 28 / 30, 27 / 30], rtol=1e-6)
    assert [entry["reasons"] for entry in row["recommendations"]] == [[], [], []]


def popular_shelf(model: ItemFactors, **rules: Any) -> CandidateSet:
    """Return a shelf with the new items 30 and 31; France likes 4 and 31, everybody 2, 30, 4, 31."""

    def popular(positions: list[int], scores: list[float]) -> Popular:
        return Popular(np.array(positions), np.array(scores, dtype=np.float32))

    candidate_set = CandidateSet.plain(pa.concat_arrays([model.items, pa.array(["new one", "new two"])]))
    everybody = popular([2, 30, 4, 31], [0.5, 0.4, 0.25, 0.125])
    return replace(candidate_set, popular={EVERYBODY: everybody, "FR": popular([4, 31], [0.75, 0.5])}, **rules)


def test_popularity_of_the_segment_then_of_everybody_then_of_training(model: ItemFactors) -> None:
    """Nothing twice, nothing bought; a segment that is unknown or too small is everybody's."""
    histories = people_with([], [], [], [(4, 0.0, True)], segments=["FR", None, "XX", "FR"])
    france, nobody, unknown, bought = map(shown, rows_of(model, popular_shelf(model), histories, 5))
    here, all_ = "popularity:FR", "popularity"
    assert france == [(4, here), (31, here), (2, all_), (30, all_), (29, all_)]
    assert nobody == unknown == [(2, all_), (30, all_), (4, all_), (31, all_), (29, all_)]
    assert bought == [(31, here), (2, all_), (30, all_), (29, all_), (28, all_)]


def test_there_may_be_hundreds_of_segments(model: ItemFactors) -> None:
    """Each of 300 has its own popular item."""
    own = {f"S{n}": Popular(np.array([n % ITEMS]), np.ones(1, dtype=np.float32)) for n in range(300)}
    everybody = Popular(np.array([2]), np.ones(1, dtype=np.float32))
    candidate_set = replace(CandidateSet.plain(model.items), popular={EVERYBODY: everybody, **own})
    rows = rows_of(model, candidate_set, people_with(*[[]] * 300, segments=list(own)), 1)
    assert [shown(row) for row in rows] == [[(n % ITEMS, f"popularity:S{n}")] for n in range(300)]


def test_places_at_the_end_are_kept_for_new_items(model: ItemFactors) -> None:
    """Whoever bought a new item is not shown it again; a list that already shows one counts it."""
    candidate_set = popular_shelf(model, new_per_list=1)
    histories = people_with(ONE, ONE, [*ONE, (31, 1.0, True)], [], segments=[None, "FR", "FR", None])
    first, france, bought, nobody = map(shown, rows_of(model, candidate_set, histories, 5))
    assert [source for _, source in first] == ["factors"] * 4 + ["new"]
    assert first[-1] == (30, "new")
    assert france == [*first[:4], (31, "new")]
    assert bought == [*first[:4], bought[4]]
    assert nobody == [(n, "popularity") for n in (2, 30, 4, 31, 29)]


def test_a_new_item_of_everybody_stands_in_where_the_segment_has_none(model: ItemFactors) -> None:
    candidate_set = popular_shelf(model, new_per_list=1)
    no_news = Popular(np.array([4]), np.array([0.75], dtype=np.float32))
    candidate_set = replace(candidate_set, popular={**candidate_set.popular, "FR": no_news})
    (row,) = rows_of(model, candidate_set, people_with(ONE, segments=["FR"]), 5)
    assert shown(row)[-1] == (30, "new")


def test_a_cap_holds_in_every_source(model: ItemFactors) -> None:
    """Categories by threes of positions, one of each in a list; there are ten, and twelve places."""
    candidate_set = replace(CandidateSet.plain(model.items), groups=np.arange(ITEMS, dtype=np.int32) // 3, cap=1)
    for row in rows_of(model, candidate_set, people_with(ONE, []), 12):
        groups = [position // 3 for position, _ in shown(row)]
        assert sorted(groups) == list(range(10))
    assert "10 of 12" in str(row["short"])
    assert "at most 1 of one category" in str(row["short"])


def test_items_without_a_category_are_not_capped(model: ItemFactors) -> None:
    candidate_set = replace(CandidateSet.plain(model.items), cap=1)
    assert all(len(row["recommendations"]) == 12 for row in rows_of(model, candidate_set, people_with(ONE, []), 12))


def test_a_short_list_says_why(model: ItemFactors) -> None:
    """Five items are allowed; one person has bought two of them and an item that is not allowed."""
    candidate_set = CandidateSet.plain(model.items, np.isin(np.arange(ITEMS), [1, 2, 3, 4, 5]))
    histories = people_with([(1, 1.0, True), (2, 0.0, True), (7, 1.0, True)], [(9, 1.0, True)], [])
    bought, much, nobody = rows_of(model, candidate_set, histories, 6)
    assert {n for n, _ in shown(bought)} == {3, 4, 5}
    assert bought["short"] == "3 of 6: 2 of 5 allowed items were bought before"
    assert much["short"] == nobody["short"] == "5 of 6: 5 items are allowed"
    assert [n for n, _ in shown(nobody)] == [5, 4, 3, 2, 1]


def test_nothing_allowed_is_an_empty_list(model: ItemFactors) -> None:
    candidate_set = CandidateSet.plain(model.items, np.zeros(ITEMS, dtype=np.bool_))
    for row in rows_of(model, candidate_set, people_with(ONE, []), 4):
        assert (row["recommendations"], row["short"]) == ([], "0 of 4: 0 items are allowed")


def test_rows_of_several_blocks_follow_each_other(model: ItemFactors) -> None:
    """Sources are numbered differently in each block; the text of a short list stays with its person."""
    candidate_set = replace(popular_shelf(model), allowed=np.isin(np.arange(ITEMS + 2), [2, 4, 5, 30, 31]))
    blocks = [
        listed(model, candidate_set, people_with(ONE), 4),
        listed(model, candidate_set, people_with([], [(2, 0.0, True)], segments=["FR", None]), 4),
    ]
    batch = to_batch(candidate_set, blocks, 1, "2026-01-05")
    batch.validate(full=True)
    assert batch.schema.names == SCHEMA.names
    first, france, other = batch.to_pylist()
    assert [entry["source"] for entry in first["recommendations"]] == ["factors"] * 3 + ["popularity"]
    assert [entry["source"] for entry in france["recommendations"]] == ["popularity:FR"] * 2 + ["popularity"] * 2
    assert [entry["source"] for entry in other["recommendations"]] == ["popularity"] * 4
    assert [row["short"] for row in (first, france, other)] == [None, None, None]
