"""Who may serve: the audit log decides, the alias follows, and whoever moved it otherwise is found out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from support.audited_shop import CUTOFF, AuditedShop

from pipelines import adopt
from refit.errors import ConfigurationError, ModelDamagedError, NotApprovedError, NotFoundError, TransientError
from refit.governance.audit_log import AuditDamagedError
from refit.governance.champions import (
    CARRIED_OUT,
    AliasMovedError,
    ChampionGoneError,
    PromotionInterruptedError,
    approved_digest,
    reconcile_alias,
    serving_champion,
    withdrawn,
)
from refit.interfaces import ModelVersion
from refit.model.item_factors import load_verified
from refit.testing import crown

Tell = Callable[[str, str], None]
LATER = CUTOFF + timedelta(days=30)


@pytest.fixture
def shop() -> AuditedShop:
    return AuditedShop()


def serving(shop: AuditedShop, as_of: datetime = LATER) -> int | None:
    champion = serving_champion(shop.registry, shop.log, as_of)
    return champion.version if champion else None


def told(shop: AuditedShop, kind: type[Exception], as_of: datetime = LATER) -> str:
    """Return the sentence with which serving is refused."""
    with pytest.raises(kind) as refused:
        serving(shop, as_of)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def rolled_back(shop: AuditedShop, version: int, withdrawn: list[int]) -> None:
    facts = {"version": version, "from": withdrawn[-1], "withdrawn": withdrawn, "logical_run": "r", "lists": "stay"}
    shop.log.append(shop.log.newest(), "rollback", at="2026-03-03T00:00:00+00:00", by="ana", reason="bad", facts=facts)
    reconcile_alias(shop.registry, shop.log)


def test_before_the_first_promotion_nobody_serves(shop: AuditedShop) -> None:
    assert serving(shop) is None
    shop.challenger()
    assert serving(shop) is None


def test_the_champion_serves_with_the_digest_under_which_it_was_approved(shop: AuditedShop) -> None:
    shop.champions(3)
    champion = serving_champion(shop.registry, shop.log, LATER)
    assert champion is not None
    assert (champion.version, champion.digest) == (3, shop.log.state().records[3].digest)


@pytest.mark.parametrize(("days", "version"), [(0, 1), (1, 2), (1.5, 2), (2, 3), (30, 3)])
def test_for_an_older_date_the_newest_champion_that_has_not_seen_it_serves(
    shop: AuditedShop, days: float, version: int
) -> None:
    """Champions with cutoffs 0, 1 and 2 days after the first; a cutoff at the date itself has not seen it."""
    shop.champions(3)
    assert serving(shop, CUTOFF + timedelta(days=days)) == version


def test_where_every_champion_knows_the_future_of_the_date(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(2)
    said = told(shop, ConfigurationError, CUTOFF - timedelta(days=1))
    tell("a date before every champion", said)
    assert said.startswith(
        "no champion is old enough for as_of=2026-02-19: the oldest one, version 1, has seen data up to 2026-02-20; "
    )


def test_what_a_rollback_took_away_serves_no_date(shop: AuditedShop) -> None:
    shop.champions(3)
    rolled_back(shop, 1, [2, 3])
    assert serving(shop) == 1
    assert serving(shop, CUTOFF + timedelta(days=2)) == 1
    assert withdrawn(shop.log, 1) is None
    assert withdrawn(shop.log, 3) == (
        "champion version 3 was rolled back to version 1 at 2026-03-03T00:00:00+00:00 by ana: bad"
    )


def test_who_was_merely_succeeded_was_not_withdrawn(shop: AuditedShop) -> None:
    shop.champions(2)
    assert withdrawn(shop.log, 1) is None
    assert withdrawn(shop.log, 99) is None


def test_a_version_is_approved_with_the_digest_of_its_promotion_or_not_at_all(shop: AuditedShop) -> None:
    shop.champions(2)
    digests = [shop.registry.challenger(version).digest for version in (1, 2)]
    assert digests[0] != digests[1]
    assert [approved_digest(shop.log, version) for version in (1, 2, 3)] == [*digests, None]


def test_after_a_rollback_the_next_promotion_stands_on_the_one_that_was_left(shop: AuditedShop) -> None:
    shop.champions(2)
    rolled_back(shop, 1, [2])
    shop.approve(shop.challenger(days=9, against=1))
    assert [record.version for record in shop.log.state().line()] == [1, 3]
    assert serving(shop, CUTOFF + timedelta(days=5)) == 1


def test_an_alias_that_somebody_moved_is_named_with_both_versions(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(3)
    shop.registry.point(1)
    said = told(shop, AliasMovedError)
    tell("an alias moved by hand, when scoring", said)
    assert said.startswith("the alias champion names version 1, the audit log version 3, champion since ")
    assert said.endswith("accept it with adopt version=1 reason=..., or put it back with adopt version=3 reason=...")


def test_an_alias_that_somebody_moved_to_the_previous_champion_is_no_interrupted_promotion(shop: AuditedShop) -> None:
    """The registry remembers that the alias had followed the promotion."""
    shop.champions(2)
    shop.registry.point(1)
    assert "somebody has moved the alias" in told(shop, AliasMovedError)


def test_an_alias_that_somebody_removed(shop: AuditedShop) -> None:
    shop.champions(1)
    shop.registry._alias = None
    said = told(shop, AliasMovedError)
    assert said.startswith("the alias champion names no version, the audit log version 1")
    assert said.endswith("somebody has moved the alias; put it back with adopt version=1 reason=...")


def test_an_alias_without_any_promotion(shop: AuditedShop, tell: Tell) -> None:
    crown(shop.registry, shop.challenger())
    said = told(shop, AliasMovedError)
    tell("an alias without a promotion", said)
    assert said.startswith(
        "the alias champion names version 1, but the audit log memory://fake/audit/ knows of no promotion"
    )


def test_an_alias_without_any_promotion_but_with_a_refusal(shop: AuditedShop) -> None:
    """A log with records need not know of a champion."""
    challenger = shop.challenger()
    with pytest.raises(NotApprovedError):
        shop.approve(challenger, option="Reject", reason="too narrow")
    crown(shop.registry, challenger)
    assert told(shop, AliasMovedError).startswith(
        "the alias champion names version 1, but the audit log memory://fake/audit/ knows of no promotion"
    )


@pytest.mark.parametrize("before", [0, 1])
def test_an_interrupted_promotion_is_named_and_asks_for_another_try(shop: AuditedShop, before: int, tell: Tell) -> None:
    """The record is written, the alias is still at the champion before, or nowhere."""
    shop.champions(before)
    challenger = shop.challenger(days=1, against=before or None)
    registry, shop.registry.point = shop.registry, _die  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        shop.approve(challenger)
    del registry.point  # type: ignore[method-assign]
    said = told(shop, PromotionInterruptedError)
    tell("an interrupted promotion, when scoring", said)
    assert f"the alias still names {f'version {before}' if before else 'none'}: the step was interrupted" in said
    assert issubclass(PromotionInterruptedError, TransientError)
    shop.approve(challenger)
    assert serving(shop) == before + 1


def _die(version: int) -> None:
    raise RuntimeError(version)


def test_a_champion_that_was_deleted_is_named_with_the_way_out(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(2)
    shop.registry.delete(2)
    said = told(shop, ChampionGoneError)
    tell("a champion deleted from the registry", said)
    assert said.startswith(
        "champion version 2, champion since 2026-03-02T08:00:00+00:00 by lee, is gone from the registry"
    )
    assert "rollback to=VERSION" in said


def test_a_former_champion_that_was_deleted_is_missed_by_its_dates_only(shop: AuditedShop) -> None:
    shop.champions(2)
    shop.registry.delete(1)
    assert serving(shop) == 2
    assert "champion version 1, champion since" in told(shop, ChampionGoneError, CUTOFF)


def test_a_champion_whose_digest_was_rewritten_does_not_serve(shop: AuditedShop, tell: Tell) -> None:
    """Tag and files may agree with each other; the audit log knows what was approved."""
    shop.champions(1)
    known = shop.registry.champion_version(1)
    other = shop.challenger(days=5)
    shop.registry.versions["shop"][0] = ModelVersion(
        name="shop",
        version=1,
        model_id=other.model_id,
        run_id=other.run_id,
        digest=other.digest,
        cutoff=known.cutoff,
        tags=other.tags,
    )
    said = told(shop, AliasMovedError)
    tell("a champion with other tags", said)
    assert said == (
        f"champion version 1 became champion with digest {known.digest[:16]} and now says {other.digest[:16]}; "
        "its tags were changed, so it is not used"
    )


def test_a_champion_whose_files_were_changed_is_not_loaded(shop: AuditedShop) -> None:
    shop.champions(1)
    champion = serving_champion(shop.registry, shop.log, LATER)
    assert champion is not None
    shop.tracker.models[champion.model_id]["items.parquet"] += b"x"
    with pytest.raises(ModelDamagedError, match="its files were changed after the judgement"):
        load_verified(shop.tracker, champion)


def test_an_audit_log_that_lost_its_end_serves_nobody(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(2)
    for number in (3, 4):
        del shop.store.objects[f"audit/{number:06d}.json"]
    said = told(shop, AuditDamagedError)
    tell("an audit log without its newest records", said)
    assert said.startswith("the audit log ends with record 2, the registry remembers record 4; the newest are missing")


def test_a_memory_that_was_rewritten_is_named(shop: AuditedShop) -> None:
    shop.champions(2)
    shop.registry.note(CARRIED_OUT, "yesterday")
    shop.registry.point(1)
    assert "the tag audit-record of the champions' model was changed: 'yesterday'" in told(shop, AuditDamagedError)


def test_the_alias_follows_a_record_that_comes_in_between(shop: AuditedShop) -> None:
    """Ours says 2, and while its alias is being moved somebody rolls back to 1."""
    shop.champions(2)
    point = shop.registry.point

    def slowly(version: int) -> None:
        shop.registry.point = point  # type: ignore[method-assign]
        rolled_back(shop, 1, [2])
        point(version)

    shop.registry.point = slowly  # type: ignore[method-assign]
    record = reconcile_alias(shop.registry, shop.log)
    assert (record.state.champion, serving(shop)) == (1, 1)


def test_there_is_nothing_to_settle_without_a_champion(shop: AuditedShop) -> None:
    with pytest.raises(NotFoundError, match="names no champion; promote a challenger first"):
        reconcile_alias(shop.registry, shop.log)


def adopted(shop: AuditedShop, version: int, reason: str = "in a hurry", by: str = "ana") -> adopt.Receipt:
    receipt = adopt.run(version, reason, by, now=LATER, registry=shop.registry, tracker=shop.tracker, log=shop.log)
    shop.log.verified()
    return receipt


def test_an_alias_moved_by_hand_is_adopted_with_a_reason(shop: AuditedShop) -> None:
    """An older model needs no other way than this: who moved it says why."""
    shop.champions(3)
    shop.registry.point(1)
    receipt = adopted(shop, 1)
    assert (receipt.champion, receipt.adopted, receipt.older, receipt.record) == (1, True, True, 7)
    record = shop.log.newest()
    assert record is not None
    assert (record.kind, record.by, record.reason, record.facts["alias"]) == ("adoption", "ana", "in a hurry", 1)
    assert serving(shop) == 1
    assert not adopted(shop, 1).adopted


def test_an_alias_moved_by_hand_is_put_back(shop: AuditedShop) -> None:
    shop.champions(3)
    shop.registry.point(1)
    assert adopted(shop, 3).champion == 3
    assert serving(shop) == 3
    assert [record.kind for record in shop.log.verified()][-1] == "adoption"


def test_a_version_that_was_never_promoted_is_adopted_with_its_evidence_only(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(1)
    good, bare = shop.challenger(days=2), shop.challenger(days=3, verdict="refuse")
    for challenger in (good, bare):
        shop.registry.copy(challenger)
    shop.registry.point(3)
    with pytest.raises(
        NotApprovedError, match="version 3 of shop cannot be adopted: it lacks a passed promotion"
    ) as refused:
        adopted(shop, 3)
    tell("adopting a version without a verdict", str(refused.value))
    shop.registry.point(2)
    assert adopted(shop, 2).champion == 2
    assert serving(shop) == 2


def test_an_alias_of_a_shop_without_records_is_adopted(shop: AuditedShop) -> None:
    crown(shop.registry, shop.challenger())
    assert adopted(shop, 1).champion == 1
    assert serving(shop) == 1


def test_a_damaged_model_is_not_adopted(shop: AuditedShop) -> None:
    shop.champions(2)
    shop.registry.point(1)
    shop.tracker.models[shop.registry.champion_version(1).model_id]["model.json"] += b" "
    with pytest.raises(ModelDamagedError):
        adopted(shop, 1)
    assert shop.log.state().champion == 2


@pytest.mark.parametrize(("reason", "by"), [("", "ana"), (" ", "ana"), ("why", "")])
def test_an_adoption_needs_a_reason_and_a_name(shop: AuditedShop, reason: str, by: str) -> None:
    shop.champions(1)
    with pytest.raises(
        ConfigurationError, match=r"^an adoption is recorded: give reason=\.\.\. and requested_by=\.\.\.$"
    ):
        adopted(shop, 1, reason, by)


def test_what_is_neither_alias_nor_champion_is_not_adopted(shop: AuditedShop, tell: Tell) -> None:
    shop.champions(3)
    shop.registry.point(1)
    with pytest.raises(
        ConfigurationError, match=r"^version 2 is neither that of the alias \(1\) nor .* \(3\)"
    ) as refused:
        adopted(shop, 2)
    tell("adopting a third version", str(refused.value))


def test_a_crowned_champion_serves(shop: AuditedShop) -> None:
    """What tests of other steps start from is what a promotion leaves."""
    crown(shop.registry, shop.challenger(), shop.log)
    assert serving(shop) == 1
    assert load_verified(shop.tracker, shop.registry.champion_version(1)).rank == 1
