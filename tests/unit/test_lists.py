"""Lists of one person, and the gate that looks at all of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from refit.config import Lists
from refit.factors import ItemFactors
from refit.fold_in import History, fold_in
from refit.lists import FACTORS, POPULARITY, SCHEMA, Counts, Ranked, judge_lists, rank_for, sum_counts, to_batch

ITEMS = 30
EVERYTHING = np.ones(ITEMS, dtype=np.bool_)


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


def history(*entries: tuple[int, float, bool], user_id: str = "ann") -> History:
    """Return a history of (position, confidence, bought)."""
    columns = [np.array([entry[n] for entry in entries]) for n in range(3)] if entries else [np.empty(0)] * 3
    return History(user_id, columns[0].astype(np.int64), columns[1].astype(np.float64), columns[2].astype(np.bool_))


def test_the_list_is_the_order_of_the_scores(model: ItemFactors) -> None:
    """Scores are Y x for the folded-in vector x; nothing was bought, so all items are ranked."""
    person = history((3, 1.0, False), (8, 2.0, False))
    vector = fold_in(model, person.positions, person.confidences).vector
    scores = model.factors.astype(np.float64) @ vector

    ranked = rank_for(model, person, EVERYTHING, Lists(k=ITEMS))
    assert ranked.source == FACTORS
    assert ranked.positions.tolist() == np.argsort(-scores).tolist()
    np.testing.assert_allclose(ranked.scores, np.sort(scores)[::-1], atol=1e-6)


def test_what_was_bought_is_never_shown(model: ItemFactors) -> None:
    """Not even when it was bought so long ago that it teaches nothing; what was only looked at may come back."""
    person = history((3, 1.0, True), (8, 2.0, False), (9, 0.0, True))
    ranked = rank_for(model, person, EVERYTHING, Lists(k=ITEMS))
    assert sorted(ranked.positions.tolist()) == [n for n in range(ITEMS) if n not in {3, 9}]


def test_what_was_withdrawn_is_never_shown(model: ItemFactors) -> None:
    allowed = EVERYTHING.copy()
    allowed[[0, 8, 29]] = False
    for person in (history((8, 2.0, False)), history()):
        ranked = rank_for(model, person, allowed, Lists(k=ITEMS))
        assert sorted(ranked.positions.tolist()) == np.flatnonzero(allowed).tolist()
    assert allowed.sum() == ITEMS - 3, "what was passed in is left as it was"


@pytest.mark.parametrize("person", [history(), history((29, 0.0, False))], ids=["nothing", "too long ago"])
def test_without_a_usable_history_popularity_ranks_and_says_so(model: ItemFactors, person: History) -> None:
    """The score is the share of the most popular item's people: 30, 28, 27 of 30."""
    ranked = rank_for(model, person, EVERYTHING, Lists(k=3))
    assert ranked.source == POPULARITY
    assert ranked.positions.tolist() == [29, 28, 27]
    np.testing.assert_allclose(ranked.scores, [1.0, 28 / 30, 27 / 30], rtol=1e-6)
    assert (ranked.reasons.shape, ranked.contributions.shape) == ((3, 0), (3, 0))


def test_popularity_leaves_out_what_was_bought(model: ItemFactors) -> None:
    ranked = rank_for(model, history((29, 0.0, True)), EVERYTHING, Lists(k=2))
    assert (ranked.source, ranked.positions.tolist()) == (POPULARITY, [28, 27])


def test_contributions_of_all_past_items_add_up_to_the_score(model: ItemFactors) -> None:
    person = history((3, 1.0, False), (8, 2.0, True), (11, 0.5, False), (20, 1.0, False))
    ranked = rank_for(model, person, EVERYTHING, Lists(k=10, reasons=4))
    assert ranked.contributions.shape == (10, 4)
    np.testing.assert_allclose(ranked.contributions.sum(axis=1), ranked.scores, atol=1e-6)


def test_reasons_are_the_largest_contributions_and_never_speak_against_an_item(model: ItemFactors) -> None:
    """Some past items pull the score down; there is then no reason in their place."""
    signed = replace(model, factors=np.random.default_rng(5).normal(size=(ITEMS, 5)).astype(np.float32))
    person = history((3, 1.0, False), (8, 2.0, False), (11, 0.5, False))
    whole = rank_for(signed, person, EVERYTHING, Lists(k=10, reasons=3))
    ranked = rank_for(signed, person, EVERYTHING, Lists(k=10, reasons=2))
    np.testing.assert_array_equal(ranked.contributions, np.sort(whole.contributions)[:, ::-1][:, :2])
    assert set(whole.reasons.ravel().tolist()) == {3, 8, 11, -1}
    assert ((whole.reasons == -1) == (whole.contributions <= 0)).all()

    rows = to_batch(signed, [whole], version=1, run_date="2026-01-05").to_pylist()[0]["recommendations"]
    assert [len(row["reasons"]) for row in rows] == (whole.contributions > 0).sum(axis=1).tolist()


def test_more_reasons_than_past_items_are_no_trouble(model: ItemFactors) -> None:
    ranked = rank_for(model, history((3, 1.0, False)), EVERYTHING, Lists(k=4, reasons=5))
    assert ranked.reasons.tolist() == [[3]] * 4


def test_rows_hold_what_was_ranked(model: ItemFactors) -> None:
    """A long list, one that popularity made, and one for which nothing was left."""
    nothing = np.zeros(ITEMS, dtype=np.bool_)
    ranked = [
        rank_for(model, history((3, 1.0, False), (8, 2.0, False)), EVERYTHING, Lists(k=3, reasons=2)),
        rank_for(model, history(user_id="ben"), EVERYTHING, Lists(k=2)),
        rank_for(model, history((3, 1.0, False), user_id="čeněk"), nothing, Lists(k=2)),
        rank_for(model, history(user_id="dia"), nothing, Lists(k=2)),
    ]
    batch = to_batch(model, ranked, version=7, run_date="2026-01-05")
    batch.validate(full=True)
    assert batch.schema == SCHEMA

    rows = batch.to_pylist()
    names = model.items.to_pylist()
    assert [row["user_id"] for row in rows] == ["ann", "ben", "čeněk", "dia"]
    assert {(row["model_version"], row["run_date"]) for row in rows} == {(7, "2026-01-05")}
    assert [len(row["recommendations"]) for row in rows] == [3, 2, 0, 0]
    for place, entry in enumerate(rows[0]["recommendations"]):
        assert entry["item_id"] == names[ranked[0].positions[place]]
        assert entry["score"] == float(ranked[0].scores[place])
        assert entry["source"] == "factors"
        assert [(reason["item_id"], reason["contribution"]) for reason in entry["reasons"]] == [
            (names[position], float(contribution))
            for position, contribution in zip(ranked[0].reasons[place], ranked[0].contributions[place], strict=True)
            if position >= 0
        ]
    assert rows[1]["recommendations"] == [
        {"item_id": names[29], "score": 1.0, "source": "popularity", "reasons": []},
        {"item_id": names[28], "score": pytest.approx(28 / 30), "source": "popularity", "reasons": []},
    ]


def test_rows_for_nobody_are_an_empty_table(model: ItemFactors) -> None:
    batch = to_batch(model, [], version=1, run_date="2026-01-05")
    assert (batch.num_rows, batch.schema) == (0, SCHEMA)


def _ranked(positions: list[int], scores: list[float], source: str = FACTORS) -> Ranked:
    nothing = np.empty((len(positions), 0))
    return Ranked(
        "ann",
        np.array(positions, dtype=np.int64),
        np.array(scores, dtype=np.float32),
        source,
        nothing.astype(np.int64),
        nothing.astype(np.float32),
    )


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        (_ranked([1, 2], [2.0, 1.0]), {"filled": 1}),
        (_ranked([1, 2], [1.0, 1.0], POPULARITY), {"filled": 1, "by_popularity": 1}),
        (_ranked([1], [2.0]), {}),
        (_ranked([], []), {"empty": 1}),
        (_ranked([1, 1], [2.0, 1.0]), {"filled": 1, "repeats": 1}),
        (_ranked([5, 1], [2.0, 1.0]), {"filled": 1, "bought": 1}),
        (_ranked([1, 6], [2.0, 1.0]), {"filled": 1, "withdrawn": 1}),
        (_ranked([1, 2], [1.0, 2.0]), {"filled": 1, "disordered": 1}),
        (_ranked([1, 2], [2.0, np.nan]), {"filled": 1, "disordered": 1}),
        (_ranked([1, 2], [np.inf, 2.0]), {"filled": 1, "disordered": 1}),
    ],
)
def test_each_fault_of_a_list_is_counted(ranked: Ranked, expected: dict[str, int]) -> None:
    """Position 5 was bought, position 4 only looked at, position 6 is withdrawn; lists shall hold two items."""
    allowed = EVERYTHING.copy()
    allowed[6] = False
    counts = Counts(items=ITEMS)
    counts.add(ranked, history((5, 1.0, True), (4, 1.0, False)), allowed, 2)

    faults = {"filled", "empty", "by_popularity", "repeats", "bought", "withdrawn", "disordered"}
    record = counts.as_record()
    assert record["people"] == 1
    assert {name: record[name] for name in faults if record[name]} == expected
    assert sorted(np.flatnonzero(counts.shown)) == sorted(set(ranked.positions.tolist()))


def test_counts_of_blocks_add_up_and_items_count_once() -> None:
    """Items 1, 2 and 3 are shown although one of them occurs in both blocks; JSON lies between."""
    blocks = [Counts(items=ITEMS), Counts(items=ITEMS)]
    blocks[0].add(_ranked([1, 2], [2.0, 1.0]), history(), EVERYTHING, 2)
    blocks[0].add(_ranked([], []), history(), EVERYTHING, 2)
    blocks[1].add(_ranked([2, 3], [2.0, 1.0]), history(), EVERYTHING, 2)

    total = sum_counts([json.loads(json.dumps(block.as_record())) for block in blocks])
    assert total == {
        "people": 3,
        "filled": 2,
        "empty": 1,
        "by_popularity": 0,
        "repeats": 0,
        "bought": 0,
        "withdrawn": 0,
        "disordered": 0,
        "items": ITEMS,
        "shown": 3,
    }


GOOD = {
    "people": 1_000,
    "filled": 995,
    "empty": 0,
    "by_popularity": 40,
    "repeats": 0,
    "bought": 0,
    "withdrawn": 0,
    "disordered": 0,
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


def test_a_verdict_is_plain_json_with_every_number() -> None:
    record = judge_lists(GOOD, POLICY).as_record()
    assert json.loads(json.dumps(record)) == record
    assert {measure["name"]: measure["value"] for measure in record["measures"]}["share_filled"] == 0.995
