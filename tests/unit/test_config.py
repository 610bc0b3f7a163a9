"""Reading `shop.toml`: what is wrong is named, with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.settings import REPOSITORY
from refit.config import Calendar, load_shop
from refit.errors import ConfigurationError

ShopWriter = Callable[..., Path]


def test_a_shop_is_read_with_its_defaults(write_shop: ShopWriter) -> None:
    shop = load_shop(write_shop(), "corner")
    assert (shop.name, shop.title) == ("corner", "A corner shop")
    assert shop.calendar.first_day == date(2026, 1, 1)
    assert shop.events.weights == {"purchase": 1.0}
    assert (shop.als.rank, shop.als.seed, shop.lists.k) == (32, 1, 20)
    assert shop.training.window == timedelta(days=365)
    assert shop.mapping("users") is None
    assert "FROM stock" in (shop.mapping("items") or "")


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REPOSITORY.glob("shops/*/shop.toml")))
def test_the_shops_of_the_repository_are_valid(name: str) -> None:
    assert load_shop(REPOSITORY / "shops", name).name == name


def test_an_unknown_shop_is_refused_with_the_known_ones(write_shop: ShopWriter) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_shop(write_shop(), "cornr")
    assert str(refusal.value).startswith("there is no shop 'cornr' in ")
    assert str(refusal.value).endswith("; known shops are corner; set REFIT_SHOP")


def test_a_folder_without_shops_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="known shops are none; set REFIT_SHOP"):
        load_shop(tmp_path, "corner")


@pytest.mark.parametrize(
    ("replace", "append", "parts"),
    [
        ({"title =": "titel ="}, "", ["title", "Field required"]),
        ({}, "rnak = 8", ["evaluation.rnak", "Extra inputs are not permitted"]),
        ({}, "[alss]\nseed = 1", ["alss", "Extra inputs are not permitted"]),
        ({"[als]\nseed = 1": ""}, "", ["als", "Field required"]),
        ({"[als]\nseed = 1": "[als]"}, "", ["als.seed", "Field required"]),
        ({"[als]": "[als]\nrank = 0"}, "", ["als.rank", "greater than or equal to 1"]),
        ({"[als]": "[als]\nregularisation = -0.1"}, "", ["als.regularisation", "greater than 0"]),
        ({'"sunday"': '"Sonntag"'}, "", ["calendar.closed_weekdays.0", "'monday'"]),
        ({"2026-01-01": "2026-02-30"}, "", ["is not valid TOML"]),
        ({'title = "A': "title = A"}, "", ["is not valid TOML"]),
        ({"{ purchase = 1.0 }": "{ purchase = 0.0 }"}, "", ["events.weights.purchase", "greater than 0"]),
        (
            {'relevant = ["purchase"]': 'relevant = ["sale"]'},
            "",
            ["events", "event types ['sale'] have no entry in events.weights"],
        ),
        ({}, '[promotion]\nmetric = "auc"', ["promotion.metric", "'ndcg'"]),
        ({}, "[lists.gate]\nmin_filled = 1.5", ["lists.gate.min_filled", "less than or equal to 1"]),
    ],
)
def test_what_does_not_belong_there_is_named(
    write_shop: ShopWriter, replace: dict[str, str], append: str, parts: list[str]
) -> None:
    shops = write_shop(replace=replace, append=append)
    with pytest.raises(ConfigurationError) as refusal:
        load_shop(shops, "corner")
    message = str(refusal.value)
    assert message.startswith(f"{shops / 'corner' / 'shop.toml'}")
    assert [part for part in parts if part not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize("table", ["interactions", "items"])
def test_a_shop_maps_interactions_and_items(write_shop: ShopWriter, table: str) -> None:
    shops = write_shop(sources={table: None})
    with pytest.raises(ConfigurationError, match=rf"sources/{table}\.sql; every shop maps {table}$"):
        load_shop(shops, "corner")


def test_a_simulation_spans_the_days_of_the_calendar(write_shop: ShopWriter) -> None:
    shops = write_shop(append="[simulation]\nseed = 1\nfirst_day = 2026-01-01\ndays = 10")
    with pytest.raises(ConfigurationError, match="the simulation spans 2026-01-01 to 2026-01-10, the calendar"):
        load_shop(shops, "corner")


def test_settings_cannot_be_changed_after_they_are_read(write_shop: ShopWriter) -> None:
    shop = load_shop(write_shop(), "corner")
    with pytest.raises(ValueError, match="frozen"):
        shop.als.rank = 8


def test_open_days_leave_out_closed_weekdays_and_closed_days() -> None:
    """1 January 2026 is a Thursday; the 4th is a Sunday; the end of the interval is not part of it."""
    calendar = Calendar(
        first_day=date(2026, 1, 1), closed_weekdays=("sunday",), closed_days=(date(2026, 1, 1), date(2026, 1, 6))
    )
    assert calendar.open_days(date(2026, 1, 1), date(2026, 1, 8)) == [
        date(2026, 1, 2),
        date(2026, 1, 3),
        date(2026, 1, 5),
        date(2026, 1, 7),
    ]
    assert calendar.open_days(date(2026, 1, 8), date(2026, 1, 8)) == []
    assert calendar.open_days(date(2026, 1, 9), date(2026, 1, 8)) == []
