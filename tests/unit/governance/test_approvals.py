"""Answers of people: how they are read in Airflow and in MLflow, and every one that does not count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.audited_shop import ANSWERED, REGISTERED, AuditedShop, in_airflow

from pipelines.schedule import read_schedule
from refit.adapters.airflow_answers import read_answer
from refit.config import Approvals, load_shop
from refit.errors import ConfigurationError, ModelDamagedError, NotApprovedError
from refit.governance.approvals import decided_challenger
from refit.governance.audit_log import Record

Tell = Callable[[str, str], None]
DIGEST = "0123456789abcdef"


def last_refusal(shop: AuditedShop) -> Record:
    record = shop.log.verified()[-1]
    assert record.kind == "refusal"
    return record


@pytest.fixture
def shop() -> AuditedShop:
    return AuditedShop()


def test_only_a_named_person_who_chose_approve_approves() -> None:
    assert read_answer(in_airflow()).approved
    assert not read_answer(in_airflow("Reject")).approved
    assert not read_answer(in_airflow(by=None)).approved
    assert not read_answer({**in_airflow(), "chosen_options": ["Approve", "Reject"]}).approved


def test_an_answer_is_read_with_name_reason_and_time_in_utc() -> None:
    answer = read_answer({**in_airflow(by="Zoë"), "responded_at": "2026-03-02T09:00:00.123+01:00"})
    assert (answer.by, answer.reason, answer.at) == ("Zoë", "looks right", "2026-03-02T08:00:00+00:00")


def test_a_person_goes_by_the_name_and_is_known_by_the_id_too() -> None:
    answer = read_answer({**in_airflow(), "responded_by_user": {"id": "u-17", "name": "Zoë"}})
    assert (answer.by, answer.names) == ("Zoë", {"Zoë", "u-17"})
    assert read_answer({**in_airflow(), "responded_by_user": {"id": "u-17", "name": ""}}).by == "u-17"


def test_when_nobody_answered_is_kept_as_airflow_told_it() -> None:
    assert read_answer(in_airflow(by=None)).at == ANSWERED.isoformat()
    assert read_answer({**in_airflow(by=None), "responded_at": None}).at == ""


@pytest.mark.parametrize(
    "answer",
    [{}, {"chosen_options": None}, {"chosen_options": ["Approve"], "responded_by_user": "lee"}, {"decision": "x"}],
)
def test_what_is_no_answer_promotes_nothing(answer: dict[str, Any]) -> None:
    with pytest.raises(NotApprovedError, match=r"is no answer to an approval; nothing is promoted$"):
        read_answer(answer)


@pytest.mark.parametrize(
    ("line", "approved", "by", "reason"),
    [
        (f"approve {DIGEST} lee: looks right", True, "lee", "looks right"),
        (f"reject {DIGEST} Ana Sá: too narrow: see the dossier", False, "Ana Sá", "too narrow: see the dossier"),
        (f"  approve {DIGEST * 4} lee:fine\n", True, "lee", "fine"),
    ],
)
def test_a_decision_in_mlflow_is_one_line(line: str, approved: bool, by: str, reason: str) -> None:
    answer = read_answer({"decision": line, "noticed_at": ANSWERED.isoformat()})
    assert (answer.approved, answer.by, answer.reason, answer.source) == (approved, by, reason, "mlflow")
    assert answer.digest == line.split()[1]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "approved",
        "Approve 0123456789abcdef lee: fine",
        "approve lee: fine",
        "approve 0123456789abcde lee: fine",
        "approve 0123456789ABCDEF lee: fine",
        "approve 0123456789abcdef lee",
        "approve 0123456789abcdef lee:",
        "approve 0123456789abcdef : fine",
        "approve 0123456789abcdef YOUR NAME: YOUR REASON",
        "approve 0123456789abcdef YOUR NAME: fine",
        "approve  0123456789abcdef lee: fine",
    ],
)
def test_a_line_that_is_not_exactly_one_is_refused_with_an_example(shop: AuditedShop, line: str) -> None:
    with pytest.raises(
        NotApprovedError, match=r"cannot be read; write 'approve' or 'reject', .* as in 'approve 0123456"
    ):
        shop.decide(shop.challenger(), line)
    assert last_refusal(shop).facts["cause"] == "unreadable"
    assert shop.registry.champion() is None


@pytest.mark.parametrize(
    ("tag", "challenger"),
    [("decision-7", 7), ("decision-", None), ("decision-07", None), ("decision-x", None), ("decisions-7", None)],
)
def test_a_decision_is_told_from_other_tags(tag: str, challenger: int | None) -> None:
    assert decided_challenger(tag) == challenger


def refused(shop: AuditedShop, call: Callable[[], object], sentence: str) -> Record:
    """Return the record of a refusal that was said with *sentence* and moved nothing."""
    before = shop.registry.champion()
    with pytest.raises(NotApprovedError, match=sentence) as refusal:
        call()
    assert "\n" not in str(refusal.value)
    assert shop.registry.champion() == before
    return last_refusal(shop)


def test_a_rejection_is_recorded_and_told(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger()
    record = refused(
        shop,
        lambda: shop.approve(challenger, option="Reject", reason="too narrow"),
        r"^challenger version 1 was rejected by lee \(too narrow\); there is still no champion$",
    )
    tell("a rejection", str(record.facts["said"]))
    assert (record.by, record.reason, record.facts["cause"], record.facts["source"]) == (
        "lee",
        "too narrow",
        "rejected",
        "airflow",
    )
    tags = shop.registry.challenger(1).tags
    assert (tags["approval"], tags["approver"]) == ("rejected", "lee")


def test_silence_is_a_refusal_and_no_answer(shop: AuditedShop) -> None:
    """Whoever is asked again may still approve."""
    challenger = shop.challenger()
    record = refused(
        shop, lambda: shop.approve(challenger, by=None, option="Reject", reason=""), r"rejected by nobody \(no"
    )
    assert record.facts["cause"] == "silence"
    assert shop.approve(challenger, at=ANSWERED + timedelta(hours=1)).promoted


def test_another_digest_than_the_one_that_was_shown(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger()
    record = refused(
        shop,
        lambda: shop.answer(challenger, in_airflow(), digest="f" * 64),
        rf"^challenger version 1 has digest {challenger.digest[:16]}, the approval names f{{16}}$",
    )
    tell("an approval of another digest", str(record.facts["said"]))
    assert record.facts["cause"] == "changed digest"
    refused(shop, lambda: shop.decide(challenger, f"approve {'f' * 16} lee: fine"), "the approval names f{16}$")


def test_a_digest_that_is_too_short_names_nothing(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    refused(shop, lambda: shop.answer(challenger, in_airflow(), digest=challenger.digest[:8]), "the approval names ")


def test_files_that_were_changed_after_the_judgement(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger()
    shop.tracker.models[challenger.model_id]["model.json"] += b" "
    with pytest.raises(ModelDamagedError, match="its files were changed after the judgement") as damaged:
        shop.approve(challenger)
    tell("files changed after the judgement", str(damaged.value))
    assert last_refusal(shop).facts["cause"] == "changed files"
    assert shop.registry.champion() is None


def test_someone_not_entitled(shop: AuditedShop, tell: Tell) -> None:
    """Neither to approve nor to reject; by the name as by the id."""
    shop.policy = Approvals(approvers=("ana", "4711"))
    challenger = shop.challenger()
    sentence = r"^lee may not answer for challenger version 1; approval\.approvers of shop\.toml names ana, 4711$"
    record = refused(shop, lambda: shop.approve(challenger), sentence)
    tell("an approver who is not entitled", str(record.facts["said"]))
    assert refused(shop, lambda: shop.approve(challenger, option="Reject"), sentence).facts["cause"] == "not entitled"
    refused(shop, lambda: shop.decide(challenger, f"approve {challenger.digest[:16]} lee: fine"), sentence)
    answer = {**in_airflow(), "responded_by_user": {"id": "4711", "name": "Lee"}}
    assert shop.answer(challenger, answer).promoted


def test_four_eyes(shop: AuditedShop, tell: Tell) -> None:
    """Who had it trained may say no, and only another one yes."""
    shop.policy = Approvals(four_eyes=True)
    challenger = shop.challenger(requested_by="Lee")
    record = refused(
        shop,
        lambda: shop.approve(challenger),
        "^lee started the training of challenger version 1 and may not approve it too; ask somebody else$",
    )
    tell("an approver who started the training", str(record.facts["said"]))
    assert record.facts["cause"] == "four eyes"
    refused(
        shop, lambda: shop.decide(challenger, f"approve {challenger.digest[:16]} LEE: fine"), "may not approve it too"
    )
    assert shop.approve(challenger, by="ana").promoted
    other = shop.challenger(against=1, requested_by="lee")
    refused(shop, lambda: shop.approve(other, option="Reject"), "rejected by lee")


def test_four_eyes_cannot_be_counted_where_nobody_is_named(shop: AuditedShop, tell: Tell) -> None:
    shop.policy = Approvals(four_eyes=True)
    challenger = shop.challenger(requested_by="")
    record = refused(shop, lambda: shop.approve(challenger), "so four eyes cannot be counted; register it again with")
    tell("four eyes with an unknown trainer", str(record.facts["said"]))


def test_an_answer_that_comes_too_late(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger()
    late = REGISTERED + timedelta(hours=72, seconds=30)
    record = refused(
        shop, lambda: shop.approve(challenger, at=late), r"came 72\.0 hours after .* registered, 72 are allowed"
    )
    tell("an approval after its time", str(record.facts["said"]))
    assert record.facts["cause"] == "expired"
    assert shop.approve(challenger, at=REGISTERED + timedelta(hours=72)).promoted


def test_an_answer_to_evidence_that_has_changed_since(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger()
    record = refused(
        shop,
        lambda: shop.approve(challenger, at=REGISTERED - timedelta(seconds=1)),
        "^lee answered before challenger version 1 was registered with the evidence that it has now; ask again$",
    )
    tell("an approval of older evidence", str(record.facts["said"]))


def test_without_a_passed_verdict_no_approval_helps(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger(verdict="refuse", reasons="worse than the champion")
    record = refused(
        shop,
        lambda: shop.approve(challenger),
        r"^challenger version 1 has no passed promotion verdict \(worse than the champion\); an approval cannot ",
    )
    tell("an approval without a passed verdict", str(record.facts["said"]))
    assert record.facts["cause"] == "no verdict"


@pytest.mark.parametrize("name", ["cutoff", "training_set", "evaluation_run", "dossier", "judged_against", "code"])
def test_evidence_that_is_missing_is_named(shop: AuditedShop, name: str) -> None:
    challenger = shop.challenger(**{name: ""})
    record = refused(
        shop, lambda: shop.approve(challenger), rf"^challenger version 1 lacks {name}; evaluate and register"
    )
    assert record.facts["cause"] == "no evidence"


def test_a_second_answer_changes_nothing(shop: AuditedShop, tell: Tell) -> None:
    """Approved in MLflow and then rejected in Airflow, and the other way round: the first one counts."""
    first = shop.challenger()
    shop.decide(first, f"approve {first.digest[:16]} ana: looks right")
    record = refused(
        shop,
        lambda: shop.approve(first, option="Reject", reason="no"),
        r"^challenger version 1 was already approved by ana in MLflow at 2026-03-02T08:00:00\+00:00 \(looks right\); "
        "the answer of lee changes nothing$",
    )
    tell("a second answer", str(record.facts["said"]))
    assert record.facts["cause"] == "second answer"
    second = shop.challenger(against=1)
    refused(shop, lambda: shop.approve(second, option="Reject", reason="no"), "rejected by lee")
    refused(
        shop,
        lambda: shop.decide(second, f"approve {second.digest[:16]} ana: yes"),
        "was already rejected by lee in Airflow at ",
    )


def test_a_question_that_is_asked_again_after_a_rejection_may_be_answered_otherwise(shop: AuditedShop) -> None:
    """Airflow takes one answer to each question, so a later one there is to a question that somebody asked anew."""
    challenger = shop.challenger()
    refused(shop, lambda: shop.approve(challenger, option="Reject", reason="not on a Friday"), "rejected by lee")
    assert shop.approve(challenger, reason="Monday is fine", at=ANSWERED + timedelta(minutes=1)).promoted
    assert shop.kinds() == ["refusal", "approval", "promotion"]


def test_another_answer_of_the_same_moment_is_no_later_one(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    refused(shop, lambda: shop.approve(challenger, option="Reject", reason="no"), "rejected by lee")
    refused(shop, lambda: shop.approve(challenger, reason="yes"), "was already rejected by lee in Airflow at ")


def test_a_rejection_does_not_take_an_approval_back_however_late_it_comes(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    shop.approve(challenger)
    later = ANSWERED + timedelta(hours=1)
    refused(
        shop,
        lambda: shop.approve(challenger, option="Reject", reason="no", at=later),
        "was already approved by lee in Airflow at ",
    )


def test_an_answer_of_the_moment_of_registration_counts(shop: AuditedShop) -> None:
    assert shop.approve(shop.challenger(), at=REGISTERED).promoted


@pytest.mark.parametrize(
    ("answer", "source"), [({"decision": "yes", "noticed_at": ANSWERED.isoformat()}, "mlflow"), ({}, "airflow")]
)
def test_what_cannot_be_read_is_recorded_with_where_it_came_from(
    shop: AuditedShop, answer: dict[str, Any], source: str
) -> None:
    challenger = shop.challenger()
    record = refused(shop, lambda: shop.answer(challenger, answer), "cannot be read|is no answer")
    assert (record.facts["source"], record.facts["cause"], record.by) == (source, "unreadable", "unknown")
    assert "approver" not in shop.registry.challenger(1).tags


def test_a_rejection_says_who_is_still_champion_and_another_refusal_marks_nothing(shop: AuditedShop) -> None:
    first = shop.challenger()
    shop.approve(first)
    second = shop.challenger(against=1)
    refused(
        shop,
        lambda: shop.approve(second, option="Reject", reason="no"),
        r"rejected by lee \(no\); the champion is still version 1$",
    )
    third = shop.challenger(against=1)
    early = REGISTERED - timedelta(hours=1)
    refused(shop, lambda: shop.approve(third, at=early), "answered before challenger version 3 was registered")
    assert "approver" not in shop.registry.challenger(3).tags


def test_a_decision_that_was_taken_back_before_it_was_carried_out(shop: AuditedShop, tell: Tell) -> None:
    challenger = shop.challenger()
    line = f"approve {challenger.digest[:16]} lee: fine"
    shop.registry.model_tags["decision-1"] = line.replace("approve", "reject")
    answer = {"decision": line, "noticed_at": ANSWERED.isoformat()}
    record = refused(
        shop, lambda: shop.answer(challenger, answer), "the tag decision-1 in MLflow no longer says what was"
    )
    tell("a decision that was taken back", str(record.facts["said"]))


def test_the_same_refusal_is_written_once(shop: AuditedShop) -> None:
    """A decision that is noticed twice, or a task that is cleared, adds no line to the log and says the same again."""
    challenger = shop.challenger()
    line = f"reject {challenger.digest[:16]} lee: no"
    for minutes in range(3):
        refused(
            shop,
            lambda at=ANSWERED + timedelta(minutes=minutes): shop.decide(challenger, line, at),
            "was rejected by lee",
        )
    assert shop.kinds() == ["refusal"]


def test_approvers_of_the_shop_are_whom_airflow_asks(
    write_shop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can answer there at all; without approvers everybody may whom Airflow lets."""
    monkeypatch.setenv("REFIT_SHOP", "corner")
    monkeypatch.setenv("REFIT_SHOPS", str(write_shop()))
    assert read_schedule().assigned_users is None
    monkeypatch.setenv(
        "REFIT_SHOPS", str(write_shop(append='[approval]\napprovers = ["ana", "lee"]\nfour_eyes = true\n'))
    )
    assert read_schedule().assigned_users == [{"id": "ana", "name": "ana"}, {"id": "lee", "name": "lee"}]
    assert load_shop(write_shop(), "corner").approval == Approvals()


@pytest.mark.parametrize("wrong", ['approvers = "lee"', 'approvers = [""]', 'four_eyes = "yes please"', "hours = 7"])
def test_a_policy_that_cannot_be_understood_is_refused(write_shop: Callable[..., Path], wrong: str, tell: Tell) -> None:
    with pytest.raises(ConfigurationError, match=r"shop\.toml cannot be used: \[approval\]") as refused:
        load_shop(write_shop(append=f"[approval]\n{wrong}\n"), "corner")
    tell(f"[approval] {wrong!r}", str(refused.value).split("cannot be used: ")[1])
