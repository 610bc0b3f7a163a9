"""The shop as of an instant: what may be recommended, who is served, and that nothing later is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.tea_shop import AS_OF, BOUGHT, ITEMS, USERS, TeaShop, open_shop, tea_model

from refit.candidates.as_of import candidates_as_of, recent_interactions_as_of
from refit.candidates.build import BuiltCandidates
from refit.candidates.candidate_set import EVERYBODY
from refit.config import Shop, load_shop
from refit.errors import ConfigurationError, NotFoundError
from refit.lake.as_of import everybody_as_of
from refit.lists.inputs import inputs_as_of

ShopWriter = Callable[..., Path]
SEGMENTS = '[lists]\nsegment = "country"\nmin_segment_people = 3\nnew_items = 1\nmin_new_people = 2\nrecent_days = 14\n'


@pytest.fixture(scope="module")
def tea(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TeaShop:
    return open_shop(spark, tmp_path_factory.mktemp("tea"))


@pytest.fixture
def shop(write_shop: ShopWriter) -> Callable[[str], Shop]:
    return lambda settings: load_shop(write_shop(append="\n" + settings), "corner")


def shown(stocked: BuiltCandidates) -> dict[str, list[tuple[str, float]]]:
    """Return segment -> (item, share), most popular first."""
    items = stocked.candidate_set.items.to_pylist()
    return {
        name: [(items[at], round(float(share), 4)) for at, share in zip(found.positions, found.scores, strict=True)]
        for name, found in stocked.candidate_set.popular.items()
    }


def test_the_shelf_of_a_day_is_what_was_known_just_before_it(tea: TeaShop, shop: Callable[[str], Shop]) -> None:
    """Counted by hand over 14 days: eight people bought something; Italy has one, so it is part of everybody."""
    stocked = candidates_as_of(tea.spark, tea.lake, shop(SEGMENTS), tea_model(), AS_OF)
    candidate_set = stocked.candidate_set
    assert candidate_set.items.to_pylist()[7:] == ["new mug", "new tin"]
    assert np.array(candidate_set.items)[~candidate_set.allowed].tolist() == ["ghost"]
    assert stocked.as_record() == {
        "items": 7,
        "allowed": 6,
        "kept_off": {
            "withdrawn": 0,
            "unavailable": 1,
            "unlisted": 0,
            "deny": 0,
            "allow": 0,
            "where": 0,
            "min_price": 0,
        },
        "new": 2,
        "recent_people": 8,
        "segments": 2,
    }
    assert shown(stocked) == {
        EVERYBODY: [
            ("chai", 0.5),
            ("bowl", 0.375),
            ("earl grey", 0.375),
            ("new mug", 0.375),
            ("new tin", 0.25),
            ("flask", 0.125),
        ],
        "FR": [("chai", 1.0), ("bowl", 0.5), ("new mug", 0.5), ("new tin", 0.25)],
        "DE": [("earl grey", 1.0), ("bowl", 0.3333), ("new mug", 0.3333), ("new tin", 0.3333)],
    }


def histories(tea: TeaShop, shop: Shop) -> dict[str, tuple[Any, ...]]:
    rows = everybody_as_of(tea.spark, tea.lake, shop, AS_OF).collect()
    return {row["user_id"]: tuple(row[name] for name in row.asDict() if name != "user_id") for row in rows}


def test_everybody_is_served_with_their_segment(tea: TeaShop, shop: Callable[[str], Shop]) -> None:
    found = histories(tea, shop(SEGMENTS))
    assert {name: row[-1] for name, row in found.items()} == USERS
    assert found["cold fr"] == ([], [], [], True, "FR")
    assert found["fr3"][0] == ["assam", "bowl", "chai"]
    assert found["it0"] == (["flask", "new pot"], [1.0, 1.0], [True, True], True, "IT")


def test_where_rebuying_is_allowed_nothing_counts_as_bought(tea: TeaShop, shop: Callable[[str], Shop]) -> None:
    """`events.bought` says what buying is, `lists.rebuy` whether it matters; what teaches does not change."""
    without, allowed = histories(tea, shop("")), histories(tea, shop("[lists]\nrebuy = true"))
    assert without["fr3"] == (["assam", "bowl", "chai"], [1.0, 1.0, 1.0], [True, True, True], True)
    assert allowed["fr3"] == (["assam", "bowl", "chai"], [1.0, 1.0, 1.0], [False, False, False], True)


def test_what_lies_in_the_future_changes_nothing(
    spark: SparkSession, tmp_path: Path, tea: TeaShop, shop: Callable[[str], Shop]
) -> None:
    """Purchases at the very instant and later, a younger catalogue, younger people: as of then nobody knew them."""
    future = open_shop(spark, tmp_path / "lake")
    later = [(person, item, when + timedelta(days=60)) for person, item, when in BOUGHT if when.year == 2026]
    future.sell([("it0", "assam", AS_OF), *[("it0", name, AS_OF + timedelta(seconds=1)) for name in ITEMS], *later])
    future.stock({"ghost": ("tea", 1.0, True)}, AS_OF + timedelta(days=1))
    future.register({"it0": "DE", "who": "FR"}, AS_OF + timedelta(days=1))
    chosen = shop(SEGMENTS)
    then, now = (candidates_as_of(spark, each.lake, chosen, tea_model(), AS_OF) for each in (tea, future))
    assert now.as_record() == then.as_record()
    assert shown(now) == shown(then)
    assert now.candidate_set.items.equals(then.candidate_set.items)
    assert now.candidate_set.allowed.tolist() == then.candidate_set.allowed.tolist()
    assert histories(future, chosen) == histories(tea, chosen)


def test_without_a_recent_day_nothing_is_popular(tea: TeaShop, shop: Callable[[str], Shop]) -> None:
    touches = recent_interactions_as_of(
        tea.spark, tea.lake, shop("[lists]\nrecent_days = 3"), AS_OF - timedelta(days=90)
    )
    assert (len(touches.items), touches.people) == (0, {})


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            'segment = "land"',
            r"^lists\.segment = 'land': the users table has no such column, it has user_id, consent, ",
        ),
        ('where = "prise > 2"', r"^lists\.where = 'prise > 2': there is no column prise; the columns are item_id, "),
    ],
)
def test_a_rule_that_does_not_fit_the_tables_is_refused(
    tea: TeaShop, shop: Callable[[str], Shop], setting: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        candidates_as_of(tea.spark, tea.lake, shop(f"[lists]\n{setting}"), tea_model(), AS_OF)


def test_a_segment_needs_a_users_table(spark: SparkSession, tmp_path: Path, shop: Callable[[str], Shop]) -> None:
    bare = TeaShop.empty(spark, tmp_path / "lake")
    bare.sell(BOUGHT[-2:])
    with pytest.raises(NotFoundError, match="nothing is landed for the asked days; land them first"):
        candidates_as_of(spark, bare.lake, shop(""), tea_model(), AS_OF)
    bare.stock(ITEMS)
    with pytest.raises(ConfigurationError) as refusal:
        candidates_as_of(spark, bare.lake, shop(SEGMENTS), tea_model(), AS_OF)
    assert str(refusal.value) == (
        "lists.segment = 'country': no users table is landed for shop 'corner'; add sources/users.sql and land it, or "
        "take the setting out of shop.toml"
    )
    assert sorted(histories(bare, shop(""))) == ["de1", "it0"]


def test_the_list_gate_is_told_how_fresh_and_how_many_the_inputs_are(tea: TeaShop, shop: Callable[[str], Shop]) -> None:
    """The last sale was a minute before the first of February, a Sunday on which the shop is closed."""
    found = inputs_as_of(tea.lake, shop(SEGMENTS), AS_OF)
    assert found == {
        "newest_event_day": "2026-01-31",
        "stale_days": 0,
        "eligible": len(USERS),
        "rules": found["rules"],
    }
    later = inputs_as_of(tea.lake, shop(SEGMENTS), AS_OF + timedelta(days=4))
    assert (later["newest_event_day"], later["stale_days"]) == ("2026-01-31", 3)
    tighter = inputs_as_of(tea.lake, shop(SEGMENTS + "[lists.gate]\nmax_gini = 0.5\n"), AS_OF)
    assert tighter["rules"] == found["rules"] != inputs_as_of(tea.lake, shop(""), AS_OF)["rules"]


def test_days_without_events_are_no_fresh_days(
    spark: SparkSession, tmp_path: Path, shop: Callable[[str], Shop]
) -> None:
    """Nothing at all is unknown; a shop without a users table does not say how many may be served."""
    empty = TeaShop.empty(spark, tmp_path / "lake")
    assert inputs_as_of(empty.lake, shop(""), AS_OF) | {"rules": ""} == {
        "newest_event_day": None,
        "stale_days": None,
        "eligible": None,
        "rules": "",
    }
