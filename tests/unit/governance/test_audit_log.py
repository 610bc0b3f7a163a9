"""The audit log: appended by one writer at a time, and every change of what was written is found."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from support.audited_shop import AuditedShop

from pipelines import read_audit
from refit.digests import canonical_json
from refit.errors import ConflictError
from refit.governance.audit_log import AuditDamagedError, AuditLog
from refit.governance.champion_state import APPROVAL, PROMOTION, ChampionState
from refit.storage.store_clock import AheadOfClockError
from refit.testing import FakeObjectStore

AT = "2026-03-02T08:00:00+00:00"


@pytest.fixture
def shop() -> AuditedShop:
    """Give a shop with three champions: an approval and a promotion each, six records."""
    made = AuditedShop()
    made.champions(3)
    return made


def approval(challenger: int) -> dict[str, object]:
    return {"challenger": challenger, "digest": "ab", "source": "airflow", "answered_at": AT}


def test_before_the_first_record_nothing_stands() -> None:
    log = AuditLog(FakeObjectStore())
    assert log.newest() is None
    assert log.state() == ChampionState()
    assert log.verified() == []


def test_a_record_is_read_back_with_what_holds_after_it(shop: AuditedShop) -> None:
    records = shop.log.verified()
    assert [record.number for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.kind for record in records] == [APPROVAL, PROMOTION] * 3
    assert shop.log.newest() == records[-1]
    assert records[-1].before == records[-2].sha256
    assert records[0].before == ""
    assert (records[-1].state.champion, records[-1].state.previous) == (3, 2)
    assert [record.version for record in records[-1].state.line()] == [1, 2, 3]
    assert sorted(shop.store.objects) == [f"audit/{number:06d}.json" for number in range(1, 7)]


def test_who_read_an_older_record_is_told_and_overwrites_nothing(shop: AuditedShop) -> None:
    before = dict(shop.store.objects)
    old = shop.log.record(5)
    with pytest.raises(ConflictError, match=r"somebody else has written record 6 of memory://fake/audit/ first"):
        shop.log.append(old, APPROVAL, at=AT, by="dana", reason="late", facts=approval(9))
    assert shop.store.objects == before


def test_of_writers_at_once_each_number_is_written_once() -> None:
    """Eight threads append ten records each, again and again until theirs is in; none is lost and the chain holds."""
    store = FakeObjectStore()
    together = threading.Barrier(8)

    def write(writer: int) -> None:
        log = AuditLog(store)
        together.wait()
        for number in range(10):
            while True:
                try:
                    facts = approval(writer * 100 + number)
                    log.append(log.newest(), APPROVAL, at=AT, by=f"writer {writer}", reason="", facts=facts)
                    break
                except ConflictError:
                    continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    records = AuditLog(store).verified()
    assert len(records) == 80
    assert len(records[-1].state.answers) == 80


def tampered(store: FakeObjectStore, number: int, **changed: object) -> None:
    key = f"audit/{number:06d}.json"
    store.objects[key] = canonical_json({**json.loads(store.objects[key]), **changed})


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_changed_record_is_named_by_the_next_one(shop: AuditedShop, number: int) -> None:
    tampered(shop.store, number, by="mallory")
    with pytest.raises(AuditDamagedError) as found:
        shop.log.verified()
    assert f"record {number}" in str(found.value)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_missing_record_is_named(shop: AuditedShop, number: int) -> None:
    del shop.store.objects[f"audit/{number:06d}.json"]
    with pytest.raises(AuditDamagedError, match=rf"lacks record {number}, although record {number + 1} is there"):
        shop.log.verified()


def test_a_record_with_another_spelling_is_named(shop: AuditedShop) -> None:
    key = "audit/000004.json"
    shop.store.objects[key] = shop.store.objects[key] + b"\n"
    with pytest.raises(AuditDamagedError, match=r"000004\.json is not as Refit writes record 4; it was changed"):
        shop.log.verified()


def test_what_is_no_record_is_named(shop: AuditedShop) -> None:
    """It hides no champion: serving reads the newest record and goes on."""
    shop.store.objects["audit/000003-note.json"] = b"{}"
    with pytest.raises(AuditDamagedError, match=r"audit/000003-note\.json is no record of the audit log"):
        shop.log.verified()
    assert shop.log.state().champion == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format":"refit-audit/9"}'])
def test_what_cannot_be_read_is_one_sentence(shop: AuditedShop, content: bytes) -> None:
    shop.store.objects["audit/000006.json"] = content
    with pytest.raises(AuditDamagedError, match=r"audit/000006\.json cannot be read: ") as found:
        shop.log.newest()
    assert "\n" not in str(found.value)


def test_a_record_whose_end_does_not_follow_is_named(shop: AuditedShop) -> None:
    """Chained correctly, but it says that version 1 is champion, which no record has decided."""
    newest = shop.log.record(6)
    forged = {**json.loads(newest.to_bytes()), "number": 7, "kind": APPROVAL, "before": newest.sha256}
    forged["facts"] = approval(3)
    forged["standing"] = {**forged["standing"], "champion": 1}
    shop.store.objects["audit/000007.json"] = canonical_json(forged)
    with pytest.raises(AuditDamagedError, match="what record 7 says to hold after it does not follow"):
        shop.log.verified()


@pytest.mark.parametrize("changed", [{"facts": {}}, {"facts": {"version": "x"}}, {"kind": "coronation"}])
def test_a_newest_record_from_which_nothing_follows_is_named(shop: AuditedShop, changed: dict[str, object]) -> None:
    """No later record knows its digest, but it must be one that Refit writes."""
    tampered(shop.store, 6, **changed)
    with pytest.raises(AuditDamagedError, match=r"what record 6 says to hold after it does not follow"):
        shop.log.verified()


def test_the_newest_record_is_vouched_for_by_the_registry(shop: AuditedShop) -> None:
    """No record follows it, so only the registry can tell that it was changed."""
    assert read_audit.run(0, log=shop.log, registry=shop.registry).remembered == 6
    newest = json.loads(shop.store.objects["audit/000006.json"])
    shop.store.objects["audit/000006.json"] = canonical_json({**newest, "reason": "never said"})
    state = shop.log.verified()[-1]
    assert state.reason == "never said"
    with pytest.raises(AuditDamagedError, match="record 6 was changed: the registry remembers another SHA-256 of it"):
        read_audit.run(0, log=shop.log, registry=shop.registry)


def test_records_missing_at_the_end_are_noticed(shop: AuditedShop) -> None:
    del shop.store.objects["audit/000006.json"]
    del shop.store.objects["audit/000005.json"]
    with pytest.raises(AuditDamagedError, match="ends with record 4, the registry remembers record 6; the newest are"):
        read_audit.run(0, log=shop.log, registry=shop.registry)


def test_the_log_is_shown_in_words(shop: AuditedShop) -> None:
    receipt = read_audit.run(2, log=shop.log, registry=shop.registry)
    assert (receipt.champion, receipt.count, len(receipt.records)) == (3, 6, 2)
    assert receipt.head == shop.log.record(6).sha256
    shown = receipt.records[-1]
    assert shown["what"] == "challenger version 3 became champion version 3"
    assert (shown["by"], shown["reason"], shown["source"], shown["champion"]) == ("lee", "looks right", "airflow", 3)


@pytest.mark.parametrize("wrong", ["at", "answered_at"])
def test_no_record_bears_a_moment_that_is_to_come(wrong: str) -> None:
    """A later answer is told from an earlier one by these moments."""
    store = FakeObjectStore(clock=datetime(2026, 3, 1, 12, tzinfo=UTC))
    moments = {"at": "2026-03-01T12:15:00+00:00", "answered_at": "2026-03-01T11:00:00+00:00"}
    moments[wrong] = "2026-03-01T12:15:01+00:00"
    facts = {**approval(1), "answered_at": moments["answered_at"]}
    log = AuditLog(store)
    with pytest.raises(AheadOfClockError, match=rf"^{wrong}=2026-03-01T12:15:01\+00:00 is 0\.3 hours after the clock"):
        log.append(None, APPROVAL, at=moments["at"], by="dana", reason="early", facts=facts)
    assert store.objects == {}
    store.clock += timedelta(seconds=1)
    assert log.append(None, APPROVAL, at=moments["at"], by="dana", reason="early", facts=facts).number == 1
