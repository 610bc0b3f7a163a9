"""The list gate: when a batch is refused, and with which sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.settings import REPOSITORY
from refit.config import ListGate, Lists
from refit.lists.exposures import pack
from refit.lists.gate import judge_lists, sum_counts
from refit.lists.gate_checks import describe_number
from refit.lists.previous_batch import NOTHING, Before, Overlap
from refit.verdicts import Measure, Verdict

GOOD_COUNTS = {
    "received": 1_000,
    "without_consent": 0,
    "people": 1_000,
    "filled": 995,
    "empty": 0,
    "by_popularity": 40,
    "with_new": 3,
    "repeats": 0,
    "bought": 0,
    "withdrawn": 0,
    "gaps": 0,
    "disordered": 0,
    "flat": 0,
    "over_cap": 0,
    "unknown": 0,
    "twice": 0,
    "items": 200,
    "allowed": 180,
    "places": 9_990,
    "shown": 100,
    "top_share": 0.1,
    "gini": 0.8,
}
DIGEST = "ab" * 32
GOOD: dict[str, Any] = {
    "batch": "b",
    "run_date": "2026-01-05",
    "as_of": "2026-01-05T00:00:00+00:00",
    "model": {"version": 3, "digest": DIGEST},
    "counts": GOOD_COUNTS,
    "parts": [{"rows": 600, "bytes": 60_000}, {"rows": 400, "bytes": 40_000}],
    "newest_event_day": "2026-01-04",
    "stale_days": 0,
    "eligible": 1_000,
    "rules": "r1",
}
EARLIER = {**GOOD, "batch": "a", "run_date": "2026-01-04", "newest_event_day": "2026-01-03"}
POLICY = ListGate(min_people=1_000, min_filled=0.99, min_catalogue=0.1)
FIRST = Before(None, missing=NOTHING)


def changed(record: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return *record* with another value of counts, of the model, of all parts or of its own."""
    counts = {name: value for name, value in change.items() if name in GOOD_COUNTS}
    own = {name: value for name, value in change.items() if name in record and name not in {"bytes", "rows"}}
    parts = [{**part, **{name: change[name] for name in part if name in change}} for part in record["parts"]]
    model = {**record["model"], **{name: change[name] for name in record["model"] if name in change}}
    return {**record, **own, "model": model, "parts": parts, "counts": {**record["counts"], **counts}}


def judged(change: dict[str, Any], before: Before = FIRST, *, approved: str | None = DIGEST) -> Verdict:
    return judge_lists(changed(GOOD, change), POLICY, approved=approved, before=before)


def against(median: float | None = 0.6, found: int = 990, same: float = 0.1, **earlier: Any) -> Before:
    """Return the batch of the day before, in which 990 of 1,000 people were found."""
    return Before(changed(EARLIER, earlier), Overlap(1_000, found, median, same))


def measured(change: dict[str, Any], before: Before, name: str) -> Measure:
    """Return what was asked of *name* in comparison with the batch *before*."""
    found = {measure.name: measure for measure in judged(change, before).measures}
    return found[f"{name}_against_before"]


def test_a_batch_that_just_meets_every_limit_is_published() -> None:
    verdict = judged({"filled": 990, "empty": 0, "by_popularity": 500, "flat": 1, "shown": 20, "top_share": 0.9})
    assert (verdict.decision, verdict.reasons, verdict.warnings) == ("publish", (), ())
    assert all(measure.passed and measure.note for measure in verdict.measures)


ALONE: list[tuple[dict[str, Any], str]] = [
    (
        {"people": 999, "filled": 999, "rows": 499.5},
        "people is 999, at least 1,000 is asked (n 999, lists.gate.min_people): too few people have a list",
    ),
    (
        {"eligible": 1_006},
        "share_covered is 0.994, at least 0.995 is asked (n 1,006, lists.gate.min_covered): people who may be served",
    ),
    (
        {"rows": 400},
        "rows_amiss is 200, exactly 0 is asked (n 1,000): the files do not hold the people who were counted",
    ),
    ({"filled": 989}, "share_filled is 0.989, at least 0.99 is asked (n 1,000, lists.gate.min_filled): too many lists"),
    (
        {"by_popularity": 501},
        "share_by_popularity is 0.501, at most 0.5 is asked (n 1,000, lists.gate.max_popularity): the model knows",
    ),
    ({"flat": 2}, "share_flat is 0.002, at most 0.001 is asked (n 1,000, lists.gate.max_flat): the model gives all"),
    ({"without_consent": 1}, "without_consent is 1, exactly 0 is asked (n 1,000): people were served who have not"),
    ({"twice": 1}, "twice is 1, exactly 0 is asked (n 1,000): people are out of order, so somebody could be"),
    ({"empty": 1}, "empty is 1, exactly 0 is asked (n 1,000): lists hold nothing"),
    ({"repeats": 2}, "repeats is 2, exactly 0 is asked (n 1,000): lists hold an item twice"),
    ({"bought": 1}, "bought is 1, exactly 0 is asked (n 1,000): lists hold what the person has bought"),
    ({"withdrawn": 3}, "withdrawn is 3, exactly 0 is asked (n 1,000): lists hold what may not be shown"),
    ({"unknown": 1}, "unknown is 1, exactly 0 is asked (n 1,000): lists hold ids that are not in the candidate set"),
    ({"gaps": 1}, "gaps is 1, exactly 0 is asked (n 1,000): lists have an empty place before an item"),
    ({"disordered": 1}, "disordered is 1, exactly 0 is asked (n 1,000): lists have scores that are not finite"),
    ({"over_cap": 1}, "over_cap is 1, exactly 0 is asked (n 1,000): lists hold more of one category than"),
    (
        {"shown": 19},
        "share_of_catalogue is 0.095, at least 0.1 is asked (n 200, lists.gate.min_catalogue): too few different",
    ),
    (
        {"top_share": 0.91},
        "top_share is 0.91, at most 0.9 is asked (n 9,990, lists.gate.max_top_share): a hundredth of the items is",
    ),
    ({"gini": 0.996}, "gini is 0.996, at most 0.995 is asked (n 9,990, lists.gate.max_gini): items are shown too"),
    (
        {"stale_days": 3},
        "stale_days is 3, at most 2 is asked (n 1, lists.gate.max_stale_days): these open days before "
        "2026-01-05T00:00:00+00:00 have no events, the newest event is of 2026-01-04",
    ),
    (
        {"digest": "cd" * 32},
        "other_model is 1, exactly 0 is asked (n 1): version 3 became champion with abababababababab and scored with "
        "cdcdcdcdcdcdcdcd",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), ALONE, ids=[sentence.split(" is ")[0] for _, sentence in ALONE])
def test_each_limit_refuses_with_its_numbers_and_no_other_one_does(change: dict[str, Any], sentence: str) -> None:
    verdict = judged(change)
    assert verdict.decision == "refuse"
    assert [reason[: len(sentence)] for reason in verdict.reasons] == [sentence]


SINCE = "in batch a of 2026-01-04"
COMPARED: list[tuple[dict[str, Any], Before, str]] = [
    (
        {},
        against(people=1_053, rows=526.5),
        "people_against_before is 1,000, at least 1,000.35 and at most 1,368.9 is asked (n 1,000; it was 1,053 in "
        "batch a of 2026-01-04; lists.gate.max_people_lost, max_people_gained)",
    ),
    ({}, against(people=769, rows=384.5), "people_against_before is 1,000, at least 730.55 and at most 999.7 is asked"),
    (
        {"by_popularity": 141},
        against(),
        "share_by_popularity_against_before is 0.141, at most 0.14 is asked (n 1,000; it was 0.04",
    ),
    (
        {"places": 6_900},
        against(),
        "places_per_person_against_before is 6.9, at least 6.993 and at most 12.987 is asked (n 1,000; it was 9.99",
    ),
    ({"places": 13_000}, against(), "places_per_person_against_before is 13, at least 6.993 and at most 12.987"),
    ({"bytes": 66_000}, against(), "bytes_per_person_against_before is 132, at least 70 and at most 130 is asked"),
    ({"bytes": 34_000}, against(), "bytes_per_person_against_before is 68, at least 70 and at most 130 is asked"),
    ({"top_share": 0.16}, against(), "top_share_against_before is 0.16, at most 0.15 is asked (n 1,000; it was 0.1"),
    ({"gini": 0.86}, against(), "gini_against_before is 0.86, at most 0.85 is asked (n 1,000; it was 0.8"),
    ({"shown": 79}, against(), "shown_against_before is 79, at least 80 is asked (n 1,000; it was 100"),
    (
        {},
        against(found=690),
        "share_new_against_before is 0.31, at most 0.3 is asked (n 1,000, lists.gate.max_people_gained): people of "
        f"this batch are not {SINCE}",
    ),
    (
        {},
        against(median=0.19),
        "overlap_against_before is 0.19, at least 0.2 is asked (n 990, lists.gate.min_overlap): the lists have little "
        f"to do with those {SINCE}",
    ),
    (
        {"digest": "cd" * 32, "version": 4},
        against(median=0.019),
        "overlap_against_before is 0.019, at least 0.02 is asked (n 990, lists.gate.min_overlap_changed): the lists "
        f"have little to do with those {SINCE}, since then version 4 has followed 3",
    ),
]


@pytest.mark.parametrize(
    ("change", "before", "sentence"), COMPARED, ids=[line.split(" is ")[0] for *_, line in COMPARED]
)
def test_each_comparison_refuses_with_its_numbers_and_no_other_one_does(
    change: dict[str, Any], before: Before, sentence: str
) -> None:
    verdict = judged(change, before, approved=change.get("digest", DIGEST))
    assert verdict.decision == "refuse"
    assert [reason[: len(sentence)] for reason in verdict.reasons] == [sentence]


@pytest.mark.parametrize(("places", "limit"), [(6_990, 6_993), (9_990, 12_987), (12_990, 12_987)])
def test_of_two_limits_the_one_that_was_passed_is_told(places: int, limit: int) -> None:
    """Of a thousand people with 9,990 places before, three tenths may be lost or gained; where none was, the upper."""
    found = measured({"places": places}, against(), "places_per_person")
    assert (found.limit, found.passed) == (pytest.approx(limit / 1_000), places == 9_990)


@pytest.mark.parametrize(("people", "passed"), [(949, False), (950, True), (1_300, True), (1_301, False)])
def test_a_number_at_its_limit_passes_and_the_next_one_does_not(people: int, passed: bool) -> None:
    """Of a thousand people a twentieth may be lost, three tenths gained."""
    assert measured({"people": people}, against(), "people").passed == passed


@pytest.mark.parametrize("earlier", [{"run_date": "2025-12-08"}, {"people": 100, "rows": 50}], ids=["old", "small"])
def test_the_oldest_and_the_smallest_batch_before_that_count_are_compared_with(earlier: dict[str, Any]) -> None:
    """28 days ago, or of a hundred people."""
    assert measured({}, against(**earlier), "people").value == 1_000


def test_without_anybody_in_both_batches_the_overlap_passes_and_says_why() -> None:
    found = measured({}, Before(EARLIER, Overlap(1_000, 0, None, None)), "overlap")
    assert (found.value, found.passed, found.note) == (
        None,
        True,
        "overlap_against_before: nobody is in both batches",
    )


def test_of_what_is_never_tolerated_the_limit_is_told_as_none() -> None:
    found = {measure.name: measure for measure in judged({"withdrawn": 1}).measures}
    assert [(found[name].limit, found[name].passed) for name in ("withdrawn", "bought")] == [(0, False), (0, True)]


def test_numbers_above_one_are_told_with_six_digits_and_those_below_with_four() -> None:
    assert [describe_number(number) for number in (0.1234567, 1.234567, -1.234567)] == ["0.1235", "1.23457", "-1.23457"]


def test_a_batch_within_every_limit_of_the_one_before_is_published() -> None:
    verdict = judged(
        {"by_popularity": 138, "places": 7_000, "top_share": 0.149, "gini": 0.849, "shown": 80},
        against(median=0.2, found=701, people=1_052, rows=526),
    )
    assert (verdict.reasons, verdict.warnings) == ((), ())
    assert sum(measure.name.endswith("_against_before") for measure in verdict.measures) == 9


@pytest.mark.parametrize("change", [{"digest": "cd" * 32, "version": 4}, {"rules": "r2"}], ids=["champion", "rules"])
def test_after_a_change_that_people_decided_lists_may_differ_more(change: dict[str, Any]) -> None:
    """Three times as much, and the overlap may be small; nothing of it would pass without the change."""
    other = {"places": 2_000, "bytes": 90_000, "top_share": 0.24, "gini": 0.94, "shown": 41, "filled": 1_000}
    before = against(median=0.03)
    verdict = judged({**other, **change}, before, approved=change.get("digest", DIGEST))
    assert verdict.reasons == ()
    assert len(judged(other, before).reasons) == 6


def test_neither_more_people_nor_fewer_are_excused_by_a_new_champion() -> None:
    before = against(people=1_100, rows=550, digest="cd" * 32)
    assert [reason.split(" is ")[0] for reason in judged({}, before).reasons] == ["people_against_before"]


def test_lists_that_do_not_move_with_new_data_are_a_warning_and_no_refusal() -> None:
    """The lists of most people are the same from one day to the next, but never those of all."""
    verdict = judged({}, against(median=1.0, same=1.0))
    assert verdict.decision == "publish"
    assert verdict.warnings == (
        "100.00% of the lists (n 990) hold what they held in batch a of 2026-01-04, although events up to 2026-01-04 "
        "have come in since 2026-01-03: see whether histories still reach the model",
    )
    assert verdict.as_record()["warnings"] == list(verdict.warnings)
    assert judged({}, against(median=1.0, same=0.998)).warnings == ()
    same_data = against(median=1.0, same=1.0, newest_event_day="2026-01-04")
    assert judged({}, same_data).warnings == (), "the same data, the same lists"


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (FIRST, "no batch before"),
        (against(run_date="2025-12-07"), "the batch before is of 2025-12-07, 29 days ago"),
        (against(people=99, rows=1), "one of the batches has 99 people, with fewer than 100 chance decides"),
    ],
    ids=["first", "long ago", "small"],
)
def test_without_a_batch_to_compare_with_comparisons_pass_and_say_why(before: Before, why: str) -> None:
    verdict = judged({}, before)
    assert (verdict.decision, verdict.warnings) == ("publish", ())
    spared = [measure for measure in verdict.measures if measure.name.endswith("_against_before")]
    assert {measure.note for measure in spared} == {f"{measure.name}: {why}" for measure in spared}
    assert [(measure.value, measure.n) for measure in spared] == [(None, 0)] * 9


def test_a_batch_before_that_cannot_be_read_is_a_warning() -> None:
    """Publishing is what repairs it, so it must not be in the way."""
    verdict = judged({}, Before(None, missing="the batch before cannot be read: index.json is gone"))
    assert verdict.decision == "publish"
    assert verdict.warnings == ("nothing was compared: the batch before cannot be read: index.json is gone",)


def test_a_shelf_or_a_batch_that_is_too_small_for_a_share_is_not_judged_by_it() -> None:
    small = judged({"allowed": 99, "items": 99, "shown": 99, "top_share": 1.0})
    thin = judged({"allowed": 10_000, "gini": 0.999})
    assert (small.decision, thin.decision) == ("publish", "publish")
    assert [measure.note for measure in small.measures if measure.name == "top_share"] == [
        "top_share: a hundredth of 99 items is less than one"
    ]


def test_a_batch_without_people_is_refused_for_every_number_that_is_unknown() -> None:
    """Missing evidence never passes, whatever the limits are."""
    nobody = {**GOOD, "counts": dict.fromkeys(GOOD_COUNTS, 0), "parts": [], "eligible": None}
    lenient = ListGate(min_covered=0, min_filled=0, min_catalogue=0, max_popularity=1, max_flat=1)
    verdict = judge_lists(nobody, lenient, approved=DIGEST, before=against())
    assert [reason.split(",")[0] for reason in verdict.reasons] == [
        "people is 0",
        "share_covered is unknown",
        "share_filled is unknown",
        "share_by_popularity is unknown",
        "share_flat is unknown",
        "share_of_catalogue is unknown",
    ]


def test_facts_that_are_missing_are_refused() -> None:
    """A batch that does not say how fresh it is, by a champion that the registry does not have."""
    silent = {name: value for name, value in GOOD.items() if name not in {"stale_days", "newest_event_day"}}
    verdict = judge_lists(silent, POLICY, approved=None, before=FIRST)
    assert [reason.split(",")[0] for reason in verdict.reasons] == ["stale_days is unknown", "other_model is unknown"]
    assert verdict.reasons[1].endswith("version 3 never became champion")


def test_without_a_users_table_those_who_came_in_are_to_be_covered() -> None:
    verdict = judged({"eligible": None, "received": 1_100})
    assert [reason.split(",")[0] for reason in verdict.reasons] == ["share_covered is 0.9091"]


def test_all_reasons_are_given_at_once() -> None:
    verdict = judged({"filled": 1, "empty": 5, "bought": 7, "gini": 1.0}, against(median=0.0))
    names = [reason.split(" is ")[0] for reason in verdict.reasons]
    assert names == ["share_filled", "empty", "bought", "gini", "gini_against_before", "overlap_against_before"]


def test_limits_of_the_gate_are_no_rule_of_the_lists() -> None:
    """Raising a limit does not widen the others; a rule that decides what is shown does."""
    assert Lists(gate=ListGate(max_gini=0.5)).rules == Lists().rules
    assert Lists(min_price=1.0).rules != Lists().rules


def test_every_limit_is_explained() -> None:
    describe_number = (REPOSITORY / "docs" / "lists.md").read_text(encoding="utf-8")
    assert [name for name in ListGate.model_fields if f"`{name}`" not in describe_number] == []


def measures(verdict: Verdict) -> dict[str, Any]:
    return {measure.name: measure for measure in verdict.measures}


def test_a_hundred_items_are_enough_for_the_share_of_a_hundredth() -> None:
    (reason,) = judged({"allowed": 100, "top_share": 0.95}).reasons
    assert reason.startswith("top_share is 0.95, at most 0.9 is asked")


def test_as_many_places_as_items_are_enough_for_the_gini_index_and_fewer_are_told() -> None:
    (reason,) = judged({"places": 180, "gini": 0.996}).reasons
    assert reason.startswith("gini is 0.996, at most 0.995 is asked (n 180")
    few = judged({"places": 179, "gini": 0.996})
    assert few.decision == "publish"
    assert measures(few)["gini"].note == "gini: 180 items cannot be shown equally often in 179 places"


def test_people_whose_list_is_empty_are_not_covered() -> None:
    found = measures(judged({"empty": 10}))
    assert (found["share_covered"].value, found["share_covered"].passed) == (0.99, False)
    assert found["empty"].value == 10


def test_of_events_nobody_knows_about_it_is_said_that_they_are_unknown() -> None:
    (reason,) = judged({"newest_event_day": None, "stale_days": 30}).reasons
    assert reason.endswith("have no events, the newest event is of unknown")


def test_counts_of_blocks_are_added_and_what_they_share_is_not() -> None:
    """The shelf is the same for all of them; exposures are added by item."""
    blocks = [
        {"people": 2, "places": 4, "items": 3, "allowed": 3, "exposures": pack(np.array([2, 2, 0]))},
        {"people": 1, "places": 2, "items": 3, "allowed": 3, "exposures": pack(np.array([2, 0, 0]))},
    ]
    total = sum_counts(blocks)
    assert {name: total[name] for name in ("people", "places", "items", "allowed")} == {
        "people": 3,
        "places": 6,
        "items": 3,
        "allowed": 3,
    }
    assert total["shown"] == 2


def test_of_another_model_sixteen_digits_of_both_digests_are_told() -> None:
    (reason,) = judged({}, approved="0123456789abcdef99").reasons
    assert reason.endswith(f"version 3 became champion with 0123456789abcdef and scored with {DIGEST[:16]}")


def test_a_batch_of_one_block_is_counted_like_any_other() -> None:
    block = {"people": 2, "places": 4, "items": 3, "allowed": 3, "exposures": pack(np.array([2, 2, 0]))}
    assert sum_counts([block])["people"] == 2
