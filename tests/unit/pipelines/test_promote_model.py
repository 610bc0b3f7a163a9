"""The step that promotes: what it records, that two at once do not both win, and that it may die anywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.audited_shop import ANSWERED, CUTOFF, AuditedShop, KilledError, dying, in_airflow

from pipelines import promote_model
from refit.adapters.airflow_answers import read_answer
from refit.errors import ConflictError, NotApprovedError, NotFoundError
from refit.governance.champions import CARRIED_OUT, AliasMovedError
from refit.interfaces import ModelVersion

Tell = Callable[[str, str], None]


@pytest.fixture
def shop() -> AuditedShop:
    return AuditedShop()


def test_a_promotion_is_recorded_with_approver_reason_time_and_digest(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    receipt = shop.approve(challenger)
    assert (receipt.champion, receipt.previous, receipt.promoted, receipt.approved_by) == (1, None, True, "lee")
    approval, promotion = shop.log.verified()
    assert (approval.kind, promotion.kind) == ("approval", "promotion")
    assert (promotion.by, promotion.reason, promotion.at) == ("lee", "looks right", ANSWERED.isoformat())
    assert promotion.facts["answered_at"] == ANSWERED.isoformat()
    assert promotion.facts["digest"] == challenger.digest
    assert (promotion.facts["version"], promotion.facts["challenger"]) == (1, "1")
    assert promotion.facts["dossier"] == challenger.tags["dossier"]
    assert promotion.facts["requested_by"] == "dana"
    champion = shop.registry.champion()
    assert champion is not None
    assert (champion.digest, champion.tags["approver"]) == (challenger.digest, "lee")
    assert shop.registry.challenger(1).tags["approval"] == "approved"
    assert shop.registry.model_tags[CARRIED_OUT] == f"2 {promotion.sha256}"


def test_promoting_again_changes_nothing(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    first = shop.approve(challenger)
    assert shop.approve(challenger) == first
    assert shop.kinds() == ["approval", "promotion"]


def test_a_task_that_is_cleared_after_the_next_promotion_says_so_and_changes_nothing(shop: AuditedShop) -> None:
    first = shop.challenger()
    shop.approve(first)
    shop.approve(shop.challenger(against=1))
    again = shop.approve(first)
    assert (again.promoted, again.champion) == (False, 2)
    assert again.said.endswith("was succeeded by version 2; nothing changes")
    assert again.record == 4
    assert shop.kinds() == ["approval", "promotion"] * 2


def test_silence_in_airflow_after_an_answer_in_mlflow_is_no_failure(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    shop.decide(challenger, f"approve {challenger.digest[:16]} ana: fine")
    receipt = shop.approve(challenger, by=None, option="Reject", reason="")
    assert not receipt.promoted
    assert receipt.champion == 1
    assert receipt.said.startswith(
        "challenger version 1: nobody answered in Airflow, and it was already approved by ana"
    )
    assert shop.kinds() == ["approval", "promotion"]
    other = shop.challenger(against=1)
    with pytest.raises(NotApprovedError, match="rejected by ana"):
        shop.decide(other, f"reject {other.digest[:16]} ana: no")
    assert not shop.approve(other, by=None, option="Reject", reason="").promoted


def test_a_decision_that_is_noticed_twice_promotes_once(shop: AuditedShop) -> None:
    challenger = shop.challenger()
    line = f"approve {challenger.digest[:16]} ana: fine"
    shop.decide(challenger, line)
    assert shop.decide(challenger, line, ANSWERED + timedelta(days=9)).promoted
    assert shop.kinds() == ["approval", "promotion"]


def test_a_challenger_that_was_judged_against_another_champion_is_judged_again(shop: AuditedShop, tell: Tell) -> None:
    """Both were judged before there was a champion; the second one knows nothing of the first."""
    first, second = shop.challenger(), shop.challenger(days=1)
    shop.approve(first)
    with pytest.raises(
        NotApprovedError, match="was judged against no champion, now there is champion version 1"
    ) as refused:
        shop.approve(second)
    tell("a champion that changed since the judgement", str(refused.value))
    assert "clear evaluate_model and what follows" in str(refused.value)
    assert shop.log.verified()[-1].facts["cause"] == "champion changed"
    later = ANSWERED + timedelta(hours=1)
    shop.registry.tag(second, {"judged_against": "1", "registered_at": later.isoformat()})
    with pytest.raises(NotApprovedError, match="answered before challenger version 2 was registered"):
        shop.approve(second)
    assert shop.approve(second, at=later + timedelta(minutes=1)).champion == 2


def test_an_older_model_replaces_a_newer_one_only_by_rollback(shop: AuditedShop, tell: Tell) -> None:
    shop.approve(shop.challenger(days=3))
    older = shop.challenger(days=2, against=1)
    with pytest.raises(NotApprovedError, match="an older model replaces a newer one only by rollback") as refused:
        shop.approve(older)
    tell("an older challenger", str(refused.value))
    assert shop.log.verified()[-1].facts["cause"] == "older"


def test_a_twin_offered_instead_of_its_refitted_model_is_as_new_as_the_days_that_judged_it(shop: AuditedShop) -> None:
    """The champion was refitted on days that judged the twin; it is older only if its judgement is older, too."""
    shop.approve(shop.challenger(days=10))
    as_of = {days: (CUTOFF + timedelta(days=days)).isoformat() for days in (9, 10)}
    older = shop.challenger(days=5, against=1, as_of=as_of[9])
    with pytest.raises(NotApprovedError, match="an older model replaces a newer one only by rollback"):
        shop.approve(older)
    assert shop.approve(shop.challenger(days=5, against=1, as_of=as_of[10])).promoted


def test_of_two_promotions_at_once_one_wins_and_the_other_is_judged_again(shop: AuditedShop) -> None:
    """The other one has passed every check when the first one's record comes in between."""
    first, second = shop.challenger(), shop.challenger(days=1)
    copy = shop.registry.copy

    def slowly(challenger: ModelVersion) -> ModelVersion:
        if challenger.version == second.version:
            shop.registry.copy = copy  # type: ignore[method-assign]
            shop.approve(first)
        return copy(challenger)

    shop.registry.copy = slowly  # type: ignore[method-assign]
    with pytest.raises(NotApprovedError, match="was judged against no champion, now there is champion version 1"):
        shop.approve(second, by="ana")
    assert shop.kinds() == ["approval", "approval", "promotion", "refusal"]
    champion = shop.registry.champion()
    assert champion is not None
    assert champion.model_id == first.model_id
    assert shop.log.state().answers.keys() == {1}


def test_a_log_that_never_rests_is_given_up_with_a_sentence(shop: AuditedShop) -> None:
    """Somebody else is first ten times, and the challenger stays one."""
    challenger, create, lost = shop.challenger(), shop.store.create, []

    def too_late(key: str, content: bytes) -> str:
        if not key.startswith("audit/"):
            return create(key, content)
        lost.append(key)
        raise ConflictError(f"{key} is there already")

    shop.store.create = too_late  # type: ignore[method-assign]
    with pytest.raises(
        ConflictError, match=r"^memory://fake/audit/.* grew 10 times while challenger 1 waited; try again$"
    ):
        shop.approve(challenger)
    assert len(lost) == 10
    assert shop.registry.champion() is None
    shop.store.create = create  # type: ignore[method-assign]
    assert shop.approve(challenger).champion == 1


def steps(shop: AuditedShop, after: int) -> list[str]:
    """Let the process die after so many writes; return those that it made."""
    calls: list[str] = []
    wrap = dying(after, calls)
    for owner, names in {shop.store: ("create",), shop.registry: ("copy", "point", "tag", "note")}.items():
        for name in names:
            setattr(owner, name, wrap(name, getattr(type(owner), name).__get__(owner)))
    return calls


def restore(shop: AuditedShop) -> None:
    for owner, names in {shop.store: ("create",), shop.registry: ("copy", "point", "tag", "note")}.items():
        for name in names:
            delattr(owner, name)


WRITES = ["create", "copy", "create", "point", "tag", "note"]


@pytest.mark.parametrize("after", range(len(WRITES) + 1))
def test_killed_anywhere_a_second_try_converges(after: int) -> None:
    """Records, champion and tags are those of a try that nothing disturbed."""
    quiet, shop = AuditedShop(), AuditedShop()
    for each in (quiet, shop):
        each.champions(1)
    expected = quiet.approve(quiet.challenger(days=1, against=1))
    challenger = shop.challenger(days=1, against=1)
    made = steps(shop, after)
    if after < len(WRITES):
        with pytest.raises(KilledError):
            shop.approve(challenger)
    else:
        shop.approve(challenger)
    assert made == WRITES[:after]
    restore(shop)
    assert shop.approve(challenger) == expected
    assert shop.store.objects == quiet.store.objects
    assert shop.registry.versions == quiet.registry.versions
    assert shop.registry.model_tags == quiet.registry.model_tags
    assert shop.registry.champion() == quiet.registry.champion()


def test_a_recorded_approval_outlives_its_time(shop: AuditedShop) -> None:
    """MLflow was down for a week after the person had answered in time; the answer still counts."""
    challenger = shop.challenger()
    steps(shop, 1)
    with pytest.raises(KilledError):
        shop.approve(challenger)
    restore(shop)
    shop.hours = 0.001
    assert shop.approve(challenger).promoted


def test_the_next_promotion_finishes_one_that_was_interrupted(shop: AuditedShop) -> None:
    shop.champions(1)
    second, third = shop.challenger(days=1, against=1), shop.challenger(days=2, against=2)
    steps(shop, 3)
    with pytest.raises(KilledError):
        shop.approve(second)
    restore(shop)
    receipt = shop.approve(third)
    assert (receipt.champion, receipt.previous) == (3, 2)


def test_an_alias_that_somebody_moved_stops_a_promotion(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(2)
    shop.registry.point(1)
    with pytest.raises(
        AliasMovedError, match="somebody has moved the alias; accept it with adopt version=1"
    ) as refused:
        shop.approve(shop.challenger(days=5, against=1))
    tell("an alias moved by hand", str(refused.value))
    assert shop.kinds() == ["approval", "promotion"] * 2


def test_after_the_champion_was_deleted_a_challenger_judged_without_one_is_promoted(shop: AuditedShop) -> None:
    shop.champions(1)
    shop.registry.delete(1)
    receipt = shop.approve(shop.challenger(days=1))
    assert (receipt.champion, receipt.promoted) == (2, True)


def test_a_challenger_that_was_rolled_back_is_not_promoted_by_its_old_answer(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(1)
    second = shop.challenger(days=1, against=1)
    shop.approve(second)
    facts = {"version": 1, "from": 2, "withdrawn": [2], "logical_run": "r", "lists": "stay"}
    shop.log.append(shop.log.newest(), "rollback", at="2026-03-03T00:00:00+00:00", by="ana", reason="bad", facts=facts)
    shop.registry.point(1)
    with pytest.raises(
        NotApprovedError, match=r"was rolled back to version 1 at .* by ana: bad; rollback to=2"
    ) as refused:
        shop.approve(second)
    tell("an old approval of a model that was rolled back", str(refused.value))


def test_a_challenger_that_does_not_exist(shop: AuditedShop) -> None:
    with pytest.raises(NotFoundError, match="there is no version 7 of shop-challengers"):
        promote_model.run(
            7,
            "ab" * 32,
            in_airflow(),
            policy=shop.policy,
            hours=1,
            now=ANSWERED,
            registry=shop.registry,
            tracker=shop.tracker,
            log=shop.log,
            read_answer=read_answer,
        )
    assert shop.store.objects == {}
