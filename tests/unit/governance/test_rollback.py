"""Rollback: model and lists together, once for each run, finished wherever it was killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.audited_shop import ANSWERED, AuditedShop, KilledError, dying
from support.published import CREATED, go_live

from pipelines import rollback
from refit.errors import ConfigurationError, ConflictError, ModelDamagedError, NotFoundError
from refit.governance.champions import ChampionGoneError, serving_champion
from refit.governance.rollback import Lists
from refit.interfaces import ModelVersion
from refit.publication import LIVE, read_live_batch

Tell = Callable[[str, str], None]
NOW = ANSWERED + timedelta(days=1)


@pytest.fixture
def shop() -> AuditedShop:
    """Give a shop with three champions, each of which has made lists for one person of its own."""
    return listed(AuditedShop(), 3)


def listed(shop: AuditedShop, count: int) -> AuditedShop:
    for version in shop.champions(count):
        publish(shop, shop.registry.champion_version(version))
    return shop


def publish(shop: AuditedShop, champion: ModelVersion) -> None:
    created = CREATED + timedelta(hours=champion.version)
    go_live(
        shop.store,
        created,
        [[f"by-{champion.version}"]],
        logical_run=f"recommend/{champion.version}",
        champion=champion,
    )


def back(
    shop: AuditedShop, to: int | None = None, *, run: str = "rollback/a", lists: Lists = "back", **changed: str
) -> rollback.Receipt:
    said = {"reason": "too narrow", "requested_by": "ana", **changed}
    return rollback.run(
        to,
        said["reason"],
        said["requested_by"],
        run,
        lists,
        now=NOW,
        registry=shop.registry,
        tracker=shop.tracker,
        log=shop.log,
        store=shop.store,
    )


def readers_see(shop: AuditedShop) -> list[str]:
    people: list[str] = read_live_batch(shop.store)["user_id"].to_pylist()
    return people


def alias(shop: AuditedShop) -> int | None:
    champion = shop.registry.champion()
    return champion.version if champion else None


def test_the_champion_before_and_its_lists_come_back_together(shop: AuditedShop) -> None:
    before = json.loads(shop.store.objects[LIVE])
    assert readers_see(shop) == ["by-3"]
    receipt = back(shop)
    assert (receipt.champion, receipt.rolled_back_from, receipt.withdrawn) == (2, 3, [3])
    assert alias(shop) == 2
    assert readers_see(shop) == ["by-2"]
    live = json.loads(shop.store.objects[LIVE])
    assert (live["generation"], receipt.generation) == (before["generation"] + 1,) * 2
    assert live["history"][0]["reason"] == "too narrow"
    assert live["history"][1:] == before["history"]
    record = shop.log.verified()[-1]
    assert (record.kind, record.by, record.reason, record.number) == ("rollback", "ana", "too narrow", receipt.record)
    champion = serving_champion(shop.registry, shop.log, NOW)
    assert champion is not None
    assert champion.version == 2


def test_a_named_version_comes_back_and_all_that_came_after_it_go(shop: AuditedShop) -> None:
    receipt = back(shop, 1)
    assert (receipt.champion, receipt.withdrawn) == (1, [2, 3])
    assert readers_see(shop) == ["by-1"]


def test_twice_in_a_row_goes_back_twice_and_one_run_goes_back_once(shop: AuditedShop) -> None:
    first = back(shop)
    again = back(shop)
    assert (again.champion, again.record) == (first.champion, first.record)
    assert alias(shop) == 2
    assert back(shop, run="rollback/b").champion == 1
    assert readers_see(shop) == ["by-1"]


def test_what_was_rolled_back_can_be_brought_back(shop: AuditedShop) -> None:
    back(shop, 1)
    receipt = back(shop, 3, run="rollback/b", reason="it was the data")
    assert (receipt.champion, receipt.withdrawn) == (3, [])
    assert readers_see(shop) == ["by-3"]
    assert [record.version for record in shop.log.state().line()] == [1, 3]


def test_where_only_one_stands_there_is_nothing_to_go_back_to(shop: AuditedShop, tell: Tell) -> None:
    back(shop, 1)
    with pytest.raises(ConfigurationError, match="champion version 1 is the only one that stands") as refused:
        back(shop, run="rollback/b")
    tell("a rollback beyond the first champion", str(refused.value))


@pytest.mark.parametrize(
    ("to", "sentence"),
    [(3, "version 3 is the champion already"), (9, "version 9 was never champion; those that were are 1, 2, 3$")],
)
def test_versions_to_which_nobody_can_go_back(shop: AuditedShop, to: int, sentence: str, tell: Tell) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        back(shop, to)
    tell(f"a rollback to version {to} of 3", str(refused.value))


@pytest.mark.parametrize("changed", [{"reason": ""}, {"reason": "  "}, {"requested_by": ""}])
def test_a_rollback_needs_a_reason_and_a_name(shop: AuditedShop, changed: dict[str, str], tell: Tell) -> None:
    with pytest.raises(ConfigurationError, match=r"^a rollback is recorded: give reason=\.\.\. and") as refused:
        back(shop, **changed)
    tell("a rollback without a reason", str(refused.value))


def test_a_shop_without_a_champion(tell: Tell) -> None:
    with pytest.raises(ConfigurationError, match="names no champion, so there is nothing to go back from") as refused:
        back(AuditedShop())
    tell("a rollback before the first promotion", str(refused.value))


def nothing_moves(shop: AuditedShop, kind: type[Exception], sentence: str, to: int | None = None) -> str:
    before = dict(shop.store.objects), alias(shop)
    with pytest.raises(kind, match=sentence) as refused:
        back(shop, to)
    assert (dict(shop.store.objects), alias(shop)) == before
    return str(refused.value)


def test_everything_is_checked_before_anything_moves(shop: AuditedShop, tell: Tell) -> None:
    """The model's files, the version itself, and the batch of lists to go back to."""
    model_id = shop.registry.champion_version(2).model_id
    kept = dict(shop.tracker.models[model_id])
    shop.tracker.models[model_id]["items.parquet"] += b"x"
    tell("a rollback to a damaged model", nothing_moves(shop, ModelDamagedError, "its files were changed after"))
    shop.tracker.models[model_id] = kept
    shop.registry.delete(2)
    tell("a rollback to a deleted model", nothing_moves(shop, ChampionGoneError, "champion version 2, .* is gone", 2))
    (manifest,) = [move["manifest"] for move in json.loads(shop.store.objects[LIVE])["history"][2:]]
    del shop.store.objects[manifest]
    said = nothing_moves(shop, NotFoundError, "^the lists cannot go back: .* is gone although .*; lists=stay takes", 1)
    tell("a rollback to lists that are gone", said)


def test_a_champion_that_made_no_lists(tell: Tell) -> None:
    """The live lists are by the version that goes, so they cannot stay by themselves; a person may say so."""
    shop = AuditedShop()
    shop.champions(2)
    publish(shop, shop.registry.champion_version(2))
    tell(
        "a rollback to a champion without lists", nothing_moves(shop, NotFoundError, "remembers no batch made by champ")
    )
    receipt = back(shop, lists="stay")
    assert (receipt.champion, receipt.batch, receipt.generation) == (1, "", 0)
    assert readers_see(shop) == ["by-2"]


def test_lists_that_are_not_by_the_version_that_goes_stay_as_they_are() -> None:
    """The bad champion was caught before it made any; neither were there lists before it."""
    shop = AuditedShop()
    shop.champions(2)
    assert back(shop).batch == ""
    other = listed(AuditedShop(), 1)
    other.approve(other.challenger(days=5, against=1))
    before = readers_see(other)
    assert back(other).champion == 1
    assert readers_see(other) == before == ["by-1"]


def test_of_two_rollbacks_at_once_one_is_told(shop: AuditedShop) -> None:
    """Both have checked everything; the other one's record is there first."""
    create = shop.store.create

    def slowly(key: str, content: bytes) -> str:
        shop.store.create = create  # type: ignore[method-assign]
        back(shop, 1, run="rollback/other")
        return create(key, content)

    shop.store.create = slowly  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="somebody else has written record 7"):
        back(shop)
    assert (alias(shop), readers_see(shop)) == (1, ["by-1"])


WRITES = ["create", "point", "ask", "ask", "ask", "note"]
"""After the record: the alias, the pointer of the lists (read, manifest, swap), and the registry's note."""


@pytest.mark.parametrize("after", range(1, len(WRITES) + 1))
@pytest.mark.parametrize("same_run", [True, False])
def test_killed_anywhere_a_second_try_finishes_it(after: int, same_run: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same run, as Airflow does, or by a person who types the command once more: nobody goes back twice."""
    quiet, shop = listed(AuditedShop(), 3), listed(AuditedShop(), 3)
    expected = back(quiet)
    calls: list[str] = []
    wrap = dying(after, calls)
    begun = False

    def once_begun(name: str, call: Callable[..., object]) -> Callable[..., object]:
        counted = wrap(name, call)

        def either(*args: object, **named: object) -> object:
            nonlocal begun
            begun = begun or name == "create"
            return counted(*args, **named) if begun else call(*args, **named)

        return either

    with monkeypatch.context() as patch:
        for owner, name in [
            (shop.store, "create"),
            (shop.store, "ask"),
            (shop.registry, "point"),
            (shop.registry, "note"),
        ]:
            patch.setattr(owner, name, once_begun(name, getattr(owner, name)))
        if after < len(WRITES):
            with pytest.raises(KilledError):
                back(shop)
        else:
            back(shop)
    assert calls == WRITES[:after]
    finished = after == len(WRITES)
    receipt = back(shop, run="rollback/a" if same_run or finished else "by-hand/b")
    assert (receipt.champion, receipt.record) == (expected.champion, expected.record)
    assert readers_see(shop) == ["by-2"]
    assert alias(shop) == 2
    assert json.loads(shop.store.objects[LIVE])["generation"] == json.loads(quiet.store.objects[LIVE])["generation"]
    assert shop.log.verified() == quiet.log.verified()
    assert shop.registry.model_tags == quiet.registry.model_tags
